//! The student's energies, forces and stresses of many frames, in parallel over frames.

use std::sync::Arc;

use rayon::prelude::*;

use crate::dataset::{Dataset, Frame};
use crate::engine::{Calculator, Options, Structure};
use crate::error::{Error, ErrorKind, Result};
use crate::model::Model;

/// What a student says of a frame.
#[derive(Clone, Debug, PartialEq)]
pub struct Prediction {
    /// eV.
    pub energy: f64,
    /// eV/Å.
    pub forces: Vec<[f64; 3]>,
    /// eV/Å³, positive = tension; `None` unless periodic in three directions.
    pub stress: Option<[[f64; 3]; 3]>,
}

/// Evaluates all frames on `threads` threads, each with a calculator of its own, so that results
/// do not depend on their number. Frames with elements that the model lacks, and those that it
/// cannot be evaluated on (atoms at one place), are dropped from the dataset and counted there; the
/// rest have one prediction each. `done` is called after each frame.
pub fn predict(
    model: &Arc<Model>,
    options: Options,
    threads: usize,
    dataset: &mut Dataset,
    done: impl Fn() + Sync,
) -> Result<Vec<Prediction>> {
    dataset.drop_unknown_elements(&model.species);
    dataset.require_frames()?;
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads.max(1)).build();
    let pool = pool.map_err(|error| {
        let message = format!("{threads} threads cannot be started: {error}; use fewer");
        Error::new(ErrorKind::Memory, message)
    })?;
    // The first one shows whether there can be any.
    Calculator::new(Arc::clone(model), options)?;
    let calculator = || Calculator::new(Arc::clone(model), options);
    let predictions: Vec<Result<Prediction>> = pool.install(|| {
        let frames = dataset.frames.par_iter().with_max_len(64);
        frames
            .map_init(calculator, |calculator, frame| {
                let calculator = calculator.as_mut().map_err(|error| error.clone())?;
                let prediction = evaluate(calculator, frame);
                done();
                prediction
            })
            .collect()
    });
    keep_computed(dataset, predictions)
}

/// What a calculator's student says of one frame.
pub fn evaluate(calculator: &mut Calculator, frame: &Frame) -> Result<Prediction> {
    let species: Vec<i32> = frame.species.iter().map(|&z| i32::from(z)).collect();
    let structure = Structure {
        species: &species,
        positions: &frame.positions,
        cell: frame.cell,
        periodic: frame.periodic,
    };
    let results = calculator.compute_structure(&structure)?;
    Ok(Prediction {
        energy: results.energy,
        forces: results.forces.clone(),
        stress: structure.stress(&results.virial),
    })
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
        failed.then(|| "the model cannot be evaluated there (atoms at one place, bad cell)".into())
    });
    dataset.require_frames()?;
    Ok(kept)
}
