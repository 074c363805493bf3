//! `mlff-student calibrate`: where energies of atoms begin to saturate, and what it changes.

use crate::support::students;
use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

use mlff_student::engine::{Calculator, Check, FilterMode, Options, Precision, Results, Structure};
use mlff_student::model::energy_range::{ABOVE, BELOW};
use mlff_student::model::{Model, symbol};
use tempfile::TempDir;

/// A student whose repulsion reaches many pairs, without a range.
fn student() -> Model {
    Model { energy_range: None, ..students::repelling(16, 2) }
}

/// Random molecules of H, C, N and O (atomic numbers and positions in Å).
fn molecules(count: usize, edge: f64, seed: u64) -> Vec<(Vec<i32>, Vec<[f64; 3]>)> {
    let mut random = fastrand::Rng::with_seed(seed);
    let molecule = |random: &mut fastrand::Rng| {
        let species = (0..9).map(|k| [1, 6, 7, 8][k % 4]).collect();
        let place = |random: &mut fastrand::Rng| [(); 3].map(|()| edge * random.f64());
        (species, (0..9).map(|_| place(random)).collect())
    };
    (0..count).map(|_| molecule(&mut random)).collect()
}

fn compute(model: &Model, (species, positions): &(Vec<i32>, Vec<[f64; 3]>)) -> Results {
    let options = Options {
        precision: Precision::Double,
        filter: FilterMode::Exact,
        // Random molecules.
        check: Check::Off,
        ..Options::default()
    };
    let mut calculator = Calculator::new(Arc::new(model.clone()), options).unwrap();
    let structure = Structure { species, positions, cell: None, periodic: [false; 3] };
    calculator.compute_structure(&structure).unwrap().clone()
}

/// Energies that the network alone gives atoms (eV).
fn network_energies(model: &Model, molecule: &(Vec<i32>, Vec<[f64; 3]>)) -> Vec<f64> {
    // A network that gives nothing leaves reference energies and repulsion.
    let mut rest = model.clone();
    rest.head.iter_mut().for_each(|layer| {
        layer.weight.fill(0.0);
        layer.bias.fill(0.0);
    });
    let [all, rest] = [model, &rest].map(|model| compute(model, molecule).atomic_energies);
    all.iter().zip(rest).map(|(all, rest)| all - rest).collect()
}

/// Extended XYZ; labels do not matter here.
fn write_xyz(
    dir: &TempDir,
    name: &str,
    split: &str,
    molecules: &[(Vec<i32>, Vec<[f64; 3]>)],
) -> std::path::PathBuf {
    let mut text = String::new();
    for (species, positions) in molecules {
        let _ = writeln!(
            text,
            "{}\nProperties=species:S:1:pos:R:3:forces:R:3 energy=0 split={split}",
            species.len()
        );
        for (&z, [x, y, z_]) in species.iter().zip(positions) {
            let _ = writeln!(text, "{} {x} {y} {z_} 0 0 0", symbol(z as u8).unwrap());
        }
    }
    let path = dir.path().join(name);
    fs::write(&path, text).unwrap();
    path
}

fn calibrate(student: &Path, data: &[&Path], output: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mlff-student"));
    command.arg("calibrate").arg(student).args(data).arg("-o").arg(output).output().unwrap()
}

#[test]
fn the_range_holds_the_training_frames_and_leaves_their_energies_as_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let (path, out) = (dir.path().join("student.safetensors"), dir.path().join("out.safetensors"));
    let mut before = student();
    before.metadata.insert("test_force_mae_eV_per_A".into(), "0.1".into());
    before.metadata.insert("teacher".into(), "none".into());
    before.save(&path).unwrap();
    let train = molecules(60, 6.0, 1);
    let held_out = molecules(20, 2.5, 2);
    let files = [
        write_xyz(&dir, "train.xyz", "train", &train),
        write_xyz(&dir, "test.xyz", "test", &held_out),
    ];
    let output = calibrate(&path, &[&files[0], &files[1]], &out);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let after = Model::load(&out).unwrap();
    let energies: Vec<(i32, f64)> = train
        .iter()
        .flat_map(|molecule| molecule.0.iter().copied().zip(network_energies(&before, molecule)))
        .collect();
    for z in [1, 6, 7, 8] {
        let of_element = || energies.iter().filter(|(other, _)| *other == z).map(|(_, e)| *e);
        let [low, high] = after.energy_bounds(z as u8);
        // The tool computes in float32.
        approx::assert_abs_diff_eq!(
            low,
            of_element().fold(f64::INFINITY, f64::min),
            epsilon = 1e-5
        );
        approx::assert_abs_diff_eq!(
            high,
            of_element().fold(f64::NEG_INFINITY, f64::max),
            epsilon = 1e-5
        );
    }
    for molecule in &train {
        let [old, new] = [&before, &after].map(|model| compute(model, molecule));
        approx::assert_abs_diff_eq!(old.energy, new.energy, epsilon = 1e-9);
    }
    // Errors that were measured before are not those of what is written.
    assert!(!after.metadata.contains_key("test_force_mae_eV_per_A"));
    assert_eq!(after.metadata["teacher"], "none");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("60 frames") && text.contains("wrote"), "{text}");
}

#[test]
fn no_atom_is_bound_better_than_the_best_of_training_by_more_than_the_margin() {
    let mut model = student();
    // A network that diverges: features of atoms in a crowd reach 1e8 and more.
    model.head.iter_mut().for_each(|layer| layer.weight.iter_mut().for_each(|w| *w *= 1e4));
    let bounds = vec![[-1.0, 2.0]; model.reference_energies.len()];
    let bounded =
        Model { energy_range: Some(mlff_student::model::EnergyRange { bounds }), ..model.clone() };
    let (mut lowest, mut highest) = (f64::INFINITY, f64::NEG_INFINITY);
    for molecule in &molecules(40, 2.0, 3) {
        let raw = network_energies(&model, molecule);
        for (x, e) in raw.iter().zip(network_energies(&bounded, molecule)) {
            let floor = -1.0 - BELOW - 1e-9;
            assert!((floor..2.0 + ABOVE * 60.0).contains(&e), "{x} gives {e}");
            (lowest, highest) = (lowest.min(*x), highest.max(*x));
        }
    }
    assert!(lowest < -100.0 && highest > 100.0, "{lowest} to {highest} says nothing");
}

#[test]
fn a_core_is_given_where_it_is_asked_for_and_a_repulsion_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let (path, out) = (dir.path().join("student.safetensors"), dir.path().join("out.safetensors"));
    let file = write_xyz(&dir, "train.xyz", "train", &molecules(5, 6.0, 4));
    let mut model = student();
    model.repulsion.as_mut().unwrap().core = 0.0;
    let calibrate = |model: &Model, core: &str| {
        model.save(&path).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_mlff-student"));
        command.arg("calibrate").arg(&path).arg(&file).args(["--core", core, "-o"]).arg(&out);
        let output = command.output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    assert!(calibrate(&model, "0.5").0);
    let found = Model::load(&out).unwrap();
    assert_eq!(found.core(), 0.5);
    // The range is that of the student with its core.
    let again = mlff_student_tool::validation::energy_range(
        &found,
        Options::default(),
        &mlff_student_tool::dataset::Dataset::load(&[&file]).unwrap().frames,
        |_| {},
    );
    assert_eq!(again.unwrap(), found.energy_range.unwrap());
    let (done, message) = calibrate(&model, "1.5");
    assert!(!done && message.contains("repulsion.core: expected a share"), "{message}");
    let (done, message) = calibrate(&Model { repulsion: None, ..model.clone() }, "0.5");
    assert!(!done && message.contains("expected a student with a repulsion"), "{message}");
}

#[test]
fn an_element_that_no_frame_has_is_named_and_nothing_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let (path, out) = (dir.path().join("student.safetensors"), dir.path().join("out.safetensors"));
    student().save(&path).unwrap();
    let water = (vec![8, 1, 1], vec![[0.0; 3], [0.96, 0.0, 0.0], [-0.24, 0.93, 0.0]]);
    let file = write_xyz(&dir, "water.xyz", "train", &[water]);
    let output = calibrate(&path, &[&file], &out);
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(message.contains("found none with C: add some"), "{message}");
    assert!(!out.exists());
}
