//! The tool as its users run it.

use crate::support::root;
use crate::support::{reference, students};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::support::reference::Case;
use mlff_student::model::Architecture;
use serde_json::Value;

fn tool() -> Command {
    Command::new(env!("CARGO_BIN_EXE_mlff-student"))
}

fn model(file: &str) -> PathBuf {
    reference::reference("models").join(file)
}

fn run(command: &mut Command) -> Output {
    command.output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Stdout of a run that must succeed.
fn success(command: &mut Command) -> String {
    let output = run(command);
    assert!(output.status.success(), "{command:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

/// Stdout and stderr of a run that must end with `code`.
fn failure(command: &mut Command, code: i32) -> (String, String) {
    let output = run(command);
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{command:?}: {stderr}");
    assert!(stderr.contains("error: "), "{stderr}");
    assert!(!stderr.contains("panicked"), "{stderr}");
    (text(&output.stdout), stderr)
}

fn write(dir: &tempfile::TempDir, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
    let path = dir.path().join(name);
    std::fs::write(&path, content).unwrap();
    path
}

/// A structure as ASE writes it.
fn extxyz(case: &Case) -> String {
    let mut text = format!("{}\n", case.atomic_numbers.len());
    if let Some(cell) = case.cell {
        let numbers: Vec<String> = cell.iter().flatten().map(f64::to_string).collect();
        text += &format!("Lattice=\"{}\" ", numbers.join(" "));
    }
    let pbc = case.pbc.map(|periodic| if periodic { "T" } else { "F" });
    text += &format!("Properties=species:S:1:pos:R:3 pbc=\"{}\"\n", pbc.join(" "));
    for (&number, [x, y, z]) in case.atomic_numbers.iter().zip(&case.positions) {
        let symbol = mlff_student::model::symbol(number as u8).unwrap();
        text += &format!("{symbol:<2} {x:20} {y:20} {z:20}\n");
    }
    text
}

/// So many cells along each lattice vector.
fn repeated(case: &Case, times: usize) -> Case {
    let cell = case.cell.unwrap();
    let mut large = Case { atomic_numbers: Vec::new(), positions: Vec::new(), ..case.clone() };
    for cube in 0..times.pow(3) {
        let shift = [cube % times, cube / times % times, cube / (times * times)];
        large.atomic_numbers.extend(&case.atomic_numbers);
        large.positions.extend(case.positions.iter().map(|position| {
            let moved = |x: usize| (0..3).map(|k| shift[k] as f64 * cell[k][x]).sum::<f64>();
            std::array::from_fn(|x| position[x] + moved(x))
        }));
    }
    large.cell = Some(cell.map(|row| row.map(|x| times as f64 * x)));
    large
}

fn eval(structures: &Path) -> Command {
    let mut command = tool();
    command.arg("eval").arg(model("student-21k.onnx")).arg(structures);
    command
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("expected a number, found {value}"))
}

const WATER: &str = "3\n\nO 0 0 0\nH 0.96 0 0\nH -0.24 0.93 0\n";

#[test]
#[cfg_attr(not(reference_data), ignore = "needs ../shared/reference")]
fn eval_prints_one_object_of_four_keys_for_each_structure() {
    let cases = reference::cases("student-21k.json");
    let dir = tempfile::tempdir().unwrap();
    let file = write(&dir, "all.xyz", cases.iter().map(extxyz).collect::<String>());
    let out = success(eval(&file).args(["--precision", "double", "--filter", "exact"]));
    assert_eq!(out.lines().count(), cases.len());
    for (line, case) in out.lines().zip(&cases) {
        assert!(!line.contains(' '), "the form is compact");
        let found: Value = serde_json::from_str(line).unwrap();
        let keys: Vec<&String> = found.as_object().unwrap().keys().collect();
        let mut expected = ["energy", "atomic_energies", "forces", "stress"];
        expected.sort_unstable();
        assert_eq!(keys, expected);

        let atoms = case.atomic_numbers.len();
        assert!((number(&found["energy"]) - case.energy).abs() <= 1e-9 * atoms as f64);
        let energies: Vec<f64> =
            found["atomic_energies"].as_array().unwrap().iter().map(number).collect();
        for (found, expected) in energies.iter().zip(case.atomic_energies.as_ref().unwrap()) {
            assert!((found - expected).abs() <= 1e-9);
        }
        let forces = found["forces"].as_array().unwrap();
        assert_eq!((energies.len(), forces.len()), (atoms, atoms));
        assert!(forces.iter().all(|force| force.as_array().unwrap().len() == 3));
        if case.name.contains("rattled") {
            for (found, expected) in forces.iter().zip(&case.forces) {
                for (found, expected) in found.as_array().unwrap().iter().zip(expected) {
                    assert!((number(found) - expected).abs() <= 1e-8, "{}", case.name);
                }
            }
        }

        if case.pbc != [true; 3] {
            assert_eq!(found["stress"], Value::Null, "{}", case.name);
            continue;
        }
        let [a, b, c] = case.cell.unwrap();
        let volume = a[0] * (b[1] * c[2] - b[2] * c[1])
            + a[1] * (b[2] * c[0] - b[0] * c[2])
            + a[2] * (b[0] * c[1] - b[1] * c[0]);
        for (row, col) in (0..9).map(|k| (k / 3, k % 3)) {
            let stress = number(&found["stress"][row][col]);
            assert_eq!(stress, number(&found["stress"][col][row]), "symmetric");
            let expected = case.strain_derivative.unwrap()[row][col] / volume;
            assert!((stress - expected).abs() <= 1e-9, "{}: {stress} {expected}", case.name);
        }
    }
}

#[test]
#[cfg_attr(not(reference_data), ignore = "needs ../shared/reference")]
fn eval_prints_every_digit() {
    let dir = tempfile::tempdir().unwrap();
    let out = success(eval(&write(&dir, "water.xyz", WATER)).args(["--precision", "double"]));
    let found: Value = serde_json::from_str(&out).unwrap();
    let sum: f64 = found["atomic_energies"].as_array().unwrap().iter().map(number).sum();
    assert_eq!(sum, number(&found["energy"]), "printed numbers sum to the printed sum");
}

#[test]
#[cfg_attr(not(reference_data), ignore = "needs ../shared/reference")]
fn eval_takes_options_and_gives_the_same_bits_for_any_number_of_threads() {
    let cases = reference::cases("student-21k.json");
    let case = cases.iter().find(|case| case.name == "water-periodic-81").unwrap();
    let dir = tempfile::tempdir().unwrap();
    // More atoms than one thread computes as one block.
    let large = write(&dir, "large.xyz", extxyz(&repeated(case, 3)));
    let [one, two, four] = ["1", "2", "4"]
        .map(|threads| success(eval(&large).args(["--threads", threads, "--device", "cpu"])));
    assert!(one == two && one == four);
    let file = write(&dir, "box.xyz", extxyz(case));
    let default = success(&mut eval(&file));
    let energy = |out: &str| number(&serde_json::from_str::<Value>(out).unwrap()["energy"]);
    for options in [["--precision", "double"], ["--filter", "exact"], ["--isa", "portable"]] {
        let out = success(eval(&file).args(options));
        assert_ne!(default, out, "{options:?} changes nothing");
        assert!((energy(&default) - energy(&out)).abs() < 5e-6 * 81.0, "{options:?}");
    }
}

#[test]
#[cfg_attr(not(reference_data), ignore = "needs ../shared/reference")]
fn eval_reads_stdin_and_structures_of_no_atoms() {
    let mut child = eval(Path::new("-"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let text = "0\nLattice=\"5 0 0 0 5 0 0 0 5\"\n\n0\n\n";
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let lines: Vec<Value> =
        String::from_utf8(output.stdout).unwrap().lines().map(|l| l.parse().unwrap()).collect();
    assert_eq!(lines.len(), 2);
    for line in &lines {
        assert_eq!(number(&line["energy"]), 0.0);
        assert_eq!(
            (&line["atomic_energies"], &line["forces"]),
            (&Value::from(Vec::<f64>::new()), &Value::from(Vec::<f64>::new()))
        );
    }
    assert!(lines[0]["stress"].is_array() && lines[1]["stress"].is_null());
}

#[test]
#[cfg_attr(not(reference_data), ignore = "needs ../shared/reference")]
fn eval_stops_at_a_broken_frame_and_keeps_what_it_printed() {
    let dir = tempfile::tempdir().unwrap();
    for (name, frame, words) in [
        ("symbol", "1\n\nQq 0 0 0\n", vec!["frame 3, line 13", "\"Qq\""]),
        ("number", "1\n\nH 0 0 x\n", vec!["frame 3, line 13", "coordinate"]),
        ("count", "many\n\n", vec!["frame 3, line 11", "number of atoms"]),
        ("truncated", "5\n\nH 0 0 0\n", vec!["frame 3, line 13", "truncated"]),
        ("nan", "1\n\nH 0 0 nan\n", vec!["frame 3, line 11", "atom 0", "finite"]),
        ("together", "2\n\nH 0 0 1\nH 0 0 1\n", vec!["frame 3, line 11", "same place"]),
        ("unknown", "1\n\nMd 0 0 0\n", vec!["frame 3, line 11", "Md", "knows only"]),
        ("table", "1\nProperties=Z:I:1:pos:R:3\n777 0 0 0\n", vec!["atomic number 777"]),
        ("ghost", "1\nProperties=Z:I:1:pos:R:3\n0 0 0 0\n", vec!["atom 0", "atomic number 0"]),
        ("flat", "1\nLattice=\"4 0 0 0 4 0 4 4 0\"\nH 0 0 0\n", vec!["span a volume"]),
        ("left", "1\nLattice=\"0 4 0 4 0 0 0 0 4\"\nH 0 0 0\n", vec!["left-handed"]),
        ("no cell", "1\npbc=\"T F F\"\nH 0 0 0\n", vec!["needs a lattice vector"]),
        ("infinite cell", "1\nLattice=\"inf 0 0 0 4 0 0 0 4\"\nH 0 0 0\n", vec!["finite cell"]),
    ] {
        let file = write(&dir, &format!("{name}.xyz"), format!("{WATER}{WATER}{frame}"));
        let (out, stderr) = failure(&mut eval(&file), 1);
        assert_eq!(out.lines().count(), 2, "{name}");
        assert!(stderr.contains(&format!("{name}.xyz, frame 3")), "{stderr}");
        assert!(words.iter().all(|word| stderr.contains(word)), "{stderr} lacks {words:?}");
    }
}

#[test]
#[cfg_attr(not(reference_data), ignore = "needs ../shared/reference")]
fn files_that_are_no_structures_or_models_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let water = write(&dir, "water.xyz", WATER);
    let missing = dir.path().join("missing");
    let empty = write(&dir, "empty", "");
    let noise = write(&dir, "noise", [0xff, 0xfe, 0, 1, 2, 3, 4, 5, 6, 7]);
    for bad in [&missing, &dir.path().to_owned(), &empty, &noise] {
        let (out, stderr) = failure(&mut eval(bad), 1);
        assert!(out.is_empty() && stderr.contains(&bad.display().to_string()), "{stderr}");
        for arguments in [vec!["inspect"], vec!["inspect", "--format", "json"]] {
            let (out, stderr) = failure(tool().args(arguments).arg(bad), 1);
            assert!(out.is_empty() && stderr.contains(&bad.display().to_string()), "{stderr}");
        }
        let (_, stderr) = failure(tool().arg("eval").arg(bad).arg(&water), 1);
        assert!(stderr.contains(&bad.display().to_string()), "{stderr}");
        let out = dir.path().join("out.safetensors");
        failure(tool().arg("convert").arg(bad).arg(&out), 1);
        assert!(!out.exists(), "a failed conversion leaves no file");
    }
}

#[test]
#[cfg_attr(not(reference_data), ignore = "needs ../shared/reference")]
fn wrong_command_lines_end_with_status_2() {
    let dir = tempfile::tempdir().unwrap();
    let water = write(&dir, "water.xyz", WATER);
    failure(eval(&water).args(["--precision", "half"]), 2);
    failure(eval(&water).args(["--threads", "0"]), 2);
    failure(eval(&water).args(["--device", "tpu"]), 2);
    failure(eval(&water).args(["--device", "cuda:one"]), 2);
    failure(eval(&water).arg("--unknown"), 2);
    failure(tool().arg("eval").arg(&water), 2);
    assert_eq!(run(&mut tool()).status.code(), Some(2));
}

#[test]
#[cfg_attr(not(reference_data), ignore = "needs ../shared/reference")]
fn device_cuda_says_what_to_use_instead_where_there_is_no_gpu() {
    let dir = tempfile::tempdir().unwrap();
    let water = write(&dir, "water.xyz", WATER);
    // Whatever this machine has.
    let mut command = eval(&water);
    command.args(["--device", "cuda"]).env("CUDA_VISIBLE_DEVICES", "-1");
    let (out, stderr) = failure(&mut command, 1);
    assert!(out.is_empty() && stderr.contains("use device cpu"), "{stderr}");
}

#[test]
#[cfg_attr(not(reference_data), ignore = "needs ../shared/reference")]
fn a_reader_that_leaves_is_no_error() {
    let dir = tempfile::tempdir().unwrap();
    let file = write(&dir, "many.xyz", WATER.repeat(2000));
    let mut child = eval(&file).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    assert!(!text(&output.stderr).contains("error"), "{}", text(&output.stderr));
}

fn inspect(file: &str) -> Value {
    inspect_path(&model(file))
}

fn inspect_path(path: &Path) -> Value {
    let out = success(tool().args(["inspect", "--format", "json"]).arg(path));
    serde_json::from_str(&out).unwrap()
}

#[test]
#[cfg_attr(not(reference_data), ignore = "needs ../shared/reference")]
fn inspect_measures_the_defects_of_the_published_students() {
    // The figures of the reference data: ethanol turned, and an oxygen pair at the cutoff (meV).
    // Other rotations give other maxima, so they agree in size.
    for (file, parameters, turned) in [
        ("student-427k.onnx", 427_292, 42.0),
        ("student-77k.onnx", 77_203, 45.0),
        ("student-21k.onnx", 21_459, 366.0),
    ] {
        let found = inspect(file);
        assert_eq!(found["parameters"], parameters);
        assert_eq!(found["architecture"], "published");
        assert_eq!(found["rotation_invariant"], false);
        assert_eq!(found["continuous_at_cutoff"], false);
        let measured = &found["measured"];
        assert_eq!(measured["rotation"]["structure"], "ethanol");
        let change = 1000.0 * number(&measured["rotation"]["largest_energy_change"]);
        assert!(change > 0.7 * turned && change < 2.0 * turned, "{file}: {change} meV");
        assert_eq!(measured["cutoff"][0]["structure"], "O–O pair");
        assert!(number(&measured["cutoff"][1]["energy"]).abs() > 0.01, "water dimer");
    }
    let jump = number(&inspect("student-427k.pt")["measured"]["cutoff"][0]["energy"]);
    assert!((jump + 0.30).abs() < 0.005, "{jump} eV");
}

#[test]
#[cfg_attr(not(reference_data), ignore = "needs ../shared/reference")]
fn inspect_finds_painn_invariant_and_continuous() {
    for (file, basis, functions, head) in [
        ("painn-64-gaussian.pt", "gaussian", 20, [64, 32, 1]),
        ("painn-32-bessel.pt", "bessel", 12, [32, 16, 1]),
    ] {
        let found = inspect(file);
        assert_eq!(found["basis"]["kind"], basis);
        assert_eq!(found["basis"]["functions"], functions);
        assert_eq!(found["head"], Value::from(head.to_vec()));
        assert_eq!(found["rotation_invariant"], true);
        assert_eq!(found["continuous_at_cutoff"], true);
        assert!(number(&found["measured"]["rotation"]["largest_energy_change"]) < 1e-9);
        assert!(found["memory"]["weights"].as_u64() > Some(8 * 20_000));
        assert!(found["memory"]["calculator"].as_u64() > Some(100_000));
        assert!(found["species"].as_array().unwrap().iter().any(|symbol| symbol == "C"));
    }
    let text = success(tool().arg("inspect").arg(model("student-77k.onnx")));
    for words in ["architecture", "published", "77203", "5 Å", "instruction set", "NO: "] {
        assert!(text.contains(words), "{text}");
    }
}

#[test]
#[cfg_attr(not(reference_data), ignore = "needs ../shared/reference")]
fn inspect_says_envelope_norm_repulsion_and_bounds() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("student.safetensors");
    students::random(Architecture::Painn, 8, 2, &[]).save(&path).unwrap();
    let found = inspect_path(&path);
    assert_eq!(found["envelope"]["kind"], "cosine");
    assert_eq!(found["norm"]["kind"], "root");
    assert_eq!(found["repulsion"], Value::Null);
    assert_eq!(found["core"], 0.0);
    assert_eq!(found["energy_range"], Value::Null);
    assert_eq!(found["smooth"], false);
    students::smooth(8, 2).save(&path).unwrap();
    let found = inspect_path(&path);
    assert_eq!(found["envelope"]["kind"], "polynomial");
    assert_eq!(found["envelope"]["power"], 6);
    assert_eq!(found["norm"]["kind"], "shifted");
    assert_eq!(found["norm"]["epsilon"], 0.1);
    let radius = number(&found["repulsion"]["C"]);
    approx::assert_abs_diff_eq!(radius, students::RADII[6], epsilon = 1e-12);
    assert_eq!(found["core"], 0.75);
    assert_eq!(found["energy_range"]["C"], serde_json::json!([-0.05, 0.1]));
    assert_eq!(found["smooth"], true);
    let text = success(tool().arg("inspect").arg(&path));
    for words in [
        "polynomial, power 6",
        "√(x² + 0.1²) − 0.1",
        "ZBL",
        "C 0.494",
        "0.75 of that sum",
        "C -0.05 to 0.1",
        "continuous",
    ] {
        assert!(text.contains(words), "{text}");
    }
}

#[test]
#[cfg_attr(not(reference_data), ignore = "needs ../shared/reference")]
fn convert_keeps_every_number() {
    let dir = tempfile::tempdir().unwrap();
    let water = write(&dir, "water.xyz", WATER);
    for file in ["student-21k.onnx", "student-77k-torchscript.pt", "painn-32-bessel.pt"] {
        let out = dir.path().join("student.safetensors");
        let said = success(tool().arg("convert").arg(model(file)).arg(&out));
        assert!(said.contains("hidden") && said.contains("wrote"), "{said}");
        let energies = [model(file), out.clone()].map(|model| {
            success(tool().arg("eval").arg(model).arg(&water).args(["--precision", "double"]))
        });
        assert_eq!(energies[0], energies[1], "{file}");
    }
}

#[test]
#[cfg_attr(not(reference_data), ignore = "needs ../shared/reference")]
fn convert_does_not_replace_its_input() {
    let dir = tempfile::tempdir().unwrap();
    let input = dir.path().join("a.safetensors");
    success(tool().arg("convert").arg(model("student-21k.onnx")).arg(&input));
    let before = std::fs::read(&input).unwrap();
    let same = dir.path().join("same.safetensors");
    std::os::unix::fs::symlink(&input, &same).unwrap();
    for output in [&input, &same] {
        let (_, stderr) = failure(tool().arg("convert").arg(&input).arg(output), 1);
        assert!(stderr.contains("another output file"), "{stderr}");
    }
    assert_eq!(before, std::fs::read(&input).unwrap());
    let (_, stderr) = failure(tool().arg("convert").arg(&input).arg(dir.path().join("b.pt")), 1);
    assert!(stderr.contains("*.safetensors"), "{stderr}");
}

/// Copies the tool. Another process does it: a file that this one has open for writing while
/// another test starts a program could not be run.
fn copied_tool(folder: &tempfile::TempDir) -> PathBuf {
    let copy = folder.path().join("mlff-student");
    success(Command::new("cp").arg(env!("CARGO_BIN_EXE_mlff-student")).arg(&copy));
    copy
}

#[test]
fn train_without_the_trainer_says_how_to_build_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(copied_tool(&folder));
    let (_, message) = failure(command.args(["train", "x.toml"]).env("PATH", folder.path()), 1);
    assert!(message.contains("expected the trainer mlff-student-train"), "{message}");
    assert!(message.contains("make trainer"), "{message}");
    let mut command = Command::new(copied_tool(&folder));
    let help = success(command.args(["train", "--help"]).env("PATH", folder.path()));
    assert!(help.contains("make trainer") && help.contains("mlff-student train CONFIG"), "{help}");
}

#[test]
fn quiet_leaves_errors_on_stderr_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let near = write(&dir, "near.xyz", "3\n\nO 0 0 0\nH 0.3 0 0\nH -0.15 0.5 0\n");
    let student = root().join("models/organics-small.safetensors");
    let eval =
        |file: &Path, quiet: &[&str]| run(tool().args(quiet).arg("eval").arg(&student).arg(file));
    assert!(!eval(&near, &[]).stderr.is_empty());
    let quiet = eval(&near, &["--quiet"]);
    assert!(quiet.status.success() && quiet.stderr.is_empty() && !quiet.stdout.is_empty());
    let missing = eval(&dir.path().join("missing.xyz"), &["-q"]);
    assert!(text(&missing.stderr).starts_with("error: "));
}

#[test]
fn a_box_that_lammps_did_not_write_is_missed() {
    let dir = tempfile::tempdir().unwrap();
    let dump = write(&dir, "d.xyz", "3\n Atoms. Timestep: 0\nO 0 0 0\nH 0.9 0 0\nH -0.2 0.9 0\n");
    let student = root().join("models/organics-small.safetensors");
    let output = run(tool().arg("eval").arg(&student).arg(&dump));
    assert!(output.status.success());
    assert!(text(&output.stderr).contains("computed as in free space"), "{output:?}");
}

#[test]
fn shells_and_man_learn_every_command() {
    let folder = tempfile::tempdir().unwrap();
    let bash = success(tool().args(["completions", "bash"]));
    assert!(bash.contains("validate") && bash.contains("--precision"), "{bash}");
    success(tool().arg("man").arg(folder.path()));
    let page = std::fs::read_to_string(folder.path().join("mlff-student-eval.1")).unwrap();
    assert!(page.contains("precision") && page.contains("double"), "{page}");
}

#[test]
fn inspect_is_short_of_hashes_and_says_which_frames_its_errors_are_of() {
    let student = root().join("models/organics-large.safetensors");
    let said = success(tool().arg("inspect").arg(student));
    assert!(said.contains("over the frames that its training held out"), "{said}");
    assert!(said.contains(" files: ") && !said.contains("0.0e0"), "{said}");
    let longest = said.lines().map(|line| line.chars().count()).max();
    assert!(longest < Some(400), "{longest:?}");
}

#[test]
#[cfg(unix)]
fn train_passes_arguments_and_status_on() {
    let folder = tempfile::tempdir().unwrap();
    let tool = copied_tool(&folder);
    let script = "printf '#!/bin/sh\necho \"$@\"\nexit 3\n' > mlff-student-train && chmod +x mlff-student-train";
    success(Command::new("sh").args(["-c", script]).current_dir(folder.path()));
    let output = run(Command::new(&tool).args(["train", "--from", "a b", "--help"]));
    assert_eq!(text(&output.stdout), "--from a b --help\n");
    assert_eq!(output.status.code(), Some(3));
}

#[test]
fn eval_names_structures_where_the_student_learned_nothing_or_ends_there() {
    let dir = tempfile::tempdir().unwrap();
    let frame = |apart: f64| format!("3\n\nO 0 0 0\nH {apart} 0 0\nH -0.15 {} 0\n", apart + 0.1);
    let file = write(&dir, "x.xyz", [frame(0.9), frame(0.4), frame(0.4)].concat());
    let student = root().join("models/organics-small.safetensors");
    let eval = |check: &[&str]| {
        let mut command = tool();
        command.arg("eval").arg(&student).arg(&file).args(check);
        command
    };
    let output = run(&mut eval(&[]));
    assert!(output.status.success() && text(&output.stdout).lines().count() == 3);
    let said = text(&output.stderr);
    let lines: Vec<&str> = said.lines().collect();
    let [atoms, pairs, counts] = lines[..] else { panic!("{said}") };
    assert!(atoms.contains("frame 2") && atoms.contains("found 2 atoms far outside"), "{said}");
    assert!(pairs.contains("frame 2") && pairs.contains("(atoms 0 and 1)"), "{said}");
    assert!(counts.contains("of 3 structures 2 have atoms outside"), "{said}");
    let (out, stderr) = failure(&mut eval(&["--check", "strict"]), 1);
    assert_eq!(out.lines().count(), 1);
    assert!(stderr.contains("frame 2") && stderr.contains("atoms 0 and 1"), "{stderr}");
    let output = run(&mut eval(&["--check", "off"]));
    assert!(output.status.success() && output.stderr.is_empty());
}
