"""The example that users copy runs as it is."""

import os
import subprocess
import sys

from places import ROOT, TARGET


def test_ethanol_runs(smooth):
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT / "python"),
        "MLFF_STUDENT_LIBRARY": str(TARGET / "release" / "libmlff_student.so"),
    }
    process = subprocess.run(
        [sys.executable, ROOT / "examples/python/ethanol.py", smooth],
        env=environment,
        text=True,
        capture_output=True,
    )
    assert process.returncode == 0, process.stderr
    energies = [
        float(line.split()[2]) for line in process.stdout.splitlines() if "in total" in line
    ]
    assert len(energies) == 5 and max(energies) - min(energies) < 1e-2
