//! Liquid water, made from a fixed seed.

use mlff_student::error::Result;
use mlff_student::vector::rotation;

/// Molecules in a cubic ångström of water at room temperature.
const DENSITY: f64 = 0.0334;

/// A molecule around its oxygen atom (Å): O–H 0.96 Å, H–O–H 104.5°.
const MOLECULE: [[f64; 3]; 3] = [[0.0; 3], [0.759, 0.588, 0.0], [-0.759, 0.588, 0.0]];

/// How far molecules are moved off the lattice along each axis (Å).
const JITTER: f64 = 0.15;

/// Atoms of different molecules come no closer in the liquid (Å); a hydrogen bond has 1.8.
const CLOSEST: f64 = 1.6;

/// Orientations that are tried before the best of them is taken.
const TRIES: usize = 200;

/// `atoms` atoms, rounded up to whole molecules: atomic numbers and positions (Å) in a periodic
/// cube, and its edge (Å).
pub(super) fn cube(atoms: usize) -> Result<(Vec<i32>, Vec<[f64; 3]>, f64)> {
    let molecules = atoms.div_ceil(3).max(1);
    let edge = (molecules as f64 / DENSITY).cbrt();
    Ok(([8, 1, 1].repeat(molecules), place(molecules, edge)?, edge))
}

/// Positions of O, H, H, O, H, H, … in a cube.
fn place(molecules: usize, edge: f64) -> Result<Vec<[f64; 3]>> {
    let sizes = lattice(molecules);
    let sites: usize = sizes.iter().product();
    let mut random = Random(1);
    let mut placed: Vec<Option<[[f64; 3]; 3]>> = Vec::new();
    placed.try_reserve_exact(sites)?;
    placed.resize(sites, None);
    let mut positions = Vec::new();
    positions.try_reserve_exact(3 * molecules)?;
    let mut left = molecules;
    for site in 0..sites {
        // Empty sites are spread evenly: each is taken with the probability that fills the box.
        if random.uniform() * (sites - site) as f64 >= left as f64 {
            continue;
        }
        left -= 1;
        let at = [site % sizes[0], site / sizes[0] % sizes[1], site / sizes[0] / sizes[1]];
        let origin: [f64; 3] = std::array::from_fn(|a| {
            (at[a] as f64 + 0.5) * edge / sizes[a] as f64 + JITTER * (2.0 * random.uniform() - 1.0)
        });
        let near = neighborhood_of(at, sizes, &placed);
        let mut best = (f64::NEG_INFINITY, MOLECULE);
        for _ in 0..TRIES {
            let turn = random.rotation();
            let atoms = MOLECULE.map(|r| {
                std::array::from_fn(|a| origin[a] + (0..3).map(|b| turn[a][b] * r[b]).sum::<f64>())
            });
            let distance = closest(&atoms, &near, edge);
            if distance > best.0 {
                best = (distance, atoms);
            }
            if distance >= CLOSEST {
                break;
            }
        }
        placed[site] = Some(best.1);
        positions.extend_from_slice(&best.1);
    }
    Ok(positions)
}

/// Sites along each axis: the smallest n³, n²(n − 1) or n(n − 1)² that holds all molecules.
fn lattice(molecules: usize) -> [usize; 3] {
    let mut sizes = [1; 3];
    let mut axis = 0;
    while sizes.iter().product::<usize>() < molecules {
        sizes[axis] += 1;
        axis = (axis + 1) % 3;
    }
    sizes
}

/// The molecules on the sites around `at`, periodic images left to the minimum image.
fn neighborhood_of(
    at: [usize; 3],
    sizes: [usize; 3],
    placed: &[Option<[[f64; 3]; 3]>],
) -> Vec<[[f64; 3]; 3]> {
    let mut sites: Vec<usize> = (0..27)
        .map(|k| {
            let [x, y, z]: [usize; 3] = std::array::from_fn(|a| {
                (at[a] + sizes[a] + k / 3_usize.pow(a as u32) % 3 - 1) % sizes[a]
            });
            x + sizes[0] * (y + sizes[1] * z)
        })
        .collect();
    sites.sort_unstable();
    sites.dedup();
    sites.into_iter().filter_map(|site| placed[site]).collect()
}

/// The smallest distance between atoms of one molecule and of `others` (Å).
fn closest(atoms: &[[f64; 3]; 3], others: &[[[f64; 3]; 3]], edge: f64) -> f64 {
    let mut smallest = f64::INFINITY;
    for other in others.iter().flatten() {
        for atom in atoms {
            let squared = (0..3).map(|a| {
                let x = other[a] - atom[a];
                (x - edge * (x / edge).round()).powi(2)
            });
            smallest = f64::min(smallest, squared.sum());
        }
    }
    smallest.sqrt()
}

/// A linear congruential generator (Knuth's MMIX): the same box everywhere.
struct Random(u64);

impl Random {
    /// 0 … 1.
    fn uniform(&mut self) -> f64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        // The low bits of such a generator repeat early.
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A rotation, all equally likely (Shoemake's random quaternion).
    fn rotation(&mut self) -> [[f64; 3]; 3] {
        let u = self.uniform();
        let (sin1, cos1) = (std::f64::consts::TAU * self.uniform()).sin_cos();
        let (sin2, cos2) = (std::f64::consts::TAU * self.uniform()).sin_cos();
        let (p, q) = ((1.0 - u).sqrt(), u.sqrt());
        rotation([p * sin1, p * cos1, q * sin2, q * cos2])
    }
}

#[cfg(test)]
mod tests {
    use super::DENSITY;
    use crate::cli::bench::system::System;

    #[test]
    fn water_has_the_density_of_water_and_no_atoms_on_top_of_each_other() {
        for molecules in [8, 64, 100, 512] {
            let water = System::water(3 * molecules, 5.0).unwrap();
            assert_eq!(water.atoms, 3 * molecules);
            assert!((molecules as f64 / water.edge.unwrap().powi(3) / DENSITY - 1.0).abs() < 1e-12);
            for pair in water.pairs() {
                let same = pair.i / 3 == pair.j / 3 && pair.shift == [0.0; 3];
                let squared: f64 = (0..3)
                    .map(|a| {
                        water.positions[pair.j][a] + pair.shift[a] - water.positions[pair.i][a]
                    })
                    .map(|x| x * x)
                    .sum();
                let least = if same { 0.95 } else { 1.4 };
                assert!(squared.sqrt() > least, "{molecules} molecules: {}", squared.sqrt());
            }
        }
    }
}
