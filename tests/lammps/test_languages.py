"""The same water through the tool, C, C++, Fortran and LAMMPS gives the same numbers."""

import os
import shutil
import subprocess

import numpy as np
import pytest

from harness import ROOT, TARGET, Structure, evaluate, model, single_point

# As in examples/c/water.c.
WATER = Structure(
    ["O", "H", "H"] * 3,
    np.array(
        [
            [0.353, 3.390, 1.450], [0.647, 2.473, 1.340], [0.064, 3.661, 0.565],
            [2.058, 3.727, 3.670], [2.910, 4.178, 3.557], [1.949, 3.207, 2.859],
            [4.188, 1.116, 3.662], [3.955, 1.003, 4.597], [4.954, 1.711, 3.673],
        ]
    ),
    np.array([[4.6, 0.0, 0.0], [0.3, 4.5, 0.0], [0.2, -0.2, 4.4]]),
    (True, True, True),
)

BUILD = {
    "c": ["gcc", "-O1", ROOT / "examples/c/water.c"],
    "cpp": ["g++", "-O1", "-std=c++17", ROOT / "examples/cpp/water.cpp"],
    "fortran": ["gfortran", "-O1", ROOT / "include/mlff_student.f90", ROOT / "examples/fortran/water.f90"],
}


def example(folder, language, model_name):
    """Energy and forces that the example program of a language prints."""
    compiler, *rest = BUILD[language]
    if shutil.which(compiler) is None:
        assert os.environ.get("CI") != "true", f"{compiler} is missing"
        pytest.skip(f"SKIPPED, {compiler} is missing: apt-get install {compiler}")
    library = (TARGET / "release").resolve()
    subprocess.run(
        [compiler, *rest, f"-I{ROOT}/include", f"-L{library}", "-lmlff_student", f"-Wl,-rpath,{library}", "-o", "water"],
        cwd=folder, check=True,
    )
    text = subprocess.run(["./water", model(model_name)], cwd=folder, check=True, text=True, stdout=subprocess.PIPE).stdout
    lines = [line.split() for line in text.splitlines()]
    energy = next(float(words[1]) for words in lines if words[0] == "energy")
    return energy, np.array([[float(x) for x in words[2:5]] for words in lines if words[0] == "force"])


@pytest.mark.parametrize("name", ["student-77k", "painn-64-gaussian"])
def test_all_faces_give_the_same_numbers(tmp_path, name):
    tool = evaluate(tmp_path, WATER, name, "--precision", "double")
    found = {language: example(tmp_path, language, name) for language in BUILD}
    lammps = single_point(tmp_path / "lammps", WATER, style="precision double", model_name=name)
    found["lammps"] = lammps.energy, lammps.forces
    for face, (energy, forces) in found.items():
        assert abs(energy - tool["energy"]) <= 1e-9 * len(WATER), face
        np.testing.assert_allclose(forces, tool["forces"], rtol=0, atol=1e-9, err_msg=face)
