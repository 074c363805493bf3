//! A model's dense layers in a device's memory.

use std::sync::Arc;

use super::arguments::{Atoms, HEAD, Head, Linear, Mlp};
use super::device::{Array, Device};
use crate::engine::layers::{Padding, padded, second_layer, update_segments};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{self, Model, Norm, Update};

/// What the kernels of atoms take for each block; the arrays of a step are still to be filled in.
pub struct DeviceNetwork {
    /// For each block: its update, and the sender of the block behind it.
    pub blocks: Vec<Atoms>,
    /// Channels in shared memory, in front of what is there for parts of sums.
    pub room: usize,
    weights: Array<f32>,
    last: Array<f64>,
}

/// Where a layer's weights begin in the array of all; addresses are known when it is complete.
#[derive(Default)]
struct Packer {
    weights: Vec<f32>,
}

impl Packer {
    /// y = W x + b, as inputs × outputs.
    fn forward(&mut self, layer: &model::Linear, inputs: &Padding, outputs: &Padding) -> Linear {
        let at = |i: usize, o: usize| layer.weight[o * layer.inputs + i];
        let mut linear = self.matrix(inputs, outputs, at);
        if layer.bias.iter().any(|&b| b != 0.0) {
            // Index 0 is the first layer's weight, so no bias is at 0.
            linear.bias = self.weights.len() as u64;
            let bias = |o: Option<usize>| o.map_or(0.0, |o| layer.bias[o] as f32);
            self.weights.extend(outputs.sources().into_iter().map(bias));
        }
        linear
    }

    /// Wᵀ y: `inputs` describes y, `outputs` x.
    fn reverse(&mut self, layer: &model::Linear, inputs: &Padding, outputs: &Padding) -> Linear {
        self.matrix(inputs, outputs, |i, o| layer.weight[i * layer.inputs + o])
    }

    fn matrix(
        &mut self,
        inputs: &Padding,
        outputs: &Padding,
        at: impl Fn(usize, usize) -> f64,
    ) -> Linear {
        let weight = self.weights.len() as u64;
        let sources = outputs.sources();
        for i in inputs.sources() {
            self.weights.extend(sources.iter().map(|&o| match (i, o) {
                (Some(i), Some(o)) => at(i, o) as f32,
                _ => 0.0,
            }));
        }
        Linear { weight, bias: 0, inputs: inputs.len() as i32, outputs: outputs.len() as i32 }
    }

    /// `inputs` and `outputs` are segments of `hidden` values.
    fn mlp(&mut self, mlp: &model::Mlp, hidden: usize, inputs: usize, outputs: &[usize]) -> Mlp {
        let second = second_layer(mlp, [hidden; 3], outputs);
        let run = |segments| Padding::new(vec![hidden; segments]);
        let (inputs, hidden, outputs) = (run(inputs), run(1), run(outputs.len()));
        Mlp {
            first: self.forward(&mlp.first, &inputs, &hidden),
            second: self.forward(&second, &hidden, &outputs),
            second_reverse: self.reverse(&second, &outputs, &hidden),
            first_reverse: self.reverse(&mlp.first, &hidden, &inputs),
        }
    }
}

impl DeviceNetwork {
    /// Packs the layers of `model`.
    pub fn new(device: &Arc<dyn Device>, model: &Model) -> Result<Self> {
        let h = model.hidden;
        let mut packer = Packer::default();
        let (top, layers) = model.head.split_last().expect("validated: a readout has a layer");
        if layers.len() > HEAD {
            return Err(Error::new(
                ErrorKind::Unsupported,
                format!(
                    "expected a readout of at most {} layers with device cuda, found {}: use \
                     device cpu",
                    HEAD + 1,
                    layers.len() + 1
                ),
            ));
        }
        let mut head = Head { bias: top.bias[0], layers: layers.len() as i32, ..Head::default() };
        head.inputs = padded(top.inputs) as i32;
        for (k, layer) in layers.iter().enumerate() {
            let [inputs, outputs] = &[[layer.inputs], [layer.outputs]].map(Padding::new);
            head.forward[k] = packer.forward(layer, inputs, outputs);
            head.reverse[k] = packer.reverse(layer, outputs, inputs);
        }
        let mut weights = top.weight.clone();
        weights.resize(padded(top.inputs), 0.0);
        let last = Array::of(device, &weights)?;
        head.weights = last.address();

        let channels = padded(h);
        let head_width: usize = layers.iter().map(|layer| padded(layer.outputs)).sum();
        let room = (4 * channels).max(channels + 2 * head_width);
        let mut blocks = Vec::new();
        for (index, block) in model.blocks.iter().enumerate() {
            let next = model.blocks.get(index + 1);
            let segments = update_segments(&block.update, next.is_none());
            let sender = next
                .and_then(|next| next.sender.as_ref())
                .map_or_else(Mlp::default, |mlp| packer.mlp(mlp, h, 1, &[0, 1, 2]));
            let mut atoms = Atoms {
                sender,
                head,
                channels: channels as i32,
                room: room as i32,
                ..Atoms::default()
            };
            match &block.update {
                Update::Published { mlp, mixing } => {
                    atoms.update = packer.mlp(mlp, h, 2, segments);
                    atoms.mixing = mixing.map(|x| x as f32);
                }
                Update::Painn { channel_mix, mlp, norm } => {
                    atoms.update = packer.mlp(mlp, h, 2, segments);
                    let (vectors, mixed) = (Padding::new([h]), Padding::new([h, h]));
                    atoms.mix = packer.forward(channel_mix, &vectors, &mixed);
                    atoms.mix_reverse = packer.reverse(channel_mix, &mixed, &vectors);
                    atoms.under_root = norm.under_root() as f32;
                    if let Norm::Shifted { epsilon } = norm {
                        atoms.epsilon = *epsilon as f32;
                        atoms.shifted = 1;
                    }
                }
            }
            blocks.push(atoms);
        }
        let weights = Array::of(device, &packer.weights)?;
        for atoms in &mut blocks {
            let place = |linear: &mut Linear| linear.place(weights.address());
            [&mut atoms.mix, &mut atoms.mix_reverse].into_iter().for_each(place);
            for mlp in [&mut atoms.update, &mut atoms.sender] {
                let Mlp { first, second, second_reverse, first_reverse } = mlp;
                [first, second, second_reverse, first_reverse].into_iter().for_each(place);
            }
            let Head { forward, reverse, .. } = &mut atoms.head;
            forward.iter_mut().chain(reverse).for_each(place);
        }
        Ok(Self { blocks, room, weights, last })
    }

    /// Bytes allocated.
    pub fn memory(&self) -> usize {
        self.weights.memory() + self.last.memory()
    }
}

impl Linear {
    /// Turns indices of an array into addresses.
    fn place(&mut self, array: u64) {
        if self.outputs > 0 {
            self.weight = array + 4 * self.weight;
            if self.bias > 0 {
                self.bias = array + 4 * self.bias;
            }
        }
    }
}
