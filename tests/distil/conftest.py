import os
import sys
from pathlib import Path

import pytest

# Before any library starts its threads.
os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "python"))


@pytest.fixture(scope="session")
def library():
    """The library that students need, where they move atoms."""
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    path = target / "release" / "libmlff_student.so"
    if not path.exists():
        message = f"{path} is missing: make library"
        if os.environ.get("CI"):
            raise FileNotFoundError(message)
        pytest.skip(message)
    return path
