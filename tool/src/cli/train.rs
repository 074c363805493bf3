//! `mlff-student train`: the trainer is a program of its own, since it needs libtorch.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use super::Failure;
use mlff_student::error::{Error, ErrorKind};

/// The trainer's name.
const PROGRAM: &str = "mlff-student-train";

/// Train a student on labelled structures (the trainer is built by `make trainer`)
#[derive(clap::Args)]
#[command(disable_help_flag = true)]
pub(super) struct Arguments {
    /// Passed on; `mlff-student train --help` lists them
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

pub(super) fn run(Arguments { arguments }: &Arguments) -> Result<(), Failure> {
    let program = beside_this_one().unwrap_or_else(|| PROGRAM.into());
    let failed = |error: io::Error| {
        let (kind, what) = match error.kind() {
            io::ErrorKind::NotFound => (ErrorKind::Unsupported, "it is not there".to_string()),
            _ => (ErrorKind::Io, error.to_string()),
        };
        Error::new(
            kind,
            format!(
                "expected the trainer {PROGRAM} beside this program or on the PATH: {what}; \
                 `make trainer` builds it"
            ),
        )
    };
    // In place of this program, so that signals reach the trainer and its status whoever waits.
    Err(failed(Command::new(program).args(arguments).exec()).into())
}

/// The trainer of the same build.
fn beside_this_one() -> Option<PathBuf> {
    let path = std::env::current_exe().ok()?.with_file_name(PROGRAM);
    path.exists().then_some(path)
}
