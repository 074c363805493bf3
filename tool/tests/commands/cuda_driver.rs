//! How the library calls NVIDIA's driver, with another library in its place (`driver/driver.cpp`):
//! the tool finds it as it would find the driver.

use crate::support::{shim, students};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::support::toolchain::{Language, run};
use mlff_student::model::Architecture;

/// Six frames of a chain that moves, so that kernels come again and again.
const FRAMES: usize = 6;

struct Machine {
    folder: tempfile::TempDir,
}

impl Machine {
    fn new() -> Self {
        let machine = Self { folder: tempfile::tempdir().unwrap() };
        let model = students::random(Architecture::Painn, 32, 2, &[16]);
        model.save(&machine.path("model.safetensors")).unwrap();
        let mut frames = String::new();
        for frame in 0..FRAMES {
            frames += "9\nProperties=species:S:1:pos:R:3\n";
            for k in 0..9 {
                let x = k as f64 + 0.01 * frame as f64 * (k % 4) as f64;
                frames += &format!("{} {x} {} 0.0\n", ["O", "H", "C"][k % 3], 0.4 * (k % 3) as f64);
            }
        }
        std::fs::write(machine.path("chain.xyz"), frames).unwrap();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/commands/driver.cpp");
        let mut compiler = Language::Cpp17.compiler();
        // Handles are void pointers here, and functions have no declarations.
        compiler.args(["-Wno-conversion", "-shared", "-fPIC"]).arg(source);
        run(compiler.arg("-o").arg(machine.path("libcuda.so")));
        machine
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn evaluate(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mlff-student"));
        command.args(["eval", "--device", "cuda"]);
        command.arg(self.path("model.safetensors")).arg(self.path("chain.xyz"));
        command
    }

    fn with_driver(&self, fails: &str) -> Output {
        let mut command = self.evaluate();
        command.env("LD_LIBRARY_PATH", self.folder.path());
        command.env("MLFF_TEST_DRIVER_SHIM", shim::kernels()).env("MLFF_TEST_DRIVER_FAILS", fails);
        command.output().unwrap()
    }
}

#[test]
fn through_the_driver_kernels_give_the_shims_bits_and_the_callers_context_stays() {
    let machine = Machine::new();
    let expected = run(machine.evaluate().env("MLFF_STUDENT_CUDA_SHIM", shim::kernels()));
    assert_eq!(String::from_utf8_lossy(&expected.stdout).lines().count(), FRAMES);
    let found = machine.with_driver("");
    let said = String::from_utf8_lossy(&found.stderr);
    assert!(found.status.success(), "{said}");
    assert_eq!(found.stdout, expected.stdout);
    assert!(said.contains("4 graphs launched"), "{said}");
}

#[test]
fn what_the_driver_refuses_is_an_error_that_says_what_to_do_and_leaves_the_callers_context() {
    let machine = Machine::new();
    for (fails, words) in [
        // A stub in its place, a machine without GPUs, a driver that is half updated, and one that
        // is broken.
        ("cuDriverGetVersion=34", "device cpu, or see what nvidia-smi says"),
        ("cuInit=34", "device cpu, or see what nvidia-smi says"),
        ("cuInit=100", "found none that NVIDIA's driver shows"),
        ("cuInit=803", "start the machine again"),
        ("cuInit=999", "NVIDIA's driver, asking for its GPUs: the test's error 999"),
        ("sums_of_structures=700", "lost to this process"),
        ("write_pairs=701", "kernel write_pairs"),
    ] {
        let found = machine.with_driver(fails);
        let said = String::from_utf8_lossy(&found.stderr);
        assert_eq!(found.status.code(), Some(1), "{fails}: {said}");
        assert!(said.contains(words), "{fails}: {said}");
    }
}
