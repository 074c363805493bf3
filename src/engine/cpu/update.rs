//! The update of atoms, forward and reverse, in both architectures. Formulas as in
//! `engine::reference`.

use super::dense::{Packed, dense};
use super::network::{PackedNetwork, PackedUpdate};
use super::records::Record;
use super::simd::{Vector, dot, three};
use super::slices::{Scratch, Slice, at, at3, each, put};
use crate::model::Norm;

/// Values kept from forward to reverse are records, too. Both families begin with silu' of the
/// update and two gates; `painn` goes on with V, W and silu' of the sender.
const SLOPE: usize = 0;
const GATES: [usize; 2] = [1, 2];
const LEFT: usize = 3;
const RIGHT: usize = 6;

/// Where silu' of the sender is kept: behind all that belongs to vectors.
#[inline(always)]
pub fn sender_slope<V: Vector>(slice: Slice, row: usize, c: usize) -> usize {
    let kept = Record::PAINN_KEPT;
    let last = if c < slice.vector_groups { kept.with - 1 } else { kept.without - 1 };
    slice.record::<V>(kept, last, row, c)
}

/// Vectors of `published` that are shorter count as zero: where symmetry makes v vanish, rounding
/// leaves a direction that means nothing.
const ROUNDING: f32 = 2e-6;

/// silu(z) and its slope.
#[inline(always)]
pub fn silu<V: Vector>(z: V) -> (V, V) {
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

impl<V: Vector> PackedNetwork<V> {
    /// The update of block `block`: from `state` to `scratch.s` and, but for the last, `scratch.v`.
    #[inline(always)]
    pub fn update(
        &self,
        block: usize,
        slice: Slice,
        state: &[f32],
        saved: &mut [f32],
        scratch: &mut Scratch,
    ) {
        let (channels, vectors) = (slice.channel_groups, slice.vector_groups);
        let last = block + 1 == self.blocks.len();
        let (mlp, kept) = match &self.blocks[block].update {
            PackedUpdate::Published { mlp, .. } => {
                each!(vectors slice, |row, c| {
                    let v: [V; 3] = at3(state, slice.record::<V>(Record::STATE, 1, row, c));
                    put(&mut scratch.norm, slice.index::<V>(row, c), dot(v, v).sqrt());
                });
                (mlp, Record::PUBLISHED_KEPT)
            }
            PackedUpdate::Painn { mix, mlp, norm, .. } => {
                for a in 0..3 {
                    let v = slice.column::<V>(state, Record::STATE, 1 + a);
                    dense!(mix, &[v], slice.rows, |row, vector, y| {
                        let (k, c) = match vector.checked_sub(vectors) {
                            None => (LEFT, vector),
                            Some(c) => (RIGHT, c),
                        };
                        put(saved, slice.record::<V>(Record::PAINN_KEPT, k + a, row, c), y);
                    });
                }
                each!(vectors slice, |row, c| {
                    let at_left = slice.record::<V>(Record::PAINN_KEPT, LEFT, row, c);
                    let left: [V; 3] = at3(saved, at_left);
                    let (norm, _) = length(*norm, dot(left, left));
                    put(&mut scratch.norm, slice.index::<V>(row, c), norm);
                });
                (mlp, Record::PAINN_KEPT)
            }
        };
        each!(slice, |row, c| {
            let s: V = at(state, slice.record::<V>(Record::STATE, 0, row, c));
            put(&mut scratch.s, slice.index::<V>(row, c), s);
        });
        let input = [
            slice.segment::<V>(&scratch.s, 0, channels),
            slice.segment::<V>(&scratch.norm, 0, vectors),
        ];
        dense!(mlp.first, &input, slice.rows, |row, c, z| {
            let (value, slope) = silu(z);
            put(&mut scratch.hidden, slice.index::<V>(row, c), value);
            put(saved, slice.record::<V>(kept, SLOPE, row, c), slope);
        });
        let hidden = [slice.segment::<V>(&scratch.hidden, 0, channels)];
        dense!(mlp.second, &hidden, slice.rows, |row, vector, y| {
            match slice.run_of(vector) {
                (0, c) => {
                    let index = slice.index::<V>(row, c);
                    let s: V = at(&scratch.s, index);
                    put(&mut scratch.s, index, s.add(y));
                }
                (run, c) => put(saved, slice.record::<V>(kept, GATES[run - 1], row, c), y),
            }
        });
        each!(vectors slice, |row, c| {
            let v: [V; 3] = at3(state, slice.record::<V>(Record::STATE, 1, row, c));
            match &self.blocks[block].update {
                PackedUpdate::Published { mixing, .. } => {
                    if !last {
                        let g1: V = at(saved, slice.record::<V>(kept, GATES[0], row, c));
                        let g2: V = at(saved, slice.record::<V>(kept, GATES[1], row, c));
                        let mixed = multiply(mixing, v, false);
                        for a in 0..3 {
                            let sum = mixed[a].mul_add(g2, v[a].mul(g1));
                            put(&mut scratch.v, slice.index::<V>(row, a * vectors + c), sum);
                        }
                    }
                }
                PackedUpdate::Painn { .. } => {
                    let left: [V; 3] = at3(saved, slice.record::<V>(kept, LEFT, row, c));
                    let right: [V; 3] = at3(saved, slice.record::<V>(kept, RIGHT, row, c));
                    let index = slice.index::<V>(row, c);
                    let gate: V = at(saved, slice.record::<V>(kept, GATES[0], row, c));
                    let s = gate.mul_add(dot(left, right), at(&scratch.s, index));
                    put(&mut scratch.s, index, s);
                    if !last {
                        let gate: V = at(saved, slice.record::<V>(kept, GATES[1], row, c));
                        for a in 0..3 {
                            let sum = gate.mul_add(right[a], v[a]);
                            put(&mut scratch.v, slice.index::<V>(row, a * vectors + c), sum);
                        }
                    }
                }
            }
        });
    }

    /// Reverse of [`Self::update`]: from `scratch.s` and, but for the last block, `scratch.v`, now
    /// adjoints, to `bar`.
    #[inline(always)]
    pub fn update_reverse(
        &self,
        block: usize,
        slice: Slice,
        state: &[f32],
        saved: &[f32],
        scratch: &mut Scratch,
        bar: &mut [f32],
    ) {
        let (channels, vectors) = (slice.channel_groups, slice.vector_groups);
        let runs = slice.runs();
        let last = block + 1 == self.blocks.len();
        let zero = V::splat(0.0);
        let (mlp, kept, gates) = match &self.blocks[block].update {
            PackedUpdate::Published { mlp, mixing } => {
                each!(vectors slice, |row, c| {
                    let to = slice.record::<V>(Record::STATE, 1, row, c);
                    if last {
                        for a in 0..3 {
                            put(bar, to + a * V::LANES, zero);
                        }
                        continue;
                    }
                    let v: [V; 3] = at3(state, to);
                    let v_bar: [V; 3] =
                        three!(|a| at(&scratch.v, slice.index::<V>(row, a * vectors + c)));
                    let gate = |k| slice.record::<V>(Record::PUBLISHED_KEPT, GATES[k], row, c);
                    let g1: V = at(saved, gate(0));
                    let g2: V = at(saved, gate(1));
                    let back = multiply(mixing, v_bar, true);
                    for a in 0..3 {
                        let part = back[a].mul_add(g2, v_bar[a].mul(g1));
                        put(bar, to + a * V::LANES, part);
                    }
                    let mixed = multiply(mixing, v, false);
                    put(&mut scratch.gates, slice.index::<V>(row, runs[1] + c), dot(v_bar, v));
                    put(&mut scratch.gates, slice.index::<V>(row, runs[2] + c), dot(v_bar, mixed));
                });
                (mlp, Record::PUBLISHED_KEPT, if last { 1 } else { 3 })
            }
            PackedUpdate::Painn { mlp, .. } => {
                each!(vectors slice, |row, c| {
                    let at_left = slice.record::<V>(Record::PAINN_KEPT, LEFT, row, c);
                    let left: [V; 3] = at3(saved, at_left);
                    let at_right = slice.record::<V>(Record::PAINN_KEPT, RIGHT, row, c);
                    let right: [V; 3] = at3(saved, at_right);
                    let s_bar: V = at(&scratch.s, slice.index::<V>(row, c));
                    let product = s_bar.mul(dot(left, right));
                    put(&mut scratch.gates, slice.index::<V>(row, runs[1] + c), product);
                    if !last {
                        let v_bar: [V; 3] =
                            three!(|a| at(&scratch.v, slice.index::<V>(row, a * vectors + c)));
                        let along = dot(v_bar, right);
                        put(&mut scratch.gates, slice.index::<V>(row, runs[2] + c), along);
                    }
                });
                (mlp, Record::PAINN_KEPT, if last { 2 } else { 3 })
            }
        };
        let input = [
            slice.segment::<V>(&scratch.s, 0, channels),
            slice.segment::<V>(&scratch.gates, runs[1], vectors),
            slice.segment::<V>(&scratch.gates, runs[2], vectors),
        ];
        dense!(mlp.second_reverse, &input[..gates], slice.rows, |row, c, y| {
            let slope: V = at(saved, slice.record::<V>(kept, SLOPE, row, c));
            put(&mut scratch.hidden, slice.index::<V>(row, c), y.mul(slope));
        });
        let hidden = [slice.segment::<V>(&scratch.hidden, 0, channels)];
        dense!(mlp.first_reverse, &hidden, slice.rows, |row, vector, y| {
            match vector.checked_sub(channels) {
                None => {
                    let s_bar: V = at(&scratch.s, slice.index::<V>(row, vector));
                    put(bar, slice.record::<V>(Record::STATE, 0, row, vector), s_bar.add(y));
                }
                Some(c) => put(&mut scratch.norm, slice.index::<V>(row, c), y),
            }
        });
        match &self.blocks[block].update {
            PackedUpdate::Published { .. } => each!(vectors slice, |row, c| {
                let index = slice.record::<V>(Record::STATE, 1, row, c);
                let v: [V; 3] = at3(state, index);
                // |v| has no slope at v = 0; PyTorch takes 0 there. Where symmetry makes v vanish,
                // rounding leaves a direction that means nothing: `counts` is 0 there, else 1.
                let norm = dot(v, v).sqrt();
                let beyond = norm.sub(V::splat(ROUNDING)).max(V::splat(0.0));
                let counts = beyond.mul(V::splat(1e30)).min(V::splat(1.0));
                let slope = counts.div(norm.max(V::splat(ROUNDING)));
                let part = at::<V>(&scratch.norm, slice.index::<V>(row, c)).mul(slope);
                for a in 0..3 {
                    let sum = part.mul_add(v[a], at(bar, index + a * V::LANES));
                    put(bar, index + a * V::LANES, sum);
                }
            }),
            PackedUpdate::Painn { mix_reverse, norm, .. } => {
                each!(vectors slice, |row, c| {
                    let record = |k| slice.record::<V>(Record::PAINN_KEPT, k, row, c);
                    let left: [V; 3] = at3(saved, record(LEFT));
                    let right: [V; 3] = at3(saved, record(RIGHT));
                    let s_bar: V = at(&scratch.s, slice.index::<V>(row, c));
                    let product_bar = s_bar.mul(at(saved, record(GATES[0])));
                    let (_, root) = length(*norm, dot(left, left));
                    let norm_bar = at::<V>(&scratch.norm, slice.index::<V>(row, c)).div(root);
                    for a in 0..3 {
                        let left_bar = product_bar.mul_add(right[a], norm_bar.mul(left[a]));
                        let mut right_bar = product_bar.mul(left[a]);
                        if !last {
                            let v_bar = at(&scratch.v, slice.index::<V>(row, a * vectors + c));
                            right_bar = at::<V>(saved, record(GATES[1])).mul_add(v_bar, right_bar);
                        }
                        put(&mut scratch.mixed, slice.index::<V>(row, a * vectors + c), left_bar);
                        let index = slice.index::<V>(row, (3 + a) * vectors + c);
                        put(&mut scratch.mixed, index, right_bar);
                    }
                });
                for a in 0..3 {
                    let input = [
                        slice.segment::<V>(&scratch.mixed, a * vectors, vectors),
                        slice.segment::<V>(&scratch.mixed, (3 + a) * vectors, vectors),
                    ];
                    dense!(mix_reverse, &input, slice.rows, |row, c, y| {
                        let v_bar = if last {
                            zero
                        } else {
                            at(&scratch.v, slice.index::<V>(row, a * vectors + c))
                        };
                        put(bar, slice.record::<V>(Record::STATE, 1 + a, row, c), v_bar.add(y));
                    });
                }
            }
        }
    }
}
