//! Everything that follows from a neighbor list alone: the engine's own order of atoms, chunks of
//! atoms, and which chunk computes a pair, once for both directions.

use std::ops::Range;

use crate::engine::NeighborList;
use crate::engine::order::{Numbers, in_space};
use crate::error::Result;
use crate::memory::{collected, filled};

use super::dense::ROWS;
use super::records::Place;

/// Up to so many atoms make one chunk.
pub const CHUNK: usize = 768;

/// Most rows of a chunk, but for what makes them a multiple of [`ROWS`].
pub const MOST: usize = 2048;

/// Most atoms in a chunk of a system of `active` atoms: eight chunks for threads to share, unless
/// these were so small that most pairs borrowed rows, or larger than brings anything
/// (`docs/src/decisions/006-same-bits.md`).
fn most(active: usize) -> usize {
    (active / 8).clamp(CHUNK, MOST)
}

/// Atoms in the engine's order. Positions have an index of their own: active owned atoms in row
/// order, then ghosts that some atom lists.
#[derive(Default)]
pub struct Plan {
    /// Active owned atoms, one feature row each.
    pub active: usize,
    /// Rows of a chunk; rows of the last chunk beyond `active` stay unused.
    pub chunk_rows: usize,
    /// Candidate pairs of each chunk of active atoms.
    pub chunks: Vec<ChunkPlan>,
    /// Rows of active atoms (whole chunks) and of ghosts that live on other ranks (whole chunks).
    pub rows: usize,
    /// The caller's index of each position.
    pub atoms: Vec<u32>,
    /// Where the records of each position are; images of own atoms share their owner's.
    pub places: Vec<Place>,
    /// Ghosts that need an exchange: caller's index and feature row.
    pub remote: Vec<[u32; 2]>,
}

/// Candidate pairs of a chunk of atoms, each between atoms of this rank in one chunk's list only.
///
/// Where the other atom's row is in another chunk, a chunk adds to a copy of that row, which it
/// borrows; the copies are added to the rows once all chunks are done. So no two threads write to
/// one row, and sums have an order that no number of threads changes.
#[derive(Default)]
pub struct ChunkPlan {
    /// For each atom of the chunk, where its entries begin: with atoms of this chunk, then with
    /// atoms whose rows it borrows, then those that are computed for the chunk's own atom alone
    /// (atoms of other ranks, and its own images). One more at the end.
    pub starts: Vec<[u32; 3]>,
    /// Position index of the neighbor, and the row that is added to for it: of the chunk, or behind
    /// those, of `borrowed`.
    pub entries: Vec<[u32; 2]>,
    /// Rows of other chunks that this one adds to, ascending.
    pub borrowed: Vec<u32>,
    /// Which other chunks borrow rows of this one, ascending, and where these are in their
    /// `borrowed`.
    pub lent_rows: Vec<(usize, Range<usize>)>,
}

/// Who computes a pair of rows of this rank that are in two chunks: as often the one as the other,
/// so that all chunks have as much to do.
fn computes(chunk: usize, other: usize) -> bool {
    (chunk < other) == (chunk + other).is_multiple_of(2)
}

impl Plan {
    /// Orders the atoms of `neighbor_list` in space and splits them into chunks.
    pub fn new(neighbor_list: &NeighborList, positions: &[[f64; 3]]) -> Result<Self> {
        let order = in_space(neighbor_list, positions)?;
        let active = order.len();
        let even = active.div_ceil(active.div_ceil(most(active)).max(1));
        let chunk_rows = even.next_multiple_of(ROWS).max(ROWS);
        let chunk_count = active.div_ceil(chunk_rows);
        let mut plan =
            Self { active, chunk_rows, rows: chunk_count * chunk_rows, ..Self::default() };

        plan.chunks.try_reserve_exact(chunk_count)?;
        let mut numbers = Numbers::new(neighbor_list, order, plan.rows)?;
        let [mut across, mut alone]: [Vec<[u32; 2]>; 2] = Default::default();
        // Of each row, its index in `borrowed`, while a chunk is made.
        let mut places = filled(active, 0)?;
        for first in (0..active).step_by(chunk_rows) {
            let range = first..(first + chunk_rows).min(active);
            let mut chunk = ChunkPlan::default();
            chunk.starts.try_reserve_exact(range.len() + 1)?;
            for row in range.clone() {
                let start = chunk.entries.len() as u32;
                let neighbors = neighbor_list.neighbors_of(numbers.atoms[row] as usize);
                for list in [&mut across, &mut alone, &mut chunk.entries] {
                    list.try_reserve(neighbors.len())?;
                }
                for &j in neighbors {
                    let position = numbers.position(j);
                    let other = numbers.row_of[position as usize] as usize;
                    // An atom's own images come in pairs S and −S and stay with it.
                    if other >= active || other == row {
                        alone.push([position, 0]);
                    } else if range.contains(&other) {
                        if row < other {
                            chunk.entries.push([position, (other - first) as u32]);
                        }
                    } else if computes(first / chunk_rows, other / chunk_rows) {
                        across.push([position, other as u32]);
                    }
                }
                let inside = chunk.entries.len() as u32;
                chunk.starts.push([start, inside, inside + across.len() as u32]);
                chunk.entries.append(&mut across);
                chunk.entries.append(&mut alone);
            }
            chunk.starts.push([chunk.entries.len() as u32; 3]);
            chunk.entries.shrink_to_fit();
            chunk.borrow_rows(chunk_rows, &mut places)?;
            plan.chunks.push(chunk);
        }
        for index in 0..plan.chunks.len() {
            let borrowed = std::mem::take(&mut plan.chunks[index].borrowed);
            let mut start = 0;
            for rows in
                borrowed.chunk_by(|a, b| *a as usize / chunk_rows == *b as usize / chunk_rows)
            {
                let lent_rows = &mut plan.chunks[rows[0] as usize / chunk_rows].lent_rows;
                lent_rows.try_reserve(1)?;
                lent_rows.push((index, start..start + rows.len()));
                start += rows.len();
            }
            plan.chunks[index].borrowed = borrowed;
        }
        let Numbers { atoms, row_of, remote, .. } = numbers;
        plan.places = collected(row_of.iter().map(|&row| plan.place(row)))?;
        (plan.atoms, plan.remote) = (atoms, remote);
        plan.rows += plan.remote.len().next_multiple_of(chunk_rows);
        Ok(plan)
    }

    /// Where the records of a row are.
    pub fn place(&self, row: u32) -> Place {
        Place::new(row, self.chunk_rows)
    }

    /// Bytes allocated.
    pub fn memory(&self) -> usize {
        let chunk = |chunk: &ChunkPlan| {
            12 * chunk.starts.capacity()
                + 8 * chunk.entries.capacity()
                + 4 * chunk.borrowed.capacity()
                + size_of::<(usize, Range<usize>)>() * chunk.lent_rows.capacity()
        };
        self.chunks.iter().map(chunk).sum::<usize>()
            + 4 * (self.atoms.capacity() + self.places.capacity())
            + 8 * self.remote.capacity()
    }
}

impl ChunkPlan {
    /// Finds the rows that `entries` with other chunks' rows need, and puts their indices there.
    fn borrow_rows(&mut self, chunk_rows: usize, places: &mut [u32]) -> Result<()> {
        let across = |starts: &[u32; 3]| starts[1] as usize..starts[2] as usize;
        let count = self.starts.iter().map(|starts| across(starts).len()).sum();
        self.borrowed.try_reserve_exact(count)?;
        for starts in &self.starts {
            self.borrowed.extend(self.entries[across(starts)].iter().map(|entry| entry[1]));
        }
        self.borrowed.sort_unstable();
        self.borrowed.dedup();
        self.borrowed.shrink_to_fit();
        for (index, &row) in self.borrowed.iter().enumerate() {
            places[row as usize] = (chunk_rows + index) as u32;
        }
        for starts in &self.starts {
            for entry in &mut self.entries[across(starts)] {
                entry[1] = places[entry[1] as usize];
            }
        }
        Ok(())
    }
}
