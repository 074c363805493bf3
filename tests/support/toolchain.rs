//! What the tests of the C API share: the built library, compilers, programs.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use super::root;

/// A reference model; the reference data lie beside the project.
pub fn model(name: &str) -> PathBuf {
    let path = root().join("../shared/reference/models").join(name);
    assert!(path.is_file(), "the reference data are missing: expected {}", path.display());
    path
}

/// The shared library that was built with this test.
pub fn library() -> PathBuf {
    // Cargo puts it beside the tests; a copy further up may be of an earlier build.
    let path = std::env::current_exe().unwrap().with_file_name("libmlff_student.so");
    assert!(path.is_file(), "expected {}", path.display());
    path
}

/// A folder with the names that linkers look for.
pub fn library_dir() -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("lib");
    std::fs::create_dir_all(&dir).unwrap();
    for name in ["libmlff_student.so", "libmlff_student.so.0"] {
        // Other tests do the same at the same time.
        let made = std::os::unix::fs::symlink(library(), dir.join(name));
        assert!(made.is_ok() || dir.join(name).exists(), "{name}: {made:?}");
    }
    dir
}

/// A program that not every machine has. `None`, loudly, where it is missing; a failure where
/// `CI=true`.
pub fn tool(name: &str, how_to_install: &str) -> Option<PathBuf> {
    let beside = root().join(".venv/bin");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).chain([beside]).map(|dir| dir.join(name));
    if let Some(found) = found.into_iter().find(|file| file.is_file()) {
        return Some(found);
    }
    let message = format!("no {name} on PATH: {how_to_install}");
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{message}");
    // Not through a macro, which the test harness would capture.
    let _ = writeln!(std::io::stderr(), "\n*** SKIPPED a test: {message} ***\n");
    None
}

/// What a source is written in, and how strictly it is read.
#[derive(Clone, Copy)]
pub enum Language {
    C99,
    Cpp17,
}

impl Language {
    pub fn compiler(self) -> Command {
        let cpp = matches!(self, Self::Cpp17);
        let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
        let tool = cc::Build::new()
            .cpp(cpp)
            .opt_level(1)
            .host(&target)
            .target(&target)
            .cargo_metadata(false)
            .get_compiler();
        let mut command = Command::new(tool.path());
        command.args(tool.args());
        command.arg(if cpp { "-std=c++17" } else { "-std=c99" });
        command.args(["-pedantic", "-Wall", "-Wextra", "-Werror", "-Wconversion", "-Wshadow"]);
        if cpp {
            command.args(["-Wold-style-cast", "-Wnon-virtual-dtor"]);
        } else {
            command.args(["-Wstrict-prototypes", "-Wmissing-prototypes"]);
        }
        command
    }
}

/// Compiles against `include/` and the built library.
pub fn compile(language: Language, arguments: &[&str], sources: &[&Path], out: &Path) {
    let mut command = language.compiler();
    command.arg("-I").arg(root().join("include")).args(arguments).args(sources);
    command.arg("-o").arg(out);
    if !arguments.contains(&"-c") {
        let dir = library_dir();
        command.arg("-L").arg(&dir).args(["-lmlff_student", "-lm", "-pthread"]);
        command.arg(format!("-Wl,-rpath,{}", dir.display()));
    }
    run(&mut command);
}

/// Runs a command that must succeed.
pub fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// Runs a command that must succeed and gives what it printed.
pub fn stdout(command: &mut Command) -> String {
    String::from_utf8(run(command).stdout).unwrap()
}
