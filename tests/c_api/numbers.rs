//! Through the C API the reference models give the reference numbers.

#![allow(unsafe_code)]

use std::sync::Arc;

use crate::support::c_calls::{
    Found, Structure, info, new_calculator, ok, sized_options, try_new_calculator,
};
use crate::support::reference::{Case, cases, reference};
use mlff_student::ErrorKind;
use mlff_student::c_api::*;
use mlff_student::engine::{Calculator, InstructionSet, Options};
use mlff_student::model::Model;

const MODELS: [(&str, &str); 5] = [
    ("student-427k.json", "models/student-427k.onnx"),
    ("student-77k.json", "models/student-77k.onnx"),
    ("student-21k.json", "models/student-21k.onnx"),
    ("painn-64-gaussian.json", "models/painn-64-gaussian.pt"),
    ("painn-32-bessel.json", "models/painn-32-bessel.pt"),
];

fn structure(case: &Case) -> Structure<'_> {
    Structure {
        species: &case.atomic_numbers,
        positions: &case.positions,
        cell: case.cell.as_ref(),
        periodic: case.pbc,
    }
}

/// All cases in one batch.
fn batch(calculator: *mut mlff_calculator, cases: &[Case]) -> Vec<Found> {
    let structures: Vec<mlff_structure> = cases.iter().map(|case| structure(case).raw()).collect();
    let mut found: Vec<Found> =
        cases.iter().map(|case| Found::zeros(case.atomic_numbers.len())).collect();
    let mut results: Vec<mlff_results> = found.iter_mut().map(Found::results).collect();
    // SAFETY: all arguments live through the call.
    ok(unsafe {
        let count = cases.len() as u32;
        mlff_calculator_compute_batch(calculator, count, structures.as_ptr(), results.as_mut_ptr())
    });
    found.iter_mut().zip(&results).for_each(|(found, results)| found.take(results));
    found
}

/// By symmetry v = 0 at the center of these, where |v| of `published` has a cusp: the slopes of the
/// energy to the left and to the right differ by up to 1 eV/Å, and the last bits decide which force
/// comes out.
const AT_A_CUSP: [&str; 4] = ["CH4", "CCl4", "CF4", "lone-atom-beside-molecule"];

/// Against the reference, within what float64 can promise.
fn check(case: &Case, found: &Found) {
    let (energy, force) = (1e-9, 1e-8);
    let name = &case.name;
    let atoms = case.atomic_numbers.len() as f64;
    let difference = (found.energy - case.energy).abs() / atoms;
    assert!(difference <= energy, "{name}: energy differs by {difference:e} eV/atom");
    if AT_A_CUSP.contains(&name.as_str()) {
        return;
    }
    for (f, expected) in found.forces.iter().flatten().zip(case.forces.iter().flatten()) {
        // Absolute up to 10 eV/Å, relative above.
        let tolerance = force * (expected.abs() / 10.0).max(1.0);
        assert!((f - expected).abs() <= tolerance, "{name}: force {f}, expected {expected}");
    }
    if let Some(expected) = &case.strain_derivative {
        let scale = expected.as_flattened().iter().fold(1e-3_f64, |a, b| a.max(b.abs()));
        for (k, expected) in expected.as_flattened().iter().enumerate() {
            let other = 3 * (k % 3) + k / 3;
            let strain = -0.5 * (found.virial[k] + found.virial[other]);
            assert!((strain - expected).abs() <= 1e-4 * scale, "{name}: {strain}, {expected}");
            let cell = case.cell.filter(|_| case.pbc == [true; 3]);
            let stress = cell.map_or(0.0, |cell| expected / volume(&cell));
            let close = 1e-4 * scale / cell.map_or(1.0, |cell| volume(&cell));
            assert!((found.stress[k] - stress).abs() <= close, "{name}: stress");
        }
    }
}

fn volume([a, b, c]: &[[f64; 3]; 3]) -> f64 {
    (0..3).map(|x| a[x] * (b[(x + 1) % 3] * c[(x + 2) % 3] - b[(x + 2) % 3] * c[(x + 1) % 3])).sum()
}

#[test]
#[cfg_attr(not(reference_data), ignore = "needs ../shared/reference")]
fn double_precision_with_exact_filters_gives_the_reference() {
    for (file, model) in MODELS {
        let cases = cases(file);
        let options = mlff_options {
            precision: MLFF_PRECISION_DOUBLE,
            filter: MLFF_FILTER_EXACT,
            ..sized_options()
        };
        let calculator = new_calculator(&reference(model), options);
        for (case, found) in cases.iter().zip(batch(calculator, &cases)) {
            check(case, &found);
        }
        // SAFETY: not used again.
        unsafe { mlff_calculator_free(calculator) };
    }
}

#[test]
#[cfg_attr(not(reference_data), ignore = "needs ../shared/reference")]
fn every_instruction_set_gives_the_bits_of_the_engine() {
    let cases = cases("student-77k.json");
    let file = reference("models/student-77k.onnx");
    let model = Arc::new(Model::load(&file).unwrap());
    let sets = [
        (MLFF_ISA_PORTABLE, InstructionSet::Portable),
        (MLFF_ISA_AVX2, InstructionSet::Avx2),
        (MLFF_ISA_AVX512, InstructionSet::Avx512),
    ];
    for (number, instruction_set) in sets {
        let options = mlff_options { instruction_set: number, threads: 2, ..sized_options() };
        let engine_options = Options { instruction_set, ..Options::default() };
        let engine = Calculator::new(Arc::clone(&model), engine_options);
        let (calculator, mut engine) = match (try_new_calculator(&file, options), engine) {
            (Ok(calculator), Ok(engine)) => (calculator, engine),
            (Err(status), Err(error)) => {
                assert_eq!(status, MLFF_ERROR_UNSUPPORTED);
                assert_eq!(error.kind(), ErrorKind::Unsupported);
                assert_ne!(number, MLFF_ISA_PORTABLE);
                continue;
            }
            (c, rust) => panic!("{:?} but {:?}", c.err(), rust.err()),
        };
        assert_eq!(info(calculator).instruction_set, number);
        assert_eq!(info(calculator).threads, 2);
        for (case, found) in cases.iter().zip(batch(calculator, &cases)) {
            let expected = engine
                .compute_structure(&mlff_student::engine::Structure {
                    species: &case.atomic_numbers,
                    positions: &case.positions,
                    cell: case.cell,
                    periodic: case.pbc,
                })
                .unwrap();
            assert_eq!(found.energy, expected.energy, "{}", case.name);
            assert_eq!(found.forces, expected.forces, "{}", case.name);
            assert_eq!(found.virial, expected.virial, "{}", case.name);
            assert_eq!(found.atomic_energies, expected.atomic_energies, "{}", case.name);
            assert_eq!(found.atomic_virials, expected.atomic_virials, "{}", case.name);
        }
        // SAFETY: not used again.
        unsafe { mlff_calculator_free(calculator) };
    }
}

#[test]
#[cfg_attr(not(reference_data), ignore = "needs ../shared/reference")]
fn what_a_calculator_says_of_itself_grows_with_use() {
    let cases = cases("student-77k.json");
    let calculator = new_calculator(&reference("models/student-77k.onnx"), sized_options());
    let before = info(calculator);
    batch(calculator, &cases);
    let after = info(calculator);
    assert_ne!(after.instruction_set, MLFF_ISA_BEST);
    assert!(before.memory < after.memory, "{} {}", before.memory, after.memory);
    assert!(after.seconds.iter().all(|s| *s >= 0.0) && after.seconds[2] > before.seconds[2]);
    // SAFETY: not used again.
    unsafe { mlff_calculator_free(calculator) };
}
