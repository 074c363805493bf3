//! The table of functions by which the library of the package `torch/` is called. Both sides are
//! compiled from this file; [`VERSION`] tells when they are not of the same age.

use std::ffi::c_void;

use crate::error::{Error, ErrorKind};

/// Number of this interface, raised with every change of this file.
pub const VERSION: u32 = 1;

/// The library's file.
pub const LIBRARY: &str = "libmlff_student_torch.so";

/// The one symbol that is looked for: a [`Table`], for as long as the process lives.
pub const SYMBOL: &std::ffi::CStr = c"mlff_student_torch_functions";

/// What [`SYMBOL`] is.
pub type Symbol = unsafe extern "C" fn() -> *const Table;

/// The functions. None of them panics or throws into its caller.
#[repr(C)]
pub struct Table {
    /// [`VERSION`] of the library.
    pub version: u32,
    /// Makes an evaluator; null on failure.
    pub open: unsafe extern "C" fn(*const Opening, *mut Failure) -> *mut c_void,
    /// Evaluates; whether it succeeded. One call at a time for each evaluator.
    pub compute:
        unsafe extern "C" fn(*mut c_void, *const Input, *const Output, *mut Failure) -> bool,
    /// Ends an evaluator.
    pub close: unsafe extern "C" fn(*mut c_void),
}

/// What to evaluate, and where. Borrowed for the call.
#[repr(C)]
pub struct Opening {
    /// A file's bytes: a student's safetensors, or a TorchScript archive.
    pub file: *const u8,
    /// How many.
    pub length: usize,
    /// Whether it is TorchScript.
    pub script: bool,
    /// float64 instead of float32.
    pub double: bool,
    /// Number of a GPU; −1: the processor.
    pub gpu: i32,
    /// Threads of the processor.
    pub threads: u32,
}

/// Atoms and directed pairs within the cutoff. Borrowed for the call.
#[repr(C)]
pub struct Input {
    /// How many atoms.
    pub atoms: usize,
    /// Atomic number of each.
    pub species: *const i64,
    /// Position of each atom (Å), three values each.
    pub positions: *const f64,
    /// How many directed pairs.
    pub pairs: usize,
    /// The receiving atom i of each pair.
    pub to: *const i64,
    /// The sending atom j of each pair.
    pub from: *const i64,
    /// What is added to r_j − r_i (Å), three each.
    pub shifts: *const f64,
}

/// Room for results.
#[repr(C)]
pub struct Output {
    /// Energy of each atom (eV).
    pub energies: *mut f64,
    /// ∂E/∂r of each directed pair, r = r_j + shift − r_i (eV/Å), three each.
    pub gradients: *mut f64,
}

/// An error on its way.
#[repr(C)]
pub struct Failure {
    kind: u32,
    length: usize,
    text: [u8; 2048],
}

const KINDS: [ErrorKind; 8] = [
    ErrorKind::Internal,
    ErrorKind::InvalidArgument,
    ErrorKind::Format,
    ErrorKind::Unsupported,
    ErrorKind::Numeric,
    ErrorKind::Memory,
    ErrorKind::NoDevice,
    ErrorKind::DeviceLost,
];

impl Default for Failure {
    fn default() -> Self {
        Self { kind: 0, length: 0, text: [0; 2048] }
    }
}

impl Failure {
    /// Writes an error down; what is too long is cut.
    pub fn set(&mut self, error: &Error) {
        let text = error.message();
        let mut length = text.len().min(self.text.len());
        while !text.is_char_boundary(length) {
            length -= 1;
        }
        self.text[..length].copy_from_slice(&text.as_bytes()[..length]);
        self.length = length;
        self.kind = KINDS.iter().position(|kind| *kind == error.kind()).unwrap_or(0) as u32;
    }

    /// The error that the library wrote down.
    pub fn error(&self) -> Error {
        let text = &self.text[..self.length.min(self.text.len())];
        let kind = KINDS.get(self.kind as usize).copied().unwrap_or(ErrorKind::Internal);
        Error::new(kind, String::from_utf8_lossy(text))
    }
}
