"""What is computed from energies, forces and trajectories, where the answer is known."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from ase.calculators.calculator import Calculator, all_changes

from mlff_student.acceptance import analysis


def correlated_noise(random, samples, memory):
    """Noise of standard deviation 1 whose correlation falls by e in `memory` samples."""
    keep = np.exp(-1 / memory)
    noise = random.normal(size=samples)
    noise[1:] *= np.sqrt(1 - keep**2)
    for k in range(1, samples):
        noise[k] += keep * noise[k - 1]
    return noise


# --- energy over time


def test_drift_finds_the_slope_of_a_line():
    time = np.arange(1000) * 0.1
    slope, error = analysis.drift(time, 7.0 - 0.25 * time)
    assert slope == pytest.approx(-0.25, abs=1e-12) and error < 1e-12


@pytest.mark.parametrize("memory", [0.1, 20])
def test_drift_s_error_holds_for_correlated_samples(memory):
    random, time = np.random.default_rng(1), np.arange(4000) * 0.01
    off = []
    for _ in range(150):
        slope, error = analysis.drift(
            time, 0.03 * time + correlated_noise(random, len(time), memory)
        )
        off.append((slope - 0.03) / error)
    # Two standard errors hold 95 % of a normal distribution.
    assert np.mean(np.abs(off) < 2) > 0.9
    assert np.std(off) > 0.5


def test_neglecting_correlation_would_claim_too_much():
    random, time = np.random.default_rng(2), np.arange(4000) * 0.01
    energy = correlated_noise(random, len(time), 20)
    _, error = analysis.drift(time, energy)
    _, naive = analysis.drift(time, energy, least_blocks=len(time))
    assert error > 3 * naive


def test_drift_of_too_few_samples_is_refused():
    with pytest.raises(ValueError, match="needs 16 or more"):
        analysis.drift(np.arange(10.0), np.arange(10.0))


def test_fluctuation_is_about_the_line():
    time = np.linspace(0, 100, 20001)
    wave = 3.0 * np.sin(2 * np.pi * time)
    assert analysis.fluctuation(time, wave + 5.0 * time - 2.0) == pytest.approx(
        3.0 / np.sqrt(2), rel=1e-3
    )


# --- second derivatives


def second_derivative(envelope):
    """Of exp(-d) times an envelope around the cutoff of 5 Angstrom, every 1e-4 Angstrom."""
    d = 5.0 + np.arange(-0.02, 0.02, 1e-4)
    value = np.where(d < 5.0, np.exp(-d) * envelope(np.minimum(d / 5.0, 1.0)), 0.0)
    return np.diff(value, 2) / 1e-8


def test_a_jump_of_the_second_derivative_stands_out():
    cosine = second_derivative(lambda x: 0.5 * (1 + np.cos(np.pi * x)))
    assert analysis.jumps(cosine)[1] > 10
    largest = np.abs(np.diff(cosine)).max()
    assert analysis.jumps(cosine, 0.9 * largest)[1] > 10
    assert analysis.jumps(cosine, 1.1 * largest)[1] == 0.0


def test_a_kink_of_the_second_derivative_does_not():
    d = np.arange(4.98, 5.02, 1e-4)
    x = np.minimum(d / 5.0, 1.0)
    # Second derivative of the polynomial envelope (p = 6): continuous at the cutoff, not smooth.
    curvature = (-28 * 30 * x**4 + 48 * 42 * x**5 - 21 * 56 * x**6) / 25
    assert analysis.jumps(curvature)[1] < 2
    assert analysis.jumps(np.sin(d))[1] < 2
    # At either end of the grid, too: a spline's second derivative is a line from node to node.
    for node in (4.9802, 5.0197):
        assert analysis.jumps(np.where(d < node, 5.0, 1.0) * (d - node))[1] < 2
        assert analysis.jumps(np.where(d < node, 1.0, 5.0) * (d - node))[1] < 2


class Springs(Calculator):
    """Harmonic springs between all given pairs of atoms, without bending."""

    implemented_properties = ["energy", "forces"]

    def __init__(self, pairs, lengths, stiffness):
        super().__init__()
        self.pairs, self.lengths, self.stiffness = pairs, lengths, stiffness

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        forces, energy = np.zeros((len(atoms), 3)), 0.0
        for (i, j), length in zip(self.pairs, self.lengths):
            r = atoms.positions[j] - atoms.positions[i]
            d = np.linalg.norm(r)
            energy += self.stiffness * (d - length) ** 2 / 2
            pull = self.stiffness * (d - length) * r / d
            forces[i] += pull
            forces[j] -= pull
        self.results = {"energy": energy, "forces": forces}


def wavenumbers(atoms, pairs, stiffness, step=0.001):
    lengths = [atoms.get_distance(i, j) for i, j in pairs]
    atoms.calc = Springs(pairs, lengths, stiffness)
    return analysis.vibrations(atoms.get_masses(), atoms.positions, analysis.hessian(atoms, step))


# sqrt(1 eV/Angstrom^2/amu) / (2 pi c), from CODATA's e, amu and c.
UNIT = np.sqrt(1.602176634e-19 * 1e20 / 1.66053906660e-27) / (2 * np.pi * 2.99792458e10)


def test_two_atoms_have_one_vibration():
    atoms = Atoms("CO", [[0, 0, 0], [0.3, -0.5, 1.0]])
    mass = 1 / (1 / atoms.get_masses()).sum()
    np.testing.assert_allclose(
        wavenumbers(atoms, [(0, 1)], 100.0), [UNIT * np.sqrt(100.0 / mass)], rtol=1e-5
    )


def test_a_linear_molecule_has_four():
    atoms = Atoms("OCO", [[-1.16, 0, 0], [0, 0, 0], [1.16, 0, 0]])
    oxygen, carbon = atoms.get_masses()[:2]
    found = wavenumbers(atoms, [(0, 1), (1, 2)], 100.0)
    stretches = UNIT * np.sqrt([100 / oxygen, 100 / oxygen + 200 / carbon])
    # Without springs for them, the two bends cost nothing but what the step of the differences
    # stretches.
    np.testing.assert_allclose(found, [0, 0, *stretches], atol=3.0)
    np.testing.assert_allclose(found[2:], stretches, rtol=1e-4)


def test_a_tetrahedron_has_its_three_known_levels():
    atoms = Atoms(
        "N4", 1.1 * np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) / np.sqrt(2)
    )
    mass = atoms.get_masses()[0]
    found = wavenumbers(atoms, [(i, j) for i in range(4) for j in range(i + 1, 4)], 50.0)
    expected = UNIT * np.sqrt(50.0 / mass * np.array([1, 1, 2, 2, 2, 4]))
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_an_imaginary_mode_is_negative():
    atoms = Atoms("H2", [[0, 0, 0], [0, 0, 0.74]])
    assert wavenumbers(atoms, [(0, 1)], -30.0)[0] < -1000


def test_the_hessian_leaves_the_atoms_where_they_are():
    atoms = Atoms("H2", [[0, 0, 0], [0, 0, 0.74]])
    wavenumbers(atoms, [(0, 1)], 30.0)
    np.testing.assert_array_equal(atoms.positions, [[0, 0, 0], [0, 0, 0.74]])


# --- bonds


def test_bonds_of_known_molecules():
    for name, count in (("CH3CH2OH", 8), ("C6H6", 12), ("CH3SH", 5), ("H2O", 2), ("CH3Cl", 4)):
        assert len(analysis.bonds(molecule(name))) == count, name


def test_a_vibrating_molecule_is_intact():
    atoms = molecule("CH3CH2OH")
    criterion = analysis.BondCriterion(atoms)
    assert criterion.broken(atoms.positions) is None
    for seed in range(50):
        noise = np.random.default_rng(seed).normal(0, 0.07, atoms.positions.shape)
        assert criterion.broken(atoms.positions + noise) is None


def test_broken_bonds_and_new_contacts_are_named():
    atoms = molecule("CH3CH2OH")
    criterion = analysis.BondCriterion(atoms)
    carbon, oxygen = 1, 2
    assert [atoms.symbols[k] for k in (0, carbon, oxygen)] == ["C", "C", "O"]

    hydrogen = atoms.copy()
    hydroxyl = next(
        int(j) for i, j in analysis.bonds(atoms) if i == oxygen and atoms.symbols[int(j)] == "H"
    )
    for factor, broken in ((1.45, False), (1.55, True)):
        hydrogen.positions[hydroxyl] = atoms.positions[oxygen] + factor * (
            atoms.positions[hydroxyl] - atoms.positions[oxygen]
        )
        found = criterion.broken(hydrogen.positions)
        assert (found is not None) == broken
    assert found.startswith(f"bond O{oxygen}-H{hydroxyl} at 1.5")

    close = atoms.copy()
    close.positions[oxygen] += 0.55 * (atoms.positions[0] - atoms.positions[oxygen])
    assert "O2" in criterion.broken(close.positions)

    positions = atoms.positions.copy()
    positions[0, 0] = np.nan
    assert criterion.broken(positions) == "a position is not finite"
