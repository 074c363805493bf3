"""Paths from one molecule to another of the same atoms: through all that lies between them."""

from __future__ import annotations

import functools
from collections import defaultdict
from typing import TYPE_CHECKING

import numpy as np
from ase.mep import NEB, idpp_interpolate, interpolate
from rdkit import Chem
from rdkit.Chem.rdMolDescriptors import CalcMolFormula
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist
from scipy.spatial.transform import Rotation

from . import frames

if TYPE_CHECKING:
    from ase import Atoms

    from .molecules import Molecule


# Orientations that are tried, and rounds of pairing and turning from each.
ORIENTATIONS, ROUNDS = 50, 10


@functools.cache
def groups(split: str, max_atoms: int) -> list[list[Molecule]]:
    """Lists of two or more molecules of a split that have the same formula."""
    found = defaultdict(list)
    for molecule in frames.pool(split, max_atoms):
        found[CalcMolFormula(Chem.MolFromSmiles(molecule.smiles))].append(molecule)
    return [group for group in found.values() if len(group) > 1]


def matched(first: Atoms, second: Atoms, rng: np.random.Generator) -> Atoms:
    """The second structure, moved onto the first, its atoms in the order of those of the first.

    From random orientations, atoms of one element are paired so that distances are small, and the
    structure is rotated to fit, by turns; the best of these counts.
    """
    target = first.positions - first.positions.mean(axis=0)
    start = second.positions - second.positions.mean(axis=0)
    # Far more than any distance: pairs of different elements never pay.
    forbidden = 1e9 * (first.numbers[:, None] != second.numbers)
    best, least = None, np.inf
    for _ in range(ORIENTATIONS):
        turned = Rotation.random(random_state=rng).apply(start)
        for _ in range(ROUNDS):
            order = linear_sum_assignment(cdist(target, turned, "sqeuclidean") + forbidden)[1]
            turned = turned @ frames.superposition(turned[order], target)
        apart = ((turned[order] - target) ** 2).sum()
        if apart < least:
            best, least = (order, turned[order]), apart
    result = second[best[0]]
    result.positions = best[1] + first.positions.mean(axis=0)
    return result


def unmatched(first: Atoms, second: Atoms, rng: np.random.Generator | None = None) -> Atoms:
    """The second structure where it is, its elements in the order of those of the first.

    Atoms of one element are taken as they are listed, or at random with a generator. On paths to it
    atoms cross the whole molecule, as they do in careless interpolations.
    """
    order = np.empty(len(first), int)
    for number in set(first.numbers.tolist()):
        listed = np.flatnonzero(second.numbers == number)
        order[first.numbers == number] = listed if rng is None else rng.permutation(listed)
    return second[order]


def interpolated(first: Atoms, second: Atoms, count: int) -> list[Atoms]:
    """Both structures, and `count` between them by IDPP (Smidstrup et al. 2014)."""
    images = [first.copy() for _ in range(count + 1)] + [second.copy()]
    interpolate(images)
    idpp_interpolate(NEB(images, method="improvedtangent"), traj=None, log=None)
    return images
