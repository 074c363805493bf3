//! Structs that grow with the library's versions, read and written by the caller's `struct_size`.
//!
//! A caller of an older version has a shorter struct: what it lacks is zero. A caller of a newer
//! version has a longer one: what this library does not know must be zero, or it would be ignored
//! in silence.

use super::arguments::{invalid, not_null};
use crate::error::Result;

/// No struct will ever be longer. `struct_size` is often forgotten, and checking a random number
/// of bytes would read memory that is not there.
const LONGEST: usize = 4096;

/// A public struct.
///
/// # Safety
/// `repr(C)`, without padding, valid for any bytes that C can write, `struct_size: u32` first.
/// [`versioned!`] checks all of it that can be checked.
pub(super) unsafe trait Versioned: Copy {
    /// Its name in C.
    const NAME: &'static str;
    /// The sizes it had in published versions, ascending, ending with the present one.
    const PUBLISHED: &'static [usize];

    /// The size that the caller's version has.
    fn struct_size(&self) -> usize;
}

/// Implements [`Versioned`] where it holds: fields without gaps, the size that was published.
macro_rules! versioned {
    ($name:ident, published $sizes:expr, fields $($field:ident)+) => {
        const _: () = {
            const fn size_of_field<S, F>(_: fn(&S) -> &F) -> usize {
                size_of::<F>()
            }
            let fields = 0 $(+ size_of_field(|value: &$name| &value.$field))+;
            assert!(fields == size_of::<$name>(), "padding, or a field that is not listed");
            assert!(std::mem::offset_of!($name, struct_size) == 0);
            let published: &[usize] = &$sizes;
            assert!(published[published.len() - 1] == size_of::<$name>());
        };
        // SAFETY: checked above; the fields are integers, floats, pointers and arrays of them.
        unsafe impl $crate::c_api::versioned::Versioned for $name {
            const NAME: &'static str = stringify!($name);
            const PUBLISHED: &'static [usize] = &$sizes;

            fn struct_size(&self) -> usize {
                self.struct_size as usize
            }
        }
    };
}
pub(super) use versioned;

/// Reads a struct of the caller's version.
///
/// # Safety
/// `pointer` is null or points to as many bytes as its first four say.
pub(super) unsafe fn read<T: Versioned>(pointer: *const T) -> Result<T> {
    let bytes: *const u8 = not_null(pointer, T::NAME)?.cast();
    // SAFETY: every public struct begins with its size, and `pointer` is aligned for it.
    let size = unsafe { pointer.cast::<u32>().read() } as usize;
    let known = size_of::<T>();
    if size > LONGEST || (size < known && !T::PUBLISHED.contains(&size)) {
        return invalid(format!(
            "{}.struct_size is {size}, but this struct has {known} bytes: set struct_size = \
             sizeof({0})",
            T::NAME
        ));
    }
    for offset in known..size {
        // SAFETY: within `size`.
        if unsafe { bytes.add(offset).read() } != 0 {
            return invalid(format!(
                "{}.struct_size is {size}, {known} bytes are known here, and byte {offset} is not \
                 zero: a field is set that this libmlff_student ({}) lacks: leave it zero, or load \
                 the version that the caller was compiled for",
                T::NAME,
                env!("CARGO_PKG_VERSION")
            ));
        }
    }
    let mut value = std::mem::MaybeUninit::<T>::zeroed();
    // SAFETY: both have at least this many bytes, and any bytes make a valid `T`.
    unsafe {
        std::ptr::copy_nonoverlapping(bytes, value.as_mut_ptr().cast(), size.min(known));
        Ok(value.assume_init())
    }
}

/// Writes the part of `value` that the caller's version has.
///
/// # Safety
/// `value` came from [`read`] at `pointer`, which may be written.
pub(super) unsafe fn write<T: Versioned>(pointer: *mut T, value: &T) {
    let size = value.struct_size().min(size_of::<T>());
    let bytes: *const u8 = (&raw const *value).cast();
    // SAFETY: the caller's promise; `T` has no padding, so all its bytes are initialised.
    unsafe { std::ptr::copy_nonoverlapping(bytes, pointer.cast(), size) }
}

/// Reads an array of structs of the caller's version; see [`element`].
///
/// # Safety
/// `first` is null or points to `len` structs that say how many bytes they have.
pub(super) unsafe fn read_array<T: Versioned>(first: *const T, len: usize) -> Result<Vec<T>> {
    let mut values: Vec<T> = Vec::new();
    values.try_reserve_exact(len)?;
    for index in 0..len {
        let size = values.first().map_or(0, T::struct_size);
        // SAFETY: the caller's promise.
        let value = unsafe { read(element(first, size, index)) }
            .map_err(|error| error.within(format_args!("element {index}")))?;
        if index > 0 && value.struct_size() != size {
            return invalid(format!(
                "{}: struct_size of element {index} is {}, of element 0 {size}: set both to \
                 sizeof({0})",
                T::NAME,
                value.struct_size()
            ));
        }
        values.push(value);
    }
    Ok(values)
}

/// The address of an element of a caller's array whose structs have `size` bytes.
pub(super) fn element<T>(first: *const T, size: usize, index: usize) -> *const T {
    first.wrapping_byte_add(size * index)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A struct in its third version; its second had 12 bytes.
    #[derive(Clone, Copy)]
    #[repr(C)]
    struct grown {
        struct_size: u32,
        first: u32,
        second: u32,
        third: u32,
    }
    versioned!(grown, published [8, 12, 16], fields struct_size first second third);

    fn read_words(words: &[u32]) -> Result<grown> {
        // SAFETY: the tests give as many bytes as the first word says.
        unsafe { read(words.as_ptr().cast::<grown>()) }
    }

    #[test]
    fn a_shorter_published_struct_is_filled_up_with_zeros() {
        let value = read_words(&[12, 1, 2, 99]).unwrap();
        assert_eq!((value.first, value.second, value.third), (1, 2, 0));
    }

    #[test]
    fn a_size_that_was_never_published_is_an_error() {
        for size in [0, 4, 9, 15, LONGEST as u32 + 1, u32::MAX] {
            let error = read_words(&[size, 1, 2, 3]).err().unwrap();
            assert!(error.message().contains("grown.struct_size"), "{error}");
            assert!(error.message().contains("sizeof(grown)"), "{error}");
        }
    }

    #[test]
    fn a_longer_struct_passes_only_with_zeros() {
        assert_eq!(read_words(&[24, 1, 2, 3, 0, 0]).unwrap().third, 3);
        let error = read_words(&[24, 1, 2, 3, 0, 0x100]).err().unwrap();
        assert!(error.message().contains("byte 21 is not zero"), "{error}");
    }

    #[test]
    fn only_the_callers_part_is_written() {
        let mut words = [12, 1, 2, 99];
        let mut value = read_words(&words).unwrap();
        (value.second, value.third) = (5, 6);
        // SAFETY: `words` has 16 bytes.
        unsafe { write(words.as_mut_ptr().cast::<grown>(), &value) };
        assert_eq!(words, [12, 1, 5, 99]);
    }

    #[test]
    fn an_array_is_read_in_steps_of_the_callers_size() {
        let words = [12, 1, 2, 12, 3, 4];
        // SAFETY: two structs of 12 bytes.
        let values = unsafe { read_array(words.as_ptr().cast::<grown>(), 2) }.unwrap();
        assert_eq!((values[1].first, values[1].second), (3, 4));
        let mixed = [12, 1, 2, 8, 3, 4];
        // SAFETY: as above.
        let error = unsafe { read_array(mixed.as_ptr().cast::<grown>(), 2) }.err().unwrap();
        assert!(error.message().contains("element 1"), "{error}");
    }

    #[test]
    fn a_null_or_misaligned_struct_is_an_error() {
        // SAFETY: null is allowed; the other is refused before it is read.
        let (null, odd) = unsafe {
            (read::<grown>(std::ptr::null()), read::<grown>(std::ptr::without_provenance(0x1001)))
        };
        assert!(null.err().unwrap().message().contains("grown is a null pointer"));
        assert!(odd.err().unwrap().message().contains("multiple of 4"));
    }
}
