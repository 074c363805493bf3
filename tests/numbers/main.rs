//! The engines on the processor against references, plain float64, finite differences and each
//! other: alone, in batches, on many ranks.

#[path = "../support/mod.rs"]
mod support;

mod batches;
mod checks;
mod finite_differences;
mod memory;
mod neighbors;
mod random_models;
mod ranks;
mod reference_cases;
mod smooth_models;
