//! One computation, message by message: forward to the energies, in reverse to the gradients.

use std::ops::Range;
use std::time::Instant;

use super::atoms::{Advance, Retreat, Turn};
use super::buffer::Buffer;
use super::collect::Sums;
use super::message::{Forward, Return, Reverse, Span};
use super::pairs::{BlockPairs, Reach};
use super::plan::Plan;
use super::scalars::TOGETHER;
use super::simd::Vector;
use super::tables::{self, Layout};
use super::{Block, Cpu, each, halo, padded};
use crate::engine::{Exchange, FilterMode, layers};
use crate::error::Result;

/// The channel blocks that are computed at a time, of `count`: one of those with vectors, or several of those
/// without.
fn channel_blocks(count: usize, vectors: usize) -> impl Iterator<Item = Range<usize>> {
    let with = (0..vectors).map(|channel| channel..channel + 1);
    let without = (vectors..count).step_by(TOGETHER);
    with.chain(without.map(move |channel| channel..(channel + TOGETHER).min(count)))
}

impl<V: Vector> Cpu<V> {
    /// Finds the pairs of this step.
    pub fn find_pairs(&mut self, plan: &Plan) -> Result<()> {
        let reach = Reach {
            cutoff: self.student.model.cutoff,
            softening: self.student.model.softening,
            intervals: self.student.intervals,
            repulsion: self.student.model.repulsion.as_ref(),
        };
        let (topology, positions) = (&self.topology, &self.positions);
        let blocks = self.blocks.iter_mut().zip(&plan.blocks).enumerate();
        each(self.pool.as_deref(), blocks, |(index, (block, found))| {
            let first = index * plan.block_rows;
            block.pairs.update(topology, plan, found, first, positions, reach)?;
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
        let vectors = self.student.network.vectors / V::LANES;
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
            for channels in channel_blocks(count, vectors) {
                let channel = channels.start;
                for (index, (block, out)) in blocks.iter_mut() {
                    let first = *index * plan.block_rows;
                    let (table, intervals) = match made.get(b) {
                        Some(table) => (&**table, intervals),
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
                            (&*block.exact, block.pairs.list.len())
                        }
                    };
                    let layout = Layout::new::<V>(model, intervals);
                    let (part, table_stride) = layout.part(channels.clone());
                    let span = Span {
                        table: &table[part],
                        table_stride,
                        features,
                        block_rows: plan.block_rows,
                        first: plan.record(first, count),
                        channel,
                        sender,
                        together: channels.len(),
                        vectors: channel < vectors,
                        initial: b == 0,
                        borrowed: plan.blocks[*index].borrowed.len(),
                    };
                    kernel(span, &mut block.pairs, out, &mut block.borrowed);
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
                    vector_blocks: self.student.network.vectors / V::LANES,
                });
            }
            Ok(())
        })
    }

    /// Sends rows of `width` vectors to the ghosts that other ranks' atoms are, if there are other ranks.
    fn exchange(
        &mut self,
        plan: &Plan,
        width: usize,
        records: &mut Buffer,
        exchange: &mut Option<&mut dyn Exchange>,
    ) -> Result<()> {
        let Some(exchange) = exchange.as_deref_mut() else { return Ok(()) };
        let started = Instant::now();
        let atoms = self.topology.owned + self.topology.ghosts;
        let runs = [self.student.network.channels, self.student.network.vectors];
        let outbox = &mut self.outbox;
        let called = halo::exchange::<V>(plan, atoms, runs, width, records, outbox, exchange)?;
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
                let to = (record as usize + c * plan.block_rows) * layers::STATE * V::LANES;
                state[to..to + V::LANES].copy_from_slice(&s[c * V::LANES..][..V::LANES]);
            }
        }
    }

    /// From the first message to the energies, and the reverse of the last update.
    pub fn forward(&mut self, plan: &Plan, exchange: &mut Option<&mut dyn Exchange>) -> Result<()> {
        self.initial_state(plan);
        let last = self.student.model.blocks.len() - 1;
        for b in 0..=last {
            self.message(plan, b)?;
            if b == last {
                self.turn(plan, b)?;
            } else {
                self.advance(plan, b)?;
                let width = layers::feature_width(self.sender());
                let mut features = std::mem::take(&mut self.features[b + 1]);
                let done = self.exchange(plan, width, &mut features, exchange);
                self.features[b + 1] = features;
                done?;
            }
        }
        Ok(())
    }

    /// From there back to the first message, which leaves the pairs' gradients.
    pub fn reverse(&mut self, plan: &Plan, exchange: &mut Option<&mut dyn Exchange>) -> Result<()> {
        for b in (0..self.student.model.blocks.len()).rev() {
            let mut bar = std::mem::take(&mut self.bar);
            let done = self.exchange(plan, layers::STATE, &mut bar, exchange);
            self.bar = bar;
            done?;
            self.message_in_reverse(plan, b)?;
            if b > 0 {
                self.retreat(plan, b)?;
            }
        }
        Ok(())
    }

    /// Adds message `b` to the state.
    fn message(&mut self, plan: &Plan, b: usize) -> Result<()> {
        let started = Instant::now();
        let mut state = std::mem::take(&mut self.states[b]);
        let done = self
            .messages(plan, b, (&mut state, layers::STATE), |span, pairs, out, borrowed| {
                V::run(Forward { span, pairs, out, borrowed });
            })
            .and_then(|()| self.give_back(plan, &mut state, layers::STATE));
        self.states[b] = state;
        self.seconds.messages[0] += started.elapsed().as_secs_f64();
        done
    }

    /// What message `b` gives in reverse: gradients of its pairs, and adjoints of what atoms sent.
    fn message_in_reverse(&mut self, plan: &Plan, b: usize) -> Result<()> {
        let started = Instant::now();
        let width = layers::received_width(self.sender());
        let (bar, mut received) =
            (std::mem::take(&mut self.bar), std::mem::take(&mut self.received));
        let out = (&mut *received, width);
        let mut done = self.messages(plan, b, out, |span, pairs, out, borrowed| {
            if span.channel == 0 && b > 0 {
                out.fill(0.0);
            }
            V::run(Reverse { span, pairs, bar: &bar, out, borrowed });
        });
        // The first message gives atoms nothing: what it sends follows from the species.
        if b > 0 {
            done = done.and_then(|()| self.give_back(plan, &mut received, width));
        }
        (self.bar, self.received) = (bar, received);
        self.seconds.messages[1] += started.elapsed().as_secs_f64();
        done
    }

    /// After the last message: [`Turn`].
    fn turn(&mut self, plan: &Plan, b: usize) -> Result<()> {
        let started = Instant::now();
        let rows = plan.block_rows * padded(&self.student.model);
        let kept = rows * layers::kept_width(&self.student.model);
        let (network, block_rows) = (&self.student.network, plan.block_rows);
        let parts = self
            .blocks
            .iter_mut()
            .zip(self.states[b].chunks_exact(rows * layers::STATE))
            .zip(self.kept[b].chunks_exact_mut(kept))
            .zip(self.bar.chunks_exact_mut(rows * layers::STATE));
        let done = each(self.pool.as_deref(), parts, |(((block, state), saved), bar)| {
            let Block { sums: Sums { energies, .. }, bounds, work, .. } = block;
            V::run(Turn { network, block_rows, state, saved, bounds, energies, bar, work });
            Ok(())
        });
        self.seconds.atoms += started.elapsed().as_secs_f64();
        done
    }

    /// After message `b`, up to the next one: [`Advance`].
    fn advance(&mut self, plan: &Plan, b: usize) -> Result<()> {
        let started = Instant::now();
        let rows = plan.block_rows * padded(&self.student.model);
        let kept = rows * layers::kept_width(&self.student.model);
        let width = layers::feature_width(self.sender());
        let (network, block_rows) = (&self.student.network, plan.block_rows);
        let (state, next_state) = self.states.split_at_mut(b + 1);
        let (saved, next_saved) = self.kept.split_at_mut(b + 1);
        let parts = self
            .blocks
            .iter_mut()
            .zip(state[b].chunks_exact(rows * layers::STATE))
            .zip(saved[b].chunks_exact_mut(kept))
            .zip(next_saved[0].chunks_exact_mut(kept))
            .zip(next_state[0].chunks_exact_mut(rows * layers::STATE))
            .zip(self.features[b + 1].chunks_exact_mut(rows * width));
        let done = each(
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
        );
        self.seconds.atoms += started.elapsed().as_secs_f64();
        done
    }

    /// From message `b` in reverse to the one before: [`Retreat`].
    fn retreat(&mut self, plan: &Plan, b: usize) -> Result<()> {
        let started = Instant::now();
        let rows = plan.block_rows * padded(&self.student.model);
        let kept = rows * layers::kept_width(&self.student.model);
        let features_width = layers::feature_width(self.sender());
        let received_width = layers::received_width(self.sender());
        let (network, block_rows) = (&self.student.network, plan.block_rows);
        let parts = self
            .blocks
            .iter_mut()
            .zip(self.features[b].chunks_exact(rows * features_width))
            .zip(self.received.chunks_exact(rows * received_width))
            .zip(self.states[b - 1].chunks_exact(rows * layers::STATE))
            .zip(self.kept[b - 1].chunks_exact(kept))
            .zip(self.kept[b].chunks_exact(kept))
            .zip(self.bar.chunks_exact_mut(rows * layers::STATE));
        let done = each(
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
        );
        self.seconds.atoms += started.elapsed().as_secs_f64();
        done
    }
}
