//! Which structures a potential is for.

use super::symbol;
use crate::error::{Error, ErrorKind};

/// How far pairs interact, and the elements.
#[derive(Clone, Debug, PartialEq)]
pub struct Scope {
    /// Pairs with d ≤ cutoff take part (Å).
    pub cutoff: f64,
    /// Atomic numbers, ascending.
    pub species: Vec<u8>,
}

impl Scope {
    /// Whether this atomic number is one of them.
    pub fn knows(&self, atomic_number: u8) -> bool {
        self.species.binary_search(&atomic_number).is_ok()
    }

    /// The sentence for an element that is none of them.
    pub fn unknown_species(&self, atomic_number: i32) -> String {
        let found = match u8::try_from(atomic_number).ok().and_then(symbol) {
            Some(symbol) => format!("{symbol} (atomic number {atomic_number})"),
            None => format!("atomic number {atomic_number}, which is no element"),
        };
        format!(
            "found {found}, but this model knows only {}: use a model trained for it",
            self.species_list()
        )
    }

    /// The error for an atom of an element that the model lacks.
    pub fn unknown_atom(&self, atom: usize, atomic_number: i32) -> Error {
        let message = format!("atom {atom}: {}", self.unknown_species(atomic_number));
        Error::new(ErrorKind::Species, message).about([atom])
    }

    /// The elements for people: ranges of more than four are shortened.
    pub fn species_list(&self) -> String {
        let mut parts = Vec::new();
        for run in self.species.chunk_by(|a, b| a + 1 == *b) {
            let name = |z: &u8| symbol(*z).unwrap_or("?");
            if run.len() > 4 {
                parts.push(format!("{} to {}", name(&run[0]), name(&run[run.len() - 1])));
            } else {
                parts.extend(run.iter().map(|z| name(z).to_string()));
            }
        }
        parts.join(", ")
    }
}
