//! `mlff-student completions` and `mlff-student man`: what shells and `man` read about this tool.

use std::path::PathBuf;

use clap::CommandFactory;
use clap_complete::Shell;

use super::{Arguments, Failure, print, unwritable};

/// Completions for a shell, on stdout: `mlff-student completions bash > ~/.bash_completion.d/mlff`
#[derive(clap::Args)]
pub(super) struct Completions {
    /// Whose
    #[arg(value_enum)]
    shell: Shell,
}

/// Man pages, one for each command: `mlff-student man ~/.local/share/man/man1`
#[derive(clap::Args)]
pub(super) struct Man {
    /// Folder that they are written to
    folder: PathBuf,
}

pub(super) fn completions(Completions { shell }: &Completions) -> Result<(), Failure> {
    let mut text = Vec::new();
    clap_complete::generate(*shell, &mut Arguments::command(), "mlff-student", &mut text);
    print(&String::from_utf8_lossy(&text))
}

pub(super) fn man(Man { folder }: &Man) -> Result<(), Failure> {
    std::fs::create_dir_all(folder).map_err(|error| unwritable(folder, &error))?;
    clap_mangen::generate_to(Arguments::command(), folder)
        .map_err(|error| unwritable(folder, &error))?;
    Ok(())
}
