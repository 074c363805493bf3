# SPDX-License-Identifier: MIT OR Apache-2.0
"""Holes: structures far below all that their atoms can form, by a student's energy."""

from __future__ import annotations

from itertools import combinations, combinations_with_replacement, product
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np
from ase.build import molecule
from ase.collections import g2
from ase.data import atomic_numbers

from mlff_student import Error, Structure

from ..distil import floor, hunt, isomers, scatter, teachers
from . import analysis, lammps, montecarlo, report, setting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any

    from ase import Atoms
    from matplotlib.figure import Figure

    from mlff_student import Student

    from .setting import Model, Setting


#: Of all that is random here; the hunt for training data draws from elsewhere.
SEED = 1
#: Random starts, atoms of each, covalent sums between them, steps of FIRE.
STARTS, ATOMS, LEAST, RELAXED = 200, (4, 12), 0.7, 300
#: Images between two isomers, steps of the band, and how far below both ends a hole begins (eV).
IMAGES, BANDED, BELOW = 5, 50, -3.0
#: How atoms of two isomers are paired: so that they move little, or as ASE lists them.
PAIRED = ("matched", "listed")
#: Two atoms alone, from a distance (Å) to a fraction of the covalent sum; where they must be above
#: their energy far apart (Å).
NEAREST, FARTHEST, POSITIVE, APART, POINTS = 0.05, 0.5, 0.4, 20.0, 200
#: Of the highest energy: a fall that is none.
ROUNDING = 1e-9
#: Times that LAMMPS minimizes random atoms.
SOUPS = 8

#: What is measured, and the unit of its lowest energy.
MEASURED = {
    "starts": "random starts (eV/atom)",
    "images": "images between isomers (eV)",
    "pairs": "two atoms alone (eV)",
    "soups": "LAMMPS: random atoms (eV/atom)",
    "gcmc": "LAMMPS: fix gcmc (eV/molecule)",
    "widom": "LAMMPS: fix widom (mean, eV)",
}


def run(setting: Setting) -> dict[str, Any]:
    """Searches for holes. Prints tables, writes files and returns the values."""
    lammps.check(setting)
    known = setting.elements_of_students
    elements = floor.symbols_with_hydrides(known)
    starts = random_starts(setting.choose(STARTS, 10), elements)
    isomers_chosen = setting.choose(isomer_pairs(elements), isomer_pairs(elements)[:3])
    found = {}
    for model in setting.models:
        student = hunt.load(model.path)
        bands = [band(*pair, how, student) for pair, how in product(isomers_chosen, PAIRED)]
        found[model.name] = {
            "starts": [relax(atoms, student) for atoms in starts],
            "images": [image for images in bands for image in images],
            "pairs": [overlap(model.student(), pair) for pair in pairs(elements)],
        } | in_lammps(setting, model, student)
        print(f"   {model.name}: done", flush=True)
    judged = {name: judge(results) for name, results in found.items()}
    return report.finish(
        setting,
        "holes",
        "Holes",
        notes(setting, len(starts), len(bands)),
        tables(found, judged),
        {"insertions": setting.insertions, "judged": judged, "models": found},
        figure(found),
    )


def notes(setting: Setting, starts: int, bands: int) -> list[str]:
    """What the report says about the searches."""
    water = f"{montecarlo.MOLECULES} molecules of water in a cube of {montecarlo.EDGE:g} Å"
    return [
        f"A hole is more than {-floor.HOLE:g} eV for each atom below the same atoms in hydrides by",
        "the same student, where no structure of the training data is.",
        f"Starts: {starts} times {ATOMS[0]} to {ATOMS[1]} atoms at random, every pair at {LEAST}",
        f"covalent sums or more, up to {RELAXED} steps of FIRE.",
        f"Images: {bands} paths between isomers of ASE's g2, atoms paired so that they move little",
        f"and as they are listed; {IMAGES} images by IDPP, {BANDED} steps as a nudged elastic",
        f"band; in a hole {-BELOW:g} eV below both ends.",
        f"Two atoms alone, from {FARTHEST} covalent sums to {NEAREST} Å: the energy must rise all",
        f"the way in, and below {POSITIVE} covalent sums be above that of the atoms far apart.",
        f"LAMMPS: {setting.insertions} insertions each of fix gcmc and fix widom into {water},",
        f"overlapping or not, in a hole below {montecarlo.BOUND:g} eV for each molecule;",
        f"{soups(setting)} times {sum(montecarlo.SOUP.values())} atoms by create_atoms random,",
        "minimized. Required: no hole, all numbers finite, no stop.",
    ]


def travelled(path: Iterable) -> tuple[list[float], bool]:
    """The energies (eV) on a path of the hunt, and whether the student failed on it."""
    energies = []
    try:
        # Energies in holes overflow.
        with np.errstate(all="ignore"):
            for _, energy in path:
                energies.append(energy)
    except teachers.FAILURES:
        return energies, True
    return energies, False


# --- random starts


def random_starts(count: int, elements: Sequence[str]) -> list[Atoms]:
    """Random structures, the same for every student that knows the elements (chemical symbols)."""
    random = np.random.default_rng(SEED)
    numbers = [atomic_numbers[element] for element in elements]
    sizes = random.integers(ATOMS[0], ATOMS[1] + 1, count)
    compositions = [scatter.composition(size, random, numbers) for size in sizes]
    return [scatter.soup(composition, LEAST, random) for composition in compositions]


def relax(atoms: Atoms, student: hunt.Student) -> dict[str, Any]:
    """The lowest energy on the way of a relaxation (eV/atom above hydrides)."""
    energies, broke = travelled(hunt.relaxed(atoms.copy(), student, RELAXED))
    lowest = student.floor.above(min(energies), atoms.numbers) if energies else np.nan
    bad = broke or not lowest >= floor.HOLE
    return {"atoms": str(atoms.symbols), "lowest": lowest, "broke": broke, "bad": bad}


# --- paths between isomers


def isomer_pairs(elements: Sequence[str]) -> list[tuple[str, str]]:
    """Names of two molecules of ASE's g2, of four or more atoms, that have the same atoms."""
    known = {name: molecule(name) for name in g2.names}
    formulas = {
        name: atoms.get_chemical_formula()
        for name, atoms in known.items()
        if len(atoms) > 3 and set(atoms.symbols) <= set(elements)
    }
    return [(a, b) for a, b in combinations(formulas, 2) if formulas[a] == formulas[b]]


def band(first: str, second: str, paired: str, student: hunt.Student) -> list[dict[str, Any]]:
    """The lowest energy of each image of a band on its way (eV above the lower end)."""
    start, end = molecule(first), molecule(second)
    if paired == "matched":
        end = isomers.matched(start, end, np.random.default_rng(SEED))
    else:
        end = isomers.unmatched(start, end)
    ends = [energy_of(atoms, student) for atoms in (start, end)]
    images = isomers.interpolated(start, end, IMAGES)
    energies, broke = travelled(hunt.banded(images, student, BANDED))
    lowest = np.reshape(energies, (-1, IMAGES)).min(axis=0, initial=np.inf) - min(ends)
    common = {"path": f"{first} → {second}, {paired}", "broke": broke}
    return [common | {"lowest": low, "bad": broke or low < BELOW} for low in lowest]


def energy_of(atoms: Atoms, student: hunt.Student) -> float:
    """A student's energy (eV) of a structure."""
    atoms = atoms.copy()
    atoms.calc = student.calculator
    return atoms.get_potential_energy()


# --- two atoms alone


def pairs(elements: Sequence[str]) -> list[tuple[str, str]]:
    """All pairs of these elements, each with itself included."""
    return list(combinations_with_replacement(elements, 2))


def distances(pair: Sequence[str]) -> np.ndarray:
    """Distances of two atoms (Å), ascending."""
    return np.linspace(NEAREST, FARTHEST * analysis.covalent_sum(pair), POINTS)


def overlap(student: Student, pair: Sequence[str]) -> dict[str, Any]:
    """Energies (eV) at `distances` above that of the atoms far apart; NaN where the student
    fails.
    """
    numbers = [atomic_numbers[element] for element in pair]

    def energy(distance: float) -> float:
        try:
            return student.compute(Structure(numbers, [[0, 0, 0], [0, 0, distance]])).energy
        except Error as error:
            if error.status != "MLFF_ERROR_NUMERIC":
                raise
            return np.nan

    energies = np.array([energy(distance) for distance in distances(pair)]) - energy(APART)
    bad = not rises(pair, energies)
    return {"pair": "–".join(pair), "energies": energies, "lowest": np.nanmin(energies), "bad": bad}


def rises(pair: Sequence[str], energies: np.ndarray) -> bool:
    """Whether energies (eV) at `distances` rise all the way in, and are positive where they must
    be.
    """
    inward = energies[::-1]
    fall = np.max(np.maximum.accumulate(inward) - inward)
    deep = distances(pair) < POSITIVE * analysis.covalent_sum(pair)
    # What is no number does neither.
    return bool(fall <= ROUNDING * np.abs(energies).max() and (energies[deep] > 0).all())


# --- in LAMMPS


def soups(setting: Setting) -> int:
    """How often LAMMPS minimizes random atoms."""
    return setting.choose(SOUPS, 2)


def in_lammps(
    setting: Setting, model: Model, student: hunt.Student
) -> dict[str, list[dict[str, Any]]]:
    """Outcomes of Monte Carlo and of minimizations, kept for runs that are started again."""
    folder = setting.out / "holes" / model.folder

    def kept(name: str, measure: Callable, *arguments: Any) -> dict[str, Any]:
        path = folder / f"{name}.json"
        found = report.kept(path, lambda: measure(setting, model, folder / name, *arguments))
        print(f"   {model.name}, {name}: done", flush=True)
        return found

    def judged(found: dict[str, Any], limit: float) -> dict[str, Any]:
        # JSON knows no NaN and no infinity: None is one of them.
        lowest = np.nan if found["lowest"] is None else found["lowest"]
        return found | {"bad": found["stopped"] is not None or not lowest >= limit}

    def minimized(seed: int) -> dict[str, Any]:
        found = kept(f"soup-{seed}", montecarlo.soup, seed)
        if found["energy"] is None:
            return found | {"lowest": None}
        return found | {"lowest": student.floor.above(found["energy"], found["numbers"])}

    count = setting.insertions
    return {
        "soups": [judged(minimized(seed), floor.HOLE) for seed in range(1, soups(setting) + 1)],
        "gcmc": [judged(kept(f"gcmc-{count}", montecarlo.gcmc), montecarlo.BOUND)],
        # One molecule in a hole decides the mean; a molecule has three atoms.
        "widom": [judged(kept(f"widom-{count}", montecarlo.widom), 3 * floor.HOLE)],
    }


# --- what is required


def judge(results: dict[str, Any]) -> dict[str, Any]:
    """For each measure how often it was tried, how often it ended in a hole, and the lowest
    energy.
    """

    def lowest(found: list[dict[str, Any]]) -> float | None:
        values = [result["lowest"] for result in found if result["lowest"] is not None]
        return float(np.nanmin(values)) if len(values) else None

    return {
        name: {
            "tried": sum(result.get("insertions", 1) for result in results[name]),
            "bad": sum(result["bad"] for result in results[name]),
            "lowest": lowest(results[name]),
        }
        for name in MEASURED
    }


def tables(found: dict[str, Any], judged: dict[str, Any]) -> list[str]:
    """The tables, as aligned text."""

    def row(model: str, text: str, tried: int, bad: int, lowest: float | None) -> list:
        return [model, text, tried, bad, lowest, report.verdict(bad == 0)]

    rows = [
        row(model, MEASURED[name], **own)
        for model, measured in judged.items()
        for name, own in measured.items()
    ]
    made = [report.table(["model", "what", "tried", "in a hole, or stopped", "lowest", ""], rows)]
    falling = [
        [model, " ".join(pair["pair"] for pair in own["pairs"] if pair["bad"])]
        for model, own in found.items()
        if judged[model]["pairs"]["bad"]
    ]
    return made + ([report.table(["model", "pairs that fall"], falling)] if falling else [])


def figure(found: dict[str, Any]) -> Figure:
    """Energies of starts, images, two atoms and water."""
    figure, grid = plt.subplots(2, 2, figsize=(11, 7.5))
    starts, images, alone, water = grid.flat
    for index, (name, results) in enumerate(found.items()):
        style = {"color": report.color(index), "label": name}
        lows = np.sort([start["lowest"] for start in results["starts"]])
        starts.plot(100 * (np.arange(len(lows)) + 0.5) / len(lows), lows, **style)
        lows = np.reshape([image["lowest"] for image in results["images"]], (-1, IMAGES))
        lows = lows.min(axis=1)
        images.plot(np.arange(1, len(lows) + 1) + 0.15 * index, lows, "o", ms=3.5, **style)
        for pair in results["pairs"]:
            elements = pair["pair"].split("–")
            fractions = distances(elements) / analysis.covalent_sum(elements)
            alone.plot(fractions, pair["energies"], lw=0.7, color=style["color"])
        way = np.array(results["gcmc"][0]["way"], float).reshape(-1, 2)
        water.plot(*way.T, **style)
    limits = {starts: floor.HOLE, images: BELOW, alone: 0.0, water: montecarlo.BOUND}
    for axis, limit in limits.items():
        axis.axhline(limit, color="0.6", lw=0.8, ls=":", zorder=0)
        # Holes have any depth.
        if np.abs(axis.dataLim.intervaly).max() > 30:
            axis.set_yscale("symlog", linthresh=10.0)
    starts.set(title="Random starts", xlabel="of all (%)", ylabel="lowest above hydrides (eV/atom)")
    images.set(title="Images between isomers", xlabel="path", ylabel="lowest above lower end (eV)")
    images.xaxis.get_major_locator().set_params(integer=True)
    alone.set(title="Two atoms alone", xlabel="distance / covalent sum", ylabel="energy (eV)")
    water.set(title="Water, fix gcmc", xlabel="insertions tried", ylabel="energy (eV/molecule)")
    starts.legend(fontsize=8)
    return figure


if __name__ == "__main__":
    import sys

    setting.main(sys.modules[__name__])
