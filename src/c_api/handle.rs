//! Handles: what C sees as a pointer to an incomplete type.
//!
//! [`Handle::Owner`] says once for each type of handle how C owns it, so giving out an `Arc` and
//! taking back a `Box` does not compile.

use std::sync::Arc;

use super::arguments::not_null;
use crate::error::Result;

/// A type that C only ever has pointers to.
pub(super) trait Handle: Sized {
    /// What the pointers really point to.
    type Target;
    /// `Box<Target>`: one owner. `Arc<Target>`: C's handle is one owner of several.
    type Owner: Owner<Self::Target>;
}

/// A smart pointer that can wait in C's hands.
pub(super) trait Owner<T>: Sized {
    /// Gives up ownership.
    fn into_raw(self) -> *mut T;

    /// Takes ownership back.
    ///
    /// # Safety
    /// `raw` came from [`Self::into_raw`] and is not used again.
    unsafe fn from_raw(raw: *mut T) -> Self;
}

impl<T> Owner<T> for Box<T> {
    fn into_raw(self) -> *mut T {
        Box::into_raw(self)
    }

    unsafe fn from_raw(raw: *mut T) -> Self {
        // SAFETY: the caller's promise.
        unsafe { Box::from_raw(raw) }
    }
}

impl<T> Owner<T> for Arc<T> {
    fn into_raw(self) -> *mut T {
        Arc::into_raw(self).cast_mut()
    }

    unsafe fn from_raw(raw: *mut T) -> Self {
        // SAFETY: the caller's promise.
        unsafe { Arc::from_raw(raw) }
    }
}

/// Hands an object to C.
pub(super) fn give<H: Handle>(owner: H::Owner) -> *mut H {
    owner.into_raw().cast()
}

/// Frees C's handle; null is nothing to free.
///
/// # Safety
/// `handle` is null or came from [`give`] and is not used again.
pub(super) unsafe fn free<H: Handle>(handle: *mut H) {
    if !handle.is_null() {
        // SAFETY: the caller's promise.
        drop(unsafe { H::Owner::from_raw(handle.cast()) });
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

/// One more owner of a shared object.
///
/// # Safety
/// As [`borrow`].
pub(super) unsafe fn share<H>(handle: *const H, name: &str) -> Result<Arc<H::Target>>
where
    H: Handle<Owner = Arc<<H as Handle>::Target>>,
{
    let target: *const H::Target = not_null(handle, name)?.cast();
    // SAFETY: the handle holds one count of an `Arc`, so this takes another.
    unsafe {
        Arc::increment_strong_count(target);
        Ok(Arc::from_raw(target))
    }
}
