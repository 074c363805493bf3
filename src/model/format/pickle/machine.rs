//! The stack machine whose program a pickle is.

use std::collections::HashMap;
use std::rc::Rc;

use super::names::{Classes, Function, lookup};
use super::{Id, MAX_KEY, MAX_RANK, Storage, Value, View, asks_for_code, damaged};
use crate::error::Result;
use crate::model::format::cursor::Cursor;

/// Values made so far, and those in the hands of the program.
pub struct Machine<'a> {
    input: Cursor<'a>,
    classes: Classes,
    values: Vec<Value>,
    stack: Vec<Id>,
    /// Heights of the stack where `MARK` was seen.
    marks: Vec<usize>,
    memo: HashMap<u64, Id>,
}

impl<'a> Machine<'a> {
    pub fn new(bytes: &'a [u8], classes: Classes) -> Self {
        Self {
            input: Cursor::new(bytes),
            classes,
            values: Vec::new(),
            stack: Vec::new(),
            marks: Vec::new(),
            memo: HashMap::new(),
        }
    }

    pub fn position(&self) -> usize {
        self.input.position()
    }

    pub fn into_values(self) -> Vec<Value> {
        self.values
    }

    /// Runs the program to its end; the value it leaves.
    pub fn run(&mut self) -> Result<Id> {
        loop {
            // No instruction leaves more values than this; what grows with a tensor is reserved
            // where it is read.
            self.values.try_reserve(4)?;
            self.stack.try_reserve(4)?;
            self.marks.try_reserve(1)?;
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
                let value = lookup(self.classes, module, name)?;
                self.push(value);
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                let (Value::Text(module), Value::Text(name)) = (self.get(module), self.get(name))
                else {
                    return damaged("a name in the pickle is not text");
                };
                let value = lookup(self.classes, module, name)?;
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
        self.push(Value::Text(value.into()));
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
        if &**tag != "storage" || key.len() > MAX_KEY {
            return damaged("expected a storage with a short key");
        }
        let storage = Storage { dtype, key: Rc::clone(key), count: self.size(count)? };
        self.push(Value::Storage(Box::new(storage)));
        Ok(())
    }
}

fn text(bytes: &[u8]) -> Result<&str> {
    std::str::from_utf8(bytes).or_else(|_| damaged("found text that is not UTF-8"))
}

fn pairs(items: &[Id]) -> Result<Vec<(Id, Id)>> {
    let pairs = items.chunks_exact(2);
    if !pairs.remainder().is_empty() {
        return damaged("found a dictionary with a key that has no value");
    }
    Ok(pairs.map(|pair| (pair[0], pair[1])).collect())
}
