//! From pairs to energies, forces and virials: the network forward and in reverse, all on the
//! device.

use std::sync::Arc;

use super::arguments::{Atoms, GROUP, Message, PAIR_BYTES, SLICE, Sums};
use super::device::{Address, Array, Launch, Pinned};
use super::device_model::{DeviceModel, WARPS};
use super::shape::{FORWARD_THREADS, NODE_BYTES, REVERSE_THREADS, SHARES, Shape, THREADS};
use super::tables;
use crate::engine::layers::{STATE, feature_width, kept_width, received_width};
use crate::engine::{Results, Virials, pair};
use crate::error::{Error, ErrorKind, Result};
use crate::model::Architecture;

/// Numbers that a step gives for each atom: energy, force and virial.
const RESULTS: usize = 1 + 3 + 9;

/// Numbers in front of them: the flags below, and at 1 how many pairs there are.
const HEADER: usize = 4;

/// Flags that kernels raise, and where they are in the header.
#[derive(Clone, Copy)]
pub enum Flag {
    /// A position is not finite.
    Bad = 0,
    /// An atom is far outside the student's training data.
    Outside = 2,
    /// Two atoms of structures may overlap.
    Near = 3,
}

/// The atoms of a step, and where their pairs are.
#[derive(Clone, Copy)]
pub struct List {
    /// Atoms that are computed, a row each.
    pub active: usize,
    /// Rows of these and of atoms of other ranks.
    pub rows: usize,
    /// The caller's owned atoms, for which there is room for results.
    pub owned: usize,
    /// Address of where each row's pairs begin among all.
    pub starts: Address,
    /// Address of the kind (index of the species) of each row.
    pub kinds: Address,
}

/// Addresses of positions and what they belong to, as `kernels/sums.cuh` takes them.
#[derive(Clone, Copy)]
pub struct PositionsInput {
    /// Address of positions (Å), three values each: of the caller's atoms and ghosts, or of rows.
    pub positions: Address,
    /// The caller's number of each row's atom; 0: the row's.
    pub atoms: Address,
    /// Address of the structure that each row belongs to; 0 with a list from the caller.
    pub structures: Address,
    /// Address of the cell of each structure; 0 with a list from the caller.
    pub grids: Address,
}

/// One engine's arrays. Records have the layout of `kernels/common.cuh`.
pub struct Pass {
    student: Arc<DeviceModel>,
    shape: Shape,
    /// The pairs of each row, with room behind them.
    pairs: Array<[u32; PAIR_BYTES / 4]>,
    counts: Array<u32>,
    gradients: Array<[f32; 4]>,
    /// For each message but the first: what is sent, of all rows.
    features: Vec<Array<f32>>,
    /// For each message: the state after it, and what the reverse pass needs, of active rows.
    states: Vec<Array<f32>>,
    kept: Vec<Array<f32>>,
    /// Adjoint of the state after a message, of all rows.
    bar: Array<f32>,
    /// What a reverse message gives, of active rows.
    received: Array<f32>,
    /// The network's energy of active rows.
    network: Array<f64>,
    /// The header; energies, forces (3) and virials (9) of the caller's atoms, one array behind the
    /// other. Where only the total virial is asked for, the last one begins with the sums of blocks
    /// of threads.
    results: Array<f64>,
    virials: Virials,
    /// Whether they are zero where no kernel writes.
    clean: bool,
    /// Copy of `results` on the host, complete after the device was waited for.
    found: Pinned<f64>,
    /// A copy of the network's energies, where somebody asked.
    network_found: Pinned<f64>,
}

impl Pass {
    /// A pass without room yet, for engines of `student`.
    pub fn new(student: &Arc<DeviceModel>) -> Self {
        let device = &student.device;
        let each = || student.model.blocks.iter().map(|_| Array::new(device)).collect();
        Self {
            shape: Shape::of(student, 0),
            pairs: Array::new(device),
            counts: Array::new(device),
            gradients: Array::new(device),
            features: each(),
            states: each(),
            kept: each(),
            bar: Array::new(device),
            received: Array::new(device),
            network: Array::new(device),
            results: Array::new(device),
            virials: Virials::Atomic,
            clean: false,
            found: Pinned::new(device),
            network_found: Pinned::new(device),
            student: Arc::clone(student),
        }
    }

    /// Bytes on the device for a list with so many pairs.
    pub fn needed(&self, list: &List, capacity: usize) -> usize {
        let model = &self.student.model;
        let blocks = model.blocks.len();
        let (kept, received) = (kept_width(model), received_width(model.has_sender()));
        let vectors = list.active * (blocks * (STATE + kept) + received)
            + list.rows * ((blocks - 1) * feature_width(model.has_sender()) + STATE);
        let parts = Shape::of(&self.student, list.active).parts;
        size_of::<f32>() * self.student.channels() * vectors
            + (PAIR_BYTES + 16 * parts) * capacity
            + 12 * list.active
            + 8 * RESULTS * list.owned
    }

    /// Makes room for a list with so many pairs.
    pub fn resize(&mut self, list: &List, capacity: usize) -> Result<()> {
        let channels = self.student.channels();
        let model = &self.student.model;
        let width = feature_width(model.has_sender());
        let (kept, received) = (kept_width(model), received_width(model.has_sender()));
        self.shape = Shape::of(&self.student, list.active);
        self.pairs.resize(capacity)?;
        self.counts.resize(list.active)?;
        self.gradients.resize(self.shape.parts * capacity)?;
        for b in 0..model.blocks.len() {
            if b > 0 {
                self.features[b].resize(list.rows * width * channels)?;
            }
            self.states[b].resize(list.active * STATE * channels)?;
            self.kept[b].resize(list.active * kept * channels)?;
        }
        self.bar.resize(list.rows * STATE * channels)?;
        self.received.resize(list.active * received * channels)?;
        self.network.resize(list.active)?;
        let length = HEADER + RESULTS * list.owned;
        self.clean &= !self.results.resize(length)?;
        self.found.resize(length)
    }

    /// Room for so many pairs.
    pub fn capacity(&self) -> usize {
        self.pairs.len()
    }

    /// Where pairs go.
    pub fn pairs(&self) -> Address {
        self.pairs.address()
    }

    /// How many pairs each row has.
    pub fn counts(&self) -> Address {
        self.counts.address()
    }

    /// What a kernel sets to 1 if a position is not finite.
    pub fn bad(&self) -> Address {
        self.results.at(Flag::Bad as usize)
    }

    /// Where the number of all pairs goes.
    pub fn total(&self) -> Address {
        self.results.at(1)
    }

    /// Where the records are that message `b` sends, and how many vectors each has.
    pub fn sent(&self, b: usize) -> (Address, usize) {
        (self.features[b].address(), feature_width(self.student.model.has_sender()))
    }

    /// Where the adjoints are that reverse messages send, and how many vectors each record has.
    pub fn sent_back(&self) -> (Address, usize) {
        (self.bar.address(), STATE)
    }

    /// From now on the results of atoms that no kernel writes are to be zero.
    pub fn forget(&mut self) {
        self.clean = false;
    }

    /// Begins a step that gives these virials.
    pub fn begin(&mut self, virials: Virials) -> Result<()> {
        self.clean &= self.virials == virials;
        self.virials = virials;
        if !self.clean {
            self.results.clear()?;
            self.clean = true;
        }
        Ok(())
    }

    /// Message `b` and what the atoms make of it.
    pub fn forward(&self, list: &List, b: usize) -> Result<()> {
        self.message(list, "forward", b)?;
        let last = b + 1 == self.student.model.blocks.len();
        self.atoms(list, if last { "last_update" } else { "forward_update" }, b)
    }

    /// Reverse message `b`, and the reverse of the update before it.
    pub fn reverse(&self, list: &List, b: usize) -> Result<()> {
        self.message(list, "reverse", b)?;
        match b {
            0 => Ok(()),
            _ => self.atoms(list, "reverse_update", b - 1),
        }
    }

    /// Runs a kernel of message `b`.
    fn message(&self, list: &List, direction: &str, b: usize) -> Result<()> {
        let student = &*self.student;
        let shape = self.shape;
        let family = family(student.model.architecture);
        let first = if b == 0 { "_first" } else { "" };
        let keeps = shape.kept_nodes > 0;
        let shared = if keeps { "_shared" } else { "" };
        let (threads, shares) = match (keeps, direction) {
            (false, _) => (THREADS, SHARES),
            (true, "forward") => (FORWARD_THREADS, 1),
            (true, _) => (REVERSE_THREADS, 1),
        };
        let blocks = list.active.div_ceil(threads as usize / (GROUP * shares));
        let launch = Launch {
            grid: [
                (if keeps { blocks.min(student.device.limits().processors) } else { blocks })
                    as u32,
                shape.parts as u32,
            ],
            threads,
            shared: shape.kept_nodes * NODE_BYTES,
        };
        let nodes = tables::nodes(student.intervals);
        let (features, feature_rows) = match b {
            0 => (student.kinds.features.address(), student.kinds.count),
            _ => (self.features[b].address(), list.rows),
        };
        let arguments = Message {
            pairs: self.pairs.address(),
            starts: list.starts,
            counts: self.counts.address(),
            kinds: list.kinds,
            table: student.tables[b].address(),
            features,
            embedding: student.kinds.embedding.address(),
            state: self.states[b].address(),
            bar: self.bar.address(),
            received: self.received.address(),
            gradients: self.gradients.address(),
            capacity: self.capacity() as u64,
            active: list.active as u32,
            rows: list.rows as u32,
            feature_rows: feature_rows as u32,
            slices: (student.channels() / SLICE) as u32,
            nodes: nodes as u32,
            resident: (nodes - shape.kept_nodes) as u32,
            overwrite: u32::from(b + 1 == student.model.blocks.len()),
            reserved: 0,
        };
        student.launch(
            "messages",
            &format!("{direction}_{family}{first}{shared}"),
            launch,
            &arguments,
        )
    }

    /// Runs a kernel of the atoms' own layers for the update of block `b`.
    fn atoms(&self, list: &List, task: &str, b: usize) -> Result<()> {
        let student = &*self.student;
        let tile = self.shape.tile;
        let next =
            |arrays: &[Array<f32>]| -> Address { arrays.get(b + 1).map_or(0, Array::address) };
        let arguments = Atoms {
            active: list.active as u32,
            rows: list.rows as u32,
            state: self.states[b].address(),
            kept: self.kept[b].address(),
            next_kept: next(&self.kept),
            next_state: next(&self.states),
            features: next(&self.features),
            received: self.received.address(),
            bar: self.bar.address(),
            kinds: list.kinds,
            bounds: student.kinds.bounds.address(),
            energies: self.network.address(),
            ..student.network.blocks[b]
        };
        let family = family(student.model.architecture);
        let launch = Launch {
            grid: [list.active.div_ceil(tile.rows) as u32, 1],
            threads: tile.threads as u32,
            shared: tile.shared(&student.network),
        };
        student.launch(
            &student.atoms_module,
            &format!("{task}_{family}_{}", tile.suffix),
            launch,
            &arguments,
        )
    }

    /// Sums what pairs give, and waits for it.
    pub fn finish(&mut self, list: &List, input: &PositionsInput) -> Result<()> {
        let student = &*self.student;
        let kinds = &student.kinds;
        let sums = Sums {
            positions: input.positions,
            atoms: input.atoms,
            structures: input.structures,
            grids: input.grids,
            pairs: self.pairs.address(),
            starts: list.starts,
            counts: self.counts.address(),
            kinds: list.kinds,
            gradients: self.gradients.address(),
            capacity: self.capacity() as u64,
            parts: self.shape.parts as u32,
            active: list.active as u32,
            total: u32::from(self.virials == Virials::Total),
            reserved: 0,
            per_length: student.per_length(),
            softening: student.model.softening,
            core: student.model.core(),
            references: kinds.references.address(),
            charges: kinds.charges.address(),
            charge_powers: kinds.charge_powers.address(),
            radii: kinds.radii.address(),
            ordinary: kinds.ordinary.address(),
            reaches: kinds.reaches.address(),
            network: self.network.address(),
            energies: self.results.at(HEADER),
            forces: self.results.at(HEADER + list.owned),
            virials: self.results.at(HEADER + 4 * list.owned),
            outside: self.results.at(Flag::Outside as usize),
            near: self.results.at(Flag::Near as usize),
        };
        let name = if input.grids == 0 { "sums" } else { "sums_of_structures" };
        let (shared, virials) = match self.virials {
            Virials::Atomic => (0, list.owned),
            Virials::Total => (9 * size_of::<f64>(), list.active.div_ceil(WARPS)),
        };
        student.launch_warps(name, list.active, shared, &sums)?;
        let length = HEADER + 4 * list.owned + 9 * virials;
        self.found.resize(length)?;
        // SAFETY: nobody uses the copy before the next line has waited for it.
        #[allow(unsafe_code)]
        unsafe {
            self.results.begin_read(0..length, &mut self.found)?;
        }
        student.device.wait()
    }

    /// Whether a kernel of this step raised a flag.
    pub fn raised(&mut self, flag: Flag) -> bool {
        let raised = self.found.values()[flag as usize].to_bits() != 0;
        // It stays until it is cleared.
        self.clean &= !raised;
        raised
    }

    /// The network's energy of each active row (eV), within the student's range.
    pub fn network(&mut self, list: &List) -> Result<&[f64]> {
        self.network_found.resize(list.active)?;
        // SAFETY: nobody uses the copy before the next line has waited for it.
        #[allow(unsafe_code)]
        unsafe {
            self.network.begin_read(0..list.active, &mut self.network_found)?;
        }
        self.student.device.wait()?;
        Ok(self.network_found.values())
    }

    /// How many pairs a list made on the device has.
    pub fn found_pairs(&self) -> u64 {
        self.found.values()[1].to_bits()
    }

    /// Copies what was found to `results`, unless it is not finite.
    pub fn give(&self, owned: usize, results: &mut Results) -> Result<()> {
        let found = &self.found.values()[HEADER..];
        let (energies, rest) = found.split_at(owned);
        let (forces, virials) = rest.split_at(3 * owned);
        let (forces, virials) = (forces.as_chunks().0, virials.as_chunks().0);
        pair::check_values(energies, forces)?;
        let atomic: &[[f64; 9]] = match self.virials {
            Virials::Atomic => virials,
            Virials::Total => &[],
        };
        // Room first: what was there before stays until nothing can fail.
        room(&mut results.atomic_energies, owned)?;
        room(&mut results.forces, owned)?;
        room(&mut results.atomic_virials, atomic.len())?;
        let before = std::mem::take(results);
        *results = pair::total(
            refilled(before.atomic_energies, energies),
            refilled(before.forces, forces),
            refilled(before.atomic_virials, atomic),
        );
        if self.virials == Virials::Total {
            results.virial = pair::sum(virials);
        }
        Ok(())
    }

    /// Bytes allocated.
    pub fn memory(&self) -> usize {
        let records = self.features.iter().chain(&self.states).chain(&self.kept);
        records.map(Array::memory).sum::<usize>()
            + self.bar.memory()
            + self.received.memory()
            + self.pairs.memory()
            + self.counts.memory()
            + self.gradients.memory()
            + self.network.memory()
            + self.results.memory()
            + self.found.memory()
            + self.network_found.memory()
    }
}

/// What the kernels of an architecture are called after.
fn family(architecture: Architecture) -> &'static str {
    match architecture {
        Architecture::Published => "published",
        Architecture::Painn => "painn",
    }
}

/// Makes room for `len` values in all.
fn room<T>(values: &mut Vec<T>, len: usize) -> Result<()> {
    Ok(values.try_reserve_exact(len.saturating_sub(values.len()))?)
}

/// The memory of `old` with other values.
fn refilled<T: Copy>(mut old: Vec<T>, values: &[T]) -> Vec<T> {
    old.clear();
    old.extend_from_slice(values);
    old
}

/// The error for a flag that the host cannot confirm.
pub fn unconfirmed() -> Error {
    Error::new(
        ErrorKind::Internal,
        "the GPU found a position that is not finite, which the processor does not: please report \
         it",
    )
}
