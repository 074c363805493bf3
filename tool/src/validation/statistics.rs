//! Sums over errors, and what follows from them.

use serde::Serialize;

use super::{Compared, SHORTEST_FORCE};
use mlff_student::vector::{cross, dot, norm};

/// Errors over a set of frames or atoms.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Errors {
    /// Frames that contribute.
    pub frames: usize,
    /// Atoms whose forces contribute.
    pub atoms: usize,
    /// Student minus label, as they are.
    pub energy: EnergyErrors,
    /// The same after one energy per element was added to the student's, fitted on all frames:
    /// what is left where teachers or their reference energies differ.
    pub energy_fitted_references: EnergyErrors,
    /// Of the forces.
    pub forces: ForceErrors,
    /// Of stresses, where frames are periodic in three directions and have one.
    pub stress: Option<StressErrors>,
}

/// Per atom of the frame, each frame counted once.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EnergyErrors {
    /// Mean absolute error.
    pub mae_mev_per_atom: f64,
    /// Root mean square error.
    pub rmse_mev_per_atom: f64,
    /// Mean of student minus label.
    pub mean_mev_per_atom: f64,
}

/// Over x, y and z of each atom.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ForceErrors {
    /// Mean absolute error.
    pub mae_ev_per_angstrom: f64,
    /// Root mean square error.
    pub rmse_ev_per_angstrom: f64,
    /// 1 − Σ(error²) / Σ((label − mean label)²); none where all labels are equal.
    pub r2: Option<f64>,
    /// Mean angle between the student's force and the label's, where that is longer than
    /// [`SHORTEST_FORCE`]; a force of zero counts as 90°.
    pub mean_angle_degrees: Option<f64>,
    /// Forces whose angle was taken.
    pub angles: usize,
    /// Mean absolute label, to compare with.
    pub mean_absolute_label_ev_per_angstrom: f64,
}

/// Over the nine components.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StressErrors {
    /// Frames that contribute.
    pub frames: usize,
    /// Mean absolute error.
    pub mae_mev_per_cubic_angstrom: f64,
    /// The same in GPa.
    pub mae_gpa: f64,
    /// Root mean square error.
    pub rmse_mev_per_cubic_angstrom: f64,
}

/// GPa in one eV/Å³: the elementary charge, 1.602176634e-19 C, times 1e30 / 1e9.
const GPA: f64 = 160.217_663_4;

/// Sums of numbers.
#[derive(Clone, Copy, Default)]
struct Sums {
    count: usize,
    sum: f64,
    absolute: f64,
    squares: f64,
}

impl Sums {
    fn add(&mut self, value: f64) {
        self.count += 1;
        self.sum += value;
        self.absolute += value.abs();
        self.squares += value * value;
    }

    fn mean(&self, sum: f64) -> f64 {
        if self.count == 0 { 0.0 } else { sum / self.count as f64 }
    }

    fn mae(&self) -> f64 {
        self.mean(self.absolute)
    }

    fn rmse(&self) -> f64 {
        self.mean(self.squares).sqrt()
    }
}

impl Errors {
    /// Over all atoms of these frames.
    pub(super) fn of(pairs: &[Compared<'_>]) -> Self {
        Self::of_atoms(pairs, |_| true)
    }

    /// Over these frames, forces of those atoms only whose element `counts`.
    pub(super) fn of_atoms(pairs: &[Compared<'_>], counts: impl Fn(u8) -> bool) -> Self {
        let (mut energy, mut referenced) = (Sums::default(), Sums::default());
        let (mut forces, mut stress) = (Forces::default(), Sums::default());
        for pair in pairs {
            energy.add(pair.energy_error());
            referenced.add(pair.energy_error_referenced());
            for (_, label, found) in pair.forces().filter(|(z, ..)| counts(*z)) {
                forces.add(label, found);
            }
            for (label, found) in pair.stress() {
                stress.add(found - label);
            }
        }
        Self {
            frames: pairs.len(),
            atoms: forces.errors.count / 3,
            energy: EnergyErrors::of(&energy),
            energy_fitted_references: EnergyErrors::of(&referenced),
            forces: forces.errors(),
            stress: (stress.count > 0).then(|| StressErrors {
                frames: stress.count / 9,
                mae_mev_per_cubic_angstrom: 1000.0 * stress.mae(),
                mae_gpa: GPA * stress.mae(),
                rmse_mev_per_cubic_angstrom: 1000.0 * stress.rmse(),
            }),
        }
    }
}

impl EnergyErrors {
    fn of(sums: &Sums) -> Self {
        Self {
            mae_mev_per_atom: 1000.0 * sums.mae(),
            rmse_mev_per_atom: 1000.0 * sums.rmse(),
            mean_mev_per_atom: 1000.0 * sums.mean(sums.sum),
        }
    }
}

#[derive(Default)]
struct Forces {
    errors: Sums,
    labels: Sums,
    /// Degrees.
    angles: Sums,
}

impl Forces {
    fn add(&mut self, label: &[f64; 3], found: &[f64; 3]) {
        for (label, found) in label.iter().zip(found) {
            self.errors.add(found - label);
            self.labels.add(*label);
        }
        if norm(*label) > SHORTEST_FORCE {
            self.angles.add(angle(*label, *found));
        }
    }

    fn errors(&self) -> ForceErrors {
        let labels = &self.labels;
        let spread = labels.squares - labels.sum * labels.mean(labels.sum);
        ForceErrors {
            mae_ev_per_angstrom: self.errors.mae(),
            rmse_ev_per_angstrom: self.errors.rmse(),
            r2: (spread > 0.0).then(|| 1.0 - self.errors.squares / spread),
            mean_angle_degrees: (self.angles.count > 0).then(|| self.angles.mae()),
            angles: self.angles.count,
            mean_absolute_label_ev_per_angstrom: labels.mae(),
        }
    }
}

/// Degrees. From both products, since the cosine alone loses small angles to rounding.
fn angle(a: [f64; 3], b: [f64; 3]) -> f64 {
    if norm(b) == 0.0 { 90.0 } else { norm(cross(a, b)).atan2(dot(a, b)).to_degrees() }
}
