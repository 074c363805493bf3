"""What an input says that is possible but hardly meant is said once, with what to do."""

import re

import pytest

import harness
from harness import Structure, deck, run

WATER = harness.water_box()
MODEL = harness.SMALL
FIT = "WARNING: mlff_student: atom types do not fit the elements of pair_coeff: "


def with_pair(elements="H O", before=""):
    return deck(WATER, pair=f"{before}pair_style mlff_student\npair_coeff * * {MODEL} {elements}")


def warnings(finished, words=FIT):
    return [line for line in finished.output.splitlines() if words in line]


@pytest.mark.parametrize("ranks", [1, 2])
def test_elements_in_another_order_than_the_types_warn_once_with_masses(tmp_path, ranks):
    text = with_pair("O H") + "run 0\nrun 0\n"
    [said] = warnings(run(tmp_path, text, WATER, ranks=ranks))
    assert "type 1 is O there, but has mass 1.008, that of H; " in said
    assert "type 2 is H there, but has mass 15.999, that of O" in said
    assert "one element for each atom type, in the order of the types" in said


@pytest.mark.parametrize("mass", ["1.008", "2.01410177812", "0.6"])
def test_deuterium_is_hydrogen(tmp_path, mass):
    finished = run(tmp_path, with_pair(before=f"mass 1 {mass}\n") + "run 0\n", WATER)
    assert not warnings(finished)


def test_a_mass_of_more_than_twice_its_elements_warns(tmp_path):
    finished = run(tmp_path, with_pair(before="mass 1 3.016\n") + "run 0\n", WATER)
    [said] = warnings(finished)
    assert "type 1 is H there, but has mass 3.016: " in said


@pytest.mark.parametrize("labels, warns", [("H O", False), ("HW OW", False), ("O H", True)])
def test_type_labels_that_are_other_elements_warn(tmp_path, labels, warns):
    one, two = labels.split()
    text = with_pair(before=f"labelmap atom 1 {one} 2 {two}\n") + "run 0\n"
    finished = run(tmp_path, text, WATER)
    said = warnings(finished)
    assert len(said) == warns
    if warns:
        assert "type 1 is H there, but has the label O" in said[0]
        assert "type 2 is O there, but has the label H" in said[0]


def test_types_of_other_styles_may_weigh_what_they_like(tmp_path):
    structure = Structure(WATER.symbols[:-3] + ["Ar"] * 3, WATER.positions, WATER.cell, WATER.pbc)
    types = ["H", "O", "Ar"]
    pair = f"""pair_style hybrid mlff_student lj/cut 5.0
pair_coeff * * mlff_student {MODEL} H O NULL
pair_coeff * 3 lj/cut 0.01 3.0"""
    finished = run(tmp_path, deck(structure, types=types, pair=pair) + "run 0\n", structure, types)
    assert not warnings(finished)


# --- minimizing

MINIMIZE = "WARNING: mlff_student: min_style "
ALPHA = "linesearch alpha is zero"


def minimized(folder, style, method, tolerances, units="metal"):
    text = deck(WATER, style=style, model_name=MODEL, units=units)
    text += f"min_style {method}\nminimize {tolerances}\n"
    return run(folder, text, WATER)


@pytest.mark.parametrize("method", ["cg", "sd", "hftn"])
@pytest.mark.parametrize("units, ftol", [("metal", "1e-7"), ("real", "1e-6")])
def test_a_line_search_that_rounded_energies_will_stop_warns(tmp_path, method, units, ftol):
    finished = minimized(tmp_path, "", method, f"0.0 {ftol} 40 200", units)
    [said] = warnings(finished, MINIMIZE)
    assert "'min_style fire'" in said and "'precision double'" in said


@pytest.mark.parametrize(
    "style, method, tolerances",
    [
        ("precision double", "cg", "0.0 1e-7 3 10"),
        ("", "fire", "0.0 1e-7 20 40"),
        ("", "cg", "1e-6 1e-7 20 40"),
        ("", "cg", "0.0 0.05 20 40"),
    ],
)
def test_a_minimization_that_can_end_as_asked_does_not_warn(tmp_path, style, method, tolerances):
    assert not warnings(minimized(tmp_path, style, method, tolerances), MINIMIZE)


def test_fire_reaches_forces_that_cg_does_not(tmp_path):
    """What the warning says."""
    norm = r"Force two-norm initial, final = \S+ (\S+)"
    molecule = Structure(WATER.symbols[:3], WATER.positions[:3])
    forces = {}
    for method in ("cg", "fire"):
        text = deck(molecule, style="", model_name=MODEL)
        text += f"min_style {method}\nminimize 0.0 2e-5 2000 10000\n"
        finished = run(tmp_path / method, text, molecule)
        assert (ALPHA in finished.output) == (method == "cg"), finished.output
        forces[method] = float(re.search(norm, finished.output).group(1))
    assert forces["fire"] < 2e-5 < forces["cg"]
