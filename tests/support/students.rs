//! Students with random weights, of any size.

use std::collections::BTreeMap;
use std::f64::consts::PI;

use mlff_student::model::{
    Architecture, Basis, Block, EnergyRange, Envelope, EnvelopePlace, Filter, Linear, Mlp, Model,
    Norm, Repulsion, Update,
};

/// A dense layer with weights that keep the size of what passes through.
fn linear(random: &mut fastrand::Rng, inputs: usize, outputs: usize) -> Linear {
    let scale = (3.0 / inputs as f64).sqrt();
    let mut number = |scale: f64| scale * (2.0 * random.f64() - 1.0);
    Linear {
        inputs,
        outputs,
        weight: (0..inputs * outputs).map(|_| number(scale)).collect(),
        bias: (0..outputs).map(|_| number(0.2)).collect(),
    }
}

fn mlp(random: &mut fastrand::Rng, inputs: usize, hidden: usize, outputs: usize) -> Mlp {
    Mlp { first: linear(random, inputs, hidden), second: linear(random, hidden, outputs) }
}

fn bessel(functions: u32, cutoff: f64) -> Basis {
    Basis::Bessel { frequencies: (1..=functions).map(|k| PI * f64::from(k) / cutoff).collect() }
}

/// Elements 1 to 8, cutoff 4 Å; `painn` as SchNetPack has it.
pub fn random(architecture: Architecture, hidden: usize, blocks: usize, head: &[usize]) -> Model {
    sized(architecture, [hidden, hidden], blocks, head)
}

/// With so many channels and vectors.
fn sized(
    architecture: Architecture,
    [hidden, vectors]: [usize; 2],
    blocks: usize,
    head: &[usize],
) -> Model {
    let mut random = fastrand::Rng::with_seed((hidden * 10 + blocks) as u64);
    let random = &mut random;
    let (h, g) = (hidden, vectors);
    let basis = match architecture {
        Architecture::Published => Basis::Gaussian {
            centers: (0..9).map(|k| 4.0 * f64::from(k) / 8.0).collect(),
            exponents: vec![6.0; 9],
        },
        Architecture::Painn => bessel(7, 4.0),
    };
    let block = |random: &mut fastrand::Rng| match architecture {
        Architecture::Published => Block {
            filter: Filter {
                layers: vec![linear(random, basis.len(), h), linear(random, h, 3 * h)],
                envelope: EnvelopePlace::Basis,
            },
            sender: None,
            update: Update::Published {
                mlp: mlp(random, 2 * h, h, 3 * h),
                mixing: std::array::from_fn(|_| random.f64() - 0.5),
            },
        },
        Architecture::Painn => Block {
            filter: Filter {
                layers: vec![linear(random, basis.len(), h + 2 * g)],
                envelope: EnvelopePlace::Filter,
            },
            sender: Some(mlp(random, h, h, h + 2 * g)),
            update: Update::Painn {
                channel_mix: Linear { bias: vec![0.0; 2 * g], ..linear(random, g, 2 * g) },
                mlp: mlp(random, h + g, h, h + 2 * g),
                norm: Norm::Root { epsilon: 1e-8 },
            },
        },
    };
    let blocks = (0..blocks).map(|_| block(random)).collect();
    let sizes: Vec<usize> = [h].iter().chain(head).copied().chain([1]).collect();
    let model = Model {
        architecture,
        hidden,
        vectors,
        cutoff: 4.0,
        softening: 1e-8,
        embedding: (0..9 * h).map(|_| random.f64() - 0.5).collect(),
        species: (1..=8).collect(),
        reference_energies: (0..9).map(|z| -0.5 * f64::from(z)).collect(),
        basis,
        envelope: Envelope::Cosine,
        blocks,
        head: sizes.windows(2).map(|pair| linear(random, pair[0], pair[1])).collect(),
        repulsion: None,
        energy_range: None,
        metadata: BTreeMap::new(),
    };
    model.validate().expect("a consistent model");
    model
}

/// 0.65 of the covalent radii (Cordero et al. 2008) of H to O, 0 for elements that are not meant to
/// repel.
pub const RADII: [f64; 9] =
    [0.0, 0.65 * 0.31, 0.0, 0.0, 0.0, 0.0, 0.65 * 0.76, 0.65 * 0.71, 0.65 * 0.66];

/// [`smooth`], whose repulsion reaches many pairs of a dense system.
pub fn repelling(hidden: usize, blocks: usize) -> Model {
    let radii = RADII.map(|radius| 2.5 * radius).into();
    Model { repulsion: Some(Repulsion { radii, core: 0.75 }), ..smooth(hidden, blocks) }
}

/// `painn` as it is trained here: elements H, C, N, O, cutoff 5 Å, polynomial envelope, shifted
/// norm, repulsion.
pub fn smooth(hidden: usize, blocks: usize) -> Model {
    narrow(hidden, hidden, blocks)
}

/// [`smooth`] with fewer vectors than channels.
pub fn narrow(hidden: usize, vectors: usize, blocks: usize) -> Model {
    let mut model = sized(Architecture::Painn, [hidden, vectors], blocks, &[hidden / 2]);
    let mut random = fastrand::Rng::with_seed(hidden as u64);
    model.cutoff = 5.0;
    model.softening = 0.0;
    model.species = vec![1, 6, 7, 8];
    model.basis = bessel(20, 5.0);
    model.envelope = Envelope::Polynomial { power: 6 };
    model.repulsion = Some(Repulsion { radii: RADII.to_vec(), core: 0.75 });
    // Some atoms of a random system are beyond it, on either side.
    model.energy_range = Some(EnergyRange { bounds: vec![[-0.05, 0.1]; 9] });
    for block in &mut model.blocks {
        block.filter.layers = vec![linear(&mut random, 20, hidden + 2 * vectors)];
        if let Update::Painn { norm, .. } = &mut block.update {
            *norm = Norm::Shifted { epsilon: 0.1 };
        }
    }
    model.validate().expect("a consistent model");
    model
}
