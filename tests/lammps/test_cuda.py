"""`device cuda` in LAMMPS, with the CUDA kernels run by the shim that the tests of the library compiled."""

import numpy as np
import pytest

from harness import ROOT, TARGET, assert_same, cases, deck, missing, run, single_point

#: eV per atom and eV/A, as between either and the float64 reference.
BETWEEN_DEVICES = (5e-6, 2e-4)
BETWEEN_RANKS = (1e-6, 5e-5)


@pytest.fixture(scope="module")
def shim():
    path = TARGET / "tmp" / "shim" / "libshim.so"
    if not path.exists():
        missing(f"{path} is missing: cargo test --release --test numbers makes it")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFF_STUDENT_CUDA_SHIM", str(path.absolute()))
        yield


@pytest.mark.parametrize("name", ["student-427k", "student-77k", "painn-64-gaussian"])
def test_the_first_step_is_that_of_the_processor_on_one_rank_and_on_two(tmp_path, shim, water, name):
    structure = water.repeated(2, 1, 1)
    processor = single_point(tmp_path / "cpu", structure, style="", model_name=name)
    one = single_point(tmp_path / "1", structure, style="device cuda", model_name=name)
    two = single_point(tmp_path / "2", structure, style="device cuda", model_name=name, ranks=2)
    assert_same(one, processor, *BETWEEN_DEVICES)
    assert_same(two, one, *BETWEEN_RANKS)
    np.testing.assert_allclose(two.atomic_stresses, one.atomic_stresses, rtol=0, atol=2e6 * BETWEEN_RANKS[1])


def test_dynamics_goes_on_through_new_neighbor_lists(tmp_path, shim, water):
    text = deck(water, style="STYLE", model_name=ROOT / "models/organics-small.safetensors") + (
        "velocity all create 900.0 5 mom yes\ntimestep 0.0005\nfix nve all nve\nneighbor 0.5 bin\nneigh_modify delay 0 every 1 check yes\n"
        "thermo 60\nthermo_style custom step pe etotal\nthermo_modify format float %.10g\nrun 60\n"
    )
    energies = []
    for device in ("cpu", "cuda"):
        found = run(tmp_path / device, text.replace("STYLE", f"device {device}"), water)
        rows = [line.split() for line in found.output.splitlines() if line.split()[:1] == ["60"]]
        assert "Neighbor list builds = 0" not in found.output
        energies.append([float(x) for x in rows[0][1:]])
    np.testing.assert_allclose(energies[1], energies[0], rtol=0, atol=2e-3)


def test_the_log_names_the_device(tmp_path, shim, water):
    found = run(tmp_path, deck(water, style="device cuda", model_name="student-21k") + "run 0\n", water)
    assert "filter table, GPU 0\n" in found.output


def test_ranks_take_the_gpus_of_a_node_in_turn(tmp_path, shim, water):
    found = run(tmp_path, deck(water, style="device cuda", model_name="student-21k") + "run 0\n", water, ranks=2)
    assert "filter table, GPU 0, 1 by rank\n" in found.output
    found = run(tmp_path, deck(water, style="device cuda", model_name="student-21k") + "run 0\n", water, ranks=3)
    assert "filter table, GPU 0, 1, 0 by rank\n" in found.output
    found = run(tmp_path, deck(water, style="device cuda:1", model_name="student-21k") + "run 0\n", water, ranks=2)
    assert "filter table, GPU 1\n" in found.output
    found = run(tmp_path, deck(water, style="device cuda:2", model_name="student-21k") + "run 0\n", water, fails=True)
    assert "found 2: this machine has 2" in found.output
