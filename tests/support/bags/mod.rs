//! Small networks with random weights, under the names of those who train them.
pub mod torch;

use mlff_student::ErrorKind;
use mlff_student::model::format::{Tensor, Tensors, safetensors};
use mlff_student::model::{Model, SOURCE_FORMAT};

fn tensor(bag: &mut Tensors, name: &str, shape: &[usize]) {
    let mut random = fastrand::Rng::with_seed(
        name.bytes().fold(7, |hash, byte| hash * 31 % 1_000_003 + u64::from(byte)),
    );
    let values = (0..shape.iter().product()).map(|_| f64::from(random.f32() - 0.5)).collect();
    bag.tensors.insert(name.to_string(), Tensor { shape: shape.to_vec(), values });
}

fn vector(bag: &mut Tensors, name: &str, values: Vec<f64>) {
    bag.tensors.insert(name.to_string(), Tensor { shape: vec![values.len()], values });
}

/// `{name}.weight` and `{name}.bias`.
pub fn linear(bag: &mut Tensors, name: &str, inputs: usize, outputs: usize) {
    tensor(bag, &format!("{name}.weight"), &[outputs, inputs]);
    tensor(bag, &format!("{name}.bias"), &[outputs]);
}

/// 0 to 4 Å.
fn centers(count: usize) -> Vec<f64> {
    (0..count).map(|index| 4.0 * index as f64 / (count - 1) as f64).collect()
}

/// A published student with a cutoff of 4 Å.
pub fn published(hidden: usize, blocks: usize, basis: usize) -> Tensors {
    let mut bag = Tensors::default();
    tensor(&mut bag, "embedding.weight", &[101, hidden]);
    vector(&mut bag, "rbf.centers", centers(basis));
    vector(&mut bag, "rbf.widths", vec![0.5; basis]);
    for index in 0..blocks {
        let name = |part: &str| format!("interactions.{index}.{part}");
        linear(&mut bag, &name("message.rbf_to_scalar.0"), basis, hidden);
        linear(&mut bag, &name("message.rbf_to_scalar.2"), hidden, 3 * hidden);
        tensor(&mut bag, &name("update.mixing_matrix"), &[3, 3]);
        linear(&mut bag, &name("update.update_mlp.0"), 2 * hidden, hidden);
        linear(&mut bag, &name("update.update_mlp.2"), hidden, 3 * hidden);
    }
    linear(&mut bag, "energy_head.0", hidden, hidden / 2);
    linear(&mut bag, "energy_head.2", hidden / 2, hidden / 4);
    linear(&mut bag, "energy_head.4", hidden / 4, 1);
    bag
}

/// SchNetPack's PaiNN with a cutoff of 4 Å.
pub fn schnetpack(hidden: usize, blocks: usize, basis: usize, shared_filters: bool) -> Tensors {
    let mut bag = Tensors::default();
    vector(&mut bag, "representation.cutoff_fn.cutoff", vec![4.0]);
    vector(&mut bag, "representation.radial_basis.offsets", centers(basis));
    vector(&mut bag, "representation.radial_basis.widths", vec![0.5; basis]);
    tensor(&mut bag, "representation.embedding.weight", &[100, hidden]);
    let filters = if shared_filters { 1 } else { blocks };
    linear(&mut bag, "representation.filter_net", basis, 3 * hidden * filters);
    for index in 0..blocks {
        let name = |part: &str| format!("representation.interactions.{index}.{part}");
        linear(&mut bag, &name("interatomic_context_net.0"), hidden, hidden);
        linear(&mut bag, &name("interatomic_context_net.1"), hidden, 3 * hidden);
        let name = |part: &str| format!("representation.mixing.{index}.{part}");
        linear(&mut bag, &name("intraatomic_context_net.0"), 2 * hidden, hidden);
        linear(&mut bag, &name("intraatomic_context_net.1"), hidden, 3 * hidden);
        tensor(&mut bag, &name("mu_channel_mix.weight"), &[2 * hidden, hidden]);
    }
    linear(&mut bag, "output_modules.0.outnet.0", hidden, hidden / 2);
    linear(&mut bag, "output_modules.0.outnet.1", hidden / 2, 1);
    bag
}

/// Loads a file with these bytes.
pub fn load_bytes(bytes: &[u8]) -> mlff_student::Result<Model> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model");
    std::fs::write(&path, bytes).unwrap();
    Model::load(&path)
}

/// Loads a bag as a safetensors file.
pub fn load_bag(bag: &Tensors) -> mlff_student::Result<Model> {
    load_bytes(&safetensors::write(bag).unwrap())
}

/// An error of this kind must come, with these parts in its message.
pub fn refused(result: mlff_student::Result<Model>, kind: ErrorKind, parts: &[&str]) {
    let error = result.expect_err("must be refused");
    for part in parts {
        assert!(error.message().contains(part), "`{part}` is not in: {error}");
    }
    assert_eq!(error.kind(), kind, "{error}");
}

/// Without what says where it came from.
pub fn content(mut model: Model) -> Model {
    model.metadata.remove(SOURCE_FORMAT);
    model
}
