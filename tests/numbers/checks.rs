//! Where a student is taken for what it did not learn: all engines find the same atoms, and the
//! calculator finds atoms that overlap and does what it was asked to do.

use crate::support::{shim, students};
use std::sync::Arc;

use crate::support::cube::Cube;
use mlff_student::ErrorKind;
use mlff_student::engine::{
    CHUNK, Calculator, Check, Device, InstructionSet, Options, Precision, Structure, Virials,
};
use mlff_student::model::{EnergyRange, Model};

fn calculator(model: &Arc<Model>, options: Options) -> Calculator {
    let options = Options { check: Check::Report, ..options };
    Calculator::new(Arc::clone(model), options).unwrap()
}

/// Every engine that this processor has, the oracle first.
fn engines() -> Vec<(String, Options)> {
    shim::instead_of_a_gpu();
    let usual = Options::default();
    let mut all = vec![
        ("double".into(), Options { precision: Precision::Double, ..usual }),
        ("cuda".into(), Options { device: Device::Cuda(0), ..usual }),
    ];
    for instruction_set in [InstructionSet::Portable, InstructionSet::Avx2, InstructionSet::Avx512]
    {
        for threads in [1, 3] {
            let options = Options { instruction_set, threads, ..usual };
            all.push((format!("{instruction_set:?} on {threads} threads"), options));
        }
    }
    let model = Arc::new(students::smooth(8, 1));
    all.retain(|(what, options)| {
        let there = Calculator::new(Arc::clone(&model), *options);
        let missing = there.is_err_and(|error| error.kind() == ErrorKind::Unsupported);
        if missing {
            eprintln!("SKIPPED: this processor has no {what}");
        }
        !missing
    });
    all
}

/// A student and a range of energies of which atoms of the cube are outside on both sides; which
/// ones, as the definition has it.
fn student_and_outside(cube: &Cube) -> (Arc<Model>, Vec<u32>) {
    let mut plain = Model { repulsion: None, energy_range: None, ..students::smooth(32, 2) };
    // Energies that spread over more than the 5.25 eV that are still ordinary.
    plain.head.last_mut().unwrap().weight.iter_mut().for_each(|weight| *weight *= 100.0);
    let reference = plain.reference_energies.clone();
    let double = Options { precision: Precision::Double, ..Options::default() };
    let found = cube.compute(&mut calculator(&Arc::new(plain.clone()), double));
    assert!(found.outside.is_empty(), "without a range");
    let energies: Vec<f64> = (found.atomic_energies.iter().zip(&cube.species))
        .map(|(energy, &number)| energy - reference[number as usize])
        .collect();
    let mut sorted = energies.clone();
    sorted.sort_by(f64::total_cmp);
    // A gap between two atoms on either side, so that rounding moves none across.
    let gap = |from: usize, to: usize| {
        let wide = |k: &usize| sorted[k + 1] - sorted[*k] > 2e-3;
        let k = (from..to).find(wide).expect("a gap");
        0.5 * (sorted[k] + sorted[k + 1])
    };
    let atoms = sorted.len();
    let [lowest, highest] = [gap(atoms / 20, atoms / 2), gap(atoms - atoms / 20, atoms - 1)];
    // As documented: 0.25 eV below the range, and 5 eV above it.
    let range = [lowest + 0.25, highest - 5.0];
    assert!(range[0] < range[1], "{range:?}");
    let outside = (0..atoms as u32).filter(|&atom| {
        let energy = energies[atom as usize];
        energy < lowest || energy > highest
    });
    let bounds = vec![range; 9];
    let model = Model { energy_range: Some(EnergyRange { bounds }), ..plain };
    (Arc::new(model), outside.collect())
}

#[test]
fn all_engines_find_the_same_atoms_outside() {
    // In one chunk of atoms, on a GPU without bins; in several, with bins.
    for (side, seed) in [(5, 1), (13, 2)] {
        let cube = Cube::new(side, seed);
        let atoms = cube.positions.len();
        assert!(!(512..=2 * CHUNK).contains(&atoms));
        let (model, expected) = student_and_outside(&cube);
        assert!(expected.len() > atoms / 25 && expected.len() < atoms / 2);
        for (what, options) in engines() {
            let mut calculator = calculator(&model, options);
            for _ in 0..2 {
                let found = cube.compute(&mut calculator);
                assert_eq!(found.outside, expected, "{what}, {atoms} atoms");
            }
            let listed = cube.set_list(&mut calculator, 6.0, |_| true);
            for virials in [Virials::Total, Virials::Atomic] {
                let found = calculator.compute(&listed.positions, None, virials).unwrap();
                assert_eq!(found.outside, expected, "{what}, {atoms} atoms with a list");
            }
            let findings = calculator.findings();
            assert_eq!(findings.outside, expected.len());
            assert_eq!(findings.atoms, expected[..8]);
        }
    }
}

/// Two waters far apart in a cube, the second one with a hydrogen atom at the oxygen, and an image
/// of an oxygen atom across the wall at one of its own kind.
fn overlapping() -> (Vec<i32>, Vec<[f64; 3]>) {
    let species = vec![8, 1, 1, 8, 1, 1, 8, 8];
    let positions = vec![
        [5.0, 5.0, 5.0],
        [5.96, 5.0, 5.0],
        [4.76, 5.93, 5.0],
        [2.0, 2.0, 2.0],
        [2.3, 2.0, 2.0],
        [1.76, 2.93, 2.0],
        // 0.6 Å apart: half of the sum of the radii is 0.66 Å.
        [0.2, 8.0, 8.0],
        [9.6, 8.0, 8.0],
    ];
    (species, positions)
}

const CUBE: [[f64; 3]; 3] = [[10.0, 0.0, 0.0], [0.0, 10.0, 0.0], [0.0, 0.0, 10.0]];

#[test]
fn overlaps_are_found_by_every_engine_each_once_by_their_owners_numbers() {
    let model = Arc::new(students::smooth(16, 1));
    let (mut species, mut positions) = overlapping();
    for atoms in [species.len(), 600] {
        // More atoms, none too near: on a GPU they are sorted into bins.
        while species.len() < atoms {
            let k = species.len();
            positions.push([20.0 + (k % 30) as f64, 3.0 * (k / 30) as f64, 5.0]);
            species.push(8);
        }
        let edge = if atoms > 8 { [[60.0, 0.0, 0.0], [0.0, 70.0, 0.0], CUBE[2]] } else { CUBE };
        if atoms > 8 {
            positions[7][0] += 50.0;
        }
        let structure = Structure {
            species: &species,
            positions: &positions,
            cell: Some(edge),
            periodic: [true; 3],
        };
        for (what, options) in engines() {
            let mut calculator = calculator(&model, options);
            let found = calculator.compute_structure(&structure).unwrap();
            assert_eq!(found.overlaps, [[3, 4], [6, 7]], "{what}, {atoms} atoms");
            let open = Structure { periodic: [false; 3], ..structure };
            let found = calculator.compute_structure(&open).unwrap();
            assert_eq!(found.overlaps, [[3, 4]], "{what}, {atoms} atoms");
            let apart = Structure { species: &[8, 1], positions: &positions[..2], ..open };
            assert_eq!(calculator.compute_structure(&apart).unwrap().overlaps, [[0; 2]; 0]);
        }
    }
}

#[test]
fn an_atom_that_overlaps_its_own_image_is_one_pair_for_each_direction() {
    let model = Arc::new(students::smooth(16, 1));
    let cell = [[0.5, 0.0, 0.0], [0.0, 9.0, 0.0], [0.0, 0.0, 0.6]];
    let structure = Structure {
        species: &[8],
        positions: &[[0.1; 3]],
        cell: Some(cell),
        periodic: [true, true, false],
    };
    let both = Structure { periodic: [true; 3], ..structure };
    for (what, options) in engines() {
        let mut calculator = calculator(&model, options);
        let found = calculator.compute_structure(&structure).unwrap();
        assert_eq!(found.overlaps, [[0, 0]], "{what}");
        assert_eq!(calculator.compute_structure(&both).unwrap().overlaps.len(), 2, "{what}");
    }
}

#[test]
fn overlaps_are_looked_for_once_with_each_list() {
    let model = Arc::new(students::smooth(16, 1));
    let mut cube = Cube::new(5, 3);
    // Oxygen and hydrogen.
    cube.positions[1] = cube.positions[0].map(|x| x + 0.2);
    for (what, options) in engines() {
        let mut calculator = calculator(&model, options);
        let listed = cube.set_list(&mut calculator, 6.0, |_| true);
        let overlaps = |calculator: &mut Calculator| {
            calculator.compute(&listed.positions, None, Virials::Total).unwrap().overlaps.clone()
        };
        assert_eq!(overlaps(&mut calculator), [[0, 1]], "{what}");
        assert_eq!(overlaps(&mut calculator), [[0; 2]; 0], "{what}: the second step");
        assert_eq!(calculator.findings().overlaps, 0);
        cube.set_list(&mut calculator, 6.0, |_| true);
        assert_eq!(overlaps(&mut calculator), [[0, 1]], "{what}: the next list");
        // Atoms that are none of the model's do not count.
        cube.set_list(&mut calculator, 6.0, |atom| atom != 1);
        assert_eq!(overlaps(&mut calculator), [[0; 2]; 0], "{what}: without the atom");
    }
}

#[test]
fn a_batch_says_what_each_structure_has_in_its_own_numbers() {
    let (species, positions) = overlapping();
    let range = EnergyRange { bounds: vec![[0.02, 0.021]; 9] };
    let model = Model { energy_range: Some(range), ..students::smooth(16, 1) };
    let model = Arc::new(model);
    let of = |atoms: std::ops::Range<usize>| Structure {
        species: &species[atoms.clone()],
        positions: &positions[atoms],
        cell: Some(CUBE),
        periodic: [true; 3],
    };
    let structures = [of(0..3), of(2..8), of(0..0), of(0..8), of(5..8)];
    for (what, options) in engines() {
        let mut calculator = calculator(&model, options);
        let batch = calculator.compute_batch(&structures).unwrap();
        let overlaps: Vec<&[[u32; 2]]> = batch.iter().map(|found| &*found.overlaps).collect();
        let expected: [&[[u32; 2]]; 5] =
            [&[], &[[1, 2], [4, 5]], &[], &[[3, 4], [6, 7]], &[[1, 2]]];
        assert_eq!(overlaps, expected, "{what}");
        let findings = calculator.findings().clone();
        let (mut some, mut outside) = (0, 0);
        for (structure, found) in structures.iter().zip(&batch) {
            let single = calculator.compute_structure(structure).unwrap();
            assert_eq!(found.outside, single.outside, "{what}");
            outside += found.outside.len();
            some += usize::from(!(found.outside.is_empty() && found.overlaps.is_empty()));
        }
        assert!(outside > 0 && findings.structures == some, "{what}: {findings:?}");
        assert_eq!(findings.outside, batch[findings.structure].outside.len());
    }
}

#[test]
fn a_strict_calculator_refuses_says_which_and_goes_on() {
    let (species, positions) = overlapping();
    let structure = |atoms: usize| Structure {
        species: &species[..atoms],
        positions: &positions[..atoms],
        cell: None,
        periodic: [false; 3],
    };
    let model = Model { energy_range: None, ..students::smooth(16, 1) };
    for (what, options) in engines() {
        let options = Options { check: Check::Strict, ..options };
        let mut calculator = Calculator::new(Arc::new(model.clone()), options).unwrap();
        let error = calculator.compute_structure(&structure(6)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Outside, "{what}");
        assert!(error.message().contains("(atoms 3 and 4)"), "{what}: {error}");
        assert_eq!(calculator.findings().pairs, [[3, 4]]);
        calculator.compute_structure(&structure(3)).unwrap();
        assert_eq!(calculator.findings().structures, 0);
        let batch = [structure(3), structure(5), structure(6)];
        let error = calculator.compute_batch(&batch).unwrap_err();
        assert!(error.message().starts_with("structure 1, the first of 2: "), "{what}: {error}");
        // Another error is not one about structures, and leaves no findings behind.
        let broken = [[f64::NAN; 3]; 6];
        let error = calculator.compute_structure(&Structure { positions: &broken, ..structure(6) });
        assert_eq!(error.unwrap_err().kind(), ErrorKind::Numeric);
        assert_eq!(calculator.findings().structures, 0, "{what}");
    }
}

#[test]
fn nothing_is_looked_for_where_nobody_wants_it() {
    let (species, positions) = overlapping();
    let model = Arc::new(students::smooth(16, 1));
    let structure =
        Structure { species: &species, positions: &positions, cell: None, periodic: [false; 3] };
    for (what, options) in engines() {
        let options = Options { check: Check::Off, ..options };
        let mut calculator = Calculator::new(Arc::clone(&model), options).unwrap();
        assert_eq!(calculator.compute_structure(&structure).unwrap().overlaps, [[0; 2]; 0]);
        assert_eq!(calculator.findings().structures, 0, "{what}");
    }
}
