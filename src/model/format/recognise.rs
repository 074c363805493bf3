//! Which network a bag of tensors is, by their names.

use std::collections::BTreeMap;

use super::tensors::{Tensor, Tensors, list};
use super::{native, published, schnetpack};
use crate::error::{Error, ErrorKind, Result};
use crate::model::Model;

/// Who names tensors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// This project's own model files.
    Native,
    /// The published students.
    Published,
    /// SchNetPack's PaiNN.
    SchNetPack,
}

impl Layout {
    /// The name used in `source_format`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Native => "mlff-student",
            Self::Published => "published",
            Self::SchNetPack => "schnetpack",
        }
    }
}

/// Parts of names that `DataParallel` and `torch.compile` put in.
const WRAPPERS: [&str; 2] = ["module", "_orig_mod"];

/// The counter of `torch.optim.swa_utils.AveragedModel`.
const AVERAGE_COUNTER: &str = "n_averaged";

/// Makes a model of tensors.
pub fn recognise(mut found: Tensors) -> Result<(Model, Layout)> {
    if native::is(&found) {
        return Ok((native::read(found)?, Layout::Native));
    }
    let (layout, _, anchor, read) = *most_marked(&found)?;
    found.tensors = strip_prefix(found.tensors, anchor)?;
    let settings = found.settings.clone();
    let mut model = read(found)?;
    if let Some(note) = contradictions(&settings, &model) {
        model.metadata.insert("note".to_string(), note);
    }
    Ok((model, layout))
}

/// Layouts that names tell: parts of names that no other has, the one name that ends every prefix,
/// the reader.
type Named = (Layout, &'static [&'static str], &'static str, fn(Tensors) -> Result<Model>);
const NAMED: [Named; 2] = [
    (Layout::Published, &published::MARKS, published::ANCHOR, published::read),
    (Layout::SchNetPack, &schnetpack::MARKS, schnetpack::ANCHOR, schnetpack::read),
];

/// The layout that most names point to; the first of several.
fn most_marked(found: &Tensors) -> Result<&'static Named> {
    let hits = |(_, marks, ..): &Named| {
        found.tensors.keys().filter(|name| marks.iter().any(|mark| name.contains(mark))).count()
    };
    let best = NAMED.iter().rev().max_by_key(|named| hits(named)).filter(|best| hits(best) > 0);
    best.ok_or_else(|| {
        let names: Vec<&String> = found.tensors.keys().collect();
        Error::new(
            ErrorKind::Format,
            format!(
                "expected the tensor names of a published student (rbf.centers, \
                 interactions.0.message.rbf_to_scalar.0.weight, …), of SchNetPack's PaiNN \
                 (representation.filter_net.weight, …) or a model file of mlff-student, found {}",
                list(&names)
            ),
        )
    })
}

/// Takes away what training scripts put before every name (`model.`, `module.`), found by the one
/// name that ends with `anchor`.
fn strip_prefix(
    tensors: BTreeMap<String, Tensor>,
    anchor: &str,
) -> Result<BTreeMap<String, Tensor>> {
    let unwrap = |name: &str| {
        let parts: Vec<&str> = name.split('.').filter(|part| !WRAPPERS.contains(part)).collect();
        parts.join(".")
    };
    let mut prefixes: Vec<String> = tensors
        .keys()
        .filter_map(|name| unwrap(name).strip_suffix(anchor).map(str::to_string))
        .filter(|prefix| prefix.is_empty() || prefix.ends_with('.'))
        .collect();
    if prefixes.len() > 1 {
        return Err(Error::new(
            ErrorKind::Format,
            format!(
                "found {} networks in one file (names before {anchor}: \"{}\"), expected one: \
                 save the student's state dict alone",
                prefixes.len(),
                prefixes.join("\", \"")
            ),
        ));
    }
    let prefix = prefixes.pop().unwrap_or_default();
    let mut stripped = BTreeMap::new();
    for (name, tensor) in tensors {
        let short = unwrap(&name);
        let short = short.strip_prefix(&prefix).unwrap_or(&short).to_string();
        if short == AVERAGE_COUNTER && tensor.values.len() == 1 {
            continue;
        }
        if stripped.insert(short, tensor).is_some() {
            return Err(Error::new(
                ErrorKind::Format,
                format!(
                    "found {name} twice, with and without a prefix such as module: save the \
                     student's state dict alone"
                ),
            ));
        }
    }
    Ok(stripped)
}

/// Where a configuration says something else than the shapes of the weights. The shapes are what
/// is evaluated: no other sizes fit them, while configurations get copied between runs.
fn contradictions(settings: &BTreeMap<String, String>, model: &Model) -> Option<String> {
    let sizes = [
        ("hidden_dim", model.hidden),
        ("num_interactions", model.blocks.len()),
        ("num_rbf", model.basis.len()),
    ];
    let mut notes = Vec::new();
    for (name, text) in settings {
        let last = name.rsplit('.').next();
        for (size, actual) in sizes {
            if last == Some(size) && text.parse() != Ok(actual) {
                notes.push(format!("the file's {name} is {text}, its tensors have {actual}"));
            }
        }
    }
    (!notes.is_empty()).then(|| notes.join("; "))
}
