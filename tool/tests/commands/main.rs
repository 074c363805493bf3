//! The program `mlff-student` as its users run it.

#[path = "../../../tests/support/mod.rs"]
mod support;

mod bench;
mod calibrate;
mod cli;
mod cuda_driver;
mod cuda_races;
mod reshape;
mod validate;
