//! Which columns of an atom's line hold its element, its position and its force.

use super::{format_error, number, quoted};
use mlff_student::error::{Error, ErrorKind, Result};
use mlff_student::model::atomic_number;

const DEFAULT: &str = "species:S:1:pos:R:3";

pub(crate) struct Columns {
    properties: String,
    /// The column and whether it holds numbers only.
    species: (usize, bool),
    /// The first of three columns.
    position: usize,
    /// The first of three columns.
    force: Option<usize>,
    count: usize,
}

/// What a line says of an atom.
pub(crate) struct Atom {
    /// Atomic number.
    pub(crate) species: i32,
    /// Å.
    pub(crate) position: [f64; 3],
    /// eV/Å, NaN where the text is no number; `None` where there is no such column.
    pub(crate) force: Option<[f64; 3]>,
}

impl Columns {
    /// Reads `Properties`: name, type and number of columns, over and over, joined by colons.
    pub(crate) fn parse(properties: Option<&str>) -> Result<Self> {
        let properties = properties.unwrap_or(DEFAULT);
        let malformed = |what: &str| {
            format_error(format!(
                "{what} in Properties={}: write name:type:columns for each property, types R, I, \
                 S or L, such as {DEFAULT}",
                quoted(properties)
            ))
        };
        let fields: Vec<&str> = properties.split(':').collect();
        let (mut symbols, mut numbers, mut position, mut force) = (None, None, None, None);
        let mut count: usize = 0;
        for property in fields.chunks(3) {
            let &[name, kind, columns] = property else {
                return malformed("expected three fields for each property");
            };
            let columns = match columns.parse::<usize>() {
                Ok(columns @ 1..10_000_000) => columns,
                _ => return malformed("expected a number of columns"),
            };
            let expected = match (name, kind) {
                (_, "R" | "I" | "S" | "L") => match name {
                    "species" | "symbols" => Some((&mut symbols, "S", 1)),
                    "Z" | "numbers" => Some((&mut numbers, "I", 1)),
                    "pos" | "positions" => Some((&mut position, "R", 3)),
                    _ => None,
                },
                _ => return malformed("found an unknown type"),
            };
            if let Some((place, expected_kind, expected_columns)) = expected {
                if (kind, columns) != (expected_kind, expected_columns) {
                    return malformed(&format!(
                        "expected {name}:{expected_kind}:{expected_columns}, found \
                         {name}:{kind}:{columns}"
                    ));
                }
                if place.replace(count).is_some() {
                    return malformed(&format!("expected {name} once, found it twice"));
                }
            }
            // Not everyone who has structures wants their labels: no other shape is an error here.
            if (name, kind, columns) == ("forces", "R", 3) && force.replace(count).is_some() {
                return malformed("expected forces once, found them twice");
            }
            count = count.saturating_add(columns);
        }
        // Numbers say it best where both are there.
        let species =
            numbers.map(|column| (column, true)).or(symbols.map(|column| (column, false)));
        match (species, position) {
            (Some(species), Some(position)) => {
                Ok(Self { properties: properties.to_string(), species, position, force, count })
            }
            (None, _) => malformed("expected species:S:1 or numbers:I:1"),
            (_, None) => malformed("expected pos:R:3"),
        }
    }

    /// Reads the line of an atom. More columns than announced are comments.
    pub(crate) fn read(&self, line: &str) -> Result<Atom> {
        let columns: Vec<&str> = line.split_whitespace().take(self.count).collect();
        if columns.len() < self.count {
            return format_error(format!(
                "expected {} columns ({}), found {}: {}",
                self.count,
                self.properties,
                columns.len(),
                quoted(line)
            ));
        }
        let mut position = [0.0; 3];
        for (value, text) in position.iter_mut().zip(&columns[self.position..]) {
            *value = number(text).ok_or_else(|| {
                Error::new(
                    ErrorKind::Format,
                    format!("expected a coordinate in Å, found {}: {}", quoted(text), quoted(line)),
                )
            })?;
        }
        let (column, numbers_only) = self.species;
        let force = self.force.map(|first| {
            let value = |k| columns.get(first + k).copied().and_then(number);
            std::array::from_fn(|k| value(k).unwrap_or(f64::NAN))
        });
        Ok(Atom { species: species(columns[column], numbers_only)?, position, force })
    }
}

/// An atomic number from a symbol in any case, or from digits.
fn species(text: &str, numbers_only: bool) -> Result<i32> {
    if let Ok(number) = text.parse() {
        return Ok(number);
    }
    let lower = text.to_ascii_lowercase();
    let symbol: String = lower
        .chars()
        .take(1)
        .map(|c| c.to_ascii_uppercase())
        .chain(lower.chars().skip(1))
        .collect();
    match atomic_number(&symbol) {
        Some(number) if !numbers_only => Ok(i32::from(number)),
        _ => Err(Error::new(
            ErrorKind::Species,
            format!(
                "expected {}, found {}",
                if numbers_only { "an atomic number" } else { "a chemical symbol" },
                quoted(text)
            ),
        )),
    }
}
