"""Crystals of one kind of molecule: whole molecules in a cell that repeats.

Where they come from: coordinates of known structures here, searches for packings in `polymorphs`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.build.supercells import lattice_points_in_supercell
from ase.geometry import minkowski_reduce
from ase.neighborlist import natural_cutoffs, neighbor_list
from ase.spacegroup import crystal
from rdkit import Chem
from scipy.spatial.transform import Rotation

from . import geometry
from .frames import superposition

# Bonds are shorter than this times the sum of covalent radii, contacts are longer.
BONDED = 1.2
# Motion of molecules in crystals at 300 K, about: standard deviations of shifts (Å) and rotations
# (radians), for each component.
SHIFT, LIBRATION = 0.12, 0.08


@dataclass
class Lattice:
    """Copies of a molecule in a periodic cell; no molecule is cut by a face of the cell.

    `numbers` (n) are the atomic numbers of one molecule, rows of `cell` (3, 3) are lattice vectors
    (Å), and `x` (molecules, n, 3) are positions (Å).
    """

    numbers: np.ndarray
    cell: np.ndarray
    x: np.ndarray

    def atoms(self) -> Atoms:
        """The ASE structure, molecule after molecule."""
        numbers = np.tile(self.numbers, len(self.x))
        return Atoms(numbers, self.x.reshape(-1, 3), cell=self.cell, pbc=True)

    def enlarged(self, shortest: float, most: int) -> Lattice:
        """The smallest supercell without lattice vectors below `shortest` (Å).

        Where that takes more than `most` atoms, the one within them whose shortest vector is
        longest.
        """
        best, longest = None, 0.0
        for count in range(1, 1 + max(1, most // self.x[..., 0].size)):
            if longest >= shortest:
                break
            for rows in sublattices(count):
                reduced, change = minkowski_reduce(rows @ self.cell)
                length = np.linalg.norm(reduced, axis=1).min()
                if length > longest + 1e-6:
                    best, longest = change @ rows, length
        best = best if np.linalg.det(best) > 0 else -best
        shifts = lattice_points_in_supercell(best) @ best @ self.cell
        x = (self.x[None] + shifts[:, None, None]).reshape(-1, *self.x.shape[1:])
        return Lattice(self.numbers, best @ self.cell, x)

    def deformed(self, volume: float, strain: np.ndarray) -> Lattice:
        """This lattice with `volume` times its volume, sheared and stretched by `strain` (3, 3,
        symmetric), which does not change the volume.

        Molecules move as rigid bodies.
        """
        change = np.eye(3) + strain
        change *= (volume / np.linalg.det(change)) ** (1 / 3)
        centres = self.x.mean(axis=1, keepdims=True)
        return Lattice(self.numbers, self.cell @ change, self.x + centres @ change - centres)

    def shaken(
        self,
        original: Atoms,
        modes: tuple[np.ndarray, np.ndarray],
        temperature: float,
        rng: np.random.Generator,
    ) -> Lattice:
        """This lattice with its molecules displaced along their modes, shifted and rotated, about
        as at a temperature (K).

        `original` is the structure that the modes of `geometry.modes` belong to.
        """
        hot = np.sqrt(temperature / 300)
        x = np.empty_like(self.x)
        for k, placed in enumerate(self.x):
            moved = geometry.displaced(original, modes, temperature, rng).positions
            bent = (moved - original.positions) @ superposition(original.positions, placed)
            centre = placed.mean(axis=0)
            turn = Rotation.from_rotvec(rng.normal(scale=LIBRATION * hot, size=3))
            shift = rng.normal(scale=SHIFT * hot, size=3)
            x[k] = turn.apply(placed - centre + bent) + centre + shift
        return Lattice(self.numbers, self.cell, x)


def sublattices(count: int) -> Iterator[np.ndarray]:
    """Integer matrices (3, 3) whose rows span each sublattice of index `count` once: Hermite normal
    forms.
    """
    for a in range(1, count + 1):
        for b in range(1, count // a + 1):
            if count % (a * b) == 0:
                for i, j, k in np.ndindex(a, a, b):
                    yield np.array([[a, 0, 0], [i, b, 0], [j, k, count // (a * b)]])


def from_coordinates(
    mol: Chem.Mol,
    symbols: list[str],
    basis: list[tuple[float, ...]],
    group: int,
    setting: int,
    cell: Sequence[float],
) -> Lattice:
    """The lattice of a known structure, from elements and fractional coordinates of the asymmetric
    unit, space group (number, setting) and six cell parameters (Å, degrees).

    Each of its molecules is replaced by the RDKit molecule `mol`, moved onto it.
    """
    found = crystal(symbols, basis, spacegroup=group, setting=setting, cellpar=cell)
    x = [moved_onto(mol, molecule) for molecule in whole_molecules(found)]
    return Lattice(geometry.to_atoms(mol).numbers, found.cell.array, np.array(x))


def whole_molecules(atoms: Atoms) -> Iterator[Atoms]:
    """The molecules of a periodic structure, not cut by faces of the cell."""
    cutoffs = natural_cutoffs(atoms, mult=BONDED)
    first, second, step = neighbor_list("ijD", atoms, cutoffs)
    left = set(range(len(atoms)))
    while left:
        start = min(left)
        x, todo = {start: atoms.positions[start]}, [start]
        while todo:
            i = todo.pop()
            for k in np.flatnonzero(first == i):
                if second[k] not in x:
                    x[second[k]] = x[i] + step[k]
                    todo.append(second[k])
        left -= set(x)
        yield Atoms(atoms.numbers[list(x)], list(x.values()))


def moved_onto(mol: Chem.Mol, target: Atoms) -> np.ndarray:
    """Positions (n, 3) of an RDKit molecule's atoms (Å), moved as a rigid body onto a structure of
    the same molecule, whose atoms may be in another order.
    """
    x = mol.GetConformer().GetPositions()
    bonds = ((b.GetBeginAtomIdx(), b.GetEndAtomIdx()) for b in mol.GetBonds())
    pattern = skeleton(geometry.to_atoms(mol).numbers, bonds)
    first, second = neighbor_list("ij", target, natural_cutoffs(target, mult=BONDED))
    once = first < second
    there = skeleton(target.numbers, zip(first[once], second[once], strict=True))
    best, least = None, np.inf
    for order in there.GetSubstructMatches(pattern, uniquify=False, maxMatches=10_000):
        y = target.positions[list(order)]
        moved = (x - x.mean(axis=0)) @ superposition(x, y) + y.mean(axis=0)
        if (error := ((moved - y) ** 2).sum()) < least:
            best, least = moved, error
    return best


def skeleton(numbers: Iterable[int], bonds: Iterable[tuple[int, int]]) -> Chem.Mol:
    """An RDKit molecule of these atoms and pairs of bonded atoms, with single bonds only."""
    made = Chem.RWMol()
    for number in numbers:
        made.AddAtom(Chem.Atom(int(number)))
    for i, j in bonds:
        made.AddBond(int(i), int(j), Chem.BondType.SINGLE)
    return made.GetMol()
