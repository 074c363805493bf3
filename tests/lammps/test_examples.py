"""The inputs that users copy run as they are."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from harness import PLUGIN, ROOT, environment, run

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


def test_the_demo_conserves_energy(tmp_path):
    """What `make demo` runs, smaller."""
    sizes = ["--water", "3", "--ethanol", "1", "--steps", "60"]
    places = ["--model", SHIPPED, "--venv", Path(sys.executable).parents[1], "--plugin", PLUGIN, "--folder", tmp_path]
    process = subprocess.run([sys.executable, EXAMPLES / "demo.py", *sizes, *places], env=environment(), text=True, capture_output=True)
    assert process.returncode == 0, process.stdout + process.stderr
    drift = re.search(r"drift ([-+\d.]+) meV per atom and ps", process.stdout)
    assert drift and abs(float(drift.group(1))) < 20.0, process.stdout
