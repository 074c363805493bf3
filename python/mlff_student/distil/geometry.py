"""Structures of one molecule: conformers, thermal displacements, turned and stretched bonds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from ase import Atoms, units
from rdkit import Chem
from rdkit.Chem import AllChem
from rdkit.ForceField.rdForceField import ForceField

from .teachers import Dropped

# Modes softer than this (cm⁻¹) are sampled as if they had it: large amplitudes are not straight
# lines.
SOFTEST = 120.0
# No atom moves further than this (Å) from the conformer, or hydrogens break off.
MAX_DISPLACEMENT = 0.6
BEND = "[!$([D1])]-&!@[!$([D1])]"


def embed(smiles: str, rng: np.random.Generator) -> Chem.Mol:
    """An RDKit molecule with hydrogen atoms and a random conformer, relaxed by a force field.

    Raises Dropped where there is none.
    """
    mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
    if AllChem.EmbedMolecule(mol, randomSeed=int(rng.integers(2**31 - 1)), maxAttempts=50) != 0:
        raise Dropped("no conformer")
    field = force_field(mol)
    field.Minimize(maxIts=500)
    return mol


def force_field(mol: Chem.Mol) -> ForceField:
    """MMFF94 for an RDKit molecule, or UFF where MMFF94 lacks types; Dropped where both do."""
    properties = AllChem.MMFFGetMoleculeProperties(mol)
    field = (
        AllChem.MMFFGetMoleculeForceField(mol, properties)
        if properties
        else AllChem.UFFGetMoleculeForceField(mol)
    )
    if field is None:
        raise Dropped("no force field")
    return field


def to_atoms(mol: Chem.Mol) -> Atoms:
    """The conformer of an RDKit molecule as an ASE structure (Å)."""
    return Atoms([a.GetAtomicNum() for a in mol.GetAtoms()], mol.GetConformer().GetPositions())


def charges(mol: Chem.Mol) -> np.ndarray:
    """MMFF94's partial charges (n), in e; zeros where it lacks types."""
    properties = AllChem.MMFFGetMoleculeProperties(mol)
    if not properties:
        return np.zeros(mol.GetNumAtoms())
    return np.array([properties.GetMMFFPartialCharge(i) for i in range(mol.GetNumAtoms())])


def _gradient(field: ForceField, positions: np.ndarray) -> np.ndarray:
    """Gradient of a force field (n, 3, flat), in kcal/mol/Å."""
    x = positions.ravel().tolist()
    # RDKit's gradient uses the distances of the last energy.
    field.CalcEnergy(x)
    return np.array(field.CalcGrad(x))


def modes(mol: Chem.Mol) -> tuple[np.ndarray, np.ndarray]:
    """Vibrational modes of the force field at the conformer: displacements (3n, m) for unit
    amplitudes of mass-weighted coordinates, and angular frequencies (m) in ASE units.

    Translations and rotations are left out.
    """
    field = force_field(mol)
    x = mol.GetConformer().GetPositions()
    step = 1e-3
    hessian = np.empty((x.size, x.size))
    for k in range(x.size):
        d = np.zeros(x.size)
        d[k] = step
        d = d.reshape(x.shape)
        hessian[k] = (_gradient(field, x + d) - _gradient(field, x - d)) / (2 * step)
    hessian = (hessian + hessian.T) / 2 * units.kcal / units.mol
    root = np.repeat(np.sqrt(to_atoms(mol).get_masses()), 3)
    values, vectors = np.linalg.eigh(hessian / np.outer(root, root))
    # The six (five) smallest in size are rigid motion.
    rigid = 5 if _linear(x) else 6
    keep = np.sort(np.argsort(np.abs(values))[min(rigid, len(values) - 1) :])
    omega = np.sqrt(np.abs(values[keep]))
    softest = SOFTEST * units.invcm / (units._hbar * units.J * units.s)
    return vectors[:, keep] / root[:, None], np.maximum(omega, softest)


def _linear(x: np.ndarray) -> bool:
    """Whether positions (n, 3) are on a line."""
    return np.linalg.matrix_rank(x - x.mean(axis=0), tol=1e-2) < 2


def displaced(
    atoms: Atoms,
    modes_: tuple[np.ndarray, np.ndarray],
    temperature: float,
    rng: np.random.Generator,
) -> Atoms:
    """A structure displaced along its modes as at a temperature (K), classical and harmonic."""
    vectors, omega = modes_
    sigma = np.sqrt(units.kB * temperature) / omega
    for _ in range(20):
        shift = (vectors @ (sigma * rng.normal(size=len(omega)))).reshape(-1, 3)
        if np.linalg.norm(shift, axis=1).max() < MAX_DISPLACEMENT:
            break
        # Large and hot ones would never pass.
        sigma = sigma * 0.9
    moved = atoms.copy()
    moved.positions += shift
    return moved


def rotatable_bonds(mol: Chem.Mol) -> list[tuple[int, int, int, int]]:
    """Torsions (a, b, c, d) about single bonds b–c outside of rings, those of methyl groups
    included.
    """
    match = mol.GetSubstructMatches(Chem.MolFromSmarts(BEND))
    found = []
    for b, c in match:
        a = [n.GetIdx() for n in mol.GetAtomWithIdx(b).GetNeighbors() if n.GetIdx() != c]
        d = [n.GetIdx() for n in mol.GetAtomWithIdx(c).GetNeighbors() if n.GetIdx() != b]
        linear = any(
            mol.GetAtomWithIdx(i).GetHybridization() == Chem.HybridizationType.SP for i in (b, c)
        )
        if a and d and not linear:
            found.append((a[0], b, c, d[0]))
    return found


def hydrogen_bonds(
    mol: Chem.Mol, reach: float, donors: Sequence[str] = ("N", "O", "S")
) -> list[tuple[int, int]]:
    """(h, acceptor): hydrogen atoms of the donors' elements within `reach` (Å) of another N, O or
    S.

    The acceptor is in another molecule, or closes a ring of five or more atoms.
    """
    polar = [a.GetIdx() for a in mol.GetAtoms() if a.GetSymbol() in ("N", "O", "S")]
    donating = [a for a in mol.GetAtoms() if a.GetSymbol() in donors]
    hydrogens = [n.GetIdx() for a in donating for n in a.GetNeighbors() if n.GetAtomicNum() == 1]
    bonds = Chem.GetDistanceMatrix(mol)
    x = mol.GetConformer().GetPositions()
    return [
        (h, acceptor)
        for h in hydrogens
        for acceptor in polar
        if bonds[h, acceptor] >= 4 and np.linalg.norm(x[h] - x[acceptor]) < reach
    ]


def side_of(mol: Chem.Mol, b: int, c: int) -> np.ndarray | None:
    """Mask (n) of the atoms on c's side of the bond b–c; None where both are in one ring."""
    mask = np.zeros(mol.GetNumAtoms(), bool)
    todo = [c]
    while todo:
        i = todo.pop()
        mask[i] = True
        for n in mol.GetAtomWithIdx(i).GetNeighbors():
            j = n.GetIdx()
            if {i, j} == {b, c}:
                continue
            if j == b:
                return None
            if not mask[j]:
                todo.append(j)
    return mask
