"""The hunt for holes: students go where nobody would send them, and the teacher labels the way.

A trial begins with atoms thrown together, a path between isomers, compressed, hot or crowded
molecules; one of the students moves the atoms. The teacher labels where it began, where the student
saw the lowest energy, where students differ most, and some places at random. Trials that end in a
hole are counted: rounds go on, with students that learned from the one before, until none does.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms, units
from ase.calculators.calculator import Calculator
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import thermalize_momenta
from ase.mep import NEB
from ase.optimize import FIRE
from rdkit import Chem

from . import explore, floor, frames, generate, geometry, isomers, scatter, teachers
from .molecules import order_key

if TYPE_CHECKING:
    from .dataset import Frame
    from .frames import Job
    from .molecules import Molecule
    from .teachers import Teacher


# Steps of a relaxation, of dynamics, and of a band of images between two isomers.
RELAXED, HOT, BANDED = 200, 250, 20
IMAGES = 5
STEP = 0.5 * units.fs
# Atoms of one molecule, and of molecules together: what the teacher labels in some 20 ms.
ALONE, TOGETHER = 14, 18
# Structures of a path on which students are compared.
LOOKS = 24
# Frames of a trial, beside its start and its lowest: at random, and where students differ most.
BY_CHANCE, UNSURE = 2, 3
# Covalent sums: below, nothing is labelled.
CLOSEST = 0.5
# Covalent sums that are kept where something is put without regard to what is there.
OVERLAP = 0.3


#: Structures of a path, each with the energy (eV) that the student gives it.
Walk = Iterator[tuple[Atoms, float]]


@dataclass(frozen=True)
class Trial:
    """One trial; how it ended is kept in the folder, beside its frames."""

    round: str
    index: int
    folder: Path

    @property
    def name(self) -> str:
        """The name, which is that of its shard."""
        return f"hunt-{self.round}-{self.index:06d}"

    expected = 6

    def subject(self) -> tuple[Callable, str]:
        """The function that begins the trial, and its split."""
        begin = TRIALS[order_key("trial", self.name) % len(TRIALS)]
        return begin, generate.split_of_job(self.name)

    def frames(self, job: Job, begin: Callable) -> Iterator[Frame | str]:
        """Labelled frames of the trial, or reasons why there is none."""
        place = order_key("student", self.name) % len(students())
        student = students()[place]
        mols, temperature, path = begin(job, student)
        looks, broke = followed(path, student)
        keep(self, {"trial": begin.__name__, "student": place} | outcome(looks, broke))
        for atoms in chosen(looks, student, job.rng):
            result = job.label(atoms, "hunt", mols, temperature)
            # Self-consistency may find states that no molecule has.
            if not isinstance(result, str):
                lost = floor_of(job.teacher).hole(result.energy, result.numbers)
                result = "another electronic state" if lost else result
            yield result


# --- how trials begin: each gives molecules, temperature (K) and path


def scattered(job: Job, student: Student) -> tuple[list[Molecule], float, Walk]:
    """Single atoms at random places in a cube, dense or not, then relaxed: any atoms, or those of a
    molecule.
    """
    rng = job.rng
    if rng.random() < 0.5:
        numbers = scatter.composition(int(rng.integers(3, 13)), rng)
    else:
        numbers = numbers_of(job.pick([m for m in frames.pool(job.split, 12) if m.atoms > 2]))
    least = 0.7 if rng.random() < 0.7 else rng.uniform(0.6, 0.9)
    return [], np.nan, relaxed(scatter.soup(numbers, least, rng), student)


def between(job: Job, student: Student) -> tuple[list[Molecule], float, Walk]:
    """A path between two isomers: images by IDPP, then moved as a nudged elastic band.

    Atoms are paired so that they move little, or by chance.
    """
    groups = isomers.groups(job.split, ALONE)
    if not groups:
        raise teachers.Dropped("no isomers")
    group = job.pick(groups)
    mols = [group[i] for i in job.rng.permutation(len(group))[:2]]
    first, second = (embedded(job, m) for m in mols)
    pair = isomers.matched if job.rng.random() < 0.5 else isomers.unmatched
    second = pair(first, second, job.rng)
    return mols, np.nan, banded(isomers.interpolated(first, second, IMAGES), student)


def compressed(job: Job, student: Student) -> tuple[list[Molecule], float, Walk]:
    """A molecule or a cluster with all lengths times 0.6 to 0.95, relaxed or in motion."""
    if job.rng.random() < 0.6:
        mols = [job.pick(frames.pool(job.split, ALONE))]
        atoms = embedded(job, mols[0])
    else:
        mols, atoms = cluster(job)
    atoms.positions *= job.rng.uniform(0.6, 0.95)
    if job.rng.random() < 0.5:
        return mols, np.nan, relaxed(atoms, student)
    temperature = job.rng.uniform(300, 1000)
    return mols, temperature, moving(atoms, student, temperature, job.rng)


def hot(job: Job, student: Student) -> tuple[list[Molecule], float, Walk]:
    """A molecule at temperatures that break it."""
    molecule = job.pick(frames.pool(job.split, ALONE))
    temperature = job.rng.uniform(1500, 4000)
    return [molecule], temperature, moving(embedded(job, molecule), student, temperature, job.rng)


def inserted(job: Job, student: Student) -> tuple[list[Molecule], float, Walk]:
    """A molecule, or one or two atoms, put anywhere into a cluster, then relaxed."""
    mols, atoms = cluster(job)
    if job.rng.random() < 0.5:
        mols.append(job.pick(frames.smallest(job.split, 6)))
        new = [embedded(job, mols[-1])]
    else:
        new = scatter.atoms_of(scatter.composition(int(job.rng.integers(1, 3)), job.rng))
    edge = np.ptp(atoms.positions, axis=0).max()
    atoms = scatter.thrown(new, edge, OVERLAP, job.rng, into=atoms)
    return mols, np.nan, relaxed(atoms, student)


def crowded(job: Job, student: Student) -> tuple[list[Molecule], float, Walk]:
    """Molecules in a cube that is too small for them, relaxed."""
    mols = few(job)
    edge = job.rng.uniform(2.5, 5.0)
    atoms = scatter.thrown([embedded(job, m) for m in mols], edge, OVERLAP, job.rng)
    return mols, np.nan, relaxed(atoms, student)


# As often as they stand here.
TRIALS = [scattered] * 6 + [between] * 4 + [compressed] * 3
TRIALS += [inserted] * 3 + [hot] * 2 + [crowded] * 2


def numbers_of(molecule: Molecule) -> list[int]:
    """Atomic numbers of a molecule of the list, hydrogen included."""
    atoms = Chem.AddHs(Chem.MolFromSmiles(molecule.smiles)).GetAtoms()
    return [atom.GetAtomicNum() for atom in atoms]


def embedded(job: Job, molecule: Molecule) -> Atoms:
    """A random conformer of a molecule of the list, about the origin (Å)."""
    atoms = geometry.to_atoms(geometry.embed(molecule.smiles, job.rng))
    atoms.positions -= atoms.positions.mean(axis=0)
    return atoms


def few(job: Job) -> list[Molecule]:
    """Two to four small molecules, at random."""
    mols = [job.pick(frames.smallest(job.split, 6)) for _ in range(job.rng.integers(2, 5))]
    while sum(m.atoms for m in mols) > TOGETHER and len(mols) > 2:
        mols.pop()
    return mols


def cluster(job: Job) -> tuple[list[Molecule], Atoms]:
    """A few small molecules, and a cluster of them about the origin (Å)."""
    mols = few(job)
    atoms = explore.packed(job, mols)
    atoms.positions -= atoms.positions.mean(axis=0)
    return mols, atoms


# --- paths: (structure, the student's energy in eV) at each step


def relaxed(atoms: Atoms, student: Student, steps: int = RELAXED) -> Walk:
    """A relaxation by FIRE: each structure on the way with its energy (eV)."""
    atoms.calc = student.calculator
    for _ in FIRE(atoms, logfile=None).irun(steps=steps):
        yield frames.bare(atoms), atoms.get_potential_energy()


def moving(atoms: Atoms, student: Student, temperature: float, rng: np.random.Generator) -> Walk:
    """Langevin dynamics at a temperature (K): each structure with its potential energy (eV)."""
    atoms.calc = student.calculator
    thermalize_momenta(atoms, temperature, rng=rng)
    how = {"temperature_K": temperature, "friction": frames.FRICTION, "fixcm": False, "rng": rng}
    motion = Langevin(atoms, STEP, **how)
    for _ in motion.irun(steps=HOT):
        yield frames.bare(atoms), atoms.get_potential_energy()


def banded(images: list[Atoms], student: Student, steps: int = BANDED) -> Walk:
    """The images between the ends with their energies (eV), while a nudged elastic band moves
    them.
    """
    for image in images:
        image.calc = student.calculator
    band = NEB(images, method="improvedtangent", allow_shared_calculator=True)
    for _ in FIRE(band, logfile=None).irun(steps=steps):
        for image, energy in zip(images[1:-1], band.energies[1:-1], strict=True):
            yield frames.bare(image), energy


# --- what is seen on a path, and what is labelled


@dataclass(frozen=True)
class Look:
    """A structure on a path."""

    atoms: Atoms
    above: float  # the student's energy above hydrides, eV for each atom
    closest: float  # covalent sums


def followed(path: Walk, student: Student) -> tuple[list[Look], bool]:
    """The structures of a path up to where the student fails, and whether it did."""
    looks = []
    try:
        # Energies in holes overflow.
        with np.errstate(all="ignore"):
            for atoms, energy in path:
                above = student.floor.above(energy, atoms.numbers)
                looks.append(look := Look(atoms, above, scatter.closest(atoms)))
                # It only gets deeper, and there is nothing left to label.
                if look.above < floor.HOLE and look.closest < CLOSEST:
                    break
    except teachers.FAILURES:
        return looks, True
    return looks, False


def chosen(looks: list[Look], student: Student, rng: np.random.Generator) -> list[Atoms]:
    """Structures of a path to label: first, lowest, those on which students differ most, some at
    random.
    """
    sound = [look for look in looks if look.closest >= CLOSEST]
    if not sound:
        return []
    ends = [sound[0]]
    if (lowest := min(sound, key=lambda look: look.above)) is not sound[0]:
        ends.append(lowest)
    others = [look.atoms for look in spread(sound) if look not in ends]
    judged = [(atoms, difference(atoms, student)) for atoms in others]
    return [look.atoms for look in ends] + explore.choose(judged, rng, BY_CHANCE, UNSURE)


def spread(looks: list[Look]) -> list[Look]:
    """At most LOOKS structures of a path, at equal distances along it."""
    moves = [np.linalg.norm(b.atoms.positions - a.atoms.positions) for a, b in pairwise(looks)]
    way = np.concatenate([[0.0], np.cumsum(moves)])
    places = np.searchsorted(way, np.linspace(0.0, way[-1], LOOKS))
    return [looks[i] for i in sorted(set(places.tolist()))]


def difference(atoms: Atoms, student: Student) -> float:
    """The largest difference of another student's force from this one's (eV/Å); infinite where one
    of them fails.
    """
    try:
        mine = forces(student, atoms)
        others = [forces(other, atoms) for other in students() if other is not student]
    except teachers.FAILURES:
        return np.inf
    return max((np.linalg.norm(mine - force, axis=1).max() for force in others), default=0.0)


def forces(student: Student, atoms: Atoms) -> np.ndarray:
    """A student's forces (n, 3), in eV/Å."""
    moved = atoms.copy()
    moved.calc = student.calculator
    return moved.get_forces()


# --- students


@dataclass(frozen=True)
class Student:
    """A student as ASE calculator, and its energies of hydrides."""

    calculator: Calculator
    floor: floor.Floor


def load(path: str | Path) -> Student:
    """Reads a student from its file."""
    calculator = teachers.student(path).calculator()
    return Student(calculator, floor.Floor(calculator))


_students = None


def load_students(*paths: str) -> None:
    """Loads the students of a worker process from their files."""
    global _students
    _students = [load(path) for path in paths]


def students() -> list[Student]:
    """The students of this worker process."""
    return _students


@functools.cache
def floor_of(teacher: Teacher) -> floor.Floor:
    """The teacher's own energies of hydrides."""
    return floor.Floor(teacher.calculator())


# --- what became of the trials


def outcome(looks: list[Look], broke: bool) -> dict[str, Any]:
    """The lowest energy that a student saw (eV/atom above hydrides), whether that is a hole, and
    whether the student failed.
    """
    lowest = min((look.above for look in looks), default=None)
    return {"lowest": lowest, "hole": lowest is not None and lowest < floor.HOLE, "broke": broke}


def keep(trial: Trial, value: dict[str, Any]) -> None:
    """Stores how a trial ended."""
    folder = trial.folder / "trials"
    folder.mkdir(exist_ok=True)
    (folder / f"{trial.name}.json").write_text(json.dumps(value))


def counts(folder: str | Path, paths: Sequence) -> dict[str, dict[str, dict]]:
    """Student → kind of trial → numbers of trials, of those that ended in a hole and of those on
    which the student failed, and the lowest energy (eV/atom above hydrides).
    """
    found = {str(path): {} for path in paths}
    for file in sorted((Path(folder) / "trials").glob("*.json")):
        trial = json.loads(file.read_text())
        kinds = found[str(paths[trial["student"]])]
        none = {"trials": 0, "holes": 0, "broke": 0, "lowest": None}
        kind = kinds.setdefault(trial["trial"], none)
        kind["trials"] += 1
        kind["holes"] += trial["hole"]
        kind["broke"] += trial["broke"]
        seen = [value for value in (kind["lowest"], trial["lowest"]) if value is not None]
        kind["lowest"] = min(seen, default=None)
    return found


def report(folder: str | Path, paths: Sequence) -> None:
    """Writes hunt.json with the counts of all trials in a folder, and prints them."""
    found = counts(folder, paths)
    text = json.dumps({"hole_ev_per_atom": floor.HOLE, "students": found}, indent=1)
    (Path(folder) / "hunt.json").write_text(text + "\n")
    kinds = [begin.__name__ for begin in dict.fromkeys(TRIALS)]
    print("trials that ended in a hole, of all:")
    for path, own in found.items():
        numbers = ((kind, own[kind]["holes"], own[kind]["trials"]) for kind in kinds if kind in own)
        texts = (f"{kind} {holes}/{trials}" for kind, holes, trials in numbers)
        print(f"{Path(path).name}: {', '.join(texts)}")
