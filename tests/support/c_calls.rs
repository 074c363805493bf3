//! The C API called from Rust, for tests that compare numbers.

#![allow(unsafe_code)]

use std::ffi::{CStr, CString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr::{null, null_mut};

use mlff_student::c_api::*;

/// Results for a number of owned atoms.
#[derive(Clone, Debug)]
pub struct Found {
    pub energy: f64,
    pub virial: [f64; 9],
    pub stress: [f64; 9],
    pub atomic_energies: Vec<f64>,
    pub forces: Vec<[f64; 3]>,
    pub atomic_virials: Vec<[f64; 9]>,
    /// How many atoms are outside, and how many pairs overlap, where somebody asked.
    pub check: [u64; 2],
}

impl Found {
    pub fn zeros(atoms: usize) -> Self {
        Self {
            energy: 0.0,
            virial: [0.0; 9],
            stress: [0.0; 9],
            atomic_energies: vec![0.0; atoms],
            forces: vec![[0.0; 3]; atoms],
            atomic_virials: vec![[0.0; 9]; atoms],
            check: [0; 2],
        }
    }

    pub fn results(&mut self) -> mlff_results {
        mlff_results {
            struct_size: size_of::<mlff_results>() as u32,
            reserved: 0,
            energy: 0.0,
            virial: [0.0; 9],
            stress: [0.0; 9],
            atomic_energies: self.atomic_energies.as_mut_ptr(),
            forces: self.forces.as_mut_ptr().cast(),
            atomic_virials: self.atomic_virials.as_mut_ptr().cast(),
        }
    }
}

/// Fails with the library's message.
pub fn ok(status: mlff_status) {
    // SAFETY: the message is a C string of this thread.
    let message = unsafe { CStr::from_ptr(mlff_last_error()) };
    assert_eq!(status, MLFF_OK, "{message:?}");
}

/// Options with `struct_size` set, everything else zero.
pub fn sized_options() -> mlff_options {
    mlff_options {
        struct_size: size_of::<mlff_options>() as u32,
        device: MLFF_DEVICE_CPU,
        device_index: 0,
        precision: MLFF_PRECISION_MIXED,
        filter: MLFF_FILTER_TABLE,
        threads: 0,
        instruction_set: MLFF_ISA_BEST,
        engine: MLFF_ENGINE_OWN,
        check: MLFF_CHECK_WARN,
        further: [0; 7],
    }
}

/// A calculator whose model was freed at once; or the status.
pub fn try_new_calculator(
    file: &Path,
    options: mlff_options,
) -> Result<*mut mlff_calculator, mlff_status> {
    let path = CString::new(file.as_os_str().as_bytes()).unwrap();
    let (mut model, mut calculator) = (null_mut(), null_mut());
    // SAFETY: all arguments live through their calls.
    let status = unsafe {
        ok(mlff_model_load(path.as_ptr(), &mut model));
        let status = mlff_calculator_new(model, &options, &mut calculator);
        mlff_model_free(model);
        status
    };
    if status == MLFF_OK { Ok(calculator) } else { Err(status) }
}

/// A calculator whose model was freed at once.
pub fn new_calculator(file: &Path, options: mlff_options) -> *mut mlff_calculator {
    try_new_calculator(file, options).unwrap_or_else(|status| {
        ok(status);
        unreachable!()
    })
}

/// What a calculator says of itself.
pub fn info(calculator: *const mlff_calculator) -> mlff_calculator_info {
    // SAFETY: integers and floats may be zero.
    let mut info: mlff_calculator_info = unsafe { std::mem::zeroed() };
    info.struct_size = size_of::<mlff_calculator_info>() as u32;
    // SAFETY: a calculator of these tests.
    ok(unsafe { mlff_calculator_get_info(calculator, &mut info) });
    info
}

/// How many atoms outside the last compute found, and how many pairs that overlap.
pub fn check(calculator: *const mlff_calculator) -> [u64; 2] {
    // SAFETY: integers may be zero.
    let mut check: mlff_check = unsafe { std::mem::zeroed() };
    check.struct_size = size_of::<mlff_check>() as u32;
    // SAFETY: a calculator of these tests.
    ok(unsafe { mlff_calculator_get_check(calculator, &mut check) });
    [check.outside, check.overlaps]
}

/// Atoms and a cell.
pub struct Structure<'a> {
    pub species: &'a [i32],
    pub positions: &'a [[f64; 3]],
    pub cell: Option<&'a [[f64; 3]; 3]>,
    pub periodic: [bool; 3],
}

impl Structure<'_> {
    pub fn raw(&self) -> mlff_structure {
        mlff_structure {
            struct_size: size_of::<mlff_structure>() as u32,
            atoms: self.species.len() as i32,
            species: self.species.as_ptr(),
            positions: self.positions.as_ptr().cast(),
            cell: self.cell.map_or(null(), |cell| cell.as_ptr().cast()),
            periodic: self.periodic.map(i32::from),
            reserved: 0,
        }
    }

    pub fn compute(&self, calculator: *mut mlff_calculator) -> Found {
        let mut found = Found::zeros(self.species.len());
        let mut results = found.results();
        // SAFETY: all arguments live through the call.
        ok(unsafe { mlff_calculator_compute_structure(calculator, &self.raw(), &mut results) });
        found.take(&results);
        found
    }
}

impl Found {
    /// The numbers that are not behind pointers.
    pub fn take(&mut self, results: &mlff_results) {
        (self.energy, self.virial) = (results.energy, results.virial);
        self.stress = results.stress;
    }
}
