//! The engine for NVIDIA GPUs: float32 features, tables for the filters, float64 sums.
//!
//! One compute is: pairs within the cutoff; for each block the message and the atoms' own layers;
//! the same in reverse; sums of forces and virials. All of it runs on the device (`kernels/`),
//! where the neighbor list stays until the next one, or is made; positions go up and results come
//! down. Every sum is a gather in a fixed order, so two runs give the same bits.

mod arguments;
mod border;
mod device;
mod device_model;
mod failure;
#[cfg(feature = "cuda")]
mod gpu;
mod network;
#[cfg(feature = "cuda")]
mod nvrtc;
mod pass;
mod plan;
#[cfg(feature = "cuda")]
mod ptx;
mod queue;
mod shape;
mod shim;
mod spline;
mod structures;
mod tables;

use std::sync::Arc;
use std::time::Instant;

use self::arguments::FindPairs;
use self::border::Border;
use self::device::{Array, Device, Pinned};
use self::device_model::DeviceModel;
pub use self::failure::INSTEAD_OF_A_FORK;
use self::pass::{Flag, List, Pass, PositionsInput};
use self::plan::Plan;
use self::structures::{Ready, Structures};
use super::{
    Engine, Exchange, FilterMode, NeighborList, Options, Precision, Results, Seconds, Structure,
    Virials, pair,
};
use crate::error::{Error, ErrorKind, Result};
use crate::memory::{collected, filled};
use crate::model::Model;
use crate::model::energy_range::is_outside;

/// An engine for `model` on GPU `index`.
pub fn engine(model: Arc<Model>, options: Options, index: usize) -> Result<Box<dyn Engine>> {
    let unsupported = |what| Err(Error::new(ErrorKind::Unsupported, what));
    if options.precision != Precision::Mixed {
        return unsupported(
            "device cuda computes with precision mixed only, found double: use device cpu",
        );
    }
    if options.filter != FilterMode::Table {
        return unsupported(
            "device cuda computes with filter table only, found exact: use device cpu",
        );
    }
    let device: Arc<dyn Device> = match std::env::var(shim::VARIABLE) {
        Ok(path) => Arc::new(shim::Shim::open(&path, index)?),
        Err(_) => gpu(index)?,
    };
    Ok(Box::new(Cuda::new(Arc::new(DeviceModel::new(model, device)?))))
}

/// How many GPUs there are; 0 where there is no driver.
pub fn gpus() -> Result<usize> {
    if std::env::var_os(shim::VARIABLE).is_some() {
        return Ok(shim::COUNT);
    }
    #[cfg(feature = "cuda")]
    return gpu::count();
    #[cfg(not(feature = "cuda"))]
    Ok(0)
}

#[cfg(feature = "cuda")]
fn gpu(index: usize) -> Result<Arc<dyn Device>> {
    Ok(Arc::new(gpu::Gpu::open(index)?))
}

#[cfg(not(feature = "cuda"))]
fn gpu(_: usize) -> Result<Arc<dyn Device>> {
    Err(Error::new(
        ErrorKind::Unsupported,
        "this library was built without CUDA kernels (cargo feature cuda): use device cpu",
    ))
}

/// Refuses the number of a GPU that is not there.
fn check_index(index: usize, count: usize) -> Result<()> {
    if index < count {
        return Ok(());
    }
    let message = match count {
        0 => {
            "expected a GPU, found none that NVIDIA's driver shows to this process: use device cpu"
                .into()
        }
        _ => format!(
            "expected a GPU of number 0 to {}, found {index}: this machine has {count}; use one of \
             them, or device cpu",
            count - 1
        ),
    };
    Err(Error::new(ErrorKind::NoDevice, message))
}

/// One engine: the list that is set, and what computes with it.
struct Cuda {
    student: Arc<DeviceModel>,
    neighbor_list: NeighborList,
    plan: Option<Plan>,
    /// What the device knows of the plan.
    atoms: Array<u32>,
    kinds: Array<u32>,
    places: Array<[u32; 2]>,
    starts: Array<u32>,
    entries: Array<u32>,
    /// Positions (Å) in the caller's order, on the host and on the device.
    given: Pinned<[f64; 3]>,
    positions: Array<[f64; 3]>,
    border: Border,
    structures: Structures,
    /// Room for pairs that the last structures needed, and their number of atoms: the next ones are
    /// often the same, a little moved.
    room: (usize, usize),
    /// Whether two atoms of the last structures may overlap.
    near: bool,
    pass: Pass,
    seconds: Seconds,
}

impl Cuda {
    fn new(student: Arc<DeviceModel>) -> Self {
        let device = &student.device;
        Self {
            neighbor_list: NeighborList::default(),
            plan: None,
            atoms: Array::new(device),
            kinds: Array::new(device),
            places: Array::new(device),
            starts: Array::new(device),
            entries: Array::new(device),
            given: Pinned::new(device),
            positions: Array::new(device),
            border: Border::new(&student),
            structures: Structures::new(&student),
            room: (0, 0),
            near: false,
            pass: Pass::new(&student),
            seconds: Seconds::default(),
            student,
        }
    }

    fn list(&self, plan: &Plan) -> List {
        List {
            active: plan.active,
            rows: plan.rows,
            owned: self.neighbor_list.owned,
            starts: self.starts.address(),
            kinds: self.kinds.address(),
        }
    }

    /// Makes room for a list with so many pairs, and for so many rows on their way between ranks.
    fn make_room(&mut self, list: &List, capacity: usize, rows: usize) -> Result<()> {
        let border = self.border.resize(&self.student, rows);
        border.and_then(|()| self.pass.resize(list, capacity)).map_err(|error| match error.kind() {
            ErrorKind::Memory => {
                let bytes = self.pass.needed(list, capacity) + border::needed(&self.student, rows);
                error.within(format_args!(
                    "{} atoms with room for {capacity} neighbors need {:.1} MiB on the GPU in all",
                    list.active,
                    bytes as f64 / 1048576.0
                ))
            }
            _ => error,
        })
    }

    /// Orders the atoms, sends the list to the device and makes room there.
    fn prepare(&mut self, positions: &[[f64; 3]], exchanges: bool) -> Result<Plan> {
        pair::check_finite(positions)?;
        let plan = Plan::new(&self.neighbor_list, positions, &self.student.kinds.of)?;
        let kinds: Vec<u32> =
            collected(plan.atoms.iter().map(|&atom| plan.places[atom as usize][1]))?;
        // SAFETY: the device is waited for while both are there, whether all of it was asked for or
        // not.
        #[allow(unsafe_code)]
        let sent = unsafe { self.send(&plan, &kinds) };
        let waited = self.student.device.wait();
        sent.and(waited)?;
        let rows = if exchanges { self.neighbor_list.owned + self.neighbor_list.ghosts } else { 0 };
        self.make_room(&self.list(&plan), plan.entries.len(), rows)?;
        self.pass.forget();
        Ok(plan)
    }

    /// Asks for copies of a plan's arrays to the device.
    ///
    /// # Safety
    /// Plan and kinds stay as they are until the device was waited for.
    #[allow(unsafe_code)]
    unsafe fn send(&mut self, plan: &Plan, kinds: &[u32]) -> Result<()> {
        // SAFETY: as the caller promises.
        unsafe {
            self.atoms.begin_set(&plan.atoms)?;
            self.kinds.begin_set(kinds)?;
            self.places.begin_set(&plan.places)?;
            self.starts.begin_set(&plan.starts)?;
            self.entries.begin_set(&plan.entries)?;
            self.border.begin_set(plan)
        }
    }

    /// Asks for the pairs within the cutoff at these positions (Å).
    fn find_pairs(&mut self, plan: &Plan, positions: &[[f64; 3]]) -> Result<()> {
        self.given.resize(positions.len())?;
        self.given.values_mut().copy_from_slice(positions);
        // SAFETY: what is given changes in the next step, after the device was waited for.
        #[allow(unsafe_code)]
        unsafe {
            self.positions.begin_set(self.given.values())?;
        }
        let model = &self.student.model;
        self.student.launch_warps(
            "find_pairs",
            plan.active,
            0,
            &FindPairs {
                positions: self.positions.address(),
                atoms: self.atoms.address(),
                starts: self.starts.address(),
                entries: self.entries.address(),
                places: self.places.address(),
                pairs: self.pass.pairs(),
                counts: self.pass.counts(),
                bad: self.pass.bad(),
                radii: self.student.kinds.radii.address(),
                cutoff: model.cutoff,
                softening: model.softening,
                per_length: self.student.per_length(),
                core: model.core(),
                intervals: self.student.intervals as u32,
                active: plan.active as u32,
                coordinates: 3 * positions.len() as u64,
            },
        )
    }

    /// One step with the list that is set.
    fn step(
        &mut self,
        plan: &Plan,
        positions: &[[f64; 3]],
        exchange: &mut Option<&mut dyn Exchange>,
        virials: Virials,
        results: &mut Results,
    ) -> Result<()> {
        let list = self.list(plan);
        if plan.active > 0 {
            self.pass.begin(virials)?;
            self.find_pairs(plan, positions)?;
        } else {
            pair::check_finite(positions)?;
        }
        let blocks = self.student.model.blocks.len();
        for b in 0..blocks {
            if plan.active > 0 {
                self.pass.forward(&list, b)?;
            }
            if b + 1 < blocks {
                self.exchange(plan, self.pass.sent(b + 1), exchange)?;
            }
        }
        for b in (0..blocks).rev() {
            self.exchange(plan, self.pass.sent_back(), exchange)?;
            if plan.active > 0 {
                self.pass.reverse(&list, b)?;
            }
        }
        if plan.active == 0 {
            *results = pair::total(
                filled(list.owned, 0.0)?,
                filled(list.owned, [0.0; 3])?,
                filled(list.owned, [0.0; 9])?,
            );
            return self.student.device.wait();
        }
        let input = PositionsInput {
            positions: self.positions.address(),
            atoms: self.atoms.address(),
            structures: 0,
            grids: 0,
        };
        self.pass.finish(&list, &input)?;
        if self.pass.raised(Flag::Bad) {
            pair::check_finite(positions)?;
            return Err(pass::unconfirmed());
        }
        let mut outside = Vec::new();
        if self.pass.raised(Flag::Outside) {
            let (atom, species) = (|row| plan.atoms[row], |atom| self.neighbor_list.species[atom]);
            outside = find_outside(&self.student.model, self.pass.network(&list)?, atom, species)?;
        }
        let given = self.pass.give(list.owned, results);
        given
            .or_else(|error| check_places(&self.neighbor_list, plan, positions).and(Err(error)))?;
        results.outside = outside;
        Ok(())
    }

    /// Nothing of a step that failed goes on behind the next one's back, or leaves its marks there.
    fn end_step(&mut self) {
        self.pass.forget();
        // Why it failed is known.
        let _ = self.student.device.wait();
    }

    /// Sends records to the ghosts that are atoms of other ranks.
    fn exchange(
        &mut self,
        plan: &Plan,
        records: (device::Address, usize),
        exchange: &mut Option<&mut dyn Exchange>,
    ) -> Result<()> {
        if let Some(exchange) = exchange.as_deref_mut() {
            let atoms = [self.neighbor_list.owned, self.neighbor_list.ghosts];
            let student = &self.student;
            let taken = self.border.exchange(student, plan, atoms, records, exchange)?;
            self.seconds.exchange += taken;
        }
        Ok(())
    }

    /// Atoms of structures that are far outside.
    fn outside_of(&mut self, ready: &Ready, structures: &[Structure<'_>]) -> Result<Vec<u32>> {
        if !self.pass.raised(Flag::Outside) {
            return Ok(Vec::new());
        }
        let mut species: Vec<u8> = Vec::new();
        species.try_reserve_exact(ready.list.owned)?;
        for structure in structures {
            species.extend(structure.species.iter().map(|&number| number as u8));
        }
        let atoms = self.structures.atoms_of_rows(ready)?;
        let atom = |row: usize| atoms.map_or(row as u32, |atoms| atoms[row]);
        let energies = self.pass.network(&ready.list)?;
        find_outside(&self.student.model, energies, atom, |atom| species[atom])
    }

    /// Structures that are on the device, until there is room for all their pairs or a position is
    /// found to be bad.
    fn with_pairs(&mut self, ready: &Ready) -> Result<()> {
        let (atoms, before) = self.room;
        let mut capacity = ready.capacity;
        if atoms == ready.list.active {
            capacity = capacity.max(before);
        }
        loop {
            self.make_room(&ready.list, capacity, 0)?;
            self.pass.begin(Virials::Atomic)?;
            self.structures.find_pairs(ready, &self.pass)?;
            let blocks = self.student.model.blocks.len();
            for b in 0..blocks {
                self.pass.forward(&ready.list, b)?;
            }
            for b in (0..blocks).rev() {
                self.pass.reverse(&ready.list, b)?;
            }
            self.pass.finish(&ready.list, &ready.input)?;
            // A bad step is not run again.
            if self.pass.raised(Flag::Bad) {
                return Ok(());
            }
            let pairs = self.pass.found_pairs();
            if !ready.counted() || pairs <= capacity as u64 {
                self.room = (ready.list.active, capacity);
                return Ok(());
            }
            // No pairs were written. The next list is hardly longer.
            capacity = match u32::try_from(pairs) {
                Ok(pairs) => pairs as usize + pairs as usize / 8,
                Err(_) => {
                    let what_to_do =
                        "use fewer or smaller structures, and check the unit of positions";
                    return Err(plan::too_many(pairs, what_to_do));
                }
            };
        }
    }
}

/// Atoms, ascending, whose energies are far outside: of the network's energies of rows, whose
/// `atom`s and their `species` (atomic numbers) are asked for.
fn find_outside(
    model: &Model,
    energies: &[f64],
    atom: impl Fn(usize) -> u32,
    species: impl Fn(usize) -> u8,
) -> Result<Vec<u32>> {
    let mut outside = Vec::new();
    for (row, &energy) in energies.iter().enumerate() {
        let atom = atom(row);
        if is_outside(energy, model.energy_bounds(species(atom as usize))) {
            outside.try_reserve(1)?;
            outside.push(atom);
        }
    }
    outside.sort_unstable();
    Ok(outside)
}

/// Refuses atoms at one place, where something went wrong.
fn check_places(neighbor_list: &NeighborList, plan: &Plan, positions: &[[f64; 3]]) -> Result<()> {
    for (row, &atom) in plan.atoms.iter().enumerate() {
        let entries = &plan.entries[plan.starts[row] as usize..plan.starts[row + 1] as usize];
        let here = positions[atom as usize];
        let away = |other: u32| pair::distance(&here, &positions[other as usize]).1;
        if let Some(&other) = entries.iter().find(|&&other| away(other) < pair::COINCIDENT) {
            return Err(pair::same_place(atom as usize, neighbor_list.name(other)));
        }
    }
    Ok(())
}

impl Engine for Cuda {
    fn set_neighbor_list(&mut self, neighbor_list: NeighborList) -> Result<()> {
        self.neighbor_list = neighbor_list;
        // The order of atoms follows from positions, which the next compute brings.
        self.plan = None;
        Ok(())
    }

    fn compute(
        &mut self,
        positions: &[[f64; 3]],
        mut exchange: Option<&mut dyn Exchange>,
        virials: Virials,
        results: &mut Results,
    ) -> Result<()> {
        let started = Instant::now();
        self.neighbor_list.check_edge(positions, self.student.model.cutoff)?;
        let plan = match self.plan.take() {
            Some(plan) => plan,
            None => self.prepare(positions, exchange.is_some())?,
        };
        if exchange.is_none() && !plan.received.is_empty() {
            let unresolved = self.neighbor_list.check_resolved();
            self.plan = Some(plan);
            return unresolved;
        }
        self.seconds.lists += started.elapsed().as_secs_f64();

        let started = Instant::now();
        let exchanged = self.seconds.exchange;
        let done = self.step(&plan, positions, &mut exchange, virials, results);
        self.plan = Some(plan);
        if done.is_err() {
            self.end_step();
        }
        let exchanged = self.seconds.exchange - exchanged;
        self.seconds.rest += started.elapsed().as_secs_f64() - exchanged;
        done
    }

    fn compute_structures(
        &mut self,
        structures: &[Structure<'_>],
        results: &mut Results,
    ) -> Option<Result<()>> {
        self.plan = None;
        self.near = false;
        let started = Instant::now();
        let scope = self.student.model.scope();
        let ready = match self.structures.prepare(structures, &scope) {
            Ok(ready) => ready?,
            Err(error) => {
                self.end_step();
                return Some(Err(error));
            }
        };
        let owned = ready.list.owned;
        let done = if owned == 0 {
            self.student.device.wait().map(|()| *results = Results::default())
        } else {
            self.with_pairs(&ready).and_then(|()| {
                if self.pass.raised(Flag::Bad) {
                    structures::check_positions(structures, scope.cutoff)?;
                    return Err(pass::unconfirmed());
                }
                let outside = self.outside_of(&ready, structures)?;
                self.near = self.pass.raised(Flag::Near);
                self.pass.give(owned, results).or_else(|error| {
                    structures::check_places(structures, scope.cutoff).and(Err(error))
                })?;
                results.outside = outside;
                Ok(())
            })
        };
        if done.is_err() {
            self.end_step();
        }
        self.seconds.rest += started.elapsed().as_secs_f64();
        Some(done)
    }

    fn seconds(&self) -> Seconds {
        self.seconds
    }

    fn memory(&self) -> [usize; 2] {
        let words = [&self.atoms, &self.kinds, &self.starts, &self.entries];
        let own = words.iter().map(|array| array.memory()).sum::<usize>()
            + self.places.memory()
            + self.positions.memory()
            + self.given.memory()
            + self.border.memory()
            + self.structures.memory()
            + self.pass.memory()
            + self.neighbor_list.memory()
            + self.plan.as_ref().map_or(0, Plan::memory);
        [own, self.student.memory()]
    }

    fn neighbor_list(&self) -> &NeighborList {
        &self.neighbor_list
    }

    fn may_overlap(&self) -> bool {
        self.near
    }

    fn atoms_per_batch(&self) -> usize {
        1 << 16
    }

    fn for_another_thread(&self) -> Result<Box<dyn Engine>> {
        Ok(Box::new(Self::new(Arc::clone(&self.student))))
    }
}
