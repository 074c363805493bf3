//! Atoms sorted into bins at least as wide as they reach.

use super::Shift;
use super::cell::Cell;
use super::grid::Grid;
use crate::error::{Error, ErrorKind, Result};
use crate::memory::collected;

/// Atoms may lie this many cells away from the cell, so that sums of shifts fit 32 bits.
const FARTHEST: f64 = (1u64 << 28) as f64;

/// Atoms wrapped into the cell and sorted into bins.
pub(super) struct Bins<'a> {
    grid: &'a Grid,
    /// Positions inside the cell (Å).
    wrapped: Vec<[f64; 3]>,
    /// The whole lattice vectors that wrapping subtracted.
    winding: Vec<Shift>,
    bin_of: Vec<[i64; 3]>,
    /// Bins share slots where there are more of them than slots.
    slots: u64,
    /// `order[start[slot]..start[slot + 1]]` are the atoms of a slot, ascending.
    start: Vec<u32>,
    order: Vec<u32>,
}

/// A bin, or a periodic image of one.
pub(super) struct Image<'a> {
    bins: &'a Bins<'a>,
    bin: [i64; 3],
    /// The atoms of this bin, and of others in the same slot.
    pub(super) slot: &'a [u32],
    pub(super) shift: Shift,
    /// The shift in Å.
    pub(super) translation: [f64; 3],
}

impl Image<'_> {
    pub(super) fn atoms(&self) -> impl Iterator<Item = usize> {
        self.slot.iter().map(|&j| j as usize).filter(|&j| self.bins.bin_of[j] == self.bin)
    }
}

impl<'a> Bins<'a> {
    /// `wrapped` and `winding` are those of [`wrap`].
    pub(super) fn new(grid: &'a Grid, wrapped: Vec<[f64; 3]>, winding: Vec<Shift>) -> Result<Self> {
        let slots = grid.slots(wrapped.len());
        let bin_of = collected(wrapped.iter().map(|&position| grid.bin(position)))?;
        let (start, order) = (Vec::new(), Vec::new());
        let mut bins = Self { grid, wrapped, winding, bin_of, slots, start, order };
        bins.sort()?;
        Ok(bins)
    }

    /// Counting sort of the atoms by slot.
    fn sort(&mut self) -> Result<()> {
        let atoms = self.bin_of.len();
        self.start.try_reserve_exact(self.slots as usize + 1)?;
        self.start.resize(self.slots as usize + 1, 0);
        self.order.try_reserve_exact(atoms)?;
        self.order.resize(atoms, 0);
        for bin in &self.bin_of {
            let slot = self.slot(*bin);
            self.start[slot + 1] += 1;
        }
        for slot in 0..self.slots as usize {
            self.start[slot + 1] += self.start[slot];
        }
        // Backwards, so that `start` ends where it was and each slot ascends.
        let mut end = Vec::new();
        end.try_reserve_exact(self.slots as usize)?;
        end.extend_from_slice(&self.start[1..]);
        for atom in (0..atoms).rev() {
            let slot = self.slot(self.bin_of[atom]);
            end[slot] -= 1;
            self.order[end[slot] as usize] = atom as u32;
        }
        Ok(())
    }

    fn slot(&self, bin: [i64; 3]) -> usize {
        let index = (bin[0] + self.grid.count[0] * (bin[1] + self.grid.count[1] * bin[2])) as u64;
        if (self.grid.count.iter().product::<i64>() as u64) <= self.slots {
            return index as usize;
        }
        // Fibonacci hashing: neighboring bins spread over the table.
        let spread = index.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
        ((spread * self.slots) >> 32) as usize
    }

    /// Number of atoms.
    pub(super) fn atoms(&self) -> usize {
        self.wrapped.len()
    }

    /// Position of an atom inside the cell (Å).
    pub(super) fn wrapped(&self, atom: usize) -> [f64; 3] {
        self.wrapped[atom]
    }

    /// The shift between the positions as given that is `shift` between wrapped ones.
    pub(super) fn unwrap(&self, i: usize, j: usize, shift: Shift) -> Shift {
        std::array::from_fn(|k| shift[k] + self.winding[i][k] - self.winding[j][k])
    }

    /// Every bin and image that may hold neighbors of an atom.
    pub(super) fn around(&'a self, atom: usize) -> impl Iterator<Item = Image<'a>> {
        let center = self.bin_of[atom];
        let range = |k: usize| {
            let (from, to) = (center[k] - self.grid.around[k], center[k] + self.grid.around[k]);
            if self.grid.cell.periodic[k] {
                from..=to
            } else {
                from.max(0)..=to.min(self.grid.count[k] - 1)
            }
        };
        let (x, y, z) = (range(0), range(1), range(2));
        z.flat_map(move |z| {
            let x = x.clone();
            y.clone().flat_map(move |y| x.clone().map(move |x| self.image([x, y, z])))
        })
    }

    fn image(&'a self, unbounded: [i64; 3]) -> Image<'a> {
        let bin = std::array::from_fn(|k| unbounded[k].rem_euclid(self.grid.count[k]));
        let shift = std::array::from_fn(|k| unbounded[k].div_euclid(self.grid.count[k]) as i32);
        let slot = self.slot(bin);
        let atoms = &self.order[self.start[slot] as usize..self.start[slot + 1] as usize];
        Image {
            bins: self,
            bin,
            slot: atoms,
            shift,
            translation: self.grid.cell.translation(shift),
        }
    }
}

/// Lowest and highest coordinates of positions inside the cell; none without positions.
pub(crate) fn bounds(positions: &[[f64; 3]], cell: &Cell) -> Option<[[f64; 3]; 2]> {
    let mut coordinates = positions.iter().map(|&position| cell.coordinates(position));
    let first = coordinates.next()?;
    Some(coordinates.fold([first; 2], |[lowest, highest], found| {
        [
            std::array::from_fn(|k| lowest[k].min(found[k])),
            std::array::from_fn(|k| highest[k].max(found[k])),
        ]
    }))
}

/// Positions inside the cell, and the whole lattice vectors that were subtracted.
pub(crate) fn wrap(positions: &[[f64; 3]], cell: &Cell) -> Result<(Vec<[f64; 3]>, Vec<Shift>)> {
    let mut wrapped = Vec::new();
    wrapped.try_reserve_exact(positions.len())?;
    let mut winding = Vec::new();
    winding.try_reserve_exact(positions.len())?;
    for (atom, &position) in positions.iter().enumerate() {
        let coordinates = cell.coordinates(position);
        let mut shift = [0; 3];
        for k in (0..3).filter(|&k| cell.periodic[k]) {
            if coordinates[k].abs() > FARTHEST {
                return Err(Error::new(
                    ErrorKind::Numeric,
                    format!(
                        "atom {atom}: expected a position at most {FARTHEST} cells away from the \
                         cell, found {position:?} Å: wrap positions into the cell"
                    ),
                )
                .about([atom]));
            }
            shift[k] = coordinates[k].floor() as i32;
        }
        let translation = cell.translation(shift);
        wrapped.push(std::array::from_fn(|x| position[x] - translation[x]));
        winding.push(shift);
    }
    Ok((wrapped, winding))
}
