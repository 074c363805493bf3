//! The tool's commands.

mod bench;
mod calibrate;
mod convert;
mod describe;
mod eval;
mod grow;
mod inspect;
mod measure;
mod options;
mod progress;
mod prune;
mod train;
mod validate;

use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::{Parser, Subcommand};

use mlff_student::error::{Error, ErrorKind, Result};
use mlff_student::model::{Model, Potential};

/// Distilled ("student") machine-learned force fields: look at them, convert them, evaluate them,
/// time them, validate them
#[derive(Parser)]
#[command(name = "mlff-student", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// Only errors on stderr: no notes, no warnings, no progress
    #[arg(long, short, global = true)]
    quiet: bool,
}

/// Whether `--quiet` was given.
static QUIET: AtomicBool = AtomicBool::new(false);

fn quiet() -> bool {
    QUIET.load(Ordering::Relaxed)
}

#[derive(Subcommand)]
enum Command {
    Eval(eval::Arguments),
    Inspect(inspect::Arguments),
    Convert(convert::Arguments),
    Calibrate(calibrate::Arguments),
    Prune(prune::Arguments),
    Grow(grow::Arguments),
    Bench(bench::Arguments),
    Train(train::Arguments),
    Validate(validate::Arguments),
    Completions(describe::Completions),
    Man(describe::Man),
}

/// Runs the tool: 0 on success, 1 on an error, 2 where the command line is wrong.
pub fn run() -> ExitCode {
    let arguments = Arguments::parse();
    QUIET.store(arguments.quiet, Ordering::Relaxed);
    let result = match arguments.command {
        Command::Eval(arguments) => eval::run(&arguments),
        Command::Inspect(arguments) => inspect::run(&arguments),
        Command::Convert(arguments) => convert::run(&arguments),
        Command::Calibrate(arguments) => calibrate::run(&arguments),
        Command::Prune(arguments) => prune::run(&arguments),
        Command::Grow(arguments) => grow::run(&arguments),
        Command::Bench(arguments) => bench::run(&arguments),
        Command::Train(arguments) => train::run(&arguments),
        Command::Validate(arguments) => validate::run(&arguments),
        Command::Completions(arguments) => describe::completions(&arguments),
        Command::Man(arguments) => describe::man(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::OutputClosed) => ExitCode::SUCCESS,
        Err(Failure::Error(error)) => {
            // Nowhere is left to report that stderr is closed.
            let _ = writeln!(io::stderr(), "error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Why a command ended early.
enum Failure {
    Error(Error),
    /// Whoever read stdout has enough (`| head`).
    OutputClosed,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

/// Writes text to stdout.
fn print(text: &str) -> std::result::Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(Failure::OutputClosed),
        Err(error) => {
            Err(Error::new(ErrorKind::Io, format!("cannot write to stdout: {error}")).into())
        }
    }
}

/// Writes a line to stderr, unless `--quiet`; nowhere is left to report that it is closed.
fn say(text: &str) {
    if !quiet() {
        let _ = writeln!(io::stderr(), "{text}");
    }
}

/// Refuses to write a student under another name than *.safetensors, or over the file that is read.
fn check_output(input: &Path, output: &Path) -> Result<()> {
    if output.extension().is_none_or(|extension| extension != "safetensors") {
        return Err(Error::new(
            ErrorKind::InvalidArgument,
            format!("{}: expected an output file named *.safetensors", output.display()),
        ));
    }
    // The same file may have several names.
    let identity = |path| std::fs::metadata(path).map(|file| (file.dev(), file.ino())).ok();
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

/// One line, or several for people, too.
fn to_json(value: &impl serde::Serialize, pretty: bool) -> Result<String> {
    let text = match pretty {
        true => serde_json::to_string_pretty(value),
        false => serde_json::to_string(value),
    };
    text.map_err(|error| {
        Error::new(ErrorKind::Internal, format!("the result cannot be written as JSON: {error}"))
    })
}

/// Writes a file.
fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).map_err(|error| unwritable(path, &error))
}

/// Finds what is wrong with the place of a file before the work that fills it; what is there stays.
fn check_writable(path: &Path) -> Result<()> {
    let open = |options: &mut std::fs::OpenOptions| options.append(true).open(path);
    match open(std::fs::OpenOptions::new().create_new(true)) {
        // An empty file would look like a result where the work fails.
        Ok(_) => {
            let _ = std::fs::remove_file(path);
            Ok(())
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            match open(&mut std::fs::OpenOptions::new()) {
                // A link to a file that is not there yet.
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                opened => opened.map(drop).map_err(|error| unwritable(path, &error)),
            }
        }
        Err(error) => Err(unwritable(path, &error)),
    }
}

/// The error for a place that cannot be written to.
fn unwritable(path: &Path, error: &io::Error) -> Error {
    Error::new(
        ErrorKind::Io,
        format!(
            "{}: expected a place to write to: {error}; check the folder, its permissions and the \
             space left",
            path.display()
        ),
    )
}

/// Loads a student and says plainly what to expect from it.
fn load(path: &Path) -> Result<Arc<Model>> {
    load_any(path)?.student().cloned().map_err(|error| error.within(path.display()))
}

/// Loads a student or a TorchScript model, the same.
fn load_any(path: &Path) -> Result<Potential> {
    let potential = Potential::load(path)?;
    if potential.student().is_ok_and(|model| !model.architecture.is_rotation_invariant()) {
        say(&format!(
            "note: {}: this architecture is neither rotation-invariant nor continuous at the \
             cutoff; `mlff-student inspect` measures both",
            path.display()
        ));
    }
    Ok(potential)
}
