//! What atoms do on their own between messages: update, sender and readout, forward and reverse,
//! for one chunk of atoms.

use super::dense::{Activations, Packed, dense};
use super::network::PackedNetwork;
use super::records::{Layout, Record};
use super::simd::{Task, Vector, dot, three};
use super::slices::{Scratch, Slice, at, at3, each, put};
use super::update::{sender_slope, silu};

/// After the message of a block that is not the last: its update, and the features that the next
/// block sends.
pub struct ForwardUpdate<'a, V> {
    /// The packed dense layers.
    pub network: &'a PackedNetwork<V>,
    /// Index of the block whose update this is.
    pub block: usize,
    /// Where records are in the arrays of this chunk of atoms.
    pub layout: Layout,
    /// The state (s, v) of the chunk's rows after this block's message: records `Record::STATE`.
    pub state: &'a [f32],
    /// Records `Record::kept` for the reverse pass: of this block, and of the next, whose sender it
    /// is.
    pub saved: [&'a mut [f32]; 2],
    /// Out: the state of the chunk's rows before the next message.
    pub next_state: &'a mut [f32],
    /// Out: what the chunk's rows send in the next message, records `Record::features`.
    pub next_features: &'a mut [f32],
    /// Room for the values of one slice of rows; nothing in it outlives the task.
    pub scratch: &'a mut Scratch,
}

impl<V: Vector> Task<V> for ForwardUpdate<'_, V> {
    #[inline(always)]
    fn run(self) {
        let Self { network, block, state, next_state, next_features, scratch, .. } = self;
        let [saved, next_saved] = self.saved;
        let sender = network.blocks[block + 1].sender.as_ref();
        let features = Record::features(sender.is_some());
        for slice in Slice::all(self.layout) {
            let (channels, vectors) = (slice.channel_groups, slice.vector_groups);
            network.update(block, slice, state, saved, scratch);
            each!(slice, |row, c| {
                let s: V = at(&scratch.s, slice.index::<V>(row, c));
                put(next_state, slice.record::<V>(Record::STATE, 0, row, c), s);
                if sender.is_none() {
                    put(next_features, slice.record::<V>(features, 0, row, c), s);
                }
            });
            each!(vectors slice, |row, c| {
                for a in 0..3 {
                    let v: V = at(&scratch.v, slice.index::<V>(row, a * vectors + c));
                    put(next_state, slice.record::<V>(Record::STATE, 1 + a, row, c), v);
                    let k = features.with - 3 + a;
                    put(next_features, slice.record::<V>(features, k, row, c), v);
                }
            });
            let Some(sender) = sender else { continue };
            let input = [slice.segment::<V>(&scratch.s, 0, channels)];
            dense!(sender.first, &input, slice.rows, |row, c, z| {
                let (value, slope) = silu(z);
                put(&mut scratch.hidden, slice.index::<V>(row, c), value);
                put(next_saved, sender_slope::<V>(slice, row, c), slope);
            });
            let hidden = [slice.segment::<V>(&scratch.hidden, 0, channels)];
            dense!(sender.second, &hidden, slice.rows, |row, vector, y| {
                let (k, c) = slice.run_of(vector);
                put(next_features, slice.record::<V>(features, k, row, c), y);
            });
        }
    }
}

/// After the last message: update, readout, and the reverse of the update.
pub struct LastUpdate<'a, V> {
    /// The packed dense layers.
    pub network: &'a PackedNetwork<V>,
    /// Where records are in the arrays of this chunk of atoms.
    pub layout: Layout,
    /// The state (s, v) of the chunk's rows after the last message: records `Record::STATE`.
    pub state: &'a [f32],
    /// Records `Record::kept` of the last block, for the reverse pass.
    pub saved: &'a mut [f32],
    /// Between which energies each row's atom stays as the network gives it (eV), see
    /// `model::energy_range`.
    pub bounds: &'a [[f64; 2]],
    /// Out: energy of each row (eV), without the species' reference energy.
    pub energies: &'a mut [f64],
    /// Out: the adjoint of `state`, ∂E/∂(s, v) (eV per unit of the feature).
    pub bar: &'a mut [f32],
    /// Room for the values of one slice of rows; nothing in it outlives the task.
    pub scratch: &'a mut Scratch,
}

impl<V: Vector> Task<V> for LastUpdate<'_, V> {
    #[inline(always)]
    fn run(self) {
        let Self { network, layout, state, saved, bounds, energies, bar, scratch } = self;
        let block = network.blocks.len() - 1;
        for slice in Slice::all(layout) {
            network.update(block, slice, state, saved, scratch);
            network.readout(slice, scratch, &bounds[slice.first..], &mut energies[slice.first..]);
            network.update_reverse(block, slice, state, saved, scratch, bar);
        }
    }
}

/// After the reverse message of a block that is not the first: through its sender to the state
/// before it, and through the update of the block before.
pub struct ReverseUpdate<'a, V> {
    /// The packed dense layers.
    pub network: &'a PackedNetwork<V>,
    /// Index of the block whose reverse message was computed.
    pub block: usize,
    /// Where records are in the arrays of this chunk of atoms.
    pub layout: Layout,
    /// What the chunk's rows sent in this block's message, records `Record::features`.
    pub features: &'a [f32],
    /// What the reverse message gave the chunk's rows, records `Record::received`.
    pub received: &'a [f32],
    /// The state (s, v) of the chunk's rows after the message of the block before.
    pub state: &'a [f32],
    /// Records `Record::kept`: of the block before, and of this one, whose sender it is.
    pub saved: [&'a [f32]; 2],
    /// In: adjoint of the state after this block's message, ∂E/∂(s, v). Out: adjoint of `state`.
    pub bar: &'a mut [f32],
    /// Room for the values of one slice of rows; nothing in it outlives the task.
    pub scratch: &'a mut Scratch,
}

impl<V: Vector> Task<V> for ReverseUpdate<'_, V> {
    #[inline(always)]
    fn run(self) {
        let Self { network, block, features, received, state, bar, scratch, .. } = self;
        let [saved, sender_saved] = self.saved;
        let sender = network.blocks[block].sender.as_ref();
        let sent = Record::features(sender.is_some());
        let back = Record::received(sender.is_some());
        for slice in Slice::all(self.layout) {
            let (channels, vectors) = (slice.channel_groups, slice.vector_groups);
            let runs = slice.runs();
            each!(slice, |row, c| {
                let x1_bar: V = at(received, slice.record::<V>(back, 0, row, c));
                let index = slice.index::<V>(row, c);
                if sender.is_some() {
                    put(&mut scratch.gates, index, x1_bar);
                } else {
                    let s_bar: V = at(bar, slice.record::<V>(Record::STATE, 0, row, c));
                    put(&mut scratch.s, index, s_bar.add(x1_bar));
                }
            });
            each!(vectors slice, |row, c| {
                let turned: [V; 3] = at3(received, slice.record::<V>(back, 1, row, c));
                let v_bar: [V; 3] = at3(bar, slice.record::<V>(Record::STATE, 1, row, c));
                let x2 = if sender.is_some() {
                    let v: [V; 3] = at3(features, slice.record::<V>(sent, 3, row, c));
                    let x3_bar: V = at(received, slice.record::<V>(back, 4, row, c));
                    put(&mut scratch.gates, slice.index::<V>(row, runs[1] + c), dot(v, turned));
                    put(&mut scratch.gates, slice.index::<V>(row, runs[2] + c), x3_bar);
                    at(features, slice.record::<V>(sent, 1, row, c))
                } else {
                    V::splat(1.0)
                };
                for a in 0..3 {
                    let sum = x2.mul_add(turned[a], v_bar[a]);
                    put(&mut scratch.v, slice.index::<V>(row, a * vectors + c), sum);
                }
            });
            if let Some(sender) = sender {
                let counts = [channels, vectors, vectors];
                let input: [Activations<'_>; 3] =
                    three!(|k| slice.segment::<V>(&scratch.gates, runs[k], counts[k]));
                dense!(sender.second_reverse, &input, slice.rows, |row, c, y| {
                    let slope = at(sender_saved, sender_slope::<V>(slice, row, c));
                    let z_bar = y.mul(slope);
                    put(&mut scratch.hidden, slice.index::<V>(row, c), z_bar);
                });
                let hidden = [slice.segment::<V>(&scratch.hidden, 0, channels)];
                dense!(sender.first_reverse, &hidden, slice.rows, |row, c, y| {
                    let s_bar: V = at(bar, slice.record::<V>(Record::STATE, 0, row, c));
                    put(&mut scratch.s, slice.index::<V>(row, c), s_bar.add(y));
                });
            }
            network.update_reverse(block - 1, slice, state, saved, scratch, bar);
        }
    }
}
