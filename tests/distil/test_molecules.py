"""The list of molecules: what it holds, and that its splits share nothing."""

import os
import subprocess
import sys
from collections import Counter

import pytest
from conftest import ROOT
from rdkit import Chem

from mlff_student.distil import molecules as m
from mlff_student.distil import scaffolds


def test_at_least_3000_neutral_closed_shell_molecules_of_seven_elements():
    found = m.molecules()
    assert len(found) >= 3000
    assert len({x.smiles for x in found}) == len(found)
    for x in found:
        mol = Chem.MolFromSmiles(x.smiles)
        m.check(mol)
        assert m.canonical(mol) == x.smiles
        assert "." not in x.smiles


def test_sizes_reach_from_small_molecules_to_40_atoms_with_a_mean_near_18():
    sizes = [x.atoms for x in m.molecules()]
    assert max(sizes) <= 40
    assert all(n >= 3 for x, n in zip(m.molecules(), sizes, strict=True) if x.scaffold != "small")
    assert 16 <= sum(sizes) / len(sizes) <= 21


def test_splits_share_no_scaffold_no_murcko_scaffold_and_no_molecule():
    by_split = {s: [x for x in m.molecules() if x.split == s] for s in ("train", "valid", "test")}
    for a, b in (("train", "valid"), ("train", "test"), ("valid", "test")):
        for key in ("scaffold", "murcko", "smiles"):
            # Acyclic molecules have no Murcko scaffold.
            shared = {getattr(x, key) for x in by_split[a]} & {
                getattr(x, key) for x in by_split[b]
            } - {""}
            assert not shared, (a, b, key, shared)


def test_no_acyclic_test_molecule_can_be_composed_from_a_training_scaffold():
    split = {x.scaffold: x.split for x in m.molecules()}
    held_out = {x.smiles for x in m.molecules() if x.split == "test" and not x.murcko}
    for name, smiles in scaffolds.scaffolds(scaffolds.CHAINS):
        if split.get(name) == "train":
            assert not held_out & set(m.compose(name, smiles)[: m.PER_SCAFFOLD])


def test_enough_is_held_out_and_most_is_for_training():
    count = Counter(x.split for x in m.molecules())
    assert count["test"] >= 320
    assert count["valid"] >= 100
    assert count["train"] >= 0.8 * len(m.molecules())


def test_scaffolds_for_training_alone_do_not_move_what_is_held_out(monkeypatch):
    def held_out(found):
        return {(x.smiles, x.split) for x in found if x.split != "train"}

    with_them = held_out(m.molecules())
    monkeypatch.setattr(scaffolds, "TRAINING", "")
    assert held_out(m.composed()) == with_them


@pytest.mark.parametrize("split", ["train", "test"])
def test_every_element_occurs(split):
    symbols = {
        a.GetSymbol()
        for x in m.molecules()
        if x.split == split
        for a in Chem.MolFromSmiles(x.smiles).GetAtoms()
    }
    assert symbols >= {"C", "N", "O", "F", "S", "Cl"}


def test_the_list_does_not_depend_on_the_hash_seed():
    command = [
        sys.executable,
        "-c",
        "from mlff_student.distil import molecules; print(*molecules.composed(), sep='\\n')",
    ]
    run = subprocess.run(
        command,
        env=os.environ | {"PYTHONHASHSEED": "1", "PYTHONPATH": str(ROOT / "python")},
        capture_output=True,
        check=True,
    )
    assert run.stdout.decode().splitlines() == [str(x) for x in m.molecules()]


def test_molecules_are_kept_and_made_anew_where_that_is_not_possible(tmp_path, monkeypatch):
    some, made = m.molecules()[:5], []
    monkeypatch.setattr(m, "composed", lambda: made.append(1) or some)

    def again(folder):
        monkeypatch.setattr(m, "KEPT", folder)
        # Without the memory of this process, as another one would.
        return m.molecules.__wrapped__()

    assert again(tmp_path / "kept") == again(tmp_path / "kept") == some and len(made) == 1
    (kept,) = (tmp_path / "kept").iterdir()
    kept.write_text(kept.read_text()[:-9])
    assert again(tmp_path / "kept") == some and len(made) == 2
    assert again(tmp_path / "kept") == some and len(made) == 2
    (tmp_path / "file").touch()
    assert again(tmp_path / "file") == some and len(made) == 3


@pytest.mark.parametrize(
    ("smiles", "reason"),
    [
        ("C[O-]", "charged"),
        ("[CH3]", "open shell"),
        ("[O]", "open shell"),
        ("CBr", "element outside H C N O F S Cl"),
    ],
)
def test_unsuitable_molecules_are_refused(smiles, reason):
    with pytest.raises(m.BadMolecule, match=reason):
        m.check(Chem.MolFromSmiles(smiles))
