//! Frames with labels, under the names that ASE gives them.

use std::path::Path;

use super::comment::{Comment, items};
use super::{Frame as Structure, Reader, number};
use crate::dataset::checks::{check_units, mixed_teachers};
use crate::dataset::{Frame, Source, Split};
use mlff_student::error::Result;

/// Reads a whole file; a label that is missing or broken leaves NaN or too few forces behind, for
/// which the frame is dropped.
pub(crate) fn read_labelled(path: &Path) -> Result<(Source, Vec<Frame>)> {
    let mut reader = Reader::open(path)?;
    let mut source = Source {
        path: reader.name.clone(),
        teacher: None,
        units: None,
        content_hash: None,
        frames: 0,
    };
    let mut frames = Vec::new();
    while let Some(structure) = reader.next_frame()? {
        let place = reader.place(&structure);
        // A number that was cut short still is a number.
        if !reader.line_is_whole() {
            return Err(reader.broken(
                "expected a line that ends, found the end of the file: it is truncated; copy it or \
                 write it again",
            ));
        }
        let value = |key| structure.comment.value(key).map(str::to_string);
        match (&source.teacher, value("teacher")) {
            (None, found) => source.teacher = found,
            (Some(expected), Some(found)) if *expected != found => {
                return Err(mixed_teachers(&place, expected, "the frames before", &found));
            }
            _ => {}
        }
        let units = value("units");
        check_units(&place, units.as_deref())?;
        source.units = source.units.or(units);
        frames.try_reserve(1)?;
        frames.push(labelled(structure, &reader.name).map_err(|error| error.within(place))?);
    }
    source.frames = frames.len();
    Ok((source, frames))
}

fn labelled(structure: Structure, file: &str) -> Result<Frame> {
    let text = |key| structure.comment.value(key).unwrap_or_default().to_string();
    let name = match text("name") {
        name if name.is_empty() => format!("{file}, frame {}", structure.number),
        name => name,
    };
    let temperature = structure.comment.value("temperature").and_then(number);
    Ok(Frame {
        name,
        kind: text("kind"),
        temperature: temperature.filter(|temperature| temperature.is_finite()),
        molecule: text("molecule"),
        scaffold: text("scaffold"),
        split: Split::read(&text("split"))?,
        species: structure.species.iter().map(|&z| u8::try_from(z).unwrap_or(0)).collect(),
        positions: structure.positions,
        cell: structure.cell.filter(|cell| cell.iter().flatten().any(|&value| value != 0.0)),
        periodic: structure.periodic,
        energy: energy(&structure.comment).and_then(number).unwrap_or(f64::NAN),
        forces: structure.forces,
        stress: structure.comment.value("stress").map(stress),
    })
}

/// ASE's key, or that of LAMMPS' dump extxyz, which means eV where LAMMPS has `units metal`.
fn energy(comment: &Comment) -> Option<&str> {
    comment.value("energy").or_else(|| comment.value("Potential_energy"))
}

/// Nine numbers, or NaN.
fn stress(text: &str) -> [[f64; 3]; 3] {
    let numbers: Option<Vec<f64>> = items(text).map(number).collect();
    let nine = numbers.as_deref().and_then(|numbers| numbers.as_chunks::<3>().0.try_into().ok());
    nine.filter(|_| items(text).count() == 9).unwrap_or([[f64::NAN; 3]; 3])
}
