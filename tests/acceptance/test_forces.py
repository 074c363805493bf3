"""Errors on labelled frames; needs what the teacher needs."""

import dataclasses
import json

import numpy as np
import pytest

for name in ("rdkit", "tblite", "h5py"):
    reason = f"SKIPPED: {name} is missing: run with the teacher's environment"
    pytest.importorskip(name, reason=reason)

from ase import Atoms
from ase.build import molecule

from mlff_student.acceptance import forces, setting
from mlff_student.acceptance.teacher import TEACHERS
from mlff_student.distil import dataset, files, teachers

KINDS = ["cluster", "trajectory, 300 K", "trajectory, 600 K"]


@pytest.fixture
def frames():
    """Frames that GFN2-xTB labelled: six trajectories at two temperatures, five clusters, one of
    them with fluorine, and one for training."""
    teacher = teachers.load("gfn2")
    random = np.random.default_rng(1)

    def frame(names, kind, split="test", **more):
        atoms = Atoms()
        for place, name in enumerate(names):
            part = molecule(name)
            part.positions += [0, 0, 4.0 * place]
            atoms += part
        atoms.positions += random.normal(0, 0.05, atoms.positions.shape)
        return teacher.label(atoms, kind=kind, split=split, **more)

    hot = [
        frame([name], "trajectory", temperature=temperature)
        for name in ("CH3CH2OH", "CH3OH", "H2O")
        for temperature in (600.0, 300.0)
    ]
    clusters = [frame(["H2O", name], "cluster") for name in ("H2O", "CH4", "NH3", "CO2", "HF")]
    return [*hot, *clusters, frame(["CH4"], "trajectory", "train", temperature=300.0)]


def written(frames, path, teacher="tblite 0.8.0 GFN2-xTB"):
    files.write(dataset.Dataset(frames, teacher), path)
    return path


@pytest.fixture
def read(hcno, tmp_path):
    def read(data, *arguments):
        return setting.read(
            "", [str(hcno), "--out", str(tmp_path), "--dataset", str(data), *arguments]
        )[0]

    return read


def test_a_method_beside_its_own_labels_has_no_errors_and_a_student_has_some(
    frames, read, tmp_path
):
    # Methods count energies from different zeros.
    zeros = {1: 3.0, 6: -50.0, 7: 20.0, 8: 100.0, 9: 0.0}

    def moved(frame):
        energy = frame.energy + sum(zeros[number] for number in frame.numbers)
        return dataclasses.replace(frame, energy=energy)

    chosen = read(written(list(map(moved, frames)), tmp_path / "data.h5"))
    # Fluorine is unknown to the student.
    forces.run(dataclasses.replace(chosen, beside=[TEACHERS["gfn2"]]))
    found = json.loads((tmp_path / "forces.json").read_text())
    assert found["left_out"] == {"cluster": 1} and "1 cluster" in found["notes"]
    own, small = found["models"]["GFN2-xTB"], found["models"]["hcno"]
    assert list(own["kinds"]) == list(small["kinds"]) == KINDS
    assert [own["kinds"][kind]["frames"] for kind in KINDS] == [4, 3, 3]
    for kind in KINDS:
        # Forces of files have four decimals.
        assert own["kinds"][kind]["force_max"] < 1e-3 and own["kinds"][kind]["energy_mae"] < 0.1
        assert 0.01 < small["kinds"][kind]["force_mae"] < 0.3
        assert small["kinds"][kind]["force_mae"] <= small["kinds"][kind]["force_rmse"]
        assert small["kinds"][kind]["energy_mae"] < 50
    assert own["added_ev"]["O"] == pytest.approx(100.0, abs=0.1)
    assert "trajectory, 600 K" in (tmp_path / "forces.md").read_text()
    assert (tmp_path / "forces.png").exists()


def test_methods_get_some_frames_of_each_kind_and_few_boxes(frames, read, tmp_path, monkeypatch):
    box = dataclasses.replace(frames[0], cell=10 * np.eye(3), pbc=np.full(3, True), kind="periodic")
    tests = [f for f in frames if f.split == "test"] + [box, box, box]
    monkeypatch.setattr(forces, "FRAMES", 2)
    monkeypatch.setattr(forces, "BOXES", 1)
    some = forces.subset(tests, read(written(frames, tmp_path / "data.h5")))
    counts = {kind: sum(forces.kind_of(f) == kind for f in some) for kind in [*KINDS, "periodic"]}
    assert counts == dict(zip(KINDS, (2, 2, 2))) | {"periodic": 1}


def test_frames_in_which_a_method_fails_are_left_out(frames):
    # Two atoms on top of each other.
    broken = dataclasses.replace(frames[0], positions=np.zeros_like(frames[0].positions))
    computed, found = forces.of_method(TEACHERS["gfn2"], [broken, frames[1]])
    assert computed == [frames[1]] and len(found) == 1


def test_errors_are_means_over_components_and_over_energies_for_each_atom():
    frames = [
        dataset.Frame(np.array(n), np.zeros((len(n), 3)), np.zeros((3, 3)), np.zeros(3, bool), 0.0,
                      np.zeros((len(n), 3)), np.full((3, 3), np.nan), kind="a")
        for n in ([1], [1, 8], [1, 1, 8], [8], [1, 8])
    ]  # fmt: skip
    # The last one is 20 meV off beyond what energies of elements explain.
    given = [1.0, 3.0, 4.0, 2.0, 3.02]
    pushed = [np.full((len(f.numbers), 3), push) for f, push in zip(frames, (0, 0.1, 0, 0, -0.3))]
    found = forces.errors(frames, list(zip(given, pushed)), ["a", "b"])
    # 27 components, of them 6 of 0.1 and 6 of 0.3.
    assert found["kinds"]["a"]["force_mae"] == pytest.approx(2.4 / 27)
    assert found["kinds"]["a"]["force_rmse"] == pytest.approx(np.sqrt(0.6 / 27))
    assert found["kinds"]["a"]["force_max"] == pytest.approx(0.3)
    assert found["kinds"]["b"] == {"frames": 0}
    assert 2 < found["kinds"]["a"]["energy_mae"] < 4
    assert found["added_ev"]["H"] == pytest.approx(-1, abs=0.01)


def test_labels_of_another_teacher_and_files_without_tests_are_refused(frames, read, tmp_path):
    data = written(frames, tmp_path / "data.h5")
    with pytest.raises(ValueError, match="expected labels of ANI-1ccx, found those of tblite"):
        forces.run(read(data, "--teacher", "ani1ccx"))
    with pytest.raises(ValueError, match="no frames of the split test"):
        forces.run(read(written(frames[-1:], tmp_path / "train.h5")))
