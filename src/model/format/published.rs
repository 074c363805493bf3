//! The published students' tensor names.

use std::collections::BTreeMap;

use super::tensors::{Tensor, Tensors};
use super::weights::Weights;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Architecture, Basis, Block, Envelope, EnvelopePlace, Filter, Model, Update};

/// Parts of names that only this layout has.
pub const MARKS: [&str; 4] = ["rbf.centers", "rbf_to_scalar", "update_mlp", "energy_head"];

/// Where `embedding` stands from, for finding what is put before every name.
pub const ANCHOR: &str = "embedding.weight";

/// Added to the distance where the direction is formed: the published code's constant (Å).
const SOFTENING: f64 = 1e-8;

/// Rounding of the last center to bfloat16 moves it by less: 2⁻⁸.
const CUTOFF_TOLERANCE: f64 = 0.004;

const IDENTITY: [f64; 9] = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0];

/// The model that tensors of these names make.
pub fn read(found: Tensors) -> Result<Model> {
    let mut weights = Weights::new("the published students", found.tensors);
    let (rows, hidden, embedding) = weights.matrix("embedding.weight")?;
    let centers = weights.vector("rbf.centers", None)?;
    let widths = weights.vector("rbf.widths", Some(centers.len()))?;
    if let Some(width) = widths.iter().find(|&&width| width <= 0.0) {
        return Err(Error::new(
            ErrorKind::Format,
            format!("rbf.widths: expected positive widths, found {width}"),
        ));
    }
    let cutoff = cutoff(&found.settings, &centers)?;

    let count = weights.count("interactions");
    let mut blocks = Vec::new();
    for index in 0..count.max(1) {
        let block = |part: &str| format!("interactions.{index}.{part}");
        let filter = Filter {
            layers: weights.layers(
                &block("message.rbf_to_scalar"),
                2,
                centers.len(),
                3 * hidden,
            )?,
            envelope: EnvelopePlace::Basis,
        };
        let mixing = block("update.mixing_matrix");
        // The last block's reaches no output, so exporters to ONNX drop it; any value is right.
        let mixing = if index + 1 == count && !weights.has(&mixing) {
            IDENTITY
        } else {
            let Tensor { values, .. } = weights.take(&mixing, &[Some(3), Some(3)])?;
            std::array::from_fn(|at| values[at])
        };
        let [first, second] = ["update.update_mlp.0", "update.update_mlp.2"].map(block);
        let mlp = weights.mlp([&first, &second], 2 * hidden, hidden, 3 * hidden)?;
        blocks.push(Block { filter, sender: None, update: Update::Published { mlp, mixing } });
    }
    let head = weights.layers("energy_head", 2, hidden, 1)?;
    weights.finish()?;

    Ok(Model {
        architecture: Architecture::Published,
        hidden,
        vectors: hidden,
        cutoff,
        softening: SOFTENING,
        embedding,
        species: super::species(rows),
        reference_energies: vec![0.0; rows],
        basis: Basis::Gaussian {
            centers,
            exponents: widths.iter().map(|width| 1.0 / (width * width)).collect(),
        },
        envelope: Envelope::Cosine,
        blocks,
        head,
        repulsion: None,
        energy_range: None,
        metadata: BTreeMap::new(),
    })
}

/// The cutoff a configuration names, else the last center: the centers are spread evenly from 0
/// to the cutoff.
///
/// A configuration that disagrees with the centers belongs to something else (a data set's
/// neighbor list, say); without one that agrees, guessing would give wrong energies silently.
fn cutoff(settings: &BTreeMap<String, String>, centers: &[f64]) -> Result<f64> {
    let last = centers.last().copied().unwrap_or_default();
    let named: Vec<(&String, f64)> = settings
        .iter()
        .filter(|(name, _)| name.rsplit('.').next() == Some("cutoff"))
        .filter_map(|(name, text)| Some((name, text.parse::<f64>().ok()?)))
        .collect();
    let fits = |&&(_, value): &&(&String, f64)| (value - last).abs() <= CUTOFF_TOLERANCE * last;
    let mut fitting = named.iter().filter(fits);
    let refuse = |what: String| {
        let what_to_do = "correct the configuration, or save the state dict alone";
        Err(Error::new(ErrorKind::Format, format!("{what}: {what_to_do}")))
    };
    match (named.first(), fitting.next()) {
        (None, _) => Ok(last),
        (Some((name, other)), None) => refuse(format!(
            "{name} is {other} Å, but the last of rbf.centers, which is the cutoff, is {last} Å"
        )),
        (_, Some((name, cutoff))) => match fitting.find(|(_, other)| other != cutoff) {
            None => Ok(*cutoff),
            Some((second, other)) => {
                refuse(format!("{name} is {cutoff} Å, but {second} is {other} Å"))
            }
        },
    }
}
