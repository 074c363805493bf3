//! TorchScript models of any network, which libtorch evaluates
//! (`docs/src/reference/torchscript.md`).

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Scope, atomic_number};
use crate::error::{Error, ErrorKind, Result};

/// The member of the archive that says what the model is for.
pub const MEMBER: &str = "extra/mlff_student.json";

/// A TorchScript model. What it computes is known to libtorch alone.
#[derive(Clone, Debug, PartialEq)]
pub struct Script {
    /// The bytes of the file, as `torch.jit.save` wrote it.
    pub file: Vec<u8>,
    /// Which structures it is for.
    pub scope: Scope,
    /// Arithmetic of positions and shifts that it expects.
    pub float64: bool,
    /// Whatever else its author said.
    pub metadata: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Description {
    cutoff: f64,
    species: Vec<String>,
    #[serde(default = "float32")]
    dtype: String,
    #[serde(default)]
    metadata: BTreeMap<String, String>,
}

const FLOATS: [&str; 2] = ["float32", "float64"];

fn float32() -> String {
    FLOATS[0].to_string()
}

impl Script {
    /// A model of the bytes of its file and of [`MEMBER`].
    pub fn new(file: Vec<u8>, description: &[u8]) -> Result<Self> {
        let wrong = |what: String| {
            let example = r#"{"cutoff": 5.0, "species": ["H", "O"], "dtype": "float32"}"#;
            Error::new(
                ErrorKind::Format,
                format!("{MEMBER}: {what}: save the model with a description like {example}"),
            )
        };
        let found: Description =
            serde_json::from_slice(description).map_err(|error| wrong(error.to_string()))?;
        if !(found.cutoff.is_finite() && found.cutoff > 0.0) {
            return Err(wrong(format!("expected a cutoff in Å above 0, found {}", found.cutoff)));
        }
        if !FLOATS.contains(&found.dtype.as_str()) {
            return Err(wrong(format!(
                "expected dtype \"float32\" or \"float64\", found \"{}\"",
                found.dtype
            )));
        }
        let number = |symbol: &String| {
            atomic_number(symbol)
                .ok_or_else(|| wrong(format!("expected chemical symbols, found \"{symbol}\"")))
        };
        let mut species = found.species.iter().map(number).collect::<Result<Vec<u8>>>()?;
        species.sort_unstable();
        species.dedup();
        if species.is_empty() {
            return Err(wrong("expected at least one element under species".to_string()));
        }
        Ok(Self {
            file,
            scope: Scope { cutoff: found.cutoff, species },
            float64: found.dtype == FLOATS[1],
            metadata: found.metadata,
        })
    }
}
