//! Energy of each element, so that the network learns only what binds atoms.

use mlff_student::dataset::Frame;
use tch::{Kind, Tensor};

/// Pulls energies that the frames do not determine to a common value, and no others: far below the
/// thousands of frames a fit has.
const RIDGE: f64 = 1e-3;

/// Least squares of energies per atom over compositions, in the order of `species` (eV).
pub fn fit(frames: &[Frame], species: &[u8]) -> Vec<f64> {
    let columns = species.len() as i64;
    let (mut shares, mut energies) = (Vec::new(), Vec::new());
    for frame in frames {
        let atoms = frame.species.len() as f64;
        let share =
            |z: &u8| frame.species.iter().filter(|other| *other == z).count() as f64 / atoms;
        shares.extend(species.iter().map(share));
        energies.push(frame.energy / atoms);
    }
    let mean = energies.iter().sum::<f64>() / energies.len().max(1) as f64;
    let shares = Tensor::from_slice(&shares).view([-1, columns]);
    let deviations = Tensor::from_slice(&energies).view([-1, 1]) - mean;
    let normal = shares.tr().matmul(&shares)
        + Tensor::eye(columns, (Kind::Double, tch::Device::Cpu)) * RIDGE;
    let solution = Tensor::linalg_solve(&normal, &shares.tr().matmul(&deviations), true) + mean;
    Vec::try_from(solution.view([-1])).expect("one number for each element")
}
