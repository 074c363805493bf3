//! A student's architecture and weights, as numbers without a file format and without an engine.
//!
//! Both architectures are one computation (`docs/src/internals/derivation.md`): every atom carries
//! scalars `s` (h of them, `hidden`) and vectors `v` (3 × g, `vectors`, g ≤ h). In each block, a
//! filter φ(d) of h + 2g values that depends on the distance alone meets a sender row x_j of h + 2g
//! values that depends on the atom alone:
//!
//! ```text
//! s_i += Σ_j x_j¹ ⊙ φ¹(d)
//! v_i += Σ_j v_j ⊙ x_j² ⊙ φ²(d) + u ⊗ (x_j³ ⊙ φ³(d))       u = (r_j − r_i) / (d + softening)
//! ```
//!
//! then an update mixes each atom's own features. All weights are kept in float64: files of any
//! width load exactly, and engines narrow them as they need.

mod arrays;
pub mod covalent;
pub mod energy_range;
pub mod filter;
pub mod format;
mod norm;
mod potential;
pub mod repulsion;
mod reshape;
mod scope;
pub mod script;
mod validate;

use std::collections::BTreeMap;

pub use energy_range::EnergyRange;
pub use filter::{Basis, Envelope, EnvelopePlace, Filter};
pub use norm::Norm;
pub use potential::Potential;
pub use repulsion::{Repulsion, Seen};
pub use scope::Scope;
pub use script::Script;
pub use validate::POWERS;

/// The metadata entry that says what kind of file a model was read from, as container/names:
/// `safetensors/mlff-student`, `pytorch/published`, `onnx/published`, `torchscript/schnetpack`, …
/// It is not written to files.
pub const SOURCE_FORMAT: &str = "source_format";

/// Which family of networks a student belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Architecture {
    /// The published distilled students, reproduced exactly, defects included: not invariant
    /// under rotation and not continuous at the cutoff.
    Published,
    /// PaiNN (Schütt et al. 2021, arXiv 2102.03150).
    Painn,
}

impl Architecture {
    /// The name used in files and messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Published => "published",
            Self::Painn => "painn",
        }
    }

    /// Whether energies stay the same when everything is turned.
    pub fn is_rotation_invariant(self) -> bool {
        match self {
            Self::Published => false,
            Self::Painn => true,
        }
    }
}

/// A dense layer y = W x + b.
#[derive(Clone, Debug, PartialEq)]
pub struct Linear {
    /// Number of inputs.
    pub inputs: usize,
    /// Number of outputs.
    pub outputs: usize,
    /// W, `outputs` × `inputs`, row by row as PyTorch stores it.
    pub weight: Vec<f64>,
    /// b, `outputs` values (zeros for a layer without bias).
    pub bias: Vec<f64>,
}

/// Two dense layers with silu between them.
#[derive(Clone, Debug, PartialEq)]
pub struct Mlp {
    /// Applied first, followed by silu.
    pub first: Linear,
    /// Applied second, without activation.
    pub second: Linear,
}

/// How an atom's own features are mixed after the message.
#[derive(Clone, Debug, PartialEq)]
pub enum Update {
    /// n = |v| over x, y, z; (a, g₁, g₂) = MLP([s, n]); s += a; v = v ⊙ g₁ + (M v) ⊙ g₂.
    Published {
        /// 2·hidden → hidden → 3·hidden.
        mlp: Mlp,
        /// M, 3 × 3 row by row; it acts on x, y, z, which is why this family is not equivariant.
        mixing: [f64; 9],
    },
    /// (V, W) = C v; n = norm(Σ_xyz V²); (a, b, c) = MLP([s, n]); s += a, and c ⊙ Σ_xyz V ⊙ W in
    /// its first g channels; v += b ⊙ W.
    Painn {
        /// C without bias, g → 2g: V first, then W.
        channel_mix: Linear,
        /// h + g → h → h + 2g.
        mlp: Mlp,
        /// How the length n of V is formed.
        norm: Norm,
    },
}

/// One message and one update.
#[derive(Clone, Debug, PartialEq)]
pub struct Block {
    /// φ(d): h + 2g values ordered (φ¹ for s, φ² for v_j, φ³ for u).
    pub filter: Filter,
    /// h → h → h + 2g, in the same order as the filter. `None`: x_j = (s_j, 1, 1).
    pub sender: Option<Mlp>,
    /// What follows the message.
    pub update: Update,
}

/// A student.
///
/// ```
/// use std::path::Path;
///
/// use mlff_student::model::Model;
///
/// let model = Model::load(Path::new("models/organics-small.safetensors"))?;
/// assert_eq!(model.species, [1, 6, 7, 8, 9, 16, 17]);
/// assert_eq!(model.cutoff, 5.0);
/// assert!(model.is_smooth());
/// # Ok::<(), mlff_student::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    /// Family of networks.
    pub architecture: Architecture,
    /// Number of channels: h.
    pub hidden: usize,
    /// Number of vectors: g, at most `hidden`. With `published` as many.
    pub vectors: usize,
    /// Pairs with d ≤ cutoff take part (Å).
    pub cutoff: f64,
    /// Added to d where the direction u is formed (Å): 1e-8 in `published`.
    pub softening: f64,
    /// Initial scalars, one row of `hidden` values for each atomic number 0, 1, 2, …
    pub embedding: Vec<f64>,
    /// Atomic numbers the model may be used for, ascending.
    pub species: Vec<u8>,
    /// Added to the energy of each atom, by atomic number, one for each embedding row (eV).
    pub reference_energies: Vec<f64>,
    /// Radial basis that all filters share.
    pub basis: Basis,
    /// Envelope of all filters.
    pub envelope: Envelope,
    /// Message-passing blocks, in order.
    pub blocks: Vec<Block>,
    /// Readout of s: dense layers with silu between them, down to one value (eV).
    pub head: Vec<Linear>,
    /// Added to the network's energy: half of each pair's to either atom.
    pub repulsion: Option<Repulsion>,
    /// Beyond it, energies of atoms saturate. `None`: they do not.
    pub energy_range: Option<EnergyRange>,
    /// Whatever else the file said: teacher, licence, training data, errors.
    pub metadata: BTreeMap<String, String>,
}

/// Chemical symbols by atomic number.
const SYMBOLS: [&str; 119] = [
    "X", "H", "He", "Li", "Be", "B", "C", "N", "O", "F", "Ne", "Na", "Mg", "Al", "Si", "P", "S",
    "Cl", "Ar", "K", "Ca", "Sc", "Ti", "V", "Cr", "Mn", "Fe", "Co", "Ni", "Cu", "Zn", "Ga", "Ge",
    "As", "Se", "Br", "Kr", "Rb", "Sr", "Y", "Zr", "Nb", "Mo", "Tc", "Ru", "Rh", "Pd", "Ag", "Cd",
    "In", "Sn", "Sb", "Te", "I", "Xe", "Cs", "Ba", "La", "Ce", "Pr", "Nd", "Pm", "Sm", "Eu", "Gd",
    "Tb", "Dy", "Ho", "Er", "Tm", "Yb", "Lu", "Hf", "Ta", "W", "Re", "Os", "Ir", "Pt", "Au", "Hg",
    "Tl", "Pb", "Bi", "Po", "At", "Rn", "Fr", "Ra", "Ac", "Th", "Pa", "U", "Np", "Pu", "Am", "Cm",
    "Bk", "Cf", "Es", "Fm", "Md", "No", "Lr", "Rf", "Db", "Sg", "Bh", "Hs", "Mt", "Ds", "Rg", "Cn",
    "Nh", "Fl", "Mc", "Lv", "Ts", "Og",
];

/// Atomic number of a chemical symbol.
pub fn atomic_number(symbol: &str) -> Option<u8> {
    SYMBOLS.iter().skip(1).position(|known| *known == symbol).map(|index| index as u8 + 1)
}

/// Chemical symbol of an atomic number.
pub fn symbol(atomic_number: u8) -> Option<&'static str> {
    SYMBOLS.get(usize::from(atomic_number)).copied().filter(|_| atomic_number > 0)
}

impl Model {
    /// Number of trainable parameters (the radial basis and the repulsion, fixed, are not counted).
    pub fn parameters(&self) -> usize {
        let linear = |layer: &Linear| layer.weight.len() + layer.bias.len();
        let mlp = |mlp: &Mlp| linear(&mlp.first) + linear(&mlp.second);
        let block = |block: &Block| {
            let filter: usize = block.filter.layers.iter().map(linear).sum();
            let sender = block.sender.as_ref().map_or(0, mlp);
            let update = match &block.update {
                Update::Published { mlp: net, mixing } => mlp(net) + mixing.len(),
                // The channel mix has no bias in this family.
                Update::Painn { channel_mix, mlp: net, .. } => mlp(net) + channel_mix.weight.len(),
            };
            filter + sender + update
        };
        self.embedding.len()
            + self.blocks.iter().map(block).sum::<usize>()
            + self.head.iter().map(linear).sum::<usize>()
    }

    /// Whether atoms send a network's values of s, not s itself.
    pub fn has_sender(&self) -> bool {
        self.blocks.first().is_some_and(|block| block.sender.is_some())
    }

    /// How lengths of vectors are formed, if at all; the same in every block but for ε.
    pub fn norm(&self) -> Option<Norm> {
        match self.blocks.first()?.update {
            Update::Painn { norm, .. } => Some(norm),
            Update::Published { .. } => None,
        }
    }

    /// Whether the energy has continuous second derivatives wherever no two atoms meet.
    pub fn is_smooth(&self) -> bool {
        self.architecture == Architecture::Painn
            && self.envelope_place() == EnvelopePlace::Filter
            && matches!(self.envelope, Envelope::Polynomial { .. })
    }

    /// Which structures it is for.
    pub fn scope(&self) -> Scope {
        Scope { cutoff: self.cutoff, species: self.species.clone() }
    }

    /// Where energies of this element's atoms begin to saturate (eV).
    pub fn energy_bounds(&self, number: u8) -> [f64; 2] {
        let range = self.energy_range.as_ref();
        let bounds = range.and_then(|range| range.bounds.get(usize::from(number)));
        bounds.copied().unwrap_or(energy_range::UNBOUNDED)
    }

    /// Radius of a pair's core, as a share of its repulsion's.
    pub fn core(&self) -> f64 {
        self.repulsion.as_ref().map_or(0.0, |repulsion| repulsion.core)
    }

    /// The distance of a pair of these elements as the filters see it, from the true one (Å).
    pub fn seen(&self, species: [u8; 2], d: f64) -> Seen {
        match &self.repulsion {
            Some(repulsion) => repulsion.seen(species, d),
            None => Seen { distance: d, slope: 1.0 },
        }
    }

    /// Initial scalars of an element, `hidden` values.
    pub fn embedding_row(&self, atomic_number: u8) -> &[f64] {
        let start = usize::from(atomic_number) * self.hidden;
        &self.embedding[start..start + self.hidden]
    }
}
