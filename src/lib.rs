//! Distilled ("student") machine-learned force fields, evaluated where molecular dynamics runs.
//!
//! Dependencies point one way: [`c_api`] uses [`engine`], which uses [`model`] and [`neighbors`],
//! which use [`error`]. See `docs/src/internals/architecture.md`, and `docs/src/decisions` for why
//! things are as they are.
//!
//! Units everywhere: ångström, electronvolt, eV/Å; the virial in eV.

pub mod c_api;
pub mod engine;
pub mod error;
mod memory;
pub mod model;
pub mod neighbors;
pub mod vector;

pub use error::{Error, ErrorKind, Result};
