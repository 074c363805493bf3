//! The filters as the message kernels read them: cubic B-splines, for each slice of channels, each
//! node from −1 on, three filters × 16 channels, control point and what the next one differs by.

use super::arguments::SLICE;
use super::spline::Spline;
use crate::engine::layers::padded;
use crate::engine::table::Interpolation;
use crate::error::Result;
use crate::memory::filled;
use crate::model::Model;

/// Nodes of a table with so many intervals.
pub fn nodes(intervals: usize) -> usize {
    intervals + 2
}

/// A table for each message, all with the number of intervals that is returned beside them.
pub fn interpolated(model: &Model) -> Result<(Vec<Vec<f32>>, usize)> {
    let intervals = Spline::shared_intervals(model)?;
    let pack = |block| pack(model, &Spline::with_intervals(model, block, intervals)?);
    Ok((model.blocks.iter().map(pack).collect::<Result<_>>()?, intervals))
}

fn pack(model: &Model, table: &Spline) -> Result<Vec<f32>> {
    let (h, nodes) = (model.hidden, nodes(table.intervals));
    let mut packed = filled(padded(h) * nodes * 3 * 2, 0.0_f32)?;
    for channel in 0..h {
        let (slice, lane) = (channel / SLICE, channel % SLICE);
        for filter in 0..3 {
            let points = table.control_points(filter * h + channel);
            for (node, pair) in points.windows(2).enumerate() {
                let at = (((slice * nodes + node) * 3 + filter) * SLICE + lane) * 2;
                packed[at] = pair[0] as f32;
                packed[at + 1] = (pair[1] - pair[0]) as f32;
            }
        }
    }
    Ok(packed)
}
