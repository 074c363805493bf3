//! SSE2, AVX2 and AVX-512: intrinsics, which are safe inside [`Vector::run`] alone.

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

/// Aligns the stack of the function that it is inlined into to cache lines. Of its own the compiler
/// only does so if it knows before it hands out registers that something needs it: the vectors that
/// it then keeps on the stack would lie across two lines three times out of four, which made
/// messages in reverse up to a third slower, or not, from one start of a program to the next.
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
            let sums = _mm_add_ps(_mm256_castps256_ps128(sums), _mm256_extractf128_ps::<1>(sums));
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
