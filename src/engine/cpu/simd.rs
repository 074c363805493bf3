//! A small vector of float32 lanes, one implementation for each instruction set.
//!
//! Kernels are written once over [`Vector`] and inlined into [`Vector::run`], a thin function that
//! is compiled for the instruction set. Everything on the way must be `#[inline(always)]`, and no closure may handle
//! vectors (one that computes an index may be there), or the intrinsics are called instead of inlined.
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

#[cfg(not(target_arch = "x86_64"))]
pub use plain::Portable;
#[cfg(target_arch = "x86_64")]
pub use x86::{Avx2, Avx512, Portable};

/// Plain Rust, four lanes. x86-64 has the same four lanes in instructions that all of its
/// processors have: there the compiler would keep these arrays in memory.
#[cfg(any(test, not(target_arch = "x86_64")))]
mod plain {
    use super::{InstructionSet, Task, Vector};

    /// Plain Rust, four lanes: one register of any 128-bit instruction set.
    #[derive(Clone, Copy)]
    pub struct Portable([f32; 4]);

    impl Portable {
        #[inline(always)]
        fn zip(self, other: Self, f: impl Fn(f32, f32) -> f32) -> Self {
            Self(std::array::from_fn(|k| f(self.0[k], other.0[k])))
        }
    }

    impl Vector for Portable {
        const LANES: usize = 4;
        const SET: InstructionSet = InstructionSet::Portable;

        fn available() -> bool {
            true
        }
        fn run<T: Task<Self>>(task: T) {
            task.run();
        }
        #[inline(always)]
        fn splat(x: f32) -> Self {
            Self([x; 4])
        }
        #[inline(always)]
        unsafe fn load(from: *const f32) -> Self {
            // SAFETY: valid for reading four values, as the caller promises.
            Self(unsafe { from.cast::<[f32; 4]>().read_unaligned() })
        }
        #[inline(always)]
        unsafe fn store(self, to: *mut f32) {
            // SAFETY: valid for writing four values, as the caller promises.
            unsafe { to.cast::<[f32; 4]>().write_unaligned(self.0) }
        }
        #[inline(always)]
        fn add(self, other: Self) -> Self {
            self.zip(other, |a, b| a + b)
        }
        #[inline(always)]
        fn sub(self, other: Self) -> Self {
            self.zip(other, |a, b| a - b)
        }
        #[inline(always)]
        fn mul(self, other: Self) -> Self {
            self.zip(other, |a, b| a * b)
        }
        #[inline(always)]
        fn div(self, other: Self) -> Self {
            self.zip(other, |a, b| a / b)
        }
        #[inline(always)]
        fn mul_add(self, a: Self, b: Self) -> Self {
            // Not f32::mul_add: without the instruction that is a slow library call.
            self.mul(a).add(b)
        }
        #[inline(always)]
        fn sqrt(self) -> Self {
            Self(self.0.map(f32::sqrt))
        }
        #[inline(always)]
        fn max(self, other: Self) -> Self {
            self.zip(other, |a, b| if a > b { a } else { b })
        }
        #[inline(always)]
        fn min(self, other: Self) -> Self {
            self.zip(other, |a, b| if a < b { a } else { b })
        }
        #[inline(always)]
        fn round(self) -> Self {
            // Adding and subtracting 1.5 · 2²³ leaves no room for a fraction.
            let shift = Self::splat(12_582_912.0);
            self.add(shift).sub(shift)
        }
        #[inline(always)]
        fn exp2_whole(self) -> Self {
            Self(self.0.map(|n| f32::from_bits(((n as i32 + 127) << 23) as u32)))
        }
        #[inline(always)]
        unsafe fn add_sums(to: *mut f32, of: [Self; 4]) {
            let sums = of.map(|v| (v.0[0] + v.0[2]) + (v.0[1] + v.0[3]));
            // SAFETY: valid for four values, as the caller promises.
            unsafe { Self::load(to).add(Self(sums)).store(to) }
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;
    use std::hint::black_box;

    use super::{InstructionSet, Task, Vector};

    /// SSE2, four lanes, which every x86-64 processor has.
    #[derive(Clone, Copy)]
    pub struct Portable(__m128);

    /// AVX2 with FMA, eight lanes. Values exist only inside [`Vector::run`].
    #[derive(Clone, Copy)]
    pub struct Avx2(__m256);

    /// AVX-512 F, sixteen lanes. Values exist only inside [`Vector::run`].
    #[derive(Clone, Copy)]
    pub struct Avx512(__m512);

    /// One cache line.
    #[repr(align(64))]
    struct Line([u8; 64]);

    /// Aligns the stack of the function that it is inlined into to cache lines. Of its own the compiler only does
    /// so if it knows before it hands out registers that something needs it: the vectors that it then keeps on
    /// the stack would lie across two lines three times out of four, which made messages in reverse up to a
    /// third slower, or not, from one start of a program to the next.
    #[inline(always)]
    fn align_stack() {
        black_box(&mut Line([0; 64]).0);
    }

    #[target_feature(enable = "avx2,fma")]
    fn run_avx2<T: Task<Avx2>>(task: T) {
        align_stack();
        task.run();
    }

    #[target_feature(enable = "avx512f,avx2,fma")]
    fn run_avx512<T: Task<Avx512>>(task: T) {
        align_stack();
        task.run();
    }

    /// Implements the methods that are one intrinsic each.
    macro_rules! intrinsics {
        ($($name:ident($($argument:ident),*) = $intrinsic:ident;)*) => {
            $(
                #[inline(always)]
                fn $name(self, $($argument: Self),*) -> Self {
                    // SAFETY: values exist only inside `run`, which checked the processor.
                    Self(unsafe { $intrinsic(self.0, $($argument.0),*) })
                }
            )*
        };
    }

    /// Implements the ways in and out of registers.
    macro_rules! memory {
        (splat = $splat:ident; load = $load:ident; store = $store:ident;) => {
            #[inline(always)]
            fn splat(x: f32) -> Self {
                // SAFETY: called inside `run`, which checked the processor.
                Self(unsafe { $splat(x) })
            }
            #[inline(always)]
            unsafe fn load(from: *const f32) -> Self {
                // SAFETY: valid for `LANES` values, as the caller promises; inside `run`.
                Self(unsafe { $load(from) })
            }
            #[inline(always)]
            unsafe fn store(self, to: *mut f32) {
                // SAFETY: valid for `LANES` values, as the caller promises; inside `run`.
                unsafe { $store(to, self.0) }
            }
        };
    }

    impl Vector for Portable {
        const LANES: usize = 4;
        const SET: InstructionSet = InstructionSet::Portable;

        fn available() -> bool {
            true
        }
        fn run<T: Task<Self>>(task: T) {
            task.run();
        }
        memory! { splat = _mm_set1_ps; load = _mm_loadu_ps; store = _mm_storeu_ps; }
        intrinsics! {
            add(other) = _mm_add_ps;
            sub(other) = _mm_sub_ps;
            mul(other) = _mm_mul_ps;
            div(other) = _mm_div_ps;
            sqrt() = _mm_sqrt_ps;
            max(other) = _mm_max_ps;
            min(other) = _mm_min_ps;
        }
        #[inline(always)]
        fn mul_add(self, a: Self, b: Self) -> Self {
            self.mul(a).add(b)
        }
        #[inline(always)]
        fn round(self) -> Self {
            // SAFETY: every x86-64 processor has SSE2.
            Self(unsafe { _mm_cvtepi32_ps(_mm_cvtps_epi32(self.0)) })
        }
        #[inline(always)]
        fn exp2_whole(self) -> Self {
            // SAFETY: every x86-64 processor has SSE2.
            unsafe {
                let n = _mm_add_epi32(_mm_cvtps_epi32(self.0), _mm_set1_epi32(127));
                Self(_mm_castsi128_ps(_mm_slli_epi32::<23>(n)))
            }
        }
        #[inline(always)]
        unsafe fn add_sums(to: *mut f32, [a, b, c, d]: [Self; 4]) {
            // SAFETY: every x86-64 processor has SSE2; `to` is valid for four values, as the caller
            // promises.
            unsafe {
                let (mut a, mut b, mut c, mut d) = (a.0, b.0, c.0, d.0);
                _MM_TRANSPOSE4_PS(&mut a, &mut b, &mut c, &mut d);
                let sums = _mm_add_ps(_mm_add_ps(a, c), _mm_add_ps(b, d));
                _mm_storeu_ps(to, _mm_add_ps(_mm_loadu_ps(to), sums));
            }
        }
    }

    impl Vector for Avx2 {
        const LANES: usize = 8;
        const SET: InstructionSet = InstructionSet::Avx2;

        fn available() -> bool {
            is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")
        }
        fn run<T: Task<Self>>(task: T) {
            assert!(Self::available());
            // SAFETY: the processor has the instructions.
            unsafe { run_avx2(task) }
        }
        memory! { splat = _mm256_set1_ps; load = _mm256_loadu_ps; store = _mm256_storeu_ps; }
        intrinsics! {
            add(other) = _mm256_add_ps;
            sub(other) = _mm256_sub_ps;
            mul(other) = _mm256_mul_ps;
            div(other) = _mm256_div_ps;
            mul_add(a, b) = _mm256_fmadd_ps;
            sqrt() = _mm256_sqrt_ps;
            max(other) = _mm256_max_ps;
            min(other) = _mm256_min_ps;
        }
        #[inline(always)]
        fn round(self) -> Self {
            const NEAREST: i32 = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
            // SAFETY: inside `run`.
            Self(unsafe { _mm256_round_ps::<NEAREST>(self.0) })
        }
        #[inline(always)]
        fn exp2_whole(self) -> Self {
            // SAFETY: inside `run`.
            unsafe {
                let n = _mm256_add_epi32(_mm256_cvtps_epi32(self.0), _mm256_set1_epi32(127));
                Self(_mm256_castsi256_ps(_mm256_slli_epi32::<23>(n)))
            }
        }
        #[inline(always)]
        unsafe fn add_sums(to: *mut f32, [a, b, c, d]: [Self; 4]) {
            // SAFETY: inside `run`; `to` is valid for four values, as the caller promises.
            unsafe {
                let sums = _mm256_hadd_ps(_mm256_hadd_ps(a.0, b.0), _mm256_hadd_ps(c.0, d.0));
                let sums =
                    _mm_add_ps(_mm256_castps256_ps128(sums), _mm256_extractf128_ps::<1>(sums));
                _mm_storeu_ps(to, _mm_add_ps(_mm_loadu_ps(to), sums));
            }
        }
    }

    impl Avx512 {
        /// The sum of the lower and the upper eight lanes.
        #[inline(always)]
        fn halves(self) -> Avx2 {
            // SAFETY: values exist only inside `run`, which checked the processor.
            unsafe {
                let high = _mm512_extractf64x4_pd::<1>(_mm512_castps_pd(self.0));
                Avx2(_mm256_add_ps(_mm512_castps512_ps256(self.0), _mm256_castpd_ps(high)))
            }
        }
    }

    impl Vector for Avx512 {
        const LANES: usize = 16;
        const SET: InstructionSet = InstructionSet::Avx512;

        fn available() -> bool {
            Avx2::available() && is_x86_feature_detected!("avx512f")
        }
        fn run<T: Task<Self>>(task: T) {
            assert!(Self::available());
            // SAFETY: the processor has the instructions.
            unsafe { run_avx512(task) }
        }
        memory! { splat = _mm512_set1_ps; load = _mm512_loadu_ps; store = _mm512_storeu_ps; }
        intrinsics! {
            add(other) = _mm512_add_ps;
            sub(other) = _mm512_sub_ps;
            mul(other) = _mm512_mul_ps;
            div(other) = _mm512_div_ps;
            mul_add(a, b) = _mm512_fmadd_ps;
            sqrt() = _mm512_sqrt_ps;
            max(other) = _mm512_max_ps;
            min(other) = _mm512_min_ps;
        }
        #[inline(always)]
        fn round(self) -> Self {
            // SAFETY: inside `run`. 0: no fraction bits, to nearest.
            Self(unsafe { _mm512_roundscale_ps::<0>(self.0) })
        }
        #[inline(always)]
        fn exp2_whole(self) -> Self {
            // SAFETY: inside `run`.
            Self(unsafe { _mm512_scalef_ps(_mm512_set1_ps(1.0), self.0) })
        }
        #[inline(always)]
        unsafe fn add_sums(to: *mut f32, of: [Self; 4]) {
            let [a, b, c, d] = of;
            // SAFETY: inside `run`; `to` is valid for four values, as the caller promises.
            unsafe { Avx2::add_sums(to, [a.halves(), b.halves(), c.halves(), d.halves()]) }
        }
    }
}

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
