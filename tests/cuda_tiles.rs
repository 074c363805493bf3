//! GPUs with less shared memory in a block of threads take tiles of atoms with fewer threads, which go over a layer's
//! outputs in several passes.

mod bits;
mod cube;
mod reference;
mod students;

use std::sync::Arc;

use bits::bits;
use cube::Cube;
use mlff_student::engine::{Calculator, Device, Options, Results, Structure};
use mlff_student::model::Architecture::{Painn, Published};

/// Lets calculators that are made from now on find a GPU with so many bytes.
#[allow(unsafe_code)]
fn shared_memory(bytes: usize) {
    let what = format!("shared={bytes}");
    // SAFETY: this program has one test; its calculators read the variable when they are made, on this thread.
    unsafe { std::env::set_var("MLFF_STUDENT_CUDA_SHIM_FAILS", what) };
}

fn compute(cube: &Cube, calculator: &mut Calculator) -> Results {
    let structure = Structure {
        species: &cube.species,
        positions: &cube.positions,
        cell: Some(cube.cell()),
        periodic: [true; 3],
    };
    calculator.compute_structure(&structure).unwrap().clone()
}

#[test]
fn tiles_of_any_size_have_the_processors_numbers() {
    if std::env::var_os("MLFF_TEST_GPU").is_some() {
        eprintln!("SKIPPED: a GPU has the shared memory that it has");
        return;
    }
    reference::shim::instead_of_a_gpu();
    // Turing, Ampere for consumers, A100, Hopper: 256 and 128 threads for many atoms, 512 to 64 for few.
    for (side, bytes, architecture, hidden) in [
        (4, 227 * 1024, Published, 96),
        (4, 99 * 1024, Painn, 112),
        (4, 64 * 1024, Published, 64),
        (4, 64 * 1024, Painn, 96),
        (3, 163 * 1024, Painn, 96),
        (3, 99 * 1024, Published, 160),
        (3, 64 * 1024, Painn, 128),
        (3, 64 * 1024, Published, 240),
    ] {
        shared_memory(bytes);
        let cube = Cube::new(side, 1);
        let model = Arc::new(students::random(architecture, hidden, 2, &[16]));
        let calculator = |device| {
            let options = Options { device, ..Options::default() };
            Calculator::new(Arc::clone(&model), options).unwrap()
        };
        let what = format!("{architecture:?}, {hidden} channels, {bytes} bytes");
        let expected = compute(&cube, &mut calculator(Device::Cpu));
        let mut cuda = calculator(Device::Cuda(0));
        let found = compute(&cube, &mut cuda);
        for (found, expected, tolerance) in [
            (&found.atomic_energies[..], &expected.atomic_energies[..], 2e-6),
            (found.forces.as_flattened(), expected.forces.as_flattened(), 5e-5),
        ] {
            let largest = expected.iter().fold(1.0_f64, |a, b| a.max(b.abs()));
            for (a, b) in found.iter().zip(expected) {
                assert!((a - b).abs() <= tolerance * largest, "{what}: {a} instead of {b}");
            }
        }
        assert_eq!(bits(&compute(&cube, &mut cuda)), bits(&found), "{what}: bits differ");
    }
}
