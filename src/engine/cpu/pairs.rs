//! Pairs within the cutoff at this step: where they stand in the filter table, and their direction.

use super::buffer::Buffer;
use super::plan::{ChunkPlan, Plan};
use super::records::Place;
use crate::engine::{NeighborList, pair};
use crate::error::Result;
use crate::memory::emptied;
use crate::model::{Repulsion, Seen};

/// A pair, as the kernels read it.
#[derive(Clone, Copy, Default)]
pub struct Pair {
    /// The neighbor's chunk, and its row there: where its records are.
    pub place: Place,
    /// The row that is added to for the neighbor, see `ChunkPlan::entries`.
    pub target: u32,
    /// Index of the interval of the filter table that d falls into.
    pub interval: u32,
    /// Where in that interval d is, from 0 to 1.
    pub t: f32,
    /// Direction (r_j − r_i) / (d + softening), without a unit.
    pub u: [f32; 3],
}

/// A pair that may be within the repulsion: rare, so it is noted where distances are known, and the
/// loops over all pairs need not ask.
#[derive(Clone, Copy)]
pub struct ClosePair {
    /// Row of the atom in its chunk.
    pub row: u32,
    /// Index in [`ChunkPairs::list`].
    pub pair: u32,
    /// What the filters see of its distance.
    pub seen: Seen,
}

/// The pairs of one chunk of atoms.
#[derive(Default)]
pub struct ChunkPairs {
    /// For each atom: where its pairs begin, where those with borrowed rows begin, where those
    /// that are computed for the chunk's own atom alone begin, where they end.
    pub bounds: Vec<[u32; 4]>,
    /// All pairs, atom by atom.
    pub list: Vec<Pair>,
    /// Position index of each pair's neighbor.
    pub neighbors: Vec<u32>,
    /// Pairs closer than the longest repulsion.
    pub close: Vec<ClosePair>,
    /// For each pair ∂E/∂d · step and ∂E/∂u.
    pub gradients: Buffer,
    /// Scratch: entries of one atom that may be within the cutoff.
    near: Vec<[u32; 2]>,
}

/// How distances become places in the table.
#[derive(Clone, Copy)]
pub struct Reach<'a> {
    /// Pairs with d ≤ cutoff take part (Å).
    pub cutoff: f64,
    /// Added to d where u is formed (Å).
    pub softening: f64,
    /// Intervals of the table on [0, cutoff].
    pub intervals: usize,
    /// The repulsion, inside which the filters see other distances.
    pub repulsion: Option<&'a Repulsion>,
}

impl ChunkPairs {
    /// Finds the pairs of the chunk that starts at row `first`.
    pub fn update(
        &mut self,
        neighbor_list: &NeighborList,
        plan: &Plan,
        chunk: &ChunkPlan,
        first: usize,
        positions: &[[f64; 3]],
        reach: Reach<'_>,
    ) -> Result<()> {
        emptied(&mut self.bounds, chunk.starts.len())?;
        emptied(&mut self.list, chunk.entries.len())?;
        emptied(&mut self.neighbors, chunk.entries.len())?;
        self.close.clear();
        let per_length = reach.intervals as f64 / reach.cutoff;
        let last_interval = reach.intervals as i32 - 1;
        let longest = reach.repulsion.map_or(0.0, Repulsion::longest);
        // Beyond what rounding of a square can hide.
        let beyond = reach.cutoff * reach.cutoff * (1.0 + 1e-12);
        for (k, range) in chunk.starts.windows(2).enumerate() {
            let [[start, across, alone], [end, ..]] = [range[0], range[1]];
            let here = positions[first + k];
            let mut bounds = [self.list.len() as u32; 4];
            for (from, to, last) in [(start, across, 1), (across, alone, 2), (alone, end, 3)] {
                let entries = &chunk.entries[from as usize..to as usize];
                for &[neighbor, target] in
                    nearer(&mut self.near, entries, &here, positions, beyond)?
                {
                    let (r, d) = pair::distance(&here, &positions[neighbor as usize]);
                    if d > reach.cutoff {
                        continue;
                    }
                    if d < pair::COINCIDENT {
                        let [i, j] = [first + k, neighbor as usize]
                            .map(|p| neighbor_list.name(plan.atoms[p]));
                        return Err(pair::same_place(i, j));
                    }
                    let mut x = d * per_length;
                    if let Some(repulsion) = reach.repulsion.filter(|_| d < longest) {
                        let atoms = [first + k, neighbor as usize].map(|p| plan.atoms[p]);
                        let species = atoms.map(|atom| neighbor_list.species[atom as usize]);
                        let seen = repulsion.seen(species, d);
                        x = seen.distance * per_length;
                        self.close.try_reserve(1)?;
                        let pair = self.list.len() as u32;
                        self.close.push(ClosePair { row: k as u32, pair, seen });
                    }
                    // Small and signed: processors convert these to and fro in one instruction.
                    let interval = (x as i32).min(last_interval);
                    let soft = 1.0 / (d + reach.softening);
                    self.list.push(Pair {
                        place: plan.places[neighbor as usize],
                        target,
                        interval: interval as u32,
                        t: (x - f64::from(interval)) as f32,
                        u: r.map(|x| (x * soft) as f32),
                    });
                    self.neighbors.push(neighbor);
                }
                bounds[last] = self.list.len() as u32;
            }
            self.bounds.push(bounds);
        }
        self.gradients.resize(4 * self.list.len())?;
        self.gradients.fill(0.0);
        Ok(())
    }

    /// Turns slopes by the distances that the filters see into slopes by the true ones.
    pub fn unsee(&mut self) {
        for close in &self.close {
            self.gradients[4 * close.pair as usize] *= close.seen.slope as f32;
        }
    }

    /// Bytes allocated.
    pub fn memory(&self) -> usize {
        8 * self.near.capacity()
            + 16 * self.bounds.capacity()
            + size_of::<Pair>() * self.list.capacity()
            + 4 * self.neighbors.capacity()
            + size_of::<ClosePair>() * self.close.capacity()
            + self.gradients.memory()
    }
}

/// The entries that are not beyond a squared distance of `beyond`. Two of three entries are, in no
/// order: a first look without branches and roots leaves few surprises to the loop that needs them.
fn nearer<'a>(
    near: &'a mut Vec<[u32; 2]>,
    entries: &[[u32; 2]],
    here: &[f64; 3],
    positions: &[[f64; 3]],
    beyond: f64,
) -> Result<&'a [[u32; 2]]> {
    near.try_reserve(entries.len().saturating_sub(near.len()))?;
    near.resize(near.len().max(entries.len()), [0; 2]);
    let mut count = 0;
    for &entry in entries {
        let there = &positions[entry[0] as usize];
        let [x, y, z]: [f64; 3] = std::array::from_fn(|a| there[a] - here[a]);
        near[count] = entry;
        count += usize::from(x * x + y * y + z * z <= beyond);
    }
    Ok(&near[..count])
}
