//! The filters as the pair kernels read them: for each channel block, for each interval, its
//! filters × [`TERMS`] coefficients × lanes.

use std::ops::Range;

use super::buffer::Buffer;
use super::pairs::BlockPairs;
use super::simd::Vector;
use crate::engine::layers::{padded, runs};
use crate::engine::pair;
use crate::engine::table::{FilterTable, Interpolation, TERMS};
use crate::error::Result;
use crate::model::Model;

/// A table for each message, all with the number of intervals that is returned beside them.
pub fn interpolated<V: Vector>(model: &Model) -> Result<(Vec<Buffer>, usize)> {
    let intervals = FilterTable::shared_intervals(model)?;
    let pack = |block| pack::<V>(model, &FilterTable::with_intervals(model, block, intervals)?);
    Ok((model.blocks.iter().map(pack).collect::<Result<_>>()?, intervals))
}

/// The table of a message: channel blocks one after the other, those without vectors with the first
/// filter alone.
#[derive(Clone, Copy)]
pub struct Layout {
    channel_blocks: usize,
    vector_blocks: usize,
    intervals: usize,
    lanes: usize,
}

impl Layout {
    /// Of a model's tables.
    pub fn new<V: Vector>(model: &Model, intervals: usize) -> Self {
        let blocks = |channels| padded(channels) / V::LANES;
        let (channel_blocks, vector_blocks) = (blocks(model.hidden), blocks(model.vectors));
        Self { channel_blocks, vector_blocks, intervals, lanes: V::LANES }
    }

    /// Filters of channel block `c`.
    fn filters(self, c: usize) -> usize {
        if c < self.vector_blocks { 3 } else { 1 }
    }

    /// Where channel block `c` begins.
    fn start(self, c: usize) -> usize {
        let with = c.min(self.vector_blocks);
        (3 * with + (c - with)) * self.intervals * TERMS * self.lanes
    }

    fn len(self) -> usize {
        self.start(self.channel_blocks)
    }

    /// Where a channel's coefficients for a filter and an interval begin; one is `lanes` behind the
    /// one before.
    fn place(self, filter: usize, channel: usize, interval: usize) -> usize {
        let (c, lane) = (channel / self.lanes, channel % self.lanes);
        self.start(c) + (interval * self.filters(c) + filter) * TERMS * self.lanes + lane
    }

    /// Where these channel blocks' parts are, and how many values each has.
    pub fn part(self, channels: Range<usize>) -> (Range<usize>, usize) {
        let first = self.start(channels.start);
        (first..self.start(channels.end), self.start(channels.start + 1) - first)
    }
}

/// Every filter and channel, in the order of a filter's outputs.
fn outputs(model: &Model) -> impl Iterator<Item = (usize, usize)> {
    let runs = runs(model).into_iter().enumerate();
    runs.flat_map(|(filter, run)| (0..run).map(move |channel| (filter, channel)))
}

fn pack<V: Vector>(model: &Model, table: &FilterTable) -> Result<Buffer> {
    let layout = Layout::new::<V>(model, table.intervals);
    let mut packed = Buffer::zeros(layout.len())?;
    for interval in 0..table.intervals {
        for (output, (filter, channel)) in outputs(model).enumerate() {
            let to = packed[layout.place(filter, channel, interval)..].iter_mut();
            let coefficients = table.coefficients(interval, output);
            for (to, coefficient) in to.step_by(V::LANES).zip(coefficients) {
                *to = coefficient as f32;
            }
        }
    }
    Ok(packed)
}

/// The exact filters of the pairs of one block of atoms in message `b`, as a table with an interval
/// for each pair, whose polynomial is value + t · slope. `first` is the position of the block's
/// first atom.
pub fn exact<V: Vector>(
    model: &Model,
    b: usize,
    pairs: &BlockPairs,
    positions: &[[f64; 3]],
    first: usize,
    table: &mut Buffer,
) -> Result<()> {
    let layout = Layout::new::<V>(model, pairs.list.len());
    table.resize(layout.len())?;
    table.fill(0.0);
    let outputs: Vec<_> = outputs(model).collect();
    let (mut value, mut slope) = (vec![0.0; outputs.len()], vec![0.0; outputs.len()]);
    let mut close = pairs.close.iter().peekable();
    for (i, &[start, .., end]) in pairs.bounds.iter().enumerate() {
        for k in start as usize..end as usize {
            let neighbor = pairs.neighbors[k] as usize;
            let d = match close.next_if(|close| close.pair as usize == k) {
                Some(close) => close.seen.distance,
                None => pair::distance(&positions[first + i], &positions[neighbor]).1,
            };
            let filter = &model.blocks[b].filter;
            filter.evaluate(model, d, &mut value, &mut slope);
            for (&(filter, channel), (&value, &slope)) in
                outputs.iter().zip(value.iter().zip(&slope))
            {
                let place = layout.place(filter, channel, k);
                table[place] = value as f32;
                table[place + V::LANES] = slope as f32;
            }
        }
    }
    Ok(())
}
