//! A training run on disk: everything that the next step depends on.

use std::path::Path;

use mlff_student::{Error, ErrorKind, Result};
use tch::{Kind, Tensor};

use crate::curves::Row;
use crate::loss::Errors;
use crate::optimizer::Optimizer;

/// Its file's name in the output folder, without ending.
pub const CHECKPOINT: &str = "checkpoint";

/// What a run began with: labels and what the student's file says follow from it.
#[derive(Clone, Debug, PartialEq)]
pub struct Beginning {
    /// Hash of the student's file that gave the weights; none for random weights.
    pub from: Option<u64>,
    /// Frames that this student had seen.
    pub earlier_samples: u64,
    /// Hashes of the data that it had seen, one behind the other; empty where nothing is known.
    pub earlier_data: String,
    /// Subtracted from the labels, one for each element (eV).
    pub reference_energies: Vec<f64>,
}

/// Where a run is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Progress {
    /// Pass through the data.
    pub epoch: u64,
    /// Batches of this pass that were used.
    pub batch: u64,
    /// Frames seen in all.
    pub samples: u64,
    /// Time spent (s).
    pub seconds: f64,
}

/// A run that can go on.
#[derive(Debug)]
pub struct Checkpoint {
    /// Configuration and data that it belongs to.
    pub fingerprint: u64,
    /// What it began with.
    pub beginning: Beginning,
    /// How far the run has come.
    pub progress: Progress,
    /// The trained weights as they are, not averaged: one flat array.
    pub weights: Tensor,
    /// The optimizer's state, the averaged weights among it.
    pub optimizer: Optimizer,
    /// All looks at the errors so far.
    pub history: Vec<Row>,
    /// Errors since the last of them.
    pub errors: Errors,
    /// Batches so far without a finite gradient.
    pub unusable: u64,
}

impl Checkpoint {
    /// Writes beside the destination and renames, so that a kill leaves the one before.
    pub fn save(&self, path: &Path) -> Result<()> {
        let Progress { epoch, batch, samples, seconds } = self.progress;
        let Beginning { from, earlier_samples, earlier_data, reference_energies } = &self.beginning;
        let [high, low] = halves(self.fingerprint);
        let [from_high, from_low] = halves(from.unwrap_or(0));
        let place = [
            high,
            low,
            from_high,
            from_low,
            *earlier_samples as f64,
            epoch as f64,
            batch as f64,
            samples as f64,
            seconds,
            self.optimizer.steps as f64,
            self.unusable as f64,
        ];
        let history: Vec<f64> = self.history.iter().flat_map(Row::numbers).collect();
        let columns = Row::COLUMNS.len() as i64;
        let tensors = [
            ("place", Tensor::from_slice(&place)),
            ("reference_energies", Tensor::from_slice(reference_energies)),
            ("earlier_data", Tensor::from_slice(earlier_data.as_bytes())),
            ("errors", Tensor::from_slice(&self.errors.numbers())),
            ("weights", self.weights.copy()),
            ("mean", self.optimizer.mean.shallow_clone()),
            ("square", self.optimizer.square.shallow_clone()),
            ("average", self.optimizer.average.shallow_clone()),
            ("history", Tensor::from_slice(&history).view([-1, columns])),
        ];
        let partial = path.with_extension("partial");
        Tensor::write_safetensors(&tensors, &partial)
            .map_err(|error| error.to_string())
            .and_then(|()| std::fs::rename(&partial, path).map_err(|error| error.to_string()))
            .map_err(|error| {
                let message =
                    format!("{}: the checkpoint cannot be written: {error}", path.display());
                Error::new(ErrorKind::Io, message)
            })
    }

    /// Refuses one that a student with weights like these, and so many elements, cannot go on from:
    /// it is damaged, since it belongs to this run by its fingerprint.
    pub fn check(&self, weights: &Tensor, species: usize, path: &Path) -> Result<()> {
        let Optimizer { mean, square, average, .. } = &self.optimizer;
        let tensors =
            [("weights", &self.weights), ("mean", mean), ("square", square), ("average", average)];
        for (name, tensor) in tensors {
            if (tensor.size(), tensor.kind()) != (weights.size(), weights.kind()) {
                let (size, kind) = (tensor.size(), tensor.kind());
                return Err(broken(path, &format!("{name} of shape {size:?} and type {kind:?}")));
            }
            if tensor.isfinite().all().int64_value(&[]) == 0 {
                return Err(broken(path, &format!("{name} that are no numbers")));
            }
        }
        let energies = &self.beginning.reference_energies;
        if energies.len() != species || !energies.iter().all(|energy| energy.is_finite()) {
            let what = format!("reference energies {energies:?} for {species} elements");
            return Err(broken(path, &what));
        }
        Ok(())
    }

    /// Reads what [`Self::save`] wrote.
    pub fn load(path: &Path) -> Result<Self> {
        let broken = |what: &str| broken(path, what);
        let tensors = Tensor::read_safetensors(path).map_err(|error| broken(&error.to_string()))?;
        let take = |name: &str| {
            let found = tensors.iter().find(|(known, _)| known == name);
            found.map(|(_, tensor)| tensor.copy()).ok_or_else(|| broken(&format!("no {name}")))
        };
        let numbers = |name: &str| {
            let flat = take(name)?.to_kind(Kind::Double).view([-1]);
            Vec::<f64>::try_from(flat).map_err(|error| broken(&error.to_string()))
        };
        let place = numbers("place")?;
        let &[
            high,
            low,
            from_high,
            from_low,
            earlier,
            epoch,
            batch,
            samples,
            seconds,
            steps,
            unusable,
        ] = &place[..]
        else {
            return Err(broken("another number of counters"));
        };
        let errors = <[f64; 6]>::try_from(numbers("errors")?)
            .map_err(|_| broken("another number of errors"))?;
        let text = numbers("earlier_data")?.into_iter().map(|byte| byte as u8).collect();
        let earlier_data = String::from_utf8(text).map_err(|error| broken(&error.to_string()))?;
        let rows = numbers("history")?;
        Ok(Self {
            fingerprint: whole(high, low),
            beginning: Beginning {
                from: Some(whole(from_high, from_low)).filter(|&hash| hash != 0),
                earlier_samples: earlier as u64,
                earlier_data,
                reference_energies: numbers("reference_energies")?,
            },
            progress: Progress {
                epoch: epoch as u64,
                batch: batch as u64,
                samples: samples as u64,
                seconds,
            },
            weights: take("weights")?,
            optimizer: Optimizer {
                mean: take("mean")?,
                square: take("square")?,
                average: take("average")?,
                steps: steps as u64,
            },
            history: rows.chunks_exact(Row::COLUMNS.len()).filter_map(Row::from_numbers).collect(),
            errors: Errors::from_numbers(errors),
            unusable: unusable as u64,
        })
    }
}

fn broken(path: &Path, what: &str) -> Error {
    let message = format!(
        "{}: expected a whole checkpoint of this version, found {what}: start anew with --restart",
        path.display()
    );
    Error::new(ErrorKind::Format, message)
}

/// Tensors hold float64, which has no room for 64 bits.
fn halves(number: u64) -> [f64; 2] {
    [(number >> 32) as f64, (number & 0xffff_ffff) as f64]
}

fn whole(high: f64, low: f64) -> u64 {
    ((high as u64) << 32) | low as u64
}
