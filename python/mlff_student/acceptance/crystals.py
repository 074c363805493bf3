# SPDX-License-Identifier: MIT OR Apache-2.0
"""Lattice energies and densities of relaxed molecular crystals, beside the teacher's."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from ase import units
from ase.filters import FrechetCellFilter
from ase.optimize import BFGS

from mlff_student import Calculator, Error, Structure

from ..distil import crystals, geometry
from ..distil.known_crystals import CRYSTALS
from ..distil.molecules import order_key
from . import ROOT, report, setting, systems
from .teacher import from_lists, to_lists

if TYPE_CHECKING:
    from typing import Any

    from ase import Atoms
    from ase.calculators.calculator import Calculator as AseCalculator
    from matplotlib.figure import Figure

    from ..distil.known_crystals import Known
    from .setting import Model, Setting
    from .teacher import Teacher


# Held out from training by `distil.known_crystals`, and others for comparison. Their cells are
# those of training: no lattice vector below 8 Å, at most 96 atoms.
HELD_OUT = [
    "carbon dioxide", "ammonia", "chloroform", "acetic acid", "imidazole", "formamide", "pyrazine",
    "thiophene", "benzene", "hydrogen cyanide", "carbonyl sulfide", "nitromethane",
]  # fmt: skip
OTHERS = ["nitrogen", "acetylene", "urea", "ice XI", "carbon disulfide", "methanol"]
QUICK = ["carbon dioxide", "hydrogen cyanide", "nitrogen"]
# How far from the teacher those that are held out may be.
ENERGY, DENSITY = 0.15, 0.03
# Relaxations end below these forces (eV/Å); those of students, which cost little, at lower ones.
TEACHER_FORCE, FORCE = 0.03, 0.005
TEACHER_STEPS, STEPS = 60, 300
# Saves the teacher steps: brings packings near a minimum, and tells how stiff what is.
GUIDE = ROOT / "models" / "organics-large.safetensors"
# Makes cells about as stiff as contacts are, for the optimiser.
CELL_FACTOR = 2.0
# Step of second derivatives (Å), and the least that they are taken for (eV/Å²).
STEP, SOFTEST = 0.01, 1.0
GRAMS = units._amu * 1e27  # u/Å³ → g/cm³
# What teachers made, kept for everybody, a file for each teacher. RECIPE numbers the way in which
# it is made (`of_teacher`, and the structures that it begins with): whoever changes that counts on,
# and files with another number are no longer used.
REFERENCES, RECIPE = Path(__file__).with_name("references"), 1


def run(setting: Setting) -> dict[str, Any]:
    """Relaxes crystals and compares them. Prints tables, writes files and returns the values."""
    teacher = setting.teacher
    measured, left_out = chosen(setting)
    found, unbound = {}, []
    for known in measured:
        target = reference(setting, teacher, known)
        if target["energy"] >= 0:
            unbound.append(known.name)
            continue
        results = {m.name: of_student(target, m) for m in setting.models}
        for method in setting.beside:
            results[method.name] = of_method(setting, target, method, known)
        judged = {name: compare(target, result) for name, result in results.items()}
        found[known.name] = target | {"held_out": known.split != "train", "models": judged}
    if not found:
        raise ValueError(f"{teacher.name} holds none of these together: {', '.join(unbound)}")
    return report.finish(
        setting,
        "crystals",
        "Crystals of molecules",
        [
            f"Cells and atoms relaxed by {teacher.full_name}, from known structures or, where only "
            "the cell is known, from a packing that was searched for; then by the student from "
            "there. Lattice energies for each molecule: the crystal less a relaxed molecule alone. "
            "'There': in the teacher's structure. Required of crystals that are held out (*): "
            f"energies within {100 * ENERGY:g} %, densities within {100 * DENSITY:g} % of the "
            "teacher's.",
            teacher.of_crystals,
            of_beside(setting),
            report.left_out(left_out),
            report.left_out(unbound, "the teacher does not hold them together"),
        ],
        [table(found, setting), *summary(found, setting)],
        {"teacher": teacher.full_name, "left_out": left_out + unbound, "crystals": found},
        figure(found, teacher),
    )


def of_beside(setting: Setting) -> str:
    """A sentence for the notes, about the methods beside the students."""
    names = " and ".join(method.name for method in setting.beside)
    return f"{names} relaxed from where the teacher began." if names else ""


def chosen(setting: Setting) -> tuple[list[Known], list[str]]:
    """The known crystals to measure, and names of those with elements that not all methods know."""
    by_name = {crystal.name: crystal for crystal in CRYSTALS}
    names = setting.choose(HELD_OUT + OTHERS, QUICK)
    kept, left_out = systems.known({n: by_name[n].smiles for n in names}, setting.elements)
    return [by_name[name] for name in kept], left_out


# --- the teacher's part


def reference(setting: Setting, teacher: Teacher, known: Known) -> dict[str, Any]:
    """The teacher's crystal and molecule (see `of_teacher`), as the package has them, or made once
    for each output folder.
    """

    def make() -> dict[str, Any]:
        print(f"   {known.name}: relaxed by {teacher.name}", flush=True)
        return of_teacher(known, teacher)

    kept = kept_references(teacher)
    anew = setting.anew and teacher is setting.teacher
    if known.name in kept and not anew:
        return kept[known.name]
    made = teacher.remembered(setting, f"crystal {known.name} {RECIPE}", make)
    if anew:
        keep_references(teacher, kept | {known.name: made})
    return made


def kept_references(teacher: Teacher) -> dict[str, Any]:
    """The crystals in the package that this teacher made by the present recipe, by name."""
    path = REFERENCES / f"crystals-{teacher.key}.json"
    found = json.loads(path.read_text()) if path.exists() else {}
    present = found.get("teacher") == teacher.full_name and found.get("recipe") == RECIPE
    return found["crystals"] if present else {}


def keep_references(teacher: Teacher, crystals: dict[str, Any]) -> None:
    """Writes crystals of the teacher into the package, one to a line."""
    lines = ",\n".join(f"{json.dumps(n)}: {json.dumps(crystals[n])}" for n in sorted(crystals))
    text = f"""{{
"teacher": {json.dumps(teacher.full_name)},
"recipe": {RECIPE},
"crystals": {{
{lines}
}}}}
"""
    REFERENCES.mkdir(exist_ok=True)
    (REFERENCES / f"crystals-{teacher.key}.json").write_text(text)


def of_teacher(known: Known, teacher: Teacher) -> dict[str, Any]:
    """The relaxed crystal and molecule, lattice energy (eV/molecule) and density (g/cm³), by the
    teacher.
    """
    rng = np.random.default_rng(order_key("crystal", known.name))
    mol = geometry.embed(known.smiles, rng)
    molecule = teacher.relaxed(geometry.to_atoms(mol), fmax=FORCE)
    mol.GetConformer().SetPositions(molecule.positions)
    lattice = crystals.lattice_of(known, mol, rng, tries=8)
    lattice = lattice.enlarged(crystals.SHORTEST, crystals.MOST)
    atoms = lattice.atoms()
    guide = Calculator(GUIDE)
    if not known.basis:
        atoms = relaxed(atoms, guide, guide, FORCE, STEPS)
    calculator = teacher.calculator(accuracy=1.0)
    atoms = relaxed(atoms, calculator, guide, TEACHER_FORCE, TEACHER_STEPS)
    count = len(lattice.x)
    return {
        "molecules": count,
        "molecule": to_lists(molecule),
        "crystal": to_lists(atoms) | {"cell": atoms.cell.array.tolist()},
        "energy": atoms.get_potential_energy() / count - molecule.get_potential_energy(),
        "density": density(atoms),
    }


# --- students, and methods beside them


def of_student(reference: dict[str, Any], model: Model) -> dict[str, float]:
    """A student's lattice energies (eV/molecule), `there` in the teacher's structure and `energy`
    after relaxing from it, and density (g/cm³).

    NaN where the student gives numbers that are not finite.
    """
    try:
        return on_from(reference, model.calculator())
    except Error as error:
        if error.status != "MLFF_ERROR_NUMERIC":
            raise
        return dict.fromkeys(("there", "energy", "density"), np.nan)


def on_from(reference: dict[str, Any], calculator: AseCalculator) -> dict[str, float]:
    """Relaxes the teacher's molecule and crystal with a calculator; results as of `of_student`."""
    alone = from_lists(reference["molecule"])
    alone.calc = calculator
    BFGS(alone, logfile=None).run(fmax=FORCE, steps=STEPS)
    atoms = from_lists(reference["crystal"])
    atoms.calc = calculator

    def lattice_energy(atoms: Atoms) -> float:
        return atoms.get_potential_energy() / reference["molecules"] - apart

    # One calculator knows one structure at a time.
    apart = alone.get_potential_energy()
    there = lattice_energy(atoms)
    atoms = relaxed(atoms, calculator, calculator, FORCE, STEPS)
    return {"there": there, "energy": lattice_energy(atoms), "density": density(atoms)}


def of_method(
    setting: Setting, target: dict[str, Any], method: Teacher, known: Known
) -> dict[str, float]:
    """Results as of `of_student` for a method beside the students.

    It relaxes from the known structure: from the teacher's it would take an hour, while these may
    be in the package.
    """
    own = reference(setting, method, known)

    def there() -> float:
        both = target["crystal"], own["molecule"]
        crystal, molecule = method.energies([Structure.from_ase(from_lists(x)) for x in both])
        return crystal / target["molecules"] - molecule

    name = f"crystal {known.name} as by {setting.teacher.key} {RECIPE}"
    return {k: own[k] for k in ("energy", "density")} | {
        "there": method.remembered(setting, name, there)
    }


# --- relaxations


def relaxed(
    atoms: Atoms, calculator: AseCalculator, guide: AseCalculator, fmax: float, steps: int
) -> Atoms:
    """A copy with cell and atoms near the calculator's minimum at zero pressure (fmax in eV/Å).

    The guide gives second derivatives to begin with, since molecules are a thousand times as stiff
    as what is between them.
    """
    with warnings.catch_warnings():
        # The logarithm of a matrix warns of errors of 1e-13.
        warnings.simplefilter("ignore", RuntimeWarning)
        optimiser = BFGS(free(atoms, calculator), logfile=None)
        optimiser.H0 = hessian(free(atoms, guide))
        optimiser.run(fmax=fmax, steps=steps)
    return optimiser.atoms.atoms


def free(atoms: Atoms, calculator: AseCalculator) -> FrechetCellFilter:
    """A copy whose cell may be relaxed, too."""
    atoms = atoms.copy()
    atoms.calc = calculator
    return FrechetCellFilter(atoms, exp_cell_factor=CELL_FACTOR)


def hessian(cell: FrechetCellFilter) -> np.ndarray:
    """Second derivatives (3(n + 3), 3(n + 3)) in eV/Å² of what `free` gives, made positive."""
    x = cell.get_positions()
    found = np.empty((x.size, x.size))
    for row, step in zip(found, STEP * np.eye(x.size)):
        forces = []
        for moved in (x + step.reshape(x.shape), x - step.reshape(x.shape)):
            cell.set_positions(moved)
            forces.append(cell.get_forces().ravel())
        row[:] = (forces[1] - forces[0]) / (2 * STEP)
    values, vectors = np.linalg.eigh((found + found.T) / 2)
    return (vectors * np.maximum(abs(values), SOFTEST)) @ vectors.T


def density(atoms: Atoms) -> float:
    """Density of a periodic structure (g/cm³)."""
    return float(atoms.get_masses().sum() / atoms.get_volume() * GRAMS)


def compare(reference: dict[str, Any], result: dict[str, float]) -> dict[str, Any]:
    """A student's result with its relative errors, and whether they are within the limits."""
    errors = {k: result[k] / reference[k] - 1 for k in ("energy", "density")}
    fine = abs(errors["energy"]) <= ENERGY and abs(errors["density"]) <= DENSITY
    return result | {f"{k}_error": e for k, e in errors.items()} | {"fine": bool(fine)}


def table(found: dict[str, Any], setting: Setting) -> str:
    """The table, as aligned text."""
    header = ["crystal", "model", "teacher (eV)", "there", "relaxed", "%"]
    header += ["g/cm³", "relaxed", "%", ""]
    rows = []
    for name, crystal in found.items():
        for model, result in crystal["models"].items():
            rows.append([
                name + (" *" if crystal["held_out"] else ""), model, crystal["energy"],
                result["there"], result["energy"], 100 * result["energy_error"],
                crystal["density"], result["density"], 100 * result["density_error"],
                setting.verdict(model, result["fine"]) if crystal["held_out"] else "",
            ])  # fmt: skip
    return report.table(header, rows)


def summary(found: dict[str, Any], setting: Setting) -> list[str]:
    """A table of mean absolute errors of each model, and whether all crystals that are held out are
    within the limits; no table where none is held out.
    """
    if not any(crystal["held_out"] for crystal in found.values()):
        return []
    rows = []
    for model in next(iter(found.values()))["models"]:
        held_out = [c["models"][model] for c in found.values() if c["held_out"]]
        errors = ("energy_error", "density_error")
        means = [100 * float(np.mean([abs(r[k]) for r in held_out])) for k in errors]
        fine = [r["fine"] for r in held_out]
        within = f"{sum(fine)} of {len(fine)}"
        rows.append([model, *means, within, setting.verdict(model, all(fine))])
    header = ["held out", "mean error of energies (%)", "of densities (%)", "within limits", ""]
    return [report.table(header, rows)]


def figure(found: dict[str, Any], teacher: Teacher) -> Figure:
    """Students' values against the teacher's; bands show the limits for those that are held out."""
    figure, panels = report.plt.subplots(1, 2, figsize=(9, 4.2))
    titles = {"energy": "lattice energy (eV for each molecule)", "density": "density (g/cm³)"}
    for axis, (key, title) in zip(panels, titles.items()):
        target = np.array([crystal[key] for crystal in found.values()])
        low, high = target.min(), target.max()
        ends = np.array([low - 0.1 * (high - low), high + 0.1 * (high - low)])
        axis.plot(ends, ends, color=report.TEACHER_COLOR, lw=0.8)
        limit = ENERGY if key == "energy" else DENSITY
        axis.fill_between(ends, ends * (1 - limit), ends * (1 + limit), color="0.9", lw=0)
        for index, model in enumerate(next(iter(found.values()))["models"]):
            for held_out, marker in ((True, "o"), (False, "x")):
                chosen = [c for c in found.values() if c["held_out"] == held_out]
                axis.plot(
                    [c[key] for c in chosen], [c["models"][model][key] for c in chosen], marker,
                    ms=4, color=report.color(index), label=model if held_out else None,
                )  # fmt: skip
        axis.set(title=title, xlabel=teacher.name, ylabel="model")
    panels[0].legend(fontsize=8)
    return figure


if __name__ == "__main__":
    import sys

    setting.main(sys.modules[__name__])
