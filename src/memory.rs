//! Arrays that grow with the input report running out of memory instead of ending the process.

use crate::error::Result;

/// Whether so many bytes are there, for code that would end the process if they were not.
pub(crate) fn ask_for(bytes: usize) -> Result<()> {
    let mut room: Vec<u8> = Vec::new();
    room.try_reserve_exact(bytes)?;
    // An allocation that nobody sees would be optimised away.
    drop(std::hint::black_box(room));
    Ok(())
}

/// `len` copies of `value`.
pub(crate) fn filled<T: Clone>(len: usize, value: T) -> Result<Vec<T>> {
    let mut vec = Vec::new();
    vec.try_reserve_exact(len)?;
    vec.resize(len, value);
    Ok(vec)
}

/// All of `items` in a new vector, or an error where there is no memory.
pub(crate) fn collected<T>(items: impl ExactSizeIterator<Item = T>) -> Result<Vec<T>> {
    let mut vec = Vec::new();
    vec.try_reserve_exact(items.len())?;
    vec.extend(items);
    Ok(vec)
}

/// Empties an array that is filled anew for each neighbor list, with room for `len` items. Where it
/// must grow it grows by an eighth more, not to twice its size, as the next list is hardly longer.
pub(crate) fn emptied<T>(array: &mut Vec<T>, len: usize) -> Result<()> {
    array.clear();
    if array.capacity() < len {
        array.try_reserve_exact(len + len / 8)?;
    }
    Ok(())
}
