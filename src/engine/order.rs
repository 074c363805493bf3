//! The order of atoms in which neighbors in space are near each other in memory, and their numbers
//! in it.

use super::NeighborList;
use crate::error::Result;
use crate::memory::{collected, filled};

/// Numbers of atoms in an engine's own order. Positions have an index of their own: active owned
/// atoms in row order, then ghosts in the order in which they are first asked for.
pub struct Numbers<'a> {
    list: &'a NeighborList,
    /// Position index of each of the caller's atoms and ghosts; `NOWHERE` where it has none yet.
    position_of: Vec<u32>,
    first_remote_row: usize,
    /// The caller's index of the atom at each position index.
    pub atoms: Vec<u32>,
    /// The feature row of each position; images of own atoms share their owner's.
    pub row_of: Vec<u32>,
    /// Ghosts that live on other ranks: the caller's index and the feature row.
    pub remote: Vec<[u32; 2]>,
}

impl<'a> Numbers<'a> {
    const NOWHERE: u32 = u32::MAX;

    /// `active`: the caller's indices of the atoms of the first rows, see [`in_space`]. Ghosts that
    /// live on other ranks get rows from `first_remote_row` on.
    pub fn new(list: &'a NeighborList, active: Vec<u32>, first_remote_row: usize) -> Result<Self> {
        let mut position_of = filled(list.owned + list.ghosts, Self::NOWHERE)?;
        for (row, &atom) in active.iter().enumerate() {
            position_of[atom as usize] = row as u32;
        }
        let mut row_of = collected(0..active.len() as u32)?;
        row_of.try_reserve_exact(list.ghosts)?;
        let mut atoms = active;
        atoms.try_reserve_exact(list.ghosts)?;
        let mut remote = Vec::new();
        remote.try_reserve(list.ghosts)?;
        Ok(Self { list, position_of, first_remote_row, atoms, row_of, remote })
    }

    /// The position of atom `j` of the caller.
    pub fn position(&mut self, j: u32) -> u32 {
        if self.position_of[j as usize] == Self::NOWHERE {
            self.position_of[j as usize] = self.atoms.len() as u32;
            let row = match self.list.resolve(j) {
                Some(owner) => self.position_of[owner as usize],
                None => {
                    let row = (self.first_remote_row + self.remote.len()) as u32;
                    self.remote.push([j, row]);
                    row
                }
            };
            self.atoms.push(j);
            self.row_of.push(row);
        }
        self.position_of[j as usize]
    }
}

/// The owned atoms that are part of the model, along a curve through space.
pub fn in_space(list: &NeighborList, positions: &[[f64; 3]]) -> Result<Vec<u32>> {
    let mut order: Vec<(u64, u32)> = Vec::new();
    order.try_reserve_exact(list.owned)?;
    order.extend(
        (0..list.owned).filter(|&i| list.species[i] > 0).map(|i| (morton(&positions[i]), i as u32)),
    );
    order.sort_unstable();
    collected(order.into_iter().map(|(_, atom)| atom))
}

/// The place of a position along a Morton curve with steps of 1 Å.
fn morton(position: &[f64; 3]) -> u64 {
    // 21 bits for each axis, zero in the middle.
    let spread = |x: f64| {
        let mut x = (x + f64::from(1 << 20)).clamp(0.0, f64::from((1 << 21) - 1)) as u64;
        for (shift, mask) in [
            (32, 0x001f_0000_0000_ffff),
            (16, 0x001f_0000_ff00_00ff),
            (8, 0x100f_00f0_0f00_f00f),
            (4, 0x10c3_0c30_c30c_30c3),
            (2, 0x1249_2492_4924_9249),
        ] {
            x = (x | x << shift) & mask;
        }
        x
    };
    spread(position[0]) | spread(position[1]) << 1 | spread(position[2]) << 2
}
