//! What a training run is told, in TOML.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use mlff_student::model::POWERS;
use mlff_student::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};

use crate::checkpoint::CHECKPOINT;

/// The whole file.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// What is learned from.
    pub data: Data,
    /// What is trained.
    pub student: StudentConfig,
    /// How it is trained.
    pub training: Training,
    /// The weights of the loss that is made small.
    pub loss: Loss,
    /// Where results go.
    pub output: Output,
}

/// `[data]`
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Data {
    /// Labelled structures, HDF5 or extended XYZ; relative to the configuration's folder.
    pub files: Vec<PathBuf>,
    /// Trains on this many frames at most, chosen at random; 0 means all (for learning curves).
    pub most_frames: usize,
    /// Least share of some kinds of frames in what is trained on: those of a kind that has too few
    /// are repeated, for example `shares = { crystal = 0.02 }`.
    pub shares: BTreeMap<String, f64>,
}

/// `[student]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct StudentConfig {
    /// Channels: 32, 64 and 128 have specialised kernels.
    pub hidden: usize,
    /// Vectors, at most as many as channels; 0 means as many.
    pub vectors: usize,
    /// Message-passing blocks.
    pub blocks: usize,
    /// Pairs with d ≤ cutoff take part (Å).
    pub cutoff: f64,
    /// Number of Bessel functions of the radial basis.
    pub basis: usize,
    /// Power p of the polynomial envelope.
    pub envelope_power: u32,
    /// ε of the norm √(x² + ε²) − ε.
    pub epsilon: f64,
    /// The repulsion ends at this multiple of the sum of the covalent radii; 0 leaves it out.
    pub repulsion: f64,
    /// Inside this share of the repulsion the network sees pairs no closer; 0 leaves that out.
    pub core: f64,
    /// Chemical symbols.
    pub species: Vec<String>,
}

/// `[training]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Training {
    /// Frames seen in all, repetitions counted.
    pub samples: u64,
    /// Directed pairs in a batch, at most.
    pub pairs_per_batch: usize,
    /// Highest learning rate.
    pub learning_rate: f64,
    /// Share of the samples in which the learning rate rises to it; afterwards it falls to zero
    /// along a cosine.
    pub warm_up: f64,
    /// Decoupled weight decay of matrices.
    pub weight_decay: f64,
    /// Largest norm of a gradient.
    pub gradient_clip: f64,
    /// Decay of the averaged weights, which are the result.
    pub average: f64,
    /// Seed of the first weights and of the order of frames.
    pub seed: u64,
    /// `cpu`, `cuda` or `cuda:N`.
    pub device: String,
    /// Threads on the CPU.
    pub threads: usize,
}

/// `[loss]`: Huber functions of errors per atom, in units of eV and Å.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Loss {
    /// Weight of |ΔF| (eV/Å).
    pub force: f64,
    /// Below this, the loss of a force is quadratic (eV/Å).
    pub force_huber: f64,
    /// Weight of |ΔE| per atom (eV) in the first two thirds.
    pub energy: f64,
    /// Weight of |ΔE| per atom at the end; it rises over the last third.
    pub energy_end: f64,
    /// Below this, the loss of an energy is quadratic (eV per atom).
    pub energy_huber: f64,
    /// Weight of |Δσ| on periodic frames (eV/Å³).
    pub stress: f64,
    /// Below this, the loss of a stress is quadratic (eV/Å³).
    pub stress_huber: f64,
}

/// `[output]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Output {
    /// Student, checkpoint and curves go here; relative to the configuration's folder.
    pub folder: PathBuf,
    /// The student's file is called this.
    pub name: String,
    /// Samples between looks at the validation frames.
    pub validate_every: u64,
    /// Validation frames looked at during training, at most.
    pub validation_frames: usize,
    /// Seconds between checkpoints.
    pub checkpoint_every: f64,
    /// Copied into the student's file.
    pub licence: String,
}

impl Default for StudentConfig {
    fn default() -> Self {
        Self {
            hidden: 64,
            vectors: 0,
            blocks: 2,
            cutoff: 5.0,
            basis: 20,
            envelope_power: 6,
            epsilon: 0.1,
            repulsion: 0.65,
            // At 0.5 of the sum of the covalent radii the repulsion rules alone.
            core: 0.77,
            species: ["H", "C", "N", "O", "F", "S", "Cl"].map(String::from).to_vec(),
        }
    }
}

impl Default for Training {
    fn default() -> Self {
        Self {
            samples: 1_000_000,
            pairs_per_batch: 4096,
            learning_rate: 4e-3,
            warm_up: 0.01,
            weight_decay: 1e-2,
            gradient_clip: 10.0,
            average: 0.999,
            seed: 1,
            device: "cpu".into(),
            threads: 1,
        }
    }
}

impl Default for Loss {
    fn default() -> Self {
        Self {
            force: 100.0,
            force_huber: 0.02,
            energy: 20.0,
            energy_end: 100.0,
            energy_huber: 0.001,
            stress: 1000.0,
            stress_huber: 0.0005,
        }
    }
}

impl Default for Output {
    fn default() -> Self {
        Self {
            folder: "student".into(),
            name: "student".into(),
            validate_every: 50_000,
            validation_frames: 1000,
            checkpoint_every: 300.0,
            licence: "MIT OR Apache-2.0".into(),
        }
    }
}

/// More of one kind would leave little of all others.
const MOST_SHARE: f64 = 0.5;

fn invalid<T>(message: String) -> Result<T> {
    Err(Error::new(ErrorKind::InvalidArgument, message))
}

impl Config {
    /// Reads and checks a file; paths in it become relative to the current folder.
    pub fn load(path: &Path) -> Result<Self> {
        let within = |error: Error| error.within(path.display());
        let text = std::fs::read_to_string(path).map_err(|error| {
            within(Error::new(ErrorKind::Io, format!("expected a configuration: {error}")))
        })?;
        let mut config = Self::parse(&text).map_err(within)?;
        let folder = path.parent().unwrap_or(Path::new(""));
        for file in &mut config.data.files {
            *file = folder.join(&*file);
        }
        config.output.folder = folder.join(&config.output.folder);
        Ok(config)
    }

    /// Reads and checks the text of a configuration.
    pub fn parse(text: &str) -> Result<Self> {
        let broken = |error: toml::de::Error| {
            Error::new(ErrorKind::Format, format!("expected TOML: {error}"))
        };
        let table: toml::Table = text.parse().map_err(broken)?;
        let known = toml::Table::try_from(Self::default()).map_err(|error| {
            Error::new(ErrorKind::Internal, format!("the defaults cannot be written: {error}"))
        })?;
        check_keys(&table, &known, "")?;
        let config: Self = table.try_into().map_err(broken)?;
        config.check()?;
        Ok(config)
    }

    /// Every key with its default, as TOML.
    pub fn defaults() -> Result<String> {
        toml::to_string(&Self::default()).map_err(|error| {
            Error::new(ErrorKind::Internal, format!("the defaults cannot be written: {error}"))
        })
    }

    fn check(&self) -> Result<()> {
        let Self { data, student, training, loss, output } = self;
        if data.files.is_empty() {
            return invalid("data.files: expected at least one file, found none".into());
        }
        for (name, size) in [
            ("student.hidden", student.hidden),
            ("student.blocks", student.blocks),
            ("student.basis", student.basis),
            ("training.pairs_per_batch", training.pairs_per_batch),
            ("training.threads", training.threads),
            ("training.samples", training.samples as usize),
            ("output.validate_every", output.validate_every as usize),
            ("output.validation_frames", output.validation_frames),
        ] {
            if size == 0 {
                return invalid(format!("{name}: expected at least 1, found 0"));
            }
        }
        for (kind, &share) in &data.shares {
            if !(share > 0.0 && share <= MOST_SHARE) {
                return invalid(format!(
                    "data.shares.{kind}: expected a number above 0 and up to {MOST_SHARE}, found \
                     {share}"
                ));
            }
        }
        for (name, value) in [
            ("student.cutoff", student.cutoff),
            ("student.epsilon", student.epsilon),
            ("training.learning_rate", training.learning_rate),
            ("training.gradient_clip", training.gradient_clip),
            ("loss.force_huber", loss.force_huber),
            ("loss.energy_huber", loss.energy_huber),
            ("loss.stress_huber", loss.stress_huber),
            ("output.checkpoint_every", output.checkpoint_every),
        ] {
            if !(value.is_finite() && value > 0.0) {
                return invalid(format!("{name}: expected a positive number, found {value}"));
            }
        }
        for (name, value) in [
            ("student.repulsion", student.repulsion),
            ("training.weight_decay", training.weight_decay),
            ("loss.force", loss.force),
            ("loss.energy", loss.energy),
            ("loss.energy_end", loss.energy_end),
            ("loss.stress", loss.stress),
        ] {
            if !(value.is_finite() && value >= 0.0) {
                return invalid(format!(
                    "{name}: expected zero or a positive number, found {value}"
                ));
            }
        }
        for (name, value) in
            [("training.warm_up", training.warm_up), ("training.average", training.average)]
        {
            if !(0.0..1.0).contains(&value) {
                return invalid(format!(
                    "{name}: expected a number from 0 to below 1, found {value}"
                ));
            }
        }
        if !(3..=*POWERS.end()).contains(&student.envelope_power) {
            return invalid(format!(
                "student.envelope_power: expected 3 or more, where second derivatives are \
                 continuous, and at most {}, found {}",
                POWERS.end(),
                student.envelope_power
            ));
        }
        for (name, number) in
            [("student.hidden", student.hidden), ("student.vectors", student.vectors)]
        {
            if number % 2 != 0 {
                return invalid(format!("{name}: expected an even number, found {number}"));
            }
        }
        if student.vectors > student.hidden {
            return invalid(format!(
                "student.vectors: expected at most {}, as many as student.hidden, found {}",
                student.hidden, student.vectors
            ));
        }
        if !(0.0..1.0).contains(&student.core) {
            return invalid(format!(
                "student.core: expected a number from 0 to below 1, found {}",
                student.core
            ));
        }
        // The student's file stands beside the checkpoint.
        let name = &output.name;
        if name.is_empty() || name.contains(['/', '\\']) || name.eq_ignore_ascii_case(CHECKPOINT) {
            return invalid(format!(
                "output.name: expected the name of a file without folder and ending, other than \
                 {CHECKPOINT:?}, found {name:?}"
            ));
        }
        Ok(())
    }
}

/// Refuses keys that the defaults lack, and names the nearest that they have.
fn check_keys(found: &toml::Table, known: &toml::Table, section: &str) -> Result<()> {
    for (key, value) in found {
        let Some(default) = known.get(key) else {
            let nearest = known
                .keys()
                .max_by(|a, b| strsim::jaro(a, key).total_cmp(&strsim::jaro(b, key)))
                .map_or("", String::as_str);
            let all: Vec<&str> = known.keys().map(String::as_str).collect();
            return invalid(format!(
                "{section}{key}: there is no such key; did you mean {section}{nearest}? Known \
                 here: {}",
                all.join(", ")
            ));
        };
        match (value, default) {
            // Keys of the user's own.
            (toml::Value::Table(_), toml::Value::Table(known)) if known.is_empty() => {}
            (toml::Value::Table(found), toml::Value::Table(known)) => {
                check_keys(found, known, &format!("{section}{key}."))?;
            }
            (_, toml::Value::Table(_)) => {
                return invalid(format!(
                    "{section}{key}: expected a section [{key}], found a value"
                ));
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::Config;

    #[test]
    fn an_unknown_key_names_the_nearest_known_one() {
        let text = "[data]\nfiles = [\"a.h5\"]\n[training]\nlearning_rat = 1e-3\n";
        let message = Config::parse(text).unwrap_err().to_string();
        assert!(message.contains("training.learning_rat: there is no such key"), "{message}");
        assert!(message.contains("did you mean training.learning_rate?"), "{message}");
        let message = Config::parse("[trainin]\nseed = 1\n").unwrap_err().to_string();
        assert!(message.contains("did you mean training?"), "{message}");
    }

    #[test]
    fn the_defaults_are_a_configuration_but_for_the_files() {
        let text = Config::defaults().unwrap().replace("files = []", "files = [\"a.h5\"]");
        assert_eq!(
            format!("{:?}", Config::parse(&text).unwrap().training),
            format!("{:?}", Config::default().training)
        );
    }

    #[test]
    fn what_is_not_said_is_default_and_what_is_wrong_is_refused() {
        let config = Config::parse("[data]\nfiles = [\"a.h5\"]\n[student]\nhidden = 32\n").unwrap();
        assert_eq!((config.student.hidden, config.student.blocks), (32, 2));
        for (line, expected) in [
            ("[student]\nhidden = 0", "student.hidden: expected at least 1"),
            ("[student]\nhidden = 33", "student.hidden: expected an even number"),
            ("[student]\nvectors = 31", "student.vectors: expected an even number"),
            ("[student]\nvectors = 66", "student.vectors: expected at most 64"),
            ("[student]\ncore = 1.0", "student.core: expected a number from 0"),
            ("[student]\ncutoff = -1.0", "student.cutoff: expected a positive number"),
            ("[training]\naverage = 1.0", "training.average: expected a number from 0"),
            ("[student]\nenvelope_power = 2", "student.envelope_power: expected 3"),
            ("[student]\nenvelope_power = 40", "at most 32, found 40"),
            ("[student]\nhidden = \"big\"", "expected TOML"),
            ("[output]\nvalidate_every = 0", "output.validate_every: expected at least 1"),
            ("[output]\nname = \"checkpoint\"", "output.name: expected the name of a file"),
            ("[output]\nname = \"runs/one\"", "output.name: expected the name of a file"),
            ("loss = 3", "loss: expected a section"),
            ("[data.shares]\ncrystal = 0.7", "data.shares.crystal: expected a number above 0"),
        ] {
            let text = format!("{line}\n[data]\nfiles = [\"a.h5\"]\n");
            let text = if line.starts_with("loss") { format!("{line}\n") } else { text };
            let message = Config::parse(&text).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
        assert!(Config::parse("").unwrap_err().to_string().contains("data.files"));
    }
}
