# SPDX-License-Identifier: MIT OR Apache-2.0
"""Distilled machine-learned force fields: energies, forces and stress, in Angstrom and electronvolt.

`Calculator` is for ASE; `Student` needs numpy alone.
"""

from .library import Error, OutsideError
from .student import Findings, Info, OutsideWarning, Results, Structure, Student

__all__ = [
    "Calculator",
    "Error",
    "Findings",
    "Info",
    "OutsideError",
    "OutsideWarning",
    "Results",
    "Structure",
    "Student",
]


def __getattr__(name):
    # ASE is needed by its calculator alone.
    if name == "Calculator":
        from .calculator import Calculator

        return Calculator
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
