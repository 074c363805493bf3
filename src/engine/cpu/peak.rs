//! The machine's float32 peak: multiply-adds on registers alone, for each instruction set.
//!
//! The measure of the kernels, so it is made of the same [`Vector`] operations.
#![allow(unsafe_code)]

use std::hint::black_box;
use std::time::Instant;

#[cfg(target_arch = "x86_64")]
use super::simd::{Avx2, Avx512};
use super::simd::{Portable, Task, Vector};
use crate::engine::InstructionSet;

/// Independent sums: with a latency of four to five cycles and two units, at least ten are needed
/// to keep both busy; twelve and two factors still fit into sixteen registers.
const SUMS: usize = 12;

/// Multiply-adds of each sum in one run, about 0.1 ms.
const STEPS: usize = 40_000;

/// The fastest of this many runs counts: others lose time to whoever shares the core.
const RUNS: usize = 200;

/// Floating-point operations per second (float32) that one core reaches with `set` where no memory
/// is read, a multiply-add counted as two; `None` where the processor lacks `set`.
pub fn peak(set: InstructionSet) -> Option<f64> {
    match set {
        InstructionSet::Portable => measure::<Portable>(),
        #[cfg(target_arch = "x86_64")]
        InstructionSet::Avx2 => measure::<Avx2>(),
        #[cfg(target_arch = "x86_64")]
        InstructionSet::Avx512 => measure::<Avx512>(),
        #[cfg(not(target_arch = "x86_64"))]
        InstructionSet::Avx2 | InstructionSet::Avx512 => None,
        InstructionSet::Best => {
            [InstructionSet::Avx512, InstructionSet::Avx2, InstructionSet::Portable]
                .into_iter()
                .find_map(peak)
        }
    }
}

fn measure<V: Vector>() -> Option<f64> {
    if !V::available() {
        return None;
    }
    // A compiler that knew the values would find lanes and sums equal and compute one of them.
    let values = black_box([0.999; 2 * LANES]);
    let fastest = (0..RUNS)
        .map(|_| {
            let mut results = [0.0; 4];
            let started = Instant::now();
            V::run(MultiplyAdd { values: &values, results: &mut results });
            let seconds = started.elapsed().as_secs_f64();
            black_box(results);
            seconds
        })
        .fold(f64::INFINITY, f64::min);
    Some((2 * SUMS * STEPS * V::LANES) as f64 / fastest)
}

/// The most lanes of any [`Vector`].
const LANES: usize = 16;

/// x ← factor · x + summand, which stays finite.
struct MultiplyAdd<'a> {
    values: &'a [f32; 2 * LANES],
    /// Where the sums go: what nobody reads would not be computed.
    results: &'a mut [f32; 4],
}

impl<V: Vector> Task<V> for MultiplyAdd<'_> {
    #[inline(always)]
    fn run(self) {
        let from = self.values.as_ptr();
        // SAFETY: a vector has at most `LANES` lanes, and `values` holds twice as many.
        let [factor, summand] = unsafe { [V::load(from), V::load(from.add(LANES))] };
        let mut sums = [summand; SUMS];
        for k in 1..SUMS {
            sums[k] = sums[k - 1].add(summand);
        }
        for _ in 0..STEPS {
            for sum in &mut sums {
                *sum = sum.mul_add(factor, summand);
            }
        }
        for four in sums.chunks_exact(4) {
            // SAFETY: `results` holds four values.
            unsafe { V::add_sums(self.results.as_mut_ptr(), [four[0], four[1], four[2], four[3]]) };
        }
    }
}
