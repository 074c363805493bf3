//! Energies, forces and virials: with a neighbor list, of a structure, of many structures.

use std::ffi::c_void;

use super::arguments::{array, array_address, choice, count, invalid, not_null_mut, reserved};
use super::boundary::status_of;
use super::calculator::{enter, mlff_calculator};
use super::status::mlff_status;
use super::versioned::{self, versioned};
use crate::engine::{Exchange, Results, Rows, Structure, Virials};
use crate::error::{Error, ErrorKind, Result};

/// Copies rows of atoms' features to their ghosts in other processes (LAMMPS: forward_comm).
///
/// Called on the thread that called mlff_calculator_compute(), mlff_calculator_info.exchanges times
/// per compute on every process, also on one without atoms: it may hold collective communication.
/// After an error a process makes no further calls, and others may be waiting for it: end the run
/// (MPI_Abort). The callback must not use the calculator that calls it, and must not be left by a
/// C++ exception or longjmp: catch, return non-zero, rethrow after the call.
///
/// @param user what the caller gave to mlff_calculator_compute()
/// @param rows owned + ghosts rows of row_bytes bytes, in the order of the neighbor list, without
///     gaps, at an address that is a multiple of 8; on entry the owned atoms' rows are filled, on
///     return every ghost's row must equal its owner's, bit by bit. Valid during the call
/// @param row_bytes a multiple of 8, at most mlff_calculator_info.row_bytes; differs from call to
///     call, equal on all processes whose calculators have the same model and options
/// @return 0, or anything else to make the compute end with MLFF_ERROR_CALLBACK
///
/// @since 0.1.0
pub type mlff_exchange_fn =
    Option<unsafe extern "C" fn(user: *mut c_void, rows: *mut c_void, row_bytes: u32) -> i32>;

/// What a computation gives. Zero-fill it, set struct_size and the pointers to what is wanted. On
/// error nothing is written. Ready to be used again for the next call.
///
/// @since 0.1.0
#[derive(Clone, Copy)]
#[repr(C)]
pub struct mlff_results {
    /// In: sizeof(mlff_results).
    pub struct_size: u32,
    /// In: 0.
    pub reserved: u32,
    /// Out: sum of the owned atoms' energies (eV).
    pub energy: f64,
    /// Out: -sum of r (x) dE/dr over the pairs of owned atoms (eV), row by row, half of a pair's
    /// for each of its atoms that is owned; positive pushes outward, as in LAMMPS. Its symmetric
    /// part is -dE/dstrain. With several processes, the sum over them is the system's.
    pub virial: [f64; 9],
    /// Out: stress of a structure that is periodic in three directions (eV/Å³), row by row,
    /// symmetric, positive = tension: dE/dstrain / volume. Zeros otherwise, and always from
    /// mlff_calculator_compute(), which knows no volume.
    pub stress: [f64; 9],
    /// In: NULL, or room for the energy of each owned atom (eV). Atoms that the student does not
    /// know (species 0 or less in the neighbor list) have 0 here and below.
    pub atomic_energies: *mut f64,
    /// In: NULL, or room for the force on each owned atom, -dE/dr, x y z (eV/Å); assigned, not
    /// added.
    pub forces: *mut f64,
    /// In: NULL, which saves time in mlff_calculator_compute(), or room for each owned atom's part
    /// of the virial, 9 values each (eV): half of each of its pairs, so that the sum over all atoms
    /// of all processes is the virial.
    pub atomic_virials: *mut f64,
}
versioned!(mlff_results, published [184], fields
    struct_size reserved energy virial stress atomic_energies forces atomic_virials);

/// Atoms, and a cell where they repeat.
///
/// @since 0.1.0
#[derive(Clone, Copy)]
#[repr(C)]
pub struct mlff_structure {
    /// sizeof(mlff_structure).
    pub struct_size: u32,
    /// Number of atoms.
    pub atoms: i32,
    /// Atomic number of each atom; the model must know all of them.
    pub species: *const i32,
    /// Positions, x y z of each atom, inside the cell or not (Å).
    pub positions: *const f64,
    /// Lattice vectors, 9 values, one vector per row (Å); may be NULL where nothing repeats. Any
    /// right-handed triclinic cell, smaller than the cutoff or not. Vectors of directions that do
    /// not repeat may be zero.
    pub cell: *const f64,
    /// 0 or 1 for each lattice vector: whether the structure repeats along it.
    pub periodic: [i32; 3],
    /// 0.
    pub reserved: u32,
}
versioned!(mlff_structure, published [48], fields
    struct_size atoms species positions cell periodic reserved);

/// Computes at new positions with the list of mlff_calculator_set_neighbor_list().
///
/// One call at a time for each calculator. With several processes, all of them call it.
///
/// @param calculator borrowed for the call
/// @param positions x y z of the owned atoms, then of the ghosts (Å); borrowed for the call; may be
///     NULL without atoms
/// @param exchange see mlff_exchange_fn; may be NULL where no ghost belongs to another process
/// @param user passed to `exchange`; may be NULL
/// @param results in: struct_size and pointers; out: the results, untouched on error
/// @return MLFF_OK, MLFF_ERROR_INVALID_ARGUMENT, MLFF_ERROR_NUMERIC (a position that is NaN or
///     infinite, two atoms at one place, energy or forces that are not finite), MLFF_ERROR_MEMORY,
///     MLFF_ERROR_CALLBACK, MLFF_ERROR_STATE (no neighbor list is set, or a structure was computed
///     since), MLFF_ERROR_UNSUPPORTED (a driver that cannot compile the kernels),
///     MLFF_ERROR_DEVICE_LOST, MLFF_ERROR_OUTSIDE (with MLFF_CHECK_STRICT, when all exchanges are
///     done), or, from a TorchScript model that is not as docs/src/reference/torchscript.md
///     describes, MLFF_ERROR_FORMAT or MLFF_ERROR_INVALID_ARGUMENT
///
/// @since 0.1.0
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlff_calculator_compute(
    calculator: *mut mlff_calculator,
    positions: *const f64,
    exchange: mlff_exchange_fn,
    user: *mut c_void,
    results: *mut mlff_results,
) -> mlff_status {
    status_of(|| {
        // SAFETY: both are what is documented.
        let (mut calculator, out) = unsafe { (enter(calculator)?, read_results(results)?) };
        let Some((owned, ghosts)) = calculator.counts() else {
            return Err(Error::new(
                ErrorKind::State,
                "no neighbor list is set: call mlff_calculator_set_neighbor_list first, and again \
                 after computing a structure, which replaces the list",
            ));
        };
        out.check_arrays(owned)?;
        // SAFETY: as documented, there are three coordinates for each atom and ghost.
        let positions = unsafe { array(positions.cast(), owned + ghosts, "positions") }?;
        let mut callback = exchange.map(|function| Callback { function, user });
        let exchange = callback.as_mut().map(|callback| callback as &mut dyn Exchange);
        let virials = match out.atomic_virials.is_null() {
            true => Virials::Total,
            false => Virials::Atomic,
        };
        let computed = calculator.compute(positions, exchange, virials)?;
        // SAFETY: as documented, there is room for the owned atoms' results.
        unsafe { out.write(results, computed, None) };
        Ok(())
    })
}

/// Computes a structure from its positions and cell alone. Replaces the calculator's neighbor list:
/// whatever this returns, set one again before mlff_calculator_compute().
///
/// One call at a time for each calculator.
///
/// @param calculator borrowed for the call
/// @param structure borrowed for the call
/// @param results in: struct_size and pointers, arrays for all atoms; out: the results, untouched
///     on error
/// @return MLFF_OK, MLFF_ERROR_INVALID_ARGUMENT, MLFF_ERROR_SPECIES, MLFF_ERROR_NUMERIC (also a
///     degenerate or left-handed cell), MLFF_ERROR_MEMORY, MLFF_ERROR_STATE, or another one of
///     mlff_calculator_compute()
///
/// @since 0.1.0
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlff_calculator_compute_structure(
    calculator: *mut mlff_calculator,
    structure: *const mlff_structure,
    results: *mut mlff_results,
) -> mlff_status {
    status_of(|| {
        // SAFETY: all are what is documented.
        let (mut calculator, structure, out) =
            unsafe { (enter(calculator)?, versioned::read(structure)?, read_results(results)?) };
        // SAFETY: as documented, the arrays have the lengths that the struct gives.
        let structure = unsafe { structure_of(&structure) }?;
        out.check_arrays(structure.positions.len())?;
        let computed = calculator.compute_structure(&structure)?;
        // SAFETY: as documented, there is room for all atoms' results.
        unsafe { out.write(results, computed, structure.stress(&computed.virial)) };
        Ok(())
    })
}

/// Computes several structures, for all of them or, on error, for none. Replaces the calculator's
/// neighbor list, as mlff_calculator_compute_structure() does.
///
/// Small structures (up to 768 atoms in all, 65,536 on a GPU, 16,384 of a student in libtorch) are
/// computed together, one such group on each thread, so this takes less time than single calls; the
/// results are the same, on a processor bit by bit. TorchScript models compute one structure at a
/// time.
///
/// One call at a time for each calculator.
///
/// @param calculator borrowed for the call
/// @param count number of structures; 0 is allowed
/// @param structures `count` structs with the same struct_size, which is also the distance from one
///     to the next; borrowed for the call; may be NULL if count is 0
/// @param results likewise `count` results; out: untouched on error
/// @return as mlff_calculator_compute_structure(); mlff_last_error() names the structure
///
/// @since 0.1.0
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlff_calculator_compute_batch(
    calculator: *mut mlff_calculator,
    count: u32,
    structures: *const mlff_structure,
    results: *mut mlff_results,
) -> mlff_status {
    status_of(|| {
        // SAFETY: all are what is documented.
        let (mut calculator, structures, outs) = unsafe {
            let count = count as usize;
            let calculator = enter(calculator)?;
            (
                calculator,
                versioned::read_array(structures, count)?,
                versioned::read_array(array_address(results, count, "results")?, count)?,
            )
        };
        let mut all: Vec<Structure<'_>> = Vec::new();
        all.try_reserve_exact(structures.len())?;
        for (index, (structure, out)) in structures.iter().zip(&outs).enumerate() {
            let check = || {
                // SAFETY: as documented, the arrays have the lengths that the struct gives.
                let structure = unsafe { structure_of(structure) }?;
                check_results(out)?.check_arrays(structure.positions.len())?;
                Ok(structure)
            };
            let named = |error: Error| error.within(format_args!("structure {index}"));
            all.push(check().map_err(named)?);
        }
        let computed = calculator.compute_batch(&all)?;
        for (index, (out, (structure, computed))) in
            outs.into_iter().zip(all.iter().zip(&computed)).enumerate()
        {
            let size = out.struct_size as usize;
            let address = versioned::element(results, size, index).cast_mut();
            // SAFETY: as documented, there is room for all atoms' results.
            unsafe { out.write(address, computed, structure.stress(&computed.virial)) };
        }
        Ok(())
    })
}

/// The caller's callback as the engine sees it.
struct Callback {
    function: unsafe extern "C" fn(*mut c_void, *mut c_void, u32) -> i32,
    user: *mut c_void,
}

impl Exchange for Callback {
    fn forward(&mut self, rows: Rows<'_>, width: usize) -> Result<()> {
        let (address, value_bytes): (*mut u64, usize) = match rows {
            Rows::F32([]) => (std::ptr::dangling_mut(), size_of::<f32>()),
            Rows::F32(rows) => (rows.as_mut_ptr().cast(), size_of::<f32>()),
            Rows::F64(rows) => (rows.as_mut_ptr().cast(), size_of::<f64>()),
        };
        let row_bytes = width * value_bytes;
        if !address.is_aligned() || !row_bytes.is_multiple_of(size_of::<u64>()) {
            return Err(Error::new(
                ErrorKind::Internal,
                format!("rows of {row_bytes} bytes at {address:p} are no multiples of 8 bytes"),
            ));
        }
        // SAFETY: `rows` is borrowed for the call, and the callback is what is documented.
        match unsafe { (self.function)(self.user, address.cast(), row_bytes as u32) } {
            0 => Ok(()),
            code => Err(Error::new(
                ErrorKind::Callback,
                format!(
                    "the exchange callback returned {code}, expected 0: see what it reported, \
                     nothing was computed"
                ),
            )),
        }
    }
}

/// # Safety
/// `results` is null or an `mlff_results`.
unsafe fn read_results(results: *mut mlff_results) -> Result<mlff_results> {
    let address = not_null_mut(results, "results")?;
    // SAFETY: the caller's promise.
    check_results(&unsafe { versioned::read(address) }?).copied()
}

fn check_results(results: &mlff_results) -> Result<&mlff_results> {
    reserved(results.reserved, "mlff_results.reserved")?;
    Ok(results)
}

impl mlff_results {
    /// Whether the wanted arrays can be written to, before anything is computed.
    fn check_arrays(&self, owned: usize) -> Result<()> {
        let arrays = [
            (self.atomic_energies, "mlff_results.atomic_energies"),
            (self.forces, "mlff_results.forces"),
            (self.atomic_virials, "mlff_results.atomic_virials"),
        ];
        for (address, name) in arrays {
            if !address.is_null() {
                array_address(address, owned, name)?;
            }
        }
        Ok(())
    }

    /// # Safety
    /// `self` was read at `address`, and its arrays have room for the computed atoms.
    unsafe fn write(
        mut self,
        address: *mut Self,
        computed: &Results,
        stress: Option<[[f64; 3]; 3]>,
    ) {
        self.energy = computed.energy;
        self.virial = computed.virial;
        self.stress.copy_from_slice(stress.unwrap_or_default().as_flattened());
        // SAFETY: the caller's promise.
        unsafe {
            copy_out(&computed.atomic_energies, self.atomic_energies);
            copy_out(computed.forces.as_flattened(), self.forces);
            copy_out(computed.atomic_virials.as_flattened(), self.atomic_virials);
            versioned::write(address, &self);
        }
    }
}

/// # Safety
/// `to` is null or has room for `from`.
unsafe fn copy_out(from: &[f64], to: *mut f64) {
    if !to.is_null() && !from.is_empty() {
        // SAFETY: the caller's promise; `from` is the library's own memory.
        unsafe { std::ptr::copy_nonoverlapping(from.as_ptr(), to, from.len()) }
    }
}

/// # Safety
/// The arrays are as `mlff_structure` says, and nobody changes them during `'a`.
unsafe fn structure_of<'a>(structure: &mlff_structure) -> Result<Structure<'a>> {
    let atoms = count(structure.atoms, "mlff_structure.atoms")?;
    reserved(structure.reserved, "mlff_structure.reserved")?;
    let mut periodic = [false; 3];
    for (direction, (to, from)) in periodic.iter_mut().zip(structure.periodic).enumerate() {
        let name = format!("mlff_structure.periodic[{direction}]");
        *to = choice(from, &name, &[(0, "no", false), (1, "yes", true)])?;
    }
    if structure.cell.is_null() && periodic != [false; 3] {
        return invalid(
            "mlff_structure.cell is a null pointer, but the structure is periodic: give the three \
             lattice vectors, 9 values in Å",
        );
    }
    // SAFETY: the caller's promise; a cell is nine values.
    unsafe {
        let cell: &[[[f64; 3]; 3]] = match structure.cell.is_null() {
            true => &[],
            false => array(structure.cell.cast(), 1, "mlff_structure.cell")?,
        };
        Ok(Structure {
            species: array(structure.species, atoms, "mlff_structure.species")?,
            positions: array(structure.positions.cast(), atoms, "mlff_structure.positions")?,
            cell: cell.first().copied(),
            periodic,
        })
    }
}
