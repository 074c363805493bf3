# SPDX-License-Identifier: MIT OR Apache-2.0
"""The student as an ASE calculator."""

import os
import warnings
from collections.abc import Sequence
from typing import Any, Optional, Union

from ase import Atoms
from ase.calculators.calculator import Calculator as AseCalculator
from ase.calculators.calculator import all_changes
from ase.stress import full_3x3_to_voigt_6_stress

from .student import Described, Findings, Structure, Student


class Calculator(AseCalculator):  # noqa: D101 - its docstring is put together
    __doc__ = Described("""An ASE calculator that evaluates a student.

    >>> from ase.build import molecule
    >>> from mlff_student import Calculator
    >>> atoms = molecule("CH3CH2OH")
    >>> atoms.calc = Calculator("models/organics-medium.safetensors")
    >>> atoms.get_potential_energy()    # eV
    >>> atoms.get_forces()              # (atoms, 3), eV/Angstrom

    It computes energy, free_energy (the same number), energies (of each atom, eV), forces and,
    where the structure is periodic in all three directions, stress (6, as ASE orders it,
    eV/Angstrom^3, positive is tension).

    model_path  a student in any format that `mlff-student inspect` reads
    library     path of libmlff_student.so, see Student
OPTIONS

    A warning says whether the student's energy depends on orientation or jumps where a pair of
    atoms crosses the cutoff.
    """)

    name = "mlff_student"
    implemented_properties = ["energy", "free_energy", "energies", "forces", "stress"]
    ignored_changes = {"initial_charges", "initial_magmoms"}

    def __init__(self, model_path: Union[str, "os.PathLike[str]"], **options: Any) -> None:
        super().__init__()
        self.student = Student(model_path, **options)
        # What trajectories and databases write beside the results.
        self.parameters.update(self.student.settings)
        info = self.student.info
        defects = [
            text
            for fine, text in (
                (info.rotation_invariant, "depends on orientation"),
                (info.continuous_at_cutoff, "jumps where pairs cross the cutoff"),
            )
            if not fine and info.architecture != "torchscript"
        ]
        if defects:
            warnings.warn(f"the energy of {model_path} {' and '.join(defects)}", stacklevel=2)

    def __repr__(self) -> str:
        return self.student.describe("Calculator")

    @property
    def findings(self) -> Findings:
        """Atoms of the last computation that the student did not learn, see Student.findings."""
        return self.student.findings

    def set(self, **changes: Any) -> dict:
        """Raises TypeError for any change: arguments are fixed when a Calculator is made."""
        if changes:
            raise TypeError(f"{', '.join(changes)} cannot be changed: make a new Calculator")
        return {}

    def calculate(
        self,
        atoms: Optional[Atoms] = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = all_changes,
    ) -> None:
        """Computes all properties of a structure into `results`; ASE calls this."""
        # If this fails, no results of an earlier structure may be left.
        self.results = {}
        super().calculate(atoms, properties, system_changes)
        found = self.student.compute(Structure.from_ase(self.atoms))
        self.results = {
            "energy": found.energy,
            # No electrons, no entropy: both energies are one.
            "free_energy": found.energy,
            "energies": found.energies,
            "forces": found.forces,
        }
        if found.stress is not None:
            self.results["stress"] = full_3x3_to_voigt_6_stress(found.stress)
