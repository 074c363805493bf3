//! Small frames and random students.

use std::sync::Arc;

use mlff_student::engine::{Calculator, Options, Precision};
use mlff_student::model::Model;
use mlff_student_tool::dataset::{Frame, Split};
use mlff_student_tool::validation;
use mlff_student_torch::config;
use mlff_student_torch::parameters::Parameters;
use mlff_student_torch::trainable::TrainableModel;
use tch::Device;

/// A student with random weights, reference energies that are not zero, and repulsion.
pub fn student(hidden: usize, blocks: usize) -> (TrainableModel, Parameters) {
    narrow(hidden, hidden, blocks)
}

/// The same with fewer vectors than channels.
pub fn narrow(hidden: usize, vectors: usize, blocks: usize) -> (TrainableModel, Parameters) {
    let config =
        config::StudentConfig { hidden, vectors, blocks, ..config::StudentConfig::default() };
    let mut student = TrainableModel::new(&config).unwrap();
    student.reference_energies = (0..7).map(|k| -3.0 - f64::from(k)).collect();
    let weights = Parameters::random(&student.shape, 7, Device::Cpu);
    (student, weights)
}

/// Structures of `atoms` atoms on a shaken grid; every third one is periodic. Labels are zero.
pub fn frames(count: usize, atoms: usize, seed: u64) -> Vec<Frame> {
    let mut random = fastrand::Rng::with_seed(seed);
    (0..count)
        .map(|index| {
            let edge = (1..).find(|n| n * n * n >= atoms).unwrap();
            let spacing = 1.6;
            let positions = (0..atoms)
                .map(|k| {
                    [k % edge, k / edge % edge, k / (edge * edge)]
                        .map(|x| spacing * x as f64 + 0.5 * random.f64())
                })
                .collect();
            let length = spacing * edge as f64 + 0.6;
            let periodic = index % 3 == 2;
            let cell = [[length, 0.0, 0.0], [0.3, length, 0.0], [0.0, 0.2, length]];
            Frame {
                name: format!("frame {index}"),
                kind: "shaken".into(),
                temperature: None,
                molecule: format!("molecule {}", index / 2),
                scaffold: String::new(),
                split: Some(match index % 10 {
                    4 => Split::Valid,
                    9 => Split::Test,
                    _ => Split::Train,
                }),
                species: (0..atoms).map(|_| [1, 6, 7, 8, 9, 16, 17][random.usize(..7)]).collect(),
                positions,
                cell: periodic.then_some(cell),
                periodic: [periodic; 3],
                energy: 0.0,
                forces: vec![[0.0; 3]; atoms],
                stress: periodic.then_some([[0.0; 3]; 3]),
            }
        })
        .collect()
}

/// Labels frames with a model, in float64.
pub fn label(frames: &mut [Frame], model: &Model) {
    let options = Options {
        precision: Precision::Double,
        filter: mlff_student::engine::FilterMode::Exact,
        ..Options::default()
    };
    let mut calculator = Calculator::new(Arc::new(model.clone()), options).unwrap();
    for frame in frames {
        let species = validation::species(frame);
        let structure = validation::structure(frame, &species);
        let found = calculator.compute_structure(&structure).unwrap();
        let stress = structure.stress(&found.virial);
        let (energy, forces) = (found.energy, found.forces.clone());
        (frame.energy, frame.forces, frame.stress) = (energy, forces, stress);
    }
}
