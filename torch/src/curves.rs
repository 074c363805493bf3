//! How errors fall: a table and a picture.

use std::fmt::Write;
use std::path::Path;

use mlff_student::{Error, ErrorKind, Result};
use mlff_student_tool::plot::{self, Curve, Labels, Logarithmic};

/// One look at the errors.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Row {
    /// Frames seen in all.
    pub samples: f64,
    /// Time spent (s).
    pub seconds: f64,
    /// Learning rate of the next step.
    pub learning_rate: f64,
    /// Of the batches since the row before, with the weights as they were (eV/Å).
    pub train_force_mae: f64,
    /// eV per atom.
    pub train_energy_mae: f64,
    /// Of the validation frames, with the averaged weights (eV/Å).
    pub valid_force_mae: f64,
    /// eV per atom.
    pub valid_energy_mae: f64,
    /// eV/Å³; 0 without periodic frames.
    pub valid_stress_mae: f64,
}

impl Row {
    /// Names of the columns, with units.
    pub const COLUMNS: [&str; 8] = [
        "samples",
        "seconds",
        "learning_rate",
        "train_force_mae_eV_per_A",
        "train_energy_mae_eV_per_atom",
        "valid_force_mae_eV_per_A",
        "valid_energy_mae_eV_per_atom",
        "valid_stress_mae_eV_per_A3",
    ];

    /// In the order of the columns.
    pub fn numbers(&self) -> [f64; 8] {
        [
            self.samples,
            self.seconds,
            self.learning_rate,
            self.train_force_mae,
            self.train_energy_mae,
            self.valid_force_mae,
            self.valid_energy_mae,
            self.valid_stress_mae,
        ]
    }

    /// The reverse of [`Self::numbers`].
    pub fn from_numbers(numbers: &[f64]) -> Option<Self> {
        let &[
            samples,
            seconds,
            learning_rate,
            train_force_mae,
            train_energy_mae,
            valid_force_mae,
            valid_energy_mae,
            valid_stress_mae,
        ] = numbers
        else {
            return None;
        };
        Some(Self {
            samples,
            seconds,
            learning_rate,
            train_force_mae,
            train_energy_mae,
            valid_force_mae,
            valid_energy_mae,
            valid_stress_mae,
        })
    }
}

/// Writes `curves.csv` and `curves.png` anew.
pub fn write(history: &[Row], folder: &Path) -> Result<()> {
    let mut text = Row::COLUMNS.join(",") + "\n";
    for row in history {
        let numbers = row.numbers().map(|number| format!("{number}"));
        let _ = writeln!(text, "{}", numbers.join(","));
    }
    let path = folder.join("curves.csv");
    std::fs::write(&path, text).map_err(|error| {
        Error::new(ErrorKind::Io, format!("{}: cannot be written: {error}", path.display()))
    })?;
    draw(history, &folder.join("curves.png"))
}

fn draw(history: &[Row], path: &Path) -> Result<()> {
    if history.is_empty() {
        return Ok(());
    }
    let curve = |name: &str, error: fn(&Row) -> f64| Curve {
        name: name.into(),
        points: history.iter().map(|row| (row.samples, 1e3 * error(row))).collect(),
    };
    let labels = Labels {
        title: "Mean absolute errors",
        x: "frames seen",
        y: "forces (meV/Å), energy (meV/atom)",
        notes: &[],
    };
    let curves = [
        curve("forces, watched frames", |row| row.valid_force_mae),
        curve("forces, training", |row| row.train_force_mae),
        curve("energy, watched frames", |row| row.valid_energy_mae),
        curve("energy, training", |row| row.train_energy_mae),
    ];
    plot::curves(path, labels, Logarithmic { x: true, y: true }, &curves)
}
