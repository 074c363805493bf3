//! `libmlff_student.so` as the dynamic linker sees it.

use crate::support::root;
use std::process::Command;

use crate::support::toolchain::{library, stdout};

#[test]
fn the_exported_symbols_are_the_committed_list() {
    let committed = std::fs::read_to_string(root().join("tests/exported_symbols.txt")).unwrap();
    let listed = stdout(Command::new("nm").args(["-D", "--defined-only"]).arg(library()));
    let exported: String = listed
        .lines()
        .filter_map(|line| line.split(' ').nth(2))
        .map(|s| format!("{s}\n"))
        .collect();
    assert_eq!(exported, committed, "symbols are never removed, and added with @since");
}

#[test]
fn the_header_declares_every_exported_symbol_and_no_other() {
    let committed = std::fs::read_to_string(root().join("tests/exported_symbols.txt")).unwrap();
    let header = std::fs::read_to_string(root().join("include/mlff_student.h")).unwrap();
    let mut declared: Vec<&str> = header
        .lines()
        .filter(|line| !line.starts_with([' ', '/', '#']) && !line.starts_with("typedef"))
        .filter_map(|line| line.split_once('(')?.0.rsplit([' ', '*']).next())
        .collect();
    declared.sort_unstable();
    assert_eq!(declared, committed.lines().collect::<Vec<_>>());
}

#[test]
fn the_soname_carries_the_abi_version_and_the_library_stays_loaded() {
    let dynamic = stdout(Command::new("readelf").args(["-d", "-W"]).arg(library()));
    let soname = format!("[libmlff_student.so.{}]", env!("CARGO_PKG_VERSION_MAJOR"));
    assert!(dynamic.lines().any(|l| l.contains("(SONAME)") && l.contains(&soname)), "{dynamic}");
    assert!(dynamic.lines().any(|l| l.contains("FLAGS_1") && l.contains("NODELETE")), "{dynamic}");
}

#[test]
fn nothing_but_the_c_library_is_needed_at_run_time() {
    let dynamic = stdout(Command::new("readelf").args(["-d", "-W"]).arg(library()));
    let allowed = ["libc.so.6", "libm.so.6", "libgcc_s.so.1", "libpthread.so.0", "libdl.so.2"];
    for line in dynamic.lines().filter(|line| line.contains("(NEEDED)")) {
        let name = line.split(['[', ']']).nth(1).unwrap();
        assert!(allowed.contains(&name) || name.starts_with("ld-linux"), "{line}");
    }
}
