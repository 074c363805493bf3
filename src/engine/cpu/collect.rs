//! From pairs' gradients to forces and virials, in float64, for one chunk of atoms and the rows
//! that it borrows.

use super::pairs::{ChunkPairs, ClosePair};
use super::plan::Plan;
use super::simd::{Task, Vector};
use crate::engine::{NeighborList, Virials, pair};
use crate::error::Result;
use crate::memory::emptied;
use crate::model::energy_range::is_outside;
use crate::model::{Model, Repulsion};
use crate::vector::norm;

/// What atoms get from the pairs of a chunk: its own atoms, by row, and behind them those whose
/// rows it borrows.
#[derive(Default)]
pub struct Sums {
    /// Energy of each row (eV): the readout's, to which reference energies and repulsion are added.
    pub energies: Vec<f64>,
    /// Force on each row (eV/Å).
    pub forces: Vec<[f64; 3]>,
    /// Virial of each row (eV), 3 × 3 row by row; empty where only the total is asked for.
    pub virials: Vec<[f64; 9]>,
    /// Sum of all virials (eV); zero if those of atoms were asked for.
    pub virial: [f64; 9],
    /// Rows of the chunk's atoms whose energies are far outside the training data.
    pub outside: Vec<u32>,
}

/// The surroundings of a chunk whose gradients are summed.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// The student that is evaluated.
    pub model: &'a Model,
    /// The neighbor list: species of all atoms, in the caller's order.
    pub list: &'a NeighborList,
    /// The engine's order of the list's atoms.
    pub plan: &'a Plan,
    /// Position of each atom (Å), by position index of `plan`.
    pub positions: &'a [[f64; 3]],
    /// Row of the chunk's first atom among all rows.
    pub first: usize,
    /// Factor that turns the kernels' slopes into slopes by d (1/Å).
    pub per_step: f64,
}

impl Sums {
    /// Makes room for `rows` atoms.
    pub fn resize(&mut self, rows: usize) -> Result<()> {
        self.energies.try_reserve(rows.saturating_sub(self.energies.len()))?;
        self.forces.try_reserve(rows.saturating_sub(self.forces.len()))?;
        self.energies.resize(rows, 0.0);
        self.forces.resize(rows, [0.0; 3]);
        Ok(())
    }

    /// Sets everything to zero but the readout's energies, and makes room for the virials of atoms
    /// that are wanted.
    pub fn clear(&mut self, chunk_rows: usize, virials: Virials) -> Result<()> {
        self.energies[chunk_rows..].fill(0.0);
        self.forces.fill([0.0; 3]);
        self.virial = [0.0; 9];
        let rows = virials.of_atoms(self.forces.len());
        emptied(&mut self.virials, rows)?;
        self.virials.resize(rows, [0.0; 9]);
        Ok(())
    }

    /// Looks for atoms outside: now, while energies are the readout's, within these `bounds`.
    pub fn find_outside(&mut self, bounds: &[[f64; 2]]) -> Result<()> {
        self.outside.clear();
        for (row, (&energy, &range)) in self.energies.iter().zip(bounds).enumerate() {
            if is_outside(energy, range) {
                self.outside.try_reserve(1)?;
                self.outside.push(row as u32);
            }
        }
        Ok(())
    }

    /// Bytes allocated.
    pub fn memory(&self) -> usize {
        4 * self.outside.capacity()
            + 8 * self.energies.capacity()
            + 24 * self.forces.capacity()
            + 72 * self.virials.capacity()
    }
}

/// Pairs whose gradients are computed together: a vector of float64 of the widest instruction set.
const PAIRS_AT_ONCE: usize = 8;

/// Adds up what the pairs of a chunk give its atoms. Plain float64: a [`Task`] so that it is
/// compiled for the instruction set.
pub struct Collect<'a> {
    /// The student, the atoms and where the chunk begins among them.
    pub context: Context<'a>,
    /// The chunk's pairs and their gradients.
    pub pairs: &'a ChunkPairs,
    /// Which virials are wanted.
    pub virials: Virials,
    /// What is added to: cleared before, for these virials.
    pub sums: &'a mut Sums,
}

impl<V: Vector> Task<V> for Collect<'_> {
    #[inline(always)]
    fn run(self) {
        let Self { context, pairs, virials, sums } = self;
        let Context { model, positions, first, .. } = context;
        let mut total = [[0.0; PAIRS_AT_ONCE]; 9];
        for (i, &[start, _, alone, end]) in pairs.bounds.iter().enumerate() {
            let [start, alone, end] = [start, alone, end].map(|at| at as usize);
            let here = &positions[first + i];
            sums.energies[i] += model.reference_energies[context.species(first + i)];
            let mut force = sums.forces[i];
            for from in (start..end).step_by(PAIRS_AT_ONCE) {
                let run = from..end.min(from + PAIRS_AT_ONCE);
                // Component by component. Where no pair is, any distance does: its gradient is
                // zero.
                let mut r = [[1.0; PAIRS_AT_ONCE]; 3];
                let mut bar = [[0.0; PAIRS_AT_ONCE]; 4];
                for (q, k) in run.clone().enumerate() {
                    let there = &positions[pairs.neighbors[k] as usize];
                    (0..3).for_each(|a| r[a][q] = there[a] - here[a]);
                    (0..4).for_each(|a| bar[a][q] = f64::from(pairs.gradients[4 * k + a]));
                }
                let mut g = [[0.0; PAIRS_AT_ONCE]; 3];
                for q in 0..PAIRS_AT_ONCE {
                    let vector = [r[0][q], r[1][q], r[2][q]];
                    let d = norm(vector);
                    let u_bar = [bar[1][q], bar[2][q], bar[3][q]];
                    let d_bar = bar[0][q] * context.per_step;
                    let found = pair::gradient(&vector, d, model.softening, d_bar, &u_bar);
                    (0..3).for_each(|a| g[a][q] = found[a]);
                }
                for (q, k) in run.clone().enumerate() {
                    let g = [g[0][q], g[1][q], g[2][q]];
                    (0..3).for_each(|a| force[a] += g[a]);
                    if k < alone {
                        let force = &mut sums.forces[pairs.list[k].target as usize];
                        (0..3).for_each(|a| force[a] -= g[a]);
                    }
                }
                match virials {
                    Virials::Total => {
                        for q in 0..PAIRS_AT_ONCE {
                            // Of a pair that is computed for both atoms, both halves.
                            let share = if from + q < alone { 1.0 } else { 0.5 };
                            for (ab, sum) in total.iter_mut().enumerate() {
                                sum[q] -= share * r[ab / 3][q] * g[ab % 3][q];
                            }
                        }
                    }
                    Virials::Atomic => {
                        for (q, k) in run.enumerate() {
                            let (r, g) = ([r[0][q], r[1][q], r[2][q]], [g[0][q], g[1][q], g[2][q]]);
                            // The other atom sees −r and −g: the same product.
                            pair::add_virial(&mut sums.virials[i], &r, &g);
                            if k < alone {
                                let j = pairs.list[k].target as usize;
                                pair::add_virial(&mut sums.virials[j], &r, &g);
                            }
                        }
                    }
                }
            }
            sums.forces[i] = force;
        }
        sums.virial = total.map(|lanes| lanes.iter().sum());
        if let Some(repulsion) = &model.repulsion {
            repel(context, pairs, repulsion, virials, sums);
        }
    }
}

/// Adds the repulsion of pairs that are close, which are rare.
fn repel(
    context: Context<'_>,
    pairs: &ChunkPairs,
    repulsion: &Repulsion,
    virials: Virials,
    sums: &mut Sums,
) {
    let Context { positions, first, .. } = context;
    for &ClosePair { row, pair, .. } in &pairs.close {
        let (i, k) = (row as usize, pair as usize);
        let (here, there) = (first + i, pairs.neighbors[k] as usize);
        let (r, d) = pair::distance(&positions[here], &positions[there]);
        let species = [here, there].map(|at| context.species(at) as u8);
        let (energy, slope) = repulsion.at(species, d);
        let g = r.map(|x| slope * x / d);
        let mut add = |row: usize, sign: f64| {
            sums.energies[row] += 0.5 * energy;
            (0..3).for_each(|a| sums.forces[row][a] += sign * g[a]);
            let virial = match virials {
                Virials::Total => &mut sums.virial,
                Virials::Atomic => &mut sums.virials[row],
            };
            pair::add_virial(virial, &r, &g);
        };
        add(i, 1.0);
        if pair < pairs.bounds[i][2] {
            add(pairs.list[k].target as usize, -1.0);
        }
    }
}

impl Context<'_> {
    /// Atomic number of the atom at a position index.
    fn species(&self, position: usize) -> usize {
        usize::from(self.list.species[self.plan.atoms[position] as usize])
    }
}
