//! The engine for NVIDIA GPUs: float32 features, tables for the filters, float64 sums.
//!
//! One compute is: pairs within the cutoff; for each block the message and the atoms' own layers; the
//! same in reverse; sums of forces and virials. All of it runs on the device (`kernels/`), where the
//! neighbor list stays until the next one; positions go up and results come down. Every sum is a gather
//! in a fixed order, so two runs give the same bits.

mod arguments;
mod device;
#[cfg(feature = "cuda")]
mod gpu;
mod network;
mod plan;
#[cfg(feature = "cuda")]
mod ptx;
mod shim;
mod tables;

use std::sync::Arc;
use std::time::Instant;

use self::arguments::{
    Arguments, Atoms, FindPairs, GROUP, Halo, Message, PAIR_BYTES, SLICE, STATE, Sums,
};
use self::device::{Address, Array, Device, Kernel, Launch};
use self::network::Network;
use self::plan::Plan;
use super::{
    Engine, Exchange, FilterMode, Options, Precision, Results, Rows, Seconds, Topology, layers,
    pair,
};
use crate::error::{Error, ErrorKind, Result};
use crate::memory::{collected, filled};
use crate::model::{Architecture, Model, repulsion};

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
        Ok(path) => {
            check_index(index, shim::COUNT)?;
            Arc::new(shim::Shim::open(&path)?)
        }
        Err(_) => gpu(index)?,
    };
    Ok(Box::new(Cuda::new(Arc::new(Prepared::new(model, device)?))))
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
            "expected a GPU of number 0 to {}, found {index}: this machine has {count}; use one of them, or \
             device cpu",
            count - 1
        ),
    };
    Err(Error::new(ErrorKind::NoDevice, message))
}

/// The error for memory that is not there.
fn memory_error(bytes: usize, device: &str) -> Error {
    Error::new(
        ErrorKind::Memory,
        format!(
            "{device} has no {:.1} MiB of memory left for an array of this many atoms: use fewer \
             atoms per GPU, a smaller model, or another GPU",
            bytes as f64 / 1048576.0
        ),
    )
}

/// A student in a device's memory: what all engines of a calculator share.
struct Prepared {
    model: Arc<Model>,
    device: Arc<dyn Device>,
    network: Network,
    /// Name of the kernels for this number of channels.
    atoms_module: String,
    /// For each message, see `kernels/message.cuh`.
    tables: Vec<Array<f32>>,
    intervals: usize,
    kinds: Kinds,
}

/// What follows from an atom's species alone. Its kind is its index in `Model::species`.
struct Kinds {
    of: [u32; 256],
    count: usize,
    /// s before the first message: records of one vector.
    embedding: Array<f32>,
    /// What the first block sends.
    features: Array<f32>,
    references: Array<f64>,
    charges: Array<f64>,
    charge_powers: Array<f64>,
    radii: Array<f64>,
}

impl Kinds {
    fn new(device: &Arc<dyn Device>, model: &Model) -> Result<Self> {
        let (h, count) = (model.hidden, model.species.len());
        let width = feature_width(model);
        let mut of = [0; 256];
        let mut embedding = vec![0.0_f32; layers::padded(h) * count];
        let mut features = vec![0.0_f32; layers::padded(h) * count * width];
        for (kind, &number) in model.species.iter().enumerate() {
            of[usize::from(number)] = kind as u32;
            let s = model.embedding_row(number);
            let sent = layers::sent(&model.blocks[0], s);
            for channel in 0..h {
                let (slice, lane) = (channel / SLICE, channel % SLICE);
                let record = slice * count + kind;
                embedding[record * SLICE + lane] = s[channel] as f32;
                for (k, run) in sent.chunks_exact(h).enumerate() {
                    features[(record * width + k) * SLICE + lane] = run[channel] as f32;
                }
            }
        }
        let each = |value: &dyn Fn(u8) -> f64| -> Result<Array<f64>> {
            Array::of(
                device,
                &model.species.iter().map(|&number| value(number)).collect::<Vec<_>>(),
            )
        };
        let radius = |number| model.repulsion.as_ref().map_or(0.0, |found| found.radius(number));
        Ok(Self {
            of,
            count,
            embedding: Array::of(device, &embedding)?,
            features: Array::of(device, &features)?,
            references: each(&|number| model.reference_energies[usize::from(number)])?,
            charges: each(&|number| f64::from(number))?,
            charge_powers: each(&|number| f64::from(number).powf(repulsion::EXPONENT))?,
            radii: each(&radius)?,
        })
    }

    fn memory(&self) -> usize {
        let numbers = [&self.references, &self.charges, &self.charge_powers, &self.radii];
        self.embedding.memory()
            + self.features.memory()
            + numbers.iter().map(|array| array.memory()).sum::<usize>()
    }
}

/// Vectors in a feature record: (x¹, x², x³, v), or (s, v).
fn feature_width(model: &Model) -> usize {
    if model.blocks[0].sender.is_some() { 6 } else { 4 }
}

impl Prepared {
    fn new(model: Arc<Model>, device: Arc<dyn Device>) -> Result<Self> {
        let (tables, intervals) = tables::interpolated(&model)?;
        let channels = layers::padded(model.hidden);
        let special = matches!(channels, 32 | 64 | 128);
        Ok(Self {
            network: Network::new(&device, &model)?,
            atoms_module: format!("atoms-{}", if special { channels } else { 0 }),
            tables: tables.iter().map(|table| Array::of(&device, table)).collect::<Result<_>>()?,
            intervals,
            kinds: Kinds::new(&device, &model)?,
            model,
            device,
        })
    }

    fn channels(&self) -> usize {
        layers::padded(self.model.hidden)
    }

    fn has_sender(&self) -> bool {
        self.model.blocks[0].sender.is_some()
    }

    /// Starts a kernel.
    fn launch<A: Arguments>(
        &self,
        module: &str,
        name: &str,
        launch: Launch,
        arguments: &A,
    ) -> Result<()> {
        let arguments: *const A = arguments;
        // SAFETY: `A` is what the kernel of this name takes, and the arrays behind its addresses are
        // those that `Cuda::prepare` sized for it.
        #[allow(unsafe_code)]
        unsafe {
            self.device.launch(Kernel { module, name }, launch, arguments.cast(), size_of::<A>())
        }
    }

    /// Starts a kernel with one warp for each of so many atoms.
    fn launch_warps<A: Arguments>(&self, name: &str, atoms: usize, arguments: &A) -> Result<()> {
        const WARPS: usize = 4;
        let grid = [atoms.div_ceil(WARPS) as u32, 1];
        let launch = Launch { grid, threads: 32 * WARPS as u32, shared: 0 };
        self.launch("messages", name, launch, arguments)
    }
}

/// Numbers that a step gives for each atom: energy, force and virial.
const RESULTS: usize = 1 + 3 + 9;

/// Threads of a block in the messages: beside a table in shared memory, and without one.
const SHARED_THREADS: u32 = 512;
const THREADS: u32 = 128;

/// A tile of atoms: rows, rows that a thread computes at once, threads of a block.
#[derive(Clone, Copy)]
struct Tile {
    suffix: &'static str,
    rows: usize,
    bunch: usize,
    threads: usize,
}

const MANY: Tile = Tile { suffix: "many", rows: 32, bunch: 8, threads: 128 };
const FEW: Tile = Tile { suffix: "few", rows: 4, bunch: 4, threads: 256 };

impl Tile {
    /// Bytes of shared memory, as `Tile` in `kernels/atoms.cuh` lays it out.
    fn shared(&self, network: &Network, channels: usize) -> usize {
        let stride = self.rows + 4;
        let parts = channels.max(self.threads * 4 * self.bunch / self.rows);
        (network.room + parts) * stride * size_of::<f32>()
    }
}

/// How the kernels run for a list of this size.
#[derive(Clone, Copy)]
struct Shape {
    /// How many nodes of a slice of the table each multiprocessor keeps in its shared memory; 0: none, and
    /// the kernels go without.
    kept_nodes: usize,
    /// Parts of the slices that run side by side, each with gradients of its own.
    parts: usize,
    tile: Tile,
}

impl Shape {
    fn of(student: &Prepared, active: usize) -> Self {
        let limits = student.device.limits();
        let slices = student.channels() / SLICE;
        // Atoms that keep all lanes of the GPU busy with one slice.
        let full = limits.processors * 2048 / GROUP;
        let tile = if active >= limits.processors * MANY.rows
            && MANY.shared(&student.network, student.channels()) <= limits.shared
        {
            MANY
        } else {
            FEW
        };
        Self {
            kept_nodes: if active >= full {
                (limits.shared / NODE_BYTES).min(tables::nodes(student.intervals))
            } else {
                0
            },
            parts: if active >= full { 1 } else { slices.min(full / active.max(1)).max(1) },
            tile,
        }
    }
}

/// Bytes of a node of one slice of a table.
const NODE_BYTES: usize = 3 * SLICE * 2 * size_of::<f32>();

/// One engine's arrays. Records have the layout of `kernels/common.cuh`.
struct Cuda {
    student: Arc<Prepared>,
    topology: Topology,
    plan: Option<Plan>,
    /// Of the plan's number of atoms.
    shape: Shape,
    /// What the device knows of the plan.
    starts: Array<u32>,
    entries: Array<u32>,
    rows: Array<u32>,
    kinds: Array<u32>,
    leaving: Array<[u32; 2]>,
    arriving: Array<[u32; 2]>,
    positions: Array<[f64; 3]>,
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
    /// Energies, forces (3) and virials (9) of active rows, one array behind the other.
    results: Array<f64>,
    /// A copy of them.
    found: Vec<f64>,
    /// Rows on their way to other ranks, in the caller's order, here and on the device.
    outbox: Array<f32>,
    outside: Vec<f32>,
    ordered: Vec<[f64; 3]>,
    seconds: Seconds,
}

impl Cuda {
    fn new(student: Arc<Prepared>) -> Self {
        let device = &student.device;
        let each = || student.model.blocks.iter().map(|_| Array::new(device)).collect();
        Self {
            topology: Topology::default(),
            plan: None,
            shape: Shape::of(&student, 0),
            starts: Array::new(device),
            entries: Array::new(device),
            rows: Array::new(device),
            kinds: Array::new(device),
            leaving: Array::new(device),
            arriving: Array::new(device),
            positions: Array::new(device),
            pairs: Array::new(device),
            counts: Array::new(device),
            gradients: Array::new(device),
            features: each(),
            states: each(),
            kept: each(),
            bar: Array::new(device),
            received: Array::new(device),
            results: Array::new(device),
            found: Vec::new(),
            outbox: Array::new(device),
            outside: Vec::new(),
            ordered: Vec::new(),
            seconds: Seconds::default(),
            student,
        }
    }

    /// Orders the atoms, sends the list to the device and makes room there.
    fn prepare(&mut self, positions: &[[f64; 3]]) -> Result<Plan> {
        let plan = Plan::new(&self.topology, positions)?;
        let channels = self.student.channels();
        let model = &self.student.model;
        let kind =
            |&atom: &u32| self.student.kinds.of[usize::from(self.topology.species[atom as usize])];
        self.starts.set(&plan.starts)?;
        self.entries.set(&plan.entries)?;
        self.rows.set(&plan.row_of)?;
        self.kinds.set(&collected(plan.atoms.iter().map(kind))?)?;
        self.leaving.set(&plan.leaving)?;
        self.arriving.set(&plan.arriving)?;
        self.positions.resize(plan.atoms.len())?;
        self.pairs.resize(plan.entries.len())?;
        self.counts.resize(plan.active)?;
        self.shape = Shape::of(&self.student, plan.active);
        self.gradients.resize(self.shape.parts * plan.entries.len())?;
        let kept = match model.architecture {
            Architecture::Published => 3,
            Architecture::Painn => 10,
        };
        for b in 0..model.blocks.len() {
            if b > 0 {
                self.features[b].resize(plan.rows * feature_width(model) * channels)?;
            }
            self.states[b].resize(plan.active * STATE * channels)?;
            self.kept[b].resize(plan.active * kept * channels)?;
        }
        self.bar.resize(plan.rows * STATE * channels)?;
        let received = if self.student.has_sender() { 5 } else { 4 };
        self.received.resize(plan.active * received * channels)?;
        self.results.resize(RESULTS * plan.active)?;
        self.found = filled(RESULTS * plan.active, 0.0)?;
        Ok(plan)
    }

    /// The pairs of this step.
    fn find_pairs(&mut self, plan: &Plan) -> Result<()> {
        let model = &self.student.model;
        self.student.launch_warps(
            "find_pairs",
            plan.active,
            &FindPairs {
                positions: self.positions.address(),
                starts: self.starts.address(),
                entries: self.entries.address(),
                rows: self.rows.address(),
                kinds: self.kinds.address(),
                pairs: self.pairs.address(),
                counts: self.counts.address(),
                cutoff: model.cutoff,
                softening: model.softening,
                intervals_per_length: self.student.intervals as f64 / model.cutoff,
                intervals: self.student.intervals as u32,
                active: plan.active as u32,
            },
        )
    }

    /// Runs a kernel of message `b`.
    fn message(&self, plan: &Plan, direction: &str, b: usize) -> Result<()> {
        let student = &*self.student;
        let shape = self.shape;
        let family = student.model.architecture.name();
        let first = if b == 0 { "_first" } else { "" };
        let keeps = shape.kept_nodes > 0;
        let shared = if keeps { "_shared" } else { "" };
        let threads = if keeps { SHARED_THREADS } else { THREADS };
        let blocks = plan.active.div_ceil(threads as usize / GROUP);
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
            _ => (self.features[b].address(), plan.rows),
        };
        let arguments = Message {
            pairs: self.pairs.address(),
            starts: self.starts.address(),
            counts: self.counts.address(),
            kinds: self.kinds.address(),
            table: student.tables[b].address(),
            features,
            embedding: student.kinds.embedding.address(),
            state: self.states[b].address(),
            bar: self.bar.address(),
            received: self.received.address(),
            gradients: self.gradients.address(),
            capacity: plan.entries.len() as u64,
            active: plan.active as u32,
            rows: plan.rows as u32,
            feature_rows: feature_rows as u32,
            slices: (student.channels() / SLICE) as u32,
            nodes: nodes as u32,
            resident: (nodes - shape.kept_nodes) as u32,
            first: u32::from(b + 1 == student.model.blocks.len()),
        };
        student.launch(
            "messages",
            &format!("{direction}_{family}{first}{shared}"),
            launch,
            &arguments,
        )
    }

    /// Runs a kernel of the atoms' own layers for the update of block `b`.
    fn atoms(&self, plan: &Plan, task: &str, b: usize) -> Result<()> {
        let student = &*self.student;
        let tile = self.shape.tile;
        let next =
            |arrays: &[Array<f32>]| -> Address { arrays.get(b + 1).map_or(0, Array::address) };
        let arguments = Atoms {
            active: plan.active as u32,
            rows: plan.rows as u32,
            state: self.states[b].address(),
            kept: self.kept[b].address(),
            next_kept: next(&self.kept),
            next_state: next(&self.states),
            features: next(&self.features),
            received: self.received.address(),
            bar: self.bar.address(),
            energies: self.results.address(),
            ..student.network.blocks[b]
        };
        let family = student.model.architecture.name();
        let launch = Launch {
            grid: [plan.active.div_ceil(tile.rows) as u32, 1],
            threads: tile.threads as u32,
            shared: tile.shared(&student.network, student.channels()),
        };
        student.launch(
            &student.atoms_module,
            &format!("{task}_{family}_{}", tile.suffix),
            launch,
            &arguments,
        )
    }

    /// Sends records to the ghosts that are atoms of other ranks.
    fn exchange(
        &mut self,
        plan: &Plan,
        records: Address,
        width: usize,
        exchange: &mut dyn Exchange,
    ) -> Result<()> {
        let started = Instant::now();
        let channels = self.student.channels();
        let atoms = self.topology.owned + self.topology.ghosts;
        let values = width * channels;
        self.outbox.resize(atoms * values)?;
        if self.outside.len() != atoms * values {
            self.outside = filled(atoms * values, 0.0)?;
        }
        let mut halo = Halo {
            records,
            outbox: self.outbox.address(),
            atoms: self.leaving.address(),
            count: plan.active as u32,
            rows: plan.rows as u32,
            width: width as i32,
            channels: channels as i32,
        };
        self.move_rows("leave", &halo)?;
        self.outbox.read(&mut self.outside[..self.topology.owned * values])?;
        exchange.forward(Rows::F32(&mut self.outside), values)?;
        self.outbox.write(0, &self.outside)?;
        halo.atoms = self.arriving.address();
        halo.count = plan.arriving.len() as u32;
        self.move_rows("arrive", &halo)?;
        self.seconds.exchange += started.elapsed().as_secs_f64();
        Ok(())
    }

    fn move_rows(&self, name: &str, halo: &Halo) -> Result<()> {
        if halo.count == 0 {
            return Ok(());
        }
        let threads = 256;
        let values = halo.count as usize * (halo.width * halo.channels) as usize;
        let grid = [values.div_ceil(threads as usize).min(1 << 20) as u32, 1];
        self.student.launch("messages", name, Launch { grid, threads, shared: 0 }, halo)
    }

    fn forward(&mut self, plan: &Plan, exchange: &mut Option<&mut dyn Exchange>) -> Result<()> {
        let blocks = self.student.model.blocks.len();
        for b in 0..blocks {
            if plan.active > 0 {
                self.message(plan, "forward", b)?;
                self.atoms(plan, if b + 1 == blocks { "turn" } else { "advance" }, b)?;
            }
            if let Some(exchange) = exchange.as_deref_mut()
                && b + 1 < blocks
            {
                let (records, width) =
                    (self.features[b + 1].address(), feature_width(&self.student.model));
                self.exchange(plan, records, width, exchange)?;
            }
        }
        Ok(())
    }

    fn reverse(&mut self, plan: &Plan, exchange: &mut Option<&mut dyn Exchange>) -> Result<()> {
        for b in (0..self.student.model.blocks.len()).rev() {
            if let Some(exchange) = exchange.as_deref_mut() {
                self.exchange(plan, self.bar.address(), STATE, exchange)?;
            }
            if plan.active > 0 {
                self.message(plan, "reverse", b)?;
                if b > 0 {
                    self.atoms(plan, "retreat", b - 1)?;
                }
            }
        }
        Ok(())
    }

    /// Sums what pairs give, in the caller's order of atoms.
    fn collect(&mut self, plan: &Plan) -> Result<Results> {
        let student = &*self.student;
        let kinds = &student.kinds;
        let owned = self.topology.owned;
        let mut atomic_energies = filled(owned, 0.0)?;
        let mut forces = filled(owned, [0.0; 3])?;
        let mut atomic_virials = filled(owned, [0.0; 9])?;
        if plan.active > 0 {
            let sums = Sums {
                positions: self.positions.address(),
                pairs: self.pairs.address(),
                starts: self.starts.address(),
                counts: self.counts.address(),
                kinds: self.kinds.address(),
                gradients: self.gradients.address(),
                capacity: plan.entries.len() as u64,
                parts: self.shape.parts as u32,
                active: plan.active as u32,
                per_step: student.intervals as f64 / student.model.cutoff,
                softening: student.model.softening,
                references: kinds.references.address(),
                charges: kinds.charges.address(),
                charge_powers: kinds.charge_powers.address(),
                radii: kinds.radii.address(),
                energies: self.results.address(),
                forces: self.results.at(plan.active),
                virials: self.results.at(4 * plan.active),
            };
            student.launch_warps("sums", plan.active, &sums)?;
            self.results.read(&mut self.found)?;
            let (energies, rest) = self.found.split_at(plan.active);
            let (by_row, virials) = rest.split_at(3 * plan.active);
            let (by_row, virials) = (by_row.as_chunks().0, virials.as_chunks().0);
            for (row, &atom) in plan.atoms[..plan.active].iter().enumerate() {
                let atom = atom as usize;
                atomic_energies[atom] = energies[row];
                forces[atom] = by_row[row];
                atomic_virials[atom] = virials[row];
            }
        }
        Ok(pair::total(atomic_energies, forces, atomic_virials))
    }

    /// Refuses atoms at one place, where something went wrong.
    fn check_places(&self, plan: &Plan) -> Result<()> {
        for row in 0..plan.active {
            let [start, end] = [plan.starts[row], plan.starts[row + 1]].map(|at| at as usize);
            let there = |&position: &u32| self.ordered[position as usize];
            if let Some(at) =
                plan.entries[start..end].iter().position(|p| there(p) == self.ordered[row])
            {
                let other = plan.entries[start + at] as usize;
                return Err(pair::same_place(plan.atoms[row] as usize, plan.atoms[other] as usize));
            }
        }
        Ok(())
    }
}

impl Engine for Cuda {
    fn set_topology(&mut self, topology: Topology) -> Result<()> {
        self.topology = topology;
        // The order of atoms follows from positions, which the next compute brings.
        self.plan = None;
        Ok(())
    }

    fn compute(
        &mut self,
        positions: &[[f64; 3]],
        mut exchange: Option<&mut dyn Exchange>,
        results: &mut Results,
    ) -> Result<()> {
        let started = Instant::now();
        pair::check_finite(positions)?;
        let plan = match self.plan.take() {
            Some(plan) => plan,
            None => {
                self.topology.check_edge(positions, self.student.model.cutoff)?;
                self.prepare(positions)?
            }
        };
        if exchange.is_none() && !plan.arriving.is_empty() {
            let unresolved = self.topology.check_resolved();
            self.plan = Some(plan);
            return unresolved;
        }
        self.seconds.topology += started.elapsed().as_secs_f64();

        let started = Instant::now();
        let exchanged = self.seconds.exchange;
        let found = self.step(&plan, positions, &mut exchange);
        self.plan = Some(plan);
        *results = found?;
        let exchanged = self.seconds.exchange - exchanged;
        self.seconds.rest += started.elapsed().as_secs_f64() - exchanged;
        Ok(())
    }

    fn seconds(&self) -> Seconds {
        self.seconds
    }

    fn memory(&self) -> [usize; 2] {
        let words = [&self.starts, &self.entries, &self.rows, &self.kinds, &self.counts];
        let records = self.features.iter().chain(&self.states).chain(&self.kept);
        let own = words.iter().map(|array| array.memory()).sum::<usize>()
            + records.map(Array::memory).sum::<usize>()
            + [&self.bar, &self.received, &self.outbox].map(Array::memory).iter().sum::<usize>()
            + self.leaving.memory()
            + self.arriving.memory()
            + self.positions.memory()
            + self.pairs.memory()
            + self.gradients.memory()
            + self.results.memory()
            + self.found.capacity() * size_of::<f64>()
            + self.topology.memory()
            + self.plan.as_ref().map_or(0, Plan::memory)
            + self.outside.capacity() * size_of::<f32>()
            + self.ordered.capacity() * size_of::<[f64; 3]>();
        let shared = self.student.tables.iter().map(Array::memory).sum::<usize>()
            + self.student.network.memory()
            + self.student.kinds.memory();
        [own, shared]
    }

    fn together(&self) -> usize {
        1 << 16
    }

    fn twin(&self) -> Result<Box<dyn Engine>> {
        Ok(Box::new(Self::new(Arc::clone(&self.student))))
    }

    fn instruction_set(&self) -> &'static str {
        "cuda"
    }
}

impl Cuda {
    fn step(
        &mut self,
        plan: &Plan,
        positions: &[[f64; 3]],
        exchange: &mut Option<&mut dyn Exchange>,
    ) -> Result<Results> {
        if plan.active > 0 {
            self.ordered.clear();
            self.ordered.try_reserve(plan.atoms.len())?;
            self.ordered.extend(plan.atoms.iter().map(|&atom| positions[atom as usize]));
            self.positions.write(0, &self.ordered)?;
            self.find_pairs(plan)?;
        }
        self.forward(plan, exchange)?;
        self.reverse(plan, exchange)?;
        let found = self.collect(plan)?;
        if let Err(error) = pair::check_results(&found) {
            return self.check_places(plan).and(Err(error));
        }
        Ok(found)
    }
}
