//! An installed package works from C, C++ and Fortran, with pkg-config and with CMake, and after it
//! was moved.

use crate::support::root;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::toolchain::{Language, library, model, run, stdout, tool};
use tempfile::TempDir;

const PKG_CONFIG: &str = "apt-get install pkg-config";
const CMAKE: &str = "apt-get install cmake, or pip install cmake into .venv";
const GFORTRAN: &str = "apt-get install gfortran";

fn make(target: &str, build: &Path, destdir: &Path) {
    let mut command = Command::new(tool("make", "apt-get install make").unwrap());
    command.current_dir(root()).args(["-f", "install.mk", target, "PREFIX=/opt/mlff"]);
    command.arg(format!("DESTDIR={}", destdir.display()));
    command.arg(format!("BUILD={}", build.display()));
    // Those of a `make test` around this test.
    command.env_remove("MAKEFLAGS").env_remove("MAKELEVEL");
    run(&mut command);
}

/// What `cargo build` leaves in one folder.
fn build(dir: &TempDir) -> PathBuf {
    let build = dir.path().join("build");
    std::fs::create_dir(&build).unwrap();
    std::fs::copy(library(), build.join("libmlff_student.so")).unwrap();
    std::fs::copy(env!("CARGO_BIN_EXE_mlff-student"), build.join("mlff-student")).unwrap();
    build
}

/// Installs, and moves what was installed elsewhere.
fn installed(dir: &TempDir) -> PathBuf {
    make("install", &build(dir), &dir.path().join("destdir"));
    let moved = dir.path().join("moved here");
    std::fs::rename(dir.path().join("destdir/opt/mlff"), &moved).unwrap();
    moved
}

/// Runs a water example with the installed library alone.
fn check_water(program: &Path, prefix: &Path) {
    let mut command = Command::new(program);
    command.arg(model("student-21k-wrapped.pt")).env("LD_LIBRARY_PATH", prefix.join("lib"));
    assert!(stdout(&mut command).starts_with("energy "));
}

fn files_below(dir: &Path) -> Vec<String> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(files_below(&path));
        } else {
            files.push(path.to_str().unwrap().to_owned());
        }
    }
    files.sort();
    files
}

#[test]
fn install_puts_every_file_in_its_place_and_uninstall_takes_it_away() {
    let dir = tempfile::tempdir().unwrap();
    let (build, destdir) = (build(&dir), dir.path().join("destdir"));
    // Which not every build has.
    std::fs::write(build.join("libmlff_student_torch.so"), "the engine on libtorch").unwrap();
    std::fs::write(build.join("mlff-student-train"), "the trainer").unwrap();
    make("install", &build, &destdir);
    let prefix = destdir.join("opt/mlff");
    let library = concat!("/lib/libmlff_student.so.", env!("CARGO_PKG_VERSION"));
    let found: Vec<String> = files_below(&prefix)
        .iter()
        .map(|file| file.strip_prefix(prefix.to_str().unwrap()).unwrap().to_owned())
        .collect();
    assert_eq!(
        found,
        [
            "/bin/mlff-student",
            "/bin/mlff-student-train",
            "/include/mlff_student.f90",
            "/include/mlff_student.h",
            "/include/mlff_student.hpp",
            "/lib/cmake/mlff_student/mlff_studentConfig.cmake",
            "/lib/cmake/mlff_student/mlff_studentConfigVersion.cmake",
            "/lib/libmlff_student.so",
            "/lib/libmlff_student.so.0",
            library,
            "/lib/mlff-student/libmlff_student_torch.so",
            "/lib/pkgconfig/mlff_student.pc",
            "/share/doc/mlff-student/DejaVuSans.LICENSE",
            "/share/doc/mlff-student/LICENSE-APACHE",
            "/share/doc/mlff-student/LICENSE-MIT",
        ]
    );
    let link = |name: &str| std::fs::read_link(prefix.join("lib").join(name)).unwrap();
    assert_eq!(link("libmlff_student.so"), Path::new("libmlff_student.so.0"));
    assert_eq!(link("libmlff_student.so.0").file_name(), Path::new(library).file_name());
    make("install", &build, &destdir);
    make("uninstall", &build, &destdir);
    assert_eq!(files_below(&prefix), [""; 0]);
}

#[test]
#[cfg_attr(not(reference_data), ignore = "needs ../shared/reference")]
fn pkg_config_serves_c_cpp_and_fortran() {
    let dir = tempfile::tempdir().unwrap();
    let prefix = installed(&dir);
    let Some(pkg_config) = tool("pkg-config", PKG_CONFIG) else { return };
    let ask = |arguments: &[&str]| {
        let mut command = Command::new(&pkg_config);
        command.args(arguments).arg("mlff_student");
        command.env("PKG_CONFIG_PATH", prefix.join("lib/pkgconfig"));
        stdout(&mut command).trim().to_owned()
    };
    assert_eq!(ask(&["--modversion"]), env!("CARGO_PKG_VERSION"));
    // As a shell would: pkg-config escapes the space in the path.
    let build = |compiler: &str, flags: &str, source: &str, program: &Path| {
        let line = format!("{compiler} {source} -o '{}' {flags}", program.display());
        run(Command::new("sh").current_dir(root()).arg("-c").arg(line));
        check_water(program, &prefix);
    };
    let flags = ask(&["--cflags", "--libs"]);
    build(&compiler(Language::C99), &flags, "examples/c/water.c", &dir.path().join("c"));
    build(&compiler(Language::Cpp17), &flags, "examples/cpp/water.cpp", &dir.path().join("cpp"));
    let Some(gfortran) = tool("gfortran", GFORTRAN) else { return };
    let module = ask(&["--variable=fortran_module"]).replace("\\ ", " ");
    let sources = format!("'{module}' examples/fortran/water.f90");
    let gfortran = format!("{} -J '{}'", gfortran.display(), dir.path().display());
    build(&gfortran, &ask(&["--libs"]), &sources, &dir.path().join("fortran"));
}

/// The compiler's command line.
fn compiler(language: Language) -> String {
    let command = language.compiler();
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_str().unwrap()).collect::<Vec<_>>().join(" ")
}

#[test]
#[cfg_attr(not(reference_data), ignore = "needs ../shared/reference")]
fn cmake_finds_the_package_and_links_c_and_cpp() {
    let dir = tempfile::tempdir().unwrap();
    let prefix = installed(&dir);
    let Some(cmake) = tool("cmake", CMAKE) else { return };
    let make = tool("make", "apt-get install make").unwrap();
    let project = dir.path().join("project");
    std::fs::create_dir(&project).unwrap();
    let examples = root().join("examples");
    let configure = |requirement: &str| {
        let lists = format!(
            "cmake_minimum_required(VERSION 3.16)\n\
             project(consumer C CXX)\n\
             find_package(mlff_student {requirement} REQUIRED)\n\
             add_executable(water_c {0}/c/water.c)\n\
             add_executable(water_cpp {0}/cpp/water.cpp)\n\
             target_compile_features(water_cpp PRIVATE cxx_std_17)\n\
             target_link_libraries(water_c PRIVATE mlff_student::mlff_student)\n\
             target_link_libraries(water_cpp PRIVATE mlff_student::mlff_student)\n",
            examples.display()
        );
        std::fs::write(project.join("CMakeLists.txt"), lists).unwrap();
        let mut command = Command::new(&cmake);
        command.current_dir(&project).args(["-G", "Unix Makefiles", "-S", ".", "-B", "build"]);
        command.arg(format!("-DCMAKE_MAKE_PROGRAM={}", make.display()));
        command.arg(format!("-DCMAKE_PREFIX_PATH={}", prefix.display()));
        command.env_remove("MAKEFLAGS").env_remove("MAKELEVEL");
        command
    };
    for accepted in ["", "0.1", "0.1.0 EXACT"] {
        run(&mut configure(accepted));
    }
    for refused in ["0.2", "1.0", "0.1.1"] {
        assert!(!configure(refused).output().unwrap().status.success(), "{refused}");
    }
    run(&mut configure("0.1"));
    run(Command::new(&cmake)
        .current_dir(&project)
        .args(["--build", "build"])
        .env_remove("MAKEFLAGS")
        .env_remove("MAKELEVEL"));
    for name in ["water_c", "water_cpp"] {
        check_water(&project.join("build").join(name), &prefix);
    }
}
