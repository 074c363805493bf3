//! The hash that the data tool writes into a file: SHA-256 of structures, labels, names and splits,
//! in order (`docs/src/reference/datasets.md`; `Dataset.content_hash` in
//! `python/mlff_student/distil/dataset.py`).

use sha2::{Digest, Sha256};

use super::{Frame, Split};
use mlff_student::error::{Error, ErrorKind, Result};

/// Decimals of positions and forces that the data tool's scale-offset filter keeps; what it gives
/// back lacks their last bits.
const DECIMALS: i32 = 4;

/// Refuses frames, called `names` in their file, that are not those of the hash.
pub(super) fn check(frames: &[Frame], names: Option<&[String]>, stated: &str) -> Result<()> {
    let as_packed = |value: f64| {
        let scale = 10_f64.powi(DECIMALS);
        (value * scale).round_ties_even() / scale
    };
    if hash(frames, names, as_packed) == stated || hash(frames, names, |value| value) == stated {
        return Ok(());
    }
    let start: String = stated.chars().take(12).collect();
    Err(Error::new(
        ErrorKind::Format,
        format!(
            "expected the content of its hash {start}…, found another: the file was changed or is \
             damaged; copy it or write it again, with the hash of what it holds or without one"
        ),
    ))
}

fn hash(frames: &[Frame], names: Option<&[String]>, packed: impl Fn(f64) -> f64) -> String {
    let mut hasher = Sha256::new();
    for (index, frame) in frames.iter().enumerate() {
        let cell = frame.cell.unwrap_or_default();
        let stress = frame.stress.unwrap_or_default();
        let positions = frame.positions.as_flattened().iter().map(|&value| packed(value));
        let forces = frame.forces.as_flattened().iter().map(|&value| packed(value));
        let numbers = positions
            .chain(cell.into_iter().flatten())
            .chain(frame.periodic.map(|periodic| f64::from(u8::from(periodic))))
            .chain([frame.energy])
            .chain(forces)
            .chain(stress.into_iter().flatten().map(finite));
        hasher.update(&frame.species);
        // Adding zero makes −0 and 0 one.
        numbers.for_each(|value| hasher.update((value + 0.0).to_le_bytes()));
        let name = names.and_then(|names| names.get(index)).map_or("", String::as_str);
        hasher.update(format!("{name}\0{}\0", frame.split.map_or("", Split::name)));
    }
    format!("{:x}", hasher.finalize())
}

/// As numpy's `nan_to_num` has it.
fn finite(value: f64) -> f64 {
    if value.is_nan() { 0.0 } else { value.clamp(f64::MIN, f64::MAX) }
}
