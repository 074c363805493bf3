//! `include/mlff_student.h` is what `src/c_api` says, and any strict compiler takes it.

use crate::support::root;
use crate::support::toolchain::{Language, compile};

/// In the order of the header.
const SOURCES: [&str; 7] =
    ["status", "device", "model", "options", "calculator", "neighbor_list", "compute"];

fn generated() -> String {
    let config = cbindgen::Config::from_file(root().join("cbindgen.toml")).unwrap();
    let builder = SOURCES.iter().fold(cbindgen::Builder::new().with_config(config), |b, name| {
        b.with_src(root().join(format!("src/c_api/{name}.rs")))
    });
    let mut header = Vec::new();
    builder.generate().expect("cbindgen cannot read src/c_api").write(&mut header);
    String::from_utf8(header).unwrap()
}

#[test]
fn the_committed_header_is_the_generated_one() {
    let path = root().join("include/mlff_student.h");
    let generated = generated();
    if std::env::var_os("MLFF_UPDATE_HEADER").is_some() {
        std::fs::write(&path, &generated).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap();
    let differing = committed.lines().zip(generated.lines()).position(|(a, b)| a != b);
    assert!(
        committed == generated,
        "include/mlff_student.h differs from src/c_api (line {:?}): run \
         `MLFF_UPDATE_HEADER=1 cargo test --test c_api header` and review the difference",
        differing.map(|line| line + 1)
    );
}

#[test]
fn no_file_with_exported_functions_is_left_out_of_the_header() {
    for entry in std::fs::read_dir(root().join("src/c_api")).unwrap() {
        let path = entry.unwrap().path();
        let exports = std::fs::read_to_string(&path).unwrap().contains("no_mangle");
        let name = path.file_stem().unwrap().to_str().unwrap();
        assert!(!exports || SOURCES.contains(&name), "add {name} to SOURCES");
    }
}

#[test]
fn every_symbol_says_since_when_it_exists() {
    let header = generated();
    // Only items begin at the left margin; fields and arguments are part of theirs.
    let (mut documented, mut since) = (false, false);
    for line in header.lines().skip_while(|line| !line.starts_with("#include")) {
        match line {
            "/**" => (documented, since) = (true, false),
            _ if line.starts_with(" *") => since |= line.contains("@since 0."),
            _ if line.starts_with("#define MLFF_")
                || (line.contains("mlff_") && !line.starts_with([' ', '}', '#'])) =>
            {
                assert!(documented && since, "no @since: {line}");
                (documented, since) = (false, false);
            }
            _ => {}
        }
    }
}

#[test]
fn strict_c99_and_cpp17_compilers_take_the_headers() {
    let dir = tempfile::tempdir().unwrap();
    let try_it = |name: &str, language: Language, text: &str| {
        let source = dir.path().join(name);
        std::fs::write(&source, text).unwrap();
        compile(language, &["-c"], &[&source], &dir.path().join("out.o"));
    };
    let c = "#include <mlff_student.h>\nextern int unused;\n";
    try_it("alone.c", Language::C99, c);
    try_it("alone.cpp", Language::Cpp17, c);
    try_it("twice.c", Language::C99, &format!("{c}{c}"));
    try_it("raii.cpp", Language::Cpp17, "#include <mlff_student.hpp>\nextern int unused;\n");
}

#[test]
fn every_struct_has_the_same_layout_in_c() {
    let mut text = String::from("#include <mlff_student.h>\n#include <stddef.h>\n");
    let mut check = |what: String, size: usize| {
        let line = text.lines().count();
        text += &format!("typedef char check_{line}[{what} == {size} ? 1 : -1];\n");
    };
    macro_rules! layout {
        ($name:ident: $($field:ident)+) => {
            check(format!("sizeof({})", stringify!($name)), size_of::<mlff_student::c_api::$name>());
            $(check(
                format!("offsetof({}, {})", stringify!($name), stringify!($field)),
                std::mem::offset_of!(mlff_student::c_api::$name, $field),
            );)+
        };
    }
    layout!(mlff_model_info: struct_size parameters cutoff energy_range architecture_name);
    layout!(mlff_options: struct_size threads engine check further);
    layout!(mlff_option_info: struct_size name values default_value about);
    layout!(mlff_calculator_info: struct_size memory exchanges seconds row_bytes reserved);
    layout!(mlff_check: struct_size structures structure outside overlaps atoms pairs);
    layout!(mlff_neighbor_list: struct_size species owner list_cutoff neighbor_mask reserved);
    layout!(mlff_results: struct_size energy virial stress atomic_energies forces atomic_virials);
    layout!(mlff_structure: struct_size species positions cell periodic reserved);
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("layout.c");
    std::fs::write(&source, text).unwrap();
    compile(Language::C99, &["-c"], &[&source], &dir.path().join("layout.o"));
}
