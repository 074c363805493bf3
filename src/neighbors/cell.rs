//! The lattice: any triclinic cell, any mix of periodic directions.

use super::{LARGEST, Shift};
use crate::error::{Error, ErrorKind, Result};
use crate::vector::{cross, dot, norm};

/// Lattice vectors that span space, and their inverse.
pub(crate) struct Cell {
    /// One per row (Å); directions that do not repeat have unit vectors at right angles to all
    /// others.
    pub(crate) vectors: [[f64; 3]; 3],
    /// `inverse[k] · r` is the coordinate of r along lattice vector k.
    pub(crate) inverse: [[f64; 3]; 3],
    pub(crate) periodic: [bool; 3],
}

/// Volume over the product of the lengths below which lattice vectors count as dependent: beyond
/// it, coordinates lose more digits than the bins have room for.
const FLATTEST: f64 = 1e-6;

const NAMES: [&str; 3] = ["first", "second", "third"];

impl Cell {
    pub(crate) fn new(cell: Option<[[f64; 3]; 3]>, periodic: [bool; 3]) -> Result<Self> {
        let given = cell.unwrap_or_default();
        if given.iter().flatten().any(|x| x.is_nan() || x.abs() > LARGEST) {
            return Err(Error::new(
                ErrorKind::Numeric,
                format!("expected a finite cell in Å, found {given:?}: check the input"),
            ));
        }
        if let Some(k) = (0..3).find(|&k| periodic[k] && norm(given[k]) == 0.0) {
            let found = if cell.is_none() { "no cell" } else { "a zero vector" };
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                format!(
                    "the {} direction is periodic and needs a lattice vector, found {found}: give \
                     the cell, or make this direction non-periodic",
                    NAMES[k]
                ),
            ));
        }
        let lengths = given.map(norm);
        let handedness = dot(given[0], cross(given[1], given[2]));
        // A volume within rounding of zero has no sign; rows that are not used may be in plane.
        if periodic != [false; 3] && handedness < -FLATTEST * lengths[0] * lengths[1] * lengths[2] {
            return Err(Error::new(
                ErrorKind::Numeric,
                format!(
                    "expected a right-handed cell, found a left-handed one with volume \
                     {handedness} Å³ ({given:?}): reverse one lattice vector, which spans the same \
                     lattice"
                ),
            ));
        }
        let vectors = complete(given, periodic);
        let volume = dot(vectors[0], cross(vectors[1], vectors[2]));
        let product: f64 = vectors.map(norm).iter().product();
        // Parallel vectors leave no direction at right angles to both, hence NaN.
        if volume.is_nan() || volume.abs() < FLATTEST * product {
            return Err(Error::new(
                ErrorKind::Numeric,
                format!(
                    "expected lattice vectors that span a volume, found {given:?}, which are \
                     parallel or in one plane: check the cell"
                ),
            ));
        }
        let row = |k: usize| cross(vectors[(k + 1) % 3], vectors[(k + 2) % 3]).map(|x| x / volume);
        Ok(Self { vectors, inverse: [row(0), row(1), row(2)], periodic })
    }

    /// Distance between the two faces that lattice vector `k` connects (Å); 1 where it does not
    /// repeat.
    pub(crate) fn height(&self, k: usize) -> f64 {
        1.0 / norm(self.inverse[k])
    }

    /// Coordinates of `position` along the lattice vectors; in Å where they do not repeat.
    pub(crate) fn coordinates(&self, position: [f64; 3]) -> [f64; 3] {
        self.inverse.map(|row| dot(row, position))
    }

    /// What a shift adds to a position (Å).
    pub(crate) fn translation(&self, shift: Shift) -> [f64; 3] {
        let [a, b, c] = shift.map(f64::from);
        std::array::from_fn(|x| {
            a * self.vectors[0][x] + b * self.vectors[1][x] + c * self.vectors[2][x]
        })
    }
}

/// Replaces what does not repeat by unit vectors at right angles to what does.
fn complete(mut vectors: [[f64; 3]; 3], periodic: [bool; 3]) -> [[f64; 3]; 3] {
    let mut fixed: Vec<usize> = (0..3).filter(|&k| periodic[k]).collect();
    for k in (0..3).filter(|&k| !periodic[k]) {
        vectors[k] = match fixed[..] {
            [a, b] => unit(cross(vectors[a], vectors[b])),
            [a] => {
                let along = unit(vectors[a]);
                let mut axis = [0.0; 3];
                let least = (0..3).min_by(|&x, &y| along[x].abs().total_cmp(&along[y].abs()));
                axis[least.unwrap_or(0)] = 1.0;
                unit(cross(along, axis))
            }
            _ => [1.0, 0.0, 0.0],
        };
        fixed.push(k);
    }
    vectors
}

fn unit(a: [f64; 3]) -> [f64; 3] {
    let length = norm(a);
    a.map(|x| x / length)
}
