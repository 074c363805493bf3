//! What a smooth student promises of its energy, shown on random weights.

use crate::support::students;
use std::sync::Arc;

use mlff_student::engine::{Calculator, FilterMode, Options, Precision, Results, Structure};
use mlff_student::model::{Envelope, Model, Norm, Update};

type Atoms = Vec<(i32, [f64; 3])>;

const DOUBLE_EXACT: (Precision, FilterMode) = (Precision::Double, FilterMode::Exact);
const DOUBLE_TABLE: (Precision, FilterMode) = (Precision::Double, FilterMode::Table);

fn calculator(model: &Model, (precision, filter): (Precision, FilterMode)) -> Calculator {
    let options = Options { precision, filter, ..Options::default() };
    Calculator::new(Arc::new(model.clone()), options).unwrap()
}

fn compute<'a>(calculator: &'a mut Calculator, atoms: &Atoms) -> &'a Results {
    let (species, positions): (Vec<_>, Vec<_>) = atoms.iter().copied().unzip();
    let (species, positions) = (&species, &positions);
    let structure = Structure { species, positions, cell: None, periodic: [false; 3] };
    calculator.compute_structure(&structure).unwrap()
}

/// Atoms in a ball, some closer than the repulsion reaches.
fn ball(seed: u64, count: usize) -> Atoms {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut atoms = Atoms::new();
    while atoms.len() < count {
        let r: [f64; 3] = std::array::from_fn(|_| 4.0 * random.f64() - 2.0);
        let near = |&(_, other): &(i32, [f64; 3])| distance(r, other) < 0.45;
        if !atoms.iter().any(near) {
            atoms.push(([1, 6, 7, 8][random.usize(..4)], r));
        }
    }
    atoms
}

fn distance(a: [f64; 3], b: [f64; 3]) -> f64 {
    (0..3).map(|k| (a[k] - b[k]) * (a[k] - b[k])).sum::<f64>().sqrt()
}

fn moved(atoms: &Atoms, map: impl Fn([f64; 3]) -> [f64; 3]) -> Atoms {
    atoms.iter().map(|&(z, r)| (z, map(r))).collect()
}

#[test]
fn the_energy_is_invariant_under_rotation_reflection_translation_and_permutation() {
    for (hidden, blocks, mode) in [(32, 2, DOUBLE_EXACT), (64, 3, DOUBLE_TABLE)] {
        let mut calculator = calculator(&students::smooth(hidden, blocks), mode);
        let atoms = ball(hidden as u64, 12);
        let energy = compute(&mut calculator, &atoms).energy;
        // Rotations by 1.1 and 2.3 about z and x.
        let (a, b) = (1.1_f64.sin_cos(), 2.3_f64.sin_cos());
        let turned = moved(&atoms, |[x, y, z]| {
            let [x, y] = [a.1 * x - a.0 * y, a.0 * x + a.1 * y];
            [x, b.1 * y - b.0 * z, b.0 * y + b.1 * z]
        });
        let mut shuffled = atoms.clone();
        fastrand::Rng::with_seed(3).shuffle(&mut shuffled);
        for (what, other) in [
            ("rotation", turned),
            ("reflection", moved(&atoms, |[x, y, z]| [x, -y, z])),
            ("inversion", moved(&atoms, |r| r.map(|x| -x))),
            ("translation", moved(&atoms, |[x, y, z]| [x + 31.7, y - 4.2, z + 0.3])),
            ("permutation", shuffled),
        ] {
            let change = (compute(&mut calculator, &other).energy - energy).abs();
            assert!(change < 1e-9 * atoms.len() as f64, "{what}: {change:e} eV");
        }
    }
}

#[test]
fn energies_of_separate_fragments_add_up() {
    let mut calculator = calculator(&students::smooth(32, 3), DOUBLE_EXACT);
    let (a, b) = (ball(1, 7), moved(&ball(2, 9), |[x, y, z]| [x + 9.1, y, z]));
    let both: Atoms = a.iter().chain(&b).copied().collect();
    let [a, b, both] = [a, b, both].map(|atoms| compute(&mut calculator, &atoms).energy);
    assert!((both - a - b).abs() < 1e-9, "{:e} eV", both - a - b);
}

/// Forces on the third of three atoms along x, at points `step` apart around `center`, where it
/// meets the first one; the second one makes it a matter of several atoms.
fn scan(model: &Model, mode: (Precision, FilterMode), center: f64, step: f64) -> Vec<f64> {
    let mut calculator = calculator(model, mode);
    (-HALF..=HALF)
        .map(|k| {
            let x = center + step * f64::from(k);
            let atoms = vec![(6, [0.0; 3]), (8, [0.2, 1.3, 0.4]), (6, [x, 0.0, 0.0])];
            compute(&mut calculator, &atoms).forces[2][0]
        })
        .collect()
}

/// Å; the whole scan is shorter than an interval of a table.
const STEP: f64 = 1e-4;
const HALF: i32 = 40;

/// The largest change of the energy's second derivative from one step to the next across the
/// center of a scan, and elsewhere (eV/Å²).
///
/// A continuous function with a kink changes no more across it than on its steeper side.
fn second_derivative_changes(forces: &[f64], step: f64) -> (f64, f64) {
    let second: Vec<f64> = forces.windows(2).map(|f| (f[0] - f[1]) / step).collect();
    let changes: Vec<f64> = second.windows(2).map(|k| (k[1] - k[0]).abs()).collect();
    // Change k lies around point k + 1.
    let center = HALF as usize - 1;
    let rest = changes.iter().enumerate().filter(|(k, _)| *k != center).map(|(_, change)| *change);
    (changes[center], rest.fold(0.0, f64::max))
}

/// Asserts that the second derivative is continuous at `center`, or, for the sake of a test that
/// can fail, that it is not.
fn check(model: &Model, mode: (Precision, FilterMode), center: f64, step: f64, continuous: bool) {
    let (across, elsewhere) = second_derivative_changes(&scan(model, mode, center, step), step);
    let holds = if continuous { across <= 1.05 * elsewhere } else { across > 3.0 * elsewhere };
    assert!(holds, "{center} Å: {across:e} eV/Å² across, {elsewhere:e} elsewhere");
}

#[test]
fn the_second_derivative_is_continuous_across_the_cutoff() {
    let model = students::smooth(32, 2);
    check(&model, DOUBLE_EXACT, model.cutoff, STEP, true);
    let cosine = Model { envelope: Envelope::Cosine, ..model };
    check(&cosine, DOUBLE_EXACT, cosine.cutoff, STEP, false);
}

#[test]
fn the_second_derivative_is_continuous_where_the_repulsion_ends() {
    let model = students::smooth(32, 2);
    let reach = 2.0 * students::RADII[6];
    check(&model, DOUBLE_EXACT, reach, STEP, true);
    // There is something to switch off.
    let bare = Model { repulsion: None, ..model.clone() };
    let [forces, bare] = [model, bare].map(|model| scan(&model, DOUBLE_EXACT, reach, STEP));
    assert!((forces[0] - bare[0]).abs() > 1e-4, "{:e} eV/Å", forces[0] - bare[0]);
    assert_eq!(forces[HALF as usize..], bare[HALF as usize..]);
}

#[test]
fn tables_have_continuous_second_derivatives_and_end_as_the_filter_does() {
    let model = students::smooth(32, 2);
    let cosine = Model { envelope: Envelope::Cosine, ..model.clone() };
    for (model, smooth) in [(&model, true), (&cosine, false)] {
        // 2.5 Å is a node.
        check(model, DOUBLE_TABLE, 2.5, 0.002 * STEP, true);
        check(model, DOUBLE_TABLE, model.cutoff, STEP, smooth);
    }
}

/// A central atom with two (CO2) or four (CH4) others around it, all at the same distance.
fn symmetric(center: i32, others: i32, tetrahedral: bool) -> Atoms {
    let mut atoms = vec![(center, [0.0; 3])];
    if tetrahedral {
        for [x, y, z] in [[1.0, 1.0, 1.0], [1.0, -1.0, -1.0], [-1.0, 1.0, -1.0], [-1.0, -1.0, 1.0]]
        {
            atoms.push((others, [0.63 * x, 0.63 * y, 0.63 * z]));
        }
    } else {
        atoms.extend([(others, [1.16, 0.0, 0.0]), (others, [-1.16, 0.0, 0.0])]);
    }
    atoms
}

/// ∂²E/∂x² and ∂²E/∂y² of the first atom by differences of forces.
fn curvatures(calculator: &mut Calculator, atoms: &Atoms, step: f64) -> [f64; 2] {
    [0, 1].map(|axis| {
        let [above, below] = [step, -step].map(|shift| {
            let mut atoms = atoms.clone();
            atoms[0].1[axis] += shift;
            compute(calculator, &atoms).forces[0][axis]
        });
        (below - above) / (2.0 * step)
    })
}

/// Relative change of the curvatures from one step to ten times the step.
fn curvature_change(calculator: &mut Calculator, atoms: &Atoms, step: f64) -> f64 {
    let [small, large] = [step, 10.0 * step].map(|step| curvatures(calculator, atoms, step));
    (0..2).map(|k| (small[k] / large[k] - 1.0).abs()).fold(0.0, f64::max)
}

#[test]
fn the_norm_has_no_cusp_where_symmetry_makes_vectors_vanish() {
    let smooth = students::smooth(32, 2);
    let mut with_cusp = smooth.clone();
    for block in &mut with_cusp.blocks {
        let Update::Painn { norm, .. } = &mut block.update else { panic!("PaiNN") };
        *norm = Norm::Root { epsilon: 1e-8 };
    }
    let mut smooth = calculator(&smooth, DOUBLE_EXACT);
    let mut with_cusp = calculator(&with_cusp, DOUBLE_EXACT);
    for atoms in [symmetric(6, 1, true), symmetric(6, 8, false)] {
        // Fourth derivatives are left, which weigh as the square of the step.
        let change = curvature_change(&mut smooth, &atoms, 1e-3);
        assert!(change < 0.1, "{change}");
        let smaller = curvature_change(&mut smooth, &atoms, 1e-4);
        assert!(smaller < 0.02 * change, "{smaller} and {change}");
        let cusp = curvature_change(&mut with_cusp, &atoms, 1e-3);
        assert!(cusp > 1.0, "nothing to see: {cusp}");
    }
}
