//! What both engines do with the geometry of pairs, in float64.

use super::Results;
use crate::error::{Error, ErrorKind, Result};

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
        )),
    }
}

/// Refuses two atoms at one place, where no direction exists.
pub fn check_apart(d: f64, i: usize, j: usize) -> Result<()> {
    if d > 0.0 {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Numeric,
        format!("atoms {i} and {j} are at the same place: move them apart or remove one"),
    ))
}

/// Refuses results that are not numbers, naming the first atom concerned.
pub fn check_results(results: &Results) -> Result<()> {
    let finite = |i: &usize| {
        results.atomic_energies[*i].is_finite() && results.forces[*i].iter().all(|f| f.is_finite())
    };
    match (0..results.atomic_energies.len()).find(|i| !finite(i)) {
        None => Ok(()),
        Some(atom) => Err(Error::new(
            ErrorKind::Numeric,
            format!(
                "the energy ({}) or force ({:?}) of atom {atom} is not a finite number: its \
                 surroundings are outside what this model was trained for",
                results.atomic_energies[atom], results.forces[atom]
            ),
        )),
    }
}

/// ∂E/∂r of a pair from ∂E/∂d and ∂E/∂u, where u = r / (d + σ).
pub fn gradient(r: &[f64; 3], d: f64, softening: f64, d_bar: f64, u_bar: &[f64; 3]) -> [f64; 3] {
    let soft = d + softening;
    let along: f64 = r.iter().zip(u_bar).map(|(r, u)| r * u).sum();
    let radial = (d_bar - along / (soft * soft)) / d;
    std::array::from_fn(|a| radial * r[a] + u_bar[a] / soft)
}

/// Sums pairs to forces and virials. `pairs` gives (i, r, g): owned atom i, r = r_j − r_i, and
/// g = ∂E/∂r of the pair with both directions together; each pair is seen from both its atoms.
pub fn collect(
    owned: usize,
    pairs: impl Iterator<Item = (usize, [f64; 3], [f64; 3])>,
    atomic_energies: Vec<f64>,
) -> Results {
    let mut results = Results {
        energy: atomic_energies.iter().sum(),
        atomic_energies,
        forces: vec![[0.0; 3]; owned],
        virial: [0.0; 9],
        atomic_virials: vec![[0.0; 9]; owned],
    };
    for (i, r, g) in pairs {
        for a in 0..3 {
            // r_i enters r with a minus, and the force is the negative slope.
            results.forces[i][a] += g[a];
            for b in 0..3 {
                results.atomic_virials[i][3 * a + b] -= 0.5 * r[a] * g[b];
            }
        }
    }
    for atomic in &results.atomic_virials {
        results.virial.iter_mut().zip(atomic).for_each(|(sum, part)| *sum += part);
    }
    results
}
