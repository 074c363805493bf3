"""Molecules and mixtures; needs what the teacher needs (rdkit, h5py), which the project's .venv
lacks.
"""

from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("rdkit", reason="SKIPPED: rdkit is missing: run with the teacher's environment")

import itertools

from mlff_student.acceptance import analysis, systems
from mlff_student.distil.floor import HYDRIDES


def test_rotations_are_rotations():
    random = np.random.default_rng(1)
    for reflect in (False, True):
        turn = systems.random_rotation(random, reflect)
        np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-12)
        assert np.linalg.det(turn) == pytest.approx(-1.0 if reflect else 1.0)


def test_every_built_in_molecule_can_be_built():
    assert len(set(systems.BUILT_IN)) == len(systems.BUILT_IN) >= 100
    for smiles in systems.BUILT_IN[::10]:
        atoms = systems.from_smiles(smiles)
        assert set(atoms.symbols) <= set(HYDRIDES)
        assert analysis.BondCriterion(atoms).broken(atoms.positions) is None


@pytest.mark.parametrize("periodic", [False, True])
def test_mixtures_have_their_density_and_no_overlap(periodic):
    atoms = systems.mixture(3, 10, density=0.8, periodic=periodic)
    assert len(atoms) == 3 * 9 + 10 * 3
    distances = atoms.get_all_distances(mic=periodic)
    molecules = np.concatenate([np.repeat(np.arange(3), 9), 3 + np.repeat(np.arange(10), 3)])
    apart = molecules[:, None] != molecules[None]
    assert distances[apart].min() > 1.69
    if periodic:
        grams = (3 * 46.07 + 10 * 18.015) / 6.02214e23
        assert grams / (atoms.get_volume() * 1e-24) == pytest.approx(0.8, rel=1e-6)


def test_hydrides_face_each_other_at_their_distance():
    for first in HYDRIDES:
        for second in HYDRIDES:
            atoms = systems.hydrides(first, second, 3.0)
            size = len(systems.hydride(first))
            assert [atoms.get_chemical_symbols()[k] for k in (0, size)] == [first, second]
            np.testing.assert_allclose(
                atoms.positions[size] - atoms.positions[0], [0, 0, 3.0], atol=1e-12
            )
            # But for methane's three, all hydrogen atoms are behind.
            assert (atoms.positions[1:size, 2] < 0.4).all() and (
                atoms.positions[size + 1 :, 2] > 2.6
            ).all()
            assert atoms.get_all_distances()[:size, size:].min() > 2.2


def test_holes_behind_walls_are_found():
    from mlff_student.acceptance import collisions

    distance = collisions.fractions(collisions.STEP)
    wall = 10 / distance
    assert collisions.judge(wall) == {"hole_ev": 0.0, "wall_ev": pytest.approx(20.0)}
    holed = np.where((distance > 0.55) & (distance < 0.6), wall - 12.0, wall)
    assert collisions.judge(holed)["hole_ev"] > 11.0
    # Beyond what is judged.
    assert collisions.judge(np.where(distance < 0.48, -1000.0, wall))["hole_ev"] == 0.0


def test_held_out_molecules_are_those_of_the_test_split(tmp_path):
    h5py = pytest.importorskip("h5py")
    entries = [
        ("train", "CCO", ""),
        ("test", "c1ccccc1", "c1ccccc1"),
        ("test", "Cc1ccccc1", "c1ccccc1"),
        ("test", "C1CC1", "C1CC1"),
        ("test", "C1CC1", "C1CC1"),
        ("test", "O.O", ""),
        ("test", "", ""),
        ("valid", "CN", ""),
    ]
    with h5py.File(tmp_path / "data.h5", "w") as file:
        for name, column in zip(("split", "molecule", "scaffold"), zip(*entries)):
            file[f"metadata/{name}"] = np.array(column, dtype=h5py.string_dtype())
    setting = SimpleNamespace(dataset=tmp_path / "data.h5", elements=frozenset(range(1, 87)))

    def held_out(count, largest=None):
        return systems.held_out(setting, count, largest)[0]

    found = held_out(10)
    assert sorted(found) == ["C1CC1", "Cc1ccccc1", "c1ccccc1"]
    # One of each scaffold first.
    assert "C1CC1" in found[:2]
    assert held_out(10, 12) and "Cc1ccccc1" not in held_out(10, 12)
    assert held_out(10) == found
    with h5py.File(tmp_path / "data.h5", "a") as file:
        del file["metadata/scaffold"]
    with pytest.raises(ValueError, match="expected single molecules of the split test"):
        held_out(10)


def test_molecules_of_unknown_elements_are_passed_over_and_named():
    setting = SimpleNamespace(dataset=None, elements=frozenset((1, 6, 7, 8)))
    found, passed = systems.held_out(setting, 10)
    assert found == [s for s in systems.FREQUENCY_SET if not set(s) & {"F", "S", "l"}]
    assert passed == ["CS(C)=O", "Fc1ccccc1", "ClCC=O"] and len(found) == 7
    # Those behind the last one that is taken are not named.
    assert systems.held_out(setting, 2) == (systems.FREQUENCY_SET[:2], [])
    kept, left_out = systems.known({"water": "O", "phosphane": "P"}, setting.elements)
    assert (kept, left_out) == (["water"], ["phosphane"])
    with pytest.raises(ValueError, match="not all know the elements of any of these: phosphane"):
        systems.known({"phosphane": "P"}, setting.elements)


def test_turning_a_bond_moves_one_side():
    pytest.importorskip(
        "tblite", reason="SKIPPED: tblite is missing: run with the teacher's environment"
    )
    from mlff_student.acceptance import torsions

    for smiles, pattern, chosen in torsions.TORSIONS.values():
        indices, turning = torsions.four_atoms(smiles, pattern, chosen)
        atoms = systems.from_smiles(smiles)
        pairs = {tuple(pair) for pair in analysis.bonds(atoms)}
        for i, j in itertools.pairwise(indices):
            assert (min(i, j), max(i, j)) in pairs
        assert indices[3] in turning and indices[0] not in turning
        before = atoms.get_dihedral(*indices)
        atoms.set_dihedral(*indices, before + 40.0, indices=turning)
        # Nothing but the turned bond's angle changes: all bonds keep their lengths.
        assert {tuple(pair) for pair in analysis.bonds(atoms)} >= pairs
        turned = (atoms.get_dihedral(*indices) - before + 180) % 360 - 180
        assert turned == pytest.approx(40.0, abs=1e-6)


def test_a_molecule_that_cannot_be_compared_or_relaxed_fails_the_frequencies():
    pytest.importorskip(
        "tblite", reason="SKIPPED: tblite is missing: run with the teacher's environment"
    )
    from mlff_student.acceptance import frequencies, report

    setting = SimpleNamespace(verdict=lambda model, fine: report.verdict(fine))
    fine = {
        "converged": True,
        "mae_cm": 5.0,
        "max_cm": 9.0,
        "spurious": 0,
        "lowest_cm": 50.0,
        "bond_mae": 0.001,
        "bond_max": 0.002,
    }
    nan = float("nan")
    for change, met in [
        ({}, True),
        ({"converged": False}, False),
        ({"mae_cm": nan, "max_cm": nan}, False),
        ({"spurious": 1}, False),
        ({"mae_cm": 40.0}, False),
    ]:
        found = [fine, fine | change]
        assert frequencies.met(found) == met, change
        last = frequencies.table({"model": dict(zip("ab", found))}, setting).splitlines()[-1]
        assert last.endswith("ok" if met else "NOT MET")
    step = {"converged": True, "largest": 1.0}
    for change, met in [({}, True), ({"converged": False}, False), ({"largest": 6.0}, False)]:
        assert frequencies.steps_met({"CH₄": step, "CO₂": step | change}) == met


class Pair:
    """Two atoms whose energy has a known end at 5 Angstrom."""

    def __init__(self, energy, force):
        self.energy, self.force = energy, force

    def compute_batch(self, structures):
        found = []
        for structure in structures:
            d = structure.positions[1][2]
            inside = d < 5.0
            force = [0, 0, self.force(d) if inside else 0.0]
            found.append(
                SimpleNamespace(
                    energy=self.energy(d) if inside else 0.0, forces=np.array([force, force])
                )
            )
        return found


@pytest.mark.parametrize(
    "energy, force, fine",
    [
        (lambda d: (5 - d) ** 3, lambda d: 3 * (5 - d) ** 2, True),
        (lambda d: (5 - d) ** 2, lambda d: 2 * (5 - d), False),
        (lambda d: 5 - d, lambda d: 1.0, False),
        # A jump of the energy alone, which no force shows.
        (lambda d: (5 - d) ** 3 + 0.01, lambda d: 3 * (5 - d) ** 2, False),
    ],
    ids=["smooth", "second derivative", "slope", "energy"],
)
def test_jumps_at_the_cutoff_are_found(energy, force, fine):
    from mlff_student.acceptance import invariance

    distances = 5.0 + np.arange(-invariance.REACH, invariance.REACH, invariance.STEP)
    scan = invariance.scan_of(
        [invariance.Structure([1, 1], [[0, 0, 0], [0, 0, d]]) for d in distances],
        Pair(energy, force),
        [1],
        0.0,
    )
    assert invariance.continuous(scan) == fine
