//! Pair lists for callers who have positions and a cell, but no neighbor list.

use crate::error::Result;

/// Which atoms are within reach of each other, periodic images included as ghosts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Neighborhood {
    /// For each ghost the atom it is an image of.
    pub owner: Vec<u32>,
    /// Position of each ghost (Å).
    pub ghosts: Vec<[f64; 3]>,
    /// `neighbors[offsets[i]..offsets[i + 1]]` are the neighbors of atom i.
    pub offsets: Vec<usize>,
    /// Indices of atoms (below `atoms`) and ghosts (`atoms + ghost`).
    pub neighbors: Vec<i32>,
}

/// Lists every pair within `cutoff`.
pub fn neighborhood(
    positions: &[[f64; 3]],
    cell: Option<[[f64; 3]; 3]>,
    periodic: [bool; 3],
    cutoff: f64,
) -> Result<Neighborhood> {
    let _ = (positions, cell, periodic, cutoff);
    unimplemented!()
}
