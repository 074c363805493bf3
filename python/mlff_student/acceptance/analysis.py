# SPDX-License-Identifier: MIT OR Apache-2.0
"""What is computed from energies, forces and trajectories."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from ase import units
from ase.data import atomic_numbers, covalent_radii

if TYPE_CHECKING:
    from ase import Atoms


#: kcal/mol in one eV.
KCAL = 1 / (units.kcal / units.mol)
# cm-1 of sqrt(eV/Angstrom^2/amu).
WAVENUMBER = units._hbar * 1e10 / np.sqrt(units._e * units._amu) / units.invcm


def covalent_sum(pair: Sequence[str]) -> float:
    """The sum of the covalent radii of two elements, given by chemical symbols (Å)."""
    return sum(covalent_radii[atomic_numbers[element]] for element in pair)


# --- energy over time


def drift(time: np.ndarray, energy: np.ndarray, least_blocks: int = 16) -> tuple[float, float]:
    """Slope of the energy (n) over time (n) by least squares, and its standard error.

    Neighbouring samples are correlated, so the error is that of a fit through the means of blocks;
    the blocks grow by factors of two while there are `least_blocks` of them, and the largest error
    counts (Flyvbjerg and Petersen, 1989).
    """
    slope = np.polyfit(time - time.mean(), energy, 1)[0]
    errors = []
    size = 1
    while len(time) // size >= least_blocks:
        count = len(time) // size
        t = time[: count * size].reshape(count, size).mean(axis=1)
        e = energy[: count * size].reshape(count, size).mean(axis=1)
        t = t - t.mean()
        residual = e - np.polyval(np.polyfit(t, e, 1), t)
        errors.append(np.sqrt((residual**2).sum() / (count - 2) / (t**2).sum()))
        size *= 2
    if not errors:
        raise ValueError(f"{len(time)} samples: a drift needs {least_blocks} or more")
    return float(slope), float(max(errors))


def fluctuation(time: np.ndarray, energy: np.ndarray) -> float:
    """Standard deviation of the energy (n) about its straight line over time (n)."""
    t = time - time.mean()
    return float(np.std(energy - np.polyval(np.polyfit(t, energy, 1), t)))


# --- second derivatives


def jumps(values: np.ndarray, negligible: float = 0.0) -> tuple[float, float]:
    """The largest step of values (n) on a fine grid, and the largest ratio of a step to those
    beside it.

    If the function is continuous, a step is as large as its neighbours, and the ratio is about 1;
    at a discontinuity it grows as the grid is refined. Differences smear a discontinuity over two
    steps, so the next two on either side do not count as neighbours. At the ends of the grid, where
    steps have neighbours on one side alone, none is judged: a slope that changes from one side of a
    step to the other is no jump. Nor is a step that is negligible.
    """
    steps = np.abs(np.diff(values))
    smeared, reach = 2, 12
    beside = np.full(len(steps), 0.0)
    for offset in [*range(-reach, -smeared), *range(smeared + 1, reach + 1)]:
        shifted = np.full(len(steps), 0.0)
        if offset > 0:
            shifted[:-offset] = steps[offset:]
        else:
            shifted[-offset:] = steps[:offset]
        beside = np.maximum(beside, shifted)
    # Rounding alone is no jump.
    floor = 1e-9 * max(np.abs(values).max(), 1.0)
    judged = np.where(steps > negligible, steps, 0.0)
    return float(steps.max()), float((judged / np.maximum(beside, floor))[reach:-reach].max())


def hessian(atoms: Atoms, step: float) -> np.ndarray:
    """Second derivatives (3n, 3n) in eV/Å² by central differences of forces (step in Å),
    symmetrized.
    """
    calculator, atoms = atoms.calc, atoms.copy()
    atoms.calc = calculator
    start = atoms.positions.copy()
    rows = []
    for index in range(start.size):
        forces = []
        for sign in (1, -1):
            moved = start.copy()
            moved.flat[index] += sign * step
            atoms.positions = moved
            forces.append(atoms.get_forces().ravel())
        rows.append((forces[1] - forces[0]) / (2 * step))
    matrix = np.array(rows)
    return (matrix + matrix.T) / 2


def vibrations(
    masses: np.ndarray, positions: np.ndarray, second_derivatives: np.ndarray
) -> np.ndarray:
    """Wavenumbers (cm⁻¹), ascending, imaginary ones negative, without translations and rotations.

    Masses (n) in u, positions (n, 3) in Å, second derivatives (3n, 3n) in eV/Å².
    """
    root = np.sqrt(np.repeat(masses, 3))
    weighted = second_derivatives / np.outer(root, root)
    inner = vibrational_space(masses, positions)
    values = np.linalg.eigvalsh(inner.T @ weighted @ inner)
    return np.sign(values) * np.sqrt(np.abs(values)) * WAVENUMBER


def vibrational_space(masses: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Orthonormal mass-weighted displacements (3n, m) orthogonal to translations and rotations, one
    in each column.
    """
    centered = positions - np.average(positions, axis=0, weights=masses)
    root = np.sqrt(masses)[:, None]
    rigid = [np.broadcast_to(axis, centered.shape) * root for axis in np.eye(3)]
    rigid += [np.cross(axis, centered) * root for axis in np.eye(3)]
    u, s, _ = np.linalg.svd(np.array([column.ravel() for column in rigid]).T, full_matrices=True)
    # A linear molecule has five; 0.01 lets one count as linear that an optimizer left bent by a
    # hair.
    return u[:, (s > 1e-2 * s[0]).sum() :]


# --- bonds

#: Pairs closer than this many covalent sums are bonded.
BONDED = 1.25


def pair_distances(positions: np.ndarray) -> np.ndarray:
    """Distances (n, n) between all positions (n, 3)."""
    return np.linalg.norm(positions[:, None] - positions[None], axis=-1)


def bonds(atoms: Atoms) -> np.ndarray:
    """Index pairs (bonds, 2) of bonded atoms, i < j."""
    radii = covalent_radii[atoms.numbers]
    near = pair_distances(atoms.positions) < BONDED * (radii[:, None] + radii[None])
    return np.argwhere(np.triu(near, 1))


class BondCriterion:
    """Says when a molecule is no longer the one that it was.

    It breaks when a bond is longer than 1.5 times its initial length or shorter than 0.6 times, or
    when two atoms that were not bonded come closer than 1.1 times the sum of their covalent radii
    (0.9 times their initial distance where that is less).
    """

    STRETCHED, COLLAPSED, NEW = 1.5, 0.6, 1.1

    def __init__(self, atoms: Atoms) -> None:
        initial = pair_distances(atoms.positions)
        radii = covalent_radii[atoms.numbers]
        self.symbols = atoms.get_chemical_symbols()
        bonded = np.zeros(initial.shape, dtype=bool)
        for i, j in bonds(atoms):
            bonded[i, j] = bonded[j, i] = True
        self.low = np.where(
            bonded,
            self.COLLAPSED * initial,
            np.minimum(self.NEW * (radii[:, None] + radii[None]), 0.9 * initial),
        )
        self.high = np.where(bonded, self.STRETCHED * initial, np.inf)
        np.fill_diagonal(self.low, -1.0)
        self.bonded = bonded

    def broken(self, positions: np.ndarray) -> str | None:
        """What broke at positions (n, 3) in Å, in words, or None."""
        if not np.isfinite(positions).all():
            return "a position is not finite"
        distance = pair_distances(positions)
        wrong = np.argwhere(np.triu((distance > self.high) | (distance < self.low), 1))
        if len(wrong) == 0:
            return None
        i, j = wrong[0]
        what = "bond" if self.bonded[i, j] else "contact"
        return f"{what} {self.symbols[i]}{i}-{self.symbols[j]}{j} at {distance[i, j]:.2f} Å"


# --- separate molecules


def closest(a: np.ndarray, b: np.ndarray) -> float:
    """Smallest distance between two sets of positions (n, 3)."""
    return float(np.linalg.norm(a[:, None] - b[None], axis=-1).min())
