//! Pairs that the CUDA kernels find by themselves are those that the processor lists: for students
//! whose energy jumps where a pair comes or goes, so that one pair too few or too many shows.

use crate::support::{shim, students};
use std::sync::Arc;

use crate::support::bits::bits;
use mlff_student::ErrorKind;
use mlff_student::engine::{Calculator, Check, Device, Options, Precision, Results, Structure};
use mlff_student::model::{Architecture, Model};

type Matrix = [[f64; 3]; 3];

#[derive(Clone)]
struct Atoms {
    species: Vec<i32>,
    positions: Vec<[f64; 3]>,
    cell: Option<Matrix>,
    periodic: [bool; 3],
}

impl Atoms {
    fn new(positions: Vec<[f64; 3]>, cell: Option<Matrix>, periodic: [bool; 3]) -> Self {
        let species = (0..positions.len()).map(|k| [8, 1, 6][k % 3]).collect();
        Self { species, positions, cell, periodic }
    }

    /// Atoms anywhere in a random cell with edges of these lengths, and up to one cell outside.
    fn random(
        random: &mut fastrand::Rng,
        atoms: usize,
        edges: [f64; 3],
        periodic: [bool; 3],
    ) -> Self {
        let mut tilt = || 0.5 * (random.f64() - 0.5);
        let [a, b, c] = edges;
        let cell = [[a, tilt() * a, 0.0], [tilt() * b, b, tilt() * b], [tilt() * c, tilt() * c, c]];
        let positions = (0..atoms).map(|_| {
            let place: [f64; 3] = std::array::from_fn(|k| {
                if periodic[k] { 3.0 * random.f64() - 1.0 } else { random.f64() }
            });
            std::array::from_fn(|x| (0..3).map(|k| place[k] * cell[k][x]).sum())
        });
        Self::new(positions.collect(), Some(cell), periodic)
    }

    fn structure(&self) -> Structure<'_> {
        Structure {
            species: &self.species,
            positions: &self.positions,
            cell: self.cell,
            periodic: self.periodic,
        }
    }
}

/// A processor in float64, and the kernels.
fn calculators() -> [Calculator; 2] {
    shim::instead_of_a_gpu();
    let model: Arc<Model> = Arc::new(students::random(Architecture::Published, 16, 2, &[8]));
    // Atoms anywhere overlap.
    let usual = Options { check: Check::Report, ..Options::default() };
    let double = Options { precision: Precision::Double, ..usual };
    let cuda = Options { device: Device::Cuda(0), ..usual };
    [double, cuda].map(|options| Calculator::new(Arc::clone(&model), options).unwrap())
}

fn compare(what: &str, found: &Results, expected: &Results) {
    assert_eq!(found.forces.len(), expected.forces.len(), "{what}");
    assert_eq!(found.overlaps, expected.overlaps, "{what}: atoms that overlap");
    let energies = found.atomic_energies.iter().zip(&expected.atomic_energies);
    for (atom, (found, expected)) in energies.enumerate() {
        let allowed = 2e-5 * (1.0 + expected.abs());
        assert!(
            (found - expected).abs() <= allowed,
            "{what}, atom {atom}: expected {expected}, found {found}"
        );
    }
    let values = |results: &Results| -> Vec<f64> {
        let forces = results.forces.as_flattened().iter();
        forces.chain(results.atomic_virials.as_flattened()).copied().collect()
    };
    let (found, expected) = (values(found), values(expected));
    let largest = expected.iter().fold(1.0_f64, |a, b| a.max(b.abs()));
    for (found, expected) in found.iter().zip(&expected) {
        let difference = (found - expected).abs();
        assert!(difference <= 1e-4 * largest, "{what}: expected {expected}, found {found}");
    }
}

fn check(what: &str, [processor, cuda]: &mut [Calculator; 2], atoms: &Atoms) {
    let expected = processor.compute_structure(&atoms.structure()).unwrap().clone();
    let found = cuda.compute_structure(&atoms.structure()).unwrap().clone();
    compare(what, &found, &expected);
    let again = cuda.compute_structure(&atoms.structure()).unwrap();
    assert_eq!(bits(&found), bits(again), "{what}: bits differ from run to run");
}

fn directions() -> impl Iterator<Item = [bool; 3]> {
    (0..8).map(|mask| [mask & 1 != 0, mask & 2 != 0, mask & 4 != 0])
}

#[test]
fn any_cell_and_any_mix_of_periodic_directions_has_the_processors_pairs() {
    let mut random = fastrand::Rng::with_seed(1);
    let mut calculators = calculators();
    for edges in [[2.5; 3], [5.0; 3], [9.0; 3], [3.0, 14.0, 6.0]] {
        for periodic in directions() {
            for atoms in [1, 12, 70] {
                let volume: f64 = edges.iter().product();
                if atoms as f64 > volume {
                    continue;
                }
                let structure = Atoms::random(&mut random, atoms, edges, periodic);
                let what = format!("{atoms} atoms in {edges:?}, periodic {periodic:?}");
                check(&what, &mut calculators, &structure);
            }
        }
    }
}

#[test]
fn atoms_sorted_into_bins_have_the_processors_pairs() {
    let mut random = fastrand::Rng::with_seed(2);
    let mut calculators = calculators();
    for edges in [[20.0; 3], [3.5, 40.0, 40.0], [60.0, 12.5, 10.0]] {
        for periodic in directions() {
            let structure = Atoms::random(&mut random, 600, edges, periodic);
            let what = format!("600 atoms in {edges:?}, periodic {periodic:?}");
            check(&what, &mut calculators, &structure);
        }
    }
}

#[test]
fn clusters_that_are_far_apart_share_the_table_of_bins() {
    let mut random = fastrand::Rng::with_seed(3);
    let mut positions = Vec::new();
    for corner in [[0.0; 3], [1.0e6, -3.0e5, 0.0], [-2.0e6, 0.0, 7.0e6]] {
        let cluster = Atoms::random(&mut random, 250, [14.0; 3], [false; 3]);
        positions.extend(
            cluster
                .positions
                .iter()
                .map(|p| -> [f64; 3] { std::array::from_fn(|x| p[x] + corner[x]) }),
        );
    }
    let structure = Atoms::new(positions, None, [false; 3]);
    check("three clusters", &mut calculators(), &structure);
}

#[test]
fn atoms_a_hundred_cells_outside_the_cell_have_the_processors_pairs() {
    let mut random = fastrand::Rng::with_seed(4);
    let mut calculators = calculators();
    for (atoms, edge) in [(40, 7.0), (600, 19.0)] {
        let mut structure = Atoms::random(&mut random, atoms, [edge; 3], [true, false, true]);
        let cell = structure.cell.unwrap();
        for (k, position) in structure.positions.iter_mut().enumerate() {
            let n = (k % 7) as f64 * 33.0 - 100.0;
            *position = std::array::from_fn(|x| position[x] + n * (cell[0][x] - cell[2][x]));
        }
        check(&format!("{atoms} atoms"), &mut calculators, &structure);
    }
}

#[test]
fn a_structure_with_more_pairs_than_there_is_room_for_gets_more_room() {
    let mut random = fastrand::Rng::with_seed(5);
    let mut calculators = calculators();
    let sparse = Atoms::random(&mut random, 100, [20.0; 3], [true; 3]);
    for (atoms, edge) in [(200, 8.0), (600, 11.0)] {
        // Some 100 and 120 neighbors each; room is made for 64 at first.
        let dense = Atoms::random(&mut random, atoms, [edge; 3], [true; 3]);
        check("sparse", &mut calculators, &sparse);
        check("dense", &mut calculators, &dense);
    }
}

#[test]
fn a_structure_that_moves_is_followed_step_by_step() {
    let mut random = fastrand::Rng::with_seed(8);
    let mut calculators = calculators();
    // From the third step on the same kernels run with the same arguments: only what they point to
    // changes.
    for (atoms, edge, periodic) in [(20, 6.0, false), (60, 9.0, true), (600, 19.0, true)] {
        let mut structure = Atoms::random(&mut random, atoms, [edge; 3], [periodic; 3]);
        for step in 0..6 {
            check(&format!("{atoms} atoms, step {step}"), &mut calculators, &structure);
            for x in structure.positions.iter_mut().flatten() {
                *x += 0.8 * (random.f64() - 0.5);
            }
        }
        // Denser and denser, until there is no room for all pairs.
        for step in 0..4 {
            let shrink = |row: [f64; 3]| row.map(|x| 0.88 * x);
            structure.cell = structure.cell.map(|cell| cell.map(shrink));
            structure.positions.iter_mut().for_each(|r| *r = shrink(*r));
            check(&format!("{atoms} atoms, squeezed {step}"), &mut calculators, &structure);
        }
    }
}

#[test]
fn memory_is_within_the_bound_that_the_design_states() {
    shim::instead_of_a_gpu();
    let mut random = fastrand::Rng::with_seed(9);
    let atoms = 800;
    let structure = Atoms::random(&mut random, atoms, [20.0; 3], [true; 3]);
    for (architecture, blocks) in [(Architecture::Published, 3), (Architecture::Painn, 2)] {
        let channels = 32;
        let model = Arc::new(students::random(architecture, channels, blocks, &[8]));
        let options = Options { device: Device::Cuda(0), ..Options::default() };
        let mut calculator = Calculator::new(model, options).unwrap();
        let before = calculator.memory();
        calculator.compute_structure(&structure.structure()).unwrap();
        let found = (calculator.memory() - before) as f64 / atoms as f64;
        // Room for 64 neighbors, and one part of the slices.
        let features = match architecture {
            Architecture::Published => 11 * blocks + 4,
            Architecture::Painn => 20 * blocks + 3,
        };
        let bound = 4.5 * (channels * features) as f64 + 600.0 + 64.0 * (36.0 + 18.0);
        eprintln!("{architecture:?}: {found:.0} of {bound:.0} bytes for each atom");
        assert!(found <= bound && found >= 0.6 * bound, "{architecture:?}: {found} of {bound}");
    }
}

#[test]
fn a_cell_too_thin_for_the_device_is_listed_by_the_processor() {
    let cell = [[0.007, 0.0, 0.0], [0.0, 3.0, 0.0], [0.0, 0.0, 30.0]];
    let structure = Atoms::new(vec![[0.001, 0.2, 0.3]], Some(cell), [true, false, false]);
    check("a chain", &mut calculators(), &structure);
}

#[test]
fn structures_of_all_kinds_together_are_those_of_single_calls() {
    let mut random = fastrand::Rng::with_seed(6);
    let [mut processor, mut cuda] = calculators();
    let mut all = Vec::new();
    for (k, periodic) in directions().enumerate() {
        all.push(Atoms::random(&mut random, 3 * k, [9.0; 3], [false; 3]));
        all.push(Atoms::random(&mut random, 5 + k, [4.0, 5.0, 3.0], periodic));
    }
    let tiny: Vec<Atoms> =
        all.iter().filter(|atoms| atoms.periodic == [false; 3]).cloned().collect();
    let mut large = all.clone();
    large.insert(4, Atoms::random(&mut random, 600, [19.0; 3], [true, true, false]));
    for batch in [tiny, all, large] {
        let structures: Vec<Structure<'_>> = batch.iter().map(Atoms::structure).collect();
        let found = cuda.compute_batch(&structures).unwrap();
        for (k, (found, structure)) in found.iter().zip(&structures).enumerate() {
            let what = format!("structure {k} of {}", structures.len());
            compare(&what, found, processor.compute_structure(structure).unwrap());
        }
        for (found, again) in found.iter().zip(cuda.compute_batch(&structures).unwrap()) {
            assert_eq!(bits(found), bits(&again));
        }
    }
}

#[test]
fn what_the_processor_refuses_the_device_refuses_with_the_same_words() {
    let mut random = fastrand::Rng::with_seed(7);
    let mut calculators = calculators();
    let sizes = [
        (20, [false; 3]),
        (20, [true; 3]),
        (600, [false; 3]),
        (600, [true, true, false]),
        (600, [true; 3]),
    ];
    let mut refused = 0;
    for (atoms, periodic) in sizes {
        let sound = Atoms::random(&mut random, atoms, [19.0; 3], periodic);
        let mut cases = Vec::new();
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e200, 1e14] {
            let mut broken = sound.clone();
            broken.positions[7][1] = bad;
            cases.push(broken);
        }
        let mut broken = sound.clone();
        broken.positions.iter_mut().for_each(|r| r[1] = f64::NAN);
        cases.push(broken);
        let mut broken = sound.clone();
        broken.positions[3] = broken.positions[9];
        cases.push(broken.clone());
        // Up to rounding.
        broken.positions[3][2] += 1e-12;
        cases.push(broken);
        let mut broken = sound.clone();
        broken.species[5] = 92;
        cases.push(broken);
        let mut broken = sound.clone();
        broken.species[5] = -1;
        cases.push(broken);
        if periodic[0] {
            let mut broken = sound.clone();
            broken.positions[2][0] = 1e11;
            cases.push(broken);
            let cell = sound.cell.unwrap();
            let mut broken = sound.clone();
            broken.positions[3] = std::array::from_fn(|x| broken.positions[9][x] + cell[0][x]);
            cases.push(broken);
            for wrong in [
                None,
                Some([cell[1], cell[0], cell[2]]),
                Some([cell[0], cell[0], cell[2]]),
                Some([[f64::NAN; 3], cell[1], cell[2]]),
                Some(cell.map(|row| row.map(|x| 1e-5 * x))),
            ] {
                cases.push(Atoms { cell: wrong, ..sound.clone() });
            }
        }
        for broken in cases {
            let said = calculators.each_mut().map(|calculator| {
                let error = calculator.compute_structure(&broken.structure()).unwrap_err();
                (error.kind(), error.message().to_owned())
            });
            assert_eq!(said[0], said[1], "{atoms} atoms, periodic {periodic:?}");
            refused += 1;
        }
        // And go on.
        check("the sound one", &mut calculators, &sound);
    }
    assert_eq!(refused, 71);
}

#[test]
fn atoms_that_are_nowhere_need_no_room_for_pairs() {
    let mut random = fastrand::Rng::with_seed(10);
    let [_, mut cuda] = calculators();
    let mut structure = Atoms::random(&mut random, 600, [19.0; 3], [true; 3]);
    cuda.compute_structure(&structure.structure()).unwrap();
    let memory = cuda.memory();
    structure.positions.iter_mut().for_each(|r| r[1] = f64::NAN);
    let error = cuda.compute_structure(&structure.structure()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Numeric);
    assert_eq!(cuda.memory(), memory);
}
