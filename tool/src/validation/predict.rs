//! The student's energies, forces and stresses of many frames, in batches.

use std::sync::Arc;

use crate::dataset::{Dataset, Frame};
use mlff_student::engine::{Calculator, Check, Options, Results, Structure};
use mlff_student::error::{ErrorKind, Result};
use mlff_student::model::Model;

/// What a student says of a frame.
#[derive(Clone, Debug, PartialEq)]
pub struct Prediction {
    /// eV.
    pub energy: f64,
    /// eV/Å.
    pub forces: Vec<[f64; 3]>,
    /// eV/Å³, positive = tension; `None` unless periodic in three directions.
    pub stress: Option<[[f64; 3]; 3]>,
    /// Atoms far outside of what the student learned, ascending.
    pub outside: Vec<u32>,
    /// Pairs of atoms that overlap.
    pub overlaps: Vec<[u32; 2]>,
}

/// Frames computed between two calls of `done`: enough of twenty atoms to keep many threads busy.
const TOGETHER: usize = 1024;

/// Evaluates all frames, small ones in batches; on a processor results do not depend on the number
/// of threads. Frames with elements that the model lacks, and those that it cannot be evaluated on
/// (bad cells), are dropped from the dataset and counted there; the rest have one prediction each.
/// `done` is told how many frames are done.
pub fn predict(
    model: &Arc<Model>,
    options: Options,
    dataset: &mut Dataset,
    done: impl FnMut(usize),
) -> Result<Vec<Prediction>> {
    dataset.drop_unknown_elements(&model.species);
    dataset.require_frames()?;
    let predictions = evaluate(model, options, &dataset.frames, Prediction::new, done)?;
    keep_computed(dataset, predictions)
}

/// What `keep` makes of the results of each frame, or why there are none; small frames are computed
/// in batches. `done` is told how many frames are done.
pub(super) fn evaluate<T>(
    model: &Arc<Model>,
    options: Options,
    frames: &[Frame],
    keep: impl Fn(&Structure<'_>, &Results) -> T,
    mut done: impl FnMut(usize),
) -> Result<Vec<Result<T>>> {
    // Whoever asks for results sees what is outside.
    let options = Options { check: Check::Report, ..options };
    let mut calculator = Calculator::new(Arc::clone(model), options)?;
    let mut kept: Vec<Result<T>> = Vec::new();
    kept.try_reserve_exact(frames.len())?;
    for frames in frames.chunks(TOGETHER) {
        let species: Vec<Vec<i32>> = frames.iter().map(species).collect();
        let structures: Vec<Structure<'_>> =
            frames.iter().zip(&species).map(|(frame, species)| structure(frame, species)).collect();
        match calculator.compute_batch(&structures) {
            Ok(all) => {
                kept.extend(structures.iter().zip(&all).map(|(of, results)| Ok(keep(of, results))));
            }
            // Who is to blame shows when each is computed alone.
            Err(_) => kept.extend(structures.iter().map(|structure| {
                let results = calculator.compute_structure(structure)?;
                Ok(keep(structure, results))
            })),
        }
        done(kept.len());
    }
    Ok(kept)
}

/// The atomic numbers of a frame, as engines take them.
pub fn species(frame: &Frame) -> Vec<i32> {
    frame.species.iter().map(|&number| number.into()).collect()
}

/// What engines compute of a frame, whose [`species`] the caller keeps.
pub fn structure<'a>(frame: &'a Frame, species: &'a [i32]) -> Structure<'a> {
    Structure { species, positions: &frame.positions, cell: frame.cell, periodic: frame.periodic }
}

impl Prediction {
    fn new(structure: &Structure<'_>, results: &Results) -> Self {
        Self {
            energy: results.energy,
            forces: results.forces.clone(),
            stress: structure.stress(&results.virial),
            outside: results.outside.clone(),
            overlaps: results.overlaps.clone(),
        }
    }
}

/// Drops the frames whose structure is to blame; other errors end the run.
fn keep_computed(
    dataset: &mut Dataset,
    predictions: Vec<Result<Prediction>>,
) -> Result<Vec<Prediction>> {
    let mut kept = Vec::new();
    kept.try_reserve_exact(predictions.len())?;
    let mut failed = Vec::new();
    for prediction in predictions {
        match prediction {
            Ok(prediction) => {
                kept.push(prediction);
                failed.push(false);
            }
            Err(error)
                if matches!(error.kind(), ErrorKind::Numeric | ErrorKind::InvalidArgument) =>
            {
                failed.push(true);
            }
            Err(error) => return Err(error),
        }
    }
    let mut failed = failed.into_iter();
    dataset.drop(|_| {
        let failed = failed.next().unwrap_or(false);
        failed.then(|| {
            "the model cannot be evaluated there (bad cell, results that are no numbers)".into()
        })
    });
    dataset.require_frames()?;
    Ok(kept)
}
