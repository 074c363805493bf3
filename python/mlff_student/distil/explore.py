"""Active learning: students walk, and the teacher labels where they are unsure.

One student moves the atoms (Langevin dynamics), another judges. Where their forces differ most, or
where a student breaks a structure, its own training data say least. Part of the frames are taken at
random, so that the mix stays thermal.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from ase import units

from . import frames, geometry, packing
from .molecules import order_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ase import Atoms

    from mlff_student import Structure, Student

    from .dataset import Frame
    from .frames import Job
    from .molecules import Molecule


STEP = 0.75 * units.fs
FRICTION = 0.01 / units.fs
# fs between looks, looks of one walk.
EVERY, LOOKS = 24, 25
# Frames of one walk: taken at random, taken where the students differ most. Few: more walks see
# more molecules.
RANDOM, UNSURE = 4, 6
# Differences (eV/Å) that are worth a label, and that end a walk: what follows is no physics.
WORTH, BROKEN = 0.15, 4.0


@dataclass(frozen=True)
class Walk:
    """One trajectory: a molecule, two molecules or a cluster at one temperature."""

    round: str
    index: int

    @property
    def name(self) -> str:
        """The name, which is that of its shard."""
        return f"explore-{self.round}-{self.index:06d}"

    expected = RANDOM + UNSURE

    def subject(self) -> tuple[Molecule, str]:
        """Its molecule, and the split: always training, so that what is held out stays unseen."""
        pool = frames.pool("train")
        return pool[order_key("walk", self.name) % len(pool)], "train"

    def frames(self, job: Job, molecule: Molecule) -> Iterator[Frame | str]:
        """Labelled frames of the trajectory, or reasons why there is none."""
        atoms, kind, mols = start(job, molecule)
        temperature = job.rng.uniform(300, 1000)
        for chosen in choose(walk(job, atoms, temperature), job.rng):
            yield job.label(chosen, kind, mols, temperature)


def start(job: Job, molecule: Molecule) -> tuple[Atoms, str, list[Molecule]]:
    """Where a trajectory begins: structure, kind of frame, and molecules.

    Six of ten times it is one molecule, otherwise two, some water, or a few small ones.
    """
    fate = job.rng.random()
    if fate < 0.6 or molecule.atoms > 24:
        mol = geometry.embed(molecule.smiles, job.rng)
        return geometry.to_atoms(mol), "trajectory", [molecule]
    if fate < 0.85:
        mols = [molecule, job.pick(frames.pool("train", 18))]
    elif fate < 0.92:
        mols = [frames.by_smiles("O")] * int(job.rng.integers(3, 16))
        return packed(job, mols), "water", mols
    else:
        small = frames.smallest("train", 9)
        mols = [job.pick(small) for _ in range(int(job.rng.integers(3, 6)))]
    return packed(job, mols), "cluster", mols


def packed(job: Job, mols: list[Molecule]) -> Atoms:
    """A cluster of these molecules."""
    made = {m: frames.rigid(job, m)[0] for m in dict.fromkeys(mols)}
    return packing.cluster([made[m] for m in mols], job.rng).atoms()


def walk(job: Job, atoms: Atoms, temperature: float) -> Iterator[tuple[Atoms, float]]:
    """Structures every few fs, with the largest difference of forces (eV/Å).

    It ends early where a student gives no finite forces.
    """
    from mlff_student import Error

    try:
        yield from walk_on(job, atoms, temperature)
    except Error as error:
        # Atoms at one place, or forces that are not finite.
        if error.status != "MLFF_ERROR_NUMERIC":
            raise


def walk_on(job: Job, atoms: Atoms, temperature: float) -> Iterator[tuple[Atoms, float]]:
    """Langevin dynamics at a temperature (K), BAOAB splitting (Leimkuhler and Matthews 2013)."""
    walker, judge = students()
    mass = atoms.get_masses()[:, None]
    thermal = np.sqrt(units.kB * temperature / mass)
    keep = np.exp(-FRICTION * STEP)
    positions = atoms.positions.copy()
    velocity = thermal * job.rng.normal(size=positions.shape)

    def look(student: Student) -> np.ndarray:
        return student.compute(structure(atoms.numbers, positions)).forces

    force = look(walker)
    for step in range(1, round(EVERY * LOOKS * units.fs / STEP) + 1):
        velocity += 0.5 * STEP * force / mass
        # A student that breaks may throw atoms: no more than 0.1 Å a step.
        positions += 0.5 * STEP * np.clip(velocity, -0.1 / STEP, 0.1 / STEP)
        velocity = keep * velocity + np.sqrt(1 - keep**2) * thermal * job.rng.normal(
            size=positions.shape
        )
        positions += 0.5 * STEP * np.clip(velocity, -0.1 / STEP, 0.1 / STEP)
        force = look(walker)
        velocity += 0.5 * STEP * force / mass
        if step % round(EVERY * units.fs / STEP) == 0:
            difference = np.linalg.norm(force - look(judge), axis=1).max()
            moved = atoms.copy()
            moved.positions = positions
            yield moved, difference
            if difference > BROKEN:
                return


def choose(
    looks: Iterable[tuple[Atoms, float]],
    rng: np.random.Generator,
    by_chance: int = RANDOM,
    unsure: int = UNSURE,
) -> list[Atoms]:
    """Of (structure, difference of forces in eV/Å): some at random, and those that differ most."""
    looks = list(looks)
    order = rng.permutation(len(looks))
    random, rest = order[:by_chance], order[by_chance:]
    differing = sorted((i for i in rest if looks[i][1] > WORTH), key=lambda i: -looks[i][1])[
        :unsure
    ]
    return [looks[i][0] for i in (*random, *differing)]


def structure(numbers: np.ndarray, positions: np.ndarray) -> Structure:
    """A Structure in free space: N atomic numbers, N x 3 positions (Å)."""
    from mlff_student import Structure

    return Structure(numbers, positions)


_students = None


def load_students(walker: str, judge: str) -> None:
    """Loads both students of a worker process from their files."""
    global _students
    from mlff_student import Student

    _students = Student(walker), Student(judge)


def students() -> tuple[Student, Student]:
    """The student that moves atoms, and the one that is compared with it."""
    return _students
