# SPDX-License-Identifier: MIT OR Apache-2.0
"""Interaction energies of ten dimers from contact to beyond the cutoff, beside the teacher's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mlff_student import Structure

from . import analysis, report, setting, systems

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ase import Atoms
    from matplotlib.figure import Figure

    from .setting import Setting
    from .teacher import Teacher


DIMERS = {
    "water – water": ("O", "O"),
    "methanol – methanol": ("CO", "CO"),
    "formamide – formamide": ("NC=O", "NC=O"),
    "formic acid – formic acid": ("OC=O", "OC=O"),
    "ethanol – water": ("CCO", "O"),
    "acetonitrile – acetonitrile": ("CC#N", "CC#N"),
    "hydrogen fluoride – HF": ("F", "F"),
    "hydrogen sulfide – H₂S": ("S", "S"),
    "benzene – methane": ("c1ccccc1", "C"),
    "methane – methane": ("C", "C"),
}
COMPRESSED = -0.6  # Å from the teacher's minimum
BEYOND = 1.0  # Å beyond the cutoff
# Energies above the separated molecules by more than this are drawn but not counted (eV).
REPULSIVE = 0.1


def run(setting: Setting) -> dict[str, Any]:
    """Measures interaction energies. Prints tables, writes files and returns the values."""
    teacher = setting.teacher
    cutoff = max(model.student().info.cutoff for model in setting.models)
    molecules = {name: ".".join(pair) for name, pair in DIMERS.items()}
    names, left_out = systems.known(molecules, setting.elements)
    found, unbound = {}, []
    for name in setting.choose(names, names[:2]):
        reference = teacher.remembered(
            setting,
            f"dimer {name} {cutoff:g} {setting.quick}",
            lambda: scan_with_teacher(name, cutoff, setting),
        )
        if reference is None:
            unbound.append(name)
            continue
        curves = {m.name: interaction(reference, m.energies) for m in setting.compared}
        models = {model: compare(reference, curve) for model, curve in curves.items()}
        found[name] = reference | {"models": models}
    if not found:
        raise ValueError(f"{teacher.name} binds none of these: {', '.join(unbound)}")
    return report.finish(
        setting,
        "dimers",
        "Interaction energies of dimers",
        [
            f"Dimers relaxed by {teacher.full_name}, the most stable of several starts, then moved "
            "apart rigidly along the line between their centers. Energies relative to the same "
            "molecules alone. Errors are over all distances where the teacher's energy is below "
            f"{REPULSIVE} eV; 'tail' is beyond 4 Å between the nearest atoms.",
            report.left_out(left_out),
            report.left_out(unbound, "the teacher does not bind them"),
        ],
        [table(found)],
        {"teacher": teacher.full_name, "left_out": left_out + unbound, "dimers": found},
        figure(found, cutoff, teacher),
    )


def most_stable(first: str, second: str, starts: int, teacher: Teacher) -> tuple[Atoms, int] | None:
    """The most stable dimer of two SMILES that the teacher finds from random starts, and the number
    of atoms in its first molecule.

    None if the molecules always move apart.
    """
    random = np.random.default_rng(1)
    best = None
    for _ in range(starts):
        a, b = (
            teacher.relaxed(systems.from_smiles(smiles), fmax=0.01) for smiles in (first, second)
        )
        for molecule in (a, b):
            molecule.positions = (
                molecule.positions - molecule.positions.mean(axis=0)
            ) @ systems.random_rotation(random)
        for distance in np.arange(2.0, 12.0, 0.1):
            moved = b.positions + [0, 0, distance]
            if analysis.closest(a.positions, moved) > 2.2:
                break
        b.positions = moved
        dimer = teacher.relaxed(a + b, fmax=3e-3, steps=300)
        energy = dimer.get_potential_energy()
        together = analysis.closest(dimer.positions[: len(a)], dimer.positions[len(a) :]) < 4.0
        if together and (best is None or energy < best[0]):
            best = energy, dimer, len(a)
    return best and best[1:]


def scan_with_teacher(name: str, cutoff: float, setting: Setting) -> dict[str, Any] | None:
    """Geometries along the line between the centers, nearest distances (Å) and the teacher's
    interaction energies (eV).

    None if it binds no such dimer. The scan ends beyond the cutoff (Å).
    """
    teacher = setting.teacher
    best = most_stable(*DIMERS[name], setting.choose(8, 2), teacher)
    if best is None:
        return None
    dimer, split = best
    a, b = dimer.positions[:split], dimer.positions[split:]
    line = b.mean(axis=0) - a.mean(axis=0)
    line /= np.linalg.norm(line)
    shifts = [COMPRESSED]
    while analysis.closest(a, b + shifts[-1] * line) < cutoff + BEYOND:
        shifts.append(shifts[-1] + (0.1 if shifts[-1] < 1.5 else 0.2))
    scan = {
        "numbers": dimer.numbers.tolist(),
        "split": split,
        "shift": [round(float(shift), 3) for shift in shifts],
        "contact": [analysis.closest(a, b + shift * line) for shift in shifts],
        "first": a.tolist(),
        "second": [(b + shift * line).tolist() for shift in shifts],
    }

    return scan | {"teacher": interaction(scan, teacher.energies).tolist()}


def interaction(scan: dict[str, Any], energies: Callable) -> np.ndarray:
    """Energies (eV) of the dimer less those of its molecules, at each distance.

    `energies` gives those of a list of structures.
    """
    numbers, split = scan["numbers"], scan["split"]
    alone = [(numbers[:split], scan["first"]), (numbers[split:], scan["second"][0])]
    pairs = [(numbers, np.concatenate([scan["first"], second])) for second in scan["second"]]
    found = np.array(energies([Structure(*structure) for structure in (*alone, *pairs)]))
    return found[2:] - found[0] - found[1]


def compare(reference: dict[str, Any], curve: np.ndarray) -> dict[str, Any]:
    """Errors of a model's interaction energies: mean, largest, beyond 4 Å and of the minimum
    (kcal/mol, Å).
    """
    target, contact, shift = (np.array(reference[name]) for name in ("teacher", "contact", "shift"))
    error = curve - target
    counted, tail = target < REPULSIVE, contact > 4.0
    return {
        "energy": curve.tolist(),
        "mae_kcal": float(np.abs(error[counted]).mean() * analysis.KCAL),
        "max_kcal": float(np.abs(error[counted]).max() * analysis.KCAL),
        "tail_mae_kcal": float(np.abs(error[tail]).mean() * analysis.KCAL),
        "depth_kcal": float(curve.min() * analysis.KCAL),
        "minimum_shift": float(shift[curve.argmin()]),
    }


def table(found: dict[str, Any]) -> str:
    """The table, as aligned text."""
    rows = []
    for name, dimer in found.items():
        depth = min(dimer["teacher"]) * analysis.KCAL
        rows += [
            [
                name,
                model,
                depth,
                result["depth_kcal"],
                result["minimum_shift"],
                result["mae_kcal"],
                result["max_kcal"],
                result["tail_mae_kcal"],
            ]
            for model, result in dimer["models"].items()
        ]
    for model in next(iter(found.values()))["models"]:
        results = [dimer["models"][model] for dimer in found.values()]
        mean = [
            float(np.mean([result[key] for result in results]))
            for key in ("mae_kcal", "tail_mae_kcal")
        ]
        rows.append(
            [
                "all",
                model,
                None,
                None,
                None,
                mean[0],
                max(result["max_kcal"] for result in results),
                mean[1],
            ]
        )
    return report.table(
        [
            "dimer",
            "model",
            "teacher's depth",
            "depth",
            "minimum moved (Å)",
            "MAE",
            "max",
            "tail MAE (kcal/mol)",
        ],
        rows,
    )


def figure(found: dict[str, Any], cutoff: float, teacher: Teacher) -> Figure:
    """Interaction energies over the nearest distance, a panel for each dimer."""
    names = "nearest atoms (Å)", "interaction (kcal/mol)"
    figure, panels = report.panels(len(found), 5, *names, (2.8, 2.6))
    for axis, (name, dimer) in zip(panels, found.items()):
        target = np.array(dimer["teacher"]) * analysis.KCAL
        axis.axhline(0, color="0.85", lw=0.8, zorder=0)
        axis.axvline(cutoff, color="0.7", lw=0.8, ls=":", zorder=0)
        style = {"ms": 3, "color": report.TEACHER_COLOR, "label": teacher.name}
        axis.plot(dimer["contact"], target, "o", **style)
        for index, (model, result) in enumerate(dimer["models"].items()):
            axis.plot(
                dimer["contact"],
                np.array(result["energy"]) * analysis.KCAL,
                color=report.color(index),
                label=model,
            )
        axis.set_title(name)
        # The wall does not decide the scale.
        depth = max(-target.min(), 0.5)
        axis.set_ylim(-1.5 * depth, 1.2 * depth)
    report.legend(figure, panels[0])
    return figure


if __name__ == "__main__":
    import sys

    setting.main(sys.modules[__name__])
