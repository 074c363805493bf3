//! A student with fewer vectors: those whose loss costs least are left out.

use std::sync::Arc;

use super::predict::evaluate;
use crate::dataset::Frame;
use mlff_student::engine::{Options, Results, Structure};
use mlff_student::error::Result;
use mlff_student::model::Model;
use mlff_student::vector::norm;

/// One in so many vectors is left out at a time: what the others cost changes with them.
const AT_A_TIME: usize = 4;

/// `model` with so many of its vectors, at most as many as it has. Each one is left out on trial,
/// and those go without which forces of `frames` err least, a quarter of them at a time. `done` is
/// told how many frames were computed, and the share of the work that is done. What is left has to
/// be trained further.
pub fn pruned(
    model: &Model,
    vectors: usize,
    options: Options,
    frames: &[Frame],
    mut done: impl FnMut(usize, f64),
) -> Result<Model> {
    let first = model.vectors;
    let mut kept: Vec<usize> = (0..first).collect();
    let mut computed = 0;
    while kept.len() > vectors {
        let mut errors = Vec::new();
        for (place, &vector) in kept.iter().enumerate() {
            let others: Vec<usize> =
                kept.iter().copied().filter(|&other| other != vector).collect();
            let error = force_error(&model.with_vectors(&others), options, frames)?;
            errors.push((error, vector));
            let part = place as f64 / (AT_A_TIME * kept.len()) as f64;
            let left = (1.0 - part) * kept.len() as f64 - vectors as f64;
            computed += frames.len();
            done(computed, (1.0 - left.max(0.0) / (first - vectors) as f64).clamp(0.0, 1.0));
        }
        errors.sort_by(|a, b| a.0.total_cmp(&b.0));
        let count = (kept.len() / AT_A_TIME).clamp(1, kept.len() - vectors);
        let lost: Vec<usize> = errors[..count].iter().map(|&(_, vector)| vector).collect();
        kept.retain(|vector| !lost.contains(vector));
    }
    Ok(model.with_vectors(&kept))
}

/// Mean error of the forces' lengths (eV/Å); frames that the student cannot be evaluated on are
/// left out.
fn force_error(model: &Model, options: Options, frames: &[Frame]) -> Result<f64> {
    let forces = |_: &Structure<'_>, results: &Results| results.forces.clone();
    let found = evaluate(&Arc::new(model.clone()), options, frames, forces, |_| {})?;
    let (mut sum, mut count) = (0.0, 0_usize);
    for (frame, forces) in frames.iter().zip(found) {
        let Ok(forces) = forces else { continue };
        for (force, label) in forces.iter().zip(&frame.forces) {
            sum += norm(std::array::from_fn(|a| force[a] - label[a]));
        }
        count += forces.len();
    }
    Ok(sum / count.max(1) as f64)
}
