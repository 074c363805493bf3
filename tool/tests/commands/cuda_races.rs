//! Threads of the CUDA kernels that forget to wait for each other are found: the kernels' source as
//! C++, each thread of a block a real one, under ThreadSanitizer.

use crate::support::{shim, students, toolchain};
use std::path::Path;
use std::process::{Command, Output};

use crate::support::toolchain::Language;
use mlff_student::model::{Architecture, Model};

/// Threads of the processor instead of fibers, watched.
const WATCHED: [&str; 4] = ["-O1", "-g", "-DMLFF_SHIM_THREADS", "-fsanitize=thread"];

/// Bytes of shared memory of a block of threads on Hopper.
const LARGE: usize = 227 * 1024;

/// Evaluates a chain of so many atoms with the kernels in `library`, on a GPU with so many bytes of
/// shared memory.
fn evaluate(library: &Path, model: &Model, atoms: usize, shared: usize) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("model.safetensors");
    model.save(&file).unwrap();
    let mut structure = format!("{atoms}\nProperties=species:S:1:pos:R:3\n");
    for k in 0..atoms {
        let [x, y] = [k as f64, 0.4 * (k % 3) as f64];
        structure += &format!("{} {x} {y} 0.0\n", ["O", "H", "C"][k % 3]);
    }
    let positions = folder.path().join("chain.xyz");
    std::fs::write(&positions, structure).unwrap();
    let sanitizer =
        toolchain::stdout(Language::Cpp17.compiler().arg("-print-file-name=libtsan.so"));
    Command::new(env!("CARGO_BIN_EXE_mlff-student"))
        .args(["eval", "--device", "cuda"])
        .args([&file, &positions])
        .env("LD_PRELOAD", sanitizer.trim())
        .env("TSAN_OPTIONS", "exitcode=66")
        .env("MLFF_STUDENT_CUDA_SHIM", library)
        .env("MLFF_STUDENT_CUDA_SHIM_FAILS", format!("shared={shared}"))
        .output()
        .unwrap()
}

#[test]
fn no_thread_reads_what_another_one_has_not_written_yet() {
    let library = shim::library("libshim-watched.so", &WATCHED);
    // Few atoms, many, and more than are compared with all others go through kernels of their own.
    // With little shared memory, layers take several passes.
    for (architecture, hidden, atoms, shared) in [
        (Architecture::Published, 32, 5, LARGE),
        (Architecture::Published, 32, 40, LARGE),
        (Architecture::Published, 48, 40, 45_000),
        (Architecture::Painn, 32, 5, LARGE),
        (Architecture::Painn, 16, 260, LARGE),
        (Architecture::Published, 16, 520, LARGE),
    ] {
        let model = students::random(architecture, hidden, 2, &[16]);
        let found = evaluate(&library, &model, atoms, shared);
        let said = String::from_utf8_lossy(&found.stderr);
        assert!(found.status.success(), "{architecture:?}, {atoms} atoms: {said}");
    }
}

#[test]
fn threads_that_do_not_wait_for_each_other_are_found() {
    let options = [&WATCHED[..], &["-DMLFF_SHIM_WITHOUT_BARRIERS"]].concat();
    let library = shim::library("libshim-forgetful.so", &options);
    let model = students::random(Architecture::Painn, 32, 2, &[16]);
    let found = evaluate(&library, &model, 5, LARGE);
    let said = String::from_utf8_lossy(&found.stderr);
    assert!(said.contains("data race") && found.status.code() == Some(66), "{said}");
}
