"""ANI-1ccx: neutral molecules of H, C, N and O, close to coupled clusters (Smith et al., 2019).

Eight networks read the same description of every atom's surroundings. A label is their mean, and a
structure that they differ on gets none.

The weights are those in the package torchani 2.0. Its code needs PyTorch and is not used: the model
is small enough to be written down here, with its gradient. All is computed in double precision,
where processors differ by 1e-12 eV and 1e-15 eV/Å. Rounded labels are the same on all of them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, InputError, all_changes
from ase.data import chemical_symbols
from ase.neighborlist import neighbor_list
from ase.stress import full_3x3_to_voigt_6_stress
from ase.units import Hartree
from scipy.sparse import csr_matrix

from .dataset import Frame
from .teachers import Dropped, Teacher, labelled, prepared

NETWORKS = 8
# Atomic numbers that it knows, H C N O, in the order of the weights.
ELEMENTS = (1, 6, 7, 8)
VERSION = "2.0"
# SHA-256 of the files that are read, in the order in which they are: `Committee` refuses others.
WEIGHTS = "1d00f11fd7f3840368499ba5a8c95df2e2772759b228ebdb29d22e0943b94078"
# Parameter of the activation function, CELU.
ALPHA = 0.1
# Cosines of angles are multiplied by it, so that none has an infinite slope.
FLATTENED = 0.95
# Structures are computed together up to so many atoms: more do not fit a processor's cache.
BATCH_ATOMS = 200
# The largest standard deviations that a label may have: of the eight forces on an atom (eV/Å), and
# of the eight energies (eV, by the root of the number of atoms). Networks that differ by 1.5 eV/Å
# on an atom err there by as much as GFN2-xTB is away from them, so nothing is gained. The limit of
# energies leaves out H2, whose forces are wrong in all networks alike. Boxes have a hundred atoms:
# the worst one of them is worse, and the others are still good.
MAX_SPREAD = (1.5, 0.08)
MAX_SPREAD_OF_BOXES = (3.0, 0.16)
# Decimals of labelled energies (eV): rounded so, one of a hundred million differs on another
# processor.
ENERGY_DECIMALS = 4


class Ani1ccx(Teacher):
    """ANI-1ccx as a teacher: labels are the mean of the eight networks, where these agree."""

    def __init__(self) -> None:
        self.committee = Committee()
        name = f"torchani {VERSION} ANI-1ccx weights sha256:{WEIGHTS[:16]}"
        super().__init__(name, lambda: AniCalculator(self.committee))

    def label(self, atoms: Atoms, **metadata: Any) -> Frame:
        """Labels one ASE structure (eV, Å); raises Dropped where the networks disagree."""
        [found] = self.label_all([(atoms, metadata)])
        if isinstance(found, str):
            raise Dropped(found)
        return found

    def label_all(self, structures: Iterable[tuple[Atoms, dict]]) -> list[Frame | str]:
        """Labels (ASE structure, metadata) pairs together, which takes half of the time.

        Each result is a frame, or the reason why there is no label.
        """
        results = []
        for atoms, metadata in structures:
            try:
                results.append((checked(atoms), metadata))
            except Dropped as reason:
                results.append(str(reason))
        places = [i for i, found in enumerate(results) if not isinstance(found, str)]
        predictions = self.committee([results[i][0] for i in places])
        for i, prediction in zip(places, predictions, strict=True):
            atoms, metadata = results[i]
            try:
                results[i] = self._frame(atoms, prediction, **metadata)
            except Dropped as reason:
                results[i] = str(reason)
        return results

    def _frame(self, atoms: Atoms, prediction: Prediction, **metadata: Any) -> Frame:
        max_forces, max_energy = MAX_SPREAD_OF_BOXES if atoms.pbc.any() else MAX_SPREAD
        # No number is greater than "not a number", which `labelled` drops.
        if prediction.force_spread > max_forces:
            raise Dropped(f"networks' forces differ by more than {max_forces:g} eV/Å")
        if prediction.energy_spread > max_energy:
            raise Dropped(f"networks' energies differ by more than {max_energy:g} eV/√atoms")
        mean = prediction.energies.mean(), prediction.forces.mean(axis=0), prediction.stress
        return labelled(atoms, *mean, energy_decimals=ENERGY_DECIMALS, **metadata)


def checked(atoms: Atoms) -> Atoms:
    """A copy of an ASE structure that may be labelled; raises Dropped for other elements."""
    atoms = prepared(atoms)
    if not set(atoms.numbers.tolist()) <= set(ELEMENTS):
        raise Dropped("element outside H C N O")
    return atoms


class AniCalculator(Calculator):
    """ANI-1ccx as an ASE calculator, for moving atoms."""

    implemented_properties = ["energy", "forces", "stress"]

    def __init__(self, committee: Committee) -> None:
        super().__init__()
        self.committee = committee

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = all_changes,
    ) -> None:
        """Computes energy, forces and, in a cell, stress; ASE calls this."""
        super().calculate(atoms, properties, system_changes)
        if not set(atoms.numbers.tolist()) <= set(ELEMENTS):
            raise InputError("ANI-1ccx knows H, C, N and O only")
        [found] = self.committee([atoms])
        self.results = {"energy": found.energies.mean(), "forces": found.forces.mean(axis=0)}
        if found.stress is not None:
            self.results["stress"] = full_3x3_to_voigt_6_stress(found.stress)


@dataclass
class Prediction:
    """The results of the eight networks for a structure of n atoms."""

    energies: np.ndarray  # (8), eV
    forces: np.ndarray  # (8, n, 3), eV/Å
    stress: np.ndarray | None  # (3, 3), eV/Å³, positive is tension; their mean, None without a cell

    @property
    def energy_spread(self) -> float:
        """Standard deviation of the eight energies over √n (eV)."""
        return self.energies.std() / np.sqrt(self.forces.shape[1])

    @property
    def force_spread(self) -> float:
        """Standard deviation of the force on the atom where it is largest (eV/Å)."""
        return np.sqrt(self.forces.var(axis=0).sum(axis=1).max())


class Committee:
    """The eight networks, read from torchani's files."""

    def __init__(self) -> None:
        refused = ImportError(f"ani1ccx needs the weights in torchani {VERSION}: make distil-venv")
        try:
            package = distribution("torchani")
        except PackageNotFoundError:
            raise refused from None
        # Later releases download their weights.
        if package.version != VERSION:
            raise refused
        self.folder = package.locate_file("torchani/resources/ani-1ccx_8x")
        self.hash = hashlib.sha256()
        self._read_constants()
        # By element, layers of weights (8, in, out) and biases (8, 1, out).
        self.layers = [[self._layer(e, i) for i in (1, 2, 3, 4)] for e in ELEMENTS]
        if self.hash.hexdigest() != WEIGHTS:
            raise refused

    def _file(self, name: str) -> bytes:
        """The content of a file, which is added to the hash of all that was read."""
        data = (self.folder / name).read_bytes()
        self.hash.update(data)
        return data

    def _read_constants(self) -> None:
        lines = self._file("rHCNO-5.2R_16-3.5A_a4-8.params").decode().splitlines()
        values = dict(line.split(" = ") for line in lines if " = " in line)

        def numbers(name: str) -> np.ndarray:
            # float32, as torchani reads them.
            return np.array(values[name].strip("[]").split(","), np.float32).astype(float)

        self.radial_cutoff, self.angular_cutoff = float(values["Rcr"]), float(values["Rca"])
        self.radial_width, self.radial_centres = numbers("EtaR"), numbers("ShfR")
        self.angular_width, self.angular_centres = numbers("EtaA"), numbers("ShfA")
        self.power, self.angles = numbers("Zeta"), numbers("ShfZ")
        lines = self._file("sae_linfit.dat").decode().splitlines()
        self.atomic_energies = np.array([float(line.split("=")[1]) for line in lines])

    def _layer(self, element: int, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Weights (8, in, out) and biases (8, 1, out) of a layer, counted from 1, for an atomic
        number.
        """
        symbol = chemical_symbols[element]

        def numbers(network: int, what: str) -> np.ndarray:
            data = self._file(f"train{network}/networks/ANN-{symbol}.nnf-l{number}.{what}param")
            return np.frombuffer(data, "<f4").astype(float)

        biases = np.stack([numbers(k, "b") for k in range(NETWORKS)])[:, None]
        weights = np.stack([numbers(k, "w") for k in range(NETWORKS)])
        return weights.reshape(NETWORKS, biases.shape[2], -1).transpose(0, 2, 1).copy(), biases

    def __call__(self, structures: Iterable[Atoms]) -> list[Prediction]:
        """Predictions for ASE structures, which may differ in size and have cells."""
        found, batch = [], []
        for atoms in structures:
            if batch and sum(map(len, batch)) + len(atoms) > BATCH_ATOMS:
                found += self._together(batch)
                batch = []
            batch.append(atoms)
        return found + self._together(batch) if batch else found

    def _together(self, structures: list[Atoms]) -> list[Prediction]:
        """Predictions for a few structures, computed as one."""
        sizes = [len(atoms) for atoms in structures]
        ends = np.cumsum(sizes)
        starts = ends - sizes
        numbers = np.concatenate([atoms.numbers for atoms in structures])
        species = np.searchsorted(ELEMENTS, numbers)
        pairs = Pairs.of(structures, starts, self.radial_cutoff)
        surroundings = Surroundings(self, species, pairs)
        energies, slopes = self._energies(species, surroundings.features)
        pulls = Hartree * surroundings.backward(slopes)
        n, e = len(numbers), len(pairs.first)
        flat = pulls.reshape(e, NETWORKS * 3)
        forces = sums(pairs.first, n) @ flat - sums(pairs.second, n) @ flat
        forces = forces.reshape(n, NETWORKS, 3).swapaxes(0, 1)
        structure = np.repeat(np.arange(len(sizes)), sizes)
        energies = Hartree * (sums(structure, len(sizes)) @ energies)
        # Strain moves a neighbor by itself times its vector.
        virials = pulls.mean(axis=1)[:, :, None] * pairs.vectors[:, None, :]
        virials = sums(structure[pairs.first], len(sizes)) @ virials.reshape(e, 9)
        virials = virials.reshape(-1, 3, 3)
        return [
            Prediction(energies[i], forces[:, start:end], stress_of(virials[i], atoms))
            for i, (atoms, start, end) in enumerate(zip(structures, starts, ends, strict=True))
        ]

    def _energies(self, species: np.ndarray, features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Energies of n atoms (n, 8), in Hartree, and their derivatives with respect to the
        features (n, 8, 384).
        """
        energies = np.empty((len(species), NETWORKS))
        slopes = np.empty((len(species), NETWORKS, features.shape[1]))
        for element, layers in enumerate(self.layers):
            here = np.nonzero(species == element)[0]
            values, bends = features[here], []
            for weights, biases in layers[:-1]:
                values = values @ weights + biases
                # CELU: x above 0, ALPHA (exp(x / ALPHA) - 1) below.
                bends.append(np.exp(np.minimum(values, 0) / ALPHA))
                values = np.maximum(values, 0) + ALPHA * (bends[-1] - 1)
            weights, biases = layers[-1]
            energies[here] = (values @ weights + biases)[:, :, 0].T + self.atomic_energies[element]
            back = weights.transpose(0, 2, 1)
            for (weights, _), bend in zip(layers[-2::-1], bends[::-1], strict=True):
                back = (back * bend) @ weights.transpose(0, 2, 1)
            slopes[here] = back.transpose(1, 0, 2)
        return energies, slopes


def stress_of(virial: np.ndarray, atoms: Atoms) -> np.ndarray | None:
    """Stress (3, 3) in eV/Å³ from a virial (eV); None unless periodic in three directions."""
    return (virial + virial.T) / 2 / atoms.get_volume() if atoms.pbc.all() else None


@dataclass
class Pairs:
    """A neighbor list: every atom with each of its neighbors, ordered by the atom. E pairs."""

    first: np.ndarray  # (e)
    second: np.ndarray  # (e)
    vectors: np.ndarray  # (e, 3), from the first to the second, Å

    @classmethod
    def of(cls, structures: list[Atoms], starts: np.ndarray, cutoff: float) -> Pairs:
        """The neighbor lists of several structures as one; `starts` are the indices of their first
        atoms.
        """
        found = [neighbors(atoms, cutoff) for atoms in structures]
        first, second, vectors = (np.concatenate(parts) for parts in zip(*found, strict=True))
        shift = np.repeat(starts, [len(parts[0]) for parts in found])
        return cls(first + shift, second + shift, vectors)


def neighbors(atoms: Atoms, cutoff: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pairs closer than the cutoff (Å): first atoms (E), ascending, second atoms (E), and vectors
    from the first to the second (E, 3), in Å.
    """
    if atoms.pbc.any():
        return neighbor_list("ijD", atoms, cutoff)
    # Many times as fast as ASE's for a molecule.
    vectors = atoms.positions[None] - atoms.positions[:, None]
    distances = np.linalg.norm(vectors, axis=2)
    np.fill_diagonal(distances, np.inf)
    first, second = np.nonzero(distances < cutoff)
    return first, second, vectors[first, second]


def sums(places: np.ndarray, count: int) -> csr_matrix:
    """The sparse matrix (count, len(places)) that adds row k to row places[k]."""
    rows = np.arange(len(places))
    return csr_matrix((np.ones(len(places)), (places, rows)), (count, len(places)))


def fade(distances: np.ndarray, cutoff: float) -> tuple[np.ndarray, np.ndarray]:
    """The cutoff function, from 1 at 0 to 0 at the cutoff (Å), and its derivative (1/Å)."""
    x = np.pi * distances / cutoff
    return 0.5 * np.cos(x) + 0.5, -0.5 * np.pi / cutoff * np.sin(x)


class Surroundings:
    """The 384 features of each atom (symmetry functions): 16 by distance for neighbors of each
    element, and 32 by angle and mean distance for two neighbors of each of the ten pairs of
    elements.
    """

    def __init__(self, model: Committee, species: np.ndarray, pairs: Pairs) -> None:
        self.atoms = len(species)
        self.distances = np.linalg.norm(pairs.vectors, axis=1)
        self.directions = pairs.vectors / self.distances[:, None]
        radial, angular = self._radial(model, species, pairs), self._angular(model, species, pairs)
        self.features = np.hstack([radial, angular])

    def _radial(self, model: Committee, species: np.ndarray, pairs: Pairs) -> np.ndarray:
        """Radial features (n, 64); keeps the row that each pair adds to, and its derivatives."""
        self.radial_places = pairs.first * 4 + species[pairs.second]
        gaps = self.distances[:, None] - model.radial_centres
        bells = 0.25 * np.exp(-model.radial_width * gaps**2)
        faded, slopes = fade(self.distances[:, None], model.radial_cutoff)
        self.radial_slopes = bells * (slopes - 2 * model.radial_width * gaps * faded)
        found = sums(self.radial_places, 4 * self.atoms) @ (bells * faded)
        return found.reshape(self.atoms, 64)

    def _angular(self, model: Committee, species: np.ndarray, pairs: Pairs) -> np.ndarray:
        """Angular features (n, 320); keeps the row that each two pairs of an atom add to, and their
        derivatives.
        """
        near = np.nonzero(self.distances < model.angular_cutoff)[0]
        a, b = self.sides = [near[side] for side in both(pairs.first[near])]
        elements = PAIR_OF_ELEMENTS[species[pairs.second[a]], species[pairs.second[b]]]
        self.angular_places = pairs.first[a] * 10 + elements

        # (1 + cos(θ - angle)) / 2, where cos(θ) was multiplied by FLATTENED.
        self.cosines = (self.directions[a] * self.directions[b]).sum(axis=1)
        cosine = FLATTENED * self.cosines[:, None]
        sine = np.sqrt(1 - cosine**2)
        half = (1 + cosine * np.cos(model.angles) + sine * np.sin(model.angles)) / 2
        step = FLATTENED * (np.cos(model.angles) - cosine / sine * np.sin(model.angles)) / 2
        by_angle = half**model.power
        by_angle_slopes = model.power * half ** (model.power - 1) * step

        gaps = (self.distances[a, None] + self.distances[b, None]) / 2 - model.angular_centres
        bells = 2 * np.exp(-model.angular_width * gaps**2)
        # A step of one of the two moves their mean by half of it.
        bell_slopes = -model.angular_width * gaps * bells

        faded, slopes = fade(self.distances[:, None], model.angular_cutoff)
        by_distance = bells * faded[a] * faded[b]
        by_first = bell_slopes * faded[a] * faded[b] + bells * slopes[a] * faded[b]
        by_second = bell_slopes * faded[a] * faded[b] + bells * faded[a] * slopes[b]
        parts = (by_first, by_angle), (by_second, by_angle), (by_distance, by_angle_slopes)
        self.angular_slopes = np.stack([outer(*part) for part in parts], axis=2)
        found = sums(self.angular_places, 10 * self.atoms) @ outer(by_distance, by_angle)
        return found.reshape(self.atoms, 320)

    def backward(self, slopes: np.ndarray) -> np.ndarray:
        """Derivatives with respect to pair vectors (E, 8, 3), from those with respect to features
        (n, 8, 384).
        """
        radial = slopes[:, :, :64].reshape(self.atoms, NETWORKS, 4, 16).swapaxes(1, 2)
        angular = slopes[:, :, 64:].reshape(self.atoms, NETWORKS, 10, 32).swapaxes(1, 2)
        radial = radial.reshape(-1, NETWORKS, 16)[self.radial_places]
        angular = angular.reshape(-1, NETWORKS, 32)[self.angular_places]
        pulls = (radial @ self.radial_slopes[:, :, None]) * self.directions[:, None, :]
        along_a, along_b, turning = np.moveaxis(angular @ self.angular_slopes, 2, 0)
        a, b = self.sides
        for one, other, along in ((a, b, along_a), (b, a, along_b)):
            # A vector's step across its direction changes the cosine.
            across = self.directions[other] - self.cosines[:, None] * self.directions[one]
            across /= self.distances[one, None]
            added = along[:, :, None] * self.directions[one, None]
            added += turning[:, :, None] * across[:, None]
            pulls += (sums(one, len(pulls)) @ added.reshape(-1, NETWORKS * 3)).reshape(pulls.shape)
        return pulls


def both(atoms: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """All pairs of rows that have the same atom, as two arrays of rows; `atoms` is ascending."""
    counts = np.bincount(atoms)
    starts = np.cumsum(counts) - counts
    # A row is paired with those before it.
    before = np.arange(len(atoms)) - starts[atoms]
    second = np.repeat(np.arange(len(atoms)), before)
    first = np.arange(len(second)) - np.repeat(np.cumsum(before) - before, before)
    return first + starts[atoms[second]], second


def outer(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Products of each row of a (t, 4) with that of b (t, 8), as rows of 32."""
    return (a[:, :, None] * b[:, None, :]).reshape(-1, 32)


PAIR_OF_ELEMENTS = np.zeros((4, 4), int)
PAIR_OF_ELEMENTS[np.triu_indices(4)] = range(10)
PAIR_OF_ELEMENTS = np.maximum(PAIR_OF_ELEMENTS, PAIR_OF_ELEMENTS.T)
