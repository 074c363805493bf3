//! `mlff-student eval`.

use std::path::PathBuf;

use serde::Serialize;

use super::options::{All, CalculatorOptions};
use super::progress::Progress;
use super::{Failure, load_any, print, say, to_json};
use crate::dataset::extxyz::{Frame, Reader};
use mlff_student::engine::{Calculator, Check, Findings, Options, Results, Structure};
use mlff_student::error::Result;

/// Energies, forces and stresses of structures, one JSON object for each, line by line
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Model in any format that `inspect` reads
    model: PathBuf,
    /// Structures in extended XYZ; - reads stdin
    structures: PathBuf,
    #[command(flatten)]
    options: CalculatorOptions<All>,
}

/// One line of output. Programs outside rely on these keys.
#[derive(Serialize)]
struct Line<'a> {
    /// eV.
    energy: f64,
    /// eV.
    atomic_energies: &'a [f64],
    /// eV/Å.
    forces: &'a [[f64; 3]],
    /// eV/Å³, positive = tension; null unless periodic in three directions.
    stress: Option<[[f64; 3]; 3]>,
}

pub(super) fn run(arguments: &Arguments) -> std::result::Result<(), Failure> {
    let mut reader = Reader::open(&arguments.structures)?;
    let potential = load_any(&arguments.model)?;
    let asked = arguments.options.options;
    // A warning here names the structure's place.
    let said = asked.check == Check::Warn;
    let check = if said { Check::Report } else { asked.check };
    let mut calculator = Calculator::new(potential, Options { check, ..asked })?;
    let mut progress = Progress::new();
    let mut found = Found::default();
    while let Some(frame) = reader.next_frame()? {
        let line = evaluate(&mut calculator, &frame).map_err(|e| e.within(reader.place(&frame)))?;
        print(&line)?;
        if let Some(note) = frame.note().filter(|_| reader.frames() == 1) {
            say(&format!("warning: {}: {note}", reader.place(&frame)));
        }
        if said {
            found.add(calculator.findings(), || reader.place(&frame));
        }
        progress.show(reader.frames(), reader.share());
    }
    progress.finish();
    found.finish(reader.frames());
    Ok(())
}

/// How many structures have atoms outside, and atoms that overlap.
#[derive(Default)]
struct Found {
    outside: usize,
    overlaps: usize,
}

impl Found {
    /// Says it of the first ones.
    fn add(&mut self, findings: &Findings, place: impl Fn() -> String) {
        for (sentence, count) in [
            (findings.about_atoms(), &mut self.outside),
            (findings.about_pairs(), &mut self.overlaps),
        ] {
            let Some(sentence) = sentence else { continue };
            *count += 1;
            if *count == 1 {
                say(&format!("warning: {}: {sentence}", place()));
            }
        }
    }

    /// Says of how many structures it is true.
    fn finish(&self, all: usize) {
        if self.outside.max(self.overlaps) > 1 {
            say(&format!(
                "warning: of {all} structures {} have atoms outside of the training data, and {} \
                 atoms that overlap",
                self.outside, self.overlaps
            ));
        }
    }
}

fn evaluate(calculator: &mut Calculator, frame: &Frame) -> Result<String> {
    let structure = Structure {
        species: &frame.species,
        positions: &frame.positions,
        cell: frame.cell,
        periodic: frame.periodic,
    };
    let Results { energy, atomic_energies, forces, virial, .. } =
        calculator.compute_structure(&structure)?;
    let stress = structure.stress(virial);
    let mut line = to_json(&Line { energy: *energy, atomic_energies, forces, stress }, false)?;
    line.push('\n');
    Ok(line)
}
