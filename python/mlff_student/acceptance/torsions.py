# SPDX-License-Identifier: MIT OR Apache-2.0
"""Torsion profiles of ten bonds beside the teacher's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from ase.constraints import FixInternals
from ase.optimize import BFGS
from rdkit import Chem

from mlff_student import Structure

from . import analysis, report, setting, systems

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from ase import Atoms
    from matplotlib.figure import Figure

    from .setting import Setting
    from .teacher import Teacher


# The four atoms of the turned bond as a SMARTS pattern.
TORSIONS = {
    "amide, N-methylacetamide": ("CC(=O)NC", "[CH3]C(=O)N[CH3]", (0, 1, 3, 4)),
    "ester, methyl acetate": ("CC(=O)OC", "[CH3]C(=O)O[CH3]", (0, 1, 3, 4)),
    "biaryl, biphenyl": ("c1ccccc1-c1ccccc1", "cc(-c(c))", (0, 1, 2, 3)),
    "alkane, butane": ("CCCC", "CCCC", (0, 1, 2, 3)),
    "alcohol, ethanol": ("CCO", "CCO[H]", (0, 1, 2, 3)),
    "disulfide, CH₃SSCH₃": ("CSSC", "CSSC", (0, 1, 2, 3)),
    "sulfonamide, CH₃SO₂NHCH₃": ("CS(=O)(=O)NC", "[CH3]SN[CH3]", (0, 1, 2, 3)),
    "nitroarene, nitrobenzene": ("O=[N+]([O-])c1ccccc1", "O=[N+]cc", (0, 1, 2, 3)),
    "peptide φ, Ac-Ala-NHMe": ("CC(=O)N[C@@H](C)C(=O)NC", "C(=O)N[CH]C(=O)", (0, 2, 3, 4)),
    "alkenylarene, styrene": ("C=Cc1ccccc1", "C=Ccc", (0, 1, 2, 3)),
}
LIMIT = 0.3  # kcal/mol


def run(setting: Setting) -> dict[str, Any]:
    """Measures torsion profiles. Prints tables, writes files and returns the values."""
    teacher = setting.teacher
    kind = "rigid" if setting.rigid else "relaxed"
    step = setting.choose(15, 60)
    molecules = {name: smiles for name, (smiles, *_) in TORSIONS.items()}
    names, left_out = systems.known(molecules, setting.elements)
    found = {}
    for name in setting.choose(names, names[:3]):
        scan = teacher.remembered(
            setting,
            f"torsion {name} {kind} {step}",
            lambda: scan_with_teacher(name, step, setting.rigid, teacher),
        )
        structures = [Structure(scan["numbers"], positions) for positions in scan["positions"]]
        models = {m.name: compare(scan, m.energies(structures)) for m in setting.compared}
        found[name] = scan | {"models": models}
    how = "all else relaxed by the teacher at every angle (relaxed scan)"
    if setting.rigid:
        how = "its other coordinates as in the minimum (rigid scan)"
    return report.finish(
        setting,
        "torsions",
        "Torsion profiles",
        [
            f"One bond turned in steps of {step}°, {how}; student and {teacher.full_name} at the "
            "same geometries, both relative to the geometry where the teacher is lowest (required: "
            f"MAE {LIMIT} kcal/mol for each profile).",
            report.left_out(left_out),
        ],
        [table(found, setting)],
        {
            "limit": LIMIT,
            "scan": kind,
            "teacher": teacher.full_name,
            "left_out": left_out,
            "torsions": found,
        },
        figure(found, teacher),
    )


def four_atoms(
    smiles: str, pattern: str, chosen: tuple[int, ...]
) -> tuple[tuple[int, int, int, int], list[int]]:
    """Indices of the four atoms that define the angle, and of those that turn with the fourth.

    `chosen`: the four in the match of the SMARTS pattern.
    """
    molecule = Chem.AddHs(Chem.MolFromSmiles(smiles))
    match = molecule.GetSubstructMatch(Chem.MolFromSmarts(pattern))
    a, b, c, d = (match[k] for k in chosen)
    turning, queue = {c}, [c]
    while queue:
        for neighbor in molecule.GetAtomWithIdx(queue.pop()).GetNeighbors():
            index = neighbor.GetIdx()
            if index != b and index not in turning:
                turning.add(index)
                queue.append(index)
    return (a, b, c, d), sorted(turning)


def scan_with_teacher(name: str, step: float, rigid: bool, teacher: Teacher) -> dict[str, Any]:
    """Geometries and the teacher's energies (eV) at angles every `step` degrees, all the way
    round.
    """
    smiles, pattern, chosen = TORSIONS[name]
    indices, turning = four_atoms(smiles, pattern, chosen)
    atoms = teacher.relaxed(systems.from_smiles(smiles), fmax=2e-3)
    start = atoms.get_dihedral(*indices)
    # Neighbours start from each other's geometry: the profile is followed in both directions, the
    # lower one counts.
    turns = np.arange(0, 360 + step, step)
    sweeps = [
        follow(atoms, indices, turning, start + direction * turns, rigid, teacher)
        for direction in (1, -1)
    ]
    points = {}
    for angle, energy, positions in (point for sweep in sweeps for point in sweep):
        key = round(float(angle - start) % 360) % 360
        if key not in points or energy < points[key][1]:
            points[key] = (float(angle), energy, positions)
    ordered = sorted(points.values(), key=lambda point: signed(point[0]))
    return {
        "numbers": atoms.numbers.tolist(),
        "atoms": [int(index) for index in indices],
        "angle": [signed(point[0]) for point in ordered],
        "positions": [point[2] for point in ordered],
        "teacher": [point[1] for point in ordered],
    }


def follow(
    atoms: Atoms,
    indices: tuple[int, ...],
    turning: list[int],
    angles: np.ndarray,
    rigid: bool,
    teacher: Teacher,
) -> list[tuple]:
    """Angle (degrees), energy (eV) and positions (Å) along a scan."""
    atoms = atoms.copy()
    found = []
    for angle in angles:
        atoms.set_constraint()
        atoms.set_dihedral(*indices, angle, indices=turning)
        atoms.calc = teacher.calculator()
        if not rigid:
            atoms.set_constraint(FixInternals(dihedrals_deg=[[float(angle) % 360, list(indices)]]))
            BFGS(atoms, logfile=None, maxstep=0.1).run(fmax=0.01, steps=100)
        found.append((angle, float(atoms.get_potential_energy()), atoms.positions.tolist()))
    return found


def signed(angle: float) -> float:
    """An angle from -180 to 180 degrees."""
    return (float(angle) + 180) % 360 - 180


def relative(energies: Sequence[float], lowest: int) -> np.ndarray:
    """Energies (eV) relative to that of a chosen point, in kcal/mol."""
    energies = np.array(energies)
    return (energies - energies[lowest]) * analysis.KCAL


def compare(scan: dict[str, Any], energies: list[float]) -> dict[str, Any]:
    """Errors of a model's profile, relative to where the teacher is lowest (kcal/mol)."""
    lowest = int(np.argmin(scan["teacher"]))
    error = relative(energies, lowest) - relative(scan["teacher"], lowest)
    return {
        "energy": energies,
        "mae_kcal": float(np.abs(error).mean()),
        "max_kcal": float(np.abs(error).max()),
    }


def table(found: dict[str, Any], setting: Setting) -> str:
    """The table, as aligned text."""
    models = next(iter(found.values()))["models"]
    rows = []
    for name, scan in found.items():
        barrier = float(np.ptp(scan["teacher"]) * analysis.KCAL)
        for model, result in scan["models"].items():
            errors = result["mae_kcal"], result["max_kcal"]
            rows.append([name, model, barrier, *errors, setting.verdict(model, errors[0] <= LIMIT)])
    for model in models:
        results = [scan["models"][model] for scan in found.values()]
        met = sum(result["mae_kcal"] <= LIMIT for result in results)
        rows.append(
            [
                "all",
                model,
                None,
                float(np.mean([r["mae_kcal"] for r in results])),
                max(r["max_kcal"] for r in results),
                f"{met} of {len(results)}",
            ]
        )
    return report.table(
        ["torsion", "model", "teacher's barrier", "MAE", "max (kcal/mol)", ""], rows
    )


def figure(found: dict[str, Any], teacher: Teacher) -> Figure:
    """Profiles, a panel for each torsion."""
    names = "dihedral angle (°)", "energy (kcal/mol)"
    figure, panels = report.panels(len(found), 5, *names, (2.8, 2.6))
    for axis, (name, scan) in zip(panels, found.items()):
        lowest = int(np.argmin(scan["teacher"]))
        target = relative(scan["teacher"], lowest)
        style = {"ms": 3, "color": report.TEACHER_COLOR, "label": teacher.name, "zorder": 3}
        axis.plot(scan["angle"], target, "o", **style)
        for index, (model, result) in enumerate(scan["models"].items()):
            axis.plot(
                scan["angle"],
                relative(result["energy"], lowest),
                color=report.color(index),
                label=model,
            )
        axis.set_title(name)
        high = max(target.max(), 0.5)
        axis.set_ylim(-0.35 * high, 1.5 * high)
        axis.set_xticks([-180, -90, 0, 90, 180])
    report.legend(figure, panels[0])
    return figure


if __name__ == "__main__":
    import sys

    setting.main(sys.modules[__name__])
