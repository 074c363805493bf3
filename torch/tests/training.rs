//! Whole training runs on small data.

mod common;

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use mlff_student::engine::Options;
use mlff_student::model::{Model, symbol};
use mlff_student_tool::dataset::{Dataset, Frame, Split};
use mlff_student_tool::validation::predict;
use mlff_student_torch::config::{self, Config};
use mlff_student_torch::data::Data;
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
        let split = frame.split.map_or(String::new(), |split| format!("split={} ", split.name()));
        writeln!(
            text,
            "energy={:?} {split}molecule=\"{}\" name=\"{}\" Properties=species:S:1:pos:R:3:forces:R:3",
            frame.energy, frame.molecule, frame.name
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
    // The errors of held-out frames in its file are those that the engine finds.
    let mut dataset = Dataset::load(&config.data.files).unwrap();
    dataset.frames.retain(|frame| frame.split == Some(Split::Test));
    let said = |key: &str| model.metadata[key].parse::<f64>().unwrap();
    assert_eq!(said("test_frames"), dataset.frames.len() as f64);
    let student = Arc::new(model.clone());
    let found = predict(&student, Options::default(), &mut dataset, |_| ()).unwrap();
    let components = |forces: &[[f64; 3]]| forces.as_flattened().to_vec();
    let found = found.iter().flat_map(|found| components(&found.forces));
    let wanted = dataset.frames.iter().flat_map(|frame| components(&frame.forces));
    let errors: Vec<f64> = found.zip(wanted).map(|(a, b): (f64, f64)| (a - b).abs()).collect();
    let mae = errors.iter().sum::<f64>() / errors.len() as f64;
    let said = said("test_force_mae_eV_per_A");
    assert!((mae - said).abs() < 0.005 * said, "{mae} {said}");
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

/// MKL would take kernels for any processor on those that are not Intel's (`main.rs`).
#[cfg(target_arch = "x86_64")]
#[test]
fn the_program_multiplies_matrices_with_the_vectors_that_the_processor_has() {
    if !is_x86_feature_detected!("avx2") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    prepare(folder.path(), "samples = 20");
    let output = Command::new(env!("CARGO_BIN_EXE_mlff-student-train"))
        .arg(folder.path().join("config.toml"))
        .env("MKL_VERBOSE", "1")
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    let line = told.lines().find(|line| line.contains("oneMKL")).unwrap();
    assert!(line.contains("Advanced Vector Extensions"), "{line}");
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
        let curves = std::fs::read_to_string(folder.path().join("student/curves.csv")).unwrap();
        // All columns but the time.
        let curves: Vec<Vec<String>> = curves
            .lines()
            .map(|line| {
                let columns = line.split(',').enumerate().filter(|&(column, _)| column != 1);
                columns.map(|(_, number)| number.to_string()).collect()
            })
            .collect();
        assert!(curves.len() > 1);
        (model.embedding.clone(), model.blocks, model.head, curves)
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
fn a_damaged_checkpoint_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let config = prepare(folder.path(), "samples = 100");
    let stopped = Start { most_steps: Some(2), ..Start::default() };
    run(&config, &stopped).unwrap();
    let path = config.output.folder.join("checkpoint.safetensors");
    let sound = tch::Tensor::read_safetensors(&path).unwrap();
    for (name, words) in [
        ("weights", "weights of shape"),
        ("average", "average that are no numbers"),
        ("reference_energies", "reference energies"),
        ("mean", "no mean"),
    ] {
        let damaged: Vec<(String, tch::Tensor)> = sound
            .iter()
            .filter(|(known, _)| known != "mean" || name != "mean")
            .map(|(known, tensor)| {
                let tensor = match known == name {
                    false => tensor.shallow_clone(),
                    true if name == "average" => tensor * f64::NAN,
                    true => tensor.narrow(0, 0, tensor.size()[0] - 1),
                };
                (known.clone(), tensor)
            })
            .collect();
        tch::Tensor::write_safetensors(&damaged, &path).unwrap();
        let message = run(&config, &Start::default()).unwrap_err().to_string();
        assert!(message.contains(words) && message.contains("--restart"), "{name}: {message}");
    }
    tch::Tensor::write_safetensors(&sound, &path).unwrap();
    run(&config, &Start::default()).unwrap();
}

#[test]
fn two_runs_in_one_folder_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let config = prepare(folder.path(), "samples = 100");
    std::fs::create_dir_all(&config.output.folder).unwrap();
    let other = std::fs::File::create(config.output.folder.join("lock")).unwrap();
    other.lock().unwrap();
    let message = run(&config, &Start::default()).unwrap_err().to_string();
    assert!(message.contains("another run trains"), "{message}");
    drop(other);
    run(&config, &Start::default()).unwrap();
}

#[test]
fn a_run_goes_on_with_another_number_of_threads() {
    let folder = tempfile::tempdir().unwrap();
    let stopped = Start { most_steps: Some(2), ..Start::default() };
    let mut config = prepare(folder.path(), "samples = 100");
    run(&config, &stopped).unwrap();
    config.training.threads += 1;
    let model = Model::load(&run(&config, &Start::default()).unwrap()).unwrap();
    assert!(model.metadata["training_samples"].parse::<u64>().unwrap() >= 100);
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
    assert_eq!(says(&second, "earlier_training_data_hash"), says(&kept, "training_data_hash"));
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

/// A student that has seen 400 frames and has reference energies of its own.
fn earlier_student(folder: &Path) -> PathBuf {
    let mut model =
        Model::load(&run(&prepare(folder, "samples = 400"), &Start::default()).unwrap()).unwrap();
    for &z in &model.species {
        model.reference_energies[usize::from(z)] += 0.25;
    }
    let path = folder.join("earlier.safetensors");
    model.save(&path).unwrap();
    path
}

#[test]
fn a_run_from_a_student_goes_on_with_its_references_and_its_count() {
    let earlier = tempfile::tempdir().unwrap();
    let earlier = earlier_student(earlier.path());
    let from = || Some(earlier.clone());
    let whole = |stops: &[(Option<PathBuf>, u64)], last: Option<PathBuf>| {
        let folder = tempfile::tempdir().unwrap();
        let config = prepare(folder.path(), "samples = 600");
        for (from, stop) in stops.iter().cloned() {
            run(&config, &Start { from, most_steps: Some(stop), ..Start::default() }).unwrap();
        }
        let start = Start { from: last, ..Start::default() };
        Model::load(&run(&config, &start).unwrap()).unwrap()
    };
    let expected = whole(&[], from());
    let references = &Model::load(&earlier).unwrap().reference_energies;
    assert_eq!(&expected.reference_energies, references);
    assert!(expected.metadata["earlier_samples"].parse::<u64>().unwrap() >= 400);
    for (stops, last) in [
        (vec![(from(), 7)], from()),
        (vec![(from(), 7), (None, 5)], None),
        (vec![(from(), 3), (None, 9), (from(), 1)], None),
    ] {
        let found = whole(&stops, last);
        assert!(found.blocks == expected.blocks && found.head == expected.head, "{stops:?}");
        assert_eq!(found.reference_energies, expected.reference_energies);
        assert_eq!(found.metadata, expected.metadata);
    }
}

#[test]
fn a_run_that_began_otherwise_is_not_taken_for_one_from_a_student() {
    let folder = tempfile::tempdir().unwrap();
    let earlier = earlier_student(folder.path());
    let config = prepare(folder.path(), "samples = 600");
    let start = Start { restart: true, ..Start::default() };
    let student = run(&config, &start).unwrap();
    let before = std::fs::read(&student).unwrap();
    let from = Start { from: Some(earlier.clone()), ..Start::default() };
    let message = run(&config, &from).unwrap_err().to_string();
    assert!(message.contains("did not begin from") && message.contains("--restart"), "{message}");
    assert_eq!(std::fs::read(&student).unwrap(), before);
    run(&config, &Start { restart: true, ..from.clone() }).unwrap();
    // The same student goes on, another one does not.
    run(&config, &from).unwrap();
    let other = Start { from: Some(student), ..Start::default() };
    assert!(run(&config, &other).unwrap_err().to_string().contains("did not begin from"));
}

#[test]
fn frames_that_no_network_can_be_evaluated_on_are_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let config = prepare(folder.path(), "samples = 100");
    let says = |path: PathBuf| Model::load(&path).unwrap().metadata["training_frames"].clone();
    assert_eq!(says(run(&config, &Start::default()).unwrap()), "48");
    let mut frames = common::frames(60, 7, 2);
    frames[0].positions[1] = frames[0].positions[0];
    let cell = frames[2].cell.as_mut().unwrap();
    cell[1] = cell[0];
    write_frames(&frames, &folder.path().join("frames.xyz"));
    let start = Start { restart: true, ..Start::default() };
    assert_eq!(says(run(&config, &start).unwrap()), "46");
}

#[test]
fn frames_without_a_split_are_never_on_both_sides_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut frames = common::frames(400, 2, 3);
    let mut write = |split| {
        frames.iter_mut().for_each(|frame| frame.split = split);
        let path = folder.path().join(format!("{}.xyz", split.map_or("unsaid", Split::name)));
        write_frames(&frames, &path);
        path
    };
    let (student, _) = common::student(16, 1);
    let load = |files: &[&PathBuf]| {
        let files = files.iter().copied().cloned().collect();
        Data::load(&config::Data { files, ..config::Data::default() }, &student, 1).unwrap()
    };
    let [unsaid, train, test] = [None, Some(Split::Train), Some(Split::Test)].map(&mut write);
    let alone = load(&[&unsaid]);
    assert!(alone.valid.len() > 4 && alone.train.len() + alone.valid.len() == 400);
    // Both frames of a molecule are on one side.
    let molecules = |frames: &[Frame]| -> BTreeSet<String> {
        frames.iter().map(|frame| frame.molecule.clone()).collect()
    };
    assert!(molecules(&alone.valid).is_disjoint(&molecules(&alone.train)));
    assert_eq!(alone.valid.len(), 2 * molecules(&alone.valid).len());
    let both = load(&[&unsaid, &test]);
    assert_eq!((both.train.len(), both.valid.len()), (alone.train.len(), alone.valid.len()));
    assert!(both.test.is_empty());
    // What would be watched is trained on.
    let both = load(&[&unsaid, &train]);
    assert!(both.valid.is_empty());
    assert_eq!(both.train.len(), 400 + alone.train.len());
}

#[test]
fn a_checkpoint_of_other_cells_or_stresses_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let config = prepare(folder.path(), "samples = 100");
    run(&config, &Start::default()).unwrap();
    let path = folder.path().join("frames.xyz");
    let text = std::fs::read_to_string(&path).unwrap();
    for (from, to) in [("stress=\"", "stress=\"1"), ("pbc=\"T T T\"", "pbc=\"T T F\"")] {
        assert!(text.contains(from));
        std::fs::write(&path, text.replacen(from, to, 1)).unwrap();
        let message = run(&config, &Start::default()).unwrap_err().to_string();
        assert!(message.contains("of other data"), "{message}");
    }
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
    let mut far = config.clone();
    far.student.repulsion = 5.0;
    let message = run(&far, &Start::default()).unwrap_err().to_string();
    assert!(message.contains("student.repulsion: expected no pair to repel beyond"), "{message}");
    let mut small = config.clone();
    small.student.epsilon = 1e-30;
    let message = run(&small, &Start::default()).unwrap_err().to_string();
    assert!(message.contains("[student]") && message.contains("epsilon"), "{message}");
    let mut device = config.clone();
    device.training.device = "gpu".into();
    let message = run(&device, &Start::default()).unwrap_err().to_string();
    assert!(message.contains("expected cpu, cuda or cuda:N"), "{message}");
    let mut missing = config;
    missing.data.files = vec!["nowhere.h5".into()];
    let message = run(&missing, &Start::default()).unwrap_err().to_string();
    assert!(message.contains("nowhere.h5"), "{message}");
}
