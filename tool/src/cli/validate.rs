//! `mlff-student validate`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use clap::ValueEnum;

use super::options::{CalculatorOptions, Taken};
use super::progress::Progress;
use super::{Failure, check_writable, load, print, say, to_json, unwritable, write};
use crate::dataset::{Dataset, Split};
use crate::validation::{self, Prediction, Report};
use mlff_student::engine::{Options, Row};
use mlff_student::error::{Error, ErrorKind, Result};

/// Errors of a model over labelled structures: energies, forces, stresses
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Student in any format that `inspect` reads
    model: PathBuf,
    /// Labelled structures of one teacher, HDF5 or extended XYZ
    #[arg(required = true)]
    data: Vec<PathBuf>,
    /// Frames to take [default: test where the data have such frames, else all]
    #[arg(long, value_enum)]
    split: Option<SplitName>,
    /// Kinds of structures to take, separated by commas [default: all]
    #[arg(long, value_delimiter = ',')]
    kind: Vec<String>,
    /// Folder for report.json, report.md and plots; files of these names are replaced
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
    /// File for the report as JSON; - is stdout, instead of the report for people
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Threads; the results do not depend on them [default: all processors]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,
    #[command(flatten)]
    options: CalculatorOptions<Precision>,
}

/// Threads have a default of their own here.
struct Precision;

impl Taken for Precision {
    fn takes(row: &Row) -> bool {
        row.name == "precision"
    }
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum SplitName {
    Train,
    Valid,
    Test,
    All,
}

impl SplitName {
    fn split(self) -> Option<Split> {
        match self {
            Self::Train => Some(Split::Train),
            Self::Valid => Some(Split::Valid),
            Self::Test => Some(Split::Test),
            Self::All => None,
        }
    }
}

pub(super) fn run(arguments: &Arguments) -> std::result::Result<(), Failure> {
    // What can be wrong with the output is found before the work.
    if let Some(folder) = &arguments.out {
        fs::create_dir_all(folder).map_err(|error| unwritable(folder, &error))?;
    }
    let file = arguments.json.as_deref().filter(|&path| path != Path::new("-"));
    file.map_or(Ok(()), check_writable)?;
    let model = load(&arguments.model)?;
    let mut dataset = Dataset::load(&arguments.data)?;
    let selection = select(arguments, &mut dataset)?;
    say(&format!("{} frames: {selection}", dataset.frames.len()));
    let predictions = predict(arguments, &model, &mut dataset)?;
    for dropped in &dataset.dropped {
        say(&dropped.sentence());
    }
    dataset.notes.insert(0, format!("frames taken: {selection}"));
    let file = arguments.model.display().to_string();
    let report = Report::new(file, &model, &dataset, &predictions)?;
    let json = to_json(&report, true)? + "\n";
    if let Some(folder) = &arguments.out {
        let pictures = validation::draw(folder, &report, &dataset.frames, &predictions)?;
        write(&folder.join("report.json"), &json)?;
        write(&folder.join("report.md"), &report.markdown(&pictures))?;
        say(&format!("wrote report.md, report.json and plots to {}", folder.display()));
    }
    match arguments.json.as_deref() {
        Some(path) if path == Path::new("-") => print(&json),
        Some(path) => Ok(write(path, &json)?),
        None => print(&report.text()),
    }
}

/// Keeps the frames that were asked for and says which these are.
fn select(arguments: &Arguments, dataset: &mut Dataset) -> Result<String> {
    let has_test = dataset.frames.iter().any(|frame| frame.split == Some(Split::Test));
    let split = match arguments.split {
        Some(split) => split.split(),
        None => Some(Split::Test).filter(|_| has_test),
    };
    if let Some(split) = split {
        let found = names(dataset.frames.iter().filter_map(|frame| frame.split.map(Split::name)));
        dataset.frames.retain(|frame| frame.split == Some(split));
        if dataset.frames.is_empty() {
            return Err(nothing("split", split.name(), &found, "--split all takes every frame"));
        }
    }
    let kinds = &arguments.kind;
    if !kinds.is_empty() {
        let found = names(dataset.frames.iter().map(|frame| &*frame.kind));
        for kind in kinds {
            if dataset.frames.iter().all(|frame| frame.kind != *kind) {
                return Err(nothing("kind", kind, &found, "choose among these"));
            }
        }
        dataset.frames.retain(|frame| kinds.contains(&frame.kind));
    }
    let split = split.map_or("all splits", Split::name);
    let kinds = if kinds.is_empty() { "all kinds".into() } else { kinds.join(", ") };
    Ok(format!("{split}, {kinds}"))
}

fn names<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: BTreeSet<&str> = names.filter(|name| !name.is_empty()).collect();
    let names: Vec<&str> = names.into_iter().collect();
    if names.is_empty() { "none".into() } else { names.join(", ") }
}

fn nothing(what: &str, expected: &str, found: &str, remedy: &str) -> Error {
    Error::new(
        ErrorKind::InvalidArgument,
        format!("expected frames of {what} {expected}, found {found}: {remedy}"),
    )
}

fn predict(
    arguments: &Arguments,
    model: &Arc<mlff_student::model::Model>,
    dataset: &mut Dataset,
) -> Result<Vec<Prediction>> {
    let threads = match arguments.threads {
        Some(threads) => usize::from(threads),
        None => thread::available_parallelism().map_or(1, usize::from),
    };
    let options = Options { threads, ..arguments.options.options };
    let total = dataset.frames.len();
    let mut progress = Progress::new();
    let predictions = validation::predict(model, options, dataset, |done| {
        progress.show(done, Some(done as f64 / total as f64));
    });
    progress.finish();
    predictions
}
