//! What the driver's errors mean to a caller, and GPUs that are lost until the process ends.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::{Mutex, PoisonError};

use crate::error::{Error, ErrorKind, Result};

/// CUDA_ERROR_OUT_OF_MEMORY.
pub const OUT_OF_MEMORY: u32 = 2;
/// CUDA_ERROR_NO_DEVICE.
pub const NO_DEVICE: u32 = 100;

/// The oldest driver whose compiler reads the kernels' PTX, as the driver counts: that of CUDA
/// 12.0.
const OLDEST_DRIVER: i32 = 12000;

/// What to do where CUDA stayed with the process that was forked.
pub const INSTEAD_OF_A_FORK: &str = "start processes afresh (Python's multiprocessing: \"spawn\" \
    or \"forkserver\"), or fork before the first calculator";

/// Refuses a driver that cannot compile the kernels.
pub fn check_driver(version: i32) -> Result<()> {
    if version >= OLDEST_DRIVER {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Unsupported,
        format!(
            "expected NVIDIA's driver R525 or newer (CUDA 12.0), found one of CUDA {}.{}: install \
             a newer driver, or use device cpu",
            version / 1000,
            version % 1000 / 10
        ),
    ))
}

/// What the lost GPUs of this process were lost by.
static LOST: Mutex<BTreeMap<usize, String>> = Mutex::new(BTreeMap::new());

fn lost() -> std::sync::MutexGuard<'static, BTreeMap<usize, String>> {
    LOST.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Refuses a GPU that this process has lost.
pub fn check(index: usize) -> Result<()> {
    match lost().get(&index) {
        None => Ok(()),
        Some(why) => Err(Error::new(
            ErrorKind::DeviceLost,
            format!(
                "GPU {index} was lost to this process before ({why}): no calculator can use it \
                 until the process is started again; use device cpu, or another GPU"
            ),
        )),
    }
}

/// The library's error for the driver's error `code` on GPU `index`, or before any GPU is used;
/// `text` is the driver's own.
pub fn error(index: Option<usize>, doing: impl Display, code: u32, text: &str) -> Error {
    let who = index.map_or_else(|| "NVIDIA's driver".into(), |index| format!("GPU {index}"));
    let what = format!("{who}, {doing}: {text} (CUDA error {code})");
    let no_device = || {
        let message = format!("{what}: use device cpu, or see what nvidia-smi says");
        Error::new(ErrorKind::NoDevice, message)
    };
    match code {
        // Not initialized, though it was before any other call: in the process that this one was
        // forked from.
        3 => Error::new(
            ErrorKind::State,
            format!(
                "{what}: CUDA does not work in a process that was forked from one which used it: \
                 {INSTEAD_OF_A_FORK}"
            ),
        ),
        OUT_OF_MEMORY => Error::new(
            ErrorKind::Memory,
            format!("{what}: use fewer atoms per GPU, a smaller model, or another GPU"),
        ),
        // No device, invalid device, unavailable device, one that is not set up yet; a stub in the
        // driver's place.
        NO_DEVICE | 101 | 46 | 802 | 34 => no_device(),
        // The driver's library is of another version than what the system loaded, or too new for
        // this GPU.
        803 | 804 => Error::new(
            ErrorKind::Unsupported,
            format!(
                "{what}: start the machine again after the driver was updated, or install the \
                 driver again, or use device cpu"
            ),
        ),
        // No binary, invalid PTX, no compiler, newer PTX, compilation switched off.
        209 | 218 | 221..=223 => Error::new(
            ErrorKind::Unsupported,
            format!(
                "{what}: the kernels are PTX 8.0, which a driver from R525 on (CUDA 12.0) \
                 compiles: install a newer driver, or use device cpu"
            ),
        ),
        // What a kernel did or the hardware suffered: the driver refuses everything from here on.
        214 | 220 | 226 | 700 | 702 | 709 | 710 | 714..=719 | 721 | 806 | 810 | 999 => {
            match index {
                // There is none to use.
                None => no_device(),
                Some(index) => {
                    lost().entry(index).or_insert_with(|| what.clone());
                    Error::new(
                        ErrorKind::DeviceLost,
                        format!(
                            "{what}: this GPU is lost to this process, and no calculator can use \
                             it until the process is started again; look for what the system's log \
                             says of the GPU"
                        ),
                    )
                }
            }
        }
        _ => Error::new(
            ErrorKind::Internal,
            format!("{what}: nothing was computed; please report it, and use device cpu"),
        ),
    }
}

/// The error for memory that is not there.
pub fn no_memory(index: usize, bytes: usize, left: Option<usize>) -> Error {
    let mebibytes = |bytes: usize| format!("{:.1} MiB", bytes as f64 / 1048576.0);
    let left =
        left.map_or(String::new(), |left| format!(", of which {} are free", mebibytes(left)));
    Error::new(
        ErrorKind::Memory,
        format!(
            "GPU {index} has no {} of memory left for one more array{left}: use fewer atoms per \
             GPU, a smaller model, or another GPU",
            mebibytes(bytes)
        ),
    )
}

/// Where an error belongs that showed while somebody waited for these kernels.
pub fn among(kernels: &[&str]) -> String {
    match kernels {
        [] => "copying or clearing memory".into(),
        [kernel] => format!("kernel {kernel}"),
        several => format!(
            "one of the kernels {} (the environment variable CUDA_LAUNCH_BLOCKING=1 shows which)",
            several.join(", ")
        ),
    }
}
