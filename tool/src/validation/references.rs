//! Energies per element that bring two methods together.

use std::collections::{BTreeMap, BTreeSet};

use super::Prediction;
use crate::dataset::Frame;
use mlff_student::error::{Error, ErrorKind, Result};

/// Compared with the matrix' trace: far above rounding and far below what the data determine, so
/// that elements that always occur together get a share each.
const RIDGE: f64 = 1e-12;

/// The energy of each element (eV) that, added to the student's energies, leaves the least mean
/// square error per atom.
pub(super) fn fit(frames: &[Frame], predictions: &[Prediction]) -> Result<BTreeMap<u8, f64>> {
    let elements: BTreeSet<u8> = frames.iter().flat_map(|frame| &frame.species).copied().collect();
    let elements: Vec<u8> = elements.into_iter().collect();
    let size = elements.len();
    let (mut matrix, mut right) = (vec![vec![0.0; size]; size], vec![0.0; size]);
    for (frame, prediction) in frames.iter().zip(predictions) {
        let atoms = frame.species.len() as f64;
        let share =
            |&element: &u8| frame.species.iter().filter(|&&z| z == element).count() as f64 / atoms;
        let shares: Vec<f64> = elements.iter().map(share).collect();
        let missing = (frame.energy - prediction.energy) / atoms;
        for row in 0..size {
            right[row] += shares[row] * missing;
            for column in 0..size {
                matrix[row][column] += shares[row] * shares[column];
            }
        }
    }
    let trace: f64 = (0..size).map(|k| matrix[k][k]).sum();
    for k in 0..size {
        matrix[k][k] += RIDGE * trace;
    }
    let solution = solve(matrix, right).ok_or_else(|| {
        let message = "references by element cannot be fitted: expected finite energies; check \
            that the labels and the model's weights are sound";
        Error::new(ErrorKind::Numeric, message)
    })?;
    Ok(elements.into_iter().zip(solution).collect())
}

/// Gauss–Jordan elimination; the matrix is positive definite and needs no exchange of rows.
fn solve(mut matrix: Vec<Vec<f64>>, mut right: Vec<f64>) -> Option<Vec<f64>> {
    let size = right.len();
    for pivot in 0..size {
        let diagonal = matrix[pivot][pivot];
        if diagonal.is_nan() || diagonal <= 0.0 {
            return None;
        }
        for row in (0..size).filter(|&row| row != pivot) {
            let factor = matrix[row][pivot] / diagonal;
            for column in pivot..size {
                matrix[row][column] -= factor * matrix[pivot][column];
            }
            right[row] -= factor * right[pivot];
        }
    }
    let solution: Vec<f64> = (0..size).map(|k| right[k] / matrix[k][k]).collect();
    solution.iter().all(|value| value.is_finite()).then_some(solution)
}
