//! A pickle reader that knows tensors and plain containers, and runs nothing.
//!
//! A pickle is a program for a stack machine whose instructions `GLOBAL` and `REDUCE` import and
//! call any Python function. Here they reach a fixed list of names, all of which only hold data;
//! every other name is an error that says which it was.

use std::collections::HashMap;

use super::cursor::Cursor;
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
    Text(String),
    Bytes,
    /// Lists, tuples and sets.
    List(Vec<Id>),
    /// Dictionaries, and the attributes of TorchScript's modules.
    Dict(Vec<(Id, Id)>),
    Function(Function),
    Storage(Box<Storage>),
    Tensor(Box<View>),
}

/// A name that the file may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Function {
    RebuildTensor,
    RebuildParameter,
    OrderedDict,
    Encode,
    Set,
    Device,
    /// `torch.Size`, and TorchScript's typed lists.
    List,
    RestoreTypeTag,
    /// A class of TorchScript code, of which only the attributes are kept.
    Module,
    StorageClass(Dtype),
}

/// Bytes kept elsewhere in the file.
#[derive(Clone, Debug)]
pub struct Storage {
    pub dtype: Dtype,
    pub key: String,
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

/// Whose classes a pickle may name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Classes {
    None,
    /// `__torch__.*`, whose code lies elsewhere in a TorchScript archive and is not read.
    TorchScript,
}

impl Pickle {
    /// Reads the pickle at the start of `bytes`.
    pub fn read(bytes: &[u8], classes: Classes) -> Result<Self> {
        let mut machine = Machine {
            input: Cursor::new(bytes),
            classes,
            values: Vec::new(),
            stack: Vec::new(),
            marks: Vec::new(),
            memo: HashMap::new(),
        };
        let root = machine.run().map_err(|error| {
            error.within(format_args!("pickle, byte {}", machine.input.position()))
        })?;
        Ok(Self { values: machine.values, root, length: machine.input.position() })
    }

    pub fn value(&self, id: Id) -> &Value {
        self.values.get(id).unwrap_or(&Value::None)
    }

    /// Named children of a container; lists count from 0.
    pub fn children(&self, id: Id) -> Vec<(String, Id)> {
        match self.value(id) {
            Value::Dict(entries) => entries
                .iter()
                .filter_map(|&(key, value)| match self.value(key) {
                    Value::Text(name) => Some((name.clone(), value)),
                    Value::Int(index) => Some((index.to_string(), value)),
                    _ => None,
                })
                .collect(),
            Value::List(items) => {
                items.iter().enumerate().map(|(index, &id)| (index.to_string(), id)).collect()
            }
            _ => Vec::new(),
        }
    }
}

struct Machine<'a> {
    input: Cursor<'a>,
    classes: Classes,
    values: Vec<Value>,
    stack: Vec<Id>,
    /// Heights of the stack where `MARK` was seen.
    marks: Vec<usize>,
    memo: HashMap<u64, Id>,
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

impl Machine<'_> {
    fn run(&mut self) -> Result<Id> {
        loop {
            match self.input.byte()? {
                b'.' => return self.pop(),
                opcode => self.step(opcode)?,
            }
        }
    }

    fn step(&mut self, opcode: u8) -> Result<()> {
        match opcode {
            // PROTO, FRAME
            0x80 => drop(self.input.byte()?),
            0x95 => drop(self.input.u64()?),
            b'(' => self.marks.push(self.stack.len()),
            // POP, POP_MARK, DUP
            b'0' => drop(self.pop()?),
            b'1' => drop(self.pop_mark()?),
            b'2' => {
                let top = self.top()?;
                self.stack.push(top);
            }
            b'N' => self.push(Value::None),
            0x88 => self.push(Value::Bool(true)),
            0x89 => self.push(Value::Bool(false)),
            // BININT, BININT1, BININT2, LONG1, LONG4, BINFLOAT
            b'J' => {
                let value = i32::from_le_bytes(self.input.array()?);
                self.push(Value::Int(i128::from(value)));
            }
            b'K' => {
                let value = self.input.byte()?;
                self.push(Value::Int(i128::from(value)));
            }
            b'M' => {
                let value = self.input.u16()?;
                self.push(Value::Int(i128::from(value)));
            }
            0x8a => {
                let length = u64::from(self.input.byte()?);
                self.long(length)?;
            }
            0x8b => {
                let length = u64::from(self.input.u32()?);
                self.long(length)?;
            }
            b'G' => {
                let value = f64::from_be_bytes(self.input.array()?);
                self.push(Value::Float(value));
            }
            // SHORT_BINUNICODE, BINUNICODE, BINUNICODE8, SHORT_BINSTRING, BINSTRING
            0x8c | b'U' => {
                let length = u64::from(self.input.byte()?);
                self.text(length)?;
            }
            b'X' | b'T' => {
                let length = u64::from(self.input.u32()?);
                self.text(length)?;
            }
            0x8d => {
                let length = self.input.u64()?;
                self.text(length)?;
            }
            // SHORT_BINBYTES, BINBYTES, BINBYTES8, BYTEARRAY8
            b'C' => {
                let length = u64::from(self.input.byte()?);
                self.bytes(length)?;
            }
            b'B' => {
                let length = u64::from(self.input.u32()?);
                self.bytes(length)?;
            }
            0x8e | 0x96 => {
                let length = self.input.u64()?;
                self.bytes(length)?;
            }
            // EMPTY_LIST, EMPTY_TUPLE, EMPTY_SET, EMPTY_DICT
            b']' | b')' | 0x8f => self.push(Value::List(Vec::new())),
            b'}' => self.push(Value::Dict(Vec::new())),
            // TUPLE1, TUPLE2, TUPLE3, then LIST, TUPLE, FROZENSET
            0x85..=0x87 => {
                let first = self.stack.len().checked_sub(usize::from(opcode - 0x84));
                let items = self.split_off(first)?;
                self.push(Value::List(items));
            }
            b'l' | b't' | 0x91 => {
                let items = self.pop_mark()?;
                self.push(Value::List(items));
            }
            b'd' => {
                let entries = pairs(&self.pop_mark()?)?;
                self.push(Value::Dict(entries));
            }
            // APPEND, APPENDS, ADDITEMS, SETITEM, SETITEMS
            b'a' => {
                let item = self.pop()?;
                self.extend_list(&[item])?;
            }
            b'e' | 0x90 => {
                let items = self.pop_mark()?;
                self.extend_list(&items)?;
            }
            b's' => {
                let value = self.pop()?;
                let key = self.pop()?;
                self.extend_dict(&[key, value])?;
            }
            b'u' => {
                let items = self.pop_mark()?;
                self.extend_dict(&items)?;
            }
            // BINPUT, LONG_BINPUT, MEMOIZE, BINGET, LONG_BINGET
            b'q' => {
                let key = u64::from(self.input.byte()?);
                self.remember(key)?;
            }
            b'r' => {
                let key = u64::from(self.input.u32()?);
                self.remember(key)?;
            }
            0x94 => self.remember(self.memo.len() as u64)?,
            b'h' => {
                let key = u64::from(self.input.byte()?);
                self.recall(key)?;
            }
            b'j' => {
                let key = u64::from(self.input.u32()?);
                self.recall(key)?;
            }
            // GLOBAL, STACK_GLOBAL
            b'c' => {
                let module = text(self.input.line()?)?;
                let name = text(self.input.line()?)?;
                let value = self.global(&module, &name)?;
                self.push(value);
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                let (Value::Text(module), Value::Text(name)) = (self.get(module), self.get(name))
                else {
                    return damaged("a name in the pickle is not text");
                };
                let value = self.global(module, name)?;
                self.push(value);
            }
            // REDUCE, NEWOBJ, BUILD, BINPERSID
            b'R' => self.reduce()?,
            0x81 => {
                let arguments = self.pop()?;
                let class = self.pop()?;
                match (self.get(class), self.get(arguments)) {
                    (Value::Function(Function::Module), Value::List(list)) if list.is_empty() => {
                        self.push(Value::Dict(Vec::new()));
                    }
                    _ => return asks_for_code("a new object of a class"),
                }
            }
            b'b' => self.build()?,
            b'Q' => self.persistent()?,
            // EXT1, EXT2, EXT4, INST, OBJ, NEWOBJ_EX, PERSID
            0x82..=0x84 | b'i' | b'o' | 0x92 | b'P' => {
                return asks_for_code(&format!("instruction {opcode:#04x}"));
            }
            _ => {
                return damaged(format!(
                    "found instruction {opcode:#04x}, which no pickle of torch.save has"
                ));
            }
        }
        Ok(())
    }

    fn push(&mut self, value: Value) {
        self.stack.push(self.values.len());
        self.values.push(value);
    }

    fn get(&self, id: Id) -> &Value {
        self.values.get(id).unwrap_or(&Value::None)
    }

    /// Values above the last mark belong to a container that is not finished.
    fn top(&self) -> Result<Id> {
        match self.stack.last() {
            Some(&id) if self.marks.last().is_none_or(|&mark| mark < self.stack.len()) => Ok(id),
            _ => damaged("the pickle takes a value that it never made"),
        }
    }

    fn pop(&mut self) -> Result<Id> {
        let id = self.top()?;
        self.stack.pop();
        Ok(id)
    }

    fn split_off(&mut self, first: Option<usize>) -> Result<Vec<Id>> {
        match first {
            Some(first) if self.marks.last().is_none_or(|&mark| mark <= first) => {
                Ok(self.stack.split_off(first))
            }
            _ => damaged("the pickle takes values that it never made"),
        }
    }

    fn pop_mark(&mut self) -> Result<Vec<Id>> {
        let first = self.marks.pop();
        self.split_off(first)
    }

    fn long(&mut self, length: u64) -> Result<()> {
        let bytes = self.input.counted(length)?;
        let mut wide = [if bytes.last().is_some_and(|&top| top >= 0x80) { 0xff } else { 0 }; 16];
        match wide.get_mut(..bytes.len()) {
            Some(low) => low.copy_from_slice(bytes),
            None => return damaged(format!("found an integer of {length} bytes")),
        }
        self.push(Value::Int(i128::from_le_bytes(wide)));
        Ok(())
    }

    fn text(&mut self, length: u64) -> Result<()> {
        let value = text(self.input.counted(length)?)?;
        self.push(Value::Text(value));
        Ok(())
    }

    fn bytes(&mut self, length: u64) -> Result<()> {
        self.input.counted(length)?;
        self.push(Value::Bytes);
        Ok(())
    }

    fn remember(&mut self, key: u64) -> Result<()> {
        let top = self.top()?;
        self.memo.insert(key, top);
        Ok(())
    }

    fn recall(&mut self, key: u64) -> Result<()> {
        match self.memo.get(&key) {
            Some(&id) => self.stack.push(id),
            None => return damaged(format!("the pickle recalls value {key}, which it never kept")),
        }
        Ok(())
    }

    fn extend_list(&mut self, items: &[Id]) -> Result<()> {
        let top = self.top()?;
        match self.values.get_mut(top) {
            Some(Value::List(list)) => list.extend_from_slice(items),
            _ => return damaged("the pickle appends to something that is no list"),
        }
        Ok(())
    }

    fn extend_dict(&mut self, items: &[Id]) -> Result<()> {
        let top = self.top()?;
        let new = pairs(items)?;
        match self.values.get_mut(top) {
            Some(Value::Dict(entries)) => entries.extend(new),
            _ => return damaged("the pickle sets items of something that is no dictionary"),
        }
        Ok(())
    }

    fn global(&self, module: &str, name: &str) -> Result<Value> {
        use Function::{
            Device, Encode, List, Module, OrderedDict, RebuildParameter, RebuildTensor,
            RestoreTypeTag, Set,
        };
        let function = match (module, name) {
            ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2") => RebuildTensor,
            ("torch._utils", "_rebuild_parameter") => RebuildParameter,
            ("collections", "OrderedDict") => OrderedDict,
            // How protocol 2 writes bytes.
            ("_codecs", "encode") => Encode,
            ("builtins" | "__builtin__", "set" | "frozenset") => Set,
            ("torch", "device") => Device,
            ("torch", "Size") => List,
            (
                "torch.jit._pickle",
                "build_intlist" | "build_doublelist" | "build_boollist" | "build_tensorlist",
            ) => List,
            ("torch.jit._pickle", "restore_type_tag") => RestoreTypeTag,
            ("torch", _) if storage_class(name).is_some() => {
                storage_class(name).map_or(List, Function::StorageClass)
            }
            ("torch", _) if is_dtype(name) => {
                return Ok(Value::Text(format!("torch.{name}")));
            }
            ("__torch__", _) if self.classes == Classes::TorchScript => Module,
            (module, _)
                if self.classes == Classes::TorchScript && module.starts_with("__torch__.") =>
            {
                Module
            }
            _ => return asks_for_code(&format!("{module}.{name}")),
        };
        Ok(Value::Function(function))
    }

    fn reduce(&mut self) -> Result<()> {
        let arguments = self.pop()?;
        let function = self.pop()?;
        let &Value::Function(function) = self.get(function) else {
            return asks_for_code("a call of a value");
        };
        let Value::List(arguments) = self.get(arguments) else {
            return damaged("a call in the pickle has no arguments");
        };
        let value = match (function, arguments.as_slice()) {
            (Function::RebuildTensor, &[storage, offset, shape, strides, ..]) => {
                Value::Tensor(Box::new(self.view(storage, offset, shape, strides)?))
            }
            (
                Function::RebuildParameter
                | Function::RestoreTypeTag
                | Function::Set
                | Function::List
                | Function::Device,
                &[first, ..],
            ) => {
                self.stack.push(first);
                return Ok(());
            }
            (Function::OrderedDict, []) => Value::Dict(Vec::new()),
            (Function::Encode, _) => Value::Bytes,
            (Function::Set | Function::List, []) => Value::List(Vec::new()),
            _ => return damaged(format!("found a call of {function:?} with wrong arguments")),
        };
        self.push(value);
        Ok(())
    }

    fn view(&self, storage: Id, offset: Id, shape: Id, strides: Id) -> Result<View> {
        let Value::Storage(storage) = self.get(storage) else {
            return damaged("expected a tensor's storage");
        };
        let (shape, strides) = (self.sizes(shape)?, self.sizes(strides)?);
        if shape.len() != strides.len() {
            return damaged(format!("found a tensor of shape {shape:?} and strides {strides:?}"));
        }
        Ok(View { storage: Storage::clone(storage), offset: self.size(offset)?, shape, strides })
    }

    fn size(&self, id: Id) -> Result<usize> {
        match self.get(id) {
            &Value::Int(value) => {
                usize::try_from(value).or_else(|_| damaged(format!("found a size of {value}")))
            }
            _ => damaged("expected a size, found something that is no integer"),
        }
    }

    fn sizes(&self, id: Id) -> Result<Vec<usize>> {
        match self.get(id) {
            Value::List(items) if items.len() <= MAX_RANK => {
                items.iter().map(|&item| self.size(item)).collect()
            }
            _ => damaged(format!("expected a shape of at most {MAX_RANK} dimensions")),
        }
    }

    fn build(&mut self) -> Result<()> {
        let state = self.pop()?;
        let object = self.top()?;
        let Value::Dict(attributes) = self.get(object) else {
            return asks_for_code("the state of an object");
        };
        // Elsewhere it is an ordered dictionary, whose state (`_metadata`) is none of its entries.
        if self.classes == Classes::TorchScript && attributes.is_empty() {
            let Some(Value::Dict(state)) = self.values.get_mut(state) else {
                return asks_for_code("the state of an object that is no dictionary");
            };
            self.values[object] = Value::Dict(std::mem::take(state));
        }
        Ok(())
    }

    fn persistent(&mut self) -> Result<()> {
        let id = self.pop()?;
        let Value::List(parts) = self.get(id) else {
            return asks_for_code("an object kept outside the pickle");
        };
        let &[tag, class, key, _location, count, ..] = parts.as_slice() else {
            return damaged("expected a storage of five parts");
        };
        let (Value::Text(tag), &Value::Function(Function::StorageClass(dtype)), Value::Text(key)) =
            (self.get(tag), self.get(class), self.get(key))
        else {
            return damaged("expected a storage with its type and key");
        };
        if tag != "storage" || key.len() > MAX_KEY {
            return damaged("expected a storage with a short key");
        }
        let storage = Storage { dtype, key: key.clone(), count: self.size(count)? };
        self.push(Value::Storage(Box::new(storage)));
        Ok(())
    }
}

fn text(bytes: &[u8]) -> Result<String> {
    String::from_utf8(bytes.to_vec()).or_else(|_| damaged("found text that is not UTF-8"))
}

fn pairs(items: &[Id]) -> Result<Vec<(Id, Id)>> {
    let pairs = items.chunks_exact(2);
    if !pairs.remainder().is_empty() {
        return damaged("found a dictionary with a key that has no value");
    }
    Ok(pairs.map(|pair| (pair[0], pair[1])).collect())
}

fn storage_class(name: &str) -> Option<Dtype> {
    Some(match name {
        "DoubleStorage" => Dtype::F64,
        "FloatStorage" => Dtype::F32,
        "HalfStorage" => Dtype::F16,
        "BFloat16Storage" => Dtype::Bf16,
        "LongStorage" => Dtype::I64,
        "IntStorage" => Dtype::I32,
        "ShortStorage" => Dtype::I16,
        "CharStorage" => Dtype::I8,
        "ByteStorage" | "BoolStorage" => Dtype::U8,
        _ => return None,
    })
}

fn is_dtype(name: &str) -> bool {
    let kinds = ["float", "int", "uint", "bfloat", "complex"];
    name == "bool"
        || kinds
            .iter()
            .any(|kind| name.strip_prefix(kind).is_some_and(|width| width.parse::<u8>().is_ok()))
}
