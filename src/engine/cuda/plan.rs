//! Everything that follows from a neighbor list alone: the engine's own order of atoms.

use crate::engine::Topology;
use crate::engine::order::in_space;
use crate::error::{Error, ErrorKind, Result};
use crate::memory::{collected, filled};

/// Atoms in the engine's order. Positions have an index of their own: active owned atoms in row order,
/// then ghosts that some atom lists.
#[derive(Default)]
pub struct Plan {
    /// Active owned atoms, one feature row each.
    pub active: usize,
    /// Rows of active atoms and of ghosts that live on other ranks.
    pub rows: usize,
    /// The caller's index of each position.
    pub atoms: Vec<u32>,
    /// The feature row of each position; images of own atoms share their owner's.
    pub row_of: Vec<u32>,
    /// Where each row's entries begin; one more at the end.
    pub starts: Vec<u32>,
    /// Positions of atoms that may be near.
    pub entries: Vec<u32>,
    /// Active owned atoms: the caller's index and the feature row.
    pub leaving: Vec<[u32; 2]>,
    /// Ghosts that need an exchange, the same.
    pub arriving: Vec<[u32; 2]>,
}

impl Plan {
    /// Orders the atoms of `topology` in space.
    pub fn new(topology: &Topology, positions: &[[f64; 3]]) -> Result<Self> {
        if u32::try_from(topology.neighbors.len()).is_err() {
            return Err(Error::new(
                ErrorKind::Unsupported,
                format!(
                    "expected fewer than 2³² neighbors with device cuda, found {}: use more ranks",
                    topology.neighbors.len()
                ),
            ));
        }
        const NOWHERE: u32 = u32::MAX;
        let mut atoms = in_space(topology, positions)?;
        let active = atoms.len();
        atoms.try_reserve_exact(topology.ghosts)?;
        let mut plan = Self { active, rows: active, ..Self::default() };
        plan.row_of = collected(0..active as u32)?;
        plan.row_of.try_reserve_exact(topology.ghosts)?;
        plan.arriving.try_reserve(topology.ghosts)?;
        plan.starts.try_reserve_exact(active + 1)?;
        plan.entries.try_reserve_exact(topology.neighbors.len())?;
        plan.leaving = collected(atoms.iter().enumerate().map(|(row, &atom)| [atom, row as u32]))?;
        let mut position_of = filled(topology.owned + topology.ghosts, NOWHERE)?;
        for (row, &atom) in atoms.iter().enumerate() {
            position_of[atom as usize] = row as u32;
        }
        for row in 0..active {
            plan.starts.push(plan.entries.len() as u32);
            for &j in topology.neighbors_of(atoms[row] as usize) {
                if position_of[j as usize] == NOWHERE {
                    position_of[j as usize] = atoms.len() as u32;
                    let row = match topology.resolve(j) {
                        Some(owner) => position_of[owner as usize],
                        None => {
                            let row = plan.rows as u32;
                            plan.rows += 1;
                            plan.arriving.push([j, row]);
                            row
                        }
                    };
                    atoms.push(j);
                    plan.row_of.push(row);
                }
                plan.entries.push(position_of[j as usize]);
            }
        }
        plan.starts.push(plan.entries.len() as u32);
        plan.atoms = atoms;
        Ok(plan)
    }

    /// Bytes allocated.
    pub fn memory(&self) -> usize {
        let words = self.atoms.capacity()
            + self.row_of.capacity()
            + self.starts.capacity()
            + self.entries.capacity()
            + 2 * (self.leaving.capacity() + self.arriving.capacity());
        words * size_of::<u32>()
    }
}
