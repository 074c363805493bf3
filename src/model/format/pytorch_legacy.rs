//! Files of `torch.save` before PyTorch 1.6, still written on request: five pickles, then the
//! storages one after the other.

use std::collections::HashMap;

use super::checkpoint::{self, Storages};
use super::cursor::Cursor;
use super::pickle::{Classes, Pickle, Storage, Value};
use super::tensors::{Budget, Tensors};
use crate::error::{Error, ErrorKind, Result};

/// First bytes of a pickle of protocol 2.
pub const MAGIC: &[u8] = b"\x80\x02";

/// The number that the first of the pickles holds.
const MAGIC_NUMBER: i128 = 0x1950_a86a_20f9_469c_fc6c;

/// A storage's bytes start with the number of its values; the width of a value stands only where
/// a tensor uses it.
struct Sections<'a> {
    rest: Cursor<'a>,
    order: Vec<String>,
    widths: HashMap<String, usize>,
    storages: HashMap<String, &'a [u8]>,
}

/// Reads the file.
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
    let is_big = |(name, id): &(String, _)| {
        name == "little_endian" && matches!(machine.value(*id), Value::Bool(false))
    };
    if machine.children(machine.root).iter().any(is_big) {
        return Err(Error::new(
            ErrorKind::Unsupported,
            "this old file of torch.save was written on a big-endian machine: write it anew with \
             a current torch.save",
        ));
    }
    let mut widths = HashMap::new();
    for value in &object.values {
        if let Value::Storage(storage) = value {
            widths.insert(storage.key.clone(), storage.dtype.size());
        }
    }
    let mut order = Vec::new();
    for (_, id) in keys.children(keys.root) {
        match keys.value(id) {
            Value::Text(key) => order.push(key.clone()),
            _ => return damaged(),
        }
    }
    let mut sections = Sections { rest: cursor, order, widths, storages: HashMap::new() };
    sections.split()?;
    checkpoint::state_dict(object, &mut sections, &mut Budget::new(file.len()))
}

fn damaged<T>() -> Result<T> {
    Err(Error::new(
        ErrorKind::Format,
        "expected a file of torch.save with a list of its storages, found something else: the \
         file is damaged, write it anew with a current torch.save",
    ))
}

impl Sections<'_> {
    fn split(&mut self) -> Result<()> {
        for key in std::mem::take(&mut self.order) {
            let count = self.rest.u64()?;
            let Some(&width) = self.widths.get(&key) else { return damaged() };
            let bytes = self.rest.counted(count.saturating_mul(width as u64))?;
            self.storages.insert(key, bytes);
        }
        Ok(())
    }
}

impl Storages for Sections<'_> {
    fn bytes(&mut self, storage: &Storage, _: &mut Budget) -> Result<&[u8]> {
        match self.storages.get(&storage.key) {
            Some(bytes) => Ok(bytes),
            None => damaged(),
        }
    }
}
