"""Crystals of molecules: known ones, generated packings, and the frames made of them."""

import functools
import itertools

import numpy as np
import pytest
from ase import units
from ase.spacegroup import Spacegroup
from rdkit import Chem
from test_generation import run

from mlff_student.distil import (
    crystals,
    dataset,
    files,
    frames,
    generate,
    geometry,
    lattices,
    polymorphs,
    teachers,
)
from mlff_student.distil.known_crystals import CRYSTALS, WITH_COORDINATES
from mlff_student.distil.molecules import split_of

KNOWN = {known.name: known for known in CRYSTALS}


@pytest.fixture(scope="module")
def quiet():
    """Forces and stress are zero: what matters are structures."""
    return teachers.Teacher("none", teachers.load("calculators:zero").calculator)


def conformer(smiles):
    return geometry.embed(smiles, np.random.default_rng(0))


def lattice_of(name):
    known = KNOWN[name]
    return crystals.lattice_of(known, conformer(known.smiles), np.random.default_rng(0), tries=1)


def density(lattice):
    """g/cm³."""
    atoms = lattice.atoms()
    return atoms.get_masses().sum() / atoms.get_volume() * units._amu * 1e27


def gap(lattice):
    """The shortest distance (Å) between atoms of two molecules, in the next cells too."""
    steps = np.array(list(itertools.product((-1, 0, 1), repeat=3))) @ lattice.cell
    found = np.inf
    for k, one in enumerate(lattice.x):
        others = (lattice.x[:, None] + steps[:, None]).reshape(-1, *one.shape)
        others = np.delete(others, k * len(steps) + len(steps) // 2, axis=0)
        found = min(found, np.linalg.norm(one[:, None] - others[:, None], axis=3).min())
    return found


def test_crystals_are_held_out_by_molecule_and_carbon_dioxide_is():
    assert len(KNOWN) == len(CRYSTALS) >= 30
    splits = {}
    for known in CRYSTALS:
        described = crystals.described(known)
        splits.setdefault(described.smiles, set()).add(known.split)
        # What is held out as a molecule is held out as a crystal, too.
        assert split_of(described.smiles) in (None, "train", known.split)
    assert all(len(found) == 1 for found in splits.values())
    assert sum(known.split == "test" for known in CRYSTALS) >= 8
    assert KNOWN["carbon dioxide"].split == "test"
    for split in ("train", "valid", "test"):
        smiles = {m.smiles for m in crystals.candidates(split)}
        assert len(smiles) > 10 and not smiles & crystals.held_out()
    assert not set(crystals.RODS) & crystals.held_out()


@pytest.mark.parametrize("known", WITH_COORDINATES, ids=lambda known: known.name)
def test_coordinates_give_whole_molecules_without_overlap(known):
    lattice = lattice_of(known.name)
    assert np.array_equal(lattice.numbers, geometry.to_atoms(conformer(known.smiles)).numbers)
    assert 0.5 < density(lattice) < 2.6
    # Hydrogen bonds are the shortest contacts.
    assert gap(lattice) > 1.4


def test_molecules_are_moved_onto_known_coordinates():
    for name in ("benzene", "urea", "hexamine", "ammonia"):
        known, mol = KNOWN[name], conformer(KNOWN[name].smiles)
        symbols, basis = known.sites()
        found = lattices.crystal(symbols, basis, spacegroup=known.group, cellpar=known.cell)
        for molecule in lattices.whole_molecules(found):
            moved = lattices.moved_onto(mol, molecule)
            nearest = np.linalg.norm(moved[:, None] - molecule.positions, axis=2).min(axis=1)
            # The force field bends urea's hydrogen atoms out of its plane.
            assert len(moved) == len(molecule) and nearest.max() < 0.5, name
            heavy = geometry.to_atoms(mol).numbers > 1
            assert nearest[heavy].max() < 0.25, name


@pytest.mark.parametrize("name", ["methanol", "naphthalene", "chloroform"])
def test_packings_in_known_cells_have_no_overlap(name):
    known, lattice = KNOWN[name], lattice_of(name)
    assert len(lattice.x) == polymorphs.order(known.group)
    assert gap(lattice) > 1.6


def test_packings_have_their_space_group_and_about_the_volume_of_known_crystals():
    known, rng = KNOWN["nitromethane"], np.random.default_rng(0)
    rigid = crystals.rigid(conformer(known.smiles))
    lattice, energy = polymorphs.packed(rigid, known.group, rng, system="orthorhombic")
    assert energy < -0.3
    volume = np.linalg.det(lattice.cell) / np.prod(known.cell[:3])
    assert 0.85 < volume < 1.2
    # Every operation maps the crystal onto itself.
    inverse = np.linalg.inv(lattice.cell)
    fractional = lattice.x.reshape(-1, 3) @ inverse
    for rotation, shift in zip(*Spacegroup(known.group).get_op(), strict=True):
        moved = fractional @ rotation.T + shift
        apart = moved[:, None] - fractional
        apart = np.linalg.norm((apart - apart.round()) @ lattice.cell, axis=2)
        assert apart.min(axis=1).max() < 1e-6


def test_rods_pack_in_cubes_and_others_in_all_usual_groups(quiet, monkeypatch):
    searched = polymorphs.packed
    # Which groups are chosen does not depend on how well they are searched.
    monkeypatch.setattr(polymorphs, "packed", functools.partial(searched, steps=50))

    def packing(name, smiles):
        job = frames.Job(name, 0, "train", quiet)
        return crystals.generated(job, frames.by_smiles(smiles), conformer(smiles))

    cube = packing("rod", "N#N")
    assert len(cube.x) == 4
    np.testing.assert_allclose(cube.cell, cube.cell[0, 0] * np.eye(3), atol=1e-9)
    sizes = {len(packing(f"group-{k}", "C=O").x) for k in range(12)}
    assert sizes == {2, 4, 8}
    # Of a large molecule only small cells.
    assert len(packing("large", "CC(C)O").x) <= 4


def test_supercells_have_no_short_vector_and_few_atoms():
    for name, atoms in (("carbon dioxide", 48), ("hydrogen cyanide", 48), ("urea", 64)):
        lattice = lattice_of(name)
        large = lattice.enlarged(crystals.SHORTEST, crystals.MOST)
        steps = np.array(list(itertools.product((-1, 0, 1), repeat=3)))
        lengths = np.linalg.norm(steps[steps.any(axis=1)] @ large.cell, axis=1)
        assert lengths.min() >= crystals.SHORTEST and large.x[..., 0].size == atoms
        assert density(large) == pytest.approx(density(lattice))
        assert gap(large) == pytest.approx(gap(lattice))
        assert np.linalg.det(large.cell) > 0
    # Where that takes too many atoms, the best that few allow.
    assert lattice_of("urea").enlarged(crystals.SHORTEST, 40).x[..., 0].size == 32


def test_lattices_are_strained_and_molecules_are_not():
    lattice = lattice_of("urea")
    strain = np.array([[0.03, 0.01, 0], [0.01, -0.02, 0.02], [0, 0.02, 0.0]])
    changed = lattice.deformed(0.8, strain)
    assert np.linalg.det(changed.cell) / np.linalg.det(lattice.cell) == pytest.approx(0.8)
    assert changed.cell[0, 0] / changed.cell[1, 1] == pytest.approx(1.03 / 0.98)
    for one, other in zip(lattice.x, changed.x, strict=True):
        np.testing.assert_allclose(one - one.mean(axis=0), other - other.mean(axis=0))


def test_molecules_shake_more_where_it_is_hotter():
    known = KNOWN["urea"]
    mol = conformer(known.smiles)
    atoms, modes, lattice = geometry.to_atoms(mol), geometry.modes(mol), lattice_of("urea")

    def moved(temperature):
        shaken = lattice.shaken(atoms, modes, temperature, np.random.default_rng(0))
        return np.linalg.norm(shaken.x - lattice.x, axis=2).mean()

    assert moved(0.0) < 1e-6 < moved(30.0) < moved(300.0) < 0.6


def test_a_job_goes_from_compressed_to_expanded_and_a_student_moves_two_of_six(quiet):
    asked = []
    mover = teachers.Teacher("mover", lambda: asked.append(1) or quiet.calculator())
    job = frames.Job("job", 0, "train", quiet, mover)
    found = list(crystals.crystal(job, KNOWN["acetylene"]))
    assert len(found) == crystals.FRAMES == 6
    # Once for the molecule alone.
    assert len(asked) == 1 + 2
    volumes = [np.linalg.det(f.cell) / len(f.numbers) * 16 / 6.105**3 for f in found]
    assert volumes == sorted(volumes) and volumes[0] < 0.8 and volumes[-1] > 1.1
    for f in found:
        assert (f.kind, f.split) == ("crystal", "train") and f.pbc.all()
        assert set(f.molecule.split(".")) == {"C#C"} and np.isfinite(f.stress).all()


def test_the_teacher_finds_a_crystal_below_its_molecules_and_draws_it_together_where_it_is_thin():
    teacher = teachers.gfn2()
    found = list(crystals.crystal(frames.Job("cold", 0, "train", teacher), KNOWN["nitrogen"]))
    assert not [f for f in found if isinstance(f, str)]
    pressure = [-np.trace(f.stress) / 3 for f in found]
    # Each has that of its vibrations, too.
    assert sum(pressure[:2]) > sum(pressure[4:]) and sum(pressure[4:]) < 0
    alone = teacher.label(geometry.to_atoms(conformer("N#N"))).energy
    assert min(f.energy / len(f.numbers) * 2 for f in found) < alone


def test_a_plan_goes_through_all_known_crystals_and_as_many_packings():
    works = generate.plan(12 * len(CRYSTALS), 0, only="crystal")
    subjects = [work.subject() for work in works]
    names = [known.name for known, _ in subjects if known]
    assert sorted(names) == sorted(KNOWN) and len(works) == 2 * len(CRYSTALS)
    assert all(split == known.split for known, split in subjects if known)
    assert {split for known, split in subjects if not known} >= {"train", "test"}


def test_a_merge_keeps_crystals_held_out_of_molecules_in_training(quiet):
    def frame(name, split, kind="crystal"):
        mol = conformer(KNOWN[name].smiles)
        smiles = Chem.MolToSmiles(Chem.RemoveHs(mol))
        return quiet.label(geometry.to_atoms(mol), kind, molecule=f"{smiles}.{smiles}", split=split)

    def kept(*found):
        return len(dataset.Dataset(list(found), "none").drop_wrong_splits().frames)

    assert kept(frame("carbon dioxide", "test")) == 1
    assert kept(frame("carbon dioxide", "test", "cluster")) == 0
    # Pyrazine is held out as a molecule.
    assert kept(frame("pyrazine", "test")) == 1 and kept(frame("pyrazine", "train")) == 0


def test_the_command_makes_crystals_alone(tmp_path):
    options = ["--only", "crystal", "--frames", 12, "--teacher", "calculators:zero"]
    status, _, err = run("generate", tmp_path / "made", *options)
    assert status == 0, err
    found = [f for path in (tmp_path / "made/shards").glob("*.h5") for f in files.read(path).frames]
    assert len(found) == 12 and {f.kind for f in found} == {"crystal"}
    assert {"O=C=O"} in [set(f.molecule.split(".")) for f in found if f.split == "test"]
