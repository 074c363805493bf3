//! A model's dense layers as the fast engines take them: runs of channels padded to whole vectors, and
//! only those outputs that reach the energy. Also how wide their records are: what they hold of each atom
//! and channel.

use crate::model::{Architecture, Block, Linear, Mlp, Model, Update};

/// A number of channels in whole vectors of every instruction set, and whole slices of a GPU.
pub fn padded(channels: usize) -> usize {
    channels.next_multiple_of(16)
}

/// Of the state: s, v.
pub const STATE: usize = 4;

/// Of what an atom sends: x¹, x², x³, v from a sender, else s, v.
pub const fn feature_width(sender: bool) -> usize {
    if sender { 6 } else { 4 }
}

/// Of what a message in reverse gives: x̄¹, Σ φ² v̄ and, from a sender, x̄³.
pub const fn received_width(sender: bool) -> usize {
    if sender { 5 } else { 4 }
}

/// Of what an update of `published` keeps from forward to reverse: silu' of the update, two gates.
pub const PUBLISHED_KEPT: usize = 3;

/// Of `painn`: the same, V, W and silu' of the sender.
pub const PAINN_KEPT: usize = 10;

/// Of a model.
pub fn kept_width(model: &Model) -> usize {
    match model.architecture {
        Architecture::Published => PUBLISHED_KEPT,
        Architecture::Painn => PAINN_KEPT,
    }
}

/// Where the values of a padded array of channels come from: `segments` runs of `used` values,
/// each padded with zeros to `padded`.
#[derive(Clone, Copy)]
pub struct Padding {
    /// How many runs.
    pub segments: usize,
    /// Values in a run.
    pub used: usize,
    /// Values in a run, with padding: a multiple of 16.
    pub padded: usize,
}

impl Padding {
    /// `segments` runs of `used` values.
    pub fn new(segments: usize, used: usize) -> Self {
        Self { segments, used, padded: padded(used) }
    }

    /// All values, with padding.
    pub fn len(self) -> usize {
        self.segments * self.padded
    }

    /// Which value of the array without padding is at `index`, if one is.
    pub fn source(self, index: usize) -> Option<usize> {
        let (segment, channel) = (index / self.padded, index % self.padded);
        (channel < self.used).then_some(segment * self.used + channel)
    }
}

/// Which segments of an update's second layer are used, and in which order. The last block's v reaches
/// no output, so what only changes v comes last and is left out there.
pub fn update_segments(update: &Update, last: bool) -> &'static [usize] {
    match (update, last) {
        (Update::Published { .. }, true) => &[0],
        (Update::Published { .. }, false) => &[0, 1, 2],
        // (a, c, b)
        (Update::Painn { .. }, true) => &[0, 2],
        (Update::Painn { .. }, false) => &[0, 2, 1],
    }
}

/// The second layer of `mlp` with those of its output segments, of `hidden` values each, that are asked
/// for.
pub fn second_layer(mlp: &Mlp, hidden: usize, segments: &[usize]) -> Linear {
    let outputs: Vec<usize> =
        segments.iter().flat_map(|segment| segment * hidden..(segment + 1) * hidden).collect();
    let row = |o: &usize| &mlp.second.weight[o * hidden..(o + 1) * hidden];
    Linear {
        inputs: mlp.second.inputs,
        outputs: outputs.len(),
        weight: outputs.iter().flat_map(row).copied().collect(),
        bias: outputs.iter().map(|&o| mlp.second.bias[o]).collect(),
    }
}

/// What a block sends for an atom with the scalars `s`: 3·hidden values, or s itself where senders have
/// no rows of their own.
pub fn sent(block: &Block, s: &[f64]) -> Vec<f64> {
    block.sender.as_ref().map_or_else(|| s.to_vec(), |sender| sender.apply(s))
}
