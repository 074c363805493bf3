//! A small vector of float32 lanes, one implementation for each instruction set.
//!
//! Kernels are written once over [`Vector`] and inlined into [`Vector::run`], a thin function that
//! is compiled for the instruction set. Everything on the way must be `#[inline(always)]`, and no
//! closure may handle vectors (one that computes an index may be there), or the intrinsics are
//! called instead of inlined.
#![allow(unsafe_code)]

use crate::engine::InstructionSet;

/// `[f(0), f(1), f(2)]` for `|a| f(a)`, with x, y and z for 0, 1 and 2 in mind. A macro, since the
/// body of a closure would be compiled without the instruction set.
macro_rules! three {
    (|$a:ident| $body:expr) => {
        [
            {
                let $a = 0;
                $body
            },
            {
                let $a = 1;
                $body
            },
            {
                let $a = 2;
                $body
            },
        ]
    };
}
pub(super) use three;

/// The scalar product over x, y and z.
#[inline(always)]
pub fn dot<V: Vector>(a: [V; 3], b: [V; 3]) -> V {
    a[2].mul_add(b[2], a[1].mul_add(b[1], a[0].mul(b[0])))
}

/// A kernel with its arguments.
pub trait Task<V: Vector> {
    /// Runs the kernel; must be `#[inline(always)]`.
    fn run(self);
}

/// Lanes of float32. All operations are lane by lane.
pub trait Vector: Copy + Send + Sync + 'static {
    /// Number of lanes: a divisor of 16.
    const LANES: usize;
    /// The instruction set.
    const SET: InstructionSet;

    /// Whether this processor has the instructions.
    fn available() -> bool;
    /// Runs `task`, compiled for this instruction set. Panics where it is not [`available`].
    ///
    /// [`available`]: Self::available
    fn run<T: Task<Self>>(task: T);

    /// All lanes `x`.
    fn splat(x: f32) -> Self;
    /// Reads `LANES` values.
    ///
    /// # Safety
    /// `from` is valid for reading `LANES` values.
    unsafe fn load(from: *const f32) -> Self;
    /// Writes `LANES` values.
    ///
    /// # Safety
    /// `to` is valid for writing `LANES` values.
    unsafe fn store(self, to: *mut f32);
    /// self + other.
    fn add(self, other: Self) -> Self;
    /// self − other.
    fn sub(self, other: Self) -> Self;
    /// self · other.
    fn mul(self, other: Self) -> Self;
    /// self / other.
    fn div(self, other: Self) -> Self;
    /// self · a + b.
    fn mul_add(self, a: Self, b: Self) -> Self;
    /// √self.
    fn sqrt(self) -> Self;
    /// The larger of both; `other` where self is not a number.
    fn max(self, other: Self) -> Self;
    /// The smaller of both; `other` where self is not a number.
    fn min(self, other: Self) -> Self;
    /// The nearest whole number, of two the even one.
    fn round(self) -> Self;
    /// 2^self for whole numbers −126 … 127.
    fn exp2_whole(self) -> Self;
    /// Adds the sum over the lanes of each of four vectors to `to[0..4]`.
    ///
    /// # Safety
    /// `to` is valid for reading and writing four values.
    unsafe fn add_sums(to: *mut f32, of: [Self; 4]);

    /// e^self; relative error below 2e-7 for |self| ≤ 87, saturating beyond.
    #[inline(always)]
    fn exp(self) -> Self {
        let x = self.max(Self::splat(-87.0)).min(Self::splat(87.0));
        let n = x.mul(Self::splat(std::f32::consts::LOG2_E)).round();
        // ln 2 in two parts, so that the remainder is exact (Cody and Waite).
        let r = n.mul_add(Self::splat(-0.693_359_4), x);
        let r = n.mul_add(Self::splat(2.121_944_4e-4), r);
        // Taylor's series, |r| ≤ ln 2 / 2: the first term left out is below 3e-8.
        let mut p = Self::splat(1.0 / 5040.0);
        for factorial in [720.0, 120.0, 24.0, 6.0, 2.0, 1.0, 1.0] {
            p = p.mul_add(r, Self::splat(1.0 / factorial));
        }
        p.mul(n.exp2_whole())
    }

    /// 1 / (1 + e^−self).
    #[inline(always)]
    fn sigmoid(self) -> Self {
        let one = Self::splat(1.0);
        one.div(one.add(Self::splat(0.0).sub(self).exp()))
    }
}

#[cfg(any(test, not(target_arch = "x86_64")))]
mod plain;
#[cfg(target_arch = "x86_64")]
mod x86;

#[cfg(not(target_arch = "x86_64"))]
pub use plain::Portable;
#[cfg(target_arch = "x86_64")]
pub use x86::{Avx2, Avx512, Portable};

#[cfg(test)]
mod tests {
    use super::*;

    /// Compares every operation with float64, lane by lane, on many numbers.
    struct Check;

    impl<V: Vector> Task<V> for Check {
        fn run(self) {
            let mut random = fastrand::Rng::with_seed(7);
            for _ in 0..2000 {
                let numbers: [[f32; 16]; 4] =
                    std::array::from_fn(|_| std::array::from_fn(|_| (random.f32() - 0.5) * 60.0));
                // SAFETY: sixteen values are enough for any vector.
                let [a, b, c, d] = numbers.each_ref().map(|n| unsafe { V::load(n.as_ptr()) });
                let [x, y, z, _] = numbers;
                let close = |name: &str, found: V, expected: &dyn Fn(usize) -> f64| {
                    let mut lanes = [0.0_f32; 16];
                    // SAFETY: room for sixteen values.
                    unsafe { found.store(lanes.as_mut_ptr()) };
                    for lane in 0..V::LANES {
                        let (found, expected) = (f64::from(lanes[lane]), expected(lane));
                        let error = (found - expected).abs();
                        assert!(
                            error <= 3e-7 * expected.abs(),
                            "{name} ({:?}): {found}, expected {expected}",
                            V::SET
                        );
                    }
                };
                let wide = |n: &[f32; 16], lane: usize| f64::from(n[lane]);
                close("add", a.add(b), &|k| f64::from(x[k] + y[k]));
                close("sub", a.sub(b), &|k| f64::from(x[k] - y[k]));
                close("mul", a.mul(b), &|k| wide(&x, k) * wide(&y, k));
                close("div", a.div(b), &|k| wide(&x, k) / wide(&y, k));
                close("max", a.max(b), &|k| wide(&x, k).max(wide(&y, k)));
                close("min", a.min(b), &|k| wide(&x, k).min(wide(&y, k)));
                let none = V::splat(f32::NAN);
                close("max of none", none.max(b), &|k| wide(&y, k));
                close("min of none", none.min(b), &|k| wide(&y, k));
                close("sqrt", a.mul(a).sqrt(), &|k| wide(&x, k).abs());
                close("round", a.round(), &|k| wide(&x, k).round_ties_even());
                close("exp2", a.round().exp2_whole(), &|k| wide(&x, k).round_ties_even().exp2());
                close("exp", a.exp(), &|k| wide(&x, k).exp());
                close("sigmoid", a.sigmoid(), &|k| 1.0 / (1.0 + (-wide(&x, k)).exp()));
                let fused = a.mul_add(b, c).sub(c);
                let scale = |k: usize| wide(&x, k) * wide(&y, k);
                let mut lanes = [0.0_f32; 16];
                // SAFETY: room for sixteen values.
                unsafe { fused.store(lanes.as_mut_ptr()) };
                for k in 0..V::LANES {
                    let slack = 3e-7 * (scale(k).abs() + wide(&z, k).abs());
                    assert!((f64::from(lanes[k]) - scale(k)).abs() <= slack, "mul_add");
                }
                let mut sums = [1.0_f32, 2.0, 3.0, 4.0];
                // SAFETY: four values.
                unsafe { V::add_sums(sums.as_mut_ptr(), [a, b, c, d]) };
                for (k, sum) in sums.iter().enumerate() {
                    let exact: f64 = numbers[k][..V::LANES].iter().map(|&x| f64::from(x)).sum();
                    let size: f64 = numbers[k][..V::LANES].iter().map(|x| f64::from(x.abs())).sum();
                    assert!((f64::from(*sum) - (k + 1) as f64 - exact).abs() <= 1e-6 * size);
                }
            }
        }
    }

    fn check<V: Vector>() {
        if V::available() {
            V::run(Check);
        } else {
            eprintln!("SKIPPED: this processor has no {:?}", V::SET);
        }
    }

    #[test]
    fn vectors_compute_what_numbers_do() {
        check::<plain::Portable>();
        check::<Portable>();
        #[cfg(target_arch = "x86_64")]
        {
            check::<Avx2>();
            check::<Avx512>();
        }
    }
}
