//! Every file layout gives the reference energies and forces: names, orders and constants are the
//! right ones.

use std::sync::Arc;

use crate::support::reference::{cases, reference};
use mlff_student::engine::{Calculator, FilterMode, Options, Precision, Structure};
use mlff_student::model::Model;

#[test]
#[cfg_attr(not(reference_data), ignore = "needs ../shared/reference")]
fn every_layout_gives_the_reference_energies_and_forces() {
    // Rounding the weights to float16 is the file's own difference (eV/atom, eV/Å).
    // Tight enough to tell r/d from r/(d + 1e-8).
    let exact = (1e-11, 1e-10);
    for (model, file, (energy, force)) in [
        ("painn-32-bessel.pt", "painn-32-bessel.json", exact),
        ("painn-64-gaussian.pt", "painn-64-gaussian.json", exact),
        ("student-21k-wrapped.pt", "student-21k.json", exact),
        ("student-21k.onnx", "student-21k.json", exact),
        ("student-427k-bare-state-dict.pt", "student-427k.json", exact),
        ("student-427k-half.pt", "student-427k.json", (1e-3, 2e-2)),
        ("student-427k-training-config.pt", "student-427k.json", exact),
        ("student-427k.onnx", "student-427k.json", exact),
        ("student-427k.pt", "student-427k.json", exact),
        ("student-77k-torchscript.pt", "student-77k.json", exact),
        ("student-77k-wrapped.pt", "student-77k.json", exact),
        ("student-77k.onnx", "student-77k.json", exact),
    ] {
        let options = Options {
            precision: Precision::Double,
            filter: FilterMode::Exact,
            ..Options::default()
        };
        let loaded = Model::load(&reference(&format!("models/{model}"))).unwrap();
        let mut calculator = Calculator::new(Arc::new(loaded), options).unwrap();
        let small = cases(file).into_iter().filter(|case| case.positions.len() <= 9);
        for case in small.take(6) {
            let results = calculator
                .compute_structure(&Structure {
                    species: &case.atomic_numbers,
                    positions: &case.positions,
                    cell: case.cell,
                    periodic: case.pbc,
                })
                .unwrap();
            let atoms = case.positions.len() as f64;
            let off = (results.energy - case.energy).abs() / atoms;
            assert!(off <= energy, "{model}, {}: {off:e} eV/atom", case.name);
            let pairs = results.forces.iter().flatten().zip(case.forces.iter().flatten());
            let off = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(off <= force, "{model}, {}: {off:e} eV/Å", case.name);
        }
    }
}
