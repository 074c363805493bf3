//! The names that a pickle may use. All of them hold data; none runs anything.

use super::{Value, asks_for_code};
use crate::error::Result;
use crate::model::format::tensors::Dtype;

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

/// Whose classes a pickle may name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Classes {
    None,
    /// `__torch__.*`, whose code lies elsewhere in a TorchScript archive and is not read.
    TorchScript,
}

/// What the file means by a name; an error for every name that is not on this list.
pub fn lookup(classes: Classes, module: &str, name: &str) -> Result<Value> {
    use Function::{
        Device, Encode, List, Module, OrderedDict, RebuildParameter, RebuildTensor, RestoreTypeTag,
        Set,
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
            return Ok(Value::Text(format!("torch.{name}").into()));
        }
        ("__torch__", _) if classes == Classes::TorchScript => Module,
        (module, _) if classes == Classes::TorchScript && module.starts_with("__torch__.") => {
            Module
        }
        _ => return asks_for_code(&format!("{module}.{name}")),
    };
    Ok(Value::Function(function))
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
