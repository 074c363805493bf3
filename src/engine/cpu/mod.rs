//! The fast engine for processors: float32 features, explicit SIMD, tables for the filters.
//!
//! One compute is: pairs within the cutoff ([`pairs`]); for each block the message ([`message`])
//! and the atoms' own layers ([`atoms`]); the same in reverse; sums of forces and virials in
//! float64. Atoms are kept in an order and in blocks of their own ([`plan`]); each block of atoms
//! is computed by one thread in a fixed order, so the bits do not depend on the number of threads.

mod atoms;
mod buffer;
mod collect;
mod dense;
mod halo;
mod message;
mod network;
mod pairs;
mod peak;
mod plan;
mod simd;
mod tables;

pub use self::peak::peak;
pub use self::plan::BLOCK;

use std::sync::Arc;
use std::time::Instant;

use rayon::prelude::*;

use self::atoms::{Advance, Retreat, Turn, Work, kept_width};
use self::buffer::Buffer;
use self::collect::{Collect, Place, Sums};
use self::message::{COEFFICIENTS, Forward, Return, Reverse, STATE, Span};
use self::network::Network;
use self::pairs::{BlockPairs, Reach};
use self::plan::Plan;
use self::simd::{Portable, Vector};
use super::{
    Engine, Exchange, FilterMode, InstructionSet, Options, Results, Seconds, Topology, Virials,
    layers, pair,
};
use crate::error::{Error, ErrorKind, Result};
use crate::memory::{emptied, filled};
use crate::model::{Model, Repulsion};

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
            "this processor has no {:?} instructions: leave the choice to the library",
            options.instruction_set
        ),
    ))
}

/// One block of atoms and what its thread works with.
struct Block {
    pairs: BlockPairs,
    work: Work,
    sums: Sums,
    /// What its pairs give the rows that it borrows: records of them.
    borrowed: Buffer,
    /// Exact filters of its pairs, in the layout of a table with an interval for each pair.
    exact: Buffer,
}

/// A student as the kernels read it: what all engines of a calculator share.
struct Prepared<V> {
    model: Arc<Model>,
    filter: FilterMode,
    network: Network<V>,
    /// For each message, for each channel block, each interval: see [`Span::table`].
    tables: Vec<Buffer>,
    intervals: usize,
    /// For each atomic number, s (padded) and what the first block sends: records of one row.
    species: Vec<Option<[Buffer; 2]>>,
}

struct Cpu<V> {
    student: Arc<Prepared<V>>,
    pool: Option<Arc<rayon::ThreadPool>>,
    topology: Topology,
    plan: Option<Plan>,
    positions: Vec<[f64; 3]>,
    blocks: Vec<Block>,
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
        let species = (0..=u8::MAX)
            .map(|number| scope.knows(number).then(|| first_rows::<V>(&model, number)).transpose())
            .collect::<Result<_>>()?;
        let network = Network::new(&model)?;
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
            topology: Topology::default(),
            plan: None,
            positions: Vec::new(),
            blocks: Vec::new(),
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

    fn sender(&self) -> bool {
        self.student.model.blocks[0].sender.is_some()
    }

    fn channel_blocks(&self) -> usize {
        padded(&self.student.model) / V::LANES
    }

    /// Orders the atoms and makes room; the features of the first message are set here, as they
    /// follow from the species.
    fn prepare(&mut self, positions: &[[f64; 3]]) -> Result<()> {
        let plan = Plan::new(&self.topology, positions, self.channel_blocks())?;
        let channels = padded(&self.student.model);
        let active_rows = plan.blocks.len() * plan.block_rows;
        let width = layers::feature_width(&self.student.model);
        for b in 0..self.student.model.blocks.len() {
            self.features[b].resize(plan.rows * width * channels)?;
            self.states[b].resize(active_rows * STATE * channels)?;
            self.kept[b].resize(active_rows * kept_width(&self.student.model) * channels)?;
        }
        self.bar.resize(plan.rows * STATE * channels)?;
        self.received.resize(active_rows * Reverse::width(self.sender()) * channels)?;
        self.blocks.truncate(plan.blocks.len());
        self.blocks.try_reserve(plan.blocks.len() - self.blocks.len())?;
        while self.blocks.len() < plan.blocks.len() {
            self.blocks.push(Block {
                pairs: BlockPairs::default(),
                work: Work::new(&self.student.network)?,
                sums: Sums::default(),
                borrowed: Buffer::default(),
                exact: Buffer::default(),
            });
        }
        let largest = STATE.max(Reverse::width(self.sender()));
        for (block, found) in self.blocks.iter_mut().zip(&plan.blocks) {
            block.sums.resize(plan.block_rows + found.borrowed.len())?;
            block.borrowed.resize(found.borrowed.len() * largest * channels)?;
        }
        // Rows that no atom uses must stay finite.
        self.features.iter_mut().for_each(|features| features.fill(0.0));
        self.bar.fill(0.0);
        let stride = plan.block_rows;
        for (&atom, &record) in plan.atoms.iter().zip(&plan.records) {
            let number = usize::from(self.topology.species[atom as usize]);
            let Some([_, sent]) = &self.student.species[number] else { continue };
            for (c, row) in sent.chunks_exact(width * V::LANES).enumerate() {
                let start = (record as usize + c * stride) * width * V::LANES;
                self.features[0][start..start + row.len()].copy_from_slice(row);
            }
        }
        self.plan = Some(plan);
        Ok(())
    }
}

/// Channels in whole vectors of every instruction set.
fn padded(model: &Model) -> usize {
    layers::padded(model.hidden)
}

/// s of an element, and the feature record of the first message.
fn first_rows<V: Vector>(model: &Model, number: u8) -> Result<[Buffer; 2]> {
    let h = model.hidden;
    let s = model.embedding_row(number);
    let sent = layers::sent(&model.blocks[0], s);
    let width = layers::feature_width(model);
    let mut state = Buffer::zeros(padded(model))?;
    let mut record = Buffer::zeros(padded(model) * width)?;
    for channel in 0..h {
        state[channel] = s[channel] as f32;
        let (c, lane) = (channel / V::LANES, channel % V::LANES);
        for (k, sent) in sent.chunks_exact(h).enumerate() {
            record[(c * width + k) * V::LANES + lane] = sent[channel] as f32;
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
    /// Finds the pairs of this step; with exact filters, evaluates none of them yet.
    fn find_pairs(&mut self, plan: &Plan) -> Result<()> {
        let reach = Reach {
            cutoff: self.student.model.cutoff,
            softening: self.student.model.softening,
            intervals: self.student.intervals,
            repulsion: self.student.model.repulsion.as_ref().map_or(0.0, Repulsion::longest),
        };
        let positions = &self.positions;
        let blocks = self.blocks.iter_mut().zip(&plan.blocks).enumerate();
        each(self.pool.as_deref(), blocks, |(index, (block, found))| {
            block.pairs.update(plan, found, index * plan.block_rows, positions, reach)?;
            if self.student.filter == FilterMode::Exact {
                for (k, pair) in block.pairs.list.iter_mut().enumerate() {
                    (pair.interval, pair.t) = (k as u32, 0.0);
                }
            }
            Ok(())
        })
    }

    /// Runs a pair kernel of message `b` over all blocks of atoms. `out` are records of `width`
    /// vectors; the kernel gets a block's part of it, and the rows that the block borrows.
    ///
    /// Channel blocks go outermost, so that their part of the table stays in the cache.
    fn messages(
        &mut self,
        plan: &Plan,
        b: usize,
        (out, width): (&mut [f32], usize),
        kernel: impl Fn(Span<'_>, &mut BlockPairs, &mut [f32], &mut [f32]) + Sync,
    ) -> Result<()> {
        let count = self.channel_blocks();
        let part = plan.block_rows * count * V::LANES * width;
        let sender = self.student.model.blocks[b].sender.is_some();
        let threads = self.pool.as_deref().map_or(1, rayon::ThreadPool::current_num_threads);
        // With exact filters each block brings its own table, too large to keep several.
        let group = match self.student.filter {
            FilterMode::Exact => 1,
            FilterMode::Table if threads == 1 => self.blocks.len().max(1),
            FilterMode::Table => (self.blocks.len() / (4 * threads)).max(1),
        };
        let parts = out.chunks_exact_mut(part);
        let mut items: Vec<_> = self.blocks.iter_mut().zip(parts).enumerate().collect();
        let (model, made, positions) = (&self.student.model, &self.student.tables, &self.positions);
        let (intervals, features) = (self.student.intervals, &self.features[b]);
        each(self.pool.as_deref(), items.chunks_mut(group), |blocks| {
            for channel in 0..count {
                for (index, (block, part)) in blocks.iter_mut() {
                    let first = *index * plan.block_rows;
                    let (table, table_stride) = match made.get(b) {
                        Some(table) => (&**table, intervals * COEFFICIENTS * V::LANES),
                        None => {
                            if channel == 0 {
                                tables::exact::<V>(
                                    model,
                                    b,
                                    &block.pairs,
                                    positions,
                                    first,
                                    &mut block.exact,
                                )?;
                            }
                            let pairs = block.pairs.list.len();
                            (&*block.exact, pairs * COEFFICIENTS * V::LANES)
                        }
                    };
                    let span = Span {
                        table,
                        table_stride,
                        features,
                        block_rows: plan.block_rows,
                        first: plan.record(first, count),
                        channel,
                        sender,
                        initial: b == 0,
                        borrowed: plan.blocks[*index].borrowed.len(),
                    };
                    kernel(span, &mut block.pairs, part, &mut block.borrowed);
                }
            }
            // Exact filters are large, and of no use to another message.
            blocks.iter_mut().for_each(|(_, (block, _))| block.exact = Buffer::default());
            Ok(())
        })
    }

    /// Adds what blocks computed for rows that they borrowed to these rows, records of `width`
    /// vectors in `out`.
    fn give_back(&self, plan: &Plan, out: &mut [f32], width: usize) -> Result<()> {
        let part = plan.block_rows * self.channel_blocks() * V::LANES * width;
        let parts = out.chunks_exact_mut(part).zip(&plan.blocks).enumerate();
        each(self.pool.as_deref(), parts, |(index, (out, found))| {
            for (other, range) in &found.lent {
                let rows = &plan.blocks[*other].borrowed;
                V::run(Return {
                    out,
                    width,
                    rows: &rows[range.clone()],
                    first: index * plan.block_rows,
                    borrowed: (&self.blocks[*other].borrowed, rows.len()),
                    start: range.start,
                    block_rows: plan.block_rows,
                });
            }
            Ok(())
        })
    }

    /// Sends rows of `width` vectors to the ghosts that other ranks' atoms are.
    fn exchange(
        &mut self,
        plan: &Plan,
        width: usize,
        records: &mut Buffer,
        exchange: &mut dyn Exchange,
    ) -> Result<()> {
        let started = Instant::now();
        let atoms = self.topology.owned + self.topology.ghosts;
        let channels = padded(&self.student.model);
        let outbox = &mut self.outbox;
        let called = halo::exchange::<V>(plan, atoms, channels, width, records, outbox, exchange)?;
        self.seconds.exchange += called;
        self.seconds.rest += started.elapsed().as_secs_f64() - called;
        Ok(())
    }

    /// s of each atom, v = 0, in the state that the first message adds to.
    fn initial_state(&mut self, plan: &Plan) {
        let count = self.channel_blocks();
        let state = &mut self.states[0];
        state.fill(0.0);
        for (&atom, &record) in plan.atoms.iter().zip(&plan.records).take(plan.active) {
            let number = usize::from(self.topology.species[atom as usize]);
            let Some([s, _]) = &self.student.species[number] else { continue };
            for c in 0..count {
                let to = (record as usize + c * plan.block_rows) * STATE * V::LANES;
                state[to..to + V::LANES].copy_from_slice(&s[c * V::LANES..][..V::LANES]);
            }
        }
    }

    fn forward(&mut self, plan: &Plan, exchange: &mut Option<&mut dyn Exchange>) -> Result<()> {
        let channels = padded(&self.student.model);
        let blocks = self.student.model.blocks.len();
        let rows = plan.block_rows * channels;
        self.initial_state(plan);
        for b in 0..blocks {
            let started = Instant::now();
            let mut state = std::mem::take(&mut self.states[b]);
            let done = self
                .messages(plan, b, (&mut state, STATE), |span, pairs, out, borrowed| {
                    V::run(Forward { span, pairs, out, borrowed });
                })
                .and_then(|()| self.give_back(plan, &mut state, STATE));
            self.states[b] = state;
            done?;
            self.seconds.messages[0] += started.elapsed().as_secs_f64();
            let started = Instant::now();
            let kept = rows * kept_width(&self.student.model);
            let (network, block_rows) = (&self.student.network, plan.block_rows);
            if b + 1 == blocks {
                let parts = self
                    .blocks
                    .iter_mut()
                    .zip(self.states[b].chunks_exact(rows * STATE))
                    .zip(self.kept[b].chunks_exact_mut(kept))
                    .zip(self.bar.chunks_exact_mut(rows * STATE));
                each(self.pool.as_deref(), parts, |(((block, state), saved), bar)| {
                    let Block { sums: Sums { energies, .. }, work, .. } = block;
                    V::run(Turn { network, block_rows, state, saved, energies, bar, work });
                    Ok(())
                })?;
                self.seconds.atoms += started.elapsed().as_secs_f64();
                break;
            }
            let width = layers::feature_width(&self.student.model);
            let (state, next_state) = self.states.split_at_mut(b + 1);
            let (saved, next_saved) = self.kept.split_at_mut(b + 1);
            let parts = self
                .blocks
                .iter_mut()
                .zip(state[b].chunks_exact(rows * STATE))
                .zip(saved[b].chunks_exact_mut(kept))
                .zip(next_saved[0].chunks_exact_mut(kept))
                .zip(next_state[0].chunks_exact_mut(rows * STATE))
                .zip(self.features[b + 1].chunks_exact_mut(rows * width));
            each(
                self.pool.as_deref(),
                parts,
                |(((((block, state), saved), next_saved), next_state), next_features)| {
                    V::run(Advance {
                        network,
                        block: b,
                        block_rows,
                        state,
                        saved: [saved, next_saved],
                        next_state,
                        next_features,
                        work: &mut block.work,
                    });
                    Ok(())
                },
            )?;
            self.seconds.atoms += started.elapsed().as_secs_f64();
            if let Some(exchange) = exchange.as_deref_mut() {
                let mut features = std::mem::take(&mut self.features[b + 1]);
                let done = self.exchange(plan, width, &mut features, exchange);
                self.features[b + 1] = features;
                done?;
            }
        }
        Ok(())
    }

    fn reverse(&mut self, plan: &Plan, exchange: &mut Option<&mut dyn Exchange>) -> Result<()> {
        let channels = padded(&self.student.model);
        let rows = plan.block_rows * channels;
        let width = Reverse::width(self.sender());
        for b in (0..self.student.model.blocks.len()).rev() {
            let mut bar = std::mem::take(&mut self.bar);
            let exchanged = match exchange.as_deref_mut() {
                None => Ok(()),
                Some(exchange) => self.exchange(plan, STATE, &mut bar, exchange),
            };
            let started = Instant::now();
            let mut received = std::mem::take(&mut self.received);
            let done = exchanged.and_then(|()| {
                let out = (&mut *received, width);
                self.messages(plan, b, out, |span, pairs, out, borrowed| {
                    if span.channel == 0 && b > 0 {
                        out.fill(0.0);
                    }
                    V::run(Reverse { span, pairs, bar: &bar, out, borrowed });
                })?;
                // The first message gives atoms nothing: what it sends follows from the species.
                if b == 0 { Ok(()) } else { self.give_back(plan, &mut received, width) }
            });
            (self.bar, self.received) = (bar, received);
            done?;
            self.seconds.messages[1] += started.elapsed().as_secs_f64();
            if b == 0 {
                break;
            }
            let started = Instant::now();
            let features_width = layers::feature_width(&self.student.model);
            let kept = rows * kept_width(&self.student.model);
            let (network, block_rows) = (&self.student.network, plan.block_rows);
            let parts = self
                .blocks
                .iter_mut()
                .zip(self.features[b].chunks_exact(rows * features_width))
                .zip(self.received.chunks_exact(rows * width))
                .zip(self.states[b - 1].chunks_exact(rows * STATE))
                .zip(self.kept[b - 1].chunks_exact(kept))
                .zip(self.kept[b].chunks_exact(kept))
                .zip(self.bar.chunks_exact_mut(rows * STATE));
            each(
                self.pool.as_deref(),
                parts,
                |((((((block, features), received), state), saved), sender_saved), bar)| {
                    V::run(Retreat {
                        network,
                        block: b,
                        block_rows,
                        features,
                        received,
                        state,
                        saved: [saved, sender_saved],
                        bar,
                        work: &mut block.work,
                    });
                    Ok(())
                },
            )?;
            self.seconds.atoms += started.elapsed().as_secs_f64();
        }
        Ok(())
    }

    /// Sums what pairs give, in the caller's order of atoms.
    fn collect(&mut self, plan: &Plan, virials: Virials) -> Result<Results> {
        let Self { student, topology, positions, blocks, pool, .. } = self;
        // The kernels' slopes are per interval.
        let per_step = match student.filter {
            FilterMode::Table => student.intervals as f64 / student.model.cutoff,
            FilterMode::Exact => 1.0,
        };
        let place =
            |first| Place { model: &student.model, topology, plan, positions, first, per_step };
        each(pool.as_deref(), blocks.iter_mut().enumerate(), |(index, block)| {
            let Block { pairs, sums, .. } = block;
            sums.clear(plan.block_rows, virials)?;
            V::run(Collect { place: place(index * plan.block_rows), pairs, virials, sums });
            Ok(())
        })?;
        let mut atomic_energies = filled(topology.owned, 0.0)?;
        let mut forces = filled(topology.owned, [0.0; 3])?;
        let mut atomic_virials = filled(virials.of_atoms(topology.owned), [0.0; 9])?;
        for (atoms, block) in plan.atoms[..plan.active].chunks(plan.block_rows).zip(&*blocks) {
            for (row, &atom) in atoms.iter().enumerate() {
                let atom = atom as usize;
                atomic_energies[atom] = block.sums.energies[row];
                forces[atom] = block.sums.forces[row];
                if let Some(virial) = block.sums.virials.get(row) {
                    atomic_virials[atom] = *virial;
                }
            }
        }
        for (block, found) in blocks.iter().zip(&plan.blocks) {
            for (k, &row) in found.borrowed.iter().enumerate() {
                let (atom, from) = (plan.atoms[row as usize] as usize, plan.block_rows + k);
                let Sums { energies, forces: given, virials, .. } = &block.sums;
                atomic_energies[atom] += energies[from];
                (0..3).for_each(|a| forces[atom][a] += given[from][a]);
                if let Some(virial) = virials.get(from) {
                    (0..9).for_each(|a| atomic_virials[atom][a] += virial[a]);
                }
            }
        }
        let mut found = pair::total(atomic_energies, forces, atomic_virials);
        if virials == Virials::Total {
            found.virial = pair::sum(blocks.iter().map(|block| &block.sums.virial));
        }
        Ok(found)
    }
}

impl<V: Vector> Engine for Cpu<V> {
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
        virials: Virials,
        results: &mut Results,
    ) -> Result<()> {
        let started = Instant::now();
        pair::check_finite(positions)?;
        if self.plan.is_none() {
            self.topology.check_edge(positions, self.student.model.cutoff)?;
            self.prepare(positions)?;
        }
        if exchange.is_none() && self.plan.as_ref().is_some_and(|plan| !plan.remote.is_empty()) {
            self.topology.check_resolved()?;
        }
        let Some(plan) = self.plan.take() else {
            return Err(Error::new(ErrorKind::Internal, "no plan was made"));
        };
        emptied(&mut self.positions, plan.atoms.len())?;
        self.positions.extend(plan.atoms.iter().map(|&atom| positions[atom as usize]));
        self.seconds.topology += started.elapsed().as_secs_f64();

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
        let block = |block: &Block| {
            let Block { pairs, work, sums, borrowed, exact } = block;
            pairs.memory() + work.memory() + sums.memory() + borrowed.memory() + exact.memory()
        };
        let sum = |buffers: &[Buffer]| buffers.iter().map(Buffer::memory).sum::<usize>();
        let own = sum(&self.features)
            + sum(&self.states)
            + sum(&self.kept)
            + [&self.bar, &self.received, &self.outbox].map(Buffer::memory).iter().sum::<usize>()
            + self.blocks.iter().map(block).sum::<usize>()
            + self.topology.memory()
            + self.plan.as_ref().map_or(0, Plan::memory)
            + self.positions.capacity() * size_of::<[f64; 3]>();
        [own, sum(&self.student.tables) + self.student.network.memory()]
    }

    fn together(&self) -> usize {
        // A block: then each structure's sums have the order, and its results the bits, that they have
        // alone.
        BLOCK
    }

    fn twin(&self) -> Result<Box<dyn Engine>> {
        Ok(Box::new(Self::new(Arc::clone(&self.student), None)))
    }

    fn instruction_set(&self) -> &'static str {
        match V::SET {
            InstructionSet::Avx512 => "avx512",
            InstructionSet::Avx2 => "avx2",
            _ => "portable",
        }
    }
}
