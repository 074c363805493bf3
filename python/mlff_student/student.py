# SPDX-License-Identifier: MIT OR Apache-2.0
"""A student and what it computes, in numpy arrays."""

import ctypes
import functools
import os
import textwrap
import threading
import warnings
import weakref
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional, Union

import numpy as np

from . import library as lib

if TYPE_CHECKING:
    import ase

#: MLFF_CHECK_WARN and MLFF_CHECK_REPORT: the library itself says nothing on stderr, Student warns.
WARN, REPORT = 0, 1


@dataclass
class Structure:
    """N atoms and, if they are periodic, a cell. Lists are taken as well as numpy arrays."""

    #: Atomic numbers: N integers.
    numbers: Any
    #: Cartesian coordinates: N x 3 (Angstrom), inside the cell or not.
    positions: Any
    #: Lattice vectors, one in each row: 3 x 3 (Angstrom). Not used if nothing is periodic.
    cell: Any = None
    #: Whether the structure is periodic along each lattice vector: one bool, or three.
    pbc: Any = False

    @classmethod
    def from_ase(cls, atoms: "ase.Atoms") -> "Structure":
        """Makes the Structure of an ase.Atoms; numbers and positions are shared, not copied."""
        return cls(atoms.numbers, atoms.positions, np.asarray(atoms.cell), atoms.pbc)


@dataclass
class Results:
    """What a student computes for a structure of N atoms."""

    #: Potential energy (eV).
    energy: float
    #: Energy of each atom: N (eV). Their sum is `energy`.
    energies: np.ndarray
    #: N x 3 (eV/Angstrom).
    forces: np.ndarray
    #: 3 x 3 (eV); its trace is positive where the system pushes outward.
    virial: np.ndarray
    #: 3 x 3 (eV/Angstrom^3), positive is tension; None unless periodic in three directions.
    stress: Optional[np.ndarray]


class OutsideWarning(UserWarning):
    """Atoms are far outside of the student's training data, or overlap."""


@dataclass(frozen=True)
class Findings:
    """Atoms and pairs of a computation that the student did not learn. Atoms count from 0."""

    #: Number of structures of the computation in which something was found.
    structures: int = 0
    #: Index of the first of these structures; all that follows is about this one.
    structure: int = 0
    #: Number of atoms whose energies are far outside those of the training data.
    outside: int = 0
    #: Indices of the first of these atoms, at most 8, ascending.
    atoms: tuple[int, ...] = ()
    #: Number of pairs of atoms nearer than half of the sum of their covalent radii.
    overlaps: int = 0
    #: Indices (i, j) of the first of these pairs, at most 8.
    pairs: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class Info:
    """What a student is."""

    #: "published", "painn" or "torchscript".
    architecture: str
    #: Number of scalar features of each atom.
    hidden: int
    #: Number of message-passing blocks.
    blocks: int
    #: Number of radial basis functions.
    basis: int
    #: Number of trained parameters.
    parameters: int
    #: Atomic numbers that the student knows, ascending.
    species: tuple[int, ...]
    #: Cutoff radius (Angstrom).
    cutoff: float
    #: Whether the architecture makes the energy independent of orientation.
    rotation_invariant: bool
    #: Whether the architecture makes the energy continuous where pairs cross the cutoff.
    continuous_at_cutoff: bool
    #: Whether the file says which energies atoms have in the training data. Atoms outside of them
    #: are found only if it does.
    energy_range: bool


class Described:
    """A docstring with the library's own list of options, read when somebody asks for it."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __get__(self, instance: object, owner: Optional[type] = None) -> str:
        try:
            options = lib.options(lib.load(lib.find()))
        except lib.Error:
            return self.text.replace("OPTIONS", "    OPTION      (the library is not there)")
        lines = []
        for option in options:
            about = (
                f"{option.about} ({option.values.replace('|', ', ')}; default: {option.default})"
            )
            lines += textwrap.wrap(
                about, 98, initial_indent=f"    {option.name:<12}", subsequent_indent=" " * 16
            )
        return self.text.replace("OPTIONS", "\n".join(lines))


class Student:  # noqa: D101 - its docstring is put together
    __doc__ = Described("""A model file, ready to compute. Needs numpy alone.

    >>> from mlff_student import Structure, Student
    >>> student = Student("models/organics-medium.safetensors")
    >>> water = Structure([8, 1, 1], [[0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]])
    >>> results = student.compute(water)
    >>> results.energy      # eV
    >>> results.forces      # (3, 3), eV/Angstrom

    path        a student in any format that `mlff-student inspect` reads
    library     path of libmlff_student.so; without it that of the environment variable
                MLFF_STUDENT_LIBRARY, else the one beside the package, in the source tree or known
                to the system's loader
OPTIONS

    Where the student is taken for what it did not learn, check="warn" gives an OutsideWarning, once
    of each kind, "strict" an OutsideError; `findings` says which atoms.

    Threads that share a Student wait for each other: make one for each thread that computes.
    Copies, unpickled objects and forked processes read the file again.

    Raises Error if the file cannot be read, TypeError for an option that does not exist, and
    ValueError for a value that an option does not have.
    """)

    def __init__(
        self,
        path: Union[str, "os.PathLike[str]"],
        library: Union[str, "os.PathLike[str]", None] = None,
        **options: Union[str, int],
    ) -> None:
        # Copies find the files from another working directory, too.
        path = os.path.abspath(path)
        if library is not None and os.path.exists(library):
            library = os.path.abspath(library)
        self._findings, self._warned = Findings(), set()
        self._library = lib.load(lib.find(library))
        self._options = lib.Options()
        # What the options are in the end, those that nobody gave as well.
        values = lib.set_options(self._library, self._options, options)
        self._warns = self._options.check == WARN
        if self._warns:
            self._options.check = REPORT
        self._arguments = {"path": path, "library": library, **values}
        self._open()

    def _open(self) -> None:
        """Reads the model file and makes the calculator."""
        model = ctypes.c_void_p()
        self._check(
            self._library.mlff_model_load(os.fsencode(self._arguments["path"]), ctypes.byref(model))
        )
        try:
            self.info = self._describe(model)
            calculator = ctypes.c_void_p()
            self._check(
                self._library.mlff_calculator_new(
                    model, ctypes.byref(self._options), ctypes.byref(calculator)
                )
            )
        finally:
            # The calculator keeps what it needs of the model.
            self._library.mlff_model_free(model)
        self._calculator, self._process, self._lock = calculator, os.getpid(), threading.Lock()
        self._free = weakref.finalize(self, self._library.mlff_calculator_free, calculator)
        # At exit a daemon thread may still compute.
        self._free.atexit = False

    def __repr__(self) -> str:
        return self.describe("Student")

    def describe(self, kind: str = "Student") -> str:
        """One line: file, architecture, elements, cutoff, and how it is evaluated."""
        info, arguments = self.info, self._arguments
        return (
            f"<{kind} {Path(arguments['path']).stem}: {info.architecture} of "
            f"{info.parameters:,} parameters for {symbols(info.species)}, "
            f"cutoff {info.cutoff:g} Å; device {arguments['device']}, "
            f"precision {arguments['precision']}>"
        )

    @property
    def settings(self) -> dict[str, Any]:
        """The arguments that it was made with, by name, but for `library`."""
        return {name: value for name, value in self._arguments.items() if name != "library"}

    def __reduce__(self) -> tuple:
        # Copies and processes read the file again: a handle belongs to one object.
        return functools.partial(Student, **self._arguments), ()

    def __enter__(self) -> "Student":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Frees memory and threads at once, after computations that are running.

        May be called more than once; `with Student(...) as student:` does it at the end.
        """
        with self._lock:
            self._calculator = None
            self._free()

    @property
    def findings(self) -> Findings:
        """Atoms of the last computation that the student did not learn.

        They are there after an OutsideError, too. With check="off" nothing is looked for.
        """
        return self._findings

    def compute(self, structure: Structure) -> Results:
        """Computes one structure.

        Raises ValueError if its arrays have the wrong shapes, and Error if the student does not
        know an element or atoms are at the same place.
        """
        return self._compute([structure])[0]

    def compute_batch(self, structures: Iterable[Structure]) -> list[Results]:
        """Computes many structures, in their order: small ones together, faster than one by one.

        Raises as `compute` does; then there are no results of any of them.
        """
        return self._compute(structures)

    def _compute(self, structures: Iterable[Structure]) -> list[Results]:
        structures = [as_arrays(k, structure) for k, structure in enumerate(structures)]
        if self._calculator is not None and self._process != os.getpid():
            # Threads, a GPU and locks stayed in the process that was forked.
            self._free.detach()
            self._open()
        inputs = (lib.StructureInput * len(structures))()
        outputs = (lib.ResultsOutput * len(structures))()
        arrays = []
        for k, (numbers, positions, cell, pbc) in enumerate(structures):
            energies, forces = np.empty(len(numbers)), np.empty((len(numbers), 3))
            arrays.append((energies, forces))
            inputs[k] = lib.StructureInput(
                atoms=len(numbers),
                species=numbers.ctypes.data,
                positions=positions.ctypes.data,
                cell=None if cell is None else cell.ctypes.data,
                periodic=tuple(pbc.tolist()),
            )
            outputs[k] = lib.ResultsOutput(
                atomic_energies=energies.ctypes.data, forces=forces.ctypes.data
            )
        with self._lock:
            self._findings = Findings()
            compute = self._library.mlff_calculator_compute_batch
            status = compute(self._calculator, len(structures), inputs, outputs)
            if status in (0, lib.OUTSIDE):
                self._findings = self._found()
            self._check(status)
            said = sentences(self._findings, self._warned) if self._warns else []
        for sentence in said:
            # The warning names the line that called compute.
            warnings.warn(sentence, OutsideWarning, stacklevel=3)
        return [
            Results(
                output.energy,
                energies,
                forces,
                matrix(output.virial),
                matrix(output.stress) if pbc.all() else None,
            )
            for (_, _, _, pbc), output, (energies, forces) in zip(structures, outputs, arrays)
        ]

    def _check(self, status: int) -> None:
        lib.check(self._library, status)

    def _found(self) -> Findings:
        """The findings of the computation that just ended."""
        raw = lib.Check()
        self._check(self._library.mlff_calculator_get_check(self._calculator, ctypes.byref(raw)))
        atoms = tuple(atom for atom in raw.atoms if atom >= 0)
        ends = [atom for atom in raw.pairs if atom >= 0]
        pairs = tuple(zip(ends[::2], ends[1::2]))
        return Findings(raw.structures, raw.structure, raw.outside, atoms, raw.overlaps, pairs)

    def _describe(self, model: ctypes.c_void_p) -> Info:
        """The Info of a loaded model."""
        raw = lib.ModelInfo()
        self._check(self._library.mlff_model_get_info(model, ctypes.byref(raw)))
        species, count = (ctypes.c_int32 * raw.species_count)(), ctypes.c_uint32()
        self._check(
            self._library.mlff_model_get_species(
                model, raw.species_count, species, ctypes.byref(count)
            )
        )
        return Info(
            raw.architecture_name.decode(),
            raw.hidden,
            raw.blocks,
            raw.basis,
            raw.parameters,
            tuple(species),
            raw.cutoff,
            bool(raw.rotation_invariant),
            bool(raw.continuous_at_cutoff),
            bool(raw.energy_range),
        )


def symbols(species: Sequence[int]) -> str:
    """Chemical symbols of atomic numbers; the numbers themselves if ASE is not installed."""
    try:
        from ase.data import chemical_symbols
    except ImportError:
        return f"atomic numbers {' '.join(map(str, species))}"
    return " ".join(chemical_symbols[number] for number in species)


def sentences(findings: Findings, said: set[str]) -> list[str]:
    """The texts of warnings about atoms and pairs, each once: `said` remembers which came before.

    `said` is changed: "atoms" and "pairs" are added to it.
    """
    place = ""
    if findings.structures > 1:
        place = f"structure {findings.structure}, the first of {findings.structures}: "
    elif findings.structure > 0:
        place = f"structure {findings.structure}: "
    new = []
    if findings.outside > 0 and "atoms" not in said:
        said.add("atoms")
        atoms = named(findings.atoms, findings.outside)
        new.append(
            f"{place}atoms with energies far outside of those of the student's training data "
            f"({atoms}): its forces there are guesses; look at what surrounds these atoms, or "
            "train on structures like this one"
        )
    if findings.overlaps > 0 and "pairs" not in said:
        said.add("pairs")
        pairs = named([f"{i} and {j}" for i, j in findings.pairs], findings.overlaps)
        new.append(
            f"{place}atoms nearer to each other than half of the sum of their covalent radii "
            f"({pairs}): remove one of the two or move them apart"
        )
    return new


def named(first: Sequence, count: int) -> str:
    """The first few of `count` items, separated by commas, and how many there are in all."""
    return ", ".join(map(str, first)) + (f", … {count} in all" if count > len(first) else "")


def matrix(values: Sequence[float]) -> np.ndarray:
    """Nine numbers as a 3 x 3 array, row by row."""
    return np.array(values).reshape(3, 3)


def as_arrays(
    index: int, structure: Structure
) -> tuple[np.ndarray, np.ndarray, Optional[np.ndarray], np.ndarray]:
    """A structure's arrays as the C API takes them.

    Numbers: N, int32. Positions: N x 3, float64 (Angstrom). Cell: 3 x 3, float64, right-handed
    (Angstrom), or None. Periodic directions: 3, bool. ValueError if one has another shape or type;
    its message names the structure by its index.
    """

    def wrong(what: str, expected: str, found: object) -> ValueError:
        return ValueError(f"structure {index}: {what} {expected}, found {found}")

    numbers = np.asarray(structure.numbers)
    if numbers.ndim != 1 or (numbers.size and numbers.dtype.kind not in "iu"):
        raise wrong(
            "numbers",
            "must be one atomic number for each atom",
            f"{numbers.dtype} of shape {numbers.shape}",
        )
    species = np.ascontiguousarray(numbers, dtype=np.int32)
    for atom in np.flatnonzero(species != numbers)[:1]:
        raise wrong("numbers", "must be atomic numbers", f"{numbers[atom]} for atom {atom}")
    positions = np.ascontiguousarray(structure.positions, dtype=np.float64)
    if positions.shape != (len(numbers), 3) and positions.size + numbers.size > 0:
        raise wrong("positions", f"must have the shape ({len(numbers)}, 3)", positions.shape)
    pbc = np.asarray(structure.pbc)
    if pbc.dtype != bool or pbc.shape not in ((), (3,)):
        raise wrong("pbc", "must be True or False, once or three times", repr(structure.pbc))
    pbc = np.broadcast_to(pbc, 3)
    cell = None
    if pbc.any() and structure.cell is not None:
        cell = np.ascontiguousarray(structure.cell, dtype=np.float64)
        if cell.shape != (3, 3):
            raise wrong("cell", "must have the shape (3, 3)", cell.shape)
        if np.linalg.det(cell) < 0:
            # The library takes right-handed cells; the negative vectors span the same lattice.
            cell = -cell
    return species, positions, cell, pbc
