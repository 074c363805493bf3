//! What several tests need: the reference data, and calculators for them.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use mlff_student::ErrorKind;
use mlff_student::engine::{
    Calculator, Device, FilterMode, InstructionSet, Options, Precision, Structure,
};
use mlff_student::model::Model;
use serde::Deserialize;

use super::{root, shim};

/// One structure of `reference/cases`, with what the model gives for it.
#[derive(Clone, Debug, Deserialize)]
pub struct Case {
    pub name: String,
    pub atomic_numbers: Vec<i32>,
    pub positions: Vec<[f64; 3]>,
    pub cell: Option<[[f64; 3]; 3]>,
    pub pbc: [bool; 3],
    pub n_directed_pairs: Option<usize>,
    pub energy: f64,
    pub atomic_energies: Option<Vec<f64>>,
    pub forces: Vec<[f64; 3]>,
    pub strain_derivative: Option<[[f64; 3]; 3]>,
}

/// A path below the reference data beside the project.
pub fn reference(path: &str) -> PathBuf {
    let root = root().join("../shared/reference");
    let full = root.join(path);
    assert!(
        full.exists(),
        "{} is missing: these tests need the reference data (models and cases) in {}",
        full.display(),
        root.display()
    );
    full
}

/// The structures of one file in `reference/cases`.
pub fn cases(file: &str) -> Vec<Case> {
    let path = reference("cases").join(file);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let cases: Vec<Case> =
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    assert!(!cases.is_empty(), "{} holds no structures", path.display());
    cases
}

/// Every file in `reference/cases`.
pub const CASE_FILES: [&str; 6] = [
    "student-427k.json",
    "student-77k.json",
    "student-21k.json",
    "painn-64-gaussian.json",
    "painn-32-bessel.json",
    "recorded-md-77k.json",
];

/// A model of `reference/models`.
pub fn model(file: &str) -> Arc<Model> {
    let path = reference("models").join(file);
    Arc::new(Model::load(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display())))
}

impl Case {
    /// The structure alone.
    pub fn structure(&self) -> Structure<'_> {
        Structure {
            species: &self.atomic_numbers,
            positions: &self.positions,
            cell: self.cell,
            periodic: self.pbc,
        }
    }
}

/// `precision double`, `filter exact`.
pub fn oracle(model: &Arc<Model>) -> Calculator {
    let options =
        Options { precision: Precision::Double, filter: FilterMode::Exact, ..Options::default() };
    Calculator::new(Arc::clone(model), options).unwrap()
}

/// Calculators of default precision on every instruction set that this machine has.
pub fn fast(model: &Arc<Model>, threads: usize) -> Vec<Calculator> {
    [InstructionSet::Portable, InstructionSet::Avx2, InstructionSet::Avx512]
        .into_iter()
        .filter_map(|instruction_set| {
            let options = Options { threads, instruction_set, ..Options::default() };
            match Calculator::new(Arc::clone(model), options) {
                Ok(calculator) => Some(calculator),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
                    assert_ne!(instruction_set, InstructionSet::Portable, "{error}");
                    // Not through a macro, which the test harness would capture.
                    let _ = writeln!(
                        std::io::stderr(),
                        "\n*** {instruction_set:?} is NOT TESTED here: {error} ***\n"
                    );
                    None
                }
            }
        })
        .collect()
}

/// A calculator that runs the CUDA kernels, on this machine's processor.
pub fn cuda(model: &Arc<Model>) -> Calculator {
    shim::instead_of_a_gpu();
    let options = Options { device: Device::Cuda(0), ..Options::default() };
    Calculator::new(Arc::clone(model), options).unwrap()
}
