//! `mlff-student prune` and `grow`: other shapes of a student, to train further.

use crate::support::root;
use crate::support::students;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use mlff_student::engine::{Calculator, Options, Precision, Results};
use mlff_student::model::Model;
use mlff_student_tool::dataset::{Dataset, Frame};
use mlff_student_tool::validation::{pruned, species, structure};

fn double() -> Options {
    Options { precision: Precision::Double, ..Options::default() }
}

fn labels() -> String {
    root().join("models/labels/held-out.h5").display().to_string()
}

/// Some molecules of H, C, N and O, with the forces of `model` as labels.
fn frames(model: &Model) -> Vec<Frame> {
    let mut dataset = Dataset::load(&[labels()]).unwrap();
    dataset.drop_unknown_elements(&model.species);
    let mut frames: Vec<Frame> = dataset.frames.into_iter().step_by(200).take(6).collect();
    for frame in &mut frames {
        frame.forces = compute(model, frame).forces;
    }
    frames
}

fn compute(model: &Model, frame: &Frame) -> Results {
    let mut calculator = Calculator::new(Arc::new(model.clone()), double()).unwrap();
    calculator.compute_structure(&structure(frame, &species(frame))).unwrap().clone()
}

#[test]
fn vectors_that_do_nothing_are_left_out_first() {
    let narrow = students::narrow(12, 4, 2);
    // Eight more vectors, all zero.
    let wide = narrow.widened();
    let frames = frames(&narrow);
    let found = pruned(&wide, 4, double(), &frames, |_, _| {}).unwrap();
    found.validate().unwrap();
    assert_eq!((found.hidden, found.vectors), (12, 4));
    for frame in &frames {
        let [before, after] = [&narrow, &found].map(|model| compute(model, frame));
        approx::assert_relative_eq!(before.energy, after.energy, max_relative = 1e-12);
        for (a, b) in before.forces.iter().flatten().zip(after.forces.iter().flatten()) {
            approx::assert_abs_diff_eq!(*a, *b, epsilon = 1e-10);
        }
    }
}

#[test]
fn fewer_vectors_are_chosen_better_than_by_chance() {
    let model = students::smooth(12, 2);
    let frames = frames(&model);
    let error = |model: &Model| -> f64 {
        let differences = frames.iter().flat_map(|frame| {
            let found = compute(model, frame).forces;
            let pairs: Vec<f64> = found
                .iter()
                .flatten()
                .zip(frame.forces.iter().flatten())
                .map(|(a, b)| (a - b).abs())
                .collect();
            pairs
        });
        differences.sum()
    };
    let chosen = error(&pruned(&model, 6, double(), &frames, |_, _| {}).unwrap());
    let mut random = fastrand::Rng::with_seed(3);
    let mut others: Vec<f64> =
        (0..9).map(|_| error(&model.with_vectors(&random.choose_multiple(0..12, 6)))).collect();
    others.sort_by(f64::total_cmp);
    assert!(chosen < others[1], "{chosen} {others:?}");
}

#[test]
fn the_command_writes_a_student_to_train_further_and_refuses_what_it_cannot_do() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("narrow.safetensors");
    let student = root().join("models/organics-small.safetensors").display().to_string();
    let run = |labels: &str, vectors: &str| {
        Command::new(env!("CARGO_BIN_EXE_mlff-student"))
            .args(["prune", &student, labels, "--frames", "4", "--vectors", vectors, "-o"])
            .arg(&path)
            .output()
            .unwrap()
    };
    let trained_on = labels().replace("held-out", "torsions-2");
    for (labels, vectors, expected) in [
        (&trained_on, "32", "below 32"),
        (&trained_on, "7", "even number"),
        (&trained_on, "0", "even number"),
        // All of its frames are held out.
        (&labels(), "16", "expected"),
    ] {
        let output = run(labels, vectors);
        assert!(!output.status.success());
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(message.contains(expected), "{message}");
        assert!(!path.exists());
    }
    let output = run(&trained_on, "16");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let model = Model::load(&path).unwrap();
    assert_eq!((model.hidden, model.vectors), (32, 16));
    assert!(!model.metadata.contains_key("test_force_mae_eV_per_A"));
}

#[test]
fn a_student_that_grew_has_the_same_energies_and_more_blocks() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deep.safetensors");
    let file = root().join("models/organics-small.safetensors").display().to_string();
    let run = |blocks: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mlff-student"));
        command.args(["grow", &file, "--blocks", blocks, "-o"]).arg(&path).output().unwrap()
    };
    let message = String::from_utf8_lossy(&run("2").stderr).into_owned();
    assert!(message.contains("expected more than 2") && !path.exists(), "{message}");
    assert!(run("4").status.success());
    let [before, after] = [Path::new(&file), &path].map(|path| Model::load(path).unwrap());
    assert_eq!(after.blocks.len(), 4);
    for frame in frames(&before) {
        let [before, after] = [&before, &after].map(|model| compute(model, &frame));
        approx::assert_relative_eq!(before.energy, after.energy, max_relative = 1e-12);
        for (a, b) in before.forces.iter().flatten().zip(after.forces.iter().flatten()) {
            approx::assert_abs_diff_eq!(*a, *b, epsilon = 1e-10);
        }
    }
}
