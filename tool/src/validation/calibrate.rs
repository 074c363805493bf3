//! Which energies of atoms a student saw in training: [`EnergyRange`].

use std::sync::Arc;

use super::predict::evaluate;
use crate::dataset::Frame;
use mlff_student::engine::{Options, Results, Structure};
use mlff_student::error::{ErrorKind, Result};
use mlff_student::model::{EnergyRange, Model, Repulsion};
use mlff_student::neighbors::neighborhood;
use mlff_student::vector::norm;

/// Share of an element's atoms that lies below its range, and above it: a few atoms that a student
/// gets wrong must not decide where all others end.
const OUTSIDE: f64 = 1e-4;

/// The range of the energies that the network of `model` gives the atoms of `frames`. Frames that
/// it cannot be evaluated on are skipped, and elements that no frame has get (0, 0). `done` is told
/// how many frames are done.
pub fn energy_range(
    model: &Model,
    options: Options,
    frames: &[Frame],
    done: impl FnMut(usize),
) -> Result<EnergyRange> {
    // Energies as they are before they saturate.
    let model = Arc::new(Model { energy_range: None, ..model.clone() });
    let network =
        |structure: &Structure<'_>, results: &Results| network_energies(&model, structure, results);
    let mut found: Vec<Vec<f64>> = vec![Vec::new(); model.reference_energies.len()];
    let all = evaluate(&model, options, frames, network, done)?;
    for (frame, energies) in frames.iter().zip(all) {
        match energies.and_then(|energies| energies) {
            Ok(energies) => {
                for (&number, energy) in frame.species.iter().zip(energies) {
                    found[usize::from(number)].push(energy);
                }
            }
            Err(error) if matches!(error.kind(), ErrorKind::Memory) => return Err(error),
            Err(_) => {}
        }
    }
    let bounds = found.into_iter().map(|mut energies| {
        energies.sort_by(f64::total_cmp);
        let outside = (OUTSIDE * energies.len() as f64) as usize;
        match energies.len().checked_sub(1 + outside) {
            Some(last) => [energies[outside], energies[last]],
            None => [0.0; 2],
        }
    });
    Ok(EnergyRange { bounds: bounds.collect() })
}

/// Energies of atoms (eV) without reference energies and repulsion.
fn network_energies(
    model: &Model,
    structure: &Structure<'_>,
    results: &Results,
) -> Result<Vec<f64>> {
    let mut energies = results.atomic_energies.clone();
    for (energy, &number) in energies.iter_mut().zip(structure.species) {
        *energy -= model.reference_energies[number as usize];
    }
    if let Some(repulsion) = &model.repulsion {
        subtract(&mut energies, repulsion, structure)?;
    }
    Ok(energies)
}

/// Takes away half of each pair's repulsion from either atom.
fn subtract(energies: &mut [f64], repulsion: &Repulsion, structure: &Structure<'_>) -> Result<()> {
    let Structure { species, positions, cell, periodic } = *structure;
    let list = neighborhood(positions, cell, periodic, repulsion.longest())?;
    for (i, window) in list.offsets.windows(2).enumerate() {
        for &j in &list.neighbors[window[0]..window[1]] {
            let (from, place) = list.place(positions, j);
            let d = norm(std::array::from_fn(|a| place[a] - positions[i][a]));
            let pair = [species[i], species[from]].map(|number| number as u8);
            energies[i] -= 0.5 * repulsion.at(pair, d).0;
        }
    }
    Ok(())
}
