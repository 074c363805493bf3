//! How the kernels run for a list of a given size.

use super::arguments::{GROUP, SLICE};
use super::device::Limits;
use super::device_model::DeviceModel;
use super::network::DeviceNetwork;
use super::tables;
use crate::error::{Error, ErrorKind, Result};

/// Threads of a block in forward messages with a table in shared memory; 512 were slower on an
/// H200.
pub const FORWARD_THREADS: u32 = 768;
/// Threads of a block in reverse messages with a table in shared memory: their registers leave no
/// room for 640.
pub const REVERSE_THREADS: u32 = 512;
/// Threads of a block in messages without a table in shared memory.
pub const THREADS: u32 = 128;

/// Groups of lanes that share an atom's pairs in messages without a table in shared memory, as in
/// message.cuh.
pub const SHARES: usize = 32 / GROUP;

/// Bytes of a node of one slice of a table.
pub const NODE_BYTES: usize = 3 * SLICE * 2 * size_of::<f32>();

/// Rows that a thread computes at once, as in atoms.cuh.
const BUNCH: usize = 8;

/// Atoms that a block of threads takes through their own layers together.
#[derive(Clone, Copy)]
pub struct Tile {
    /// What ends the names of kernels for such tiles.
    pub suffix: &'static str,
    /// Atoms of a tile, a row each.
    pub rows: usize,
    /// Threads of the block that computes a tile.
    pub threads: usize,
    /// No fewer than these, where shared memory is short: below, a multiprocessor would idle.
    fewest: usize,
}

const MANY: Tile = Tile { suffix: "many", rows: 32, threads: 256, fewest: 128 };
const FEW: Tile = Tile { suffix: "few", rows: 8, threads: 512, fewest: 64 };

impl Tile {
    /// Bytes of shared memory, as `Tile` in `kernels/atoms.cuh` lays it out.
    pub fn shared(&self, network: &DeviceNetwork) -> usize {
        let inputs = network.room * (self.rows + 4);
        let parts = (self.threads + 1) * 4 * BUNCH;
        (inputs + parts) * size_of::<f32>()
    }

    /// With as many threads as leave room for their sums on this GPU; none where the fewest do not.
    fn fitting(self, network: &DeviceNetwork, limits: Limits) -> Option<Self> {
        std::iter::successors(Some(self), |tile| {
            (tile.threads > tile.fewest).then_some(Self { threads: tile.threads / 2, ..*tile })
        })
        .find(|tile| tile.shared(network) <= limits.shared)
    }
}

/// Refuses a network that the smallest tile of atoms cannot take through its layers.
pub fn check(network: &DeviceNetwork, channels: usize, limits: Limits) -> Result<()> {
    if FEW.fitting(network, limits).is_some() {
        return Ok(());
    }
    let needed = Tile { threads: FEW.fewest, ..FEW }.shared(network);
    Err(Error::new(
        ErrorKind::Unsupported,
        format!(
            "expected a model whose layers take at most the {} bytes of shared memory that a block \
             of threads has on this GPU, found one of {channels} channels that takes {needed}: use \
             device cpu, or a newer GPU",
            limits.shared
        ),
    ))
}

/// How the kernels run for a list of this size.
#[derive(Clone, Copy)]
pub struct Shape {
    /// How many nodes of a slice of the table each multiprocessor keeps in its shared memory; 0:
    /// none, and the kernels go without.
    pub kept_nodes: usize,
    /// Parts of the slices that run side by side, each with gradients of its own.
    pub parts: usize,
    /// Shape of the kernels of the atoms' own layers.
    pub tile: Tile,
}

impl Shape {
    /// The shape for a list of `active` atoms.
    pub fn of(student: &DeviceModel, active: usize) -> Self {
        let limits = student.device.limits();
        let slices = student.channels() / SLICE;
        // Atoms that keep all lanes of the GPU busy with one slice, eight lanes each.
        let full = limits.processors * 2048 / GROUP;
        let many = (active >= limits.processors * MANY.rows).then_some(MANY);
        let fitting = |tile: Tile| tile.fitting(&student.network, limits);
        let tile = many
            .and_then(fitting)
            .or_else(|| fitting(FEW))
            .expect("checked when the student was loaded");
        Self {
            kept_nodes: if active >= full {
                (limits.shared / NODE_BYTES).min(tables::nodes(student.intervals))
            } else {
                0
            },
            parts: if active >= full {
                1
            } else {
                slices.min(full / (SHARES * active.max(1))).max(1)
            },
            tile,
        }
    }
}
