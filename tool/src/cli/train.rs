//! `mlff-student train`: the trainer is a program of its own, since it needs libtorch.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use super::{Failure, print};
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

/// What `train --help` says where there is no trainer.
const HELP: &str = "Train a student on labelled structures

Usage: mlff-student train CONFIG.toml

The trainer is a program of its own, mlff-student-train, which needs libtorch and is not built yet:
`make trainer` builds it in the source tree (some 15 minutes and 3 GB, once). Then `mlff-student
train --help` lists its options, and docs/src/guide says how to train a student.
";

pub(super) fn run(Arguments { arguments }: &Arguments) -> Result<(), Failure> {
    let program = beside_this_one().unwrap_or_else(|| PROGRAM.into());
    let asks_for_help = arguments.iter().any(|word| word == "--help" || word == "-h");
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
    let error = Command::new(program).args(arguments).exec();
    match error.kind() {
        io::ErrorKind::NotFound if asks_for_help => print(HELP),
        _ => Err(failed(error).into()),
    }
}

/// The trainer of the same build.
fn beside_this_one() -> Option<PathBuf> {
    let path = std::env::current_exe().ok()?.with_file_name(PROGRAM);
    path.exists().then_some(path)
}
