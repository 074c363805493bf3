//! What atoms do on their own: updates, senders and readout, forward and reverse, for one block of
//! atoms. Formulas as in `engine::reference`.
//!
//! Arrays of a block hold, for each channel block, for each row, K vectors of `V::LANES` channels.
//! Work goes in slices of [`SLICE`] rows, whose intermediate values stay in the cache.
#![allow(unsafe_code)]

use super::buffer::Buffer;
use super::dense::{Packed, ROWS, Rows, dense};
use super::message::{Reverse, STATE, Span};
use super::network::{Network, PackedUpdate};
use super::simd::{Task, Vector, dot, three};
use crate::error::Result;
use crate::model::{Model, Norm, Update};

/// Rows that are computed together, a multiple of [`ROWS`].
const SLICE: usize = 4 * ROWS;

/// Values kept from forward to reverse are records, too. Both families begin with silu' of the
/// update and two gates; `painn` goes on with V, W and silu' of the sender.
const SLOPE: usize = 0;
const GATES: [usize; 2] = [1, 2];
const PUBLISHED_KEPT: usize = 3;
const LEFT: usize = 3;
const RIGHT: usize = 6;
const SENDER_SLOPE: usize = 9;
const PAINN_KEPT: usize = 10;

/// Vectors of `published` that are shorter count as zero.
const ROUNDING: f32 = 2e-6;

/// Vectors in a record of kept values.
pub fn kept_width(model: &Model) -> usize {
    match model.blocks[0].update {
        Update::Published { .. } => PUBLISHED_KEPT,
        Update::Painn { .. } => PAINN_KEPT,
    }
}

/// Intermediate values of one slice of rows; of what it holds, nothing outlives a task.
#[derive(Default)]
pub struct Work {
    norm: Buffer,
    hidden: Buffer,
    /// s, or s̄.
    s: Buffer,
    /// v, or v̄: three segments.
    v: Buffer,
    /// Adjoints of three segments of gates, or of a sender row.
    gates: Buffer,
    /// Adjoints of V (three segments) and W (three segments).
    mixed: Buffer,
    /// Values and slopes of the readout's layers.
    head: Vec<[Buffer; 2]>,
}

impl Work {
    /// Scratch for `network`.
    pub fn new<V: Vector>(network: &Network<V>) -> Result<Self> {
        let segments = |count: usize| Buffer::zeros(count * SLICE * network.channels);
        Ok(Self {
            norm: segments(1)?,
            hidden: segments(1)?,
            s: segments(1)?,
            v: segments(3)?,
            gates: segments(3)?,
            mixed: segments(6)?,
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

#[inline(always)]
fn at<V: Vector>(data: &[f32], index: usize) -> V {
    let lanes = &data[index..index + V::LANES];
    // SAFETY: `LANES` values.
    unsafe { V::load(lanes.as_ptr()) }
}

#[inline(always)]
fn put<V: Vector>(data: &mut [f32], index: usize, value: V) {
    let lanes = &mut data[index..index + V::LANES];
    // SAFETY: `LANES` values.
    unsafe { value.store(lanes.as_mut_ptr()) }
}

/// The three vectors from `index` on.
#[inline(always)]
fn at3<V: Vector>(data: &[f32], index: usize) -> [V; 3] {
    three!(|a| at(data, index + a * V::LANES))
}

/// silu(z) and its slope.
#[inline(always)]
fn silu<V: Vector>(z: V) -> (V, V) {
    let one = V::splat(1.0);
    let sigmoid = z.sigmoid();
    let slope = sigmoid.mul(z.mul_add(one.sub(sigmoid), one));
    (z.mul(sigmoid), slope)
}

/// As `Norm::at`: n from x², and the root that V is divided by to give ∂n/∂V.
#[inline(always)]
fn length<V: Vector>(norm: Norm, square: V) -> (V, V) {
    let root = square.add(V::splat(norm.under_root() as f32)).sqrt();
    match norm {
        Norm::Root { .. } => (root, root),
        Norm::Shifted { epsilon } => (square.div(root.add(V::splat(epsilon as f32))), root),
    }
}

/// M v, or Mᵀ v.
#[inline(always)]
fn multiply<V: Vector>(m: &[f32; 9], v: [V; 3], transposed: bool) -> [V; 3] {
    let (row, col) = if transposed { (1, 3) } else { (3, 1) };
    three!(|a| {
        let [m0, m1, m2] = three!(|b| V::splat(m[row * a + col * b]));
        v[2].mul_add(m2, v[1].mul_add(m1, v[0].mul(m0)))
    })
}

/// Some rows of a block of atoms.
#[derive(Clone, Copy)]
struct Slice {
    first: usize,
    rows: usize,
    block_rows: usize,
    channel_blocks: usize,
}

impl Slice {
    /// Cuts a block of atoms into slices.
    #[inline(always)]
    fn all<V: Vector>(network: &Network<V>, block_rows: usize) -> impl Iterator<Item = Self> {
        let channel_blocks = network.channels / V::LANES;
        (0..block_rows).step_by(SLICE).map(move |first| Self {
            first,
            rows: SLICE.min(block_rows - first),
            block_rows,
            channel_blocks,
        })
    }

    /// Index of vector `k` in the record of a row and channel block, `width` vectors each.
    #[inline(always)]
    fn record<V: Vector>(self, width: usize, k: usize, row: usize, c: usize) -> usize {
        ((c * self.block_rows + self.first + row) * width + k) * V::LANES
    }

    /// Vector `k` of each record as rows of activations.
    #[inline(always)]
    fn column<V: Vector>(self, data: &[f32], width: usize, k: usize) -> Rows<'_> {
        Rows::new(
            data,
            self.record::<V>(width, k, 0, 0),
            [self.block_rows * width * V::LANES, width * V::LANES],
            [self.rows, self.channel_blocks, V::LANES],
        )
    }

    /// Index in scratch: row and channel block `c`, counted through all segments.
    #[inline(always)]
    fn scratch<V: Vector>(self, row: usize, c: usize) -> usize {
        (c * SLICE + row) * V::LANES
    }

    /// A segment of scratch as rows of activations, of `channel_blocks` channel blocks.
    #[inline(always)]
    fn rows<V: Vector>(self, scratch: &[f32], segment: usize, channel_blocks: usize) -> Rows<'_> {
        Rows::new(
            scratch,
            self.scratch::<V>(0, segment * channel_blocks),
            [SLICE * V::LANES, V::LANES],
            [self.rows, channel_blocks, V::LANES],
        )
    }

    #[inline(always)]
    fn segment<V: Vector>(self, scratch: &[f32], segment: usize) -> Rows<'_> {
        self.rows::<V>(scratch, segment, self.channel_blocks)
    }
}

/// Runs the body for each row and channel block of a slice. A macro, since the body of a closure
/// would be compiled without the instruction set.
macro_rules! each {
    ($slice:expr, |$row:ident, $c:ident| $body:block) => {
        for $c in 0..$slice.channel_blocks {
            for $row in 0..$slice.rows $body
        }
    };
}

impl<V: Vector> Network<V> {
    /// The update of block `block`: from `state` to `work.s` and, but for the last, `work.v`.
    #[inline(always)]
    fn update(
        &self,
        block: usize,
        slice: Slice,
        state: &[f32],
        saved: &mut [f32],
        work: &mut Work,
    ) {
        let count = slice.channel_blocks;
        let last = block + 1 == self.blocks.len();
        let (mlp, kept) = match &self.blocks[block].update {
            PackedUpdate::Published { mlp, .. } => {
                each!(slice, |row, c| {
                    let v: [V; 3] = at3(state, slice.record::<V>(STATE, 1, row, c));
                    put(&mut work.norm, slice.scratch::<V>(row, c), dot(v, v).sqrt());
                });
                (mlp, PUBLISHED_KEPT)
            }
            PackedUpdate::Painn { mix, mlp, norm, .. } => {
                for a in 0..3 {
                    let v = slice.column::<V>(state, STATE, 1 + a);
                    dense!(mix, &[v], slice.rows, |row, vector, y| {
                        let (k, c) =
                            if vector < count { (LEFT, vector) } else { (RIGHT, vector - count) };
                        put(saved, slice.record::<V>(PAINN_KEPT, k + a, row, c), y);
                    });
                }
                each!(slice, |row, c| {
                    let left: [V; 3] = at3(saved, slice.record::<V>(PAINN_KEPT, LEFT, row, c));
                    let (norm, _) = length(*norm, dot(left, left));
                    put(&mut work.norm, slice.scratch::<V>(row, c), norm);
                });
                (mlp, PAINN_KEPT)
            }
        };
        let input = [slice.column::<V>(state, STATE, 0), slice.segment::<V>(&work.norm, 0)];
        dense!(mlp.first, &input, slice.rows, |row, c, z| {
            let (value, slope) = silu(z);
            put(&mut work.hidden, slice.scratch::<V>(row, c), value);
            put(saved, slice.record::<V>(kept, SLOPE, row, c), slope);
        });
        let hidden = [slice.segment::<V>(&work.hidden, 0)];
        dense!(mlp.second, &hidden, slice.rows, |row, vector, y| {
            if vector < count {
                let s: V = at(state, slice.record::<V>(STATE, 0, row, vector));
                put(&mut work.s, slice.scratch::<V>(row, vector), s.add(y));
            } else {
                let (gate, c) =
                    if vector < 2 * count { (0, vector - count) } else { (1, vector - 2 * count) };
                put(saved, slice.record::<V>(kept, GATES[gate], row, c), y);
            }
        });
        each!(slice, |row, c| {
            let v: [V; 3] = at3(state, slice.record::<V>(STATE, 1, row, c));
            match &self.blocks[block].update {
                PackedUpdate::Published { mixing, .. } => {
                    if !last {
                        let g1: V = at(saved, slice.record::<V>(kept, GATES[0], row, c));
                        let g2: V = at(saved, slice.record::<V>(kept, GATES[1], row, c));
                        let mixed = multiply(mixing, v, false);
                        for a in 0..3 {
                            let sum = mixed[a].mul_add(g2, v[a].mul(g1));
                            put(&mut work.v, slice.scratch::<V>(row, a * count + c), sum);
                        }
                    }
                }
                PackedUpdate::Painn { .. } => {
                    let left: [V; 3] = at3(saved, slice.record::<V>(kept, LEFT, row, c));
                    let right: [V; 3] = at3(saved, slice.record::<V>(kept, RIGHT, row, c));
                    let index = slice.scratch::<V>(row, c);
                    let gate: V = at(saved, slice.record::<V>(kept, GATES[0], row, c));
                    let s = gate.mul_add(dot(left, right), at(&work.s, index));
                    put(&mut work.s, index, s);
                    if !last {
                        let gate: V = at(saved, slice.record::<V>(kept, GATES[1], row, c));
                        for a in 0..3 {
                            let sum = gate.mul_add(right[a], v[a]);
                            put(&mut work.v, slice.scratch::<V>(row, a * count + c), sum);
                        }
                    }
                }
            }
        });
    }

    /// Reverse of [`Self::update`]: from `work.s` and, but for the last block, `work.v`, now
    /// adjoints, to `bar`.
    #[inline(always)]
    fn update_reverse(
        &self,
        block: usize,
        slice: Slice,
        state: &[f32],
        saved: &[f32],
        work: &mut Work,
        bar: &mut [f32],
    ) {
        let count = slice.channel_blocks;
        let last = block + 1 == self.blocks.len();
        let zero = V::splat(0.0);
        let (mlp, kept, gates) = match &self.blocks[block].update {
            PackedUpdate::Published { mlp, mixing } => {
                each!(slice, |row, c| {
                    let to = slice.record::<V>(STATE, 1, row, c);
                    if last {
                        for a in 0..3 {
                            put(bar, to + a * V::LANES, zero);
                        }
                        continue;
                    }
                    let v: [V; 3] = at3(state, to);
                    let v_bar: [V; 3] =
                        three!(|a| at(&work.v, slice.scratch::<V>(row, a * count + c)));
                    let g1: V = at(saved, slice.record::<V>(PUBLISHED_KEPT, GATES[0], row, c));
                    let g2: V = at(saved, slice.record::<V>(PUBLISHED_KEPT, GATES[1], row, c));
                    let back = multiply(mixing, v_bar, true);
                    for a in 0..3 {
                        let part = back[a].mul_add(g2, v_bar[a].mul(g1));
                        put(bar, to + a * V::LANES, part);
                    }
                    let mixed = multiply(mixing, v, false);
                    put(&mut work.gates, slice.scratch::<V>(row, count + c), dot(v_bar, v));
                    put(&mut work.gates, slice.scratch::<V>(row, 2 * count + c), dot(v_bar, mixed));
                });
                (mlp, PUBLISHED_KEPT, if last { 1 } else { 3 })
            }
            PackedUpdate::Painn { mlp, .. } => {
                each!(slice, |row, c| {
                    let left: [V; 3] = at3(saved, slice.record::<V>(PAINN_KEPT, LEFT, row, c));
                    let right: [V; 3] = at3(saved, slice.record::<V>(PAINN_KEPT, RIGHT, row, c));
                    let s_bar: V = at(&work.s, slice.scratch::<V>(row, c));
                    let product = s_bar.mul(dot(left, right));
                    put(&mut work.gates, slice.scratch::<V>(row, count + c), product);
                    if !last {
                        let v_bar: [V; 3] =
                            three!(|a| at(&work.v, slice.scratch::<V>(row, a * count + c)));
                        let along = dot(v_bar, right);
                        put(&mut work.gates, slice.scratch::<V>(row, 2 * count + c), along);
                    }
                });
                (mlp, PAINN_KEPT, if last { 2 } else { 3 })
            }
        };
        let input = [
            slice.segment::<V>(&work.s, 0),
            slice.segment::<V>(&work.gates, 1),
            slice.segment::<V>(&work.gates, 2),
        ];
        dense!(mlp.second_reverse, &input[..gates], slice.rows, |row, c, y| {
            let slope: V = at(saved, slice.record::<V>(kept, SLOPE, row, c));
            put(&mut work.hidden, slice.scratch::<V>(row, c), y.mul(slope));
        });
        let hidden = [slice.segment::<V>(&work.hidden, 0)];
        dense!(mlp.first_reverse, &hidden, slice.rows, |row, vector, y| {
            if vector < count {
                let s_bar: V = at(&work.s, slice.scratch::<V>(row, vector));
                put(bar, slice.record::<V>(STATE, 0, row, vector), s_bar.add(y));
            } else {
                put(&mut work.norm, slice.scratch::<V>(row, vector - count), y);
            }
        });
        match &self.blocks[block].update {
            PackedUpdate::Published { .. } => each!(slice, |row, c| {
                let index = slice.record::<V>(STATE, 1, row, c);
                let v: [V; 3] = at3(state, index);
                // |v| has no slope at v = 0; PyTorch takes 0 there. Where symmetry makes v vanish,
                // rounding leaves a direction that means nothing: `counts` is 0 there, else 1.
                let norm = dot(v, v).sqrt();
                let beyond = norm.sub(V::splat(ROUNDING)).max(V::splat(0.0));
                let counts = beyond.mul(V::splat(1e30)).min(V::splat(1.0));
                let slope = counts.div(norm.max(V::splat(ROUNDING)));
                let part = at::<V>(&work.norm, slice.scratch::<V>(row, c)).mul(slope);
                for a in 0..3 {
                    let sum = part.mul_add(v[a], at(bar, index + a * V::LANES));
                    put(bar, index + a * V::LANES, sum);
                }
            }),
            PackedUpdate::Painn { mix_reverse, norm, .. } => {
                each!(slice, |row, c| {
                    let record = |k| slice.record::<V>(PAINN_KEPT, k, row, c);
                    let left: [V; 3] = at3(saved, record(LEFT));
                    let right: [V; 3] = at3(saved, record(RIGHT));
                    let s_bar: V = at(&work.s, slice.scratch::<V>(row, c));
                    let product_bar = s_bar.mul(at(saved, record(GATES[0])));
                    let (_, root) = length(*norm, dot(left, left));
                    let norm_bar = at::<V>(&work.norm, slice.scratch::<V>(row, c)).div(root);
                    for a in 0..3 {
                        let left_bar = product_bar.mul_add(right[a], norm_bar.mul(left[a]));
                        let mut right_bar = product_bar.mul(left[a]);
                        if !last {
                            let v_bar = at(&work.v, slice.scratch::<V>(row, a * count + c));
                            right_bar = at::<V>(saved, record(GATES[1])).mul_add(v_bar, right_bar);
                        }
                        put(&mut work.mixed, slice.scratch::<V>(row, a * count + c), left_bar);
                        let index = slice.scratch::<V>(row, (3 + a) * count + c);
                        put(&mut work.mixed, index, right_bar);
                    }
                });
                for a in 0..3 {
                    let input = [
                        slice.segment::<V>(&work.mixed, a),
                        slice.segment::<V>(&work.mixed, 3 + a),
                    ];
                    dense!(mix_reverse, &input, slice.rows, |row, c, y| {
                        let v_bar = if last {
                            zero
                        } else {
                            at(&work.v, slice.scratch::<V>(row, a * count + c))
                        };
                        put(bar, slice.record::<V>(STATE, 1 + a, row, c), v_bar.add(y));
                    });
                }
            }
        }
    }

    /// The readout of `work.s`, which becomes s̄; one energy for each row.
    #[inline(always)]
    fn readout(&self, slice: Slice, work: &mut Work, energies: &mut [f64]) {
        let Work { s, head, .. } = work;
        for (k, layer) in self.head.iter().enumerate() {
            let (before, now) = head.split_at_mut(k);
            let [values, slopes] = &mut now[0];
            let input = match before.last() {
                None => slice.segment::<V>(s, 0),
                Some([values, _]) => slice.rows::<V>(values, 0, self.head[k - 1].width / V::LANES),
            };
            dense!(layer.forward, &[input], slice.rows, |row, c, z| {
                let (value, slope) = silu(z);
                put(values, slice.scratch::<V>(row, c), value);
                put(slopes, slice.scratch::<V>(row, c), slope);
            });
        }
        // The last layer gives one value, in float64; its weights are the adjoint of its inputs.
        let (weights, bias) = &self.last;
        let (values, slopes) = match head.last_mut() {
            None => (&mut *s, None),
            Some([values, slopes]) => (values, Some(&*slopes)),
        };
        for (row, energy) in energies.iter_mut().enumerate().take(slice.rows) {
            *energy = *bias;
            for (c, weights) in weights.chunks_exact(V::LANES).enumerate() {
                let start = slice.scratch::<V>(row, c);
                for (lane, weight) in weights.iter().enumerate() {
                    let value = &mut values[start + lane];
                    *energy += weight * f64::from(*value);
                    *value = *weight as f32 * slopes.map_or(1.0, |slopes| slopes[start + lane]);
                }
            }
        }
        for (k, layer) in self.head.iter().enumerate().rev() {
            let (before, now) = head.split_at_mut(k);
            let input = slice.rows::<V>(&now[0][0], 0, layer.width / V::LANES);
            match before.last_mut() {
                None => dense!(layer.reverse, &[input], slice.rows, |row, c, y| {
                    put(s, slice.scratch::<V>(row, c), y);
                }),
                Some([values, slopes]) => {
                    dense!(layer.reverse, &[input], slice.rows, |row, c, y| {
                        let index = slice.scratch::<V>(row, c);
                        put(values, index, y.mul(at(slopes, index)));
                    })
                }
            }
        }
    }
}

/// After the message of a block that is not the last: its update, and the features that the next
/// block sends.
pub struct Advance<'a, V> {
    /// The layers.
    pub network: &'a Network<V>,
    /// The block whose update this is.
    pub block: usize,
    /// Rows of a block of atoms.
    pub block_rows: usize,
    /// State after the message.
    pub state: &'a [f32],
    /// Kept for the reverse pass: of this block and of the next.
    pub saved: [&'a mut [f32]; 2],
    /// State before the next message.
    pub next_state: &'a mut [f32],
    /// Features of the next message.
    pub next_features: &'a mut [f32],
    /// Scratch.
    pub work: &'a mut Work,
}

impl<V: Vector> Task<V> for Advance<'_, V> {
    #[inline(always)]
    fn run(self) {
        let Self { network, block, state, next_state, next_features, work, .. } = self;
        let [saved, next_saved] = self.saved;
        let sender = network.blocks[block + 1].sender.as_ref();
        let width = Span::width(sender.is_some());
        let vectors = width - 3;
        for slice in Slice::all(network, self.block_rows) {
            let count = slice.channel_blocks;
            network.update(block, slice, state, saved, work);
            each!(slice, |row, c| {
                let s: V = at(&work.s, slice.scratch::<V>(row, c));
                put(next_state, slice.record::<V>(STATE, 0, row, c), s);
                if sender.is_none() {
                    put(next_features, slice.record::<V>(width, 0, row, c), s);
                }
                for a in 0..3 {
                    let v: V = at(&work.v, slice.scratch::<V>(row, a * count + c));
                    put(next_state, slice.record::<V>(STATE, 1 + a, row, c), v);
                    put(next_features, slice.record::<V>(width, vectors + a, row, c), v);
                }
            });
            let Some(sender) = sender else { continue };
            let input = [slice.segment::<V>(&work.s, 0)];
            dense!(sender.first, &input, slice.rows, |row, c, z| {
                let (value, slope) = silu(z);
                put(&mut work.hidden, slice.scratch::<V>(row, c), value);
                put(next_saved, slice.record::<V>(PAINN_KEPT, SENDER_SLOPE, row, c), slope);
            });
            let hidden = [slice.segment::<V>(&work.hidden, 0)];
            dense!(sender.second, &hidden, slice.rows, |row, vector, y| {
                let k = usize::from(vector >= count) + usize::from(vector >= 2 * count);
                put(next_features, slice.record::<V>(width, k, row, vector - k * count), y);
            });
        }
    }
}

/// After the last message: update, readout, and the reverse of the update.
pub struct Turn<'a, V> {
    /// The layers.
    pub network: &'a Network<V>,
    /// Rows of a block of atoms.
    pub block_rows: usize,
    /// State after the last message.
    pub state: &'a [f32],
    /// Kept for the reverse pass.
    pub saved: &'a mut [f32],
    /// Energy of each row, without the species' reference.
    pub energies: &'a mut [f64],
    /// Adjoint of `state`.
    pub bar: &'a mut [f32],
    /// Scratch.
    pub work: &'a mut Work,
}

impl<V: Vector> Task<V> for Turn<'_, V> {
    #[inline(always)]
    fn run(self) {
        let Self { network, block_rows, state, saved, energies, bar, work } = self;
        let block = network.blocks.len() - 1;
        for slice in Slice::all(network, block_rows) {
            network.update(block, slice, state, saved, work);
            network.readout(slice, work, &mut energies[slice.first..]);
            network.update_reverse(block, slice, state, saved, work, bar);
        }
    }
}

/// After the reverse message of a block that is not the first: through its sender to the state
/// before it, and through the update of the block before.
pub struct Retreat<'a, V> {
    /// The layers.
    pub network: &'a Network<V>,
    /// The block whose reverse message was computed.
    pub block: usize,
    /// Rows of a block of atoms.
    pub block_rows: usize,
    /// Features that this block sent.
    pub features: &'a [f32],
    /// What the reverse message gave.
    pub received: &'a [f32],
    /// State after the message of the block before.
    pub state: &'a [f32],
    /// Kept for the reverse pass: of the block before and of this one.
    pub saved: [&'a [f32]; 2],
    /// In: adjoint of the state after this block's message. Out: of `state`.
    pub bar: &'a mut [f32],
    /// Scratch.
    pub work: &'a mut Work,
}

impl<V: Vector> Task<V> for Retreat<'_, V> {
    #[inline(always)]
    fn run(self) {
        let Self { network, block, features, received, state, bar, work, .. } = self;
        let [saved, sender_saved] = self.saved;
        let sender = network.blocks[block].sender.as_ref();
        let features_width = Span::width(sender.is_some());
        let width = Reverse::width(sender.is_some());
        for slice in Slice::all(network, self.block_rows) {
            let count = slice.channel_blocks;
            each!(slice, |row, c| {
                let x1_bar: V = at(received, slice.record::<V>(width, 0, row, c));
                let turned: [V; 3] = at3(received, slice.record::<V>(width, 1, row, c));
                let v_bar: [V; 3] = at3(bar, slice.record::<V>(STATE, 1, row, c));
                let x2 = if sender.is_some() {
                    let v: [V; 3] = at3(features, slice.record::<V>(features_width, 3, row, c));
                    let x3_bar: V = at(received, slice.record::<V>(width, 4, row, c));
                    for (k, x_bar) in [x1_bar, dot(v, turned), x3_bar].into_iter().enumerate() {
                        put(&mut work.gates, slice.scratch::<V>(row, k * count + c), x_bar);
                    }
                    at(features, slice.record::<V>(features_width, 1, row, c))
                } else {
                    let s_bar: V = at(bar, slice.record::<V>(STATE, 0, row, c));
                    put(&mut work.s, slice.scratch::<V>(row, c), s_bar.add(x1_bar));
                    V::splat(1.0)
                };
                for a in 0..3 {
                    let sum = x2.mul_add(turned[a], v_bar[a]);
                    put(&mut work.v, slice.scratch::<V>(row, a * count + c), sum);
                }
            });
            if let Some(sender) = sender {
                let input: [Rows<'_>; 3] = three!(|k| slice.segment::<V>(&work.gates, k));
                dense!(sender.second_reverse, &input, slice.rows, |row, c, y| {
                    let slope = slice.record::<V>(PAINN_KEPT, SENDER_SLOPE, row, c);
                    let z_bar = y.mul(at(sender_saved, slope));
                    put(&mut work.hidden, slice.scratch::<V>(row, c), z_bar);
                });
                let hidden = [slice.segment::<V>(&work.hidden, 0)];
                dense!(sender.first_reverse, &hidden, slice.rows, |row, c, y| {
                    let s_bar: V = at(bar, slice.record::<V>(STATE, 0, row, c));
                    put(&mut work.s, slice.scratch::<V>(row, c), s_bar.add(y));
                });
            }
            network.update_reverse(block - 1, slice, state, saved, work, bar);
        }
    }
}
