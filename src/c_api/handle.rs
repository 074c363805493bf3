//! Handles: what C sees as a pointer to an incomplete type, and owns.

use super::arguments::not_null;
use crate::error::Result;

/// A type that C only ever has pointers to.
pub(super) trait Handle: Sized {
    /// What the pointers really point to.
    type Target;
}

/// Hands an object to C.
pub(super) fn give<H: Handle>(object: H::Target) -> *mut H {
    Box::into_raw(Box::new(object)).cast()
}

/// Frees C's handle; null is nothing to free.
///
/// # Safety
/// `handle` is null or came from [`give`] and is not used again.
pub(super) unsafe fn free<H: Handle>(handle: *mut H) {
    if !handle.is_null() {
        // SAFETY: the caller's promise.
        drop(unsafe { Box::<H::Target>::from_raw(handle.cast()) });
    }
}

/// The object behind a handle.
///
/// # Safety
/// `handle` is null or came from [`give`] and is not freed during `'a`.
pub(super) unsafe fn borrow<'a, H: Handle>(handle: *const H, name: &str) -> Result<&'a H::Target>
where
    H::Target: 'a,
{
    let target: *const H::Target = not_null(handle, name)?.cast();
    // SAFETY: the caller's promise; objects are only ever lent as shared references.
    Ok(unsafe { &*target })
}
