"""Any number of MPI ranks gives the same numbers, with one cutoff of ghosts."""

import re
import time

import numpy as np
import pytest

from harness import EXACT, REPORT, Structure, assert_same, cases, deck, model, report, run, single_point
from students import write_smooth

DOUBLE = (1e-10, 1e-9)
MIXED = (1e-6, 5e-5)


def water_box(*times):
    return cases("student-21k")["water-periodic-81"].repeated(*times).rattled(0.05)


@pytest.mark.parametrize("style, tolerance", [(EXACT, DOUBLE), ("precision double", DOUBLE), ("", MIXED)], ids=["exact", "double", "mixed"])
@pytest.mark.parametrize("name", ["student-21k", "painn-32-bessel"])
def test_one_to_four_ranks_agree(tmp_path, style, tolerance, name):
    structure = water_box(2, 1, 1)
    one = single_point(tmp_path / "1", structure, style=style, model_name=name)
    for ranks in (2, 3, 4):
        several = single_point(tmp_path / str(ranks), structure, style=style, model_name=name, ranks=ranks)
        assert_same(several, one, *tolerance)
        np.testing.assert_allclose(several.atomic_energies, one.atomic_energies, rtol=0, atol=tolerance[1])
        np.testing.assert_allclose(several.atomic_stresses, one.atomic_stresses, rtol=0, atol=2e6 * tolerance[1])


def test_several_blocks_of_atoms_on_several_ranks_agree(tmp_path):
    # 2,187 atoms: the CPU engine divides more than 768 of them (engine::CHUNK) between threads.
    structure = water_box(3, 3, 3)
    exact = single_point(tmp_path / "exact", structure, style="precision double")
    for ranks in (1, 2):
        found = single_point(tmp_path / str(ranks), structure, style="threads 2", ranks=ranks)
        assert_same(found, exact, 5e-6, 2e-4)
        np.testing.assert_allclose(found.atomic_energies, exact.atomic_energies, rtol=0, atol=2e-5)


@pytest.mark.parametrize("style, tolerance", [(EXACT, DOUBLE), ("", MIXED)], ids=["exact", "mixed"])
def test_atoms_of_different_ranks_that_collide_repel_each_other_once(tmp_path, style, tolerance):
    student = write_smooth(tmp_path / "smooth.safetensors")
    structure = water_box(2, 1, 1)
    # Two oxygen atoms on either side of the plane between two ranks, and a pair across the periodic boundary.
    middle, length = structure.cell[0, 0] / 2, structure.cell[0, 0]
    colliding = [[middle - 0.2, 2.0, 2.0], [middle + 0.2, 2.1, 2.0], [0.15, 6.0, 6.0], [length - 0.15, 6.1, 6.0]]
    far = [r for r in range(len(structure)) if all(separation(structure, r, place) > 1.5 for place in colliding)]
    symbols = [structure.symbols[r] for r in far] + ["O"] * 4
    system = Structure(symbols, np.vstack([structure.positions[far], colliding]), structure.cell, structure.pbc)
    one = single_point(tmp_path / "1", system, style=style, model_name=student)
    # 0.41 and 0.32 A apart, O-O: hundreds of eV/A, along x.
    forces = one.forces[-4:, 0]
    assert np.all(forces * [-1, 1, 1, -1] > 300.0), forces
    for ranks in (2, 3):
        several = single_point(tmp_path / str(ranks), system, style=style, model_name=student, ranks=ranks)
        assert_same(several, one, *tolerance)
        np.testing.assert_allclose(several.atomic_energies, one.atomic_energies, rtol=0, atol=tolerance[1])


def separation(structure, atom, place):
    shift = np.linalg.solve(structure.cell.T, structure.positions[atom] - place)
    return np.linalg.norm((shift - np.round(shift)) @ structure.cell)


def test_the_widest_model_with_three_blocks_agrees_on_ranks(tmp_path):
    structure = cases("student-427k")["water-periodic-81"]
    one = single_point(tmp_path / "1", structure, style="", model_name="student-427k")
    two = single_point(tmp_path / "2", structure, style="", model_name="student-427k", ranks=2)
    assert_same(two, one, *MIXED)


def shapes():
    droplet = cases("student-21k")["water-droplet-96"]
    # All atoms in one corner: most ranks have none.
    corner = Structure(droplet.symbols, droplet.positions - droplet.positions.min(0) + 1.0, np.diag([60.0, 60.0, 60.0]), (True, True, True))
    slab = cases("student-21k")["water-slab-54"].rattled(0.05)
    # Barely larger than the cutoff of 5 A: ghosts of ghosts.
    small = Structure(["O", "H", "H", "C"], np.array([[0.5, 0.5, 0.5], [1.4, 0.6, 0.4], [0.4, 1.4, 0.7], [3.0, 3.1, 2.9]]), np.diag([5.1, 5.2, 5.3]), (True, True, True))
    tiny = cases("student-21k")["diamond-cubic-rattled"]
    return {
        "empty-region": corner,
        "molecule": cases("student-21k")["CH3CH2OH-rattled"],
        "slab": slab,
        "barely-larger-than-cutoff": small,
        "smaller-than-cutoff": tiny,
        "triclinic": cases("student-21k")["water-triclinic-81"].rattled(0.05),
        "chain": cases("student-21k")["chain-periodic-x"],
    }


@pytest.mark.parametrize("shape", shapes())
@pytest.mark.parametrize("atom_map", ["", "atom_modify map array", "atom_modify map hash"], ids=["no-map", "array", "hash"])
def test_shapes_agree_on_ranks_with_and_without_atom_map(tmp_path, shape, atom_map):
    structure = shapes()[shape]
    one = single_point(tmp_path / "1", structure, extra=atom_map)
    for ranks in (2, 3, 4):
        several = single_point(tmp_path / str(ranks), structure, extra=atom_map, ranks=ranks)
        assert_same(several, one, *DOUBLE)


def test_ranks_without_atoms_stay_silent_and_correct_while_atoms_move(tmp_path):
    structure = shapes()["empty-region"]
    text = deck(structure) + REPORT + "velocity all create 300 1\nfix 1 all nve\ntimestep 0.0002\nneigh_modify every 1 delay 0\nrun 10 post no\n" + report()
    one = run(tmp_path / "1", text, structure).results()
    four = run(tmp_path / "4", text, structure, ranks=4).results()
    # Rounding grows with time.
    assert_same(four, one, 1e-9, 1e-7)


@pytest.mark.parametrize("ranks", [3, 4])
def test_tiled_ranks_with_balancing_agree(tmp_path, ranks):
    structure = water_box(2, 1, 1)
    commands = "comm_style tiled\n"
    balance = "fix b all balance 2 1.0 rcb\nbalance 1.0 rcb\n"
    run_some = "velocity all create 300 7\nfix 1 all nve\ntimestep 0.0002\nrun 6 post no\n"
    plain = run(tmp_path / "1", deck(structure) + REPORT + run_some + report(), structure).results()
    tiled = run(tmp_path / "t", deck(structure, extra=commands) + REPORT + balance + run_some + report(), structure, ranks=ranks).results()
    assert_same(tiled, plain, 1e-9, 1e-7)


def ghosts(finished):
    """Ghosts, ghosts needed, rows exchanged: as the log says."""
    found = re.search(r"mlff_student: (\d+) ghosts within ([\d.]+) Angstrom, (\d+) of them needed from other ranks; (\d+) rows in each of (\d+)", finished.output)
    assert found, finished.output
    return dict(zip(("ghosts", "shell", "needed", "rows", "exchanges"), map(float, found.groups())))


def nghost(finished):
    return int(float(re.search(r"Nghost:\s+([\d.]+) ave", finished.output).group(1)))


def test_ghost_shell_is_one_cutoff_and_the_skin(tmp_path):
    structure = water_box(2, 2, 1)
    finished = run(tmp_path, deck(structure, skin=1.5) + "run 0\n", structure, ranks=2)
    log = ghosts(finished)
    assert log["shell"] == 6.5
    assert log["exchanges"] == 3  # two blocks
    assert log["ghosts"] == pytest.approx(2 * nghost(finished), abs=1)
    # No wider shell than lj/cut of the same range would have.
    pair = "pair_style lj/cut 5.0\npair_coeff * * 0.0 1.0"
    plain = run(tmp_path / "lj", deck(structure, pair=pair, skin=1.5) + "run 0\n", structure, ranks=2)
    assert nghost(finished) == nghost(plain)


def test_rows_of_ghosts_of_a_longer_ranged_style_are_not_exchanged(tmp_path):
    structure = water_box(3, 2, 1)
    alone = run(tmp_path / "alone", deck(structure) + REPORT + "run 0\n" + report(), structure, ranks=2)
    pair = f"""
pair_style hybrid/overlay mlff_student {EXACT} lj/cut 9.0
pair_coeff * * mlff_student {model("student-21k")} H O
pair_coeff * * lj/cut 0.0 1.0
"""
    both = run(tmp_path / "both", deck(structure, pair=pair) + REPORT + "run 0\n" + report(), structure, ranks=2)
    assert_same(both.results(), alone.results(), *DOUBLE)
    assert ghosts(both)["shell"] == 10.0
    assert ghosts(both)["ghosts"] > 1.5 * ghosts(alone)["ghosts"]
    assert ghosts(both)["needed"] == ghosts(alone)["needed"]
    # LAMMPS may pass a needed row on through a rank that does not need it.
    assert ghosts(both)["rows"] <= 1.2 * ghosts(alone)["rows"]
    # The same without LAMMPS' own trimming of the list.
    loose = pair + "pair_modify pair mlff_student neigh/trim no\n"
    untrimmed = run(tmp_path / "loose", deck(structure, pair=loose) + REPORT + "run 0\n" + report(), structure, ranks=2)
    assert_same(untrimmed.results(), alone.results(), *DOUBLE)
    assert ghosts(untrimmed)["needed"] == ghosts(alone)["needed"]


def test_a_failure_on_one_rank_ends_the_run_with_a_message(tmp_path):
    structure = water_box(2, 1, 1)
    # Two atoms at one place, far from the border between the ranks.
    positions = structure.positions.copy()
    close = np.argsort(abs(positions[:, 0] - 4.0))[:1]
    partner = np.argmin(np.linalg.norm(positions - positions[close], axis=1) + 99 * (np.arange(len(positions)) == close[0]))
    positions[partner] = positions[close[0]]
    started = time.monotonic()
    finished = run(tmp_path, deck(structure) + "run 0\n", structure.moved(positions), ranks=2, fails=True, timeout=30)
    assert time.monotonic() - started < 30
    assert re.search(r"ERROR on proc \d: mlff_student: .*atom", finished.output)
    one, other = close[0] + 1, partner + 1
    assert re.search(f"atoms ID ({one} and ID {other}|{other} and ID {one}) are at the same place", finished.output)


def test_partitions_run_side_by_side(tmp_path):
    structure = cases("student-21k")["water-periodic-81"]
    single = single_point(tmp_path / "one", structure)
    text = deck(structure) + 'variable p world 1 2\nrun 0 post no\nprint "VALUE energy $(v_p) $(pe:%.17g)" file energy.$p\n'
    run(tmp_path, text, structure, ranks=4, arguments=["-partition", "2x2"])
    for p in (1, 2):
        energy = float((tmp_path / f"energy.{p}").read_text().split()[-1])
        assert abs(energy - single.energy) <= 1e-10 * len(structure)


@pytest.mark.parametrize("setting", ["newton on", "newton off"])
def test_newton_on_and_off_agree(tmp_path, setting):
    structure = cases("student-21k")["water-periodic-81"].rattled(0.05)
    one = single_point(tmp_path / "1", structure)
    two = single_point(tmp_path / "2", structure, extra=setting, ranks=2)
    assert_same(two, one, *DOUBLE)
    np.testing.assert_allclose(two.atomic_energies, one.atomic_energies, rtol=0, atol=1e-9)


def test_a_box_under_constant_pressure_moves_the_same_on_two_ranks(tmp_path):
    box = cases("painn-32-bessel")["water-periodic-81"]
    text = deck(box, model_name="painn-32-bessel", style="precision double") + """
velocity all create 300 7 loop geom
fix 1 all npt temp 300 300 0.1 aniso 1.0 1.0 0.5
timestep 0.0002
thermo 1
thermo_style custom step pe lx ly lz
run 20
print "VALUE end $(pe:%.17g) $(lx:%.17g) $(ly:%.17g) $(lz:%.17g)"
"""
    one = run(tmp_path / "1", text, box).values("end")
    two = run(tmp_path / "2", text, box, ranks=2).values("end")
    np.testing.assert_allclose(two, one, rtol=1e-9)
    # The barostat did something.
    assert abs(one[0, 1] - box.cell[0, 0]) > 1e-6
