//! Whole training runs on small data.

mod common;

use std::fmt::Write;
use std::path::Path;

use mlff_student::dataset::{Frame, Split};
use mlff_student::model::{Model, symbol};
use mlff_student_torch::config::Config;
use mlff_student_torch::train::{Start, run};

/// Extended XYZ, as teachers' labels come.
fn write_frames(frames: &[Frame], path: &Path) {
    let mut text = String::new();
    let row = |v: &[f64; 3]| format!("{:?} {:?} {:?}", v[0], v[1], v[2]);
    for frame in frames {
        writeln!(text, "{}", frame.species.len()).unwrap();
        if let Some(cell) = frame.cell {
            let cell = cell.each_ref().map(row).join(" ");
            write!(text, "Lattice=\"{cell}\" pbc=\"T T T\" ").unwrap();
        }
        if let Some(stress) = frame.stress {
            write!(text, "stress=\"{}\" ", stress.each_ref().map(row).join(" ")).unwrap();
        }
        let split = frame.split.map_or("train", Split::name);
        writeln!(
            text,
            "energy={:?} split={split} name=\"{}\" Properties=species:S:1:pos:R:3:forces:R:3",
            frame.energy, frame.name
        )
        .unwrap();
        for ((&z, r), f) in frame.species.iter().zip(&frame.positions).zip(&frame.forces) {
            writeln!(text, "{} {} {}", symbol(z).unwrap(), row(r), row(f)).unwrap();
        }
    }
    std::fs::write(path, text).unwrap();
}

/// Frames labelled by a random student, and a short run on them.
fn prepare(folder: &Path, lines: &str) -> Config {
    let (student, weights) = common::student(16, 1);
    let mut frames = common::frames(60, 7, 2);
    common::label(&mut frames, &student.model(&weights).unwrap());
    write_frames(&frames, &folder.join("frames.xyz"));
    let text = format!(
        "[data]\nfiles = [\"frames.xyz\"]\n[student]\nhidden = 16\nblocks = 1\n[output]\nvalidate_every = \
         500\n[training]\npairs_per_batch = 1000\n{lines}\n"
    );
    std::fs::write(folder.join("config.toml"), text).unwrap();
    Config::load(&folder.join("config.toml")).unwrap()
}

#[test]
fn training_lowers_the_errors_and_writes_student_and_curves() {
    let folder = tempfile::tempdir().unwrap();
    let config = prepare(folder.path(), "samples = 6000\nlearning_rate = 5e-3");
    let path = run(&config, &Start::default()).unwrap();
    let model = Model::load(&path).unwrap();
    assert!(model.is_smooth());
    for key in ["training_data_hash", "training_frames", "training_samples", "trained_until"] {
        assert!(model.metadata.contains_key(key), "{key}");
    }
    let curves = std::fs::read_to_string(folder.path().join("student/curves.csv")).unwrap();
    // Few frames cannot teach what holds for others, so look at those that are fitted.
    assert!(folder.path().join("student/curves.png").exists());
    let column = |line: &str| line.split(',').nth(3).unwrap().parse::<f64>().unwrap();
    let forces: Vec<f64> = curves.lines().skip(1).map(column).collect();
    assert_eq!(forces.len(), 12);
    assert!(forces[11] < 0.6 * forces[0], "{forces:?}");
}

#[test]
fn a_run_that_was_stopped_ends_bit_by_bit_like_one_that_was_not() {
    let bits = |stops: &[u64]| {
        let folder = tempfile::tempdir().unwrap();
        let config = prepare(folder.path(), "samples = 600");
        for &stop in stops {
            run(&config, &Start { most_steps: Some(stop), ..Start::default() }).unwrap();
        }
        let model = Model::load(&run(&config, &Start::default()).unwrap()).unwrap();
        (model.embedding.clone(), model.blocks, model.head)
    };
    assert!(bits(&[]) == bits(&[7, 20, 1]));
}

#[test]
fn a_checkpoint_of_another_run_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let config = prepare(folder.path(), "samples = 100");
    run(&config, &Start::default()).unwrap();
    let other = prepare(folder.path(), "samples = 100\nlearning_rate = 1e-4");
    let message = run(&other, &Start::default()).unwrap_err().to_string();
    assert!(message.contains("another configuration"), "{message}");
    run(&other, &Start { restart: true, ..Start::default() }).unwrap();
}

#[test]
fn a_run_goes_on_from_a_student() {
    let folder = tempfile::tempdir().unwrap();
    let config = prepare(folder.path(), "samples = 3000\nlearning_rate = 5e-3");
    let first = run(&config, &Start::default()).unwrap();
    let kept = folder.path().join("first.safetensors");
    std::fs::copy(first, &kept).unwrap();
    let again = prepare(folder.path(), "samples = 500\nlearning_rate = 1e-5");
    let start = Start { from: Some(kept.clone()), restart: true, most_steps: None };
    let second = run(&again, &start).unwrap();
    let says = |path, key| Model::load(path).unwrap().metadata[key].clone();
    assert_eq!(says(&second, "earlier_samples"), says(&kept, "training_samples"));
    let curves = std::fs::read_to_string(folder.path().join("student/curves.csv")).unwrap();
    let error = |line: &str| line.split(',').nth(5).unwrap().parse::<f64>().unwrap();
    let random = folder.path().join("random");
    std::fs::create_dir(&random).unwrap();
    let anew = prepare(&random, "samples = 500\nlearning_rate = 1e-5");
    run(&anew, &Start::default()).unwrap();
    let other = std::fs::read_to_string(random.join("student/curves.csv")).unwrap();
    let [went_on, random] = [&curves, &other].map(|text| error(text.lines().last().unwrap()));
    assert!(went_on < 0.8 * random, "{went_on} {random}");
}

#[test]
fn what_cannot_be_trained_on_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let config = prepare(folder.path(), "samples = 100");
    let mut without = config.clone();
    without.student.species = vec!["H".into()];
    let message = run(&without, &Start::default()).unwrap_err().to_string();
    assert!(message.contains("which the model does not know"), "{message}");
    let mut unknown = config.clone();
    unknown.student.species = vec!["Xx".into()];
    let message = run(&unknown, &Start::default()).unwrap_err().to_string();
    assert!(message.contains("expected chemical symbols, found \"Xx\""), "{message}");
    let mut device = config.clone();
    device.training.device = "gpu".into();
    let message = run(&device, &Start::default()).unwrap_err().to_string();
    assert!(message.contains("expected cpu, cuda or cuda:N"), "{message}");
    let mut missing = config;
    missing.data.files = vec!["nowhere.h5".into()];
    let message = run(&missing, &Start::default()).unwrap_err().to_string();
    assert!(message.contains("nowhere.h5"), "{message}");
}
