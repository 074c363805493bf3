"""Holes are found where there are some; needs what the teacher needs, and LAMMPS for one test."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("rdkit", reason="SKIPPED: rdkit is missing: run with the teacher's environment")

from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes

from mlff_student import Error
from mlff_student.acceptance import holes, montecarlo
from mlff_student.distil import floor, hunt, scatter
from mlff_student.distil.floor import HYDRIDES

ROOT = Path(__file__).resolve().parents[2]
MODEL = ROOT / "models" / "organics-small.safetensors"


def test_random_starts_are_the_same_for_all_students_and_keep_their_distance():
    starts = holes.random_starts(30, HYDRIDES)
    assert starts == holes.random_starts(30, HYDRIDES)
    assert {len(atoms) for atoms in starts} >= {4, 12} and max(map(len, starts)) == 12
    assert min(map(scatter.closest, starts)) >= 0.7
    assert set("".join(str(atoms.symbols) for atoms in starts)) >= set("HCNOFS")
    # Students of fewer elements get fewer.
    assert {e for atoms in holes.random_starts(20, ["H", "O"]) for e in atoms.symbols} == {"H", "O"}


def test_24_paths_between_isomers_have_the_same_atoms_at_both_ends():
    pairs = holes.isomer_pairs(HYDRIDES)
    assert len(pairs) == 24
    assert set(pairs) >= {
        ("CH3ONO", "CH3NO2"),
        ("isobutene", "cyclobutane"),
        ("bicyclobutane", "methylenecyclopropane"),
    }
    assert len({frozenset(pair) for pair in pairs}) == 24
    assert set(holes.isomer_pairs(["H", "C"])) < set(pairs)


class Flat(Calculator):
    """Atoms that do not know of each other, until they are closer than `hole` Å: then they fall."""

    implemented_properties = ["energy", "forces"]

    def __init__(self, hole):
        super().__init__()
        self.hole = hole

    def calculate(self, atoms=None, properties=(), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        x = atoms.positions
        d = x[:, None] - x
        r = np.linalg.norm(d, axis=2) + 1e3 * np.eye(len(x))
        inside = r < self.hole
        self.results = {
            "energy": -25 * (inside / r).sum(),
            "forces": -50 * (inside[..., None] * d / r[..., None] ** 3).sum(axis=1),
        }


def student(hole):
    calculator = Flat(hole)
    nothing = floor.Floor(calculator)
    nothing.atoms = dict.fromkeys((1, 6, 7, 8, 9, 16, 17), 0.0)
    return hunt.Student(calculator, nothing)


def test_starts_that_fall_are_counted_and_those_that_do_not_are_not():
    atoms = Atoms("C4", [[0, 0, 0], [0, 0, 1.2], [5, 0, 0], [0, 5, 0]])
    found = [holes.relax(atoms, student(hole)) for hole in (0.0, 2.0)]
    assert [result["bad"] for result in found] == [False, True]
    assert found[0]["lowest"] == 0 and found[1]["lowest"] < -10
    # The start itself is for the next student, too.
    assert atoms.positions[1, 2] == 1.2


def test_images_that_fall_below_both_ends_are_counted():
    way = ("CH3ONO", "CH3NO2")
    assert not any(image["bad"] for image in holes.band(*way, "listed", student(0.0)))
    # As atoms are listed, some come closer on the way than they are at either end (1.09 Å).
    fallen = holes.band(*way, "listed", student(1.07))
    assert [image["path"] for image in fallen] == ["CH3ONO → CH3NO2, listed"] * holes.IMAGES
    assert any(image["bad"] and image["lowest"] < holes.BELOW for image in fallen)
    assert not any(image["bad"] for image in holes.band(*way, "matched", student(1.07)))


class TwoAtoms:
    """A student of one pair."""

    def __init__(self, energy):
        self.energy = energy

    def compute(self, structure):
        return SimpleNamespace(energy=self.energy(structure.positions[1][2]))


def breaks(distance):
    if distance < 0.1:
        raise Error("not finite", "MLFF_ERROR_NUMERIC")
    return 10 / distance


@pytest.mark.parametrize(
    "energy, fine",
    [
        (lambda d: 10 / d, True),
        # A plateau may be rounded.
        (lambda d: 10 / max(d, 0.2) + 1e-13 * np.sin(1e9 * d), True),
        (lambda d: 10 / d - 30 * (0.2 < d < 0.3), False),
        (lambda d: -10 / d, False),
        # It rises, from far below atoms that are apart.
        (lambda d: -1000 - d if d < 5 else 0.0, False),
        (breaks, False),
    ],
    ids=["wall", "plateau", "hole", "fall", "below", "not finite"],
)
def test_two_atoms_must_rise_all_the_way_in(energy, fine):
    found = holes.overlap(TwoAtoms(energy), ("C", "O"))
    assert found["pair"] == "C–O" and found["bad"] == (not fine)


def test_errors_that_are_no_numbers_fault_are_not_hidden():
    def unknown(distance):
        raise Error("no such element", "MLFF_ERROR_SPECIES")

    with pytest.raises(Error, match="no such element"):
        holes.overlap(TwoAtoms(unknown), ("C", "O"))


# Stands where LAMMPS stands: writes a log, and ends as it is told.
LAMMPS = """#!{python}
open("log.lammps", "w").write({log!r})
print({printed!r})
raise SystemExit({status})
"""
ROWS = """
   Step     f_exchange[3]     Atoms        PotEng        v_bound
       400   0                     90  -4149.1918     -0.33
       401   5                     93  -4287.2761     {bound}
Loop time of 1
"""


def setting_for(folder, log, error=None):
    """A setting whose LAMMPS leaves this log."""
    (folder / "bin").mkdir(parents=True)
    program = folder / "bin" / "lmp"
    end = {"printed": f"ERROR: {error}" if error else "", "status": 1 if error else 0}
    program.write_text(LAMMPS.format(python=sys.executable, log=log, **end))
    program.chmod(0o755)
    return SimpleNamespace(
        venv=folder,
        out=folder / "out",
        plugin=Path("plugin.so"),
        insertions=200,
        choose=lambda full, quick: quick,
    )


def outcomes(folder, log, error=None):
    """What `in_lammps` makes of it, with a student of water whose hydrides have no energy."""
    student_of_water = SimpleNamespace(
        compute=lambda _: SimpleNamespace(energy=-138.0), info=SimpleNamespace(species=(1, 8))
    )
    model = SimpleNamespace(
        name="student",
        folder="student-01234567",
        path=Path("student.safetensors"),
        student=lambda: student_of_water,
    )
    return holes.in_lammps(setting_for(folder, log, error), model, student(0.0))


@pytest.mark.parametrize(
    "bound, error, fine",
    [("-0.31", None, True), ("-4.5", None, False), ("-0.31", "Lost atoms", False)],
)
def test_water_that_falls_or_stops_in_gcmc_fails(tmp_path, bound, error, fine):
    (found,) = outcomes(tmp_path, ROWS.format(bound=bound), error)["gcmc"]
    assert (found["insertions"], found["molecules"]) == (5, 31)
    assert found["lowest"] == min(-0.33, float(bound)) and found["way"][-1] == [5.0, float(bound)]
    assert found["bad"] == (not fine) and (found["stopped"] is not None) == (error is not None)


def test_water_that_stops_before_it_moves_fails(tmp_path):
    found = outcomes(tmp_path, "", "Lost atoms")
    for name in ("gcmc", "widom"):
        assert found[name][0]["insertions"] == 0 and found[name][0]["bad"]
    assert all(soup["bad"] for soup in found["soups"])


@pytest.mark.parametrize(
    "weights, potential",
    [([3.0, 1.0], -0.0179), ([1.0, "-nan"], None), ([1.0, "inf"], None), ([1e70, 0.0], -4.149)],
)
def test_one_inserted_molecule_in_a_hole_fails_widom(tmp_path, weights, potential):
    log = "".join(f"VALUE {value}\n" for value in (0.0, *weights))
    (found,) = outcomes(tmp_path, log)["widom"]
    assert found["insertions"] == 2 * montecarlo.TESTS
    assert found["lowest"] == (potential and pytest.approx(potential, rel=0.01))
    assert found["bad"] == (potential != -0.0179)


@pytest.mark.parametrize("energy, bad", [("30.5", False), ("-1000.0", True), ("nan", True)])
def test_random_atoms_of_the_elements_that_a_student_knows_must_not_fall(tmp_path, energy, bad):
    found = outcomes(tmp_path, f"VALUE {energy}\n")["soups"]
    assert len(found) == 2
    for soup in found:
        assert soup["bad"] == bad and soup["stopped"] is None
        assert sorted(soup["numbers"]) == [1] * montecarlo.SOUP["H"] + [8] * montecarlo.SOUP["O"]
    inputs = [path.read_text() for path in tmp_path.glob("out/holes/*/soup-*/in.lammps")]
    assert len(set(inputs)) == 2
    assert all("pair_coeff" in text and text.count("create_atoms") == 2 for text in inputs)


def test_a_student_is_measured_from_end_to_end(tmp_path):
    plugin = ROOT / "target" / "plugin" / "mlff_studentplugin.so"
    if not (plugin.exists() and (ROOT / ".venv" / "bin" / "lmp").exists()):
        if os.environ.get("CI"):
            raise FileNotFoundError(f"{plugin} or .venv/bin/lmp is missing: make")
        pytest.skip(f"{plugin} or .venv/bin/lmp is missing: make")
    command = [sys.executable, "-m", "mlff_student.acceptance", MODEL, "--only", "holes", "--quick"]
    command += ["--insertions", "100", "--out", tmp_path]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "python")}
    run = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300
    )
    assert run.returncode == 0, run.stderr
    found = json.loads((tmp_path / "holes.json").read_text())
    judged = found["judged"]["organics-small"]
    tried = {name: judged[name]["tried"] for name in holes.MEASURED}
    assert 0 < tried.pop("gcmc") < 130
    assert tried == {"starts": 10, "images": 30, "pairs": 28, "soups": 2, "widom": 100}
    # Warm water holds together, whatever becomes of it.
    assert -0.6 < found["models"]["organics-small"]["gcmc"][0]["way"][0][1] < -0.1
    assert "Holes" in (tmp_path / "report.md").read_text() and (tmp_path / "holes.png").exists()
    assert all(text in run.stdout for text in holes.MEASURED.values())
