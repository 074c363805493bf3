//! `mlff-student train` finds this program.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use mlff_student_torch::config::Config;
use mlff_student_torch::train::{self, Start};

/// Trains a student on labelled structures
#[derive(Parser)]
#[command(name = "mlff-student train", version)]
struct Arguments {
    /// What to train, in TOML (docs/src/reference/training.md)
    #[arg(required_unless_present = "defaults")]
    config: Option<PathBuf>,
    /// Start from this student of the same shape instead of random weights
    #[arg(long, value_name = "MODEL")]
    from: Option<PathBuf>,
    /// Start anew although there is a checkpoint; after a stop, the run goes on without this
    #[arg(long)]
    restart: bool,
    /// Print every key of a configuration with its default, and end
    #[arg(long)]
    defaults: bool,
}

fn main() -> ExitCode {
    keep_memory();
    let Arguments { config, from, restart, defaults } = Arguments::parse();
    let start = Start { from, restart, most_steps: None };
    let result = match config.filter(|_| !defaults) {
        Some(path) => Config::load(&path)
            .and_then(|config| train::run(&config, &start))
            .map(|student| student.display().to_string()),
        None => Config::defaults(),
    };
    match result {
        Ok(text) => {
            // Nobody may be left to read it.
            let _ = writeln!(std::io::stdout(), "{}", text.trim_end());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Keeps glibc from giving large arrays back after every operation: mapping them anew costs about
/// as much as computing them.
#[expect(unsafe_code)] // A C library's setting.
fn keep_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: sets two numbers of the allocator, before any other thread exists.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, 1 << 30);
        libc::mallopt(libc::M_TRIM_THRESHOLD, i32::MAX);
    }
}

/// MKL, which computes libtorch's matrix products, has kernels for AVX2 and AVX-512, and takes them
/// on Intel's processors alone, as these two functions of its own tell it. A program's functions
/// come before a library's of the same name where they are exported (`build.rs`); MKL then asks the
/// processor what it can. Training is 1.15 to 1.23 times as fast on a Zen 4.
#[expect(unsafe_code)] // Names that C knows.
mod mkl {
    #[unsafe(no_mangle)]
    extern "C" fn mkl_serv_intel_cpu() -> i32 {
        1
    }

    #[unsafe(no_mangle)]
    extern "C" fn mkl_serv_intel_cpu_true() -> i32 {
        1
    }
}
