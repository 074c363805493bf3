//! `mlff-student prune`.

use std::path::PathBuf;
use std::thread;

use super::progress::Progress;
use super::{Failure, check_output, load, print};
use crate::dataset::{Dataset, Split};
use crate::validation;
use mlff_student::engine::Options;
use mlff_student::error::{Error, ErrorKind};
use mlff_student::model::Architecture;

/// Leave out vectors of a student, those whose loss costs least: a faster one to train further
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Student in any format that `inspect` reads
    input: PathBuf,
    /// Some of what it was trained on, HDF5 or extended XYZ; frames that are held out are left out
    #[arg(required = true)]
    data: Vec<PathBuf>,
    /// Vectors to keep, an even number; the number of channels stays
    #[arg(long)]
    vectors: usize,
    /// File to write, *.safetensors; an existing one is replaced
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Frames to choose by, taken evenly from all
    #[arg(long, default_value_t = 400, value_parser = clap::value_parser!(u32).range(1..))]
    frames: u32,
    /// Threads [default: all processors]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let Arguments { input, data, vectors, output, frames, threads } = arguments;
    check_output(input, output)?;
    let model = load(input)?;
    if model.architecture != Architecture::Painn {
        let message = format!(
            "expected a student of architecture painn, found {}: others have a vector for each channel",
            model.architecture.name()
        );
        return Err(Error::new(ErrorKind::Unsupported, message).into());
    }
    if *vectors == 0 || vectors % 2 != 0 || *vectors >= model.vectors {
        let message = format!(
            "--vectors: expected an even number from 2 to below {}, as many as the student has, found \
             {vectors}",
            model.vectors
        );
        return Err(Error::new(ErrorKind::InvalidArgument, message).into());
    }
    let mut dataset = Dataset::load(data)?;
    dataset.drop_unknown_elements(&model.species);
    dataset.frames.retain(|frame| !matches!(frame.split, Some(Split::Valid | Split::Test)));
    dataset.require_frames()?;
    let step = dataset.frames.len().div_ceil(*frames as usize);
    let frames: Vec<_> = dataset.frames.into_iter().step_by(step).collect();
    let available = || thread::available_parallelism().map_or(1, usize::from);
    let options =
        Options { threads: threads.map_or_else(available, usize::from), ..Options::default() };
    let mut progress = Progress::new();
    let pruned = validation::pruned(&model, *vectors, options, &frames, |computed, share| {
        progress.show(computed, Some(share));
    });
    progress.finish();
    let mut pruned = pruned?;
    // They were measured before.
    pruned.metadata.retain(|key, _| !key.starts_with("test_") && !key.starts_with("valid_"));
    pruned.save(output)?;
    print(&format!(
        "kept {vectors} of {} vectors, by {} frames\nwrote {}: train it further with --from\n",
        model.vectors,
        frames.len(),
        output.display()
    ))
}
