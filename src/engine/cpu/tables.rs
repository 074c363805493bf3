//! The filters as the pair kernels read them: for each channel group, for each interval, its
//! filters × [`TERMS`] coefficients × lanes.

use std::ops::Range;

use super::buffer::Buffer;
use super::pairs::ChunkPairs;
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

/// The table of a message: channel groups one after the other, those without vectors with the first
/// filter alone.
#[derive(Clone, Copy)]
pub struct TableLayout {
    channel_groups: usize,
    vector_groups: usize,
    intervals: usize,
    lanes: usize,
}

impl TableLayout {
    /// The layout of a table of a model with so many intervals.
    pub fn new<V: Vector>(model: &Model, intervals: usize) -> Self {
        let groups = |channels| padded(channels) / V::LANES;
        let (channel_groups, vector_groups) = (groups(model.hidden), groups(model.vectors));
        Self { channel_groups, vector_groups, intervals, lanes: V::LANES }
    }

    /// Filters of channel group `c`.
    fn filters(self, c: usize) -> usize {
        if c < self.vector_groups { 3 } else { 1 }
    }

    /// Where channel group `c` begins.
    fn start(self, c: usize) -> usize {
        let with = c.min(self.vector_groups);
        (3 * with + (c - with)) * self.intervals * TERMS * self.lanes
    }

    fn len(self) -> usize {
        self.start(self.channel_groups)
    }

    /// Where a channel's coefficients for a filter and an interval begin; one is `lanes` behind the
    /// one before.
    fn place(self, filter: usize, channel: usize, interval: usize) -> usize {
        let (c, lane) = (channel / self.lanes, channel % self.lanes);
        self.start(c) + (interval * self.filters(c) + filter) * TERMS * self.lanes + lane
    }

    /// Where these channel groups' parts are, and how many values each has.
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
    let layout = TableLayout::new::<V>(model, table.intervals);
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

/// The exact filters of the pairs of one chunk of atoms in message `b`, as a table with an interval
/// for each pair, whose polynomial is value + t · slope. `first` is the position of the chunk's
/// first atom.
pub fn exact<V: Vector>(
    model: &Model,
    b: usize,
    pairs: &ChunkPairs,
    positions: &[[f64; 3]],
    first: usize,
    table: &mut Buffer,
) -> Result<()> {
    let layout = TableLayout::new::<V>(model, pairs.list.len());
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
