"""The ASE calculator gives the tool's numbers, with ASE's signs and shapes."""

import copy
import json
import pickle
import subprocess
import warnings

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from ase.calculators.calculator import PropertyNotImplementedError
from ase.io import read, write
from ase.stress import full_3x3_to_voigt_6_stress
from places import PUBLISHED, TOOL, missing

from mlff_student import Calculator, Error, OutsideError, OutsideWarning


def calculator(model, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return Calculator(model, **options)


def ethanol():
    atoms = molecule("CH3CH2OH")
    atoms.rattle(0.05, seed=1)
    return atoms


def water_box():
    """Three molecules in a triclinic cell smaller than the cutoff."""
    positions = [
        [0.353, 3.390, 1.450],
        [0.647, 2.473, 1.340],
        [0.064, 3.661, 0.565],
        [2.058, 3.727, 3.670],
        [2.910, 4.178, 3.557],
        [1.949, 3.207, 2.859],
        [4.188, 1.116, 3.662],
        [3.955, 1.003, 4.597],
        [4.954, 1.711, 3.673],
    ]
    return Atoms(
        "OHHOHHOHH", positions, cell=[[4.6, 0, 0], [0.3, 4.5, 0], [0.2, -0.2, 4.4]], pbc=True
    )


@pytest.mark.parametrize(
    "options", [{}, {"precision": "double"}, {"precision": "double", "filter": "exact"}], ids=str
)
@pytest.mark.parametrize("structure", [ethanol, water_box])
def test_equals_the_tool(tmp_path, model, structure, options):
    atoms = structure()
    write(tmp_path / "structure.extxyz", atoms)
    # What the file holds, which has fewer digits.
    atoms = read(tmp_path / "structure.extxyz")
    arguments = [word for name, value in options.items() for word in (f"--{name}", value)]
    told = subprocess.run(
        [TOOL, "eval", model, tmp_path / "structure.extxyz", *arguments],
        check=True,
        capture_output=True,
    )
    told = json.loads(told.stdout)
    atoms.calc = calculator(model, **options)
    assert atoms.get_potential_energy() == told["energy"]
    assert atoms.get_potential_energy(force_consistent=True) == told["energy"]
    np.testing.assert_array_equal(atoms.get_potential_energies(), told["atomic_energies"])
    np.testing.assert_array_equal(atoms.get_forces(), told["forces"])
    if told["stress"] is not None:
        np.testing.assert_array_equal(atoms.get_stress(voigt=False), told["stress"])


def test_energies_per_atom_sum_to_the_energy(smooth):
    atoms = ethanol()
    atoms.calc = calculator(smooth)
    assert atoms.get_potential_energies().sum() == pytest.approx(
        atoms.get_potential_energy(), abs=1e-9
    )


def test_forces_are_minus_the_slope_of_the_energy(smooth):
    atoms = ethanol()
    atoms.calc = calculator(smooth, precision="double", filter="exact")
    forces, start, step = atoms.get_forces(), atoms.get_positions(), 1e-4
    for atom, axis in [(0, 0), (2, 1), (5, 2)]:
        energies = []
        for sign in (1, -1):
            atoms.positions = start
            atoms.positions[atom, axis] += sign * step
            energies.append(atoms.get_potential_energy())
        assert -(energies[0] - energies[1]) / (2 * step) == pytest.approx(
            forces[atom, axis], abs=1e-6
        )


def test_stress_has_the_sign_and_order_of_ase(smooth):
    atoms = water_box()
    atoms.calc = calculator(smooth, precision="double", filter="exact")
    stress, cell, step, slope = atoms.get_stress(), atoms.cell.array, 1e-5, np.zeros((3, 3))
    for i in range(3):
        for j in range(i, 3):
            for sign in (1, -1):
                strain = np.eye(3)
                strain[i, j] += sign * step / 2
                strain[j, i] += sign * step / 2
                strained = atoms.copy()
                strained.set_cell(cell @ strain, scale_atoms=True)
                strained.calc = atoms.calc
                slope[i, j] += sign * strained.get_potential_energy() / (2 * step)
            slope[j, i] = slope[i, j]
    # ASE: dE/dstrain / volume, in the order xx yy zz yz xz xy.
    np.testing.assert_allclose(
        stress, full_3x3_to_voigt_6_stress(slope / atoms.get_volume()), rtol=0, atol=1e-7
    )
    assert abs(stress[:3]).max() > 1e-3


def test_stress_of_a_structure_that_does_not_repeat_is_refused(smooth):
    for atoms in (
        ethanol(),
        Atoms("OH", [[0, 0, 0], [0.97, 0, 0]], cell=[8, 0, 0], pbc=[True, False, False]),
    ):
        atoms.calc = calculator(smooth)
        assert np.isfinite(atoms.get_forces()).all()
        with pytest.raises(PropertyNotImplementedError):
            atoms.get_stress()


def test_follows_what_changes(smooth):
    atoms = ethanol()
    atoms.calc = calculator(smooth)
    energy = atoms.get_potential_energy()
    atoms.set_initial_charges(np.ones(len(atoms)))
    assert atoms.calc.check_state(atoms) == []
    atoms.positions[0, 0] += 0.1
    assert atoms.get_potential_energy() != energy
    atoms.numbers[0] = 7
    assert atoms.get_potential_energy() != energy


@pytest.mark.parametrize(
    "duplicate",
    [copy.deepcopy, lambda calc: pickle.loads(pickle.dumps(calc))],
    ids=["deepcopy", "pickle"],
)
def test_copies_are_independent_and_equal(smooth, duplicate):
    atoms = ethanol()
    atoms.calc = calculator(smooth, precision="double")
    energy = atoms.get_potential_energy()
    other = duplicate(atoms.calc)
    atoms.calc.student.close()
    fresh = ethanol()
    fresh.calc = other
    other.reset()
    assert fresh.get_potential_energy() == energy


def test_copies_find_their_file_from_another_folder(smooth, tmp_path, monkeypatch):
    monkeypatch.chdir(smooth.parent)
    atoms = ethanol()
    atoms.calc = calculator(smooth.name)
    energy = atoms.get_potential_energy()
    monkeypatch.chdir(tmp_path)
    other = copy.deepcopy(atoms)
    other.calc.reset()
    assert other.get_potential_energy() == energy


def test_files_say_which_student_it_was(smooth, tmp_path):
    atoms = ethanol()
    atoms.calc = calculator(smooth, precision="double")
    atoms.get_potential_energy()
    write(tmp_path / "atoms.traj", atoms)
    found = read(tmp_path / "atoms.traj").calc
    assert found.name == "mlff_student"
    assert (
        atoms.calc.todict()["path"] == str(smooth) and atoms.calc.todict()["precision"] == "double"
    )
    with pytest.raises(TypeError, match="make a new Calculator"):
        atoms.calc.set(precision="mixed")


def test_a_failure_leaves_no_results_of_the_structure_before(smooth):
    atoms = ethanol()
    calc = calculator(smooth)
    calc.calculate(atoms)
    atoms.positions[0] = atoms.positions[1]
    with pytest.raises(Error):
        calc.calculate(atoms)
    with pytest.raises(Error):
        calc.get_potential_energy(atoms)


def test_check_is_passed_on_and_its_findings_are_there(shipped):
    atoms = molecule("H2O")
    atoms.calc = calculator(shipped, check="strict")
    assert atoms.calc.todict()["check"] == "strict"
    energy = atoms.get_potential_energy()
    atoms.positions[1] = atoms.positions[0] + [0.0, 0.2, 0.3]
    with pytest.raises(OutsideError, match="atoms 0 and 1"):
        atoms.get_potential_energy()
    assert atoms.calc.findings.pairs == ((0, 1),)
    atoms.calc = calculator(shipped)
    with pytest.warns(OutsideWarning, match="0 and 1"):
        atoms.get_potential_energy()
    atoms.set_positions(molecule("H2O").positions)
    assert atoms.get_potential_energy() == energy and atoms.calc.findings.overlaps == 0


def test_cells_of_either_hand_are_one_lattice(smooth):
    atoms = ethanol()
    atoms.cell, atoms.pbc = [[5.0, 0.3, 0.1], [0.0, 6.0, 0.2], [0.4, 0.0, 7.0]], True
    atoms.calc = calculator(smooth)
    energy, stress = atoms.get_potential_energy(), atoms.get_stress()
    atoms.cell = atoms.cell[[1, 0, 2]]
    assert abs(atoms.get_potential_energy() - energy) < 1e-5
    np.testing.assert_allclose(atoms.get_stress(), stress, atol=1e-6)


def test_says_what_is_wrong_with_published_students(smooth):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Calculator(smooth)
    if not PUBLISHED.exists():
        missing(f"{PUBLISHED} is missing: put the reference data beside the project")
    with pytest.warns(
        UserWarning, match="depends on orientation and jumps where pairs cross the cutoff"
    ):
        Calculator(PUBLISHED)


def test_repr_says_what_it_is(smooth):
    text = repr(calculator(smooth, precision="double"))
    assert text.startswith(f"<Calculator {smooth.stem}: ")
    assert "cutoff 5 Å" in text and "precision double" in text
