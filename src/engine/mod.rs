//! Energies, forces and virials of a [`Model`](crate::model::Model) for a neighbor list.
//!
//! An [`Engine`] works in two steps, as molecular dynamics does: [`Engine::set_neighbor_list`] once
//! per neighbor list, [`Engine::compute`] at every step. [`Calculator`] chooses the engine and
//! serves callers who have positions and a cell but no list.

mod batch;
mod calculator;
mod cpu;
mod cuda;
mod findings;
mod layers;
mod neighbor_list;
mod options;
mod order;
mod pair;
mod reference;
mod table;
pub mod torch;

pub use batch::runs;
pub use calculator::{Calculator, Structure};
pub use cpu::{CHUNK, peak};
pub use cuda::gpus;
pub use findings::{Findings, NAMED};
pub use neighbor_list::{NeighborList, NeighborListInput};
pub use options::{
    Backend, Check, Device, FilterMode, InstructionSet, MOST_THREADS, OPTIONS, Options, Precision,
    Row, Values,
};
pub use reference::Reference;

use crate::error::Result;

/// Feature rows on their way from owners to ghosts, in the caller's order: all owned atoms, then
/// all ghosts.
pub enum Rows<'a> {
    /// float32 values.
    F32(&'a mut [f32]),
    /// float64 values.
    F64(&'a mut [f64]),
}

/// Copies rows of owned atoms to their ghosts on other ranks (LAMMPS: `forward_comm`).
pub trait Exchange {
    /// `rows` holds `width` values (an even number) for each owned atom and each ghost; on return
    /// each ghost's row equals its owner's. Called the same number of times on every rank,
    /// [`Calculator::exchanges`] per compute, also where a rank has no atoms.
    fn forward(&mut self, rows: Rows<'_>, width: usize) -> Result<()>;
}

/// Which virials a computation with a neighbor list has to give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Virials {
    /// The virial of the whole system alone.
    Total,
    /// The virial of the system, and each atom's part of it, which takes time and memory of its
    /// own.
    Atomic,
}

impl Virials {
    /// How many of so many atoms get a virial of their own.
    fn of_atoms(self, atoms: usize) -> usize {
        match self {
            Self::Total => 0,
            Self::Atomic => atoms,
        }
    }
}

/// What a computation gives. Arrays hold one entry for each owned atom.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Results {
    /// Sum of the owned atoms' energies (eV).
    pub energy: f64,
    /// Energy of each owned atom (eV).
    pub atomic_energies: Vec<f64>,
    /// −∂E/∂r of each owned atom, contributions through other ranks' atoms included (eV/Å).
    pub forces: Vec<[f64; 3]>,
    /// −Σ r ⊗ ∂E/∂r over pairs (eV), row by row, half of each for either atom. Over all ranks its
    /// symmetric part is −∂E/∂ε. Positive = the system pushes outward, as in LAMMPS.
    pub virial: [f64; 9],
    /// Each owned atom's part of the virial: half of each of its pairs. Sums to `virial` (but for
    /// rounding). May be empty where nobody asked ([`Virials::Total`]).
    pub atomic_virials: Vec<[f64; 9]>,
    /// Owned atoms, ascending, whose network energy is far outside of what the student's training
    /// data have ([`crate::model::energy_range::is_outside`]). None of a model without a range,
    /// and none with libtorch, which is not asked.
    pub outside: Vec<u32>,
    /// Pairs of atoms that are nearer to each other than half of the sum of their covalent radii:
    /// those that a [`Calculator`] looked for, which it does with a new list and in structures.
    pub overlaps: Vec<[u32; 2]>,
}

/// Wall time spent since an engine was made (s). What an engine does not tell apart is in the rest:
/// on a GPU pairs, messages and atoms, in float64 all but exchange, with libtorch all but pairs.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Seconds {
    /// Taking neighbor lists, ordering their atoms, and taking positions.
    pub lists: f64,
    /// Distances and table positions of pairs.
    pub pairs: f64,
    /// Pair kernels: forward, reverse.
    pub messages: [f64; 2],
    /// Dense layers of atoms, forward and reverse.
    pub atoms: f64,
    /// The caller's exchange callbacks.
    pub exchange: f64,
    /// Everything else.
    pub rest: f64,
}

/// Evaluates one model on one device.
pub trait Engine: Send {
    /// Takes a neighbor list; everything that follows from it alone is derived here. On error the
    /// one before stays.
    fn set_neighbor_list(&mut self, list: NeighborList) -> Result<()>;

    /// Computes at `positions` (owned atoms, then ghosts; Å). `exchange` is needed when a ghost
    /// has no owner on this rank. On error `results` is untouched.
    fn compute(
        &mut self,
        positions: &[[f64; 3]],
        exchange: Option<&mut dyn Exchange>,
        virials: Virials,
        results: &mut Results,
    ) -> Result<()>;

    /// The list that was set last.
    fn neighbor_list(&self) -> &NeighborList;

    /// Computes structures side by side, the atoms of one behind those of the other, where the
    /// engine finds pairs itself; else gives none, and a list has to be made. Replaces the list
    /// that was set. On error `results` is untouched.
    fn compute_structures(
        &mut self,
        _structures: &[Structure<'_>],
        _results: &mut Results,
    ) -> Option<Result<()>> {
        None
    }

    /// Whether two atoms of the structures that [`Self::compute_structures`] computed last may
    /// overlap. An engine that finds pairs itself knows their distances.
    fn may_overlap(&self) -> bool {
        true
    }

    /// Up to how many atoms small structures are best computed as one system.
    fn atoms_per_batch(&self) -> usize;

    /// A new engine of one thread for the same student; what never changes is shared.
    fn for_another_thread(&self) -> Result<Box<dyn Engine>>;

    /// Where the time went since this engine was made.
    fn seconds(&self) -> Seconds;

    /// Bytes this engine has allocated, and those that it shares with engines for
    /// other threads.
    fn memory(&self) -> [usize; 2];

    /// The instructions in use; [`InstructionSet::Best`] where there is no choice: in float64, on a
    /// GPU, in libtorch.
    fn instruction_set(&self) -> InstructionSet {
        InstructionSet::Best
    }
}
