"""Paths from one molecule to another of the same atoms: through all that lies between them."""

import functools
from collections import defaultdict

import numpy as np
from ase.mep import NEB, idpp_interpolate, interpolate
from rdkit import Chem
from rdkit.Chem.rdMolDescriptors import CalcMolFormula
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist
from scipy.spatial.transform import Rotation

from . import frames

# Orientations that are tried, and rounds of pairing and turning from each.
ORIENTATIONS, ROUNDS = 50, 10


@functools.cache
def groups(split, max_atoms):
    """Lists of two or more molecules of a split that have the same formula."""
    found = defaultdict(list)
    for molecule in frames.pool(split, max_atoms):
        found[CalcMolFormula(Chem.MolFromSmiles(molecule.smiles))].append(molecule)
    return [group for group in found.values() if len(group) > 1]


def matched(first, second, rng):
    """The second ASE structure, moved onto the first, its atoms in the order of those of the first.

    From random orientations, atoms of one element are paired so that distances are small, and the
    structure is turned to fit, in turns; the best of these counts.
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


def unmatched(first, second, rng=None):
    """The second ASE structure with its elements in the order of those of the first, where it is:
    atoms of one element as they are listed, or with a generator by chance. Paths to it are what
    comes of an interpolation that nobody thought about: atoms cross the whole molecule."""
    order = np.empty(len(first), int)
    for number in set(first.numbers.tolist()):
        listed = np.flatnonzero(second.numbers == number)
        order[first.numbers == number] = listed if rng is None else rng.permutation(listed)
    return second[order]


def interpolated(first, second, count):
    """Both ASE structures, and `count` between them by IDPP (Smidstrup et al. 2014), as a list."""
    images = [first.copy() for _ in range(count + 1)] + [second.copy()]
    interpolate(images)
    idpp_interpolate(NEB(images, method="improvedtangent"), traj=None, log=None)
    return images
