//! Frames that are not like the student's training data, as the student itself finds them.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Serialize;

use super::text::cell;
use super::{Compared, formula};
use mlff_student::model::Model;

/// How many of these frames are named.
const FIRST: usize = 20;

/// Frames with atoms far outside of what the student learned, and with atoms that overlap.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Outside {
    /// Whether the student says which energies its training data have. If not, only overlaps are
    /// looked for.
    pub has_energy_range: bool,
    /// Over all frames.
    pub overall: Counts,
    /// By kind of structure, where there are such frames.
    pub by_kind: BTreeMap<String, Counts>,
    /// The first of these frames, in the order of the data.
    pub first: Vec<OutsideFrame>,
}

/// How many frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// All of them.
    pub frames: usize,
    /// Those with atoms outside.
    pub frames_outside: usize,
    /// Atoms outside in these.
    pub atoms_outside: usize,
    /// Those with atoms that overlap.
    pub frames_with_overlaps: usize,
}

/// A frame that is not like the training data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OutsideFrame {
    /// Its name.
    pub name: String,
    /// Its kind; empty where unknown.
    pub kind: String,
    /// Its chemical formula.
    pub formula: String,
    /// Atoms outside, from 0.
    pub atoms_outside: Vec<u32>,
    /// Pairs of atoms that overlap.
    pub overlaps: Vec<[u32; 2]>,
}

impl Counts {
    fn add(&mut self, pair: &Compared<'_>) {
        let prediction = pair.prediction;
        self.frames += 1;
        self.frames_outside += usize::from(!prediction.outside.is_empty());
        self.atoms_outside += prediction.outside.len();
        self.frames_with_overlaps += usize::from(!prediction.overlaps.is_empty());
    }

    fn any(&self) -> bool {
        self.frames_outside + self.frames_with_overlaps > 0
    }
}

impl Outside {
    pub(super) fn new(model: &Model, pairs: &[Compared<'_>]) -> Self {
        let mut overall = Counts::default();
        let mut by_kind: BTreeMap<String, Counts> = BTreeMap::new();
        let mut first = Vec::new();
        for pair in pairs {
            let (frame, prediction) = (pair.frame, pair.prediction);
            overall.add(pair);
            by_kind.entry(frame.kind.clone()).or_default().add(pair);
            let found = !(prediction.outside.is_empty() && prediction.overlaps.is_empty());
            if found && first.len() < FIRST {
                first.push(OutsideFrame {
                    name: frame.name.clone(),
                    kind: frame.kind.clone(),
                    formula: formula(&frame.species),
                    atoms_outside: prediction.outside.clone(),
                    overlaps: prediction.overlaps.clone(),
                });
            }
        }
        by_kind.retain(|_, counts| counts.any());
        Self { has_energy_range: model.energy_range.is_some(), overall, by_kind, first }
    }

    /// For people, as Markdown.
    pub(super) fn markdown(&self) -> String {
        // Writing to a string cannot fail.
        let mut text = String::from("\n## Outside of the training data\n\n");
        let Counts { frames, frames_outside, atoms_outside, frames_with_overlaps } = self.overall;
        text += &match self.has_energy_range {
            true => format!(
                "{frames_outside} of {frames} frames have atoms ({atoms_outside} in all) whose \
                 energies are far outside of those of the student's training data, "
            ),
            false => {
                "The student does not say which energies its training data have (`mlff-student \
                      calibrate` finds them), so atoms outside are not looked for; "
                    .into()
            }
        };
        let _ = writeln!(
            text,
            "{frames_with_overlaps} have atoms nearer to each other than half of the sum of their \
             covalent radii."
        );
        if !self.overall.any() {
            return text;
        }
        text +=
            "\n| kind | frames | with atoms outside | with overlaps |\n| --- | --: | --: | --: |\n";
        for (kind, counts) in &self.by_kind {
            let Counts { frames, frames_outside, frames_with_overlaps, .. } = counts;
            let kind = cell(kind);
            let _ =
                writeln!(text, "| {kind} | {frames} | {frames_outside} | {frames_with_overlaps} |");
        }
        text += "\n| the first of these frames | kind | formula | atoms outside | overlaps |\n\
                 | --- | --- | --- | --- | --- |\n";
        for frame in &self.first {
            let atoms = listed(&frame.atoms_outside, u32::to_string);
            let pairs = listed(&frame.overlaps, |[i, j]| format!("{i}–{j}"));
            let (name, kind) = (cell(&frame.name), cell(&frame.kind));
            let _ = writeln!(text, "| {name} | {kind} | {} | {atoms} | {pairs} |", frame.formula);
        }
        text
    }
}

/// The first few.
fn listed<T>(items: &[T], name: impl Fn(&T) -> String) -> String {
    const MOST: usize = 8;
    let mut names: Vec<String> = items.iter().take(MOST).map(name).collect();
    if items.len() > MOST {
        names.push("…".into());
    }
    names.join(", ")
}
