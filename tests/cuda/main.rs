//! The CUDA kernels, on a GPU or on the processor in its place (`src/engine/cuda/shim`).

#[path = "../support/mod.rs"]
mod support;

mod drift;
mod failures;
mod launches;
mod lists;
mod systems;
mod tiles;
