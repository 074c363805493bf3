//! Structures side by side: small ones are computed together, so that weights and tables are read
//! once for all of them.

use std::ops::Range;
use std::time::Instant;

use super::{Engine, NeighborList, NeighborListInput, Results, Structure, Virials, findings, pair};
use crate::error::{Error, ErrorKind, Result};
use crate::memory::collected;
use crate::model::Scope;
use crate::neighbors::neighborhood;

/// Cuts items of these sizes into runs of at most `most` in all (at least one item each).
pub fn runs(sizes: impl IntoIterator<Item = usize>, most: usize) -> Vec<Range<usize>> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    let mut sum = 0;
    for (index, size) in sizes.into_iter().enumerate() {
        match runs.last_mut() {
            Some(run) if sum + size <= most => {
                run.end = index + 1;
                sum += size;
            }
            _ => {
                runs.push(index..index + 1);
                sum = size;
            }
        }
    }
    runs
}

/// Runs of structures of at most `most` atoms, which are computed together.
pub fn runs_of_structures(structures: &[Structure<'_>], most: usize) -> Vec<Range<usize>> {
    runs(structures.iter().map(|structure| structure.positions.len()), most)
}

/// Whether all threads share the work of this run, or it is left to one of them.
pub fn is_large(run: &[Structure<'_>], most: usize) -> bool {
    // A longer run would have been cut.
    run.iter().any(|structure| structure.positions.len() > most)
}

/// Structures as one system, in which none reaches another: their atoms one behind the other, then
/// their ghosts.
#[derive(Default)]
struct System {
    species: Vec<i32>,
    positions: Vec<[f64; 3]>,
    centers: Vec<i32>,
    /// `neighbors[offsets[i]..offsets[i + 1]]` are those of atom i.
    offsets: Vec<usize>,
    neighbors: Vec<i32>,
    ghost_species: Vec<i32>,
    ghosts: Vec<[f64; 3]>,
    /// Index of the atom that each ghost is an image of.
    owner: Vec<i32>,
}

impl System {
    fn set(&mut self, scope: &Scope, structures: &[Structure<'_>]) -> Result<()> {
        let Self { species, positions, offsets, neighbors, ghost_species, ghosts, owner, .. } =
            self;
        let atoms: usize = structures.iter().map(|structure| structure.positions.len()).sum();
        species.clear();
        positions.clear();
        neighbors.clear();
        ghost_species.clear();
        ghosts.clear();
        owner.clear();
        offsets.clear();
        offsets.try_reserve(atoms + 1)?;
        offsets.push(0);
        for structure in structures {
            let Structure { positions: own, cell, periodic, .. } = *structure;
            let around = neighborhood(own, cell, periodic, scope.cutoff)?;
            let (first, first_ghost) = (species.len(), atoms + ghosts.len());
            append(species, structure.species.iter().copied())?;
            append(positions, own.iter().copied())?;
            let owners = || around.owner.iter().map(|&atom| atom as usize);
            append(owner, owners().map(|atom| (first + atom) as i32))?;
            append(ghost_species, owners().map(|atom| structure.species[atom]))?;
            append(ghosts, around.ghosts.iter().copied())?;
            let start = neighbors.len();
            let shifted = |&j: &i32| match (j as usize).checked_sub(own.len()) {
                None => first as i32 + j,
                Some(ghost) => (first_ghost + ghost) as i32,
            };
            append(neighbors, around.neighbors.iter().map(shifted))?;
            append(offsets, around.offsets[1..].iter().map(|end| start + end))?;
        }
        append(species, ghost_species.iter().copied())?;
        append(positions, ghosts.iter().copied())?;
        self.centers.clear();
        append(&mut self.centers, 0..atoms as i32)
    }

    fn neighbor_list(&self, scope: &Scope) -> Result<NeighborList> {
        let list = |range: &[usize]| &self.neighbors[range[0]..range[1]];
        let lists: Vec<&[i32]> = collected(self.offsets.windows(2).map(list))?;
        let input = NeighborListInput {
            owned: self.centers.len(),
            ghosts: self.ghosts.len(),
            species: &self.species,
            centers: &self.centers,
            neighbors: &lists,
            mask: !0,
            owner: Some(&self.owner),
            list_cutoff: scope.cutoff,
        };
        NeighborList::of_both_directions(scope, &input)
    }

    fn memory(&self) -> usize {
        let integers =
            [&self.species, &self.centers, &self.neighbors, &self.ghost_species, &self.owner];
        4 * integers.into_iter().map(Vec::capacity).sum::<usize>()
            + 8 * self.offsets.capacity()
            + 24 * (self.positions.capacity() + self.ghosts.capacity())
    }
}

fn append<T>(to: &mut Vec<T>, items: impl ExactSizeIterator<Item = T>) -> Result<()> {
    to.try_reserve(items.len())?;
    to.extend(items);
    Ok(())
}

/// An engine with what it needs to compute structures.
pub struct Workspace {
    /// What computes the structures.
    pub engine: Box<dyn Engine>,
    /// Results of the last compute, its structures one behind the other.
    pub results: Results,
    /// Time spent on neighbor lists (s), without what the engine makes of them.
    pub listing: f64,
    /// Whether structures are searched for overlaps.
    overlaps: bool,
    system: System,
}

impl Workspace {
    /// For `engine`; `overlaps`: whether structures are searched for them.
    pub fn new(engine: Box<dyn Engine>, overlaps: bool) -> Self {
        let (results, system) = (Results::default(), System::default());
        Self { engine, results, listing: 0.0, overlaps, system }
    }

    /// Computes structures together; `results` holds their atoms one behind the other. Replaces the
    /// engine's list.
    pub fn compute(&mut self, scope: &Scope, structures: &[Structure<'_>]) -> Result<()> {
        structures.iter().try_for_each(|structure| check(scope, structure))?;
        if let Some(computed) = self.engine.compute_structures(structures, &mut self.results) {
            computed?;
            if self.overlaps && self.engine.may_overlap() {
                // A list of its own, of near atoms alone.
                let near = Scope { cutoff: findings::longest(scope), ..scope.clone() };
                self.system.set(&near, structures)?;
                let list = self.system.neighbor_list(&near)?;
                self.results.overlaps = findings::overlaps(&list, &self.system.positions)?;
            }
            return Ok(());
        }
        let started = Instant::now();
        self.system.set(scope, structures)?;
        let list = self.system.neighbor_list(scope)?;
        self.listing += started.elapsed().as_secs_f64();
        self.engine.set_neighbor_list(list)?;
        let positions = &self.system.positions;
        self.engine.compute(positions, None, Virials::Atomic, &mut self.results)?;
        if self.overlaps {
            self.results.overlaps = findings::overlaps(self.engine.neighbor_list(), positions)?;
        }
        Ok(())
    }

    /// Results of each structure of a run, whose first one is called `first` in errors.
    pub fn run(
        &mut self,
        scope: &Scope,
        structures: &[Structure<'_>],
        first: usize,
    ) -> Result<Vec<Results>> {
        if let Err(error) = self.compute(scope, structures) {
            // Which of them it was shows when each is computed alone.
            for (index, structure) in structures.iter().enumerate() {
                self.compute(scope, std::slice::from_ref(structure))
                    .map_err(|error| error.within(format_args!("structure {}", first + index)))?;
            }
            return Err(error);
        }
        let mut start = 0;
        let mut all = Vec::new();
        all.try_reserve_exact(structures.len())?;
        for structure in structures {
            let atoms = start..start + structure.positions.len();
            start = atoms.end;
            let Results { atomic_energies, forces, atomic_virials, outside, overlaps, .. } =
                &self.results;
            let mut results = pair::total(
                collected(atomic_energies[atoms.clone()].iter().copied())?,
                collected(forces[atoms.clone()].iter().copied())?,
                collected(atomic_virials[atoms.clone()].iter().copied())?,
            );
            // Both ascend, and no pair is of two structures.
            let first = atoms.start as u32;
            let place = |end: usize| outside.partition_point(|&atom| (atom as usize) < end);
            let own = &outside[place(atoms.start)..place(atoms.end)];
            results.outside = collected(own.iter().map(|atom| atom - first))?;
            let place = |end: usize| overlaps.partition_point(|&[atom, _]| (atom as usize) < end);
            let own = &overlaps[place(atoms.start)..place(atoms.end)];
            results.overlaps = collected(own.iter().map(|pair| pair.map(|atom| atom - first)))?;
            all.push(results);
        }
        Ok(all)
    }

    /// Bytes allocated, without what the engine shares with those of other threads.
    pub fn memory(&self) -> usize {
        let results = &self.results;
        self.engine.memory()[0]
            + self.system.memory()
            + results.atomic_energies.capacity() * size_of::<f64>()
            + results.forces.capacity() * size_of::<[f64; 3]>()
            + results.atomic_virials.capacity() * size_of::<[f64; 9]>()
    }
}

fn check(scope: &Scope, structure: &Structure<'_>) -> Result<()> {
    let atoms = structure.positions.len();
    if structure.species.len() != atoms {
        return Err(Error::new(
            ErrorKind::InvalidArgument,
            format!("{atoms} positions but {} species", structure.species.len()),
        ));
    }
    match structure.species.iter().position(|&number| number <= 0) {
        None => Ok(()),
        Some(atom) => Err(scope.unknown_atom(atom, structure.species[atom])),
    }
}
