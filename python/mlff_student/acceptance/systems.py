# SPDX-License-Identifier: MIT OR Apache-2.0
"""Molecules, droplets and boxes that the properties are measured on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from ase import Atoms
from ase.build import molecule
from rdkit import Chem, RDLogger
from rdkit.Chem import AllChem
from scipy.spatial import cKDTree

from ..distil.floor import HYDRIDES

if TYPE_CHECKING:
    from pathlib import Path

    from .setting import Setting


RDLogger.DisableLog("rdApp.*")

# Molecules to use where no dataset says which ones were held out. They may be in the training data.
BUILT_IN = """
CCO CC(C)O COC CC=O CC(C)=O CC(=O)O COC=O CC(=O)OC NC=O CC(=O)N CNC(C)=O CN CNC CN(C)C CC#N C=C C#CC
C=CC=C CC(C)C C1CC1 C1CCC1 C1CCCC1 C1CCCCC1 c1ccccc1 Cc1ccccc1 Oc1ccccc1 Nc1ccccc1 Fc1ccccc1
Clc1ccccc1 COc1ccccc1 N#Cc1ccccc1 O=Cc1ccccc1 O=[N+]([O-])c1ccccc1 c1ccncc1 c1ccnnc1 c1cncnc1
c1cnccn1 c1cc[nH]c1 c1ccoc1 c1ccsc1 c1c[nH]cn1 c1cocn1 c1cscn1 C1CCOC1 C1CCNC1 C1CCSC1 C1COCCO1
C1COCCN1 CS CSC CSSC CS(C)=O CS(C)(=O)=O CS(N)(=O)=O CF C(F)F FC(F)F CCl ClCCl ClC(Cl)Cl CCF CCCl
FC=C ClC=C FCCO ClCC=O NCC(=O)O OCC=O OCCO NCCO NCCN CC(N)C=O O=CC=O C=CC=O C=CC#N CC=NO NC(N)=O
NC(=O)OC NC(=S)N SCCO CC(=O)Cl CC(=O)F CC(F)(F)F OC(=O)C(F)(F)F CN=C=O CN=C=S C1CO1 C1CN1 C1CS1
OC1CCC1 O=C1CCC1 O=C1CCCO1 O=C1CCCN1 CC1CC1 FC1CC1 C=C1CC1 CC(C)=NC CNO CON COCOC CN=NC CC#CC
""".split()

# Ten of them for frequencies: each functional group once, at most 16 atoms.
FREQUENCY_SET = [
    "CCO",
    "CC(C)=O",
    "CC(=O)N",
    "CN(C)C",
    "c1ccoc1",
    "c1c[nH]cn1",
    "CS(C)=O",
    "Fc1ccccc1",
    "ClCC=O",
    "O=[N+]([O-])c1ccccc1",
]


def from_smiles(smiles: str, seed: int = 1) -> Atoms:
    """A conformer of a molecule, relaxed with MMFF94 where RDKit has its types (Å)."""
    molecule = Chem.AddHs(Chem.MolFromSmiles(smiles))
    if AllChem.EmbedMolecule(molecule, randomSeed=seed) != 0:
        AllChem.EmbedMolecule(molecule, randomSeed=seed, useRandomCoords=True)
    if AllChem.MMFFHasAllMoleculeParams(molecule):
        AllChem.MMFFOptimizeMolecule(molecule, maxIters=500)
    symbols = [atom.GetSymbol() for atom in molecule.GetAtoms()]
    return Atoms(symbols, molecule.GetConformer().GetPositions())


def atomic_numbers(smiles: str) -> list[int]:
    """The atomic number of each atom, hydrogen included."""
    return [atom.GetAtomicNum() for atom in Chem.AddHs(Chem.MolFromSmiles(smiles)).GetAtoms()]


def known(molecules: dict[str, str], elements: frozenset[int]) -> tuple[list[str], list[str]]:
    """Of molecules {name: SMILES} the names of those with these elements alone, and of the
    others.
    """
    kept = [name for name, smiles in molecules.items() if elements >= set(atomic_numbers(smiles))]
    if not kept:
        raise ValueError(f"not all know the elements of any of these: {', '.join(molecules)}")
    return kept, [name for name in molecules if name not in kept]


def held_out(
    setting: Setting, count: int, largest: int | None = None, seed: int = 1
) -> tuple[list[str], list[str]]:
    """SMILES of `count` held-out molecules, and of those left out as not all methods know their
    elements.

    They are of the dataset's test split, of different scaffolds first; without a dataset, of a
    built-in list.
    """
    if setting.dataset is None:
        chosen = FREQUENCY_SET if count <= len(FREQUENCY_SET) else BUILT_IN
    else:
        chosen = test_molecules(setting.dataset, seed)
    if largest is not None:
        chosen = [smiles for smiles in chosen if len(atomic_numbers(smiles)) <= largest]
    kept, _ = known({smiles: smiles for smiles in chosen}, setting.elements)
    kept = kept[:count]
    passed = chosen[: chosen.index(kept[-1])] if len(kept) == count else chosen
    return kept, [smiles for smiles in passed if smiles not in kept]


def test_molecules(path: Path, seed: int) -> list[str]:
    """Every molecule of the test split in a random order, one of each scaffold before a second one
    of any.
    """
    import h5py

    with h5py.File(path) as file:
        about = file.get("metadata", {})
        columns = [
            about[name].asstr()[:] if name in about else []
            for name in ("split", "molecule", "scaffold")
        ]
    pairs = sorted(
        {
            (scaffold, smiles)
            for split, smiles, scaffold in zip(*columns)
            if split == "test" and smiles and "." not in smiles
        }
    )
    if not pairs:
        raise ValueError(
            f"{path}: expected single molecules of the split test with their scaffolds "
            "(metadata/split, molecule and scaffold), found none; "
            "models/labels/held-out.h5 has them"
        )
    np.random.default_rng(seed).shuffle(pairs)
    seen, ranked = {}, []
    for scaffold, smiles in pairs:
        seen[scaffold] = seen.get(scaffold, 0) + 1
        ranked.append((seen[scaffold], smiles))
    # Stable: the random order stays within each round.
    return [str(smiles) for _, smiles in sorted(ranked, key=lambda entry: entry[0])]


def random_rotation(random: np.random.Generator, reflect: bool = False) -> np.ndarray:
    """A uniformly distributed rotation (3, 3), or one with a reflection."""
    q, r = np.linalg.qr(random.normal(size=(3, 3)))
    q = q * np.sign(np.diag(r))
    return q if (np.linalg.det(q) > 0) != reflect else -q


def hydrides(first: str, second: str, distance: float) -> Atoms:
    """Hydrides of two elements, which face each other along z at a distance (Å), hydrogen atoms
    behind.
    """
    below, above = hydride(first), hydride(second)
    # The hydrogen atoms of one are staggered to those of the other.
    above.positions = -above.positions + [0, 0, distance]
    return below + above


def hydride(element: str) -> Atoms:
    """H2, CH4, NH3, …: the element first, in the origin, the hydrogen atoms below (CH4: one below,
    three around).
    """
    atoms = molecule(HYDRIDES[element])
    center = atoms.get_chemical_symbols().index(element)
    order = [center, *(k for k in range(len(atoms)) if k != center)]
    atoms = atoms[order]
    atoms.positions -= atoms.positions[0]
    behind = atoms.positions[1] if element == "C" else atoms.positions[1:].sum(axis=0)
    atoms.rotate(behind, [0, 0, -1])
    return atoms


MIXTURE = {"ethanol": ("CCO", 46.07), "water": ("O", 18.015)}


def mixture(
    ethanol: int, water: int, density: float = 0.90, periodic: bool = False, seed: int = 1
) -> Atoms:
    """Ethanol and water molecules at a density (g/cm³) in a cube or a sphere, placed at random
    without overlap.
    """
    random = np.random.default_rng(seed)
    grams = (ethanol * MIXTURE["ethanol"][1] + water * MIXTURE["water"][1]) / 6.02214e23
    volume = grams / density * 1e24
    side = volume ** (1 / 3)
    radius = (3 * volume / (4 * np.pi)) ** (1 / 3)
    # The larger molecules first, while there is room.
    order = [from_smiles(MIXTURE["ethanol"][0])] * ethanol + [
        from_smiles(MIXTURE["water"][0])
    ] * water
    placed = Atoms(cell=[side] * 3 if periodic else None, pbc=periodic)
    scale = 1.0
    for each in order:
        for attempt in range(1, 20001):
            trial = each.copy()
            trial.positions = (trial.positions - trial.positions.mean(axis=0)) @ random_rotation(
                random
            ).T
            if periodic:
                center = random.uniform(0, side, 3)
            else:
                center = random.normal(size=3)
                center *= radius * scale * random.uniform() ** (1 / 3) / np.linalg.norm(center)
            trial.positions += center
            if clear(placed, trial, side if periodic else None):
                placed += trial
                break
            if attempt % 4000 == 0:
                # A droplet may grow a little; a box keeps its density.
                scale *= 1.03
        else:
            raise ValueError(
                f"no room for {ethanol} ethanol and {water} water molecules at {density} g/cm3: "
                "lower the density"
            )
    return placed


def clear(placed: Atoms, trial: Atoms, side: float | None) -> bool:
    """Whether a molecule keeps its distance: 1.7 Å from hydrogen, 2.5 Å between other atoms.
    `side`: edge of the periodic cube (Å).
    """
    if len(placed) == 0:
        return True

    def tree(atoms: Atoms) -> cKDTree:
        positions = atoms.positions % side if side else atoms.positions
        return cKDTree(positions, boxsize=side)

    if tree(placed).count_neighbors(tree(trial), 1.7) > 0:
        return False
    heavy, trial_heavy = placed[placed.numbers > 1], trial[trial.numbers > 1]
    return tree(heavy).count_neighbors(tree(trial_heavy), 2.5) == 0
