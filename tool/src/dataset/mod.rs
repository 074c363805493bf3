//! Structures with a teacher's energies, forces and stresses.
//!
//! Files are read as HDF5 (layout in `docs/src/reference/datasets.md`) or extended XYZ, told apart
//! by their first bytes. What is wrong with a file as a whole (truncated, missing datasets, wrong
//! shapes, another teacher or unit than the files before) is an error. What is wrong with single
//! frames drops them, counted by reason in [`Dataset::dropped`].

mod checks;
mod content;
pub(crate) mod extxyz;
mod hdf5;

use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde::Serialize;

use mlff_student::error::{Error, ErrorKind, Result};
use mlff_student::vector::volume;

/// What a frame is used for. In ascending order of how much it must not be seen in training.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// Fitted.
    Train,
    /// Watched while fitting.
    Valid,
    /// Held out.
    Test,
}

impl Split {
    /// All of them, in their order.
    pub const ALL: [Self; 3] = [Self::Train, Self::Valid, Self::Test];

    /// The name used in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Valid => "valid",
            Self::Test => "test",
        }
    }

    /// The split of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|split| split.name() == name)
    }

    /// The split that a file says; none where that is empty.
    fn read(name: &str) -> Result<Option<Self>> {
        match Self::from_name(name) {
            None if !name.is_empty() => Err(Error::new(
                ErrorKind::Format,
                format!("expected split train, valid or test, found {name:?}: correct the data"),
            )),
            split => Ok(split),
        }
    }
}

/// One structure and its labels. All numbers are finite, there is at least one atom, and arrays
/// have one entry for each atom.
#[derive(Clone, Debug, PartialEq)]
pub struct Frame {
    /// The file's own name for it, or file and place, counted from 1.
    pub name: String,
    /// Kind of structure (`trajectory`, `torsion`, `cluster`, …); empty where the file says none.
    pub kind: String,
    /// Of the trajectory that it is from (K).
    pub temperature: Option<f64>,
    /// SMILES; empty where the file says none.
    pub molecule: String,
    /// What the molecules were split by; empty where the file says none.
    pub scaffold: String,
    /// What it is used for.
    pub split: Option<Split>,
    /// Atomic numbers, 1 to 118.
    pub species: Vec<u8>,
    /// Å.
    pub positions: Vec<[f64; 3]>,
    /// Lattice vectors, one per row (Å); there wherever a direction is periodic.
    pub cell: Option<[[f64; 3]; 3]>,
    /// Directions in which the structure repeats.
    pub periodic: [bool; 3],
    /// Total energy (eV).
    pub energy: f64,
    /// eV/Å.
    pub forces: Vec<[f64; 3]>,
    /// eV/Å³, positive = tension.
    pub stress: Option<[[f64; 3]; 3]>,
}

impl Frame {
    /// Of the cell (Å³), where it repeats in all directions: elsewhere there is no stress.
    pub fn volume(&self) -> Option<f64> {
        self.cell.filter(|_| self.periodic == [true; 3]).map(volume)
    }
}

/// A file of a dataset and what it says about itself.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Source {
    /// As given.
    pub path: String,
    /// Method of the labels.
    pub teacher: Option<String>,
    /// Of lengths and energies, [`UNITS`] in all files that are read.
    pub units: Option<String>,
    /// SHA-256 of the content, where the file says it (hexadecimal); it was checked.
    pub content_hash: Option<String>,
    /// Frames in the file, before any were dropped.
    pub frames: usize,
}

/// The only units that are read.
pub const UNITS: &str = "angstrom, electronvolt";

/// Frames left out for one reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Dropped {
    /// What is wrong with them.
    pub reason: String,
    /// How many.
    pub count: usize,
    /// Names of the first few.
    pub examples: Vec<String>,
}

/// Frames of one or more files, labelled by one teacher.
#[derive(Clone, Debug, PartialEq)]
pub struct Dataset {
    /// Sound frames, in the order of the files.
    pub frames: Vec<Frame>,
    /// The files, in the order given.
    pub sources: Vec<Source>,
    /// Method of the labels, where a file says it.
    pub teacher: Option<String>,
    /// What was left out, and why.
    pub dropped: Vec<Dropped>,
    /// What a reader should know and no rule forbids: sentences for people.
    pub notes: Vec<String>,
}

impl Dataset {
    /// Reads files and checks them against each other.
    pub fn load(paths: &[impl AsRef<Path>]) -> Result<Self> {
        let (mut frames, mut sources) = (Vec::new(), Vec::new());
        for path in paths {
            let (source, mut more) = read(path.as_ref())?;
            sources.push(source);
            frames.try_reserve(more.len())?;
            frames.append(&mut more);
        }
        let teacher = checks::one_method(&sources)?;
        let mut dataset = Self { frames, sources, teacher, dropped: Vec::new(), notes: Vec::new() };
        dataset.drop_defects();
        dataset.drop_duplicates();
        dataset.note_what_is_unknown();
        dataset.require_frames()?;
        Ok(dataset)
    }

    /// Leaves out frames with elements other than `known`, an ascending list.
    pub fn drop_unknown_elements(&mut self, known: &[u8]) {
        self.drop(|frame| {
            let unknown = frame.species.iter().find(|z| known.binary_search(z).is_err())?;
            let symbol = mlff_student::model::symbol(*unknown).unwrap_or("?");
            Some(format!("element {symbol}, which the model does not know"))
        });
    }

    /// Leaves out frames for which `reason` gives one, and counts them.
    pub fn drop(&mut self, mut reason: impl FnMut(&Frame) -> Option<String>) {
        /// Names kept for each reason.
        const EXAMPLES: usize = 5;
        let dropped = &mut self.dropped;
        self.frames.retain(|frame| {
            let Some(reason) = reason(frame) else { return true };
            let known = dropped.iter().position(|known| known.reason == reason);
            let index = known.unwrap_or_else(|| {
                dropped.push(Dropped { reason, count: 0, examples: Vec::new() });
                dropped.len() - 1
            });
            if let Some(entry) = dropped.get_mut(index) {
                entry.count += 1;
                if entry.examples.len() < EXAMPLES {
                    entry.examples.push(frame.name.clone());
                }
            }
            false
        });
    }

    /// An error, with the reasons, where no frame is left.
    pub fn require_frames(&self) -> Result<()> {
        if !self.frames.is_empty() {
            return Ok(());
        }
        let files: Vec<&str> = self.sources.iter().map(|source| &*source.path).collect();
        let reasons: Vec<String> = self.dropped.iter().map(Dropped::sentence).collect();
        let found = if reasons.is_empty() { "none".into() } else { reasons.join("; ") };
        Err(Error::new(
            ErrorKind::Format,
            format!(
                "{}: expected at least one sound frame, found {found}: correct the data or choose \
                 other files",
                files.join(", ")
            ),
        ))
    }
}

impl Dropped {
    /// Count, reason and examples for people.
    pub fn sentence(&self) -> String {
        let Self { reason, count, examples } = self;
        let more = if *count > examples.len() { ", …" } else { "" };
        let frames = if *count == 1 { "frame" } else { "frames" };
        format!("{count} {frames} dropped, {reason} ({}{more})", examples.join(", "))
    }
}

/// Reads a file in the format that its first bytes show.
fn read(path: &Path) -> Result<(Source, Vec<Frame>)> {
    if path != Path::new("-") && begins_with(path, &hdf5::SIGNATURE)? {
        return hdf5::read(path);
    }
    let named_hdf5 =
        path.extension().is_some_and(|extension| extension == "h5" || extension == "hdf5");
    if named_hdf5 {
        return Err(Error::new(
            ErrorKind::Format,
            format!(
                "{}: expected an HDF5 file, found other first bytes: it is truncated or something \
                 else; copy it again, or name it *.xyz if it is extended XYZ",
                path.display()
            ),
        ));
    }
    extxyz::read_labelled(path)
}

fn begins_with(path: &Path, signature: &[u8]) -> Result<bool> {
    let failed = |error: std::io::Error| {
        let message = format!(
            "{}: expected a file with labelled structures: {error}; check its name",
            path.display()
        );
        Error::new(ErrorKind::Io, message)
    };
    let mut start = Vec::new();
    let file = File::open(path).map_err(failed)?;
    file.take(signature.len() as u64).read_to_end(&mut start).map_err(failed)?;
    Ok(start == signature)
}
