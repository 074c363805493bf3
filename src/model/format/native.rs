//! This project's own model files: safetensors with everything a [`Model`] holds.
//!
//! `docs/src/reference/model-files.md` lists the names.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;

use super::tensors::{Tensor, Tensors};
use super::weights::Weights;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{
    Architecture, Basis, Block, EnergyRange, Envelope, EnvelopePlace, Filter, Model, Norm,
    Repulsion, SOURCE_FORMAT, Update, atomic_number, symbol,
};

/// Raised when a file of this version cannot be read by the version before. Version 2: cores,
/// ranges of energies, fewer vectors than scalars.
const VERSION: u32 = 2;

const FORMAT: &str = "mlff-student";
const UNITS: &str = "angstrom, electronvolt";

/// Metadata that describe the network; a model's own metadata must not use these names.
const RESERVED: [&str; 15] = [
    "format",
    "format_version",
    "architecture",
    "hidden",
    "vectors",
    "blocks",
    "basis",
    "cutoff",
    "softening",
    "envelope",
    "envelope_power",
    "envelope_place",
    "norm",
    "species",
    "units",
];

/// Whether the metadata are this format's.
pub fn is(found: &Tensors) -> bool {
    found.settings.get("format").is_some_and(|format| format == FORMAT)
}

/// Refuses a safetensors file of any layout whose metadata name other units than eV and Å, or more
/// than these.
pub fn check_units(settings: &BTreeMap<String, String>) -> Result<()> {
    let Some(units) = settings.get("units") else { return Ok(()) };
    const OURS: [&str; 5] = ["electronvolt", "ev", "angstrom", "å", "a"];
    let small = units.to_lowercase();
    let words = small.split(|letter: char| !letter.is_alphabetic());
    if words.filter(|word| !word.is_empty()).all(|word| OURS.contains(&word)) {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Unsupported,
        format!(
            "expected units \"{UNITS}\", found \"{units}\": convert the weights to eV and Å, or \
             remove the entry where it is wrong"
        ),
    ))
}

/// Metadata of a safetensors file that describe no network: kept with the model.
pub fn free_metadata(settings: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let is_free = |name: &str| !RESERVED.contains(&name) && name != SOURCE_FORMAT;
    settings
        .iter()
        .filter(|(name, _)| is_free(name))
        .map(|(name, text)| (name.clone(), text.clone()))
        .collect()
}

/// All that a file holds of a model.
pub fn write(model: &Model) -> Result<Tensors> {
    if let Some(name) = model.metadata.keys().find(|name| RESERVED.contains(&name.as_str())) {
        return Err(Error::new(
            ErrorKind::InvalidArgument,
            format!("the metadata entry {name} would hide the model's own: give it another name"),
        ));
    }
    let symbols: Vec<&str> = model.species.iter().filter_map(|&number| symbol(number)).collect();
    let (basis, place) = (basis_name(&model.basis), model.envelope_place());
    let described = [
        ("format", FORMAT.to_string()),
        ("format_version", version_of(model).to_string()),
        ("architecture", model.architecture.name().to_string()),
        ("hidden", model.hidden.to_string()),
        ("blocks", model.blocks.len().to_string()),
        ("basis", basis.to_string()),
        ("cutoff", model.cutoff.to_string()),
        ("softening", model.softening.to_string()),
        ("envelope", model.envelope.name().to_string()),
        ("envelope_place", place_name(place).to_string()),
        ("species", symbols.join(" ")),
        ("units", UNITS.to_string()),
    ];
    let mut settings = free_metadata(&model.metadata);
    settings.extend(described.map(|(name, text)| (name.to_string(), text)));
    if let Envelope::Polynomial { power } = model.envelope {
        settings.insert("envelope_power".to_string(), power.to_string());
    }
    if model.vectors != model.hidden {
        settings.insert("vectors".to_string(), model.vectors.to_string());
    }
    if let Some(norm) = model.norm() {
        settings.insert("norm".to_string(), norm.name().to_string());
    }
    let mut tensors = BTreeMap::new();
    for (name, shape, values) in model.arrays() {
        tensors.insert(name, Tensor { shape, values: values.to_vec() });
    }
    Ok(Tensors { tensors, settings })
}

/// The lowest version that can say what the model is.
fn version_of(model: &Model) -> u32 {
    let new = model.core() > 0.0 || model.energy_range.is_some() || model.vectors != model.hidden;
    if new { VERSION } else { 1 }
}

/// Makes the model of a file's content.
pub fn read(found: Tensors) -> Result<Model> {
    let settings = Settings(&found.settings);
    let version: u32 = settings.parse("format_version")?;
    if version > VERSION {
        return Err(Error::new(
            ErrorKind::Unsupported,
            format!(
                "the model file has format version {version}, this build reads up to {VERSION}: \
                 use a newer mlff-student"
            ),
        ));
    }
    settings.choose("units", &[(UNITS, ())])?;
    let envelope = settings.envelope()?;
    let choices = [Architecture::Published, Architecture::Painn].map(|a| (a.name(), a));
    let architecture = settings.choose("architecture", &choices)?;
    let choices = [EnvelopePlace::Basis, EnvelopePlace::Filter].map(|p| (place_name(p), p));
    let place = settings.choose("envelope_place", &choices)?;
    let family = settings.family(architecture)?;
    let is_bessel = settings.choose("basis", &[("gaussian", false), ("bessel", true)])?;
    let hidden: usize = settings.parse("hidden")?;
    let vectors = match found.settings.contains_key("vectors") {
        true => settings.parse("vectors")?,
        false => hidden,
    };
    let count: usize = settings.parse("blocks")?;
    let species = settings.species()?;
    let (cutoff, softening) = (settings.parse("cutoff")?, settings.parse("softening")?);
    let metadata = free_metadata(&found.settings);

    let mut weights = Weights::new("mlff-student's model files", found.tensors);
    let (rows, columns, embedding) = weights.matrix("embedding")?;
    check("hidden", hidden, columns)?;
    check("blocks", count, weights.count("blocks"))?;
    let reference_energies = weights.vector("reference_energies", Some(rows))?;
    let basis = if is_bessel {
        Basis::Bessel { frequencies: weights.vector("basis.frequencies", None)? }
    } else {
        let centers = weights.vector("basis.centers", None)?;
        let exponents = weights.vector("basis.exponents", Some(centers.len()))?;
        Basis::Gaussian { centers, exponents }
    };
    let mut blocks = Vec::new();
    for index in 0..count {
        let sizes = Sizes { basis: basis.len(), hidden, vectors };
        blocks.push(read_block(&mut weights, index, place, family, sizes)?);
    }
    let head = weights.layers("head", 1, hidden, 1)?;
    let repulsion = match weights.has("repulsion.radii") {
        true => Some(Repulsion {
            radii: weights.vector("repulsion.radii", Some(rows))?,
            core: match weights.has("repulsion.core") {
                true => weights.scalar("repulsion.core")?,
                false => 0.0,
            },
        }),
        false => None,
    };
    let energy_range = match weights.has("energy_range") {
        true => {
            let bounds = weights.take("energy_range", &[Some(rows), Some(2)])?.values;
            Some(EnergyRange { bounds: bounds.as_chunks().0.to_vec() })
        }
        false => None,
    };
    weights.finish()?;
    Ok(Model {
        architecture,
        hidden,
        vectors,
        cutoff,
        softening,
        embedding,
        species,
        reference_energies,
        basis,
        envelope,
        blocks,
        head,
        repulsion,
        energy_range,
        metadata,
    })
}

/// Makes a norm of its ε.
type NormOf = fn(f64) -> Norm;

/// What settings say of an architecture's blocks.
#[derive(Clone, Copy)]
enum Family {
    Published,
    Painn(NormOf),
}

/// Sizes of the layers of a block.
#[derive(Clone, Copy)]
struct Sizes {
    basis: usize,
    hidden: usize,
    vectors: usize,
}

fn read_block(
    weights: &mut Weights,
    index: usize,
    envelope: EnvelopePlace,
    family: Family,
    Sizes { basis, hidden, vectors }: Sizes,
) -> Result<Block> {
    // Any number that the file says: shapes are compared with it.
    let [both, row] =
        [1, 2].map(|times: usize| hidden.saturating_add(vectors.saturating_mul(times)));
    let name = |part: &str| format!("blocks.{index}.{part}");
    let mlp = |weights: &mut Weights, part: &str, inputs: usize| {
        let [first, second] = ["first", "second"].map(|layer| name(&format!("{part}.{layer}")));
        weights.mlp([&first, &second], inputs, hidden, row)
    };
    let filter = Filter { layers: weights.layers(&name("filter"), 1, basis, row)?, envelope };
    let update = mlp(weights, "update", both)?;
    Ok(match family {
        Family::Published => {
            let mixing = weights.take(&name("update.mixing"), &[Some(3), Some(3)])?.values;
            let mixing = std::array::from_fn(|at| mixing[at]);
            Block { filter, sender: None, update: Update::Published { mlp: update, mixing } }
        }
        Family::Painn(norm) => Block {
            filter,
            sender: Some(mlp(weights, "sender", hidden)?),
            update: Update::Painn {
                channel_mix: weights.linear_without_bias(
                    &name("update.channel_mix"),
                    vectors,
                    vectors.saturating_mul(2),
                )?,
                mlp: update,
                norm: norm(weights.scalar(&name("update.epsilon"))?),
            },
        },
    })
}

fn basis_name(basis: &Basis) -> &'static str {
    match basis {
        Basis::Gaussian { .. } => "gaussian",
        Basis::Bessel { .. } => "bessel",
    }
}

fn place_name(place: EnvelopePlace) -> &'static str {
    match place {
        EnvelopePlace::Basis => "basis",
        EnvelopePlace::Filter => "filter",
    }
}

fn wrong<T>(name: &str, expected: impl Display, found: impl Display) -> Result<T> {
    Err(Error::new(
        ErrorKind::Format,
        format!(
            "metadata entry {name}: expected {expected}, found {found}: write the file anew with \
             mlff-student convert"
        ),
    ))
}

fn check(name: &str, said: usize, found: usize) -> Result<()> {
    if said == found { Ok(()) } else { wrong(name, found, said) }
}

struct Settings<'a>(&'a BTreeMap<String, String>);

impl Settings<'_> {
    fn text(&self, name: &str) -> Result<&str> {
        match self.0.get(name) {
            Some(text) => Ok(text),
            None => wrong(name, "an entry", "none"),
        }
    }

    fn parse<T: FromStr>(&self, name: &str) -> Result<T> {
        let text = self.text(name)?;
        text.parse().or_else(|_| wrong(name, "a number", text))
    }

    fn choose<T: Copy>(&self, name: &str, choices: &[(&str, T)]) -> Result<T> {
        let text = self.text(name)?;
        match choices.iter().find(|(choice, _)| *choice == text) {
            Some((_, value)) => Ok(*value),
            None => {
                let names: Vec<&str> = choices.iter().map(|(choice, _)| *choice).collect();
                wrong(name, names.join(" or "), text)
            }
        }
    }

    fn envelope(&self) -> Result<Envelope> {
        let has_power = self.choose("envelope", &[("cosine", false), ("polynomial", true)])?;
        match (has_power, self.0.get("envelope_power")) {
            (true, _) => Ok(Envelope::Polynomial { power: self.parse("envelope_power")? }),
            (false, None) => Ok(Envelope::Cosine),
            (false, Some(power)) => wrong("envelope_power", "none (the envelope is cosine)", power),
        }
    }

    fn family(&self, architecture: Architecture) -> Result<Family> {
        let choices: [(_, NormOf); 2] = [
            ("root", |epsilon| Norm::Root { epsilon }),
            ("shifted", |epsilon| Norm::Shifted { epsilon }),
        ];
        match (architecture, self.0.get("norm")) {
            (Architecture::Painn, _) => self.choose("norm", &choices).map(Family::Painn),
            (Architecture::Published, None) => Ok(Family::Published),
            (Architecture::Published, Some(norm)) => {
                wrong("norm", "none (published students have |v|)", norm)
            }
        }
    }

    fn species(&self) -> Result<Vec<u8>> {
        self.text("species")?
            .split_whitespace()
            .map(|name| match atomic_number(name) {
                Some(number) => Ok(number),
                None => wrong("species", "chemical symbols", name),
            })
            .collect()
    }
}
