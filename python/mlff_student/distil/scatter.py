"""Atoms and molecules thrown together at random, as no chemist would place them."""

import numpy as np
from ase import Atoms
from ase.data import covalent_radii
from scipy.spatial.transform import Rotation

from .molecules import ELEMENTS

# Å³ for each atom: a third of a liquid's to three times as much.
ROOM = (3.0, 30.0)
# Throws of one part before the cube grows, and by how much.
THROWS, GROWTH = 30, 1.03


def composition(count, rng, elements=ELEMENTS):
    """Atomic numbers of `count` atoms of any of the elements, with an even number of electrons."""
    while True:
        numbers = rng.choice(elements, count)
        if numbers.sum() % 2 == 0:
            return numbers


def soup(numbers, least, rng):
    """Single atoms of these atomic numbers in a cube from tight to loose, as an ASE structure: no
    two are closer than `least` covalent sums."""
    room = np.exp(rng.uniform(*np.log(ROOM)))
    return thrown(atoms_of(numbers), (room * len(numbers)) ** (1 / 3), least, rng)


def atoms_of(numbers):
    """One ASE structure for each atom, to be thrown."""
    return [Atoms([number], [[0.0, 0.0, 0.0]]) for number in numbers]


def thrown(parts, edge, least, rng, into=None):
    """ASE structures, turned at random, in a cube about the origin: one structure of all of them.

    Their centres lie in the cube of this edge (Å), which grows where it has no room: atoms of two
    parts are at least `least` covalent sums apart. `into`: what is there already.
    """
    placed = Atoms() if into is None else into.copy()
    for part in parts:
        while (found := _throw(part, placed, edge, least, rng)) is None:
            edge *= GROWTH
        placed += found
    return placed


def _throw(part, placed, edge, least, rng):
    for _ in range(THROWS):
        moved = part.copy()
        centred = part.positions - part.positions.mean(axis=0)
        moved.positions = Rotation.random(random_state=rng).apply(centred)
        moved.positions += rng.uniform(-edge / 2, edge / 2, 3)
        if not len(placed) or fractions(placed, moved).min() >= least:
            return moved
    return None


def fractions(a, b):
    """Distances between the atoms of two structures, in covalent sums (len(a) × len(b))."""
    reach = covalent_radii[a.numbers][:, None] + covalent_radii[b.numbers]
    return np.linalg.norm(a.positions[:, None] - b.positions, axis=2) / reach


def closest(atoms):
    """The smallest distance between two atoms, in covalent sums."""
    found = fractions(atoms, atoms)
    np.fill_diagonal(found, np.inf)
    return float(found.min())
