"""Labels: GFN2-xTB against finite differences, and what is not accepted."""

import calculators
import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from ase.constraints import FixAtoms

from mlff_student.distil import teachers


def water_box():
    atoms = molecule("H2O")
    atoms.rotate(40, (1, 2, 3))
    atoms.set_cell([[4.2, 0.0, 0.0], [0.3, 4.5, 0.0], [-0.2, 0.4, 4.8]])
    atoms.pbc = True
    return atoms


def test_forces_are_minus_the_energys_gradient():
    teacher, atoms, step = teachers.gfn2(), molecule("CH3OH"), 1e-3
    atoms.rattle(0.05, seed=1)
    forces = teacher.label(atoms).forces
    for i, axis in ((0, 0), (1, 2), (4, 1)):
        plus, minus = atoms.copy(), atoms.copy()
        plus.positions[i, axis] += step
        minus.positions[i, axis] -= step
        slope = (teacher.label(plus).energy - teacher.label(minus).energy) / (2 * step)
        assert forces[i, axis] == pytest.approx(-slope, abs=2e-3)


@pytest.mark.parametrize(("i", "j"), [(0, 0), (2, 2), (0, 1)])
def test_stress_is_the_energys_slope_with_strain(i, j):
    teacher, atoms, step = teachers.gfn2(), water_box(), 2e-3

    def energy(strain):
        deformed, e = atoms.copy(), np.eye(3)
        e[i, j] += strain / 2
        e[j, i] += strain / 2
        deformed.set_cell(atoms.cell.array @ e, scale_atoms=True)
        # A label is that of rounded positions.
        deformed.calc = teacher.calculator()
        return deformed.get_potential_energy()

    slope = (energy(step) - energy(-step)) / (2 * step) / atoms.get_volume()
    stress = teacher.label(atoms).stress
    assert np.abs(stress).max() > 1e-3
    assert stress[i, j] == pytest.approx(slope, abs=0.01 * np.abs(stress).max())


def test_only_periodic_structures_have_a_stress():
    assert np.isnan(teachers.gfn2().label(molecule("H2O")).stress).all()
    assert np.isfinite(teachers.gfn2().label(water_box()).stress).all()


def test_a_label_does_not_depend_on_earlier_ones():
    teacher = teachers.gfn2()
    first = teacher.label(molecule("CH3OH"))
    teacher.label(molecule("C6H6"))
    again = teacher.label(molecule("CH3OH"))
    assert first.energy == again.energy
    assert np.array_equal(first.forces, again.forces)


def charged():
    atoms = molecule("H2O")
    atoms.info["charge"] = 1
    return atoms


@pytest.mark.parametrize(
    ("atoms", "reason"),
    [
        (molecule("CH3"), "open shell"),
        (charged(), "charged"),
        (Atoms("HBr", [[0, 0, 0], [1.4, 0, 0]]), "element outside H C N O F S Cl"),
        (Atoms("H2", [[0, 0, 0], [0.3, 0, 0]]), "force above 20 eV/Å"),
        (Atoms("H2", [[0, 0, 0], [np.nan, 0, 0]]), "structure empty or not finite"),
        (Atoms(), "structure empty or not finite"),
    ],
)
def test_structures_without_a_label(atoms, reason):
    with pytest.raises(teachers.Dropped, match=reason):
        teachers.gfn2().label(atoms)


@pytest.mark.parametrize(
    ("factory", "reason"),
    [
        ("unconverged", "unconverged"),
        ("nan_forces", "label not finite"),
        ("infinite_energy", "label not finite"),
        ("transposed_forces", "label of wrong shape"),
    ],
)
@pytest.mark.parametrize("atoms", [molecule("CH4"), water_box()], ids=["molecule", "box"])
def test_labels_that_are_dropped(factory, reason, atoms):
    # The transpose of three atoms' forces has the right shape.
    atoms = atoms * (1, 1, 2) if factory == "transposed_forces" and atoms.pbc.any() else atoms
    with pytest.raises(teachers.Dropped, match=reason):
        teachers.load(f"calculators:{factory}").label(atoms)


@pytest.mark.parametrize(
    ("factory", "error"), [("program_error", NameError), ("no_memory", RuntimeError)]
)
def test_errors_of_program_and_machine_are_not_taken_for_bad_structures(factory, error):
    with pytest.raises(error):
        teachers.load(f"calculators:{factory}").label(molecule("CH4"))


def test_a_calculator_without_stress_labels_boxes_without_one():
    frame = teachers.load("calculators:no_stress").label(water_box())
    assert frame.forces.shape == (3, 3) and np.isnan(frame.stress).all() and frame.pbc.all()


def test_fixed_atoms_have_the_forces_that_they_would_have():
    teacher, free = teachers.load("calculators:cheap"), molecule("CH3OH")
    fixed = free.copy()
    fixed.set_constraint(FixAtoms([0, 1, 2]))
    expected, found = teacher.label(free).forces, teacher.label(fixed).forces
    assert np.linalg.norm(expected[:3], axis=1).min() > 0
    np.testing.assert_array_equal(found, expected)
    # The caller's structure keeps what it had.
    assert len(fixed.constraints) == 1


def test_any_ase_calculator_is_a_teacher():
    atoms = molecule("CH4")
    frame = teachers.load("calculators:cheap").label(atoms)
    atoms.positions = frame.positions
    atoms.calc = calculators.cheap()
    assert frame.energy == pytest.approx(atoms.get_potential_energy(), abs=1e-7)


@pytest.mark.parametrize("spec", ["gfn3", "no_such_module:factory", "calculators:no_such_factory"])
def test_unknown_teachers_are_named(spec):
    with pytest.raises(
        ValueError, match=spec.split(":")[-1] if ":no_such" in spec else spec.split(":")[0]
    ):
        teachers.load(spec)
