//! Everything that follows from a neighbor list alone: the engine's own order of atoms, blocks of
//! atoms, and which pairs a block computes once for both directions.

use crate::engine::Topology;
use crate::engine::order::{Numbers, in_space};
use crate::error::Result;

use super::dense::ROWS;

/// Most atoms in a block. A block's pairs inside are computed once for both directions; a larger
/// block has more of them, a smaller one gives threads more to share (`docs/design.md`).
pub const BLOCK: usize = 512;

/// Atoms in the engine's order. Positions have an index of their own: active owned atoms in row
/// order, then ghosts that some atom lists.
#[derive(Default)]
pub struct Plan {
    /// Active owned atoms, one feature row each.
    pub active: usize,
    /// Rows of a block; rows of the last block beyond `active` stay unused.
    pub block_rows: usize,
    /// Blocks of active atoms.
    pub blocks: Vec<BlockPlan>,
    /// Rows of active atoms (whole blocks) and of ghosts that live on other ranks (whole blocks).
    pub rows: usize,
    /// The caller's index of each position.
    pub atoms: Vec<u32>,
    /// Where the feature rows of each position start, see [`Plan::record`]; images of own atoms
    /// share their owner's.
    pub records: Vec<u32>,
    /// Ghosts that need an exchange: caller's index and feature row.
    pub remote: Vec<[u32; 2]>,
}

/// Candidate pairs of a block of atoms.
#[derive(Default)]
pub struct BlockPlan {
    /// For each atom of the block, where its entries begin and where, behind the pairs that this
    /// block computes for both atoms, those begin that it computes for its own atom alone. One
    /// more at the end.
    pub starts: Vec<[u32; 2]>,
    /// Position index of the neighbor.
    pub entries: Vec<u32>,
}

impl Plan {
    /// Orders the atoms of `topology` in space and splits them into blocks, for features of
    /// `channel_blocks` channel blocks.
    pub fn new(topology: &Topology, positions: &[[f64; 3]], channel_blocks: usize) -> Result<Self> {
        let order = in_space(topology, positions)?;
        let active = order.len();
        let even = active.div_ceil(active.div_ceil(BLOCK).max(1));
        let block_rows = even.next_multiple_of(ROWS).max(ROWS);
        let block_count = active.div_ceil(block_rows);
        let mut plan =
            Self { active, block_rows, rows: block_count * block_rows, ..Self::default() };

        plan.blocks.try_reserve_exact(block_count)?;
        let mut numbers = Numbers::new(topology, order, plan.rows)?;
        let mut alone: Vec<u32> = Vec::new();
        for first in (0..active).step_by(block_rows) {
            let range = first..(first + block_rows).min(active);
            let mut block = BlockPlan::default();
            block.starts.try_reserve_exact(range.len() + 1)?;
            for row in range.clone() {
                let start = block.entries.len() as u32;
                let neighbors = topology.neighbors_of(numbers.atoms[row] as usize);
                alone.clear();
                alone.try_reserve(neighbors.len())?;
                block.entries.try_reserve(neighbors.len())?;
                for &j in neighbors {
                    let position = numbers.position(j);
                    let other = numbers.row_of[position as usize] as usize;
                    // Of a pair inside the block, the entry of the lower row stands for both; an
                    // atom's own images come in pairs S and −S and stay with it.
                    if !range.contains(&other) || other == row {
                        alone.push(position);
                    } else if row < other {
                        block.entries.push(position);
                    }
                }
                block.starts.push([start, block.entries.len() as u32]);
                block.entries.extend_from_slice(&alone);
            }
            let end = block.entries.len() as u32;
            block.starts.push([end, end]);
            plan.blocks.push(block);
        }
        let Numbers { atoms, mut row_of, remote, .. } = numbers;
        row_of.iter_mut().for_each(|row| *row = plan.record(*row as usize, channel_blocks) as u32);
        (plan.atoms, plan.records, plan.remote) = (atoms, row_of, remote);
        plan.rows += plan.remote.len().next_multiple_of(block_rows);
        Ok(plan)
    }

    /// Where the rows of `row` start, in units of one channel block's record: channel block c is
    /// `c * block_rows` further on.
    pub fn record(&self, row: usize, channel_blocks: usize) -> usize {
        row / self.block_rows * self.block_rows * channel_blocks + row % self.block_rows
    }

    /// Bytes allocated.
    pub fn memory(&self) -> usize {
        let block = |block: &BlockPlan| 8 * block.starts.capacity() + 4 * block.entries.capacity();
        self.blocks.iter().map(block).sum::<usize>()
            + 4 * (self.atoms.capacity() + self.records.capacity())
            + 8 * self.remote.capacity()
    }
}
