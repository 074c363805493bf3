//! `mlff-student convert`.

use std::path::{Path, PathBuf};

use super::{Failure, check_output, load, print};
use mlff_student::model::Model;

/// Write a model as .safetensors
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Student in any format that `inspect` reads
    input: PathBuf,
    /// File to write, *.safetensors; an existing one is replaced
    output: PathBuf,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let Arguments { input, output } = arguments;
    check_output(input, output)?;
    let model = load(input)?;
    model.save(output)?;
    print(&format!("{}\nwrote {}\n", recognized(input, &model), output.display()))
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
