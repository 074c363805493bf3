//! The weights of an ONNX file: a reader of the few protobuf fields that hold them.
//!
//! Field numbers are those of `onnx.proto3`. The graph itself is not looked at: what the network
//! computes follows from the names and shapes of its weights.

use std::collections::BTreeMap;

use super::cursor::Cursor;
use super::tensors::{Budget, Dtype, Tensor, Tensors, count};
use crate::error::{Error, ErrorKind, Result};

/// First byte of the files that exporters write: the field `ir_version`.
pub const MAGIC: &[u8] = b"\x08";

fn damaged<T>(what: impl std::fmt::Display) -> Result<T> {
    Err(Error::new(
        ErrorKind::Format,
        format!("{what}: the ONNX file is truncated or damaged, copy or export it again"),
    ))
}

/// A protobuf field's value.
enum Field<'a> {
    Varint(u64),
    Bytes(&'a [u8]),
    /// Fixed-width numbers outside packed lists.
    Fixed(&'a [u8]),
}

fn varint(cursor: &mut Cursor<'_>) -> Result<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = cursor.byte()?;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(value);
        }
    }
    damaged("found a number of more than ten bytes")
}

/// A protobuf message, field by field.
struct Message<'a>(Cursor<'a>);

impl<'a> Message<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self(Cursor::new(bytes))
    }

    /// The next field and its number.
    fn field(&mut self) -> Result<Option<(u64, Field<'a>)>> {
        if self.0.is_at_end() {
            return Ok(None);
        }
        let key = varint(&mut self.0)?;
        let field = match key & 7 {
            0 => Field::Varint(varint(&mut self.0)?),
            1 => Field::Fixed(self.0.take(8)?),
            2 => {
                let length = varint(&mut self.0)?;
                Field::Bytes(self.0.counted(length)?)
            }
            5 => Field::Fixed(self.0.take(4)?),
            other => return damaged(format_args!("found a field of wire type {other}")),
        };
        Ok(Some((key >> 3, field)))
    }
}

fn text(bytes: &[u8]) -> Result<String> {
    String::from_utf8(bytes.to_vec()).or_else(|_| damaged("found text that is not UTF-8"))
}

/// Reads a file's bytes.
pub fn read(file: &[u8]) -> Result<Tensors> {
    let mut found = Tensors::default();
    let mut aliases = BTreeMap::new();
    let mut model = Message::new(file);
    while let Some(field) = model.field()? {
        // ModelProto.graph
        if let (7, Field::Bytes(graph)) = field {
            read_graph(graph, &mut found, &mut aliases)?;
        }
    }
    // PyTorch writes equal weights once and names the others through `Identity` nodes.
    let budget = &mut Budget::new(file.len());
    for (to, from) in aliases {
        if let Some(tensor) = found.tensors.get(&from) {
            budget.spend(tensor.values.len())?;
            let tensor = tensor.clone();
            found.tensors.entry(to).or_insert(tensor);
        }
    }
    if found.tensors.is_empty() {
        return Err(Error::new(
            ErrorKind::Format,
            "expected an ONNX file with named weights, found none: export the student with its \
             parameters as initializers (export_params=True)",
        ));
    }
    Ok(found)
}

fn read_graph(
    graph: &[u8],
    found: &mut Tensors,
    aliases: &mut BTreeMap<String, String>,
) -> Result<()> {
    let mut graph = Message::new(graph);
    while let Some(field) = graph.field()? {
        match field {
            // GraphProto.node
            (1, Field::Bytes(node)) => {
                if let Some((from, to)) = alias(node)? {
                    aliases.insert(to, from);
                }
            }
            // GraphProto.initializer
            (5, Field::Bytes(tensor)) => {
                let (name, tensor) = initializer(tensor)?;
                // What exporters make up themselves (`onnx::Slice_3`, `/Constant`).
                if !name.contains("::") && !name.starts_with('/') {
                    found.tensors.insert(name, tensor);
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// Input and output of an `Identity` node.
fn alias(node: &[u8]) -> Result<Option<(String, String)>> {
    let (mut input, mut output, mut operator): (&[u8], &[u8], &[u8]) = (b"", b"", b"");
    let mut node = Message::new(node);
    while let Some(field) = node.field()? {
        match field {
            (1, Field::Bytes(bytes)) => input = bytes,
            (2, Field::Bytes(bytes)) => output = bytes,
            (4, Field::Bytes(bytes)) => operator = bytes,
            _ => {}
        }
    }
    if operator == b"Identity" { Ok(Some((text(input)?, text(output)?))) } else { Ok(None) }
}

/// TensorProto: where its numbers may stand.
#[derive(Default)]
struct Parts<'a> {
    name: String,
    shape: Vec<usize>,
    data_type: u64,
    raw: &'a [u8],
    /// Lists of fixed-width numbers (`float_data`, `double_data`).
    fixed: Vec<&'a [u8]>,
    /// Lists of varints (`int32_data`, `int64_data`, `uint64_data`).
    varints: Vec<u64>,
    is_external: bool,
}

fn initializer(message: &[u8]) -> Result<(String, Tensor)> {
    let mut parts = Parts::default();
    let mut message = Message::new(message);
    while let Some(field) = message.field()? {
        match field {
            (1, Field::Varint(length)) => push_length(&mut parts.shape, length)?,
            (1, Field::Bytes(packed)) => {
                for length in unpack(packed)? {
                    push_length(&mut parts.shape, length)?;
                }
            }
            (2, Field::Varint(data_type)) => parts.data_type = data_type,
            (4 | 10, Field::Bytes(bytes) | Field::Fixed(bytes)) => parts.fixed.push(bytes),
            (5 | 7 | 11, Field::Bytes(packed)) => parts.varints.append(&mut unpack(packed)?),
            (5 | 7 | 11, Field::Varint(value)) => parts.varints.push(value),
            (8, Field::Bytes(name)) => parts.name = text(name)?,
            (9, Field::Bytes(raw)) => parts.raw = raw,
            (14, Field::Varint(location)) => parts.is_external = location == 1,
            _ => {}
        }
    }
    let values = parts.values().map_err(|error| error.within(&parts.name))?;
    Ok((parts.name, Tensor { shape: parts.shape, values }))
}

fn push_length(shape: &mut Vec<usize>, length: u64) -> Result<()> {
    match usize::try_from(length) {
        Ok(length) => shape.push(length),
        Err(_) => return damaged(format_args!("found a tensor of length {length}")),
    }
    Ok(())
}

fn unpack(packed: &[u8]) -> Result<Vec<u64>> {
    let mut cursor = Cursor::new(packed);
    let mut values = Vec::new();
    while !cursor.is_at_end() {
        values.push(varint(&mut cursor)?);
    }
    Ok(values)
}

impl Parts<'_> {
    fn values(&self) -> Result<Vec<f64>> {
        if self.is_external {
            return Err(Error::new(
                ErrorKind::Unsupported,
                "the ONNX file keeps this tensor in another file: export it with \
                 external_data=False, so that one file holds everything",
            ));
        }
        // TensorProto.DataType
        let dtype = match self.data_type {
            1 => Dtype::F32,
            2 | 9 => Dtype::U8,
            3 => Dtype::I8,
            4 => Dtype::U16,
            5 => Dtype::I16,
            6 => Dtype::I32,
            7 => Dtype::I64,
            10 => Dtype::F16,
            11 => Dtype::F64,
            12 => Dtype::U32,
            13 => Dtype::U64,
            16 => Dtype::Bf16,
            other => {
                return Err(Error::new(
                    ErrorKind::Unsupported,
                    format!("found numbers of ONNX type {other}: export the student in float32"),
                ));
            }
        };
        let count = count(&self.shape)?;
        if !self.raw.is_empty() {
            return dtype.read_all(self.raw, count);
        }
        if !self.fixed.is_empty() {
            return dtype.read_all(&self.fixed.concat(), count);
        }
        if self.varints.len() != count {
            return damaged(format_args!(
                "expected {count} values for shape {:?}, found {}",
                self.shape,
                self.varints.len()
            ));
        }
        // A varint holds the number's own bits: a sign extends to 64 of them, 16-bit floats fill
        // the lowest.
        Ok(self.varints.iter().filter_map(|value| dtype.read(&value.to_le_bytes())).collect())
    }
}
