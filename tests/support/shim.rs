//! The CUDA kernels on the processor: their source as C++, in a library that takes the place of a
//! GPU (`src/engine/cuda/shim`).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::SystemTime;

/// Names of the kernels' modules, and what they are compiled from and with.
const MODULES: [(&str, &str, &str); 5] = [
    ("messages", "messages.cu", ""),
    ("atoms-0", "atoms.cu", "-DCHANNELS=0"),
    ("atoms-32", "atoms.cu", "-DCHANNELS=32"),
    ("atoms-64", "atoms.cu", "-DCHANNELS=64"),
    ("atoms-128", "atoms.cu", "-DCHANNELS=128"),
];

/// From here on calculators on GPUs run their kernels on the processor, unless `MLFF_TEST_GPU` asks
/// for a GPU.
pub fn instead_of_a_gpu() {
    if std::env::var_os("MLFF_TEST_GPU").is_some() {
        return;
    }
    static DONE: OnceLock<()> = OnceLock::new();
    DONE.get_or_init(|| {
        let library = kernels();
        // SAFETY: before any calculator on a GPU is made, whose engine alone asks for it; the other
        // threads of a test program make one or wait here.
        #[allow(unsafe_code)]
        unsafe {
            std::env::set_var("MLFF_STUDENT_CUDA_SHIM", library);
        }
    });
}

/// That a program runs its kernels on the processor, unless `MLFF_TEST_GPU` asks for a GPU.
pub fn instead_of_a_gpu_in(program: &mut Command) -> &mut Command {
    match std::env::var_os("MLFF_TEST_GPU") {
        Some(_) => program,
        None => program.env("MLFF_STUDENT_CUDA_SHIM", kernels()),
    }
}

/// The shim's library as most tests use it.
pub fn kernels() -> PathBuf {
    library("libshim.so", &["-O2", "-march=native"])
}

/// What fails in the calculators that are made from here on, see `FAILS` in the engine's `shim.rs`:
/// for tests that are [`alone`](super::alone::alone) and make them on this thread.
pub fn fails(what: &str) {
    // SAFETY: calculators read the variable when they are made, so nobody reads it now.
    #[allow(unsafe_code)]
    unsafe {
        std::env::set_var("MLFF_STUDENT_CUDA_SHIM_FAILS", what);
    }
}

/// The shim's library, compiled with these options unless it is there already.
pub fn library(name: &str, options: &[&str]) -> PathBuf {
    let source = super::root().join("src/engine/cuda");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("shim");
    fs::create_dir_all(&folder).unwrap();
    let library = folder.join(name);
    let newest = ["kernels", "shim"]
        .iter()
        .flat_map(|sub| fs::read_dir(source.join(sub)).unwrap())
        .map(|entry| entry.unwrap().metadata().unwrap().modified().unwrap())
        .max();
    let made =
        fs::metadata(&library).and_then(|file| file.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
    if newest.is_some_and(|newest| newest < made) {
        return library;
    }
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let tool = cc::Build::new()
        .cpp(true)
        .opt_level(2)
        .host(&target)
        .target(&target)
        .cargo_metadata(false)
        .get_compiler();
    let compiler = || {
        let mut command = Command::new(tool.path());
        command.args([
            "-std=c++20",
            "-fPIC",
            "-Wall",
            "-Wextra",
            "-Werror",
            "-Wno-unknown-pragmas",
        ]);
        command.args(options);
        command
    };
    // Another program's compilation must not be found half done.
    let name = |what: &str| folder.join(format!("{}-{name}-{what}", std::process::id()));
    std::thread::scope(|scope| {
        for (module, file, define) in MODULES {
            let mut command = compiler();
            command.arg("-include").arg(source.join("shim/shim.h"));
            command
                .arg(format!("-DMODULE=\"{module}\""))
                .args(Some(define).filter(|d| !d.is_empty()));
            command.args(["-x", "c++", "-c"]).arg(source.join("kernels").join(file));
            command.arg("-o").arg(name(&format!("{module}.o")));
            scope.spawn(move || run(&mut command));
        }
        let mut command = compiler();
        command.arg("-c").arg(source.join("shim/shim.cpp")).arg("-o").arg(name("shim.o"));
        scope.spawn(move || run(&mut command));
    });
    let mut command = compiler();
    command.args(["-shared", "-pthread"]);
    let objects = MODULES.map(|(module, ..)| name(&format!("{module}.o")));
    command.args(&objects).arg(name("shim.o")).arg("-o").arg(name("shim.so"));
    run(&mut command);
    fs::rename(name("shim.so"), &library).unwrap();
    objects.iter().chain([&name("shim.o")]).for_each(|file| fs::remove_file(file).unwrap());
    library
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
