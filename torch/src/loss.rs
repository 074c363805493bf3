//! What training makes small.

use tch::{Kind, Tensor};

use crate::batch::Batch;
use crate::config::Loss;
use crate::network::Prediction;

/// Sums of absolute errors, and how many there were.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Errors {
    /// Σ |ΔF| over components (eV/Å).
    pub force: f64,
    /// Components.
    pub components: f64,
    /// Σ |ΔE| per atom (eV).
    pub energy: f64,
    /// Structures.
    pub structures: f64,
    /// Σ |Δσ| over components of periodic structures (eV/Å³).
    pub stress: f64,
    /// Components.
    pub stress_components: f64,
}

impl Errors {
    /// All sums and counts.
    pub fn numbers(&self) -> [f64; 6] {
        let Self { force, components, energy, structures, stress, stress_components } = *self;
        [force, components, energy, structures, stress, stress_components]
    }

    /// The reverse of [`Self::numbers`].
    pub fn from_numbers(numbers: [f64; 6]) -> Self {
        let [force, components, energy, structures, stress, stress_components] = numbers;
        Self { force, components, energy, structures, stress, stress_components }
    }

    /// The errors of a prediction, summed over a batch.
    pub fn of(found: &Prediction, batch: &Batch) -> Self {
        let sum = |tensor: Tensor| tensor.abs().sum(Kind::Double).double_value(&[]);
        let volume = batch.volume.view([-1, 1, 1]);
        let labelled = batch.volume.isfinite().sum(Kind::Double).double_value(&[]);
        Self {
            force: sum(&found.forces - &batch.forces),
            components: batch.forces.numel() as f64,
            energy: sum((&found.energy - &batch.energy) / &batch.atoms),
            structures: batch.structures() as f64,
            stress: sum((&found.strain - &batch.strain) / volume),
            stress_components: 9.0 * labelled,
        }
    }

    /// Adds those of another batch.
    pub fn add(&mut self, other: &Self) {
        self.force += other.force;
        self.components += other.components;
        self.energy += other.energy;
        self.structures += other.structures;
        self.stress += other.stress;
        self.stress_components += other.stress_components;
    }

    /// Mean absolute error of force components (eV/Å).
    pub fn force_mae(&self) -> f64 {
        self.force / self.components.max(1.0)
    }

    /// Mean absolute error of the energy per atom (eV).
    pub fn energy_mae(&self) -> f64 {
        self.energy / self.structures.max(1.0)
    }

    /// Mean absolute error of stress components (eV/Å³).
    pub fn stress_mae(&self) -> f64 {
        self.stress / self.stress_components.max(1.0)
    }
}

impl Loss {
    /// Weight of energies when `progress` (0 to 1) of the samples has been seen.
    pub fn energy_weight(&self, progress: f64) -> f64 {
        let last_third = (3.0 * progress - 2.0).clamp(0.0, 1.0);
        self.energy + (self.energy_end - self.energy) * last_third
    }

    /// The loss of a batch, each part a mean over what it counts.
    pub fn of(&self, found: &Prediction, batch: &Batch, progress: f64) -> Tensor {
        let force = (&found.forces - &batch.forces).square().sum_dim_intlist(1, false, None);
        let energy = ((&found.energy - &batch.energy) / &batch.atoms).square();
        let strain = (&found.strain - &batch.strain) / batch.volume.view([-1, 1, 1]);
        let kind = energy.kind();
        let periodic = batch.volume.isfinite().sum(kind).clamp_min(1.0);
        huber(&force, self.force_huber).mean(kind) * self.force
            + huber(&energy, self.energy_huber).mean(kind) * self.energy_weight(progress)
            + huber(&strain.square(), self.stress_huber).sum(kind) / (periodic * 9.0) * self.stress
    }
}

/// Of errors given as squares: |e| − δ/2, and e²/2δ below δ.
fn huber(square: &Tensor, delta: f64) -> Tensor {
    let large = square.clamp_min(delta * delta).sqrt() - 0.5 * delta;
    (square / (2.0 * delta)).where_self(&square.lt(delta * delta), &large)
}
