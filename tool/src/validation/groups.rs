//! Frames, or atoms, of one kind together.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::{Compared, Errors};
use crate::dataset::Split;
use mlff_student::model::symbol;

/// Errors over what has one name.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Group {
    /// Element, kind, temperature, …
    pub name: String,
    /// Over its frames.
    #[serde(flatten)]
    pub errors: Errors,
}

/// What a frame without a name for its group is put under.
const UNKNOWN: &str = "not given";

/// More temperatures than this are taken together in steps.
const TEMPERATURES: usize = 12;
/// K.
const STEP: f64 = 100.0;

/// The fewest atoms of each class of sizes.
const SIZES: [usize; 8] = [1, 10, 20, 30, 50, 100, 200, 500];

pub(super) fn by_split(pairs: &[Compared<'_>]) -> Vec<Group> {
    grouped(pairs, |pair| match pair.frame.split {
        Some(split) => (split as usize, split.name().into()),
        None => (Split::ALL.len(), UNKNOWN.into()),
    })
}

pub(super) fn by_kind(pairs: &[Compared<'_>]) -> Vec<Group> {
    grouped(pairs, |pair| match &*pair.frame.kind {
        "" => (true, UNKNOWN.into()),
        kind => (false, kind.into()),
    })
}

pub(super) fn by_temperature(pairs: &[Compared<'_>]) -> Vec<Group> {
    let rounded = |pair: &Compared<'_>| pair.frame.temperature.map(|kelvin| kelvin.round() as i64);
    let different: BTreeSet<i64> = pairs.iter().filter_map(rounded).collect();
    let single = different.len() <= TEMPERATURES;
    grouped(pairs, |pair| match pair.frame.temperature {
        None => (i64::MAX, "none".into()),
        Some(kelvin) if single => {
            let kelvin = kelvin.round() as i64;
            (kelvin, format!("{kelvin} K"))
        }
        Some(kelvin) => {
            let low = STEP * (kelvin / STEP).floor();
            (low as i64, format!("{low:.0} – {:.0} K", low + STEP))
        }
    })
}

pub(super) fn by_size(pairs: &[Compared<'_>]) -> Vec<Group> {
    grouped(pairs, |pair| {
        let class = SIZES.partition_point(|&fewest| fewest <= pair.frame.species.len());
        let fewest = SIZES.get(class.saturating_sub(1)).copied().unwrap_or(1);
        let name = match SIZES.get(class) {
            Some(next) => format!("{fewest} – {} atoms", next - 1),
            None => format!("{fewest} atoms or more"),
        };
        (fewest, name)
    })
}

/// Forces on atoms of an element; energies of the frames that have it.
pub(super) fn by_element(pairs: &[Compared<'_>]) -> Vec<Group> {
    let elements: BTreeSet<u8> =
        pairs.iter().flat_map(|pair| &pair.frame.species).copied().collect();
    let group = |element| {
        let with: Vec<Compared<'_>> =
            pairs.iter().filter(|pair| pair.frame.species.contains(&element)).copied().collect();
        Group {
            name: symbol(element).unwrap_or("?").into(),
            errors: Errors::of_atoms(&with, |z| z == element),
        }
    };
    elements.into_iter().map(group).collect()
}

/// One group for each key, in the keys' order.
fn grouped<K: Ord>(
    pairs: &[Compared<'_>],
    key: impl Fn(&Compared<'_>) -> (K, String),
) -> Vec<Group> {
    let mut groups: BTreeMap<(K, String), Vec<Compared<'_>>> = BTreeMap::new();
    for pair in pairs {
        groups.entry(key(pair)).or_default().push(*pair);
    }
    groups
        .into_iter()
        .map(|((_, name), pairs)| Group { name, errors: Errors::of(&pairs) })
        .collect()
}
