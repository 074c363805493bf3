//! What the program `mlff-student` does, beside the library: labelled structures from files
//! ([`dataset`]), errors of a student ([`validation`]), pictures ([`plot`]), commands ([`cli`]).
//!
//! Units everywhere: ångström, electronvolt, eV/Å; the virial in eV.

pub mod cli;
pub mod dataset;
pub mod plot;
pub mod validation;
