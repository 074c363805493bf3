//! `mlff_calculator`.

use std::sync::{Mutex, MutexGuard, TryLockError};

use super::arguments::{not_null_mut, reserved};
use super::boundary::{quietly, status_of};
use super::handle::{self, Handle};
use super::model::mlff_model;
use super::options::{mlff_options, options_or_defaults};
use super::status::mlff_status;
use super::versioned::{self, versioned};
use crate::engine::{Calculator, Device, NAMED};
use crate::error::{Error, ErrorKind, Result};

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
    /// Bytes allocated by this calculator, without the model. In float64 and with libtorch: about
    /// as many as the last computation took, without what libtorch allocates.
    pub memory: u64,
    /// Threads that were asked for; 1 on a GPU.
    pub threads: u32,
    /// How often each mlff_calculator_compute() calls the exchange callback that it is given.
    pub exchanges: u32,
    /// Wall time since the calculator was made (s) in: neighbor lists (and taking positions), pairs
    /// (distances), messages forward, messages in reverse (pair kernels), atoms (dense layers),
    /// exchange (callbacks), rest. On a GPU pairs, messages and atoms are in the rest, in float64
    /// all but lists and exchange, with libtorch all but lists and pairs. Batches on several
    /// threads are left out.
    pub seconds: [f64; 7],
    /// No row that the exchange callback gets is longer (bytes): what buffers have to hold for each
    /// atom.
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
///     processor lacks; MLFF_PRECISION_DOUBLE or MLFF_FILTER_EXACT on a GPU with MLFF_ENGINE_OWN; a
///     GPU before Turing, a driver before R525, a student that is too wide or deep for GPUs, or a
///     library built without them; libmlff_student_torch.so not there or of another version),
///     MLFF_ERROR_FORMAT (libtorch cannot read a TorchScript model), MLFF_ERROR_MEMORY,
///     MLFF_ERROR_NO_DEVICE (no driver, or no GPU of that number), MLFF_ERROR_DEVICE_LOST
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
        // SAFETY: `options` is what is documented.
        let options = unsafe { options_or_defaults(options) }?;
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
        out.instruction_set = calculator.instruction_set() as i32;
        out.memory = calculator.memory() as u64;
        out.threads = match options.device {
            Device::Cpu => options.threads.max(1) as u32,
            Device::Cuda(_) => 1,
        };
        out.exchanges = calculator.exchanges() as u32;
        out.row_bytes = calculator.row_bytes() as u32;
        out.seconds = [
            seconds.lists,
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
/// are looked for in the first mlff_calculator_compute() after each
/// mlff_calculator_set_neighbor_list(), and in structures; of other computes there are none here.
/// Each pair counts once, also where its atoms are on two processes: there one of the two has it.
///
/// Atoms go by the caller's numbers, from 0. With a neighbor list a ghost goes by its owner where
/// that is known, else by its own index.
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
