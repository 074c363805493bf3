//! Model files, in and out.
//!
//! A file is read in two steps: its container gives [`Tensors`] (names, shapes, numbers), and
//! their names tell which network it is. Containers are recognised by content, never by the
//! file's name. Nothing in a file is ever executed, and memory is bounded by the file's size.

mod checkpoint;
mod cursor;
mod native;
mod onnx;
mod pickle;
mod published;
mod pytorch;
mod pytorch_legacy;
mod recognise;
pub mod safetensors;
mod schnetpack;
mod tensors;
mod weights;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use tensors::{Tensor, Tensors};

use super::{Model, Potential, SOURCE_FORMAT, Script};
use crate::error::{Error, ErrorKind, Result};
use crate::memory::ask_for;

impl Model {
    /// Reads a student from a file: this project's own safetensors, or a published student or
    /// SchNetPack PaiNN in a PyTorch, TorchScript, ONNX or safetensors file.
    ///
    /// The metadata entry [`SOURCE_FORMAT`] says which it was.
    pub fn load(path: &Path) -> Result<Self> {
        read_file(path)
            .and_then(|file| Self::from_bytes(&file))
            .map_err(|error| error.within(path.display()))
    }

    /// Reads what a file holds.
    pub fn from_bytes(file: &[u8]) -> Result<Self> {
        from_bytes(file)
    }

    /// What [`Self::save`] writes.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        self.validate()?;
        safetensors::write(&native::write(self)?)
    }

    /// Writes the student as this project's own safetensors file. The file appears complete or
    /// not at all.
    pub fn save(&self, path: &Path) -> Result<()> {
        let write =
            || replace(path, &self.to_bytes()?).map_err(|error| io_error("written", &error));
        write().map_err(|error| error.within(path.display()))
    }
}

/// See [`Potential::load`].
pub(super) fn load(path: &Path) -> Result<Potential> {
    let read = || {
        let file = read_file(path)?;
        match pytorch::description(&file)? {
            Some(description) => Ok(Potential::Script(Arc::new(Script::new(file, &description)?))),
            None => Ok(Potential::Student(Arc::new(Model::from_bytes(&file)?))),
        }
    };
    read().map_err(|error: Error| error.within(path.display()))
}

fn io_error(verb: &str, error: &io::Error) -> Error {
    let kind = match error.kind() {
        io::ErrorKind::OutOfMemory => ErrorKind::Memory,
        _ => ErrorKind::Io,
    };
    Error::new(kind, format!("the file cannot be {verb} ({error}): check the path and its rights"))
}

fn read_file(path: &Path) -> Result<Vec<u8>> {
    let failed = |error: io::Error| io_error("read", &error);
    // Looked at before it is opened: opening a pipe would wait for its other end.
    let metadata = fs::metadata(path).map_err(failed)?;
    if !metadata.is_file() {
        let found = if metadata.is_dir() { "a directory" } else { "a device or pipe" };
        return Err(Error::new(
            ErrorKind::Io,
            format!("expected a model file, found {found}: give the path of a file"),
        ));
    }
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(usize::try_from(metadata.len()).unwrap_or(usize::MAX))?;
    File::open(path)
        .and_then(|file| file.take(metadata.len()).read_to_end(&mut bytes))
        .map_err(failed)?;
    Ok(bytes)
}

/// What the readers of other crates need besides the file, generously (bytes).
const READERS: usize = 1 << 20;

fn from_bytes(file: &[u8]) -> Result<Model> {
    ask_for(file.len().saturating_add(READERS))?;
    let (container, found) = read_container(file)?;
    // Other containers have no metadata, only the settings of whoever trained the student.
    let metadata = match container {
        "safetensors" => {
            native::check_units(&found.settings)?;
            native::free_metadata(&found.settings)
        }
        _ => Default::default(),
    };
    let (mut model, layout) = recognise::recognise(found)?;
    model.metadata.extend(metadata);
    model.metadata.insert(SOURCE_FORMAT.to_string(), format!("{container}/{}", layout.name()));
    model.validate()?;
    Ok(model)
}

fn read_container(file: &[u8]) -> Result<(&'static str, Tensors)> {
    if file.is_empty() {
        return unknown("an empty file");
    }
    if file.starts_with(pytorch::MAGIC) {
        let (found, is_script) = pytorch::read(file)?;
        return Ok((if is_script { "torchscript" } else { "pytorch" }, found));
    }
    if safetensors::is(file) {
        return Ok(("safetensors", safetensors::read(file)?));
    }
    if file.starts_with(pytorch_legacy::MAGIC) {
        return Ok(("pytorch", pytorch_legacy::read(file)?));
    }
    if file.starts_with(onnx::MAGIC) {
        return Ok(("onnx", onnx::read(file)?));
    }
    let start: Vec<String> = file.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    unknown(&format!("a file that starts with the bytes {}", start.join(" ")))
}

fn unknown<T>(found: &str) -> Result<T> {
    Err(Error::new(
        ErrorKind::Format,
        format!(
            "expected a model file (safetensors, PyTorch, TorchScript or ONNX), found {found}: \
             save the student with torch.save(model.state_dict(), \"student.pt\")"
        ),
    ))
}

/// Elements of an embedding table whose rows are atomic numbers, if the file does not say which
/// ones were trained: all of them. Row 0 is padding.
fn species(rows: usize) -> Vec<u8> {
    const ELEMENTS: usize = 118;
    (1..=rows.saturating_sub(1).min(ELEMENTS) as u8).collect()
}

/// Writes a new file beside `path` and puts it in its place.
fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let (temporary, mut file) = create_beside(path)?;
    let written = file
        .write_all(content)
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        // The error that counts is the first one.
        let _ = fs::remove_file(&temporary);
    }
    written
}

fn create_beside(path: &Path) -> io::Result<(PathBuf, File)> {
    let name = path.file_name().ok_or_else(|| io::Error::other("the path names no file"))?;
    let mut attempt = 0_u64;
    loop {
        let mut temporary = std::ffi::OsString::from(".");
        temporary.push(name);
        temporary.push(format!(".{}-{attempt}", std::process::id()));
        let temporary = path.with_file_name(temporary);
        match OpenOptions::new().write(true).create_new(true).open(&temporary) {
            // Another thread's, or left behind by a process that was killed.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => attempt += 1,
            opened => return opened.map(|file| (temporary, file)),
        }
    }
}
