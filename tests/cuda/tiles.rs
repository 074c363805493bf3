//! GPUs with less shared memory in a block of threads take tiles of atoms with fewer threads, which
//! go over a layer's outputs in several passes.

use crate::support::alone::alone;
use crate::support::students;
use std::sync::Arc;

use crate::support::cube::Cube;
use crate::support::devices::assert_alike;
use crate::support::shim;
use mlff_student::model::Architecture::{Painn, Published};

#[test]
fn tiles_of_any_size_have_the_processors_numbers() {
    if !alone("tiles::tiles_of_any_size_have_the_processors_numbers") {
        return;
    }
    if std::env::var_os("MLFF_TEST_GPU").is_some() {
        eprintln!("SKIPPED: a GPU has the shared memory that it has");
        return;
    }
    // Turing, Ampere for consumers, A100, Hopper: 256 and 128 threads for many atoms, 512 to 64 for
    // few.
    for (side, bytes, architecture, hidden) in [
        (4, 227 * 1024, Published, 96),
        (4, 99 * 1024, Painn, 112),
        (4, 64 * 1024, Published, 64),
        (4, 64 * 1024, Painn, 96),
        (3, 163 * 1024, Painn, 96),
        (3, 99 * 1024, Published, 160),
        (3, 64 * 1024, Painn, 128),
        (3, 64 * 1024, Published, 240),
    ] {
        shim::fails(&format!("shared={bytes}"));
        let cube = Cube::new(side, 1);
        let model = Arc::new(students::random(architecture, hidden, 2, &[16]));
        let what = format!("{architecture:?}, {hidden} channels, {bytes} bytes");
        assert_alike(&cube, &model, &what);
    }
}
