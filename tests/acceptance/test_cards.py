"""Model cards."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

MAKE_CARD = Path(__file__).resolve().parents[2] / "models" / "make_card.py"
ERRORS = {
    "frames": 3,
    "energy": {"mae_mev_per_atom": 4.0},
    "forces": {"mae_ev_per_angstrom": 0.052, "rmse_ev_per_angstrom": 0.1, "r2": 0.99},
    "stress": None,
}
REPORT = {
    "model": {"parameters": 28193, "hidden": 32, "blocks": 2, "cutoff_angstrom": 5.0},
    "data": {"molecules": 2},
    "overall": ERRORS,
    "by_kind": [{"name": "trajectory", **ERRORS}],
    "by_temperature": [{"name": "300 K", **ERRORS}],
    "by_element": [{"name": "H", **ERRORS}],
}
# As `python -m mlff_student.distil info` prints those of two files.
LABELS = """{
  "file": "a.h5",
  "dropped": {
    "element outside H C N O": 7,
    "networks' forces differ by more than 1.5 eV/Å": 1200
  }
}
{
  "file": "b.h5",
  "dropped": {
    "networks' energies differ by more than 0.08 eV/√atoms": 34
  }
}
"""


def card(student, tmp_path, *more):
    report = tmp_path / "report.json"
    report.write_text(json.dumps(REPORT))
    command = [sys.executable, MAKE_CARD, student, report, report, *more]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def cc(copied, tmp_path):
    teacher = "torchani 2.0 ANI-1ccx weights sha256:1d00f11fd7f38403"
    path = tmp_path / "organics-cc-medium.safetensors"
    return copied(path, species="H C N O", teacher=teacher, vectors="16")


def test_a_card_says_whose_student_it_is_and_which_elements_it_knows(cc, small, tmp_path):
    text = card(cc, tmp_path)
    assert "molecules of H, C, N and O. It reproduces ANI-1ccx (torchani 2.0" in text
    assert "32 channels (16 with vectors)" in text
    assert "GFN2" not in text
    other = card(small, tmp_path)
    assert "of H, C, N, O, F, S and Cl, and clusters of them. It reproduces GFN2-xTB" in other
    assert "ANI" not in other


def test_a_card_says_what_students_of_ani1ccx_must_not_be_used_for(cc, tmp_path):
    [_, never] = card(cc, tmp_path).split("## What it must not be used for")
    for word in (
        "other elements",
        "Clusters and dimers",
        "no walls of its own",
        "H₂",
        "Interactions",
    ):
        assert word in never
    assert never.rstrip().endswith("- Anything that ANI-1ccx itself gets wrong.")


def test_a_card_counts_the_frames_that_the_members_disagree_on(cc, tmp_path):
    labels = tmp_path / "labels.json"
    labels.write_text(LABELS)
    assert "1,234 frames on which the members of ANI-1ccx disagree" in card(cc, tmp_path, labels)
    assert "disagree" not in card(cc, tmp_path)


def test_aims_are_met_or_not_and_only_those_that_were_set(cc, copied, small, tmp_path):
    assert "Aims for its size: 0.055 eV/Å, met. " in card(cc, tmp_path)
    # The same errors, of a student with other aims.
    text = card(small, tmp_path)
    assert "Aims for its size: 0.06 eV/Å, met; 8 meV/atom, met. " in text
    text = card(copied(tmp_path / "organics-large.safetensors"), tmp_path)
    assert "Aims for its size: 0.025 eV/Å, **not met**; 3 meV/atom, **not met**. " in text
