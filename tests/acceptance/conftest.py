"""The modules of this source tree, and students for tests."""

import json
import struct
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "python"))


@pytest.fixture
def small():
    """A student that ships."""
    return ROOT / "models" / "organics-small.safetensors"


@pytest.fixture
def hcno(copied, tmp_path):
    """A copy of that student that knows H, C, N and O only."""
    return copied(tmp_path / "hcno.safetensors", species="H C N O")


@pytest.fixture
def copied(small):
    """Copies that student to a path, with other metadata in its file."""
    return lambda path, **metadata: copy(small, path, metadata)


def copy(student, path, metadata):
    data = student.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    header["__metadata__"] |= metadata
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + length :])
    return path
