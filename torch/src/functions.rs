//! What the library is called by: the table that `mlff_student::engine::torch` looks for.

use std::any::Any;
use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::slice;
use std::sync::{Mutex, Once, PoisonError};

use mlff_student::engine::torch::functions::{Failure, Input, Opening, Output, Table, VERSION};
use mlff_student::{Error, ErrorKind, Result};
use tch::{Device, Kind};

use crate::cuda;
use crate::evaluator::{Evaluator, System, of_libtorch};

static TABLE: Table = Table { version: VERSION, open, compute, close };

/// The functions of this library.
#[unsafe(no_mangle)]
pub extern "C" fn mlff_student_torch_functions() -> *const Table {
    &TABLE
}

/// What a handle points to. libtorch's tensors may not be used by two threads at a time.
struct Opened {
    evaluator: Mutex<Evaluator>,
    threads: i32,
}

/// An array of C, which may be null if it is empty.
///
/// # Safety
/// As [`slice::from_raw_parts`], where `length` is not 0.
unsafe fn array<'a, T>(address: *const T, length: usize) -> &'a [T] {
    // SAFETY: the caller's promise.
    if length == 0 { &[] } else { unsafe { slice::from_raw_parts(address, length) } }
}

/// What `run` gives; an error or a panic, which libtorch's exceptions become in tensor operations,
/// is written to `failure`.
fn caught<T>(failure: &mut Failure, run: impl FnOnce() -> Result<T>) -> Option<T> {
    let found = catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| Err(unwound(&*panic)));
    found.map_err(|error| failure.set(&error)).ok()
}

fn unwound(panic: &(dyn Any + Send)) -> Error {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no reason was given");
    of_libtorch(ErrorKind::Internal, "libtorch failed", text)
}

unsafe extern "C" fn open(opening: *const Opening, failure: *mut Failure) -> *mut c_void {
    // SAFETY: the caller passes both, and nobody else has the second.
    let (opening, failure) = unsafe { (&*opening, &mut *failure) };
    // SAFETY: the file has this length.
    let file = unsafe { array(opening.file, opening.length) };
    let opened = caught(failure, || {
        let device = device(opening.gpu)?;
        let kind = if opening.double { Kind::Double } else { Kind::Float };
        let evaluator = Mutex::new(Evaluator::new(file, opening.script, kind, device)?);
        Ok(Opened { evaluator, threads: opening.threads as i32 })
    });
    opened.map_or(std::ptr::null_mut(), |opened| Box::into_raw(Box::new(opened)).cast())
}

fn device(gpu: i32) -> Result<Device> {
    static CUDA: Once = Once::new();
    let Ok(index) = usize::try_from(gpu) else { return Ok(Device::Cpu) };
    CUDA.call_once(cuda::load);
    let there = tch::Cuda::device_count();
    if (index as i64) < there {
        return Ok(Device::Cuda(index));
    }
    Err(Error::new(
        ErrorKind::NoDevice,
        format!(
            "expected GPU {index}, found {there} that this libtorch can use: choose another one, \
             or put a libtorch with CUDA on LD_LIBRARY_PATH"
        ),
    ))
}

unsafe extern "C" fn compute(
    handle: *mut c_void,
    input: *const Input,
    output: *const Output,
    failure: *mut Failure,
) -> bool {
    // SAFETY: `open` made the handle, which is not closed yet; the caller passes the rest.
    let (opened, input, output, failure) =
        unsafe { (&*handle.cast::<Opened>(), &*input, &*output, &mut *failure) };
    // SAFETY: the arrays have the lengths that stand beside them.
    let system = unsafe {
        System {
            species: array(input.species, input.atoms),
            positions: array(input.positions.cast(), input.atoms),
            to: array(input.to, input.pairs),
            from: array(input.from, input.pairs),
            shifts: array(input.shifts.cast(), input.pairs),
        }
    };
    let found = caught(failure, || {
        let evaluator = opened.evaluator.lock().unwrap_or_else(PoisonError::into_inner);
        let _threads = Threads::set(opened.threads);
        evaluator.evaluate(&system)
    });
    let Some((energies, gradients)) = found else { return false };
    for (values, to, length) in
        [(energies, output.energies, input.atoms), (gradients, output.gradients, 3 * input.pairs)]
    {
        if values.len() != length {
            let what = format!("libtorch gave {} numbers instead of {length}", values.len());
            failure.set(&Error::new(ErrorKind::Internal, what));
            return false;
        }
        // SAFETY: there is room for as many.
        unsafe { to.copy_from_nonoverlapping(values.as_ptr(), length) };
    }
    true
}

/// libtorch's threads are OpenMP's, a setting that the caller's own loops may share and need back.
struct Threads {
    before: i32,
}

impl Threads {
    fn set(threads: i32) -> Self {
        let before = tch::get_num_threads();
        tch::set_num_threads(threads);
        Self { before }
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        tch::set_num_threads(self.before);
    }
}

unsafe extern "C" fn close(handle: *mut c_void) {
    // SAFETY: `open` made the handle, and it is not used again.
    let opened = unsafe { Box::from_raw(handle.cast::<Opened>()) };
    // Nobody is left to tell.
    let _ = catch_unwind(AssertUnwindSafe(|| drop(opened)));
}
