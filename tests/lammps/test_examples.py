"""The inputs that users copy run as they are."""

import shutil

import pytest

from harness import PLUGIN, ROOT, model, run

EXAMPLES = ROOT / "examples" / "lammps"


@pytest.mark.parametrize("name, ranks", [("nve_molecule", 1), ("minimize", 1), ("npt_water", 2)])
def test_example_input_runs(tmp_path, name, ranks):
    for data in EXAMPLES.glob("*.data"):
        shutil.copy(data, tmp_path)
    arguments = ["-var", "model", str(model("student-77k")), "-var", "plugin", str(PLUGIN), "-var", "steps", "20"]
    text = (EXAMPLES / f"{name}.in").read_text()
    finished = run(tmp_path, text, ranks=ranks, arguments=arguments)
    assert "Loop time" in finished.output
