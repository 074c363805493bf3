//! `mlff-student eval`.

use std::path::PathBuf;

use clap::ValueEnum;
use serde::Serialize;

use super::progress::Progress;
use super::{Failure, device, load_any, print, say, to_json};
use crate::dataset::extxyz::{Frame, Reader};
use mlff_student::engine::{
    Backend, Calculator, Check, Device, FilterMode, Findings, InstructionSet, Options, Precision,
    Results, Structure,
};
use mlff_student::error::Result;

/// Energies, forces and stresses of structures, one JSON object for each, line by line
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Model in any format that `inspect` reads
    model: PathBuf,
    /// Structures in extended XYZ; - reads stdin
    structures: PathBuf,
    /// float32 or float64 features
    #[arg(long, value_enum, default_value = "mixed")]
    precision: PrecisionName,
    /// Interpolated or exact filters
    #[arg(long, value_enum, default_value = "table")]
    filter: FilterName,
    /// Threads; the results do not depend on them
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    threads: u16,
    /// cpu, or an NVIDIA GPU: cuda, cuda:1
    #[arg(long, default_value = "cpu", value_parser = device)]
    device: Device,
    /// This program's kernels, or libtorch: for comparison, and always for TorchScript models
    #[arg(long, value_enum, default_value = "own")]
    engine: BackendName,
    /// Instructions of the kernels
    #[arg(long, value_enum, default_value = "best")]
    isa: InstructionSetName,
    /// Where atoms are outside of what the student learned, or overlap: say so on stderr, or end
    #[arg(long, value_enum, default_value = "warn")]
    check: CheckName,
}

#[derive(Clone, Copy, ValueEnum)]
enum CheckName {
    Warn,
    Strict,
    Off,
}

#[derive(Clone, Copy, ValueEnum)]
pub(super) enum PrecisionName {
    Mixed,
    Double,
}

impl From<PrecisionName> for Precision {
    fn from(name: PrecisionName) -> Self {
        match name {
            PrecisionName::Mixed => Self::Mixed,
            PrecisionName::Double => Self::Double,
        }
    }
}

#[derive(Clone, Copy, ValueEnum)]
enum BackendName {
    Own,
    Torch,
}

#[derive(Clone, Copy, ValueEnum)]
enum FilterName {
    Table,
    Exact,
}

#[derive(Clone, Copy, ValueEnum)]
pub(super) enum InstructionSetName {
    Best,
    Portable,
    Avx2,
    Avx512,
}

impl From<InstructionSetName> for InstructionSet {
    fn from(name: InstructionSetName) -> Self {
        match name {
            InstructionSetName::Best => Self::Best,
            InstructionSetName::Portable => Self::Portable,
            InstructionSetName::Avx2 => Self::Avx2,
            InstructionSetName::Avx512 => Self::Avx512,
        }
    }
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
    let mut calculator = Calculator::new(potential, options(arguments))?;
    let mut progress = Progress::new();
    let mut found = Found::default();
    while let Some(frame) = reader.next_frame()? {
        let line = evaluate(&mut calculator, &frame).map_err(|e| e.within(reader.place(&frame)))?;
        print(&line)?;
        found.add(calculator.findings(), || reader.place(&frame));
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

fn options(arguments: &Arguments) -> Options {
    Options {
        backend: match arguments.engine {
            BackendName::Own => Backend::Own,
            BackendName::Torch => Backend::Torch,
        },
        device: arguments.device,
        precision: arguments.precision.into(),
        filter: match arguments.filter {
            FilterName::Table => FilterMode::Table,
            FilterName::Exact => FilterMode::Exact,
        },
        threads: usize::from(arguments.threads),
        instruction_set: arguments.isa.into(),
        check: match arguments.check {
            // Said with the structure's place.
            CheckName::Warn => Check::Report,
            CheckName::Strict => Check::Strict,
            CheckName::Off => Check::Off,
        },
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
