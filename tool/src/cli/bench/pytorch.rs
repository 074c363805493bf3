//! The same network in PyTorch, in a process of its own that waits while the engine is timed.

use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde::Deserialize;

use super::system::System;
use mlff_student::engine::Device;
use mlff_student::error::{Error, ErrorKind, Result};
use mlff_student::model::Model;

const PROGRAM: &str = include_str!("../../../../benches/pytorch_student.py");

/// A running `benches/pytorch_student.py`.
pub(super) struct PyTorch {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
    /// What it computed for the system.
    pub(super) found: Found,
    // Dropped last, when the process has ended.
    _folder: Folder,
}

/// Results of PyTorch.
pub(super) struct Found {
    /// Version of PyTorch, and where it computes.
    pub(super) version: String,
    /// eV.
    pub(super) energy: f64,
    /// eV/Å.
    pub(super) forces: Vec<[f64; 3]>,
}

/// The program's first line.
#[derive(Deserialize)]
struct Ready {
    version: String,
    energy: f64,
    /// Why there is nothing to time.
    unusable: Option<String>,
}

fn io_error(what: impl std::fmt::Display, error: &io::Error) -> Error {
    Error::new(ErrorKind::Io, format!("{what}: {error}"))
}

impl PyTorch {
    /// Starts `python` and has energy and forces computed once on `device`; gives none, and says
    /// why, where PyTorch cannot use it.
    pub(super) fn start(
        python: &Path,
        model: &Model,
        system: &System,
        threads: u32,
        device: Device,
    ) -> Result<Option<Self>> {
        let device = match device {
            Device::Cpu => "cpu".to_owned(),
            Device::Cuda(index) => format!("cuda:{index}"),
        };
        let folder = Folder::new()?;
        write_input(&folder.0, model, system)?;
        let mut child = Command::new(python)
            .arg("-c")
            .arg(PROGRAM)
            .arg(&folder.0)
            .arg(threads.to_string())
            .arg(&device)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| {
                let message = format!(
                    "{}: cannot be started ({error}): give --python a Python that has torch",
                    python.display()
                );
                Error::new(ErrorKind::Io, message)
            })?;
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(Error::new(ErrorKind::Internal, "the Python process has no pipes"));
        };
        let found = Found { version: String::new(), energy: 0.0, forces: Vec::new() };
        let stdout = BufReader::new(stdout);
        let mut started = Self { child, stdin: Some(stdin), stdout, found, _folder: folder };
        let ready: Ready = started.answer()?;
        if let Some(why) = ready.unusable {
            let _ = writeln!(
                io::stderr(),
                "note: {why}, so PyTorch is not timed: give --python a Python whose torch has CUDA and the driver for it"
            );
            return Ok(None);
        }
        started.found = Found {
            version: format!("{} on {device}", ready.version),
            energy: ready.energy,
            forces: read_forces(&started._folder.0.join("forces"), system.atoms)?,
        };
        Ok(Some(started))
    }

    /// Computes energy and forces once more, `eager` or as TorchScript, `script`: the seconds it
    /// took.
    pub(super) fn run(&mut self, program: &str) -> Result<f64> {
        if let Some(stdin) = &mut self.stdin {
            // Where the process has ended, its missing answer is the better message.
            let _ = writeln!(stdin, "{program}").and_then(|()| stdin.flush());
        }
        self.answer()
    }

    fn answer<T: for<'a> Deserialize<'a>>(&mut self) -> Result<T> {
        let mut line = String::new();
        self.stdout.read_line(&mut line).map_err(|error| io_error("PyTorch's answer", &error))?;
        serde_json::from_str(&line).map_err(|_| {
            let message = format!(
                "the PyTorch process gave no result (found {line:?}): see its own message above; \
                 it needs a Python with torch, as `make bench` installs it"
            );
            Error::new(ErrorKind::Unsupported, message)
        })
    }
}

impl Drop for PyTorch {
    fn drop(&mut self) {
        // The end of its input ends it.
        self.stdin = None;
        let _ = self.child.wait();
    }
}

fn write_input(folder: &Path, model: &Model, system: &System) -> Result<()> {
    model.save(&folder.join("student.safetensors"))?;
    let write = |name: &str, bytes: Vec<u8>| {
        let path = folder.join(name);
        fs::write(&path, bytes).map_err(|error| io_error(path.display(), &error))
    };
    let integers =
        |values: &mut dyn Iterator<Item = i64>| values.flat_map(i64::to_le_bytes).collect();
    let vectors = |values: &mut dyn Iterator<Item = [f64; 3]>| {
        values.flatten().flat_map(f64::to_le_bytes).collect()
    };
    let atoms = 0..system.atoms;
    write("species", integers(&mut atoms.clone().map(|atom| i64::from(system.species[atom]))))?;
    write("positions", vectors(&mut atoms.map(|atom| system.positions[atom])))?;
    write("i", integers(&mut system.pairs().map(|pair| pair.i as i64)))?;
    write("j", integers(&mut system.pairs().map(|pair| pair.j as i64)))?;
    write("shifts", vectors(&mut system.pairs().map(|pair| pair.shift)))
}

fn read_forces(path: &Path, atoms: usize) -> Result<Vec<[f64; 3]>> {
    let bytes = fs::read(path).map_err(|error| io_error(path.display(), &error))?;
    let numbers: Vec<f64> =
        bytes.as_chunks::<8>().0.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect();
    let forces = numbers.as_chunks::<3>().0.to_vec();
    if forces.len() == atoms {
        return Ok(forces);
    }
    let message =
        format!("expected the forces of {atoms} atoms from PyTorch, found {}", forces.len());
    Err(Error::new(ErrorKind::Internal, message))
}

/// A folder for this process alone, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Result<Self> {
        let path = std::env::temp_dir().join(format!("mlff-student-bench-{}", std::process::id()));
        fs::create_dir(&path).map_err(|error| io_error(path.display(), &error))?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
