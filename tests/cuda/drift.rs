//! Energy in molecular dynamics without a thermostat, on the processor and on a GPU: by how much it
//! drifts.

use crate::support::root;
use crate::support::shim;
use std::sync::Arc;

use mlff_student::engine::{Calculator, Device, Options, Structure};
use mlff_student::model::Model;

/// One molecule of ethanol (Å).
const ETHANOL: [(i32, [f64; 3]); 9] = [
    (6, [1.168181, -0.400382, 0.0]),
    (6, [0.0, 0.559462, 0.0]),
    (8, [-1.190083, -0.227669, 0.0]),
    (1, [-1.946623, 0.381525, 0.0]),
    (1, [0.042557, 1.207508, 0.886933]),
    (1, [0.042557, 1.207508, -0.886933]),
    (1, [2.115891, 0.1448, 0.0]),
    (1, [1.128599, -1.037234, 0.885881]),
    (1, [1.128599, -1.037234, -0.885881]),
];

/// Molecules along an edge, and how far apart they begin (Å).
const SIDE: usize = 2;
const SPACING: f64 = 6.0;

/// Time step, and steps between two samples of the energy.
const FEMTOSECONDS: f64 = 0.5;
const EVERY: usize = 5;

/// Å/fs² for 1 eV/Å on 1 u.
const ACCELERATION: f64 = 9.648533212e-3;
/// eV/K.
const BOLTZMANN: f64 = 8.617333262e-5;
/// meV/atom/ps: that of `python -m mlff_student.acceptance`.
const LIMIT: f64 = 1e-3;

/// Molecules in a periodic cube, and their velocities (Å/fs).
struct Run {
    species: Vec<i32>,
    masses: Vec<f64>,
    positions: Vec<[f64; 3]>,
    velocities: Vec<[f64; 3]>,
    forces: Vec<[f64; 3]>,
    calculator: Calculator,
}

impl Run {
    fn new(device: Device) -> Self {
        let model = Model::load(&root().join("models/organics-small.safetensors"));
        let options = Options { device, ..Options::default() };
        let calculator = Calculator::new(Arc::new(model.unwrap()), options).unwrap();
        let mut random = fastrand::Rng::with_seed(1);
        let mut normal = || (0..12).map(|_| random.f64()).sum::<f64>() - 6.0;
        let (mut species, mut positions) = (Vec::new(), Vec::new());
        for n in 0..SIDE.pow(3) {
            let at = [n % SIDE, n / SIDE % SIDE, n / SIDE / SIDE].map(|k| SPACING * k as f64);
            species.extend(ETHANOL.map(|(number, _)| number));
            positions.extend(ETHANOL.map(|(_, r)| std::array::from_fn(|x| r[x] + at[x])));
        }
        let mass =
            |&number: &i32| [1.008, 12.011, 15.999][[1, 6, 8].binary_search(&number).unwrap()];
        let masses: Vec<f64> = species.iter().map(mass).collect();
        let mut velocities: Vec<[f64; 3]> = masses
            .iter()
            .map(|mass| {
                [(); 3].map(|()| normal() * (300.0 * BOLTZMANN * ACCELERATION / mass).sqrt())
            })
            .collect();
        for x in 0..3 {
            let momentum: f64 = masses.iter().zip(&velocities).map(|(m, v)| m * v[x]).sum();
            let total: f64 = masses.iter().sum();
            velocities.iter_mut().for_each(|v| v[x] -= momentum / total);
        }
        let forces = Vec::new();
        Self { species, masses, positions, velocities, forces, calculator }
    }

    /// Computes forces; gives the potential energy (eV).
    fn compute(&mut self) -> f64 {
        let edge = SPACING * SIDE as f64;
        let structure = Structure {
            species: &self.species,
            positions: &self.positions,
            cell: Some([[edge, 0.0, 0.0], [0.0, edge, 0.0], [0.0, 0.0, edge]]),
            periodic: [true; 3],
        };
        let results = self.calculator.compute_structure(&structure).unwrap();
        self.forces.clone_from(&results.forces);
        results.energy
    }

    /// Half a step of the velocities.
    fn kick(&mut self) {
        for ((v, f), mass) in self.velocities.iter_mut().zip(&self.forces).zip(&self.masses) {
            (0..3).for_each(|x| v[x] += 0.5 * FEMTOSECONDS * ACCELERATION * f[x] / mass);
        }
    }

    /// By velocity Verlet; total energies (eV) of every so many steps.
    fn energies(&mut self, picoseconds: f64) -> Vec<f64> {
        let steps = (1e3 * picoseconds / FEMTOSECONDS).round() as usize;
        let mut energies = Vec::new();
        self.compute();
        for step in 1..=steps {
            self.kick();
            for (r, v) in self.positions.iter_mut().zip(&self.velocities) {
                (0..3).for_each(|x| r[x] += FEMTOSECONDS * v[x]);
            }
            let potential = self.compute();
            self.kick();
            if step.is_multiple_of(EVERY) {
                let squares = self.velocities.iter().map(|v| v.iter().map(|x| x * x).sum::<f64>());
                let kinetic: f64 =
                    squares.zip(&self.masses).map(|(square, mass)| mass * square).sum();
                energies.push(potential + 0.5 * kinetic / ACCELERATION);
            }
        }
        energies
    }
}

/// The slope of a line through the means of blocks of samples, since neighboring samples are
/// correlated, and its standard error; per block.
fn slope(samples: &[f64]) -> (f64, f64) {
    const BLOCKS: usize = 20;
    let size = samples.len() / BLOCKS;
    let means: Vec<f64> = samples
        .chunks_exact(size)
        .take(BLOCKS)
        .map(|b| b.iter().sum::<f64>() / size as f64)
        .collect();
    let mean = means.iter().sum::<f64>() / BLOCKS as f64;
    let along = |k: usize| k as f64 - 0.5 * (BLOCKS - 1) as f64;
    let width: f64 = (0..BLOCKS).map(|k| along(k) * along(k)).sum();
    let slope = means.iter().enumerate().map(|(k, y)| along(k) * (y - mean)).sum::<f64>() / width;
    let off = |(k, y): (usize, &f64)| (y - mean - slope * along(k)).powi(2);
    let squares: f64 = means.iter().enumerate().map(off).sum();
    (slope / size as f64, (squares / (BLOCKS - 2) as f64 / width).sqrt() / size as f64)
}

/// Drift and its standard error (meV/atom/ps).
fn drift(what: &str, device: Device, picoseconds: f64) -> (f64, f64) {
    let mut run = Run::new(device);
    let atoms = run.species.len();
    let energies = run.energies(picoseconds);
    let (slope, error) = slope(&energies);
    let unit = 1e3 / atoms as f64 / (1e-3 * EVERY as f64 * FEMTOSECONDS);
    println!(
        "NVE, {what}, {picoseconds} ps of {atoms} atoms: drift {:.5} ± {:.5} meV/atom/ps",
        slope * unit,
        error * unit
    );
    (slope * unit, error * unit)
}

#[test]
fn energy_in_a_short_run_is_that_of_the_processor() {
    shim::instead_of_a_gpu();
    let [processor, gpu] =
        [Device::Cpu, Device::Cuda(0)].map(|device| Run::new(device).energies(0.05));
    assert_eq!(processor.len(), 20);
    for (found, expected) in gpu.iter().zip(&processor) {
        assert!((found - expected).abs() < 2e-5, "{found} eV, on the processor {expected} eV");
    }
}

#[test]
#[ignore = "takes minutes: the bundle for GPUs runs it"]
fn energy_is_conserved_as_on_the_processor_over_50_picoseconds() {
    shim::instead_of_a_gpu();
    let processor = drift("CPU", Device::Cpu, 50.0);
    let gpu = drift("CUDA", Device::Cuda(0), 50.0);
    for (drift, error) in [processor, gpu] {
        assert!(drift.abs() <= LIMIT + 3.0 * error, "{drift} ± {error}");
    }
    let error = processor.1.hypot(gpu.1);
    assert!((gpu.0 - processor.0).abs() <= LIMIT + 4.0 * error, "{processor:?}, {gpu:?}");
}

#[test]
fn a_slope_and_its_error_are_those_of_noise_around_a_line() {
    let mut random = fastrand::Rng::with_seed(3);
    let line: Vec<f64> = (0..2000).map(|k| 0.25 * f64::from(k)).collect();
    let (found, error) = slope(&line);
    assert!((found - 0.25).abs() < 1e-12 && error < 1e-12, "{found} ± {error}");
    let noisy: Vec<f64> = line.iter().map(|y| y + 10.0 * (random.f64() - 0.5)).collect();
    let (found, error) = slope(&noisy);
    // Of independent samples: σ / √(n³ / 12).
    let expected = 10.0 / 12.0_f64.sqrt() / (2000.0_f64.powi(3) / 12.0).sqrt();
    assert!((0.5..2.0).contains(&(error / expected)), "{error} of {expected}");
    assert!((found - 0.25).abs() < 4.0 * expected, "{found} ± {expected}");
}
