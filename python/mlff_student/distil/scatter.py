"""Atoms and molecules thrown together at random, as no chemist would place them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from ase import Atoms
from ase.data import covalent_radii
from scipy.spatial.transform import Rotation

from .molecules import ELEMENTS

# Å³ for each atom: a third of a liquid's to three times as much.
ROOM = (3.0, 30.0)
# Throws of one part before the cube grows, and by how much.
THROWS, GROWTH = 30, 1.03


def composition(
    count: int, rng: np.random.Generator, elements: Sequence[int] = ELEMENTS
) -> np.ndarray:
    """Atomic numbers of `count` random atoms of these elements, with an even number of
    electrons.
    """
    while True:
        numbers = rng.choice(elements, count)
        if numbers.sum() % 2 == 0:
            return numbers


def soup(numbers: Iterable[int], least: float, rng: np.random.Generator) -> Atoms:
    """Atoms of these atomic numbers at random places of a cube, dense or not.

    No two are closer than `least` times the sum of their covalent radii.
    """
    room = np.exp(rng.uniform(*np.log(ROOM)))
    return thrown(atoms_of(numbers), (room * len(numbers)) ** (1 / 3), least, rng)


def atoms_of(numbers: Iterable[int]) -> list[Atoms]:
    """A structure of one atom for each atomic number."""
    return [Atoms([number], [[0.0, 0.0, 0.0]]) for number in numbers]


def thrown(
    parts: Iterable[Atoms],
    edge: float,
    least: float,
    rng: np.random.Generator,
    into: Atoms | None = None,
) -> Atoms:
    """Structures at random places and orientations in a cube about the origin, as one structure.

    Their centres lie in the cube of this edge (Å), which grows if there is no room: atoms of two
    parts are apart by at least `least` times the sum of their covalent radii. `into` is a structure
    that is there already.
    """
    placed = Atoms() if into is None else into.copy()
    for part in parts:
        while (found := _throw(part, placed, edge, least, rng)) is None:
            edge *= GROWTH
        placed += found
    return placed


def _throw(
    part: Atoms, placed: Atoms, edge: float, least: float, rng: np.random.Generator
) -> Atoms | None:
    """One part at a random place, or None where it found none in THROWS trials."""
    for _ in range(THROWS):
        moved = part.copy()
        centred = part.positions - part.positions.mean(axis=0)
        moved.positions = Rotation.random(random_state=rng).apply(centred)
        moved.positions += rng.uniform(-edge / 2, edge / 2, 3)
        if not len(placed) or fractions(placed, moved).min() >= least:
            return moved
    return None


def fractions(a: Atoms, b: Atoms) -> np.ndarray:
    """Distances between the atoms of two structures over the sums of their covalent radii (len(a),
    len(b)).
    """
    reach = covalent_radii[a.numbers][:, None] + covalent_radii[b.numbers]
    return np.linalg.norm(a.positions[:, None] - b.positions, axis=2) / reach


def closest(atoms: Atoms) -> float:
    """The smallest distance between two atoms over the sum of their covalent radii."""
    found = fractions(atoms, atoms)
    np.fill_diagonal(found, np.inf)
    return float(found.min())
