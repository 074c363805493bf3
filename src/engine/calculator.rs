//! One model, one engine, one workspace: what the C API and the tool hold.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use rayon::prelude::*;

use super::batch::{self, Workspace};
use super::findings::{self, Findings};
use super::layers;
use super::{
    Backend, Check, Device, Engine, Exchange, InstructionSet, NeighborList, NeighborListInput,
    Options, Precision, Reference, Results, Seconds, Virials,
};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Potential, Scope};
use crate::vector::volume;

/// Positions and a cell, as callers without a neighbor list have them.
///
/// ```
/// use mlff_student::engine::Structure;
///
/// // Water in a cube of 9 Å that repeats in all directions.
/// let structure = Structure {
///     species: &[8, 1, 1],
///     positions: &[[0.0, 0.0, 0.0], [0.96, 0.0, 0.0], [-0.24, 0.93, 0.0]],
///     cell: Some([[9.0, 0.0, 0.0], [0.0, 9.0, 0.0], [0.0, 0.0, 9.0]]),
///     periodic: [true; 3],
/// };
/// // A virial that pushes outward (eV) is a negative stress (eV/Å³), since tension is positive.
/// let stress = structure.stress(&[7.29, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]).unwrap();
/// assert!((stress[0][0] + 0.01).abs() < 1e-12);
/// ```
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
///
/// ```
/// use std::path::Path;
/// use std::sync::Arc;
///
/// use mlff_student::engine::{Calculator, Options, Structure};
/// use mlff_student::model::Model;
///
/// let model = Model::load(Path::new("models/organics-small.safetensors"))?;
/// let mut calculator = Calculator::new(Arc::new(model), Options::default())?;
/// let results = calculator.compute_structure(&Structure {
///     species: &[8, 1, 1],
///     positions: &[[0.0, 0.0, 0.0], [0.96, 0.0, 0.0], [-0.24, 0.93, 0.0]],
///     cell: None,
///     periodic: [false; 3],
/// })?;
/// // No force is left on the molecule as a whole (eV/Å).
/// let total: f64 = results.forces.iter().map(|force| force[0]).sum();
/// assert!(total.abs() < 1e-5);
/// # Ok::<(), mlff_student::Error>(())
/// ```
pub struct Calculator {
    potential: Potential,
    scope: Scope,
    exchanges: usize,
    row_bytes: usize,
    options: Options,
    pool: Option<Arc<rayon::ThreadPool>>,
    /// Process that made this calculator, which alone has its threads.
    process: u32,
    workspace: Workspace,
    /// One workspace for each thread of `pool`, for batches; made when first needed.
    workers: Vec<Mutex<Workspace>>,
    /// Owned atoms and ghosts of the caller's neighbor list.
    counts: Option<(usize, usize)>,
    /// Whether atoms of the caller's list are still to be searched for overlaps.
    new_list: bool,
    /// What the last compute found.
    findings: Findings,
    /// Whether a line on stderr spoke of atoms outside, and of overlaps.
    warned: [bool; 2],
}

impl Calculator {
    /// A calculator for a potential; tables are made here.
    pub fn new(potential: impl Into<Potential>, options: Options) -> Result<Self> {
        let potential = potential.into();
        let mut pool = None;
        let (engine, exchanges, row_bytes) = match (&potential, options.backend) {
            (Potential::Student(model), Backend::Own) => {
                let model = Arc::clone(model);
                // Before each message but the first, and before each reverse message.
                let exchanges = 2 * model.blocks.len() - 1;
                // Rows of the messages in reverse, (s̄, v̄), are no longer than those forward.
                let vectors = match options.device {
                    Device::Cuda(_) => model.hidden,
                    Device::Cpu => model.vectors,
                };
                let values = layers::padded(model.hidden)
                    + (layers::feature_width(model.has_sender()) - 1) * layers::padded(vectors);
                let row_bytes = match options.precision {
                    Precision::Mixed => values * size_of::<f32>(),
                    Precision::Double => values * size_of::<f64>(),
                };
                let engine: Box<dyn Engine> = match (options.device, options.precision) {
                    // Threads do nothing for a GPU.
                    (Device::Cuda(index), _) => super::cuda::engine(model, options, index)?,
                    (Device::Cpu, Precision::Mixed) => {
                        pool = threads(options.threads)?;
                        super::cpu::engine(model, options, pool.clone())?
                    }
                    (Device::Cpu, Precision::Double) => {
                        pool = threads(options.threads)?;
                        Box::new(Reference::new(model, options.filter)?)
                    }
                };
                (engine, exchanges, row_bytes)
            }
            _ => (super::torch::engine(&potential, options)?, 0, 0),
        };
        Ok(Self {
            scope: potential.scope(),
            potential,
            exchanges,
            row_bytes,
            options,
            pool,
            process: std::process::id(),
            workspace: Workspace::new(engine, options.check != Check::Off),
            workers: Vec::new(),
            counts: None,
            new_list: false,
            findings: Findings::default(),
            warned: [false; 2],
        })
    }

    /// The student or TorchScript model that it evaluates.
    pub fn potential(&self) -> &Potential {
        &self.potential
    }

    /// The options it was made with.
    pub fn options(&self) -> Options {
        self.options
    }

    /// Takes a neighbor list. On error the one before stays in use.
    pub fn set_neighbor_list(&mut self, input: &NeighborListInput<'_>) -> Result<()> {
        let started = Instant::now();
        let list = NeighborList::new(&self.scope, input)?;
        let counts = (list.owned, list.ghosts);
        self.workspace.listing += started.elapsed().as_secs_f64();
        self.workspace.engine.set_neighbor_list(list)?;
        self.counts = Some(counts);
        self.new_list = true;
        Ok(())
    }

    /// Owned atoms and ghosts of the neighbor list in use: none before [`Self::set_neighbor_list`],
    /// and none after structures were computed, which replace the list.
    pub fn counts(&self) -> Option<(usize, usize)> {
        self.counts
    }

    /// Computes with the list of [`Self::set_neighbor_list`] at `positions`: owned atoms, then
    /// ghosts. Overlaps are looked for once with each list.
    pub fn compute(
        &mut self,
        positions: &[[f64; 3]],
        exchange: Option<&mut dyn Exchange>,
        virials: Virials,
    ) -> Result<&Results> {
        let Some((owned, ghosts)) = self.counts else {
            return Err(Error::new(
                ErrorKind::State,
                "no neighbor list is set: call set_neighbor_list before compute, and again after \
                 computing structures, which replace the list",
            ));
        };
        if positions.len() != owned + ghosts {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                format!(
                    "expected {} positions ({owned} owned atoms, {ghosts} ghosts), found {}",
                    owned + ghosts,
                    positions.len()
                ),
            ));
        }
        self.check_process()?;
        self.findings = Findings::default();
        let Workspace { engine, results, .. } = &mut self.workspace;
        engine.compute(positions, exchange, virials, results)?;
        // After the engine, which is more exact about positions that are no numbers or the same,
        // and whose exchanges other ranks wait for.
        if self.new_list && self.options.check != Check::Off {
            results.overlaps = findings::overlaps(engine.neighbor_list(), positions)?;
        }
        let findings = Findings::of(std::slice::from_ref(results));
        self.judge(findings)?;
        self.new_list = false;
        Ok(&self.workspace.results)
    }

    /// Computes a structure from its positions and cell alone. No list is set afterwards.
    pub fn compute_structure(&mut self, structure: &Structure<'_>) -> Result<&Results> {
        self.counts = None;
        self.check_process()?;
        self.findings = Findings::default();
        self.workspace.compute(&self.scope, std::slice::from_ref(structure))?;
        self.judge(Findings::of(std::slice::from_ref(&self.workspace.results)))?;
        Ok(&self.workspace.results)
    }

    /// Computes many structures: small ones together, one run of them on each thread. On a
    /// processor their results have the bits that [`Self::compute_structure`] gives; on a GPU
    /// kernels are chosen by the number of atoms, which changes the order of sums. No list is set
    /// afterwards.
    pub fn compute_batch(&mut self, structures: &[Structure<'_>]) -> Result<Vec<Results>> {
        self.counts = None;
        self.check_process()?;
        self.findings = Findings::default();
        let most = self.workspace.engine.atoms_per_batch();
        let runs = batch::runs_of_structures(structures, most);
        let mut found: Vec<Option<Result<Vec<Results>>>> = Vec::new();
        found.resize_with(runs.len(), || None);
        let scope = &self.scope;
        if let Some(pool) = &self.pool {
            while self.workers.len() < pool.current_num_threads() {
                let engine = self.workspace.engine.for_another_thread()?;
                let overlaps = self.options.check != Check::Off;
                self.workers.push(Mutex::new(Workspace::new(engine, overlaps)));
            }
            let workers = &self.workers;
            pool.install(|| {
                found.par_iter_mut().zip(&runs).with_max_len(1).for_each(|(found, run)| {
                    let structures = &structures[run.clone()];
                    if !batch::is_large(structures, most) {
                        let worker = &workers[rayon::current_thread_index().unwrap_or(0)];
                        let mut worker = worker.lock().unwrap_or_else(PoisonError::into_inner);
                        *found = Some(worker.run(scope, structures, run.start));
                    }
                });
            });
        }
        for (found, run) in found.iter_mut().zip(runs) {
            if found.is_none() {
                let first = run.start;
                *found = Some(self.workspace.run(scope, &structures[run], first));
            }
        }
        let mut all = Vec::new();
        all.try_reserve_exact(structures.len())?;
        for found in found.into_iter().flatten() {
            all.extend(found?);
        }
        self.judge(Findings::of(&all))?;
        Ok(all)
    }

    /// What the last compute found, also where it failed for that ([`Check::Strict`]). Nothing is
    /// looked for with [`Check::Off`].
    pub fn findings(&self) -> &Findings {
        &self.findings
    }

    /// Does what the options ask for about what was found.
    fn judge(&mut self, findings: Findings) -> Result<()> {
        if self.options.check == Check::Off {
            return Ok(());
        }
        self.findings = findings;
        match self.options.check {
            Check::Strict => self.findings.refuse()?,
            Check::Warn => self.findings.warn(&mut self.warned),
            Check::Report | Check::Off => {}
        }
        Ok(())
    }

    /// Threads do not follow a fork, and the child would wait for them for ever; neither does a
    /// GPU.
    fn check_process(&self) -> Result<()> {
        let message = match (self.options.device, &self.pool) {
            (Device::Cpu, None) => return Ok(()),
            _ if std::process::id() == self.process => return Ok(()),
            (Device::Cpu, Some(_)) => format!(
                "this calculator's {} threads stayed in the process that was forked: make a new \
                 calculator in this one",
                self.options.threads
            ),
            (Device::Cuda(index), _) => format!(
                "this calculator's GPU {index} stayed with the process that was forked: {}",
                super::cuda::INSTEAD_OF_A_FORK
            ),
        };
        Err(Error::new(ErrorKind::State, message))
    }

    /// How many exchanges each compute makes where atoms live on several ranks.
    pub fn exchanges(&self) -> usize {
        self.exchanges
    }

    /// Bytes of the longest row of these exchanges, or more.
    pub fn row_bytes(&self) -> usize {
        self.row_bytes
    }

    /// Bytes allocated by this calculator.
    pub fn memory(&self) -> usize {
        let lock = |worker: &Mutex<Workspace>| {
            worker.lock().unwrap_or_else(PoisonError::into_inner).memory()
        };
        let [_, shared] = self.workspace.engine.memory();
        shared + self.workspace.memory() + self.workers.iter().map(lock).sum::<usize>()
    }

    /// The instructions in use; [`InstructionSet::Best`] where there is no choice.
    pub fn instruction_set(&self) -> InstructionSet {
        self.workspace.engine.instruction_set()
    }

    /// Where the time went since this calculator was made, batches on several threads left out.
    pub fn seconds(&self) -> Seconds {
        let mut seconds = self.workspace.engine.seconds();
        seconds.lists += self.workspace.listing;
        seconds
    }
}

/// Threads of a calculator's own; one needs no pool.
fn threads(threads: usize) -> Result<Option<Arc<rayon::ThreadPool>>> {
    if threads <= 1 {
        return Ok(None);
    }
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .thread_name(|k| format!("mlff-student-{k}"))
        .build();
    pool.map(|pool| Some(Arc::new(pool))).map_err(|error| {
        Error::new(
            ErrorKind::Memory,
            format!("cannot start {threads} threads ({error}): ask for fewer"),
        )
    })
}
