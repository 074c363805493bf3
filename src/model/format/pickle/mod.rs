//! A pickle reader that knows tensors and plain containers, and runs nothing.
//!
//! A pickle is a program for a stack machine whose instructions `GLOBAL` and `REDUCE` import and
//! call any Python function. Here they reach a fixed list of names, all of which only hold data;
//! every other name is an error that says which it was.

mod machine;
mod names;

use std::borrow::Cow;
use std::rc::Rc;

use machine::Machine;
pub use names::Classes;
use names::Function;

use super::tensors::Dtype;
use crate::error::{Error, ErrorKind, Result};

/// More dimensions than any weight has.
const MAX_RANK: usize = 8;

/// Longer than any storage's key, a number in decimal digits.
const MAX_KEY: usize = 64;

/// A value's place in [`Pickle::values`]. Containers hold places, so values that the file shares
/// cost nothing, and containers that hold themselves do no harm.
pub type Id = usize;

/// A pickled value.
#[derive(Debug)]
pub enum Value {
    None,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text(Rc<str>),
    Bytes,
    /// Lists, tuples and sets.
    List(Vec<Id>),
    /// Dictionaries, and the attributes of TorchScript's modules.
    Dict(Vec<(Id, Id)>),
    Function(Function),
    Storage(Box<Storage>),
    Tensor(Box<View>),
}

/// Bytes kept elsewhere in the file.
#[derive(Clone, Debug)]
pub struct Storage {
    pub dtype: Dtype,
    /// Shared with the text that it comes from: a byte of a file may ask for a storage again.
    pub key: Rc<str>,
    /// Number of values.
    pub count: usize,
}

/// A tensor as strides over a storage.
#[derive(Debug)]
pub struct View {
    pub storage: Storage,
    pub offset: usize,
    pub shape: Vec<usize>,
    pub strides: Vec<usize>,
}

/// A pickle that has been read.
pub struct Pickle {
    pub values: Vec<Value>,
    pub root: Id,
    /// Bytes it took; others may follow.
    pub length: usize,
}

impl Pickle {
    /// Reads the pickle at the start of `bytes`.
    pub fn read(bytes: &[u8], classes: Classes) -> Result<Self> {
        let mut machine = Machine::new(bytes, classes);
        let root = machine
            .run()
            .map_err(|error| error.within(format_args!("pickle, byte {}", machine.position())))?;
        let length = machine.position();
        Ok(Self { values: machine.into_values(), root, length })
    }

    pub fn value(&self, id: Id) -> &Value {
        self.values.get(id).unwrap_or(&Value::None)
    }

    /// Named children of a container; lists count from 0.
    pub fn children(&self, id: Id) -> Vec<(Cow<'_, str>, Id)> {
        match self.value(id) {
            Value::Dict(entries) => entries
                .iter()
                .filter_map(|&(key, value)| match self.value(key) {
                    Value::Text(name) => Some((Cow::Borrowed(&**name), value)),
                    Value::Int(index) => Some((Cow::Owned(index.to_string()), value)),
                    _ => None,
                })
                .collect(),
            Value::List(items) => items
                .iter()
                .enumerate()
                .map(|(index, &id)| (Cow::Owned(index.to_string()), id))
                .collect(),
            _ => Vec::new(),
        }
    }
}

fn damaged<T>(what: impl Into<String>) -> Result<T> {
    Err(Error::new(ErrorKind::Format, format!("{}: the file is damaged", what.into())))
}

fn asks_for_code<T>(what: &str) -> Result<T> {
    Err(Error::new(
        ErrorKind::Format,
        format!(
            "the pickle asks for code ({what}), expected only tensors and plain containers: \
             nothing of it is run; save the weights alone, \
             torch.save(model.state_dict(), \"student.pt\"), and load that file"
        ),
    ))
}
