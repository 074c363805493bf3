//! `mlff-student bench`: what it measures is there and can be true, and what it loads is checked.

use crate::support::root;
use crate::support::shim;
use std::io::Write;
use std::path::Path;
use std::process::Command;

use crate::support::reference::reference;
use crate::support::toolchain::{Language, library, run, stdout};
use serde_json::Value;

fn bench_with(library: &Path, model: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mlff-student"));
    command.arg("bench").arg(reference("models").join(model)).arg("--library").arg(library);
    command.args(["--atoms", "190", "--rounds", "2"]);
    // Where no `.venv-bench` is.
    command.current_dir(std::env::temp_dir());
    command
}

fn bench(model: &str) -> Command {
    bench_with(&library(), model)
}

fn measured(command: &mut Command) -> Value {
    serde_json::from_str(&stdout(command.args(["--format", "json"]))).unwrap()
}

/// Stderr of a run that must end with an error.
fn error(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("error: ") && !text.contains("panicked"), "{text}");
    assert!(output.stdout.is_empty(), "{:?}", output.stdout);
    text
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("expected a number, found {value}"))
}

fn assert_ordered(summary: &Value) {
    let [min, median, max] = ["min", "median", "max"].map(|name| number(&summary[name]));
    assert!(0.0 < min && min <= median && median <= max, "{summary}");
}

#[test]
#[cfg_attr(not(reference_data), ignore = "needs ../shared/reference")]
fn figures_are_complete_and_can_be_true() {
    let found = measured(&mut bench("student-21k.onnx"));
    assert_eq!(found["library"], library().canonicalize().unwrap().to_str().unwrap());
    assert_eq!(found["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(found["architecture"], "published");
    assert_eq!(found["atoms"], 192, "whole molecules");
    assert_eq!(found["threads"], 1);
    assert_eq!(found["rounds"], 2);
    assert!(found["pytorch"].is_null());
    assert_ordered(&found["microseconds_per_atom_step"]);
    // Liquid water has 100 atoms per nm³: 52 in a sphere of 5 Å.
    assert!((45.0..60.0).contains(&number(&found["pairs_per_atom"])), "{found}");
    let share = number(&found["peak_share"]);
    assert!(0.0 < share && share < 1.2, "{found}");
    let peak = number(&found["peak_gflops"]);
    assert!((1.0..1000.0).contains(&peak), "{found}");
    assert!((number(&found["gflops"]) / peak - share).abs() < 1e-9, "{found}");
    let copy = number(&found["copy_gigabytes_per_second"]);
    assert!((0.1..1000.0).contains(&copy), "{found}");
    let shares = found["share_of_time"].as_object().unwrap();
    assert_eq!(shares.len(), 7);
    assert!(shares.values().all(|part| number(part) >= 0.0), "{found}");
    assert!((shares.values().map(number).sum::<f64>() - 1.0).abs() < 1e-9, "{found}");
    assert!(number(&shares["forward"]) > 0.05 && number(&shares["reverse"]) > 0.05, "{found}");
    assert!(number(&found["rebuild_microseconds_per_atom"]).is_finite());
    assert!(number(&found["memory"]["fixed"]) > 1e5, "{found}");
    assert!(number(&found["memory"]["per_atom"]) > 1e3, "{found}");
    let molecule = &found["molecule"];
    assert_eq!(
        (&molecule["name"], &molecule["atoms"], &molecule["batch"]),
        (&"ethanol".into(), &9.into(), &1024.into())
    );
    assert_ordered(&molecule["microseconds"]);
    assert_ordered(&molecule["batch_microseconds"]);
    assert!(molecule["pytorch"].is_null());
}

#[test]
#[cfg_attr(not(reference_data), ignore = "needs ../shared/reference")]
fn operations_are_those_of_the_formulas() {
    let found = measured(&mut bench("student-427k.onnx"));
    let (h, pairs) = (128.0, number(&found["pairs_per_atom"]));
    // Three updates of 2h → h → 3h, the last one without two gates; readout h → h/2 → h/4 → 1.
    let weights = 3.0 * 5.0 * h * h - 2.0 * h * h + h * h / 2.0 + h * h / 8.0 + h / 4.0;
    // Operations on a channel of both directions of a pair, counted by hand in the kernels:
    // forward 36 in the first message and 58 in others, reverse 57 and 104.
    let expected = 4.0 * weights + pairs / 2.0 * h * (36.0 + 57.0 + 2.0 * (58.0 + 104.0));
    assert_eq!(number(&found["operations_per_atom_step"]), expected);
}

#[test]
#[cfg_attr(not(reference_data), ignore = "needs ../shared/reference")]
fn every_instruction_set_has_its_own_peak() {
    let portable =
        measured(bench("student-21k.onnx").args(["--isa", "portable", "--threads", "2"]));
    assert_eq!(portable["instruction_set"], "portable");
    assert_eq!(portable["threads"], 2);
    let share = number(&portable["peak_share"]);
    assert!(0.0 < share && share < 1.2, "{portable}");
}

#[test]
#[cfg_attr(not(reference_data), ignore = "needs ../shared/reference")]
fn a_gpu_is_timed_without_the_processors_peak() {
    let on_a_gpu = || {
        let mut command = bench("student-21k.onnx");
        shim::instead_of_a_gpu_in(command.args(["--device", "cuda"]));
        command
    };
    let found = measured(&mut on_a_gpu());
    assert_eq!(found["instruction_set"], "cuda");
    assert_ordered(&found["microseconds_per_atom_step"]);
    assert!(found["peak_gflops"].is_null() && found["peak_share"].is_null(), "{found}");
    assert!(number(&found["gflops"]) > 0.0, "{found}");
    let text = stdout(&mut on_a_gpu());
    assert!(text.contains("cuda") && !text.contains("peak"), "{text}");
}

#[test]
#[cfg_attr(not(reference_data), ignore = "needs ../shared/reference")]
fn people_get_the_same_figures_as_text() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("figures.json");
    let text = stdout(bench("student-21k.onnx").arg("--json").arg(&file));
    let written: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    assert_ordered(&written["microseconds_per_atom_step"]);
    for name in ["library", "µs/atom/step", "GFLOP/s", "memory", "new neighbor list"] {
        assert!(text.lines().any(|line| line.starts_with(name)), "{name}: {text}");
    }
}

#[test]
#[cfg_attr(not(reference_data), ignore = "needs ../shared/reference")]
fn without_pytorch_one_line_says_how_to_get_it() {
    let output = run(&mut bench("student-21k.onnx"));
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(text.lines().filter(|line| line.contains("make bench")).count(), 1, "{text}");
}

#[test]
#[cfg_attr(not(reference_data), ignore = "needs ../shared/reference")]
fn a_place_that_cannot_be_written_to_is_refused_before_anything_is_measured() {
    let text = error(bench("student-21k.onnx").args(["--json", "/dev/null/x"]));
    assert!(text.starts_with("error: /dev/null/x: expected a place to write to"), "{text}");
}

#[test]
#[cfg_attr(not(reference_data), ignore = "needs ../shared/reference")]
fn a_library_that_is_missing_or_none_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let tool = dir.path().join("mlff-student");
    // Not std::fs::copy: a child that another test starts meanwhile would inherit the file open for
    // writing, and such a file cannot be executed.
    run(Command::new("cp").arg(env!("CARGO_BIN_EXE_mlff-student")).arg(&tool));
    let model = reference("models/student-21k.onnx");
    let text = error(Command::new(&tool).arg("bench").arg(&model));
    assert!(text.contains("libmlff_student.so") && text.contains("--library"), "{text}");

    let absent = dir.path().join("absent.so");
    let text = error(&mut bench_with(&absent, "student-21k.onnx"));
    assert!(text.contains("absent.so") && text.contains("--library"), "{text}");
    let text = error(&mut bench_with(&model, "student-21k.onnx"));
    assert!(text.contains("student-21k.onnx") && text.contains("--library"), "{text}");
}

#[test]
#[cfg_attr(not(reference_data), ignore = "needs ../shared/reference")]
fn a_library_of_another_c_api_is_refused_before_it_is_used() {
    let dir = tempfile::tempdir().unwrap();
    let (source, other) = (dir.path().join("other.c"), dir.path().join("libother.so"));
    let refuse = |code: &str, expected: &str| {
        std::fs::write(&source, code).unwrap();
        run(Language::C99.compiler().args(["-shared", "-fPIC"]).arg(&source).arg("-o").arg(&other));
        let text = error(&mut bench_with(&other, "student-21k.onnx"));
        assert!(text.contains("libother.so") && text.contains(expected), "{text}");
        std::fs::remove_file(&other).unwrap();
    };
    let version = "unsigned mlff_abi_version(void); unsigned mlff_abi_version(void) ";
    refuse(&format!("{version} {{ return 7u << 16; }}"), "found 7");
    refuse(&format!("{version} {{ return 1u << 8; }}"), "mlff_version");
    refuse("int nothing(void); int nothing(void) { return 0; }", "mlff_abi_version");
}

#[test]
#[cfg_attr(not(reference_data), ignore = "needs ../shared/reference")]
fn a_python_without_results_is_an_error_and_leaves_no_files() {
    let dir = tempfile::tempdir().unwrap();
    for (python, expected) in [("false", "make bench"), ("/nowhere/python", "--python")] {
        let mut command = bench("student-21k.onnx");
        command.args(["--python", python]).env("TMPDIR", dir.path());
        let text = error(&mut command);
        assert!(text.contains(expected), "{text}");
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

/// Needs PyTorch, which the other tests do without: `MLFF_BENCH_PYTHON=.venv-bench/bin/python`.
#[test]
#[cfg_attr(not(reference_data), ignore = "needs ../shared/reference")]
fn pytorch_computes_the_same_for_every_architecture() {
    let Some(python) = std::env::var_os("MLFF_BENCH_PYTHON") else {
        // Not through a macro, which the test harness would capture.
        let _ = writeln!(
            std::io::stderr(),
            "\n*** SKIPPED the comparison with PyTorch: set MLFF_BENCH_PYTHON to a Python with \
             torch (make bench installs one) ***\n"
        );
        return;
    };
    let python = std::path::absolute(python).unwrap();
    let shipped = root().join("models/organics-medium.safetensors").display().to_string();
    let models = [
        "student-427k.pt",
        "student-21k.onnx",
        "painn-64-gaussian.pt",
        "painn-32-bessel.pt",
        &shipped,
    ];
    // A GPU that the shim stands for is none for PyTorch.
    let mut command = bench(&shipped);
    shim::instead_of_a_gpu_in(&mut command)
        .args(["--device", "cuda", "--format", "json", "--python"])
        .arg(&python);
    let output = run(&mut command);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("finds 0 GPUs") && said.contains("PyTorch is not timed"), "{said}");
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(found["pytorch"].is_null() && found["molecule"]["pytorch"].is_null(), "{found}");
    for model in models {
        let found = measured(bench(model).arg("--python").arg(&python));
        let pytorch = &found["pytorch"];
        assert!(number(&pytorch["energy_difference_per_atom"]) < 5e-6, "{model}: {pytorch}");
        let scale = number(&pytorch["largest_force"]).max(1.0);
        assert!(number(&pytorch["largest_force_difference"]) < 1e-4 * scale, "{model}: {pytorch}");
        assert_ordered(&pytorch["microseconds_per_atom_step"]);
        assert_ordered(&pytorch["ratio"]);
        assert!(number(&pytorch["ratio_of_medians"]) > 1.0, "{model}: {found}");
        assert!(number(&pytorch["torchscript"]["ratio_of_medians"]) > 1.0, "{model}: {found}");
        let molecule = &found["molecule"];
        for program in ["pytorch", "torchscript"] {
            assert_ordered(&molecule[program]["microseconds_per_atom_step"]);
            assert!(number(&molecule[program]["ratio_of_medians"]) > 1.0, "{model}: {found}");
        }
    }
}
