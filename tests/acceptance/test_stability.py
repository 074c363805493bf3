"""Who broke, where several molecules share a run of LAMMPS."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("rdkit", reason="SKIPPED: rdkit is missing: run with the teacher's environment")

from ase.build import molecule

from mlff_student.acceptance import stability

# Stands where LAMMPS stands: the second of several molecules comes apart, at 0.1 ps, and the run
# stops at 0.15 ps.
LAMMPS = f"""#!{sys.executable}
from ase.io import read
atoms = read("start.data", format="lammps-data", style="atomic")
several = len(atoms) > 5
def frame(step):
    positions = atoms.positions.copy()
    if several and step == 200:
        positions[3] += 5.0
    header = f"ITEM: TIMESTEP\\n{{step}}\\nITEM: NUMBER OF ATOMS\\n{{len(atoms)}}\\n"
    header += "ITEM: BOX BOUNDS ss ss ss\\n0 1\\n0 1\\n0 1\\nITEM: ATOMS id x y z\\n"
    lines = (f"{{i + 1}} {{x}} {{y}} {{z}}\\n" for i, (x, y, z) in enumerate(positions))
    return header + "".join(lines)
steps = range(0, 400 if several else 500, 100)
open("frames.dump", "w").write("".join(map(frame, steps)))
open("runs", "a").write(f"{{len(atoms)}}\\n")
if several:
    raise SystemExit("ERROR: Lost atoms")
"""


def test_a_stop_is_blamed_on_who_is_named_and_else_on_all():
    group = [
        stability.Job(index, name, molecule(name))
        for index, name in enumerate(["H2O", "NH3", "CO2"])
    ]

    def blamed(stopped, *broken):
        results = [{"broken": "seen" if index in broken else None} for index in range(3)]
        stability.blame(stopped, group, results)
        return [result["broken"] for result in results]

    # Atoms 1 to 3, 4 to 7, 8 to 10.
    text = "ERROR on proc 0: mlff_student: the position of atom ID {} is (nan, nan, nan)"
    for atom, index in ((1, 0), (3, 0), (4, 1), (7, 1), (8, 2), (10, 2)):
        assert [
            i for i, broken in enumerate(blamed(text.format(atom))) if broken == text.format(atom)
        ] == [index]
    assert blamed(text.format(4), 0) == ["seen", text.format(4), None]
    assert blamed(text.format(4), 1) == [None, "seen", None]
    # Nobody is named: whoever broke in a frame is to blame, and else the student.
    assert blamed("ERROR: Lost atoms", 2) == [None, None, "seen"]
    assert blamed("ERROR: Lost atoms") == ["ERROR: Lost atoms"] * 3


def setting_for(folder):
    (folder / "bin").mkdir()
    (folder / "bin" / "lmp").write_text(LAMMPS)
    (folder / "bin" / "lmp").chmod(0o755)
    return SimpleNamespace(
        teacher=SimpleNamespace(key="gfn2"), out=folder / "out", venv=folder,
        plugin=Path("plugin.so"), ps=0.2, step=0.5, workers=1,
    )  # fmt: skip


def test_a_molecule_that_explodes_takes_no_other_with_it(tmp_path):
    setting = setting_for(tmp_path)
    model = SimpleNamespace(folder="student-01234567", path=Path("student.safetensors"))
    jobs = [
        stability.Job(index, name, molecule(name))
        for index, name in enumerate(["H2O", "NH3", "CO2"])
    ]
    found = stability.fates(setting, model, 600, jobs)
    assert [result["molecule"] for result in found] == ["H2O", "NH3", "CO2"]
    assert [result["ps"] for result in found] == [0.2, 0.1, 0.2]
    assert found[0]["broken"] is None and found[2]["broken"] is None
    assert found[1]["broken"] == "bond N0-H1 at 8.40 Å"
    # All three together, then the two that were whole, each alone; nothing runs twice.
    stability.fates(setting, model, 600, jobs)
    assert [path.read_text() for path in (tmp_path / "out").rglob("runs")] == ["10\n3\n3\n"]
    # Another teacher's molecules are other starts.
    setting.teacher.key = "ani1ccx"
    stability.fates(setting, model, 600, jobs)
    runs = [path.read_text() for path in (tmp_path / "out").rglob("runs")]
    assert runs == ["10\n3\n3\n"] * 2
    # Another time step is another run.
    setting.step = 1.0
    assert [result["ps"] for result in stability.fates(setting, model, 600, jobs)] == [
        0.4,
        0.2,
        0.4,
    ]
