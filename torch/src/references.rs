//! Energy of each element, so that the network learns only what binds atoms.

use mlff_student_tool::dataset::Frame;
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

#[cfg(test)]
mod tests {
    use mlff_student_tool::dataset::Split;

    use super::*;

    fn frame(species: &[u8], energy: f64) -> Frame {
        Frame {
            name: String::new(),
            kind: String::new(),
            temperature: None,
            molecule: String::new(),
            scaffold: String::new(),
            split: Some(Split::Train),
            species: species.to_vec(),
            positions: vec![[0.0; 3]; species.len()],
            cell: None,
            periodic: [false; 3],
            energy,
            forces: vec![[0.0; 3]; species.len()],
            stress: None,
        }
    }

    #[test]
    fn energies_that_are_sums_over_atoms_give_those_of_the_elements() {
        let of = |z| if z == 1 { -10.0 } else { -110.0 };
        let molecules: [&[u8]; 4] = [&[1, 1], &[8, 1, 1], &[8, 8], &[8, 1]];
        let frames: Vec<Frame> = molecules
            .into_iter()
            .cycle()
            .take(4000)
            .map(|species| frame(species, species.iter().map(|&z| of(z)).sum()))
            .collect();
        let [hydrogen, carbon, oxygen] = fit(&frames, &[1, 6, 8])[..] else { unreachable!() };
        assert!((hydrogen - of(1)).abs() < 1e-3 && (oxygen - of(8)).abs() < 1e-3);
        // Of an element that no frame has: the mean of all energies per atom.
        let mean = (-10.0 + -130.0 / 3.0 + -110.0 + -60.0) / 4.0;
        assert!((carbon - mean).abs() < 1e-3, "{carbon}");
    }
}
