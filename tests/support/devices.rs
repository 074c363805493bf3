//! A GPU, or the shim in its place, beside the processor.

use std::sync::Arc;

use mlff_student::engine::{Calculator, Device, Options};
use mlff_student::model::Model;

use super::bits::bits;
use super::cube::Cube;
use super::shim;

pub fn calculator(model: &Arc<Model>, device: Device) -> Calculator {
    shim::instead_of_a_gpu();
    Calculator::new(Arc::clone(model), Options { device, ..Options::default() }).unwrap()
}

/// `tolerance` is relative to the largest of the numbers that are expected, or to 1.
pub fn assert_near(found: &[f64], expected: &[f64], tolerance: f64, what: &str) {
    let largest = expected.iter().fold(1.0_f64, |a, b| a.max(b.abs()));
    assert_eq!(found.len(), expected.len(), "{what}");
    let worst = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    eprintln!("{what}: {worst:.1e} of {largest:.1}");
    assert!(worst <= tolerance * largest, "{what}: {worst:e} of {largest}");
}

/// That a GPU has the processor's numbers, and the same bits twice.
pub fn assert_alike(cube: &Cube, model: &Arc<Model>, what: &str) {
    let what = |of: &str| format!("{of}, {what}");
    let expected = cube.compute(&mut calculator(model, Device::Cpu));
    let mut cuda = calculator(model, Device::Cuda(0));
    let found = cube.compute(&mut cuda);
    assert_near(&found.atomic_energies, &expected.atomic_energies, 2e-6, &what("energies"));
    let forces = (found.forces.as_flattened(), expected.forces.as_flattened());
    assert_near(forces.0, forces.1, 5e-5, &what("forces"));
    assert_near(&found.virial, &expected.virial, 1e-5, &what("virial"));
    assert_eq!(bits(&cube.compute(&mut cuda)), bits(&found), "{}", what("bits differ"));
}
