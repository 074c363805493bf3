//! Pair lists for callers who have positions and a cell, but no neighbor list.
//!
//! Atoms are wrapped into the cell, sorted into bins at least a cutoff wide and compared with the
//! bins around them, images of bins included. Work and memory are linear in atoms and pairs.

mod bins;
mod cell;
mod grid;

use crate::error::{Error, ErrorKind, Result};
use bins::Bins;
pub(crate) use bins::{bounds, wrap};
pub(crate) use cell::Cell;
pub(crate) use grid::Grid;

/// Which atoms are within reach of each other, periodic images included as ghosts.
///
/// ```
/// use mlff_student::neighbors::neighborhood;
///
/// // One atom in a cube of 3 Å that repeats along x: its neighbors are its own two images.
/// let cube = [[3.0, 0.0, 0.0], [0.0, 3.0, 0.0], [0.0, 0.0, 3.0]];
/// let around = neighborhood(&[[0.5, 0.0, 0.0]], Some(cube), [true, false, false], 4.0)?;
/// assert_eq!(around.owner, [0, 0]);
/// assert_eq!(around.neighbors, [1, 2]);
/// let mut places: Vec<f64> = around.ghosts.iter().map(|ghost| ghost[0]).collect();
/// places.sort_by(f64::total_cmp);
/// assert_eq!(places, [-2.5, 3.5]);
/// # Ok::<(), mlff_student::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Neighborhood {
    /// For each ghost the atom it is an image of; ascending.
    pub owner: Vec<u32>,
    /// Position of each ghost (Å): its owner's position as given, plus whole lattice vectors.
    pub ghosts: Vec<[f64; 3]>,
    /// `neighbors[offsets[i]..offsets[i + 1]]` are the neighbors of atom i, ascending.
    pub offsets: Vec<usize>,
    /// Indices of atoms (below `atoms`) and ghosts (`atoms + ghost`).
    pub neighbors: Vec<i32>,
}

impl Neighborhood {
    /// The atom that an entry of `neighbors` is, or is an image of, and where the entry stands.
    pub fn place(&self, positions: &[[f64; 3]], neighbor: i32) -> (usize, [f64; 3]) {
        let neighbor = neighbor as usize;
        match neighbor.checked_sub(positions.len()) {
            None => (neighbor, positions[neighbor]),
            Some(ghost) => (self.owner[ghost] as usize, self.ghosts[ghost]),
        }
    }
}

/// A whole number of each lattice vector.
type Shift = [i32; 3];

/// Lattice vectors and cutoffs beyond this (Å) would overflow when multiplied.
pub(crate) const LARGEST: f64 = 1e100;

/// Lists every pair within `cutoff`.
///
/// * `positions`: one for each atom (Å), inside the cell or not; distances are those between the
///   positions as given and the ghosts.
/// * `cell`: lattice vectors, one per row (Å), right-handed. Rows of directions that do not repeat
///   may be zero, and otherwise only say which hand the cell has.
/// * `periodic`: directions in which the structure repeats. Where the cell is smaller than the
///   cutoff, an atom is its own neighbor.
/// * `cutoff`: pairs with d ≤ cutoff are listed, in both directions (Å). A few more may be,
///   beyond it by rounding: whoever uses the list decides.
///
/// # Errors
/// Positions or cells that are not finite, or so far out that their distances have no digits left,
/// a periodic direction without a lattice vector, lattice vectors that are dependent or
/// left-handed, and cells so thin that more than 1,000,000 of their images lie within the cutoff.
pub fn neighborhood(
    positions: &[[f64; 3]],
    cell: Option<[[f64; 3]; 3]>,
    periodic: [bool; 3],
    cutoff: f64,
) -> Result<Neighborhood> {
    if !(cutoff > 0.0 && cutoff <= LARGEST) {
        return Err(Error::new(
            ErrorKind::InvalidArgument,
            format!("expected a positive cutoff in Å, found {cutoff}"),
        ));
    }
    if positions.len() >= i32::MAX as usize {
        return Err(too_many(positions.len()));
    }
    let size = largest_coordinate(positions, cutoff)?;
    let cell = Cell::new(cell, periodic)?;
    let reach = reach(cutoff, size);
    let (wrapped, winding) = wrap(positions, &cell)?;
    let bounds = bounds(&wrapped, &cell);
    let grid = Grid::new(cell, reach, bounds)?;
    let bins = Bins::new(&grid, wrapped, winding)?;
    let rows = Rows::collect(&bins, reach)?;
    rows.into_neighborhood(positions, &grid.cell)
}

/// How far bins must reach where coordinates are as large as `size` (Å): rounding moves them.
pub(crate) fn reach(cutoff: f64, size: f64) -> f64 {
    cutoff * (1.0 + 1e-12) + 8.0 * f64::EPSILON * size
}

/// Largest coordinate (Å) whose distances are told apart to a thousandth of the cutoff. Farther out
/// [`reach`] would make all pairs near.
pub(crate) fn farthest(cutoff: f64) -> f64 {
    1e-3 * cutoff / (8.0 * f64::EPSILON)
}

/// Refuses positions that are not finite or beyond [`farthest`], or too far from their cell to be
/// wrapped.
pub(crate) fn check_positions(positions: &[[f64; 3]], cell: &Cell, cutoff: f64) -> Result<()> {
    largest_coordinate(positions, cutoff)?;
    wrap(positions, cell).map(drop)
}

/// The largest coordinate (Å), refused where it is not finite or beyond [`farthest`].
pub(crate) fn largest_coordinate(positions: &[[f64; 3]], cutoff: f64) -> Result<f64> {
    let (mut largest, farthest) = (0.0, farthest(cutoff));
    for (atom, position) in positions.iter().enumerate() {
        for &x in position {
            if x.is_nan() || x.abs() > farthest {
                return Err(Error::new(
                    ErrorKind::Numeric,
                    format!(
                        "atom {atom}: expected a finite position, at most {farthest:.0e} Å from \
                         the origin, found {position:?}: check the input, or the step before this \
                         one"
                    ),
                )
                .about([atom]));
            }
            largest = f64::max(largest, x.abs());
        }
    }
    Ok(largest)
}

fn too_many(found: usize) -> Error {
    Error::new(
        ErrorKind::InvalidArgument,
        format!(
            "expected fewer than {} atoms and periodic images, found {found}: use a smaller \
             structure, or a larger cell if this one is thinner than it should be",
            i32::MAX
        ),
    )
}

/// For each atom, its neighbors as atom and shift.
struct Rows {
    offsets: Vec<usize>,
    entries: Vec<(u32, Shift)>,
}

impl Rows {
    /// Both directions of a pair are compared on their own, yet always alike: r_j + S − r_i and
    /// r_i − S − r_j are each other's negatives to the last bit.
    fn collect(bins: &Bins<'_>, reach: f64) -> Result<Self> {
        let reach_squared = reach * reach;
        let mut offsets = Vec::new();
        offsets.try_reserve_exact(bins.atoms() + 1)?;
        offsets.push(0);
        let mut entries = Vec::new();
        for i in 0..bins.atoms() {
            let from = bins.wrapped(i);
            for image in bins.around(i) {
                entries.try_reserve(image.slot.len())?;
                for j in image.atoms() {
                    let to = bins.wrapped(j);
                    let d: [f64; 3] =
                        std::array::from_fn(|x| (to[x] - from[x]) + image.translation[x]);
                    let itself = i == j && image.shift == [0; 3];
                    if d[0] * d[0] + d[1] * d[1] + d[2] * d[2] <= reach_squared && !itself {
                        entries.push((j as u32, bins.unwrap(i, j, image.shift)));
                    }
                }
            }
            offsets.push(entries.len());
        }
        Ok(Self { offsets, entries })
    }

    fn row(&self, i: usize) -> &[(u32, Shift)] {
        &self.entries[self.offsets[i]..self.offsets[i + 1]]
    }

    fn into_neighborhood(self, positions: &[[f64; 3]], cell: &Cell) -> Result<Neighborhood> {
        let atoms = positions.len();
        // Whoever has atom j at shift T as a neighbor stands in j's own row at −T. So j's row
        // names all images of j, and no search over other rows is needed.
        let mut first_image = Vec::new();
        first_image.try_reserve_exact(atoms + 1)?;
        first_image.push(0);
        let mut images: Vec<Shift> = Vec::new();
        let mut shifts: Vec<Shift> = Vec::new();
        for j in 0..atoms {
            shifts.clear();
            shifts.try_reserve(self.row(j).len())?;
            let away = self.row(j).iter().filter(|(_, shift)| *shift != [0; 3]);
            shifts.extend(away.map(|(_, shift)| shift.map(|n| -n)));
            shifts.sort_unstable();
            shifts.dedup();
            images.try_reserve(shifts.len())?;
            images.extend_from_slice(&shifts);
            first_image.push(images.len());
        }
        if atoms + images.len() >= i32::MAX as usize {
            return Err(too_many(atoms + images.len()));
        }

        let mut owner = Vec::new();
        owner.try_reserve_exact(images.len())?;
        let mut ghosts = Vec::new();
        ghosts.try_reserve_exact(images.len())?;
        for (j, position) in positions.iter().enumerate() {
            for &shift in &images[first_image[j]..first_image[j + 1]] {
                let translation = cell.translation(shift);
                owner.push(j as u32);
                ghosts.push(std::array::from_fn(|x| position[x] + translation[x]));
            }
        }

        let mut neighbors: Vec<i32> = Vec::new();
        neighbors.try_reserve_exact(self.entries.len())?;
        for i in 0..atoms {
            for &(j, shift) in self.row(i) {
                let j = j as usize;
                neighbors.push(if shift == [0; 3] {
                    j as i32
                } else {
                    let start = first_image[j];
                    match images[start..first_image[j + 1]].binary_search(&shift) {
                        Ok(image) => (atoms + start + image) as i32,
                        Err(_) => {
                            return Err(Error::new(
                                ErrorKind::Internal,
                                format!("atom {i} lists atom {j}, which does not list it"),
                            ));
                        }
                    }
                });
            }
            neighbors[self.offsets[i]..].sort_unstable();
        }
        Ok(Neighborhood { owner, ghosts, offsets: self.offsets, neighbors })
    }
}
