//! The pair list against brute force over images.

use crate::support::reference;
use std::collections::BTreeSet;

use mlff_student::ErrorKind;
use mlff_student::neighbors::{Neighborhood, neighborhood};

type Matrix = [[f64; 3]; 3];

const CUTOFF: f64 = 5.0;

fn distance(a: [f64; 3], b: [f64; 3]) -> f64 {
    (0..3).map(|x| (a[x] - b[x]).powi(2)).sum::<f64>().sqrt()
}

fn translate(position: [f64; 3], cell: &Matrix, n: [i32; 3]) -> [f64; 3] {
    std::array::from_fn(|x| position[x] + (0..3).map(|k| f64::from(n[k]) * cell[k][x]).sum::<f64>())
}

/// Neighbor positions of every atom, from the list.
fn listed(positions: &[[f64; 3]], list: &Neighborhood) -> Vec<Vec<[f64; 3]>> {
    let all: Vec<[f64; 3]> = positions.iter().chain(&list.ghosts).copied().collect();
    list.offsets
        .windows(2)
        .map(|w| list.neighbors[w[0]..w[1]].iter().map(|&j| all[j as usize]).collect())
        .collect()
}

/// Compares a list with all images up to `images` cells away from where each pair is closest.
fn assert_complete(positions: &[[f64; 3]], cell: Matrix, periodic: [bool; 3], images: i32) {
    let list = neighborhood(positions, Some(cell), periodic, CUTOFF).unwrap();
    let span = |k: usize| if periodic[k] { -images..=images } else { 0..=0 };
    let mut pairs = 0;
    for (i, found) in listed(positions, &list).into_iter().enumerate() {
        let mut expected = Vec::new();
        for (j, &to) in positions.iter().enumerate() {
            for n in
                span(0).flat_map(|a| span(1).flat_map(move |b| span(2).map(move |c| [a, b, c])))
            {
                let image = translate(to, &cell, n);
                let d = distance(positions[i], image);
                assert!((d - CUTOFF).abs() > 1e-9, "the random structure decides nothing");
                if d < CUTOFF && !(i == j && n == [0; 3]) {
                    expected.push(image);
                }
            }
        }
        assert_eq!(found.len(), expected.len(), "neighbors of atom {i} in {cell:?} {periodic:?}");
        for image in &expected {
            let close = found.iter().filter(|other| distance(*image, **other) < 1e-8).count();
            assert_eq!(close, 1, "atom {i} should list exactly one neighbor at {image:?}");
        }
        pairs += found.len();
    }
    assert_eq!(pairs, list.neighbors.len());
    assert_reciprocal(positions, &cell, &list);
}

/// (i → image S of j) if and only if (j → image −S of i); ghosts are unique.
fn assert_reciprocal(positions: &[[f64; 3]], cell: &Matrix, list: &Neighborhood) {
    let atoms = positions.len();
    let mut shifts: Vec<[i32; 3]> = vec![[0; 3]; atoms];
    // The cell may lack vectors; whole numbers of the others are found by brute force.
    for (ghost, &owner) in list.ghosts.iter().zip(&list.owner) {
        let away: [f64; 3] = std::array::from_fn(|x| ghost[x] - positions[owner as usize][x]);
        shifts.push(whole(away, cell));
    }
    let mut unique = BTreeSet::new();
    for (&owner, shift) in list.owner.iter().zip(&shifts[atoms..]) {
        assert!(unique.insert((owner, *shift)), "ghost {owner} {shift:?} is there twice");
    }
    let mut pairs = BTreeSet::new();
    for i in 0..atoms {
        for &j in &list.neighbors[list.offsets[i]..list.offsets[i + 1]] {
            let owner = (j as usize).checked_sub(atoms).map_or(j as u32, |g| list.owner[g]);
            assert!(pairs.insert((i as u32, owner, shifts[j as usize])), "listed twice");
        }
    }
    for &(i, j, shift) in &pairs {
        assert!(pairs.contains(&(j, i, shift.map(|n| -n))), "{i} lists {j} {shift:?}, not back");
    }
}

/// The whole numbers of lattice vectors in a translation.
fn whole(away: [f64; 3], cell: &Matrix) -> [i32; 3] {
    let gram: Matrix = std::array::from_fn(|a| {
        std::array::from_fn(|b| {
            let dot: f64 = (0..3).map(|x| cell[a][x] * cell[b][x]).sum();
            if a == b && dot == 0.0 { 1.0 } else { dot }
        })
    });
    let right: [f64; 3] = std::array::from_fn(|a| (0..3).map(|x| cell[a][x] * away[x]).sum());
    let det = |m: &Matrix| {
        m[0][0] * (m[1][1] * m[2][2] - m[1][2] * m[2][1])
            - m[0][1] * (m[1][0] * m[2][2] - m[1][2] * m[2][0])
            + m[0][2] * (m[1][0] * m[2][1] - m[1][1] * m[2][0])
    };
    std::array::from_fn(|k| {
        let mut replaced = gram;
        (0..3).for_each(|a| replaced[a][k] = right[a]);
        (det(&replaced) / det(&gram)).round() as i32
    })
}

/// A random right-handed cell with lengths around `size` and angles between about 50° and 130°.
fn random_cell(rng: &mut fastrand::Rng, size: f64) -> Matrix {
    loop {
        let mut cell: Matrix = std::array::from_fn(|_| std::array::from_fn(|_| rng.f64() - 0.5));
        for row in &mut cell {
            let length = row.iter().map(|x| x * x).sum::<f64>().sqrt();
            let wanted = size * (0.8 + 0.4 * rng.f64());
            row.iter_mut().for_each(|x| *x *= wanted / length);
        }
        let cross = [
            cell[1][1] * cell[2][2] - cell[1][2] * cell[2][1],
            cell[1][2] * cell[2][0] - cell[1][0] * cell[2][2],
            cell[1][0] * cell[2][1] - cell[1][1] * cell[2][0],
        ];
        let volume: f64 = (0..3).map(|x| cell[0][x] * cross[x]).sum();
        if volume > 0.45 * size.powi(3) {
            return cell;
        }
    }
}

fn random_positions(
    rng: &mut fastrand::Rng,
    cell: &Matrix,
    atoms: usize,
    beyond: f64,
) -> Vec<[f64; 3]> {
    (0..atoms)
        .map(|_| {
            let s: [f64; 3] = std::array::from_fn(|_| rng.f64() + beyond * (rng.f64() - 0.5));
            std::array::from_fn(|x| (0..3).map(|k| s[k] * cell[k][x]).sum())
        })
        .collect()
}

#[test]
fn random_triclinic_cells_match_brute_force() {
    let mut rng = fastrand::Rng::with_seed(1);
    for size in [3.0, 5.5, 9.0, 14.0] {
        for mask in 0..8 {
            let periodic = [mask & 1 != 0, mask & 2 != 0, mask & 4 != 0];
            let cell = random_cell(&mut rng, size);
            let positions = random_positions(&mut rng, &cell, 12, 2.0);
            assert_complete(&positions, cell, periodic, 8);
        }
    }
}

#[test]
fn cells_far_smaller_than_the_cutoff_match_brute_force() {
    let mut rng = fastrand::Rng::with_seed(2);
    for _ in 0..3 {
        let cell = random_cell(&mut rng, 0.8);
        let positions = random_positions(&mut rng, &cell, 1, 1.0);
        assert_complete(&positions, cell, [true; 3], 20);
    }
    // The primitive cell of a face-centered lattice, 0.8 Å to the nearest neighbor.
    let a = 0.8 / 2f64.sqrt();
    let cell =
        [[0.0, a, a], [a, 0.0, a], [a, a, 0.0]].map(|row: [f64; 3]| row.map(|x| x * 1.000123));
    assert_complete(&[[0.1, 0.2, 0.3]], cell, [true; 3], 16);
}

#[test]
fn atoms_a_thousand_angstroms_outside_the_cell_match_brute_force() {
    let mut rng = fastrand::Rng::with_seed(3);
    let cell = random_cell(&mut rng, 8.0);
    let inside = random_positions(&mut rng, &cell, 10, 0.0);
    for periodic in [[true; 3], [true, true, false]] {
        let mut outside = inside.clone();
        let far = |k: usize, n: i32| if periodic[k] { n } else { 0 };
        for (i, position) in outside.iter_mut().enumerate() {
            let n = 130 * (i as i32 - 5);
            *position = translate(*position, &cell, [far(0, n), far(1, -n), far(2, n / 2)]);
        }
        let near = neighborhood(&inside, Some(cell), periodic, CUTOFF).unwrap();
        let list = neighborhood(&outside, Some(cell), periodic, CUTOFF).unwrap();
        assert_reciprocal(&outside, &cell, &list);
        let distances = |positions: &[[f64; 3]], list: &Neighborhood| -> Vec<Vec<f64>> {
            let rows = listed(positions, list).into_iter().enumerate();
            rows.map(|(i, row)| {
                let mut row: Vec<f64> = row.iter().map(|p| distance(positions[i], *p)).collect();
                row.sort_by(f64::total_cmp);
                row
            })
            .collect()
        };
        for (near, far) in distances(&inside, &near).iter().zip(distances(&outside, &list)) {
            assert_eq!(near.len(), far.len());
            assert!(near.iter().zip(far).all(|(a, b)| (a - b).abs() < 1e-11));
        }
    }
}

#[test]
fn directions_that_do_not_repeat_need_no_lattice_vector() {
    let mut rng = fastrand::Rng::with_seed(4);
    let full = random_cell(&mut rng, 4.0);
    let positions = random_positions(&mut rng, &full, 9, 1.0);
    for periodic in [[true, false, false], [false, true, true], [false, false, true]] {
        let mut cell = full;
        (0..3).filter(|&k| !periodic[k]).for_each(|k| cell[k] = [0.0; 3]);
        assert_complete(&positions, cell, periodic, 8);
        let with = neighborhood(&positions, Some(full), periodic, CUTOFF).unwrap();
        assert_eq!(with, neighborhood(&positions, Some(cell), periodic, CUTOFF).unwrap());
    }
    let without = neighborhood(&positions, None, [false; 3], CUTOFF).unwrap();
    assert!(without.ghosts.is_empty() && !without.neighbors.is_empty());
    assert_eq!(without, neighborhood(&positions, Some(full), [false; 3], CUTOFF).unwrap());
}

#[test]
fn pairs_at_the_very_cutoff_are_listed_in_both_directions() {
    // A cubic lattice with many neighbors at 5 Å to within rounding, shifted by irrational amounts.
    for shift in [0.0, 0.1, 1.0 / 3.0, 2f64.sqrt(), 977.7] {
        let mut positions = Vec::new();
        for (x, y, z) in (0..64).map(|n| (n % 4, n / 4 % 4, n / 16)) {
            positions.push([x, y, z].map(|x| 2.5 * f64::from(x) + shift));
        }
        let cell = [[10.0, 0.0, 0.0], [0.0, 10.0, 0.0], [0.0, 0.0, 10.0]];
        let list = neighborhood(&positions, Some(cell), [true; 3], CUTOFF).unwrap();
        assert_reciprocal(&positions, &cell, &list);
        // Lattice points within 2 spacings: 6 + 12 + 8 + 6.
        assert!(list.offsets.windows(2).all(|w| w[1] - w[0] == 32), "{:?}", list.offsets);
    }
}

#[test]
#[cfg_attr(not(reference_data), ignore = "needs ../shared/reference")]
fn reference_structures_have_the_recorded_number_of_pairs() {
    let mut checked = 0;
    for file in reference::CASE_FILES {
        for case in reference::cases(file) {
            let list = neighborhood(&case.positions, case.cell, case.pbc, CUTOFF).unwrap();
            if let Some(expected) = case.n_directed_pairs {
                assert_eq!(list.neighbors.len(), expected, "{file} {}", case.name);
                checked += 1;
            }
        }
    }
    assert!(checked >= 150, "only {checked} structures say how many pairs they have");
}

#[test]
fn lists_are_the_same_each_time_and_ordered() {
    let mut rng = fastrand::Rng::with_seed(5);
    let cell = random_cell(&mut rng, 9.0);
    let positions = random_positions(&mut rng, &cell, 40, 3.0);
    let list = neighborhood(&positions, Some(cell), [true; 3], CUTOFF).unwrap();
    assert_eq!(list, neighborhood(&positions, Some(cell), [true; 3], CUTOFF).unwrap());
    assert!(list.owner.is_sorted());
    assert!(list.offsets.windows(2).all(|w| list.neighbors[w[0]..w[1]].is_sorted()));
}

fn lattice(side: i32, spacing: f64) -> Vec<[f64; 3]> {
    let axis = move || 0..side;
    axis()
        .flat_map(|x| axis().flat_map(move |y| axis().map(move |z| [x, y, z])))
        .map(|n| n.map(|n| spacing * f64::from(n)))
        .collect()
}

/// Seconds that this thread has spent on a processor: what else the machine does must not matter.
#[expect(unsafe_code)] // A clock.
fn spent() -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is there to be written.
    let failed = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    assert_eq!(failed, 0);
    time.tv_sec as f64 + 1e-9 * time.tv_nsec as f64
}

fn fastest(mut work: impl FnMut()) -> f64 {
    let time = |work: &mut dyn FnMut()| {
        let start = spent();
        work();
        spent() - start
    };
    (0..3).map(|_| time(&mut work)).fold(f64::INFINITY, f64::min)
}

#[test]
fn time_grows_linearly_with_atoms() {
    let time = |positions: &[[f64; 3]]| {
        fastest(|| {
            let list = neighborhood(positions, None, [false; 3], 3.5).unwrap();
            assert!(list.neighbors.len() > 5 * positions.len());
        })
    };
    let (small, large) = (lattice(12, 2.0), lattice(36, 2.0));
    // 27 times the atoms; all pairs would take 729 times as long.
    let ratio = time(&large) / time(&small);
    assert!(ratio < 27.0 * 5.0, "27 times the atoms took {ratio:.0} times as long");
}

#[test]
fn clusters_far_apart_cost_no_more_than_one() {
    // Bins over the space between would need 1e22 of them, bins limited in number would put each
    // cluster into a single one.
    let cluster = lattice(14, 2.0);
    let mut apart = cluster.clone();
    apart.extend(cluster.iter().map(|p| p.map(|x| x + 1.0e6)));
    apart.extend(cluster.iter().map(|p| [p[0] - 3.0e6, p[1], p[2] + 2.0e6]));
    let one = neighborhood(&cluster, None, [false; 3], 3.5).unwrap();
    let three = neighborhood(&apart, None, [false; 3], 3.5).unwrap();
    assert_eq!(three.neighbors.len(), 3 * one.neighbors.len());
    let once = fastest(|| drop(neighborhood(&cluster, None, [false; 3], 3.5)));
    let thrice = fastest(|| drop(neighborhood(&apart, None, [false; 3], 3.5)));
    let ratio = thrice / once;
    assert!(ratio < 15.0, "three clusters took {ratio:.0} times as long as one");
}

#[test]
fn no_atoms_give_an_empty_list() {
    let list = neighborhood(&[], None, [false; 3], CUTOFF).unwrap();
    assert_eq!(list, Neighborhood { offsets: vec![0], ..Neighborhood::default() });
    let cell = [[4.0, 0.0, 0.0], [0.0, 4.0, 0.0], [0.0, 0.0, 4.0]];
    assert_eq!(list, neighborhood(&[], Some(cell), [true; 3], CUTOFF).unwrap());
}

#[test]
fn a_far_atom_makes_no_list_of_all_pairs() {
    let near = lattice(6, 2.0);
    let alone = neighborhood(&near, None, [false; 3], CUTOFF).unwrap();
    for far in [1e6, 1e9, 1e12] {
        let mut positions = near.clone();
        positions.push([far, -far, 0.0]);
        let list = neighborhood(&positions, None, [false; 3], CUTOFF).unwrap();
        assert_eq!(list.neighbors, alone.neighbors);
    }
    // Distances have no digits left, and every pair would be within their rounding of the cutoff.
    for far in [1e14, 1e50, 1e99] {
        let mut positions = near.clone();
        positions.push([far, -far, 0.0]);
        let (kind, message) = refusal(&positions, None, [false; 3], CUTOFF);
        assert_eq!(kind, ErrorKind::Numeric, "{message}");
        assert!(
            message.contains("atom 216: expected a finite position, at most 3e12 Å"),
            "{message}"
        );
    }
}

fn refusal(
    positions: &[[f64; 3]],
    cell: Option<Matrix>,
    periodic: [bool; 3],
    cutoff: f64,
) -> (ErrorKind, String) {
    let error = neighborhood(positions, cell, periodic, cutoff).unwrap_err();
    (error.kind(), error.message().to_string())
}

#[test]
fn bad_input_is_refused_with_a_reason() {
    let cube = [[8.0, 0.0, 0.0], [0.0, 8.0, 0.0], [0.0, 0.0, 8.0]];
    let origin = [[0.0; 3]];
    let says = |(kind, message): (ErrorKind, String), expected, words: &[&str]| {
        assert_eq!(kind, expected, "{message}");
        assert!(words.iter().all(|word| message.contains(word)), "{message}");
    };

    for bad in [f64::NAN, f64::INFINITY, 1e200] {
        let positions = [[0.0; 3], [0.0, bad, 0.0]];
        let found = refusal(&positions, Some(cube), [true; 3], CUTOFF);
        says(found, ErrorKind::Numeric, &["atom 1", "finite"]);
        let mut cell = cube;
        cell[1][2] = bad;
        says(refusal(&origin, Some(cell), [true; 3], CUTOFF), ErrorKind::Numeric, &["finite cell"]);
        says(
            refusal(&origin, Some(cell), [false; 3], CUTOFF),
            ErrorKind::Numeric,
            &["finite cell"],
        );
    }

    let found = refusal(&origin, None, [false, true, false], CUTOFF);
    says(found, ErrorKind::InvalidArgument, &["second", "no cell"]);
    let cell = [cube[0], cube[1], [0.0; 3]];
    let found = refusal(&origin, Some(cell), [true; 3], CUTOFF);
    says(found, ErrorKind::InvalidArgument, &["third", "zero vector"]);

    let cell = [cube[0], cube[1], [8.0, 8.0, 1e-7]];
    says(refusal(&origin, Some(cell), [true; 3], CUTOFF), ErrorKind::Numeric, &["in one plane"]);
    let cell = [cube[0], [16.0, 0.0, 0.0], [0.0; 3]];
    let found = refusal(&origin, Some(cell), [true, true, false], CUTOFF);
    says(found, ErrorKind::Numeric, &["parallel"]);

    let cell = [cube[1], cube[0], cube[2]];
    says(
        refusal(&origin, Some(cell), [true; 3], CUTOFF),
        ErrorKind::Numeric,
        &["left-handed", "reverse"],
    );

    let cell = cube.map(|row| row.map(|x| x / 100.0));
    let found = refusal(&origin, Some(cell), [true; 3], CUTOFF);
    says(found, ErrorKind::InvalidArgument, &["images", "check the unit"]);

    let found = refusal(&[[1e11, 0.0, 0.0]], Some(cube), [true; 3], CUTOFF);
    says(found, ErrorKind::Numeric, &["atom 0", "wrap positions"]);

    for cutoff in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let found = refusal(&origin, Some(cube), [true; 3], cutoff);
        says(found, ErrorKind::InvalidArgument, &["positive cutoff"]);
    }
}
