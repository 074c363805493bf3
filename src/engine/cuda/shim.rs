//! The kernels on the processor, for tests: a library that `tests/cuda.rs` compiles from the same
//! source with `shim/shim.h` in front of it, named by an environment variable.
#![allow(unsafe_code)]

use std::alloc::Layout;
use std::collections::HashMap;
use std::ffi::{CStr, CString, c_char, c_void};
use std::sync::{Mutex, PoisonError};

use super::device::{Address, Device, Kernel, Launch, Limits};
use crate::error::{Error, ErrorKind, Result};

/// Names the shim's library, which then takes the place of a GPU.
pub const VARIABLE: &str = "MLFF_STUDENT_CUDA_SHIM";

/// As many GPUs as the shim stands for, all of them alike.
pub const COUNT: usize = 2;

type Run = unsafe extern "C" fn(
    *const c_char,
    *const c_char,
    *const u32,
    u32,
    usize,
    *const c_void,
    usize,
) -> *const c_char;

/// A shim's library, loaded for good.
pub struct Shim {
    run: Run,
    allocated: Mutex<HashMap<Address, Layout>>,
}

fn failed(what: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Internal, format!("the shim of the CUDA kernels: {what}"))
}

impl Shim {
    /// Loads the library at `path`.
    pub fn open(path: &str) -> Result<Self> {
        let name = CString::new(path).map_err(failed)?;
        // SAFETY: strings end with NUL; the library's initialisation only notes its kernels.
        let symbol = unsafe {
            let library = libc::dlopen(name.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL);
            if library.is_null() {
                return Err(failed(format!("{VARIABLE} names {path}, which cannot be loaded")));
            }
            libc::dlsym(library, c"mlff_shim_launch".as_ptr())
        };
        if symbol.is_null() {
            return Err(failed(format!("{path} has no function mlff_shim_launch")));
        }
        // SAFETY: shim.cpp declares it like this.
        let run = unsafe { std::mem::transmute::<*mut c_void, Run>(symbol) };
        Ok(Self { run, allocated: Mutex::default() })
    }

    fn allocated(&self) -> std::sync::MutexGuard<'_, HashMap<Address, Layout>> {
        self.allocated.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// SAFETY: addresses are those of the process's own memory.
unsafe impl Device for Shim {
    fn limits(&self) -> Limits {
        // One multiprocessor, so that tests reach what large systems do; the memory of an H200.
        Limits { processors: 1, shared: 227 * 1024 }
    }

    fn allocate(&self, bytes: usize) -> Result<Address> {
        let layout = Layout::from_size_align(bytes.max(1), 256).map_err(failed)?;
        // SAFETY: not of size zero.
        let address = unsafe { std::alloc::alloc(layout) };
        if address.is_null() {
            return Err(super::memory_error(bytes, "the shim"));
        }
        // What a kernel reads before it was written shows as NaN.
        // SAFETY: as many bytes were allocated.
        unsafe { address.write_bytes(0xff, bytes) };
        self.allocated().insert(address as Address, layout);
        Ok(address as Address)
    }

    fn free(&self, address: Address) {
        if let Some(layout) = self.allocated().remove(&address) {
            // SAFETY: allocated above with this layout, and not yet freed.
            unsafe { std::alloc::dealloc(address as *mut u8, layout) };
        }
    }

    unsafe fn upload(&self, to: Address, from: &[u8]) -> Result<()> {
        // SAFETY: as the caller promises.
        unsafe { (to as *mut u8).copy_from_nonoverlapping(from.as_ptr(), from.len()) };
        Ok(())
    }

    unsafe fn download(&self, to: &mut [u8], from: Address) -> Result<()> {
        // SAFETY: as the caller promises.
        unsafe { to.as_mut_ptr().copy_from_nonoverlapping(from as *const u8, to.len()) };
        Ok(())
    }

    unsafe fn launch(
        &self,
        kernel: Kernel<'_>,
        launch: Launch,
        arguments: *const c_void,
        size: usize,
    ) -> Result<()> {
        let [module, name] = [kernel.module, kernel.name].map(CString::new);
        let (module, name) = (module.map_err(failed)?, name.map_err(failed)?);
        // SAFETY: strings end with NUL; the rest is as the caller promises.
        let wrong = unsafe {
            (self.run)(
                module.as_ptr(),
                name.as_ptr(),
                launch.grid.as_ptr(),
                launch.threads,
                launch.shared,
                arguments,
                size,
            )
        };
        if wrong.is_null() {
            return Ok(());
        }
        // SAFETY: a string constant.
        let wrong = unsafe { CStr::from_ptr(wrong) }.to_string_lossy();
        Err(failed(format!("kernel {} of {}: {wrong}", kernel.name, kernel.module)))
    }
}
