# SPDX-License-Identifier: MIT OR Apache-2.0
"""Wavenumbers and bond lengths at minima, beside the teacher's, for two steps of the Hessian."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np
from ase.optimize import BFGS

from mlff_student import Error

from . import analysis, report, setting, systems
from .teacher import from_lists, to_lists

if TYPE_CHECKING:
    from typing import Any

    from ase import Atoms
    from matplotlib.figure import Figure

    from .setting import Model, Setting
    from .teacher import Teacher


SYMMETRIC = {"CH₄": "C", "CO₂": "O=C=O", "C₂H₂": "C#C", "benzene": "c1ccccc1", "ethane": "CC"}
STEPS = (0.001, 0.01)  # Å
TEACHER_STEP = 0.005  # Å
LARGEST = 20  # atoms of held-out molecules
# Imaginary modes below this are the rounding of a minimum's position (cm-1).
SOFT = 10.0
LIMITS = {"steps_cm": 5.0, "mae_cm": 15.0, "bond_angstrom": 0.005}


def run(setting: Setting) -> dict[str, Any]:
    """Measures vibrations and bond lengths. Prints tables, writes files and returns the values."""
    teacher = setting.teacher
    symmetric, unknown = systems.known(SYMMETRIC, setting.elements)
    steps = {
        model.name: {name: steps_agree(model, name, setting) for name in symmetric}
        for model in setting.models
    }
    molecules, passed = systems.held_out(setting, setting.choose(10, 2), LARGEST)
    left_out = unknown + passed
    references = {
        smiles: teacher.remembered(
            setting, f"vibrations {smiles}", lambda: with_teacher(smiles, teacher)
        )
        for smiles in molecules
    }
    found = {
        model.name: {smiles: compare(model, references[smiles]) for smiles in molecules}
        for model in setting.compared
    }
    return report.finish(
        setting,
        "frequencies",
        "Vibrations",
        [
            "Student in float64, relaxed from the teacher's minimum to 1e-4 eV/Å. Steps: largest "
            f"difference of any wavenumber between Hessians from steps of {STEPS[0]} and "
            f"{STEPS[1]} Å (required: {LIMITS['steps_cm']:g} cm⁻¹). Against {teacher.full_name}, "
            f"molecules {setting.source}: wavenumbers in ascending order compared one by one "
            f"(required of the large student: MAE {LIMITS['mae_cm']:g} cm⁻¹, bonds "
            f"{LIMITS['bond_angstrom']} Å, no imaginary mode beyond {SOFT:g}i cm⁻¹).",
            report.left_out(left_out),
        ],
        [table_of_steps(steps), table(found, setting)],
        {
            "limits": LIMITS,
            "teacher": teacher.full_name,
            "left_out": left_out,
            "steps": steps,
            "references": references,
            "models": found,
        },
        figure(steps, references, found, teacher),
    )


def relax(atoms: Atoms, fmax: float = 1e-4) -> bool:
    """Relaxes in place to forces below fmax (eV/Å); says whether it converged."""
    try:
        return bool(BFGS(atoms, logfile=None, maxstep=0.1).run(fmax=fmax, steps=500))
    except Error:
        # A student that lets atoms collapse.
        return False


def wavenumbers(atoms: Atoms, step: float) -> np.ndarray:
    """Wavenumbers (cm⁻¹), ascending, from forces at steps (Å)."""
    return analysis.vibrations(atoms.get_masses(), atoms.positions, analysis.hessian(atoms, step))


def steps_agree(model: Model, name: str, setting: Setting) -> dict[str, Any]:
    """Whether a student's wavenumbers depend on the step of the Hessian: the largest change
    (cm⁻¹).
    """
    teacher = setting.teacher
    start = teacher.remembered(
        setting,
        f"minimum {name}",
        lambda: to_lists(teacher.relaxed(systems.from_smiles(SYMMETRIC[name]))),
    )
    atoms = from_lists(start)
    atoms.calc = model.calculator()
    converged = relax(atoms)
    small, large = (wavenumbers(atoms, step) for step in STEPS)
    return {
        "converged": converged,
        "wavenumbers": small,
        "difference": np.abs(small - large),
        "largest": float(np.abs(small - large).max()),
    }


def with_teacher(smiles: str, teacher: Teacher) -> dict[str, Any]:
    """The teacher's minimum and wavenumbers (cm⁻¹); saddle points are left along their imaginary
    mode.
    """
    atoms = teacher.relaxed(systems.from_smiles(smiles), fmax=1e-3)
    for _ in range(4):
        relax(atoms, 5e-4)
        second = analysis.hessian(atoms, TEACHER_STEP)
        found = analysis.vibrations(atoms.get_masses(), atoms.positions, second)
        if found[0] > -SOFT:
            break
        atoms.positions += 0.1 * lowest_mode(atoms, second)
    return to_lists(atoms) | {"smiles": smiles, "wavenumbers": found.tolist()}


def lowest_mode(atoms: Atoms, second: np.ndarray) -> np.ndarray:
    """Displacement (n, 3), longest 1, along the softest vibration of second derivatives (3n,
    3n).
    """
    root = np.sqrt(np.repeat(atoms.get_masses(), 3))
    inner = analysis.vibrational_space(atoms.get_masses(), atoms.positions)
    _, vectors = np.linalg.eigh(inner.T @ (second / np.outer(root, root)) @ inner)
    mode = ((inner @ vectors[:, 0]) / root).reshape(-1, 3)
    return mode / np.linalg.norm(mode, axis=1).max()


def compare(model: Model, reference: dict[str, Any]) -> dict[str, Any]:
    """A student's wavenumbers (cm⁻¹) and bond lengths (Å) at its own minimum, and their errors."""
    atoms = from_lists(reference)
    pairs = analysis.bonds(atoms)
    target = np.linalg.norm(atoms.positions[pairs[:, 0]] - atoms.positions[pairs[:, 1]], axis=1)
    atoms.calc = model.calculator()
    converged = relax(atoms)
    lengths = np.linalg.norm(atoms.positions[pairs[:, 0]] - atoms.positions[pairs[:, 1]], axis=1)
    found, wanted = wavenumbers(atoms, TEACHER_STEP), np.array(reference["wavenumbers"])
    comparable = len(found) == len(wanted)
    return {
        "converged": converged,
        "wavenumbers": found,
        "mae_cm": float(np.abs(found - wanted).mean()) if comparable else float("nan"),
        "max_cm": float(np.abs(found - wanted).max()) if comparable else float("nan"),
        "spurious": int((found < -SOFT).sum()) - int((wanted < -SOFT).sum()),
        "lowest_cm": float(found[0]),
        "bond_mae": float(np.abs(lengths - target).mean()),
        "bond_max": float(np.abs(lengths - target).max()),
    }


def steps_met(found: dict[str, Any]) -> bool:
    """Whether all molecules of a model are within the limit; one that was not relaxed is not."""
    return all(
        entry["converged"] and entry["largest"] <= LIMITS["steps_cm"] for entry in found.values()
    )


def met(results: Any) -> bool:
    """Whether means over all molecules of a model are within the limits.

    A molecule that was not relaxed, or has no frequencies to compare, is outside.
    """
    if not all(result["converged"] and np.isfinite(result["mae_cm"]) for result in results):
        return False
    mae, bonds = (np.mean([result[key] for result in results]) for key in ("mae_cm", "bond_mae"))
    return bool(
        mae <= LIMITS["mae_cm"]
        and bonds <= LIMITS["bond_angstrom"]
        and all(result["spurious"] <= 0 for result in results)
    )


def table_of_steps(steps: dict[str, Any]) -> str:
    """The table of changes between steps, as aligned text."""
    rows = [
        [
            model,
            *(
                f"{entry['largest']:.2g}" + ("" if entry["converged"] else " (not relaxed)")
                for entry in found.values()
            ),
            report.verdict(steps_met(found)),
        ]
        for model, found in steps.items()
    ]
    return report.table(["steps: model", *(f"{name} (cm⁻¹)" for name in SYMMETRIC), ""], rows)


def table(found: dict[str, Any], setting: Setting) -> str:
    """The table of errors, as aligned text."""
    rows = []
    for model, molecules in found.items():
        for smiles, result in molecules.items():
            rows.append(
                [
                    model,
                    smiles,
                    result["mae_cm"],
                    result["max_cm"],
                    result["lowest_cm"],
                    result["spurious"],
                    result["bond_mae"],
                    result["bond_max"],
                    "" if result["converged"] else "not relaxed",
                ]
            )
        results = list(molecules.values())
        mean = {
            key: float(np.nanmean([result[key] for result in results]))
            for key in ("mae_cm", "bond_mae")
        }
        spurious = sum(max(0, result["spurious"]) for result in results)
        rows.append([
            model, "all", mean["mae_cm"], max(r["max_cm"] for r in results),
            min(r["lowest_cm"] for r in results), spurious, mean["bond_mae"],
            max(r["bond_max"] for r in results), setting.verdict(model, met(results)),
        ])  # fmt: skip
    return report.table(
        [
            "model",
            "molecule",
            "MAE (cm⁻¹)",
            "max (cm⁻¹)",
            "lowest (cm⁻¹)",
            "spurious",
            "bonds MAE (Å)",
            "bonds max (Å)",
            "",
        ],
        rows,
    )


def figure(
    steps: dict[str, Any], references: dict[str, Any], found: dict[str, Any], teacher: Teacher
) -> Figure:
    """Changes between steps, and errors over wavenumbers."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2))
    width = 0.8 / len(steps)
    for index, (model, molecules) in enumerate(steps.items()):
        values = [max(entry["largest"], 1e-3) for entry in molecules.values()]
        left.bar(
            np.arange(len(values)) + (index - (len(steps) - 1) / 2) * width,
            values,
            width,
            color=report.color(index),
            label=model,
        )
    for index, (model, molecules) in enumerate(found.items()):
        wanted, given = [], []
        for smiles, result in molecules.items():
            if len(result["wavenumbers"]) == len(references[smiles]["wavenumbers"]):
                wanted += references[smiles]["wavenumbers"]
                given += list(result["wavenumbers"])
        right.plot(
            wanted,
            np.array(given) - wanted,
            ".",
            ms=4,
            alpha=0.7,
            color=report.color(index),
            label=model,
        )
    left.axhline(LIMITS["steps_cm"], color="black", lw=0.8, ls="--")
    left.set(
        yscale="log",
        ylabel="largest change between steps (cm⁻¹)",
        title="Hessians from steps of 0.001 and 0.01 Å (required: below the line)",
    )
    left.set_ylim(bottom=0.01)
    left.yaxis.set_major_formatter("{x:g}")
    left.set_xticks(range(len(SYMMETRIC)), list(SYMMETRIC))
    left.legend(frameon=True, framealpha=0.9, edgecolor="none", loc="upper right")
    right.axhspan(-LIMITS["mae_cm"], LIMITS["mae_cm"], color="0.9", zorder=0)
    right.axhline(0, color="0.6", lw=0.8, zorder=0)
    right.set(
        xlabel=f"{teacher.name} (cm⁻¹)",
        ylabel=f"less {teacher.name} (cm⁻¹)",
        title=f"{len(references)} molecules; grey: ± {LIMITS['mae_cm']:g} cm⁻¹",
    )
    right.set_yscale("symlog", linthresh=50)
    right.set_yticks([-1000, -300, -100, -30, 0, 30, 100, 300, 1000])
    right.yaxis.set_major_formatter("{x:g}")
    right.legend(frameon=True, framealpha=0.9, edgecolor="none", loc="upper left")
    return figure


if __name__ == "__main__":
    import sys

    setting.main(sys.modules[__name__])
