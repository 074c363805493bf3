"""The plugin file asks for nothing that would tie it to one MPI."""

import subprocess

from harness import PLUGIN


def test_plugin_needs_no_libmpi_and_no_liblammps():
    dynamic = subprocess.run(["readelf", "-d", PLUGIN], capture_output=True, text=True, check=True).stdout
    needed = [line.split("[")[1].rstrip("]") for line in dynamic.splitlines() if "NEEDED" in line]
    assert "libmlff_student.so.0" in needed
    assert not [name for name in needed if "mpi" in name or "lammps" in name or "torch" in name]


def test_plugin_shows_one_symbol():
    symbols = subprocess.run(["nm", "-D", "--defined-only", PLUGIN], capture_output=True, text=True, check=True).stdout
    strong = [line.split()[2] for line in symbols.splitlines() if line.split()[1] in "TDB"]
    assert strong == ["lammpsplugin_init"]
