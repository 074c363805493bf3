//! From pairs' gradients to forces and virials, in float64, for one block of atoms and the rows that it
//! borrows.

use super::pairs::{BlockPairs, ClosePair};
use super::plan::Plan;
use crate::engine::{Topology, pair};
use crate::error::Result;
use crate::model::Model;

/// What atoms get from the pairs of a block: its own atoms, by row, and behind them those whose rows
/// it borrows.
#[derive(Default)]
pub struct Sums {
    /// Energies (eV): the readout's, to which reference energies and repulsion are added.
    pub energies: Vec<f64>,
    /// Forces (eV/Å).
    pub forces: Vec<[f64; 3]>,
    /// Virials (eV).
    pub virials: Vec<[f64; 9]>,
}

/// What is known of the block whose gradients are summed.
#[derive(Clone, Copy)]
pub struct Place<'a> {
    /// The student.
    pub model: &'a Model,
    /// All atoms.
    pub topology: &'a Topology,
    /// Their order.
    pub plan: &'a Plan,
    /// Positions in that order (Å).
    pub positions: &'a [[f64; 3]],
    /// The block's first row.
    pub first: usize,
    /// Factor that turns the kernels' slopes into slopes by d (1/Å).
    pub per_step: f64,
}

impl Sums {
    /// Makes room for `rows` atoms.
    pub fn resize(&mut self, rows: usize) -> Result<()> {
        self.energies.try_reserve(rows.saturating_sub(self.energies.len()))?;
        self.forces.try_reserve(rows.saturating_sub(self.forces.len()))?;
        self.virials.try_reserve(rows.saturating_sub(self.virials.len()))?;
        self.energies.resize(rows, 0.0);
        self.forces.resize(rows, [0.0; 3]);
        self.virials.resize(rows, [0.0; 9]);
        Ok(())
    }

    /// Adds up what the pairs of the block give its atoms.
    pub fn collect(&mut self, place: Place<'_>, pairs: &BlockPairs) {
        let Place { model, positions, first, .. } = place;
        self.energies[place.plan.block_rows..].fill(0.0);
        self.forces.fill([0.0; 3]);
        self.virials.fill([0.0; 9]);
        for (i, &[start, _, alone, end]) in pairs.spans.iter().enumerate() {
            self.energies[i] += model.reference_energies[place.species(first + i)];
            let (mut force, mut virial) = (self.forces[i], self.virials[i]);
            for k in start as usize..end as usize {
                let there = &positions[pairs.neighbors[k] as usize];
                let (r, d) = pair::distance(&positions[first + i], there);
                let [d_bar, u_bar @ ..]: [f64; 4] =
                    std::array::from_fn(|q| f64::from(pairs.gradients[4 * k + q]));
                let d_bar = d_bar * place.per_step;
                let g = pair::gradient(&r, d, model.softening, d_bar, &u_bar);
                pair::add(&mut force, &mut virial, &r, &g);
                if k < alone as usize {
                    // The other atom sees −r and −g.
                    let j = pairs.list[k].target as usize;
                    let (r, g) = (r.map(|x| -x), g.map(|x| -x));
                    pair::add(&mut self.forces[j], &mut self.virials[j], &r, &g);
                }
            }
            (self.forces[i], self.virials[i]) = (force, virial);
        }
        if let Some(repulsion) = &model.repulsion {
            for &ClosePair { row, pair } in &pairs.close {
                let (i, k) = (row as usize, pair as usize);
                let (here, there) = (first + i, pairs.neighbors[k] as usize);
                let (r, d) = pair::distance(&positions[here], &positions[there]);
                let species = [here, there].map(|at| place.species(at) as u8);
                let (energy, slope) = repulsion.at(species, d);
                let mut add = |row: usize, sign: f64| {
                    let r = r.map(|x| sign * x);
                    self.energies[row] += 0.5 * energy;
                    let g = r.map(|x| slope * x / d);
                    pair::add(&mut self.forces[row], &mut self.virials[row], &r, &g);
                };
                add(i, 1.0);
                if pair < pairs.spans[i][2] {
                    add(pairs.list[k].target as usize, -1.0);
                }
            }
        }
    }

    /// Bytes allocated.
    pub fn memory(&self) -> usize {
        8 * self.energies.capacity() + 24 * self.forces.capacity() + 72 * self.virials.capacity()
    }
}

impl Place<'_> {
    /// Atomic number of the atom at a position index.
    fn species(&self, position: usize) -> usize {
        usize::from(self.topology.species[self.plan.atoms[position] as usize])
    }
}
