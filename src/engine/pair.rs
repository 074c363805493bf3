//! What all engines do with the geometry of pairs, in float64.

use super::Results;
use crate::error::{Error, ErrorKind, Result};
use crate::vector::norm;

/// Refuses NaN and infinite positions, naming the atom.
pub fn check_finite(positions: &[[f64; 3]]) -> Result<()> {
    match positions.iter().position(|r| r.iter().any(|x| !x.is_finite())) {
        None => Ok(()),
        Some(atom) => Err(Error::new(
            ErrorKind::Numeric,
            format!(
                "expected finite positions, but atom {atom} is at ({}, {}, {}): look for a time \
                 step that is too long or atoms that overlap",
                positions[atom][0], positions[atom][1], positions[atom][2]
            ),
        )
        .about([atom])),
    }
}

/// Atoms nearer to each other than this (Å) are at one place, up to rounding of positions and
/// images.
pub const COINCIDENT: f64 = 1e-9;

/// The error for two atoms at one place, where no direction exists. Copies go by their owners'
/// numbers, where these are known.
pub fn same_place(i: usize, j: usize) -> Error {
    let both @ [first, second] = [i.min(j), i.max(j)];
    let message = if i == j {
        format!("atom {i} and an image of it are at the same place: check the list, and the images")
    } else {
        format!("atoms {first} and {second} are at the same place: move them apart or remove one")
    };
    Error::new(ErrorKind::Numeric, message).about(both.into_iter().take(if i == j { 1 } else { 2 }))
}

/// Refuses results that are not numbers, naming the first atom concerned.
pub fn check_results(results: &Results) -> Result<()> {
    check_values(&results.atomic_energies, &results.forces)
}

/// Refuses energies (eV) and forces (eV/Å) that are not numbers, naming the first atom concerned.
pub fn check_values(energies: &[f64], forces: &[[f64; 3]]) -> Result<()> {
    let finite = |i: &usize| energies[*i].is_finite() && forces[*i].iter().all(|f| f.is_finite());
    match (0..energies.len()).find(|i| !finite(i)) {
        None => Ok(()),
        Some(atom) => Err(Error::new(
            ErrorKind::Numeric,
            format!(
                "the energy ({}) or force ({:?}) of atom {atom} is not a finite number: its \
                 surroundings are outside what this model was trained for",
                energies[atom], forces[atom]
            ),
        )
        .about([atom])),
    }
}

/// ∂E/∂r of a pair from ∂E/∂d and ∂E/∂u, where u = r / (d + σ).
pub fn gradient(r: &[f64; 3], d: f64, softening: f64, d_bar: f64, u_bar: &[f64; 3]) -> [f64; 3] {
    let soft = d + softening;
    let along: f64 = r.iter().zip(u_bar).map(|(r, u)| r * u).sum();
    let radial = (d_bar - along / (soft * soft)) / d;
    std::array::from_fn(|a| radial * r[a] + u_bar[a] / soft)
}

/// r = to − from (Å), and its length (Å).
pub fn distance(from: &[f64; 3], to: &[f64; 3]) -> ([f64; 3], f64) {
    let r: [f64; 3] = std::array::from_fn(|a| to[a] - from[a]);
    (r, norm(r))
}

/// Adds a pair to one of its atoms, i: r = r_j − r_i, and g = ∂E/∂r of the pair with both
/// directions together. Half of the virial is i's.
pub fn add(force: &mut [f64; 3], virial: &mut [f64; 9], r: &[f64; 3], g: &[f64; 3]) {
    // r_i enters r with a minus, and the force is the negative slope.
    (0..3).for_each(|a| force[a] += g[a]);
    add_virial(virial, r, g);
}

/// Subtracts r ⊗ g / 2 from a virial (eV): one half of a pair's, for r (Å) and g = ∂E/∂r (eV/Å).
pub fn add_virial(virial: &mut [f64; 9], r: &[f64; 3], g: &[f64; 3]) {
    for a in 0..3 {
        for b in 0..3 {
            virial[3 * a + b] -= 0.5 * r[a] * g[b];
        }
    }
}

/// Results whose energy (eV) and virial (eV) are the sums over the atoms.
pub fn total(
    atomic_energies: Vec<f64>,
    forces: Vec<[f64; 3]>,
    atomic_virials: Vec<[f64; 9]>,
) -> Results {
    let virial = sum(&atomic_virials);
    // An empty sum is −0.
    let energy = atomic_energies.iter().sum::<f64>() + 0.0;
    let (outside, overlaps) = (Vec::new(), Vec::new());
    Results { energy, atomic_energies, forces, virial, atomic_virials, outside, overlaps }
}

/// The sum of virials (eV), component by component.
pub fn sum<'a>(virials: impl IntoIterator<Item = &'a [f64; 9]>) -> [f64; 9] {
    let mut total = [0.0; 9];
    for virial in virials {
        total.iter_mut().zip(virial).for_each(|(sum, part)| *sum += part);
    }
    total
}
