"""The package of this source tree, the library and the tool that were built, and students to run."""

import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
REFERENCE = ROOT.parent / "shared" / "reference" / "models"
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
TOOL = Path(os.environ.get("MLFF_TOOL", TARGET / "release" / "mlff-student"))

sys.path.insert(0, str(ROOT / "python"))

PAINN = REFERENCE / "painn-64-gaussian.pt"
PUBLISHED = REFERENCE / "student-77k.onnx"
SHIPPED = sorted((ROOT / "models").glob("*.safetensors"))


def pytest_sessionstart(session):
    if not TOOL.exists():
        pytest.exit(f"{TOOL} is missing: make", returncode=1)


@pytest.fixture(scope="session")
def smooth():
    """A student whose energy has no jumps."""
    found = next((path for path in [*SHIPPED, PAINN] if path.exists()), None)
    if found is None:
        pytest.skip(f"SKIPPED: there is neither a student in models/ nor {PAINN}")
    return found


@pytest.fixture(params=[PAINN, PUBLISHED, *SHIPPED], ids=lambda path: path.stem)
def model(request):
    """Every student that is there, one after the other."""
    if not request.param.exists():
        pytest.skip(f"SKIPPED: {request.param} is missing: put the reference data beside the project")
    return request.param
