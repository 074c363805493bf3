//! Batches give what single calls give, and say which structure is to blame.

use crate::support::root;
use crate::support::shim;
use std::sync::Arc;

use crate::support::bits::bits;
use mlff_student::engine::{CHUNK, Calculator, Device, Options, Precision, Results, Structure};
use mlff_student::error::ErrorKind;
use mlff_student::model::Model;

struct Atoms {
    species: Vec<i32>,
    positions: Vec<[f64; 3]>,
    cell: Option<[[f64; 3]; 3]>,
}

impl Atoms {
    /// Atoms about 1.6 Å apart, in a cell that repeats where `periodic`.
    fn random(random: &mut fastrand::Rng, [x, y, z]: [usize; 3], periodic: bool) -> Self {
        let grid = (0..x * y * z).map(|k| [k % x, k / x % y, k / x / y]);
        let positions = grid.map(|k| k.map(|k| 1.6 * k as f64 + 0.3 * random.f64())).collect();
        let species = (0..x * y * z).map(|_| *random.choice(&[1, 6, 7, 8]).unwrap()).collect();
        let cell = [x, y, z].map(|count| 1.6 * count as f64);
        let cell = [[cell[0], 0.0, 0.0], [0.0, cell[1], 0.0], [0.2, 0.0, cell[2]]];
        Self { species, positions, cell: periodic.then_some(cell) }
    }

    fn structure(&self) -> Structure<'_> {
        Structure {
            species: &self.species,
            positions: &self.positions,
            cell: self.cell,
            periodic: [self.cell.is_some(); 3],
        }
    }
}

/// Molecules, none, cells smaller than the cutoff, and two that are too large to be computed
/// together with others.
fn atoms() -> Vec<Atoms> {
    let mut random = fastrand::Rng::with_seed(11);
    let sizes = [[2, 2, 2], [3, 1, 1], [0, 0, 0], [10, 9, 9], [2, 2, 2], [12, 9, 9], [1, 1, 1]];
    let mut atoms: Vec<Atoms> = sizes
        .into_iter()
        .enumerate()
        .map(|(k, size)| Atoms::random(&mut random, size, k > 3))
        .collect();
    assert!([3, 5].iter().all(|&k: &usize| atoms[k].positions.len() > CHUNK));
    for _ in 0..60 {
        let size = std::array::from_fn(|_| random.usize(1..5));
        let periodic = random.u8(0..4) == 0;
        atoms.push(Atoms::random(&mut random, size, periodic));
    }
    atoms
}

fn calculator(threads: usize, precision: Precision) -> Calculator {
    let path = root().join("models/organics-small.safetensors");
    let model = Arc::new(Model::load(&path).unwrap());
    Calculator::new(model, Options { threads, precision, ..Options::default() }).unwrap()
}

#[test]
fn a_batch_gives_the_bits_of_single_calls_on_any_number_of_threads() {
    let atoms = atoms();
    let structures: Vec<Structure<'_>> = atoms.iter().map(Atoms::structure).collect();
    let mut single = calculator(1, Precision::Mixed);
    let expected: Vec<Vec<u64>> =
        structures.iter().map(|s| bits(single.compute_structure(s).unwrap())).collect();
    for threads in [1, 2, 3] {
        let mut calculator = calculator(threads, Precision::Mixed);
        for _ in 0..2 {
            let found = calculator.compute_batch(&structures).unwrap();
            assert_eq!(found.len(), structures.len());
            for (index, (found, expected)) in found.iter().zip(&expected).enumerate() {
                assert!(bits(found) == *expected, "structure {index}, {threads} threads");
            }
        }
    }
}

#[test]
fn a_batch_in_double_precision_is_that_of_single_calls() {
    let atoms = atoms();
    let structures: Vec<Structure<'_>> =
        atoms.iter().map(Atoms::structure).filter(|s| s.positions.len() < 30).collect();
    let mut single = calculator(1, Precision::Double);
    let found = calculator(2, Precision::Double).compute_batch(&structures).unwrap();
    for (found, structure) in found.iter().zip(&structures) {
        let expected = single.compute_structure(structure).unwrap();
        assert!((found.energy - expected.energy).abs() < 1e-10 * (1.0 + expected.energy.abs()));
        for (f, g) in found.forces.iter().flatten().zip(expected.forces.iter().flatten()) {
            assert!((f - g).abs() < 1e-10 * (1.0 + g.abs()), "{f} {g}");
        }
    }
}

#[test]
fn a_batch_on_a_gpu_is_that_of_single_calls_and_the_same_twice() {
    shim::instead_of_a_gpu();
    let atoms = atoms();
    let structures: Vec<Structure<'_>> = atoms.iter().map(Atoms::structure).collect();
    let model = Arc::clone(calculator(1, Precision::Mixed).potential().student().unwrap());
    let options = Options { device: Device::Cuda(0), threads: 2, ..Options::default() };
    let mut calculator = Calculator::new(model, options).unwrap();
    let batch = calculator.compute_batch(&structures).unwrap();
    for (index, (found, structure)) in batch.iter().zip(&structures).enumerate() {
        let single = calculator.compute_structure(structure).unwrap();
        let largest = single.forces.iter().flatten().fold(1.0_f64, |a, b| a.max(b.abs()));
        // Some cells are far too dense, with energies to match.
        let scale = single.energy.abs() + structure.positions.len() as f64;
        let difference = (found.energy - single.energy).abs();
        assert!(difference <= 1e-6 * scale, "structure {index}: {difference:e} of {scale}");
        for (f, g) in found.forces.iter().flatten().zip(single.forces.iter().flatten()) {
            assert!((f - g).abs() <= 1e-5 * largest, "structure {index}: {f} {g}");
        }
    }
    for (first, second) in batch.iter().zip(&calculator.compute_batch(&structures).unwrap()) {
        assert_eq!(bits(first), bits(second));
    }
}

#[test]
fn an_error_in_a_batch_names_the_first_structure_that_has_it() {
    for threads in [1, 2] {
        let mut atoms = atoms();
        let last = atoms.len() - 1;
        atoms[40] = Atoms { species: vec![6; 2], positions: vec![[0.5; 3]; 2], cell: None };
        atoms[last].species[0] = 92;
        let mut calculator = calculator(threads, Precision::Mixed);
        let structures: Vec<Structure<'_>> = atoms.iter().map(Atoms::structure).collect();
        let error = calculator.compute_batch(&structures).unwrap_err();
        assert!(error.message().contains("structure 40"), "{error}");
        assert_eq!(error.kind(), ErrorKind::Numeric);
        let error = calculator.compute_batch(&structures[last..]).unwrap_err();
        assert!(error.message().contains("structure 0"), "{error}");
        assert_eq!(error.kind(), ErrorKind::Species);
        assert_eq!(calculator.compute_batch(&[]).unwrap(), Vec::<Results>::new());
    }
}
