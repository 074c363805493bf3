//! `mlff-student validate`: figures against labels whose errors were chosen.

use crate::support::root;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use mlff_student::engine::{Calculator, Options, Precision};
use mlff_student::model::{Model, symbol};
use mlff_student_tool::dataset::{Dataset, Frame};
use mlff_student_tool::validation;
use serde_json::Value;
use tempfile::TempDir;

fn data(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(file)
}

fn validate(model: &Path, files: &[&Path], arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mlff-student"));
    command.arg("validate").arg(model).args(files).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// The report of a run that must succeed.
fn report(files: &[&Path], arguments: &[&str]) -> Value {
    let all = [&["--json", "-", "--precision", "double"], arguments].concat();
    let output = validate(&data("student.safetensors"), files, &all);
    assert!(output.status.success(), "{}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn refusal(files: &[&Path], arguments: &[&str]) -> String {
    let output = validate(&data("student.safetensors"), files, arguments);
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(message.contains("error: "), "{message}");
    message
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("expected a number, found {value}"))
}

fn assert_close(found: &Value, expected: f64, what: &str) {
    let found = number(found);
    assert!(
        (found - expected).abs() <= 1e-9 * (1.0 + expected.abs()),
        "{what}: {found} {expected}"
    );
}

fn group<'a>(report: &'a Value, by: &str, name: &str) -> &'a Value {
    let groups = report[by].as_array().unwrap();
    groups.iter().find(|group| group["name"] == name).unwrap_or_else(|| panic!("{by} {name}"))
}

/// Frames of `sound.xyz` that the student knows, labelled by itself in plain float64.
fn own_labels() -> Vec<Frame> {
    let mut frames = Dataset::load(&[data("sound.xyz")]).unwrap().frames;
    let model = Arc::new(Model::load(&data("student.safetensors")).unwrap());
    let scope = model.scope();
    frames.retain(|frame| frame.species.iter().all(|&z| scope.knows(z)));
    let options = Options { precision: Precision::Double, ..Options::default() };
    let mut calculator = Calculator::new(model, options).unwrap();
    for frame in &mut frames {
        let species = validation::species(frame);
        let structure = validation::structure(frame, &species);
        let results = calculator.compute_structure(&structure).unwrap();
        let stress = structure.stress(&results.virial);
        frame.energy = results.energy;
        frame.forces.clone_from(&results.forces);
        frame.stress = stress;
    }
    frames
}

/// Extended XYZ that gives back every bit.
fn write_xyz(dir: &TempDir, name: &str, frames: &[Frame]) -> PathBuf {
    let joined = |matrix: &[[f64; 3]; 3]| {
        matrix.iter().flatten().map(f64::to_string).collect::<Vec<_>>().join(" ")
    };
    let mut content = String::new();
    for frame in frames {
        let _ = write!(
            content,
            "{}\nProperties=species:S:1:pos:R:3:forces:R:3 energy={} name=\"{}\" kind=\"{}\"",
            frame.species.len(),
            frame.energy,
            frame.name,
            frame.kind
        );
        for (key, matrix) in [("Lattice", &frame.cell), ("stress", &frame.stress)] {
            if let Some(matrix) = matrix {
                let _ = write!(content, " {key}=\"{}\"", joined(matrix));
            }
        }
        if let Some(temperature) = frame.temperature {
            let _ = write!(content, " temperature={temperature}");
        }
        if let Some(split) = frame.split {
            let _ = write!(content, " split={}", split.name());
        }
        content.push('\n');
        for ((&z, r), f) in frame.species.iter().zip(&frame.positions).zip(&frame.forces) {
            let symbol = symbol(z).unwrap();
            let _ =
                writeln!(content, "{symbol} {} {} {} {} {} {}", r[0], r[1], r[2], f[0], f[1], f[2]);
        }
    }
    let path = dir.path().join(name);
    fs::write(&path, content).unwrap();
    path
}

#[test]
fn labels_of_the_student_itself_have_no_error() {
    let dir = tempfile::tempdir().unwrap();
    let file = write_xyz(&dir, "own.xyz", &own_labels());
    let report = report(&[&file], &["--split", "all"]);
    let overall = &report["overall"];
    assert_eq!((&overall["frames"], &overall["atoms"]), (&5.into(), &21.into()));
    for (part, figure) in [
        ("energy", "mae_mev_per_atom"),
        ("energy", "rmse_mev_per_atom"),
        ("forces", "mae_ev_per_angstrom"),
        ("forces", "rmse_ev_per_angstrom"),
        ("forces", "mean_angle_degrees"),
        ("stress", "mae_mev_per_cubic_angstrom"),
    ] {
        assert_close(&overall[part][figure], 0.0, figure);
    }
    assert_close(&overall["forces"]["r2"], 1.0, "R²");
}

#[test]
fn errors_are_those_that_were_put_into_the_labels() {
    let dir = tempfile::tempdir().unwrap();
    let exact = own_labels();
    let mut random = fastrand::Rng::with_seed(3);
    let mut labels = exact.clone();
    for frame in &mut labels {
        let mut change = |value: &mut f64| *value += random.f64() - 0.5;
        change(&mut frame.energy);
        frame.forces.iter_mut().flatten().for_each(&mut change);
        frame.stress.iter_mut().flatten().flatten().for_each(&mut change);
    }
    let report = report(&[&write_xyz(&dir, "x.xyz", &labels)], &["--split", "all"]);

    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let mae = |values: &[f64]| mean(&values.iter().map(|value| value.abs()).collect::<Vec<_>>());
    let rmse =
        |values: &[f64]| mean(&values.iter().map(|value| value * value).collect::<Vec<_>>()).sqrt();
    let pairs = || exact.iter().zip(&labels);
    let energies: Vec<f64> = pairs()
        .map(|(found, label)| 1000.0 * (found.energy - label.energy) / label.species.len() as f64)
        .collect();
    let energy = &report["overall"]["energy"];
    assert_close(&energy["mae_mev_per_atom"], mae(&energies), "energy MAE");
    assert_close(&energy["rmse_mev_per_atom"], rmse(&energies), "energy RMSE");
    assert_close(&energy["mean_mev_per_atom"], mean(&energies), "energy mean");

    // All forces, and those on hydrogen.
    for hydrogen_only in [false, true] {
        let vectors: Vec<([f64; 3], [f64; 3])> = pairs()
            .flat_map(|(found, label)| {
                let forces = found.forces.iter().copied().zip(label.forces.iter().copied());
                label.species.iter().zip(forces).filter(|(z, _)| **z == 1 || !hydrogen_only)
            })
            .map(|(_, forces)| forces)
            .collect();
        let found: Vec<f64> = vectors.iter().flat_map(|pair| pair.0).collect();
        let label: Vec<f64> = vectors.iter().flat_map(|pair| pair.1).collect();
        let errors: Vec<f64> = found.iter().zip(&label).map(|(a, b)| a - b).collect();
        let deviations: Vec<f64> = label.iter().map(|value| value - mean(&label)).collect();
        let r2 = 1.0 - rmse(&errors).powi(2) / rmse(&deviations).powi(2);
        let norm = |a: [f64; 3]| a.iter().map(|x| x * x).sum::<f64>().sqrt();
        let angles: Vec<f64> = vectors
            .iter()
            .filter(|pair| norm(pair.1) > 0.1)
            .map(|&(a, b)| {
                let dot = a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
                (dot / (norm(a) * norm(b))).acos().to_degrees()
            })
            .collect();
        let errors_of = match hydrogen_only {
            true => group(&report, "by_element", "H"),
            false => &report["overall"],
        };
        let forces = &errors_of["forces"];
        assert_eq!(errors_of["atoms"], vectors.len());
        assert_eq!(forces["angles"], angles.len());
        assert_close(&forces["mae_ev_per_angstrom"], mae(&errors), "force MAE");
        assert_close(&forces["rmse_ev_per_angstrom"], rmse(&errors), "force RMSE");
        assert_close(&forces["r2"], r2, "R²");
        assert_close(&forces["mean_angle_degrees"], mean(&angles), "angle");
    }

    let stress: Vec<f64> = pairs()
        .filter_map(|(found, label)| found.stress.zip(label.stress))
        .flat_map(|(found, label)| {
            let errors = found.as_flattened().iter().zip(label.as_flattened());
            errors.map(|(a, b)| 1000.0 * (a - b)).collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(stress.len(), 9);
    let found = &report["overall"]["stress"];
    assert_close(&found["mae_mev_per_cubic_angstrom"], mae(&stress), "stress MAE");
    assert_close(&found["mae_gpa"], 0.1602176634 * mae(&stress), "stress MAE in GPa");
}

#[test]
fn forces_shorter_than_a_tenth_have_no_angle() {
    let dir = tempfile::tempdir().unwrap();
    let mut frames = own_labels();
    frames.truncate(1);
    frames[0].forces = vec![[0.0, 0.0, 0.09], [0.0, 0.0, 0.11], [0.0, 0.0, 0.0]];
    let report = report(&[&write_xyz(&dir, "x.xyz", &frames)], &["--split", "all"]);
    assert_eq!(report["overall"]["forces"]["angles"], 1);
}

#[test]
fn a_teacher_with_other_references_is_seen_through() {
    let dir = tempfile::tempdir().unwrap();
    let offset = |z: u8| if z == 1 { -13.0 } else { -50.0 - 100.0 * f64::from(z) };
    let mut frames = own_labels();
    for frame in &mut frames {
        frame.energy += frame.species.iter().map(|&z| offset(z)).sum::<f64>();
    }
    let report = report(&[&write_xyz(&dir, "x.xyz", &frames)], &["--split", "all"]);
    assert!(number(&report["overall"]["energy"]["mae_mev_per_atom"]) > 1e5);
    let fitted = number(&report["overall"]["energy_fitted_references"]["mae_mev_per_atom"]);
    assert!(fitted < 1e-3, "{fitted}");
}

#[test]
fn frames_are_grouped_by_what_they_are() {
    let report = report(&[&data("sound.h5")], &["--split", "all"]);
    let counts = |by: &str| -> Vec<(String, u64)> {
        let groups = report[by].as_array().unwrap();
        let name = |group: &Value| group["name"].as_str().unwrap().to_string();
        groups.iter().map(|group| (name(group), group["frames"].as_u64().unwrap())).collect()
    };
    let expected = |pairs: &[(&str, u64)]| -> Vec<(String, u64)> {
        pairs.iter().map(|(name, count)| (name.to_string(), *count)).collect()
    };
    assert_eq!(counts("by_split"), expected(&[("train", 3), ("valid", 1), ("test", 1)]));
    assert_eq!(
        counts("by_kind"),
        expected(&[("periodic", 1), ("torsion", 1), ("trajectory", 2), ("water", 1)])
    );
    assert_eq!(counts("by_temperature"), expected(&[("300 K", 1), ("600 K", 1), ("none", 3)]));
    assert_eq!(counts("by_size"), expected(&[("1 – 9 atoms", 5)]));
    assert_eq!(counts("by_element"), expected(&[("H", 5), ("C", 2), ("O", 5)]));
    assert_eq!(report["data"]["molecules"], 2);
    let dropped = &report["dropped"][0];
    assert_eq!((&dropped["count"], &dropped["examples"][0]), (&1.into(), &"trajectory-4".into()));
    assert!(dropped["reason"].as_str().unwrap().contains("element S"));
}

#[test]
fn the_worst_frames_come_first_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let mut frames = own_labels();
    for (index, size) in [(0, 0.1), (2, 5.0), (3, 1.0)] {
        frames[index].forces[0][0] += size;
    }
    frames[1].energy += 7.0;
    let report = report(&[&write_xyz(&dir, "x.xyz", &frames)], &["--split", "all"]);
    let worst =
        |list: &str, place: usize| report[list][place]["name"].as_str().unwrap().to_string();
    assert_eq!(worst("worst_forces", 0), "torsion-2");
    assert_eq!(worst("worst_forces", 1), "water-3");
    assert_eq!(worst("worst_energies", 0), "trajectory-1");
    assert_close(&report["worst_forces"][0]["largest_force_error_ev_per_angstrom"], 5.0, "ΔF");
    assert_eq!(report["worst_forces"][0]["formula"], "CH4O");
}

#[test]
fn held_out_frames_are_taken_unless_said_otherwise() {
    let file = data("sound.h5");
    let frames = |arguments: &[&str]| number(&report(&[&file], arguments)["data"]["frames"]);
    assert_eq!(frames(&[]), 1.0, "of two test frames the student knows one");
    assert_eq!(frames(&["--split", "train"]), 3.0);
    assert_eq!(frames(&["--split", "all"]), 5.0);
    assert_eq!(frames(&["--split", "all", "--kind", "water,torsion"]), 2.0);
    assert_eq!(number(&report(&[&data("required-only.h5")], &[])["data"]["frames"]), 5.0);
}

#[test]
fn results_do_not_depend_on_threads() {
    let file = data("sound.h5");
    let run = |threads| {
        let arguments = ["--split", "all", "--json", "-", "--threads", threads];
        validate(&data("student.safetensors"), &[&file], &arguments).stdout
    };
    let one = run("1");
    assert!(!one.is_empty());
    assert_eq!(one, run("3"));
}

#[test]
fn a_folder_gets_a_report_and_pictures() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("new/folder");
    let arguments = ["--split", "all", "--out", folder.to_str().unwrap()];
    let output = validate(&data("student.safetensors"), &[&data("sound.h5")], &arguments);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("  forces (eV/Å) "));
    let markdown = fs::read_to_string(folder.join("report.md")).unwrap();
    let json: Value =
        serde_json::from_slice(&fs::read(folder.join("report.json")).unwrap()).unwrap();
    assert_eq!(json["overall"]["frames"], 5);
    assert!(markdown.contains("1 frame dropped, element S"), "{markdown}");
    for picture in [
        "forces-parity.png",
        "forces-errors.png",
        "energies-parity.png",
        "energies-errors.png",
        "forces-by-element.png",
        "forces-by-kind.png",
        "forces-by-temperature.png",
    ] {
        assert!(markdown.contains(picture), "{picture}");
        assert!(fs::metadata(folder.join(picture)).unwrap().len() > 1000, "{picture}");
    }
}

#[test]
fn mistakes_are_refused_with_what_to_do() {
    let sound = data("sound.h5");
    for (arguments, words) in [
        (&["--kind", "dimer"][..], "expected frames of kind dimer, found periodic, trajectory"),
        (&["--out", "/dev/null/x"], "/dev/null/x: expected a place to write to"),
        (&["--json", "/dev/null/x"], "/dev/null/x: expected a place to write to"),
    ] {
        let message = refusal(&[&sound], arguments);
        assert!(message.contains(words), "{message}");
    }
    let message = refusal(&[&data("required-only.h5")], &["--split", "test"]);
    assert!(
        message.contains("expected frames of split test, found none: --split all"),
        "{message}"
    );
    let message = refusal(&[&sound, &data("other-teacher.h5")], &[]);
    assert!(message.contains("give files of one teacher"), "{message}");
    let dir = tempfile::tempdir().unwrap();
    let sulfur = dir.path().join("s.xyz");
    fs::write(&sulfur, "1\nProperties=species:S:1:pos:R:3:forces:R:3 energy=1\nS 0 0 0 0 0 0\n")
        .unwrap();
    let message = refusal(&[&sulfur], &[]);
    assert!(message.contains("element S, which the model does not know"), "{message}");
}

#[test]
fn frames_that_are_not_like_the_training_data_are_counted_and_named() {
    let dir = tempfile::tempdir().unwrap();
    let mut frames = own_labels();
    // Water squeezed to half its size: oxygen and the first hydrogen are 0.4 Å apart.
    for (name, kind) in [("squeezed", "odd"), ("squeezed again", "odd")] {
        let mut frame = frames[0].clone();
        (frame.name, frame.kind) = (name.into(), kind.into());
        frame.species = vec![8, 1, 1];
        frame.positions = vec![[0.0; 3], [0.4, 0.0, 0.0], [-0.15, 0.5, 0.0]];
        (frame.forces, frame.cell, frame.periodic) = (vec![[0.0; 3]; 3], None, [false; 3]);
        frames.push(frame);
    }
    let file = write_xyz(&dir, "x.xyz", &frames);
    let student = root().join("models/organics-small.safetensors");
    let output = validate(&student, &[&file], &["--split", "all", "--json", "-"]);
    assert!(output.status.success() && !text(&output.stderr).contains("WARNING"), "{output:?}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let outside = &report["outside"];
    assert_eq!(outside["has_energy_range"], true);
    assert_eq!(outside["overall"]["frames"], 7);
    assert_eq!(outside["overall"]["frames_outside"], 2);
    assert_eq!(outside["overall"]["atoms_outside"], 4);
    assert_eq!(outside["overall"]["frames_with_overlaps"], 2);
    assert_eq!(outside["by_kind"].as_object().unwrap().len(), 1);
    assert_eq!(outside["by_kind"]["odd"]["frames_outside"], 2);
    assert_eq!(outside["first"][0]["name"], "squeezed");
    assert_eq!(outside["first"][1]["overlaps"], serde_json::json!([[0, 1]]));
    let output = validate(&student, &[&file], &["--split", "all"]);
    let markdown = text(&output.stdout);
    assert!(markdown.contains("2 of 7 frames have atoms (4 in all) whose energies are far"));
    assert!(has_row(&markdown, "odd 2 2 2"), "{markdown}");
    assert!(has_row(&markdown, "squeezed again odd H2O 1, 2 0–1"), "{markdown}");

    // A student without a range finds overlaps alone, and says so.
    let output = validate(&data("student.safetensors"), &[&file], &["--split", "all"]);
    let markdown = text(&output.stdout);
    assert!(markdown.contains("does not say which energies its training data have"), "{markdown}");
    assert!(has_row(&markdown, "odd 2 0 2"), "{markdown}");
}

#[test]
fn structures_that_cannot_be_computed_are_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let mut frames = own_labels();
    // Left-handed.
    frames[1].cell = Some([[0.0, 9.0, 0.0], [9.0, 0.0, 0.0], [0.0, 0.0, 9.0]]);
    let report = report(&[&write_xyz(&dir, "x.xyz", &frames)], &["--split", "all"]);
    assert_eq!(report["overall"]["frames"], 4);
    assert_eq!(report["dropped"][0]["examples"][0], "trajectory-1");
    assert!(report["dropped"][0]["reason"].as_str().unwrap().contains("bad cell"));
}

#[test]
#[cfg_attr(not(reference_data), ignore = "needs ../shared/reference")]
fn published_students_are_validated_too() {
    let model = root().join("../shared/reference/models/student-21k.onnx");
    if !model.exists() {
        eprintln!("skipped: {} is not there", model.display());
        return;
    }
    let output = validate(&model, &[&data("sound.h5")], &["--split", "all", "--json", "-"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["overall"]["frames"], 6, "sulfur too");
    assert!(number(&report["overall"]["forces"]["mae_ev_per_angstrom"]) > 0.0);
    let notes = report["notes"].to_string();
    assert!(notes.contains("does not say which teacher"), "{notes}");
}

/// Whether a line has these words, whatever is between them.
fn has_row(text: &str, words: &str) -> bool {
    text.lines().any(|line| line.split_whitespace().collect::<Vec<_>>().join(" ") == words)
}

#[test]
fn frames_that_the_student_was_trained_on_are_said_to_be_known() {
    let student = root().join("models/organics-small.safetensors");
    let said = |file: &str, split: &str| {
        let labels = root().join("models/labels").join(file);
        let output = validate(&student, &[&labels], &["--split", split]);
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout)
    };
    assert!(!said("crystals-1.h5", "test").contains("the student was trained on"));
    let known = said("collisions-1.h5", "train");
    assert!(known.contains("note: the student was trained on") && known.contains("--split test"));
}

#[test]
fn what_lammps_dumps_as_extxyz_is_read() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("dump.extxyz");
    let comment = "Timestep=0 Time=0.000000 pbc=\"T T T\" Lattice=\"9 0 0 0 9 0 0 0 9\" \
                   Potential_energy=-14.5 Temperature=300 \
                   Properties=species:S:1:pos:R:3:vel:R:3:forces:R:3";
    let atoms = "O 0 0 0 0 0 0 0 0 1\nH 0.9 0 0 0 0 0 0 0 -1\nH -0.2 0.9 0 0 0 0 0 0 0\n";
    fs::write(&file, format!("3\n{comment}\n{atoms}")).unwrap();
    let student = root().join("models/organics-small.safetensors");
    let output = validate(&student, &[&file], &["--json", "-"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["data"]["frames"], 1);
}
