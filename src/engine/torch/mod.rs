//! libtorch as an engine: students in plain tensor operations and automatic differentiation, and
//! TorchScript models of any network.
//!
//! libtorch is 1.2 GB, so it lives in a library of its own, which is loaded when a calculator asks
//! for it ([`functions`]). There, E is a function of species, positions, pairs and shifts. Positions
//! enter by r = r_j + shift − r_i of each directed pair alone, so ∂E/∂shift is ∂E/∂r, from which
//! forces and virials follow here.

pub mod functions;
mod library;

use std::ffi::c_void;
use std::ptr::NonNull;
use std::sync::Arc;
use std::time::Instant;

use self::functions::{Failure, Input, Opening, Output, Table};
use super::{
    Device, Engine, Exchange, NeighborList, Options, Precision, Results, Seconds, Virials, pair,
};
use crate::error::{Error, ErrorKind, Result};
use crate::memory::filled;
use crate::model::Potential;

/// An engine for `potential`.
pub fn engine(potential: &Potential, options: Options) -> Result<Box<dyn Engine>> {
    let table = library::functions()?;
    let (file, script, double) = match potential {
        Potential::Student(model) => {
            (&model.to_bytes()?, false, options.precision == Precision::Double)
        }
        Potential::Script(script) => (&script.file, true, script.float64),
    };
    let gpu = match options.device {
        Device::Cpu => -1,
        Device::Cuda(index) => index as i32,
    };
    let opening = Opening {
        file: file.as_ptr(),
        length: file.len(),
        script,
        double,
        gpu,
        threads: options.threads.max(1) as u32,
    };
    let mut failure = Failure::default();
    // SAFETY: the file's bytes outlive the call.
    #[allow(unsafe_code)]
    let handle = unsafe { (table.open)(&opening, &mut failure) };
    let handle = NonNull::new(handle).ok_or_else(|| failure.error())?;
    let evaluator = Arc::new(Evaluator { table, handle, script });
    Ok(Box::new(Torch::new(evaluator, potential.scope().cutoff)))
}

/// What the other library holds for a model. Engines of one calculator, which share it, are called
/// one at a time: libtorch has threads of its own.
struct Evaluator {
    table: &'static Table,
    handle: NonNull<c_void>,
    script: bool,
}

// SAFETY: the handle is an address that the other library alone looks behind, under a lock there.
#[allow(unsafe_code)]
unsafe impl Send for Evaluator {}
// SAFETY: the same.
#[allow(unsafe_code)]
unsafe impl Sync for Evaluator {}

impl Drop for Evaluator {
    fn drop(&mut self) {
        // SAFETY: opened once, closed once.
        #[allow(unsafe_code)]
        unsafe {
            (self.table.close)(self.handle.as_ptr());
        }
    }
}

/// Atoms that are part of the model, and their pairs within the cutoff.
#[derive(Default)]
struct System {
    /// The caller's index of each atom.
    atoms: Vec<usize>,
    species: Vec<i64>,
    positions: Vec<[f64; 3]>,
    to: Vec<i64>,
    from: Vec<i64>,
    shifts: Vec<[f64; 3]>,
    /// r_j + shift − r_i, from the caller's positions.
    vectors: Vec<[f64; 3]>,
}

impl System {
    fn new(list: &NeighborList, positions: &[[f64; 3]], cutoff: f64) -> Result<Self> {
        let mut system = Self::default();
        let mut place: Vec<i64> = filled(list.owned, -1)?;
        system.reserve(list.owned, list.neighbors.len())?;
        for i in (0..list.owned).filter(|&i| list.species[i] > 0) {
            place[i] = system.atoms.len() as i64;
            system.atoms.push(i);
            system.species.push(list.species[i].into());
            system.positions.push(positions[i]);
        }
        for &i in &system.atoms {
            for &j in list.neighbors_of(i) {
                let (r, d) = pair::distance(&positions[i], &positions[j as usize]);
                if d > cutoff {
                    continue;
                }
                // `set_neighbor_list` refuses ghosts without an owner.
                let Some(owner) = list.resolve(j) else { continue };
                let owner = owner as usize;
                if d < pair::COINCIDENT {
                    return Err(pair::same_place(i, owner));
                }
                system.to.push(place[i]);
                system.from.push(place[owner]);
                let (image, own) = (positions[j as usize], positions[owner]);
                system.shifts.push(std::array::from_fn(|a| image[a] - own[a]));
                system.vectors.push(r);
            }
        }
        Ok(system)
    }

    /// Makes room for so many atoms and pairs.
    fn reserve(&mut self, atoms: usize, pairs: usize) -> Result<()> {
        self.atoms.try_reserve_exact(atoms)?;
        self.species.try_reserve_exact(atoms)?;
        self.positions.try_reserve_exact(atoms)?;
        self.to.try_reserve_exact(pairs)?;
        self.from.try_reserve_exact(pairs)?;
        self.shifts.try_reserve_exact(pairs)?;
        self.vectors.try_reserve_exact(pairs)?;
        Ok(())
    }

    fn memory(&self) -> usize {
        8 * (self.atoms.capacity() + self.species.capacity() + 3 * self.positions.capacity())
            + 8 * (self.to.capacity() + self.from.capacity())
            + 24 * (self.shifts.capacity() + self.vectors.capacity())
    }
}

/// One neighbor list's engine.
struct Torch {
    evaluator: Arc<Evaluator>,
    cutoff: f64,
    list: NeighborList,
    memory: usize,
    seconds: Seconds,
}

impl Torch {
    fn new(evaluator: Arc<Evaluator>, cutoff: f64) -> Self {
        let (list, seconds) = (NeighborList::default(), Seconds::default());
        Self { evaluator, cutoff, list, memory: 0, seconds }
    }

    /// Energies of the system's atoms, and ∂E/∂r of its pairs.
    fn evaluate(&self, system: &System) -> Result<(Vec<f64>, Vec<[f64; 3]>)> {
        let mut energies = filled(system.atoms.len(), 0.0)?;
        let mut gradients = filled(system.to.len(), [0.0; 3])?;
        let input = Input {
            atoms: system.atoms.len(),
            species: system.species.as_ptr(),
            positions: system.positions.as_ptr().cast(),
            pairs: system.to.len(),
            to: system.to.as_ptr(),
            from: system.from.as_ptr(),
            shifts: system.shifts.as_ptr().cast(),
        };
        let output =
            Output { energies: energies.as_mut_ptr(), gradients: gradients.as_mut_ptr().cast() };
        let mut failure = Failure::default();
        let Evaluator { table, handle, .. } = &*self.evaluator;
        // SAFETY: arrays have the lengths that `input` names and outlive the call.
        #[allow(unsafe_code)]
        let done = unsafe { (table.compute)(handle.as_ptr(), &input, &output, &mut failure) };
        if done { Ok((energies, gradients)) } else { Err(failure.error()) }
    }
}

impl Engine for Torch {
    fn set_neighbor_list(&mut self, list: NeighborList) -> Result<()> {
        if let Some(j) = list.unresolved() {
            return Err(Error::new(
                ErrorKind::Unsupported,
                format!(
                    "engine torch evaluates whole systems, but ghost {} (atom {j}) has no owner on \
                     this process: give the owner of every ghost; where atoms live on several \
                     processes, use one, or this library's own engine for a student",
                    j as usize - list.owned
                ),
            )
            .about([j as usize]));
        }
        self.list = list;
        Ok(())
    }

    fn compute(
        &mut self,
        positions: &[[f64; 3]],
        _: Option<&mut dyn Exchange>,
        _: Virials,
        results: &mut Results,
    ) -> Result<()> {
        let started = Instant::now();
        pair::check_finite(positions)?;
        self.list.check_edge(positions, self.cutoff)?;
        let list = &self.list;
        let system = System::new(list, positions, self.cutoff)?;
        let mut atomic_energies = filled(list.owned, 0.0)?;
        let mut forces = filled(list.owned, [0.0; 3])?;
        let mut virials = filled(list.owned, [0.0; 9])?;
        self.seconds.pairs += started.elapsed().as_secs_f64();
        let started = Instant::now();
        if !system.atoms.is_empty() {
            let (energies, gradients) = self.evaluate(&system)?;
            for (&atom, energy) in system.atoms.iter().zip(energies) {
                atomic_energies[atom] = energy;
            }
            for (p, (r, g)) in system.vectors.iter().zip(&gradients).enumerate() {
                let [i, j] = [system.to[p], system.from[p]].map(|at| system.atoms[at as usize]);
                pair::add(&mut forces[i], &mut virials[i], r, g);
                // Seen from j, both r and ∂E/∂r change sign.
                pair::add(&mut forces[j], &mut virials[j], &r.map(|x| -x), &g.map(|x| -x));
            }
        }
        let found = pair::total(atomic_energies, forces, virials);
        pair::check_results(&found)?;
        *results = found;
        self.memory = system.memory();
        self.seconds.rest += started.elapsed().as_secs_f64();
        Ok(())
    }

    fn neighbor_list(&self) -> &NeighborList {
        &self.list
    }

    fn atoms_per_batch(&self) -> usize {
        // A TorchScript model may give the energy of all atoms alone, or let all of them see each
        // other.
        if self.evaluator.script { 0 } else { 1 << 14 }
    }

    fn for_another_thread(&self) -> Result<Box<dyn Engine>> {
        Ok(Box::new(Self::new(Arc::clone(&self.evaluator), self.cutoff)))
    }

    fn seconds(&self) -> Seconds {
        self.seconds
    }

    fn memory(&self) -> [usize; 2] {
        [self.memory + self.list.memory(), 0]
    }
}
