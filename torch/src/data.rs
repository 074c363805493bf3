//! Which frames are fitted, watched and held out.

use std::collections::BTreeMap;

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
        let mut strangers = 0_usize;
        for frame in dataset.frames.iter_mut().filter(|frame| frame.split.is_none()) {
            let watch = !says && watched(frame);
            strangers += usize::from(!says && family(frame).is_none());
            frame.split = Some(if watch { Split::Valid } else { Split::Train });
        }
        if strangers > 0 {
            eprintln!(
                "note: {strangers} frames name no split, no scaffold and no molecule: single ones of them are \
                 watched, and may resemble others that are trained on. Mark some with split=valid"
            );
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
        let mut digest = Digest::default();
        for frame in &dataset.frames {
            hash(frame, &mut digest);
        }
        let mut data = Self {
            train: Vec::new(),
            valid: Vec::new(),
            test: Vec::new(),
            fingerprint: digest.finish(),
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

/// What frames share that resemble each other.
fn family(frame: &Frame) -> Option<&str> {
    [&frame.scaffold, &frame.molecule].into_iter().map(|name| &**name).find(|name| !name.is_empty())
}

/// Families, not frames, are held back; a frame without one stands for itself.
fn watched(frame: &Frame) -> bool {
    let mut digest = Digest::default();
    digest.bytes(family(frame).unwrap_or(&frame.name).as_bytes());
    digest.finish().is_multiple_of(WATCHED)
}

fn hash(frame: &Frame, digest: &mut Digest) {
    digest.number(frame.species.len() as u64);
    digest.bytes(&frame.species);
    digest.bytes(frame.split.map_or("", Split::name).as_bytes());
    digest.floats(frame.positions.iter().chain(&frame.forces).flatten());
    for matrix in [&frame.cell, &frame.stress] {
        digest.number(u64::from(matrix.is_some()));
        digest.floats(matrix.iter().flatten().flatten());
    }
    digest.bytes(&frame.periodic.map(u8::from));
    digest.floats([&frame.energy]);
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
