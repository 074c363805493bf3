//! What every file format comes down to: tensors with names, and settings beside them.

use std::collections::BTreeMap;

use crate::error::{Error, ErrorKind, Result};

/// An array of numbers, whatever their width was in the file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tensor {
    /// Length in each dimension.
    pub shape: Vec<usize>,
    /// The values, last dimension fastest.
    pub values: Vec<f64>,
}

/// The content of a file, before anyone asks what network it is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tensors {
    /// Tensors by name.
    pub tensors: BTreeMap<String, Tensor>,
    /// Numbers and strings beside the tensors, by their path (`config.cutoff`).
    pub settings: BTreeMap<String, String>,
}

/// How a number is written in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dtype {
    F64,
    F32,
    F16,
    Bf16,
    I64,
    I32,
    I16,
    I8,
    U64,
    U32,
    U16,
    U8,
}

impl Dtype {
    /// Bytes of one number.
    pub fn size(self) -> usize {
        match self {
            Self::F64 | Self::I64 | Self::U64 => 8,
            Self::F32 | Self::I32 | Self::U32 => 4,
            Self::F16 | Self::Bf16 | Self::I16 | Self::U16 => 2,
            Self::I8 | Self::U8 => 1,
        }
    }

    /// The little-endian number at the start of `bytes`; `None` if they are too few.
    pub fn read(self, bytes: &[u8]) -> Option<f64> {
        fn first<const N: usize>(bytes: &[u8]) -> Option<[u8; N]> {
            bytes.first_chunk().copied()
        }
        Some(match self {
            Self::F64 => f64::from_le_bytes(first(bytes)?),
            Self::F32 => f64::from(f32::from_le_bytes(first(bytes)?)),
            Self::F16 => half::f16::from_le_bytes(first(bytes)?).to_f64(),
            Self::Bf16 => half::bf16::from_le_bytes(first(bytes)?).to_f64(),
            Self::I64 => i64::from_le_bytes(first(bytes)?) as f64,
            Self::I32 => f64::from(i32::from_le_bytes(first(bytes)?)),
            Self::I16 => f64::from(i16::from_le_bytes(first(bytes)?)),
            Self::I8 => f64::from(i8::from_le_bytes(first(bytes)?)),
            Self::U64 => u64::from_le_bytes(first(bytes)?) as f64,
            Self::U32 => f64::from(u32::from_le_bytes(first(bytes)?)),
            Self::U16 => f64::from(u16::from_le_bytes(first(bytes)?)),
            Self::U8 => f64::from(u8::from_le_bytes(first(bytes)?)),
        })
    }

    /// All numbers in `bytes`, which must be `count` of them.
    pub fn read_all(self, bytes: &[u8], count: usize) -> Result<Vec<f64>> {
        if Some(bytes.len()) != count.checked_mul(self.size()) {
            return Err(Error::new(
                ErrorKind::Format,
                format!(
                    "expected {count} values of {} bytes, found {} bytes: the file is damaged",
                    self.size(),
                    bytes.len()
                ),
            ));
        }
        let mut values = Vec::new();
        values.try_reserve_exact(count)?;
        values.extend(bytes.chunks_exact(self.size()).filter_map(|chunk| self.read(chunk)));
        Ok(values)
    }
}

/// Number of values of a shape.
pub(super) fn count(shape: &[usize]) -> Result<usize> {
    shape.iter().try_fold(1_usize, |count, &length| count.checked_mul(length)).ok_or_else(|| {
        Error::new(
            ErrorKind::Format,
            format!("found a tensor of shape {shape:?}, more than any memory: the file is damaged"),
        )
    })
}

/// Memory that one file may ask for.
///
/// Views, aliases and archive members that share bytes let a small file describe arbitrarily much;
/// real checkpoints share a few tensors at most.
pub(super) struct Budget {
    left: usize,
}

impl Budget {
    /// For a file of this many bytes. 16 float64 values for each of its bytes is 64 copies of a
    /// float32 file.
    pub fn new(file: usize) -> Self {
        Self { left: file.saturating_mul(16) }
    }

    /// Takes room for `count` values.
    pub fn spend(&mut self, count: usize) -> Result<()> {
        self.left = self.left.checked_sub(count).ok_or_else(|| {
            Error::new(
                ErrorKind::Format,
                "the tensors are far larger than the file that holds them: it is damaged or made \
                 to exhaust memory",
            )
        })?;
        Ok(())
    }
}

/// Names for a message, the first dozen of them.
pub(super) fn list(names: &[impl AsRef<str>]) -> String {
    const SHOWN: usize = 12;
    let shown: Vec<&str> = names.iter().take(SHOWN).map(AsRef::as_ref).collect();
    match names.len() {
        0 => "nothing".to_string(),
        1..=SHOWN => shown.join(", "),
        all => format!("{} and {} more", shown.join(", "), all - SHOWN),
    }
}
