//! Every array of numbers in a model, by the name it has in model files.

use super::{Basis, Linear, Mlp, Model, Norm, Update};

/// Name of an array, its length in each dimension, and its values, last dimension fastest.
pub(super) type Array<'a> = (String, Vec<usize>, &'a [f64]);

impl Model {
    /// All arrays. Shapes are those the model's sizes ask for; [`Model::validate`] compares them
    /// with the values.
    pub(super) fn arrays(&self) -> Vec<Array<'_>> {
        let rows = self.reference_energies.len();
        let mut arrays: Vec<Array<'_>> = vec![
            ("embedding".to_string(), vec![rows, self.hidden], &self.embedding),
            ("reference_energies".to_string(), vec![rows], &self.reference_energies),
        ];
        let size = self.basis.len();
        match &self.basis {
            Basis::Gaussian { centers, exponents } => {
                arrays.push(("basis.centers".to_string(), vec![size], centers));
                arrays.push(("basis.exponents".to_string(), vec![size], exponents));
            }
            Basis::Bessel { frequencies } => {
                arrays.push(("basis.frequencies".to_string(), vec![size], frequencies));
            }
        }
        for (index, block) in self.blocks.iter().enumerate() {
            let name = |part: &str| format!("blocks.{index}.{part}");
            for (index, layer) in block.filter.layers.iter().enumerate() {
                push_linear(&mut arrays, &name(&format!("filter.{index}")), layer);
            }
            if let Some(mlp) = &block.sender {
                push_mlp(&mut arrays, &name("sender"), mlp);
            }
            match &block.update {
                Update::Published { mlp, mixing } => {
                    push_mlp(&mut arrays, &name("update"), mlp);
                    arrays.push((name("update.mixing"), vec![3, 3], mixing));
                }
                Update::Painn { channel_mix, mlp, norm } => {
                    push_mlp(&mut arrays, &name("update"), mlp);
                    // It has no bias.
                    arrays.push(weight(&name("update.channel_mix"), channel_mix));
                    let (Norm::Root { epsilon } | Norm::Shifted { epsilon }) = norm;
                    let epsilon = std::slice::from_ref(epsilon);
                    arrays.push((name("update.epsilon"), vec![], epsilon));
                }
            }
        }
        for (index, layer) in self.head.iter().enumerate() {
            push_linear(&mut arrays, &format!("head.{index}"), layer);
        }
        if let Some(repulsion) = &self.repulsion {
            arrays.push(("repulsion.radii".to_string(), vec![rows], &repulsion.radii));
            if repulsion.core != 0.0 {
                let core = std::slice::from_ref(&repulsion.core);
                arrays.push(("repulsion.core".to_string(), vec![], core));
            }
        }
        if let Some(range) = &self.energy_range {
            let bounds = range.bounds.as_flattened();
            arrays.push(("energy_range".to_string(), vec![rows, 2], bounds));
        }
        arrays
    }

    /// Bytes of all numbers.
    pub fn bytes(&self) -> usize {
        self.arrays().iter().map(|(_, _, values)| size_of_val(*values)).sum()
    }
}

fn weight<'a>(name: &str, layer: &'a Linear) -> Array<'a> {
    (format!("{name}.weight"), vec![layer.outputs, layer.inputs], &layer.weight)
}

fn push_linear<'a>(arrays: &mut Vec<Array<'a>>, name: &str, layer: &'a Linear) {
    arrays.push(weight(name, layer));
    arrays.push((format!("{name}.bias"), vec![layer.outputs], &layer.bias));
}

fn push_mlp<'a>(arrays: &mut Vec<Array<'a>>, name: &str, mlp: &'a Mlp) {
    push_linear(arrays, &format!("{name}.first"), &mlp.first);
    push_linear(arrays, &format!("{name}.second"), &mlp.second);
}
