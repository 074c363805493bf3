"""The example that users copy runs as it is."""

import os
import subprocess
import sys

from places import ROOT, TARGET

EXAMPLES = ROOT / "examples" / "python"


def ethanol(student, folder):
    """Runs the example in a folder, where its imports come from this source tree."""
    library = TARGET / "release" / "libmlff_student.so"
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT / "python"),
        "MLFF_STUDENT_LIBRARY": str(library),
    }
    command = [sys.executable, EXAMPLES / "ethanol.py", student]
    return subprocess.run(command, cwd=folder, env=environment, text=True, capture_output=True)


def test_ethanol_runs(smooth, tmp_path):
    process = ethanol(smooth, tmp_path)
    assert process.returncode == 0, process.stderr
    energies = [
        float(line.split()[2]) for line in process.stdout.splitlines() if "in total" in line
    ]
    assert len(energies) == 5 and max(energies) - min(energies) < 1e-2
    assert list(tmp_path.iterdir()) == []


def test_running_it_where_it_lies_leaves_nothing_for_git(smooth):
    def status():
        command = ["git", "status", "--porcelain", "--untracked-files=all", "--", "examples"]
        found = subprocess.run(command, cwd=ROOT, text=True, capture_output=True, check=True)
        return found.stdout

    before = status()
    assert ethanol(smooth, EXAMPLES).returncode == 0
    assert status() == before


def test_what_documented_commands_make_is_ignored_by_git():
    made = "c/water c/md cpp/water fortran/water fortran/mlff_student.mod lammps/log.lammps "
    made += "lammps/relaxed.data lammps/droplet.lammpstrj python/morse.pt"
    for name in made.split():
        command = ["git", "check-ignore", "--quiet", f"examples/{name}"]
        assert subprocess.run(command, cwd=ROOT).returncode == 0, name
