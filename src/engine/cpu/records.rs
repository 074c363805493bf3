//! Where values of atoms and channels lie: arrays hold, for each chunk of atoms, for each channel
//! group, for each row (atom) a *record* of some vectors of channels. Channels without vectors have
//! shorter records, of what belongs to s alone.

use super::dense::ROWS;
use super::plan::MOST;
use super::simd::Vector;
use crate::engine::layers::{PAINN_KEPT, PUBLISHED_KEPT, STATE, feature_width, received_width};

/// How many vectors of channels records have.
#[derive(Clone, Copy)]
pub struct Record {
    /// Vectors of a record whose channels have vectors v.
    pub with: usize,
    /// Vectors of a record whose channels have scalars s alone.
    pub without: usize,
}

impl Record {
    /// The record of the state, and of its adjoint: s, v.
    pub const STATE: Self = Self { with: STATE, without: 1 };

    /// The record of what an atom sends: x¹, x², x³, v from a sender, else s, v.
    pub const fn features(sender: bool) -> Self {
        Self { with: feature_width(sender), without: 1 }
    }

    /// The record of what a message in reverse gives: x̄¹, Σ φ² v̄ and, from a sender, x̄³.
    pub const fn received(sender: bool) -> Self {
        Self { with: received_width(sender), without: 1 }
    }

    /// The record of what an update of `published` keeps from forward to reverse.
    pub const PUBLISHED_KEPT: Self = Self { with: PUBLISHED_KEPT, without: 1 };

    /// The record of what an update of `painn` keeps, and the sender behind it: silu' of either
    /// alone where channels have no vectors.
    pub const PAINN_KEPT: Self = Self { with: PAINN_KEPT, without: 2 };

    /// What an update keeps: `PAINN_KEPT` where senders have rows of their own, else
    /// `PUBLISHED_KEPT`.
    pub const fn kept(sender: bool) -> Self {
        if sender { Self::PAINN_KEPT } else { Self::PUBLISHED_KEPT }
    }

    /// Vectors of the record of a channel that has vectors v, or has none.
    #[inline(always)]
    fn width(self, has_vectors: bool) -> usize {
        if has_vectors { self.with } else { self.without }
    }
}

/// A row of a chunk of atoms, in one word: pairs are many.
#[derive(Clone, Copy, Default)]
pub struct Place(u32);

impl Place {
    /// Enough for the rows of a chunk. The other bits count chunks: a million, of 2,000 atoms each,
    /// as many as the callers' numbers of 32 bits.
    const ROW_BITS: u32 = 12;

    /// This row of all, of chunks of so many.
    pub fn new(row: u32, chunk_rows: usize) -> Self {
        let rows = chunk_rows as u32;
        Self((row / rows) << Self::ROW_BITS | (row % rows))
    }

    /// The chunk of atoms.
    #[inline(always)]
    pub fn chunk(self) -> usize {
        (self.0 >> Self::ROW_BITS) as usize
    }

    /// The row in the chunk.
    #[inline(always)]
    pub fn row(self) -> usize {
        (self.0 & ((1 << Self::ROW_BITS) - 1)) as usize
    }
}

const _: () = assert!(MOST + ROWS <= 1 << Place::ROW_BITS);

/// How the records of a chunk of atoms lie in an array: its sizes.
#[derive(Clone, Copy)]
pub struct Layout {
    /// Rows of the chunk.
    pub rows: usize,
    /// Channel groups, those with and those without vectors.
    pub channel_groups: usize,
    /// Those of them, the first ones, whose channels have vectors.
    pub vector_groups: usize,
}

impl Layout {
    /// Whether the channels of channel group `c` have vectors.
    #[inline(always)]
    pub fn has_vectors(self, c: usize) -> bool {
        c < self.vector_groups
    }

    /// Values of a record in channel group `c`.
    #[inline(always)]
    pub fn record<V: Vector>(self, record: Record, c: usize) -> usize {
        record.width(self.has_vectors(c)) * V::LANES
    }

    /// Index of the first record of channel group `c`.
    #[inline(always)]
    pub fn start<V: Vector>(self, record: Record, c: usize) -> usize {
        let with = c.min(self.vector_groups);
        (record.with * with + record.without * (c - with)) * self.rows * V::LANES
    }

    /// Values of the chunk.
    #[inline(always)]
    pub fn len<V: Vector>(self, record: Record) -> usize {
        self.start::<V>(record, self.channel_groups)
    }

    /// Index of vector `k` of the record of a row and channel group.
    #[inline(always)]
    pub fn at<V: Vector>(self, record: Record, k: usize, row: usize, c: usize) -> usize {
        self.start::<V>(record, c) + row * self.record::<V>(record, c) + k * V::LANES
    }
}
