//! Dense layers over many atoms: register tiles of 12 × 2, 6 × 2 or 4 × 2 vectors.
#![allow(unsafe_code)]

use std::marker::PhantomData;

use super::buffer::Buffer;
use super::simd::Vector;
use crate::engine::layers::Padding;
use crate::error::Result;
use crate::model::Linear;

/// Rows are computed in multiples of this, a multiple of every tile's height.
pub const ROWS: usize = 12;

/// Longest chain of additions in float32, in channels.
const CHAIN: usize = 32;

/// Rows of activations: value `lane` of channel group `c` of row `r` is at
/// `pointer[c * group_stride + r * row_stride + lane]`.
#[derive(Clone, Copy)]
pub struct Activations<'a> {
    pointer: *const f32,
    group_stride: usize,
    row_stride: usize,
    rows: usize,
    channels: usize,
    data: PhantomData<&'a [f32]>,
}

impl<'a> Activations<'a> {
    /// Rows inside `data`, of which row `row` and channel group `c` start at
    /// `offset + c * group_stride + row * row_stride`.
    ///
    /// Panics unless `rows` rows of `groups` channel groups of `lanes` values lie inside `data`.
    #[inline(always)]
    pub fn new(
        data: &'a [f32],
        offset: usize,
        [group_stride, row_stride]: [usize; 2],
        [rows, groups, lanes]: [usize; 3],
    ) -> Self {
        let last = offset + (groups - 1) * group_stride + (rows - 1) * row_stride + lanes;
        assert!(last <= data.len());
        Self {
            pointer: data[offset..].as_ptr(),
            group_stride,
            row_stride,
            rows,
            channels: groups * lanes,
            data: PhantomData,
        }
    }
}

/// A dense layer's weights in the order in which the tiles read them: for each pair of output
/// vectors, for each input channel, both vectors.
#[derive(Clone)]
pub struct Packed<V> {
    /// Channels of each input segment, padded.
    segments: Vec<usize>,
    /// Number of output vectors.
    outputs: usize,
    weights: Buffer,
    bias: Buffer,
    lanes: PhantomData<V>,
}

impl<V: Vector> Packed<V> {
    /// Packs `layer`, W x + b.
    pub fn new(layer: &Linear, inputs: &Padding, outputs: &Padding) -> Result<Self> {
        Self::pack(inputs, outputs, |o, i| layer.weight[o * layer.inputs + i], |o| layer.bias[o])
    }

    /// Packs the reverse of `layer`, Wᵀ y: `inputs` describes y, `outputs` x.
    pub fn transposed(layer: &Linear, inputs: &Padding, outputs: &Padding) -> Result<Self> {
        Self::pack(inputs, outputs, |o, i| layer.weight[i * layer.inputs + o], |_| 0.0)
    }

    fn pack(
        inputs: &Padding,
        outputs: &Padding,
        weight: impl Fn(usize, usize) -> f64,
        bias: impl Fn(usize) -> f64,
    ) -> Result<Self> {
        let vectors = outputs.len() / V::LANES;
        let depth = inputs.len();
        let width = 2 * V::LANES;
        let tiles = vectors.div_ceil(2);
        let mut packed = Self {
            segments: inputs.lengths().collect(),
            outputs: vectors,
            weights: Buffer::zeros(tiles * depth * width)?,
            bias: Buffer::zeros(tiles * width)?,
            lanes: PhantomData,
        };
        let (inputs, outputs) = (inputs.sources(), outputs.sources());
        for (output, o) in outputs.into_iter().enumerate() {
            let Some(o) = o else { continue };
            let (tile, lane) = (output / width, output % width);
            packed.bias[output] = bias(o) as f32;
            for (input, i) in inputs.iter().enumerate() {
                if let Some(i) = *i {
                    packed.weights[(tile * depth + input) * width + lane] = weight(o, i) as f32;
                }
            }
        }
        Ok(packed)
    }

    /// Bytes allocated.
    pub fn memory(&self) -> usize {
        self.weights.memory() + self.bias.memory()
    }

    /// Number of pairs of output vectors.
    pub fn tiles(&self) -> usize {
        self.outputs.div_ceil(2)
    }

    /// Number of output vectors.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// Rows of a tile, for this instruction set's registers: a divisor of [`ROWS`].
    pub const TILE: usize = match V::LANES {
        16 => 12,
        8 => 6,
        _ => 4,
    };

    /// Output vectors 2 · `tile` and the next, of [`Self::TILE`] rows from `first` on. `inputs`
    /// are the input segments.
    #[inline(always)]
    pub fn tile(&self, inputs: &[Activations<'_>], tile: usize, first: usize) -> [[V; 2]; ROWS] {
        let mut sums = [[V::splat(0.0); 2]; ROWS];
        match Self::TILE {
            12 => self.fill::<12>(inputs, tile, first, &mut sums),
            6 => self.fill::<6>(inputs, tile, first, &mut sums),
            _ => self.fill::<4>(inputs, tile, first, &mut sums),
        }
        sums
    }

    #[inline(always)]
    fn fill<const R: usize>(
        &self,
        inputs: &[Activations<'_>],
        tile: usize,
        first: usize,
        out: &mut [[V; 2]; ROWS],
    ) {
        assert!(inputs.len() == self.segments.len());
        let width = 2 * V::LANES;
        let depth = self.segments.iter().sum::<usize>();
        let bias = self.bias[tile * width..][..width].as_ptr();
        // SAFETY: `width` values, both vectors.
        let bias = unsafe { [V::load(bias), V::load(bias.add(V::LANES))] };
        let mut weights = self.weights[tile * depth * width..][..depth * width].as_ptr();
        // Partial sums: long chains of float32 additions would lose a digit.
        let mut totals = [bias; R];
        for (input, &channels) in inputs.iter().zip(&self.segments) {
            assert!(first + R <= input.rows && channels <= input.channels);
            for groups in (0..channels / V::LANES).step_by(CHAIN / V::LANES) {
                let mut sums = [[V::splat(0.0); 2]; R];
                let end = (groups + CHAIN / V::LANES).min(channels / V::LANES);
                for group in groups..end {
                    // SAFETY: `Activations::new` checked that every row and group of the input is
                    // there; `weights` advances by `width` for each of `depth` channels.
                    unsafe {
                        let corner = input
                            .pointer
                            .add(group * input.group_stride + first * input.row_stride);
                        for lane in 0..V::LANES {
                            let w = [V::load(weights), V::load(weights.add(V::LANES))];
                            weights = weights.add(width);
                            for r in 0..R {
                                let x = V::splat(*corner.add(r * input.row_stride + lane));
                                sums[r][0] = x.mul_add(w[0], sums[r][0]);
                                sums[r][1] = x.mul_add(w[1], sums[r][1]);
                            }
                        }
                    }
                }
                for r in 0..R {
                    totals[r][0] = totals[r][0].add(sums[r][0]);
                    totals[r][1] = totals[r][1].add(sums[r][1]);
                }
            }
        }
        out[..R].copy_from_slice(&totals);
    }
}

/// Computes a dense layer for `rows` rows of `inputs` and runs the body for each output vector `y`
/// of each row. A macro, since the body of a closure would be compiled without the instruction
/// set.
macro_rules! dense {
    ($layer:expr, $inputs:expr, $rows:expr, |$row:ident, $vector:ident, $y:ident| $body:block) => {
        for tile in 0..$layer.tiles() {
            for first in (0..$rows).step_by(Packed::<V>::TILE) {
                let sums = $layer.tile($inputs, tile, first);
                for side in 0..2 {
                    let $vector = 2 * tile + side;
                    if $vector < $layer.outputs() {
                        for r in 0..Packed::<V>::TILE {
                            let ($row, $y) = (first + r, sums[r][side]);
                            $body
                        }
                    }
                }
            }
        }
    };
}
pub(super) use dense;
