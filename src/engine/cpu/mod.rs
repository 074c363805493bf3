//! The fast engine for processors: float32 features, explicit SIMD, tables for the filters.
//!
//! One compute ([`pass`]) is: pairs within the cutoff ([`pairs`]); for each block of the network
//! the message ([`message`]) and the atoms' own layers ([`atoms`]); the same in reverse; sums of
//! forces and virials in float64 ([`collect`]). Atoms and channels are divided:
//!
//! - a *block*, `b` or `block`, is one of the network's: message `b` and the update behind it;
//! - a *chunk* ([`Chunk`], [`plan`]) is a number of atoms that are near each other. One thread
//!   computes it in a fixed order, so the bits do not depend on the number of threads. A chunk
//!   *borrows* rows of atoms of other chunks that its pairs reach: it adds to copies of them, which
//!   are then added to the rows themselves;
//! - a *channel group*, `c` or `channel`, is as many channels as a vector has lanes. Arrays hold,
//!   for each chunk, for each channel group, for each row (atom) a *record* of some vectors
//!   ([`records`]).

mod atoms;
mod buffer;
mod collect;
mod dense;
mod halo;
mod message;
mod network;
mod pairs;
mod pass;
mod peak;
mod plan;
mod readout;
mod records;
mod scalars;
mod simd;
mod slices;
mod tables;
mod update;

pub use self::peak::peak;
pub use self::plan::CHUNK;

use std::sync::Arc;
use std::time::Instant;

use rayon::prelude::*;

use self::buffer::Buffer;
use self::collect::{Collect, Context, Sums};
use self::network::PackedNetwork;
use self::pairs::ChunkPairs;
use self::plan::Plan;
use self::records::{Layout, Record};
use self::simd::{Portable, Vector};
use self::slices::Scratch;
use super::{
    Engine, Exchange, FilterMode, InstructionSet, NeighborList, Options, Results, Seconds, Virials,
    layers, pair,
};
use crate::error::{Error, ErrorKind, Result};
use crate::memory::{emptied, filled};
use crate::model::Model;
use crate::model::energy_range::UNBOUNDED;

/// An engine for `model` on the instruction set that `options` ask for, with the threads of `pool`.
pub fn engine(
    model: Arc<Model>,
    options: Options,
    pool: Option<Arc<rayon::ThreadPool>>,
) -> Result<Box<dyn Engine>> {
    #[cfg(target_arch = "x86_64")]
    {
        use self::simd::{Avx2, Avx512};
        let wants = |set| {
            matches!(options.instruction_set, InstructionSet::Best)
                || options.instruction_set == set
        };
        if wants(InstructionSet::Avx512) && Avx512::available() {
            return Cpu::<Avx512>::boxed(model, options.filter, pool);
        }
        if wants(InstructionSet::Avx2) && Avx2::available() {
            return Cpu::<Avx2>::boxed(model, options.filter, pool);
        }
    }
    if matches!(options.instruction_set, InstructionSet::Best | InstructionSet::Portable) {
        return Cpu::<Portable>::boxed(model, options.filter, pool);
    }
    Err(Error::new(
        ErrorKind::Unsupported,
        format!(
            "expected a processor with {} instructions, found one without: leave the choice to \
             the library (best)",
            options.instruction_set.name()
        ),
    ))
}

/// One chunk of atoms and what its thread works with.
struct Chunk {
    pairs: ChunkPairs,
    scratch: Scratch,
    sums: Sums,
    /// Between which energies each row's atom stays as the network gives it (eV).
    bounds: Vec<[f64; 2]>,
    /// What its pairs give the rows that it borrows: records of them.
    borrowed: Buffer,
    /// Exact filters of its pairs, in the layout of a table with an interval for each pair.
    exact: Buffer,
}

/// A student as the kernels read it: what all engines of a calculator share.
struct Prepared<V> {
    model: Arc<Model>,
    filter: FilterMode,
    network: PackedNetwork<V>,
    /// For each message, for each channel group, each interval: see [`Span::table`].
    tables: Vec<Buffer>,
    intervals: usize,
    /// For each atomic number, s (padded) and what the first block sends: records of one row.
    species: Vec<Option<[Buffer; 2]>>,
}

struct Cpu<V> {
    student: Arc<Prepared<V>>,
    pool: Option<Arc<rayon::ThreadPool>>,
    list: NeighborList,
    plan: Option<Plan>,
    positions: Vec<[f64; 3]>,
    chunks: Vec<Chunk>,
    /// For each message: what is sent, of all rows.
    features: Vec<Buffer>,
    /// For each message: state after it, of active rows.
    states: Vec<Buffer>,
    /// For each message: values for the reverse pass, of active rows.
    kept: Vec<Buffer>,
    /// Adjoint of the state after a message, of all rows.
    bar: Buffer,
    /// What a reverse message gives, of active rows.
    received: Buffer,
    /// Rows on their way to other ranks, in the caller's order.
    outbox: Buffer,
    seconds: Seconds,
}

impl<V: Vector> Prepared<V> {
    fn new(model: Arc<Model>, filter: FilterMode) -> Result<Self> {
        let (tables, intervals) = match filter {
            FilterMode::Table => tables::interpolated::<V>(&model)?,
            FilterMode::Exact => (Vec::new(), 1),
        };
        let scope = model.scope();
        let network = PackedNetwork::new(&model)?;
        let layout = network.layout(1);
        let rows = |number| first_rows::<V>(&model, layout, number);
        let species = (0..=u8::MAX)
            .map(|number| scope.knows(number).then(|| rows(number)).transpose())
            .collect::<Result<_>>()?;
        Ok(Self { model, filter, network, tables, intervals, species })
    }
}

impl<V: Vector> Cpu<V> {
    fn boxed(
        model: Arc<Model>,
        filter: FilterMode,
        pool: Option<Arc<rayon::ThreadPool>>,
    ) -> Result<Box<dyn Engine>> {
        Ok(Box::new(Self::new(Arc::new(Prepared::new(model, filter)?), pool)))
    }

    fn new(student: Arc<Prepared<V>>, pool: Option<Arc<rayon::ThreadPool>>) -> Self {
        let buffers = || student.model.blocks.iter().map(|_| Buffer::default()).collect();
        Self {
            pool,
            list: NeighborList::default(),
            plan: None,
            positions: Vec::new(),
            chunks: Vec::new(),
            features: buffers(),
            states: buffers(),
            kept: buffers(),
            bar: Buffer::default(),
            received: Buffer::default(),
            outbox: Buffer::default(),
            seconds: Seconds::default(),
            student,
        }
    }

    /// The records of what atoms send, of what a message in reverse gives them, and of what is kept
    /// for the reverse pass.
    fn records(&self) -> [Record; 3] {
        let sender = self.student.model.has_sender();
        [Record::features(sender), Record::received(sender), Record::kept(sender)]
    }

    /// Orders the atoms and makes room; the features of the first message are set here, as they
    /// follow from the species.
    fn prepare(&mut self, positions: &[[f64; 3]]) -> Result<()> {
        let plan = Plan::new(&self.list, positions)?;
        let layout = self.student.network.layout(plan.chunk_rows);
        let [sent, received, kept] = self.records();
        let (active, all) = (plan.chunks.len(), plan.rows / plan.chunk_rows);
        for b in 0..self.student.model.blocks.len() {
            self.features[b].resize(all * layout.len::<V>(sent))?;
            self.states[b].resize(active * layout.len::<V>(Record::STATE))?;
            self.kept[b].resize(active * layout.len::<V>(kept))?;
        }
        self.bar.resize(all * layout.len::<V>(Record::STATE))?;
        self.received.resize(active * layout.len::<V>(received))?;
        self.chunks.truncate(plan.chunks.len());
        self.chunks.try_reserve(plan.chunks.len() - self.chunks.len())?;
        while self.chunks.len() < plan.chunks.len() {
            self.chunks.push(Chunk {
                pairs: ChunkPairs::default(),
                scratch: Scratch::new(&self.student.network)?,
                sums: Sums::default(),
                bounds: Vec::new(),
                borrowed: Buffer::default(),
                exact: Buffer::default(),
            });
        }
        for (chunk, found) in self.chunks.iter_mut().zip(&plan.chunks) {
            chunk.sums.resize(plan.chunk_rows + found.borrowed.len())?;
            let borrowed = Layout { rows: found.borrowed.len(), ..layout };
            let most = borrowed.len::<V>(Record::STATE).max(borrowed.len::<V>(received));
            chunk.borrowed.resize(most)?;
        }
        let atoms = plan.atoms[..plan.active].chunks(plan.chunk_rows);
        for (chunk, atoms) in self.chunks.iter_mut().zip(atoms) {
            emptied(&mut chunk.bounds, plan.chunk_rows)?;
            let number = |&atom: &u32| self.list.species[atom as usize];
            let model = &self.student.model;
            chunk.bounds.extend(atoms.iter().map(|atom| model.energy_bounds(number(atom))));
            chunk.bounds.resize(plan.chunk_rows, UNBOUNDED);
        }
        // Rows that no atom uses must stay finite.
        self.features.iter_mut().for_each(|features| features.fill(0.0));
        self.bar.fill(0.0);
        let one = Layout { rows: 1, ..layout };
        for (&atom, place) in plan.atoms.iter().zip(&plan.places) {
            let number = usize::from(self.list.species[atom as usize]);
            let Some([_, record]) = &self.student.species[number] else { continue };
            let chunk = &mut self.features[0][place.chunk() * layout.len::<V>(sent)..];
            for c in 0..layout.channel_groups {
                let from = &record[one.start::<V>(sent, c)..one.start::<V>(sent, c + 1)];
                let to = layout.at::<V>(sent, 0, place.row(), c);
                chunk[to..to + from.len()].copy_from_slice(from);
            }
        }
        self.plan = Some(plan);
        Ok(())
    }
}

/// s of an element, and what it sends in the first message, in the layout of one row.
fn first_rows<V: Vector>(model: &Model, one: Layout, number: u8) -> Result<[Buffer; 2]> {
    let s = model.embedding_row(number);
    let sent = layers::sent(&model.blocks[0], s);
    let features = Record::features(model.has_sender());
    let mut state = Buffer::zeros(one.channel_groups * V::LANES)?;
    let mut record = Buffer::zeros(one.len::<V>(features))?;
    for (to, &value) in state.iter_mut().zip(s) {
        *to = value as f32;
    }
    let mut sent = sent.iter();
    for (k, &run) in layers::runs(model).iter().enumerate() {
        for (channel, &value) in (0..run).zip(sent.by_ref()) {
            let (c, lane) = (channel / V::LANES, channel % V::LANES);
            record[one.at::<V>(features, k, 0, c) + lane] = value as f32;
        }
    }
    Ok([state, record])
}

/// Runs `task` for each item, on the pool if there is one and more than one item; the first item's
/// error wins.
fn each<T: Send>(
    pool: Option<&rayon::ThreadPool>,
    mut items: impl ExactSizeIterator<Item = T>,
    task: impl Fn(T) -> Result<()> + Sync,
) -> Result<()> {
    match pool {
        Some(pool) if items.len() > 1 => {
            let items: Vec<T> = items.collect();
            let done: Vec<_> = pool.install(|| items.into_par_iter().map(&task).collect());
            done.into_iter().collect()
        }
        _ => items.try_for_each(task),
    }
}

impl<V: Vector> Cpu<V> {
    /// Sums what pairs give, in the caller's order of atoms.
    fn collect(&mut self, plan: &Plan, virials: Virials) -> Result<Results> {
        let Self { student, list, positions, chunks, pool, .. } = self;
        // The kernels' slopes are per interval.
        let per_step = match student.filter {
            FilterMode::Table => student.intervals as f64 / student.model.cutoff,
            FilterMode::Exact => 1.0,
        };
        let context =
            |first| Context { model: &student.model, list, plan, positions, first, per_step };
        each(pool.as_deref(), chunks.iter_mut().enumerate(), |(index, chunk)| {
            let Chunk { pairs, sums, bounds, .. } = chunk;
            sums.clear(plan.chunk_rows, virials)?;
            sums.find_outside(bounds)?;
            pairs.unsee();
            V::run(Collect { context: context(index * plan.chunk_rows), pairs, virials, sums });
            Ok(())
        })?;
        let mut atomic_energies = filled(list.owned, 0.0)?;
        let mut forces = filled(list.owned, [0.0; 3])?;
        let mut atomic_virials = filled(virials.of_atoms(list.owned), [0.0; 9])?;
        let mut outside = Vec::new();
        for (atoms, chunk) in plan.atoms[..plan.active].chunks(plan.chunk_rows).zip(&*chunks) {
            outside.try_reserve(chunk.sums.outside.len())?;
            outside.extend(chunk.sums.outside.iter().map(|&row| atoms[row as usize]));
            for (row, &atom) in atoms.iter().enumerate() {
                let atom = atom as usize;
                atomic_energies[atom] = chunk.sums.energies[row];
                forces[atom] = chunk.sums.forces[row];
                if let Some(virial) = chunk.sums.virials.get(row) {
                    atomic_virials[atom] = *virial;
                }
            }
        }
        for (chunk, found) in chunks.iter().zip(&plan.chunks) {
            for (k, &row) in found.borrowed.iter().enumerate() {
                let (atom, from) = (plan.atoms[row as usize] as usize, plan.chunk_rows + k);
                let Sums { energies, forces: given, virials, .. } = &chunk.sums;
                atomic_energies[atom] += energies[from];
                (0..3).for_each(|a| forces[atom][a] += given[from][a]);
                if let Some(virial) = virials.get(from) {
                    (0..9).for_each(|a| atomic_virials[atom][a] += virial[a]);
                }
            }
        }
        outside.sort_unstable();
        let mut found = Results { outside, ..pair::total(atomic_energies, forces, atomic_virials) };
        if virials == Virials::Total {
            found.virial = pair::sum(chunks.iter().map(|chunk| &chunk.sums.virial));
        }
        Ok(found)
    }
}

impl<V: Vector> Engine for Cpu<V> {
    fn set_neighbor_list(&mut self, list: NeighborList) -> Result<()> {
        self.list = list;
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
        pair::check_finite(positions)?;
        self.list.check_edge(positions, self.student.model.cutoff)?;
        if self.plan.is_none() {
            self.prepare(positions)?;
        }
        if exchange.is_none() && self.plan.as_ref().is_some_and(|plan| !plan.remote.is_empty()) {
            self.list.check_resolved()?;
        }
        let Some(plan) = self.plan.take() else {
            return Err(Error::new(ErrorKind::Internal, "no plan was made"));
        };
        emptied(&mut self.positions, plan.atoms.len())?;
        self.positions.extend(plan.atoms.iter().map(|&atom| positions[atom as usize]));
        self.seconds.lists += started.elapsed().as_secs_f64();

        let started = Instant::now();
        let done = self.find_pairs(&plan);
        self.seconds.pairs += started.elapsed().as_secs_f64();
        let done = done
            .and_then(|()| self.forward(&plan, &mut exchange))
            .and_then(|()| self.reverse(&plan, &mut exchange));
        let started = Instant::now();
        let found = done.and_then(|()| {
            let found = self.collect(&plan, virials)?;
            pair::check_results(&found)?;
            Ok(found)
        });
        self.plan = Some(plan);
        *results = found?;
        self.seconds.rest += started.elapsed().as_secs_f64();
        Ok(())
    }

    fn seconds(&self) -> Seconds {
        self.seconds
    }

    fn memory(&self) -> [usize; 2] {
        let chunk = |chunk: &Chunk| {
            let Chunk { pairs, scratch, sums, bounds, borrowed, exact } = chunk;
            16 * bounds.capacity()
                + pairs.memory()
                + scratch.memory()
                + sums.memory()
                + borrowed.memory()
                + exact.memory()
        };
        let sum = |buffers: &[Buffer]| buffers.iter().map(Buffer::memory).sum::<usize>();
        let own = sum(&self.features)
            + sum(&self.states)
            + sum(&self.kept)
            + [&self.bar, &self.received, &self.outbox].map(Buffer::memory).iter().sum::<usize>()
            + self.chunks.iter().map(chunk).sum::<usize>()
            + self.list.memory()
            + self.plan.as_ref().map_or(0, Plan::memory)
            + self.positions.capacity() * size_of::<[f64; 3]>();
        [own, sum(&self.student.tables) + self.student.network.memory()]
    }

    fn neighbor_list(&self) -> &NeighborList {
        &self.list
    }

    fn atoms_per_batch(&self) -> usize {
        // A chunk: then each structure's sums have the order, and its results the bits, that they
        // have alone.
        CHUNK
    }

    fn for_another_thread(&self) -> Result<Box<dyn Engine>> {
        Ok(Box::new(Self::new(Arc::clone(&self.student), None)))
    }

    fn instruction_set(&self) -> InstructionSet {
        V::SET
    }
}
