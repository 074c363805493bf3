# SPDX-License-Identifier: MIT OR Apache-2.0
"""Energies of two molecules that run into each other, for all pairs of elements."""

from __future__ import annotations

from itertools import combinations_with_replacement
from typing import TYPE_CHECKING

import numpy as np
from ase.calculators.calculator import CalculationFailed

from mlff_student import Structure

from ..distil.floor import HYDRIDES, symbols_with_hydrides
from . import analysis, report, setting, systems

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from matplotlib.figure import Figure

    from mlff_student import Student

    from .setting import Setting
    from .teacher import Teacher


# Distances over the sum of the covalent radii: nearest, nearest that is judged, farthest, step.
CLOSEST, DEEP, FARTHEST, STEP = 0.35, 0.5, 1.0, 0.01
TEACHER_STEP = 0.05
ALONE = 20.0  # Å, where no two molecules know of each other


def run(setting: Setting) -> dict[str, Any]:
    """Measures energies of molecules that collide. Prints tables, writes files and returns the
    values.
    """
    teacher = setting.teacher
    elements = symbols_with_hydrides(setting.elements)
    pairs = list(combinations_with_replacement(elements, 2))
    pairs = setting.choose(pairs, pairs[:3])
    left_out = [symbol for symbol in HYDRIDES if symbol not in elements]
    target = teacher.remembered(
        setting,
        f"collisions {' '.join(map(name, pairs))}",
        lambda: {name(pair): energies_of_teacher(pair, teacher) for pair in pairs},
    )
    models = {model.name: energies(model.student(), pairs) for model in setting.models}
    judged = {
        model: {pair: judge(np.array(energy)) for pair, energy in found.items()}
        for model, found in models.items()
    }
    return report.finish(
        setting,
        "collisions",
        "Walls between colliding atoms",
        [
            f"Hydrides of {', '.join(elements)} pushed into each other with the hydrogen atoms "
            f"behind, to {DEEP} of the sum of the covalent radii.",
            teacher.of_collisions,
            "Hole: the largest fall of the energy on the way in (required: none). Wall: the "
            "highest energy on the way.",
            report.left_out(left_out),
        ],
        [table(judged, target, teacher)],
        {
            "teacher": teacher.full_name,
            "left_out": left_out,
            "fractions": fractions(STEP),
            "energies_ev": models,
            "judged": judged,
            "teacher_ev": target,
        },
        figure(pairs, target, models, teacher),
    )


def name(pair: Sequence[str]) -> str:
    """A pair of elements as text: "C–H"."""
    return "–".join(pair)


def fractions(step: float) -> np.ndarray:
    """Distances over the sum of the covalent radii, ascending."""
    return np.arange(CLOSEST, FARTHEST + step / 2, step)


def distances(pair: Sequence[str], step: float) -> list[float]:
    """Distances (Å): one at which the molecules are alone, then those of `fractions`."""
    return [ALONE, *(analysis.covalent_sum(pair) * fractions(step))]


def energies(student: Student, pairs: list[tuple[str, str]]) -> dict[str, list[float]]:
    """A student's energies (eV) above the molecules alone, for each pair at every STEP."""
    found = {}
    for pair in pairs:
        structures = [
            Structure.from_ase(systems.hydrides(*pair, distance))
            for distance in distances(pair, STEP)
        ]
        results = student.compute_batch(structures)
        found[name(pair)] = [result.energy - results[0].energy for result in results[1:]]
    return found


def energies_of_teacher(pair: Sequence[str], teacher: Teacher) -> list[float]:
    """The teacher's energies (eV) above the molecules alone at every TEACHER_STEP; NaN where it
    does not converge.
    """

    def energy(distance: float) -> float:
        atoms = systems.hydrides(*pair, distance)
        atoms.calc = teacher.calculator()
        try:
            return atoms.get_potential_energy()
        except CalculationFailed:
            return np.nan

    alone, *others = map(energy, distances(pair, TEACHER_STEP))
    return [other - alone for other in others]


def judged_part(step: float) -> np.ndarray:
    """Mask of those `fractions` that are judged."""
    return fractions(step) >= DEEP - STEP / 2


def judge(energy: np.ndarray) -> dict[str, float]:
    """The largest fall of the energy on the way in to DEEP, and its highest value on it (eV)."""
    way = energy[judged_part(STEP)][::-1]
    return {"hole_ev": float((np.maximum.accumulate(way) - way).max()), "wall_ev": float(way.max())}


def table(judged: dict[str, Any], target: dict[str, Any], teacher: Teacher) -> str:
    """The table, as aligned text."""
    walls = {
        pair: np.nanmax(np.array(energy, float)[judged_part(TEACHER_STEP)])
        for pair, energy in target.items()
    }
    lowest = min(walls, key=walls.get)
    rows = [[teacher.name, None, "", lowest, walls[lowest], ""]]
    for model, found in judged.items():
        deepest = max(found, key=lambda pair: found[pair]["hole_ev"])
        lowest = min(found, key=lambda pair: found[pair]["wall_ev"])
        hole = found[deepest]["hole_ev"]
        rows.append(
            [
                model,
                hole,
                deepest if hole > 0 else "",
                lowest,
                found[lowest]["wall_ev"],
                report.verdict(hole == 0),
            ]
        )
    return report.table(["model", "deepest hole (eV)", "pair", "lowest wall", "(eV)", ""], rows)


def figure(
    pairs: list[tuple[str, str]], target: dict[str, Any], models: dict[str, Any], teacher: Teacher
) -> Figure:
    """Energies over distances, a panel for each pair of elements."""
    names = "distance / covalent sum", "energy (eV)"
    figure, panels = report.panels(len(pairs), 7, *names, (2, 1.9), sharey=True)
    for axis, pair in zip(panels, map(name, pairs)):
        axis.axhline(0, color="0.85", lw=0.8, zorder=0)
        axis.axvline(DEEP, color="0.7", lw=0.8, ls=":", zorder=0)
        known = np.array(target[pair], float)
        style = {"ms": 3, "color": report.TEACHER_COLOR, "label": teacher.name}
        axis.plot(fractions(TEACHER_STEP), known, "o", **style)
        for index, (model, found) in enumerate(models.items()):
            axis.plot(fractions(STEP), found[pair], color=report.color(index), label=model)
        axis.set_title(pair)
        axis.set(yscale="symlog", ylim=(-1e3, 1e3))
        axis.set_yticks([-1e3, -1e2, -10, 0, 10, 1e2, 1e3])
    report.legend(figure, panels[0])
    return figure


if __name__ == "__main__":
    import sys

    setting.main(sys.modules[__name__])
