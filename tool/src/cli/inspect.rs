//! `mlff-student inspect`.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;
use std::sync::Arc;

use clap::ValueEnum;
use serde::Serialize;

use super::measure::{Jump, Measure, ROUNDING, Rotation};
use super::{Failure, print, to_json};
use mlff_student::engine::{Calculator, Options};
use mlff_student::error::Result;
use mlff_student::model::{Basis, Envelope, Model, Norm, Potential, Script, symbol};

/// What a model is, how large it is, and which of its properties hold
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Model: .safetensors, .pt, .pth, .onnx or TorchScript
    model: PathBuf,
    /// Form of the output
    #[arg(long, value_enum, default_value = "text")]
    format: Form,
}

#[derive(Clone, Copy, ValueEnum)]
pub(super) enum Form {
    Text,
    Json,
}

#[derive(Serialize)]
struct Report {
    file: String,
    architecture: &'static str,
    hidden: usize,
    blocks: usize,
    basis: BasisReport,
    envelope: EnvelopeReport,
    /// `None`: |v|, as in the published students.
    norm: Option<NormReport>,
    /// ρ by chemical symbol (Å): a pair repels below ρ + ρ′.
    repulsion: Option<BTreeMap<&'static str, f64>>,
    /// Radius of a pair's core, as a share of ρ + ρ′; 0: none.
    core: f64,
    /// By chemical symbol, where energies of atoms begin to saturate (eV). `None`: they do not.
    energy_range: Option<BTreeMap<&'static str, [f64; 2]>>,
    /// Continuous second derivatives.
    smooth: bool,
    /// Widths of the readout's layers, from the hidden size to 1.
    head: Vec<usize>,
    parameters: usize,
    /// Å.
    cutoff: f64,
    species: Vec<&'static str>,
    memory: Memory,
    instruction_set: &'static str,
    rotation_invariant: bool,
    continuous_at_cutoff: bool,
    measured: Measured,
    metadata: BTreeMap<String, String>,
}

#[derive(Serialize)]
struct BasisReport {
    kind: &'static str,
    functions: usize,
}

#[derive(Serialize)]
struct EnvelopeReport {
    kind: &'static str,
    power: Option<u32>,
}

#[derive(Serialize)]
struct NormReport {
    kind: &'static str,
    /// Of the first block.
    epsilon: f64,
}

/// Bytes.
#[derive(Serialize)]
struct Memory {
    weights: usize,
    /// Of a calculator without a structure: filter tables, mainly.
    calculator: usize,
}

/// Energies in eV.
#[derive(Serialize)]
struct Measured {
    rotation: Rotation,
    cutoff: Vec<Jump>,
}

pub(super) fn run(arguments: &Arguments) -> std::result::Result<(), Failure> {
    let file = arguments.model.display().to_string();
    let text = match (Potential::load(&arguments.model)?, arguments.format) {
        (Potential::Student(model), form) => {
            let report = Report::new(file, &model)?;
            match form {
                Form::Json => to_json(&report, false)? + "\n",
                Form::Text => report.text(&model),
            }
        }
        (Potential::Script(script), Form::Json) => {
            to_json(&ScriptReport::new(file, &script), false)? + "\n"
        }
        (Potential::Script(script), Form::Text) => ScriptReport::new(file, &script).text(&script),
    };
    print(&text)
}

/// A TorchScript model; its network is not looked at.
#[derive(Serialize)]
struct ScriptReport {
    file: String,
    architecture: &'static str,
    /// Å.
    cutoff: f64,
    species: Vec<&'static str>,
    dtype: &'static str,
    metadata: BTreeMap<String, String>,
}

impl ScriptReport {
    fn new(file: String, script: &Script) -> Self {
        Self {
            file,
            architecture: "torchscript",
            cutoff: script.scope.cutoff,
            species: script.scope.species.iter().filter_map(|&z| symbol(z)).collect(),
            dtype: if script.float64 { "float64" } else { "float32" },
            metadata: script.metadata.clone(),
        }
    }

    fn text(&self, script: &Script) -> String {
        let mut text = format!(
            "{}: a TorchScript model, which libtorch evaluates\ncutoff    {} Å\nelements  {}\nnumbers   {}\n",
            self.file,
            self.cutoff,
            script.scope.species_list(),
            self.dtype
        );
        for (name, value) in &self.metadata {
            let _ = writeln!(text, "{name}: {value}");
        }
        text
    }
}

impl Report {
    fn new(file: String, model: &Arc<Model>) -> Result<Self> {
        let mut measure = Measure::new(model)?;
        let measured = Measured { rotation: measure.rotation()?, cutoff: measure.jumps()? };
        let calculator = Calculator::new(Arc::clone(model), Options::default())?;
        let head = model.head.iter().map(|layer| layer.outputs);
        Ok(Self {
            file,
            architecture: model.architecture.name(),
            hidden: model.hidden,
            blocks: model.blocks.len(),
            basis: BasisReport {
                kind: match model.basis {
                    Basis::Gaussian { .. } => "gaussian",
                    Basis::Bessel { .. } => "bessel",
                },
                functions: model.basis.len(),
            },
            envelope: EnvelopeReport {
                kind: model.envelope.name(),
                power: match model.envelope {
                    Envelope::Cosine => None,
                    Envelope::Polynomial { power } => Some(power),
                },
            },
            norm: model.norm().map(|norm| {
                let (Norm::Root { epsilon } | Norm::Shifted { epsilon }) = norm;
                NormReport { kind: norm.name(), epsilon }
            }),
            repulsion: model.repulsion.as_ref().map(|repulsion| {
                let radius = |&z: &u8| Some((symbol(z)?, *repulsion.radii.get(usize::from(z))?));
                model.species.iter().filter_map(radius).collect()
            }),
            core: model.core(),
            energy_range: model.energy_range.as_ref().map(|_| {
                let bounds = |&z: &u8| Some((symbol(z)?, model.energy_bounds(z)));
                model.species.iter().filter_map(bounds).collect()
            }),
            smooth: model.is_smooth(),
            head: std::iter::once(model.hidden).chain(head).collect(),
            parameters: model.parameters(),
            cutoff: model.cutoff,
            species: model.species.iter().filter_map(|&z| symbol(z)).collect(),
            memory: Memory { weights: model.bytes(), calculator: calculator.memory() },
            instruction_set: calculator.instruction_set().name(),
            rotation_invariant: measured.rotation.largest_energy_change < ROUNDING,
            continuous_at_cutoff: measured.cutoff.iter().all(|jump| jump.energy.abs() < ROUNDING),
            measured,
            metadata: model.metadata.clone(),
        })
    }

    fn text(&self, model: &Model) -> String {
        let Self { basis, memory, measured, .. } = self;
        let mut text = String::new();
        let mut line = |name: &str, value: String| {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{name:<20} {value}");
        };
        let head: Vec<String> = self.head.iter().map(usize::to_string).collect();
        line("file", self.file.clone());
        line("architecture", self.architecture.into());
        line("hidden", self.hidden.to_string());
        line("blocks", self.blocks.to_string());
        line("basis", format!("{} {} functions", basis.functions, basis.kind));
        line(
            "envelope",
            match self.envelope.power {
                None => self.envelope.kind.into(),
                Some(power) => format!("{}, power {power}", self.envelope.kind),
            },
        );
        line(
            "norm",
            match model.norm() {
                None => "|v|".into(),
                Some(Norm::Root { epsilon }) => format!("√(x² + {epsilon:e})"),
                Some(Norm::Shifted { epsilon }) => format!("√(x² + {epsilon}²) − {epsilon}"),
            },
        );
        let radii = self.repulsion.iter().flatten();
        let radii: Vec<String> = radii.map(|(symbol, r)| format!("{symbol} {r:.3}")).collect();
        line(
            "repulsion",
            match &self.repulsion {
                None => "none".into(),
                Some(_) => format!("ZBL, below the sum of radii (Å): {}", radii.join(", ")),
            },
        );
        line(
            "core",
            match self.core {
                0.0 => "none".into(),
                core => {
                    format!("{core} of that sum: inside it pairs look no closer to the network")
                }
            },
        );
        let ranges = self.energy_range.iter().flatten();
        let ranges: Vec<String> =
            ranges.map(|(symbol, [low, high])| format!("{symbol} {low:.2} to {high:.1}")).collect();
        line(
            "energies of atoms",
            match &self.energy_range {
                None => {
                    "without bounds, so that atoms outside of the training data are not found: \
                         mlff-student calibrate finds bounds"
                        .into()
                }
                Some(_) => format!("saturate beyond (eV): {}", ranges.join(", ")),
            },
        );
        let smooth = if self.smooth { "continuous" } else { "NOT continuous" };
        line("second derivatives", smooth.into());
        line("head", head.join(" → "));
        line("parameters", self.parameters.to_string());
        line("cutoff", format!("{} Å", self.cutoff));
        line("elements", model.scope().species_list());
        let kib = |bytes: usize| format!("{:.0} KiB", bytes as f64 / 1024.0);
        line(
            "memory",
            format!("weights {}, tables {}", kib(memory.weights), kib(memory.calculator)),
        );
        line("instruction set", self.instruction_set.into());
        let rotation = &measured.rotation;
        line(
            "rotation-invariant",
            format!(
                "{}: {} rotations of {} change the energy by up to {}",
                yes(self.rotation_invariant),
                rotation.rotations,
                rotation.structure,
                milli(rotation.largest_energy_change)
            ),
        );
        let jumps: Vec<String> = measured
            .cutoff
            .iter()
            .map(|jump| format!("{} {}", jump.structure, milli(jump.energy)))
            .collect();
        line(
            "continuous at cutoff",
            format!(
                "{}: energy just inside minus just outside: {}",
                yes(self.continuous_at_cutoff),
                jumps.join(", ")
            ),
        );
        for (key, value) in &self.metadata {
            line(key, shortened(key, value));
        }
        text
    }
}

/// A metadata entry in one line.
fn shortened(key: &str, value: &str) -> String {
    const SHOWN: usize = 12;
    let words: Vec<&str> = value.split_whitespace().collect();
    match words.as_slice() {
        _ if key.starts_with("test_") => {
            format!("{value} (over the frames that its training held out, of all kinds together)")
        }
        // The whole of them is in the JSON.
        [first, .., last] if words.iter().all(|word| word.len() == 64) => {
            format!("{} files: {}… to {}…", words.len(), &first[..SHOWN], &last[..SHOWN])
        }
        _ => value.into(),
    }
}

fn yes(holds: bool) -> &'static str {
    if holds { "yes" } else { "NO" }
}

fn milli(energy: f64) -> String {
    let milli = 1000.0 * energy;
    if milli == 0.0 {
        "0 meV".into()
    } else if milli.abs() < 0.1 {
        format!("{milli:.1e} meV")
    } else {
        format!("{milli:.1} meV")
    }
}
