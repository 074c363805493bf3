//! The network in tensor operations against the library's float64 engine, and its derivatives.

mod common;

use mlff_student::model::Model;
use mlff_student_torch::batch::Batch;
use mlff_student_torch::config::Loss;
use mlff_student_torch::data;
use mlff_student_torch::network::predict;
use mlff_student_torch::parameters::Parameters;
use mlff_student_torch::trainable::TrainableModel;
use tch::{Device, Kind, Tensor, no_grad};

fn largest(tensor: &Tensor) -> f64 {
    tensor.abs().max().double_value(&[])
}

fn batch(student: &TrainableModel, frames: &[mlff_student_tool::dataset::Frame]) -> Batch {
    Batch::new(&data::samples(frames, student).unwrap(), &student.radial())
}

/// Gradient of the loss by all weights.
fn gradient(student: &TrainableModel, weights: &Parameters, batch: &Batch) -> Tensor {
    let found = predict(weights, batch, student.epsilon, true);
    let loss = Loss::default().of(&found, batch, 0.9);
    let parts = Tensor::run_backward(&[loss], weights.leaves(), false, false);
    Tensor::cat(&parts.iter().map(|part| part.reshape([-1])).collect::<Vec<_>>(), 0)
}

#[test]
fn a_file_gives_the_engine_the_numbers_that_training_saw() {
    for (hidden, vectors, blocks) in
        [(32, 32, 2), (64, 64, 2), (128, 128, 3), (24, 24, 1), (64, 32, 2), (24, 6, 3)]
    {
        let (student, weights) = common::narrow(hidden, vectors, blocks);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("student.safetensors");
        student.model(&weights).unwrap().save(&path).unwrap();
        let mut frames = common::frames(6, 12, 3);
        common::label(&mut frames, &Model::load(&path).unwrap());
        // Labels now are the engine's numbers, without what is no part of the network.
        let batch = batch(&student, &frames);
        for (kind, tolerance) in [(Kind::Double, 2e-6), (Kind::Float, 2e-4)] {
            let batch = batch.to(kind, Device::Cpu);
            let weights = weights.copy(&student.shape, kind, Device::Cpu);
            let found = predict(&weights, &batch, student.epsilon, false);
            let scale = 1.0 + largest(&batch.forces);
            assert!(largest(&(&found.energy - &batch.energy)) < 12.0 * tolerance * scale);
            assert!(largest(&(&found.forces - &batch.forces)) < tolerance * scale);
            let periodic = batch.volume.isfinite().view([-1, 1, 1]);
            let strain = (&found.strain - &batch.strain) * periodic;
            assert!(largest(&strain) < 12.0 * tolerance * scale);
        }
    }
}

#[test]
fn students_that_ship_give_training_and_the_engine_the_same_numbers() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../models");
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "safetensors") {
            continue;
        }
        let model = Model::load(&path).unwrap();
        let (mut student, _) = common::narrow(model.hidden, model.vectors, model.blocks.len());
        student.repulsion.clone_from(&model.repulsion);
        let model = Model { energy_range: None, ..model };
        let flat = student.take(&model).unwrap();
        let weights = Parameters::new(&student.shape, &flat.to_kind(Kind::Double));
        let mut frames = common::frames(3, 12, 4);
        common::label(&mut frames, &model);
        let batch = batch(&student, &frames).to(Kind::Double, Device::Cpu);
        let found = predict(&weights, &batch, student.epsilon, false);
        let scale = 1.0 + largest(&batch.forces);
        assert!(largest(&(&found.forces - &batch.forces)) < 2e-6 * scale);
        assert!(largest(&(&found.energy - &batch.energy)) < 2e-5 * scale);
        seen += 1;
    }
    assert!(seen > 0);
}

#[test]
fn the_fused_message_has_the_derivatives_of_the_plain_one() {
    // In float32 on the CPU the message is fused, in float64 it is plain.
    for (hidden, vectors, blocks) in [
        (32, 32, 2),
        (64, 64, 3),
        (128, 128, 2),
        (40, 40, 2),
        (32, 16, 2),
        (64, 32, 2),
        (128, 64, 2),
        (40, 10, 3),
    ] {
        let (student, weights) = common::narrow(hidden, vectors, blocks);
        // All labels are zero, and the errors large.
        let batch = batch(&student, &common::frames(5, 10, 11));
        let fused = gradient(&student, &weights, &batch);
        let plain = gradient(
            &student,
            &weights.copy(&student.shape, Kind::Double, Device::Cpu),
            &batch.to(Kind::Double, Device::Cpu),
        );
        let error = (fused.to_kind(Kind::Double) - &plain).norm().double_value(&[]);
        let size = plain.norm().double_value(&[]);
        assert!(size > 1.0 && error < 2e-4 * size, "hidden {hidden}: {error} of {size}");
    }
}

#[test]
fn the_gradient_of_the_loss_is_its_finite_difference() {
    let (student, weights) = common::student(16, 2);
    let batch = batch(&student, &common::frames(4, 8, 5)).to(Kind::Double, Device::Cpu);
    let mut weights = weights.copy(&student.shape, Kind::Double, Device::Cpu);
    let found = gradient(&student, &weights, &batch);
    let start = weights.flat.copy();
    let mut random = fastrand::Rng::with_seed(1);
    for _ in 0..6 {
        let direction: Vec<f64> =
            (0..student.shape.parameters()).map(|_| random.f64() - 0.5).collect();
        let direction = Tensor::from_slice(&direction);
        let mut loss = |step: f64| {
            weights.set(&(&start + &direction * step));
            let found = predict(&weights, &batch, student.epsilon, true);
            no_grad(|| Loss::default().of(&found, &batch, 0.9).double_value(&[]))
        };
        let difference = (loss(1e-6) - loss(-1e-6)) / 2e-6;
        let expected = found.dot(&direction).double_value(&[]);
        assert!(
            (difference - expected).abs() < 1e-5 * expected.abs().max(1.0),
            "{difference} {expected}"
        );
    }
}

#[test]
fn a_student_goes_on_from_its_file_and_refuses_another_shape() {
    let (mut student, weights) = common::student(32, 2);
    let model = student.model(&weights).unwrap();
    student.reference_energies = vec![0.0; 7];
    assert_eq!(student.take(&model).unwrap(), weights.flat);
    assert_eq!(student.reference_energies[1], -4.0);
    let epsilon = student.epsilon;
    let refused = |mut other: TrainableModel| other.take(&model).unwrap_err().to_string();
    for (message, expected) in [
        (refused(common::student(32, 3).0), "3 blocks, found 2 blocks".into()),
        (refused(common::student(16, 2).0), "16 channels, found 32 channels".into()),
        (refused(common::narrow(32, 16, 2).0), "16 vectors, found 32 vectors".into()),
        (
            refused(TrainableModel { epsilon: 0.2, ..student.clone() }),
            format!("epsilon 0.2, found epsilon {epsilon}"),
        ),
        (refused(TrainableModel { envelope_power: 5, ..student.clone() }), "power 5, found".into()),
    ] {
        assert!(message.contains(&expected), "{message}");
    }
}

#[test]
fn stress_counts_only_where_the_cell_repeats_in_all_directions() {
    let (student, weights) = common::student(16, 1);
    let mut frames = common::frames(3, 7, 2);
    common::label(&mut frames, &student.model(&weights).unwrap());
    let volume = |frames: &[_]| f64::try_from(batch(&student, frames).volume.get(2)).unwrap();
    assert!(volume(&frames).is_finite());
    // As calculators write that put a molecule into a box.
    frames[2].periodic = [true, true, false];
    assert!(volume(&frames).is_infinite());
}
