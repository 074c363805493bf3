//! Structures in (extended) XYZ, read as ASE reads them, one frame at a time; LAMMPS' dumps and
//! data files too.
//!
//! A frame is a line with the number of atoms, a comment with `key=value` pairs, and a line for
//! each atom whose columns `Properties` describes.

mod columns;
mod comment;
mod labelled;
mod lammps;
#[cfg(test)]
mod tests;

use std::fmt::Display;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use columns::Atom;
use comment::Comment;
pub(super) use labelled::read_labelled;
use mlff_student::error::{Error, ErrorKind, Result};

/// Longer lines are no XYZ. A file that is something else takes up to 30 times as much memory: its
/// words.
const LONGEST_LINE: u64 = 16 << 20;

/// One structure.
pub(crate) struct Frame {
    /// Place in the file, from 1.
    number: usize,
    /// The line with the number of atoms, from 1.
    line: usize,
    pub(crate) species: Vec<i32>,
    /// Å.
    pub(crate) positions: Vec<[f64; 3]>,
    /// Lattice vectors, one per row (Å).
    pub(crate) cell: Option<[[f64; 3]; 3]>,
    pub(crate) periodic: [bool; 3],
    /// eV/Å; empty where the file has none in three columns.
    pub(crate) forces: Vec<[f64; 3]>,
    /// What else the comment line says.
    comment: Comment,
}

impl Frame {
    /// What a reader of the results should know and no rule forbids.
    pub(crate) fn note(&self) -> Option<&'static str> {
        self.comment.cell_is_lost.then_some(
            "LAMMPS' dump xyz does not say the box: computed as in free space; write periodic \
             systems by dump extxyz",
        )
    }
}

/// Reads frames one after the other.
pub(crate) struct Reader {
    name: String,
    input: Box<dyn BufRead>,
    /// Bytes, where the file has a size.
    size: Option<u64>,
    bytes: u64,
    lines: usize,
    frames: usize,
    line: Vec<u8>,
}

impl Reader {
    /// Opens a file; `-` is stdin.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        if path == Path::new("-") {
            return Ok(Self::new("stdin".into(), Box::new(io::stdin().lock()), None));
        }
        let name = path.display().to_string();
        let failed = |error: io::Error| {
            let message = format!("{name}: expected a file with structures: {error}");
            Error::new(ErrorKind::Io, message)
        };
        let file = File::open(path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        if metadata.is_dir() {
            return Err(failed(io::ErrorKind::IsADirectory.into()));
        }
        let size = metadata.is_file().then_some(metadata.len());
        Ok(Self::new(name, Box::new(BufReader::with_capacity(1 << 20, file)), size))
    }

    fn new(name: String, input: Box<dyn BufRead>, size: Option<u64>) -> Self {
        Self { name, input, size, bytes: 0, lines: 0, frames: 0, line: Vec::new() }
    }

    /// How many frames were read.
    pub(crate) fn frames(&self) -> usize {
        self.frames
    }

    /// How much of the file was read, where it has a size.
    pub(crate) fn share(&self) -> Option<f64> {
        self.size.filter(|&size| size > 0).map(|size| self.bytes as f64 / size as f64)
    }

    /// File, frame and line of a frame, for messages.
    pub(crate) fn place(&self, frame: &Frame) -> String {
        format!("{}, frame {}, line {}", self.name, frame.number, frame.line)
    }

    /// Whether the line that was read last ended before the file did.
    fn line_is_whole(&self) -> bool {
        self.line.ends_with(b"\n")
    }

    /// The next frame; `None` at the end of the file.
    pub(crate) fn next_frame(&mut self) -> Result<Option<Frame>> {
        let count = loop {
            match self.next_line()? {
                Some(line) if line.trim().is_empty() => {}
                Some(line) => break line.trim().to_string(),
                None if self.frames == 0 => {
                    return Err(Error::new(
                        ErrorKind::Format,
                        format!("{}: expected structures in XYZ, found none", self.name),
                    ));
                }
                None => return Ok(None),
            }
        };
        if count == lammps::DUMP {
            return self.dump_frame().map(Some);
        }
        let line = self.lines;
        let Ok(atoms) = count.parse::<usize>() else {
            let (lines, first) = (self.lines, self.frames == 0);
            if first && let Some(frame) = self.data_frame()? {
                return Ok(Some(frame));
            }
            (self.lines, self.frames) = (lines, self.frames + 1);
            return Err(self.broken(format!(
                "expected the number of atoms, found {}: check the number of atoms of the frame \
                 before, and that this is an XYZ file",
                quoted(&count)
            )));
        };
        self.frames += 1;
        let comment = match self.next_line()? {
            Some(line) => Comment::parse(&line),
            None => return Err(self.broken("expected a comment line, found the end of the file")),
        };
        let comment = comment.map_err(|error| self.here(error))?;
        let mut frame = Frame {
            number: self.frames,
            line,
            species: Vec::new(),
            positions: Vec::new(),
            cell: comment.cell,
            periodic: comment.periodic,
            forces: Vec::new(),
            comment,
        };
        for atom in 0..atoms {
            self.read_atom(atom, atoms, &mut frame)?;
        }
        Ok(Some(frame))
    }

    fn read_atom(&mut self, atom: usize, atoms: usize, frame: &mut Frame) -> Result<()> {
        let Some(line) = self.next_line()? else {
            return Err(self.broken(format!(
                "expected {atoms} atoms, found the end of the file after {atom}: the file is \
                 truncated, or the number of atoms is wrong"
            )));
        };
        let read = frame.comment.columns.read(&line);
        let Atom { species, position, force } =
            read.map_err(|error| self.here(error.within(format!("atom {atom} of {atoms}"))))?;
        // Grown with the lines that are really there: the number of atoms may be wrong.
        frame.species.try_reserve(1)?;
        frame.species.push(species);
        frame.positions.try_reserve(1)?;
        frame.positions.push(position);
        if let Some(force) = force {
            frame.forces.try_reserve(1)?;
            frame.forces.push(force);
        }
        Ok(())
    }

    /// The next line without its end; bytes that are no UTF-8 are replaced, since comments may be
    /// in any encoding.
    fn next_line(&mut self) -> Result<Option<String>> {
        self.line.clear();
        let read = (&mut self.input).take(LONGEST_LINE).read_until(b'\n', &mut self.line);
        match read {
            Ok(0) => return Ok(None),
            Ok(bytes) => self.bytes += bytes as u64,
            Err(error) => {
                let message = format!("{}: cannot be read: {error}", self.name);
                return Err(Error::new(ErrorKind::Io, message));
            }
        }
        self.lines += 1;
        if self.line.len() as u64 == LONGEST_LINE {
            return Err(self.broken(format!(
                "found a line of more than {LONGEST_LINE} bytes: this is no XYZ file"
            )));
        }
        let line = String::from_utf8_lossy(&self.line);
        Ok(Some(line.trim_end_matches(['\n', '\r']).to_string()))
    }

    fn broken(&self, message: impl Into<String>) -> Error {
        self.here(Error::new(ErrorKind::Format, message))
    }

    fn here(&self, error: Error) -> Error {
        error.within(format!("{}, frame {}, line {}", self.name, self.frames, self.lines))
    }
}

fn format_error<T>(message: String) -> Result<T> {
    Err(Error::new(ErrorKind::Format, message))
}

/// Text from a file for a message, shortened.
fn quoted(text: impl Display) -> String {
    let text = text.to_string();
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}

/// A number, with Fortran's exponents too (1.0D+00).
fn number(text: &str) -> Option<f64> {
    text.parse().ok().or_else(|| text.replace(['d', 'D'], "e").parse().ok())
}
