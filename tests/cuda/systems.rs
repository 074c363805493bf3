//! Systems so large that a GPU takes the kernels for many atoms, tables in shared memory among
//! them.

use crate::support::root;
use crate::support::students;
use std::sync::Arc;

use crate::support::bits::bits;
use crate::support::cube::Cube;
use crate::support::devices::{assert_alike, assert_near, calculator};
use mlff_student::engine::{Calculator, Device, Results, Virials};
use mlff_student::model::{Architecture, Model};

/// Atoms along an edge: 50,653 in all, more than 256 for each of 190 multiprocessors. The shim has
/// one.
fn side() -> usize {
    if std::env::var_os("MLFF_TEST_GPU").is_some() { 37 } else { 9 }
}

/// With a list, in which every seventh atom is no part of the model.
fn compute_listed(cube: &Cube, calculator: &mut Calculator, all: &[Virials]) -> Vec<Results> {
    let listed = cube.set_list(calculator, 5.5, |atom| !atom.is_multiple_of(7));
    let mut compute =
        |&virials| calculator.compute(&listed.positions, None, virials).unwrap().clone();
    all.iter().map(&mut compute).collect()
}

#[test]
fn large_systems_have_the_processors_numbers_and_the_same_bits_twice() {
    let cube = Cube::new(side(), 1);
    let shipped = Model::load(&root().join("models/organics-small.safetensors"));
    // Tables that fit into shared memory, and longer ones of which a part does.
    for model in [students::random(Architecture::Published, 32, 2, &[16]), shipped.unwrap()] {
        let model = Arc::new(model);
        assert_alike(&cube, &model, &format!("{:?}", model.architecture));
    }
}

#[test]
fn the_virial_alone_is_the_sum_of_those_of_atoms() {
    use Virials::{Atomic, Total};
    // Repulsion has virials of its own.
    let model = Arc::new(students::repelling(32, 2));
    // On a GPU one block of threads that is not full, and many, with tables in shared memory, and
    // not; on a processor one chunk of atoms and several.
    for (side, device) in
        [3, 12].into_iter().flat_map(|side| [(side, Device::Cpu), (side, Device::Cuda(0))])
    {
        let cube = Cube::new(side, 1);
        let mut calculator = calculator(&model, device);
        let all = compute_listed(&cube, &mut calculator, &[Atomic, Total, Atomic, Total]);
        let [atomic, total, atomic_again, total_again] = &all[..] else { unreachable!() };
        assert!(total.atomic_virials.is_empty());
        assert_near(&total.virial, &atomic.virial, 1e-13, "virial");
        assert_eq!((total.energy, &total.forces), (atomic.energy, &atomic.forces));
        assert_eq!(bits(atomic_again), bits(atomic));
        assert_eq!(bits(total_again), bits(total));
        assert!(atomic.virial.iter().all(|x| x.abs() > 1e-3), "nothing to compare");
        let absent = atomic.atomic_virials.iter().step_by(7);
        assert!(absent.flatten().all(|&x| x == 0.0), "atoms without a list have no virial");
    }
}
