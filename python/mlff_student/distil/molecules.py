"""The molecules: scaffolds × substituents, split by scaffold.

A molecule of test or validation must not be one that training nearly saw. Scaffolds that share a
Murcko scaffold (the ring systems and what links them) form a group, and a group lies in one split.
Acyclic molecules have no Murcko scaffold: the table's scaffold takes its place, and a molecule that
scaffolds of different splits lead to is left out.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import itertools
import json
import os
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

import rdkit
from ase.data import atomic_numbers
from rdkit import Chem, rdBase
from rdkit.Chem.Scaffolds import MurckoScaffold

from . import scaffolds as tables

_SYMBOLS = "H C N O F S Cl"
#: Atomic numbers of the elements that molecules are composed of and that labels are made for.
ELEMENTS = tuple(atomic_numbers[symbol] for symbol in _SYMBOLS.split())
#: The reason that is counted for molecules with others.
OTHER_ELEMENTS = f"element outside {_SYMBOLS}"
MAX_ATOMS = 40
# Labels cost the square of the size and more: two substituents only on small scaffolds.
MAX_ATOMS_WITH_TWO = 22
# Molecules of one scaffold: so many that none outweighs the others.
PER_SCAFFOLD = 20
# The same for scaffolds of training, where more molecules cost no generality.
PER_TRAINING_SCAFFOLD = 60
SHARES = {"test": 0.15, "valid": 0.05}
# The folder that the composed list is kept in between processes.
KEPT = Path(__file__).with_name("__pycache__")
# The scaffold of molecules that are taken from the table as they are.
SMALL = "small"


class BadMolecule(ValueError):
    """A molecule that this data must not hold; the message is the reason that is counted."""


@dataclass(frozen=True)
class Molecule:
    """A molecule of the list."""

    smiles: str
    scaffold: str  # its name in the table, or SMALL
    murcko: str  # canonical SMILES, empty where acyclic
    atoms: int  # hydrogen included
    split: str


def order_key(*words: object) -> int:
    """A 64-bit number that looks random and is the same on every machine."""
    return int.from_bytes(hashlib.sha256("\0".join(map(str, words)).encode()).digest()[:8], "big")


def check(mol: Chem.Mol) -> None:
    """Raises BadMolecule for what is charged, open-shell, or holds other elements."""
    if Chem.GetFormalCharge(mol) != 0:
        raise BadMolecule("charged")
    atoms = [
        (a.GetAtomicNum(), a.GetTotalNumHs(), a.GetNumRadicalElectrons()) for a in mol.GetAtoms()
    ]
    if sum(z + hydrogens for z, hydrogens, _ in atoms) % 2 or any(radical for *_, radical in atoms):
        raise BadMolecule("open shell")
    if any(z not in ELEMENTS for z, *_ in atoms):
        raise BadMolecule(OTHER_ELEMENTS)


def canonical(mol: Chem.Mol) -> str:
    """Canonical SMILES without stereochemistry; conformers choose it at random."""
    return Chem.MolToSmiles(mol, isomericSmiles=False)


def atoms_of(smiles: str) -> int:
    """Number of atoms of a SMILES, hydrogen included."""
    return with_hydrogens(Chem.MolFromSmiles(smiles))


def with_hydrogens(mol: Chem.Mol) -> int:
    """Number of atoms of an RDKit molecule, hydrogen included."""
    return mol.GetNumAtoms(onlyExplicit=False)


@functools.cache
def substituent(smiles: str) -> Chem.Mol:
    """A substituent as an RDKit molecule."""
    return Chem.MolFromSmiles(smiles)


def substitute(scaffold: Chem.Mol, choice: tuple[str | None, ...]) -> Chem.Mol:
    """The scaffold (with dummy atoms) with a substituent's SMILES, or None for hydrogen, at each
    place.
    """
    places = [a.GetIdx() for a in scaffold.GetAtoms() if a.GetAtomicNum() == 0]
    combined = Chem.RWMol(scaffold)
    for place, smiles in zip(places, choice, strict=True):
        if smiles is None:
            # Aromatic nitrogen needs its hydrogen spelled out.
            combined.ReplaceAtom(place, Chem.Atom(1))
        else:
            start = combined.GetNumAtoms()
            neighbor = combined.GetAtomWithIdx(place).GetNeighbors()[0].GetIdx()
            combined.InsertMol(substituent(smiles))
            combined.AddBond(neighbor, start, Chem.BondType.SINGLE)
    for place, smiles in reversed(list(zip(places, choice, strict=True))):
        if smiles is not None:
            combined.RemoveAtom(place)
    mol = combined.GetMol()
    Chem.SanitizeMol(mol)
    return Chem.RemoveHs(mol)


def choices(name: str, scaffold: Chem.Mol) -> Iterator[tuple[str | None, ...]]:
    """What may go to the scaffold's places, in an order that looks random; the bare scaffold
    first.
    """
    any_kind = tables.SUBSTITUENTS.split()
    # N–F, N–OH, S–NH2 and the like are reagents.
    on_hetero = [s for s in any_kind if s.startswith("C") and not s.startswith("Cl")]
    places = [a for a in scaffold.GetAtoms() if a.GetAtomicNum() == 0]
    options = [on_hetero if a.GetAtomMapNum() else any_kind for a in places]

    def filled(count: int) -> list[tuple[str | None, ...]]:
        """Choices with so many substituents."""
        found = []
        for where in itertools.combinations(range(len(places)), count):
            for what in itertools.product(*(options[p] for p in where)):
                at = dict(zip(where, what, strict=True))
                found.append(tuple(at.get(p) for p in range(len(places))))
        return sorted(found, key=lambda c: order_key(name, c))

    yield (None,) * len(places)
    for pair in itertools.zip_longest(filled(1), filled(2)):
        yield from (c for c in pair if c is not None)


def compose(name: str, smiles: str) -> list[str]:
    """Up to PER_TRAINING_SCAFFOLD canonical SMILES of a scaffold; the first PER_SCAFFOLD of them
    decide on splits.
    """
    scaffold = Chem.MolFromSmiles(smiles)
    found = []
    for choice in choices(name, scaffold):
        mol = substitute(scaffold, choice)
        check(mol)
        made = canonical(mol)
        limit = MAX_ATOMS if choice.count(None) >= len(choice) - 1 else MAX_ATOMS_WITH_TWO
        if made not in found and 3 <= with_hydrogens(mol) <= limit:
            found.append(made)
        if len(found) == PER_TRAINING_SCAFFOLD:
            break
    return found


@functools.cache
def murcko(smiles: str) -> str:
    """The Murcko scaffold, as canonical SMILES: the ring systems and what links them."""
    return MurckoScaffold.MurckoScaffoldSmiles(smiles=smiles)


def _groups(made: dict[str, list[str]]) -> list[tuple[str, ...]]:
    """Scaffolds' names in groups that share a Murcko scaffold; each acyclic one alone."""
    group = {name: {name} for name in made}
    by_murcko = defaultdict(set)
    for name, found in made.items():
        for smiles in found:
            if ring := murcko(smiles):
                by_murcko[ring].add(name)
    for names in by_murcko.values():
        merged = set().union(*(group[n] for n in names))
        for name in merged:
            group[name] = merged
    return sorted({tuple(sorted(g)) for g in group.values()})


def _split(groups: list[tuple[str, ...]], made: dict[str, list[str]]) -> dict[str, str]:
    """Name of scaffold → split, with the shares of molecules wanted."""
    split, count = {}, Counter()
    total = sum(len(made[n]) for g in groups for n in g)
    for group in sorted(groups, key=lambda g: order_key("split", *g)):
        size = sum(len(made[n]) for n in group)
        # Large groups (benzene's) would fill a split alone.
        fits = [
            s
            for s, share in SHARES.items()
            if count[s] + size <= share * total and size <= 2 * PER_SCAFFOLD
        ]
        chosen = fits[0] if fits else "train"
        count[chosen] += size
        split.update(dict.fromkeys(group, chosen))
    return split


@functools.cache
def molecules() -> tuple[Molecule, ...]:
    """All molecules, in an order that looks random and is the same everywhere.

    Composing them takes some ten seconds, in every worker, so the list is kept in __pycache__ until
    this file, the tables or RDKit change.
    """
    sources = [Path(module).read_bytes() for module in (__file__, tables.__file__)]
    name = hashlib.sha256(b"\0".join([*sources, rdkit.__version__.encode()])).hexdigest()[:16]
    kept = KEPT / f"molecules-{name}.json"
    try:
        return tuple(Molecule(*fields) for fields in json.loads(kept.read_text()))
    except (OSError, ValueError, TypeError):
        found = composed()
    # A folder that cannot be written to costs time alone.
    with contextlib.suppress(OSError):
        KEPT.mkdir(exist_ok=True)
        partial = kept.with_suffix(f".{os.getpid()}")
        partial.write_text(json.dumps([astuple(molecule) for molecule in found]))
        for older in KEPT.glob("molecules-*.json"):
            older.unlink(missing_ok=True)
        partial.replace(kept)
    return found


def composed() -> tuple[Molecule, ...]:
    """Composes the list that `molecules` keeps."""
    small = [canonical(Chem.MolFromSmiles(s)) for s in tables.SMALL.split()]
    for smiles in small:
        check(Chem.MolFromSmiles(smiles))
    every = {
        name: compose(name, s)
        for name, s in tables.scaffolds(tables.RINGS + tables.CHAINS + tables.TRAINING)
    }
    rings = {name: every[name][:PER_SCAFFOLD] for name, _ in tables.scaffolds(tables.RINGS)}
    chains = {name: every[name][:PER_SCAFFOLD] for name, _ in tables.scaffolds(tables.CHAINS)}
    small_rings = {murcko(s) for s in small} - {""}

    split = {}
    for made in (rings, chains):
        groups = _groups(made)
        # A ring that is itself a small molecule belongs to training.
        free = [g for g in groups if not any(murcko(s) in small_rings for n in g for s in made[n])]
        split.update({n: "train" for g in groups for n in g})
        split.update(_split(free, made))

    origins = defaultdict(list)
    for name, found in (rings | chains).items():
        for smiles in found:
            origins[smiles].append(name)
    result = [Molecule(s, SMALL, murcko(s), atoms_of(s), "train") for s in dict.fromkeys(small)]
    for smiles, names in origins.items():
        splits = {split[n] for n in names}
        if smiles not in small and len(splits) == 1:
            result.append(
                Molecule(smiles, names[0], murcko(smiles), atoms_of(smiles), splits.pop())
            )
    train = {name: found for name, found in every.items() if split.get(name, "train") == "train"}
    result += more_for_training(train, result, origins)
    return tuple(sorted(result, key=lambda m: order_key("order", m.smiles)))


def more_for_training(
    composed: dict[str, list[str]], made: list[Molecule], known: dict[str, Any]
) -> list[Molecule]:
    """Further molecules of training's scaffolds, and of those that are for training alone."""
    held_out = {m.murcko for m in made if m.split != "train"} - {""}
    taken = {m.smiles for m in made} | set(known)
    origins = {}
    for name, found in composed.items():
        for smiles in found:
            if smiles not in taken and murcko(smiles) not in held_out:
                origins.setdefault(smiles, name)
    return [Molecule(s, name, murcko(s), atoms_of(s), "train") for s, name in origins.items()]


@functools.cache
def split_of(smiles: str) -> str | None:
    """The split of a molecule, however its SMILES is written; None where it is not in the list.

    Stereochemistry does not count.
    """
    if smiles in _splits():
        return _splits()[smiles]
    with rdBase.BlockLogs():
        mol = Chem.MolFromSmiles(smiles)
    return None if mol is None else _splits().get(canonical(mol))


@functools.cache
def _splits() -> dict[str, str]:
    return {m.smiles: m.split for m in molecules()}


def summary() -> dict[str, Any]:
    """Numbers of molecules and scaffolds by split, and sizes, ready for JSON."""
    found = molecules()
    splits = Counter(m.split for m in found)
    mean = sum(m.atoms for m in found) / len(found)
    return {
        "molecules": len(found),
        "splits": dict(splits),
        "scaffolds": {s: len({m.scaffold for m in found if m.split == s}) for s in splits},
        "mean_atoms": round(mean, 1),
        "smallest": min(m.atoms for m in found),
        "largest": max(m.atoms for m in found),
    }
