"""Datasets in extended XYZ, with ASE's names."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io.extxyz import read_xyz as ase_read
from ase.io.extxyz import write_xyz as ase_write
from ase.stress import voigt_6_to_full_3x3_stress

from .dataset import TEXTS, UNITS, Dataset, DatasetError, Frame

if TYPE_CHECKING:
    from pathlib import Path


def write(dataset: Dataset, path: str | Path) -> None:
    """Writes a dataset (Å, eV)."""

    def structures() -> Iterator[Atoms]:
        for frame in dataset.frames:
            atoms = Atoms(frame.numbers, frame.positions, cell=frame.cell, pbc=frame.pbc)
            for name in TEXTS:
                # ASE cannot read empty values back.
                if getattr(frame, name):
                    atoms.info[name] = getattr(frame, name)
            if not np.isnan(frame.temperature):
                atoms.info["temperature"] = frame.temperature
            atoms.info["teacher"] = dataset.teacher
            labels = {"energy": frame.energy, "forces": frame.forces}
            if not np.isnan(frame.stress).all():
                labels["stress"] = frame.stress
            atoms.calc = SinglePointCalculator(atoms, **labels)
            yield atoms

    with open(path, "w") as file:
        for atoms in structures():
            ase_write(file, atoms, write_results=True)


def text(value: object) -> str:
    """The text of a value that ASE read: it takes the SMILES of hydrogen fluoride, F, for False."""
    return {"True": "T", "False": "F"}.get(str(value), str(value))


def _check_end(path: str | Path) -> None:
    """Raises DatasetError for a file that does not end with its last line: a number that was cut
    short still is a number.
    """
    with open(path, "rb") as file:
        file.seek(0, 2)
        if file.tell() == 0:
            raise DatasetError(f"{path}: empty file; make it again")
        file.seek(-1, 2)
        if file.read(1) != b"\n":
            raise DatasetError(f"{path}: truncated in its last line; make it again")


def read(path: str | Path) -> Dataset:
    """Reads a dataset; raises DatasetError for a damaged file, other units or several teachers."""
    frames, teacher, last = [], None, -1
    try:
        _check_end(path)
        with open(path) as file:
            for last, atoms in enumerate(ase_read(file, index=slice(None))):
                found = text(atoms.info.get("teacher", teacher or "unknown"))
                if teacher not in (None, found):
                    raise DatasetError(
                        f"{path}: frame {last} is labelled by {found!r}, "
                        f"those before it by {teacher!r}"
                    )
                teacher = found
                units = atoms.info.get("units", UNITS)
                if units != UNITS:
                    raise DatasetError(
                        f"{path}: frame {last} is in {units!r}, expected {UNITS!r}; "
                        "convert it first"
                    )
                frames.append(_from_atoms(atoms, path, last))
    except DatasetError:
        raise
    except Exception as error:  # ASE's parser raises many kinds
        kind = type(error).__name__
        raise DatasetError(
            f"{path}: truncated or damaged after frame {last} ({kind}: {error})"
        ) from error
    return Dataset(frames, teacher or "unknown")


def _from_atoms(atoms: Atoms, path: str | Path, index: int) -> Frame:
    results = atoms.calc.results if atoms.calc else {}
    for name in ("energy", "forces"):
        if name not in results:
            raise DatasetError(f"{path}: frame {index} has no {name}")
    if np.shape(results["forces"]) != (len(atoms), 3):
        found = np.shape(results["forces"])
        raise DatasetError(
            f"{path}: frame {index} has forces of shape {found}, expected {(len(atoms), 3)}"
        )
    for number in atoms.numbers[(atoms.numbers < 1) | (atoms.numbers > 118)][:1]:
        raise DatasetError(
            f"{path}: frame {index} has an atom of atomic number {number}, expected 1 to 118"
        )
    stress = np.full((3, 3), np.nan)
    if "stress" in results:
        stress = np.asarray(results["stress"], float)
        stress = (
            voigt_6_to_full_3x3_stress(stress) if stress.shape == (6,) else stress.reshape(3, 3)
        )
    return Frame(
        numbers=atoms.numbers.astype(np.uint8),
        positions=atoms.positions,
        cell=np.array(atoms.cell.array),
        pbc=np.array(atoms.pbc),
        energy=float(results["energy"]),
        forces=np.asarray(results["forces"], float),
        stress=stress,
        temperature=float(atoms.info.get("temperature", np.nan)),
        **{name: text(atoms.info.get(name, "")) for name in TEXTS},
    )
