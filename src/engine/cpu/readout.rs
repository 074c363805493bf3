//! The readout: energies of atoms from s, and s̄ in s's place.

use super::dense::{Packed, dense};
use super::network::PackedNetwork;
use super::simd::Vector;
use super::slices::{Scratch, Slice, at, put};
use super::update::silu;
use crate::model::energy_range::bounded;

impl<V: Vector> PackedNetwork<V> {
    /// The readout of `scratch.s`, which becomes s̄; one energy for each row, within its `bounds`.
    #[inline(always)]
    pub fn readout(
        &self,
        slice: Slice,
        scratch: &mut Scratch,
        bounds: &[[f64; 2]],
        energies: &mut [f64],
    ) {
        let Scratch { s, head, .. } = scratch;
        for (k, layer) in self.head.iter().enumerate() {
            let (before, now) = head.split_at_mut(k);
            let [values, slopes] = &mut now[0];
            let input = match before.last() {
                None => slice.segment::<V>(s, 0, slice.channel_groups),
                Some([values, _]) => {
                    slice.segment::<V>(values, 0, self.head[k - 1].width / V::LANES)
                }
            };
            dense!(layer.forward, &[input], slice.rows, |row, c, z| {
                let (value, slope) = silu(z);
                put(values, slice.index::<V>(row, c), value);
                put(slopes, slice.index::<V>(row, c), slope);
            });
        }
        // The last layer gives one value, in float64; its weights are the adjoint of its inputs.
        let (weights, bias) = &self.last;
        let (values, slopes) = match head.last_mut() {
            None => (&mut *s, None),
            Some([values, slopes]) => (values, Some(&*slopes)),
        };
        for (row, energy) in energies.iter_mut().enumerate().take(slice.rows) {
            let mut sum = *bias;
            for (c, weights) in weights.chunks_exact(V::LANES).enumerate() {
                let start = slice.index::<V>(row, c);
                for (lane, weight) in weights.iter().enumerate() {
                    let value = &mut values[start + lane];
                    sum += weight * f64::from(*value);
                    *value = *weight as f32 * slopes.map_or(1.0, |slopes| slopes[start + lane]);
                }
            }
            let slope;
            (*energy, slope) = bounded(sum, bounds[row]);
            if slope != 1.0 {
                for c in 0..weights.len() / V::LANES {
                    let bars = &mut values[slice.index::<V>(row, c)..][..V::LANES];
                    bars.iter_mut().for_each(|bar| *bar *= slope as f32);
                }
            }
        }
        for (k, layer) in self.head.iter().enumerate().rev() {
            let (before, now) = head.split_at_mut(k);
            let input = slice.segment::<V>(&now[0][0], 0, layer.width / V::LANES);
            match before.last_mut() {
                None => dense!(layer.reverse, &[input], slice.rows, |row, c, y| {
                    put(s, slice.index::<V>(row, c), y);
                }),
                Some([values, slopes]) => {
                    dense!(layer.reverse, &[input], slice.rows, |row, c, y| {
                        let index = slice.index::<V>(row, c);
                        put(values, index, y.mul(at(slopes, index)));
                    })
                }
            }
        }
    }
}
