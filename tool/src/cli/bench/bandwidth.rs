//! How fast this machine copies memory.

use std::sync::Barrier;
use std::time::Instant;

use mlff_student::error::{Error, ErrorKind, Result};

/// Values of each array (64 MiB).
const VALUES: usize = 1 << 24;

/// Copies of which the fastest counts.
const TRIES: usize = 4;

/// Bytes read and written per second by `threads` threads at once, each with arrays of its own.
pub(super) fn copy(threads: u32) -> Result<f64> {
    let together = Barrier::new(threads as usize);
    let found = std::thread::scope(|scope| {
        let copying: Vec<_> = (0..threads).map(|_| scope.spawn(|| one(&together))).collect();
        let failed = |_| Error::new(ErrorKind::Internal, "a thread that copied memory ended early");
        copying
            .into_iter()
            .map(|thread| thread.join().map_err(failed))
            .collect::<Result<Vec<[f64; TRIES]>>>()
    })?;
    // A try takes as long as its slowest thread.
    let slowest = |k: usize| found.iter().map(|seconds| seconds[k]).fold(0.0, f64::max);
    let best = (0..TRIES).map(slowest).fold(f64::INFINITY, f64::min);
    Ok(2.0 * f64::from(threads) * (VALUES * size_of::<f32>()) as f64 / best)
}

/// Seconds of each try.
fn one(together: &Barrier) -> [f64; TRIES] {
    let from = vec![1.0_f32; VALUES];
    let mut to = vec![0.0_f32; VALUES];
    std::array::from_fn(|_| {
        together.wait();
        let started = Instant::now();
        to.copy_from_slice(std::hint::black_box(&from));
        std::hint::black_box(&mut to);
        started.elapsed().as_secs_f64()
    })
}
