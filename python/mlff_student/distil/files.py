"""Reading and writing datasets by the ending of their names."""

import os
from pathlib import Path

from . import extxyz, hdf5
from .dataset import DatasetError

FORMATS = {".h5": hdf5, ".hdf5": hdf5, ".xyz": extxyz, ".extxyz": extxyz}


def format_of(path):
    """What reads and writes a file of this name."""
    path = Path(path)
    if path.suffix not in FORMATS:
        raise DatasetError(
            f"{path}: expected a name that ends in {', '.join(FORMATS)}; found {path.suffix!r}"
        )
    return FORMATS[path.suffix]


def read(path):
    """The dataset in a file; frames that must not be in one are dropped and counted."""
    path = Path(path)
    if not path.exists():
        raise DatasetError(f"{path}: no such file")
    return format_of(path).read(path).checked()


def write(dataset, path):
    """Writes a dataset, whole or not at all."""
    path = Path(path)
    partial = path.with_name(path.name + ".part")
    format_of(path).write(dataset, partial)
    os.replace(partial, path)


def expect(hashes, path):
    """Refuses content hashes, by the names of their files, that are not those in a list of lines `HASH NAME`."""
    lines = (line.split() for line in Path(path).read_text().splitlines())
    listed = {name: digest for digest, name in lines}
    wrong = [name for name, digest in hashes.items() if listed.get(name) != digest]
    if wrong:
        raise DatasetError(f"not of the content hash that {path} has for them: {', '.join(wrong)}")
