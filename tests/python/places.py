"""Where the package, the library, the tool and students are."""

import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
REFERENCE = ROOT.parent / "shared" / "reference" / "models"
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
TOOL = Path(os.environ.get("MLFF_TOOL", TARGET / "release" / "mlff-student"))

PAINN = REFERENCE / "painn-64-gaussian.pt"
PUBLISHED = REFERENCE / "student-77k.onnx"
SHIPPED = sorted((ROOT / "models").glob("*.safetensors"))

sys.path.insert(0, str(ROOT / "python"))


def missing(what):
    """Skips a test for what is not there; in CI all must be."""
    if os.environ.get("CI"):
        raise FileNotFoundError(what)
    pytest.skip(f"SKIPPED: {what}")
