//! A validated neighbor list.

use crate::error::{Error, ErrorKind, Result};
use crate::memory::{collected, emptied, filled};
use crate::model::Scope;

/// A neighbor list as a caller describes it; see [`NeighborList::new`].
///
/// ```
/// use std::path::Path;
/// use std::sync::Arc;
///
/// use mlff_student::engine::{Calculator, NeighborListInput, Options, Virials};
/// use mlff_student::model::Model;
///
/// let model = Model::load(Path::new("models/organics-small.safetensors"))?;
/// let mut calculator = Calculator::new(Arc::new(model), Options::default())?;
/// // A water molecule: three owned atoms, no ghosts, each a neighbor of both others.
/// calculator.set_neighbor_list(&NeighborListInput {
///     owned: 3,
///     ghosts: 0,
///     species: &[8, 1, 1],
///     centers: &[0, 1, 2],
///     neighbors: &[&[1, 2], &[0, 2], &[0, 1]],
///     mask: !0,
///     owner: None,
///     list_cutoff: 6.0,
/// })?;
/// // At every step, until atoms have moved half of what the list reaches beyond the cutoff:
/// let positions = [[0.0, 0.0, 0.0], [0.96, 0.0, 0.0], [-0.24, 0.93, 0.0]];
/// let results = calculator.compute(&positions, None, Virials::Total)?;
/// assert_eq!(results.forces.len(), 3);
/// # Ok::<(), mlff_student::Error>(())
/// ```
pub struct NeighborListInput<'a> {
    /// Atoms whose energies this rank computes.
    pub owned: usize,
    /// Copies of atoms, of this rank or another.
    pub ghosts: usize,
    /// Atomic number of each owned atom and ghost; 0 or less: not part of this model.
    pub species: &'a [i32],
    /// Atoms that have a neighbor list, each an owned atom (`ilist`).
    pub centers: &'a [i32],
    /// Neighbors of `centers[k]`: every atom within `list_cutoff`, each pair in both lists.
    pub neighbors: &'a [&'a [i32]],
    /// Bits of a neighbor entry that are its index.
    pub mask: i32,
    /// For each ghost the owned atom it is a copy of, or −1 when that lives on another rank.
    pub owner: Option<&'a [i32]>,
    /// The distance up to which list and ghost shell are complete (Å).
    pub list_cutoff: f64,
}

/// A validated full neighbor list: for each owned atom, the atoms it may interact with.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NeighborList {
    /// Atoms whose energies this rank computes.
    pub owned: usize,
    /// Copies of atoms.
    pub ghosts: usize,
    /// Atomic number of each owned atom and ghost; 0: not part of this model.
    pub species: Vec<u8>,
    /// `neighbors[offsets[i]..offsets[i + 1]]` are the neighbors of owned atom i.
    pub offsets: Vec<usize>,
    /// Indices of owned atoms and ghosts that are part of this model.
    pub neighbors: Vec<u32>,
    /// For each ghost the owned atom it is a copy of, if that is on this rank.
    pub owner: Vec<Option<u32>>,
    /// Pairs of owned atoms (i ≤ j) whose entries only positions tell apart: i lists j, or j lists
    /// i, at several places, or once more than the other way round. See [`Self::check_edge`].
    to_check: Vec<[u32; 2]>,
    /// Atoms i and entries k of their lists whose other direction, from k's owner to i, is not
    /// listed.
    one_way: Vec<[u32; 2]>,
}

/// Two images of one atom are farther apart than this (Å), and rounding moves them less.
const SAME_IMAGE: f64 = 1e-3;

fn invalid<T>(message: String) -> Result<T> {
    invalid_at(&[], message)
}

/// With the atoms that the message names, owned atoms before ghosts.
fn invalid_at<T>(atoms: &[u32], message: String) -> Result<T> {
    let error = Error::new(ErrorKind::InvalidArgument, message);
    Err(error.about(atoms.iter().map(|&atom| atom as usize)))
}

impl NeighborList {
    /// Checks a caller's list against what a potential is for and copies it.
    ///
    /// Entries that involve an atom which is not part of the model are dropped, as are its own
    /// neighbors.
    pub fn new(scope: &Scope, input: &NeighborListInput<'_>) -> Result<Self> {
        let mut list = Self::of_both_directions(scope, input)?;
        list.check_full()?;
        Ok(list)
    }

    /// As [`Self::new`], for a list that holds each pair in both directions for certain, as those
    /// of [`crate::neighbors`] do.
    pub fn of_both_directions(scope: &Scope, input: &NeighborListInput<'_>) -> Result<Self> {
        let total = input.owned + input.ghosts;
        if total >= i32::MAX as usize {
            return invalid(format!("at most {} atoms and ghosts, found {total}", i32::MAX - 1));
        }
        if input.list_cutoff.is_nan() || input.list_cutoff < scope.cutoff {
            return invalid(format!(
                "the neighbor list and the ghost shell reach {} Å, but this model needs {} Å: \
                 build them with at least that cutoff",
                input.list_cutoff, scope.cutoff
            ));
        }
        if input.species.len() != total {
            return invalid(format!(
                "expected {total} species (owned atoms and ghosts), found {}",
                input.species.len()
            ));
        }
        let species = check_species(scope, input.species)?;
        let mut owner = filled(input.ghosts, None)?;
        if let Some(owners) = input.owner {
            if owners.len() != input.ghosts {
                return invalid(format!(
                    "expected {} owners, one for each ghost, found {}",
                    input.ghosts,
                    owners.len()
                ));
            }
            for (ghost, (slot, &atom)) in owner.iter_mut().zip(owners).enumerate() {
                if atom < 0 {
                    continue;
                }
                if atom as usize >= input.owned {
                    return invalid_at(
                        &[(input.owned + ghost) as u32],
                        format!(
                            "ghost {ghost} names atom {atom} as its owner, but there are {} owned \
                         atoms: use an index from 0, or -1 for an atom of another rank",
                            input.owned
                        ),
                    );
                }
                if species[atom as usize] != species[input.owned + ghost] {
                    return invalid_at(
                        &[(input.owned + ghost) as u32, atom as u32],
                        format!(
                            "ghost {ghost} has species {}, its owner, atom {atom}, has {}: give \
                             both the same",
                            input.species[input.owned + ghost],
                            input.species[atom as usize]
                        ),
                    );
                }
                *slot = Some(atom as u32);
            }
        }

        let mut list_of: Vec<Option<&[i32]>> = filled(input.owned, None)?;
        if input.centers.len() != input.neighbors.len() {
            return invalid(format!(
                "{} centers but {} neighbor lists",
                input.centers.len(),
                input.neighbors.len()
            ));
        }
        for (&center, &list) in input.centers.iter().zip(input.neighbors) {
            match usize::try_from(center).ok().and_then(|i| list_of.get_mut(i)) {
                None => {
                    return invalid(format!(
                        "center {center} is not one of the {} owned atoms",
                        input.owned
                    ));
                }
                Some(Some(_)) => return invalid(format!("center {center} has two neighbor lists")),
                Some(slot) => *slot = Some(list),
            }
        }

        let mut offsets = Vec::new();
        offsets.try_reserve_exact(input.owned + 1)?;
        offsets.push(0);
        let mut neighbors: Vec<u32> = Vec::new();
        neighbors.try_reserve_exact(input.neighbors.iter().map(|list| list.len()).sum())?;
        for (i, list) in list_of.iter().enumerate() {
            if species[i] > 0 {
                let Some(list) = list else {
                    return invalid_at(
                        &[i as u32],
                        format!(
                            "owned atom {i} is part of this model but has no neighbor list: list \
                             every owned atom that has a species, or give it species 0"
                        ),
                    );
                };
                for &entry in *list {
                    let j = entry & input.mask;
                    if j < 0 || j as usize >= total {
                        return invalid_at(
                            &[i as u32],
                            format!(
                                "neighbor {j} (list entry {entry}, mask {:#x}) of atom {i} is out \
                                 of range: there are {total} owned atoms and ghosts",
                                input.mask
                            ),
                        );
                    }
                    if species[j as usize] > 0 {
                        neighbors.push(j as u32);
                    }
                }
            }
            offsets.push(neighbors.len());
        }
        Ok(Self {
            owned: input.owned,
            ghosts: input.ghosts,
            species,
            offsets,
            neighbors,
            owner,
            to_check: Vec::new(),
            one_way: Vec::new(),
        })
    }

    /// The neighbors of owned atom `i`.
    pub fn neighbors_of(&self, i: usize) -> &[u32] {
        &self.neighbors[self.offsets[i]..self.offsets[i + 1]]
    }

    /// The owned atom whose features atom `j` carries, if it is on this rank.
    pub fn resolve(&self, j: u32) -> Option<u32> {
        match (j as usize).checked_sub(self.owned) {
            None => Some(j),
            Some(ghost) => self.owner[ghost],
        }
    }

    /// What atom `j` goes by in messages: a copy by its owner, if that is on this rank.
    pub fn name(&self, j: u32) -> usize {
        self.resolve(j).unwrap_or(j) as usize
    }

    /// A neighbor that is no copy of an atom on this rank, if there is one.
    pub fn unresolved(&self) -> Option<u32> {
        self.neighbors.iter().copied().find(|&j| self.resolve(j).is_none())
    }

    /// Without an exchange, every neighbor must be a copy of an atom on this rank.
    pub fn check_resolved(&self) -> Result<()> {
        match self.unresolved() {
            None => Ok(()),
            Some(j) => invalid_at(
                &[j],
                format!(
                    "ghost {} (atom {j}) has no owner on this rank and there is no exchange \
                     callback: give the owner of every ghost, or a callback that fetches their \
                     rows",
                    j as usize - self.owned
                ),
            ),
        }
    }

    /// Bytes allocated.
    pub fn memory(&self) -> usize {
        self.species.capacity()
            + self.offsets.capacity() * size_of::<usize>()
            + self.neighbors.capacity() * size_of::<u32>()
            + (self.to_check.capacity() + self.one_way.capacity()) * size_of::<[u32; 2]>()
            + self.owner.capacity() * size_of::<Option<u32>>()
    }

    /// A full list holds each pair of this rank's atoms in both directions.
    ///
    /// Rounding may give a pair at the very edge of the list in one direction only, so a few
    /// one-way entries pass; a half list has nothing else.
    fn check_full(&mut self) -> Result<()> {
        let mut listed_by: Vec<usize> = filled(self.owned + 1, 0)?;
        let mut entries = 0;
        for i in 0..self.owned {
            for &j in self.neighbors_of(i) {
                let Some(j) = self.resolve(j) else { continue };
                listed_by[j as usize + 1] += 1;
                entries += 1;
            }
        }
        for i in 0..self.owned {
            listed_by[i + 1] += listed_by[i];
        }
        let mut transposed: Vec<u32> = filled(entries, 0)?;
        let mut next = collected(listed_by.iter().copied())?;
        for i in 0..self.owned {
            for j in self.neighbors_of(i).iter().filter_map(|&j| self.resolve(j)) {
                transposed[next[j as usize]] = i as u32;
                next[j as usize] += 1;
            }
        }
        let mut balance: Vec<i32> = filled(self.owned, 0)?;
        let mut surplus_entries = 0;
        let mut surplus_pair = None;
        let mut to_check: Vec<[u32; 2]> = Vec::new();
        for i in 0..self.owned {
            let lists = || self.neighbors_of(i).iter().filter_map(|&j| self.resolve(j));
            let back = &transposed[listed_by[i]..listed_by[i + 1]];
            let pair = |j: u32| [j.min(i as u32), j.max(i as u32)];
            lists().for_each(|j| balance[j as usize] += 1);
            for j in lists() {
                // Where j lists i another number of times, one of them has a surplus.
                let several = j as usize > i && balance[j as usize] > 1;
                if (several || j as usize == i) && to_check.last() != Some(&pair(j)) {
                    to_check.try_reserve(1)?;
                    to_check.push(pair(j));
                }
            }
            back.iter().for_each(|&j| balance[j as usize] -= 1);
            for j in lists() {
                let surplus = std::mem::take(&mut balance[j as usize]);
                if surplus > 0 {
                    surplus_entries += surplus as usize;
                    surplus_pair.get_or_insert([i as u32, j]);
                    to_check.try_reserve(1)?;
                    to_check.push(pair(j));
                }
            }
            back.iter().for_each(|&j| balance[j as usize] = 0);
        }
        to_check.sort_unstable();
        to_check.dedup();
        match surplus_pair {
            Some([i, j]) if surplus_entries * 20 > entries => invalid_at(
                &[i, j],
                format!(
                    "the neighbor list is not full: atom {i} lists atom {j} more often than atom \
                     {j} lists atom {i} ({surplus_entries} of {entries} entries are like this): \
                     build a list that holds each pair in both directions"
                ),
            ),
            _ => {
                self.to_check = to_check;
                Ok(())
            }
        }
    }

    /// Refuses a list that holds a pair within `cutoff` in one direction only, as one does that was
    /// cut off at a number of neighbors. Beyond the cutoff rounding may do that. To be called in
    /// each step: such a pair may come within the cutoff later.
    pub fn check_edge(&mut self, positions: &[[f64; 3]], cutoff: f64) -> Result<()> {
        if !self.to_check.is_empty() || !self.one_way.is_empty() {
            super::pair::check_finite(positions)?;
        }
        if !self.to_check.is_empty() {
            self.one_way = self.one_way_entries(positions)?;
        }
        for &[i, k] in &self.one_way {
            let (_, d) = super::pair::distance(&positions[i as usize], &positions[k as usize]);
            if d < cutoff {
                let j = self.name(k);
                let image =
                    if k as usize == j { String::new() } else { format!(" (its image {k})") };
                return invalid_at(
                    &[i, j as u32],
                    format!(
                        "the neighbor list is not full: atom {i} lists atom {j}{image} at {d} Å, \
                         within the cutoff of {cutoff} Å, but atom {j} does not list atom {i} from \
                         there: build a list that holds each pair in both directions, and look for \
                         one that was cut off at a number of neighbors"
                    ),
                );
            }
        }
        // Only now: what was refused is looked at again.
        self.to_check = Vec::new();
        Ok(())
    }

    /// Entries of the pairs `to_check` whose other direction is not listed, as atom and entry.
    /// Images keep their distances to each other as long as a list is used, so this is found once.
    fn one_way_entries(&self, positions: &[[f64; 3]]) -> Result<Vec<[u32; 2]>> {
        // Those atoms, and the owners and entries of their lists, sorted.
        let mut atoms = collected(self.to_check.as_flattened().iter().copied())?;
        atoms.sort_unstable();
        atoms.dedup();
        let mut starts = filled(atoms.len() + 1, 0)?;
        let mut by_owner: Vec<[u32; 2]> = Vec::new();
        for (&i, start) in atoms.iter().zip(1..) {
            let list = self.neighbors_of(i as usize);
            by_owner.try_reserve(list.len())?;
            by_owner.extend(list.iter().map(|&k| [self.resolve(k).unwrap_or(u32::MAX), k]));
            starts[start] = by_owner.len();
            let row = &mut by_owner[starts[start - 1]..];
            row.sort_unstable();
            if let Some(twice) = row.windows(2).find(|pair| pair[0] == pair[1]) {
                let k = twice[0][1];
                return invalid_at(
                    &[i, k],
                    format!(
                        "atom {i} lists atom {k} twice: build a list that holds each neighbor once"
                    ),
                );
            }
        }
        // Where atom i lists atom j, itself or as an image.
        let entries = |i: u32, j: u32, entries: &mut Vec<(u32, [f64; 3])>| -> Result<()> {
            let place = atoms.partition_point(|&atom| atom < i);
            let row = &by_owner[starts[place]..starts[place + 1]];
            let first = row.partition_point(|&[owner, _]| owner < j);
            let count = row[first..].partition_point(|&[owner, _]| owner == j);
            emptied(entries, count)?;
            entries.extend(row[first..first + count].iter().map(|&[_, k]| {
                (k, super::pair::distance(&positions[i as usize], &positions[k as usize]).0)
            }));
            Ok(())
        };
        let mut one_way = Vec::new();
        let (mut there, mut back) = (Vec::new(), Vec::new());
        for &[i, j] in &self.to_check {
            entries(i, j, &mut there)?;
            entries(j, i, &mut back)?;
            one_way.try_reserve(there.len() + back.len())?;
            for (k, r) in &there {
                let opposite =
                    |(_, s): &(u32, [f64; 3])| (0..3).all(|x| (r[x] + s[x]).abs() < SAME_IMAGE);
                match back.iter().position(opposite) {
                    // An atom's own images are in both lists, and stay for their opposites.
                    Some(found) if i != j => drop(back.swap_remove(found)),
                    Some(_) => {}
                    None => one_way.push([i, *k]),
                }
            }
            if i != j {
                one_way.extend(back.iter().map(|&(k, _)| [j, k]));
            }
        }
        Ok(one_way)
    }
}

fn check_species(scope: &Scope, species: &[i32]) -> Result<Vec<u8>> {
    let mut checked = Vec::new();
    checked.try_reserve_exact(species.len())?;
    for (atom, &number) in species.iter().enumerate() {
        match u8::try_from(number.max(0)) {
            Ok(number) if number == 0 || scope.knows(number) => checked.push(number),
            _ => {
                return Err(scope.unknown_atom(atom, number));
            }
        }
    }
    Ok(checked)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::engine::{Calculator, Options, Precision, Virials};
    use crate::model::{
        Architecture, Basis, Block, Envelope, EnvelopePlace, Filter, Linear, Mlp, Model, Update,
    };

    /// A published student of one channel whose weights are all 0.1.
    fn tiny() -> Arc<Model> {
        let linear = |inputs, outputs| Linear {
            inputs,
            outputs,
            weight: vec![0.1; inputs * outputs],
            bias: vec![0.1; outputs],
        };
        Arc::new(Model {
            architecture: Architecture::Published,
            hidden: 1,
            vectors: 1,
            cutoff: 5.0,
            softening: 1e-8,
            embedding: vec![0.1; 9],
            species: (1..=8).collect(),
            reference_energies: vec![0.0; 9],
            basis: Basis::Gaussian { centers: vec![0.0, 5.0], exponents: vec![1.0; 2] },
            envelope: Envelope::Cosine,
            blocks: vec![Block {
                filter: Filter {
                    layers: vec![linear(2, 1), linear(1, 3)],
                    envelope: EnvelopePlace::Basis,
                },
                sender: None,
                update: Update::Published {
                    mlp: Mlp { first: linear(2, 1), second: linear(1, 3) },
                    mixing: [0.1; 9],
                },
            }],
            head: vec![linear(1, 1)],
            repulsion: None,
            energy_range: None,
            metadata: std::collections::BTreeMap::new(),
        })
    }

    /// A row of 40 atoms, each of which lists three on either side, before `change`.
    fn row_of_atoms(options: Options, change: impl Fn(&mut [Vec<i32>])) -> Calculator {
        let near = |i: i32, j: i32| i != j && (i - j).abs() <= 3;
        let mut lists: Vec<Vec<i32>> =
            (0..40).map(|i| (0..40).filter(|&j| near(i, j)).collect()).collect();
        change(&mut lists);
        let lists: Vec<&[i32]> = lists.iter().map(Vec::as_slice).collect();
        let mut calculator = Calculator::new(tiny(), options).unwrap();
        let input = NeighborListInput {
            owned: 40,
            ghosts: 0,
            species: &[8; 40],
            centers: &(0..40).collect::<Vec<_>>(),
            neighbors: &lists,
            mask: !0,
            owner: None,
            list_cutoff: 6.0,
        };
        calculator.set_neighbor_list(&input).unwrap();
        calculator
    }

    /// Computes with the atoms `step` Å apart.
    fn at(step: f64, calculator: &mut Calculator) -> Result<()> {
        let positions: Vec<[f64; 3]> = (0..40).map(|i| [step * f64::from(i), 0.0, 0.0]).collect();
        calculator.compute(&positions, None, Virials::Total).map(|_| ())
    }

    #[test]
    fn a_pair_listed_once_is_an_error_within_the_cutoff_and_none_beyond() {
        for precision in [Precision::Mixed, Precision::Double] {
            let options = Options { precision, ..Options::default() };
            let mut calculator = row_of_atoms(options, |lists| {
                assert_eq!(lists[0].pop(), Some(3));
            });
            at(1.9, &mut calculator).expect("5.7 Å are beyond 5 Å");
            let error = at(1.5, &mut calculator).expect_err("4.5 Å are within");
            assert!(error.message().contains("atom 3 lists atom 0"), "{error}");
            let error = at(f64::NAN, &mut calculator).expect_err("no position");
            assert!(error.message().contains("finite"), "{error}");
            at(1.9, &mut calculator).expect("the list is still there");
        }
    }

    #[test]
    fn a_neighbor_listed_twice_is_an_error() {
        for precision in [Precision::Mixed, Precision::Double] {
            let options = Options { precision, ..Options::default() };
            for changed in [&[0][..], &[0, 1], &[1]] {
                let mut calculator = row_of_atoms(options, |lists| {
                    changed.iter().for_each(|&i| lists[i].push(1 - i as i32));
                });
                let error = at(1.5, &mut calculator).expect_err("a pair that counts double");
                let words = format!("atom {} lists atom {} twice", changed[0], 1 - changed[0]);
                assert!(error.message().contains(&words), "{error}");
            }
        }
    }

    /// Computes two atoms in a cube of 4.5 Å, 1.45 Å apart, of whose complete list `keep` leaves
    /// some entries: of atom, owner of the neighbor, and where it is, seen from the atom.
    fn in_a_cube(
        precision: Precision,
        keep: impl Fn(usize, usize, [f64; 3]) -> bool,
    ) -> Result<f64> {
        let positions = [[0.1, 0.2, 0.3], [1.55, 0.2, 0.3]];
        let cube = [[4.5, 0.0, 0.0], [0.0, 4.5, 0.0], [0.0, 0.0, 4.5]];
        let around = crate::neighbors::neighborhood(&positions, Some(cube), [true; 3], 7.0)?;
        let lists: Vec<Vec<i32>> = (0..2)
            .map(|i| {
                let row = &around.neighbors[around.offsets[i]..around.offsets[i + 1]];
                let kept = |&&k: &&i32| {
                    let (owner, there) = around.place(&positions, k);
                    keep(i, owner, crate::engine::pair::distance(&positions[i], &there).0)
                };
                row.iter().filter(kept).copied().collect()
            })
            .collect();
        let lists: Vec<&[i32]> = lists.iter().map(Vec::as_slice).collect();
        let owner: Vec<i32> = around.owner.iter().map(|&atom| atom as i32).collect();
        let input = NeighborListInput {
            owned: 2,
            ghosts: owner.len(),
            species: &vec![8; 2 + owner.len()],
            centers: &[0, 1],
            neighbors: &lists,
            mask: !0,
            owner: Some(&owner),
            list_cutoff: 7.0,
        };
        let options = Options { precision, ..Options::default() };
        let mut calculator = Calculator::new(tiny(), options)?;
        calculator.set_neighbor_list(&input)?;
        let all: Vec<[f64; 3]> = positions.iter().chain(&around.ghosts).copied().collect();
        let energy = calculator.compute(&all, None, Virials::Total)?.energy;
        // The second time the list is known.
        assert_eq!(calculator.compute(&all, None, Virials::Total)?.energy, energy);
        Ok(energy)
    }

    #[test]
    fn an_image_listed_from_one_side_only_is_an_error_within_the_cutoff_and_none_beyond() {
        let up = |[x, y, z]: [f64; 3]| [z, y, x].into_iter().find(|a| a.abs() > 1e-9) > Some(0.0);
        let near = |[x, y, z]: [f64; 3]| (x * x + y * y + z * z).sqrt() < 5.0;
        let is = |r: [f64; 3], x: f64| (r[0] - x).abs() < 1e-9 && r[1] == 0.0 && r[2] == 0.0;
        for precision in [Precision::Mixed, Precision::Double] {
            let whole = in_a_cube(precision, |_, _, _| true).unwrap();
            // Beyond the cutoff nothing is missed.
            let found = in_a_cube(precision, |_, _, r| near(r) || up(r)).unwrap();
            assert!((found - whole).abs() < 1e-6, "{found} for {whole}");
            let refused = |what: &str, keep: &dyn Fn(usize, usize, [f64; 3]) -> bool| {
                let error = in_a_cube(precision, keep).expect_err(what);
                assert!(error.message().contains("not full"), "{what}: {error}");
            };
            refused("half of all pairs", &|_, _, r| up(r));
            refused("half of own images", &|i, j, r| i != j || up(r));
            refused("of several images one", &|i, _, r| i == 1 || !is(r, -3.05));
            refused("as many from both", &|i, _, r| !is(r, if i == 0 { -3.05 } else { -1.45 }));
        }
    }
}
