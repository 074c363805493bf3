//! How far a student is from its teacher: errors of energies, forces and stresses over a dataset,
//! by element, temperature, kind and size of structure, and the worst frames by name.
//!
//! [`predict`] evaluates the student, [`Report::new`] does the statistics, [`Report::markdown`] and
//! [`draw`] show them.

mod aligned;
mod calibrate;
mod groups;
mod outside;
mod pictures;
mod predict;
mod prune;
mod references;
mod statistics;
mod text;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::dataset::{Dataset, Dropped, Frame, Source, Split};
use mlff_student::error::Result;
use mlff_student::model::{Model, symbol};
use mlff_student::vector::norm;

pub use calibrate::energy_range;
pub use groups::Group;
pub use outside::{Counts, Outside, OutsideFrame};
pub use pictures::draw;
pub use predict::{Prediction, predict, species, structure};
pub use prune::pruned;
pub use statistics::{EnergyErrors, Errors, ForceErrors, StressErrors};

/// Angles are taken between forces of which the teacher's is longer than this (eV/Å): short ones
/// have directions of noise.
pub const SHORTEST_FORCE: f64 = 0.1;

/// How many of the worst frames are named.
const WORST: usize = 20;

/// Everything that was measured.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// What was validated.
    pub model: ModelSummary,
    /// On what.
    pub data: DataSummary,
    /// Frames left out, and why.
    pub dropped: Vec<Dropped>,
    /// What a reader should know beside the figures.
    pub notes: Vec<String>,
    /// Frames that are not like the student's training data.
    pub outside: Outside,
    /// Over all frames.
    pub overall: Errors,
    /// By use of the frames (train, valid, test).
    pub by_split: Vec<Group>,
    /// By kind of structure.
    pub by_kind: Vec<Group>,
    /// By temperature of the trajectories.
    pub by_temperature: Vec<Group>,
    /// By number of atoms.
    pub by_size: Vec<Group>,
    /// By chemical element: forces on its atoms; energies of frames that have it.
    pub by_element: Vec<Group>,
    /// Energy per atom of each element (eV) that brings the student's energies closest to the
    /// labels, by least squares over these frames.
    pub fitted_references_ev: BTreeMap<&'static str, f64>,
    /// Frames with the largest root mean square error of the forces.
    pub worst_forces: Vec<Worst>,
    /// Frames with the largest error of the energy per atom, references fitted.
    pub worst_energies: Vec<Worst>,
}

/// The student.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ModelSummary {
    /// Its file, as given.
    pub file: String,
    /// Family of networks.
    pub architecture: &'static str,
    /// Number of channels.
    pub hidden: usize,
    /// Number of blocks.
    pub blocks: usize,
    /// Trainable parameters.
    pub parameters: usize,
    /// Å.
    pub cutoff_angstrom: f64,
    /// Whose labels it was trained on, where its file says so.
    pub teacher: Option<String>,
}

/// The frames that were evaluated.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DataSummary {
    /// The files.
    pub sources: Vec<Source>,
    /// Method of the labels.
    pub teacher: Option<String>,
    /// Frames evaluated.
    pub frames: usize,
    /// Atoms in them.
    pub atoms: usize,
    /// Different molecules among them.
    pub molecules: usize,
    /// Different scaffolds among them.
    pub scaffolds: usize,
}

/// A frame with large errors.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Worst {
    /// Its name.
    pub name: String,
    /// Its kind; empty where unknown.
    pub kind: String,
    /// Its chemical formula.
    pub formula: String,
    /// Number of atoms.
    pub atoms: usize,
    /// Root mean square over its force components (eV/Å).
    pub force_rmse_ev_per_angstrom: f64,
    /// Largest |ΔF| of an atom (eV/Å).
    pub largest_force_error_ev_per_angstrom: f64,
    /// Student minus label, references fitted (meV/atom).
    pub energy_error_mev_per_atom: f64,
}

impl Report {
    /// Compares `predictions`, one for each frame of `dataset`, with its labels. `file` is where
    /// the model came from.
    pub fn new(
        file: String,
        model: &Model,
        dataset: &Dataset,
        predictions: &[Prediction],
    ) -> Result<Self> {
        let references = references::fit(&dataset.frames, predictions)?;
        let pairs: Vec<Compared<'_>> = dataset
            .frames
            .iter()
            .zip(predictions)
            .map(|(frame, prediction)| Compared::new(frame, prediction, &references))
            .collect();
        let teacher = model.metadata.get("teacher").cloned();
        let mut notes = dataset.notes.clone();
        notes.extend(teachers_differ(teacher.as_deref(), dataset.teacher.as_deref()));
        notes.extend(trained_on(model, dataset));
        let distinct = |text: fn(&Frame) -> &str| {
            let names: BTreeSet<&str> = dataset.frames.iter().map(text).collect();
            names.into_iter().filter(|name| !name.is_empty()).count()
        };
        Ok(Self {
            model: ModelSummary {
                file,
                architecture: model.architecture.name(),
                hidden: model.hidden,
                blocks: model.blocks.len(),
                parameters: model.parameters(),
                cutoff_angstrom: model.cutoff,
                teacher,
            },
            data: DataSummary {
                sources: dataset.sources.clone(),
                teacher: dataset.teacher.clone(),
                frames: pairs.len(),
                atoms: dataset.frames.iter().map(|frame| frame.species.len()).sum(),
                molecules: distinct(|frame| &frame.molecule),
                scaffolds: distinct(|frame| &frame.scaffold),
            },
            dropped: dataset.dropped.clone(),
            notes,
            outside: Outside::new(model, &pairs),
            overall: Errors::of(&pairs),
            by_split: groups::by_split(&pairs),
            by_kind: groups::by_kind(&pairs),
            by_temperature: groups::by_temperature(&pairs),
            by_size: groups::by_size(&pairs),
            by_element: groups::by_element(&pairs),
            fitted_references_ev: references
                .iter()
                .filter_map(|(&z, &energy)| Some((symbol(z)?, energy)))
                .collect(),
            worst_forces: worst(&pairs, |pair| pair.force_rmse()),
            worst_energies: worst(&pairs, |pair| pair.energy_error_referenced().abs()),
        })
    }
}

/// A frame beside what the student says of it.
#[derive(Clone, Copy)]
pub(crate) struct Compared<'a> {
    frame: &'a Frame,
    prediction: &'a Prediction,
    /// Fitted references of all its atoms together (eV).
    references: f64,
}

impl<'a> Compared<'a> {
    fn new(frame: &'a Frame, prediction: &'a Prediction, references: &BTreeMap<u8, f64>) -> Self {
        let reference = |z| references.get(z).copied().unwrap_or(0.0);
        Self { frame, prediction, references: frame.species.iter().map(reference).sum() }
    }

    fn atoms(&self) -> f64 {
        self.frame.species.len() as f64
    }

    /// Student minus label (eV/atom).
    fn energy_error(&self) -> f64 {
        (self.prediction.energy - self.frame.energy) / self.atoms()
    }

    /// The same with the references that fit best (eV/atom).
    fn energy_error_referenced(&self) -> f64 {
        (self.prediction.energy + self.references - self.frame.energy) / self.atoms()
    }

    /// Label and prediction of each atom's force, with its element.
    fn forces(&self) -> impl Iterator<Item = (u8, &'a [f64; 3], &'a [f64; 3])> {
        let forces = self.frame.forces.iter().zip(&self.prediction.forces);
        self.frame.species.iter().zip(forces).map(|(&z, (label, found))| (z, label, found))
    }

    fn force_errors(&self) -> impl Iterator<Item = [f64; 3]> {
        self.forces().map(|(_, label, found)| std::array::from_fn(|k| found[k] - label[k]))
    }

    fn force_rmse(&self) -> f64 {
        let squares: f64 = self.force_errors().flatten().map(|error| error * error).sum();
        (squares / (3.0 * self.atoms())).sqrt()
    }

    fn largest_force_error(&self) -> f64 {
        self.force_errors().map(norm).fold(0.0, f64::max)
    }

    /// Label and prediction of the nine components, where both are there.
    fn stress(&self) -> impl Iterator<Item = (f64, f64)> + use<'a> {
        let both = self.frame.stress.as_ref().zip(self.prediction.stress.as_ref());
        both.into_iter().flat_map(|(label, found)| {
            label.as_flattened().iter().copied().zip(found.as_flattened().iter().copied())
        })
    }
}

fn worst(pairs: &[Compared<'_>], error: impl Fn(&Compared<'_>) -> f64) -> Vec<Worst> {
    let mut order: Vec<(f64, &Compared<'_>)> =
        pairs.iter().map(|pair| (error(pair), pair)).collect();
    order.sort_by(|a, b| b.0.total_cmp(&a.0));
    let named = |(_, pair): &(f64, &Compared<'_>)| Worst {
        name: pair.frame.name.clone(),
        kind: pair.frame.kind.clone(),
        formula: formula(&pair.frame.species),
        atoms: pair.frame.species.len(),
        force_rmse_ev_per_angstrom: pair.force_rmse(),
        largest_force_error_ev_per_angstrom: pair.largest_force_error(),
        energy_error_mev_per_atom: 1000.0 * pair.energy_error_referenced(),
    };
    order.iter().take(WORST).map(named).collect()
}

/// C and H first, then by symbol (Hill's system).
fn formula(species: &[u8]) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for &z in species {
        *counts.entry(symbol(z).unwrap_or("?")).or_default() += 1;
    }
    let organic = counts.contains_key("C");
    let rank = |symbol: &str| match symbol {
        "C" if organic => 0,
        "H" if organic => 1,
        _ => 2,
    };
    let mut sorted: Vec<(&str, usize)> = counts.into_iter().collect();
    sorted.sort_by_key(|(symbol, _)| (rank(symbol), *symbol));
    let part = |(symbol, count): (&str, usize)| match count {
        1 => symbol.to_string(),
        _ => format!("{symbol}{count}"),
    };
    sorted.into_iter().map(part).collect()
}

/// Says so where frames may be among those that the student was trained on.
fn trained_on(model: &Model, dataset: &Dataset) -> Option<String> {
    let trained: BTreeSet<&str> = model.metadata.get("training_data_hash")?.split(' ').collect();
    let known = |source: &&Source| {
        source.content_hash.as_deref().is_some_and(|hash| trained.contains(hash))
    };
    let files: Vec<&str> =
        dataset.sources.iter().filter(known).map(|source| source.path.as_str()).collect();
    let seen = |frame: &&Frame| frame.split.is_none_or(|split| split == Split::Train);
    let frames = dataset.frames.iter().filter(seen).count();
    if files.is_empty() || frames == 0 {
        return None;
    }
    Some(format!(
        "the student was trained on {}: errors on up to {frames} of these {} frames are smaller \
         than on what it does not know; --split test takes the frames that were held out",
        files.join(", "),
        dataset.frames.len()
    ))
}

fn teachers_differ(model: Option<&str>, data: Option<&str>) -> Option<String> {
    match (model, data) {
        (Some(model), Some(data)) if model == data => None,
        (Some(model), Some(data)) => Some(format!(
            "the student learned from {model}, the labels are of {data}: energies differ by more \
             than errors; of the two energy figures, look at the one with fitted references"
        )),
        (None, _) => Some(
            "the student's file does not say which teacher it learned from: if it is not the one \
             of these labels, only the energy figure with fitted references means something"
                .into(),
        ),
        (Some(_), None) => None,
    }
}
