//! Where a student is taken for what it did not learn: atoms whose energies are far outside those
//! of its training data, which engines find ([`Results::outside`]), and atoms that overlap, which
//! are found here ([`Results::overlaps`]).

use std::io::{self, Write};

use super::{NeighborList, Results};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Scope, covalent};

/// Atoms that are nearer to each other than this share of the sum of their covalent radii overlap:
/// no bond is so short, and no training data reach so far.
const OVERLAP: f64 = 0.5;

/// Two opposite directions are told apart by their first component that is larger than this (Å):
/// smaller ones may be rounding.
const SAME_PLACE: f64 = 1e-6;

/// How many atoms and pairs are named.
pub const NAMED: usize = 8;

/// What the last compute found. Atoms go by the caller's numbers, from 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// Structures in which something was found: more than one only in a batch.
    pub structures: usize,
    /// The first of them, which all that follows is about; 0 but in a batch.
    pub structure: usize,
    /// How many atoms have energies far outside those of the training data.
    pub outside: usize,
    /// The first [`NAMED`] of these atoms, ascending.
    pub atoms: Vec<u32>,
    /// How many pairs of atoms overlap.
    pub overlaps: usize,
    /// The first [`NAMED`] of these pairs.
    pub pairs: Vec<[u32; 2]>,
}

impl Findings {
    /// Gathers what the results of a compute, or of all structures of a batch, name.
    pub fn of(results: &[Results]) -> Self {
        let found =
            |results: &Results| !(results.outside.is_empty() && results.overlaps.is_empty());
        let Some(structure) = results.iter().position(found) else { return Self::default() };
        let Results { outside, overlaps, .. } = &results[structure];
        Self {
            structures: results.iter().filter(|results| found(results)).count(),
            structure,
            outside: outside.len(),
            atoms: outside.iter().copied().take(NAMED).collect(),
            overlaps: overlaps.len(),
            pairs: overlaps.iter().copied().take(NAMED).collect(),
        }
    }

    /// The sentence about atoms outside, where there are some.
    pub fn about_atoms(&self) -> Option<String> {
        let atoms = named(&self.atoms, self.outside, u32::to_string);
        let (count, these) = match self.outside {
            0 => return None,
            1 => ("1 atom".into(), format!("atom {atoms}")),
            count => (format!("{count} atoms"), format!("atoms {atoms}")),
        };
        Some(format!(
            "expected energies of atoms as in the student's training data, found {count} far \
             outside of them ({these}): its forces there are guesses; look at what surrounds these \
             atoms, or train on structures like this one"
        ))
    }

    /// The sentence about overlaps, where there are some.
    pub fn about_pairs(&self) -> Option<String> {
        let pairs = named(&self.pairs, self.overlaps, |[i, j]| format!("{i} and {j}"));
        let (count, these) = match self.overlaps {
            0 => return None,
            1 => ("1 pair that is".into(), format!("atoms {pairs}")),
            count => (format!("{count} pairs that are"), format!("atoms {pairs}")),
        };
        Some(format!(
            "expected no two atoms nearer than half of the sum of their covalent radii, found \
             {count} ({these}): remove one of the two or move them apart"
        ))
    }

    /// An error that says all of it, if anything was found.
    pub fn refuse(&self) -> Result<()> {
        let said: Vec<String> = self.about_pairs().into_iter().chain(self.about_atoms()).collect();
        if said.is_empty() {
            return Ok(());
        }
        let message = format!(
            "{}{}; to compute such structures all the same, set the option check to warn",
            self.place(),
            said.join("; ")
        );
        let named = self.pairs.as_flattened().iter().chain(&self.atoms);
        let error = Error::new(ErrorKind::Outside, message);
        Err(error.about(named.map(|&atom| atom as usize)))
    }

    /// Says it on stderr, of atoms and of pairs unless that was `said` before.
    pub fn warn(&self, said: &mut [bool; 2]) {
        for (sentence, said) in [self.about_atoms(), self.about_pairs()].into_iter().zip(said) {
            let Some(sentence) = sentence.filter(|_| !*said) else { continue };
            *said = true;
            let place = self.place();
            // Nowhere is left to report that stderr is closed.
            let _ = writeln!(io::stderr(), "mlff-student: WARNING (once): {place}{sentence}");
        }
    }

    /// Which structure of a batch it was.
    fn place(&self) -> String {
        match (self.structures, self.structure) {
            (0 | 1, 0) => String::new(),
            (1, structure) => format!("structure {structure}: "),
            (count, structure) => format!("structure {structure}, the first of {count}: "),
        }
    }
}

/// The first few of so many things, for people.
fn named<T>(first: &[T], count: usize, name: impl Fn(&T) -> String) -> String {
    let mut names: Vec<String> = first.iter().map(name).collect();
    if count > first.len() {
        names.push("…".into());
    }
    names.join(", ")
}

/// An element's part of the distance below which it overlaps with another one (Å); 0 where its
/// radius is not known.
pub fn reach(atomic_number: u8) -> f64 {
    OVERLAP * covalent::radius(atomic_number).unwrap_or(0.0)
}

/// No two atoms of these elements overlap at this distance (Å).
pub fn longest(scope: &Scope) -> f64 {
    2.0 * scope.species.iter().map(|&number| reach(number)).fold(0.0, f64::max)
}

/// Pairs of a list that overlap, each once: of two owned atoms from the one with the lower number,
/// of an atom and one of another rank on one of the two ranks. Copies go by their owners' numbers,
/// where these are known.
pub fn overlaps(list: &NeighborList, positions: &[[f64; 3]]) -> Result<Vec<[u32; 2]>> {
    let reaches: [f64; 256] = std::array::from_fn(|number| reach(number as u8));
    let reach = |atom: usize| reaches[usize::from(list.species[atom])];
    let farthest = (0..list.species.len()).map(reach).fold(0.0, f64::max);
    let mut found = Vec::new();
    for (i, here) in positions.iter().enumerate().take(list.owned) {
        // Most neighbors are farther away than any that overlaps.
        let near = (reach(i) + farthest) * (reach(i) + farthest);
        for &j in list.neighbors_of(i) {
            let there = &positions[j as usize];
            let r: [f64; 3] = std::array::from_fn(|a| there[a] - here[a]);
            let square = r[0] * r[0] + r[1] * r[1] + r[2] * r[2];
            if square < near
                && overlap([reach(i), reach(j as usize)], square)
                && counts(list, i, j, r)
            {
                found.try_reserve(1)?;
                found.push([i as u32, list.name(j) as u32]);
            }
        }
    }
    Ok(found)
}

/// Whether two atoms with these [`reach`]es overlap at this squared distance (Å²).
fn overlap([one, other]: [f64; 2], square: f64) -> bool {
    one > 0.0 && other > 0.0 && square < (one + other) * (one + other)
}

/// A pair is listed by both its atoms: whether this is the entry that counts, r from `i` to `j`.
fn counts(list: &NeighborList, i: usize, j: u32, r: [f64; 3]) -> bool {
    match list.resolve(j) {
        Some(owner) if owner as usize != i => i < owner as usize,
        // An image of the atom itself, or an atom of another rank, which lists this one at −r.
        _ => r.iter().find(|x| x.abs() > SAME_PLACE).is_none_or(|&x| x > 0.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::NeighborListInput;

    /// Overlaps of a rank whose atoms, hydrogen all of them, are at `owned` and `ghosts`, of which
    /// it knows the owner, or not.
    fn overlaps_of(
        owned: &[[f64; 3]],
        ghosts: &[[f64; 3]],
        owner: Option<&[i32]>,
    ) -> Vec<[u32; 2]> {
        let total = owned.len() + ghosts.len();
        let lists: Vec<Vec<i32>> = (0..owned.len())
            .map(|i| (0..total).filter(|&j| j != i).map(|j| j as i32).collect())
            .collect();
        let lists: Vec<&[i32]> = lists.iter().map(Vec::as_slice).collect();
        let scope = Scope { cutoff: 3.0, species: vec![1] };
        let input = NeighborListInput {
            owned: owned.len(),
            ghosts: ghosts.len(),
            species: &vec![1; total],
            centers: &(0..owned.len() as i32).collect::<Vec<_>>(),
            neighbors: &lists,
            mask: !0,
            owner,
            list_cutoff: 4.0,
        };
        let list = NeighborList::of_both_directions(&scope, &input).unwrap();
        overlaps(&list, &[owned, ghosts].concat()).unwrap()
    }

    #[test]
    fn a_pair_of_two_ranks_is_found_by_one_of_them() {
        // In whichever direction one atom lies from the other. They overlap below 0.31 Å.
        for r in [[0.3, 0.0, 0.0], [-0.2, 0.1, 0.0], [0.0, 0.0, -0.3], [0.0, 1e-9, 0.2]] {
            let (one, other) = ([[5.0; 3]], [r.map(|x| 5.0 + x)]);
            // The second rank sees both a cell away.
            let moved = |place: [[f64; 3]; 1]| [place[0].map(|x| x + 20.1)];
            let found =
                [overlaps_of(&one, &other, None), overlaps_of(&moved(other), &moved(one), None)];
            assert_eq!(found.concat(), [[0, 1]], "{r:?}");
        }
    }

    #[test]
    fn an_image_goes_by_its_owner() {
        let owned = [[0.1, 0.0, 0.0], [4.9, 0.0, 0.0]];
        let ghosts = [[5.1, 0.0, 0.0], [-0.1, 0.0, 0.0]];
        assert_eq!(overlaps_of(&owned, &ghosts, Some(&[0, 1])), [[0, 1]]);
    }

    #[test]
    fn sentences_name_the_first_few_and_the_structure() {
        let results = |outside: &[u32], overlaps: &[[u32; 2]]| Results {
            outside: outside.to_vec(),
            overlaps: overlaps.to_vec(),
            ..Results::default()
        };
        assert_eq!(Findings::of(&[results(&[], &[])]), Findings::default());
        assert_eq!(Findings::default().refuse(), Ok(()));
        let many: Vec<u32> = (3..20).collect();
        let found =
            Findings::of(&[results(&[], &[]), results(&many, &[[1, 2]]), results(&[1], &[])]);
        assert_eq!((found.structures, found.structure), (2, 1));
        let message = found.refuse().unwrap_err().message().to_owned();
        for words in [
            "structure 1, the first of 2: expected no two atoms nearer than",
            "found 1 pair that is (atoms 1 and 2)",
            "found 17 atoms far outside of them (atoms 3, 4, 5, 6, 7, 8, 9, 10, …)",
            "set the option check to warn",
        ] {
            assert!(message.contains(words), "{message}");
        }
    }
}
