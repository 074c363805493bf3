//! One computation, message by message: forward to the energies, in reverse to the gradients.

use std::ops::Range;
use std::time::Instant;

use super::atoms::{ForwardUpdate, LastUpdate, ReverseUpdate};
use super::buffer::Buffer;
use super::collect::Sums;
use super::message::{AddBorrowed, Forward, Reverse, Span};
use super::pairs::{ChunkPairs, Reach};
use super::plan::Plan;
use super::records::Record;
use super::scalars::GROUPS_AT_ONCE;
use super::simd::Vector;
use super::{Chunk, Cpu, each, halo, tables};
use crate::engine::{Exchange, FilterMode};
use crate::error::Result;

/// The channel groups that are computed at a time, of `count`: one of those with vectors, or
/// several of those without.
fn groups_in_turn(count: usize, vectors: usize) -> impl Iterator<Item = Range<usize>> {
    let with = (0..vectors).map(|channel| channel..channel + 1);
    let without = (vectors..count).step_by(GROUPS_AT_ONCE);
    with.chain(without.map(move |channel| channel..(channel + GROUPS_AT_ONCE).min(count)))
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
        let (list, positions) = (&self.list, &self.positions);
        let chunks = self.chunks.iter_mut().zip(&plan.chunks).enumerate();
        each(self.pool.as_deref(), chunks, |(index, (chunk, found))| {
            let first = index * plan.chunk_rows;
            chunk.pairs.update(list, plan, found, first, positions, reach)?;
            if self.student.filter == FilterMode::Exact {
                for (k, pair) in chunk.pairs.list.iter_mut().enumerate() {
                    (pair.interval, pair.t) = (k as u32, 0.0);
                }
            }
            Ok(())
        })
    }

    /// Runs a pair kernel of message `b` over all chunks of atoms. `out` holds records; the kernel
    /// gets a chunk's part of it, and the rows that the chunk borrows.
    ///
    /// Channel groups go outermost, so that their part of the table stays in the cache.
    fn messages(
        &mut self,
        plan: &Plan,
        b: usize,
        (out, record): (&mut [f32], Record),
        kernel: impl Fn(Span<'_>, &mut ChunkPairs, &mut [f32], &mut [f32]) + Sync,
    ) -> Result<()> {
        let layout = self.student.network.layout(plan.chunk_rows);
        let (count, vectors) = (layout.channel_groups, layout.vector_groups);
        let part = layout.len::<V>(record);
        let sender = self.student.model.blocks[b].sender.is_some();
        let threads = self.pool.as_deref().map_or(1, rayon::ThreadPool::current_num_threads);
        // With exact filters each chunk brings its own table, too large to keep several.
        let at_once = match self.student.filter {
            FilterMode::Exact => 1,
            FilterMode::Table if threads == 1 => self.chunks.len().max(1),
            FilterMode::Table => (self.chunks.len() / (4 * threads)).max(1),
        };
        let parts = out.chunks_exact_mut(part);
        let mut items: Vec<_> = self.chunks.iter_mut().zip(parts).enumerate().collect();
        let (model, made, positions) = (&self.student.model, &self.student.tables, &self.positions);
        let (intervals, features) = (self.student.intervals, &self.features[b]);
        each(self.pool.as_deref(), items.chunks_mut(at_once), |chunks| {
            for channels in groups_in_turn(count, vectors) {
                let channel = channels.start;
                for (index, (chunk, out)) in chunks.iter_mut() {
                    let first = *index * plan.chunk_rows;
                    let (table, intervals) = match made.get(b) {
                        Some(table) => (&**table, intervals),
                        None => {
                            if channel == 0 {
                                tables::exact::<V>(
                                    model,
                                    b,
                                    &chunk.pairs,
                                    positions,
                                    first,
                                    &mut chunk.exact,
                                )?;
                            }
                            (&*chunk.exact, chunk.pairs.list.len())
                        }
                    };
                    let tables = tables::TableLayout::new::<V>(model, intervals);
                    let (part, table_stride) = tables.part(channels.clone());
                    let span = Span {
                        table: &table[part],
                        table_stride,
                        features,
                        layout,
                        chunk: *index,
                        channel,
                        groups_at_once: channels.len(),
                        sender,
                        initial: b == 0,
                        borrowed: plan.chunks[*index].borrowed.len(),
                    };
                    kernel(span, &mut chunk.pairs, out, &mut chunk.borrowed);
                }
            }
            // Exact filters are large, and of no use to another message.
            chunks.iter_mut().for_each(|(_, (chunk, _))| chunk.exact = Buffer::default());
            Ok(())
        })
    }

    /// Adds what chunks computed for rows that they borrowed to these rows' records in `out`.
    fn add_borrowed(&self, plan: &Plan, out: &mut [f32], record: Record) -> Result<()> {
        let layout = self.student.network.layout(plan.chunk_rows);
        let parts = out.chunks_exact_mut(layout.len::<V>(record)).zip(&plan.chunks).enumerate();
        each(self.pool.as_deref(), parts, |(index, (out, found))| {
            for (other, range) in &found.lent_rows {
                let rows = &plan.chunks[*other].borrowed;
                V::run(AddBorrowed {
                    out,
                    record,
                    layout,
                    rows: &rows[range.clone()],
                    first: index * plan.chunk_rows,
                    borrowed: (&self.chunks[*other].borrowed, rows.len()),
                    start: range.start,
                });
            }
            Ok(())
        })
    }

    /// Sends records to the ghosts that other ranks' atoms are, if there are other ranks.
    fn exchange(
        &mut self,
        plan: &Plan,
        record: Record,
        records: &mut Buffer,
        exchange: &mut Option<&mut dyn Exchange>,
    ) -> Result<()> {
        let Some(exchange) = exchange.as_deref_mut() else { return Ok(()) };
        let started = Instant::now();
        let atoms = self.list.owned + self.list.ghosts;
        let layout = self.student.network.layout(plan.chunk_rows);
        let outbox = &mut self.outbox;
        let called = halo::exchange::<V>(plan, atoms, layout, record, records, outbox, exchange)?;
        self.seconds.exchange += called;
        self.seconds.rest += started.elapsed().as_secs_f64() - called;
        Ok(())
    }

    /// s of each atom, v = 0, in the state that the first message adds to.
    fn initial_state(&mut self, plan: &Plan) {
        let layout = self.student.network.layout(plan.chunk_rows);
        let state = &mut self.states[0];
        state.fill(0.0);
        for (&atom, place) in plan.atoms.iter().zip(&plan.places).take(plan.active) {
            let number = usize::from(self.list.species[atom as usize]);
            let Some([s, _]) = &self.student.species[number] else { continue };
            let state = &mut state[place.chunk() * layout.len::<V>(Record::STATE)..];
            for c in 0..layout.channel_groups {
                let to = layout.at::<V>(Record::STATE, 0, place.row(), c);
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
                self.last_update(plan, b)?;
            } else {
                self.forward_update(plan, b)?;
                let [sent, ..] = self.records();
                let mut features = std::mem::take(&mut self.features[b + 1]);
                let done = self.exchange(plan, sent, &mut features, exchange);
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
            let done = self.exchange(plan, Record::STATE, &mut bar, exchange);
            self.bar = bar;
            done?;
            self.message_in_reverse(plan, b)?;
            if b > 0 {
                self.reverse_update(plan, b)?;
            }
        }
        Ok(())
    }

    /// Adds message `b` to the state.
    fn message(&mut self, plan: &Plan, b: usize) -> Result<()> {
        let started = Instant::now();
        let mut state = std::mem::take(&mut self.states[b]);
        let done = self
            .messages(plan, b, (&mut state, Record::STATE), |span, pairs, out, borrowed| {
                V::run(Forward { span, pairs, out, borrowed });
            })
            .and_then(|()| self.add_borrowed(plan, &mut state, Record::STATE));
        self.states[b] = state;
        self.seconds.messages[0] += started.elapsed().as_secs_f64();
        done
    }

    /// What message `b` gives in reverse: gradients of its pairs, and adjoints of what atoms sent.
    fn message_in_reverse(&mut self, plan: &Plan, b: usize) -> Result<()> {
        let started = Instant::now();
        let [_, back, _] = self.records();
        let (bar, mut received) =
            (std::mem::take(&mut self.bar), std::mem::take(&mut self.received));
        let out = (&mut *received, back);
        let mut done = self.messages(plan, b, out, |span, pairs, out, borrowed| {
            if span.channel == 0 && b > 0 {
                out.fill(0.0);
            }
            V::run(Reverse { span, pairs, bar: &bar, out, borrowed });
        });
        // The first message gives atoms nothing: what it sends follows from the species.
        if b > 0 {
            done = done.and_then(|()| self.add_borrowed(plan, &mut received, back));
        }
        (self.bar, self.received) = (bar, received);
        self.seconds.messages[1] += started.elapsed().as_secs_f64();
        done
    }

    /// After the last message: [`LastUpdate`].
    fn last_update(&mut self, plan: &Plan, b: usize) -> Result<()> {
        let started = Instant::now();
        let layout = self.student.network.layout(plan.chunk_rows);
        let [_, _, kept] = self.records().map(|record| layout.len::<V>(record));
        let state_len = layout.len::<V>(Record::STATE);
        let network = &self.student.network;
        let parts = self
            .chunks
            .iter_mut()
            .zip(self.states[b].chunks_exact(state_len))
            .zip(self.kept[b].chunks_exact_mut(kept))
            .zip(self.bar.chunks_exact_mut(state_len));
        let done = each(self.pool.as_deref(), parts, |(((chunk, state), saved), bar)| {
            let Chunk { sums: Sums { energies, .. }, bounds, scratch, .. } = chunk;
            V::run(LastUpdate { network, layout, state, saved, bounds, energies, bar, scratch });
            Ok(())
        });
        self.seconds.atoms += started.elapsed().as_secs_f64();
        done
    }

    /// After message `b`, up to the next one: [`ForwardUpdate`].
    fn forward_update(&mut self, plan: &Plan, b: usize) -> Result<()> {
        let started = Instant::now();
        let layout = self.student.network.layout(plan.chunk_rows);
        let [sent, _, kept] = self.records().map(|record| layout.len::<V>(record));
        let state_len = layout.len::<V>(Record::STATE);
        let network = &self.student.network;
        let (state, next_state) = self.states.split_at_mut(b + 1);
        let (saved, next_saved) = self.kept.split_at_mut(b + 1);
        let parts = self
            .chunks
            .iter_mut()
            .zip(state[b].chunks_exact(state_len))
            .zip(saved[b].chunks_exact_mut(kept))
            .zip(next_saved[0].chunks_exact_mut(kept))
            .zip(next_state[0].chunks_exact_mut(state_len))
            .zip(self.features[b + 1].chunks_exact_mut(sent));
        let done = each(
            self.pool.as_deref(),
            parts,
            |(((((chunk, state), saved), next_saved), next_state), next_features)| {
                V::run(ForwardUpdate {
                    network,
                    block: b,
                    layout,
                    state,
                    saved: [saved, next_saved],
                    next_state,
                    next_features,
                    scratch: &mut chunk.scratch,
                });
                Ok(())
            },
        );
        self.seconds.atoms += started.elapsed().as_secs_f64();
        done
    }

    /// From message `b` in reverse to the one before: [`ReverseUpdate`].
    fn reverse_update(&mut self, plan: &Plan, b: usize) -> Result<()> {
        let started = Instant::now();
        let layout = self.student.network.layout(plan.chunk_rows);
        let [sent, back, kept] = self.records().map(|record| layout.len::<V>(record));
        let state_len = layout.len::<V>(Record::STATE);
        let network = &self.student.network;
        let parts = self
            .chunks
            .iter_mut()
            .zip(self.features[b].chunks_exact(sent))
            .zip(self.received.chunks_exact(back))
            .zip(self.states[b - 1].chunks_exact(state_len))
            .zip(self.kept[b - 1].chunks_exact(kept))
            .zip(self.kept[b].chunks_exact(kept))
            .zip(self.bar.chunks_exact_mut(state_len));
        let done = each(
            self.pool.as_deref(),
            parts,
            |((((((chunk, features), received), state), saved), sender_saved), bar)| {
                V::run(ReverseUpdate {
                    network,
                    block: b,
                    layout,
                    features,
                    received,
                    state,
                    saved: [saved, sender_saved],
                    bar,
                    scratch: &mut chunk.scratch,
                });
                Ok(())
            },
        );
        self.seconds.atoms += started.elapsed().as_secs_f64();
        done
    }
}
