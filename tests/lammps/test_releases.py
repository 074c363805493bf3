"""The plugin in each LAMMPS release that it supports."""

import json
import os
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from harness import EXACT, PLUGIN, REPORT, ROOT, SMALL, assert_same, cases, deck, lammps_binary, model, report, run, single_point

ENVIRONMENT = Path(sys.executable).parents[1]
RELEASES = {"20220623": "2022.6.23.4.0", "20230802": "2023.8.2.3.1", "20240829": "2024.8.29.3.0", "20250722": None}


def place(release):
    """LAMMPS binary and plugin of a release; the newest is the one of this environment."""
    version = RELEASES[release]
    if version is None:
        return lammps_binary(), PLUGIN
    root = Path(os.environ.get("MLFF_OLD_LAMMPS", f"{ENVIRONMENT}-")).absolute()
    plugin = Path(os.environ.get("MLFF_OLD_PLUGINS", ROOT / "target")) / f"plugin-{release}" / "mlff_studentplugin.so"
    binary = lammps_binary(Path(f"{root}{version}"))
    assert plugin.exists(), f"{plugin} is missing: make test-lammps-all builds it"
    return binary, plugin


@pytest.mark.parametrize("release", RELEASES)
def test_each_release_gives_the_same_numbers_on_two_ranks(tmp_path, release):
    binary, plugin = place(release)
    structure = cases("student-21k")["water-triclinic-81"].rattled(0.05)
    expected = single_point(tmp_path / "newest", structure)
    text = deck(structure).replace(str(PLUGIN), str(plugin)) + REPORT + "velocity all create 300 3\nfix 1 all nve\nrun 0 post no\n" + report() + "run 3 post no\n"
    finished = run(tmp_path / "old", text, structure, ranks=2, binary=binary)
    assert_same(finished.results(), expected, 1e-10, 1e-9)
    # hybrid, where buffers once were too small
    pair = f"pair_style hybrid/overlay mlff_student {EXACT} lj/cut 7.0\npair_coeff * * mlff_student {model('student-21k')} H O\npair_coeff * * lj/cut 0.0 1.0\n"
    text = deck(structure, pair=pair).replace(str(PLUGIN), str(plugin)) + REPORT + "run 0 post no\n" + report()
    finished = run(tmp_path / "hybrid", text, structure, ranks=2, binary=binary)
    assert_same(finished.results(), expected, 1e-10, 1e-9)


@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize("release", RELEASES)
def test_students_of_different_cutoffs_leave_the_same_types_out(tmp_path, release, ranks):
    """LAMMPS makes one list for both and trims it, in August 2023 with gaps."""
    binary, plugin = place(release)
    structure = cases("student-21k")["water-triclinic-81"].rattled(0.05)
    short = with_cutoff(SMALL, 4.0, tmp_path / "short.safetensors")
    students = [f"pair_coeff * * mlff_student 1 {SMALL} NULL O\n", f"pair_coeff * * mlff_student 2 {short} NULL O\n"]
    styles = f"mlff_student {EXACT}"

    def results(name, style, coefficients, **options):
        pair = f"pair_style hybrid/overlay {style} lj/cut 7.0\n{coefficients}pair_coeff 1 * lj/cut 0.0 1.0\n"
        text = deck(structure, pair=pair) + REPORT + "run 0 post no\n" + report()
        if "binary" in options:
            text = text.replace(str(PLUGIN), str(plugin))
        return run(tmp_path / name, text, structure, **options).results()

    both = results("both", f"{styles} {styles}", "".join(students), binary=binary, ranks=ranks)
    alone = [results(str(k), styles, line.replace(f"mlff_student {k} ", "mlff_student ")) for k, line in enumerate(students, 1)]
    assert abs(both.energy - sum(one.energy for one in alone)) <= 1e-9 * len(structure)
    np.testing.assert_allclose(both.forces, alone[0].forces + alone[1].forces, rtol=0, atol=1e-9)


def with_cutoff(student, cutoff, path):
    """The same numbers in a file that says another cutoff."""
    content = student.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    header["__metadata__"]["cutoff"] = str(cutoff)
    changed = json.dumps(header).encode()
    changed += b" " * (-len(changed) % 8)
    path.write_bytes(len(changed).to_bytes(8, "little") + changed + content[8 + length :])
    return path


@pytest.mark.parametrize("host", RELEASES)
@pytest.mark.parametrize("built_for", RELEASES)
def test_a_plugin_of_another_release_refuses_and_tells_how_to_rebuild(tmp_path, host, built_for):
    if host == built_for:
        return
    binary, _ = place(host)
    _, plugin = place(built_for)
    finished = run(tmp_path, f"plugin load {plugin}\nunits metal\n", binary=binary, accept=True)
    assert finished.code == 0
    assert f"it was built for LAMMPS {built_for}, this is LAMMPS {host}" in finished.output
    assert re.search(r"make plugin LAMMPS=/.*lammps", finished.output)
