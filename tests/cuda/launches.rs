//! How many kernels a step starts: on a GPU each is expected to cost microseconds, and all of them
//! most of a small molecule's time.

use crate::support::alone::alone;
use crate::support::{shim, students};
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use mlff_student::engine::{Calculator, Device, Options, Structure};
use mlff_student::model::Architecture;

/// Kernels that the shim has run so far.
#[allow(unsafe_code)]
fn launches() -> u32 {
    let path = std::env::var_os("MLFF_STUDENT_CUDA_SHIM").expect("the shim is in use");
    let path = CString::new(path.as_bytes()).unwrap();
    // SAFETY: the library is loaded already; shim.cpp declares the function like this.
    unsafe {
        let library = libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_NOLOAD);
        assert!(!library.is_null(), "a calculator loads it");
        let symbol = libc::dlsym(library, c"mlff_shim_launches".as_ptr());
        assert!(!symbol.is_null());
        std::mem::transmute::<*mut libc::c_void, extern "C" fn() -> u32>(symbol)()
    }
}

/// A chain of atoms in a cell.
struct Chain {
    species: Vec<i32>,
    positions: Vec<[f64; 3]>,
}

impl Chain {
    fn new(atoms: usize) -> Self {
        Self {
            species: (0..atoms).map(|k| [8, 1, 6][k % 3]).collect(),
            positions: (0..atoms).map(|k| [k as f64, 0.4 * (k % 3) as f64, 0.0]).collect(),
        }
    }

    fn structure(&self, periodic: bool) -> Structure<'_> {
        let length = self.positions.len() as f64;
        let cell = [[length, 0.0, 0.0], [0.0, 12.0, 0.0], [0.0, 0.0, 12.0]];
        Structure {
            species: &self.species,
            positions: &self.positions,
            cell: Some(cell),
            periodic: [periodic; 3],
        }
    }
}

// In a process of its own, since the shim counts for the whole program.
#[test]
fn a_step_starts_few_kernels_and_a_batch_no_more_than_one_structure() {
    if !alone("launches::a_step_starts_few_kernels_and_a_batch_no_more_than_one_structure") {
        return;
    }
    if std::env::var_os("MLFF_TEST_GPU").is_some() {
        eprintln!("SKIPPED: a GPU does not count its kernels");
        return;
    }
    shim::instead_of_a_gpu();
    let blocks = 2;
    let model = Arc::new(students::random(Architecture::Painn, 32, blocks, &[16]));
    let options = Options { device: Device::Cuda(0), ..Options::default() };
    let mut calculator = Calculator::new(model, options).unwrap();
    let small: Vec<Chain> = [12, 9, 30, 12].map(Chain::new).into();
    let large = Chain::new(600);
    let mut count = |structures: &[Structure<'_>]| {
        let before = launches();
        calculator.compute_batch(structures).unwrap();
        (launches() - before) as usize
    };
    // Messages and updates of atoms: forward a pair for each block, in reverse one update less;
    // forces.
    let network = 2 * blocks + 2 * blocks - 1 + 1;
    assert_eq!(count(&[small[0].structure(false)]), 1 + network, "pairs of a molecule");
    assert_eq!(count(&[small[0].structure(true)]), 3 + network, "counted, summed, written");
    assert_eq!(count(&[large.structure(true)]), 7 + network, "sorted into bins before");
    for periodic in [false, true] {
        let batch: Vec<Structure<'_>> = small.iter().map(|s| s.structure(periodic)).collect();
        assert_eq!(count(&batch), count(&batch[..1]), "one set of kernels for all");
    }
}
