"""Structures of one molecule: conformers, thermal displacements, turned and stretched bonds."""

import numpy as np
from ase import Atoms, units
from rdkit import Chem
from rdkit.Chem import AllChem

from .teachers import Dropped

# Modes softer than this (cm⁻¹) are sampled as if they had it: large amplitudes are not straight lines.
SOFTEST = 120.0
# No atom moves further than this (Å) from the conformer, or hydrogens break off.
MAX_DISPLACEMENT = 0.6
BEND = "[!$([D1])]-&!@[!$([D1])]"


def embed(smiles, rng):
    """An RDKit molecule with hydrogens and a relaxed random conformer."""
    mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
    if AllChem.EmbedMolecule(mol, randomSeed=int(rng.integers(2**31 - 1)), maxAttempts=50) != 0:
        raise Dropped("no conformer")
    field = force_field(mol)
    field.Minimize(maxIts=500)
    return mol


def force_field(mol):
    """MMFF94, UFF where it lacks types."""
    properties = AllChem.MMFFGetMoleculeProperties(mol)
    field = (
        AllChem.MMFFGetMoleculeForceField(mol, properties)
        if properties
        else AllChem.UFFGetMoleculeForceField(mol)
    )
    if field is None:
        raise Dropped("no force field")
    return field


def to_atoms(mol):
    return Atoms([a.GetAtomicNum() for a in mol.GetAtoms()], mol.GetConformer().GetPositions())


def charges(mol):
    """MMFF94's partial charges in e, zeros where it lacks types."""
    properties = AllChem.MMFFGetMoleculeProperties(mol)
    if not properties:
        return np.zeros(mol.GetNumAtoms())
    return np.array([properties.GetMMFFPartialCharge(i) for i in range(mol.GetNumAtoms())])


def _gradient(field, positions):
    x = positions.ravel().tolist()
    # RDKit's gradient uses the distances of the last energy.
    field.CalcEnergy(x)
    return np.array(field.CalcGrad(x))


def modes(mol):
    """Columns of unit displacement in mass-weighted coordinates, and angular frequencies (ASE units), of the force
    field's Hessian at the molecule's conformer; translations and rotations left out."""
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


def _linear(x):
    return np.linalg.matrix_rank(x - x.mean(axis=0), tol=1e-2) < 2


def displaced(atoms, modes_, temperature, rng):
    """The structure displaced along its modes as at this temperature (K), classical and harmonic."""
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


def rotatable_bonds(mol):
    """(a, b, c, d): torsions about single bonds outside of rings, methyl groups included."""
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


def hydrogen_bonds(mol, reach, donors=("N", "O", "S")):
    """(h, acceptor): hydrogen atoms of the donors' elements within `reach` (Å) of another N, O or S, in a ring of five or more
    atoms, or of another molecule."""
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


def side_of(mol, b, c):
    """Mask of the atoms on c's side of the bond b–c, None where both are in one ring."""
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
