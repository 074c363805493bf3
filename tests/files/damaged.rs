//! Whatever is cut off or flipped in a file, loading it returns. Whatever loads is usable, and
//! the same when it has been saved and read back.

use crate::support::bags;
use std::fs;
use std::io::{Cursor, Read, Write};
use std::path::Path;

use crate::support::bags::{content, load_bytes};
use crate::support::reference::reference;
use mlff_student::ErrorKind;
use mlff_student::model::format::{Tensors, safetensors};
use mlff_student::model::{Linear, Model, Update};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

/// The smallest file of each container.
fn samples() -> Vec<(&'static str, Vec<u8>)> {
    let read = |name: &str| fs::read(reference(&format!("models/{name}"))).unwrap();
    let (pickle, storages) = bags::torch::state_dict(&bags::published(8, 2, 5));
    vec![
        ("onnx", read("student-21k.onnx")),
        ("pytorch", read("student-21k-wrapped.pt")),
        ("schnetpack", read("painn-32-bessel.pt")),
        ("torchscript", read("student-77k-torchscript.pt")),
        ("pytorch, older", bags::torch::legacy(&pickle.end(), &storages)),
        ("own", own_file()),
    ]
}

fn own_file() -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    Model::load(&reference("models/painn-32-bessel.pt")).unwrap().save(&path).unwrap();
    fs::read(path).unwrap()
}

/// One file that is written again and again.
struct Target(tempfile::TempDir);

impl Target {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn load(&self, bytes: &[u8]) -> mlff_student::Result<Model> {
        let path = self.0.path().join("model");
        fs::write(&path, bytes).unwrap();
        Model::load(&path)
    }
}

fn round_trip(model: &Model, path: &Path) {
    model.save(path).unwrap();
    assert_eq!(content(Model::load(path).unwrap()), content(model.clone()));
}

#[test]
#[cfg_attr(not(reference_data), ignore = "needs ../shared/reference")]
fn truncated_files_return() {
    let target = Target::new();
    for (name, bytes) in samples() {
        let mut random = fastrand::Rng::with_seed(1);
        let evenly = (0..100).map(|part| bytes.len() * part / 100);
        let start = 0..40;
        let end = bytes.len() - 40..bytes.len();
        let anywhere = (0..40).map(|_| random.usize(..bytes.len()));
        for length in evenly.chain(start).chain(end).chain(anywhere) {
            let result = target.load(&bytes[..length]);
            // ONNX has no end mark: what follows the weights may be missing.
            assert!(result.is_err() || name == "onnx", "{name} cut at {length}");
            if let Err(error) = result {
                assert_eq!(error.kind(), ErrorKind::Format, "{name} cut at {length}: {error}");
            }
        }
    }
}

#[test]
#[cfg_attr(not(reference_data), ignore = "needs ../shared/reference")]
fn flipped_bytes_return() {
    let target = Target::new();
    for (name, bytes) in samples() {
        let mut random = fastrand::Rng::with_seed(2);
        let mut refused = 0;
        for round in 0..150 {
            let mut bytes = bytes.clone();
            // Headers and directories are where a change means something.
            let ends = 4000.min(bytes.len());
            for _ in 0..=round % 4 {
                let at = match random.u8(..4) {
                    0 => random.usize(..bytes.len()),
                    1 => bytes.len() - 1 - random.usize(..ends),
                    _ => random.usize(..ends),
                };
                bytes[at] = random.u8(..);
            }
            match target.load(&bytes) {
                Ok(model) => use_everywhere(&model),
                Err(_) => refused += 1,
            }
        }
        assert!(refused > 0, "{name}: no change was noticed");
    }
}

/// The same archive with another pickle, and checksums that fit.
fn with_pickle(file: &[u8], change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut change = Some(change);
    let mut zip = ZipArchive::new(Cursor::new(file)).unwrap();
    let mut changed = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    for index in 0..zip.len() {
        let Ok(mut member) = zip.by_index(index) else { continue };
        let mut bytes = Vec::new();
        member.read_to_end(&mut bytes).unwrap();
        if member.name().ends_with("/data.pkl") {
            change.take().unwrap()(&mut bytes);
        }
        changed.start_file(member.name(), options).unwrap();
        changed.write_all(&bytes).unwrap();
    }
    changed.finish().unwrap().into_inner()
}

#[test]
#[cfg_attr(not(reference_data), ignore = "needs ../shared/reference")]
fn changed_pickles_return() {
    let target = Target::new();
    for (name, file) in samples() {
        if !file.starts_with(b"PK") {
            continue;
        }
        target.load(&with_pickle(&file, |_| {})).unwrap();
        let mut random = fastrand::Rng::with_seed(3);
        for round in 0..300 {
            let changed = with_pickle(&file, |pickle| match round % 3 {
                0 => pickle.truncate(random.usize(..pickle.len())),
                1 => drop(pickle.remove(random.usize(..pickle.len()))),
                _ => {
                    let at = random.usize(..pickle.len());
                    pickle[at] = random.u8(..);
                }
            });
            let result = target.load(&changed);
            assert!(round % 3 > 0 || result.is_err(), "{name}: a truncated pickle was read");
        }
    }
}

#[test]
fn networks_of_random_sizes_load_and_round_trip() {
    let mut random = fastrand::Rng::with_seed(4);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model");
    for _ in 0..40 {
        let (hidden, blocks, basis) =
            (random.usize(4..=70), random.usize(1..=4), random.usize(2..=12));
        let mut bag = match random.bool() {
            true => bags::published(hidden, blocks, basis),
            false => bags::schnetpack(hidden, blocks, basis, random.bool()),
        };
        if random.bool() {
            // Values that float32 cannot hold.
            let names: Vec<String> = bag.tensors.keys().cloned().collect();
            let name = &names[random.usize(..names.len())];
            bag.tensors.get_mut(name).unwrap().values[0] += 1e-9 * random.f64();
        }
        fs::write(&path, safetensors::write(&bag).unwrap()).unwrap();
        let model = Model::load(&path).unwrap();
        assert_eq!((model.hidden, model.blocks.len(), model.basis.len()), (hidden, blocks, basis));
        round_trip(&model, &path);
    }
}

/// Applies every layer of a model to vectors of the size that its neighbors give.
fn use_everywhere(model: &Model) {
    let hidden = model.hidden;
    for &number in &model.species {
        assert_eq!(model.embedding_row(number).len(), hidden);
        assert!(model.reference_energies[usize::from(number)].is_finite());
    }
    let apply = |layer: &Linear, inputs: usize, outputs: usize| {
        assert_eq!((layer.inputs, layer.weight.len()), (inputs, inputs * outputs));
        let y = layer.apply(&vec![1.0; inputs]);
        assert_eq!((y.len(), layer.bias.len()), (outputs, outputs));
        assert!(y.iter().all(|y| y.is_finite()));
    };
    for block in &model.blocks {
        let (mut value, mut slope) = (vec![0.0; 3 * hidden], vec![0.0; 3 * hidden]);
        block.filter.evaluate(model, 1.0, &mut value, &mut slope);
        assert!(value.iter().chain(&slope).all(|x| x.is_finite()));
        if let Some(sender) = &block.sender {
            apply(&sender.first, hidden, hidden);
            apply(&sender.second, hidden, 3 * hidden);
        }
        let mlp = match &block.update {
            Update::Published { mlp, .. } => mlp,
            Update::Painn { channel_mix, mlp, .. } => {
                apply(channel_mix, hidden, 2 * hidden);
                mlp
            }
        };
        apply(&mlp.first, 2 * hidden, hidden);
        apply(&mlp.second, hidden, 3 * hidden);
    }
    let mut inputs = hidden;
    for layer in &model.head {
        apply(layer, inputs, layer.outputs);
        inputs = layer.outputs;
    }
    assert_eq!(inputs, 1);
}

#[test]
fn networks_with_one_tensor_changed_are_refused_or_usable() {
    let mut random = fastrand::Rng::with_seed(5);
    for bag in [bags::published(8, 2, 5), bags::schnetpack(8, 2, 5, false)] {
        let names: Vec<String> = bag.tensors.keys().cloned().collect();
        for _ in 0..200 {
            let mut bag: Tensors = bag.clone();
            let tensor = bag.tensors.get_mut(&names[random.usize(..names.len())]).unwrap();
            tensor.shape = (0..random.usize(..4)).map(|_| random.usize(..12)).collect();
            tensor.values = vec![0.5; tensor.shape.iter().product()];
            if let Ok(model) = load_bytes(&safetensors::write(&bag).unwrap()) {
                use_everywhere(&model);
            }
        }
    }
}
