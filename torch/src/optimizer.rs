//! AdamW (Loshchilov and Hutter 2019, arXiv 1711.05101) and averaged weights, on flat vectors: a few
//! operations a step, and a state that a file can hold.

use tch::{Tensor, no_grad};

/// Decay of the running means of gradients and of their squares.
const BETAS: (f64, f64) = (0.9, 0.999);

/// Keeps steps finite where a gradient vanishes.
const TINY: f64 = 1e-8;

/// State of the optimiser; all tensors have one value for each weight.
#[derive(Debug)]
pub struct AdamW {
    /// Running mean of gradients.
    pub mean: Tensor,
    /// Running mean of their squares.
    pub square: Tensor,
    /// Exponential moving average of the weights.
    pub average: Tensor,
    /// Steps taken.
    pub steps: u64,
}

impl AdamW {
    /// Before the first step.
    pub fn new(weights: &Tensor) -> Self {
        Self {
            mean: weights.zeros_like(),
            square: weights.zeros_like(),
            average: weights.copy(),
            steps: 0,
        }
    }

    /// The same on another device.
    pub fn to_device(&self, device: tch::Device) -> Self {
        Self {
            mean: self.mean.to_device(device),
            square: self.square.to_device(device),
            average: self.average.to_device(device),
            steps: self.steps,
        }
    }

    /// Takes a step along `gradient`, whose norm is cut at `clip`; returns that norm as it was.
    /// `decayed` is 1 where a weight decays by `decay` × `rate`.
    pub fn step(
        &mut self,
        weights: &mut Tensor,
        gradient: &Tensor,
        rate: f64,
        (decay, decayed): (f64, &Tensor),
        clip: f64,
        average: f64,
    ) -> f64 {
        self.steps += 1;
        no_grad(|| {
            let norm = gradient.norm().double_value(&[]);
            if !norm.is_finite() {
                // One bad batch must not destroy the weights.
                return norm;
            }
            let gradient = gradient * (clip / norm).min(1.0);
            let steps = self.steps as i32;
            let _ = self.mean.lerp_(&gradient, 1.0 - BETAS.0);
            let _ = self.square.lerp_(&gradient.square(), 1.0 - BETAS.1);
            let scale = rate / (1.0 - BETAS.0.powi(steps));
            let root = (&self.square / (1.0 - BETAS.1.powi(steps))).sqrt() + TINY;
            let change = &self.mean / root * scale + &*weights * decayed * (rate * decay);
            let _ = weights.subtract_(&change);
            // The first weights are forgotten sooner than the decay alone would.
            let average = average.min((1.0 + self.steps as f64) / (10.0 + self.steps as f64));
            let _ = self.average.lerp_(weights, 1.0 - average);
            norm
        })
    }
}
