"""What the package consists of, and where things went that had another name."""

import subprocess
import sys

import pytest
from places import ROOT


@pytest.mark.parametrize(
    "old, new",
    [("teacher", "mlff_student.distil"), ("validation", "mlff_student.acceptance")],
)
def test_the_old_names_say_in_one_sentence_where_the_commands_went(old, new):
    command = [sys.executable, "-m", old, "generate", "data"]
    process = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert process.returncode == 2
    assert f"`python -m {new}`" in process.stderr
    assert process.stderr.count("\n") == 1 and process.stdout == ""


def test_importing_the_package_loads_neither_numpy_nor_ase():
    """The programs in it set the number of threads first, and Student does without ASE."""
    code = "import sys, mlff_student; print({'numpy', 'ase'} & set(sys.modules))"
    environment = {"PYTHONPATH": str(ROOT / "python")}
    command = [sys.executable, "-c", code]
    process = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert process.stdout == "set()\n", process.stderr


def test_every_public_name_is_there():
    import mlff_student

    assert set(mlff_student.__all__) == set(mlff_student._MODULES)
    assert set(mlff_student.__all__) <= set(dir(mlff_student))
    for name in mlff_student.__all__:
        assert getattr(mlff_student, name).__doc__, name
    with pytest.raises(AttributeError, match="no attribute 'Teacher'"):
        mlff_student.Teacher  # noqa: B018 - looking it up is the test
