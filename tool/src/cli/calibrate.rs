//! `mlff-student calibrate`.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::thread;

use super::progress::Progress;
use super::{Failure, check_output, load, print};
use crate::dataset::{Dataset, Split};
use crate::validation;
use mlff_student::engine::Options;
use mlff_student::error::{Error, ErrorKind};
use mlff_student::model::{Model, symbol};

/// Store in a student which energies of atoms its training data have: beyond them they saturate
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Student in any format that `inspect` reads
    input: PathBuf,
    /// What it was trained on, HDF5 or extended XYZ; frames that are held out are left out
    #[arg(required = true)]
    data: Vec<PathBuf>,
    /// File to write, *.safetensors; an existing one is replaced
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Gives every pair a core, as this share of its repulsion: inside it the repulsion rules alone
    /// [default: as in the input]
    #[arg(long, value_name = "SHARE")]
    core: Option<f64>,
    /// Threads [default: all processors]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let Arguments { input, data, output, core, threads } = arguments;
    check_output(input, output)?;
    let mut model = (*load(input)?).clone();
    if let Some(core) = *core {
        let Some(repulsion) = &mut model.repulsion else {
            return Err(Error::new(
                ErrorKind::Unsupported,
                "--core: expected a student with a repulsion, found one without: leave the option \
                 out, or train a student with [student] repulsion",
            )
            .into());
        };
        repulsion.core = core;
        model.validate()?;
    }
    let mut dataset = Dataset::load(data)?;
    dataset.drop_unknown_elements(&model.species);
    dataset.frames.retain(|frame| !matches!(frame.split, Some(Split::Valid | Split::Test)));
    dataset.require_frames()?;
    let seen: BTreeSet<u8> =
        dataset.frames.iter().flat_map(|frame| frame.species.iter().copied()).collect();
    if let Some(&unseen) = model.species.iter().find(|z| !seen.contains(z)) {
        return Err(Error::new(
            ErrorKind::InvalidArgument,
            format!(
                "expected frames with every element of the student, found none with {}: add some of \
                 those that it was trained on",
                symbol(unseen).unwrap_or("?")
            ),
        )
        .into());
    }
    let available = || thread::available_parallelism().map_or(1, usize::from);
    let options =
        Options { threads: threads.map_or_else(available, usize::from), ..Options::default() };
    let total = dataset.frames.len();
    let mut progress = Progress::new();
    let range = validation::energy_range(&model, options, &dataset.frames, |done| {
        progress.show(done, Some(done as f64 / total as f64));
    });
    progress.finish();
    let mut calibrated = Model { energy_range: Some(range?), ..model };
    // They were measured before.
    calibrated.metadata.retain(|key, _| !key.starts_with("test_") && !key.starts_with("valid_"));
    calibrated.save(output)?;
    let mut text =
        format!("energies of atoms in {total} frames, without reference energies (eV):\n");
    for &number in &calibrated.species {
        let [low, high] = calibrated.energy_bounds(number);
        text += &format!("  {:<2} {low:8.3} … {high:.3}\n", symbol(number).unwrap_or("?"));
    }
    print(&format!("{text}wrote {}\n", output.display()))
}
