# SPDX-License-Identifier: MIT OR Apache-2.0
"""The teacher, GFN2-xTB by tblite, and geometries that it relaxed, kept on disk between runs."""

from importlib.metadata import version

from ase import Atoms
from ase.optimize import BFGS
from tblite.ase import TBLite

from . import report

NAME = f"GFN2-xTB (tblite {version('tblite')})"


def calculator(accuracy=0.1):
    """`accuracy` multiplies tblite's own thresholds; second derivatives want them small."""
    return TBLite(method="GFN2-xTB", accuracy=accuracy, verbosity=0)


def relaxed(atoms, fmax=1e-3, steps=500):
    """A copy at the teacher's nearest minimum (fmax in eV/Angstrom)."""
    atoms = atoms.copy()
    atoms.calc = calculator()
    BFGS(atoms, logfile=None).run(fmax=fmax, steps=steps)
    return atoms


def remembered(setting, name, make):
    """What `make` gives (lists, numbers, texts), made once for each output folder."""
    return report.kept(setting.out / "teacher" / f"{name.replace('/', '_')}.json", make)


def to_lists(atoms):
    return {"numbers": atoms.numbers.tolist(), "positions": atoms.positions.tolist()}


def from_lists(value):
    return Atoms(value["numbers"], value["positions"])
