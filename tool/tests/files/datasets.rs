//! Labelled structures from files, sound and broken. `tool/tests/data/make_datasets.py` wrote them.

use std::fs;
use std::path::{Path, PathBuf};

use mlff_student_tool::dataset::{Dataset, Frame, Split};

fn data(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(file)
}

fn load(file: &str) -> Dataset {
    Dataset::load(&[data(file)]).unwrap()
}

fn refusal(files: &[PathBuf]) -> String {
    Dataset::load(files).expect_err("this should be refused").to_string()
}

fn write(dir: &tempfile::TempDir, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
    let path = dir.path().join(name);
    fs::write(&path, content).unwrap();
    path
}

fn close(found: f64, expected: f64) -> bool {
    (found - expected).abs() < 1e-8
}

#[test]
fn hdf5_gives_all_that_python_wrote() {
    let Dataset { frames, sources, teacher, dropped, notes } = load("sound.h5");
    assert_eq!(teacher.as_deref(), Some("GFN2-xTB (tblite 0.8.0)"));
    assert_eq!((dropped.len(), notes.len(), sources.len()), (0, 0, 1));
    assert_eq!(sources[0].content_hash.as_ref().map(String::len), Some(64));
    assert_eq!(sources[0].frames, 6);
    let names: Vec<&str> = frames.iter().map(|frame| &*frame.name).collect();
    assert_eq!(
        names,
        ["trajectory-0", "trajectory-1", "torsion-2", "water-3", "trajectory-4", "periodic-5"]
    );
    let methanol = &frames[1];
    assert_eq!((&*methanol.kind, methanol.temperature), ("trajectory", Some(600.0)));
    assert_eq!((&*methanol.molecule, &*methanol.scaffold), ("CO", "CO"));
    assert_eq!(methanol.split, Some(Split::Train));
    assert_eq!(methanol.species, [6, 8, 1, 1, 1, 1]);
    assert_eq!((methanol.cell, methanol.periodic), (None, [false; 3]));
    assert_eq!((methanol.positions.len(), methanol.forces.len()), (6, 6));
    assert_eq!(methanol.stress, None);
    assert_eq!(frames[4].scaffold, "é|C=C/C");
    assert_eq!((frames[2].temperature, frames[3].split), (None, Some(Split::Valid)));
    let periodic = &frames[5];
    assert_eq!(periodic.periodic, [true; 3]);
    assert_eq!(periodic.cell, Some([[10.0, 0.0, 0.0], [1.0, 11.0, 0.0], [0.0, 0.5, 12.0]]));
    assert!(periodic.stress.is_some());
}

#[test]
fn extended_xyz_gives_the_same_as_hdf5() {
    let (hdf5, xyz) = (load("sound.h5"), load("sound.xyz"));
    assert_eq!(hdf5.teacher, xyz.teacher);
    assert_eq!(hdf5.frames.len(), xyz.frames.len());
    let rows = |a: &[[f64; 3]], b: &[[f64; 3]]| {
        a.len() == b.len()
            && a.as_flattened().iter().zip(b.as_flattened()).all(|(&a, &b)| close(a, b))
    };
    for (a, b) in hdf5.frames.iter().zip(&xyz.frames) {
        let texts = |frame: &Frame| {
            [&frame.name, &frame.kind, &frame.molecule, &frame.scaffold].map(Clone::clone)
        };
        assert_eq!(texts(a), texts(b));
        assert_eq!((a.temperature, a.split, a.periodic), (b.temperature, b.split, b.periodic));
        assert_eq!((&a.species, a.cell), (&b.species, b.cell));
        assert!(close(a.energy, b.energy), "{}", a.name);
        assert!(rows(&a.positions, &b.positions) && rows(&a.forces, &b.forces), "{}", a.name);
        assert!(
            rows(a.stress.as_ref().map_or(&[], |s| s), b.stress.as_ref().map_or(&[], |s| s)),
            "{}",
            a.name
        );
    }
}

#[test]
fn the_data_tools_packing_loses_what_is_behind_the_fourth_decimal_alone() {
    let (packed, sound) = (load("packed.h5"), load("sound.h5"));
    assert_eq!(packed.frames.len(), sound.frames.len());
    for (a, b) in packed.frames.iter().zip(&sound.frames) {
        assert_eq!(
            (&a.name, &a.scaffold, a.split, a.cell),
            (&b.name, &b.scaffold, b.split, b.cell)
        );
        assert_eq!((a.energy, a.stress), (b.energy, b.stress));
        for (packed, sound) in [(&a.positions, &b.positions), (&a.forces, &b.forces)] {
            assert_eq!(packed.len(), sound.len());
            for (packed, sound) in packed.as_flattened().iter().zip(sound.as_flattened()) {
                assert!((1e4 * sound).round() == (1e4 * packed).round(), "{packed} {sound}");
                assert!((1e4 * packed - (1e4 * packed).round()).abs() < 1e-6, "{packed}");
            }
        }
    }
}

#[test]
fn what_only_some_files_have_is_not_required() {
    let dataset = load("required-only.h5");
    let sound = load("sound.h5");
    assert_eq!((dataset.frames.len(), dataset.teacher), (6, None));
    assert_eq!(dataset.notes.len(), 1);
    assert!(dataset.notes[0].contains("does not say which teacher"), "{:?}", dataset.notes);
    for (place, (frame, full)) in dataset.frames.iter().zip(&sound.frames).enumerate() {
        assert!(frame.name.ends_with(&format!("required-only.h5, frame {}", place + 1)));
        assert_eq!((&*frame.kind, frame.split, frame.stress), ("", None, None));
        // float32 and int64 there.
        assert_eq!(frame.species, full.species);
        assert!((frame.energy - full.energy).abs() < 1e-5);
        assert!((frame.forces[0][1] - full.forces[0][1]).abs() < 1e-6);
    }
}

#[test]
fn files_of_both_formats_go_together() {
    let both = Dataset::load(&[data("sound.h5"), data("sound.xyz")]).unwrap();
    assert_eq!(both.sources.iter().map(|source| source.frames).sum::<usize>(), 12);
    assert_eq!(both.frames.len(), 12, "the same frames twice, but never across the split");
}

#[test]
fn unsound_frames_are_dropped_with_the_reason() {
    let dataset = load("defects.h5");
    let left: Vec<&str> = dataset.frames.iter().map(|frame| &*frame.name).collect();
    assert_eq!(left, ["trajectory-4"]);
    let reasons: Vec<(&str, usize, &str)> = dataset
        .dropped
        .iter()
        .map(|dropped| (&*dropped.reason, dropped.count, &*dropped.examples[0]))
        .collect();
    assert_eq!(
        reasons,
        [
            ("no energy, or one that is no finite number", 1, "trajectory-0"),
            ("forces that are no finite numbers", 1, "trajectory-1"),
            ("an atomic number outside 1 … 118", 1, "torsion-2"),
            ("positions that are no finite numbers", 1, "water-3"),
            ("periodic without a cell", 1, "periodic-5"),
        ]
    );
}

#[test]
fn a_stress_that_is_partly_no_number_drops_its_frame() {
    let dataset = load("stress.h5");
    assert_eq!(dataset.frames.len(), 5);
    let [dropped] = &dataset.dropped[..] else { panic!("{:?}", dataset.dropped) };
    assert_eq!(dropped.reason, "a stress that is not nine finite numbers");
    assert_eq!(dropped.examples, ["periodic-5"]);
}

#[test]
fn unsound_frames_of_xyz_are_dropped_too() {
    let dir = tempfile::tempdir().unwrap();
    let forces = "Properties=species:S:1:pos:R:3:forces:R:3";
    let text = format!(
        "1\n{forces} energy=-1.5 name=good split=test temperature=300\nH 0 0 0 0 0 1e-3\n\
         1\n{forces} name=no-energy\nH 0 0 1 0 0 0\n\
         1\n{forces} energy=nan\nH 0 0 1 0 0 0\n\
         1\n{forces} energy=1 \nH 0 0 1 0 nan 0\n\
         1\n{forces} energy=1 \nH 0 0 1 0 lots 0\n\
         1\nProperties=species:S:1:pos:R:3:forces:R:2 energy=1\nH 0 0 1 0 0\n\
         1\nenergy=1\nH 0 0 1\n\
         1\n{forces} energy=1 stress=\"1 2 3 4 5 6\"\nH 0 0 1 0 0 0\n\
         1\n{forces} energy=1\n200 0 0 1 0 0 0\n\
         0\n{forces} energy=1\n\
         1\n{forces} energy=1 pbc=\"T T T\"\nH 0 0 1 0 0 0\n"
    );
    let dataset = Dataset::load(&[write(&dir, "x.xyz", text)]).unwrap();
    assert_eq!(dataset.frames.len(), 1);
    assert_eq!(dataset.frames[0].forces, [[0.0, 0.0, 1e-3]]);
    assert_eq!(dataset.frames[0].temperature, Some(300.0));
    let counts: Vec<(&str, usize)> =
        dataset.dropped.iter().map(|dropped| (&*dropped.reason, dropped.count)).collect();
    assert_eq!(
        counts,
        [
            ("no energy, or one that is no finite number", 2),
            ("forces that are no finite numbers", 2),
            ("no forces, or not three for each atom", 2),
            ("a stress that is not nine finite numbers", 1),
            ("an atomic number outside 1 … 118", 1),
            ("no atoms", 1),
            ("periodic without a cell", 1),
        ]
    );
}

#[test]
fn frames_with_atoms_on_top_of_each_other_are_dropped_across_cell_walls_too() {
    let dir = tempfile::tempdir().unwrap();
    let frame = |name: &str, header: &str, apart: f64| {
        format!(
            "2\n{header} Properties=species:S:1:pos:R:3:forces:R:3 energy=-1 name={name}\n\
             H 0 0 0 0 0 0\nO {apart} 0 0 0 0 0\n"
        )
    };
    let cell = "Lattice=\"4 0 0 0 4 0 0 0 4\"";
    let (walls, none) = (format!("{cell} pbc=\"T F F\""), format!("{cell} pbc=\"F F F\""));
    // The smallest cell has an image of each atom within 0.1 Å; the last has no volume, which is
    // for whoever computes to refuse.
    let thin = "Lattice=\"0.09 0 0 0 4 0 0 0 4\" pbc=\"T F F\"";
    let flat = "Lattice=\"4 0 0 4 0 0 0 0 4\" pbc=\"T T T\"";
    let text = [
        frame("near", "", 0.05),
        frame("apart", "", 0.1001),
        frame("wall", &walls, 3.95),
        frame("no-wall", &none, 3.95),
        frame("thin", thin, 0.7),
        frame("same", "", 0.0),
        frame("flat", flat, 0.01),
    ];
    let dataset = Dataset::load(&[write(&dir, "x.xyz", text.concat())]).unwrap();
    let names: Vec<&str> = dataset.frames.iter().map(|frame| &*frame.name).collect();
    assert_eq!(names, ["apart", "no-wall", "flat"]);
    let [dropped] = &dataset.dropped[..] else { panic!("{:?}", dataset.dropped) };
    assert_eq!(
        dropped.sentence(),
        "4 frames dropped, two atoms nearer to each other than 0.1 Å (near, wall, thin, same)"
    );
}

#[test]
fn in_a_large_frame_one_near_pair_is_found_without_comparing_all() {
    let dir = tempfile::tempdir().unwrap();
    // With all pairs of 60,000 atoms this would take seconds.
    let atoms = 60_000;
    for (name, last, expected) in [("sound", 0.5, 1), ("near", 0.06, 0)] {
        let mut text = format!("{atoms}\nProperties=species:S:1:pos:R:3:forces:R:3 energy=1\n");
        for k in 0..atoms - 1 {
            let [x, y, z] = [k % 40, k / 40 % 40, k / 1600];
            text += &format!("H {x} {y} {z} 0 0 0\n");
        }
        text += &format!("H 7 {last} 3 0 0 0\n");
        let started = std::time::Instant::now();
        let loaded = Dataset::load(&[write(&dir, &format!("{name}.xyz"), text)]);
        assert_eq!(loaded.map_or(0, |dataset| dataset.frames.len()), expected, "{name}");
        eprintln!("{name}: {:?}", started.elapsed());
    }
}

#[test]
fn copies_across_the_split_are_dropped_from_what_is_held_out() {
    let dataset = load("duplicates.h5");
    assert_eq!(dataset.frames.len(), 7);
    let [dropped] = &dataset.dropped[..] else { panic!("{:?}", dataset.dropped) };
    assert!(dropped.reason.contains("in an earlier split"), "{}", dropped.reason);
    assert_eq!(dropped.examples, ["copy of torsion-2"]);
    assert!(dataset.frames.iter().any(|frame| frame.name == "copy in its own split"));
}

#[test]
fn copies_are_found_where_text_rounded_them() {
    let dir = tempfile::tempdir().unwrap();
    let held_out =
        fs::read_to_string(data("sound.xyz")).unwrap().replace("split=train", "split=test");
    let file = write(&dir, "test.xyz", held_out);
    // In whichever order the files come.
    for files in [[data("sound.h5"), file.clone()], [file.clone(), data("sound.h5")]] {
        let dataset = Dataset::load(&files).unwrap();
        assert_eq!(dataset.dropped.iter().map(|dropped| dropped.count).sum::<usize>(), 3);
        let train = dataset.frames.iter().filter(|frame| frame.split == Some(Split::Train));
        assert_eq!(train.count(), 3);
    }
}

#[test]
fn copies_of_frames_without_a_split_are_dropped_from_what_is_held_out() {
    let dir = tempfile::tempdir().unwrap();
    let text = fs::read_to_string(data("sound.xyz")).unwrap();
    let splits = ["split=train", "split=valid", "split=test"];
    let unsaid = splits.iter().fold(text.clone(), |text, split| text.replace(split, "x=y"));
    let held_out = splits.iter().fold(text, |text, split| text.replace(split, "split=test"));
    let files = [write(&dir, "test.xyz", held_out), write(&dir, "unsaid.xyz", unsaid)];
    let dataset = Dataset::load(&files).unwrap();
    assert_eq!(dataset.frames.len(), 6);
    assert!(dataset.frames.iter().all(|frame| frame.split.is_none()));
    assert_eq!(dataset.dropped[0].count, 6);
}

#[test]
fn a_scaffold_on_both_sides_of_the_split_is_noted() {
    let dir = tempfile::tempdir().unwrap();
    let text = fs::read_to_string(data("sound.xyz")).unwrap();
    let moved = text.replacen("scaffold=CO split=train", "scaffold=CO split=test", 1);
    let dataset = Dataset::load(&[write(&dir, "x.xyz", moved)]).unwrap();
    assert_eq!(dataset.notes.len(), 1);
    assert!(dataset.notes[0].starts_with("1 of 2 scaffolds"), "{}", dataset.notes[0]);
}

#[test]
fn elements_that_a_model_lacks_are_dropped_by_name() {
    let mut dataset = load("sound.h5");
    dataset.drop_unknown_elements(&[1, 6, 8]);
    assert_eq!(dataset.frames.len(), 5);
    assert_eq!(
        dataset.dropped[0].sentence(),
        "1 frame dropped, element S, which the model does not know (trajectory-4)"
    );
}

#[test]
fn broken_files_are_refused_with_what_to_do() {
    for (file, words) in [
        (
            "forces-shape.h5",
            "labels/forces: expected the shape (24 atoms × 3 directions), found (24 × 2): write it again",
        ),
        (
            "forces-count.h5",
            "labels/forces: expected the shape (24 atoms × 3 directions), found (23 × 3)",
        ),
        ("energy-type.h5", "labels/energy: expected float32 or float64, found strings"),
        (
            "offsets-end.h5",
            "metadata/atom_offsets: expected numbers from 0 to the 24 atoms in structures/atomic_numbers, one more than frames, found 0 … 21",
        ),
        (
            "offsets-order.h5",
            "metadata/atom_offsets: expected ascending numbers, found 3 after 9 at frame 2",
        ),
        ("split.h5", "frame 1: expected split train, valid or test, found \"dev\": correct"),
        ("no-forces.h5", "expected a dataset labels/forces, found none: write it"),
        ("no-pbc.h5", "expected a dataset structures/pbc, found none"),
        ("no-labels.h5", "expected a dataset labels/forces, found none"),
        (
            "other-units.h5",
            "expected units \"angstrom, electronvolt\", found \"bohr, hartree\": convert",
        ),
        ("half.h5", "labels/forces: expected float32 or float64, found float16: write it again"),
        ("edited.h5", "expected the content of its hash"),
        ("units-list.h5", "expected text in the attribute units, found something else"),
        ("never-written.h5", "structures/atomic_numbers: expected arrays that fit the file's size"),
        ("newer.h5", "expected format_version 1 of mlff-student-dataset, found 2: use a version"),
    ] {
        let message = refusal(&[data(file)]);
        assert!(message.contains(file) && message.contains(words), "{file}: {message}");
    }
    let message = refusal(&[data("sound.h5"), data("other-teacher.h5")]);
    assert!(
        message.contains(
            "other-teacher.h5: expected labels of the teacher \"GFN2-xTB (tblite 0.8.0)\" as in"
        ) && message.contains("found \"Orb-v2\"")
            && message.contains("give files of one teacher"),
        "{message}"
    );
    let dir = tempfile::tempdir().unwrap();
    let text = fs::read_to_string(data("sound.xyz")).unwrap();
    let mixed = write(&dir, "mixed.xyz", text.replacen("GFN2", "GFN1", 1));
    let message = refusal(&[mixed]);
    assert!(message.contains("mixed.xyz, frame 2") && message.contains("one teacher"), "{message}");
}

#[test]
fn extended_xyz_may_say_its_units_and_is_refused_where_any_frame_has_others() {
    let dir = tempfile::tempdir().unwrap();
    let text = fs::read_to_string(data("sound.xyz")).unwrap();
    let says = |units: &str| format!(" units=\"{units}\" pbc=");
    let all = write(&dir, "all.xyz", text.replace(" pbc=", &says("angstrom, electronvolt")));
    let dataset = Dataset::load(&[all]).unwrap();
    assert_eq!(dataset.frames.len(), 6);
    assert_eq!(dataset.sources[0].units.as_deref(), Some("angstrom, electronvolt"));
    let first = text.replacen(" pbc=", &says("angstrom, electronvolt"), 1);
    for (text, frame) in [
        (text.replacen(" pbc=", &says("bohr, hartree"), 1), 1),
        // The second of the file: one pbc= each.
        (replace_nth(&first, " pbc=", 2, &says("bohr, hartree")), 2),
        (replace_nth(&text, " pbc=", 3, &says("bohr, hartree")), 3),
    ] {
        let message = refusal(&[write(&dir, "mixed.xyz", text)]);
        assert!(message.contains(&format!("mixed.xyz, frame {frame}")), "{message}");
        assert!(message.contains("found \"bohr, hartree\": convert"), "{message}");
    }
}

#[test]
fn a_line_without_end_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let file = write(&dir, "long.xyz", format!("1\n{}\nH 0 0 0\n", "a ".repeat(8 << 20)));
    let message = refusal(&[file]);
    assert!(message.contains("a line of more than 16777216 bytes"), "{message}");
}

fn replace_nth(text: &str, from: &str, place: usize, to: &str) -> String {
    let (start, found) = text.match_indices(from).nth(place - 1).unwrap();
    format!("{}{to}{}", &text[..start], &text[start + found.len()..])
}

#[test]
fn an_extended_xyz_file_cut_at_any_byte_is_never_read_as_whole() {
    let dir = tempfile::tempdir().unwrap();
    let whole = fs::read(data("sound.xyz")).unwrap();
    assert_eq!(whole.last(), Some(&b'\n'));
    let frames = load("sound.xyz").frames;
    for end in whole.len() - 600..whole.len() {
        // A cut behind a frame's last line cannot be told from a shorter file.
        match Dataset::load(&[write(&dir, "cut.xyz", &whole[..end])]) {
            Ok(found) => {
                assert!(found.frames.len() < frames.len());
                assert_eq!(whole[end - 1], b'\n');
            }
            Err(error) => assert!(error.to_string().contains("cut.xyz"), "{error}"),
        }
    }
    let message = refusal(&[write(&dir, "cut.xyz", &whole[..whole.len() - 1])]);
    assert!(message.contains("expected a line that ends") && message.contains("truncated"));
}

#[test]
fn files_that_are_something_else_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let nothing: &[PathBuf] = &[dir.path().join("nothing.h5")];
    assert!(refusal(nothing).contains("expected a file with labelled structures"));
    assert!(refusal(&[dir.path().into()]).contains("expected a file with labelled structures"));
    let text = write(&dir, "text.h5", "hello");
    assert!(refusal(&[text]).contains("expected an HDF5 file, found other first bytes"));
    let text = write(&dir, "text.xyz", "hello\n");
    assert!(refusal(&[text]).contains("expected the number of atoms"));
    let unlabelled = write(&dir, "plain.xyz", "1\n\nH 0 0 0\n");
    let message = refusal(&[unlabelled]);
    assert!(
        message.contains("at least one sound frame, found 1 frame dropped, no energy"),
        "{message}"
    );
}

#[test]
fn truncated_files_are_refused_wherever_they_end() {
    let dir = tempfile::tempdir().unwrap();
    let whole = fs::read(data("sound.h5")).unwrap();
    for end in (8..whole.len()).step_by(101).chain([whole.len() - 1]) {
        let message = refusal(&[write(&dir, "cut.h5", &whole[..end])]);
        assert!(message.contains("cut.h5: expected") && message.contains("truncated"), "{message}");
    }
}

#[test]
fn damaged_files_never_panic() {
    let dir = tempfile::tempdir().unwrap();
    let whole = fs::read(data("sound.h5")).unwrap();
    let mut random = fastrand::Rng::with_seed(1);
    let mut refused = 0;
    for _ in 0..500 {
        let mut bytes = whole.clone();
        for _ in 0..random.usize(1..4) {
            let place = random.usize(8..bytes.len());
            bytes[place] = random.u8(..);
        }
        refused += usize::from(Dataset::load(&[write(&dir, "damaged.h5", bytes)]).is_err());
    }
    assert!(refused > 0, "damage was never noticed");
}
