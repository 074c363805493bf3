//! The C API: the only `extern "C"` of the library. `include/mlff_student.h` is generated from
//! these files (`tests/c_api/header.rs`), so their documentation is written for C.
//!
//! Patterns, one file each: `boundary` turns results and panics into a status, `handle` fixes
//! who owns what a handle points to, `versioned` reads and writes structs that may grow,
//! `arguments` checks pointers and enums. The other files hold one object each.
//!
//! What makes the pointers valid is the header's text: arguments point to what their
//! documentation says, and handles are used as theirs says.

#![allow(unsafe_code)]
#![allow(non_camel_case_types)]
#![allow(clippy::missing_safety_doc)]

mod arguments;
mod boundary;
mod handle;
mod versioned;

mod calculator;
mod compute;
mod device;
mod model;
mod neighbor_list;
mod options;
mod status;

pub use calculator::*;
pub use compute::*;
pub use device::*;
pub use model::*;
pub use neighbor_list::*;
pub use options::*;
pub use status::*;
