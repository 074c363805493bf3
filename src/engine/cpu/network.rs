//! A model's dense layers, packed for the kernels.

use super::dense::Packed;
use super::records::Layout;
use super::simd::Vector;
use crate::engine::layers::{Padding, padded, runs, second_layer, update_segments};
use crate::error::Result;
use crate::model::{Mlp, Model, Norm, Update};

/// Two dense layers with silu between, and their reverse.
pub(super) struct PackedMlp<V> {
    pub(super) first: Packed<V>,
    pub(super) second: Packed<V>,
    pub(super) first_reverse: Packed<V>,
    pub(super) second_reverse: Packed<V>,
}

pub(super) enum PackedUpdate<V> {
    Published { mlp: PackedMlp<V>, mixing: [f32; 9] },
    Painn { mix: Packed<V>, mix_reverse: Packed<V>, mlp: PackedMlp<V>, norm: Norm },
}

pub(super) struct PackedBlock<V> {
    pub(super) sender: Option<PackedMlp<V>>,
    pub(super) update: PackedUpdate<V>,
}

/// A layer of the readout, but for the last.
pub(super) struct HeadLayer<V> {
    pub(super) forward: Packed<V>,
    pub(super) reverse: Packed<V>,
    /// Padded number of outputs.
    pub(super) width: usize,
}

/// A model's dense layers, ready for the kernels.
pub struct PackedNetwork<V> {
    pub(super) blocks: Vec<PackedBlock<V>>,
    pub(super) head: Vec<HeadLayer<V>>,
    /// Weights and bias of the readout's last layer, which gives one value in float64.
    pub(super) last: (Vec<f64>, f64),
    /// Channels and vectors, padded.
    pub(super) channels: usize,
    pub(super) vectors: usize,
}

impl<V: Vector> PackedMlp<V> {
    /// Of these input segments, and of those of its [`runs`] that are asked for.
    fn new(mlp: &Mlp, inputs: &[usize], runs: [usize; 3], outputs: &[usize]) -> Result<Self> {
        let second = second_layer(mlp, runs, outputs);
        let outputs: Vec<usize> = outputs.iter().map(|&output| runs[output]).collect();
        let (inputs, outputs) = (Padding::new(inputs), Padding::new(outputs));
        let hidden = Padding::new([mlp.second.inputs]);
        Ok(Self {
            first: Packed::new(&mlp.first, &inputs, &hidden)?,
            second: Packed::new(&second, &hidden, &outputs)?,
            first_reverse: Packed::transposed(&mlp.first, &hidden, &inputs)?,
            second_reverse: Packed::transposed(&second, &outputs, &hidden)?,
        })
    }

    fn memory(&self) -> usize {
        self.first.memory()
            + self.second.memory()
            + self.first_reverse.memory()
            + self.second_reverse.memory()
    }
}

impl<V: Vector> PackedNetwork<V> {
    /// Packs the layers of `model`.
    pub fn new(model: &Model) -> Result<Self> {
        let (h, g) = (model.hidden, model.vectors);
        let runs = runs(model);
        let last_block = model.blocks.len() - 1;
        let (vectors, mixed) = (Padding::new([g]), Padding::new([g, g]));
        let mut blocks = Vec::new();
        for (index, block) in model.blocks.iter().enumerate() {
            let sender = block
                .sender
                .as_ref()
                .map(|mlp| PackedMlp::new(mlp, &[h], runs, &[0, 1, 2]))
                .transpose()?;
            let gates = update_segments(&block.update, index == last_block);
            let update = match &block.update {
                Update::Published { mlp, mixing } => PackedUpdate::Published {
                    mlp: PackedMlp::new(mlp, &[h, g], runs, gates)?,
                    mixing: mixing.map(|x| x as f32),
                },
                Update::Painn { channel_mix, mlp, norm } => PackedUpdate::Painn {
                    mix: Packed::new(channel_mix, &vectors, &mixed)?,
                    mix_reverse: Packed::transposed(channel_mix, &mixed, &vectors)?,
                    mlp: PackedMlp::new(mlp, &[h, g], runs, gates)?,
                    norm: *norm,
                },
            };
            blocks.push(PackedBlock { sender, update });
        }
        let (last, layers) = model.head.split_last().expect("validated: a readout has a layer");
        let head = layers
            .iter()
            .map(|layer| {
                let [inputs, outputs] = [[layer.inputs], [layer.outputs]].map(Padding::new);
                Ok(HeadLayer {
                    forward: Packed::new(layer, &inputs, &outputs)?,
                    reverse: Packed::transposed(layer, &outputs, &inputs)?,
                    width: outputs.len(),
                })
            })
            .collect::<Result<_>>()?;
        let mut weights = last.weight.clone();
        weights.resize(padded(last.inputs), 0.0);
        let last = (weights, last.bias[0]);
        Ok(Self { blocks, head, last, channels: padded(h), vectors: padded(g) })
    }

    /// Where records are in a chunk of so many rows.
    pub fn layout(&self, rows: usize) -> Layout {
        let (channels, vectors) = (self.channels, self.vectors);
        Layout { rows, channel_groups: channels / V::LANES, vector_groups: vectors / V::LANES }
    }

    /// Bytes allocated.
    pub fn memory(&self) -> usize {
        let blocks = self.blocks.iter().map(|block| {
            block.sender.as_ref().map_or(0, PackedMlp::memory)
                + match &block.update {
                    PackedUpdate::Published { mlp, .. } => mlp.memory(),
                    PackedUpdate::Painn { mix, mix_reverse, mlp, .. } => {
                        mix.memory() + mix_reverse.memory() + mlp.memory()
                    }
                }
        });
        let head = self.head.iter().map(|layer| layer.forward.memory() + layer.reverse.memory());
        blocks.sum::<usize>() + head.sum::<usize>()
    }
}
