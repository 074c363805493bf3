//! The filters as the pair kernels read them: for each channel block, for each interval, three
//! filters × [`TERMS`] coefficients × lanes.

use super::buffer::Buffer;
use super::message::COEFFICIENTS;
use super::padded;
use super::pairs::BlockPairs;
use super::simd::Vector;
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

fn pack<V: Vector>(model: &Model, table: &FilterTable) -> Result<Buffer> {
    let h = model.hidden;
    let mut packed = Buffer::zeros(padded(model) * table.intervals * COEFFICIENTS)?;
    for (place, lanes) in packed.chunks_exact_mut(V::LANES).enumerate() {
        let (coefficient, rest) = (place % TERMS, place / TERMS);
        let (filter, rest) = (rest % 3, rest / 3);
        let (interval, c) = (rest % table.intervals, rest / table.intervals);
        for (lane, value) in lanes.iter_mut().enumerate() {
            let channel = c * V::LANES + lane;
            if channel < h {
                *value = table.coefficients(interval, filter * h + channel)[coefficient] as f32;
            }
        }
    }
    Ok(packed)
}

/// The exact filters of the pairs of one block of atoms in message `b`, as a table with an interval
/// for each pair, whose polynomial is value + t · slope. `first` is the position of the block's first
/// atom.
pub fn exact<V: Vector>(
    model: &Model,
    b: usize,
    pairs: &BlockPairs,
    positions: &[[f64; 3]],
    first: usize,
    table: &mut Buffer,
) -> Result<()> {
    let h = model.hidden;
    let count = pairs.list.len();
    table.resize(padded(model) * count * COEFFICIENTS)?;
    table.fill(0.0);
    let (mut value, mut slope) = (vec![0.0; 3 * h], vec![0.0; 3 * h]);
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
            for (output, (&value, &slope)) in value.iter().zip(&slope).enumerate() {
                let (filter, channel) = (output / h, output % h);
                let (c, lane) = (channel / V::LANES, channel % V::LANES);
                let place = ((c * count + k) * 3 + filter) * TERMS;
                table[place * V::LANES + lane] = value as f32;
                table[(place + 1) * V::LANES + lane] = slope as f32;
            }
        }
    }
    Ok(())
}
