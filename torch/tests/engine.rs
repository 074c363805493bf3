//! The engine on libtorch behind the library's calculator: students against the float64 engine, and
//! TorchScript models against their formula.

#[expect(dead_code, reason = "nothing is trained here, so nothing labelled")]
mod common;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use mlff_student::engine::{
    Backend, Calculator, Check, FilterMode, NeighborListInput, Options, Precision, Results,
    Structure, Virials,
};
use mlff_student::model::{EnergyRange, Model, Potential};
use mlff_student::{Error, ErrorKind};
use mlff_student_tool::dataset::Frame;
use mlff_student_tool::validation::{species, structure};

fn compute(potential: &Potential, options: Options, frames: &[Frame]) -> Vec<Results> {
    let mut calculator = Calculator::new(potential.clone(), options).unwrap();
    frames
        .iter()
        .map(|frame| {
            let species = species(frame);
            calculator.compute_structure(&structure(frame, &species)).unwrap().clone()
        })
        .collect()
}

fn in_a_batch(potential: &Potential, options: Options, frames: &[Frame]) -> Vec<Results> {
    let species: Vec<_> = frames.iter().map(species).collect();
    let structures: Vec<_> =
        frames.iter().zip(&species).map(|(frame, species)| structure(frame, species)).collect();
    let mut calculator = Calculator::new(potential.clone(), options).unwrap();
    calculator.compute_batch(&structures).unwrap()
}

/// Largest differences of atoms' energies (eV), forces (eV/Å) and atoms' virials (eV).
fn differences(a: &Results, b: &Results) -> [f64; 3] {
    let largest = |a: &[f64], b: &[f64]| {
        assert_eq!(a.len(), b.len());
        a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
    };
    [
        largest(&a.atomic_energies, &b.atomic_energies),
        largest(a.forces.as_flattened(), b.forces.as_flattened()),
        largest(a.atomic_virials.as_flattened(), b.atomic_virials.as_flattened()),
    ]
}

fn torch(precision: Precision) -> Options {
    Options { backend: Backend::Torch, precision, ..Options::default() }
}

fn exact() -> Options {
    Options { precision: Precision::Double, filter: FilterMode::Exact, ..Options::default() }
}

/// All students at hand: random ones, those that ship, and the published ones where they are.
fn students() -> Vec<(String, Potential)> {
    let mut found = Vec::new();
    for (hidden, vectors, blocks) in [(32, 32, 2), (32, 16, 2), (24, 24, 1)] {
        let (student, weights) = common::narrow(hidden, vectors, blocks);
        let mut model = student.model(&weights).unwrap();
        // Some energies of atoms are beyond it.
        let bounds = vec![[-0.1, 0.1]; model.reference_energies.len()];
        model.energy_range = Some(EnergyRange { bounds });
        found.push((format!("random {hidden}, {vectors}"), Potential::Student(Arc::new(model))));
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for folder in ["models", "../shared/reference/models"] {
        let Ok(entries) = root.join(folder).read_dir() else {
            eprintln!("skipped: {folder} is not here");
            continue;
        };
        let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        for path in paths {
            let known = ["safetensors", "onnx", "pt"];
            if path.extension().is_some_and(|ending| known.iter().any(|known| ending == *known)) {
                found.push((path.display().to_string(), Potential::load(&path).unwrap()));
            }
        }
    }
    found
}

/// Shaken frames without atoms so near each other that no student was made for it.
fn frames(student: &Potential) -> Vec<Frame> {
    let scope = student.scope();
    let mut frames = common::frames(4, 12, 3);
    for z in frames.iter_mut().flat_map(|frame| &mut frame.species) {
        if !scope.knows(*z) {
            *z = scope.species[0];
        }
    }
    frames
}

#[test]
fn students_have_the_numbers_of_the_float64_engine() {
    let students = students();
    assert!(students.len() >= 5);
    for (name, student) in students {
        let frames = frames(&student);
        let expected = compute(&student, exact(), &frames);
        for (precision, tolerance) in [(Precision::Double, 1e-9), (Precision::Mixed, 2e-4)] {
            let found = compute(&student, torch(precision), &frames);
            for (found, expected) in found.iter().zip(&expected) {
                let force =
                    expected.forces.as_flattened().iter().fold(1.0, |a: f64, b| a.max(b.abs()));
                let [energy, force, virial] = differences(found, expected).map(|x| x / force);
                assert!(
                    energy < tolerance && force < tolerance,
                    "{name}: {energy} eV, {force} eV/Å"
                );
                assert!(virial < 3.0 * tolerance, "{name}: {virial} eV");
            }
        }
    }
}

#[test]
fn batches_have_the_numbers_of_single_structures() {
    let (student, weights) = common::student(32, 2);
    let student = Potential::Student(Arc::new(student.model(&weights).unwrap()));
    let frames = frames(&student);
    let single = compute(&student, torch(Precision::Double), &frames);
    let together = in_a_batch(&student, torch(Precision::Double), &frames);
    for (together, single) in together.iter().zip(&single) {
        assert!(differences(together, single).iter().all(|&x| x < 1e-10));
    }
}

#[test]
fn atoms_of_no_species_take_no_part_and_ghosts_of_other_processes_are_refused() {
    let (student, weights) = common::student(32, 2);
    let model: Arc<Model> = Arc::new(student.model(&weights).unwrap());
    let positions = [[0.0; 3], [1.1, 0.0, 0.0], [0.5, 0.9, 0.2], [0.0, -1.2, 0.3]];
    let compute = |backend, species: &[i32; 4], owned: usize| {
        let mut calculator =
            Calculator::new(Arc::clone(&model), Options { backend, ..exact() }).unwrap();
        let lists: Vec<Vec<i32>> =
            (0..owned as i32).map(|i| (0..4).filter(|&j| j != i).collect()).collect();
        let lists: Vec<&[i32]> = lists.iter().map(Vec::as_slice).collect();
        calculator.set_neighbor_list(&NeighborListInput {
            owned,
            ghosts: 4 - owned,
            species,
            centers: &(0..owned as i32).collect::<Vec<_>>(),
            neighbors: &lists,
            mask: !0,
            owner: None,
            list_cutoff: 6.0,
        })?;
        calculator.compute(&positions, None, Virials::Atomic).cloned()
    };
    let species = [8, 1, 0, 6];
    let own = compute(Backend::Own, &species, 4).unwrap();
    let torch = compute(Backend::Torch, &species, 4).unwrap();
    assert!(differences(&own, &torch).iter().all(|&x| x < 1e-10));
    assert_eq!(torch.forces[2], [0.0; 3]);
    let error = compute(Backend::Torch, &[8, 1, 1, 6], 3).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.message().contains("no owner on this process"), "{error}");
}

fn script(name: &str) -> Result<Potential, Error> {
    Potential::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/torchscript").join(name))
}

/// Energy of a Morse pair as in examples/python/torchscript.py (eV), and its slope.
fn morse(species: [i32; 2], d: f64) -> [f64; 2] {
    // Numbers of the module are float32 before they are widened.
    let (depth, distance) = match species[0] + species[1] {
        2 => (0.02_f32, 2.0_f32),
        9 => (0.2, 1.8),
        _ => (0.05, 2.0),
    };
    let (depth, distance) = (f64::from(depth), f64::from(distance));
    let well = (-1.5 * (d - distance)).exp();
    let x = d / 5.0;
    let envelope = 1.0 - 28.0 * x.powi(6) + 48.0 * x.powi(7) - 21.0 * x.powi(8);
    let slope = (-168.0 * x.powi(5) + 336.0 * x.powi(6) - 168.0 * x.powi(7)) / 5.0;
    let value = well * well - 2.0 * well;
    [depth * value * envelope, depth * (value * slope - 3.0 * (well * well - well) * envelope)]
}

#[test]
fn torchscript_models_give_what_their_formula_gives() {
    let model = script("morse.pt").unwrap();
    let scope = model.scope();
    assert_eq!((scope.cutoff, &scope.species[..]), (5.0, &[1, 8][..]));
    let frames = frames(&model);
    for (frame, found) in frames.iter().zip(compute(&model, Options::default(), &frames)) {
        let images = match frame.cell {
            None => vec![[0.0; 3]],
            Some(cell) => (0..27)
                .map(|n| [n / 9, n / 3 % 3, n % 3].map(|step| f64::from(step) - 1.0))
                .map(|n| std::array::from_fn(|k| (0..3).map(|m| n[m] * cell[m][k]).sum()))
                .collect::<Vec<[f64; 3]>>(),
        };
        // Images further away are beyond the cutoff.
        assert!(frame.cell.is_none_or(|cell| cell[0][0] > 5.0));
        let mut energies = vec![0.0; frame.species.len()];
        let mut forces = vec![[0.0; 3]; frame.species.len()];
        let mut virial = [0.0; 9];
        for i in 0..energies.len() {
            for j in 0..energies.len() {
                for image in &images {
                    let r: [f64; 3] = std::array::from_fn(|k| {
                        frame.positions[j][k] + image[k] - frame.positions[i][k]
                    });
                    let d = r.iter().map(|x| x * x).sum::<f64>().sqrt();
                    if d == 0.0 || d >= 5.0 {
                        continue;
                    }
                    let [energy, slope] =
                        morse([frame.species[i].into(), frame.species[j].into()], d);
                    energies[i] += 0.5 * energy;
                    for k in 0..3 {
                        forces[i][k] += slope * r[k] / d;
                        for m in 0..3 {
                            virial[3 * k + m] -= 0.5 * slope * r[k] * r[m] / d;
                        }
                    }
                }
            }
        }
        let near = |a: f64, b: f64| assert!((a - b).abs() < 1e-11 * (1.0 + b.abs()), "{a} and {b}");
        found.atomic_energies.iter().zip(&energies).for_each(|(a, b)| near(*a, *b));
        let (a, b) = (found.forces.as_flattened(), forces.as_flattened());
        a.iter().zip(b).for_each(|(a, b)| near(*a, *b));
        found.virial.iter().zip(&virial).for_each(|(a, b)| near(*a, *b));
    }
}

#[test]
fn a_model_of_one_number_in_float32_has_the_same_energies_alone_and_in_a_batch() {
    let [exact, total] = ["morse.pt", "total-float32.pt"].map(|name| script(name).unwrap());
    let mut frames = frames(&exact);
    // Far from the origin, and without any pair.
    frames[0].positions.iter_mut().for_each(|r| r[0] += 1234.5);
    let apart = |k: usize| [100.0 * k as f64, 0.0, 0.0];
    frames[1].positions.iter_mut().enumerate().for_each(|(k, r)| *r = apart(k));
    let expected = compute(&exact, Options::default(), &frames);
    let alone = compute(&total, Options::default(), &frames);
    let batch = in_a_batch(&total, Options::default(), &frames);
    for ((alone, batch), expected) in alone.iter().zip(&batch).zip(&expected) {
        assert_eq!(alone, batch);
        let force = expected.forces.as_flattened().iter().fold(1.0, |a: f64, b| a.max(b.abs()));
        assert!((alone.energy - expected.energy).abs() < 1e-5 * (1.0 + expected.energy.abs()));
        assert!(differences(alone, expected)[1] < 1e-5 * force);
        let share = alone.energy / alone.atomic_energies.len() as f64;
        assert!(
            alone.atomic_energies.iter().all(|x| (x - share).abs() < 1e-6 * (1.0 + share.abs()))
        );
    }
    assert_eq!((alone[1].energy, alone[1].forces[0]), (0.0, [0.0; 3]));
}

#[test]
fn the_library_exports_one_symbol() {
    let path = std::env::current_exe().unwrap().with_file_name("libmlff_student_torch.so");
    let output = std::process::Command::new("nm").arg("-D").arg(&path).output();
    let symbols = String::from_utf8(output.expect("binutils are installed").stdout).unwrap();
    let exported: Vec<&str> = symbols
        .lines()
        .filter_map(|line| line.split_once(" T ").map(|(_, name)| name))
        .filter(|name| name.contains("mlff"))
        .collect();
    assert_eq!(exported, ["mlff_student_torch_functions"]);
}

#[test]
fn what_is_wrong_with_a_torchscript_model_is_said() {
    let refused = |name: &str| {
        let model = script(name)?;
        let frame = &frames(&model)[0];
        let species = species(frame);
        let molecule = Structure { cell: None, periodic: [false; 3], ..structure(frame, &species) };
        let mut calculator = Calculator::new(model, Options::default())?;
        calculator.compute_structure(&molecule).map(|_| ())
    };
    for (name, kind, text) in [
        ("other-use-of-positions.pt", ErrorKind::Format, "uses positions in other ways"),
        (
            "three-arguments.pt",
            ErrorKind::InvalidArgument,
            "failed on (species, positions, pairs, shifts)",
        ),
        (
            "two-results.pt",
            ErrorKind::Format,
            "expected a TorchScript model that returns energies as one",
        ),
        ("detached.pt", ErrorKind::InvalidArgument, "cannot be differentiated"),
        ("detached-weights.pt", ErrorKind::InvalidArgument, "does not depend on pairs"),
        ("no-species.pt", ErrorKind::Format, "at least one element"),
        ("unknown-key.pt", ErrorKind::Format, "unknown field `cutof`"),
    ] {
        let error = refused(name).unwrap_err();
        assert_eq!(error.kind(), kind, "{name}: {error}");
        assert!(error.message().contains(text), "{name}: {error}");
    }
}

#[test]
fn overlaps_are_found_with_libtorch_too_and_atoms_outside_are_not() {
    let (_, student) = students().swap_remove(0);
    let options = Options { check: Check::Report, ..torch(Precision::Double) };
    let mut calculator = Calculator::new(student, options).unwrap();
    // Oxygen and hydrogen overlap below 0.485 Å.
    let positions = [[0.0; 3], [0.4, 0.0, 0.0], [0.0, 1.0, 0.0]];
    let structure =
        Structure { species: &[8, 1, 1], positions: &positions, cell: None, periodic: [false; 3] };
    let found = calculator.compute_structure(&structure).unwrap();
    assert_eq!(found.overlaps, [[0, 1]]);
    assert!(found.outside.is_empty());
    assert_eq!(calculator.findings().overlaps, 1);
}
