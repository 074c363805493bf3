//! Atoms sorted into bins at least as wide as they reach.

use super::Shift;
use super::cell::Cell;
use crate::error::{Error, ErrorKind, Result};

/// At most this many images of the cell may lie around an atom.
const MOST_IMAGES: f64 = 1e6;

/// At most this many bins in one direction, so that the number of all bins fits an integer.
const MOST_BINS: f64 = (1u64 << 20) as f64;

/// Bins are wider than the reach by this share, which covers what rounding does to coordinates.
const MARGIN: f64 = 1e-9;

/// Atoms may lie this many cells away from the cell, so that sums of shifts fit 32 bits.
const FARTHEST: f64 = (1u64 << 28) as f64;

/// Atoms wrapped into the cell and sorted into bins.
pub(super) struct Bins<'a> {
    cell: &'a Cell,
    /// Number of bins in each direction.
    count: [i64; 3],
    /// How many bins away a neighbor can be.
    around: [i64; 3],
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
    pub(super) fn new(positions: &[[f64; 3]], cell: &'a Cell, reach: f64) -> Result<Self> {
        let atoms = positions.len();
        let (wrapped, winding) = wrap(positions, cell)?;

        let mut lowest = [f64::INFINITY; 3];
        let mut highest = [f64::NEG_INFINITY; 3];
        for &position in &wrapped {
            let coordinates = cell.coordinates(position);
            lowest = std::array::from_fn(|k| lowest[k].min(coordinates[k]));
            highest = std::array::from_fn(|k| highest[k].max(coordinates[k]));
        }
        // In units of the coordinates: 1 across a periodic cell, Å elsewhere.
        let mut origin = [0.0; 3];
        let mut width = [1.0; 3];
        let mut count = [1; 3];
        let mut around = [0; 3];
        let mut images = 1.0;
        for k in 0..3 {
            let needed = reach * (1.0 + MARGIN);
            if cell.periodic[k] {
                let height = cell.height(k);
                let bins = (height / needed).floor().clamp(1.0, MOST_BINS);
                width[k] = 1.0 / bins;
                count[k] = bins as i64;
                let out = (needed * bins / height).ceil();
                images *= 2.0 * out.min(MOST_IMAGES) + 1.0;
                around[k] = out as i64;
            } else if atoms > 0 {
                origin[k] = lowest[k];
                width[k] = needed.max((highest[k] - lowest[k]) / MOST_BINS);
                count[k] = ((highest[k] - lowest[k]) / width[k]) as i64 + 1;
                around[k] = 1;
            }
        }
        // Where the cell is wider than the reach these are the 27 cells around an atom, or fewer.
        if images > MOST_IMAGES {
            let heights: [f64; 3] = std::array::from_fn(|k| cell.height(k));
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                format!(
                    "expected a cell with at most {MOST_IMAGES} images within reach of an atom \
                     ({reach} Å), found one whose opposite faces are only {heights:?} Å apart: \
                     check the unit of the cell"
                ),
            ));
        }

        let slots = (count.iter().product::<i64>() as u64).min(2 * atoms as u64 + 1);
        let mut bins = Self {
            cell,
            count,
            around,
            wrapped,
            winding,
            bin_of: Vec::new(),
            slots,
            start: Vec::new(),
            order: Vec::new(),
        };
        bins.bin_of.try_reserve_exact(atoms)?;
        for &position in &bins.wrapped {
            let coordinates = cell.coordinates(position);
            bins.bin_of.push(std::array::from_fn(|k| {
                (((coordinates[k] - origin[k]) / width[k]) as i64).clamp(0, count[k] - 1)
            }));
        }
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
        let index = (bin[0] + self.count[0] * (bin[1] + self.count[1] * bin[2])) as u64;
        if (self.count.iter().product::<i64>() as u64) <= self.slots {
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
            let (from, to) = (center[k] - self.around[k], center[k] + self.around[k]);
            if self.cell.periodic[k] { from..=to } else { from.max(0)..=to.min(self.count[k] - 1) }
        };
        let (x, y, z) = (range(0), range(1), range(2));
        z.flat_map(move |z| {
            let x = x.clone();
            y.clone().flat_map(move |y| x.clone().map(move |x| self.image([x, y, z])))
        })
    }

    fn image(&'a self, unbounded: [i64; 3]) -> Image<'a> {
        let bin = std::array::from_fn(|k| unbounded[k].rem_euclid(self.count[k]));
        let shift = std::array::from_fn(|k| unbounded[k].div_euclid(self.count[k]) as i32);
        let slot = self.slot(bin);
        let atoms = &self.order[self.start[slot] as usize..self.start[slot + 1] as usize];
        Image { bins: self, bin, slot: atoms, shift, translation: self.cell.translation(shift) }
    }
}

/// Positions inside the cell, and the whole lattice vectors that were subtracted.
fn wrap(positions: &[[f64; 3]], cell: &Cell) -> Result<(Vec<[f64; 3]>, Vec<Shift>)> {
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
                ));
            }
            shift[k] = coordinates[k].floor() as i32;
        }
        let translation = cell.translation(shift);
        wrapped.push(std::array::from_fn(|x| position[x] - translation[x]));
        winding.push(shift);
    }
    Ok((wrapped, winding))
}
