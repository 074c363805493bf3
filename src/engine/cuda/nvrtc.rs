//! The kernels compiled for the very GPU by NVRTC, where its library is found on this machine.
//! Everything that goes wrong here has one answer: the PTX in this library, which the driver
//! compiles.
#![allow(unsafe_code)]

use std::collections::HashMap;
use std::ffi::{CString, c_char};
use std::ptr::null_mut;
use std::sync::{Arc, Mutex, PoisonError};

use cudarc::nvrtc::sys;

/// The oldest NVRTC that is asked, of which the kernels are known to compile.
const OLDEST: i32 = 12;

macro_rules! files {
    ($($name:literal),*) => {
        &[$(($name, concat!(include_str!(concat!("kernels/", $name)), "\0"))),*]
    };
}

/// Name and text of each file, with a NUL behind it.
const FILES: &[(&str, &str)] = files![
    "atoms.cu",
    "atoms.cuh",
    "common.cuh",
    "halo.cuh",
    "lists.cuh",
    "message.cuh",
    "messages.cu",
    "pairs.cuh",
    "sums.cuh"
];

/// Machine code of modules for a GPU's compute capability, 10 × major + minor; none where it cannot
/// be made.
type Codes = HashMap<(String, i32), Option<Arc<[u8]>>>;

/// What this process has compiled or tried to.
static COMPILED: Mutex<Option<Codes>> = Mutex::new(None);

/// Machine code of a module for GPUs of compute capability `architecture`; none without an NVRTC
/// that compiles it. It takes seconds, once in a process.
pub fn compiled(module: &str, architecture: i32) -> Option<Arc<[u8]>> {
    let mut all = COMPILED.lock().unwrap_or_else(PoisonError::into_inner);
    let all = all.get_or_insert_default();
    let key = (module.to_owned(), architecture);
    all.entry(key).or_insert_with(|| compile(module, architecture)).clone()
}

fn compile(module: &str, architecture: i32) -> Option<Arc<[u8]>> {
    let (mut major, mut minor) = (0, 0);
    // SAFETY: looks for the library, whose initialisation has no preconditions; then writes two
    // integers. Every NVRTC has this function, and one of CUDA 12 those that are called below.
    unsafe {
        if !sys::is_culib_present()
            || sys::nvrtcVersion(&mut major, &mut minor) != sys::nvrtcResult::NVRTC_SUCCESS
            || major < OLDEST
        {
            return None;
        }
    }
    let (family, channels) = module.split_once('-').unwrap_or((module, "0"));
    let name = format!("{family}.cu");
    let (_, source) = FILES.iter().find(|(file, _)| *file == name)?;
    let headers: Vec<&(&str, &str)> = FILES.iter().filter(|(f, _)| f.ends_with(".cuh")).collect();
    let names: Vec<CString> =
        headers.iter().map(|(name, _)| CString::new(*name)).collect::<Result<_, _>>().ok()?;
    let names: Vec<*const c_char> = names.iter().map(|name| name.as_ptr()).collect();
    let texts: Vec<*const c_char> = headers.iter().map(|(_, text)| text.as_ptr().cast()).collect();
    let options = [
        format!("--gpu-architecture=sm_{architecture}"),
        "--std=c++17".into(),
        format!("-DCHANNELS={channels}"),
    ];
    let options: Vec<CString> =
        options.into_iter().map(CString::new).collect::<Result<_, _>>().ok()?;
    let options: Vec<*const c_char> = options.iter().map(|option| option.as_ptr()).collect();
    let mut program = Program(null_mut());
    let ok = |result| (result == sys::nvrtcResult::NVRTC_SUCCESS).then_some(());
    // SAFETY: all strings end with NUL and outlive the program; arrays have the lengths given.
    unsafe {
        ok(sys::nvrtcCreateProgram(
            &mut program.0,
            source.as_ptr().cast(),
            c"kernels.cu".as_ptr(),
            headers.len() as i32,
            texts.as_ptr(),
            names.as_ptr(),
        ))?;
        ok(sys::nvrtcCompileProgram(program.0, options.len() as i32, options.as_ptr()))?;
        let mut size = 0;
        ok(sys::nvrtcGetCUBINSize(program.0, &mut size))?;
        let mut code = vec![0_u8; size];
        ok(sys::nvrtcGetCUBIN(program.0, code.as_mut_ptr().cast()))?;
        (size > 0).then(|| code.into())
    }
}

/// Destroyed when it is dropped.
struct Program(sys::nvrtcProgram);

impl Drop for Program {
    fn drop(&mut self) {
        if !self.0.is_null() {
            // SAFETY: made by NVRTC, and not used any more.
            unsafe { sys::nvrtcDestroyProgram(&mut self.0) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `make test-ptx` says where NVRTC is; without it there is nothing to compile with.
    #[test]
    fn every_module_compiles_for_every_gpu_that_is_listed_where_nvrtc_is_found() {
        let expected = std::env::var_os("MLFF_TEST_NVRTC").is_some();
        for architecture in [75, 90] {
            for module in ["messages", "atoms-0", "atoms-32", "atoms-64", "atoms-128"] {
                let started = std::time::Instant::now();
                let code = compiled(module, architecture);
                assert!(code.is_some() || !expected, "{module} does not compile");
                let Some(code) = code else { continue };
                eprintln!("{module}, sm_{architecture}: {:.1} s", started.elapsed().as_secs_f64());
                assert!(code.starts_with(b"\x7fELF"), "{module} is no machine code");
                assert!(Arc::ptr_eq(&code, &compiled(module, architecture).unwrap()));
            }
        }
        assert!(compiled("no-such-module", 90).is_none());
        assert!(compiled("messages", 1).is_none());
    }
}
