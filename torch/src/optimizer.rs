//! Muon for matrices (Jordan et al. 2024, kellerjordan.github.io/posts/muon), Adam for all other
//! numbers (Kingma and Ba 2015, arXiv 1412.6980), decoupled weight decay (Loshchilov and Hutter
//! 2019, arXiv 1711.05101), and averaged weights.
//!
//! State and weights are flat vectors: a file can hold them.

use std::collections::BTreeMap;

use tch::{Tensor, no_grad};

use crate::config::Training;
use crate::parameters::{Matrix, Parameters};

/// Decay of the running means of gradients and of their squares.
const BETAS: (f64, f64) = (0.95, 0.999);

/// Keeps steps finite where a gradient vanishes.
const TINY: f64 = 1e-8;

/// Root mean square of a matrix's step in units of the learning rate: that of Adam's steps, so that
/// one rate serves both (Liu et al. 2025, arXiv 2502.16982).
const STEP: f64 = 0.2;

/// State of the optimiser; all tensors have one value for each weight.
#[derive(Debug)]
pub struct Optimizer {
    /// Running mean of gradients.
    pub mean: Tensor,
    /// Running mean of their squares.
    pub square: Tensor,
    /// Exponential moving average of the weights.
    pub average: Tensor,
    /// Steps taken.
    pub steps: u64,
}

impl Optimizer {
    /// Before the first step.
    pub fn new(weights: &Tensor) -> Self {
        Self {
            mean: weights.zeros_like(),
            square: weights.zeros_like(),
            average: weights.copy(),
            steps: 0,
        }
    }

    /// The optimizer with its state on another device.
    pub fn to_device(&self, device: tch::Device) -> Self {
        Self {
            mean: self.mean.to_device(device),
            square: self.square.to_device(device),
            average: self.average.to_device(device),
            steps: self.steps,
        }
    }

    /// Takes a step along `gradient` with learning rate `rate`; returns the gradient's norm before
    /// it was cut.
    pub fn step(
        &mut self,
        weights: &mut Parameters,
        gradient: &Tensor,
        rate: f64,
        training: &Training,
    ) -> f64 {
        no_grad(|| {
            let norm = gradient.norm().double_value(&[]);
            if !norm.is_finite() {
                // One bad batch must not destroy the weights.
                return norm;
            }
            self.steps += 1;
            let gradient = gradient * (training.gradient_clip / norm).min(1.0);
            let steps = self.steps as i32;
            let _ = self.mean.lerp_(&gradient, 1.0 - BETAS.0);
            let _ = self.square.lerp_(&gradient.square(), 1.0 - BETAS.1);
            let root = (&self.square / (1.0 - BETAS.1.powi(steps))).sqrt() + TINY;
            let mut change = &self.mean / root / (1.0 - BETAS.0.powi(steps));
            // Nesterov's momentum: the mean as it will be if the gradient stays.
            let ahead = gradient.lerp(&self.mean, BETAS.0);
            replace_matrices(&mut change, &ahead, &weights.matrices);
            change += &weights.flat * &weights.decayed * training.weight_decay;
            let _ = weights.flat.subtract_(&(change * rate));
            // The first weights are forgotten sooner than the decay alone would.
            let average =
                training.average.min((1.0 + self.steps as f64) / (10.0 + self.steps as f64));
            let _ = self.average.lerp_(&weights.flat, 1.0 - average);
            norm
        })
    }
}

/// Writes the orthogonalised matrices of `momentum` to `change`, those of one shape together.
fn replace_matrices(change: &mut Tensor, momentum: &Tensor, matrices: &[Matrix]) {
    let mut by_shape: BTreeMap<(i64, i64), Vec<i64>> = BTreeMap::new();
    for &Matrix { at, rows, columns } in matrices {
        by_shape.entry((rows, columns)).or_default().push(at);
    }
    for ((rows, columns), places) in by_shape {
        let cut = |flat: &Tensor, at| flat.narrow(0, at, rows * columns).view([rows, columns]);
        let stack: Vec<Tensor> = places.iter().map(|&at| cut(momentum, at)).collect();
        let found = orthogonal(&Tensor::stack(&stack, 0));
        let found = found * (STEP * (rows.max(columns) as f64).sqrt());
        for (k, at) in places.into_iter().enumerate() {
            cut(change, at).copy_(&found.get(k as i64));
        }
    }
}

/// U Vᵀ, about, for each matrix U S Vᵀ of a stack: singular values come to between 0.7 and 1.2, by
/// Newton and Schulz' iteration with the coefficients of Jordan et al.
fn orthogonal(stack: &Tensor) -> Tensor {
    let tall = stack.size()[1] > stack.size()[2];
    let turn = |x: Tensor| if tall { x.transpose(1, 2).contiguous() } else { x };
    let x = turn(stack.shallow_clone());
    let mut x = &x / (x.square().sum_dim_intlist([1_i64, 2].as_slice(), true, None).sqrt() + TINY);
    for _ in 0..5 {
        let square = x.bmm(&x.transpose(1, 2));
        let odd = &square * -4.7750 + square.bmm(&square) * 2.0315;
        x = &x * 3.4445 + odd.bmm(&x);
    }
    turn(x)
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;
    use crate::config;
    use crate::trainable::TrainableModel;

    #[test]
    fn steps_of_matrices_have_like_singular_values_and_those_of_gradients_as_sides() {
        tch::manual_seed(3);
        for (rows, columns) in [(8, 8), (8, 3), (4, 16)] {
            let given = Tensor::randn([2, rows, columns], (Kind::Float, Device::Cpu)) * 1e-3;
            let (u, _, v) = given.svd(true, true);
            let found = u.transpose(1, 2).bmm(&orthogonal(&given)).bmm(&v);
            let sides = found.diagonal(0, 1, 2);
            let rest = &found - sides.diag_embed(0, 1, 2);
            assert!(sides.min().double_value(&[]) > 0.6, "{sides:?}");
            assert!(sides.max().double_value(&[]) < 1.3, "{sides:?}");
            assert!(rest.abs().max().double_value(&[]) < 1e-3, "{rest:?}");
        }
    }

    #[test]
    fn a_gradient_that_is_not_finite_changes_nothing() {
        let student =
            config::StudentConfig { hidden: 16, blocks: 1, ..config::StudentConfig::default() };
        let shape = TrainableModel::new(&student).unwrap().shape;
        let mut weights = Parameters::random(&shape, 1, Device::Cpu);
        let mut optimizer = Optimizer::new(&weights.flat);
        let training = Training::default();
        let gradient = weights.flat.ones_like();
        assert!(optimizer.step(&mut weights, &gradient, 1e-3, &training).is_finite());
        let state = |optimizer: &Optimizer, weights: &Parameters| {
            let Optimizer { mean, square, average, steps } = optimizer;
            ([mean, square, average, &weights.flat].map(Tensor::copy), *steps)
        };
        let before = state(&optimizer, &weights);
        let _ = gradient.get(3).fill_(f64::NAN);
        assert!(optimizer.step(&mut weights, &gradient, 1e-3, &training).is_nan());
        assert_eq!(state(&optimizer, &weights), before);
    }
}
