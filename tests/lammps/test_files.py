"""Files that LAMMPS writes are read by the tool as LAMMPS means them."""

import json
import subprocess

import numpy as np
import pytest
from harness import SMALL, TOOL, run

# A tilted box, two processes, atoms that have left it.
INPUT = """
units metal
atom_style {style}
boundary p p p
region box prism 0 9.3 0 8.9 0 9.1 1.7 -0.8 0.9
create_box 2 box
mass 1 15.999
mass 2 1.008
labelmap atom 1 O 2 H
create_atoms 1 random 20 7 NULL overlap 2.4 maxtry 2000
create_atoms 2 random 30 8 NULL overlap 1.1 maxtry 2000
displace_atoms all random 3 3 3 9 units box
pair_style zero 5.0
pair_coeff * *
timestep 0.0
dump a all extxyz 1 all.extxyz
dump_modify a element O H sort id
dump b all custom 1 cartesian.dump id element xu yu zu fx fy fz
dump_modify b element O H
dump c all custom 1 scaled.dump element xs ys zs id
dump_modify c element O H
run 0
write_data all.data
"""


def evaluated(path):
    command = [TOOL, "eval", SMALL, path, "--precision", "double", "--check", "off"]
    process = subprocess.run(command, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    return json.loads(process.stdout)


@pytest.mark.parametrize("style", ["atomic", "charge", "full"])
def test_dumps_and_data_files_give_what_extended_xyz_gives(tmp_path, style):
    run(tmp_path, INPUT.format(style=style), ranks=2)
    expected = evaluated(tmp_path / "all.extxyz")
    assert abs(expected["energy"]) > 100
    for name in ["cartesian.dump", "scaled.dump", "all.data"]:
        found = evaluated(tmp_path / name)
        # Dumps have six digits.
        assert found["energy"] == pytest.approx(expected["energy"], abs=2e-2), name
        assert np.abs(np.subtract(found["forces"], expected["forces"])).max() < 0.2, name
        assert np.abs(np.subtract(found["stress"], expected["stress"])).max() < 1e-3, name


def test_a_dump_without_elements_says_what_to_write(tmp_path):
    dump = "ITEM: TIMESTEP\n0\nITEM: NUMBER OF ATOMS\n1\nITEM: BOX BOUNDS pp pp pp\n0 9\n0 9\n0 9\n"
    (tmp_path / "x.dump").write_text(dump + "ITEM: ATOMS id type x y z\n1 1 0 0 0\n")
    command = [TOOL, "eval", SMALL, tmp_path / "x.dump"]
    process = subprocess.run(command, capture_output=True, text=True)
    assert process.returncode == 1
    assert "expected a column element" in process.stderr and "dump_modify element" in process.stderr
