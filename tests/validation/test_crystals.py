"""Lattice energies and densities; needs what the teacher needs."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

for name in ("rdkit", "tblite"):
    reason = f"SKIPPED: {name} is missing: run with the teacher's environment"
    pytest.importorskip(name, reason=reason)

from ase.build import bulk
from ase.calculators.lj import LennardJones

from teacher.known_crystals import CRYSTALS
from validation import crystals
from validation.setting import Model


def test_crystals_are_judged_that_training_never_sees():
    splits = {crystal.name: crystal.split for crystal in CRYSTALS}
    assert len(crystals.HELD_OUT) >= 8 and "carbon dioxide" in crystals.HELD_OUT
    assert all(splits[name] in ("test", "valid") for name in crystals.HELD_OUT)
    assert all(splits[name] == "train" for name in crystals.OTHERS)
    assert set(crystals.QUICK) < set(crystals.HELD_OUT + crystals.OTHERS)


def test_relaxations_end_at_zero_pressure_with_the_density_of_the_minimum():
    atoms = bulk("Ar", cubic=True, a=5.9)
    # Sheared, and one atom off its place.
    atoms.set_cell(atoms.cell @ (np.eye(3) + [[0, 0.02, 0], [0.02, 0, 0], [0, 0, 0.03]]), True)
    atoms.positions[0] += 0.1
    argon = LennardJones(sigma=3.4, epsilon=0.0103, rc=7.0, ro=6.0, smooth=True)
    found = crystals.relaxed(atoms, argon, argon, 1e-3, 60)
    assert abs(found.get_stress()).max() < 1e-4
    edges = np.linspace(5.1, 5.4, 16)
    energies = [energy_of(bulk("Ar", cubic=True, a=edge), argon) for edge in edges]
    best = bulk("Ar", cubic=True, a=edges[np.argmin(energies)])
    assert crystals.density(found) == pytest.approx(crystals.density(best), rel=0.01)
    grams = 39.95 * 4 / best.get_volume() * 1.66054
    assert crystals.density(best) == pytest.approx(grams, rel=1e-4)


def energy_of(atoms, calculator):
    atoms.calc = calculator
    return atoms.get_potential_energy()


def test_a_student_is_within_the_limits_or_it_is_not():
    reference = {"energy": -0.5, "density": 1.5}
    for energy, density, fine in [
        (-0.5, 1.5, True), (-0.44, 1.46, True), (-0.42, 1.5, False), (-0.58, 1.5, False),
        (-0.5, 1.56, False), (0.5, 1.5, False), (np.nan, np.nan, False),
    ]:  # fmt: skip
        result = {"there": energy, "energy": energy, "density": density}
        assert crystals.compare(reference, result)["fine"] == fine, (energy, density)
    weak = {"there": -0.3, "energy": -0.4, "density": 1.5}
    assert crystals.compare(reference, weak)["energy_error"] == pytest.approx(-0.2)


def test_elements_that_a_student_does_not_know_leave_crystals_out():
    info = SimpleNamespace(species=(1, 6, 7, 8))
    model = SimpleNamespace(student=lambda: SimpleNamespace(info=info))
    setting = SimpleNamespace(models=[model], choose=lambda full, quick: full)
    names = {crystal.name for crystal in crystals.chosen(setting)}
    assert "carbon dioxide" in names and not names & {"chloroform", "thiophene", "carbon disulfide"}


def test_lattice_energies_and_densities_are_reported_beside_the_teachers(tmp_path, monkeypatch):
    # A few steps show how it goes.
    monkeypatch.setattr(crystals, "TEACHER_STEPS", 1)
    monkeypatch.setattr(crystals, "STEPS", 20)
    monkeypatch.setattr(crystals, "QUICK", ["carbon dioxide"])
    path = crystals.ROOT / "models" / "organics-small.safetensors"
    setting = SimpleNamespace(
        models=[Model("small", path)], out=tmp_path, quick=True, choose=lambda full, quick: quick
    )
    crystals.run(setting)
    found = json.loads((tmp_path / "crystals.json").read_text())["crystals"]
    crystal = found["carbon dioxide"]
    assert crystal["held_out"] and crystal["molecules"] == 16
    # It holds together, at the density that it begins with.
    assert -0.4 < crystal["energy"] < 0 and 1.5 < crystal["density"] < 2.0
    small = crystal["models"]["small"]
    # Relaxed is not above where it began.
    assert small["energy"] <= small["there"] + 1e-6
    assert small["density_error"] == pytest.approx(small["density"] / crystal["density"] - 1)
    assert (tmp_path / "crystals.png").exists()
    text = (tmp_path / "crystals.md").read_text()
    assert "carbon dioxide *" in text and "lattice" in text.lower()
    # The teacher's part is kept.
    monkeypatch.setattr(crystals, "of_teacher", None)
    crystals.run(setting)
