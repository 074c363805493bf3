//! What is timed: atoms with their neighbor list, as a program that does molecular dynamics has
//! them.

use super::water;
use crate::cli::measure::ETHANOL;
use mlff_student::error::Result;
use mlff_student::neighbors::{Neighborhood, neighborhood};

/// How far the list reaches beyond the cutoff (Å): half of what LAMMPS takes in metal units.
pub(super) const SKIN: f64 = 1.0;

/// Atoms, and ghosts where they repeat.
pub(super) struct System {
    /// Edge of the periodic cube (Å).
    pub(super) edge: Option<f64>,
    /// Atoms.
    pub(super) atoms: usize,
    /// Atomic number of each atom and ghost.
    pub(super) species: Vec<i32>,
    /// Position of each atom and ghost (Å).
    pub(super) positions: Vec<[f64; 3]>,
    /// The cutoff of the model (Å).
    cutoff: f64,
    around: Neighborhood,
}

/// A pair within the cutoff, as programs without ghosts describe it.
pub(super) struct Pair {
    /// Receiving atom.
    pub(super) i: usize,
    /// Sending atom.
    pub(super) j: usize,
    /// Added to the position of j (Å).
    pub(super) shift: [f64; 3],
}

impl System {
    /// Liquid water: `atoms` atoms, rounded up to whole molecules, with the pairs within `cutoff` +
    /// [`SKIN`].
    pub(super) fn water(atoms: usize, cutoff: f64) -> Result<Self> {
        let (species, positions, edge) = water::cube(atoms)?;
        Self::new(species, positions, Some(edge), cutoff)
    }

    /// One molecule of nine atoms.
    pub(super) fn ethanol(cutoff: f64) -> Result<Self> {
        let (species, positions) = ETHANOL.into_iter().unzip();
        Self::new(species, positions, None, cutoff)
    }

    fn new(
        mut species: Vec<i32>,
        mut positions: Vec<[f64; 3]>,
        edge: Option<f64>,
        cutoff: f64,
    ) -> Result<Self> {
        let atoms = positions.len();
        let cell = edge.map(|edge| [[edge, 0.0, 0.0], [0.0, edge, 0.0], [0.0, 0.0, edge]]);
        let around = neighborhood(&positions, cell, [edge.is_some(); 3], cutoff + SKIN)?;
        positions.try_reserve_exact(around.ghosts.len())?;
        positions.extend_from_slice(&around.ghosts);
        species.try_reserve_exact(around.ghosts.len())?;
        species
            .extend(around.owner.iter().map(|&owner| species[owner as usize]).collect::<Vec<_>>());
        Ok(Self { edge, atoms, species, positions, cutoff, around })
    }

    /// Ghosts, all of them images of own atoms.
    pub(super) fn ghosts(&self) -> usize {
        self.around.ghosts.len()
    }

    /// Neighbors of atom `i`, atoms and ghosts.
    pub(super) fn neighbors_of(&self, i: usize) -> &[i32] {
        &self.around.neighbors[self.around.offsets[i]..self.around.offsets[i + 1]]
    }

    /// The atom that each ghost is an image of.
    pub(super) fn owners(&self) -> &[u32] {
        &self.around.owner
    }

    /// The distance up to which the list is complete (Å).
    pub(super) fn list_cutoff(&self) -> f64 {
        self.cutoff + SKIN
    }

    /// All pairs within the cutoff, in both directions.
    pub(super) fn pairs(&self) -> impl Iterator<Item = Pair> {
        (0..self.atoms).flat_map(move |i| {
            self.neighbors_of(i).iter().filter_map(move |&neighbor| {
                let here = self.positions[i];
                let (j, there) = self.around.place(&self.positions[..self.atoms], neighbor);
                let squared: f64 = (0..3).map(|a| (there[a] - here[a]).powi(2)).sum();
                (squared.sqrt() <= self.cutoff).then(|| {
                    let home = self.positions[j];
                    Pair { i, j, shift: std::array::from_fn(|a| there[a] - home[a]) }
                })
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pair_is_there_in_both_directions() {
        for system in [System::water(24, 5.0).unwrap(), System::ethanol(5.0).unwrap()] {
            let mut pairs: Vec<_> =
                system.pairs().map(|p| (p.i, p.j, p.shift.map(f64::round))).collect();
            let mut back: Vec<_> =
                system.pairs().map(|p| (p.j, p.i, p.shift.map(|x| -x.round() + 0.0))).collect();
            for list in [&mut pairs, &mut back] {
                list.iter_mut().for_each(|pair| pair.2 = pair.2.map(|x| x + 0.0));
                list.sort_by(|a, b| a.partial_cmp(b).unwrap());
            }
            assert!(!pairs.is_empty());
            assert_eq!(pairs, back);
        }
    }
}
