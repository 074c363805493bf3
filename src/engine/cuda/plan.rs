//! Everything that follows from a neighbor list alone: the engine's own order of atoms.

use crate::engine::NeighborList;
use crate::engine::order::{Numbers, in_space};
use crate::error::{Error, ErrorKind, Result};
use crate::memory::{collected, filled};

/// Rows of atoms. Positions stay in the caller's order.
#[derive(Default)]
pub struct Plan {
    /// Active owned atoms, one feature row each.
    pub active: usize,
    /// Rows of active atoms and of ghosts that live on other ranks.
    pub rows: usize,
    /// The caller's index of each active row.
    pub atoms: Vec<u32>,
    /// The feature row of each of the caller's atoms and ghosts, and its kind: images of own atoms
    /// share their owner's row. Zeros of atoms that nobody lists.
    pub places: Vec<[u32; 2]>,
    /// Where each row's entries begin; one more at the end.
    pub starts: Vec<u32>,
    /// The caller's indices of atoms that may be near.
    pub entries: Vec<u32>,
    /// Atoms whose rows are sent to other ranks: all active owned ones, as only the caller knows
    /// which have ghosts there. The caller's index and the feature row.
    pub sent: Vec<[u32; 2]>,
    /// Ghosts whose rows are received from other ranks: the caller's index and the feature row.
    pub received: Vec<[u32; 2]>,
}

impl Plan {
    /// Orders the atoms of `list` in space. `kinds`: those of atomic numbers.
    pub fn new(list: &NeighborList, positions: &[[f64; 3]], kinds: &[u32; 256]) -> Result<Self> {
        if u32::try_from(list.neighbors.len()).is_err() {
            return Err(too_many(list.neighbors.len() as u64, "use more ranks"));
        }
        let order = in_space(list, positions)?;
        let active = order.len();
        let sent = collected(order.iter().enumerate().map(|(row, &atom)| [atom, row as u32]))?;
        let (mut starts, mut entries) = (Vec::new(), Vec::new());
        starts.try_reserve_exact(active + 1)?;
        entries.try_reserve_exact(list.neighbors.len())?;
        let mut numbers = Numbers::new(list, order, active)?;
        for row in 0..active {
            starts.push(entries.len() as u32);
            let neighbors = list.neighbors_of(numbers.atoms[row] as usize);
            for &j in neighbors {
                numbers.position(j);
            }
            entries.extend_from_slice(neighbors);
        }
        starts.push(entries.len() as u32);
        let mut places = filled(list.owned + list.ghosts, [0; 2])?;
        for (&atom, &row) in numbers.atoms.iter().zip(&numbers.row_of) {
            let species = list.species[atom as usize];
            places[atom as usize] = [row, kinds[usize::from(species)]];
        }
        let Numbers { mut atoms, remote: received, .. } = numbers;
        atoms.truncate(active);
        let rows = active + received.len();
        Ok(Self { active, rows, atoms, places, starts, entries, sent, received })
    }

    /// Bytes allocated.
    pub fn memory(&self) -> usize {
        let words = self.atoms.capacity()
            + self.starts.capacity()
            + self.entries.capacity()
            + 2 * (self.places.capacity() + self.sent.capacity() + self.received.capacity());
        words * size_of::<u32>()
    }
}

/// The error for more neighbors than kernels can count.
pub fn too_many(neighbors: u64, what_to_do: &str) -> Error {
    Error::new(
        ErrorKind::Unsupported,
        format!(
            "expected fewer than 2³² neighbors with device cuda, found {neighbors}: {what_to_do}"
        ),
    )
}
