"""How low an energy can be, and what is a hole: a place where a student lies far below that.

Atoms are compared with the same atoms in their hydrides (carbon in CH₄ less two H₂, and so on),
which few structures undercut: of 265,000 labelled ones SF₆ by 0.35 eV for each atom, all others by
less than 0.1. Separated atoms are no such measure: relative to GFN2-xTB's, CO₂ has −8.9 eV for
each atom and CH₄ −4.4, and students know nothing of atoms that are alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ase.build import molecule
from ase.data import atomic_numbers, chemical_symbols

if TYPE_CHECKING:
    from collections.abc import Container, Sequence

    from ase.calculators.calculator import Calculator


# Names of ASE's molecules (ase.build.molecule).
HYDRIDES = {"H": "H2", "C": "CH4", "N": "NH3", "O": "H2O", "F": "HF", "S": "SH2", "Cl": "HCl"}
# eV for each atom below the hydrides, where a hole begins.
HOLE = -1.0


def symbols_with_hydrides(numbers: Container[int]) -> list[str]:
    """Chemical symbols of those elements among atomic numbers whose hydride is known, ascending."""
    return [symbol for symbol in HYDRIDES if atomic_numbers[symbol] in numbers]


class Floor:
    """Energies (eV) of single atoms in hydrides, by an ASE calculator."""

    def __init__(self, calculator: Calculator) -> None:
        self.calculator = calculator
        #: Atomic number → energy (eV), of the elements that were asked for.
        self.atoms = {}

    def atom(self, number: int) -> float:
        """The energy (eV) of one atom in its hydride; `number` is atomic."""
        if number not in self.atoms:
            atoms = molecule(HYDRIDES[chemical_symbols[number]])
            atoms.calc = self.calculator
            energy = atoms.get_potential_energy()
            if number == 1:
                self.atoms[number] = energy / 2
            else:
                self.atoms[number] = energy - (len(atoms) - 1) * self.atom(1)
        return self.atoms[number]

    def above(self, energy: float, numbers: Sequence[int]) -> float:
        """An energy (eV) relative to the same atoms in hydrides, divided by their number (eV)."""
        return float(energy - sum(map(self.atom, map(int, numbers)))) / len(numbers)

    def hole(self, energy: float, numbers: Sequence[int]) -> bool:
        """Whether a structure of these atoms and this energy (eV) lies in a hole."""
        return self.above(energy, numbers) < HOLE
