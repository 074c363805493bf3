//! The C API, its header and the shared library, as programs in other languages meet them.

#[path = "../support/mod.rs"]
mod support;

mod header;
mod numbers;
mod options;
mod programs;
mod shared_library;
