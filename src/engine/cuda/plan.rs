//! Everything that follows from a neighbor list alone: the engine's own order of atoms.

use crate::engine::Topology;
use crate::engine::order::{Numbers, in_space};
use crate::error::{Error, ErrorKind, Result};
use crate::memory::collected;

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
        let order = in_space(topology, positions)?;
        let active = order.len();
        let leaving = collected(order.iter().enumerate().map(|(row, &atom)| [atom, row as u32]))?;
        let (mut starts, mut entries) = (Vec::new(), Vec::new());
        starts.try_reserve_exact(active + 1)?;
        entries.try_reserve_exact(topology.neighbors.len())?;
        let mut numbers = Numbers::new(topology, order, active)?;
        for row in 0..active {
            starts.push(entries.len() as u32);
            let neighbors = topology.neighbors_of(numbers.atoms[row] as usize);
            entries.extend(neighbors.iter().map(|&j| numbers.position(j)));
        }
        starts.push(entries.len() as u32);
        let Numbers { atoms, row_of, remote: arriving, .. } = numbers;
        let rows = active + arriving.len();
        Ok(Self { active, rows, atoms, row_of, starts, entries, leaving, arriving })
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
