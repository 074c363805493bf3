"""The kinds of structures: what each of them promises."""

import numpy as np
import pytest
from ase import units
from ase.data import covalent_radii, vdw_radii
from conftest import ROOT
from rdkit import Chem

from mlff_student.distil import frames, generate, geometry, teachers


@pytest.fixture(scope="module")
def teacher():
    return teachers.gfn2()


@pytest.fixture(scope="module")
def student(library):
    """The teacher would take ten times as long to move atoms."""
    return teachers.student(ROOT / "models/organics-medium.safetensors")


def job(name, teacher, split="train", mover=None):
    return frames.Job(name, 0, split, teacher, mover)


def kept(results):
    return [r for r in results if not isinstance(r, str)]


def distances(frame):
    d = frame.positions[:, None] - frame.positions
    if frame.pbc.any():
        edges = np.diag(frame.cell)
        d -= edges * np.round(d / edges)
    d = np.linalg.norm(d, axis=2)
    np.fill_diagonal(d, np.inf)
    return d


def test_normal_modes_have_the_frequencies_of_bends_and_stretches():
    mol = geometry.embed("O", np.random.default_rng(0))
    _, omega = geometry.modes(mol)
    wavenumbers = omega * units._hbar * units.J * units.s / units.invcm
    assert len(wavenumbers) == 3
    assert 1400 < wavenumbers[0] < 1900
    assert 3400 < wavenumbers[1] < wavenumbers[2] < 4200


@pytest.mark.parametrize("temperature", [300.0, 900.0])
def test_displacements_hold_the_thermal_energy(temperature):
    rng = np.random.default_rng(0)
    # Rigid enough to be harmonic.
    mol = geometry.embed("C=O", rng)
    atoms, modes, field = geometry.to_atoms(mol), geometry.modes(mol), geometry.force_field(mol)

    def energy(positions):
        return field.CalcEnergy(positions.ravel().tolist()) * units.kcal / units.mol

    base = energy(atoms.positions)
    mean = np.mean(
        [
            energy(geometry.displaced(atoms, modes, temperature, rng).positions) - base
            for _ in range(3000)
        ]
    )
    # kT/2 for each of 3·4 − 6 modes.
    assert mean == pytest.approx(3 * units.kB * temperature, rel=0.15)


def test_no_displacement_tears_a_molecule_apart():
    rng = np.random.default_rng(0)
    mol = geometry.embed("CCCCCCCC", rng)
    atoms, modes = geometry.to_atoms(mol), geometry.modes(mol)
    for _ in range(200):
        moved = geometry.displaced(atoms, modes, 1000.0, rng)
        assert (
            np.linalg.norm(moved.positions - atoms.positions, axis=1).max()
            < 2 * geometry.MAX_DISPLACEMENT
        )


def test_small_molecules_are_moved_and_some_of_their_bonds_turned(teacher):
    disulfide, linear = frames.by_smiles("CSSC"), frames.by_smiles("O=C=O")
    kinds = {f.kind for i in range(6) for f in kept(frames.small(job(f"s{i}", teacher), disulfide))}
    assert kinds == {"displaced", "trajectory", "torsion"}
    moved = kept(frames.small(job("s", teacher), linear))
    assert len(moved) == 8 and {f.kind for f in moved} == {"displaced", "trajectory"}


def test_a_plan_of_one_kind_goes_through_all_small_molecules():
    works = generate.plan(3 * 8 * 106, 0, only="small")
    subjects = [w.subject()[0].smiles for w in works]
    assert {w.kind for w in works} == {"small"} and {w.subject()[1] for w in works} == {"train"}
    assert len(works) == 3 * 106 and all(subjects.count(s) == 3 for s in set(subjects))


def by_split(split, **conditions):
    return next(
        m for m in frames.pool(split) if all(getattr(m, k) == v for k, v in conditions.items())
    )


def test_training_trajectories_come_with_displaced_and_relaxed_frames(teacher):
    found = kept(frames.trajectory(job("t", teacher), frames.by_smiles("CCO")))
    assert sum(f.kind == "displaced" for f in found) == 5
    assert sum(f.kind == "trajectory" for f in found) == 3
    assert all(300 <= f.temperature <= 1000 for f in found if not np.isnan(f.temperature))
    relaxed = found[1]
    assert np.linalg.norm(relaxed.forces, axis=1).max() < 0.2


def test_test_trajectories_are_equal_parts_of_three_temperatures(teacher):
    small = min(frames.pool("test"), key=lambda m: m.atoms)
    found = kept(frames.trajectory(job("t", teacher, "test"), small))
    assert [f.temperature for f in found] == [300.0, 600.0, 900.0]
    assert {(f.kind, f.split, f.molecule) for f in found} == {("trajectory", "test", small.smiles)}


class Counting(teachers.Teacher):
    """Counts how often it was asked for a calculator, and for a label."""

    def __init__(self, teacher):
        super().__init__(teacher.name, self.counted)
        self.make, self.calculators, self.labels = teacher.calculator, 0, 0

    def counted(self):
        self.calculators += 1
        return self.make()

    def label(self, atoms, **metadata):
        self.labels += 1
        return super().label(atoms, **metadata)


def test_a_mover_moves_the_atoms_of_training_frames_and_the_teacher_labels_them(teacher):
    def counted(split):
        labels, moves = Counting(teacher), Counting(teacher)
        molecule = (
            frames.by_smiles("CCO")
            if split == "train"
            else min(frames.pool(split), key=lambda m: m.atoms)
        )
        found = kept(frames.trajectory(job("m", labels, split, moves), molecule))
        assert len(found) == labels.labels and moves.labels == 0
        return labels.calculators - labels.labels, moves.calculators

    assert counted("train") == (0, 2)
    assert counted("test")[1] == 0


def test_torsion_scans_turn_one_bond_through_the_circle(teacher):
    found = kept(frames.torsion(job("b", teacher), frames.by_smiles("CC(=O)O")))
    assert len(found) >= 8
    mol = Chem.AddHs(Chem.MolFromSmiles("CC(=O)O"))
    assert geometry.rotatable_bonds(mol)
    one = [f.positions for f in found]
    spread = [
        np.abs(
            np.linalg.norm(x[:, None] - x, axis=2)
            - np.linalg.norm(one[0][:, None] - one[0], axis=2)
        ).max()
        for x in one
    ]
    assert max(spread) > 0.3


def test_rare_kinds_of_bonds_are_turned_as_often_as_frequent_ones(teacher):
    kinds = frames.turnable_bonds("test")
    counts = [len(bonds) for bonds in kinds.values()]
    assert len(kinds) > 10 and max(counts) > 20 * min(counts)
    rare = {molecule.smiles for bonds in kinds.values() if len(bonds) < 5 for molecule, _ in bonds}
    scans = [kept(frames.torsion(job(f"kind-{k}", teacher, "test"), None)) for k in range(6)]
    assert all(len({f.molecule for f in scan}) == 1 for scan in scans if scan)
    assert any(scan[0].molecule in rare for scan in scans if scan)
    assert (
        generate.Work("torsion", 1).subject()[0] is None
        and generate.Work("torsion", 2).subject()[0] is not None
    )


def test_hydrogen_bonds_lie_within_rings_of_five_or_more_or_between_molecules():
    def found(smiles, reach):
        mol = geometry.embed(smiles, np.random.default_rng(0))
        symbols = [a.GetSymbol() for a in mol.GetAtoms()]
        return [(symbols[h], symbols[a]) for h, a in geometry.hydrogen_bonds(mol, reach)]

    # Salicylaldehyde's; that of formic acid would close a ring of four; a hydrogen atom of carbon
    # is none.
    assert found("O=Cc1ccccc1O", 1.0) == [] and found("O=Cc1ccccc1O", 6.0) == [("H", "O")]
    assert found("O=CO", 6.0) == [] and found("COCC=O", 6.0) == []


def test_hydrogen_atoms_of_nitrogen_oxygen_and_sulfur_are_as_likely_to_go_over(teacher):
    bonds = [frames.hydrogen_bond(job(f"bond-{k}", teacher, split="test")) for k in range(12)]
    assert {mol.GetAtomWithIdx(h).GetNeighbors()[0].GetSymbol() for mol, _, h, _ in bonds} == {
        "N",
        "O",
        "S",
    }


def test_transfers_lead_a_hydrogen_atom_from_one_atom_over_to_another(teacher, student):
    kinds = set()
    for name in ("way-0", "way-2"):
        found = kept(frames.transfer(job(name, teacher, mover=student), None))
        assert len(found) >= 6 and {f.kind for f in found} == {"transfer"}
        kinds.add("between" if "." in found[0].molecule else "within")

        def second_nearest(f):
            return np.sort(distances(f)[f.numbers == 1][:, np.isin(f.numbers, (7, 8, 16))], axis=1)[
                :, 1
            ].min()

        # From a hydrogen bond to where the hydrogen atom is bonded to both.
        assert second_nearest(found[0]) > 1.7 and min(map(second_nearest, found)) < 1.6
    assert kinds == {"between", "within"}


def test_triple_bonds_and_rings_are_not_turned():
    for smiles in ("C#C", "c1ccccc1", "CC#N", "N#N"):
        assert not geometry.rotatable_bonds(Chem.AddHs(Chem.MolFromSmiles(smiles)))


def test_close_contacts_cover_all_28_pairs_of_elements(teacher):
    assert len(frames.PAIRS) == 28
    for a, b in frames.PAIRS:
        reach = vdw_radii[a] + vdw_radii[b]
        found = kept(frames.contact(job(f"pair-{a}-{b}", teacher), (a, b)))
        between = [nearest_between(f, a, b) for f in found if "." in f.molecule]
        assert between and min(between) < reach, (a, b)


def nearest_between(frame, a, b):
    """Distance between an element of the first molecule and one of the second."""
    first = Chem.AddHs(Chem.MolFromSmiles(frame.molecule.split(".")[0])).GetNumAtoms()
    between = distances(frame)[:first, first:]
    return between[np.ix_(frame.numbers[:first] == a, frame.numbers[first:] == b)].min()


def test_collisions_lead_up_to_where_repulsion_begins_and_forces_beyond_the_usual_limit(teacher):
    nearest, largest = [], []
    for pair in ((1, 1), (1, 8), (6, 7), (17, 17)):
        covalent = covalent_radii[list(pair)].sum()
        for k in range(3):
            for f in kept(frames.collision(job(f"collision-{k}", teacher), pair)):
                assert f.kind == "collision"
                near = (
                    distances(f)[np.ix_(f.numbers == pair[0], f.numbers == pair[1])].min()
                    / covalent
                )
                assert near > 0.45
                nearest.append(near)
                largest.append(np.linalg.norm(f.forces, axis=1).max())
    assert min(nearest) < 0.65
    # Two heavy atoms at half of the sum: the limit of 200 of earlier data left them out, and holes
    # were there.
    assert 200 < max(largest) < 1000


class Lost(teachers.Teacher):
    """Finds another electronic state for some of the collisions."""

    def label(self, atoms, **metadata):
        frame = super().label(atoms, **metadata)
        if metadata.get("kind") == "collision" and metadata["name"].endswith("2"):
            frame.energy -= 150.0
        return frame


def test_collisions_in_another_electronic_state_are_dropped(teacher):
    right = kept(frames.collision(job("lost", teacher), (6, 8)))
    results = list(frames.collision(job("lost", Lost(teacher.name, teacher.calculator)), (6, 8)))
    assert results.count("another electronic state") == 1
    assert [f.name for f in kept(results)] == [f.name for f in right if not f.name.endswith("2")]


def test_all_28_pairs_occur_as_bonds_that_are_stretched():
    assert set(frames.bonds("train")) == set(frames.PAIRS)


def test_dimers_reach_from_contact_to_far_beyond_the_cutoff(teacher):
    found = kept(frames.dimer(job("d", teacher)))
    gaps = []
    for f in found:
        first = frames.by_smiles(f.molecule.split(".")[0]).atoms
        gaps.append(distances(f)[:first, first:].min())
    assert min(gaps) < 3.5 and max(gaps) > 8.0
    assert min(gaps) > 0.8


def test_water_clusters_hold_together(teacher):
    found = kept(frames.water(job("w", teacher), None))
    assert len(found) >= 4
    for f in found:
        oxygen = np.flatnonzero(f.numbers == 8)
        # Hydrogen bonds are 2.8 Å long; single molecules may leave.
        assert np.median(distances(f)[np.ix_(oxygen, oxygen)].min(axis=1)) < 3.5


def test_boxes_have_edges_of_at_least_10_and_no_overlaps():
    # The cheap teacher: what matters here are structures.
    quiet = teachers.Teacher("none", teachers.load("calculators:zero").calculator)
    for k in range(4):
        for f in kept(frames.periodic(job(f"box-{k}", quiet), None)):
            assert np.diag(f.cell).min() >= 10.0 and f.pbc.all()
            assert np.isfinite(f.stress).all()
            assert distances(f).min() > 0.6


def test_a_student_moves_two_of_three_boxes():
    quiet, mover = (
        teachers.Teacher(name, teachers.load("calculators:zero").calculator)
        for name in ("none", "mover")
    )
    still = kept(frames.periodic(job("box", quiet), None))
    moved = kept(frames.periodic(job("box", quiet, mover=mover), None))
    same = [np.array_equal(a.positions, b.positions) for a, b in zip(still, moved, strict=True)]
    assert same == [True, False, False]
    assert all(f.pbc.all() and np.isfinite(f.stress).all() for f in moved)


def test_the_splits_of_pairs_and_clusters_hold_their_own_molecules(teacher):
    found = [
        result
        for k in (0, 10)
        for result in frames.cluster(job(f"cluster-{k}", teacher, "test"), None)
    ]
    assert "molecule in the wrong split" not in found
    sizes = {f.molecule.count(".") + 1 for f in kept(found)}
    assert 2 in sizes and max(sizes) > 2


def test_a_molecule_in_the_wrong_split_gets_no_label(teacher):
    held_out = frames.pool("test", 12)[0]
    mol = geometry.embed(held_out.smiles, np.random.default_rng(0))
    assert (
        job("x", teacher).label(geometry.to_atoms(mol), "cluster", [held_out])
        == "molecule in the wrong split"
    )


def test_the_plan_keeps_the_shares():
    works = generate.plan(100_000, 0.05)
    expected = {
        kind: sum(w.expected for w in works if w.kind == kind) for kind in {w.kind for w in works}
    }
    wanted = {
        "trajectory": 38,
        "small": 5,
        "torsion": 15,
        "transfer": 2,
        "contact": 9,
        "collision": 1,
        "cluster": 20,
        "water": 5,
        "periodic": 3,
        "crystal": 2,
    }
    assert {k: round(n / 1000) for k, n in expected.items()} == wanted
    assert len({w.name for w in works}) == len(works)
    # Any part is a fair sample of what training needs.
    early = [w.kind for w in works[:1000]]
    assert 0.4 < (early.count("trajectory") + early.count("small")) / 1000 < 0.6
    assert 10 <= early.count("periodic") + early.count("crystal") <= 40
    tested = {
        w.subject()[0].smiles for w in works if w.kind == "trajectory" and w.subject()[1] == "test"
    }
    assert len(tested) >= 320
