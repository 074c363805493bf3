//! A GPU through NVIDIA's driver, which is looked for when a calculator asks for one: where it is
//! missing, the library still loads.
#![allow(unsafe_code)]

use std::collections::HashMap;
use std::ffi::{CString, c_void};
use std::sync::{Mutex, MutexGuard, PoisonError};

use cudarc::driver::sys::{
    CUcontext, CUdevice, CUdevice_attribute as Attribute, CUfunction, CUfunction_attribute,
    CUgraphExec, CUgraphInstantiate_flags, CUmodule, CUresult, CUstream, CUstreamCaptureMode,
};
use cudarc::driver::{DriverError, result, sys};

use super::device::{Address, Device, Kernel, Limits};
use super::failure;
use super::queue::{Repeats, Work, kernels};
use super::{nvrtc, ptx};
use crate::error::{Error, ErrorKind, Result};

/// One GPU, with its driver's primary context, a stream of its own, and the modules and kernels
/// used so far.
pub struct Gpu {
    index: usize,
    device: CUdevice,
    context: CUcontext,
    stream: CUstream,
    name: String,
    /// Compute capability, 10 × major + minor.
    architecture: i32,
    limits: Limits,
    modules: Mutex<HashMap<String, Module>>,
    queue: Mutex<Queue>,
    /// Whether the user wants to know which kernel fails: then nothing is handed over as a whole.
    blocking: bool,
}

#[derive(Default)]
struct Queue {
    asked: Vec<Work>,
    /// An error that nobody was told yet.
    failed: Option<Error>,
    repeats: Repeats<Graph>,
}

/// A list of work that the driver takes as a whole.
struct Graph(CUgraphExec);

impl Drop for Graph {
    fn drop(&mut self) {
        // SAFETY: made by `capture`, not running; what cannot be given back is lost with the
        // context.
        let _ = unsafe { result::graph::exec_destroy(self.0) };
    }
}

struct Module {
    handle: CUmodule,
    kernels: HashMap<String, CUfunction>,
}

/// This GPU's context is the calling thread's; the one that was before comes back when this is
/// dropped.
struct Entered;

impl Entered {
    fn push(context: CUcontext) -> std::result::Result<Self, DriverError> {
        // SAFETY: a context that this file retained.
        unsafe { sys::cuCtxPushCurrent_v2(context) }.result().map(|()| Self)
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        let mut left = std::ptr::null_mut();
        // SAFETY: on top of this thread's contexts is the one that was pushed: nothing here leaves
        // others there.
        let _ = unsafe { sys::cuCtxPopCurrent_v2(&mut left) };
    }
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

/// The library's error for one of the driver's on GPU `index`, or before any GPU is used.
fn failed(index: Option<usize>, doing: impl std::fmt::Display, error: DriverError) -> Error {
    let DriverError(code) = error;
    failure::error(index, doing, code as u32, &text_of(error))
}

/// Whether the driver's library is there.
fn has_driver() -> bool {
    // SAFETY: looks for the library; its initialisation has no preconditions.
    unsafe { sys::is_culib_present() }
}

/// Refuses a driver that cannot compile the kernels.
fn check_version() -> Result<()> {
    let mut version = 0;
    // SAFETY: writes one integer; may be called before everything else.
    let asked = unsafe { sys::cuDriverGetVersion(&mut version) }.result();
    asked.map_err(|error| failed(None, "asking for its version", error))?;
    failure::check_driver(version)
}

/// How many GPUs the driver shows; 0 without a driver.
pub fn count() -> Result<usize> {
    if !has_driver() {
        return Ok(0);
    }
    let counted = result::init().and_then(|()| result::device::get_count());
    match counted {
        Err(DriverError(CUresult::CUDA_ERROR_NO_DEVICE)) => Ok(0),
        Err(error) => Err(failed(None, "asking for its GPUs", error)),
        Ok(count) => Ok(usize::try_from(count).unwrap_or(0)),
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
        check_version()?;
        super::check_index(index, count()?)?;
        failure::check(index)?;
        let of = |error| failed(Some(index), "asking for its properties", error);
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
        let of = |error| failed(Some(index), "making a context", error);
        // SAFETY: released when this is dropped, or below.
        let context = unsafe { result::primary_ctx::retain(device) }.map_err(of)?;
        // The stream does not wait for the null stream, which nothing here uses.
        let stream = Entered::push(context)
            .and_then(|_entered| result::stream::create(result::stream::StreamKind::NonBlocking));
        let stream = stream.map_err(|error| {
            // SAFETY: retained above; what cannot be given back is lost.
            let _ = unsafe { result::primary_ctx::release(device) };
            of(error)
        })?;
        Ok(Self {
            index,
            device,
            context,
            stream,
            name,
            architecture,
            limits,
            modules: Mutex::default(),
            queue: Mutex::default(),
            blocking: std::env::var("CUDA_LAUNCH_BLOCKING").is_ok_and(|value| value == "1"),
        })
    }

    fn failed(&self, doing: impl std::fmt::Display, error: DriverError) -> Error {
        failed(Some(self.index), format_args!("{}, {doing}", self.name), error)
    }

    /// Makes this GPU's context that of the calling thread, as long as what it gives lives.
    fn enter(&self) -> Result<Entered> {
        failure::check(self.index)?;
        Entered::push(self.context).map_err(|error| self.failed("entering its context", error))
    }

    /// The kernel's handle; its module is compiled for this GPU at first use, by NVRTC or by the
    /// driver.
    fn kernel(&self, kernel: Kernel<'_>) -> Result<CUfunction> {
        let mut modules = self.modules.lock().unwrap_or_else(PoisonError::into_inner);
        let of = |error| {
            let Kernel { module, name } = kernel;
            self.failed(format_args!("compiling kernel {name} of {module}"), error)
        };
        if !modules.contains_key(kernel.module) {
            let code = nvrtc::compiled(kernel.module, self.architecture);
            // SAFETY: machine code as NVRTC made it. A driver may refuse that of a newer NVRTC.
            let load = |code: &[u8]| unsafe { result::module::load_data(code.as_ptr().cast()) };
            let handle = match code.and_then(|code| load(&code).ok()) {
                Some(handle) => handle,
                None => {
                    let text = ptx::of(kernel.module)?;
                    // SAFETY: PTX that ends with NUL.
                    unsafe { result::module::load_data(text.as_ptr().cast()) }.map_err(of)?
                }
            };
            let module = Module { handle, kernels: HashMap::new() };
            modules.insert(kernel.module.to_owned(), module);
        }
        let Some(module) = modules.get_mut(kernel.module) else {
            return Err(Error::new(ErrorKind::Internal, "a module was not kept"));
        };
        if let Some(function) = module.kernels.get(kernel.name) {
            return Ok(*function);
        }
        let name = CString::new(kernel.name).map_err(|_| {
            Error::new(ErrorKind::Internal, format!("a kernel's name has a NUL: {}", kernel.name))
        })?;
        // SAFETY: the module is loaded. A block may have more than the usual 48 KiB of shared
        // memory once the kernel says so.
        let function = unsafe {
            let function = result::module::get_function(module.handle, name).map_err(of)?;
            result::function::set_function_attribute(
                function,
                CUfunction_attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES,
                self.limits.shared as i32,
            )
            .map_err(of)?;
            function
        };
        module.kernels.insert(kernel.name.to_owned(), function);
        Ok(function)
    }

    /// Waits before memory goes, and leaves an error to whoever waits next. None: the GPU is lost,
    /// and its memory with it.
    fn finish(&self) -> Option<Entered> {
        let waited = self.wait();
        let entered = self.enter().ok();
        let mut queue = self.queue();
        if let Err(error) = waited {
            queue.failed = Some(error);
        }
        // Graphs may name the memory.
        queue.repeats = Repeats::default();
        entered
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands work to the driver, which does it some time later. The context is set.
    fn begin(&self, work: &Work) -> Result<()> {
        // SAFETY: as those promised who asked for it. The driver copies a kernel's arguments before
        // it returns.
        unsafe {
            match *work {
                Work::Upload { to, from, bytes } => {
                    let from = std::slice::from_raw_parts(from as *const u8, bytes);
                    result::memcpy_htod_async(to, from, self.stream)
                        .map_err(|error| self.failed("copying to it", error))
                }
                Work::Download { to, from, bytes } => {
                    let to = std::slice::from_raw_parts_mut(to as *mut u8, bytes);
                    result::memcpy_dtoh_async(to, from, self.stream)
                        .map_err(|error| self.failed("copying from it", error))
                }
                Work::Clear { at, bytes } => result::memset_d8_async(at, 0, bytes, self.stream)
                    .map_err(|error| self.failed("clearing memory", error)),
                Work::Kernel { ref module, ref name, launch, ref arguments, .. } => {
                    let function = self.kernel(Kernel { module, name })?;
                    result::launch_kernel(
                        function,
                        (launch.grid[0], launch.grid[1], 1),
                        (launch.threads, 1, 1),
                        launch.shared as u32,
                        self.stream,
                        &mut [arguments.as_ptr().cast_mut().cast()],
                    )
                    .map_err(|error| self.failed(format_args!("kernel {name}"), error))
                }
            }
        }
    }

    /// A graph of work that was done before, so that its kernels are compiled; none where the
    /// driver makes none.
    fn capture(&self, work: &[Work]) -> Option<Graph> {
        // SAFETY: the context is set, the stream is this one's own. What is asked for between the
        // two calls is noted, not done: copies from and to memory that the driver allocated, and
        // kernels.
        unsafe {
            let mode = CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
            result::stream::begin_capture(self.stream, mode).ok()?;
            let asked = work.iter().try_for_each(|work| self.begin(work));
            // A capture that was begun has to end.
            let graph = result::stream::end_capture(self.stream).ok()?;
            if graph.is_null() {
                return None;
            }
            let whole = match asked {
                Ok(()) => result::graph::instantiate(graph, CUgraphInstantiate_flags(0)).ok(),
                Err(_) => None,
            };
            let _ = result::graph::destroy(graph);
            whole.map(Graph)
        }
    }
}

// SAFETY: the driver's own addresses; the context is set before every call, and one stream keeps
// the order.
unsafe impl Device for Gpu {
    fn limits(&self) -> Limits {
        self.limits
    }

    fn allocate(&self, bytes: usize) -> Result<Address> {
        let _entered = self.enter()?;
        // SAFETY: the context is set.
        unsafe { result::malloc_sync(bytes.max(1)) }.map_err(|error| match error {
            DriverError(CUresult::CUDA_ERROR_OUT_OF_MEMORY) => {
                let free = result::mem_get_info().ok().map(|(free, _)| free);
                failure::no_memory(self.index, bytes, free)
            }
            error => self.failed(format_args!("allocating {bytes} bytes"), error),
        })
    }

    fn free(&self, address: Address) {
        let Some(_entered) = self.finish() else { return };
        // SAFETY: allocated above, as the trait promises; nothing uses it any more.
        let _ = unsafe { result::free_sync(address) };
    }

    fn allocate_host(&self, bytes: usize) -> Result<*mut u8> {
        let _entered = self.enter()?;
        // SAFETY: the context is set.
        unsafe { result::malloc_host(bytes.max(1), 0) }.map(<*mut c_void>::cast).map_err(|error| {
            self.failed(format_args!("allocating {bytes} bytes of the host for copies"), error)
        })
    }

    fn free_host(&self, memory: *mut u8) {
        let Some(_entered) = self.finish() else { return };
        // SAFETY: allocated above, as the trait promises; nothing uses it any more.
        let _ = unsafe { result::free_host(memory.cast()) };
    }

    unsafe fn ask(&self, work: Work) -> Result<()> {
        failure::check(self.index)?;
        self.queue().asked.push(work);
        Ok(())
    }

    fn wait(&self) -> Result<()> {
        let mut queue = self.queue();
        // Whatever happens: after this call the caller's memory may be gone.
        let work = std::mem::take(&mut queue.asked);
        let _entered = self.enter()?;
        if let Some(error) = queue.failed.take() {
            return Err(error);
        }
        let whole = match self.blocking {
            true => None,
            false => queue.repeats.whole(&work, |work| self.capture(work)),
        };
        let begun = match whole {
            // SAFETY: the graph is this stream's, and the memory it uses is what was asked for just
            // now.
            Some(graph) => unsafe { result::graph::launch(graph.0, self.stream) }
                .map_err(|error| self.failed(failure::among(&kernels(&work)), error)),
            None => work.iter().try_for_each(|work| self.begin(work)),
        };
        // What was begun uses the caller's memory, whether all of it was or not. Nobody else
        // captures this stream while the queue is locked. SAFETY: the stream is this one's own.
        let waited = unsafe { result::stream::synchronize(self.stream) }
            .map_err(|error| self.failed(failure::among(&kernels(&work)), error));
        drop(queue);
        begun.and(waited)
    }
}

impl Drop for Gpu {
    fn drop(&mut self) {
        let modules = self.modules.get_mut().unwrap_or_else(PoisonError::into_inner);
        // What cannot be given back is lost with the context.
        // SAFETY: stream, modules and context are this one's own.
        unsafe {
            if let Ok(_entered) = Entered::push(self.context) {
                let _ = result::stream::synchronize(self.stream);
                *self.queue.get_mut().unwrap_or_else(PoisonError::into_inner) = Queue::default();
                let _ = result::stream::destroy(self.stream);
                for module in modules.values() {
                    let _ = result::module::unload(module.handle);
                }
            }
            let _ = result::primary_ctx::release(self.device);
        }
    }
}
