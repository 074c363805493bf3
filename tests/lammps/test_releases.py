"""The plugin in each LAMMPS release that it supports."""

import os
import re
import sys
from pathlib import Path

import pytest

from harness import EXACT, PLUGIN, REPORT, ROOT, assert_same, cases, deck, lammps_binary, model, report, run, single_point

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
