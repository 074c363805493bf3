"""Where the student learned nothing, and where atoms overlap, LAMMPS says IDs and step."""

import re

import numpy as np
import pytest

import harness
from harness import ROOT, Structure, deck, run
from students import write_smooth

WATER = harness.water_box()
MODEL = harness.SMALL
WARNING = "WARNING: mlff_student: atoms"


def warnings(finished, words=WARNING):
    return [line for line in finished.output.splitlines() if words in line]


def with_hydrogen_at(structure, atom, vector):
    """One more hydrogen atom, beside the atom of an ID: it has the last ID."""
    place = structure.positions[atom - 1] + vector
    positions = np.vstack([structure.positions, place])
    return Structure(structure.symbols + ["H"], positions, structure.cell, structure.pbc)


MOVE = "fix 1 all nve\ntimestep 1e-6\n"
#: In the middle of either half of the box, so that one rank has both atoms.
INSIDE = 5


@pytest.mark.parametrize("ranks", [1, 2])
def test_overlaps_warn_once_in_a_run_with_their_ids(tmp_path, ranks):
    structure = with_hydrogen_at(WATER, INSIDE, [0.1, 0.2, 0.3])
    text = deck(structure, style="", model_name=MODEL) + MOVE
    text += "neigh_modify every 1 delay 0 check no\nrun 5\nrun 3\n"
    finished = run(tmp_path, text, structure, ranks=ranks)
    said = warnings(finished, WARNING + " are nearer")
    # Two runs.
    assert len(said) == 2, finished.output
    ids = f"({INSIDE} and {len(structure)}|{len(structure)} and {INSIDE})"
    assert re.search(f"at step 0: 1 pair\\(s\\), atom IDs {ids}: remove one", said[0]), said
    assert "at step 5: 1 pair(s)" in said[1]


@pytest.mark.parametrize("ranks", [2, 3])
def test_a_pair_of_two_ranks_is_said_by_one(tmp_path, ranks):
    """Both ranks list it, each from its own side."""
    middle, edge = WATER.cell[0, 0] / ranks, WATER.cell[0, 0]
    places = [[middle - 0.1, 4.65, 4.65], [middle + 0.1, 4.65, 4.65]]
    places += [[0.1, 1.0, 8.0], [edge - 0.1, 1.0, 8.0]]
    nearest = [min(separation(r, place) for place in places) for r in WATER.positions]
    apart = [k for k, distance in enumerate(nearest) if distance > 1.2]
    symbols = [WATER.symbols[k] for k in apart] + ["H"] * 4
    positions = np.vstack([WATER.positions[apart], places])
    structure = Structure(symbols, positions, WATER.cell, WATER.pbc)
    text = deck(structure, style="", model_name=MODEL) + MOVE + "run 0\n"
    finished = run(tmp_path, text, structure, ranks=ranks)
    found = [pair for line in warnings(finished) for pair in re.findall(r"(\d+) and (\d+)", line)]
    pairs = sorted(sorted(map(int, pair)) for pair in found)
    last = len(structure)
    assert pairs == [[last - 3, last - 2], [last - 1, last]], finished.output


def separation(here, there):
    r = np.asarray(there) - here
    return np.linalg.norm(r - WATER.cell[0, 0] * np.round(r / WATER.cell[0, 0]))


@pytest.mark.parametrize("ranks", [1, 2])
def test_strict_stops_with_the_ids_and_the_step(tmp_path, ranks):
    structure = with_hydrogen_at(WATER, INSIDE, [0.1, 0.2, 0.3])
    text = deck(structure, style="check strict", model_name=MODEL) + "run 5\n"
    finished = run(tmp_path, text, structure, ranks=ranks, fails=True, timeout=30)
    error = next(line for line in finished.output.splitlines() if "ERROR" in line)
    named = rf"at step 0: 1 pair\(s\), atom IDs .*{len(structure)}"
    assert re.search(f"mlff_student: atoms are nearer .* {named}", error)
    assert "check warn" in error


def test_off_says_nothing(tmp_path):
    structure = with_hydrogen_at(WATER, INSIDE, [0.1, 0.2, 0.3])
    text = deck(structure, style="check off", model_name=MODEL) + "run 1\n"
    finished = run(tmp_path, text, structure)
    assert "WARNING: mlff_student" not in finished.output
    assert "mlff_student: check off\n" in finished.output


@pytest.mark.parametrize("name", ["small", "medium", "large"])
def test_ordinary_water_is_silent(tmp_path, name):
    student = ROOT / f"models/organics-{name}.safetensors"
    text = deck(WATER, style="check strict", model_name=student)
    text += "velocity all create 600 5\nfix 1 all nve\ntimestep 0.0005\nrun 20\n"
    finished = run(tmp_path, text, WATER)
    assert "WARNING: mlff_student" not in finished.output
    said = "check strict: atoms outside of the training data, and atoms that overlap\n"
    assert said in finished.output


# Nine oxygen atoms in the space of one or two: no training data look like this.
CORNERS = [[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)]
CLUMP = Structure(["O"] * 9, 0.95 * np.array(CORNERS + [[0.5, 0.5, 0.5]]))


@pytest.mark.parametrize("ranks", [1, 2])
def test_atoms_outside_warn_with_their_ids_or_stop_the_run(tmp_path, ranks):
    text = deck(CLUMP, style="STYLE", model_name=MODEL) + MOVE + "run 2 post no\n"
    warned = run(tmp_path / "warn", text.replace("STYLE", ""), CLUMP, ranks=ranks)
    said = warnings(warned, WARNING + " have energies")
    assert 1 <= len(said) <= ranks
    for line in said:
        assert re.search(r"at step 0: \d atom\(s\), IDs \d.*: its forces there are guesses", line)
    strict = text.replace("STYLE", "check strict")
    stopped = run(tmp_path / "strict", strict, CLUMP, ranks=ranks, fails=True, timeout=30)
    assert re.search("ERROR.*mlff_student: atoms have energies far outside", stopped.output)


def test_a_student_without_a_range_says_that_only_overlaps_are_found(tmp_path):
    student = write_smooth(tmp_path / "smooth.safetensors")
    finished = run(tmp_path, deck(WATER, style="", model_name=student) + "run 0\n", WATER)
    said = "check warn: atoms that overlap, but none outside of the training data, since"
    assert said in finished.output


@pytest.mark.parametrize("ranks", [1, 2])
def test_atoms_created_on_top_of_others_are_named_in_the_next_run(tmp_path, ranks):
    place = " ".join(f"{x:.6f}" for x in WATER.positions[INSIDE - 1] + [0.0, 0.3, 0.2])
    text = deck(WATER, style="", model_name=MODEL) + MOVE
    text += f"run 2\ncreate_atoms 1 single {place}\nrun 2\n"
    finished = run(tmp_path, text, WATER, ranks=ranks)
    [said] = warnings(finished, WARNING + " are nearer")
    assert f"{len(WATER) + 1}" in said and "at step 2" in said


def test_insertions_of_gcmc_that_overlap_do_not_stop_a_run_that_warns(tmp_path):
    text = deck(WATER, style="", model_name=MODEL, types=["H", "O"]) + """
group gas type 1
neigh_modify every 1 delay 0
fix 1 all nve
timestep 0.0
fix g gas gcmc 1 400 0 1 12345 300.0 -50.0 0.0
run 3
"""
    finished = run(tmp_path, text, WATER, ["H", "O"])
    # Trials are made anywhere, and so dense a box leaves little room.
    assert len(warnings(finished, WARNING + " are nearer")) == 1
