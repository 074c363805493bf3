//! The C API as C, C++ and Fortran programs meet it.

use crate::support::root;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::toolchain::{Language, compile, library_dir, model, run, stdout, tool};
use tempfile::TempDir;

const GFORTRAN: &str = "apt-get install gfortran";

/// Compiles a C or C++ program of this project.
fn program(dir: &TempDir, source: &str) -> PathBuf {
    let language = if source.ends_with(".c") { Language::C99 } else { Language::Cpp17 };
    let name = source.replace(['/', '.'], "_");
    let out = dir.path().join(name);
    compile(language, &["-g"], &[&root().join(source)], &out);
    out
}

/// Compiles a Fortran program of this project, with the module.
fn fortran_program(dir: &TempDir, source: &str) -> Option<PathBuf> {
    let out = dir.path().join("program");
    let libraries = library_dir();
    let mut command = Command::new(tool("gfortran", GFORTRAN)?);
    command.args(["-std=f2018", "-pedantic", "-Wall", "-Wextra", "-Werror", "-Wconversion"]);
    command.args(["-g", "-fcheck=all", "-J"]).arg(dir.path());
    command.arg(root().join("include/mlff_student.f90")).arg(root().join(source));
    command.arg("-L").arg(&libraries).arg("-lmlff_student");
    command.arg(format!("-Wl,-rpath,{}", libraries.display())).arg("-o").arg(&out);
    run(&mut command);
    Some(out)
}

/// One of the students that ship.
fn small_model() -> PathBuf {
    root().join("models/organics-small.safetensors")
}

/// Files that are no models, under the names that `bad_input.c` knows.
fn bad_files(dir: &TempDir) -> PathBuf {
    let files = dir.path().join("files");
    std::fs::create_dir_all(files.join("directory.pt")).unwrap();
    let write = |name: &str, bytes: &[u8]| std::fs::write(files.join(name), bytes).unwrap();
    write("empty.safetensors", b"");
    write("empty.pt", b"");
    write("text.pt", b"This is not a model.\n");
    let half = |path: PathBuf| {
        let bytes = std::fs::read(path).unwrap();
        bytes[..bytes.len() / 2].to_vec()
    };
    write("truncated.safetensors", &half(small_model()));
    write("truncated.pt", &half(root().join("torch/tests/torchscript/morse.pt")));
    // What PyTorch begins its files with, and a graph that is longer than the file.
    write("truncated.onnx", b"\x08\x08\x12\x07pytorch\x3a\xff\x7f\x0a\x10");
    // A pickle that calls os.system("true") when it is loaded.
    write("code.pt", b"\x80\x02cos\nsystem\nX\x04\x00\x00\x00true\x85R.");
    files
}

#[test]
fn bad_input_gives_a_status_and_a_message_and_leaves_everything_usable() {
    let dir = tempfile::tempdir().unwrap();
    let files = bad_files(&dir);
    let bad_input = program(&dir, "tests/c/bad_input.c");
    // No GPU, whatever this machine has.
    let mut command = Command::new(bad_input);
    run(command.arg(small_model()).arg(files).env("CUDA_VISIBLE_DEVICES", "-1"));
}

#[test]
fn where_a_student_learned_nothing_a_calculator_warns_once_reports_or_refuses() {
    let dir = tempfile::tempdir().unwrap();
    let output =
        Command::new(program(&dir, "tests/c/check.c")).arg(small_model()).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{}{said}", String::from_utf8_lossy(&output.stdout));
    // One calculator warned, of each kind once.
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.len(), 2, "{said}");
    for (line, words) in
        lines.iter().zip(["far outside of them (atom", "found 1 pair that is (atoms 0 and 1)"])
    {
        assert!(
            line.starts_with("mlff-student: WARNING (once): ") && line.contains(words),
            "{said}"
        );
    }
}

#[test]
fn running_out_of_memory_is_an_error_that_leaves_everything_usable() {
    let dir = tempfile::tempdir().unwrap();
    let memory = program(&dir, "tests/c/memory.c");
    for (side, precision) in [("8", "mixed"), ("3", "double")] {
        let told = stdout(Command::new(&memory).arg(small_model()).args([side, precision]));
        // Otherwise it would have shown nothing.
        for call in [
            "mlff_model_load",
            "mlff_calculator_new",
            "mlff_calculator_compute:",
            "compute_structure:",
        ] {
            let line = told.lines().find(|line| line.contains(call)).unwrap();
            assert!(!line.contains(" 0 times"), "{line}");
        }
    }
}

#[test]
fn the_cpp_face_throws_moves_and_carries_exceptions_through_callbacks() {
    let dir = tempfile::tempdir().unwrap();
    run(Command::new(program(&dir, "tests/cpp/faces.cpp")).arg(small_model()));
}

#[test]
fn the_fortran_face_reports_errors_and_counts_from_one() {
    let dir = tempfile::tempdir().unwrap();
    if let Some(faces) = fortran_program(&dir, "tests/fortran/faces.f90") {
        run(Command::new(faces).arg(small_model()));
    }
}

#[test]
fn the_fortran_module_has_the_constants_and_functions_of_the_header() {
    let header = std::fs::read_to_string(root().join("include/mlff_student.h")).unwrap();
    let module = std::fs::read_to_string(root().join("include/mlff_student.f90")).unwrap();
    for line in header.lines().filter_map(|line| line.strip_prefix("#define MLFF_")) {
        if let Some((name, value)) = line.split_once(' ').filter(|(_, v)| v.parse::<i32>().is_ok())
        {
            assert!(
                module.contains(&format!("    MLFF_{name} = {value}, &\n"))
                    || module.contains(&format!("    MLFF_{name} = {value}\n")),
                "MLFF_{name} = {value}"
            );
        }
    }
    let public: Vec<&str> = module
        .lines()
        .filter_map(|line| line.trim().strip_prefix("public :: "))
        .flat_map(|names| names.split(", "))
        .collect();
    let symbols = std::fs::read_to_string(root().join("tests/exported_symbols.txt")).unwrap();
    for symbol in symbols.lines() {
        assert!(
            module.contains(&format!("function {symbol}("))
                || module.contains(&format!("subroutine {symbol}(")),
            "{symbol}"
        );
        assert!(public.contains(&symbol), "{symbol} is private");
    }
}

/// Name and bytes of each field of the struct or derived type between `start` and `end`.
fn fields(text: &str, start: &str, end: &str) -> Vec<(String, usize)> {
    let (_, rest) = text.split_once(start).unwrap_or_else(|| panic!("no {start}"));
    let (body, _) = rest.split_once(end).unwrap();
    let field = |line: &str| {
        let line = line.trim().trim_end_matches(';').split(" = ").next()?;
        let (kind, name) = line.split_once(" :: ").or_else(|| line.rsplit_once(' '))?;
        let pointer = name.starts_with('*') || kind == "type(c_ptr)";
        let bytes = match kind {
            _ if pointer => 8,
            "uint32_t" | "int32_t" | "integer(c_int32_t)" => 4,
            "uint64_t" | "integer(c_int64_t)" | "double" | "real(c_double)" => 8,
            _ => return None,
        };
        let name = name.trim_start_matches('*').trim_end_matches([']', ')']);
        let (name, count) = name.split_once(['[', '(']).unwrap_or((name, "1"));
        Some((name.to_owned(), bytes * count.parse::<usize>().unwrap()))
    };
    body.lines().filter_map(field).collect()
}

#[test]
fn the_fortran_types_have_the_fields_of_the_headers_structs() {
    let header = std::fs::read_to_string(root().join("include/mlff_student.h")).unwrap();
    let module = std::fs::read_to_string(root().join("include/mlff_student.f90")).unwrap();
    let names = header.lines().filter_map(|line| {
        line.strip_prefix("typedef struct ").and_then(|name| name.strip_suffix(" {"))
    });
    let mut compared = 0;
    for name in names {
        let expected = fields(&header, &format!("typedef struct {name} {{"), "\n}");
        let found = fields(&module, &format!("bind(C), public :: {name}\n"), "end type");
        assert_eq!(found, expected, "{name}");
        assert!(expected.len() > 5, "{name}: {expected:?}");
        compared += 1;
    }
    assert_eq!(compared, 8);
}

#[test]
#[cfg_attr(not(reference_data), ignore = "needs ../shared/reference")]
fn the_water_examples_print_the_same_in_c_cpp_and_fortran() {
    let dir = tempfile::tempdir().unwrap();
    let mut programs =
        vec![program(&dir, "examples/c/water.c"), program(&dir, "examples/cpp/water.cpp")];
    programs.extend(fortran_program(&dir, "examples/fortran/water.f90"));
    for file in ["student-77k-wrapped.pt", "painn-32-bessel.pt"] {
        let printed: Vec<String> =
            programs.iter().map(|path| stdout(Command::new(path).arg(model(file)))).collect();
        assert_eq!(printed[0].lines().count(), 13);
        assert!(printed.iter().all(|text| *text == printed[0]), "{printed:#?}");
    }
}

#[test]
#[cfg_attr(not(reference_data), ignore = "needs ../shared/reference")]
fn the_md_example_starts_at_the_energy_of_the_water_example_and_conserves_it() {
    let dir = tempfile::tempdir().unwrap();
    let (md, water) = (program(&dir, "examples/c/md.c"), program(&dir, "examples/c/water.c"));
    let file = model("painn-32-bessel.pt");
    let steps = stdout(Command::new(md).arg(&file).arg("400"));
    let word = |line: &str, at: usize| -> f64 {
        line.split_whitespace().nth(at).unwrap().parse().unwrap()
    };
    let energy = word(stdout(Command::new(water).arg(&file)).lines().next().unwrap(), 1);
    let first = steps.lines().next().unwrap();
    // Mixed against double precision.
    approx::assert_abs_diff_eq!(word(first, 3), energy, epsilon = 9.0 * 5e-6);
    let totals: Vec<f64> = steps.lines().map(|line| word(line, 7)).collect();
    let kinetic = steps.lines().map(|line| word(line, 5)).fold(0.0, f64::max);
    assert_eq!(totals.len(), 41);
    for total in &totals {
        assert!((total - totals[0]).abs() < 0.02 * kinetic, "{steps}");
    }
}

/// Not installed everywhere: `cargo test --test c_api -- --ignored`.
#[test]
#[ignore = "needs valgrind"]
fn valgrind_finds_nothing_in_the_c_programs() {
    let Some(valgrind) = tool("valgrind", "apt-get install valgrind") else { return };
    let dir = tempfile::tempdir().unwrap();
    let check = |path: &Path, argument: &Path| {
        run(Command::new(&valgrind)
            .args(["-q", "--error-exitcode=9", "--leak-check=full"])
            .args(["--show-leak-kinds=definite", "--errors-for-leak-kinds=definite"])
            .arg(path)
            .arg(small_model())
            .arg(argument));
    };
    check(&program(&dir, "examples/c/md.c"), Path::new("20"));
    check(&program(&dir, "tests/c/bad_input.c"), &bad_files(&dir));
    check(&program(&dir, "tests/c/check.c"), Path::new(""));
}
