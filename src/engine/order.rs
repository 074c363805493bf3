//! The order of atoms in which neighbors in space are near each other in memory.

use super::Topology;
use crate::error::Result;
use crate::memory::collected;

/// The owned atoms that are part of the model, along a curve through space.
pub fn in_space(topology: &Topology, positions: &[[f64; 3]]) -> Result<Vec<u32>> {
    let mut order: Vec<(u64, u32)> = Vec::new();
    order.try_reserve_exact(topology.owned)?;
    order.extend(
        (0..topology.owned)
            .filter(|&i| topology.species[i] > 0)
            .map(|i| (morton(&positions[i]), i as u32)),
    );
    order.sort_unstable();
    collected(order.into_iter().map(|(_, atom)| atom))
}

/// The place of a position along a Morton curve with steps of 1 Å.
fn morton(position: &[f64; 3]) -> u64 {
    // 21 bits for each axis, zero in the middle.
    let spread = |x: f64| {
        let mut x = (x + f64::from(1 << 20)).clamp(0.0, f64::from((1 << 21) - 1)) as u64;
        for (shift, mask) in [
            (32, 0x001f_0000_0000_ffff),
            (16, 0x001f_0000_ff00_00ff),
            (8, 0x100f_00f0_0f00_f00f),
            (4, 0x10c3_0c30_c30c_30c3),
            (2, 0x1249_2492_4924_9249),
        ] {
            x = (x | x << shift) & mask;
        }
        x
    };
    spread(position[0]) | spread(position[1]) << 1 | spread(position[2]) << 2
}
