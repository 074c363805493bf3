//! Arrays of float32 that start on a cache line and report running out of memory.
#![allow(unsafe_code)]

use std::collections::TryReserveError;
use std::ops::{Deref, DerefMut};

/// One cache line.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([f32; 16]);

/// A growing array of float32, aligned to 64 bytes.
#[derive(Clone, Default)]
pub struct Buffer {
    lines: Vec<Line>,
    len: usize,
}

impl Buffer {
    /// A buffer of `len` zeros.
    pub fn zeros(len: usize) -> Result<Self, TryReserveError> {
        let mut buffer = Self::default();
        buffer.resize(len)?;
        Ok(buffer)
    }

    /// Makes room for exactly `len` values; all of them are unspecified.
    pub fn resize(&mut self, len: usize) -> Result<(), TryReserveError> {
        let lines = len.div_ceil(16);
        self.lines.try_reserve_exact(lines.saturating_sub(self.lines.len()))?;
        self.lines.resize(lines, Line([0.0; 16]));
        self.len = len;
        Ok(())
    }

    /// Bytes allocated.
    pub fn memory(&self) -> usize {
        self.lines.capacity() * size_of::<Line>()
    }
}

impl Deref for Buffer {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        // SAFETY: a Line is sixteen f32 without padding, and `len` is at most 16 · lines.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.len) }
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        // SAFETY: as in `deref`, and borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.len) }
    }
}
