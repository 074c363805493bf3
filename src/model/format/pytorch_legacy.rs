//! Files of `torch.save` before PyTorch 1.6, still written on request: five pickles, then the
//! storages one after the other.

use std::collections::HashMap;

use super::checkpoint::{self, Storages};
use super::cursor::Cursor;
use super::pickle::{Classes, Pickle, Storage, Value};
use super::tensors::{Budget, Tensors};
use crate::error::{Error, ErrorKind, Result};

/// First byte of a pickle.
pub const MAGIC: &[u8] = b"\x80";

/// The number that the first of the pickles holds.
const MAGIC_NUMBER: i128 = 0x1950_a86a_20f9_469c_fc6c;

/// Bytes of the storages, by key.
struct Sections<'a>(HashMap<String, &'a [u8]>);

/// The tensors of a file that PyTorch before 1.6 wrote.
pub fn read(file: &[u8]) -> Result<Tensors> {
    let mut cursor = Cursor::new(file);
    let mut pickles = Vec::new();
    // Magic number, protocol, machine, the object, the keys of the storages in their order.
    for _ in 0..5 {
        let rest = file.get(cursor.position()..).unwrap_or_default();
        let pickle = Pickle::read(rest, Classes::None)?;
        cursor.take(pickle.length)?;
        if pickles.is_empty() && !matches!(pickle.value(pickle.root), Value::Int(MAGIC_NUMBER)) {
            return Err(Error::new(
                ErrorKind::Format,
                "expected a file of torch.save, found a plain pickle: save the student with \
                 torch.save(model.state_dict(), \"student.pt\")",
            ));
        }
        pickles.push(pickle);
    }
    let [_, _, machine, object, keys] = pickles.as_slice() else { return damaged() };
    let is_big = machine.children(machine.root).iter().any(|(name, id)| {
        name == "little_endian" && matches!(machine.value(*id), Value::Bool(false))
    });
    if is_big {
        return Err(Error::new(
            ErrorKind::Unsupported,
            "this old file of torch.save was written on a big-endian machine: write it anew with \
             a current torch.save",
        ));
    }
    let mut widths = HashMap::new();
    for value in &object.values {
        if let Value::Storage(storage) = value {
            widths.insert(&*storage.key, storage.dtype.size());
        }
    }
    let mut storages = HashMap::new();
    for (_, id) in keys.children(keys.root) {
        let Value::Text(key) = keys.value(id) else { return damaged() };
        // A number's width stands only where a tensor uses the storage.
        let Some(&width) = widths.get(&**key) else { return damaged() };
        let count = cursor.u64()?;
        let bytes = cursor.counted(count.saturating_mul(width as u64))?;
        storages.insert(key.to_string(), bytes);
    }
    checkpoint::state_dict(object, &mut Sections(storages), &mut Budget::new(file.len()))
}

fn damaged<T>() -> Result<T> {
    Err(Error::new(
        ErrorKind::Format,
        "expected a file of torch.save with a list of its storages, found something else: the \
         file is damaged, write it anew with a current torch.save",
    ))
}

impl Storages for Sections<'_> {
    fn bytes(&mut self, storage: &Storage, _: &mut Budget) -> Result<&[u8]> {
        match self.0.get(&*storage.key) {
            Some(bytes) => Ok(bytes),
            None => damaged(),
        }
    }
}
