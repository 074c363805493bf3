//! How much memory a calculator takes: the bound of `docs/src/measurements/performance.md`, and
//! that it is what the process holds.
#![cfg(target_os = "linux")]

use crate::support::alone::alone;
use crate::support::root;
use std::sync::Arc;

use crate::support::cube::Cube;
use mlff_student::engine::{Calculator, Options, Virials};
use mlff_student::model::{Model, Update};

const SIDE: usize = 28;
/// List cutoff (Å): the students' 5 Å and LAMMPS' usual skin.
const LIST: f64 = 7.0;

/// Bytes of memory that this process holds.
fn resident() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

/// Sets a neighbor list of atoms at random places and computes; the numbers of ghosts and list
/// entries.
fn compute(calculator: &mut Calculator, seed: u64) -> (usize, usize) {
    let listed = Cube::new(SIDE, seed).set_list(calculator, LIST, |_| true);
    calculator.compute(&listed.positions, None, Virials::Atomic).unwrap();
    (listed.ghosts, listed.entries)
}

/// The bound of `docs/src/measurements/performance.md` (bytes).
fn bound(model: &Model, atoms: usize, ghosts: usize, entries: usize) -> usize {
    let channels = model.hidden.next_multiple_of(16);
    let blocks = model.blocks.len();
    let (own, borrowed) = match model.blocks[0].update {
        Update::Published { .. } => (11 * blocks + 8, 4),
        Update::Painn { .. } => (20 * blocks + 9, 5),
    };
    let floats = |count: usize| 4 * channels * count * 105 / 100;
    let borrowed = atoms * 3 / 2 * (floats(borrowed) + 110);
    atoms * (floats(own) + 200) + borrowed + 80 * ghosts + 25 * entries
}

#[test]
fn a_calculator_holds_what_it_says_within_its_bound_and_takes_no_more_for_later_lists() {
    if !alone(
        "memory::a_calculator_holds_what_it_says_within_its_bound_and_takes_no_more_for_later_lists",
    ) {
        return;
    }
    let students = root().join("models");
    let model = Arc::new(Model::load(&students.join("organics-medium.safetensors")).unwrap());
    let mut calculator = Calculator::new(Arc::clone(&model), Options::default()).unwrap();
    let (fixed, before) = (calculator.memory(), resident());
    let (ghosts, entries) = compute(&mut calculator, 1);
    let (taken, held) = (calculator.memory() - fixed, resident() - before);
    let most = bound(&model, SIDE.pow(3), ghosts, entries);
    assert!(taken <= most, "{taken} bytes, at most {most} expected");
    assert!(taken as f64 > 0.6 * most as f64, "a loose bound: {taken} bytes of {most}");
    // Room for pairs that are in the list but not within the cutoff is counted and never touched.
    assert!(held as f64 > 0.8 * taken as f64, "{held} bytes resident, {taken} counted");
    assert!((held as f64) < 1.1 * taken as f64, "{held} bytes resident, {taken} counted");
    for seed in 2..5 {
        compute(&mut calculator, seed);
        let (later, held) = (calculator.memory() - fixed, resident() - before);
        assert!((later as f64) < 1.05 * taken as f64, "{later} bytes after {taken}");
        // What lists and the test itself need for a while goes back to the allocator, not always to
        // the system.
        assert!((held as f64) < 1.1 * later as f64, "{held} bytes resident, {later} counted");
    }
}
