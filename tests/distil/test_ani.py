"""ANI-1ccx: the numbers of torchani, gradients, and labels only where its networks agree."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from conftest import ROOT

from mlff_student.distil import ani, dataset, files, labelling, teachers

LABELS = ROOT / "models/labels"

# Of `amide()` and `water_box()`, by torchani 2.0 itself in double precision: energies of the eight
# networks (eV), mean forces (eV/Å), mean stress (eV/Å³).
AMIDE_ENERGIES = [
    *(-5686.778303247, -5686.782403304, -5686.748129474, -5686.739942471),
    *(-5686.697691364, -5686.754999334, -5686.73484652, -5686.783193141),
]
AMIDE_FORCES = [
    [-1.06259, 0.364003, -0.489895],
    [5.366427, -1.586416, 1.143747],
    [-5.925803, 0.3038, -0.738221],
    [0.061095, -2.781777, 2.676191],
    [0.962985, 0.963606, -0.246951],
    [-0.910419, 1.409907, -0.335195],
    [-0.121613, -0.039691, 0.010595],
    [0.252076, 0.861066, -2.444961],
    [1.377841, 0.505501, 0.424691],
]
AMIDE_FORCE_SPREAD = 0.374787410
BOX_ENERGIES = [
    *(-2078.509728211, -2078.521133425, -2078.510197889, -2078.507952014),
    *(-2078.527398512, -2078.497439978, -2078.514105442, -2078.492700092),
]
BOX_FORCES = [
    [-0.213363, 0.037368, -0.597479],
    [0.276586, -0.377338, 0.196938],
    [-0.063224, 0.33997, 0.400541],
]
BOX_STRESS = [
    [0.003652242, -0.002812628, 0.000501517],
    [-0.002812628, 0.004522324, 0.001364359],
    [0.000501517, 0.001364359, 0.004940992],
]


def amide():
    atoms = molecule("CH3CONH2")
    atoms.rattle(0.05, seed=1)
    return atoms


def water_box():
    """Smaller than the cutoff: atoms see copies of themselves."""
    atoms = molecule("H2O")
    atoms.rotate(40, (1, 2, 3))
    atoms.set_cell([[4.2, 0.0, 0.0], [0.3, 4.5, 0.0], [-0.2, 0.4, 4.8]])
    atoms.pbc = True
    return atoms


def squeezed():
    """Two atoms of carbon at a third of a bond."""
    atoms = molecule("C2H6")
    atoms.set_distance(0, 1, 0.5, fix=0)
    return atoms


@pytest.fixture(scope="module")
def teacher():
    return teachers.load("ani1ccx")


@pytest.fixture(scope="module")
def committee(teacher):
    return teacher.committee


def test_numbers_are_those_of_torchani(committee):
    first, box = committee([amide(), water_box()])
    # torchani's slope of CELU has a factor of single precision, its energies have none.
    np.testing.assert_allclose(first.energies, AMIDE_ENERGIES, rtol=0, atol=2e-9)
    np.testing.assert_allclose(first.forces.mean(axis=0), AMIDE_FORCES, rtol=0, atol=1e-6)
    assert first.force_spread == pytest.approx(AMIDE_FORCE_SPREAD, abs=1e-6)
    assert first.energy_spread == pytest.approx(np.std(AMIDE_ENERGIES) / 3, abs=1e-8)
    assert first.stress is None
    np.testing.assert_allclose(box.energies, BOX_ENERGIES, rtol=0, atol=2e-9)
    np.testing.assert_allclose(box.forces.mean(axis=0), BOX_FORCES, rtol=0, atol=1e-6)
    np.testing.assert_allclose(box.stress, BOX_STRESS, rtol=0, atol=2e-9)


@pytest.mark.parametrize("make", [amide, water_box])
def test_forces_are_minus_the_gradient_of_each_networks_energy(committee, make):
    atoms, step = make(), 1e-4
    forces = committee([atoms])[0].forces
    for i, axis in ((0, 0), (1, 2), (2, 1)):
        plus, minus = atoms.copy(), atoms.copy()
        plus.positions[i, axis] += step
        minus.positions[i, axis] -= step
        above, below = (found.energies for found in committee([plus, minus]))
        np.testing.assert_allclose(forces[:, i, axis], (below - above) / (2 * step), atol=2e-5)


@pytest.mark.parametrize(("i", "j"), [(0, 0), (2, 2), (0, 1)])
def test_stress_is_the_energys_slope_with_strain(committee, i, j):
    box, step = water_box(), 1e-4

    def energy(strain):
        deformed, e = box.copy(), np.eye(3)
        e[i, j] += strain / 2
        e[j, i] += strain / 2
        deformed.set_cell(box.cell.array @ e, scale_atoms=True)
        return committee([deformed])[0].energies.mean()

    slope = (energy(step) - energy(-step)) / (2 * step) / box.get_volume()
    assert committee([box])[0].stress[i, j] == pytest.approx(slope, abs=1e-6)


def test_structures_do_not_depend_on_those_beside_them(committee):
    apart = Atoms("N2", [[0, 0, 0], [9, 0, 0]])
    structures = [amide(), Atoms("C"), water_box(), apart, molecule("H2O")]
    together = committee(structures * 10)
    for atoms, found in zip(structures * 10, together, strict=True):
        alone = committee([atoms])[0]
        np.testing.assert_allclose(found.energies, alone.energies, rtol=0, atol=1e-10)
        np.testing.assert_allclose(found.forces, alone.forces, rtol=0, atol=1e-12)
    # Atoms without neighbors feel none.
    assert not together[1].forces.any() and not together[3].forces.any()


def test_turned_and_exchanged_atoms_have_the_same_energy(committee):
    atoms, turned = amide(), amide()
    turned.rotate(77, (3, 1, 2))
    order = np.random.default_rng(1).permutation(len(atoms))
    first, second = committee([atoms, turned[order]])
    np.testing.assert_allclose(first.energies, second.energies, rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    ("atoms", "reason"),
    [
        (molecule("CH3SH"), "element outside H C N O"),
        (molecule("CH3"), "open shell"),
        (squeezed(), "networks' forces differ by more than 1.5 eV/Å"),
        (molecule("H2"), "networks' energies differ by more than 0.08 eV/√atoms"),
    ],
)
def test_structures_without_a_label(teacher, atoms, reason):
    with pytest.raises(teachers.Dropped, match=reason):
        teacher.label(atoms)
    # Nor have they one among others.
    first, dropped, last = teacher.label_all([(amide(), {}), (atoms, {}), (amide(), {"name": "b"})])
    assert dropped == reason
    assert first.energy == last.energy == pytest.approx(np.mean(AMIDE_ENERGIES), abs=2e-3)
    assert (first.name, last.name) == ("", "b")


def test_boxes_may_differ_by_more_than_molecules(teacher):
    atoms = molecule("H2CCO")
    atoms.rattle(0.03, seed=5)
    spread = teacher.committee([atoms])[0].force_spread
    assert ani.MAX_SPREAD[0] < spread < ani.MAX_SPREAD_OF_BOXES[0]
    with pytest.raises(teachers.Dropped, match="networks' forces differ"):
        teacher.label(atoms)
    atoms.set_cell(np.eye(3) * 20)
    atoms.pbc = True
    # Far from its copies.
    assert teacher.committee([atoms])[0].force_spread == pytest.approx(spread)
    assert np.isfinite(teacher.label(atoms, kind="crystal").stress).all()


def test_ase_moves_atoms_with_it(teacher):
    box = water_box()
    box.calc = teacher.calculator()
    label = teacher.label(box)
    assert label.energy == pytest.approx(box.get_potential_energy(), abs=1e-3)
    np.testing.assert_allclose(label.forces, box.get_forces(), atol=1e-3)
    np.testing.assert_allclose(label.stress, box.get_stress(voigt=False), atol=1e-5)
    sulfur = molecule("CH3SH")
    sulfur.calc = teacher.calculator()
    with pytest.raises(teachers.FAILURES, match="H, C, N and O only"):
        sulfur.get_potential_energy()


def test_other_weights_are_refused(monkeypatch):
    monkeypatch.setattr(ani, "WEIGHTS", "0" * 64)
    with pytest.raises(ImportError, match="needs the weights"):
        ani.Committee()


def run(*arguments):
    command = [sys.executable, "-m", "mlff_student.distil", *map(str, arguments)]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "python")}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)


def test_shipped_structures_get_the_labels_that_are_listed(tmp_path):
    """The smallest file, as `make labels-cc` does it; two processes make the same as one."""
    hashes = LABELS / "organics-cc.sha256"
    output = tmp_path / "collisions-1-cc.h5"
    source = LABELS / "collisions-1.h5"
    done = run("label", source, "-o", output, "--teacher", "ani1ccx", "--jobs", 2)
    assert done.returncode == 0, done.stderr
    listed = run("info", output, "--expect", hashes)
    assert listed.returncode == 0, listed.stderr
    found = json.loads(done.stdout)
    assert found["teacher"].startswith("torchani 2.0 ANI-1ccx weights sha256:")
    assert {r.split(" differ")[0] for r in found["dropped"]} == {
        "element outside H C N O",
        "networks' forces",
        "networks' energies",
    }
    before = {frame.name: frame for frame in files.read(source).frames}
    for frame in files.read(output).frames:
        old = before[frame.name]
        assert (frame.kind, frame.split, frame.molecule) == (old.kind, old.split, old.molecule)
        np.testing.assert_array_equal(frame.positions, old.positions)

    for name, digest in ((output.name, "0" * 64), ("other.h5", found["content_hash"])):
        with pytest.raises(dataset.DatasetError, match=f"content hash .* {name}"):
            files.expect({name: digest}, hashes)


def test_several_files_make_one(tmp_path):
    from ase.io import write

    write(tmp_path / "a.xyz", [molecule("CH4"), molecule("H2O")])
    write(tmp_path / "b.xyz", [molecule("NH3")])
    inputs = [tmp_path / "a.xyz", tmp_path / "b.xyz"]
    found = labelling.label(inputs, tmp_path / "out.h5", "ani1ccx", 1)
    assert [frame.name for frame in found.frames] == [f"label-{i:06d}" for i in range(3)]
    assert [len(frame.numbers) for frame in found.frames] == [5, 3, 4]


def test_gfn2_differs_from_it_by_what_the_readme_says(committee):
    known = set(ani.ELEMENTS)
    frames = files.read(LABELS / "held-out.h5").frames
    frames = [frame for frame in frames if set(frame.numbers.tolist()) <= known][:200]
    found = committee([Atoms(frame.numbers, frame.positions) for frame in frames])
    theirs = np.concatenate([frame.forces for frame in frames])
    ours = np.concatenate([prediction.forces.mean(axis=0) for prediction in found])
    assert np.abs(theirs - ours).mean() == pytest.approx(0.215, abs=0.005)
