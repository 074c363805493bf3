//! Bins at least as wide as pairs reach, over a cell or the space that atoms take.

use super::cell::Cell;
use crate::error::{Error, ErrorKind, Result};

/// At most this many images of the cell may lie around an atom.
const MOST_IMAGES: f64 = 1e6;

/// At most this many bins in one direction, so that the number of all bins fits an integer.
const MOST_BINS: f64 = (1u64 << 20) as f64;

/// Bins are wider than the reach by this share, which covers what rounding does to coordinates.
const MARGIN: f64 = 1e-9;

/// Where bins are. Coordinates are those of the cell: 1 across it where it repeats, Å elsewhere.
pub(crate) struct Grid {
    pub(crate) cell: Cell,
    /// Where the first bin begins, and how wide bins are, in units of the coordinates.
    pub(crate) origin: [f64; 3],
    pub(crate) width: [f64; 3],
    /// Number of bins in each direction.
    pub(crate) count: [i64; 3],
    /// How many bins away a neighbor can be.
    pub(crate) around: [i64; 3],
}

impl Grid {
    /// Bins for pairs up to `reach` (Å). `bounds`: lowest and highest coordinates of all atoms,
    /// which are not used where the cell repeats; none without atoms.
    pub(crate) fn new(cell: Cell, reach: f64, bounds: Option<[[f64; 3]; 2]>) -> Result<Self> {
        Self::of(cell, reach, bounds, MOST_BINS)
    }

    /// A grid of one bin, which is the whole cell.
    pub(crate) fn single(cell: Cell, reach: f64) -> Result<Self> {
        Self::of(cell, reach, None, 1.0)
    }

    fn of(cell: Cell, reach: f64, bounds: Option<[[f64; 3]; 2]>, most: f64) -> Result<Self> {
        let mut origin = [0.0; 3];
        let mut width = [1.0; 3];
        let mut count = [1; 3];
        let mut around = [0; 3];
        let mut images = 1.0;
        for k in 0..3 {
            let needed = reach * (1.0 + MARGIN);
            if cell.periodic[k] {
                let height = cell.height(k);
                let bins = (height / needed).floor().clamp(1.0, most);
                width[k] = 1.0 / bins;
                count[k] = bins as i64;
                let out = (needed * bins / height).ceil();
                images *= 2.0 * out.min(MOST_IMAGES) + 1.0;
                around[k] = out as i64;
            } else if let Some([lowest, highest]) = bounds {
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
                     ({reach:.6} Å), found one whose opposite faces are only {heights:?} Å apart: \
                     check the unit of the cell"
                ),
            ));
        }
        Ok(Self { cell, origin, width, count, around })
    }

    /// The bin of a position inside the cell.
    pub(crate) fn bin(&self, position: [f64; 3]) -> [i64; 3] {
        let coordinates = self.cell.coordinates(position);
        std::array::from_fn(|k| {
            let bin = ((coordinates[k] - self.origin[k]) / self.width[k]) as i64;
            bin.clamp(0, self.count[k] - 1)
        })
    }

    /// Slots of a table of bins for so many atoms: with fewer slots than bins, several share one.
    pub(crate) fn slots(&self, atoms: usize) -> u64 {
        (self.count.iter().product::<i64>() as u64).min(2 * atoms as u64 + 1)
    }
}
