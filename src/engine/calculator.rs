//! One model, one engine, one workspace: what the C API and the tool hold.

use std::sync::Arc;

use super::{
    Engine, Exchange, FilterMode, InstructionSet, Precision, Reference, Results, Seconds, Topology,
    TopologyInput,
};
use crate::error::{Error, ErrorKind, Result};
use crate::memory::collected;
use crate::model::Model;
use crate::neighbors;
use crate::vector::volume;

/// How to evaluate a model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Arithmetic of the features.
    pub precision: Precision,
    /// Evaluation of the filters.
    pub filter: FilterMode,
    /// Threads; 0 means 1, which suits one process for each core.
    pub threads: usize,
    /// Instructions of the fast kernels.
    pub instruction_set: InstructionSet,
}

/// Positions and a cell, as callers without a neighbor list have them.
#[derive(Clone, Copy, Debug)]
pub struct Structure<'a> {
    /// Atomic number of each atom.
    pub species: &'a [i32],
    /// Position of each atom, inside the cell or not (Å).
    pub positions: &'a [[f64; 3]],
    /// Lattice vectors, one per row (Å).
    pub cell: Option<[[f64; 3]; 3]>,
    /// Directions in which the structure repeats.
    pub periodic: [bool; 3],
}

impl Structure<'_> {
    /// The stress (eV/Å³, symmetric, positive = tension) that belongs to a virial of this
    /// structure; `None` unless it is periodic in three directions.
    pub fn stress(&self, virial: &[f64; 9]) -> Option<[[f64; 3]; 3]> {
        let volume = volume(self.cell.filter(|_| self.periodic == [true; 3])?);
        let half = -0.5 / volume;
        Some(std::array::from_fn(|row| {
            std::array::from_fn(|col| half * (virial[3 * row + col] + virial[3 * col + row]))
        }))
    }
}

/// Evaluates one model; see [`Engine`] for the two steps.
pub struct Calculator {
    model: Arc<Model>,
    options: Options,
    engine: Box<dyn Engine>,
    owned: usize,
    ghosts: usize,
    has_topology: bool,
    results: Results,
    positions: Vec<[f64; 3]>,
}

impl Calculator {
    /// A calculator for `model`; tables are made here.
    pub fn new(model: Arc<Model>, options: Options) -> Result<Self> {
        let engine: Box<dyn Engine> = match options.precision {
            Precision::Mixed => super::cpu::engine(Arc::clone(&model), options)?,
            Precision::Double => Box::new(Reference::new(Arc::clone(&model), options.filter)?),
        };
        Ok(Self {
            model,
            options,
            engine,
            owned: 0,
            ghosts: 0,
            has_topology: false,
            results: Results::default(),
            positions: Vec::new(),
        })
    }

    /// The model.
    pub fn model(&self) -> &Arc<Model> {
        &self.model
    }

    /// The options it was made with.
    pub fn options(&self) -> Options {
        self.options
    }

    /// Takes a neighbor list. On error the one before stays in use.
    pub fn set_topology(&mut self, input: &TopologyInput<'_>) -> Result<()> {
        let topology = Topology::new(&self.model, input)?;
        let (owned, ghosts) = (topology.owned, topology.ghosts);
        // From here on the engine's own arrays change.
        self.has_topology = false;
        self.engine.set_topology(topology)?;
        (self.owned, self.ghosts, self.has_topology) = (owned, ghosts, true);
        Ok(())
    }

    /// Owned atoms and ghosts of the neighbor list in use.
    pub fn counts(&self) -> (usize, usize) {
        (self.owned, self.ghosts)
    }

    /// Computes with the list of [`Self::set_topology`] at `positions`: owned atoms, then ghosts.
    pub fn compute(
        &mut self,
        positions: &[[f64; 3]],
        exchange: Option<&mut dyn Exchange>,
    ) -> Result<&Results> {
        if !self.has_topology {
            return Err(Error::new(
                ErrorKind::State,
                "no neighbor list is set: call set_topology before compute",
            ));
        }
        if positions.len() != self.owned + self.ghosts {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                format!(
                    "expected {} positions ({} owned atoms, {} ghosts), found {}",
                    self.owned + self.ghosts,
                    self.owned,
                    self.ghosts,
                    positions.len()
                ),
            ));
        }
        self.engine.compute(positions, exchange, &mut self.results)?;
        Ok(&self.results)
    }

    /// Computes a structure from its positions and cell alone. Replaces the list in use.
    pub fn compute_structure(&mut self, structure: &Structure<'_>) -> Result<&Results> {
        let atoms = structure.positions.len();
        if structure.species.len() != atoms {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                format!("{atoms} positions but {} species", structure.species.len()),
            ));
        }
        if let Some(atom) = structure.species.iter().position(|&number| number <= 0) {
            return Err(Error::new(
                ErrorKind::Species,
                format!("atom {atom}: {}", self.model.unknown_species(structure.species[atom])),
            ));
        }
        let cutoff = self.model.cutoff;
        let around = neighbors::neighborhood(
            structure.positions,
            structure.cell,
            structure.periodic,
            cutoff,
        )?;
        let owner = collected(around.owner.iter().map(|&atom| atom as i32))?;
        let mut species = Vec::new();
        species.try_reserve_exact(atoms + around.owner.len())?;
        species.extend_from_slice(structure.species);
        species.extend(around.owner.iter().map(|&atom| structure.species[atom as usize]));
        let centers = collected(0..atoms as i32)?;
        let list = |range: &[usize]| &around.neighbors[range[0]..range[1]];
        let lists: Vec<&[i32]> = collected(around.offsets.windows(2).map(list))?;
        self.set_topology(&TopologyInput {
            owned: atoms,
            ghosts: around.ghosts.len(),
            species: &species,
            centers: &centers,
            neighbors: &lists,
            mask: !0,
            owner: Some(&owner),
            list_cutoff: cutoff,
        })?;
        let mut positions = std::mem::take(&mut self.positions);
        positions.clear();
        positions.try_reserve_exact(atoms + around.ghosts.len())?;
        positions.extend_from_slice(structure.positions);
        positions.extend_from_slice(&around.ghosts);
        let computed = self.compute(&positions, None).map(|_| ());
        self.positions = positions;
        computed?;
        Ok(&self.results)
    }

    /// How many exchanges each compute makes where atoms live on several ranks: before each message
    /// but the first, and before each reverse message.
    pub fn exchanges(&self) -> usize {
        2 * self.model.blocks.len() - 1
    }

    /// Bytes allocated by this calculator.
    pub fn memory(&self) -> usize {
        let results = &self.results;
        self.engine.memory()
            + self.positions.capacity() * size_of::<[f64; 3]>()
            + results.atomic_energies.capacity() * size_of::<f64>()
            + results.forces.capacity() * size_of::<[f64; 3]>()
            + results.atomic_virials.capacity() * size_of::<[f64; 9]>()
    }

    /// The instructions in use.
    pub fn instruction_set(&self) -> &'static str {
        self.engine.instruction_set()
    }

    /// Where the time went since this calculator was made.
    pub fn seconds(&self) -> Seconds {
        self.engine.seconds()
    }
}
