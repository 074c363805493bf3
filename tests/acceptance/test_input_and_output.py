"""Reading LAMMPS, naming models, printing tables."""

from pathlib import Path

import numpy as np
import pytest

from mlff_student.acceptance import lammps, report, setting

OUTPUT = """
Per MPI rank memory allocation (min/avg/max) = 3.1 | 3.1 | 3.1 Mbytes
   Step          Temp          TotEng
         0   300            -10.500000000
        10   299.5          -10.499999999
Loop time of 0.1 on 1 procs for 10 steps with 9 atoms
   Step          Temp          TotEng
         0   1.0e+02        -3
Loop time of 0.1 on 1 procs for 10 steps with 9 atoms
"""


def test_tables_of_lammps_are_read_run_by_run():
    first, second = lammps.thermo(OUTPUT)
    np.testing.assert_array_equal(first["Step"], [0, 10])
    np.testing.assert_array_equal(first["TotEng"], [-10.5, -10.499999999])
    assert second["Temp"][0] == 100.0


def test_frames_are_read_and_half_a_frame_is_not(tmp_path):
    def frame(step, x):
        return (
            f"ITEM: TIMESTEP\n{step}\nITEM: NUMBER OF ATOMS\n2\n"
            "ITEM: BOX BOUNDS ss ss ss\n0 1\n0 1\n0 1\n"
            f"ITEM: ATOMS id x y z\n1 {x} 0 0\n2 0 {x} 0\n"
        )

    text = frame(0, 0.5) + frame(100, 1.5) + frame(200, 2.5)[:-8]
    (tmp_path / "frames.dump").write_text(text)
    found = list(lammps.frames(tmp_path / "frames.dump", 2))
    assert [step for step, _ in found] == [0, 100]
    np.testing.assert_array_equal(found[1][1], [[1.5, 0, 0], [0, 1.5, 0]])


def test_models_of_one_name_are_told_apart():
    paths = [Path("a/student.safetensors"), Path("b/student.safetensors"), Path("c/other.pt")]
    assert setting.names_of(paths) == ["a/student.safetensors", "b/student.safetensors", "other"]


def test_tables_align_numbers_to_the_right():
    text = report.table(["name", "value"], [["a", 1.5], ["long name", float("nan")], ["b", 12]])
    assert text.splitlines() == [
        "name       value",
        "---------  -----",
        "a            1.5",
        "long name      –",
        "b             12",
    ]


def test_results_are_made_once_and_only_whole(tmp_path):
    path, made = tmp_path / "folder" / "result.json", []

    def make():
        made.append(1)
        return {"drift": np.float64(0.5), "ratio": float("nan"), "curve": np.arange(2)}

    for _ in range(2):
        assert report.kept(path, make) == {"drift": 0.5, "ratio": None, "curve": [0, 1]}
    assert len(made) == 1

    def fail():
        raise RuntimeError("interrupted")

    for _ in range(2):
        with pytest.raises(RuntimeError):
            report.kept(tmp_path / "other.json", fail)
    assert not (tmp_path / "other.json").exists()


@pytest.mark.parametrize("option", ["--ps", "--molecules", "--temperatures", "--step", "--workers"])
def test_numbers_that_mean_no_run_are_refused(tmp_path, capsys, option):
    with pytest.raises(SystemExit):
        setting.read("", [str(Path(__file__)), "--out", str(tmp_path), option, "0"])
    assert "expected a number above 0, found 0" in capsys.readouterr().err


@pytest.mark.parametrize(
    "end, kind",
    [("echo 'ERROR: Lost atoms'; exit 1", lammps.LammpsError), ("kill -TERM $$", RuntimeError)],
)
def test_a_run_that_was_killed_is_not_a_failure_of_the_student(tmp_path, end, kind):
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "lmp"
    program.write_text(f"#!/bin/sh\necho '   1000   300.0   -10.0'\n{end}\n")
    program.chmod(0o755)
    with pytest.raises(RuntimeError) as error:
        lammps.run(tmp_path, tmp_path, "")
    assert error.type is kind
