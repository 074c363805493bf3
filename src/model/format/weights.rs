//! Tensors on their way into a model: taken by name, with the shape they must have.

use std::collections::BTreeMap;

use super::tensors::{Tensor, list};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Linear, Mlp};

/// The tensors of one network; what is left at the end is unknown.
pub struct Weights {
    /// Who names tensors like this, for messages.
    layout: &'static str,
    tensors: BTreeMap<String, Tensor>,
}

impl Weights {
    pub fn new(layout: &'static str, tensors: BTreeMap<String, Tensor>) -> Self {
        Self { layout, tensors }
    }

    pub fn has(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// Takes a tensor of as many dimensions as `shape` has, each of the given length or any.
    pub fn take(&mut self, name: &str, shape: &[Option<usize>]) -> Result<Tensor> {
        let Some(tensor) = self.tensors.remove(name) else {
            return Err(Error::new(
                ErrorKind::Format,
                format!(
                    "the tensor names are those of {}, but {name} is missing: save the whole \
                     state dict",
                    self.layout
                ),
            ));
        };
        let fits = tensor.shape.len() == shape.len()
            && tensor.shape.iter().zip(shape).all(|(&found, expected)| match expected {
                Some(expected) => found == *expected,
                None => found > 0,
            });
        if !fits {
            let expected: Vec<String> = shape
                .iter()
                .map(|length| length.map_or("any".to_string(), |length| length.to_string()))
                .collect();
            return Err(Error::new(
                ErrorKind::Format,
                format!(
                    "{name}: expected shape [{}] (as the other tensors' shapes require), found \
                     {:?}: the tensors do not belong to one network",
                    expected.join(", "),
                    tensor.shape
                ),
            ));
        }
        if let Some(at) = tensor.values.iter().position(|value| !value.is_finite()) {
            return Err(Error::new(
                ErrorKind::Numeric,
                format!(
                    "{name}: expected finite numbers, found {} at index {:?}: the training \
                     diverged or the file is damaged, use another checkpoint",
                    tensor.values[at],
                    index_of(at, &tensor.shape)
                ),
            ));
        }
        Ok(tensor)
    }

    pub fn vector(&mut self, name: &str, length: Option<usize>) -> Result<Vec<f64>> {
        Ok(self.take(name, &[length])?.values)
    }

    /// A vector, or a matrix of one column.
    pub fn column(&mut self, name: &str) -> Result<Vec<f64>> {
        let is_matrix = self.tensors.get(name).is_some_and(|tensor| tensor.shape.len() == 2);
        let shape: &[_] = if is_matrix { &[None, Some(1)] } else { &[None] };
        Ok(self.take(name, shape)?.values)
    }

    /// A tensor of one number, in however many dimensions.
    pub fn scalar(&mut self, name: &str) -> Result<f64> {
        let shape = self.tensors.get(name).map_or(Vec::new(), |tensor| tensor.shape.clone());
        let ones: Vec<_> = shape.iter().map(|_| Some(1)).collect();
        Ok(self.take(name, &ones)?.values[0])
    }

    /// Rows × columns, whatever they are.
    pub fn matrix(&mut self, name: &str) -> Result<(usize, usize, Vec<f64>)> {
        let tensor = self.take(name, &[None, None])?;
        Ok((tensor.shape[0], tensor.shape[1], tensor.values))
    }

    /// `{name}.weight` and `{name}.bias`.
    pub fn linear(
        &mut self,
        name: &str,
        inputs: Option<usize>,
        outputs: Option<usize>,
    ) -> Result<Linear> {
        let weight = self.take(&format!("{name}.weight"), &[outputs, inputs])?;
        let (outputs, inputs) = (weight.shape[0], weight.shape[1]);
        let bias = self.vector(&format!("{name}.bias"), Some(outputs))?;
        Ok(Linear { inputs, outputs, weight: weight.values, bias })
    }

    /// `{name}.weight` alone.
    pub fn linear_without_bias(
        &mut self,
        name: &str,
        inputs: usize,
        outputs: usize,
    ) -> Result<Linear> {
        let weight = self.take(&format!("{name}.weight"), &[Some(outputs), Some(inputs)])?.values;
        Ok(Linear { inputs, outputs, weight, bias: vec![0.0; outputs] })
    }

    /// inputs → hidden → outputs.
    pub fn mlp(
        &mut self,
        [first, second]: [&str; 2],
        inputs: usize,
        hidden: usize,
        outputs: usize,
    ) -> Result<Mlp> {
        Ok(Mlp {
            first: self.linear(first, Some(inputs), Some(hidden))?,
            second: self.linear(second, Some(hidden), Some(outputs))?,
        })
    }

    /// `{name}.0`, `{name}.{step}`, `{name}.{2 · step}`, …, as many as there are; the last one
    /// must have `outputs`.
    pub fn layers(
        &mut self,
        name: &str,
        step: usize,
        inputs: usize,
        outputs: usize,
    ) -> Result<Vec<Linear>> {
        let name_dot = format!("{name}.");
        let mut numbers = self.between(&name_dot, ".weight");
        numbers.extend(self.between(&name_dot, ".bias"));
        let last = numbers.iter().filter_map(|number| number.parse().ok()).max().unwrap_or(0);
        let mut layers = Vec::new();
        let mut inputs = inputs;
        for number in (0..=last).step_by(step) {
            let is_last = number + step > last;
            let layer = format!("{name}.{number}");
            let layer = self.linear(&layer, Some(inputs), is_last.then_some(outputs))?;
            inputs = layer.outputs;
            layers.push(layer);
        }
        Ok(layers)
    }

    /// How many of `{name}.0.*`, `{name}.1.*`, … there are.
    pub fn count(&self, name: &str) -> usize {
        (0..).take_while(|index| self.has_any(&format!("{name}.{index}."))).count()
    }

    fn has_any(&self, prefix: &str) -> bool {
        self.tensors
            .range(prefix.to_string()..)
            .next()
            .is_some_and(|(name, _)| name.starts_with(prefix))
    }

    /// What stands between `before` and `after` in names.
    pub fn between(&self, before: &str, after: &str) -> Vec<String> {
        self.tensors
            .keys()
            .filter_map(|name| name.strip_prefix(before)?.strip_suffix(after).map(str::to_string))
            .collect()
    }

    /// Complains about tensors that nobody took.
    pub fn finish(self) -> Result<()> {
        if self.tensors.is_empty() {
            return Ok(());
        }
        let names: Vec<&String> = self.tensors.keys().collect();
        Err(Error::new(
            ErrorKind::Format,
            format!(
                "the tensor names are those of {}, which has nothing called {}: the network \
                 differs from the ones that can be evaluated here",
                self.layout,
                list(&names)
            ),
        ))
    }
}

/// The index of a value in each dimension.
fn index_of(at: usize, shape: &[usize]) -> Vec<usize> {
    let mut rest = at;
    let mut index: Vec<usize> = shape
        .iter()
        .rev()
        .map(|&length| {
            let here = rest % length;
            rest /= length;
            here
        })
        .collect();
    index.reverse();
    index
}
