"""libtorch in LAMMPS, the C API's way in: students beside this library's own engine, and TorchScript models."""

import numpy as np
import pytest

from harness import EXACT, ROOT, SMALL, TARGET, assert_same, deck, evaluate, missing, run, single_point

LIBRARY = TARGET / "release" / "libmlff_student_torch.so"
MORSE = ROOT / "torch/tests/torchscript/morse.pt"

if not LIBRARY.exists():
    missing(f"{LIBRARY} is missing: make trainer builds it")


def test_a_student_has_the_numbers_of_the_own_engine(tmp_path, water):
    own = single_point(tmp_path / "own", water, style=EXACT, model_name=SMALL)
    torch = single_point(tmp_path / "torch", water, style="engine torch precision double", model_name=SMALL)
    assert_same(torch, own, 1e-9, 1e-9)
    np.testing.assert_allclose(torch.atomic_stresses, own.atomic_stresses, rtol=0, atol=1e-2)


def test_a_torchscript_model_has_the_numbers_of_the_tool(tmp_path, triclinic):
    found = single_point(tmp_path, triclinic, style="", model_name=MORSE)
    tool = evaluate(tmp_path, triclinic, MORSE)
    assert found.energy == pytest.approx(tool["energy"], abs=1e-9)
    np.testing.assert_allclose(found.forces, tool["forces"], rtol=0, atol=1e-9)
    stress = -found.virial / np.linalg.det(triclinic.cell)
    np.testing.assert_allclose(stress, tool["stress"], rtol=0, atol=1e-10)


def test_dynamics_with_a_torchscript_model_conserves_energy(tmp_path, water):
    text = deck(water, style="threads 1", model_name=MORSE) + (
        "velocity all create 100.0 5 mom yes\ntimestep 0.0002\nfix nve all nve\nneigh_modify delay 0 every 1 check yes\n"
        "thermo 20\nthermo_style custom step temp pe etotal\nthermo_modify format float %.12g\nminimize 0 1e-2 200 2000\n"
        "reset_timestep 0\nvelocity all create 300.0 5 mom yes\nprint 'NOW DYNAMICS'\nrun 200\n"
    )
    found = run(tmp_path, text, water)
    assert "a TorchScript model, evaluated by libtorch, cutoff 5 Angstrom" in found.output
    rows = [[float(x) for x in line.split()] for line in found.output.split("NOW DYNAMICS")[-1].splitlines() if line.split()[:1] and line.split()[0].isdigit() and len(line.split()) == 4]
    total = np.array([row[3] for row in rows if row[0] >= 20])
    potential = np.array([row[2] for row in rows if row[0] >= 20])
    assert len(total) >= 8
    # Energy goes to and fro between kinetic and potential, and stays.
    assert np.ptp(potential) > 0.1
    assert np.ptp(total) < 0.02 * np.ptp(potential)


@pytest.mark.parametrize("style, model", [("engine torch", SMALL), ("", MORSE)])
def test_several_processes_are_refused(tmp_path, water, style, model):
    found = run(tmp_path, deck(water, style=style, model_name=model) + "run 0\n", water, ranks=2, fails=True)
    assert "libtorch evaluates whole systems, on one MPI process, found 2" in found.output


def test_a_missing_library_is_named(tmp_path, water):
    text = deck(water, style="engine torch", model_name=SMALL) + "run 0\n"
    found = run(tmp_path, text, water, fails=True, env={"MLFF_STUDENT_TORCH": str(tmp_path / "nowhere.so")})
    assert "engine torch needs libmlff_student_torch.so" in found.output and "nowhere.so" in found.output
