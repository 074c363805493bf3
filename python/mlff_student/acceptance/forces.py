# SPDX-License-Identifier: MIT OR Apache-2.0
"""Errors of forces and energies on held-out frames that the teacher labelled, by kind of frame."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np
from ase.data import chemical_symbols

from mlff_student import Structure

from ..distil import files, teachers
from . import report, setting
from .teacher import to_ase

if TYPE_CHECKING:
    from typing import Any

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ..distil.dataset import Frame
    from .setting import Model, Setting
    from .teacher import Teacher


SPLIT = "test"
# A method beside the students takes a thousand times as long as they: it gets so many frames of
# each kind, and so many where they have a cell.
FRAMES, BOXES = 200, 8
SEED = 1
# Figures get logarithmic axes where values differ by more than this factor.
SPREAD = 20


def run(setting: Setting) -> dict[str, Any]:
    """Measures errors on labelled frames. Prints tables, writes files and returns the values."""
    teacher = setting.teacher
    frames, left_out = chosen(setting)
    kinds = list(dict.fromkeys(map(kind_of, frames)))
    found = {m.name: of_student(m, frames) for m in setting.models}
    some = subset(frames, setting)
    found |= {method.name: of_method(method, some) for method in setting.beside}
    results = {name: errors(*labelled, kinds) for name, labelled in found.items()}
    return report.finish(
        setting,
        "forces",
        "Errors on held-out frames",
        notes(setting, frames, some, left_out),
        [table(results, kinds)],
        {"teacher": teacher.full_name, "left_out": left_out, "models": results},
        figure(results, kinds, teacher),
    )


def notes(
    setting: Setting, frames: list[Frame], some: list[Frame], left_out: dict[str, int]
) -> list[str]:
    """What the report says about frames and errors."""
    texts = [
        f"{len(frames)} frames of {setting.dataset.name}, split {SPLIT}, with energies and forces "
        f"of {setting.teacher.full_name}; trajectories by their temperature. Forces: errors of "
        "components. Energies: errors for each atom, after one energy for each element was added, "
        "by least squares over all frames of a row's model, since methods count energies from "
        "different zeros. Students as in molecular dynamics (mixed precision, tables)."
    ]
    for method in setting.beside:
        texts.append(
            f"{method.name}: {len(some)} of the frames at random, of each kind {of_each(setting)} "
            f"(with a cell {of_each(setting, box=True)}) at most."
        )
    return [*texts, report.left_out([f"{count} {kind}" for kind, count in left_out.items()])]


# --- frames


def chosen(setting: Setting) -> tuple[list[Frame], dict[str, int]]:
    """The frames of the test split whose elements all methods know, and the numbers of others by
    kind.
    """
    if setting.dataset is None:
        raise ValueError("forces needs frames labelled by the teacher: --dataset FILE")
    data = files.read(setting.dataset)
    if setting.teacher.name not in data.teacher:
        raise ValueError(
            f"{setting.dataset}: expected labels of {setting.teacher.name}, found those of "
            f"{data.teacher}: choose another --teacher or --dataset"
        )
    tests = [frame for frame in data.frames if frame.split == SPLIT]
    kept = [f for f in tests if setting.elements.issuperset(f.numbers.tolist())]
    if not kept:
        raise ValueError(f"{setting.dataset}: no frames of the split {SPLIT} with known elements")
    left_out = Counter(f.kind for f in tests) - Counter(f.kind for f in kept)
    return sorted(kept, key=order), dict(left_out)


def order(frame: Frame) -> tuple[str, float]:
    """Sorts frames by kind, then by temperature."""
    return frame.kind, np.nan_to_num(frame.temperature)


def kind_of(frame: Frame) -> str:
    """The kind of a frame; of trajectories with their temperature."""
    hot = frame.kind == "trajectory" and np.isfinite(frame.temperature)
    return f"{frame.kind}, {frame.temperature:g} K" if hot else frame.kind or "unnamed"


def of_each(setting: Setting, box: bool = False) -> int:
    """How many frames of a kind a method beside the students computes."""
    return setting.choose(BOXES, 1) if box else setting.choose(FRAMES, 10)


def subset(frames: list[Frame], setting: Setting) -> list[Frame]:
    """Some of the frames, drawn at random, for methods beside the students."""
    taken, some = Counter(), []
    for index in np.random.default_rng(SEED).permutation(len(frames)):
        frame = frames[index]
        key = kind_of(frame), bool(frame.pbc.any())
        taken[key] += 1
        if taken[key] <= of_each(setting, box=key[1]):
            some.append(frame)
    return some


# --- what is found in them


def of_student(model: Model, frames: list[Frame]) -> tuple[list[Frame], list]:
    """The frames, and energy (eV) and forces (n, 3) in eV/Å of each by a student."""
    structures = [Structure(f.numbers, f.positions, f.cell, f.pbc) for f in frames]
    results = model.student("mixed", "table").compute_batch(structures)
    return frames, [(result.energy, result.forces) for result in results]


def of_method(method: Teacher, frames: list[Frame]) -> tuple[list[Frame], list]:
    """Those frames that a method can compute, and energy (eV) and forces (n, 3) in eV/Å of each."""
    computed, found = [], []
    for frame in frames:
        atoms = to_ase(frame)
        atoms.calc = method.calculator(accuracy=1.0)
        try:
            found.append((atoms.get_potential_energy(), atoms.get_forces()))
        except teachers.FAILURES:
            continue
        computed.append(frame)
    return computed, found


def errors(frames: list[Frame], found: list, kinds: list[str]) -> dict[str, Any]:
    """Errors by kind, and the energies of elements that were added (eV)."""
    sizes = np.array([len(frame.numbers) for frame in frames])
    energies = np.array([energy - f.energy for f, (energy, _) in zip(frames, found)]) / sizes
    energies, references = without_references(frames, energies)
    own = np.array(list(map(kind_of, frames)))
    by_kind = {}
    for kind in kinds:
        places = np.flatnonzero(own == kind)
        wrong = [found[k][1] - frames[k].forces for k in places]
        by_kind[kind] = {"frames": len(places)} | (
            statistics(np.concatenate(wrong), energies[places]) if wrong else {}
        )
    return {"kinds": by_kind, "added_ev": references}


def without_references(
    frames: list[Frame], energies: np.ndarray
) -> tuple[np.ndarray, dict[str, float]]:
    """Errors of energies (eV/atom) after adding one energy for each element, and these energies
    (eV).

    They are those that leave the least squares.
    """
    elements = sorted({int(number) for frame in frames for number in frame.numbers})
    shares = np.array([[np.mean(f.numbers == element) for element in elements] for f in frames])
    added = -np.linalg.lstsq(shares, energies)[0]
    symbols = [chemical_symbols[element] for element in elements]
    return energies + shares @ added, dict(zip(symbols, added.tolist()))


def statistics(forces: np.ndarray, energies: np.ndarray) -> dict[str, float]:
    """Mean, root mean square and largest error of force components (eV/Å), mean error of energies
    (meV/atom).
    """
    return {
        "force_mae": float(np.abs(forces).mean()),
        "force_rmse": float(np.sqrt((forces**2).mean())),
        "force_max": float(np.abs(forces).max()),
        "energy_mae": 1000 * float(np.abs(energies).mean()),
    }


# --- output


def table(results: dict[str, Any], kinds: list[str]) -> str:
    """The table, as aligned text."""
    keys = ("frames", "force_mae", "force_rmse", "force_max", "energy_mae")
    rows = [
        [kind, model, *(result["kinds"][kind].get(key) for key in keys)]
        for kind in kinds
        for model, result in results.items()
    ]
    head = ["kind", "model", "frames", "force MAE", "RMSE", "largest (eV/Å)"]
    return report.table([*head, "energy MAE (meV/atom)"], rows)


def figure(results: dict[str, Any], kinds: list[str], teacher: Teacher) -> Figure:
    """Bars of both errors by kind."""
    width = max(9, 1.0 + 0.9 * len(kinds) + 0.25 * len(kinds) * len(results))
    figure, panels = plt.subplots(2, 1, figsize=(width, 6), sharex=True)
    quantities = {"force_mae": "forces (eV/Å)", "energy_mae": "energies (meV/atom)"}
    for axis, (key, label) in zip(panels, quantities.items()):
        bars(axis, results, kinds, key)
        axis.set_ylabel(f"mean error of {label}")
    panels[0].set_title(f"Held-out frames, against {teacher.name}", loc="left")
    panels[1].set_xticks(range(len(kinds)), kinds)
    panels[0].legend(ncols=len(results), loc="lower right", bbox_to_anchor=(1.0, 1.0))
    return figure


def bars(axis: Axes, results: dict[str, Any], kinds: list[str], key: str) -> None:
    """Draws one group for each kind, one bar for each model, with its value."""
    width = 0.84 / len(results)
    for index, (model, result) in enumerate(results.items()):
        values = np.array([result["kinds"][kind].get(key, np.nan) for kind in kinds])
        places = np.arange(len(kinds)) + (index - (len(results) - 1) / 2) * width
        drawn = axis.bar(places, values, 0.92 * width, color=report.color(index), label=model)
        axis.bar_label(drawn, [report.number(value) for value in values], fontsize=7, padding=1)
    highest, lowest = (
        axis.dataLim.y1,
        min(value[key] for r in results.values() for value in r["kinds"].values() if key in value),
    )
    if lowest > 0 and highest > SPREAD * lowest:
        axis.set_yscale("log")
        axis.set_ylim(bottom=lowest / 2)
        axis.yaxis.set_major_formatter("{x:g}")
    axis.margins(x=0.02, y=0.12)


if __name__ == "__main__":
    import sys

    setting.main(sys.modules[__name__])
