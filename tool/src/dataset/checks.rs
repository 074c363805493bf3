//! What makes a frame unfit, and frames or files that do not go together.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};

use super::{Dataset, Frame, Source, Split, UNITS};
use mlff_student::error::{Error, ErrorKind, Result};
use mlff_student::neighbors::neighborhood;
use mlff_student::vector::norm;

/// Positions closer than this are the same (Å): text files round.
const SAME: f64 = 1e-5;

/// Atoms are never so near to each other (Å): no method that makes labels is meant for it, and the
/// repulsion of two such nuclei, thousands of eV/Å, would outweigh all other errors.
const NEAREST: f64 = 0.1;

/// The highest atomic number that has a name.
const LAST_ELEMENT: u8 = 118;

impl Dataset {
    /// Leaves out frames whose labels or structure are not sound by themselves.
    pub(super) fn drop_defects(&mut self) {
        self.drop(|frame| defect(frame).map(str::to_string));
    }

    /// Leaves out held-out frames that training or an earlier split has too: errors on them would
    /// be flattering. Frames without a split are what is trained on.
    pub fn drop_duplicates(&mut self) {
        let mut duplicates = BTreeSet::new();
        let mut seen: HashMap<(u64, i64), Vec<usize>> = HashMap::new();
        for split in Split::ALL {
            // Those of one split are no duplicates of each other, and there may be many alike:
            // single atoms.
            let mut own = Vec::new();
            for (index, frame) in self.frames.iter().enumerate() {
                if used_as(frame) != split {
                    continue;
                }
                let (atoms, bin) = fingerprint(frame);
                let near = bin.saturating_sub(1)..=bin.saturating_add(1);
                let mut alike = near.filter_map(|bin| seen.get(&(atoms, bin)));
                let earlier =
                    |&other: &usize| self.frames.get(other).is_some_and(|other| same(other, frame));
                if alike.any(|indices| indices.iter().any(earlier)) {
                    duplicates.insert(index);
                } else {
                    own.push(((atoms, bin), index));
                }
            }
            for (place, index) in own {
                seen.entry(place).or_default().push(index);
            }
        }
        let mut index = 0;
        self.drop(|_| {
            index += 1;
            duplicates
                .contains(&(index - 1))
                .then(|| "the same structure is in an earlier split (train, valid, test)".into())
        });
    }

    /// Notes files that do not name their teacher, and scaffolds on both sides of the split.
    pub(super) fn note_what_is_unknown(&mut self) {
        for source in &self.sources {
            if source.teacher.is_none() {
                self.notes.push(format!(
                    "{} does not say which teacher made its labels: they are taken as of one \
                     method, in eV and Å",
                    source.path
                ));
            }
        }
        let mut scaffolds: BTreeMap<&str, BTreeSet<Split>> = BTreeMap::new();
        for frame in &self.frames {
            if !frame.scaffold.is_empty() {
                scaffolds.entry(&frame.scaffold).or_default().insert(used_as(frame));
            }
        }
        let shared: Vec<&str> = scaffolds
            .iter()
            .filter(|(_, splits)| splits.len() > 1)
            .map(|(name, _)| *name)
            .collect();
        if let Some(first) = shared.first() {
            self.notes.push(format!(
                "{} of {} scaffolds are in more than one split, {first} for one: errors on \
                 held-out molecules are too good there",
                shared.len(),
                scaffolds.len()
            ));
        }
    }
}

fn used_as(frame: &Frame) -> Split {
    frame.split.unwrap_or(Split::Train)
}

/// What is wrong with a frame by itself.
fn defect(frame: &Frame) -> Option<&'static str> {
    let finite = |rows: &[[f64; 3]]| rows.iter().flatten().all(|value| value.is_finite());
    let Frame { species, positions, cell, periodic, energy, forces, stress, .. } = frame;
    if species.is_empty() {
        Some("no atoms")
    } else if species.iter().any(|&z| z == 0 || z > LAST_ELEMENT) {
        Some("an atomic number outside 1 … 118")
    } else if positions.len() != species.len() || !finite(positions) {
        Some("positions that are no finite numbers")
    } else if cell.is_none() && periodic.contains(&true) {
        Some("periodic without a cell")
    } else if cell.is_some_and(|cell| !finite(&cell)) {
        Some("a cell that is no finite numbers")
    } else if !energy.is_finite() {
        Some("no energy, or one that is no finite number")
    } else if forces.len() != species.len() {
        Some("no forces, or not three for each atom")
    } else if !finite(forces) {
        Some("forces that are no finite numbers")
    } else if stress.is_some_and(|stress| !finite(&stress)) {
        Some("a stress that is not nine finite numbers")
    } else if has_near_atoms(frame) {
        Some("two atoms nearer to each other than 0.1 Å")
    } else {
        None
    }
}

/// Whether two atoms are nearer to each other than [`NEAREST`], images included. Cells that are no
/// cells are left to whoever computes with them.
fn has_near_atoms(frame: &Frame) -> bool {
    /// All pairs of so few atoms take less time than a list of near ones.
    const FEW: usize = 64;
    let Frame { positions, cell, periodic, .. } = frame;
    let near = |a: &[f64; 3], b: &[f64; 3]| norm(std::array::from_fn(|k| a[k] - b[k])) < NEAREST;
    if positions.len() <= FEW && *periodic == [false; 3] {
        let mut pairs = positions.iter().enumerate();
        return pairs.any(|(i, a)| positions[..i].iter().any(|b| near(a, b)));
    }
    let Ok(list) = neighborhood(positions, *cell, *periodic, NEAREST) else { return false };
    list.offsets.windows(2).enumerate().any(|(i, row)| {
        let neighbors = &list.neighbors[row[0]..row[1]];
        neighbors.iter().any(|&j| near(&positions[i], &list.place(positions, j).1))
    })
}

/// The teacher of all files, where they do not contradict each other.
pub(super) fn one_method(sources: &[Source]) -> Result<Option<String>> {
    let mut first: Option<(&Source, &str)> = None;
    for source in sources {
        check_units(&source.path, source.units.as_deref())?;
        match (first, source.teacher.as_deref()) {
            (None, Some(teacher)) => first = Some((source, teacher)),
            (Some((other, expected)), Some(found)) if expected != found => {
                return Err(mixed_teachers(&source.path, expected, &other.path, found));
            }
            _ => {}
        }
    }
    Ok(first.map(|(_, teacher)| teacher.to_string()))
}

/// An error for units other than [`UNITS`], where any are named.
pub(super) fn check_units(place: &str, units: Option<&str>) -> Result<()> {
    let Some(units) = units.filter(|&units| units != UNITS) else { return Ok(()) };
    Err(Error::new(
        ErrorKind::Format,
        format!(
            "{place}: expected units \"{UNITS}\", found {units:?}: convert energies to eV, \
             lengths to Å, forces to eV/Å and stresses to eV/Å³"
        ),
    ))
}

/// The error for labels of two methods.
pub(super) fn mixed_teachers(place: &str, expected: &str, other: &str, found: &str) -> Error {
    Error::new(
        ErrorKind::Format,
        format!(
            "{place}: expected labels of the teacher {expected:?} as in {other}, found {found:?}: \
             energies of two methods do not go together; give files of one teacher"
        ),
    )
}

/// A number that is equal for frames with the same atoms in the same order, and the bin of a
/// distance: the same structure is in this bin or the next, before or after.
fn fingerprint(frame: &Frame) -> (u64, i64) {
    /// Much wider than what rounding changes, much narrower than what motion does (Å).
    const BIN: f64 = 100.0 * SAME;
    let mut hasher = DefaultHasher::new();
    frame.species.hash(&mut hasher);
    let distance = match (frame.positions.first(), frame.positions.last()) {
        (Some(a), Some(b)) => norm(std::array::from_fn(|k| a[k] - b[k])),
        _ => 0.0,
    };
    (hasher.finish(), (distance / BIN) as i64)
}

fn same(a: &Frame, b: &Frame) -> bool {
    let close = |a: &[[f64; 3]], b: &[[f64; 3]]| {
        a.len() == b.len()
            && a.as_flattened().iter().zip(b.as_flattened()).all(|(a, b)| (a - b).abs() < SAME)
    };
    let cells = |frame: &Frame| frame.cell.unwrap_or_default();
    a.species == b.species
        && a.periodic == b.periodic
        && close(&a.positions, &b.positions)
        && close(&cells(a), &cells(b))
}
