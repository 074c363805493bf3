//! Forces and virials against differences of energies, in float64 with exact filters.

use crate::support::{reference, students};
use std::sync::Arc;

use mlff_student::engine::{Calculator, Structure};
use mlff_student::model::Model;
use mlff_student::neighbors::neighborhood;

type Matrix = [[f64; 3]; 3];

/// Step of the differences (Å, and strain).
const STEP: f64 = 3e-5;

/// No pair may be this close to the cutoff (Å): the students jump there, and a strain moves a pair
/// at 5 Å five times as far as a step.
const GAP: f64 = 12.0 * STEP;

#[derive(Clone)]
struct Atoms {
    species: Vec<i32>,
    positions: Vec<[f64; 3]>,
    cell: Option<Matrix>,
    periodic: [bool; 3],
}

impl Atoms {
    fn structure(&self) -> Structure<'_> {
        Structure {
            species: &self.species,
            positions: &self.positions,
            cell: self.cell,
            periodic: self.periodic,
        }
    }

    fn pairs(&self, cutoff: f64) -> usize {
        let list = neighborhood(&self.positions, self.cell, self.periodic, cutoff).unwrap();
        list.neighbors.len()
    }

    /// Deformed by 1 + ε.
    fn strained(&self, row: usize, col: usize, strain: f64) -> Self {
        let mut matrix = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
        matrix[row][col] += 0.5 * strain;
        matrix[col][row] += 0.5 * strain;
        let deform =
            |r: [f64; 3]| matrix.map(|m: [f64; 3]| m[0] * r[0] + m[1] * r[1] + m[2] * r[2]);
        let mut strained = self.clone();
        strained.positions.iter_mut().for_each(|r| *r = deform(*r));
        strained.cell = self.cell.map(|cell| cell.map(deform));
        strained
    }
}

fn energy(calculator: &mut Calculator, atoms: &Atoms) -> f64 {
    calculator.compute_structure(&atoms.structure()).unwrap().energy
}

fn random(rng: &mut fastrand::Rng, cell: Matrix, periodic: [bool; 3], atoms: usize) -> Atoms {
    random_beyond(0.9, rng, cell, periodic, atoms)
}

/// Random atoms at least `least` Å apart, images included, with no pair near the cutoff.
fn random_beyond(
    least: f64,
    rng: &mut fastrand::Rng,
    cell: Matrix,
    periodic: [bool; 3],
    atoms: usize,
) -> Atoms {
    for _ in 0..10_000 {
        let mut found = Atoms { species: vec![], positions: vec![], cell: Some(cell), periodic };
        while found.positions.len() < atoms {
            let s: [f64; 3] = std::array::from_fn(|_| 1.5 * rng.f64() - 0.25);
            found.species.push([1, 6, 7, 8][rng.usize(..4)]);
            found.positions.push(std::array::from_fn(|x| (0..3).map(|k| s[k] * cell[k][x]).sum()));
            if found.pairs(least) > 0 {
                found.species.pop();
                found.positions.pop();
            }
        }
        if found.pairs(5.0 - GAP) == found.pairs(5.0 + GAP) {
            return found;
        }
    }
    panic!("every random structure has a pair near the cutoff");
}

fn check(file: &str, atoms: &Atoms) {
    check_model(file, &reference::model(file), atoms);
}

/// The slope at 0, of fourth order: where energies of atoms saturate, curvature changes within 0.5
/// eV.
fn slope(mut at: impl FnMut(f64) -> f64) -> f64 {
    let mut rise = |step| at(step) - at(-step);
    (8.0 * rise(STEP) - rise(2.0 * STEP)) / (12.0 * STEP)
}

fn check_model(model: &str, student: &Arc<Model>, atoms: &Atoms) {
    let mut calculator = reference::oracle(student);
    let results = calculator.compute_structure(&atoms.structure()).unwrap().clone();
    let largest = results.forces.iter().flatten().fold(1.0_f64, |size, f| size.max(f.abs()));
    for i in 0..atoms.positions.len() {
        for x in 0..3 {
            let slope = slope(|step| {
                let mut moved = atoms.clone();
                moved.positions[i][x] += step;
                energy(&mut calculator, &moved)
            });
            let difference = results.forces[i][x] + slope;
            assert!(
                difference.abs() <= 1e-6 * largest,
                "{model}: force {x} on atom {i} of {:?} is off by {difference:e} eV/Å",
                atoms.positions
            );
        }
    }
    let size = results.virial.iter().fold(1.0_f64, |size, x| size.max(x.abs()));
    for (row, col) in [(0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1)] {
        let slope = slope(|strain| energy(&mut calculator, &atoms.strained(row, col, strain)));
        let virial = 0.5 * (results.virial[3 * row + col] + results.virial[3 * col + row]);
        let difference = virial + slope;
        assert!(
            difference.abs() <= 1e-6 * size,
            "{model}: virial {row}{col} of {:?} is off by {difference:e} eV",
            atoms.positions
        );
    }
}

const TRICLINIC: Matrix = [[3.1, 0.2, -0.3], [0.9, 3.4, 0.4], [-0.7, 0.8, 2.9]];
const LARGE: Matrix = [[6.2, 0.0, 0.0], [1.8, 5.9, 0.0], [-1.1, 0.9, 6.5]];

#[test]
#[cfg_attr(not(reference_data), ignore = "needs ../shared/reference")]
fn forces_and_virials_are_slopes_in_molecules() {
    let mut rng = fastrand::Rng::with_seed(11);
    for model in ["student-427k.pt", "student-77k.onnx", "student-21k.onnx", "painn-64-gaussian.pt"]
    {
        check(model, &random(&mut rng, TRICLINIC, [false; 3], 4));
    }
}

#[test]
#[cfg_attr(not(reference_data), ignore = "needs ../shared/reference")]
fn forces_and_virials_are_slopes_in_small_triclinic_cells() {
    let mut rng = fastrand::Rng::with_seed(12);
    for model in ["student-21k.onnx", "painn-32-bessel.pt"] {
        for atoms in [1, 3] {
            check(model, &random(&mut rng, TRICLINIC, [true; 3], atoms));
        }
    }
}

#[test]
#[cfg_attr(not(reference_data), ignore = "needs ../shared/reference")]
fn forces_and_virials_are_slopes_in_slabs_wires_and_larger_cells() {
    let mut rng = fastrand::Rng::with_seed(13);
    for model in ["student-21k.onnx", "painn-32-bessel.pt"] {
        for periodic in [[true, true, false], [false, false, true], [false, true, true]] {
            check(model, &random(&mut rng, TRICLINIC, periodic, 3));
        }
        check(model, &random(&mut rng, LARGE, [true; 3], 6));
    }
}

/// Pairs closer than the longest repulsion reaches, each counted twice.
fn colliding(atoms: &Atoms) -> usize {
    atoms.pairs(0.8)
}

#[test]
fn forces_and_virials_are_slopes_of_smooth_students_through_collisions() {
    let mut rng = fastrand::Rng::with_seed(14);
    let cases = [
        ([32, 32], 2, TRICLINIC, [false; 3], 5),
        ([32, 16], 2, TRICLINIC, [false; 3], 5),
        ([32, 32], 2, TRICLINIC, [true; 3], 4),
        ([24, 6], 3, TRICLINIC, [true; 3], 4),
        ([64, 64], 3, TRICLINIC, [true, true, false], 4),
        ([64, 64], 2, LARGE, [true; 3], 10),
    ];
    for ([hidden, vectors], blocks, cell, periodic, count) in cases {
        let student = Arc::new(students::narrow(hidden, vectors, blocks));
        let atoms = std::iter::repeat_with(|| random_beyond(0.35, &mut rng, cell, periodic, count))
            .find(|atoms| colliding(atoms) > 0)
            .unwrap();
        check_model(&format!("smooth, {hidden}, {vectors} × {blocks}"), &student, &atoms);
        // Without the forces of collisions, beside which the network's are small.
        let apart = random(&mut rng, cell, periodic, count - 1);
        check_model(&format!("smooth, {hidden}, {vectors} × {blocks}"), &student, &apart);
    }
}
