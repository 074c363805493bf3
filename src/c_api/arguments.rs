//! Pointers and enums from C, checked as far as they can be.

use std::ffi::{CStr, c_char};

use crate::error::{Error, ErrorKind, Result};

/// An [`ErrorKind::InvalidArgument`].
pub(super) fn invalid<T>(message: impl Into<String>) -> Result<T> {
    Err(Error::new(ErrorKind::InvalidArgument, message))
}

/// `pointer`, which is neither null nor misaligned.
pub(super) fn not_null<T>(pointer: *const T, name: &str) -> Result<*const T> {
    if pointer.is_null() {
        return invalid(format!("{name} is a null pointer: pass the address of a valid one"));
    }
    if !pointer.is_aligned() {
        return invalid(format!(
            "{name} is {pointer:p}, but its type needs an address that is a multiple of {}: do not \
             point into packed structs or at an offset in a byte buffer",
            align_of::<T>()
        ));
    }
    Ok(pointer)
}

/// `pointer`, through which a result will be written.
pub(super) fn not_null_mut<T>(pointer: *mut T, name: &str) -> Result<*mut T> {
    not_null(pointer, name).map(<*const T>::cast_mut)
}

/// An array of C's; null is as good as any other address if it is empty.
///
/// # Safety
/// `pointer` is null or points to `len` values that nobody changes during `'a`.
pub(super) unsafe fn array<'a, T>(pointer: *const T, len: usize, name: &str) -> Result<&'a [T]> {
    if len == 0 {
        return Ok(&[]);
    }
    let pointer = not_null(pointer, name)?;
    // SAFETY: not null, aligned, and the caller's promise.
    Ok(unsafe { std::slice::from_raw_parts(pointer, len) })
}

/// The address of an array of C's that is not read as a whole, or not read at all.
pub(super) fn array_address<T>(pointer: *const T, len: usize, name: &str) -> Result<*const T> {
    if len == 0 { Ok(pointer) } else { not_null(pointer, name) }
}

/// A zero-terminated string of C's.
///
/// # Safety
/// `pointer` is null or points to a string that nobody changes during `'a`.
pub(super) unsafe fn string<'a>(pointer: *const c_char, name: &str) -> Result<&'a CStr> {
    let pointer = not_null(pointer, name)?;
    // SAFETY: not null, and the caller's promise.
    Ok(unsafe { CStr::from_ptr(pointer) })
}

/// A count that C passes as a signed integer.
pub(super) fn count(value: i32, name: &str) -> Result<usize> {
    match usize::try_from(value) {
        Ok(count) => Ok(count),
        Err(_) => invalid(format!("{name} is {value}: expected 0 or more")),
    }
}

/// The meaning of an enum's number, out of all that are known.
pub(super) fn choice<T: Copy>(value: i32, name: &str, known: &[(i32, &str, T)]) -> Result<T> {
    if let Some((_, _, meaning)) = known.iter().find(|(number, ..)| *number == value) {
        return Ok(*meaning);
    }
    let known: Vec<String> =
        known.iter().map(|(number, constant, _)| format!("{constant} ({number})")).collect();
    invalid(format!(
        "{name} is {value}: expected {} (zero-fill structs before use)",
        known.join(" or ")
    ))
}

/// A field kept for later versions.
pub(super) fn reserved(value: u32, name: &str) -> Result<()> {
    match value {
        0 => Ok(()),
        _ => invalid(format!("{name} is {value}: expected 0 (zero-fill structs before use)")),
    }
}
