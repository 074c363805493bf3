"""Beside a style of a longer cutoff a student computes the same, and costs the same, as alone."""

import re
import resource

import numpy as np
import pytest

import harness
from harness import EXACT, assert_same, deck, report, run, single_point

WATER = harness.water_box()
MODEL = harness.SMALL


def alone(style=EXACT):
    return f"pair_style mlff_student {style}\npair_coeff * * {MODEL} H O"


def beside(style=EXACT, other="lj/cut 12.0", coeff="lj/cut 0.0 1.0"):
    """With a style that adds nothing, but for whose sake LAMMPS lists pairs up to 12 Å."""
    return f"""pair_style hybrid/overlay mlff_student {style} {other}
pair_coeff * * mlff_student {MODEL} H O
pair_coeff * * {coeff}"""


MOVE = """
velocity all create 600 5
fix 1 all nve
timestep 0.0005
thermo 1
thermo_style custom step pe
thermo_modify norm no format 2 %.15g
"""


def energies(finished):
    """The potential energy of each step."""
    rows = re.findall(r"^ +\d+ +(-[\d.]+) *$", finished.output, re.M)
    assert len(rows) > 20, finished.output
    return np.array(rows, float)


@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_energy_forces_and_virials_are_those_of_the_student_alone(tmp_path, ranks):
    expected = single_point(tmp_path / "alone", WATER, pair=alone())
    found = single_point(tmp_path / "beside", WATER, ranks=ranks, pair=beside())
    assert_same(found, expected, energy=1e-12, force=1e-10)
    np.testing.assert_allclose(found.atomic_energies, expected.atomic_energies, rtol=0, atol=1e-10)


@pytest.mark.parametrize(
    "lists",
    ["every 1 delay 0 check yes", "every 5 delay 0 check no", "every 2 delay 10 check yes"],
)
@pytest.mark.parametrize("ranks", [1, 2])
def test_runs_are_those_of_the_student_alone(tmp_path, lists, ranks):
    # A skin that atoms use up within some steps.
    commands = MOVE + f"neighbor 0.3 bin\nneigh_modify {lists}\nrun 40\n"
    expected = run(tmp_path / "alone", deck(WATER, pair=alone()) + commands, WATER)
    found = run(tmp_path / "beside", deck(WATER, pair=beside()) + commands, WATER, ranks=ranks)
    assert int(re.search(r"Neighbor list builds = (\d+)", found.output).group(1)) > 2
    np.testing.assert_allclose(energies(found), energies(expected), rtol=0, atol=1e-8)


@pytest.mark.parametrize("ranks", [1, 2])
def test_a_list_taken_after_atoms_moved_lacks_no_pair(tmp_path, ranks):
    """Inner levels of respa move atoms between the making of a list and its first use."""
    levels = "run_style respa 2 4 hybrid 1 2"
    bits = "pair_style hybrid/overlay lj/cut {far} mlff_student " + EXACT
    bits += f"\npair_coeff * * lj/cut 0.0 1.0\npair_coeff * * mlff_student {MODEL} H O"
    commands = MOVE.replace("0.0005", "0.001") + levels
    commands += "\nneighbor 0.3 bin\nneigh_modify every 1 delay 0\nrun 25\n"
    near, far = (deck(WATER, pair=bits.format(far=cutoff)) + commands for cutoff in (3.0, 12.0))
    expected = run(tmp_path / "near", near, WATER)
    found = run(tmp_path / "far", far, WATER, ranks=ranks)
    np.testing.assert_allclose(energies(found), energies(expected), rtol=0, atol=1e-8)


def test_a_fix_that_moves_atoms_in_the_step_of_the_list_changes_nothing(tmp_path):
    """fix numdiff computes with displaced atoms before the next step uses the same list."""
    few = harness.Structure(WATER.symbols[:9], WATER.positions[:9], WATER.cell, WATER.pbc)
    commands = MOVE + "{fix}\nneighbor 0.3 bin\nneigh_modify every 5 delay 0 check no\nrun 25\n"
    text = deck(few, pair=beside(), extra="atom_modify map yes")
    plain = run(tmp_path / "plain", text + commands.format(fix=""), few)
    fix = "fix differences all numdiff 5 0.001"
    moved = run(tmp_path / "moved", text + commands.format(fix=fix), few, accept=True)
    if "Unrecognized fix style" in moved.output:
        pytest.skip("this LAMMPS lacks fix numdiff")
    np.testing.assert_allclose(energies(moved), energies(plain), rtol=0, atol=1e-9)


def test_types_that_atom_swap_changes_are_taken_with_the_trimmed_list(tmp_path):
    swaps = """
fix 1 all nve
timestep 0.0
fix s all atom/swap 1 2 77 1e6 types 1 2
thermo 1
neigh_modify every 20 delay 0 check no
run 4 post no
"""
    text = deck(WATER, pair=beside()) + harness.REPORT + swaps + report()
    finished = run(tmp_path / "swap", text, WATER)
    found = finished.results()
    symbols = ["HO"[int(t) - 1] for t in found.types]
    assert symbols != WATER.symbols
    after = harness.Structure(symbols, found.positions, WATER.cell, WATER.pbc)
    expected = single_point(tmp_path / "after", after, types=["H", "O"], pair=alone())
    assert abs(found.energy - expected.energy) < 1e-9


def seconds(folder, pair, structure):
    """Processor time of a run with a new list in each step, the best of three."""
    text = deck(structure, pair=pair) + MOVE
    text += "thermo 100\nneigh_modify every 1 delay 0 check no\nrun 20\n"
    times = []
    for attempt in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
        run(folder / str(attempt), text, structure)
        times.append(resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before)
    return min(times)


def test_a_student_costs_about_the_same_as_alone(tmp_path):
    """It took eight times as long with the whole list."""
    structure = harness.water_box(5, 15.5)
    student = seconds(tmp_path / "alone", alone("check off"), structure)
    other = seconds(tmp_path / "other", "pair_style lj/cut 12.0\npair_coeff * * 0.0 1.0", structure)
    both = seconds(tmp_path / "both", beside("check off"), structure)
    assert both - other < 2.5 * student
