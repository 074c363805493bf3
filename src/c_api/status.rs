//! Versions, statuses and the last error.

use std::ffi::c_char;

use super::boundary;

/// The header's version: major << 16 | minor << 8 | patch. Compare its major part, the upper 16
/// bits, with mlff_abi_version().
///
/// @since 0.1.0
pub const MLFF_ABI_VERSION: u32 = 1 << 8;

/// Outcome of a call: MLFF_OK or one of MLFF_ERROR_*. Numbers are never used again for another
/// meaning; later versions may add some.
///
/// @since 0.1.0
pub type mlff_status = i32;

/// Success. @since 0.1.0
pub const MLFF_OK: i32 = 0;
/// An argument is out of range, null or inconsistent with another. @since 0.1.0
pub const MLFF_ERROR_INVALID_ARGUMENT: i32 = 1;
/// A file could not be read. @since 0.1.0
pub const MLFF_ERROR_IO: i32 = 2;
/// A file was read but is not a model that this version understands. @since 0.1.0
pub const MLFF_ERROR_FORMAT: i32 = 3;
/// This build, processor or model cannot do what was asked. @since 0.1.0
pub const MLFF_ERROR_UNSUPPORTED: i32 = 4;
/// The model does not know a chemical element. @since 0.1.0
pub const MLFF_ERROR_SPECIES: i32 = 5;
/// NaN, infinity, atoms at one place, a degenerate cell. @since 0.1.0
pub const MLFF_ERROR_NUMERIC: i32 = 6;
/// Memory ran out; the handles are still usable. @since 0.1.0
pub const MLFF_ERROR_MEMORY: i32 = 7;
/// An exchange callback returned something other than 0. @since 0.1.0
pub const MLFF_ERROR_CALLBACK: i32 = 8;
/// Calls in the wrong order, or a calculator used by two calls at a time. @since 0.1.0
pub const MLFF_ERROR_STATE: i32 = 9;
/// A bug in this library. The calculator of the call cannot be used any more, only freed.
/// @since 0.1.0
pub const MLFF_ERROR_INTERNAL: i32 = 10;
/// There is no such device. @since 0.1.0
pub const MLFF_ERROR_NO_DEVICE: i32 = 11;
/// A device stopped working: no calculator of this process can use it until the process is started
/// again. @since 0.1.0
pub const MLFF_ERROR_DEVICE_LOST: i32 = 12;
/// With MLFF_CHECK_STRICT: atoms where the student learned nothing, or atoms that overlap.
/// mlff_calculator_get_check() says which. @since 0.1.0
pub const MLFF_ERROR_OUTSIDE: i32 = 13;

/// The MLFF_ABI_VERSION that the loaded library was built with. Its major part must equal the
/// header's.
///
/// Thread-safe; cannot fail.
///
/// @since 0.1.0
#[unsafe(no_mangle)]
pub extern "C" fn mlff_abi_version() -> u32 {
    MLFF_ABI_VERSION
}

/// The loaded library's version as text, for example "0.1.0".
///
/// Thread-safe; cannot fail.
///
/// @return a string that lives as long as the process; do not free it
///
/// @since 0.1.0
#[unsafe(no_mangle)]
pub extern "C" fn mlff_version() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}

/// What went wrong in this thread's last failing call: what was expected, what was found, what to
/// do. UTF-8. Successful calls and the free functions do not change it.
///
/// Thread-safe: each thread has its own; cannot fail.
///
/// @return a string of at most 4095 bytes, "" before any failure, never NULL; it belongs to the
///     library and is valid until this thread's next failing call or its end: copy it to keep it
///
/// @since 0.1.0
#[unsafe(no_mangle)]
pub extern "C" fn mlff_last_error() -> *const c_char {
    boundary::last_error()
}

/// The atoms that mlff_last_error() names, for callers whose users know other numbers: in the
/// message's order, as the caller counts them, from 0 (with a neighbor list owned atoms, then
/// ghosts).
///
/// Thread-safe: each thread has its own; cannot fail.
///
/// @param atoms out: the first of them; not written behind capacity; NULL with capacity 0
/// @param capacity length of atoms; no message names more than 24
/// @return how many there are; 0 where the message names none
///
/// @since 0.1.0
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlff_last_error_atoms(atoms: *mut i32, capacity: u32) -> u32 {
    let (count, named) = boundary::last_atoms();
    for (k, &atom) in named[..count.min(capacity as usize)].iter().enumerate() {
        if !atoms.is_null() {
            // SAFETY: `k` is below `capacity`, so `atoms` has this element, as documented.
            unsafe { atoms.add(k).write_unaligned(atom as i32) };
        }
    }
    count as u32
}

/// The name of a status, for example "MLFF_ERROR_IO".
///
/// Thread-safe; cannot fail.
///
/// @param status any number
/// @return a string that lives as long as the process; "unknown mlff_status" for other numbers
///
/// @since 0.1.0
#[unsafe(no_mangle)]
pub extern "C" fn mlff_status_name(status: mlff_status) -> *const c_char {
    boundary::status_name(status).as_ptr()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_abi_version_is_the_crates_version() {
        let [major, minor, patch] = [
            env!("CARGO_PKG_VERSION_MAJOR"),
            env!("CARGO_PKG_VERSION_MINOR"),
            env!("CARGO_PKG_VERSION_PATCH"),
        ]
        .map(|part| part.parse::<u32>().unwrap());
        assert_eq!(super::mlff_abi_version(), major << 16 | minor << 8 | patch);
    }
}
