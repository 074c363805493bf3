"""Active learning with the students that ship."""

import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from ase import Atoms
from conftest import ROOT

from mlff_student.distil import explore, generate, teachers

MODELS = [ROOT / "models" / f"organics-{size}.safetensors" for size in ("small", "medium")]


@pytest.fixture(scope="module")
def explored(library, tmp_path_factory):
    folder = tmp_path_factory.mktemp("explore")
    command = [
        sys.executable,
        "-m",
        "mlff_student.distil",
        "explore",
        folder,
        "--round",
        "test",
        "--frames",
        "60",
        "--jobs",
        "2",
    ]
    command += ["--walker", MODELS[0], "--judge", MODELS[1]]
    environment = {"PYTHONPATH": str(ROOT / "python"), "PATH": "/usr/bin:/bin"}
    subprocess.run(command, cwd=ROOT, env=environment, check=True, timeout=300)
    return folder, command, environment


@pytest.fixture(scope="module")
def found(explored):
    return generate.collect(explored[0])


def test_a_folder_of_other_students_is_refused(explored):
    _, command, environment = explored
    command = command[: command.index("--walker")] + ["--walker", MODELS[1], "--judge", MODELS[0]]
    run = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300
    )
    assert run.returncode != 0 and "holds a run with" in run.stderr and "walker" in run.stderr


def test_walks_give_labelled_frames_of_training_molecules(found):
    assert len(found.frames) >= 24
    assert {frame.split for frame in found.frames} == {"train"}
    assert all(300 <= frame.temperature <= 1000 for frame in found.frames)
    # Frames that are unsound or of held-out molecules would have been left out when the shards were
    # read.
    assert not {"molecule in the wrong split", "duplicate across the split"} & set(found.dropped)


def test_frames_of_a_walk_differ_and_are_thermal(found):
    walks = {}
    for frame in found.frames:
        walks.setdefault(frame.name.rsplit("-", 1)[0], []).append(frame)
    for walk in walks.values():
        first, *others = walk
        assert all(np.abs(first.positions - other.positions).max() > 0.02 for other in others)
        assert any(np.linalg.norm(frame.forces, axis=1).max() > 0.3 for frame in walk)


def test_a_structure_that_a_moving_student_cannot_compute_fails_alone(library):
    atoms = Atoms("H2", [[0, 0, 0], [0, 0, 0]])
    atoms.calc = teachers.student(MODELS[0]).calculator()
    with pytest.raises(teachers.FAILURES, match="at the same place"):
        atoms.get_forces()


def test_an_element_that_a_moving_student_does_not_know_is_no_frames_fault(library):
    from mlff_student import Error

    atoms = Atoms("Xe2", [[0, 0, 0], [0, 0, 3]])
    atoms.calc = teachers.student(MODELS[0]).calculator()
    with pytest.raises(Error, match="Xe"):
        atoms.get_forces()


def test_a_walk_ends_where_a_student_breaks_and_other_errors_are_not_hidden(library):
    from mlff_student import Error

    explore.load_students(*MODELS)
    job = SimpleNamespace(rng=np.random.default_rng(0))
    assert list(explore.walk(job, Atoms("H2", [[0, 0, 0], [0, 0, 0]]), 300)) == []
    with pytest.raises(Error, match="Xe"):
        list(explore.walk(job, Atoms("Xe2", [[0, 0, 0], [0, 0, 3]]), 300))


def test_the_frames_that_students_differ_about_are_chosen_first():
    looks = [
        (number, difference) for number, difference in enumerate(np.linspace(0, 3.9, explore.LOOKS))
    ]
    chosen = explore.choose(looks, np.random.default_rng(0))
    assert len(chosen) == len(set(chosen)) == explore.RANDOM + explore.UNSURE
    by_chance, unsure = chosen[: explore.RANDOM], chosen[explore.RANDOM :]
    rest = sorted(set(range(explore.LOOKS)) - set(by_chance), reverse=True)
    assert unsure == rest[: explore.UNSURE]


def test_frames_that_students_agree_about_are_not_worth_a_label():
    looks = [(number, 0.5 * explore.WORTH) for number in range(explore.LOOKS)]
    assert len(explore.choose(looks, np.random.default_rng(0))) == explore.RANDOM
