# SPDX-License-Identifier: MIT OR Apache-2.0
"""Molecules that break in molecular dynamics at high temperatures, in LAMMPS, by a bond
criterion.
"""

from __future__ import annotations

import hashlib
import json
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import cycle
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np
from ase import Atoms

from . import lammps, report, setting, systems
from .analysis import BondCriterion
from .teacher import from_lists, to_lists

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    from matplotlib.figure import Figure

    from .setting import Model, Setting


EVERY = 0.05  # ps between the frames that are looked at
DAMP = 0.1  # ps, of the Langevin thermostat
#: Molecules in one run of LAMMPS: a student takes less time per atom (the large one by a quarter)
#: where there are more.
TOGETHER = 8
#: Å between neighbours at the start, times the root of a run's ps: Langevin dynamics moves a
#: molecule of 50 g/mol by some 25 Å in 100 ps at 600 K.
APART = 20.0


def run(setting: Setting) -> dict[str, Any]:
    """Runs molecules at high temperatures. Prints tables, writes files and returns the values."""
    lammps.check(setting)
    molecules, left_out = systems.held_out(setting, setting.molecules)
    jobs = [Job(k, smiles, minimum(smiles, setting)) for k, smiles in enumerate(molecules)]
    found = {}
    for model in setting.models:
        for temperature in setting.temperatures:
            results = fates(setting, model, temperature, jobs)
            found.setdefault(model.name, {})[f"{temperature:g}"] = summary(results)
            print(f"   {model.name}, {temperature:g} K: done", flush=True)
    return report.finish(
        setting,
        "stability",
        "Stability of molecules",
        [
            f"{len(molecules)} molecules {setting.source}, each for itself, {setting.ps:g} ps of "
            f"Langevin dynamics (damping {DAMP} ps, {setting.step:g} fs), looked at every {EVERY} "
            "ps. A molecule breaks when a bond is longer than "
            f"{BondCriterion.STRETCHED} or shorter than {BondCriterion.COLLAPSED} times its length "
            f"in the minimum of {setting.teacher.full_name}, or when atoms that are not bonded "
            f"come closer than {BondCriterion.NEW} covalent sums. A run that LAMMPS stops counts "
            "as broken. Required: none at 600 K.",
            report.left_out(left_out),
        ],
        tables(found),
        {
            "teacher": setting.teacher.full_name,
            "left_out": left_out,
            "ps": setting.ps,
            "molecules": molecules,
            "models": found,
        },
        figure(setting, found, len(molecules)),
    )


def minimum(smiles: str, setting: Setting) -> Atoms:
    """The minimum of a molecule, by the teacher."""
    teacher = setting.teacher

    def relaxed() -> dict[str, list]:
        return to_lists(teacher.relaxed(systems.from_smiles(smiles), fmax=0.01, steps=300))

    return from_lists(teacher.remembered(setting, f"relaxed {smiles}", relaxed))


@dataclass(frozen=True)
class Job:
    """A molecule, its minimum, and its place in the list; that of the first in a run seeds the
    thermostat.
    """

    index: int
    smiles: str
    atoms: Atoms


def fates(
    setting: Setting, model: Model, temperature: float, jobs: list[Job]
) -> list[dict[str, Any]]:
    """What becomes of each molecule at a temperature (K); those known from an interrupted run are
    not simulated again.
    """
    # Another teacher's minima are other starts.
    kind = f"{temperature:g}K-{setting.ps:g}ps-{setting.step:g}fs"
    folder = setting.out / "stability" / setting.teacher.key / model.folder / kind

    def place(job: Job) -> Path:
        return folder / hashlib.sha256(job.smiles.encode()).hexdigest()[:8]

    def simulate(group: list[Job]) -> None:
        for job, result in zip(group, survive(setting, model, place(group[0]), temperature, group)):
            report.kept(place(job) / "result.json", lambda: result)

    # By places in the list, so that a run that was interrupted simulates the same groups.
    groups = [jobs[first : first + TOGETHER] for first in range(0, len(jobs), TOGETHER)]
    unknown = [
        [job for job in group if not (place(job) / "result.json").exists()] for group in groups
    ]
    with ThreadPoolExecutor(setting.workers) as pool:
        list(pool.map(simulate, filter(None, unknown)))
    return [json.loads((place(job) / "result.json").read_text()) for job in jobs]


def survive(
    setting: Setting, model: Model, folder: Path, temperature: float, group: list[Job]
) -> list[dict[str, Any]]:
    """Simulates some molecules in one run: for each how long it was intact (ps), and how it broke,
    or None.
    """
    folder.mkdir(parents=True, exist_ok=True)
    atoms = Atoms()
    for place, job in enumerate(group):
        molecule = job.atoms.copy()
        molecule.positions += [
            place * APART * np.sqrt(setting.ps),
            0.0,
            0.0,
        ] - molecule.positions.mean(axis=0)
        atoms += molecule
    lammps.write_data(folder / "start.data", atoms)
    seed = group[0].index
    text = (
        lammps.header(setting, model, atoms, "start.data")
        + f"""
velocity all create {temperature} {1000 + seed} mom yes rot yes
timestep {setting.step / 1000}
fix motion all nve
fix heat all langevin {temperature} {temperature} {DAMP} {2000 + seed}
thermo 1000
dump frames all custom {round(1000 * EVERY / setting.step)} frames.dump id x y z
dump_modify frames sort id format float %.4f
run {round(1000 * setting.ps / setting.step)}
"""
    )
    path = folder / "frames.dump"
    path.unlink(missing_ok=True)  # of a run that was killed
    stopped = None
    try:
        lammps.run(setting.venv, folder, text)
    except lammps.LammpsError as error:
        stopped = str(error)
    if not path.exists():
        # Not the molecules' fault: LAMMPS never started to move them.
        raise lammps.LammpsError(stopped)
    results = watch(setting, path, group)
    path.unlink()
    if stopped is None:
        return results
    blame(stopped, group, results)
    # One that explodes takes no other with it: those that were whole when LAMMPS stopped start
    # again, each alone.
    return [
        result if result["broken"] else survive(setting, model, folder, temperature, [job])[0]
        for job, result in zip(group, results)
    ]


def blame(stopped: str, group: list[Job], results: list[dict[str, Any]]) -> None:
    """Marks the molecules whose atoms LAMMPS' error message names as broken, in `results`.

    If it names none and none broke in a frame, all are marked: a stop never goes uncounted.
    """
    ends = np.cumsum([len(job.atoms) for job in group])
    named = {
        int(np.searchsorted(ends, int(atom) - 1, side="right"))
        for ids in re.findall(r"\bIDs? ((?:\d+|ID|and|,| )+)", stopped)
        for atom in re.findall(r"\d+", ids)
    }
    if not named and not any(result["broken"] for result in results):
        named = set(range(len(group)))
    for index in named:
        results[index]["broken"] = results[index]["broken"] or stopped


def watch(setting: Setting, path: Path, group: list[Job]) -> list[dict[str, Any]]:
    """What becomes of the molecules in the frames of a dump, where they follow each other."""
    ends = np.cumsum([len(job.atoms) for job in group])
    criteria = [BondCriterion(job.atoms) for job in group]
    results = [{"molecule": job.smiles, "ps": 0.0, "broken": None} for job in group]
    for step, positions in lammps.frames(path, ends[-1]):
        for criterion, own, result in zip(criteria, np.split(positions, ends[:-1]), results):
            if result["broken"] is None:
                result.update(ps=step * setting.step / 1000, broken=criterion.broken(own))
    return results


def summary(results: list[dict[str, Any]]) -> dict[str, Any]:
    """How many molecules broke, which, and the time (ps) that all were intact together."""
    broken = [result for result in results if result["broken"] is not None]
    return {
        "molecules": len(results),
        "broken": len(broken),
        "failures": broken,
        "ps": float(sum(result["ps"] for result in results)),
    }


def tables(found: dict[str, Any]) -> list[str]:
    """The tables, as aligned text."""
    rows = [
        [
            model,
            f"{temperature} K",
            result["molecules"],
            result["broken"],
            result["ps"],
            report.verdict(result["broken"] == 0) if temperature == "600" else "",
        ]
        for model, temperatures in found.items()
        for temperature, result in temperatures.items()
    ]
    first = report.table(
        ["model", "temperature", "molecules", "broken", "intact for (ps, all together)", ""], rows
    )
    rows = [
        [model, f"{temperature} K", failure["molecule"], failure["ps"], failure["broken"][:70]]
        for model, temperatures in found.items()
        for temperature, result in temperatures.items()
        for failure in result["failures"]
    ]
    return (
        [
            first,
            report.table(["model", "temperature", "broken molecule", "after (ps)", "how"], rows),
        ]
        if rows
        else [first]
    )


def figure(setting: Setting, found: dict[str, Any], count: int) -> Figure:
    """Intact molecules over time, a line for each model and temperature."""
    figure, axis = plt.subplots(figsize=(7.5, 3.6))
    for index, (model, temperatures) in enumerate(found.items()):
        for style, (temperature, result) in zip(
            cycle(("-", "--", ":", "-.")), temperatures.items()
        ):
            times = np.sort([failure["ps"] for failure in result["failures"]])
            x = np.concatenate([[0.0], np.repeat(times, 2), [setting.ps]])
            left = count - np.repeat(np.arange(len(times) + 1), 2)
            axis.plot(
                x,
                100 * left / count,
                style,
                color=report.color(index),
                label=f"{model}, {temperature} K",
            )
    axis.set(
        xlabel="time (ps)",
        ylabel="intact (%)",
        ylim=(-3, 105),
        xlim=(0, setting.ps),
        title=f"{count} molecules",
    )
    axis.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=8)
    return figure


if __name__ == "__main__":
    import sys

    setting.main(sys.modules[__name__])
