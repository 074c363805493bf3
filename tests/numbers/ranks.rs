//! A system divided between calculators that exchange rows gives what one calculator gives.
//!
//! Threads stand for MPI ranks; the callback goes through shared memory where LAMMPS would call
//! `forward_comm`.

#![allow(unsafe_code)]

use crate::support::{c_calls, shim, students};
use std::ffi::c_void;
use std::ptr::null;
use std::sync::{Barrier, Mutex};

use crate::support::c_calls::{Found, new_calculator, ok, sized_options};
use crate::support::toolchain::model;
use mlff_student::c_api::*;
use mlff_student::model::{Architecture, EnergyRange, Model, Repulsion};

/// A periodic system.
struct System {
    species: Vec<i32>,
    positions: Vec<[f64; 3]>,
    cell: [[f64; 3]; 3],
}

/// Water, 8 cells of 3 molecules, away from any symmetry.
fn water() -> System {
    let molecules: [[f64; 3]; 9] = [
        [0.353, 3.390, 1.450],
        [0.647, 2.473, 1.340],
        [0.064, 3.661, 0.565],
        [2.058, 3.727, 3.670],
        [2.910, 4.178, 3.557],
        [1.949, 3.207, 2.859],
        [4.188, 1.116, 3.662],
        [3.955, 1.003, 4.597],
        [4.954, 1.711, 3.673],
    ];
    let cell = [[4.6, 0.0, 0.0], [0.3, 4.5, 0.0], [0.2, -0.2, 4.4]];
    let mut random = fastrand::Rng::with_seed(7);
    let mut system = System {
        species: Vec::new(),
        positions: Vec::new(),
        cell: cell.map(|vector| vector.map(|x| 2.0 * x)),
    };
    for image in 0..8 {
        let at = [image & 1, image >> 1 & 1, image >> 2].map(f64::from);
        for (k, place) in molecules.iter().enumerate() {
            system.species.push(if k % 3 == 0 { 8 } else { 1 });
            system.positions.push(std::array::from_fn(|x| {
                let shift: f64 = (0..3).map(|v| at[v] * cell[v][x]).sum();
                place[x] + shift + 0.1 * (random.f64() - 0.5)
            }));
        }
    }
    system
}

/// Where and with which arithmetic.
#[derive(Clone, Copy)]
struct How {
    device: i32,
    precision: i32,
}

const DOUBLE: How = How { device: MLFF_DEVICE_CPU, precision: MLFF_PRECISION_DOUBLE };
const MIXED: How = How { device: MLFF_DEVICE_CPU, precision: MLFF_PRECISION_MIXED };
const CUDA: How = How { device: MLFF_DEVICE_CUDA, precision: MLFF_PRECISION_MIXED };

fn calculator(file: &str, how: How) -> *mut mlff_calculator {
    let How { device, precision } = how;
    let check = MLFF_CHECK_REPORT;
    new_calculator(&model(file), mlff_options { device, precision, check, ..sized_options() })
}

fn alone(system: &System, file: &str, how: How) -> Found {
    let calculator = calculator(file, how);
    let structure = c_calls::Structure {
        species: &system.species,
        positions: &system.positions,
        cell: Some(&system.cell),
        periodic: [true; 3],
    };
    let mut found = structure.compute(calculator);
    found.check = c_calls::check(calculator);
    // SAFETY: not used again.
    unsafe { mlff_calculator_free(calculator) };
    found
}

/// What one rank knows: which atom of the system each of its atoms is, and where.
struct Part {
    owned: usize,
    atoms: Vec<usize>,
    positions: Vec<[f64; 3]>,
    lists: Vec<Vec<i32>>,
}

/// Beyond the models' cutoff, as the skin of an MD code is.
const REACH: f64 = 5.6;

fn part(system: &System, belongs: impl Fn(usize) -> bool) -> Part {
    let distance = |a: &[f64; 3], b: &[f64; 3]| {
        (0..3).map(|x| (a[x] - b[x]) * (a[x] - b[x])).sum::<f64>().sqrt()
    };
    let mut atoms: Vec<usize> = (0..system.species.len()).filter(|&i| belongs(i)).collect();
    let mut positions: Vec<[f64; 3]> = atoms.iter().map(|&i| system.positions[i]).collect();
    let owned = atoms.len();
    for image in 0..125 {
        let n = [image % 5 - 2, image / 5 % 5 - 2, image / 25 - 2].map(f64::from);
        for (i, position) in system.positions.iter().enumerate() {
            if n == [0.0; 3] && belongs(i) {
                continue;
            }
            let at: [f64; 3] = std::array::from_fn(|x| {
                position[x] + (0..3).map(|v| n[v] * system.cell[v][x]).sum::<f64>()
            });
            if positions[..owned].iter().any(|other| distance(other, &at) <= REACH) {
                atoms.push(i);
                positions.push(at);
            }
        }
    }
    let lists = (0..owned)
        .map(|i| {
            let near = |j: &usize| *j != i && distance(&positions[i], &positions[*j]) <= REACH;
            (0..atoms.len()).filter(near).map(|j| j as i32).collect()
        })
        .collect();
    Part { owned, atoms, positions, lists }
}

/// Rows of all atoms of the system, and the meeting point of the ranks.
struct Board {
    rows: Vec<Mutex<Vec<u8>>>,
    barrier: Barrier,
}

/// One rank's view of the board.
struct Rank<'a> {
    board: &'a Board,
    part: &'a Part,
    calls: usize,
    longest: u32,
}

unsafe extern "C" fn forward(user: *mut c_void, rows: *mut c_void, row_bytes: u32) -> i32 {
    // SAFETY: the pointer that this file gives to `mlff_calculator_compute`.
    let rank = unsafe { &mut *user.cast::<Rank>() };
    let width = row_bytes as usize;
    // SAFETY: one row for each atom of the list, as documented.
    let rows =
        unsafe { std::slice::from_raw_parts_mut(rows.cast::<u8>(), rank.part.atoms.len() * width) };
    rank.calls += 1;
    rank.longest = rank.longest.max(row_bytes);
    let (owned, ghosts) = rows.split_at_mut(rank.part.owned * width);
    for (row, &atom) in owned.chunks_exact(width).zip(&rank.part.atoms) {
        *rank.board.rows[atom].lock().unwrap() = row.to_vec();
    }
    rank.board.barrier.wait();
    let names = &rank.part.atoms[rank.part.owned..];
    for (row, &atom) in ghosts.chunks_exact_mut(width).zip(names) {
        row.copy_from_slice(&rank.board.rows[atom].lock().unwrap());
    }
    rank.board.barrier.wait();
    0
}

/// Ends the run when a rank fails, as `MPI_Abort` does: the others would wait for it forever.
struct EndRun;

impl Drop for EndRun {
    fn drop(&mut self) {
        if std::thread::panicking() {
            std::process::abort();
        }
    }
}

/// Computes one rank's part; gives its results and how many exchanges it took part in.
fn compute(
    system: &System,
    part: &Part,
    board: &Board,
    file: &str,
    how: How,
    with_owners: bool,
) -> (Found, usize) {
    let _end_run = EndRun;
    let species: Vec<i32> = part.atoms.iter().map(|&atom| system.species[atom]).collect();
    let numneigh: Vec<i32> = part.lists.iter().map(|list| list.len() as i32).collect();
    let firstneigh: Vec<*const i32> = part.lists.iter().map(|list| list.as_ptr()).collect();
    let (own, ghosts) = part.atoms.split_at(part.owned);
    let owner: Vec<i32> = ghosts
        .iter()
        .map(|ghost| own.iter().position(|atom| atom == ghost).map_or(-1, |i| i as i32))
        .collect();
    let list = mlff_neighbor_list {
        struct_size: size_of::<mlff_neighbor_list>() as u32,
        owned: part.owned as i32,
        ghosts: ghosts.len() as i32,
        centers: part.owned as i32,
        species: species.as_ptr(),
        ilist: null(),
        numneigh: numneigh.as_ptr(),
        firstneigh: firstneigh.as_ptr(),
        owner: if with_owners { owner.as_ptr() } else { null() },
        list_cutoff: REACH,
        neighbor_mask: 0,
        reserved: 0,
    };
    let calculator = calculator(file, how);
    let before = c_calls::info(calculator).memory;
    let mut found = Found::zeros(part.owned);
    let mut results = found.results();
    let mut rank = Rank { board, part, calls: 0, longest: 0 };
    // SAFETY: all arguments live through their calls.
    unsafe {
        ok(mlff_calculator_set_neighbor_list(calculator, &list));
        ok(mlff_calculator_compute(
            calculator,
            part.positions.as_ptr().cast(),
            Some(forward),
            (&raw mut rank).cast(),
            &mut results,
        ));
        let says = c_calls::info(calculator);
        assert_eq!(rank.calls, says.exchanges as usize);
        assert!(0 < rank.longest && rank.longest <= says.row_bytes, "{} bytes", rank.longest);
        assert!(2 * rank.longest > says.row_bytes, "{} of {} bytes", rank.longest, says.row_bytes);
        if how.device == MLFF_DEVICE_CUDA {
            let taken = c_calls::info(calculator).memory - before;
            let entries = numneigh.iter().sum::<i32>() as usize;
            assert_within_the_memory_of_the_design(file, part, entries, taken as usize);
        }
        found.check = c_calls::check(calculator);
        mlff_calculator_free(calculator);
    }
    found.take(&results);
    (found, rank.calls)
}

/// The bound of `docs/src/measurements/gpus.md`, and as much of the host as it says beside it.
fn assert_within_the_memory_of_the_design(file: &str, part: &Part, entries: usize, taken: usize) {
    let model = Model::load(&model(file)).unwrap();
    let (channels, blocks) = (model.hidden.next_multiple_of(16), model.blocks.len());
    // Of so few atoms all slices of channels run side by side.
    let parts = channels / 16;
    let (own, row) = match model.architecture {
        Architecture::Published => (11 * blocks + 4, 4),
        Architecture::Painn => (20 * blocks + 3, 6),
    };
    let (owned, ghosts) = (part.owned, part.atoms.len() - part.owned);
    let floats = |count: usize| 9 * channels * count / 2;
    let device = owned * (floats(own) + 600)
        + ghosts * (floats(row * (blocks - 1) + 4) + 100)
        + (owned + ghosts) * floats(row)
        + entries * (36 + 18 * parts);
    let host = (owned + ghosts) * floats(row) + 8 * entries;
    let bound = device + host;
    assert!(taken <= bound + 100 && taken * 2 >= bound, "{file}: {taken} of {bound}");
}

/// Divides the system by `rank_of` atom and puts the results together again.
fn divided(
    system: &System,
    ranks: usize,
    rank_of: impl Fn(usize) -> usize,
    file: &str,
    how: How,
    with_owners: bool,
) -> Found {
    let parts: Vec<Part> =
        (0..ranks).map(|rank| part(system, |atom| rank_of(atom) == rank)).collect();
    let board = Board {
        rows: system.species.iter().map(|_| Mutex::new(Vec::new())).collect(),
        barrier: Barrier::new(ranks),
    };
    let found: Vec<(Found, usize)> = std::thread::scope(|scope| {
        let board = &board;
        let threads: Vec<_> = parts
            .iter()
            .map(|part| scope.spawn(move || compute(system, part, board, file, how, with_owners)))
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(found.iter().all(|(_, calls)| *calls == found[0].1), "ranks exchanged unequally often");
    let mut whole = Found::zeros(system.species.len());
    for (part, (found, _)) in parts.iter().zip(found) {
        whole.energy += found.energy;
        whole.check.iter_mut().zip(found.check).for_each(|(sum, part)| *sum += part);
        whole.virial.iter_mut().zip(found.virial).for_each(|(sum, part)| *sum += part);
        for (i, &atom) in part.atoms[..part.owned].iter().enumerate() {
            whole.atomic_energies[atom] = found.atomic_energies[i];
            whole.forces[atom] = found.forces[i];
            whole.atomic_virials[atom] = found.atomic_virials[i];
        }
    }
    whole
}

/// In x-halves, in slabs beside a rank without atoms, and in a way that no MD code would.
fn check(file: &str, how: How, energy: f64, force: f64) {
    let whole = check_system(&water(), file, how, energy, force);
    assert_eq!(whole.check[1], 0, "water does not overlap");
}

fn check_system(system: &System, file: &str, how: How, energy: f64, force: f64) -> Found {
    let middle = system.cell[0][0] / 2.0;
    let whole = alone(system, file, how);
    assert!(whole.forces.iter().flatten().any(|f| f.abs() > 0.1), "nothing to compare");
    let halves = |atom: usize| usize::from(system.positions[atom][0] > middle);
    let with_empty = |atom: usize| 2 * halves(atom);
    let scattered = |atom: usize| atom % 3;
    let rank_of: [(usize, &dyn Fn(usize) -> usize); 3] =
        [(2, &halves), (3, &with_empty), (3, &scattered)];
    for ((ranks, rank_of), with_owners) in rank_of.into_iter().zip([false, true, true]) {
        let found = divided(system, ranks, rank_of, file, how, with_owners);
        assert_eq!(found.check, whole.check, "{file}: atoms outside and overlaps on {ranks} ranks");
        let atoms = system.species.len() as f64;
        assert!((found.energy - whole.energy).abs() <= energy * atoms, "{file} {ranks}");
        let close = |a: &[f64], b: &[f64], tolerance: f64, what: &str| {
            let worst = a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(worst <= tolerance, "{file} on {ranks} ranks: {what} differ by {worst:e}");
        };
        // Of one atom, where nothing averages out.
        let atomic = 5.0 * energy;
        close(&found.atomic_energies, &whole.atomic_energies, atomic, "atomic energies");
        close(found.forces.as_flattened(), whole.forces.as_flattened(), force, "forces");
        close(&found.virial, &whole.virial, force * atoms, "virials");
        let (a, b) = (found.atomic_virials.as_flattened(), whole.atomic_virials.as_flattened());
        close(a, b, 10.0 * force, "atomic virials");
    }
    whole
}

#[test]
fn atoms_outside_and_overlaps_are_found_by_one_rank_each() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let mut model = students::narrow(24, 16, 2);
    // Some atoms are far below it.
    model.energy_range = Some(EnergyRange { bounds: vec![[0.3, 0.5]; 9] });
    model.save(&path).unwrap();
    let mut system = water();
    // A hydrogen of every other molecule comes too near to its oxygen: half of the sum of their
    // radii is 0.485 Å. Atoms scattered over ranks share such pairs, across cell walls too.
    let molecules = system.positions.len() / 3;
    for oxygen in (0..molecules).step_by(2).map(|molecule| 3 * molecule) {
        let (r, d) = (system.positions[oxygen], [0.1, -0.2, 0.3]);
        system.positions[oxygen + 1] = std::array::from_fn(|x| r[x] + d[x]);
    }
    shim::instead_of_a_gpu();
    for (how, energy, force) in [(DOUBLE, 1e-10, 1e-8), (MIXED, 2e-6, 1e-3), (CUDA, 2e-6, 1e-3)] {
        let whole = check_system(&system, path.to_str().unwrap(), how, energy, force);
        assert!(whole.check[0] > 0 && whole.check[1] == 12, "{:?}", whole.check);
    }
}

#[test]
#[cfg_attr(not(reference_data), ignore = "needs ../shared/reference")]
fn ranks_agree_with_one_calculator_in_double_precision() {
    for file in ["student-21k-wrapped.pt", "painn-32-bessel.pt"] {
        check(file, DOUBLE, 1e-10, 1e-9);
    }
}

#[test]
#[cfg_attr(not(reference_data), ignore = "needs ../shared/reference")]
fn ranks_agree_with_one_calculator_in_mixed_precision() {
    for file in ["student-427k.pt", "student-21k-wrapped.pt", "painn-64-gaussian.pt"] {
        check(file, MIXED, 1e-6, 5e-5);
    }
}

#[test]
#[cfg_attr(not(reference_data), ignore = "needs ../shared/reference")]
fn ranks_agree_with_one_calculator_on_gpus() {
    shim::instead_of_a_gpu();
    for file in ["student-427k.pt", "student-21k-wrapped.pt", "painn-64-gaussian.pt"] {
        check(file, CUDA, 1e-6, 5e-5);
    }
}

#[test]
#[cfg_attr(not(reference_data), ignore = "needs ../shared/reference")]
fn ranks_agree_with_one_calculator_where_atoms_of_different_ranks_collide() {
    let mut model = students::smooth(32, 2);
    // Every O–H bond is inside the repulsion; atoms scattered over ranks share most of them.
    model.repulsion =
        Some(Repulsion { radii: students::RADII.map(|radius| 2.0 * radius).into(), core: 0.75 });
    check_everywhere(&model);
}

#[test]
#[cfg_attr(not(reference_data), ignore = "needs ../shared/reference")]
fn ranks_agree_with_one_calculator_with_fewer_vectors_than_channels() {
    check_everywhere(&students::narrow(40, 16, 3));
}

fn check_everywhere(model: &Model) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    model.save(&path).unwrap();
    // An absolute path replaces the folder of the reference models.
    let file = path.to_str().unwrap();
    check(file, DOUBLE, 1e-10, 1e-9);
    check(file, MIXED, 1e-6, 1e-4);
    shim::instead_of_a_gpu();
    check(file, CUDA, 1e-6, 1e-4);
}
