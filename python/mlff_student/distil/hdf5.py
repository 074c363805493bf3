"""Datasets in HDF5; the layout is in the README of this folder."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import h5py
import numpy as np

from .dataset import TEXTS, UNITS, Dataset, DatasetError, Frame
from .teachers import DECIMALS

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any


FORMAT = "mlff-student-dataset"
FORMAT_VERSION = 1


def write(dataset: Dataset, path: str | Path) -> None:
    """Writes a dataset (Å, eV)."""
    frames = dataset.frames
    counts = np.array([len(f.numbers) for f in frames], np.int64)

    def joined(name: str, *width: int) -> np.ndarray:
        return np.concatenate([getattr(f, name) for f in frames] or [np.zeros((0, *width))])

    def stacked(name: str, *shape: int) -> np.ndarray:
        return np.array([getattr(f, name) for f in frames]).reshape(len(frames), *shape)

    arrays = {
        "structures/atomic_numbers": joined("numbers").astype(np.uint8),
        "structures/positions": joined("positions", 3),
        "structures/cells": stacked("cell", 3, 3),
        "structures/pbc": stacked("pbc", 3).astype(bool),
        "labels/energy": stacked("energy").astype(float),
        "labels/forces": joined("forces", 3),
        "labels/stress": stacked("stress", 3, 3),
        "metadata/atom_offsets": np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        "metadata/temperature": stacked("temperature").astype(float),
    }
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file.create_dataset(name, data=array, **storage(name, array))
        for name in TEXTS:
            # Strings of fixed length: HDF5 compresses no others.
            texts = np.array([getattr(f, name).encode() for f in frames], bytes)
            kind = h5py.string_dtype("utf-8", max(texts.itemsize, 1))
            path = f"metadata/{name}"
            file.create_dataset(path, data=texts.astype(kind), dtype=kind, **storage(path, texts))
        file.attrs.update(
            format=FORMAT,
            format_version=FORMAT_VERSION,
            teacher=dataset.teacher,
            units=UNITS,
            content_hash=dataset.content_hash(),
            dropped_reasons=np.array(sorted(dataset.dropped), dtype=h5py.string_dtype("utf-8")),
            dropped_counts=np.array(
                [dataset.dropped[r] for r in sorted(dataset.dropped)], np.int64
            ),
        )


def storage(name: str, array: np.ndarray) -> dict[str, Any]:
    """How HDF5 packs an array, without loss.

    Random digits beyond the last decimal that counts would fill half of a file.
    """
    if not array.size:
        return {}
    if name in ("structures/positions", "labels/forces") and np.array_equal(
        array, array.round(DECIMALS)
    ):
        return {"chunks": (min(len(array), 4096), 3), "scaleoffset": DECIMALS}
    return {"chunks": True, "compression": "gzip", "shuffle": True}


def read(path: str | Path) -> Dataset:
    """Reads a dataset; raises DatasetError for a damaged file, another layout or other units."""
    try:
        with h5py.File(path, "r") as file:
            return _from_hdf5(file, path)
    except DatasetError:
        raise
    except (OSError, RuntimeError, KeyError, TypeError, ValueError) as error:
        raise DatasetError(
            f"{path}: truncated or no HDF5 dataset of this layout ({error}); make it again"
        ) from error


def _from_hdf5(file: h5py.File, path: str | Path) -> Dataset:
    attrs = dict(file.attrs)
    found = (
        attrs.get("format", FORMAT),
        int(attrs.get("format_version", FORMAT_VERSION)),
        attrs.get("units", UNITS),
    )
    expected = FORMAT, FORMAT_VERSION, UNITS
    if found != expected:
        raise DatasetError(
            f"{path}: expected format, version and units {expected}, found {found}; "
            "convert it first"
        )
    numbers = file["structures/atomic_numbers"][:]
    # Differences of unsigned integers would not be negative where they fall.
    offsets = file["metadata/atom_offsets"][:].astype(np.int64)
    n, s = len(numbers), len(offsets) - 1
    if s < 0 or offsets[0] != 0 or offsets[-1] != n or (np.diff(offsets) < 1).any():
        raise DatasetError(
            f"{path}: atom offsets must rise from 0 to the {n} atoms of the file; it is damaged"
        )

    def array(name: str, shape: tuple[int, ...], default: Any = None) -> np.ndarray:
        if name not in file and default is not None:
            return np.broadcast_to(default, shape)
        if file[name].shape != shape:
            raise DatasetError(
                f"{path}: {name} has shape {file[name].shape}, expected {shape}; it is damaged"
            )
        values = file[name][:]
        if file[name].scaleoffset is not None:
            # The filter keeps so many decimals, without their last bits.
            values = values.round(file[name].scaleoffset)
        return values

    def texts(name: str) -> list[str]:
        if f"metadata/{name}" not in file:
            return [""] * s
        found = file[f"metadata/{name}"]
        if found.shape != (s,):
            raise DatasetError(
                f"{path}: metadata/{name} has shape {found.shape}, expected ({s},); it is damaged"
            )
        return found.asstr()[:].tolist()

    positions, forces = array("structures/positions", (n, 3)), array("labels/forces", (n, 3))
    energy, stress = array("labels/energy", (s,)), array("labels/stress", (s, 3, 3), np.nan)
    cells, pbc = array("structures/cells", (s, 3, 3), 0.0), array("structures/pbc", (s, 3), False)
    temperature = array("metadata/temperature", (s,), np.nan)
    columns = {name: texts(name) for name in TEXTS}
    frames = []
    for i in range(s):
        atoms = slice(offsets[i], offsets[i + 1])
        words = {name: column[i] for name, column in columns.items()}
        frames.append(
            Frame(
                numbers=numbers[atoms],
                positions=positions[atoms],
                cell=cells[i],
                pbc=pbc[i],
                energy=float(energy[i]),
                forces=forces[atoms],
                stress=stress[i],
                temperature=float(temperature[i]),
                **words,
            )
        )
    reasons, counts = attrs.get("dropped_reasons", []), attrs.get("dropped_counts", [])
    dropped = Counter({reason: int(count) for reason, count in zip(reasons, counts, strict=True)})
    result = Dataset(frames, str(attrs.get("teacher", "unknown")), dropped)
    stated = attrs.get("content_hash")
    if stated and stated != result.content_hash():
        raise DatasetError(
            f"{path}: content differs from its hash {stated[:12]}…; "
            "the file was changed or is damaged"
        )
    return result
