//! Feature rows between this engine's order of atoms and the caller's, on their way to ghosts that
//! are atoms of other ranks.

use std::time::Instant;

use super::buffer::Buffer;
use super::plan::Plan;
use super::records::{Layout, Place, Record};
use super::simd::Vector;
use crate::engine::{Exchange, Rows};
use crate::error::Result;

/// Gives the ghosts in `records` (of all chunks of atoms) the rows of their owners. `outbox` is
/// scratch, `atoms` counts the caller's owned atoms and ghosts. Returns the seconds that the caller
/// took.
///
/// Outside, a row is a run for each vector of a record, whatever the instruction set: the first
/// one, which belongs to s, of all channels, the others of those that have vectors.
pub fn exchange<V: Vector>(
    plan: &Plan,
    atoms: usize,
    layout: Layout,
    record: Record,
    records: &mut Buffer,
    outbox: &mut Buffer,
    exchange: &mut dyn Exchange,
) -> Result<f64> {
    let groups = |k: usize| if k == 0 { layout.channel_groups } else { layout.vector_groups };
    let parts = || (0..record.with).flat_map(|k| (0..groups(k)).map(move |c| (k, c)));
    let row = parts().count() * V::LANES;
    outbox.resize(atoms * row)?;
    let index = |place: Place, k: usize, c: usize| {
        place.chunk() * layout.len::<V>(record) + layout.at::<V>(record, k, place.row(), c)
    };
    for (&atom, &place) in plan.atoms.iter().zip(&plan.places).take(plan.active) {
        let sent = &mut outbox[atom as usize * row..][..row];
        for ((k, c), lanes) in parts().zip(sent.chunks_exact_mut(V::LANES)) {
            lanes.copy_from_slice(&records[index(place, k, c)..][..V::LANES]);
        }
    }
    let started = Instant::now();
    exchange.forward(Rows::F32(outbox), row)?;
    let seconds = started.elapsed().as_secs_f64();
    for &[atom, target] in &plan.remote {
        let place = plan.place(target);
        let received = &outbox[atom as usize * row..][..row];
        for ((k, c), lanes) in parts().zip(received.chunks_exact(V::LANES)) {
            records[index(place, k, c)..][..V::LANES].copy_from_slice(lanes);
        }
    }
    Ok(seconds)
}
