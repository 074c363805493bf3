//! Between Rust's results and C's statuses: nothing unwinds past this file.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::ffi::{CStr, c_char};
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::status::*;
use crate::engine::NAMED;
use crate::error::{ErrorKind, Result};

/// Room for a message and its final zero: a path of the usual length and a few sentences.
const MESSAGE_BYTES: usize = 4096;

/// No message names more atoms: three times as many as a finding names.
const MOST_ATOMS: usize = 3 * NAMED;

thread_local! {
    // A plain array: storing a message needs no memory, so it also works when that has run out,
    // and the address stays valid as long as the thread lives.
    static LAST_ERROR: RefCell<[u8; MESSAGE_BYTES]> = const { RefCell::new([0; MESSAGE_BYTES]) };
    /// How many atoms it names, and the first of them.
    static ITS_ATOMS: Cell<(usize, [u32; MOST_ATOMS])> = const { Cell::new((0, [0; MOST_ATOMS])) };
}

/// Runs `call`; a failure's message becomes this thread's last error.
pub(super) fn status_of(call: impl FnOnce() -> Result<()>) -> mlff_status {
    let run = || match call() {
        Ok(()) => MLFF_OK,
        Err(error) => {
            store(error.message(), error.atoms());
            code(error.kind())
        }
    };
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|payload| {
        let _ = catch_unwind(AssertUnwindSafe(|| store_panic(payload.as_ref())));
        // Dropping a payload may panic again.
        std::mem::forget(payload);
        MLFF_ERROR_INTERNAL
    })
}

/// Runs `call`, whose outcome C does not learn.
pub(super) fn quietly(call: impl FnOnce()) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(call)) {
        std::mem::forget(payload);
    }
}

/// This thread's last error; "" before any.
pub(super) fn last_error() -> *const c_char {
    // Nobody else has this thread's buffer, and nothing in this file keeps it borrowed.
    LAST_ERROR.with(|buffer| buffer.as_ptr().cast())
}

fn code(kind: ErrorKind) -> mlff_status {
    match kind {
        ErrorKind::InvalidArgument => MLFF_ERROR_INVALID_ARGUMENT,
        ErrorKind::Io => MLFF_ERROR_IO,
        ErrorKind::Format => MLFF_ERROR_FORMAT,
        ErrorKind::Unsupported => MLFF_ERROR_UNSUPPORTED,
        ErrorKind::Species => MLFF_ERROR_SPECIES,
        ErrorKind::Numeric => MLFF_ERROR_NUMERIC,
        ErrorKind::Memory => MLFF_ERROR_MEMORY,
        ErrorKind::Callback => MLFF_ERROR_CALLBACK,
        ErrorKind::State => MLFF_ERROR_STATE,
        ErrorKind::Internal => MLFF_ERROR_INTERNAL,
        ErrorKind::NoDevice => MLFF_ERROR_NO_DEVICE,
        ErrorKind::DeviceLost => MLFF_ERROR_DEVICE_LOST,
        ErrorKind::Outside => MLFF_ERROR_OUTSIDE,
    }
}

/// The atoms that this thread's last error names.
pub(super) fn last_atoms() -> (usize, [u32; MOST_ATOMS]) {
    ITS_ATOMS.get()
}

fn store(message: &str, atoms: &[u32]) {
    let count = atoms.len().min(MOST_ATOMS);
    let mut first = [0; MOST_ATOMS];
    first[..count].copy_from_slice(&atoms[..count]);
    ITS_ATOMS.set((count, first));
    let mut end = message.len().min(MESSAGE_BYTES - 1);
    while !message.is_char_boundary(end) {
        end -= 1;
    }
    LAST_ERROR.with_borrow_mut(|buffer| {
        for (slot, byte) in buffer.iter_mut().zip(message[..end].bytes()) {
            // A zero inside would hide the rest from C.
            *slot = if byte == 0 { b' ' } else { byte };
        }
        buffer[end] = 0;
    });
}

fn store_panic(payload: &(dyn Any + Send)) {
    let text = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message");
    store(&format!("a bug in mlff_student ({text}): please report it with your input"), &[]);
}

/// The name of a status, for people.
pub(super) fn status_name(status: mlff_status) -> &'static CStr {
    match status {
        MLFF_OK => c"MLFF_OK",
        MLFF_ERROR_INVALID_ARGUMENT => c"MLFF_ERROR_INVALID_ARGUMENT",
        MLFF_ERROR_IO => c"MLFF_ERROR_IO",
        MLFF_ERROR_FORMAT => c"MLFF_ERROR_FORMAT",
        MLFF_ERROR_UNSUPPORTED => c"MLFF_ERROR_UNSUPPORTED",
        MLFF_ERROR_SPECIES => c"MLFF_ERROR_SPECIES",
        MLFF_ERROR_NUMERIC => c"MLFF_ERROR_NUMERIC",
        MLFF_ERROR_MEMORY => c"MLFF_ERROR_MEMORY",
        MLFF_ERROR_CALLBACK => c"MLFF_ERROR_CALLBACK",
        MLFF_ERROR_STATE => c"MLFF_ERROR_STATE",
        MLFF_ERROR_INTERNAL => c"MLFF_ERROR_INTERNAL",
        MLFF_ERROR_NO_DEVICE => c"MLFF_ERROR_NO_DEVICE",
        MLFF_ERROR_DEVICE_LOST => c"MLFF_ERROR_DEVICE_LOST",
        MLFF_ERROR_OUTSIDE => c"MLFF_ERROR_OUTSIDE",
        _ => c"unknown mlff_status",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    fn message() -> String {
        // SAFETY: the buffer always holds a zero.
        unsafe { CStr::from_ptr(last_error()) }.to_str().unwrap().to_owned()
    }

    fn fail(text: &str) -> mlff_status {
        status_of(|| Err(Error::new(ErrorKind::Numeric, text)))
    }

    #[test]
    fn a_message_survives_success_and_gives_way_to_the_next_failure() {
        assert_eq!(message(), "");
        assert_eq!(fail("a long first message"), MLFF_ERROR_NUMERIC);
        assert_eq!(status_of(|| Ok(())), MLFF_OK);
        quietly(|| ());
        assert_eq!(message(), "a long first message");
        fail("second");
        assert_eq!(message(), "second");
    }

    #[test]
    fn messages_of_any_length_and_content_end_within_the_buffer() {
        fail(&"é".repeat(MESSAGE_BYTES));
        assert_eq!(message(), "é".repeat((MESSAGE_BYTES - 1) / 2));
        fail("before\0after");
        assert_eq!(message(), "before after");
    }

    #[test]
    fn each_thread_has_its_own_message() {
        fail("here");
        std::thread::spawn(|| {
            assert_eq!(message(), "");
            fail("there");
        })
        .join()
        .unwrap();
        assert_eq!(message(), "here");
    }

    #[test]
    fn a_panic_becomes_a_status_with_its_text() {
        assert_eq!(status_of(|| panic!("index {}", 7)), MLFF_ERROR_INTERNAL);
        assert!(message().contains("index 7"), "{}", message());
    }

    #[test]
    fn a_panic_whose_payload_panics_again_stays_inside() {
        struct Bomb;
        impl Drop for Bomb {
            fn drop(&mut self) {
                panic!("dropped");
            }
        }
        assert_eq!(status_of(|| std::panic::panic_any(Bomb)), MLFF_ERROR_INTERNAL);
        assert!(message().contains("no message"), "{}", message());
        quietly(|| std::panic::panic_any(Bomb));
    }

    #[test]
    fn every_kind_of_error_has_its_own_named_status() {
        use ErrorKind::*;
        let kinds = [
            InvalidArgument,
            Io,
            Format,
            Unsupported,
            Species,
            Numeric,
            Memory,
            Callback,
            State,
            Internal,
            NoDevice,
            DeviceLost,
            Outside,
        ];
        let names: std::collections::BTreeSet<_> =
            kinds.iter().map(|kind| status_name(code(*kind))).collect();
        assert_eq!(names.len(), kinds.len());
        assert!(names.iter().all(|name| name.to_bytes().starts_with(b"MLFF_ERROR_")));
    }
}
