//! One error type. Every message says what was expected, what was found and what to do.

use std::fmt;

/// What went wrong, in the classes that a caller can act upon. The C API's `mlff_status` has the
/// same members in the same order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// An argument is out of range, null or inconsistent with another.
    InvalidArgument,
    /// A file could not be read or written.
    Io,
    /// A file was read but is not a model that this version understands.
    Format,
    /// This build, device or model cannot do what was asked.
    Unsupported,
    /// The model does not know a chemical element.
    Species,
    /// NaN, infinity, atoms at one place, a degenerate cell.
    Numeric,
    /// Memory ran out; the handle is still usable.
    Memory,
    /// A callback of the caller reported failure.
    Callback,
    /// Calls in the wrong order.
    State,
    /// A bug in this library.
    Internal,
    /// There is no such device.
    NoDevice,
    /// A device stopped working.
    DeviceLost,
    /// Atoms where a student learned nothing, and the caller wants none (`engine::Check::Strict`).
    Outside,
}

/// The library's error: a kind and a sentence for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    atoms: Vec<u32>,
}

/// Short for a result with [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An error of `kind`; `message` says what was expected, what was found and what to do.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), atoms: Vec::new() }
    }

    /// Notes which atoms the message names, in its order: callers may have other names for them.
    #[must_use]
    pub fn about(mut self, atoms: impl IntoIterator<Item = usize>) -> Self {
        for atom in atoms {
            // Where memory has run out, the message is all there is.
            if self.atoms.try_reserve(1).is_ok() {
                self.atoms.push(atom as u32);
            }
        }
        self
    }

    /// The atoms that the message names, by the caller's numbers from 0; of a neighbor list owned
    /// atoms first, then ghosts.
    pub fn atoms(&self) -> &[u32] {
        &self.atoms
    }

    /// The class of the error.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The sentence for people.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Puts `what: ` before the message, for the place where it happened (a file, an atom).
    #[must_use]
    pub fn within(mut self, what: impl fmt::Display) -> Self {
        self.message = format!("{what}: {}", self.message);
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

impl From<std::collections::TryReserveError> for Error {
    fn from(error: std::collections::TryReserveError) -> Self {
        Self::new(
            ErrorKind::Memory,
            format!("not enough memory ({error}): use fewer atoms per process or a smaller model"),
        )
    }
}
