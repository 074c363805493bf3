//! Feature rows between this engine's order of atoms and the caller's, on their way to ghosts that
//! are atoms of other ranks.

use std::time::Instant;

use super::buffer::Buffer;
use super::plan::Plan;
use super::simd::Vector;
use crate::engine::{Exchange, Rows};
use crate::error::Result;

/// Gives the ghosts in `records` (rows of all atoms, `width` vectors for each channel block) the
/// rows of their owners. `outbox` is scratch, `atoms` counts the caller's owned atoms and ghosts.
/// Returns the seconds that the caller took.
///
/// Outside, a row is a run for each vector of a record, whatever the instruction set. `runs` are
/// how many channels (padded) the first of them has, what is for scalars, and each of the others.
pub fn exchange<V: Vector>(
    plan: &Plan,
    atoms: usize,
    runs: [usize; 2],
    width: usize,
    records: &mut Buffer,
    outbox: &mut Buffer,
    exchange: &mut dyn Exchange,
) -> Result<f64> {
    let [channels, vectors] = runs;
    let row = channels + (width - 1) * vectors;
    let blocks = |k: usize| if k == 0 { channels / V::LANES } else { vectors / V::LANES };
    let parts = || (0..width).flat_map(|k| (0..blocks(k)).map(move |c| (k, c)));
    outbox.resize(atoms * row)?;
    let place = |record: usize, channel: usize, k: usize| {
        ((record + channel * plan.block_rows) * width + k) * V::LANES
    };
    for (&atom, &record) in plan.atoms.iter().zip(&plan.records).take(plan.active) {
        let leaving = &mut outbox[atom as usize * row..][..row];
        for ((k, c), lanes) in parts().zip(leaving.chunks_exact_mut(V::LANES)) {
            let from = place(record as usize, c, k);
            lanes.copy_from_slice(&records[from..from + V::LANES]);
        }
    }
    let started = Instant::now();
    exchange.forward(Rows::F32(outbox), row)?;
    let seconds = started.elapsed().as_secs_f64();
    for &[atom, target] in &plan.remote {
        let record = plan.record(target as usize, channels / V::LANES);
        let arrived = &outbox[atom as usize * row..][..row];
        for ((k, c), lanes) in parts().zip(arrived.chunks_exact(V::LANES)) {
            let to = place(record, c, k);
            records[to..to + V::LANES].copy_from_slice(lanes);
        }
    }
    Ok(seconds)
}
