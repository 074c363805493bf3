# SPDX-License-Identifier: MIT OR Apache-2.0
"""Methods that students are measured against, and what they computed, kept on disk between runs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property
from importlib.metadata import version
from typing import TYPE_CHECKING

from ase import Atoms
from ase.optimize import BFGS

from . import report

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from ase.calculators.calculator import Calculator as AseCalculator

    from mlff_student import Structure

    from ..distil.dataset import Frame
    from .setting import Setting


class Teacher(ABC):
    """A method that labels are made with.

    It is the teacher of the students that are measured, or is measured beside them, as they are.
    """

    #: On the command line, as `python -m mlff_student.distil label --teacher` has it.
    key: str
    #: In tables and figures.
    name: str
    #: Atomic numbers that it knows.
    elements: frozenset
    #: For the notes of `collisions`: what its energies are worth there.
    of_collisions: str
    #: The same for `crystals`.
    of_crystals = ""

    @property
    @abstractmethod
    def full_name(self) -> str:
        """The name with the version of what computes it."""

    @abstractmethod
    def calculator(self, accuracy: float = 0.1) -> AseCalculator:
        """A new ASE calculator. `accuracy` scales the thresholds of methods that iterate: small is
        accurate.
        """

    def energies(self, structures: Iterable[Structure]) -> list[float]:
        """Energies of structures (eV)."""
        found = []
        for structure in structures:
            atoms = to_ase(structure)
            # Energies are subtracted from each other, and small differences want to be accurate.
            atoms.calc = self.calculator(accuracy=0.01)
            found.append(float(atoms.get_potential_energy()))
        return found

    def relaxed(self, atoms: Atoms, fmax: float = 1e-3, steps: int = 500) -> Atoms:
        """A copy at the nearest minimum (fmax in eV/Å)."""
        atoms = atoms.copy()
        atoms.calc = self.calculator()
        BFGS(atoms, logfile=None).run(fmax=fmax, steps=steps)
        return atoms

    def remembered(self, setting: Setting, name: str, make: Callable[[], Any]) -> Any:
        """The result of `make` (lists, numbers, texts), made once for each output folder."""
        folder = setting.out / "teacher" / self.key
        return report.kept(folder / f"{name.replace('/', '_')}.json", make)


class Gfn2(Teacher):
    """GFN2-xTB by tblite."""

    key, name = "gfn2", "GFN2-xTB"
    elements = frozenset(range(1, 87))
    of_collisions = "The teacher fails in some of them, or finds another electronic state."

    @property
    def full_name(self) -> str:
        """The name with the version of tblite."""
        return f"GFN2-xTB (tblite {version('tblite')})"

    def calculator(self, accuracy: float = 0.1) -> AseCalculator:
        """A new ASE calculator; `accuracy` multiplies tblite's own thresholds."""
        from tblite.ase import TBLite

        return TBLite(method="GFN2-xTB", accuracy=accuracy, verbosity=0)


class Ani1ccx(Teacher):
    """ANI-1ccx with the weights of torchani."""

    key, name = "ani1ccx", "ANI-1ccx"
    elements = frozenset((1, 6, 7, 8))
    of_collisions = (
        "The teacher knows no collisions, and its H₂ is wrong: what it says is drawn, not the aim."
    )
    of_crystals = (
        "The teacher knows nothing beyond 5.2 Å and packs crystals far from where they are: this "
        "says how well students follow it, not how good they are."
    )

    @property
    def full_name(self) -> str:
        """The name with the version of torchani."""
        return f"ANI-1ccx (weights of torchani {version('torchani')})"

    def calculator(self, accuracy: float | None = None) -> AseCalculator:
        """A new ASE calculator; it is exact, whatever `accuracy` is."""
        return self._labels.calculator()

    @cached_property
    def _labels(self) -> Any:
        from ..distil import ani

        return ani.Ani1ccx()


TEACHERS = {teacher.key: teacher for teacher in (Gfn2(), Ani1ccx())}


def to_ase(structure: Structure | Frame) -> Atoms:
    """The ASE structure of a Structure or a labelled frame."""
    cell, pbc = structure.cell, structure.pbc
    return Atoms(structure.numbers, structure.positions, cell=cell, pbc=pbc)


def to_lists(atoms: Atoms) -> dict[str, list]:
    """Atomic numbers and positions (Å) as lists, for JSON."""
    return {"numbers": atoms.numbers.tolist(), "positions": atoms.positions.tolist()}


def from_lists(value: dict[str, Any]) -> Atoms:
    """The structure that `to_lists` made lists of; with a cell if these have one."""
    return Atoms(value["numbers"], value["positions"], cell=value.get("cell"), pbc="cell" in value)
