"""Students beside either teacher, and methods beside students; needs what the teachers need."""

import dataclasses
import json
from importlib.metadata import PackageNotFoundError, distribution

import numpy as np
import pytest

# Of torchani only the weights are there, which cannot be imported.
for name in ("rdkit", "tblite", "torchani"):
    try:
        distribution(name)
    except PackageNotFoundError:
        reason = f"SKIPPED: {name} is missing: run with the teacher's environment"
        pytest.skip(reason, allow_module_level=True)

from ase.build import molecule

from mlff_student import Structure
from mlff_student.acceptance import __main__ as everything
from mlff_student.acceptance import (
    collisions,
    dimers,
    frequencies,
    report,
    setting,
    systems,
    torsions,
)
from mlff_student.acceptance.teacher import TEACHERS
from mlff_student.distil import teachers


@pytest.fixture
def read(hcno, tmp_path):
    """The setting of a quick run with a student of H, C, N and O, and more arguments."""

    def read(*arguments):
        return setting.read("", [str(hcno), "--out", str(tmp_path), "--quick", *arguments])[0]

    return read


def results(folder, name):
    return json.loads((folder / f"{name}.json").read_text())


@pytest.mark.parametrize("key", ["gfn2", "ani1ccx"])
def test_teachers_have_the_names_and_energies_of_those_that_label(key, read):
    teacher = read("--teacher", key).teacher
    water = molecule("H2O")
    [energy] = teacher.energies([Structure.from_ase(water)])
    water.calc = teachers.load(key).calculator()
    assert energy == pytest.approx(water.get_potential_energy(), abs=1e-4)
    # What `forces` goes by.
    assert teacher.name in teachers.load(key).name


def test_the_teacher_is_gfn2_unless_told_otherwise_and_does_not_stand_beside_itself(read, capsys):
    assert read().teacher is TEACHERS["gfn2"] and read().beside == []
    assert read("--teacher", "ani1ccx", "--beside", "gfn2").beside == [TEACHERS["gfn2"]]
    with pytest.raises(SystemExit):
        read("--beside", "gfn2")
    assert "that is the teacher" in capsys.readouterr().err


def test_what_two_teachers_computed_is_not_mixed_up(read):
    gfn2, ani = (read("--teacher", key) for key in ("gfn2", "ani1ccx"))
    for chosen in (gfn2, ani, gfn2):
        key = chosen.teacher.key
        assert chosen.teacher.remembered(chosen, "energy", lambda: key) == key


def test_reports_hold_what_was_measured_against_one_teacher(read):
    gfn2, ani = (read("--teacher", key) for key in ("gfn2", "ani1ccx"))
    for chosen, name in ((gfn2, "dimers"), (ani, "torsions")):
        values = {"teacher": chosen.teacher.full_name}
        report.finish(chosen, name, name, ["notes"], ["table"], values)
    report.finish(gfn2, "nve", "nve", ["needs no teacher"], ["table"], {})
    found = [[bool(everything.part_of(s, name)) for s in (gfn2, ani)] for name in ("dimers", "nve")]
    assert found == [[True, False], [True, True]]
    assert everything.part_of(gfn2, "speed") == ""


def test_dimers_are_those_of_the_teacher_and_other_methods_stand_beside(
    read, tmp_path, monkeypatch
):
    kept = {name: dimers.DIMERS[name] for name in ("water – water", "hydrogen sulfide – H₂S")}
    monkeypatch.setattr(dimers, "DIMERS", kept)
    dimers.run(read("--teacher", "ani1ccx", "--beside", "gfn2"))
    found = results(tmp_path, "dimers")
    assert found["left_out"] == ["hydrogen sulfide – H₂S"]
    assert "hydrogen sulfide – H₂S" in found["notes"] and "ANI-1ccx" in found["notes"]
    assert found["teacher"].startswith("ANI-1ccx")
    water = found["dimers"]["water – water"]
    assert list(water["models"]) == ["hcno", "GFN2-xTB"]
    # Each has its own energy, about -5 kcal/mol, and GFN2-xTB's reaches farther.
    depths = [min(water["teacher"]), *(min(m["energy"]) for m in water["models"].values())]
    assert len(set(depths)) == 3 and all(-0.26 < depth < -0.17 for depth in depths)
    tail = np.array(water["contact"]) > 5.3
    assert abs(np.array(water["teacher"])[tail]).max() < 1e-3
    assert abs(np.array(water["models"]["GFN2-xTB"]["energy"])[tail]).min() > 5e-3
    assert (tmp_path / "dimers.png").exists()


def test_dimers_that_the_teacher_does_not_bind_are_named(read, tmp_path, monkeypatch):
    bound = dimers.most_stable
    monkeypatch.setattr(dimers, "DIMERS", {"water": ("O", "O"), "methane": ("C", "C")})

    def only_water(first, *others):
        return bound(first, *others) if first == "O" else None

    monkeypatch.setattr(dimers, "most_stable", only_water)
    dimers.run(read("--teacher", "ani1ccx"))
    found = results(tmp_path, "dimers")
    assert list(found["dimers"]) == ["water"] and "does not bind them: methane" in found["notes"]


def test_a_torsion_beside_the_teacher_is_the_teachers_own(read, tmp_path, monkeypatch):
    names = "alcohol, ethanol", "disulfide, CH₃SSCH₃"
    monkeypatch.setattr(torsions, "TORSIONS", {name: torsions.TORSIONS[name] for name in names})
    chosen = read("--rigid", "--teacher", "ani1ccx", "--beside", "gfn2")
    torsions.run(dataclasses.replace(chosen, beside=[*chosen.beside, chosen.teacher]))
    found = results(tmp_path, "torsions")
    assert found["left_out"] == ["disulfide, CH₃SSCH₃"]
    ethanol = found["torsions"]["alcohol, ethanol"]["models"]
    assert ethanol["ANI-1ccx"]["max_kcal"] < 1e-6 < ethanol["GFN2-xTB"]["max_kcal"] < 3.0
    # Nothing is required of methods.
    text = (tmp_path / "torsions.md").read_text()
    lines = {line.split()[2]: line for line in text.splitlines() if line.startswith("alcohol")}
    assert "ok" in lines["hcno"] or "NOT MET" in lines["hcno"]
    assert not any(word in lines["GFN2-xTB"] for word in ("ok", "NOT MET"))


def test_vibrations_are_measured_against_the_teacher_that_is_chosen(read, tmp_path, monkeypatch):
    monkeypatch.setattr(frequencies, "SYMMETRIC", {"CO₂": "O=C=O"})
    monkeypatch.setattr(systems, "FREQUENCY_SET", ["CF", "O"])
    frequencies.run(read("--teacher", "ani1ccx", "--beside", "gfn2"))
    found = results(tmp_path, "frequencies")
    assert found["left_out"] == ["CF"] and list(found["models"]) == ["hcno", "GFN2-xTB"]
    # Water: a bend and two stretches; methods differ by some percent.
    water = np.array(found["references"]["O"]["wavenumbers"])
    other = np.array(found["models"]["GFN2-xTB"]["O"]["wavenumbers"])
    assert len(water) == 3 and 1 < abs(water - other).max() < 400
    assert found["models"]["GFN2-xTB"]["O"]["mae_cm"] == pytest.approx(abs(water - other).mean())


def test_collisions_are_drawn_beside_the_teacher_that_is_chosen(read, tmp_path):
    collisions.run(read("--teacher", "ani1ccx"))
    found = results(tmp_path, "collisions")
    assert found["left_out"] == ["F", "S", "Cl"]
    assert list(found["teacher_ev"]) == ["H–H", "H–C", "H–N"]
    assert "\nANI-1ccx " in (tmp_path / "collisions.md").read_text()
    assert np.isfinite(found["teacher_ev"]["H–C"]).all()


def test_panels_are_as_many_as_are_needed_and_all_have_their_axis_named():
    for count, shape in (
        (28, (4, 7)), (10, (2, 5)), (8, (2, 4)), (7, (1, 7)), (9, (2, 5)), (1, (1, 1)),
    ):  # fmt: skip
        figure, panels = report.panels(count, 7, "x", "y", (1, 1))
        grid = panels[0].get_gridspec()
        assert len(panels) == count and (grid.nrows, grid.ncols) == shape
        assert sum(axis.get_xlabel() == "x" for axis in panels) == shape[1]
        report.plt.close(figure)
