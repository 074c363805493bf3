//! `mlff-student bench`.

mod bandwidth;
mod library;
mod operations;
mod pytorch;
mod report;
mod summary;
mod system;
mod water;

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use self::library::{Calculator, Info, Library};
use self::pytorch::PyTorch;
use self::report::{Against, Comparison, Memory, Molecule, Report, Shares};
use self::summary::Summary;
use self::system::System;
use super::inspect::Form;
use super::options::{CalculatorOptions, Taken};
use super::{Failure, check_writable, load, print, to_json, write};
use mlff_student::engine::{Check, Device, InstructionSet, Options, Row, peak};
use mlff_student::error::{Error, ErrorKind, Result};

/// Where `make bench` puts PyTorch.
const PYTHON: &str = ".venv-bench/bin/python";

/// A round repeats its step for this long (s): clocks and schedulers disturb shorter ones.
const ROUND: f64 = 0.25;

/// How far PyTorch and the library, both with float32 features, may differ: in eV per atom, and in
/// eV/Å relative to the largest force or 1 eV/Å. At most 3e-7 and 7e-6 were found.
const ENERGY_TOLERANCE: f64 = 5e-6;
const FORCE_TOLERANCE: f64 = 1e-4;

/// Structures in a batch of small ones.
const BATCH: usize = 1024;

/// Speed of the installed library on liquid water and on a small molecule, beside the machine's
/// peak and PyTorch
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Student in any format that `inspect` reads; it must know H and O
    model: PathBuf,
    /// Atoms, rounded up to whole molecules; cubes of 3, 24, 81, 192, 375, 648, 1029, 1536 fill
    /// best
    #[arg(long, default_value_t = 1536, value_parser = clap::value_parser!(u32).range(3..=10_000_000))]
    atoms: u32,
    #[command(flatten)]
    options: CalculatorOptions<Timed>,
    /// libmlff_student.so to time [default: beside this tool, or ../lib]
    #[arg(long)]
    library: Option<PathBuf>,
    /// Python with torch, to time the same network beside it [default: .venv-bench/bin/python]
    #[arg(long)]
    python: Option<PathBuf>,
    /// Measurements, of which the median is taken; PyTorch's alternate with the library's
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
    /// Form of the output
    #[arg(long, value_enum, default_value = "text")]
    format: Form,
    /// File that gets the figures as JSON, beside what is printed; - is stdout, instead of the text
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// What the figures say, or what PyTorch can do too.
struct Timed;

impl Taken for Timed {
    fn takes(row: &Row) -> bool {
        ["device", "threads", "isa"].contains(&row.name)
    }
}

pub(super) fn run(arguments: &Arguments) -> std::result::Result<(), Failure> {
    let file = arguments.json.as_deref().filter(|&path| path != Path::new("-"));
    file.map_or(Ok(()), check_writable)?;
    let report = measure(arguments)?;
    let json = to_json(&report, false)? + "\n";
    if let Some(path) = file {
        write(path, &json)?;
    }
    let to_stdout = arguments.json.is_some() && file.is_none();
    print(&match arguments.format {
        Form::Text if !to_stdout => report.text(),
        _ => json,
    })
}

fn measure(arguments: &Arguments) -> Result<Report> {
    let library = match &arguments.library {
        Some(path) => Library::open(path)?,
        None => Library::open(&library::installed()?)?,
    };
    let model = load(&arguments.model)?;
    let scope = model.scope();
    for number in [1, 8] {
        if !scope.knows(number) {
            let message = scope.unknown_species(i32::from(number));
            return Err(Error::new(ErrorKind::Species, message).within("the system is water"));
        }
    }
    let water = System::water(arguments.atoms as usize, model.cutoff)?;
    // As in LAMMPS, where the plugin asks.
    let options = Options { check: Check::Report, ..arguments.options.options };
    let threads = options.threads.max(1) as u32;
    let on_processor = options.device == Device::Cpu;
    let mut engine = Engine::new(library.calculator(&arguments.model, &water, options)?)?;
    let python = python(arguments);
    let start = |system| {
        let Some(python) = &python else { return Ok(None) };
        PyTorch::start(python, &model, system, threads, options.device)
    };
    let mut pytorch = start(&water)?;
    let timed = pytorch.is_some();
    let difference =
        pytorch.as_ref().map(|pytorch| engine.compare(pytorch, water.atoms)).transpose()?;

    let rounds = usize::from(arguments.rounds);
    let mut times = Times::default();
    let before = engine.calculator.info()?;
    for round in 0..rounds {
        progress(round, rounds);
        if on_processor {
            times.peak.push(peak_of(threads, before.set)?);
            times.copy.push(bandwidth::copy(threads)?);
        }
        times.engine.push(repeat(|| engine.step())?);
        if let Some(pytorch) = &mut pytorch {
            times.eager.push(repeat(|| pytorch.run("eager"))?);
            times.script.push(repeat(|| pytorch.run("script"))?);
        }
    }
    progress(rounds, rounds);
    let after = engine.calculator.info()?;
    let rebuild = engine.rebuild()?;
    let fixed_memory = engine.fixed_memory;

    let per_atom = 1e6 / water.atoms as f64;
    let comparison = pytorch.zip(difference).map(|(pytorch, difference)| Comparison {
        version: pytorch.found.version.clone(),
        eager: Against::new(&times.eager, &times.engine, per_atom),
        torchscript: Against::new(&times.script, &times.engine, per_atom),
        energy_difference_per_atom: difference.energy,
        largest_force_difference: difference.force,
        largest_force: difference.largest_force,
    });
    drop(engine);
    let small = System::ethanol(model.cutoff)?;
    let molecule = match scope.knows(6) {
        true => {
            let calculator = library.calculator(&arguments.model, &small, options)?;
            // Where PyTorch was of no use for water, it is not asked again.
            let pytorch = if timed { start(&small)? } else { None };
            Some(molecule(calculator, pytorch, small.atoms, rounds)?)
        }
        false => None,
    };
    let step = Summary::new(&times.engine);
    let pairs = water.pairs().count() as f64 / water.atoms as f64;
    let operations = operations::per_atom(&model, pairs);
    let rate = operations * water.atoms as f64 / step.median;
    // The peak of a GPU is not measured.
    let peak = on_processor.then(|| Summary::new(&times.peak).max);
    Ok(Report {
        library: library.path().display().to_string(),
        version: library.version(),
        model: arguments.model.display().to_string(),
        architecture: model.architecture.name(),
        parameters: model.parameters(),
        atoms: water.atoms,
        edge: water.edge.unwrap_or(f64::NAN),
        pairs_per_atom: pairs,
        threads,
        instruction_set: match after.set {
            InstructionSet::Best => "cuda",
            set => set.name(),
        },
        rounds,
        microseconds_per_atom_step: step.times(per_atom),
        rebuild_microseconds_per_atom: per_atom * rebuild,
        share_of_time: shares(&before, &after),
        operations_per_atom_step: operations,
        gflops: 1e-9 * rate,
        peak_gflops: peak.map(|peak| 1e-9 * peak),
        peak_share: peak.map(|peak| rate / peak),
        copy_gigabytes_per_second: on_processor.then(|| 1e-9 * Summary::new(&times.copy).max),
        memory: Memory {
            fixed: fixed_memory,
            per_atom: after.memory.saturating_sub(fixed_memory) as f64 / water.atoms as f64,
        },
        load_average: load_average(),
        molecule,
        pytorch: comparison,
    })
}

/// Of each round: seconds of a step, operations per second.
#[derive(Default)]
struct Times {
    engine: Vec<f64>,
    batch: Vec<f64>,
    eager: Vec<f64>,
    script: Vec<f64>,
    peak: Vec<f64>,
    /// Bytes per second.
    copy: Vec<f64>,
}

/// A small molecule, from its positions alone: one call after the other, and in a batch.
fn molecule(
    calculator: Calculator<'_>,
    mut pytorch: Option<PyTorch>,
    atoms: usize,
    rounds: usize,
) -> Result<Molecule> {
    let mut engine = Engine::of_structures(calculator)?;
    if let Some(pytorch) = &pytorch {
        engine.compare(pytorch, atoms)?;
    }
    let mut forces = vec![Vec::new(); BATCH];
    let mut times = Times::default();
    for round in 0..rounds {
        progress(round, rounds);
        times.engine.push(repeat(|| engine.structure())?);
        times.batch.push(repeat(|| engine.batch(&mut forces))? / BATCH as f64);
        if let Some(pytorch) = &mut pytorch {
            times.eager.push(repeat(|| pytorch.run("eager"))?);
            times.script.push(repeat(|| pytorch.run("script"))?);
        }
    }
    progress(rounds, rounds);
    let against = |others: &Vec<f64>| {
        pytorch.as_ref().map(|_| Against::new(others, &times.engine, 1e6 / atoms as f64))
    };
    Ok(Molecule {
        name: "ethanol",
        atoms,
        microseconds: Summary::new(&times.engine).times(1e6),
        batch: BATCH,
        batch_microseconds: Summary::new(&times.batch).times(1e6),
        pytorch: against(&times.eager),
        torchscript: against(&times.script),
    })
}

struct Engine<'a> {
    calculator: Calculator<'a>,
    /// Bytes before there were atoms.
    fixed_memory: u64,
    energy: f64,
    forces: Vec<[f64; 3]>,
}

/// Between the library and PyTorch.
struct Difference {
    /// eV per atom.
    energy: f64,
    /// Largest of any component (eV/Å).
    force: f64,
    /// Largest component itself (eV/Å).
    largest_force: f64,
}

impl<'a> Engine<'a> {
    fn new(calculator: Calculator<'a>) -> Result<Self> {
        let fixed_memory = calculator.info()?.memory;
        let mut engine = Self { calculator, fixed_memory, energy: 0.0, forces: Vec::new() };
        engine.calculator.set_neighbor_list()?;
        // The first step also makes room.
        engine.step()?;
        engine.step()?;
        Ok(engine)
    }

    /// For structures without a list.
    fn of_structures(calculator: Calculator<'a>) -> Result<Self> {
        let mut engine = Self { calculator, fixed_memory: 0, energy: 0.0, forces: Vec::new() };
        engine.structure()?;
        Ok(engine)
    }

    /// Seconds of one structure, its list included.
    fn structure(&mut self) -> Result<f64> {
        let started = Instant::now();
        self.energy = self.calculator.compute_structure(&mut self.forces)?;
        Ok(started.elapsed().as_secs_f64())
    }

    /// Seconds of as many copies as `forces` has.
    fn batch(&mut self, forces: &mut [Vec<[f64; 3]>]) -> Result<f64> {
        let started = Instant::now();
        self.calculator.compute_batch(forces)?;
        Ok(started.elapsed().as_secs_f64())
    }

    /// Seconds of one step.
    fn step(&mut self) -> Result<f64> {
        let started = Instant::now();
        self.energy = self.calculator.compute(&mut self.forces)?;
        Ok(started.elapsed().as_secs_f64())
    }

    /// Seconds that a step with a new list takes longer than the next one; the list is taken by
    /// `set_neighbor_list`, and what follows from it is made at the next compute.
    fn rebuild(&mut self) -> Result<f64> {
        let mut found = Vec::new();
        for _ in 0..5 {
            let started = Instant::now();
            self.calculator.set_neighbor_list()?;
            let with_list = started.elapsed().as_secs_f64() + self.step()?;
            found.push(with_list - self.step()?);
        }
        Ok(Summary::new(&found).median)
    }

    fn compare(&self, pytorch: &PyTorch, atoms: usize) -> Result<Difference> {
        let found = &pytorch.found;
        let largest =
            |values: &mut dyn Iterator<Item = f64>| values.map(f64::abs).fold(0.0, f64::max);
        let pairs = self.forces.iter().flatten().zip(found.forces.iter().flatten());
        let difference = Difference {
            energy: (self.energy - found.energy).abs() / atoms as f64,
            force: largest(&mut pairs.map(|(a, b)| a - b)),
            largest_force: largest(&mut self.forces.iter().flatten().copied()),
        };
        let tolerance = FORCE_TOLERANCE * difference.largest_force.max(1.0);
        // NaN agrees with nothing.
        if difference.energy <= ENERGY_TOLERANCE && difference.force <= tolerance {
            return Ok(difference);
        }
        Err(Error::new(
            ErrorKind::Internal,
            format!(
                "PyTorch and the library disagree by {:.1e} eV/atom (expected up to \
                 {ENERGY_TOLERANCE:.0e}) and {:.1e} eV/Å (expected up to {tolerance:.0e}): what is \
                 not the same computation is not compared; please report it with the model",
                difference.energy, difference.force
            ),
        ))
    }
}

/// The Python to compare with, if there is one; else a line that says how to get it.
fn python(arguments: &Arguments) -> Option<PathBuf> {
    let default = PathBuf::from(PYTHON);
    let python = arguments.python.clone().or_else(|| default.is_file().then_some(default));
    if python.is_none() {
        let _ = writeln!(
            io::stderr(),
            "note: no {PYTHON} here, so PyTorch is not timed: `make bench` installs it, or give \
             --python PATH"
        );
    }
    python
}

/// Seconds of one `step`, the mean over a round.
fn repeat(mut step: impl FnMut() -> Result<f64>) -> Result<f64> {
    let (mut seconds, mut steps) = (0.0, 0);
    while seconds < ROUND {
        seconds += step()?;
        steps += 1;
    }
    Ok(seconds / f64::from(steps))
}

/// Operations per second of `threads` threads at once.
fn peak_of(threads: u32, set: InstructionSet) -> Result<f64> {
    let found = std::thread::scope(|scope| {
        let measuring: Vec<_> = (0..threads).map(|_| scope.spawn(move || peak(set))).collect();
        measuring.into_iter().map(|thread| thread.join().ok().flatten()).sum::<Option<f64>>()
    });
    found.ok_or_else(|| Error::new(ErrorKind::Internal, format!("no peak for {set:?}")))
}

fn shares(before: &Info, after: &Info) -> Shares {
    let spent: [f64; 7] = std::array::from_fn(|k| after.seconds[k] - before.seconds[k]);
    let total: f64 = spent.iter().sum();
    let [lists, pairs, forward, reverse, atoms, exchange, rest] =
        spent.map(|seconds| seconds / total);
    Shares { lists, pairs, forward, reverse, atoms, exchange, rest }
}

/// Of the last minute, where the system says it.
fn load_average() -> Option<f64> {
    std::fs::read_to_string("/proc/loadavg").ok()?.split(' ').next()?.parse().ok()
}

/// A line on stderr, where somebody watches and waits.
fn progress(done: usize, of: usize) {
    let mut stderr = io::stderr();
    if stderr.is_terminal() {
        let end = if done == of { "\n" } else { "" };
        let _ = write!(stderr, "\r{done} of {of} rounds {end}");
    }
}
