"""Commands whose output nobody reads to its end, as with `| head`, end quietly."""

import os
import subprocess
import sys

import pytest
from ase import Atoms
from ase.io import write
from conftest import ROOT

HELD_OUT = ROOT / "models/labels/held-out.h5"
SMALL = ROOT / "models/labels/small-1.h5"
STUDENT = ROOT / "models/organics-small.safetensors"
ENVIRONMENT = os.environ | {"PYTHONPATH": f"{ROOT / 'python'}:{ROOT / 'tests/distil'}"}


def run(package, *arguments, lines=0, folder=None):
    """(exit status, lines read, standard error) of a command whose reader stops after some
    lines.
    """
    command = [sys.executable, "-m", f"mlff_student.{package}", *map(str, arguments)]
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    read = [process.stdout.readline() for _ in range(lines)]
    process.stdout.close()
    said = process.stderr.read()
    return process.wait(timeout=300), read, said


def quiet(said):
    return "Broken pipe" not in said and "BrokenPipe" not in said and "Traceback" not in said


def test_molecules_into_head():
    status, read, said = run("distil", "molecules", lines=10)
    assert status == 0 and quiet(said), said
    assert len(read) == 10 and all(line.count(" ") >= 4 for line in read)


@pytest.fixture
def water(tmp_path):
    write(tmp_path / "in.xyz", Atoms("OHH", [[0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]]))
    return tmp_path


@pytest.mark.parametrize(
    "command",
    [
        "--help",
        "label --help",
        "info {held_out}",
        "info --expect in.list {held_out}",
        "label in.xyz -o made.h5 --teacher calculators:cheap",
        "merge {held_out} -o made.h5",
        "generate run --only contact --frames 1 --teacher calculators:cheap",
        "explore run --walker {student} --judge {student} --frames 1 --teacher calculators:cheap",
        "hunt run --students {student} --frames 1 --teacher calculators:cheap",
    ],
)
def test_commands_do_their_work_though_nobody_reads(water, command, library):
    words = command.format(held_out=HELD_OUT, student=STUDENT).split()
    (water / "in.list").write_text(f"{'0' * 64} {HELD_OUT.name}\n")
    status, _, said = run("distil", *words, folder=water)
    assert quiet(said), said
    # A check is made and counts, whoever reads.
    assert status == ("--expect" in words), said
    if "made.h5" in words:
        assert (water / "made.h5").exists()
    if "run" in words:
        assert list((water / "run/shards").iterdir())


def test_what_goes_wrong_is_said_though_nobody_reads(tmp_path):
    status, _, said = run("distil", "info", tmp_path / "nowhere.h5")
    assert status == 1 and "no such file" in said and quiet(said)


@pytest.mark.parametrize("command", [["acceptance"], ["acceptance.invariance"]], ids=str)
def test_a_student_is_measured_though_nobody_reads(tmp_path, command, library):
    arguments = [STUDENT, "--out", tmp_path, "--quick"]
    if command == ["acceptance"]:
        arguments += ["--only", "invariance"]
    status, _, said = run(*command, *arguments)
    assert status == 0 and quiet(said), said
    assert (tmp_path / "invariance.json").exists()
    assert (tmp_path / "report.md").exists() == (command == ["acceptance"])
    assert run("acceptance", "--help")[0] == 0
