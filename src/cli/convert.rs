//! `mlff-student convert`.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::{Failure, load, print};
use crate::error::{Error, ErrorKind, Result};
use crate::model::Model;

/// Write a model as .safetensors
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Student in any format that `inspect` reads
    input: PathBuf,
    /// File to write, *.safetensors; an existing one is replaced
    output: PathBuf,
}

pub(super) fn run(arguments: &Arguments) -> std::result::Result<(), Failure> {
    let Arguments { input, output } = arguments;
    check_output(input, output)?;
    let model = load(input)?;
    model.save(output)?;
    print(&format!("{}\nwrote {}\n", recognized(input, &model), output.display()))
}

fn check_output(input: &Path, output: &Path) -> Result<()> {
    if output.extension().is_none_or(|extension| extension != "safetensors") {
        return Err(Error::new(
            ErrorKind::InvalidArgument,
            format!("{}: expected an output file named *.safetensors", output.display()),
        ));
    }
    // The same file may have several names.
    let identity = |path| fs::metadata(path).map(|file| (file.dev(), file.ino())).ok();
    if identity(input).is_some_and(|input| Some(input) == identity(output)) {
        return Err(Error::new(
            ErrorKind::InvalidArgument,
            format!(
                "{}: the output would replace the input: choose another output file",
                output.display()
            ),
        ));
    }
    Ok(())
}

fn recognized(input: &Path, model: &Model) -> String {
    format!(
        "read {}: {}, hidden {}, {} blocks, {} radial functions, cutoff {} Å, {} parameters, \
         elements {}",
        input.display(),
        model.architecture.name(),
        model.hidden,
        model.blocks.len(),
        model.basis.len(),
        model.cutoff,
        model.parameters(),
        model.scope().species_list()
    )
}
