//! Which frames are fitted, watched and held out.

use std::collections::BTreeMap;

use mlff_student::error::{Error, ErrorKind, Result};
use mlff_student_tool::dataset::{Dataset, Frame, Split};
use rayon::prelude::*;

use crate::batch::{Baseline, Sample, pairs};
use crate::config;
use crate::digest::Digest;
use crate::trainable::TrainableModel;

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
    /// Hash of all frames and labels.
    pub fingerprint: u64,
    /// What a student's file says about the data.
    pub metadata: BTreeMap<String, String>,
}

impl Data {
    /// Reads the files and says what was left out.
    pub fn load(config: &config::Data, student: &TrainableModel, seed: u64) -> Result<Self> {
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
                "note: {strangers} frames name no split, no scaffold and no molecule: single ones \
                 of them are watched, and may resemble others that are trained on. Mark some with \
                 split=valid"
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
        data.repeat(&config.shares)?;
        Ok(data)
    }

    /// Repeats the frames of each kind that has less than its share of those to train on.
    fn repeat(&mut self, shares: &BTreeMap<String, f64>) -> Result<()> {
        let all = self.train.len() as f64;
        for (kind, share) in shares {
            let those: Vec<Frame> =
                self.train.iter().filter(|frame| frame.kind == *kind).cloned().collect();
            if those.is_empty() {
                return Err(Error::new(
                    ErrorKind::InvalidArgument,
                    format!(
                        "data.shares.{kind}: expected frames of this kind to train on, found none"
                    ),
                ));
            }
            let times = (share * all / those.len() as f64).ceil() as usize;
            for _ in 1..times {
                self.train.extend_from_slice(&those);
            }
            eprintln!("{} frames of kind {kind}, each {} times", those.len(), times.max(1));
        }
        Ok(())
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
pub fn samples(frames: &[Frame], student: &TrainableModel) -> Result<Vec<Sample>> {
    let radial = student.radial();
    let baseline = Baseline {
        species: &student.species,
        reference_energies: &student.reference_energies,
        repulsion: student.repulsion.as_ref(),
    };
    frames.par_iter().map(|frame| Sample::new(frame, &radial, &baseline)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: &str, x: f64) -> Frame {
        Frame {
            name: String::new(),
            kind: kind.into(),
            temperature: None,
            molecule: String::new(),
            scaffold: String::new(),
            split: Some(Split::Train),
            species: vec![1],
            positions: vec![[x, 0.0, 0.0]],
            cell: None,
            periodic: [false; 3],
            energy: 0.0,
            forces: vec![[0.0; 3]],
            stress: None,
        }
    }

    #[test]
    fn frames_of_a_rare_kind_are_repeated_up_to_their_share() {
        let common = (0..96).map(|k| frame("trajectory", f64::from(k)));
        let rare = (0..4).map(|k| frame("crystal", f64::from(k)));
        let train = common.chain(rare).collect();
        let mut data = Data {
            train,
            valid: Vec::new(),
            test: Vec::new(),
            fingerprint: 0,
            metadata: BTreeMap::new(),
        };
        data.repeat(&BTreeMap::from([("trajectory".into(), 0.1)])).unwrap();
        assert_eq!(data.train.len(), 100);
        data.repeat(&BTreeMap::from([("crystal".into(), 0.1)])).unwrap();
        let crystals: Vec<f64> =
            data.train.iter().filter(|f| f.kind == "crystal").map(|f| f.positions[0][0]).collect();
        assert_eq!(data.train.len(), 108);
        assert_eq!(crystals.iter().filter(|&&x| x == 3.0).count(), 3);
        let error = data.repeat(&BTreeMap::from([("metal".into(), 0.1)])).unwrap_err();
        assert!(error.to_string().contains("data.shares.metal"), "{error}");
    }
}
