"""Reading and writing datasets by the ending of their names."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from . import extxyz, hdf5
from .dataset import DatasetError

if TYPE_CHECKING:
    from types import ModuleType

    from .dataset import Dataset


FORMATS = {".h5": hdf5, ".hdf5": hdf5, ".xyz": extxyz, ".extxyz": extxyz}


def format_of(path: str | Path) -> ModuleType:
    """The module that reads and writes a file of this name; DatasetError for other endings."""
    path = Path(path)
    if path.suffix not in FORMATS:
        raise DatasetError(
            f"{path}: expected a name that ends in {', '.join(FORMATS)}; found {path.suffix!r}"
        )
    return FORMATS[path.suffix]


def read(path: str | Path) -> Dataset:
    """Reads a dataset; frames that must not be in one are dropped and counted."""
    path = Path(path)
    if not path.exists():
        raise DatasetError(f"{path}: no such file")
    return format_of(path).read(path).checked()


def write(dataset: Dataset, path: str | Path) -> None:
    """Writes a dataset, whole or not at all."""
    path = Path(path)
    partial = path.with_name(path.name + ".part")
    format_of(path).write(dataset, partial)
    os.replace(partial, path)


def expect(hashes: dict[str, str], path: str | Path) -> None:
    """Raises DatasetError unless content hashes, by the names of their files, are those in a list
    of lines `HASH NAME`.
    """
    lines = (line.split() for line in Path(path).read_text().splitlines())
    listed = {name: digest for digest, name in lines}
    wrong = [name for name, digest in hashes.items() if listed.get(name) != digest]
    if wrong:
        raise DatasetError(f"not of the content hash that {path} has for them: {', '.join(wrong)}")
