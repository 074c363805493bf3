"""Rigid molecules in clusters and boxes: Monte Carlo under Lennard-Jones and partial charges.

Only for plausible arrangements to label: contacts at van der Waals distance, hydrogen bonds where
charges want them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase import Atoms, units
from ase.data import vdw_radii
from scipy.spatial.transform import Rotation

WELL = 0.005  # eV
COULOMB = 14.399645  # eV Å
CORE = 0.55  # of the sum of radii: nothing comes closer
# Lennard-Jones minima lie outside of van der Waals radii; a hydrogen bond's hydrogen has almost no
# size (Å).
WIDER, POLAR_HYDROGEN = 0.2, 0.3
ROOM = 18.0  # Å³ for each atom of a cluster, half as much again as in a liquid


@dataclass
class Rigid:
    """A molecule to place as a rigid body: ASE structure (Å) and partial charges (n), in e."""

    atoms: Atoms
    charges: np.ndarray

    def turned(self, rng: np.random.Generator) -> Atoms:
        """The molecule in a random orientation, its centre in the origin (Å)."""
        moved = self.atoms.copy()
        x = moved.positions - moved.positions.mean(axis=0)
        moved.positions = Rotation.random(random_state=rng).apply(x)
        return moved


def effective_radii(numbers: np.ndarray, charges: np.ndarray) -> np.ndarray:
    """Radii (n) in Å, from atomic numbers and charges (e): at the sum of two the Lennard-Jones
    energy is lowest.
    """
    radii = vdw_radii[numbers]
    polar = (numbers == 1) & (charges > 0.25)
    return np.where(polar, POLAR_HYDROGEN, radii + WIDER)


def lennard_jones(d: np.ndarray, reach: np.ndarray) -> np.ndarray:
    """Energies (eV) of pairs of atoms at distances d (Å), lowest at `reach` (Å)."""
    # Below the core the wall is straight, so that overlaps can be resolved downhill.
    inner = np.maximum(d, CORE * reach)
    six = (reach / inner) ** 6
    wall = 20.0 * np.maximum(CORE * reach - d, 0.0)
    return WELL * (six**2 - 2 * six) + wall


class Packing:
    """Molecules in a periodic cube of this edge (Å), or, where it is None, in a sphere about the
    origin.
    """

    def __init__(self, rigids: list[Rigid], edge: float | None, rng: np.random.Generator) -> None:
        self.rng, self.edge = rng, edge
        self.radius = (ROOM * sum(len(r.atoms) for r in rigids) * 3 / (4 * np.pi)) ** (1 / 3)
        self.charges = np.concatenate([r.charges for r in rigids])
        self.numbers = np.concatenate([r.atoms.numbers for r in rigids])
        self.radii = effective_radii(self.numbers, self.charges)
        self.of = np.repeat(np.arange(len(rigids)), [len(r.atoms) for r in rigids])
        self.members = [np.flatnonzero(self.of == m) for m in range(len(rigids))]
        self.x = np.concatenate([r.turned(rng).positions for r in rigids])

    def pair(self, m: int, x: np.ndarray) -> float:
        """Energy (eV) of molecule m at positions x (n, 3), in Å, with all others."""
        other = self.of != m
        d = x[:, None] - self.x[None, other]
        if self.edge:
            d -= self.edge * np.round(d / self.edge)
        d = np.linalg.norm(d, axis=2)
        reach = self.radii[self.members[m], None] + self.radii[None, other]
        coulomb = (
            COULOMB
            * self.charges[self.members[m], None]
            * self.charges[None, other]
            / np.maximum(d, 1.2)
        )
        if self.edge:
            coulomb = np.where(d < self.edge / 2, coulomb, 0.0)
        return float((lennard_jones(d, reach) + coulomb).sum())

    def sweep(self, temperature: float, step: float) -> None:
        """One Monte Carlo trial for each molecule at a temperature (K): shifted by up to `step`
        (Å), rotated by about as many radians.
        """
        for m, members in enumerate(self.members):
            x = self.x[members]
            centre = x.mean(axis=0)
            turn = Rotation.from_rotvec(self.rng.normal(scale=step / 2, size=3))
            moved = centre + self.rng.uniform(-step, step, 3)
            if not self.edge and np.linalg.norm(moved) > max(self.radius, np.linalg.norm(centre)):
                continue
            trial = turn.apply(x - centre) + moved
            change = self.pair(m, trial) - self.pair(m, x)
            if change <= 0 or self.rng.random() < np.exp(-change / (units.kB * temperature)):
                self.x[members] = trial

    def run(self, sweeps: int, temperature: float) -> None:
        """Cools from ten times the temperature (K), with shrinking steps."""
        for k in range(sweeps):
            left = 1 - (k + 1) / sweeps
            self.sweep(temperature * (1 + 9 * left**2), 0.15 + 0.6 * left)

    def atoms(self) -> Atoms:
        """The ASE structure, molecule after molecule."""
        box = {"cell": [self.edge] * 3, "pbc": True} if self.edge else {}
        return Atoms(self.numbers, self.x.copy(), **box)


def box(
    rigids: list[Rigid],
    edge: float,
    rng: np.random.Generator,
    sweeps: int = 150,
    temperature: float = 350.0,
) -> Packing:
    """Molecules in a periodic cube (edge in Å), arranged by Monte Carlo at a temperature (K)."""
    packing = Packing(rigids, edge, rng)
    for members in packing.members:
        packing.x[members] += rng.uniform(0, edge, 3)
    packing.run(sweeps, temperature)
    return packing


def cluster(
    rigids: list[Rigid], rng: np.random.Generator, sweeps: int = 80, temperature: float = 300.0
) -> Packing:
    """Molecules about the origin, drawn together by Monte Carlo at a temperature (K)."""
    packing = Packing(rigids, None, rng)
    for members in packing.members:
        packing.x[members] += rng.uniform(-packing.radius, packing.radius, 3) / np.sqrt(3)
    packing.run(sweeps, temperature)
    return packing


def touch(a: Atoms, b: Atoms, direction: np.ndarray) -> float:
    """The shift (Å) of b along a unit vector at which its nearest pair of atoms with a is at the
    sum of their van der Waals radii.
    """
    low, high = 0.0, 60.0
    reach = vdw_radii[a.numbers][:, None] + vdw_radii[b.numbers]
    for _ in range(40):
        middle = (low + high) / 2
        d = np.linalg.norm(a.positions[:, None] - (b.positions + middle * direction)[None], axis=2)
        low, high = (middle, high) if (d < reach).any() else (low, middle)
    return high
