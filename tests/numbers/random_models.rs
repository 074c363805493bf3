//! The fast engine against plain float64 on models of sizes that no reference file has.

use crate::support::{shim, students};
use std::sync::Arc;

use mlff_student::engine::{
    CHUNK, Calculator, Check, Device, FilterMode, InstructionSet, Options, Precision, Results,
    Structure,
};
use mlff_student::error::ErrorKind;
use mlff_student::model::{Architecture, Model};

fn model(architecture: Architecture, hidden: usize, blocks: usize, head: &[usize]) -> Arc<Model> {
    Arc::new(students::random(architecture, hidden, blocks, head))
}

fn repelling(hidden: usize, blocks: usize) -> Arc<Model> {
    Arc::new(students::repelling(hidden, blocks))
}

/// 48 atoms in a triclinic cell, or `along` times as many along x.
fn compute(model: &Arc<Model>, options: Options, along: i32) -> Option<Results> {
    let mut random = fastrand::Rng::with_seed(5);
    let cell = [[7.0 * f64::from(along), 0.0, 0.0], [1.5, 6.5, 0.0], [-1.0, 0.8, 8.0]];
    let atoms = 48 * along;
    // On a rough grid, so that no two atoms meet.
    let mut positions = Vec::new();
    for site in 0..atoms {
        let grid = [site / 12, site % 3, site / 3 % 4];
        let place: [f64; 3] = std::array::from_fn(|k| {
            (f64::from(grid[k]) + 0.5 * random.f64()) / f64::from([4 * along, 3, 4][k])
        });
        positions.push(std::array::from_fn(|k| {
            (0..3).map(|row| place[row] * cell[row][k]).sum::<f64>()
        }));
    }
    let species: Vec<i32> = (0..atoms).map(|i| [8, 1, 1, 6][i as usize % 4]).collect();
    // Many are far outside.
    let options = Options { check: Check::Report, ..options };
    let mut calculator = match Calculator::new(Arc::clone(model), options) {
        // Only wide vectors may be missing.
        Err(error)
            if error.kind() == ErrorKind::Unsupported
                && options.device == Device::Cpu
                && options.instruction_set != InstructionSet::Portable =>
        {
            return None;
        }
        calculator => calculator.unwrap(),
    };
    let structure = Structure {
        species: &species,
        positions: &positions,
        cell: Some(cell),
        periodic: [true, true, false],
    };
    Some(calculator.compute_structure(&structure).expect("finite results").clone())
}

/// Compares every instruction set, and the CUDA kernels, with plain float64; thread counts, and two
/// runs on a GPU, with each other.
fn check(model: &Arc<Model>, filter: FilterMode, along: i32) {
    let double = Options { precision: Precision::Double, filter, ..Options::default() };
    let exact = compute(model, double, along).expect("always available");
    for set in [InstructionSet::Portable, InstructionSet::Avx2, InstructionSet::Avx512] {
        let options = Options { filter, instruction_set: set, ..Options::default() };
        let runs = [1, 2, 4].map(|threads| compute(model, Options { threads, ..options }, along));
        compare(
            &format!("{:?} {} {filter:?} {set:?}", model.architecture, model.hidden),
            runs,
            &exact,
        );
    }
    if filter == FilterMode::Table {
        shim::instead_of_a_gpu();
        let options = Options { device: Device::Cuda(0), ..Options::default() };
        let runs = [(); 2].map(|()| compute(model, options, along));
        compare(&format!("{:?} {} cuda", model.architecture, model.hidden), runs, &exact);
    }
}

fn compare<const N: usize>(what: &str, runs: [Option<Results>; N], exact: &Results) {
    let largest = exact.forces.iter().flatten().fold(1.0_f64, |a, b| a.max(b.abs()));
    let scale = exact.energy.abs().max(exact.forces.len() as f64);
    let mut first: Option<Results> = None;
    for found in runs {
        let Some(found) = found else {
            eprintln!("SKIPPED: this processor has no {what}");
            continue;
        };
        approx::assert_abs_diff_eq!(found.energy, exact.energy, epsilon = 3e-6 * scale);
        for (found, exact) in found.forces.iter().zip(&exact.forces) {
            for (found, exact) in found.iter().zip(exact) {
                let difference = (found - exact).abs();
                assert!(difference <= 3e-5 * largest, "{what}: {difference:e} of {largest}");
            }
        }
        for (found, exact) in found.virial.iter().zip(exact.virial) {
            assert!((found - exact).abs() <= 1e-3 * largest, "{what}");
        }
        let energies = found.atomic_energies.iter().zip(&exact.atomic_energies);
        let virials = found.atomic_virials.iter().flatten();
        let virials = virials.zip(exact.atomic_virials.iter().flatten());
        assert!(energies.len() == exact.forces.len() && !exact.atomic_virials.is_empty());
        for (found, exact) in energies.chain(virials) {
            assert!((found - exact).abs() <= 1e-4 * largest, "{what}: {found} {exact}");
        }
        assert_eq!(found.outside, exact.outside, "{what}: atoms far outside the training data");
        if let Some(first) = &first {
            assert_eq!(first, &found, "{what}: bits differ from run to run");
        }
        first = Some(found);
    }
}

#[test]
fn fast_kernels_agree_with_plain_float64_for_any_size() {
    let shapes: [(Architecture, usize, usize, &[usize]); 8] = [
        (Architecture::Published, 48, 2, &[24, 12]),
        (Architecture::Published, 20, 3, &[7]),
        (Architecture::Published, 5, 1, &[]),
        (Architecture::Published, 112, 4, &[33, 5, 3]),
        (Architecture::Painn, 48, 3, &[24]),
        (Architecture::Painn, 20, 2, &[10, 7]),
        (Architecture::Painn, 7, 1, &[]),
        (Architecture::Painn, 80, 4, &[40]),
    ];
    for (architecture, hidden, blocks, head) in shapes {
        let model = model(architecture, hidden, blocks, head);
        check(&model, FilterMode::Table, 1);
        check(&model, FilterMode::Exact, 1);
    }
}

#[test]
fn fast_kernels_agree_with_plain_float64_for_smooth_students() {
    for (hidden, blocks) in [(32, 2), (64, 3), (20, 2)] {
        let model = repelling(hidden, blocks);
        check(&model, FilterMode::Table, 1);
        check(&model, FilterMode::Exact, 1);
    }
}

#[test]
fn fast_kernels_agree_with_plain_float64_with_fewer_vectors_than_channels() {
    for (hidden, vectors, blocks) in
        [(64, 16, 2), (64, 32, 3), (48, 2, 2), (20, 12, 3), (34, 18, 1)]
    {
        let model = Arc::new(students::narrow(hidden, vectors, blocks));
        check(&model, FilterMode::Table, 1);
        check(&model, FilterMode::Exact, 1);
    }
    check(&Arc::new(students::narrow(40, 16, 2)), FilterMode::Table, 40);
}

#[test]
fn a_widened_student_computes_the_same() {
    let double = Options { precision: Precision::Double, ..Options::default() };
    for (hidden, vectors, blocks) in [(24, 8, 2), (10, 2, 3)] {
        let model = students::narrow(hidden, vectors, blocks);
        let wide = model.widened();
        wide.validate().unwrap();
        assert_eq!(wide.vectors, hidden);
        let [narrow, wide] =
            [model, wide].map(|model| compute(&Arc::new(model), double, 1).unwrap());
        approx::assert_relative_eq!(narrow.energy, wide.energy, max_relative = 1e-13);
        for (a, b) in narrow.forces.iter().flatten().zip(wide.forces.iter().flatten()) {
            approx::assert_abs_diff_eq!(*a, *b, epsilon = 1e-11);
        }
    }
}

#[test]
fn many_blocks_of_atoms_give_the_same_numbers_and_bits() {
    // Several blocks, with pairs inside and between them.
    const { assert!(48 * 40 > 2 * CHUNK) };
    for architecture in [Architecture::Published, Architecture::Painn] {
        check(&model(architecture, 20, 2, &[10]), FilterMode::Table, 40);
    }
    check(&repelling(32, 2), FilterMode::Table, 40);
    check(&repelling(20, 2), FilterMode::Exact, 40);
}

#[test]
fn atoms_at_one_place_are_named_on_gpus_too() {
    shim::instead_of_a_gpu();
    for architecture in [Architecture::Published, Architecture::Painn] {
        let options = Options { device: Device::Cuda(0), ..Options::default() };
        let mut calculator = Calculator::new(model(architecture, 16, 2, &[8]), options).unwrap();
        let apart = [[0.0; 3], [1.0, 0.0, 0.0], [0.0, 1.1, 0.0]];
        let mut structure = Structure {
            species: &[8, 1, 1],
            positions: &[[0.0; 3], [1.0, 0.0, 0.0], [1.0, 0.0, 0.0]],
            cell: None,
            periodic: [false; 3],
        };
        let error = calculator.compute_structure(&structure).unwrap_err();
        assert!(error.message().contains("atoms 1 and 2 are at the same place"), "{error}");
        structure.positions = &apart;
        calculator.compute_structure(&structure).unwrap();
    }
}
