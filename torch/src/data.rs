//! Which frames are fitted, watched and held out.

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};

use mlff_student::Result;
use mlff_student::dataset::{Dataset, Frame, Split};
use rayon::prelude::*;

use crate::batch::{Baseline, Sample, pairs};
use crate::config;
use crate::digest::Digest;
use crate::student::Student;

/// Share of the molecules that is watched where the files say nothing.
const WATCHED: u64 = 20;

/// Frames by what they are used for.
pub struct Data {
    /// Fitted.
    pub train: Vec<Frame>,
    /// Watched while fitting.
    pub valid: Vec<Frame>,
    /// Looked at once, at the end.
    pub test: Vec<Frame>,
    /// Of all frames and labels.
    pub fingerprint: u64,
    /// What a student's file says about the data.
    pub metadata: BTreeMap<String, String>,
}

impl Data {
    /// Reads the files and says what was left out.
    pub fn load(config: &config::Data, student: &Student, seed: u64) -> Result<Self> {
        let mut dataset = Dataset::load(&config.files)?;
        dataset.drop_unknown_elements(&student.species);
        let says = dataset.frames.iter().any(|frame| frame.split == Some(Split::Valid));
        for frame in dataset.frames.iter_mut().filter(|frame| frame.split.is_none()) {
            let watch = !says && watched(frame);
            frame.split = Some(if watch { Split::Valid } else { Split::Train });
        }
        dataset.drop_duplicates();
        drop_what_has_no_pairs(&mut dataset, student.cutoff);
        dataset.require_frames()?;
        for sentence in &dataset.notes {
            eprintln!("note: {sentence}");
        }
        for dropped in &dataset.dropped {
            eprintln!("note: {}", dropped.sentence());
        }
        let mut hasher = Digest::default();
        for frame in &dataset.frames {
            hash(frame, &mut hasher);
        }
        let mut data = Self {
            train: Vec::new(),
            valid: Vec::new(),
            test: Vec::new(),
            fingerprint: hasher.finish(),
            metadata: BTreeMap::new(),
        };
        data.describe(&dataset);
        for frame in dataset.frames {
            match frame.split {
                Some(Split::Valid) => data.valid.push(frame),
                Some(Split::Test) => data.test.push(frame),
                _ => data.train.push(frame),
            }
        }
        let mut order = fastrand::Rng::with_seed(seed);
        if config.most_frames > 0 {
            order.shuffle(&mut data.train);
            data.train.truncate(config.most_frames);
        }
        order.shuffle(&mut data.valid);
        eprintln!(
            "{} frames to train on, {} to watch, {} held out",
            data.train.len(),
            data.valid.len(),
            data.test.len()
        );
        data.metadata.insert("training_frames".into(), data.train.len().to_string());
        Ok(data)
    }

    fn describe(&mut self, dataset: &Dataset) {
        let hashes: Vec<&str> =
            dataset.sources.iter().filter_map(|source| source.content_hash.as_deref()).collect();
        let hash = match hashes.len() == dataset.sources.len() {
            true => hashes.join(" "),
            false => format!("{:016x}", self.fingerprint),
        };
        self.metadata.insert("training_data_hash".into(), hash);
        if let Some(teacher) = &dataset.teacher {
            self.metadata.insert("teacher".into(), teacher.clone());
        }
    }
}

/// Leaves out frames that no network can be evaluated on.
fn drop_what_has_no_pairs(dataset: &mut Dataset, cutoff: f64) {
    let bad: Vec<bool> =
        dataset.frames.par_iter().map(|frame| pairs(frame, cutoff).is_err()).collect();
    let mut bad = bad.into_iter();
    dataset.drop(|_| {
        let reason = "the student cannot be evaluated there (atoms at one place, bad cell)";
        bad.next().unwrap_or(false).then(|| reason.into())
    });
}

/// Molecules, not frames, are held back: frames of one molecule resemble each other.
fn watched(frame: &Frame) -> bool {
    let name =
        [&frame.scaffold, &frame.molecule, &frame.name].into_iter().find(|name| !name.is_empty());
    let mut hasher = Digest::default();
    name.hash(&mut hasher);
    hasher.finish().is_multiple_of(WATCHED)
}

fn hash(frame: &Frame, hasher: &mut Digest) {
    frame.species.hash(hasher);
    frame.split.hash(hasher);
    for vector in frame.positions.iter().chain(&frame.forces) {
        vector.map(f64::to_bits).hash(hasher);
    }
    for vector in [&frame.cell, &frame.stress].into_iter().flatten().flatten() {
        vector.map(f64::to_bits).hash(hasher);
    }
    (frame.periodic, frame.cell.is_some(), frame.stress.is_some()).hash(hasher);
    frame.energy.to_bits().hash(hasher);
}

/// Makes frames ready for a student, on all cores.
pub fn samples(frames: &[Frame], student: &Student) -> Result<Vec<Sample>> {
    let radial = student.radial();
    let baseline = Baseline {
        species: &student.species,
        reference_energies: &student.reference_energies,
        repulsion: student.repulsion.as_ref(),
    };
    frames.par_iter().map(|frame| Sample::new(frame, &radial, &baseline)).collect()
}
