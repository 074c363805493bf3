"""Searches for crystals: Monte Carlo of one rigid molecule that a space group and a cell repeat.

The energy is that of `packing`, Lennard-Jones and partial charges: it gives plausible arrangements,
not the most stable ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from ase import units
from ase.geometry import cellpar_to_cell
from ase.spacegroup import Spacegroup
from scipy.spatial.transform import Rotation

from . import packing
from .lattices import Lattice

# Images with centres beyond this (Å), and twice the radius of the molecule, are left out.
REACH = 6.0
# A search that begins with a loose cell: its volume for each atom (Å³), and the pressure
# (eV/Å³) at the beginning, which ends at none.
LOOSE, PRESSURE = 25.0, 0.02
HOT, COLD = 3000.0, 50.0  # K
# Cell parameters that symmetry leaves free: lengths, and which of the angles.
ANGLES = {"triclinic": [3, 4, 5], "monoclinic": [4], "orthorhombic": [], "cubic": []}


@dataclass
class State:
    """Cell parameters (Å, degrees), fractional centre and orientation of the molecule."""

    cell: np.ndarray
    centre: np.ndarray
    turn: Rotation


class Search:
    """Monte Carlo of one rigid molecule under a space group (number and setting).

    `system` ("triclinic", "cubic", ...) says which cell parameters may change; None: none of them.
    """

    def __init__(
        self,
        rigid: packing.Rigid,
        group: int,
        setting: int,
        system: str | None,
        rng: np.random.Generator,
    ) -> None:
        self.rng, self.system, self.rigid = rng, system, rigid
        self.rotations, self.translations = Spacegroup(group, setting).get_op()
        self.x = rigid.atoms.positions - rigid.atoms.positions.mean(axis=0)
        radii = packing.effective_radii(rigid.atoms.numbers, rigid.charges)
        self.sums = radii[:, None] + radii
        self.coulomb = packing.COULOMB * rigid.charges[:, None] * rigid.charges
        self.reach = REACH + 2 * np.linalg.norm(self.x, axis=1).max()

    def images(self, state: State) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Lattice vectors (3, 3) in Å and, for each of s symmetry operations, the fractional centre
        (s, 3) and positions about it (s, n, 3) in Å.
        """
        cell = cellpar_to_cell(state.cell)
        centres = state.centre @ self.rotations.transpose(0, 2, 1) + self.translations
        inside = state.turn.apply(self.x) @ np.linalg.inv(cell)
        return cell, centres, inside @ self.rotations.transpose(0, 2, 1) @ cell

    def energy(self, state: State) -> float:
        """Energy (eV) of one molecule in its lattice."""
        cell, centres, x = self.images(state)
        heights = 1 / np.linalg.norm(np.linalg.inv(cell), axis=0)
        steps = [np.arange(-n, n + 1) for n in np.ceil(self.reach / heights + 0.5).astype(int)]
        grid = np.stack(np.meshgrid(*steps, indexing="ij"), axis=-1).reshape(-1, 3)
        shifts = centres - centres[0]
        shifts = ((shifts - shifts.round())[:, None] + grid) @ cell
        near = np.linalg.norm(shifts, axis=2) < self.reach
        # The molecule itself.
        near[0, len(grid) // 2] = False
        which, where = np.nonzero(near)
        others = x[which] + shifts[which, where][:, None]
        d = np.linalg.norm(x[0][:, None] - others[:, None], axis=3)
        pairs = packing.lennard_jones(d, self.sums) + self.coulomb / np.maximum(d, 1.2)
        return float(pairs.sum()) / 2

    def enthalpy(self, state: State, pressure: float) -> float:
        """Enthalpy (eV) of one molecule in its lattice under a pressure (eV/Å³)."""
        volume = np.linalg.det(cellpar_to_cell(state.cell)) / len(self.rotations)
        return self.energy(state) + pressure * volume

    def moved(self, state: State, step: float) -> State:
        """A Monte Carlo trial: the molecule shifted by up to `step` (Å) and rotated, or the cell
        changed.
        """
        rng, cell = self.rng, state.cell.copy()
        if self.system and rng.random() < 0.4:
            by = rng.normal(scale=0.15 * step, size=1 if self.system == "cubic" else 3)
            cell[:3] *= np.exp(by)
            angles = ANGLES[self.system]
            turned = cell[angles] + rng.normal(scale=6 * step, size=len(angles))
            cell[angles] = np.clip(turned, 65, 125)
            return State(cell, state.centre, state.turn)
        shift = rng.uniform(-step, step, 3) @ np.linalg.inv(cellpar_to_cell(cell))
        turn = Rotation.from_rotvec(rng.normal(scale=step / 2, size=3)) * state.turn
        return State(cell, state.centre + shift, turn)

    def start(self, cell: Sequence[float] | None = None) -> State:
        """A random state, in this cell (Å, degrees) or in a loose one."""
        rng = self.rng
        if cell is None:
            cell = np.array([1.0, 1.0, 1.0, 90.0, 90.0, 90.0])
            if self.system != "cubic":
                cell[:3] *= np.exp(rng.normal(scale=0.25, size=3))
            cell[ANGLES[self.system]] = rng.uniform(75, 105, len(ANGLES[self.system]))
            wanted = LOOSE * len(self.x) * len(self.rotations)
            cell[:3] *= (wanted / np.linalg.det(cellpar_to_cell(cell))) ** (1 / 3)
        return State(np.array(cell, float), rng.uniform(size=3), Rotation.random(random_state=rng))

    def run(self, state: State, steps: int) -> tuple[float, State]:
        """Cools with shrinking steps; returns enthalpy (eV) and state at the end."""
        energy = self.enthalpy(state, PRESSURE if self.system else 0.0)
        for k in range(steps):
            left = 1 - (k + 1) / steps
            pressure = PRESSURE * left if self.system else 0.0
            trial = self.moved(state, 0.03 + 0.6 * left**2)
            new = self.enthalpy(trial, pressure)
            kt = units.kB * COLD * (HOT / COLD) ** left
            if new < energy or self.rng.random() < np.exp((energy - new) / kt):
                state, energy = trial, new
        return energy, state

    def lattice(self, state: State) -> Lattice:
        """The molecules of one cell."""
        cell, centres, x = self.images(state)
        return Lattice(self.rigid.atoms.numbers, cell, x + (centres @ cell)[:, None])


def order(group: int) -> int:
    """How many operations a space group has in a unit cell: copies of a molecule in a general
    position.
    """
    return len(Spacegroup(group).get_op()[0])


def packed(
    rigid: packing.Rigid,
    group: int,
    rng: np.random.Generator,
    cell: Sequence[float] | None = None,
    setting: int = 1,
    system: str | None = None,
    tries: int = 1,
    steps: int = 1500,
) -> tuple[Lattice, float]:
    """The best lattice of some tries, in a given cell or one that `system` names, and its energy
    for each molecule (eV).
    """
    search = Search(rigid, group, setting, system, rng)
    found = [search.run(search.start(cell), steps) for _ in range(tries)]
    energy, state = min(found, key=lambda result: result[0])
    return search.lattice(state), energy
