//! Hydrogen and oxygen at the density of water, and neighbor lists of them.
use mlff_student::engine::{Calculator, NeighborListInput, Results, Structure};
use mlff_student::neighbors::neighborhood;

const SPACING: f64 = 2.154;

/// A periodic cube.
pub struct Cube {
    /// Å.
    edge: f64,
    pub species: Vec<i32>,
    pub positions: Vec<[f64; 3]>,
}

impl Cube {
    /// `side`³ atoms, off a lattice by up to a quarter of its spacing.
    pub fn new(side: usize, seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut off = |k: usize| SPACING * (k as f64 + 0.5 * (random.f64() - 0.5));
        let index = |n: usize| [n % side, n / side % side, n / side / side];
        let atoms = side.pow(3);
        Self {
            edge: SPACING * side as f64,
            species: (0..atoms).map(|atom| if atom.is_multiple_of(3) { 8 } else { 1 }).collect(),
            positions: (0..atoms).map(|atom| index(atom).map(&mut off)).collect(),
        }
    }

    pub fn cell(&self) -> [[f64; 3]; 3] {
        [[self.edge, 0.0, 0.0], [0.0, self.edge, 0.0], [0.0, 0.0, self.edge]]
    }

    /// What a calculator gives for it without a list.
    pub fn compute(&self, calculator: &mut Calculator) -> Results {
        let structure = Structure {
            species: &self.species,
            positions: &self.positions,
            cell: Some(self.cell()),
            periodic: [true; 3],
        };
        calculator.compute_structure(&structure).unwrap().clone()
    }

    /// Gives a calculator the list within `cutoff` (Å) of the atoms that are `present`.
    pub fn set_list(
        &self,
        calculator: &mut Calculator,
        cutoff: f64,
        present: impl Fn(usize) -> bool,
    ) -> Listed {
        let owned = self.positions.len();
        let around = neighborhood(&self.positions, Some(self.cell()), [true; 3], cutoff).unwrap();
        let owner: Vec<i32> = around.owner.iter().map(|&owner| owner as i32).collect();
        let species = |atom| if present(atom) { self.species[atom] } else { 0 };
        let owners = around.owner.iter().map(|&owner| owner as usize);
        let species: Vec<i32> = (0..owned).chain(owners).map(species).collect();
        let centers: Vec<i32> =
            (0..owned).filter(|&atom| present(atom)).map(|atom| atom as i32).collect();
        let row = |&atom: &i32| &around.offsets[atom as usize..atom as usize + 2];
        let rows = centers.iter().map(row);
        let neighbors: Vec<&[i32]> = rows.map(|row| &around.neighbors[row[0]..row[1]]).collect();
        let input = NeighborListInput {
            owned,
            ghosts: owner.len(),
            species: &species,
            centers: &centers,
            neighbors: &neighbors,
            mask: !0,
            owner: Some(&owner),
            list_cutoff: cutoff,
        };
        calculator.set_neighbor_list(&input).unwrap();
        let mut positions = self.positions.clone();
        positions.extend(&around.ghosts);
        Listed { positions, ghosts: owner.len(), entries: around.neighbors.len() }
    }
}

/// What belongs to a list.
pub struct Listed {
    /// Of atoms and ghosts (Å).
    pub positions: Vec<[f64; 3]>,
    pub ghosts: usize,
    pub entries: usize,
}
