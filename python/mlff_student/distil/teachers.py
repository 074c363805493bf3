"""The teacher: energies, forces and stress from any ASE calculator, and what is not accepted as a label."""

import importlib
from importlib.metadata import version

import numpy as np
from ase.calculators.calculator import CalculationFailed, InputError, ReadError

from .dataset import Frame
from .molecules import ELEMENTS, OTHER_ELEMENTS

# eV/Å; beyond it are structures that no simulation should reach, but for those made to show the way up to them.
MAX_FORCE = {"collision": 1000.0, "hunt": 200.0}
USUAL_MAX_FORCE = 20.0
# Of positions (Å) and forces (eV/Å): files take half the space, and students err by a hundred times as much.
DECIMALS = 4


class Dropped(Exception):
    """A structure that gets no label; the message is the reason that is counted."""


# What calculators raise where a structure is beyond them, by ASE's convention. Anything else is an error of the program or
# the machine: other RuntimeErrors may be properties that a calculator lacks, or a GPU without memory.
FAILURES = (CalculationFailed, InputError, ReadError, ArithmeticError, np.linalg.LinAlgError)


class Teacher:
    """A named source of ASE calculators. `calculator()` has no memory of earlier structures, so a label depends on the
    structure alone."""

    def __init__(self, name, calculator):
        self.name = name
        self.calculator = calculator

    def label(self, atoms, kind="", **metadata):
        """A labelled frame of this ASE structure (eV, Å), or `Dropped`."""
        atoms = prepared(atoms)
        atoms.calc = self.calculator()
        try:
            energy, forces = atoms.get_potential_energy(), atoms.get_forces()
            stress = stress_of(atoms) if atoms.pbc.all() else None
        except FAILURES as error:
            raise Dropped("unconverged") from error
        return labelled(atoms, energy, forces, stress, kind, **metadata)

    def label_all(self, structures):
        """For each of the structures, which are (ASE structure, metadata): its labelled frame, or the
        reason why there is none."""
        for atoms, metadata in structures:
            try:
                yield self.label(atoms, **metadata)
            except Dropped as reason:
                yield str(reason)


def prepared(atoms):
    """A copy to label, or `Dropped`."""
    # Rounding first makes labels exact for what the files hold.
    atoms = atoms.copy()
    # Constraints would set forces to zero.
    atoms.set_constraint()
    atoms.positions = atoms.positions.round(DECIMALS)
    atoms.cell = atoms.cell.array.round(8)
    check_structure(atoms)
    return atoms


def labelled(atoms, energy, forces, stress, kind="", energy_decimals=8, **metadata):
    """The frame of a prepared structure with these labels, or `Dropped`."""
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


def stress_of(atoms):
    """Of a box, or None where the calculator knows no stress: energies and forces are labels without it."""
    try:
        return atoms.get_stress(voigt=False)
    except NotImplementedError:
        return None


def check_structure(atoms):
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


def check_label(atoms, energy, forces, stress, max_force):
    labels = [(energy, ()), (forces, (len(atoms), 3))] + (
        [] if stress is None else [(stress, (3, 3))]
    )
    if any(np.shape(values) != shape for values, shape in labels):
        raise Dropped("label of wrong shape")
    if not all(np.isfinite(values).all() for values, _ in labels):
        raise Dropped("label not finite")
    if np.linalg.norm(forces, axis=1).max() > max_force:
        raise Dropped(f"force above {max_force:g} eV/Å")


def gfn2():
    """GFN2-xTB of tblite, for molecules and periodic cells alike."""
    from tblite.ase import TBLite

    return Teacher(
        f"tblite {version('tblite')} GFN2-xTB", lambda: TBLite(method="GFN2-xTB", verbosity=0)
    )


def student(model):
    """A student in the teacher's place, where atoms are only to be moved."""
    from ase.calculators.calculator import all_changes

    from mlff_student import Calculator, Error

    class Mover(Calculator):
        def check_state(self, atoms, tol=0.0):
            """What changed since the last structure: all or nothing. ASE's way takes longer than a small student."""
            known = self.atoms
            same = known is not None and all(
                np.array_equal(getattr(known, name), getattr(atoms, name))
                for name in ("numbers", "positions", "pbc", "cell")
            )
            return [] if same else all_changes

        def calculate(self, *arguments, **options):
            try:
                super().calculate(*arguments, **options)
            except Error as error:
                if error.status != "MLFF_ERROR_NUMERIC":
                    raise  # an element that the student does not know, say: no frame's fault
                raise CalculationFailed(str(error)) from error

    calculator = Mover(model)
    return Teacher(str(model), lambda: calculator)


def load(spec):
    """`gfn2`, `ani1ccx`, or `module:factory` for a function without arguments that returns an ASE calculator."""
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
