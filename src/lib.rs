//! Distilled ("student") machine-learned force fields, evaluated where molecular dynamics runs.
//!
//! Dependencies point one way: [`c_api`] and [`cli`] use [`engine`], [`dataset`], [`validation`] and
//! [`plot`], which use [`model`] and [`neighbors`], which use [`error`]. See `docs/design.md` for what was decided and why.
//!
//! Units everywhere: ångström, electronvolt, eV/Å; the virial in eV.

pub mod c_api;
pub mod cli;
pub mod dataset;
pub mod engine;
pub mod error;
mod memory;
pub mod model;
pub mod neighbors;
pub mod plot;
pub mod validation;
mod vector;

pub use error::{Error, ErrorKind, Result};
