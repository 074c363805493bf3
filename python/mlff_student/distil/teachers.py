"""The teacher: energies, forces and stress from any ASE calculator, and what is not accepted as a
label.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import CalculationFailed, InputError, ReadError
from ase.calculators.calculator import Calculator as AseCalculator

from .dataset import Frame
from .molecules import ELEMENTS, OTHER_ELEMENTS

# eV/Å; beyond it are structures that no simulation should reach, but for those made to show the way
# up to them.
MAX_FORCE = {"collision": 1000.0, "hunt": 200.0}
USUAL_MAX_FORCE = 20.0
# Decimals of labelled positions (Å) and forces (eV/Å): files take half the space, and errors of
# students are a hundred times as large.
DECIMALS = 4


class Dropped(Exception):
    """A structure that gets no label; the message is the reason that is counted."""


# What calculators raise where a structure is beyond them, by ASE's convention. Anything else is an
# error of the program or the machine: other RuntimeErrors may be properties that a calculator
# lacks, or a GPU without memory.
FAILURES = (CalculationFailed, InputError, ReadError, ArithmeticError, np.linalg.LinAlgError)


class Teacher:
    """A named source of ASE calculators.

    `calculator()` has no memory of earlier structures, so that a label depends on the structure
    alone.
    """

    def __init__(self, name: str, calculator: Callable[[], AseCalculator]) -> None:
        self.name = name
        self.calculator = calculator

    def label(self, atoms: Atoms, kind: str = "", **metadata: Any) -> Frame:
        """Labels an ASE structure (eV, Å); raises Dropped where there is no label."""
        atoms = prepared(atoms)
        atoms.calc = self.calculator()
        try:
            energy, forces = atoms.get_potential_energy(), atoms.get_forces()
            stress = stress_of(atoms) if atoms.pbc.all() else None
        except FAILURES as error:
            raise Dropped("unconverged") from error
        return labelled(atoms, energy, forces, stress, kind, **metadata)

    def label_all(
        self, structures: Iterable[tuple[Atoms, dict[str, Any]]]
    ) -> Iterable[Frame | str]:
        """Labels (ASE structure, metadata) pairs: for each a frame, or the reason why there is
        none.
        """
        for atoms, metadata in structures:
            try:
                yield self.label(atoms, **metadata)
            except Dropped as reason:
                yield str(reason)


def prepared(atoms: Atoms) -> Atoms:
    """A copy of a structure to label, rounded as files hold it; raises Dropped where it must not be
    labelled.
    """
    # Rounding first makes labels exact for what the files hold.
    atoms = atoms.copy()
    # Constraints would set forces to zero.
    atoms.set_constraint()
    atoms.positions = atoms.positions.round(DECIMALS)
    atoms.cell = atoms.cell.array.round(8)
    check_structure(atoms)
    return atoms


def labelled(
    atoms: Atoms,
    energy: float,
    forces: np.ndarray,
    stress: np.ndarray | None,
    kind: str = "",
    energy_decimals: int = 8,
    **metadata: Any,
) -> Frame:
    """The frame of a prepared structure with these labels: energy (eV), forces (n, 3) in eV/Å,
    stress (3, 3) in eV/Å³.

    Raises Dropped for labels that are not finite or too large.
    """
    check_label(atoms, energy, forces, stress, MAX_FORCE.get(kind, USUAL_MAX_FORCE))
    return Frame(
        numbers=atoms.numbers.astype(np.uint8),
        positions=atoms.positions,
        cell=np.array(atoms.cell.array),
        pbc=np.array(atoms.pbc),
        energy=round(float(energy), energy_decimals),
        forces=np.asarray(forces, float).round(DECIMALS),
        stress=np.full((3, 3), np.nan) if stress is None else np.asarray(stress, float).round(10),
        kind=kind,
        **metadata,
    )


def stress_of(atoms: Atoms) -> np.ndarray | None:
    """The stress (3, 3) of a structure in eV/Å³; None where its calculator computes none."""
    try:
        return atoms.get_stress(voigt=False)
    except NotImplementedError:
        return None


def check_structure(atoms: Atoms) -> None:
    """Raises Dropped for what is empty, not finite, charged, open-shell, or has other elements."""
    if (
        len(atoms) == 0
        or not np.isfinite(atoms.positions).all()
        or not np.isfinite(atoms.cell.array).all()
    ):
        raise Dropped("structure empty or not finite")
    if not set(atoms.numbers.tolist()) <= set(ELEMENTS):
        raise Dropped(OTHER_ELEMENTS)
    if atoms.info.get("charge", 0) != 0:
        raise Dropped("charged")
    if atoms.numbers.sum() % 2 or atoms.info.get("spin", atoms.info.get("multiplicity", 1)) != 1:
        raise Dropped("open shell")


def check_label(
    atoms: Atoms, energy: float, forces: np.ndarray, stress: np.ndarray | None, max_force: float
) -> None:
    """Raises Dropped for labels of wrong shape, not finite, or with a force above max_force
    (eV/Å).
    """
    labels = [(energy, ()), (forces, (len(atoms), 3))] + (
        [] if stress is None else [(stress, (3, 3))]
    )
    if any(np.shape(values) != shape for values, shape in labels):
        raise Dropped("label of wrong shape")
    if not all(np.isfinite(values).all() for values, _ in labels):
        raise Dropped("label not finite")
    if np.linalg.norm(forces, axis=1).max() > max_force:
        raise Dropped(f"force above {max_force:g} eV/Å")


def gfn2() -> Teacher:
    """GFN2-xTB of tblite, for molecules and periodic cells alike."""
    from tblite.ase import TBLite

    return Teacher(
        f"tblite {version('tblite')} GFN2-xTB", lambda: TBLite(method="GFN2-xTB", verbosity=0)
    )


def student(model: str | Path) -> Teacher:
    """A student from a file in a teacher's place, where atoms are only moved, not labelled."""
    from ase.calculators.calculator import all_changes

    from mlff_student import Calculator, Error

    class Mover(Calculator):
        def check_state(self, atoms: Atoms, tol: float = 0.0) -> list[str]:
            """What changed since the last structure: all or nothing. ASE's way takes longer than a
            small student.
            """
            known = self.atoms
            same = known is not None and all(
                np.array_equal(getattr(known, name), getattr(atoms, name))
                for name in ("numbers", "positions", "pbc", "cell")
            )
            return [] if same else all_changes

        def calculate(self, *arguments: Any, **options: Any) -> None:
            try:
                super().calculate(*arguments, **options)
            except Error as error:
                if error.status != "MLFF_ERROR_NUMERIC":
                    raise  # an element that the student does not know, say: no frame's fault
                raise CalculationFailed(str(error)) from error

    calculator = Mover(model)
    return Teacher(str(model), lambda: calculator)


def load(spec: str) -> Teacher:
    """The teacher that --teacher names: `gfn2`, `ani1ccx`, or `module:factory` for a function
    without arguments that returns an ASE calculator.
    """
    if spec == "gfn2":
        return gfn2()
    if spec == "ani1ccx":
        from .ani import Ani1ccx

        return Ani1ccx()
    module, _, factory = spec.partition(":")
    if not factory:
        raise ValueError(f"--teacher: expected gfn2, ani1ccx or module:factory, found {spec!r}")
    try:
        make = getattr(importlib.import_module(module), factory)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"--teacher {spec}: {error}; is the module on PYTHONPATH?") from error
    # Learned potentials take seconds to load and carry nothing over from one structure to the next.
    calculator = make()
    return Teacher(spec, lambda: calculator)
