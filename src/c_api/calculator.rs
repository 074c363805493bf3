//! `mlff_options` and `mlff_calculator`.

use std::sync::{Mutex, MutexGuard, TryLockError};

use super::arguments::{choice, invalid, not_null_mut, reserved};
use super::boundary::{quietly, status_of};
use super::device::{self, MLFF_DEVICE_CPU, MLFF_DEVICE_CUDA};
use super::handle::{self, Handle};
use super::model::mlff_model;
use super::status::mlff_status;
use super::versioned::{self, versioned};
use crate::engine::{
    Backend, Calculator, Check, Device, FilterMode, InstructionSet, NAMED, Options, Precision,
};
use crate::error::{Error, ErrorKind, Result};

/// This library's kernels; libtorch for TorchScript models, which they cannot evaluate. @since 0.1.0
pub const MLFF_ENGINE_OWN: i32 = 0;
/// libtorch, on one process: plain tensor operations and automatic differentiation, slow, for
/// comparison. Needs libmlff_student_torch.so beside this library or named by the environment variable
/// MLFF_STUDENT_TORCH. @since 0.1.0
pub const MLFF_ENGINE_TORCH: i32 = 1;

/// Features and filters in float32; positions, distances, energies and virial sums in float64.
/// @since 0.1.0
pub const MLFF_PRECISION_MIXED: i32 = 0;
/// All in float64: slow, for checking. @since 0.1.0
pub const MLFF_PRECISION_DOUBLE: i32 = 1;

/// Filters interpolated in a table. @since 0.1.0
pub const MLFF_FILTER_TABLE: i32 = 0;
/// Filters computed anew for every pair: slow, for checking. @since 0.1.0
pub const MLFF_FILTER_EXACT: i32 = 1;

/// The widest instructions that this processor has. @since 0.1.0
pub const MLFF_ISA_BEST: i32 = 0;
/// Instructions that every processor has. @since 0.1.0
pub const MLFF_ISA_PORTABLE: i32 = 1;
/// AVX2 with FMA. @since 0.1.0
pub const MLFF_ISA_AVX2: i32 = 2;
/// AVX-512 F. @since 0.1.0
pub const MLFF_ISA_AVX512: i32 = 3;

/// A line on stderr, once for atoms outside and once for overlaps in a calculator's life.
/// @since 0.1.0
pub const MLFF_CHECK_WARN: i32 = 0;
/// Nothing is said: the caller asks, with mlff_calculator_get_check(). @since 0.1.0
pub const MLFF_CHECK_REPORT: i32 = 1;
/// The compute fails with MLFF_ERROR_OUTSIDE. @since 0.1.0
pub const MLFF_CHECK_STRICT: i32 = 2;
/// Nothing is checked. @since 0.1.0
pub const MLFF_CHECK_OFF: i32 = 3;

/// More threads than any machine has cores are a mistake, not a wish.
const MOST_THREADS: u32 = 4096;

/// Evaluates one model on one device; holds its workspace.
///
/// Made by mlff_calculator_new(), freed by mlff_calculator_free(). One call at a time: a second
/// one, from another thread or from within an exchange callback, gets MLFF_ERROR_STATE. Make one
/// for each thread that calls.
///
/// @since 0.1.0
pub struct mlff_calculator {
    _opaque: [u8; 0],
}

/// Behind a lock that is only ever tried.
impl Handle for mlff_calculator {
    type Target = Mutex<Calculator>;
}

/// The calculator behind a handle, if no other call uses it.
///
/// # Safety
/// `handle` is null or a calculator that is not freed during `'a`.
pub(super) unsafe fn enter<'a>(
    handle: *const mlff_calculator,
) -> Result<MutexGuard<'a, Calculator>> {
    // SAFETY: the caller's promise.
    lock(unsafe { handle::borrow(handle, "calculator") }?)
}

fn lock<T>(workspace: &Mutex<T>) -> Result<MutexGuard<'_, T>> {
    workspace.try_lock().map_err(|error| {
        Error::new(
            ErrorKind::State,
            match error {
                TryLockError::WouldBlock => {
                    "this calculator is in another call: make one for each thread, and do not use \
                     it within its exchange callback"
                }
                TryLockError::Poisoned(_) => {
                    "a bug (MLFF_ERROR_INTERNAL) interrupted this calculator: free it and make a \
                     new one"
                }
            },
        )
    })
}

/// How a calculator evaluates its model. Zero-filled but for struct_size: the defaults.
///
/// @since 0.1.0
#[derive(Clone, Copy)]
#[repr(C)]
pub struct mlff_options {
    /// sizeof(mlff_options).
    pub struct_size: u32,
    /// MLFF_DEVICE_*.
    pub device: i32,
    /// Which of several devices of this kind; 0 for the processor.
    pub device_index: i32,
    /// MLFF_PRECISION_*. This, filter and instruction_set mean nothing for TorchScript models, which have
    /// a precision of their own.
    pub precision: i32,
    /// MLFF_FILTER_*.
    pub filter: i32,
    /// Threads; 0 means 1, which suits one process for each core. On a GPU they mean nothing, and with
    /// MLFF_PRECISION_DOUBLE only mlff_calculator_compute_batch() uses more than one. They do not follow a
    /// fork: in the child a calculator of several threads, or of a GPU, is MLFF_ERROR_STATE.
    pub threads: u32,
    /// MLFF_ISA_*; other than MLFF_ISA_BEST for tests. Ignored with MLFF_PRECISION_DOUBLE.
    pub instruction_set: i32,
    /// MLFF_ENGINE_*.
    pub engine: i32,
    /// MLFF_CHECK_*: what is done where the student is taken for what it did not learn, see
    /// mlff_check.
    pub check: i32,
    /// 0.
    pub reserved: i32,
}
versioned!(mlff_options, published [32, 40], fields
    struct_size device device_index precision filter threads instruction_set engine check reserved);

/// What a calculator uses. Set struct_size, then call mlff_calculator_get_info().
///
/// @since 0.1.0
#[derive(Clone, Copy)]
#[repr(C)]
pub struct mlff_calculator_info {
    /// In: sizeof(mlff_calculator_info).
    pub struct_size: u32,
    /// MLFF_ISA_* in use; 0 with MLFF_PRECISION_DOUBLE, on a GPU and with libtorch.
    pub instruction_set: i32,
    /// Bytes allocated by this calculator, without the model. In float64 and with libtorch: about as many as the
    /// last computation took, without what libtorch allocates.
    pub memory: u64,
    /// Threads that were asked for; 1 on a GPU.
    pub threads: u32,
    /// How often each mlff_calculator_compute() calls the exchange callback that it is given.
    pub exchanges: u32,
    /// Wall time since the calculator was made (s) in: topology (lists, positions), pairs (distances), messages
    /// forward, messages in reverse (pair kernels), atoms (dense layers), exchange (callbacks), rest. On a GPU
    /// pairs, messages and atoms are in the rest, in float64 all but topology and exchange, with libtorch all
    /// but topology and pairs. Batches on several threads are left out.
    pub seconds: [f64; 7],
    /// No row that the exchange callback gets is longer (bytes): what buffers have to hold for each atom.
    pub row_bytes: u32,
    /// 0.
    pub reserved: u32,
}
versioned!(mlff_calculator_info, published [88], fields
    struct_size instruction_set memory threads exchanges seconds row_bytes reserved);

/// Makes a calculator for a model; tables are made here.
///
/// Thread-safe.
///
/// @param model borrowed for the call; may be freed while the calculator lives
/// @param options borrowed for the call; NULL means the defaults
/// @param calculator out: the new calculator; the caller owns it and frees it with
///     mlff_calculator_free(). Untouched on error
/// @return MLFF_OK, MLFF_ERROR_INVALID_ARGUMENT, MLFF_ERROR_UNSUPPORTED (instructions that the
///     processor lacks; MLFF_PRECISION_DOUBLE or MLFF_FILTER_EXACT on a GPU with MLFF_ENGINE_OWN; a GPU before
///     Turing, a driver before R525, a student that is too wide or deep for GPUs, or a library built without
///     them; libmlff_student_torch.so not there or of another version), MLFF_ERROR_FORMAT (libtorch cannot
///     read a TorchScript model), MLFF_ERROR_MEMORY, MLFF_ERROR_NO_DEVICE (no driver, or no GPU of that
///     number), MLFF_ERROR_DEVICE_LOST
///
/// @since 0.1.0
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlff_calculator_new(
    model: *const mlff_model,
    options: *const mlff_options,
    calculator: *mut *mut mlff_calculator,
) -> mlff_status {
    status_of(|| {
        // SAFETY: `model` is what is documented.
        let potential = unsafe { handle::borrow(model, "model") }?.clone();
        let options = if options.is_null() {
            Options::default()
        } else {
            // SAFETY: not null, so a struct, as documented.
            options_of(&unsafe { versioned::read(options) }?)?
        };
        let out = not_null_mut(calculator, "calculator")?;
        let calculator = Calculator::new(potential, options)?;
        // SAFETY: `out` is not null and, as documented, may be written.
        unsafe { out.write(handle::give(Mutex::new(calculator))) };
        Ok(())
    })
}

/// Frees a calculator. NULL is allowed.
///
/// Not to be called while another call uses this handle; does not change mlff_last_error().
///
/// @param calculator the caller's calculator, not to be used afterwards; or NULL
///
/// @since 0.1.0
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlff_calculator_free(calculator: *mut mlff_calculator) {
    // SAFETY: `calculator` came from `mlff_calculator_new` and is not used again, as documented.
    quietly(|| unsafe { handle::free(calculator) });
}

/// Describes a calculator.
///
/// One call at a time for each calculator.
///
/// @param calculator borrowed for the call
/// @param info in: struct_size; out: the rest, untouched on error
/// @return MLFF_OK, MLFF_ERROR_INVALID_ARGUMENT or MLFF_ERROR_STATE
///
/// @since 0.1.0
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlff_calculator_get_info(
    calculator: *const mlff_calculator,
    info: *mut mlff_calculator_info,
) -> mlff_status {
    status_of(|| {
        // SAFETY: both are what is documented.
        let (calculator, mut out) = unsafe { (enter(calculator)?, versioned::read(info)?) };
        let options = calculator.options();
        let seconds = calculator.seconds();
        out.instruction_set = number_of(calculator.instruction_set());
        out.memory = calculator.memory() as u64;
        out.threads = match options.device {
            Device::Cpu => options.threads.max(1) as u32,
            Device::Cuda(_) => 1,
        };
        out.exchanges = calculator.exchanges() as u32;
        out.row_bytes = calculator.row_bytes() as u32;
        out.seconds = [
            seconds.topology,
            seconds.pairs,
            seconds.messages[0],
            seconds.messages[1],
            seconds.atoms,
            seconds.exchange,
            seconds.rest,
        ];
        // SAFETY: `out` was read there.
        unsafe { versioned::write(info, &out) };
        Ok(())
    })
}

/// What the last compute of a calculator found that its student did not learn. Set struct_size,
/// then call mlff_calculator_get_check().
///
/// Atoms outside: what the network gives them is far below or above the energies of atoms of their
/// element in its training data (0.25 eV below, 5 eV above). They are looked for in every compute,
/// if mlff_model_info.energy_range is 1 and with MLFF_ENGINE_OWN.
///
/// Overlaps: pairs of atoms nearer to each other than half of the sum of their covalent radii. They
/// are looked for in the first mlff_calculator_compute() after each mlff_calculator_set_topology(),
/// and in structures; of other computes there are none here. Each pair counts once, also where its
/// atoms are on two processes: there one of the two has it.
///
/// Atoms go by the caller's numbers, from 0. With a topology a ghost goes by its owner where that
/// is known, else by its own index.
///
/// @since 0.1.0
#[derive(Clone, Copy)]
#[repr(C)]
pub struct mlff_check {
    /// In: sizeof(mlff_check).
    pub struct_size: u32,
    /// In how many structures something was found: 0 or 1, or more of a batch.
    pub structures: u32,
    /// The first of these structures, from 0, which all below is about; 0 but of a batch.
    pub structure: u32,
    /// In: 0.
    pub reserved: u32,
    /// How many atoms are outside.
    pub outside: u64,
    /// How many pairs overlap.
    pub overlaps: u64,
    /// The first 8 atoms outside, ascending; -1 where there are fewer.
    pub atoms: [i32; 8],
    /// The first 8 pairs that overlap, two atoms each, one pair behind the other; -1 where there
    /// are fewer.
    pub pairs: [i32; 16],
}
const _: () = assert!(NAMED == 8);
versioned!(mlff_check, published [128], fields
    struct_size structures structure reserved outside overlaps atoms pairs);

/// Says what the last compute of a calculator found, also one that failed with MLFF_ERROR_OUTSIDE.
/// After any other failure, before the first compute and with MLFF_CHECK_OFF nothing was found.
///
/// One call at a time for each calculator.
///
/// @param calculator borrowed for the call
/// @param check in: struct_size; out: the rest, untouched on error
/// @return MLFF_OK, MLFF_ERROR_INVALID_ARGUMENT or MLFF_ERROR_STATE
///
/// @since 0.1.0
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlff_calculator_get_check(
    calculator: *const mlff_calculator,
    check: *mut mlff_check,
) -> mlff_status {
    status_of(|| {
        // SAFETY: both are what is documented.
        let (calculator, mut out) = unsafe { (enter(calculator)?, versioned::read(check)?) };
        reserved(out.reserved, "mlff_check.reserved")?;
        let findings = calculator.findings();
        out.structures = findings.structures as u32;
        out.structure = findings.structure as u32;
        out.outside = findings.outside as u64;
        out.overlaps = findings.overlaps as u64;
        out.atoms = numbers(&findings.atoms);
        out.pairs = numbers(findings.pairs.as_flattened());
        // SAFETY: `out` was read there.
        unsafe { versioned::write(check, &out) };
        Ok(())
    })
}

/// Atoms for C, -1 behind the last one.
fn numbers<const N: usize>(atoms: &[u32]) -> [i32; N] {
    std::array::from_fn(|k| atoms.get(k).map_or(-1, |&atom| atom as i32))
}

fn number_of(set: InstructionSet) -> i32 {
    match set {
        InstructionSet::Best => MLFF_ISA_BEST,
        InstructionSet::Portable => MLFF_ISA_PORTABLE,
        InstructionSet::Avx2 => MLFF_ISA_AVX2,
        InstructionSet::Avx512 => MLFF_ISA_AVX512,
    }
}

fn options_of(options: &mlff_options) -> Result<Options> {
    let device = device::kind(options.device, "mlff_options.device")?;
    let precision = choice(
        options.precision,
        "mlff_options.precision",
        &[
            (MLFF_PRECISION_MIXED, "MLFF_PRECISION_MIXED", Precision::Mixed),
            (MLFF_PRECISION_DOUBLE, "MLFF_PRECISION_DOUBLE", Precision::Double),
        ],
    )?;
    let filter = choice(
        options.filter,
        "mlff_options.filter",
        &[
            (MLFF_FILTER_TABLE, "MLFF_FILTER_TABLE", FilterMode::Table),
            (MLFF_FILTER_EXACT, "MLFF_FILTER_EXACT", FilterMode::Exact),
        ],
    )?;
    let instruction_set = choice(
        options.instruction_set,
        "mlff_options.instruction_set",
        &[
            (MLFF_ISA_BEST, "MLFF_ISA_BEST", InstructionSet::Best),
            (MLFF_ISA_PORTABLE, "MLFF_ISA_PORTABLE", InstructionSet::Portable),
            (MLFF_ISA_AVX2, "MLFF_ISA_AVX2", InstructionSet::Avx2),
            (MLFF_ISA_AVX512, "MLFF_ISA_AVX512", InstructionSet::Avx512),
        ],
    )?;
    let backend = choice(
        options.engine,
        "mlff_options.engine",
        &[
            (MLFF_ENGINE_OWN, "MLFF_ENGINE_OWN", Backend::Own),
            (MLFF_ENGINE_TORCH, "MLFF_ENGINE_TORCH", Backend::Torch),
        ],
    )?;
    let check = choice(
        options.check,
        "mlff_options.check",
        &[
            (MLFF_CHECK_WARN, "MLFF_CHECK_WARN", Check::Warn),
            (MLFF_CHECK_REPORT, "MLFF_CHECK_REPORT", Check::Report),
            (MLFF_CHECK_STRICT, "MLFF_CHECK_STRICT", Check::Strict),
            (MLFF_CHECK_OFF, "MLFF_CHECK_OFF", Check::Off),
        ],
    )?;
    reserved(options.reserved as u32, "mlff_options.reserved")?;
    if options.threads > MOST_THREADS {
        return invalid(format!(
            "mlff_options.threads is {}: expected at most {MOST_THREADS}, and no more than the \
             cores of this process",
            options.threads
        ));
    }
    let device = match (device, usize::try_from(options.device_index)) {
        (MLFF_DEVICE_CUDA, Ok(index)) => Device::Cuda(index),
        (MLFF_DEVICE_CPU, Ok(0)) => Device::Cpu,
        _ => {
            return invalid(format!(
                "mlff_options.device_index is {}: expected 0 with MLFF_DEVICE_CPU, and the number of \
                 a GPU, from 0, with MLFF_DEVICE_CUDA",
                options.device_index
            ));
        }
    };
    let threads = options.threads as usize;
    Ok(Options { backend, device, precision, filter, threads, instruction_set, check })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::c_api::status::MLFF_ERROR_INTERNAL;

    #[test]
    fn a_second_call_is_refused_and_a_bug_ends_the_calculators_use() {
        let workspace = Mutex::new(());
        let first = lock(&workspace).unwrap();
        assert!(lock(&workspace).err().unwrap().message().contains("in another call"));
        drop(first);
        let status = status_of(|| {
            let _inside = lock(&workspace)?;
            panic!("a bug");
        });
        assert_eq!(status, MLFF_ERROR_INTERNAL);
        let error = lock(&workspace).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::State);
        assert!(error.message().contains("make a new one"), "{error}");
    }
}
