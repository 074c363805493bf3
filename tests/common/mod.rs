//! What the tests of the C API share: the built library, compilers, programs.

#![allow(dead_code)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The project's root.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A reference model; the reference data lie beside the project.
pub fn model(name: &str) -> PathBuf {
    let path = root().join("../shared/reference/models").join(name);
    assert!(path.is_file(), "the reference data are missing: expected {}", path.display());
    path
}

/// The folder with the `libmlff_student.so` that was built with this test.
pub fn library_dir() -> PathBuf {
    // target/<profile>/deps/<test>
    let exe = std::env::current_exe().unwrap();
    let dir = exe.ancestors().nth(2).unwrap().to_owned();
    assert!(dir.join("libmlff_student.so").is_file(), "no libmlff_student.so in {}", dir.display());
    dir
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
