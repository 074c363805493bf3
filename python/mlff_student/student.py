# SPDX-License-Identifier: MIT OR Apache-2.0
"""A student and what it computes, in numpy arrays."""

import ctypes
import os
import threading
import warnings
import weakref
from dataclasses import dataclass
from typing import Any, Optional

import numpy as np

from . import library as lib

PRECISIONS = {"mixed": 0, "double": 1}
FILTERS = {"table": 0, "exact": 1}
ENGINES = {"own": 0, "torch": 1}
# The library itself says nothing on stderr: warn is MLFF_CHECK_REPORT.
CHECKS = {"warn": 1, "strict": 2, "off": 3}
ARCHITECTURES = {1: "published", 2: "painn", 3: "torchscript"}


@dataclass
class Structure:
    """Atoms, and a cell where they repeat."""

    #: Atomic numbers, one for each of the N atoms.
    numbers: Any
    #: N x 3, inside the cell or not (Angstrom).
    positions: Any
    #: 3 x 3, one lattice vector per row (Angstrom); not used where nothing repeats.
    cell: Any = None
    #: Whether the structure repeats along each lattice vector; one value for all three or three values.
    pbc: Any = False

    @classmethod
    def from_ase(cls, atoms):
        """The structure of an ase.Atoms."""
        return cls(atoms.numbers, atoms.positions, np.asarray(atoms.cell), atoms.pbc)


@dataclass
class Results:
    """What a student says about a structure of N atoms."""

    #: eV.
    energy: float
    #: Energy of each atom, N (eV).
    energies: np.ndarray
    #: N x 3 (eV/Angstrom).
    forces: np.ndarray
    #: 3 x 3 (eV); positive where the system pushes outward.
    virial: np.ndarray
    #: 3 x 3 (eV/Angstrom^3), positive = tension; None unless periodic in three directions.
    stress: Optional[np.ndarray]


class OutsideWarning(UserWarning):
    """A student was taken for what it did not learn."""


@dataclass(frozen=True)
class Findings:
    """What a computation found that the student did not learn. Atoms are numbered from 0."""

    #: In how many structures something was found.
    structures: int = 0
    #: The first of them, which all below is about.
    structure: int = 0
    #: How many atoms have energies far outside those of the student's training data.
    outside: int = 0
    #: The first of these atoms, at most 8, ascending.
    atoms: tuple = ()
    #: How many pairs of atoms are nearer than half of the sum of their covalent radii.
    overlaps: int = 0
    #: The first of these pairs, at most 8.
    pairs: tuple = ()


@dataclass(frozen=True)
class Info:
    """What a student is."""

    architecture: str
    hidden: int
    blocks: int
    basis: int
    parameters: int
    #: Atomic numbers that the student knows, ascending.
    species: tuple
    #: Angstrom.
    cutoff: float
    #: Whether the architecture makes the energy independent of orientation.
    rotation_invariant: bool
    #: Whether the architecture makes the energy continuous where pairs cross the cutoff.
    continuous_at_cutoff: bool
    #: Whether the student says which energies atoms have in its training data. Without it atoms
    #: outside are not found.
    energy_range: bool


class Student:
    """Evaluates one model file. Threads take turns: make one for each thread that computes. A process that was forked
    reads the file again when it computes, and so do copies.

    path       a student in any format that `mlff-student inspect` reads
    precision  "mixed" (float32 features) or "double"
    filter     "table" (interpolated) or "exact"
    threads    threads of each computation; the results do not depend on it
    device     "cpu", or an NVIDIA GPU: "cuda", "cuda:1"
    engine     "own", or "torch" for libtorch (slow, for comparison); TorchScript models always run there
    check      where atoms are far outside of what the student learned, or overlap: "warn" (an
               OutsideWarning, once of each), "strict" (an OutsideError) or "off"; see findings
    library    path of libmlff_student.so, see the README for where it is sought otherwise
    """

    def __init__(
        self,
        path,
        precision="mixed",
        filter="table",
        threads=1,
        library=None,
        device="cpu",
        engine="own",
        check="warn",
    ):
        # Copies find the files from another working directory, too.
        path = os.path.abspath(path)
        if library is not None and os.path.exists(library):
            library = os.path.abspath(library)
        self._arguments = {
            "path": path,
            "precision": precision,
            "filter": filter,
            "threads": threads,
            "library": library,
            "device": device,
            "engine": engine,
            "check": check,
        }
        kind, index = device_of(device)
        self._options = lib.Options(
            device=kind,
            device_index=index,
            engine=choice("engine", engine, ENGINES),
            precision=choice("precision", precision, PRECISIONS),
            filter=choice("filter", filter, FILTERS),
            threads=positive("threads", threads),
            check=choice("check", check, CHECKS),
        )
        self._findings, self._warned = Findings(), set()
        self._library = lib.load(lib.find(library))
        self._open()

    def _open(self):
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

    @property
    def settings(self):
        """The arguments that it was made with, by name, without the library's."""
        return {name: value for name, value in self._arguments.items() if name != "library"}

    def __reduce__(self):
        # Copies and processes read the file again: a handle belongs to one object.
        return Student, tuple(self._arguments.values())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Frees the student before Python would, after what computes; allowed more than once."""
        with self._lock:
            self._calculator = None
            self._free()

    @property
    def findings(self):
        """What the last computation found that the student did not learn, also one that ended with
        an OutsideError; nothing with check="off"."""
        return self._findings

    def compute(self, structure):
        """Results for a Structure."""
        return self._compute([structure])[0]

    def compute_batch(self, structures):
        """Results for each Structure, for all of them or, on error, for none."""
        return self._compute(structures)

    def _compute(self, structures):
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
            said = sentences(self._findings, self._warned)
        for sentence in said:
            # Of the line that called compute.
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

    def _check(self, status):
        lib.check(self._library, status)

    def _found(self):
        raw = lib.Check()
        self._check(self._library.mlff_calculator_get_check(self._calculator, ctypes.byref(raw)))
        atoms = tuple(atom for atom in raw.atoms if atom >= 0)
        ends = [atom for atom in raw.pairs if atom >= 0]
        pairs = tuple(zip(ends[::2], ends[1::2]))
        return Findings(raw.structures, raw.structure, raw.outside, atoms, raw.overlaps, pairs)

    def _describe(self, model):
        raw = lib.ModelInfo()
        self._check(self._library.mlff_model_get_info(model, ctypes.byref(raw)))
        species, count = (ctypes.c_int32 * raw.species_count)(), ctypes.c_uint32()
        self._check(
            self._library.mlff_model_get_species(
                model, raw.species_count, species, ctypes.byref(count)
            )
        )
        return Info(
            ARCHITECTURES.get(raw.architecture, f"number {raw.architecture}"),
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


def sentences(findings, said):
    """What there is to say of atoms and of pairs, unless it is in `said`, where it is noted."""
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


def named(first, count):
    """The first few of so many."""
    return ", ".join(map(str, first)) + (f", … {count} in all" if count > len(first) else "")


def choice(what, value, choices):
    if value not in choices:
        raise ValueError(f"{what} {value!r}: expected " + " or ".join(map(repr, choices)))
    return choices[value]


def device_of(text):
    """MLFF_DEVICE_* and the number of a GPU."""
    if text == "cpu":
        return 0, 0
    kind, _, number = str(text).partition(":")
    if kind != "cuda" or not (number or "0").isdecimal():
        raise ValueError(
            f"device {text!r}: expected 'cpu', 'cuda', or 'cuda:' and the number of a GPU"
        )
    return 1, int(number or 0)


def positive(what, value):
    if isinstance(value, bool) or int(value) != value or not 1 <= value < 2**32:
        raise ValueError(f"{what} {value!r}: expected a whole number from 1 on")
    return int(value)


def matrix(values):
    return np.array(values).reshape(3, 3)


def as_arrays(index, structure):
    """A structure's numbers, positions, cell and periodic directions as the C API wants them."""

    def wrong(what, expected, found):
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
