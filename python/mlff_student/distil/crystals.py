"""Crystals of molecules, known ones and generated packings, from compressed to expanded.

tblite knows no k-points, so cells must be large enough for the Gamma point alone. Energy (meV/atom)
and largest component of the stress (%) beside those of 2 × 2 × 2 cells (CO₂, NH₃, urea: vectors of
11.2, 10.3 and 9.4 Å; ice XI: 10.7 Å), by the shortest lattice vector:

    CO₂       5.6 Å  0.4  0.0 %    8.0 Å  0.1  0.3 %    9.7 Å  0.0  0.0 %
    NH₃       5.1 Å  9.6   11 %    7.3 Å  5.7    7 %    8.9 Å  0.4  0.4 %
    ice XI    4.5 Å  9.5    2 %    7.3 Å  0.5  0.3 %    8.6 Å  0.2  0.2 %
    urea      4.7 Å   28   19 %    7.3 Å  3.5  0.4 %    9.2 Å  0.1  0.7 %
    benzene   6.8 Å  0.2  0.3 %

So no vector is shorter than 8 Å, but where that takes more than 96 atoms. Sheared supercells get
there with few atoms: CO₂ with 48 instead of 96.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import numpy as np
from rdkit import Chem

from . import frames, geometry, lattices, packing, polymorphs
from .known_crystals import CRYSTALS
from .molecules import Molecule, atoms_of, canonical, murcko

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .dataset import Frame
    from .frames import Job
    from .known_crystals import Known


SHORTEST, MOST = 8.0, 96
# Frames of one job, and the volumes that they spread over, of the cell that is known or found.
# Those of GFN2-xTB at zero pressure are 0.75 (HCN, N₂) to 1: it draws molecules together.
FRAMES = 6
SMALLEST, LARGEST = 0.70, 1.20
STRAIN, MOST_STRAIN = 0.02, 0.04  # standard deviation of each component, and its limit
HOTTEST = 400.0  # K; half of the frames are below a quarter of it
# Which frames a student moves, and for how many steps.
MOVED, STEPS = (1, 4), 60
# Generated packings: the largest molecule, the most atoms in the cell, and the space groups that
# molecules choose most often, with their crystal systems.
LARGEST_MOLECULE, MOST_IN_CELL = 14, 80
GROUPS = {
    2: "triclinic", 4: "monoclinic", 14: "monoclinic", 15: "monoclinic",
    19: "orthorhombic", 33: "orthorhombic", 61: "orthorhombic",
}  # fmt: skip
# Rods pack in cubes, as CO₂ does: Pa-3 is P2₁2₁2₁ in a cube with them along its diagonals.
RODS = "N#N ClCl FCl Cl [C-]#[O+] C#C S=C=S [N-]=[N+]=O N#CC#N C#CC#C".split()
RODS_SHARE = 0.1  # of training's packings


def subject(index: int, split: str) -> tuple[Known | None, str]:
    """The known crystal of job `index`, and its split.

    Every second job has one of them, in turn. The others have None: a packing that is generated, of
    a molecule of the given split.
    """
    if index % 2:
        return None, split
    known = CRYSTALS[index // 2 % len(CRYSTALS)]
    return known, known.split


def crystal(job: Job, known: Known | None) -> Iterator[Frame | str]:
    """Frames of one crystal at six volumes, strained and displaced as by heat.

    If a student moves atoms, it moves those of two of the six.
    """
    molecule = described(known) if known else chosen(job)
    mol = geometry.embed(molecule.smiles, job.rng)
    relaxed, _ = frames.optimised(job, mol, 25)
    modes = geometry.modes(mol)
    mol.GetConformer().SetPositions(relaxed.positions)
    lattice = lattice_of(known, mol, job.rng) if known else generated(job, molecule, mol)
    lattice = lattice.enlarged(SHORTEST, MOST)
    mols = [molecule] * len(lattice.x)
    for number in range(FRAMES):
        part = (number + job.rng.random()) / FRAMES
        temperature = HOTTEST * job.rng.random() ** 2
        deformed = lattice.deformed(SMALLEST + part * (LARGEST - SMALLEST), strain(job.rng))
        atoms = deformed.shaken(relaxed, modes, temperature, job.rng).atoms()
        if number in MOVED and job.mover is not job.teacher:
            try:
                (atoms,) = frames.dynamics(job, atoms, temperature, wait=0, every=STEPS, frames=1)
            except frames.FAILURES:
                yield "unconverged"
                continue
        yield job.label(atoms, "crystal", mols, temperature)


def strain(rng: np.random.Generator) -> np.ndarray:
    """A random symmetric strain (3, 3), without unit."""
    found = np.clip(rng.normal(scale=STRAIN, size=(3, 3)), -MOST_STRAIN, MOST_STRAIN)
    return (found + found.T) / 2


def described(known: Known) -> Molecule:
    """The molecule of a known crystal, in the split of the crystal."""
    smiles = canonical(Chem.MolFromSmiles(known.smiles))
    return Molecule(smiles, known.name, murcko(smiles), atoms_of(smiles), known.split)


@functools.cache
def held_out() -> set[str]:
    """Canonical SMILES of the molecules whose known crystals are held out."""
    return {described(known).smiles for known in CRYSTALS if known.split != "train"}


@functools.cache
def candidates(split: str) -> list[Molecule]:
    """Molecules of a split to generate packings of: none whose known crystals are held out."""
    found = frames.pool(split, LARGEST_MOLECULE)
    return [m for m in found if m.smiles not in held_out()]


def chosen(job: Job) -> Molecule:
    """A random molecule to generate a packing of."""
    if job.split == "train" and job.rng.random() < RODS_SHARE:
        return frames.by_smiles(job.pick(RODS))
    return job.pick(candidates(job.split))


def lattice_of(
    known: Known, mol: Chem.Mol, rng: np.random.Generator, tries: int = 3
) -> lattices.Lattice:
    """The unit cell of a known crystal, with the conformer of an RDKit molecule.

    Where no coordinates are known, the best packing of some tries.
    """
    group, setting, cell = known.group, known.setting, known.cell
    if known.basis:
        return lattices.from_coordinates(mol, *known.sites(), group, setting, cell)
    return polymorphs.packed(rigid(mol), group, rng, cell, setting, tries=tries)[0]


def generated(job: Job, molecule: Molecule, mol: Chem.Mol) -> lattices.Lattice:
    """A packing of a molecule in one of the usual space groups, with the conformer of `mol`."""
    if molecule.smiles in RODS:
        return polymorphs.packed(rigid(mol), 19, job.rng, system="cubic")[0]
    most = MOST_IN_CELL // molecule.atoms
    group = job.pick([group for group in GROUPS if polymorphs.order(group) <= most])
    return polymorphs.packed(rigid(mol), group, job.rng, system=GROUPS[group])[0]


def rigid(mol: Chem.Mol) -> packing.Rigid:
    """An RDKit molecule with its conformer and partial charges, as one rigid body."""
    return packing.Rigid(geometry.to_atoms(mol), geometry.charges(mol))
