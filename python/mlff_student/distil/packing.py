"""Rigid molecules in clusters and boxes: Monte Carlo under Lennard-Jones and partial charges.

Only for plausible arrangements to label: contacts at van der Waals distance, hydrogen bonds where charges want them.
"""

from dataclasses import dataclass

import numpy as np
from ase import Atoms, units
from ase.data import vdw_radii
from scipy.spatial.transform import Rotation

WELL = 0.005  # eV
COULOMB = 14.399645  # eV Å
CORE = 0.55  # of the sum of radii: nothing comes closer
# Lennard-Jones minima lie outside of van der Waals radii; a hydrogen bond's hydrogen has almost no size (Å).
WIDER, POLAR_HYDROGEN = 0.2, 0.3
ROOM = 18.0  # Å³ for each atom of a cluster, half as much again as in a liquid


@dataclass
class Rigid:
    """A molecule to place: positions about its centre (Å), charges (e)."""

    atoms: Atoms
    charges: np.ndarray

    def turned(self, rng):
        moved = self.atoms.copy()
        x = moved.positions - moved.positions.mean(axis=0)
        moved.positions = Rotation.random(random_state=rng).apply(x)
        return moved


def effective_radii(numbers, charges):
    """Of atoms (Å): two of them attract each other most at the sum."""
    radii = vdw_radii[numbers]
    polar = (numbers == 1) & (charges > 0.25)
    return np.where(polar, POLAR_HYDROGEN, radii + WIDER)


def lennard_jones(d, reach):
    """Energies (eV) of pairs of atoms at distances d (Å), lowest at `reach` (Å)."""
    # Below the core the wall is straight, so that overlaps can be resolved downhill.
    inner = np.maximum(d, CORE * reach)
    six = (reach / inner) ** 6
    wall = 20.0 * np.maximum(CORE * reach - d, 0.0)
    return WELL * (six**2 - 2 * six) + wall


class Packing:
    """Molecules in a cubic box of this edge (Å), or where it is None within a sphere about the origin."""

    def __init__(self, rigids, edge, rng):
        self.rng, self.edge = rng, edge
        self.radius = (ROOM * sum(len(r.atoms) for r in rigids) * 3 / (4 * np.pi)) ** (1 / 3)
        self.charges = np.concatenate([r.charges for r in rigids])
        self.numbers = np.concatenate([r.atoms.numbers for r in rigids])
        self.radii = effective_radii(self.numbers, self.charges)
        self.of = np.repeat(np.arange(len(rigids)), [len(r.atoms) for r in rigids])
        self.members = [np.flatnonzero(self.of == m) for m in range(len(rigids))]
        self.x = np.concatenate([r.turned(rng).positions for r in rigids])

    def pair(self, m, x):
        """Energy (eV) of molecule m at positions x with all others."""
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

    def sweep(self, temperature, step):
        """One trial move of each molecule: shift by up to `step` (Å), turn by up to about as many radians."""
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

    def run(self, sweeps, temperature):
        """Cools from ten times the temperature, with shrinking steps."""
        for k in range(sweeps):
            left = 1 - (k + 1) / sweeps
            self.sweep(temperature * (1 + 9 * left**2), 0.15 + 0.6 * left)

    def atoms(self):
        box = {"cell": [self.edge] * 3, "pbc": True} if self.edge else {}
        return Atoms(self.numbers, self.x.copy(), **box)


def box(rigids, edge, rng, sweeps=150, temperature=350.0):
    """Molecules in a periodic cube."""
    packing = Packing(rigids, edge, rng)
    for members in packing.members:
        packing.x[members] += rng.uniform(0, edge, 3)
    packing.run(sweeps, temperature)
    return packing


def cluster(rigids, rng, sweeps=80, temperature=300.0):
    """Molecules about the origin, drawn together by their attraction."""
    packing = Packing(rigids, None, rng)
    for members in packing.members:
        packing.x[members] += rng.uniform(-packing.radius, packing.radius, 3) / np.sqrt(3)
    packing.run(sweeps, temperature)
    return packing


def touch(a, b, direction):
    """Shift (Å) of b along the unit vector at which the nearest pair of atoms is at the sum of radii."""
    low, high = 0.0, 60.0
    reach = vdw_radii[a.numbers][:, None] + vdw_radii[b.numbers]
    for _ in range(40):
        middle = (low + high) / 2
        d = np.linalg.norm(a.positions[:, None] - (b.positions + middle * direction)[None], axis=2)
        low, high = (middle, high) if (d < reach).any() else (low, middle)
    return high
