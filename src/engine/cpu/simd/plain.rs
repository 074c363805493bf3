//! Plain Rust, four lanes. x86-64 has the same four lanes in instructions that all of its
//! processors have: there the compiler would keep these arrays in memory.

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
