//! The training run: steps, looks at the validation frames, checkpoints, result.

use std::borrow::Borrow;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Instant;

use indicatif::{ProgressBar, ProgressStyle};
use mlff_student::engine::{self, Options};
use mlff_student::model::{EnergyRange, Model};
use mlff_student::{Error, ErrorKind, Result};
use mlff_student_tool::dataset::Frame;
use mlff_student_tool::validation::energy_range;
use tch::{Device, Kind, Tensor};

use crate::batch::{Batch, Radial, Sample};
use crate::checkpoint::{Beginning, CHECKPOINT, Checkpoint, Progress};
use crate::config::{Config, Training};
use crate::cuda;
use crate::curves::{self, Row};
use crate::data::{self, Data};
use crate::digest::Digest;
use crate::loss::Errors;
use crate::network::predict;
use crate::optimizer::Optimizer;
use crate::parameters::Parameters;
use crate::references;
use crate::trainable::TrainableModel;

/// Where the weights come from.
#[derive(Clone, Debug, Default)]
pub struct Start {
    /// A student of the same shape to go on from.
    pub from: Option<PathBuf>,
    /// Ignore a checkpoint.
    pub restart: bool,
    /// Stop after so many steps, with a checkpoint.
    pub most_steps: Option<u64>,
}

/// Batches that are made ahead of the step.
const AHEAD: usize = 4;

/// Trains as `config` says; returns where the student is.
pub fn run(config: &Config, start: &Start) -> Result<PathBuf> {
    let device = device(&config.training.device)?;
    tch::set_num_threads(config.training.threads as i32);
    let folder = &config.output.folder;
    std::fs::create_dir_all(folder).map_err(|error| {
        Error::new(ErrorKind::Io, format!("{}: cannot be made: {error}", folder.display()))
    })?;
    let _alone = lock(folder)?;
    let mut student = TrainableModel::new(&config.student)?;
    let data = Data::load(&config.data, &student, config.training.seed)?;
    let mut weights = Parameters::random(&student.shape, config.training.seed, device);
    // Hours before the first student is written: settings that no engine takes.
    student.model(&weights).map_err(|error| error.within("[student]"))?;
    let from = start.from.as_deref().map(Origin::load).transpose()?;
    let fingerprint = fingerprint(config, &data);
    let found = match start.restart {
        true => None,
        false => {
            let shape = (&weights.flat, student.species.len());
            find_checkpoint(folder, fingerprint, from.as_ref(), shape)?
        }
    };
    let beginning = match (&found, from) {
        (Some(found), _) => found.beginning.clone(),
        (None, Some(from)) => from.begin(&mut student, &mut weights)?,
        (None, None) => Beginning {
            from: None,
            earlier_samples: 0,
            earlier_data: String::new(),
            reference_energies: references::fit(&data.train, &student.species),
        },
    };
    student.reference_energies.clone_from(&beginning.reference_energies);
    let mut run = Run::new(config, student, weights, device, &data, fingerprint, beginning)?;
    if let Some(found) = found {
        run.resume(found);
    }
    if run.train(start.most_steps)? {
        run.look_at_held_out(&data.test)?;
        run.range_of(&data.train)?;
    }
    run.write_student()
}

/// Keeps a second run out of the folder, whose checkpoint both would write, for as long as the file
/// is open.
fn lock(folder: &Path) -> Result<File> {
    let path = folder.join("lock");
    let failed = |why: &dyn std::fmt::Display| {
        Error::new(ErrorKind::Io, format!("{}: cannot be locked: {why}", path.display()))
    };
    let file = File::create(&path).map_err(|error| failed(&error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(failed(
            &"another run trains in this folder: wait for it, or choose another output.folder",
        )),
        // Some network file systems have no locks.
        Err(TryLockError::Error(error)) if error.kind() == std::io::ErrorKind::Unsupported => {
            Ok(file)
        }
        Err(TryLockError::Error(error)) => Err(failed(&error)),
    }
}

/// A student to go on from.
struct Origin {
    path: PathBuf,
    model: Model,
    hash: u64,
}

impl Origin {
    fn load(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(|error| {
            Error::new(ErrorKind::Io, format!("{}: expected a student: {error}", path.display()))
        })?;
        let mut digest = Digest::default();
        digest.bytes(&bytes);
        let model = Model::load(path).map_err(|error| error.within(path.display()))?;
        Ok(Self { path: path.into(), model, hash: digest.finish() })
    }

    fn begin(&self, student: &mut TrainableModel, weights: &mut Parameters) -> Result<Beginning> {
        let taken = student.take(&self.model).map_err(|error| error.within(self.path.display()))?;
        weights.set(&taken.to_device(weights.flat.device()));
        eprintln!("going on from {}", self.path.display());
        Ok(Beginning {
            from: Some(self.hash),
            earlier_samples: samples_of(&self.model),
            earlier_data: data_of(&self.model),
            reference_energies: student.reference_energies.clone(),
        })
    }
}

/// Of the data, and of all in the configuration that the next step depends on by more than
/// rounding.
fn fingerprint(config: &Config, data: &Data) -> u64 {
    let mut digest = Digest::default();
    let Config { student, loss, .. } = config;
    let training = Training { device: String::new(), threads: 0, ..config.training.clone() };
    digest.bytes(format!("{student:?} {training:?} {loss:?}").as_bytes());
    digest.number(data.fingerprint);
    digest.number(data.train.len() as u64);
    digest.finish()
}

fn checkpoint_path(folder: &Path) -> PathBuf {
    folder.join(CHECKPOINT).with_extension("safetensors")
}

/// The run in this folder, where there is one; another run than was asked for is an error, and one
/// that is damaged: not of weights like these for so many elements.
fn find_checkpoint(
    folder: &Path,
    fingerprint: u64,
    from: Option<&Origin>,
    (weights, species): (&Tensor, usize),
) -> Result<Option<Checkpoint>> {
    let path = checkpoint_path(folder);
    if !path.exists() {
        return Ok(None);
    }
    let found = Checkpoint::load(&path)?;
    let refuse = |message: String| {
        Err(Error::new(ErrorKind::InvalidArgument, format!("{}: {message}", path.display())))
    };
    if found.fingerprint != fingerprint {
        return refuse(
            "this checkpoint is of other data or another configuration: choose another \
             output.folder, start anew with --restart, or go on from its student with --restart \
             --from"
                .into(),
        );
    }
    if let Some(from) = from.filter(|from| found.beginning.from != Some(from.hash)) {
        return refuse(format!(
            "this checkpoint is of a run that did not begin from {}: go on with that run without \
             --from, start anew with --restart, or choose another output.folder",
            from.path.display()
        ));
    }
    found.check(weights, species, &path)?;
    Ok(Some(found))
}

/// Frames that a student has seen, in all runs.
fn samples_of(model: &Model) -> u64 {
    ["training_samples", "earlier_samples"]
        .iter()
        .filter_map(|&key| model.metadata.get(key)?.parse::<u64>().ok())
        .sum()
}

/// Hashes of the data that a student has seen, in all runs, each once.
fn data_of(model: &Model) -> String {
    let known = ["earlier_training_data_hash", "training_data_hash"]
        .iter()
        .filter_map(|&key| model.metadata.get(key))
        .flat_map(|hashes| hashes.split(' '));
    let mut all: Vec<&str> = Vec::new();
    for hash in known {
        if !all.contains(&hash) {
            all.push(hash);
        }
    }
    all.join(" ")
}

/// The device of this name.
fn device(name: &str) -> Result<Device> {
    let index = match name.split_once(':') {
        None if name == "cpu" => return Ok(Device::Cpu),
        None if name == "cuda" => Some(0_usize),
        Some(("cuda", index)) => index.parse().ok(),
        _ => None,
    };
    cuda::load();
    let devices = tch::Cuda::device_count();
    match index {
        Some(index) if (index as i64) < devices => Ok(Device::Cuda(index)),
        Some(_) => Err(Error::new(
            ErrorKind::Unsupported,
            format!(
                "training.device: expected one of the {devices} CUDA devices that libtorch finds, \
                 found {name:?}: choose \"cpu\", or install a driver and a libtorch with CUDA"
            ),
        )),
        None => Err(Error::new(
            ErrorKind::InvalidArgument,
            format!("training.device: expected cpu, cuda or cuda:N, found {name:?}"),
        )),
    }
}

struct Run<'a> {
    config: &'a Config,
    student: TrainableModel,
    weights: Parameters,
    optimizer: Optimizer,
    device: Device,
    train: Arc<Vec<Sample>>,
    valid: Vec<Batch>,
    history: Vec<Row>,
    /// Since the last look.
    errors: Errors,
    /// Batches without a finite gradient, which change nothing.
    unusable: u64,
    progress: Progress,
    fingerprint: u64,
    beginning: Beginning,
    metadata: std::collections::BTreeMap<String, String>,
    /// Where energies of atoms begin to saturate; known when the run ends.
    energy_range: Option<EnergyRange>,
}

/// Frames that tell where energies of atoms begin to saturate: a million atoms.
const RANGE_FRAMES: usize = 50_000;

impl<'a> Run<'a> {
    fn new(
        config: &'a Config,
        student: TrainableModel,
        weights: Parameters,
        device: Device,
        data: &Data,
        fingerprint: u64,
        beginning: Beginning,
    ) -> Result<Self> {
        let train = data::samples(&data.train, &student)?;
        let watched = &data.valid[..data.valid.len().min(config.output.validation_frames)];
        let watched = data::samples(watched, &student)?;
        let valid: Vec<Batch> = batches(&watched, config, &student.radial()).collect();
        for (frames, name) in [(train.is_empty(), "train on"), (valid.is_empty(), "watch")] {
            if frames {
                return Err(Error::new(
                    ErrorKind::InvalidArgument,
                    format!("expected frames to {name}, found none: add some, or mark them"),
                ));
            }
        }
        let mut metadata = data.metadata.clone();
        if beginning.from.is_some() {
            metadata.insert("earlier_samples".into(), beginning.earlier_samples.to_string());
            metadata.insert("earlier_training_data_hash".into(), beginning.earlier_data.clone());
        }
        Ok(Self {
            config,
            optimizer: Optimizer::new(&weights.flat),
            student,
            weights,
            device,
            train: Arc::new(train),
            valid,
            history: Vec::new(),
            errors: Errors::default(),
            unusable: 0,
            progress: Progress::default(),
            fingerprint,
            beginning,
            metadata,
            energy_range: None,
        })
    }

    fn resume(&mut self, found: Checkpoint) {
        self.weights.set(&found.weights.to_device(self.device));
        self.optimizer = found.optimizer.to_device(self.device);
        self.history = found.history;
        (self.errors, self.unusable) = (found.errors, found.unusable);
        self.progress = found.progress;
        let path = checkpoint_path(&self.config.output.folder);
        eprintln!("going on after {} samples ({})", self.progress.samples, path.display());
    }

    fn save(&self) -> Result<()> {
        let state = Checkpoint {
            fingerprint: self.fingerprint,
            beginning: self.beginning.clone(),
            progress: self.progress,
            weights: self.weights.flat.to_device(Device::Cpu),
            optimizer: self.optimizer.to_device(Device::Cpu),
            history: self.history.clone(),
            errors: self.errors,
            unusable: self.unusable,
        };
        state.save(&checkpoint_path(&self.config.output.folder))?;
        curves::write(&self.history, &self.config.output.folder)?;
        self.write_student().map(|_| ())
    }

    /// Rises over the first samples, then falls to zero along a cosine.
    fn learning_rate(&self) -> f64 {
        let training = &self.config.training;
        let progress = self.progress();
        let share = match progress < training.warm_up {
            true => (progress / training.warm_up).max(1e-3),
            false => {
                let fall = (progress - training.warm_up) / (1.0 - training.warm_up);
                0.5 * (1.0 + (std::f64::consts::PI * fall.min(1.0)).cos())
            }
        };
        training.learning_rate * share
    }

    fn progress(&self) -> f64 {
        self.progress.samples as f64 / self.config.training.samples as f64
    }

    /// Steps until all samples were seen (true) or `most_steps` were taken.
    fn train(&mut self, most_steps: Option<u64>) -> Result<bool> {
        let total = self.config.training.samples;
        let bar = progress_bar(total);
        let (batches, maker) = self.batches();
        let (started, before) = (Instant::now(), self.progress.seconds);
        let (mut saved, mut steps) = (Instant::now(), 0);
        while self.progress.samples < total {
            if most_steps.is_some_and(|most| steps >= most) {
                break;
            }
            let Ok((batch, epoch, number)) = batches.recv() else { break };
            let (found, norm) = self.step(&batch);
            match norm.is_finite() {
                true => self.errors.add(&found),
                false => self.unusable += 1,
            }
            steps += 1;
            let seen = batch.structures() as u64;
            let before_look = self.progress.samples / self.config.output.validate_every;
            self.progress = Progress {
                epoch,
                batch: number + 1,
                samples: self.progress.samples + seen,
                seconds: before + started.elapsed().as_secs_f64(),
            };
            bar.set_position(self.progress.samples);
            bar.set_message(format!(
                "force {:.4} eV/Å, energy {:.2} meV/atom",
                self.errors.force_mae(),
                1e3 * self.errors.energy_mae()
            ));
            let done = self.progress.samples >= total;
            let look = self.progress.samples / self.config.output.validate_every != before_look;
            if done || look {
                let train = std::mem::take(&mut self.errors);
                let row = self.look(&train);
                bar.suspend(|| eprintln!("{}", sentence(&row, self.unusable)));
                self.history.push(row);
            }
            // The last state is saved behind the loop.
            let late = saved.elapsed().as_secs_f64() > self.config.output.checkpoint_every;
            if !done && (look || late) {
                self.save()?;
                saved = Instant::now();
            }
        }
        drop(batches);
        // The maker ends when nobody takes its batches.
        let maker = maker.join();
        bar.finish();
        self.save()?;
        let done = self.progress.samples >= total;
        if maker.is_err() && !done {
            return Err(Error::new(
                ErrorKind::Internal,
                format!(
                    "the thread that makes batches stopped after {} samples (its message is \
                     above): start the same command again to go on",
                    self.progress.samples
                ),
            ));
        }
        Ok(done)
    }

    fn step(&mut self, batch: &Batch) -> (Errors, f64) {
        let batch = &batch.to(Kind::Float, self.device);
        let (training, progress) = (&self.config.training, self.progress());
        let found = predict(&self.weights, batch, self.student.epsilon, true);
        let loss = self.config.loss.of(&found, batch, progress);
        let parts = Tensor::run_backward(&[loss], self.weights.leaves(), false, false);
        let parts: Vec<Tensor> = parts.iter().map(|part| part.reshape([-1])).collect();
        let rate = self.learning_rate();
        let gradient = Tensor::cat(&parts, 0);
        let norm = self.optimizer.step(&mut self.weights, &gradient, rate, training);
        (Errors::of(&found, batch), norm)
    }

    /// Makes batches in another thread, from this run's place on: epochs of all frames, each in an
    /// order of its own.
    fn batches(&self) -> (Receiver<(Batch, u64, u64)>, std::thread::JoinHandle<()>) {
        let (sender, receiver) = sync_channel(AHEAD);
        let (samples, radial) = (Arc::clone(&self.train), self.student.radial());
        let (seed, most) = (self.config.training.seed, self.config.training.pairs_per_batch);
        let mut place = self.progress;
        let maker = std::thread::spawn(move || {
            loop {
                let mut order: Vec<usize> = (0..samples.len()).collect();
                fastrand::Rng::with_seed(seed.wrapping_add(place.epoch << 32)).shuffle(&mut order);
                let runs = engine::runs(order.iter().map(|&index| samples[index].pairs()), most);
                for (number, run) in runs.into_iter().enumerate().skip(place.batch as usize) {
                    let batch =
                        Batch::new(order[run].iter().map(|&index| &samples[index]), &radial);
                    if sender.send((batch, place.epoch, number as u64)).is_err() {
                        return;
                    }
                }
                place.batch = 0;
                place.epoch += 1;
            }
        });
        (receiver, maker)
    }

    /// The averaged weights, as those of a network.
    fn averaged(&self) -> Parameters {
        Parameters::new(&self.student.shape, &self.optimizer.average)
    }

    fn errors_of(&self, batches: impl Iterator<Item = impl Borrow<Batch>>) -> Errors {
        let averaged = self.averaged();
        let mut errors = Errors::default();
        for batch in batches {
            let batch = batch.borrow().to(Kind::Float, self.device);
            errors
                .add(&Errors::of(&predict(&averaged, &batch, self.student.epsilon, false), &batch));
        }
        errors
    }

    fn look(&self, train: &Errors) -> Row {
        let valid = self.errors_of(self.valid.iter());
        Row {
            samples: self.progress.samples as f64,
            seconds: self.progress.seconds,
            learning_rate: self.learning_rate(),
            train_force_mae: train.force_mae(),
            train_energy_mae: train.energy_mae(),
            valid_force_mae: valid.force_mae(),
            valid_energy_mae: valid.energy_mae(),
            valid_stress_mae: valid.stress_mae(),
        }
    }

    fn look_at_held_out(&mut self, frames: &[Frame]) -> Result<()> {
        if frames.is_empty() {
            return Ok(());
        }
        let samples = data::samples(frames, &self.student)?;
        // One after the other: there may be many, and tensors take more room than samples.
        let errors = self.errors_of(batches(&samples, self.config, &self.student.radial()));
        for (key, value) in [
            ("test_frames", format!("{}", frames.len())),
            ("test_force_mae_eV_per_A", format!("{:.5}", errors.force_mae())),
            ("test_energy_mae_eV_per_atom", format!("{:.6}", errors.energy_mae())),
        ] {
            eprintln!("{key}: {value}");
            self.metadata.insert(key.into(), value);
        }
        Ok(())
    }

    /// Learns where energies of atoms begin to saturate.
    fn range_of(&mut self, frames: &[Frame]) -> Result<()> {
        let step = frames.len().div_ceil(RANGE_FRAMES);
        let frames: Vec<Frame> = frames.iter().step_by(step).cloned().collect();
        let model = self.student.model(&self.averaged())?;
        let options = Options { threads: self.config.training.threads, ..Options::default() };
        self.energy_range = Some(energy_range(&model, options, &frames, |_| {})?);
        Ok(())
    }

    fn write_student(&self) -> Result<PathBuf> {
        let output = &self.config.output;
        let mut model = self.student.model(&self.averaged())?;
        model.metadata = self.metadata.clone();
        model.energy_range.clone_from(&self.energy_range);
        let mut note = |key: &str, value: String| model.metadata.insert(key.into(), value);
        note("licence", output.licence.clone());
        note("training_samples", self.progress.samples.to_string());
        note("trained_until", time::OffsetDateTime::now_utc().date().to_string());
        // Empty where the sources are no checkout.
        if let Some(commit) = option_env!("MLFF_COMMIT").filter(|commit| !commit.is_empty()) {
            note("trainer_commit", commit.into());
        }
        if let Some(row) = self.history.last() {
            note("valid_force_mae_eV_per_A", format!("{:.5}", row.valid_force_mae));
            note("valid_energy_mae_eV_per_atom", format!("{:.6}", row.valid_energy_mae));
        }
        let path = output.folder.join(format!("{}.safetensors", output.name));
        model.save(&path)?;
        Ok(path)
    }
}

fn batches(samples: &[Sample], config: &Config, radial: &Radial) -> impl Iterator<Item = Batch> {
    engine::runs(samples.iter().map(Sample::pairs), config.training.pairs_per_batch)
        .into_iter()
        .map(|run| Batch::new(&samples[run], radial))
}

fn progress_bar(total: u64) -> ProgressBar {
    let style = ProgressStyle::with_template(
        "{wide_bar} {human_pos}/{human_len} samples, {per_sec}, {eta} left, {msg}",
    );
    ProgressBar::new(total).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

fn sentence(row: &Row, unusable: u64) -> String {
    let skipped = match unusable {
        0 => String::new(),
        count => format!(", {count} batches without a finite gradient were left out"),
    };
    format!(
        "{:>9} samples, {:>6.0} s: force {:.4} (train {:.4}) eV/Å, energy {:.2} (train {:.2}) \
         meV/atom, learning rate {:.1e}{skipped}",
        row.samples,
        row.seconds,
        row.valid_force_mae,
        row.train_force_mae,
        1e3 * row.valid_energy_mae,
        1e3 * row.train_energy_mae,
        row.learning_rate
    )
}
