//! The kernels on the processor, for tests: a library that `tests/support/shim.rs` compiles from
//! the same source with `shim/shim.h` in front of it, named by an environment variable.
//!
//! It is as late as a GPU can be: nothing is done before somebody waits. It fails where another
//! environment variable asks for it, as a GPU would: with the driver's number of an error.
#![allow(unsafe_code)]

use std::alloc::Layout;
use std::collections::{BTreeMap, HashMap};
use std::ffi::{CStr, CString, c_char, c_void};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::device::{Address, Device, Limits};
use super::failure;
use super::queue::{Repeats, Work, kernels};
use crate::error::{Error, ErrorKind, Result};

/// Names the shim's library, which then takes the place of a GPU.
pub const VARIABLE: &str = "MLFF_STUDENT_CUDA_SHIM";

/// What fails in calculators that are made from now on: `open=CODE` (the driver), `compile=CODE`,
/// the name of a kernel and CODE, `driver=VERSION`, or `memory=BYTES` and `shared=BYTES`, more than
/// which are not there. Several, with commas.
const FAILS: &str = "MLFF_STUDENT_CUDA_SHIM_FAILS";

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
    index: usize,
    run: Run,
    state: Mutex<State>,
    fails: BTreeMap<String, usize>,
}

#[derive(Default)]
struct State {
    device: HashMap<Address, Layout>,
    host: HashMap<Address, Layout>,
    waiting: Vec<Work>,
    failed: Option<Error>,
    /// Copies stand for wholes: what changed in a list since then would show.
    repeats: Repeats<Vec<Work>>,
}

fn failed(what: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Internal, format!("the shim of the CUDA kernels: {what}"))
}

impl Shim {
    /// Loads the library at `path` as GPU `index`.
    pub fn open(path: &str, index: usize) -> Result<Self> {
        super::check_index(index, COUNT)?;
        failure::check(index)?;
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
        let mut fails = BTreeMap::new();
        for fail in std::env::var(FAILS).unwrap_or_default().split(',').filter(|f| !f.is_empty()) {
            let parsed = fail.split_once('=').and_then(|(what, n)| Some((what, n.parse().ok()?)));
            let Some((what, number)) = parsed else {
                return Err(failed(format!("{FAILS} holds {fail}, expected what=number")));
            };
            fails.insert(what.to_owned(), number);
        }
        let shim = Self { index, run, state: Mutex::default(), fails };
        if let Some(&version) = shim.fails.get("driver") {
            failure::check_driver(version as i32)?;
        }
        shim.may_fail("open", "making a context")?;
        Ok(shim)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn may_fail(&self, what: &str, doing: impl std::fmt::Display) -> Result<()> {
        match self.fails.get(what) {
            None => Ok(()),
            Some(&code) => {
                Err(failure::error(Some(self.index), doing, code as u32, "as asked for"))
            }
        }
    }

    fn do_all(&self, all: &[Work]) -> Result<()> {
        for work in all {
            // SAFETY: as those promised who asked for it.
            unsafe {
                match *work {
                    Work::Upload { to, from, bytes } | Work::Download { to, from, bytes } => {
                        (to as *mut u8).copy_from_nonoverlapping(from as *const u8, bytes);
                    }
                    Work::Clear { at, bytes } => (at as *mut u8).write_bytes(0, bytes),
                    Work::Kernel { ref module, ref name, launch, ref arguments, size } => {
                        self.may_fail("compile", format_args!("compiling kernel {name}"))?;
                        self.may_fail(name, failure::among(&kernels(all)))?;
                        let [module, text] = [module, name].map(|text| CString::new(text.as_str()));
                        let (module, text) = (module.map_err(failed)?, text.map_err(failed)?);
                        let wrong = (self.run)(
                            module.as_ptr(),
                            text.as_ptr(),
                            launch.grid.as_ptr(),
                            launch.threads,
                            launch.shared,
                            arguments.as_ptr().cast(),
                            size,
                        );
                        if !wrong.is_null() {
                            let wrong = CStr::from_ptr(wrong).to_string_lossy();
                            return Err(failed(format!("kernel {name}: {wrong}")));
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// Memory whose every value is NaN, which shows where it is read before it was written.
    fn memory(&self, bytes: usize, host: bool) -> Result<Address> {
        failure::check(self.index)?;
        let mut state = self.state();
        let held: usize = state.device.values().map(Layout::size).sum();
        if let Some(&all) = self.fails.get("memory")
            && !host
            && held + bytes > all
        {
            return Err(failure::no_memory(self.index, bytes, Some(all - held)));
        }
        let layout = Layout::from_size_align(bytes.max(1), 256).map_err(failed)?;
        // SAFETY: not of size zero.
        let address = unsafe { std::alloc::alloc(layout) };
        if address.is_null() {
            return Err(failure::no_memory(self.index, bytes, None));
        }
        // SAFETY: as many bytes were allocated.
        unsafe { address.write_bytes(0xff, bytes) };
        let kept = if host { &mut state.host } else { &mut state.device };
        kept.insert(address as Address, layout);
        Ok(address as Address)
    }

    fn release(&self, address: Address, host: bool) {
        // As on a GPU, an error is left to whoever waits next, and wholes that may name the memory
        // are forgotten.
        let finished = self.wait();
        let mut state = self.state();
        if let Err(error) = finished {
            state.failed = Some(error);
        }
        state.repeats = Repeats::default();
        let kept = if host { &mut state.host } else { &mut state.device };
        if let Some(layout) = kept.remove(&address) {
            // SAFETY: allocated above with this layout, and not yet freed.
            unsafe { std::alloc::dealloc(address as *mut u8, layout) };
        }
    }
}

// SAFETY: addresses are those of the process's own memory.
unsafe impl Device for Shim {
    fn limits(&self) -> Limits {
        // One multiprocessor, so that tests reach what large systems do; the memory of an H200.
        let shared = self.fails.get("shared").copied().unwrap_or(227 * 1024);
        Limits { processors: 1, shared }
    }

    fn allocate(&self, bytes: usize) -> Result<Address> {
        self.memory(bytes, false)
    }

    fn free(&self, address: Address) {
        self.release(address, false);
    }

    fn allocate_host(&self, bytes: usize) -> Result<*mut u8> {
        self.memory(bytes, true).map(|address| address as *mut u8)
    }

    fn free_host(&self, memory: *mut u8) {
        self.release(memory as Address, true);
    }

    unsafe fn ask(&self, work: Work) -> Result<()> {
        failure::check(self.index)?;
        self.state().waiting.push(work);
        Ok(())
    }

    fn wait(&self) -> Result<()> {
        let mut state = self.state();
        let work = std::mem::take(&mut state.waiting);
        failure::check(self.index)?;
        if let Some(error) = state.failed.take() {
            return Err(error);
        }
        let whole = state.repeats.whole(&work, |work| Some(work.to_vec())).cloned();
        drop(state);
        self.do_all(whole.as_deref().unwrap_or(&work))
    }
}
