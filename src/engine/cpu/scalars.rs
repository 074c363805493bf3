//! The pair kernels of channels without vectors, which is what a student with fewer vectors than
//! channels has behind those with them: only s is sent, s_i += Σ_j x_j¹ ⊙ φ¹(d). N channel groups
//! at a time, since there is little to compute for each pair and channel. Otherwise as in
//! [`super::message`].
#![allow(unsafe_code)]

use super::message::{CHAIN, Forward, Records, Reverse, Span, Targets, load};
use super::pairs::Pair;
use super::records::Record;
use super::simd::Vector;
use crate::engine::table::TERMS;

/// Most channel groups at a time: more would want more registers than there are.
pub const GROUPS_AT_ONCE: usize = 2;

/// Value and slope (times the step) of φ¹ in N channel groups.
///
/// # Safety
/// In each channel group `tables` is valid for reading the interval.
#[inline(always)]
unsafe fn filters<V: Vector, const N: usize>(
    tables: [*const f32; N],
    pair: &Pair,
) -> ([V; N], [V; N]) {
    let (mut values, mut slopes) = ([V::splat(0.0); N], [V::splat(0.0); N]);
    let t = V::splat(pair.t);
    for n in 0..N {
        // SAFETY: inside the interval, as the caller promises.
        let c: [V; TERMS] =
            unsafe { load(tables[n].add(pair.interval as usize * TERMS * V::LANES)) };
        // As `message::filter`.
        let (mut slope, mut value) = (c[5], c[5].mul_add(t, c[4]));
        for term in [3, 2, 1, 0] {
            slope = slope.mul_add(t, value);
            value = value.mul_add(t, c[term]);
        }
        (values[n], slopes[n]) = (value, slope);
    }
    (values, slopes)
}

/// Where the N channel groups of `span` begin in its table.
#[inline(always)]
fn tables<const N: usize>(span: Span<'_>) -> [*const f32; N] {
    std::array::from_fn(|n| span.table[n * span.table_stride..][..span.table_stride].as_ptr())
}

/// The vectors at N places.
///
/// # Safety
/// They may be read.
#[inline(always)]
unsafe fn gather<V: Vector, const N: usize>(from: [*const f32; N]) -> [V; N] {
    let mut values = [V::splat(0.0); N];
    for (value, from) in values.iter_mut().zip(from) {
        // SAFETY: as the caller promises.
        *value = unsafe { V::load(from) };
    }
    values
}

/// Adds a · b to the vector at `to`.
///
/// # Safety
/// It may be read and written.
#[inline(always)]
unsafe fn add<V: Vector>(to: *mut f32, a: V, b: V) {
    // SAFETY: as the caller promises.
    unsafe { a.mul_add(b, V::load(to)).store(to) };
}

/// Messages of the N channel groups from that of the span on.
#[inline(always)]
pub fn forward<V: Vector, const N: usize>(task: Forward<'_>) {
    let Forward { span, pairs, out, borrowed } = task;
    let tables = tables::<N>(span);
    let (targets, features) = places::<V, N>(span, Record::STATE, out, borrowed);
    let one = V::splat(1.0);
    for (i, &[start, across, alone, end]) in pairs.bounds.iter().enumerate() {
        let mut totals = [V::splat(0.0); N];
        // SAFETY: here and below as in `message::Forward`.
        let here = unsafe { gather::<V, N>(features.map(|records| records.at(span.chunk, i))) };
        for chain in (start..end).step_by(CHAIN) {
            let mut sums = [V::splat(0.0); N];
            for k in chain..(chain + CHAIN as u32).min(end) {
                let pair = &pairs.list[k as usize];
                // SAFETY: see above.
                unsafe {
                    let (f, _) = filters::<V, N>(tables, pair);
                    let there = gather::<V, N>(features.map(|records| records.of(pair)));
                    for n in 0..N {
                        sums[n] = there[n].mul_add(f[n], sums[n]);
                        if k < alone {
                            add(targets[n].of(pair, k < across), here[n], f[n]);
                        }
                    }
                }
            }
            for n in 0..N {
                totals[n] = totals[n].add(sums[n]);
            }
        }
        for n in 0..N {
            // SAFETY: see above.
            unsafe { add(targets[n].own(i), one, totals[n]) };
        }
    }
}

/// Reverse of [`forward`].
#[inline(always)]
pub fn reverse<V: Vector, const N: usize>(task: Reverse<'_>) {
    let Reverse { span, pairs, bar, out, borrowed } = task;
    let tables = tables::<N>(span);
    let (targets, features) = places::<V, N>(span, Record::received(true), out, borrowed);
    let bar: [Records; N] = std::array::from_fn(|n| {
        Records::new::<V>(bar, span.layout, Record::STATE, span.channel + n)
    });
    let gradients = pairs.gradients.as_mut_ptr();
    let (zero, one) = (V::splat(0.0), V::splat(1.0));
    for (i, &[start, across, alone, end]) in pairs.bounds.iter().enumerate() {
        let mut totals = [zero; N];
        // SAFETY: here and below as in `message::Reverse`.
        let (here, s_i) = unsafe {
            (
                gather::<V, N>(features.map(|records| records.at(span.chunk, i))),
                gather::<V, N>(bar.map(|records| records.at(span.chunk, i))),
            )
        };
        for chain in (start..end).step_by(CHAIN) {
            let mut sums = [zero; N];
            for k in chain..(chain + CHAIN as u32).min(end) {
                let pair = &pairs.list[k as usize];
                // SAFETY: see above.
                unsafe {
                    let (f, g) = filters::<V, N>(tables, pair);
                    let there = gather::<V, N>(features.map(|records| records.of(pair)));
                    let s_j = gather::<V, N>(bar.map(|records| records.of(pair)));
                    let mut d_bar = zero;
                    for n in 0..N {
                        let both = there[n].mul_add(s_i[n], here[n].mul(s_j[n]));
                        d_bar = g[n].mul_add(both, d_bar);
                    }
                    V::add_sums(gradients.add(4 * k as usize), [d_bar, zero, zero, zero]);
                    if !span.initial {
                        for n in 0..N {
                            sums[n] = f[n].mul_add(s_j[n], sums[n]);
                            if k < alone {
                                add(targets[n].of(pair, k < across), f[n], s_i[n]);
                            }
                        }
                    }
                }
            }
            for n in 0..N {
                totals[n] = totals[n].add(sums[n]);
            }
        }
        if !span.initial {
            for n in 0..N {
                // SAFETY: see above.
                unsafe { add(targets[n].own(i), one, totals[n]) };
            }
        }
    }
}

/// Rows that are added to, of which those that are borrowed become zero, and features.
#[inline(always)]
fn places<V: Vector, const N: usize>(
    span: Span<'_>,
    record: Record,
    out: &mut [f32],
    borrowed: &mut [f32],
) -> ([Targets; N], [Records; N]) {
    (
        std::array::from_fn(|n| {
            Targets::new::<V>(span, span.channel + n, record, [&mut *out, &mut *borrowed], true)
        }),
        std::array::from_fn(|n| {
            let features = Record::features(true);
            Records::new::<V>(span.features, span.layout, features, span.channel + n)
        }),
    )
}
