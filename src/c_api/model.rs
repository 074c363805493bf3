//! `mlff_model`.

use std::ffi::{OsStr, c_char};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::arguments::{array_address, not_null_mut, string};
use super::boundary::{quietly, status_of};
use super::handle::{self, Handle};
use super::status::mlff_status;
use super::versioned::{self, versioned};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Architecture, EnvelopePlace, Model, Potential, Scope, atomic_number};

/// The architecture of the students published in 2025: not invariant under rotation, not
/// continuous at the cutoff. @since 0.1.0
pub const MLFF_ARCHITECTURE_PUBLISHED: i32 = 1;
/// PaiNN (arXiv 2102.03150). @since 0.1.0
pub const MLFF_ARCHITECTURE_PAINN: i32 = 2;
/// A TorchScript model of any network, evaluated by libtorch (MLFF_ENGINE_TORCH). @since 0.1.0
pub const MLFF_ARCHITECTURE_SCRIPT: i32 = 3;

/// A student (architecture and weights), or a TorchScript model. Immutable; any number of threads
/// may use one at a time.
///
/// Made by mlff_model_load(), freed by mlff_model_free(). Calculators keep what they need of it,
/// so the model and its calculators may be freed in any order.
///
/// @since 0.1.0
pub struct mlff_model {
    _opaque: [u8; 0],
}

impl Handle for mlff_model {
    type Target = Potential;
}

/// What a model is. Set struct_size, then call mlff_model_get_info().
///
/// @since 0.1.0
#[derive(Clone, Copy)]
#[repr(C)]
pub struct mlff_model_info {
    /// In: sizeof(mlff_model_info).
    pub struct_size: u32,
    /// MLFF_ARCHITECTURE_*.
    pub architecture: i32,
    /// Channels of each atom's features. This, blocks, basis and parameters are 0 for
    /// MLFF_ARCHITECTURE_SCRIPT, whose network is not looked at, and so are both flags below.
    pub hidden: u32,
    /// Message-passing blocks.
    pub blocks: u32,
    /// Radial basis functions.
    pub basis: u32,
    /// Elements, see mlff_model_get_species().
    pub species_count: u32,
    /// Trainable parameters.
    pub parameters: u64,
    /// Pairs up to this distance interact (Å).
    pub cutoff: f64,
    /// 0 or 1: whether the architecture makes the energy independent of orientation.
    pub rotation_invariant: i32,
    /// 0 or 1: whether the architecture makes the energy continuous where pairs cross the cutoff.
    pub continuous_at_cutoff: i32,
    /// 0 or 1: whether the model says which energies atoms have in its training data. Beyond them
    /// energies saturate, and atoms far outside are found (mlff_check); without it they are not.
    pub energy_range: i32,
    /// 0.
    pub reserved: i32,
    /// The architecture's name, for example "painn"; the library's, as long as it is loaded.
    pub architecture_name: *const c_char,
}
versioned!(mlff_model_info, published [48, 56, 64], fields
    struct_size architecture hidden blocks basis species_count parameters cutoff
    rotation_invariant continuous_at_cutoff energy_range reserved architecture_name);

/// Loads a student from a file (safetensors, a PyTorch checkpoint, ONNX or TorchScript), or a
/// TorchScript model of any network that was saved with a description
/// (docs/src/reference/torchscript.md). No code from the file is run here; that of a TorchScript
/// model runs, in libtorch, in calculators. The file is not needed afterwards.
///
/// Thread-safe.
///
/// @param path the file's name, zero-terminated, as the operating system has it
/// @param model out: the new model; the caller owns it and frees it with mlff_model_free().
///     Untouched on error
/// @return MLFF_OK, MLFF_ERROR_INVALID_ARGUMENT (a null pointer), MLFF_ERROR_IO, MLFF_ERROR_FORMAT,
///     MLFF_ERROR_NUMERIC (weights that are not finite), MLFF_ERROR_UNSUPPORTED or
///     MLFF_ERROR_MEMORY
///
/// @since 0.1.0
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlff_model_load(
    path: *const c_char,
    model: *mut *mut mlff_model,
) -> mlff_status {
    status_of(|| {
        // SAFETY: `path` is a C string, as documented.
        let path = unsafe { string(path, "path") }?;
        let model = not_null_mut(model, "model")?;
        let loaded = Potential::load(Path::new(OsStr::from_bytes(path.to_bytes())))?;
        // SAFETY: `model` is not null and, as documented, may be written.
        unsafe { model.write(handle::give(loaded)) };
        Ok(())
    })
}

/// Frees a model. Its calculators stay usable. NULL is allowed.
///
/// Not to be called while another thread uses this handle; does not change mlff_last_error().
///
/// @param model the caller's model, not to be used afterwards; or NULL
///
/// @since 0.1.0
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlff_model_free(model: *mut mlff_model) {
    // SAFETY: `model` came from `mlff_model_load` and is not used again, as documented.
    quietly(|| unsafe { handle::free(model) });
}

/// Describes a model.
///
/// Thread-safe.
///
/// @param model borrowed for the call
/// @param info in: struct_size; out: the rest, untouched on error
/// @return MLFF_OK or MLFF_ERROR_INVALID_ARGUMENT
///
/// @since 0.1.0
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlff_model_get_info(
    model: *const mlff_model,
    info: *mut mlff_model_info,
) -> mlff_status {
    status_of(|| {
        // SAFETY: both are what is documented.
        let (model, mut out) = unsafe { (handle::borrow(model, "model")?, versioned::read(info)?) };
        let scope = model.scope();
        out.species_count = scope.species.len() as u32;
        out.cutoff = scope.cutoff;
        match model {
            Potential::Student(student) => describe_student(student, &mut out),
            Potential::Script(_) => {
                out.architecture = MLFF_ARCHITECTURE_SCRIPT;
                (out.hidden, out.blocks, out.basis, out.parameters) = (0, 0, 0, 0);
                (out.rotation_invariant, out.continuous_at_cutoff) = (0, 0);
                out.energy_range = 0;
                out.architecture_name = c"torchscript".as_ptr();
            }
        }
        // SAFETY: `out` was read there.
        unsafe { versioned::write(info, &out) };
        Ok(())
    })
}

fn describe_student(model: &Model, out: &mut mlff_model_info) {
    out.architecture = match model.architecture {
        Architecture::Published => MLFF_ARCHITECTURE_PUBLISHED,
        Architecture::Painn => MLFF_ARCHITECTURE_PAINN,
    };
    out.architecture_name = match model.architecture {
        Architecture::Published => c"published".as_ptr(),
        Architecture::Painn => c"painn".as_ptr(),
    };
    out.hidden = model.hidden as u32;
    out.blocks = model.blocks.len() as u32;
    out.basis = model.basis.len() as u32;
    out.parameters = model.parameters() as u64;
    out.rotation_invariant = model.architecture.is_rotation_invariant().into();
    out.continuous_at_cutoff =
        model.blocks.iter().all(|block| block.filter.envelope == EnvelopePlace::Filter).into();
    out.energy_range = model.energy_range.is_some().into();
}

/// Lists the elements that a model knows, as atomic numbers, ascending.
///
/// Thread-safe.
///
/// @param model borrowed for the call
/// @param capacity how many entries `species` has room for; no more are written
/// @param species out: atomic numbers; may be NULL if capacity is 0
/// @param count out: how many there are, which may be more than `capacity`
/// @return MLFF_OK or MLFF_ERROR_INVALID_ARGUMENT
///
/// @since 0.1.0
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlff_model_get_species(
    model: *const mlff_model,
    capacity: u32,
    species: *mut i32,
    count: *mut u32,
) -> mlff_status {
    status_of(|| {
        // SAFETY: `model` is what is documented.
        let known = unsafe { handle::borrow(model, "model") }?.scope().species;
        let count = not_null_mut(count, "count")?;
        let written = known.len().min(capacity as usize);
        let species = array_address(species, written, "species")?.cast_mut();
        for (index, &number) in known.iter().take(written).enumerate() {
            // SAFETY: there is room for `capacity` entries, as documented.
            unsafe { species.add(index).write(number.into()) };
        }
        // SAFETY: `count` is not null and, as documented, may be written.
        unsafe { count.write(known.len() as u32) };
        Ok(())
    })
}

/// Finds the atomic number that belongs to a chemical symbol.
///
/// Thread-safe.
///
/// @param model borrowed for the call
/// @param symbol zero-terminated, in the usual case: "O", "Cl"
/// @param atomic_number out: for example 8; untouched on error
/// @return MLFF_OK, MLFF_ERROR_INVALID_ARGUMENT, or MLFF_ERROR_SPECIES if this is no element or one
///     that the model does not know
///
/// @since 0.1.0
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlff_model_find_species(
    model: *const mlff_model,
    symbol: *const c_char,
    atomic_number: *mut i32,
) -> mlff_status {
    status_of(|| {
        // SAFETY: both are what is documented.
        let (model, symbol) =
            unsafe { (handle::borrow(model, "model")?, string(symbol, "symbol")?) };
        let out = not_null_mut(atomic_number, "atomic_number")?;
        let number = find_species(&model.scope(), &symbol.to_string_lossy())?;
        // SAFETY: `out` is not null and, as documented, may be written.
        unsafe { out.write(number) };
        Ok(())
    })
}

fn find_species(scope: &Scope, symbol: &str) -> Result<i32> {
    let Some(number) = atomic_number(symbol) else {
        return Err(Error::new(
            ErrorKind::Species,
            format!(
                "found \"{symbol}\", which is no chemical symbol: write one of this model's \
                 elements ({})",
                scope.species_list()
            ),
        ));
    };
    if !scope.knows(number) {
        return Err(Error::new(ErrorKind::Species, scope.unknown_species(number.into())));
    }
    Ok(number.into())
}
