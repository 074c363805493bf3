//! How the kernels run for a list of a given size.

use super::arguments::{GROUP, SLICE};
use super::device::Limits;
use super::network::Network;
use super::student::Student;
use super::tables;
use crate::error::{Error, ErrorKind, Result};

/// Threads of a block in the messages: beside a table in shared memory, and without one.
pub const SHARED_THREADS: u32 = 512;
/// The same.
pub const THREADS: u32 = 128;

/// Bytes of a node of one slice of a table.
pub const NODE_BYTES: usize = 3 * SLICE * 2 * size_of::<f32>();

/// A tile of atoms: rows, rows that a thread computes at once, threads of a block.
#[derive(Clone, Copy)]
pub struct Tile {
    /// Of the kernels' names.
    pub suffix: &'static str,
    /// Atoms.
    pub rows: usize,
    bunch: usize,
    /// Of a block.
    pub threads: usize,
}

const MANY: Tile = Tile { suffix: "many", rows: 32, bunch: 8, threads: 128 };
const FEW: Tile = Tile { suffix: "few", rows: 4, bunch: 4, threads: 256 };

impl Tile {
    /// Bytes of shared memory, as `Tile` in `kernels/atoms.cuh` lays it out.
    pub fn shared(&self, network: &Network, channels: usize) -> usize {
        let stride = self.rows + 4;
        let parts = channels.max(self.threads * 4 * self.bunch / self.rows);
        (network.room + parts) * stride * size_of::<f32>()
    }
}

/// Refuses a network that the smallest tile of atoms cannot take through its layers.
pub fn check(network: &Network, channels: usize, limits: Limits) -> Result<()> {
    let needed = FEW.shared(network, channels);
    if needed <= limits.shared {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Unsupported,
        format!(
            "expected a model whose layers take at most the {} bytes of shared memory that a block of threads has on \
             this GPU, found one of {channels} channels that takes {needed}: use device cpu, or a newer GPU",
            limits.shared
        ),
    ))
}

/// How the kernels run for a list of this size.
#[derive(Clone, Copy)]
pub struct Shape {
    /// How many nodes of a slice of the table each multiprocessor keeps in its shared memory; 0: none, and
    /// the kernels go without.
    pub kept_nodes: usize,
    /// Parts of the slices that run side by side, each with gradients of its own.
    pub parts: usize,
    /// Of the atoms' own layers.
    pub tile: Tile,
}

impl Shape {
    /// For `active` atoms.
    pub fn of(student: &Student, active: usize) -> Self {
        let limits = student.device.limits();
        let slices = student.channels() / SLICE;
        // Atoms that keep all lanes of the GPU busy with one slice.
        let full = limits.processors * 2048 / GROUP;
        let tile = if active >= limits.processors * MANY.rows
            && MANY.shared(&student.network, student.channels()) <= limits.shared
        {
            MANY
        } else {
            FEW
        };
        Self {
            kept_nodes: if active >= full {
                (limits.shared / NODE_BYTES).min(tables::nodes(student.intervals))
            } else {
                0
            },
            parts: if active >= full { 1 } else { slices.min(full / active.max(1)).max(1) },
            tile,
        }
    }
}
