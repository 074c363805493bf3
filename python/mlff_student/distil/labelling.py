"""Labels for given structures, as active learning needs them."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from . import dataset, extxyz, files, generate

if TYPE_CHECKING:
    from ase import Atoms

    from .frames import Job


# Structures of one job: at least so many, and so many more that there are no more jobs than these.
PART = 8
JOBS = 1000


@dataclass(frozen=True)
class Part:
    """One job: some of the structures, with their numbers in the file."""

    index: int
    structures: list

    @property
    def name(self) -> str:
        """The name, which is that of its shard."""
        return f"label-{self.index:06d}"

    @property
    def expected(self) -> int:
        """How many frames it makes, at most."""
        return len(self.structures)

    def subject(self) -> tuple[None, str]:
        """None, and no split: structures bring molecule and split with them."""
        return None, ""

    def frames(self, job: Job, _: None) -> Iterable[dataset.Frame | str]:
        """Labelled frames, or reasons why there is none."""
        return job.teacher.label_all((atoms, metadata_of(atoms, i)) for i, atoms in self.structures)


def metadata_of(atoms: Atoms, index: int) -> dict[str, Any]:
    """What a frame keeps of a structure's `info`: name, kind, molecule, scaffold, split,
    temperature.
    """
    found = {name: extxyz.text(atoms.info.get(name, "")) for name in dataset.TEXTS}
    found["name"] = found["name"] or f"label-{index:06d}"
    return found | {"temperature": float(atoms.info.get("temperature", np.nan))}


def read_structures(path: str | Path) -> Iterator[Atoms]:
    """ASE structures of a file, with what is known of them in `info`; labels that they have are
    ignored.
    """
    from ase import Atoms
    from ase.io import iread

    if Path(path).suffix in (".h5", ".hdf5"):
        for frame in files.read(path).frames:
            info = {name: getattr(frame, name) for name in (*dataset.TEXTS, "temperature")}
            yield Atoms(frame.numbers, frame.positions, cell=frame.cell, pbc=frame.pbc, info=info)
    else:
        for atoms in iread(path):
            atoms.calc = None
            yield atoms


def label(paths: list[str], output: str, spec: str, jobs: int) -> dataset.Dataset:
    """Labels the structures in files and writes them; order, names and metadata are kept.

    What is done is kept in OUTPUT.parts until all is, so that the same call goes on after a stop.
    """
    files.format_of(output)  # a name that cannot be written is refused before hours of work
    structures = list(enumerate(atoms for path in paths for atoms in read_structures(path)))
    size = max(PART, ceil(len(structures) / JOBS))
    works = [Part(i // size, structures[i : i + size]) for i in range(0, len(structures), size)]
    folder = Path(f"{output}.parts")
    identity = {"seed": 0, "teacher": spec, "structures": [generate.digest(path) for path in paths]}
    failed = generate.carry_out(folder, works, identity, jobs)
    if failed:
        raise RuntimeError(
            f"{failed} jobs failed: their errors are above; the same command tries them again"
        )
    result = generate.collect(folder).checked()
    files.write(result, output)
    shutil.rmtree(folder)
    return result
