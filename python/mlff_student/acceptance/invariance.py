# SPDX-License-Identifier: MIT OR Apache-2.0
"""Invariance of the energy, continuity of its second derivative, and size consistency (float64)."""

from __future__ import annotations

from itertools import combinations_with_replacement
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np
from ase import Atoms

from mlff_student import Structure

from ..distil.floor import symbols_with_hydrides
from . import analysis, report, setting, systems

if TYPE_CHECKING:
    from typing import Any

    from matplotlib.figure import Figure

    from mlff_student import Student

    from .setting import Setting


STEP = 1e-4  # Å, of the scans
REACH = 0.02  # Å, to either side of the cutoff and of the repulsion's switch
SWITCH = 0.65  # of the covalent sum: where the repulsion of students trained here ends
LIMITS = {"invariance": 1e-9, "jump": 3.0, "energy": 1e-6, "size": 1e-6}
# eV/Å²; steps of the second derivative that are not judged: where its slope passes through zero, a
# spline's own steps at the ends of its intervals stand out.
NEGLIGIBLE = {"exact": 0.0, "table": 1e-5}
FAR = 20.0  # Å
MOLECULES = ["CCO", "CC(=O)NC", "CS(=O)(=O)c1ccc(Cl)cc1F"]
APART = {
    "water, methanol": ("O", "CO"),
    "benzene, chloroform": ("c1ccccc1", "ClC(Cl)Cl"),
    "glycine, thiophene": ("NCC(=O)O", "c1ccsc1"),
}


def run(setting: Setting) -> dict[str, Any]:
    """Measures invariance, continuity and size consistency. Prints tables, writes files and returns
    the values.
    """
    elements = setting.elements_of_students
    molecules, unknown = systems.known({smiles: smiles for smiles in MOLECULES}, elements)
    pairs, strange = systems.known({name: ".".join(pair) for name, pair in APART.items()}, elements)
    left_out = unknown + strange
    models = {}
    for model in setting.models:
        table, exact = model.student("double", "table"), model.student("double", "exact")
        models[model.name] = {
            "invariance_ev_per_atom": {
                "table": invariance(table, molecules, setting),
                "exact": invariance(exact, molecules, setting),
            },
            "second_derivative": second_derivatives(exact, table, setting),
            "size_consistency_ev": size_consistency(exact, pairs),
        }
    drawn = figure(models)
    for found in models.values():
        for scan in found["second_derivative"].values():
            # Only the figure needs every point.
            del scan["curvature"], scan["distance"]
    return report.finish(
        setting,
        "invariance",
        "Invariance, continuity, size consistency",
        [
            "Float64. Invariance: largest change of the energy per atom under random operations on "
            f"molecules and a periodic box (required: {LIMITS['invariance']:g} eV).",
            "Second derivative: slope of the force between two atoms (cutoff) or hydrides (switch) "
            f"of all pairs of elements, every {STEP} Å; largest step from one point to the next "
            "relative to its neighbours, about 1 where continuous, the worst pair, which the "
            f"figure names (required: below {LIMITS['jump']:g}; tables: of steps beyond "
            f"{NEGLIGIBLE['table']:g} eV/Å²).",
            "Energy: largest error of E(x+h) − E(x) against the integral of the force, as a jump "
            f"that the force does not know of leaves (required: {LIMITS['energy']:g} eV).",
            f"Size consistency: E(AB) − E(A) − E(B) at {FAR:g} Å (required: {LIMITS['size']:g} "
            "eV).",
            report.left_out(left_out),
        ],
        tables(models),
        {"limits": LIMITS, "left_out": left_out, "models": models},
        drawn,
    )


# --- invariance


def samples(molecules: list[str]) -> list[Atoms]:
    """Molecules off their minima, and a periodic box."""
    found = []
    for smiles in molecules:
        atoms = systems.from_smiles(smiles)
        atoms.rattle(0.1, seed=1)
        found.append(atoms)
    box = systems.mixture(2, 20, periodic=True)
    box.rattle(0.05, seed=1)
    return [*found, box]


def invariance(student: Student, molecules: list[str], setting: Setting) -> dict[str, float]:
    """Largest change of the energy (eV/atom) under each kind of operation."""
    random = np.random.default_rng(1)
    largest = dict.fromkeys(("rotation", "reflection", "translation", "permutation"), 0.0)
    for atoms in samples(molecules):
        start = Structure.from_ase(atoms)
        energy = student.compute(start).energy
        for _ in range(setting.choose(20, 3)):
            turn = systems.random_rotation(random)
            mirror = systems.random_rotation(random, reflect=True)
            order = random.permutation(len(atoms))
            cell = np.asarray(atoms.cell)
            # A reflected cell would be left-handed: its last vector is turned round, which spans
            # the same lattice.
            flip = np.diag([1, 1, -1])
            changed = {
                "rotation": Structure(
                    atoms.numbers, atoms.positions @ turn, cell @ turn, atoms.pbc
                ),
                "reflection": Structure(
                    atoms.numbers, atoms.positions @ mirror, flip @ cell @ mirror, atoms.pbc
                ),
                "translation": Structure(
                    atoms.numbers, atoms.positions + random.uniform(-50, 50, 3), cell, atoms.pbc
                ),
                "permutation": Structure(
                    atoms.numbers[order], atoms.positions[order], cell, atoms.pbc
                ),
            }
            for name, structure in changed.items():
                change = abs(student.compute(structure).energy - energy) / len(atoms)
                largest[name] = max(largest[name], change)
    return largest


# --- second derivative


def second_derivatives(exact: Student, table: Student, setting: Setting) -> dict[str, Any]:
    """Scans of all pairs of elements across the cutoff and the switch, and of a water dimer.

    Across the cutoff two atoms move, across the switch of the repulsion two hydrides, since
    students know no radicals.
    """
    known = symbols_with_hydrides(exact.info.species)
    pairs = list(combinations_with_replacement(known, 2))
    pairs = setting.choose(pairs, pairs[:4])
    found = {}
    for filter, student in (("exact", exact), ("table", table)):
        scans = (
            ("cutoff", lambda pair: student.info.cutoff, two_atoms),
            ("switch", lambda pair: SWITCH * analysis.covalent_sum(pair), systems.hydrides),
        )
        for place, center, system in scans:
            worst, energy_error, fine = None, 0.0, True
            for pair in pairs:
                distances = center(pair) + np.arange(-REACH, REACH + STEP / 2, STEP)
                atoms = [system(*pair, distance) for distance in distances]
                moving = np.flatnonzero(atoms[1].positions[:, 2] != atoms[0].positions[:, 2])
                scan = scan_of(
                    list(map(Structure.from_ase, atoms)), student, moving, NEGLIGIBLE[filter]
                )
                scan |= {"pair": pair, "distance": distances}
                fine &= continuous(scan)
                energy_error = max(energy_error, scan["energy_error"])
                if worst is None or scan["ratio"] > worst["ratio"]:
                    worst = scan
            found[f"{place}, {filter}"] = worst | {"energy_error": energy_error, "continuous": fine}
        scan = water_dimer(student, setting, NEGLIGIBLE[filter])
        found[f"water dimer, {filter}"] = scan | {"continuous": continuous(scan)}
    return found


def two_atoms(first: str, second: str, distance: float) -> Atoms:
    """Two atoms at a distance (Å)."""
    return Atoms([first, second], [[0, 0, 0], [0, 0, distance]])


def water_dimer(student: Student, setting: Setting, negligible: float) -> dict[str, Any]:
    """A scan of two water molecules through the cutoff, which every pair of their atoms crosses."""
    water = systems.from_smiles("O")
    cutoff = student.info.cutoff
    distances = np.arange(
        cutoff - setting.choose(1.5, 0.1), cutoff + setting.choose(1.5, 0.1), STEP
    )
    numbers = np.concatenate([water.numbers, water.numbers])
    turned = water.positions @ systems.random_rotation(np.random.default_rng(1))
    structures = [
        Structure(numbers, np.concatenate([water.positions, turned + [0, 0, d]])) for d in distances
    ]
    return scan_of(structures, student, [3, 4, 5], negligible) | {"distance": distances}


def scan_of(
    structures: list[Structure], student: Student, moving: Any, negligible: float
) -> dict[str, Any]:
    """Derivative of the force on the moving atoms along z, its steps, and the largest difference of
    the energy from the integral of the force (eV).
    """
    results = student.compute_batch(structures)
    energy = np.array([found.energy for found in results])
    force = np.array([found.forces[moving, 2].sum() for found in results])
    curvature = -np.diff(force) / STEP
    largest, ratio = analysis.jumps(curvature, negligible)
    mismatch = np.diff(energy) + STEP * (force[1:] + force[:-1]) / 2
    return {
        "curvature": curvature,
        "largest_step": largest,
        "ratio": ratio,
        "energy_error": float(np.abs(mismatch).max()),
    }


def continuous(scan: dict[str, Any]) -> bool:
    """Whether a scan is within the limits."""
    return scan["ratio"] <= LIMITS["jump"] and scan["energy_error"] <= LIMITS["energy"]


# --- size consistency


def size_consistency(student: Student, pairs: list[str]) -> dict[str, float]:
    """E(AB) - E(A) - E(B) of two molecules far apart (eV)."""
    found = {}
    for name in pairs:
        first, second = APART[name]
        a, b = systems.from_smiles(first), systems.from_smiles(second)
        b.positions += [0, 0, FAR]
        energies = [student.compute(Structure.from_ase(atoms)).energy for atoms in (a + b, a, b)]
        found[name] = energies[0] - energies[1] - energies[2]
    return found


# --- output


def tables(models: dict[str, Any]) -> list[str]:
    """The tables, as aligned text."""
    rows = [
        [
            name,
            filter,
            *values.values(),
            report.verdict(max(values.values()) <= LIMITS["invariance"]),
        ]
        for name, found in models.items()
        for filter, values in found["invariance_ev_per_atom"].items()
    ]
    first = report.table(
        ["model", "filter", "rotation", "reflection", "translation", "permutation (eV/atom)", ""],
        rows,
    )
    rows = [
        [
            name,
            place,
            scan["largest_step"],
            scan["ratio"],
            scan["energy_error"],
            report.verdict(scan["continuous"]),
        ]
        for name, found in models.items()
        for place, scan in found["second_derivative"].items()
    ]
    second = report.table(
        [
            "model",
            "scan, filter",
            "largest step (eV/Å²)",
            "to its neighbours",
            "energy error (eV)",
            "",
        ],
        rows,
    )
    rows = [
        [
            name,
            *found["size_consistency_ev"].values(),
            report.verdict(max(map(abs, found["size_consistency_ev"].values())) <= LIMITS["size"]),
        ]
        for name, found in models.items()
    ]
    third = report.table(["model", *next(iter(models.values()))["size_consistency_ev"], ""], rows)
    return [first, second, third]


def figure(models: dict[str, Any]) -> Figure:
    """Second derivatives over distances, a row for each model."""
    places = ["cutoff, exact", "switch, exact", "water dimer, exact"]
    figure, grid = plt.subplots(
        len(models), len(places), figsize=(11, 2.5 * len(models) + 0.3), squeeze=False
    )
    for row, (name, found) in enumerate(models.items()):
        for axis, place in zip(grid[row], places):
            scan = found["second_derivative"][place]
            axis.plot(scan["distance"][:-1] + STEP / 2, scan["curvature"], color=report.color(row))
            pair = ", {}–{}".format(*scan["pair"]) if "pair" in scan else ""
            axis.set_title(
                f"{place.split(',')[0]}{pair}\n"
                f"largest step {report.number(scan['ratio'])} × its neighbours"
            )
            axis.ticklabel_format(useOffset=False)
        grid[row][0].set_ylabel(f"{name}\nd²E/dr² (eV/Å²)")
    for axis in grid[-1]:
        axis.set_xlabel("distance (Å)")
    return figure


if __name__ == "__main__":
    import sys

    setting.main(sys.modules[__name__])
