"""The system that everything is timed on."""

import numpy as np
from ase import Atoms
from scipy.spatial.transform import Rotation

# A molecule of water (Å), and the volume that it takes in the liquid (Å³).
WATER = np.array([[0.0, 0.0, 0.0], [0.9572, 0.0, 0.0], [-0.239987, 0.926627, 0.0]])
VOLUME = 29.9


def water(atoms):
    """A box of water: molecules on a cubic grid, turned at random, which heat melts."""
    side = max(1, round((atoms / 3) ** (1 / 3)))
    step = VOLUME ** (1 / 3)
    centers = step * (np.indices((side,) * 3).reshape(3, -1).T + 0.5)
    turned = Rotation.random(side**3, random_state=1).as_matrix() @ WATER.T
    positions = centers[:, None] + turned.transpose(0, 2, 1)
    return Atoms(
        ["O", "H", "H"] * side**3, positions.reshape(-1, 3), cell=[side * step] * 3, pbc=True
    )
