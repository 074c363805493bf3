//! `mlff-student grow`.

use std::path::PathBuf;

use super::{Failure, check_output, load, print};
use mlff_student::error::{Error, ErrorKind};
use mlff_student::model::Architecture;

/// Give a student more blocks, which change nothing at first: a deeper one to train further
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Student in any format that `inspect` reads
    input: PathBuf,
    /// Blocks, more than it has
    #[arg(long)]
    blocks: usize,
    /// File to write, *.safetensors; an existing one is replaced
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
}

/// Trainers know no deeper ones.
const MOST_BLOCKS: usize = 16;

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let Arguments { input, blocks, output } = arguments;
    check_output(input, output)?;
    let model = load(input)?;
    if model.architecture != Architecture::Painn {
        let message = format!(
            "expected a student of architecture painn, found {}: it cannot be trained further",
            model.architecture.name()
        );
        return Err(Error::new(ErrorKind::Unsupported, message).into());
    }
    let now = model.blocks.len();
    if *blocks <= now || *blocks > MOST_BLOCKS {
        let message = format!(
            "--blocks: expected more than {now}, as many as the student has, and at most \
             {MOST_BLOCKS}, found {blocks}"
        );
        return Err(Error::new(ErrorKind::InvalidArgument, message).into());
    }
    model.with_blocks(*blocks).save(output)?;
    print(&format!(
        "{blocks} blocks instead of {now}, with the same energies\nwrote {}: train it further with \
         --from\n",
        output.display()
    ))
}
