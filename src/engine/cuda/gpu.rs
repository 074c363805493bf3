//! A GPU through NVIDIA's driver, which is looked for when a calculator asks for one: where it is
//! missing, the library still loads.
#![allow(unsafe_code)]

use std::collections::HashMap;
use std::ffi::{CString, c_void};
use std::sync::{Mutex, PoisonError};

use cudarc::driver::sys::{
    CUcontext, CUdevice, CUdevice_attribute as Attribute, CUfunction, CUfunction_attribute,
    CUmodule, CUresult,
};
use cudarc::driver::{DriverError, result, sys};

use super::device::{Address, Device, Kernel, Launch, Limits};
use super::ptx;
use crate::error::{Error, ErrorKind, Result};

/// One GPU, with its driver's primary context, and the modules and kernels used so far.
pub struct Gpu {
    device: CUdevice,
    context: CUcontext,
    name: String,
    limits: Limits,
    loaded: Mutex<Loaded>,
}

#[derive(Default)]
struct Loaded {
    modules: HashMap<String, CUmodule>,
    kernels: HashMap<(String, String), CUfunction>,
}

// SAFETY: the driver's handles may be used from any thread in whose turn the context is set, which
// every call below does.
unsafe impl Send for Gpu {}
// SAFETY: as above; what changes is behind a lock, and the driver's own calls are thread-safe.
unsafe impl Sync for Gpu {}

/// What the driver says of an error.
fn text_of(error: DriverError) -> String {
    let DriverError(code) = error;
    error
        .error_string()
        .map_or_else(|_| format!("{code:?}"), |text| text.to_string_lossy().into_owned())
}

/// The library's error for one of the driver's.
fn failed(doing: impl std::fmt::Display, error: DriverError) -> Error {
    let DriverError(code) = error;
    let text = text_of(error);
    match code {
        CUresult::CUDA_ERROR_NO_DEVICE | CUresult::CUDA_ERROR_INVALID_DEVICE => {
            Error::new(ErrorKind::NoDevice, format!("{doing}: {text}: use device cpu"))
        }
        CUresult::CUDA_ERROR_OUT_OF_MEMORY => {
            Error::new(ErrorKind::Memory, format!("{doing}: {text}"))
        }
        _ => Error::new(
            ErrorKind::DeviceLost,
            format!(
                "{doing}: {text}: the calculator cannot be used any more; look for what the \
                     system's log says of the GPU, and make a new one"
            ),
        ),
    }
}

/// Whether the driver's library is there.
fn has_driver() -> bool {
    // SAFETY: looks for the library; its initialisation has no preconditions.
    unsafe { sys::is_culib_present() }
}

fn asking(error: DriverError) -> Error {
    let text = text_of(error);
    Error::new(
        ErrorKind::DeviceLost,
        format!(
            "asking NVIDIA's driver for its GPUs: {text}: use device cpu, or see what nvidia-smi says"
        ),
    )
}

/// How many GPUs the driver shows; 0 without a driver.
pub fn count() -> Result<usize> {
    if !has_driver() {
        return Ok(0);
    }
    let counted = result::init().and_then(|()| result::device::get_count());
    match counted {
        Err(DriverError(CUresult::CUDA_ERROR_NO_DEVICE)) => Ok(0),
        counted => Ok(usize::try_from(counted.map_err(asking)?).unwrap_or(0)),
    }
}

impl Gpu {
    /// The GPU number `index`.
    pub fn open(index: usize) -> Result<Self> {
        if !has_driver() {
            return Err(Error::new(
                ErrorKind::NoDevice,
                "expected NVIDIA's driver (libcuda.so.1), found none on this machine: use device \
                 cpu, or install the driver of the GPU (R525 or newer)",
            ));
        }
        let of = asking;
        let count = count()?;
        super::check_index(index, count)?;
        let device = result::device::get(index as i32).map_err(of)?;
        // SAFETY: the driver is initialised and this is one of its devices.
        let attribute = |which| unsafe { result::device::get_attribute(device, which) }.map_err(of);
        let architecture = 10 * attribute(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?
            + attribute(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?;
        let name = result::device::get_name(device).map_err(of)?;
        if architecture < ptx::OLDEST {
            return Err(Error::new(
                ErrorKind::Unsupported,
                format!(
                    "expected a GPU of compute capability 7.5 or newer, found {name} of {}.{}: \
                         use device cpu",
                    architecture / 10,
                    architecture % 10
                ),
            ));
        }
        let limits = Limits {
            processors: attribute(Attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?.max(1)
                as usize,
            shared: attribute(Attribute::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN)?
                .max(0) as usize,
        };
        // SAFETY: released when this is dropped.
        let context = unsafe { result::primary_ctx::retain(device) }.map_err(of)?;
        Ok(Self { device, context, name, limits, loaded: Mutex::default() })
    }

    /// Makes this GPU's context that of the calling thread.
    fn enter(&self) -> Result<()> {
        // SAFETY: retained by `open`.
        unsafe { result::ctx::set_current(self.context) }
            .map_err(|error| failed(format_args!("using {}", self.name), error))
    }

    /// The kernel's handle; its module is compiled for this GPU at first use, by the driver.
    fn kernel(&self, kernel: Kernel<'_>) -> Result<CUfunction> {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (kernel.module.to_owned(), kernel.name.to_owned());
        if let Some(function) = loaded.kernels.get(&key) {
            return Ok(*function);
        }
        let of = |error| {
            failed(
                format_args!("kernel {} of {} on {}", kernel.name, kernel.module, self.name),
                error,
            )
        };
        let module = match loaded.modules.get(kernel.module) {
            Some(module) => *module,
            None => {
                let text = ptx::of(kernel.module)?;
                // SAFETY: PTX that ends with NUL.
                let module =
                    unsafe { result::module::load_data(text.as_ptr().cast()) }.map_err(of)?;
                loaded.modules.insert(kernel.module.to_owned(), module);
                module
            }
        };
        let name = CString::new(kernel.name).map_err(|_| {
            Error::new(ErrorKind::Internal, format!("a kernel's name has a NUL: {}", kernel.name))
        })?;
        // SAFETY: the module is loaded. A block may have more than the usual 48 KiB of shared memory
        // once the kernel says so.
        let function = unsafe {
            let function = result::module::get_function(module, name).map_err(of)?;
            result::function::set_function_attribute(
                function,
                CUfunction_attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES,
                self.limits.shared as i32,
            )
            .map_err(of)?;
            function
        };
        loaded.kernels.insert(key, function);
        Ok(function)
    }
}

// SAFETY: the driver's own addresses; the context is set before every call.
unsafe impl Device for Gpu {
    fn limits(&self) -> Limits {
        self.limits
    }

    fn allocate(&self, bytes: usize) -> Result<Address> {
        self.enter()?;
        // SAFETY: the context is set.
        unsafe { result::malloc_sync(bytes.max(1)) }.map_err(|error| match error {
            DriverError(CUresult::CUDA_ERROR_OUT_OF_MEMORY) => {
                super::memory_error(bytes, &self.name)
            }
            error => failed(format_args!("allocating {bytes} bytes on {}", self.name), error),
        })
    }

    fn free(&self, address: Address) {
        if self.enter().is_ok() {
            // Where the GPU is lost its memory is, too.
            // SAFETY: allocated above, as the trait promises.
            let _ = unsafe { result::free_sync(address) };
        }
    }

    unsafe fn upload(&self, to: Address, from: &[u8]) -> Result<()> {
        self.enter()?;
        // SAFETY: as the caller promises.
        unsafe { result::memcpy_htod_sync(to, from) }
            .map_err(|error| failed(format_args!("copying to {}", self.name), error))
    }

    unsafe fn download(&self, to: &mut [u8], from: Address) -> Result<()> {
        self.enter()?;
        // SAFETY: as the caller promises.
        unsafe { result::memcpy_dtoh_sync(to, from) }
            .map_err(|error| failed(format_args!("copying from {}", self.name), error))
    }

    unsafe fn launch(
        &self,
        kernel: Kernel<'_>,
        launch: Launch,
        arguments: *const c_void,
        _size: usize,
    ) -> Result<()> {
        self.enter()?;
        let function = self.kernel(kernel)?;
        // SAFETY: as the caller promises; the driver copies the arguments before it returns.
        unsafe {
            result::launch_kernel(
                function,
                (launch.grid[0], launch.grid[1], 1),
                (launch.threads, 1, 1),
                launch.shared as u32,
                std::ptr::null_mut(),
                &mut [arguments.cast_mut()],
            )
        }
        .map_err(|error| failed(format_args!("kernel {} on {}", kernel.name, self.name), error))
    }
}

impl Drop for Gpu {
    fn drop(&mut self) {
        let loaded = self.loaded.get_mut().unwrap_or_else(PoisonError::into_inner);
        // What cannot be given back is lost with the context.
        // SAFETY: modules and context are this one's own.
        unsafe {
            if result::ctx::set_current(self.context).is_ok() {
                for module in loaded.modules.values() {
                    let _ = result::module::unload(*module);
                }
            }
            let _ = result::primary_ctx::release(self.device);
        }
    }
}
