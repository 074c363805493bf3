//! The safetensors container: eight bytes with the length of a JSON header, the header (for each
//! tensor its type, shape and place; strings under `__metadata__`), the numbers.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::tensors::{Dtype, Tensor, Tensors, count};
use crate::error::{Error, ErrorKind, Result};

#[derive(Deserialize, Serialize)]
struct Entry {
    dtype: String,
    shape: Vec<usize>,
    data_offsets: [usize; 2],
}

#[derive(Deserialize, Serialize)]
struct Header {
    #[serde(rename = "__metadata__", default)]
    metadata: BTreeMap<String, String>,
    #[serde(flatten)]
    entries: BTreeMap<String, Entry>,
}

/// Whether a file starts like this container: eight bytes, then a JSON object. The length itself
/// is not judged, so that a damaged one gets its own message.
pub(super) fn is(file: &[u8]) -> bool {
    file.get(8) == Some(&b'{')
}

fn damaged<T>(what: impl std::fmt::Display) -> Result<T> {
    Err(Error::new(
        ErrorKind::Format,
        format!("{what}: the safetensors file is truncated or damaged, copy it again"),
    ))
}

/// Reads a file's bytes.
pub fn read(file: &[u8]) -> Result<Tensors> {
    let Some((length, rest)) = file.split_first_chunk() else {
        return damaged(format_args!("expected at least 8 bytes, found {}", file.len()));
    };
    let length = u64::from_le_bytes(*length);
    let split = usize::try_from(length).ok().and_then(|length| rest.split_at_checked(length));
    let Some((header, data)) = split else {
        return damaged(format_args!(
            "expected a header of {length} bytes, found {} bytes",
            rest.len()
        ));
    };
    let header: Header = match serde_json::from_slice(header) {
        Ok(header) => header,
        Err(error) => return damaged(format_args!("the header cannot be read ({error})")),
    };
    check_places(&header.entries, data.len())?;
    let mut found = Tensors { settings: header.metadata, ..Tensors::default() };
    for (name, entry) in header.entries {
        let [start, end] = entry.data_offsets;
        let read = || {
            let dtype = dtype(&entry.dtype)?;
            dtype.read_all(data.get(start..end).unwrap_or_default(), count(&entry.shape)?)
        };
        let values = read().map_err(|error| error.within(&name))?;
        found.tensors.insert(name, Tensor { shape: entry.shape, values });
    }
    Ok(found)
}

/// Tensors must cover the data without gap or overlap, so that nothing is hidden in a file and
/// none is larger than it.
fn check_places(entries: &BTreeMap<String, Entry>, data: usize) -> Result<()> {
    let mut places: Vec<([usize; 2], &str)> =
        entries.iter().map(|(name, entry)| (entry.data_offsets, name.as_str())).collect();
    places.sort_unstable();
    let mut covered = 0;
    for ([start, end], name) in places {
        if start != covered || end < start {
            return damaged(format_args!(
                "{name}: expected its data to start at byte {covered}, found {start} to {end}"
            ));
        }
        covered = end;
    }
    if covered != data {
        return damaged(format_args!("expected {covered} bytes of data, found {data}"));
    }
    Ok(())
}

fn dtype(name: &str) -> Result<Dtype> {
    Ok(match name {
        "F64" => Dtype::F64,
        "F32" => Dtype::F32,
        "F16" => Dtype::F16,
        "BF16" => Dtype::Bf16,
        "I64" => Dtype::I64,
        "I32" => Dtype::I32,
        "I16" => Dtype::I16,
        "I8" => Dtype::I8,
        "U64" => Dtype::U64,
        "U32" => Dtype::U32,
        "U16" => Dtype::U16,
        "U8" | "BOOL" => Dtype::U8,
        other => {
            return Err(Error::new(
                ErrorKind::Unsupported,
                format!("found numbers of type {other}: save the tensor as F32"),
            ));
        }
    })
}

/// A file's bytes for `content`; settings become the metadata. A tensor is written in float32 if
/// that loses nothing, else in float64.
pub fn write(content: &Tensors) -> Result<Vec<u8>> {
    let mut entries = BTreeMap::new();
    let mut data = Vec::new();
    // Wide numbers first: then all of them are aligned.
    for wide in [true, false] {
        for (name, tensor) in &content.tensors {
            let fits = tensor.values.iter().all(|&value| f64::from(value as f32) == value);
            if fits == wide {
                continue;
            }
            if count(&tensor.shape)? != tensor.values.len() {
                return Err(Error::new(
                    ErrorKind::InvalidArgument,
                    format!(
                        "{name}: shape {:?} does not hold {} values",
                        tensor.shape,
                        tensor.values.len()
                    ),
                ));
            }
            let start = data.len();
            data.try_reserve(tensor.values.len() * if wide { 8 } else { 4 })?;
            for &value in &tensor.values {
                if wide {
                    data.extend_from_slice(&value.to_le_bytes());
                } else {
                    data.extend_from_slice(&(value as f32).to_le_bytes());
                }
            }
            let dtype = if wide { "F64" } else { "F32" }.to_string();
            let entry =
                Entry { dtype, shape: tensor.shape.clone(), data_offsets: [start, data.len()] };
            entries.insert(name.clone(), entry);
        }
    }
    let header = Header { metadata: content.settings.clone(), entries };
    let mut json = serde_json::to_vec(&header)
        .map_err(|error| Error::new(ErrorKind::Internal, format!("header: {error}")))?;
    // The data then starts at a multiple of 8, as the container's definition asks.
    json.resize(json.len().next_multiple_of(8), b' ');
    let mut file = (json.len() as u64).to_le_bytes().to_vec();
    file.append(&mut json);
    file.append(&mut data);
    Ok(file)
}
