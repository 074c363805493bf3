//! Slices of a chunk of atoms, whose intermediate values stay in the cache, and where their values
//! lie: in records ([`super::records`]), or in scratch, which holds for each channel group a vector
//! for each of [`SLICE`] rows.
#![allow(unsafe_code)]

use super::buffer::Buffer;
use super::dense::{Activations, ROWS};
use super::network::PackedNetwork;
use super::records::{Layout, Record};
use super::simd::{Vector, three};
use crate::error::Result;

/// Rows that are computed together, a multiple of [`ROWS`].
pub const SLICE: usize = 4 * ROWS;

/// Some rows of a chunk of atoms.
#[derive(Clone, Copy)]
pub struct Slice {
    /// First row of it in the chunk.
    pub first: usize,
    /// Rows of it, at most [`SLICE`].
    pub rows: usize,
    layout: Layout,
    /// Channel groups of the network.
    pub channel_groups: usize,
    /// How many of these, the first ones, have vectors.
    pub vector_groups: usize,
}

impl Slice {
    /// Cuts a chunk of atoms into slices.
    #[inline(always)]
    pub fn all(layout: Layout) -> impl Iterator<Item = Self> {
        let Layout { rows, channel_groups, vector_groups } = layout;
        (0..rows).step_by(SLICE).map(move |first| Self {
            first,
            rows: SLICE.min(rows - first),
            layout,
            channel_groups,
            vector_groups,
        })
    }

    /// Index of vector `k` in the record of a row and channel group.
    #[inline(always)]
    pub fn record<V: Vector>(self, record: Record, k: usize, row: usize, c: usize) -> usize {
        self.layout.at::<V>(record, k, self.first + row, c)
    }

    /// Vector `k` of the records of channels with vectors as rows of activations.
    #[inline(always)]
    pub fn column<V: Vector>(self, data: &[f32], record: Record, k: usize) -> Activations<'_> {
        let row = record.with * V::LANES;
        Activations::new(
            data,
            self.record::<V>(record, k, 0, 0),
            [self.layout.rows * row, row],
            [self.rows, self.vector_groups, V::LANES],
        )
    }

    /// Index in scratch: row and channel group `c`, counted through all segments.
    #[inline(always)]
    pub fn index<V: Vector>(self, row: usize, c: usize) -> usize {
        (c * SLICE + row) * V::LANES
    }

    /// A segment of scratch as rows of activations: `count` channel groups from `first` on.
    #[inline(always)]
    pub fn segment<V: Vector>(
        self,
        scratch: &[f32],
        first: usize,
        count: usize,
    ) -> Activations<'_> {
        Activations::new(
            scratch,
            self.index::<V>(0, first),
            [SLICE * V::LANES, V::LANES],
            [self.rows, count, V::LANES],
        )
    }

    /// Where the three runs of gates or of a sender row (`layers::runs`) begin in scratch, in
    /// channel groups.
    #[inline(always)]
    pub fn runs(self) -> [usize; 3] {
        [0, self.channel_groups, self.channel_groups + self.vector_groups]
    }

    /// Which of these runs channel group `c` of all of them belongs to, and which of its channel
    /// groups it is.
    #[inline(always)]
    pub fn run_of(self, c: usize) -> (usize, usize) {
        let [_, second, third] = self.runs();
        let run = usize::from(c >= second) + usize::from(c >= third);
        (run, c - self.runs()[run])
    }
}

/// Runs the body for each row and channel group of a slice, or each of those that have vectors. A
/// macro, since the body of a closure would be compiled without the instruction set.
macro_rules! each {
    ($slice:expr, |$row:ident, $c:ident| $body:block) => {
        each!($slice, $slice.channel_groups, |$row, $c| $body)
    };
    (vectors $slice:expr, |$row:ident, $c:ident| $body:block) => {
        each!($slice, $slice.vector_groups, |$row, $c| $body)
    };
    ($slice:expr, $count:expr, |$row:ident, $c:ident| $body:block) => {
        for $c in 0..$count {
            for $row in 0..$slice.rows $body
        }
    };
}
pub(super) use each;

/// The vector from `index` on.
#[inline(always)]
pub fn at<V: Vector>(data: &[f32], index: usize) -> V {
    let lanes = &data[index..index + V::LANES];
    // SAFETY: `LANES` values.
    unsafe { V::load(lanes.as_ptr()) }
}

/// Stores a vector from `index` on.
#[inline(always)]
pub fn put<V: Vector>(data: &mut [f32], index: usize, value: V) {
    let lanes = &mut data[index..index + V::LANES];
    // SAFETY: `LANES` values.
    unsafe { value.store(lanes.as_mut_ptr()) }
}

/// The three vectors from `index` on.
#[inline(always)]
pub fn at3<V: Vector>(data: &[f32], index: usize) -> [V; 3] {
    three!(|a| at(data, index + a * V::LANES))
}

/// Intermediate values of one slice of rows; of what it holds, nothing outlives a task.
#[derive(Default)]
pub struct Scratch {
    /// Lengths of vectors, or their adjoints.
    pub norm: Buffer,
    /// Values of a hidden layer, or their adjoints.
    pub hidden: Buffer,
    /// Scalars s of each row, or their adjoints s̄: one segment of all channels.
    pub s: Buffer,
    /// Vectors v of each row, or their adjoints v̄: three segments (x, y, z) of the channels with
    /// vectors.
    pub v: Buffer,
    /// Adjoints of gates, or of a sender row: [`Slice::runs`].
    pub gates: Buffer,
    /// Adjoints of V (three segments) and W (three segments).
    pub mixed: Buffer,
    /// Values and slopes of the readout's layers.
    pub head: Vec<[Buffer; 2]>,
}

impl Scratch {
    /// Scratch for `network`.
    pub fn new<V: Vector>(network: &PackedNetwork<V>) -> Result<Self> {
        let (channels, vectors) = (network.channels, network.vectors);
        let scratch = |channels: usize| Buffer::zeros(channels * SLICE);
        Ok(Self {
            norm: scratch(vectors)?,
            hidden: scratch(channels)?,
            s: scratch(channels)?,
            v: scratch(3 * vectors)?,
            gates: scratch(channels + 2 * vectors)?,
            mixed: scratch(6 * vectors)?,
            head: network
                .head
                .iter()
                .map(|layer| {
                    let len = SLICE * layer.width;
                    Ok([Buffer::zeros(len)?, Buffer::zeros(len)?])
                })
                .collect::<Result<_>>()?,
        })
    }

    /// Bytes allocated.
    pub fn memory(&self) -> usize {
        [&self.norm, &self.hidden, &self.s, &self.v, &self.gates, &self.mixed]
            .into_iter()
            .chain(self.head.iter().flatten())
            .map(Buffer::memory)
            .sum()
    }
}
