"""Energies, forces and virials in LAMMPS are those of the model."""

import numpy as np
import pytest

from harness import (
    BAR,
    EXACT,
    KCAL,
    REPORT,
    Structure,
    cases,
    data_file,
    deck,
    evaluate,
    in_lammps_frame,
    report,
    run,
    single_point,
    tensor,
)

PUBLISHED = ["student-21k", "student-77k", "student-427k"]
PAINN = ["painn-32-bessel", "painn-64-gaussian"]


# Published students take the norm of vectors that vanish at the middle of these molecules, a kink whose
# slope depends on the last bit, hence on the order of neighbors. Their energies are compared, not their forces.
SYMMETRIC = {"CH4", "CCl4", "CF4", "lone-atom-beside-molecule"}


def fits_lammps(structure):
    cell = structure.cell
    return cell is None or (abs(cell[0, 1:]).max() < 1e-12 and abs(cell[1, 2]) < 1e-12)


def many_points(folder, structures, model_name, style):
    """Results of many structures, each in its own box, from one LAMMPS process."""
    folder.mkdir(parents=True, exist_ok=True)
    text = ""
    for name, structure in structures.items():
        (folder / f"{name}.data").write_text(data_file(structure))
        part = deck(structure, style, model_name).replace("system.data", f"{name}.data")
        text += f"clear\n{part}{REPORT}run 0 post no\n{report(name)}"
    return run(folder, text)


@pytest.mark.parametrize("name", PUBLISHED + PAINN)
@pytest.mark.parametrize("style", [EXACT, ""], ids=["double", "mixed"])
def test_reference_cases_are_reproduced(tmp_path, name, style):
    structures = {k: s for k, s in cases(name).items() if fits_lammps(s)}
    assert len(structures) >= 33
    finished = many_points(tmp_path, structures, name, style)
    tolerance = (1e-9, 1e-8) if style else (5e-6, 2e-4)
    for k, structure in structures.items():
        results, expected = finished.results(k), structure.expected
        forces = np.array(expected["forces"])
        # Relative above 10 eV/A.
        scale = np.maximum(1.0, np.linalg.norm(forces, axis=1, keepdims=True) / 10.0)
        assert abs(results.energy - expected["energy"]) <= tolerance[0] * len(structure), k
        np.testing.assert_allclose(results.atomic_energies, expected["atomic_energies"], rtol=0, atol=10 * tolerance[0])
        if name in PUBLISHED and k in SYMMETRIC:
            continue
        assert (abs(results.forces - forces) / scale).max() <= tolerance[1], k
        strain = np.array(expected["strain_derivative"])
        np.testing.assert_allclose(results.virial, -strain, rtol=0, atol=1e-4 * max(1.0, abs(strain).max()), err_msg=k)


@pytest.mark.parametrize("name", ["student-21k", "painn-32-bessel"])
def test_a_cell_turned_into_lammps_frame_gives_the_same_as_the_tool(tmp_path, name):
    """a along x, b in the xy plane: other cells are turned first, which published models notice."""
    structure = in_lammps_frame(cases(name)["diamond-primitive-rattled"])
    results = single_point(tmp_path, structure, model_name=name)
    expected = evaluate(tmp_path, structure, name, "--precision", "double", "--filter", "exact")
    assert abs(results.energy - expected["energy"]) <= 1e-9 * len(structure)
    np.testing.assert_allclose(results.forces, expected["forces"], rtol=0, atol=1e-9)
    volume = abs(np.linalg.det(structure.cell))
    np.testing.assert_allclose(-results.virial / volume, expected["stress"], rtol=0, atol=1e-9)
    as_given = cases(name)["diamond-primitive-rattled"].expected["energy"]
    assert (abs(results.energy - as_given) < 1e-8) == name.startswith("painn")


@pytest.mark.parametrize("name", ["water-periodic-81", "water-triclinic-81", "water-slab-54"])
@pytest.mark.parametrize("options", [EXACT, "precision double", ""], ids=["exact", "double", "mixed"])
def test_lammps_and_the_tool_agree(tmp_path, name, options):
    structure = cases("student-21k")[name].rattled(0.05)
    words = options.split()
    flags = [f"--{word}" if k % 2 == 0 else word for k, word in enumerate(words)]
    results = single_point(tmp_path, structure, style=options)
    expected = evaluate(tmp_path, structure, "student-21k", *flags)
    tolerance = 1e-9 if options else 1e-5
    assert abs(results.energy - expected["energy"]) <= tolerance * len(structure)
    np.testing.assert_allclose(results.forces, expected["forces"], rtol=0, atol=tolerance * (1 if options else 10))


def test_units_real_are_metal_times_the_factor_of_lammps(tmp_path, water):
    metal = single_point(tmp_path / "metal", water)
    real = single_point(tmp_path / "real", water, units="real", ranks=2)
    np.testing.assert_allclose(real.energy, KCAL * metal.energy, rtol=1e-12)
    np.testing.assert_allclose(real.forces, KCAL * metal.forces, rtol=0, atol=1e-9)
    np.testing.assert_allclose(real.virial, KCAL * metal.virial, rtol=0, atol=1e-5 * abs(real.virial).max())
    np.testing.assert_allclose(real.atomic_energies, KCAL * metal.atomic_energies, rtol=0, atol=1e-9)
    # Pressure times volume: atmospheres and bar, each with LAMMPS' own constant.
    ratio = KCAL * 68568.415 / BAR
    largest = abs(real.atomic_stresses).max()
    np.testing.assert_allclose(real.atomic_stresses, ratio * metal.atomic_stresses, rtol=0, atol=1e-5 * largest)


def test_per_atom_energies_and_stresses_sum_to_the_whole(tmp_path, triclinic):
    results = single_point(tmp_path, triclinic.rattled(0.05), ranks=2)
    assert abs(results.atomic_energies.sum() - results.energy) <= 1e-9 * len(triclinic)
    # compute stress/atom is minus the virial in bar A^3; there are no velocities.
    summed = tensor(*(-results.atomic_stresses.sum(axis=0) / BAR))
    np.testing.assert_allclose(summed, results.virial, rtol=0, atol=1e-8 * abs(results.virial).max())
    assert abs(results.virial).max() > 1.0


def away_from_cutoff(structure, cutoff, delta):
    """Whether moving one atom by delta takes no pair across the cutoff."""
    images = np.array([(i, j, k) for i in (-1, 0, 1) for j in (-1, 0, 1) for k in (-1, 0, 1)]) @ structure.cell
    vectors = structure.positions[:, None, None] - structure.positions[None, :, None] + images
    return (abs(np.linalg.norm(vectors, axis=-1) - cutoff) > 2 * delta).all()


@pytest.mark.parametrize("name", ["student-21k", "painn-32-bessel"])
def test_forces_are_minus_the_slope_of_the_energy(tmp_path, name):
    delta = 1e-4
    base = cases(name)["water-triclinic-81"]
    structure = next(s for seed in range(99) if away_from_cutoff(s := base.rattled(0.05, seed), 5.0, delta))
    atoms = [1, 17, 40]
    text = deck(structure, model_name=name) + REPORT + "run 0 post no\n" + report()
    for atom in atoms:
        for axis in range(3):
            steps = [("2", "up"), ("-4", "down"), ("2", "back")]
            for times, _ in steps:
                move = ["0.0"] * 3
                move[axis] = f"{float(times) / 2 * delta:.17g}"
                text += f"group one id {atom}\ndisplace_atoms one move {' '.join(move)} units box\nrun 0 post no\n"
                text += f'print "VALUE energy $(pe:%.17g)"\ngroup one delete\n'
    finished = run(tmp_path, text, structure)
    energies = finished.values("energy").reshape(len(atoms), 3, 3)
    slope = -(energies[:, :, 0] - energies[:, :, 1]) / (2 * delta)
    results = finished.results()
    largest = abs(results.forces).max()
    assert largest > 0.1
    assert abs(slope - results.forces[np.array(atoms) - 1]).max() <= 1e-6 * max(1.0, largest)


@pytest.mark.parametrize("name", ["student-21k", "painn-32-bessel"])
def test_virial_is_minus_the_slope_of_the_energy_with_strain(tmp_path, name):
    delta = 5e-6
    base = cases(name)["water-triclinic-81"]
    structure = next(s for seed in range(99) if away_from_cutoff(s := base.rattled(0.05, seed), 5.0, 20 * delta))
    points = {"base": structure}
    # Symmetric strains that keep a along x and b in the xy plane up to a rotation are turned back,
    # which only a rotation-invariant model allows; for the other, the diagonal alone.
    strains = [(0, 0), (1, 1), (2, 2)] + ([(0, 1), (0, 2), (1, 2)] if name.startswith("painn") else [])
    for i, j in strains:
        for sign in (1, -1):
            strain = np.eye(3)
            strain[i, j] += sign * delta / 2
            strain[j, i] += sign * delta / 2
            deformed = Structure(structure.symbols, structure.positions @ strain, structure.cell @ strain, structure.pbc)
            points[f"s{i}{j}{'p' if sign > 0 else 'm'}"] = in_lammps_frame(deformed)
    finished = many_points(tmp_path, points, name, EXACT)
    virial = finished.results("base").virial
    for i, j in strains:
        slope = (finished.results(f"s{i}{j}p").energy - finished.results(f"s{i}{j}m").energy) / (2 * delta)
        assert abs(-slope - virial[i, j]) <= 1e-6 * max(1.0, abs(virial).max()), (i, j)
