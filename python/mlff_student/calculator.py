# SPDX-License-Identifier: MIT OR Apache-2.0
"""The student as an ASE calculator."""

import warnings

from ase.calculators.calculator import Calculator as AseCalculator
from ase.calculators.calculator import all_changes
from ase.stress import full_3x3_to_voigt_6_stress

from .student import Structure, Student


class Calculator(AseCalculator):
    """Energy, energies of atoms, forces and, where all three directions repeat, stress.

    The arguments are those of Student, check among them; ASE's units (eV, Angstrom) and signs are
    the library's own.
    """

    name = "mlff_student"
    implemented_properties = ["energy", "free_energy", "energies", "forces", "stress"]
    ignored_changes = {"initial_charges", "initial_magmoms"}

    def __init__(self, model_path, *arguments, **options):
        super().__init__()
        self.student = Student(model_path, *arguments, **options)
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

    @property
    def findings(self):
        """What the last computation found that the student did not learn, see Student.findings."""
        return self.student.findings

    def set(self, **changes):
        """Refused: a student is what it was made with."""
        if changes:
            raise TypeError(f"{', '.join(changes)} cannot be changed: make a new Calculator")
        return {}

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        # Where this fails, nothing of the structure before is left.
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
