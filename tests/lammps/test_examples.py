"""The inputs that users copy run as they are."""

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from harness import PLUGIN, ROOT, environment, lammps_binary, run
from students import write_smooth

EXAMPLES = ROOT / "examples" / "lammps"
SHIPPED = ROOT / "models" / "organics-medium.safetensors"


@pytest.mark.parametrize("name, ranks", [("nve_molecule", 1), ("minimize", 1), ("npt_water", 2)])
def test_example_input_runs(tmp_path, name, ranks):
    for data in EXAMPLES.glob("*.data"):
        shutil.copy(data, tmp_path)
    arguments = ["-var", "model", str(SHIPPED), "-var", "plugin", str(PLUGIN), "-var", "steps", "20"]
    text = (EXAMPLES / f"{name}.in").read_text()
    finished = run(tmp_path, text, ranks=ranks, arguments=arguments)
    assert "Loop time" in finished.output
    if name == "nve_molecule":
        (rows,) = re.findall(r"Step +Temp +PotEng +TotEng[^\n]*\n((?: +[-\d.e+ ]+\n)+)", finished.output)
        totals = [float(row.split()[3]) for row in rows.splitlines()]
        # eV of nine atoms; the potential energy alone moves by tenths.
        assert len(totals) > 1 and max(totals) - min(totals) < 1e-3


def demo(folder, model, steps="60"):
    """What `make demo` runs, smaller: the command."""
    sizes = ["--water", "3", "--ethanol", "1", "--steps", steps]
    places = ["--model", model, "--venv", Path(sys.executable).parents[1], "--plugin", PLUGIN, "--folder", folder]
    return [sys.executable, EXAMPLES / "demo.py", *sizes, *places]


def test_the_demo_conserves_energy_and_prints_every_digit_of_it(tmp_path):
    process = subprocess.run(demo(tmp_path, SHIPPED), env=environment(), text=True, capture_output=True)
    assert process.returncode == 0, process.stdout + process.stderr
    drift = re.search(r"drift ([-+\d.]+) meV per atom and ps", process.stdout)
    assert drift and abs(float(drift.group(1))) < 20.0, process.stdout
    assert re.search(r"-\d+\.\d{8} eV at the start, -\d+\.\d{8} eV at the end", process.stdout)
    # In LAMMPS' tables too.
    assert re.search(r"^ +60 +[\d.]+ +-\d+\.\d{8} +-\d+\.\d{8} *$", process.stdout, re.M)


def failed_demo(folder, model):
    process = subprocess.run(demo(folder, model), env=environment(), text=True, capture_output=True, timeout=120)
    assert process.returncode == 1, process.stdout
    assert "make demo" in process.stderr and f"inspect {model}" in process.stderr
    assert (folder / "log.lammps").exists() and f"{folder}/log.lammps" in process.stderr
    return process.stderr


def test_the_demo_says_which_elements_a_student_lacks(tmp_path):
    model = ROOT / "torch/tests/torchscript/morse.pt"
    said = failed_demo(tmp_path, model)
    assert "LAMMPS stopped with: ERROR: mlff_student: found C (atomic number 6)" in said
    assert f"needs a student that knows H, C and O, which {model} does not" in said


def test_the_demo_says_that_a_student_does_not_know_water(tmp_path):
    """Random weights, whose forces throw atoms about."""
    model = write_smooth(tmp_path / "random.safetensors", scale=1e4)
    said = failed_demo(tmp_path / "demo", model)
    assert re.search("LAMMPS (stopped with: ERROR|was ended by signal)", said)
    assert f"because {model} was not trained on molecules like ethanol and water" in said


def process_of(binary, parent):
    """The process below another one that runs a program, or None."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            above = int(re.search(r"\) \w (\d+)", (folder / "stat").read_text()).group(1))
            here = int(folder.name)
            if above == parent:
                same = os.readlink(folder / "exe") == str(Path(binary).resolve())
                found = here if same else process_of(binary, here)
                if found:
                    return found
        except OSError:
            continue
    return None


def test_the_demo_names_the_signal_that_ended_lammps(tmp_path):
    command = demo(tmp_path, SHIPPED, steps="1000000")
    process = subprocess.Popen(command, env=environment(), text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    said = []
    reader = threading.Thread(target=lambda: said.append(process.stderr.read()))
    reader.start()
    for line in process.stdout:
        if "at 300 K" in line:
            os.kill(process_of(lammps_binary(), process.pid), signal.SIGSEGV)
    assert process.wait(60) == 1
    reader.join()
    assert "LAMMPS was ended by signal 11 (SIGSEGV: Segmentation fault)" in said[0]
    assert "The likely cause: atoms flew apart" in said[0]


def test_examples_leave_no_untracked_files(tmp_path):
    """Run in their folder, as README says."""
    def git(*words):
        command = ["git", "-c", "user.name=a", "-c", "user.email=a@b", *words]
        return subprocess.run(command, cwd=tmp_path, check=True, text=True, capture_output=True).stdout

    folder = tmp_path / "examples" / "lammps"
    folder.mkdir(parents=True)
    shutil.copy(ROOT / ".gitignore", tmp_path)
    for name in subprocess.check_output(["git", "ls-files"], cwd=EXAMPLES, text=True).split():
        shutil.copy(EXAMPLES / name, folder)
    git("init", "-q")
    git("add", "-A")
    arguments = ["-var", "model", str(SHIPPED), "-var", "plugin", str(PLUGIN), "-var", "steps", "20"]
    for name in ("nve_molecule", "npt_water", "minimize"):
        command = [lammps_binary(), "-in", f"{name}.in", *arguments]
        subprocess.run(command, cwd=folder, env=environment(), check=True, stdout=subprocess.DEVNULL)
    assert (folder / "log.lammps").exists()
    # Porcelain: "A" is what was added above.
    assert [line for line in git("status", "--porcelain", "-uall").splitlines() if line[0] != "A"] == []
