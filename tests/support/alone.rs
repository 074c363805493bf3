//! Tests of what a whole process shares: environment variables, counters, memory.

use std::process::Command;

/// Names the test that a process was started for.
const ALONE: &str = "MLFF_TEST_ALONE";

/// Whether this process runs the test `name` (with its modules) and nothing else. Where it does
/// not, a new one runs it, and its failure is this test's.
pub fn alone(name: &str) -> bool {
    if std::env::var(ALONE).as_deref() == Ok(name) {
        return true;
    }
    let mut program = Command::new(std::env::current_exe().unwrap());
    program.args(["--exact", name, "--nocapture", "--test-threads=1"]);
    program.env(ALONE, name);
    let output = program.output().unwrap();
    let said =
        [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    assert!(output.status.success(), "{name}: {}{}", said[0], said[1]);
    assert!(said[0].contains("1 passed"), "no test {name}: {}", said[0]);
    eprintln!("{}", said[1]);
    false
}
