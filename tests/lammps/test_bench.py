"""`make bench` compares whole steps in LAMMPS."""

import json
import subprocess
import sys

import harness

ROOT = harness.ROOT


def test_students_are_timed_beside_other_potentials(tmp_path):
    student = ROOT / "models" / "organics-small.safetensors"
    command = [sys.executable, ROOT / "benches" / "peers.py", student, "--venv", sys.prefix, "--plugin", harness.PLUGIN]
    options = ["--out", tmp_path, "--rounds", "1", "--seconds", "0.05", "--largest", "192"]
    done = subprocess.run([*map(str, command), *map(str, options)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    cases = json.loads((tmp_path / "peers.json").read_text())["cases"]
    assert [(case["name"], case["atoms"]) for case in cases] == [
        ("organics-small", 24),
        ("organics-small", 192),
        ("reaxff (water, charges each step)", 1536),
        ("snap (Ta, 2J 6)", 1458),
        ("eam/alloy (Cu)", 1372),
    ]
    for case in cases:
        assert 1e-8 < case["seconds"][0] < 1e-2, case
        # Short runs on a busy machine: how large the shares are says little.
        assert set(case["shares"][0]) >= {"Pair", "Neigh", "Comm"}, case
    assert "| eam/alloy (Cu) | 1372 | 1 | 1 |" in (tmp_path / "peers.md").read_text()
    assert (tmp_path / "peers.png").stat().st_size > 10_000
