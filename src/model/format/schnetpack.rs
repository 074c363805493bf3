//! SchNetPack's PaiNN: its tensor names and its order of channels.
//!
//! A state dict says neither which activation, cutoff function and ε were used nor the units;
//! SchNetPack's defaults are taken (silu, cosine, 1e-8), and Å and eV.

use std::collections::BTreeMap;

use super::tensors::Tensors;
use super::weights::Weights;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{
    Architecture, Basis, Block, Envelope, EnvelopePlace, Filter, Linear, Model, Norm, Update,
};

/// Parts of names that only this layout has.
pub const MARKS: [&str; 6] = [
    "radial_basis.",
    "cutoff_fn.",
    "filter_net.",
    "interatomic_context_net",
    "intraatomic_context_net",
    "outnet.",
];

/// Where the representation stands from, for finding what is put before every name.
pub const ANCHOR: &str = "representation.embedding.weight";

/// Under the root of the norm |V|.
const EPSILON: f64 = 1e-8;

/// The model that tensors of these names make.
pub fn read(found: Tensors) -> Result<Model> {
    let mut weights = Weights::new("SchNetPack's PaiNN", found.tensors);
    let (rows, hidden, embedding) = weights.matrix("representation.embedding.weight")?;
    let cutoff = weights.scalar("representation.cutoff_fn.cutoff")?;
    let basis = basis(&mut weights)?;
    let count = weights.count("representation.interactions").max(1);
    let filters = filters(&mut weights, basis.len(), hidden, count)?;

    let mut blocks = Vec::new();
    for (index, layer) in filters.into_iter().enumerate() {
        let net = |part: &str| format!("representation.{}", part.replace('#', &index.to_string()));
        let [first, second] = [
            "interactions.#.interatomic_context_net.0",
            "interactions.#.interatomic_context_net.1",
        ]
        .map(net);
        let mut sender = weights.mlp([&first, &second], hidden, hidden, 3 * hidden)?;
        reorder(&mut sender.second);
        let [first, second] =
            ["mixing.#.intraatomic_context_net.0", "mixing.#.intraatomic_context_net.1"].map(net);
        let mlp = weights.mlp([&first, &second], 2 * hidden, hidden, 3 * hidden)?;
        let channel_mix =
            weights.linear_without_bias(&net("mixing.#.mu_channel_mix"), hidden, 2 * hidden)?;
        blocks.push(Block {
            filter: Filter { layers: vec![layer], envelope: EnvelopePlace::Filter },
            sender: Some(sender),
            update: Update::Painn { channel_mix, mlp, norm: Norm::Root { epsilon: EPSILON } },
        });
    }
    let head = head(&mut weights, hidden)?;
    let mut reference_energies = offsets(&mut weights, rows)?;
    weights.finish()?;

    // SchNetPack cannot evaluate an element beyond its table of reference energies.
    let species = super::species(reference_energies.len());
    reference_energies.resize(rows, 0.0);
    Ok(Model {
        architecture: Architecture::Painn,
        hidden,
        vectors: hidden,
        cutoff,
        // SchNetPack divides r by d itself.
        softening: 0.0,
        embedding,
        species,
        reference_energies,
        basis,
        envelope: Envelope::Cosine,
        blocks,
        head,
        repulsion: None,
        energy_range: None,
        metadata: BTreeMap::new(),
    })
}

fn basis(weights: &mut Weights) -> Result<Basis> {
    let name = |part: &str| format!("representation.radial_basis.{part}");
    if weights.has(&name("freqs")) {
        return Ok(Basis::Bessel { frequencies: weights.vector(&name("freqs"), None)? });
    }
    let centers = weights.vector(&name("offsets"), None)?;
    let widths = weights.vector(&name("widths"), Some(centers.len()))?;
    if widths.contains(&0.0) {
        return Err(Error::new(
            ErrorKind::Format,
            format!("{}: expected positive widths, found 0", name("widths")),
        ));
    }
    let exponents = widths.iter().map(|width| 0.5 / (width * width)).collect();
    Ok(Basis::Gaussian { centers, exponents })
}

/// One filter layer for each block, cut from the one layer of the file; with shared filters that
/// layer serves every block.
fn filters(
    weights: &mut Weights,
    basis: usize,
    hidden: usize,
    blocks: usize,
) -> Result<Vec<Linear>> {
    let all = weights.linear("representation.filter_net", Some(basis), None)?;
    let shared = all.outputs == 3 * hidden;
    if !shared && all.outputs != blocks * 3 * hidden {
        return Err(Error::new(
            ErrorKind::Format,
            format!(
                "representation.filter_net.weight: expected {} rows (3 × {hidden} for each of \
                 {blocks} blocks) or {} (shared filters), found {}: the tensors do not belong to \
                 one network",
                blocks * 3 * hidden,
                3 * hidden,
                all.outputs
            ),
        ));
    }
    let cut = |block: usize| {
        let first = if shared { 0 } else { block * 3 * hidden };
        let rows = first..first + 3 * hidden;
        let mut layer = Linear {
            inputs: basis,
            outputs: 3 * hidden,
            weight: all.weight[rows.start * basis..rows.end * basis].to_vec(),
            bias: all.bias[rows].to_vec(),
        };
        reorder(&mut layer);
        layer
    };
    Ok((0..blocks).map(cut).collect())
}

/// From (s, u, v_j), as SchNetPack splits its rows, to (s, v_j, u).
fn reorder(layer: &mut Linear) {
    for values in [&mut layer.weight, &mut layer.bias] {
        let third = values.len() / 3;
        values[third..].rotate_left(third);
    }
}

fn head(weights: &mut Weights, hidden: usize) -> Result<Vec<Linear>> {
    let modules = weights.between("output_modules.", ".outnet.0.weight");
    match modules.as_slice() {
        [module] => weights.layers(&format!("output_modules.{module}.outnet"), 1, hidden, 1),
        [] => weights.layers("output_modules.0.outnet", 1, hidden, 1),
        several => Err(Error::new(
            ErrorKind::Unsupported,
            format!(
                "found {} output networks (output_modules.{}), expected one, for the energy: \
                 save the state dict of a model with the energy alone",
                several.len(),
                several.join(", ")
            ),
        )),
    }
}

/// What SchNetPack's `AddOffsets` adds for each atom, by atomic number: its own reference energy
/// and the mean of the training set.
fn offsets(weights: &mut Weights, rows: usize) -> Result<Vec<f64>> {
    let mut modules = weights.between("postprocessors.", ".mean");
    modules.extend(weights.between("postprocessors.", ".atomref"));
    modules.sort();
    modules.dedup();
    let mut used = Vec::new();
    let mut energies = vec![0.0; rows];
    for module in modules {
        let [atomref, mean] = ["atomref", "mean"].map(|n| format!("postprocessors.{module}.{n}"));
        let atomref = if weights.has(&atomref) { weights.column(&atomref)? } else { Vec::new() };
        let mean = if weights.has(&mean) { weights.scalar(&mean)? } else { 0.0 };
        // Both are always stored, and zero where they are switched off.
        let has_atomref = atomref.iter().any(|&energy| energy != 0.0);
        if !has_atomref && mean == 0.0 {
            continue;
        }
        if has_atomref {
            energies = atomref;
            energies.truncate(rows);
        }
        energies.iter_mut().for_each(|energy| *energy += mean);
        used.push(module);
    }
    if used.len() > 1 {
        return Err(Error::new(
            ErrorKind::Unsupported,
            format!(
                "several of postprocessors.{} add offsets, and which one is the energy's is not \
                 in the file: save the state dict of a model with that one alone",
                used.join(", ")
            ),
        ));
    }
    Ok(energies)
}
