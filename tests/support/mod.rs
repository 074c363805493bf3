//! What tests of several kinds need: reference data, random students, systems, compilers, a
//! library in place of a GPU.

#![allow(dead_code, reason = "each test program uses a part of it")]

pub mod alone;
pub mod bags;
pub mod bits;
pub mod c_calls;
pub mod cube;
pub mod devices;
pub mod reference;
pub mod shim;
pub mod students;
pub mod toolchain;

use std::path::{Path, PathBuf};

/// The project's root, or what stands for it where the tests run on a machine without it.
pub fn root() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = package.ancestors().find(|folder| folder.join("Cargo.lock").is_file());
    std::env::var_os("MLFF_TEST_ROOT").map_or_else(|| root.unwrap_or(package).into(), PathBuf::from)
}
