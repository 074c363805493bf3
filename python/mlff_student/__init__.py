# SPDX-License-Identifier: MIT OR Apache-2.0
"""Distilled machine-learned force fields: energies (eV), forces (eV/Angstrom) and stress.

`Calculator` is for ASE; `Student` needs numpy alone. Two programs come with the package:

    python -m mlff_student.distil       makes structures and labels to train students on
    python -m mlff_student.acceptance   measures a student beside its teacher
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .calculator import Calculator
    from .library import Error, OutsideError
    from .student import Findings, Info, OutsideWarning, Results, Structure, Student

# Name -> the module that has it. They are loaded when they are asked for: ASE is needed by
# Calculator alone, and the two programs set the number of threads before numpy is loaded.
_MODULES = {
    "Calculator": "calculator",
    "Error": "library",
    "Findings": "student",
    "Info": "student",
    "OutsideError": "library",
    "OutsideWarning": "student",
    "Results": "student",
    "Structure": "student",
    "Student": "student",
}
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


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_MODULES[name]}", __name__), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
