# SPDX-License-Identifier: MIT OR Apache-2.0
"""Searches for holes in LAMMPS: grand-canonical and Widom insertion of water, random atoms."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
from ase import units
from ase.build import molecule
from ase.data import atomic_masses, atomic_numbers

from mlff_student import Structure

from . import lammps

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    from ase import Atoms

    from .setting import Model, Setting


#: Water: molecules at the start in a periodic cube of this edge (Å), and K.
MOLECULES, EDGE, TEMPERATURE = 30, 10.0, 300
#: Insertions and deletions of fix gcmc at each step, insertions of fix widom at each step.
EXCHANGES, TESTS = 10, 100
#: Bar; liquid water neither fills up nor dries out under vapour of this pressure.
PRESSURE = 1.0
#: eV for each molecule, relative to molecules alone: cold ice has −0.6.
BOUND = -0.7
#: Atoms of each element at random places of a cube of EDGE, and steps to minimize their energy.
SOUP = {"H": 16, "C": 8, "N": 4, "O": 6, "F": 2, "S": 2, "Cl": 2}
MINIMIZED = 500


def gcmc(setting: Setting, model: Model, folder: Path) -> dict[str, Any]:
    """What fix gcmc does with water.

    Insertions that were tried, molecules at the end, lowest energy (eV/molecule), insertions and
    energies on the way (K, 2), and why LAMMPS stopped, or None. The run ends where the energy falls
    below BOUND.
    """
    alone = energy_alone(model)
    text = (
        water(setting, model, folder)
        + f"""
fix exchange all gcmc 1 {EXCHANGES} 0 0 5 {TEMPERATURE} 0 0.1 mol water &
  pressure {PRESSURE} full_energy intra_energy {alone!r}
variable bound equal 3*pe/atoms-({alone!r})
fix hole all halt 1 v_bound < {BOUND} error continue message no
thermo 1
thermo_style custom step f_exchange[3] atoms pe v_bound
thermo_modify norm no flush yes
run {2 * setting.insertions // EXCHANGES}
"""
    )
    stopped, log = simulate(setting, folder, text)
    rows = next((table for table in lammps.thermo(log) if "f_exchange[3]" in table), None)
    if rows is None:
        return {"insertions": 0, "molecules": 0, "lowest": None, "way": [], "stopped": stopped}
    return {
        "insertions": int(rows["f_exchange[3]"][-1]),
        "molecules": int(rows["Atoms"][-1]) // 3,
        "lowest": float(rows["v_bound"].min()),
        "way": np.array([rows["f_exchange[3]"], rows["v_bound"]]).T.tolist(),
        "stopped": stopped,
    }


def widom(setting: Setting, model: Model, folder: Path) -> dict[str, Any]:
    """What fix widom finds in water.

    Insertions that were tried, `lowest`: the excess chemical potential (eV), NaN or −∞ if
    insertions ended in holes, and why LAMMPS stopped, or None.
    """
    text = (
        water(setting, model, folder)
        + f"""
fix test all widom 1 {TESTS} 0 5 {TEMPERATURE} mol water &
  full_energy intra_energy {energy_alone(model)!r}
fix show all print 1 "VALUE $(f_test[2]:%.17g)"
run {max(1, setting.insertions // TESTS)}
"""
    )
    stopped, log = simulate(setting, folder, text)
    # Each value is the mean of exp(−ΔE/kT) over the insertions of a step; the first has none.
    weights = values(log)[1:]
    with np.errstate(all="ignore"):
        potential = -units.kB * TEMPERATURE * np.log(np.mean(weights)) if weights else np.nan
    return {"insertions": TESTS * len(weights), "lowest": float(potential), "stopped": stopped}


def soup(setting: Setting, model: Model, folder: Path, seed: int) -> dict[str, Any]:
    """Energy (eV) of random atoms after minimization, their atomic numbers, and why LAMMPS stopped,
    or None.
    """
    known = model.student().info.species
    counts = {e: count for e, count in SOUP.items() if atomic_numbers[e] in known}
    masses = [f"mass {k} {atomic_masses[atomic_numbers[e]]}" for k, e in enumerate(counts, 1)]
    # Every type has a seed of its own, or atoms would be put on top of each other.
    atoms = [
        f"create_atoms {k} random {count} {1000 * seed + k} NULL"
        for k, count in enumerate(counts.values(), 1)
    ]
    text = "\n".join(
        [
            box(setting, "atomic", len(counts)),
            *masses,
            lammps.pair(model, counts),
            *atoms,
            f"minimize 0.0 0.05 {MINIMIZED} {2 * MINIMIZED}",
            'print "VALUE $(pe:%.17g)"\n',
        ]
    )
    stopped, log = simulate(setting, folder, text)
    numbers = [atomic_numbers[e] for e, count in counts.items() for _ in range(count)]
    return {"energy": (values(log) or [np.nan])[-1], "numbers": numbers, "stopped": stopped}


def box(setting: Setting, style: str, types: int) -> str:
    """The input up to the masses: an empty periodic cube."""
    return f"""units metal
atom_style {style}
plugin load {setting.plugin.absolute()}
region cube block 0 {EDGE} 0 {EDGE} 0 {EDGE}
create_box {types} cube
neighbor 1.0 bin
thermo_modify norm no"""


def water(setting: Setting, model: Model, folder: Path) -> str:
    """The input up to where warm liquid water is in motion; also writes the molecule's file."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "water.txt").write_text(molecule_file())
    return f"""{box(setting, "molecular", 2)}
mass 1 {atomic_masses[8]}
mass 2 {atomic_masses[1]}
molecule water water.txt
{lammps.pair(model, ["O", "H"])}
create_atoms 0 random {MOLECULES} 1 NULL mol water 2 overlap 1.7 maxtry 50000
min_modify dmax 0.05
minimize 0.0 0.1 200 400
reset_timestep 0
velocity all create {TEMPERATURE} 3
timestep 0.0005
fix motion all nve
fix heat all langevin {TEMPERATURE} {TEMPERATURE} 0.05 4
run 400
"""


def molecule_file() -> str:
    """Water as LAMMPS reads molecules: O is type 1, H type 2."""
    atoms = centred_water()
    lines = [f"{i} {x:.8f} {y:.8f} {z:.8f}" for i, (x, y, z) in enumerate(atoms.positions, 1)]
    coords = "\n".join(lines)
    return f"water\n\n3 atoms\n\nCoords\n\n{coords}\n\nTypes\n\n1 1\n2 2\n3 2\n"


def centred_water() -> Atoms:
    """ASE's H2O about the origin (Å)."""
    atoms = molecule("H2O")
    atoms.positions -= atoms.positions.mean(axis=0)
    return atoms


def energy_alone(model: Model) -> float:
    """The student's energy (eV) of one water molecule, which fix gcmc and fix widom subtract."""
    return model.student().compute(Structure.from_ase(centred_water())).energy


def simulate(setting: Setting, folder: Path, text: str) -> tuple[str | None, str]:
    """Runs an input: why LAMMPS stopped, or None, and its log."""
    folder.mkdir(parents=True, exist_ok=True)
    stopped = None
    try:
        lammps.run(setting.venv, folder, text)
    except lammps.LammpsError as error:
        stopped = str(error)
    return stopped, (folder / "log.lammps").read_text()


def values(log: str) -> list[float]:
    """The numbers that an input printed after the word VALUE."""
    return [float(text) for text in re.findall(r"^VALUE (\S+)$", log, re.MULTILINE)]
