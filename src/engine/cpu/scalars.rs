//! The pair kernels of channels without vectors, which is what a student with fewer vectors than
//! channels has behind those with them: only s is sent, s_i += Σ_j x_j¹ ⊙ φ¹(d). N channel blocks
//! at a time, since there is little to compute for each pair and channel. Otherwise as in
//! [`super::message`].
#![allow(unsafe_code)]

use super::message::{CHAIN, Forward, Reverse, Span};
use super::pairs::Pair;
use super::simd::Vector;
use crate::engine::layers::{STATE, feature_width, received_width};
use crate::engine::table::TERMS;

/// Most channel blocks at a time: more would want more registers than there are.
pub const TOGETHER: usize = 2;

/// Vectors of the records: these students have senders.
const FEATURES: usize = feature_width(true);
const RECEIVED: usize = received_width(true);

/// Value and slope (times the step) of φ¹ in N channel blocks.
///
/// # Safety
/// In each channel block `tables` is valid for reading the interval.
#[inline(always)]
unsafe fn filters<V: Vector, const N: usize>(
    tables: [*const f32; N],
    pair: &Pair,
) -> ([V; N], [V; N]) {
    let (mut values, mut slopes) = ([V::splat(0.0); N], [V::splat(0.0); N]);
    let t = V::splat(pair.t);
    for n in 0..N {
        // SAFETY: inside the interval, as the caller promises.
        let c = |term: usize| unsafe {
            V::load(tables[n].add((pair.interval as usize * TERMS + term) * V::LANES))
        };
        // As `message::filter`.
        let (mut slope, mut value) = (c(TERMS - 1), c(TERMS - 1).mul_add(t, c(TERMS - 2)));
        for term in (0..TERMS - 2).rev() {
            slope = slope.mul_add(t, value);
            value = value.mul_add(t, c(term));
        }
        (values[n], slopes[n]) = (value, slope);
    }
    (values, slopes)
}

/// Where the N channel blocks of `span` begin in its table.
#[inline(always)]
fn tables<V: Vector, const N: usize>(span: Span<'_>) -> [*const f32; N] {
    std::array::from_fn(|n| span.table[n * span.table_stride..][..span.table_stride].as_ptr())
}

/// First vectors of the records of N channel blocks: of all rows, of the block's own, or of those
/// that it borrows.
#[derive(Clone, Copy)]
struct Records<const N: usize> {
    first: *mut f32,
    /// Values from one record to the next, and from one channel block to the next.
    record: usize,
    channel: usize,
}

impl<const N: usize> Records<N> {
    /// Of `rows` rows of `width` vectors, the N channel blocks from `channel` on; those of all rows
    /// are the parts of a larger array, so `data` may be longer.
    #[inline(always)]
    fn new<V: Vector>(data: *mut f32, width: usize, rows: usize, channel: usize) -> Self {
        let record = width * V::LANES;
        // SAFETY: the callers' arrays have all channel blocks.
        let first = unsafe { data.add(channel * rows * record) };
        Self { first, record, channel: rows * record }
    }

    /// # Safety
    /// There is such a row.
    #[inline(always)]
    unsafe fn load<V: Vector>(self, row: usize) -> [V; N] {
        let mut values = [V::splat(0.0); N];
        for (n, value) in values.iter_mut().enumerate() {
            // SAFETY: as the caller promises.
            *value = unsafe { V::load(self.first.add(row * self.record + n * self.channel)) };
        }
        values
    }

    /// Adds factor · values.
    ///
    /// # Safety
    /// There is such a row, and it may be written to.
    #[inline(always)]
    unsafe fn add<V: Vector>(self, row: usize, factors: [V; N], values: [V; N]) {
        for n in 0..N {
            // SAFETY: as the caller promises.
            unsafe {
                let to = self.first.add(row * self.record + n * self.channel);
                factors[n].mul_add(values[n], V::load(to)).store(to);
            }
        }
    }
}

/// Whose adjoints and messages a kernel adds to: the block's own rows, and those that it borrows.
#[derive(Clone, Copy)]
struct Targets<const N: usize> {
    own: Records<N>,
    borrowed: Records<N>,
    block_rows: usize,
}

impl<const N: usize> Targets<N> {
    /// Records of `width` vectors; those that are borrowed become zero.
    #[inline(always)]
    fn new<V: Vector>(span: Span<'_>, width: usize, own: &mut [f32], borrowed: &mut [f32]) -> Self {
        let last = span.channel + N;
        assert!(own.len() >= last * span.block_rows * width * V::LANES);
        let lent = &mut borrowed[..last * span.borrowed * width * V::LANES];
        for record in lent[span.channel * span.borrowed * width * V::LANES..]
            .chunks_exact_mut(width * V::LANES)
        {
            record[..V::LANES].fill(0.0);
        }
        Self {
            own: Records::new::<V>(own.as_mut_ptr(), width, span.block_rows, span.channel),
            borrowed: Records::new::<V>(lent.as_mut_ptr(), width, span.borrowed, span.channel),
            block_rows: span.block_rows,
        }
    }

    /// Adds factors · values to a pair's target.
    ///
    /// # Safety
    /// The target is that of a pair with an atom of this block (`inside`), or with a row that it
    /// borrows.
    #[inline(always)]
    unsafe fn add<V: Vector>(self, pair: &Pair, inside: bool, factors: [V; N], values: [V; N]) {
        let row = pair.target as usize;
        // SAFETY: as the caller promises.
        unsafe {
            match inside {
                true => self.own.add(row, factors, values),
                false => self.borrowed.add(row - self.block_rows, factors, values),
            }
        }
    }
}

/// Messages of the N channel blocks from that of the span on.
#[inline(always)]
pub fn forward<V: Vector, const N: usize>(task: Forward<'_>) {
    let Forward { span, pairs, out, borrowed } = task;
    let tables = tables::<V, N>(span);
    let targets = Targets::<N>::new::<V>(span, STATE, out, borrowed);
    // Read alone.
    let features = span.features.as_ptr().cast_mut();
    let features = Records::<N>::new::<V>(features, FEATURES, span.block_rows, span.channel);
    let one = [V::splat(1.0); N];
    for (i, &[start, across, alone, end]) in pairs.bounds.iter().enumerate() {
        let mut totals = [V::splat(0.0); N];
        // SAFETY: `BlockPairs` only holds records and targets of the plan it was made for, as in
        // `message::Forward`.
        let here = unsafe { features.load::<V>(span.first + i) };
        for chain in (start..end).step_by(CHAIN) {
            let mut sums = [V::splat(0.0); N];
            for k in chain..(chain + CHAIN as u32).min(end) {
                let pair = &pairs.list[k as usize];
                // SAFETY: see above.
                unsafe {
                    let (f, _) = filters::<V, N>(tables, pair);
                    let there = features.load::<V>(pair.record as usize);
                    for n in 0..N {
                        sums[n] = there[n].mul_add(f[n], sums[n]);
                    }
                    if k < alone {
                        targets.add(pair, k < across, here, f);
                    }
                }
            }
            for n in 0..N {
                totals[n] = totals[n].add(sums[n]);
            }
        }
        // SAFETY: see above.
        unsafe { targets.own.add(i, one, totals) };
    }
}

/// Reverse of [`forward`].
#[inline(always)]
pub fn reverse<V: Vector, const N: usize>(task: Reverse<'_>) {
    let Reverse { span, pairs, bar, out, borrowed } = task;
    let tables = tables::<V, N>(span);
    let targets = Targets::<N>::new::<V>(span, RECEIVED, out, borrowed);
    let records = |data: &[f32], width| {
        // Read alone.
        Records::<N>::new::<V>(data.as_ptr().cast_mut(), width, span.block_rows, span.channel)
    };
    let (features, bar) = (records(span.features, FEATURES), records(bar, STATE));
    let gradients = pairs.gradients.as_mut_ptr();
    let (zero, one) = (V::splat(0.0), [V::splat(1.0); N]);
    for (i, &[start, across, alone, end]) in pairs.bounds.iter().enumerate() {
        let mut totals = [zero; N];
        let (here, s_i) =
            // SAFETY: as in `message::Reverse`.
            unsafe { (features.load::<V>(span.first + i), bar.load::<V>(span.first + i)) };
        for chain in (start..end).step_by(CHAIN) {
            let mut sums = [zero; N];
            for k in chain..(chain + CHAIN as u32).min(end) {
                let pair = &pairs.list[k as usize];
                // SAFETY: see above.
                unsafe {
                    let (f, g) = filters::<V, N>(tables, pair);
                    let record = pair.record as usize;
                    let (there, s_j) = (features.load::<V>(record), bar.load::<V>(record));
                    let mut d_bar = zero;
                    for n in 0..N {
                        let both = there[n].mul_add(s_i[n], here[n].mul(s_j[n]));
                        d_bar = g[n].mul_add(both, d_bar);
                    }
                    V::add_sums(gradients.add(4 * k as usize), [d_bar, zero, zero, zero]);
                    if !span.initial {
                        for n in 0..N {
                            sums[n] = f[n].mul_add(s_j[n], sums[n]);
                        }
                        if k < alone {
                            targets.add(pair, k < across, f, s_i);
                        }
                    }
                }
            }
            for n in 0..N {
                totals[n] = totals[n].add(sums[n]);
            }
        }
        if !span.initial {
            // SAFETY: see above.
            unsafe { targets.own.add(i, one, totals) };
        }
    }
}
