//! Other shapes for a student: as many vectors as it has channels, or fewer than it has; more
//! blocks.

use super::{Block, Linear, Mlp, Model, Update};

impl Linear {
    /// With zeros behind each run of outputs and of inputs, which `outputs` and `inputs` give as
    /// [now, then].
    fn spread(&self, outputs: &[[usize; 2]], inputs: &[[usize; 2]]) -> Self {
        let mut wide = Self {
            inputs: inputs.iter().map(|run| run[1]).sum(),
            outputs: outputs.iter().map(|run| run[1]).sum(),
            weight: Vec::new(),
            bias: Vec::new(),
        };
        let mut row = 0;
        for &[now, then] in outputs {
            for _ in 0..now {
                let mut column = row * self.inputs;
                for &[now, then] in inputs {
                    wide.weight.extend_from_slice(&self.weight[column..column + now]);
                    wide.weight.resize(wide.weight.len() + then - now, 0.0);
                    column += now;
                }
                row += 1;
            }
            wide.bias.extend_from_slice(&self.bias[row - now..row]);
            wide.bias.resize(wide.bias.len() + then - now, 0.0);
            wide.weight.resize(wide.weight.len() + (then - now) * wide.inputs, 0.0);
        }
        wide
    }

    /// These outputs and inputs alone, in this order.
    fn chosen(&self, outputs: &[usize], inputs: &[usize]) -> Self {
        let row = |&o: &usize| inputs.iter().map(move |i| self.weight[o * self.inputs + i]);
        Self {
            inputs: inputs.len(),
            outputs: outputs.len(),
            weight: outputs.iter().flat_map(row).collect(),
            bias: outputs.iter().map(|&o| self.bias[o]).collect(),
        }
    }
}

impl Model {
    /// The same student with as many vectors as channels. For engines whose kernels know no others.
    pub fn widened(&self) -> Self {
        let h = self.hidden;
        let (channels, vectors) = ([h, h], [self.vectors, h]);
        let gates = [channels, vectors, vectors];
        let layer = |layer: &Linear, outputs: &[[usize; 2]]| {
            layer.spread(outputs, &[[layer.inputs, layer.inputs]])
        };
        let mut wide = Self { vectors: h, ..self.clone() };
        for Block { filter, sender, update } in &mut wide.blocks {
            if let Some(last) = filter.layers.last_mut() {
                *last = layer(last, &gates);
            }
            if let Some(Mlp { second, .. }) = sender {
                *second = layer(second, &gates);
            }
            let (Update::Painn { mlp, .. } | Update::Published { mlp, .. }) = update;
            mlp.first = mlp.first.spread(&[channels], &[channels, vectors]);
            mlp.second = layer(&mlp.second, &gates);
            if let Update::Painn { channel_mix, .. } = update {
                *channel_mix = channel_mix.spread(&[vectors, vectors], &[vectors]);
            }
        }
        wide
    }

    /// The student without the vectors that are not in `kept`, numbers below `vectors`. It computes
    /// something else, and has to be trained further.
    ///
    /// Scalars change places, since an update adds products of vectors to the first ones.
    pub fn with_vectors(&self, kept: &[usize]) -> Self {
        let (h, g) = (self.hidden, self.vectors);
        let scalars: Vec<usize> =
            kept.iter().copied().chain((0..h).filter(|c| !kept.contains(c))).collect();
        let behind = |start: usize| kept.iter().map(move |c| start + c);
        let gates: Vec<usize> =
            scalars.iter().copied().chain(behind(h)).chain(behind(h + g)).collect();
        let features: Vec<usize> = scalars.iter().copied().chain(behind(h)).collect();
        let mixed: Vec<usize> = kept.iter().copied().chain(behind(g)).collect();
        let outputs = |layer: &Linear, places: &[usize]| {
            layer.chosen(places, &(0..layer.inputs).collect::<Vec<_>>())
        };
        let inputs = |layer: &Linear, places: &[usize]| {
            layer.chosen(&(0..layer.outputs).collect::<Vec<_>>(), places)
        };
        let mut narrow = Self { vectors: kept.len(), ..self.clone() };
        for row in narrow.embedding.chunks_exact_mut(h) {
            let before = row.to_vec();
            row.iter_mut().zip(&scalars).for_each(|(value, &c)| *value = before[c]);
        }
        for Block { filter, sender, update } in &mut narrow.blocks {
            if let Some(last) = filter.layers.last_mut() {
                *last = outputs(last, &gates);
            }
            if let Some(Mlp { first, second }) = sender {
                *first = inputs(first, &scalars);
                *second = outputs(second, &gates);
            }
            let (Update::Painn { mlp, .. } | Update::Published { mlp, .. }) = update;
            mlp.first = inputs(&mlp.first, &features);
            mlp.second = outputs(&mlp.second, &gates);
            if let Update::Painn { channel_mix, .. } = update {
                *channel_mix = channel_mix.chosen(&mixed, kept);
            }
        }
        if let Some(first) = narrow.head.first_mut() {
            *first = inputs(first, &scalars);
        }
        narrow
    }

    /// The student with blocks behind its last one that change nothing at first: copies of that one
    /// whose filters, and second layers of whose updates, are zero. To be trained further.
    pub fn with_blocks(&self, blocks: usize) -> Self {
        let mut deep = self.clone();
        let Some(last) = self.blocks.last() else { return deep };
        let mut silent = last.clone();
        let zero = |layer: &mut Linear| {
            layer.weight.fill(0.0);
            layer.bias.fill(0.0);
        };
        if let Some(layer) = silent.filter.layers.last_mut() {
            zero(layer);
        }
        let (Update::Painn { mlp, .. } | Update::Published { mlp, .. }) = &mut silent.update;
        zero(&mut mlp.second);
        deep.blocks.resize(blocks.max(self.blocks.len()), silent);
        deep
    }
}
