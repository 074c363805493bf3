//! What every student under `models/` promises.

use crate::support::root;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mlff_student::engine::{Calculator, FilterMode, Options, Precision, Structure};
use mlff_student::model::{Architecture, Model};
use mlff_student_tool::dataset::{Dataset, Split};
use mlff_student_tool::validation::predict;

fn students() -> BTreeMap<String, (PathBuf, Model)> {
    let folder = root().join("models");
    let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    paths
        .filter(|path| path.extension().is_some_and(|extension| extension == "safetensors"))
        .map(|path| {
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            let model = Model::load(&path).unwrap();
            (name, (path, model))
        })
        .collect()
}

fn calculator(model: &Model, precision: Precision, filter: FilterMode) -> Calculator {
    let options = Options { precision, filter, ..Options::default() };
    Calculator::new(Arc::new(model.clone()), options).unwrap()
}

/// Ethanol near its minimum, with a water molecule beside it.
const ATOMS: [(i32, [f64; 3]); 12] = [
    (6, [1.1682, -0.4004, 0.0]),
    (6, [0.0, 0.5595, 0.0]),
    (8, [-1.1901, -0.2277, 0.0]),
    (1, [-1.9466, 0.3815, 0.0]),
    (1, [0.0426, 1.2075, 0.8869]),
    (1, [0.0426, 1.2075, -0.8869]),
    (1, [2.1159, 0.1448, 0.0]),
    (1, [1.1286, -1.0372, 0.8859]),
    (1, [1.1286, -1.0372, -0.8859]),
    (8, [-3.5, 1.4, 0.1]),
    (1, [-3.9, 1.9, 0.8]),
    (1, [-4.2, 0.9, -0.3]),
];

fn evaluate(calculator: &mut Calculator, atoms: &[(i32, [f64; 3])]) -> (f64, Vec<[f64; 3]>) {
    let (species, positions): (Vec<_>, Vec<_>) = atoms.iter().copied().unzip();
    let structure =
        Structure { species: &species, positions: &positions, cell: None, periodic: [false; 3] };
    let results = calculator.compute_structure(&structure).unwrap();
    (results.energy, results.forces.clone())
}

#[test]
fn three_sizes_ship() {
    let expected =
        [("organics-large", 128, 3), ("organics-medium", 64, 2), ("organics-small", 32, 2)];
    let found = students();
    let found: Vec<_> = found
        .iter()
        .map(|(name, (_, model))| (name.as_str(), model.hidden, model.blocks.len()))
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn they_are_smooth_equivariant_students_of_seven_elements_that_repel_each_other() {
    for (name, (_, model)) in students() {
        assert_eq!(model.architecture, Architecture::Painn, "{name}");
        assert!(model.is_smooth(), "{name}");
        assert_eq!(model.species, [1, 6, 7, 8, 9, 16, 17], "{name}");
        let repulsion = model.repulsion.as_ref().unwrap();
        assert!(model.species.iter().all(|&z| repulsion.reach([z, z]) > 0.3), "{name}");
    }
}

#[test]
fn their_files_say_where_they_come_from_and_how_good_they_are() {
    for (name, (path, model)) in students() {
        let header = header(&path);
        for key in [
            "format",
            "format_version",
            "architecture",
            "hidden",
            "blocks",
            "cutoff",
            "species",
            "units",
            "teacher",
            "training_data_hash",
            "training_frames",
            "training_samples",
            "earlier_samples",
            "trained_until",
            "trainer_commit",
            "licence",
            "valid_force_mae_eV_per_A",
            "valid_energy_mae_eV_per_atom",
            "test_frames",
            "test_force_mae_eV_per_A",
            "test_energy_mae_eV_per_atom",
        ] {
            assert!(header[key].as_str().is_some_and(|value| !value.is_empty()), "{name}: {key}");
        }
        assert_eq!(header["units"], "angstrom, electronvolt", "{name}");
        let references = &model.reference_energies;
        assert!(model.species.iter().all(|&z| references[usize::from(z)] < -1.0), "{name}");
        assert!(path.with_extension("md").exists(), "{name} has no card");
        assert!(path.with_extension("toml").exists(), "{name} does not say how it was trained");
    }
}

/// The metadata of a safetensors file.
fn header(path: &Path) -> serde_json::Value {
    let bytes = std::fs::read(path).unwrap();
    let (length, rest) = bytes.split_first_chunk().unwrap();
    let header = &rest[..u64::from_le_bytes(*length) as usize];
    serde_json::from_slice::<serde_json::Value>(header).unwrap()["__metadata__"].take()
}

#[test]
fn turning_reflecting_and_renumbering_change_no_energy() {
    for (name, (_, model)) in students() {
        let mut calculator = calculator(&model, Precision::Double, FilterMode::Exact);
        let (energy, _) = evaluate(&mut calculator, &ATOMS);
        let (sin, cos) = 0.7_f64.sin_cos();
        let mut moved = ATOMS.map(|(z, [x, y, w])| {
            (z, [5.0 - (cos * x - sin * y), sin * x + cos * y - 2.0, w + 1.0])
        });
        moved.reverse();
        let (other, _) = evaluate(&mut calculator, &moved);
        assert!((energy - other).abs() < 12e-9, "{name}: {}", energy - other);
    }
}

#[test]
fn two_molecules_beyond_the_cutoff_do_not_know_of_each_other() {
    for (name, (_, model)) in students() {
        let mut calculator = calculator(&model, Precision::Double, FilterMode::Exact);
        let far = |shift: f64| ATOMS.map(|(z, [x, y, w])| (z, [x + shift, y, w]));
        let (one, _) = evaluate(&mut calculator, &ATOMS);
        let both: Vec<_> = ATOMS.into_iter().chain(far(20.0)).collect();
        let (two, _) = evaluate(&mut calculator, &both);
        assert!((two - 2.0 * one).abs() < 1e-6, "{name}: {}", two - 2.0 * one);
    }
}

/// A hydride of an element: the element first, in the origin, its hydrogen atoms at 110° to +z.
fn hydride(element: i32) -> Vec<(i32, [f64; 3])> {
    let (bond, count) = match element {
        1 => (0.74, 1),
        6 => (1.09, 3),
        7 => (1.01, 3),
        8 => (0.96, 2),
        9 => (0.92, 1),
        16 => (1.34, 2),
        _ => (1.27, 1),
    };
    let polar = 110.0_f64.to_radians();
    let hydrogen = |k: usize| match count {
        1 => [0.0, 0.0, -bond],
        _ => {
            let around = k as f64 * std::f64::consts::TAU / count as f64;
            let radius = bond * polar.sin();
            [radius * around.cos(), radius * around.sin(), bond * polar.cos()]
        }
    };
    let mut atoms = vec![(element, [0.0; 3])];
    atoms.extend((0..count).map(|k| (1, hydrogen(k))));
    // The fourth of methane.
    if element == 6 {
        atoms.push((1, [0.0, 0.0, bond]));
        atoms.iter_mut().for_each(|(_, [_, _, z])| *z = -*z);
    }
    atoms
}

#[test]
fn molecules_that_run_into_each_other_meet_a_wall_of_more_than_14_electronvolts() {
    // Covalent radii (Å; Cordero et al., Dalton Transactions 2008, 2832).
    const RADII: [(i32, f64); 7] =
        [(1, 0.31), (6, 0.76), (7, 0.71), (8, 0.66), (9, 0.57), (16, 1.05), (17, 1.02)];
    for (name, (_, model)) in students() {
        let mut calculator = calculator(&model, Precision::Double, FilterMode::Table);
        for (k, &(a, ra)) in RADII.iter().enumerate() {
            for &(b, rb) in &RADII[k..] {
                let mut energy = |fraction: f64| {
                    let distance = fraction * (ra + rb);
                    let mut atoms = hydride(a);
                    let other = hydride(b).into_iter();
                    atoms.extend(other.map(|(z, [x, y, w])| (z, [-x, -y, distance - w])));
                    evaluate(&mut calculator, &atoms).0
                };
                let far = energy(30.0);
                let way: Vec<f64> =
                    (0..=15).map(|step| energy(0.8 - 0.02 * f64::from(step)) - far).collect();
                // No simulation gets beyond 30 eV.
                let reached = way.iter().position(|&energy| energy > 30.0);
                let way = &way[..reached.map_or(way.len(), |last| last + 1)];
                let rises = way.windows(2).all(|pair| pair[0] < pair[1]);
                assert!(rises, "{name}: {a} and {b} fall into a hole: {way:.1?} eV");
                let highest = way.iter().copied().fold(0.0, f64::max);
                assert!(highest > 14.0, "{name}: {a} and {b}, a wall of {highest} eV only");
            }
        }
    }
}

#[test]
fn float32_kernels_and_tables_are_close_to_float64() {
    for (name, (_, model)) in students() {
        let (energy, forces) =
            evaluate(&mut calculator(&model, Precision::Double, FilterMode::Exact), &ATOMS);
        let (fast, fast_forces) =
            evaluate(&mut calculator(&model, Precision::Mixed, FilterMode::Table), &ATOMS);
        assert!((energy - fast).abs() < 12.0 * 5e-6, "{name}: {}", energy - fast);
        for (a, b) in forces.iter().flatten().zip(fast_forces.iter().flatten()) {
            assert!((a - b).abs() < 2e-4, "{name}: {a} {b}");
        }
    }
}

/// The files of labels that a student's configuration names.
fn labels_of(name: &str) -> Vec<PathBuf> {
    let folder = root().join("models");
    let config = std::fs::read_to_string(folder.join(format!("{name}.toml"))).unwrap();
    let files = std::fs::read_dir(folder.join("labels")).unwrap();
    let files = files.map(|entry| entry.unwrap().path());
    files.filter(|path| config.contains(&*path.file_name().unwrap().to_string_lossy())).collect()
}

#[test]
fn their_errors_on_held_out_frames_are_those_that_their_files_name() {
    let mut held_out: BTreeMap<Vec<PathBuf>, Dataset> = BTreeMap::new();
    for (name, (_, model)) in students() {
        let files = labels_of(&name);
        let dataset = held_out.entry(files.clone()).or_insert_with(|| {
            let mut dataset = Dataset::load(&files).unwrap();
            dataset.drop_duplicates();
            dataset.frames.retain(|frame| frame.split == Some(Split::Test));
            dataset
        });
        let model = Arc::new(model);
        let found =
            predict(&model, Options { threads: 2, ..Options::default() }, dataset, |_| ()).unwrap();
        let (mut force, mut components, mut energy) = (0.0, 0.0, 0.0);
        for (frame, found) in dataset.frames.iter().zip(&found) {
            let pairs = frame.forces.as_flattened().iter().zip(found.forces.as_flattened());
            force += pairs.map(|(a, b)| (a - b).abs()).sum::<f64>();
            components += 3.0 * frame.forces.len() as f64;
            energy += (frame.energy - found.energy).abs() / frame.forces.len() as f64;
        }
        let frames = found.len() as f64;
        for (key, found) in [
            ("test_frames", frames),
            ("test_force_mae_eV_per_A", force / components),
            ("test_energy_mae_eV_per_atom", energy / frames),
        ] {
            let said: f64 = model.metadata[key].parse().unwrap();
            assert!((found - said).abs() <= 0.005 * said, "{name}, {key}: {said} said, {found}");
        }
    }
}

#[test]
fn the_labels_that_ship_are_sound_and_hold_enough_out() {
    let folder = root().join("models/labels");
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    // Beside them a list of hashes of labels that are made again where they are needed.
    files.retain(|file| file.extension().is_some_and(|ending| ending == "h5"));
    let dataset = Dataset::load(&files).unwrap();
    for (name, (_, model)) in students() {
        // A file of labels may be newer than the student; its configuration says which it saw.
        let named = labels_of(&name);
        let sources =
            dataset.sources.iter().filter(|source| named.contains(&PathBuf::from(&source.path)));
        let hashes: BTreeSet<&str> =
            sources.map(|source| source.content_hash.as_deref().unwrap()).collect();
        let trained_on: BTreeSet<&str> = model.metadata["training_data_hash"].split(' ').collect();
        assert_eq!(trained_on, hashes, "{name}: {name}.toml names other labels");
    }
    assert!(dataset.frames.len() >= 100_000, "{}", dataset.frames.len());
    assert!(dataset.dropped.is_empty(), "{}", dataset.dropped[0].sentence());
    let molecules = |split, temperature: Option<f64>| -> BTreeSet<&str> {
        let single = ["trajectory", "displaced", "torsion"];
        let frames = dataset.frames.iter().filter(|frame| {
            frame.split == Some(split)
                && single.contains(&&*frame.kind)
                && temperature.is_none_or(|kelvin| frame.temperature == Some(kelvin))
        });
        frames.map(|frame| &*frame.molecule).collect()
    };
    for kelvin in [300.0, 600.0, 900.0] {
        assert!(molecules(Split::Test, Some(kelvin)).len() >= 300, "{kelvin} K");
    }
    let known = molecules(Split::Train, None);
    assert!(known.len() >= 3000, "{}", known.len());
    // Nor in dimers, clusters and collisions. Liquids share common molecules. What crystals hold
    // out is the crystal: a molecule of one may be trained on alone, but in no other crystal.
    let parts = |split, crystals: bool| -> BTreeSet<&str> {
        let frames = dataset.frames.iter().filter(|frame| {
            frame.split == Some(split)
                && !["water", "periodic"].contains(&&*frame.kind)
                && (frame.kind == "crystal") == crystals
        });
        frames.flat_map(|frame| frame.molecule.split('.')).filter(|part| !part.is_empty()).collect()
    };
    for crystals in [false, true] {
        let known = parts(Split::Train, crystals);
        for held_out in [Split::Valid, Split::Test] {
            let found = parts(held_out, crystals);
            assert!(!found.is_empty(), "{held_out:?}, crystals: {crystals}");
            let both: Vec<&str> = found.intersection(&known).copied().collect();
            assert!(both.is_empty(), "{held_out:?}: {both:?}");
        }
    }
}
