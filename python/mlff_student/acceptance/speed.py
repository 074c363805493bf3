# SPDX-License-Identifier: MIT OR Apache-2.0
"""Time for energy and forces on one core, student beside teacher."""

from __future__ import annotations

from time import process_time
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np

from mlff_student import Structure

from . import report, setting, systems

if TYPE_CHECKING:
    from typing import Any

    from ase import Atoms
    from matplotlib.figure import Figure

    from mlff_student import Student

    from .setting import Setting
    from .teacher import Teacher


# Ethanol and water molecules in droplets of about 20, 50, 100 and 200 atoms.
DROPLETS = [(1, 4), (3, 8), (6, 15), (12, 31)]


def run(setting: Setting) -> dict[str, Any]:
    """Measures times. Prints tables, writes files and returns the values."""
    teacher = setting.teacher
    rounds = setting.choose(7, 3)
    students = {model.name: model.student("mixed", "table") for model in setting.models}
    found = {}
    for ethanol, water in setting.choose(DROPLETS, DROPLETS[:2]):
        atoms = systems.mixture(ethanol, water)
        found[len(atoms)] = measure(atoms, students, rounds, teacher)
    return report.finish(
        setting,
        "speed",
        "Speed beside the teacher",
        [
            "Energy and forces of ethanol–water droplets, time of one core (which other programs "
            "on the machine do not lengthen), the student through Python (mixed precision, tables, "
            f"neighbor list made anew each time), {teacher.full_name} through ASE, one calculator "
            "for all steps, as in molecular dynamics (GFN2-xTB starts from the electrons of the "
            "step before). Atoms move by 0.01 Å between evaluations. Medians (range) of "
            f"{rounds} rounds; in each round all take their turn."
        ],
        [table(found)],
        {"teacher": teacher.full_name, "rounds": rounds, "milliseconds": found},
        figure(found, teacher),
    )


def measure(
    atoms: Atoms, students: dict[str, Student], rounds: int, teacher: Teacher
) -> dict[str, list[float]]:
    """Milliseconds for each evaluation of each round: {"teacher": [...], student: [...]}."""
    random = np.random.default_rng(1)
    # The accuracy that molecular dynamics with the teacher would use.
    atoms = atoms.copy()
    atoms.calc = teacher.calculator(accuracy=1.0)
    times = {"teacher": []} | {name: [] for name in students}
    for turn in range(rounds + 1):
        atoms.positions += random.normal(0, 0.01, atoms.positions.shape)
        start = process_time()
        atoms.get_forces()
        spent = {"teacher": process_time() - start}
        for name, student in students.items():
            structures = [
                Structure(
                    atoms.numbers, atoms.positions + random.normal(0, 0.01, atoms.positions.shape)
                )
                for _ in range(20)
            ]
            start = process_time()
            for structure in structures:
                student.compute(structure)
            spent[name] = (process_time() - start) / len(structures)
        # The first round warms caches up and starts without electrons.
        if turn > 0:
            for name, seconds in spent.items():
                times[name].append(1000 * seconds)
    return times


def table(found: dict[int, Any]) -> str:
    """The table, as aligned text."""
    names = list(next(iter(found.values())))
    rows = []
    for atoms, times in found.items():
        row = [atoms]
        for name in names:
            row.append(
                f"{np.median(times[name]):.3g} ({min(times[name]):.3g} – {max(times[name]):.3g})"
            )
        for name in names[1:]:
            row.append(f"{np.median(times['teacher']) / np.median(times[name]):.0f}")
        rows.append(row)
    return report.table(
        [
            "atoms",
            *(f"{name} (ms)" for name in names),
            *(f"{name}: times faster" for name in names[1:]),
        ],
        rows,
    )


def figure(found: dict[int, Any], teacher: Teacher) -> Figure:
    """Times over the number of atoms."""
    sizes = np.array(list(found))
    figure, axis = plt.subplots(figsize=(5.5, 4))
    names = list(next(iter(found.values())))
    for index, name in enumerate(names):
        values = np.array([np.median(found[size][name]) for size in sizes])
        low, high = (
            np.array([function(found[size][name]) for size in sizes]) for function in (min, max)
        )
        shade = report.TEACHER_COLOR if name == "teacher" else report.color(index - 1)
        label = teacher.name if name == "teacher" else name
        style = {"fmt": "o-", "ms": 4, "capsize": 2, "color": shade, "label": label}
        axis.errorbar(sizes, values, [values - low, high - values], **style)
        if name != "teacher":
            for size, value in zip(sizes, values):
                ratio = np.median(found[size]["teacher"]) / value
                axis.annotate(
                    f"{ratio:.0f}×",
                    (size, value),
                    textcoords="offset points",
                    xytext=(6, -8),
                    ha="left",
                    fontsize=7,
                    color=shade,
                )
    axis.set(xscale="log", yscale="log", xlabel="atoms", ylabel="energy and forces (ms)")
    axis.set_title(f"One core; labels: times faster than {teacher.name}")
    axis.set_xticks(sizes, [str(size) for size in sizes])
    axis.minorticks_off()
    axis.margins(x=0.12)
    axis.legend()
    return figure


if __name__ == "__main__":
    import sys

    setting.main(sys.modules[__name__])
