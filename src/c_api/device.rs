//! What calculators can run on.

use super::arguments::{choice, not_null_mut};
use super::boundary::status_of;
use super::status::mlff_status;
use crate::engine;
use crate::error::Result;

/// The processor. @since 0.1.0
pub const MLFF_DEVICE_CPU: i32 = 0;
/// An NVIDIA GPU, Turing or newer; its driver is all that is needed (R525 or newer).
/// MLFF_ENGINE_TORCH needs a libtorch with CUDA too. @since 0.1.0
pub const MLFF_DEVICE_CUDA: i32 = 1;

/// A caller's MLFF_DEVICE_*, if it is one.
pub(super) fn kind(device: i32, name: &str) -> Result<i32> {
    choice(
        device,
        name,
        &[
            (MLFF_DEVICE_CPU, "MLFF_DEVICE_CPU", MLFF_DEVICE_CPU),
            (MLFF_DEVICE_CUDA, "MLFF_DEVICE_CUDA", MLFF_DEVICE_CUDA),
        ],
    )
}

/// Counts the devices of a kind, so that processes on one machine can share them out.
///
/// Thread-safe.
///
/// @param device MLFF_DEVICE_*
/// @param count out: 1 for MLFF_DEVICE_CPU; for MLFF_DEVICE_CUDA the number of GPUs that the driver
///     shows to this process, 0 where there is no driver, or where the library was built without
///     GPUs. Untouched on error
/// @return MLFF_OK, MLFF_ERROR_INVALID_ARGUMENT, or, if the driver is broken, MLFF_ERROR_NO_DEVICE
///     or MLFF_ERROR_UNSUPPORTED
///
/// @since 0.1.0
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlff_device_count(device: i32, count: *mut u32) -> mlff_status {
    status_of(|| {
        let out = not_null_mut(count, "count")?;
        let device = kind(device, "device")?;
        let found = if device == MLFF_DEVICE_CUDA { engine::gpus()? } else { 1 };
        // SAFETY: `out` is not null and, as documented, may be written.
        unsafe { out.write(found as u32) };
        Ok(())
    })
}
