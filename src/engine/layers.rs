//! A model's dense layers as the fast engines take them: runs of channels padded to whole vectors,
//! and only those outputs that reach the energy. Also how wide their records are: what they hold of
//! each atom and channel.

use crate::model::{Architecture, Block, Linear, Mlp, Model, Update};

/// A number of channels in whole vectors of every instruction set, and whole slices of a GPU.
pub fn padded(channels: usize) -> usize {
    channels.next_multiple_of(16)
}

/// Vectors of a record of the state: s, v.
pub const STATE: usize = 4;

/// Vectors of a record that an atom sends: x¹, x², x³, v from a sender, else s, v.
pub const fn feature_width(sender: bool) -> usize {
    if sender { 6 } else { 4 }
}

/// Vectors of a record that a message in reverse gives: x̄¹, Σ φ² v̄ and, from a sender, x̄³.
pub const fn received_width(sender: bool) -> usize {
    if sender { 5 } else { 4 }
}

/// Vectors of a record that an update of `published` keeps for the reverse pass: silu' of the
/// update, two gates.
pub const PUBLISHED_KEPT: usize = 3;

/// Vectors of a record that an update of `painn` keeps: silu' of the update, two gates, V, W, silu'
/// of the sender.
pub const PAINN_KEPT: usize = 10;

/// Vectors of a record that a model's updates keep for the reverse pass.
pub fn kept_width(model: &Model) -> usize {
    match model.architecture {
        Architecture::Published => PUBLISHED_KEPT,
        Architecture::Painn => PAINN_KEPT,
    }
}

/// How long the runs are that a sender gives (x¹, x², x³), and the second layer of an update: one
/// value for each channel, and twice one for each vector.
pub fn runs(model: &Model) -> [usize; 3] {
    [model.hidden, model.vectors, model.vectors]
}

/// A layer's inputs or outputs: runs of values, each padded with zeros to whole vectors.
pub struct Padding {
    runs: Vec<usize>,
}

impl Padding {
    /// Runs of so many values.
    pub fn new(runs: impl Into<Vec<usize>>) -> Self {
        Self { runs: runs.into() }
    }

    /// The runs' lengths, with padding.
    pub fn lengths(&self) -> impl Iterator<Item = usize> {
        self.runs.iter().map(|&run| padded(run))
    }

    /// All values, with padding.
    pub fn len(&self) -> usize {
        self.lengths().sum()
    }

    /// For each place of the padded array, which value of the array without padding is there, if
    /// one is.
    pub fn sources(&self) -> Vec<Option<usize>> {
        let mut first = 0;
        let mut sources = Vec::with_capacity(self.len());
        for &run in &self.runs {
            sources.extend((0..padded(run)).map(|k| (k < run).then_some(first + k)));
            first += run;
        }
        sources
    }
}

/// Which segments of an update's second layer are used, and in which order. The last block's v
/// reaches no output, so what only changes v comes last and is left out there.
pub fn update_segments(update: &Update, last: bool) -> &'static [usize] {
    match (update, last) {
        (Update::Published { .. }, true) => &[0],
        (Update::Published { .. }, false) => &[0, 1, 2],
        // (a, c, b)
        (Update::Painn { .. }, true) => &[0, 2],
        (Update::Painn { .. }, false) => &[0, 2, 1],
    }
}

/// The second layer of `mlp`, whose outputs are these [`runs`], with those of them that are asked
/// for.
pub fn second_layer(mlp: &Mlp, runs: [usize; 3], segments: &[usize]) -> Linear {
    let start = |segment: usize| runs[..segment].iter().sum::<usize>();
    let outputs: Vec<usize> = segments
        .iter()
        .flat_map(|&segment| start(segment)..start(segment) + runs[segment])
        .collect();
    let inputs = mlp.second.inputs;
    let row = |o: &usize| &mlp.second.weight[o * inputs..(o + 1) * inputs];
    Linear {
        inputs,
        outputs: outputs.len(),
        weight: outputs.iter().flat_map(row).copied().collect(),
        bias: outputs.iter().map(|&o| mlp.second.bias[o]).collect(),
    }
}

/// What a block sends for an atom with the scalars `s`: its [`runs`], or s itself where senders
/// have no rows of their own.
pub fn sent(block: &Block, s: &[f64]) -> Vec<f64> {
    block.sender.as_ref().map_or_else(|| s.to_vec(), |sender| sender.apply(s))
}
