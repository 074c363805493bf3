"""Datasets: labelled frames in HDF5 and extended XYZ, read with distrust.

What is wrong with a file as a whole refuses it (`DatasetError`); what is wrong with a frame drops the frame, and
`Dataset.dropped` counts it by reason.
"""

import hashlib
import os
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from .molecules import ELEMENTS, split_of

FORMAT = "mlff-student-dataset"
FORMAT_VERSION = 1
UNITS = "angstrom, electronvolt"
KINDS = ("trajectory", "displaced", "torsion", "contact", "cluster", "water", "periodic")
# Liquids are made of common molecules: there a test is for arrangements that training has not seen.
SHARED_KINDS = ("water", "periodic")
SPLITS = ("train", "valid", "test")
TEXTS = ("name", "kind", "molecule", "scaffold", "split")
# Frames closer than this (Å) to one another are the same.
SAME = 1e-4


class DatasetError(ValueError):
    """A file that is refused."""


@dataclass
class Frame:
    """A structure with labels. Å, eV; stress as in ASE (positive is tension), NaN where there is none."""

    numbers: np.ndarray  # (n) uint8
    positions: np.ndarray  # (n, 3)
    cell: np.ndarray  # (3, 3), rows are lattice vectors, zeros where none
    pbc: np.ndarray  # (3) bool
    energy: float
    forces: np.ndarray  # (n, 3)
    stress: np.ndarray  # (3, 3)
    name: str = ""
    kind: str = ""
    temperature: float = np.nan  # K
    molecule: str = ""
    scaffold: str = ""
    split: str = ""

    def fingerprint(self):
        """Equal for equal structures, wherever they stand."""
        centred = (self.positions - self.positions.mean(axis=0)) / SAME
        parts = (self.numbers.astype(np.uint8), centred.round().astype(np.int64), (self.cell / SAME).round().astype(np.int64))
        return hashlib.sha256(b"".join(p.tobytes() for p in parts)).digest()

    def defect(self):
        """The reason to drop this frame, or None."""
        if not set(self.numbers.tolist()) <= set(ELEMENTS):
            return "element outside H C N O F S Cl"
        if not np.isfinite(self.positions).all() or not np.isfinite(self.cell).all():
            return "structure not finite"
        if not (np.isfinite(self.energy) and np.isfinite(self.forces).all()):
            return "label not finite"
        if self.pbc.any() and np.isnan(self.stress).any() and not np.isnan(self.stress).all():
            return "label not finite"
        return None


@dataclass
class Dataset:
    """Frames of one teacher, and what was dropped on the way, by reason."""

    frames: list[Frame]
    teacher: str
    dropped: Counter = field(default_factory=Counter)

    def drop_defects(self):
        """Drops frames with unusable numbers."""
        self._keep(lambda frame: frame.defect())
        return self

    def drop_wrong_splits(self):
        """Drops frames of molecules that the list assigns to another split. Liquids share common molecules."""

        def reason(frame):
            if frame.kind in SHARED_KINDS or not frame.split:
                return None
            home = {split_of(part) for part in frame.molecule.split(".")} - {None}
            return "molecule in the wrong split" if home - {frame.split} else None

        self._keep(reason)
        return self

    def drop_duplicates(self):
        """Drops repeated structures. One that stands in several splits goes from all of them: whoever was to be tested
        on it has seen it."""
        splits = defaultdict(set)
        prints = [f.fingerprint() for f in self.frames]
        for frame, key in zip(self.frames, prints, strict=True):
            splits[key].add(frame.split)
        seen = set()

        def reason(frame_and_print):
            key = frame_and_print[1]
            if len(splits[key]) > 1:
                return "duplicate across the split"
            if key in seen:
                return "duplicate"
            seen.add(key)
            return None

        pairs = list(zip(self.frames, prints, strict=True))
        reasons = [reason(p) for p in pairs]
        self.dropped.update(r for r in reasons if r)
        self.frames = [f for f, r in zip(self.frames, reasons, strict=True) if r is None]
        return self

    def _keep(self, reason_of):
        reasons = [reason_of(f) for f in self.frames]
        self.dropped.update(r for r in reasons if r)
        self.frames = [f for f, r in zip(self.frames, reasons, strict=True) if r is None]

    def content_hash(self):
        """SHA-256 of structures, labels, names and splits, in order."""
        digest = hashlib.sha256()
        for frame in self.frames:
            digest.update(frame.numbers.astype(np.uint8).tobytes())
            numbers = [frame.positions, frame.cell, frame.pbc, frame.energy, frame.forces, np.nan_to_num(frame.stress)]
            for values in numbers:
                # + 0.0 makes −0 and 0 one.
                digest.update((np.asarray(values, "<f8") + 0.0).tobytes())
            digest.update(f"{frame.name}\0{frame.split}\0".encode())
        return digest.hexdigest()


def merged(datasets):
    """One dataset of several; refuses different teachers."""
    teachers = sorted({d.teacher for d in datasets})
    if len(teachers) > 1:
        raise DatasetError(f"labels of different teachers do not mix: found {', '.join(map(repr, teachers))}; merge them apart")
    dropped = sum((d.dropped for d in datasets), Counter())
    return Dataset([f for d in datasets for f in d.frames], teachers[0], dropped)


def read(path):
    """A dataset in HDF5 (.h5, .hdf5) or extended XYZ (.xyz, .extxyz), frames with defects dropped and counted."""
    path = Path(path)
    if not path.exists():
        raise DatasetError(f"{path}: no such file")
    reader = {".h5": read_hdf5, ".hdf5": read_hdf5, ".xyz": read_xyz, ".extxyz": read_xyz}.get(path.suffix)
    if reader is None:
        raise DatasetError(f"{path}: expected .h5, .hdf5, .xyz or .extxyz, found {path.suffix!r}")
    return reader(path).drop_defects()


def write(dataset, path):
    """Writes HDF5 or extended XYZ by the name's ending, whole or not at all."""
    path = Path(path)
    writer = {".h5": write_hdf5, ".hdf5": write_hdf5, ".xyz": write_xyz, ".extxyz": write_xyz}.get(path.suffix)
    if writer is None:
        raise DatasetError(f"{path}: expected .h5, .hdf5, .xyz or .extxyz, found {path.suffix!r}")
    partial = path.with_name(path.name + ".part")
    writer(dataset, partial)
    os.replace(partial, path)


# --- HDF5


def write_hdf5(dataset, path):
    import h5py

    frames = dataset.frames
    counts = np.array([len(f.numbers) for f in frames], np.int64)
    joined = lambda name, width: np.concatenate([getattr(f, name) for f in frames] or [np.zeros((0, *width))])
    stacked = lambda name, shape: np.array([getattr(f, name) for f in frames]).reshape(len(frames), *shape)
    arrays = {
        "structures/atomic_numbers": joined("numbers", ()).astype(np.uint8),
        "structures/positions": joined("positions", (3,)),
        "structures/cells": stacked("cell", (3, 3)),
        "structures/pbc": stacked("pbc", (3,)).astype(bool),
        "labels/energy": stacked("energy", ()).astype(float),
        "labels/forces": joined("forces", (3,)),
        "labels/stress": stacked("stress", (3, 3)),
        "metadata/atom_offsets": np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        "metadata/temperature": stacked("temperature", ()).astype(float),
    }
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            packed = {"chunks": True, "compression": "gzip", "shuffle": True} if array.size else {}
            file.create_dataset(name, data=array, **packed)
        for name in TEXTS:
            texts = [getattr(f, name) for f in frames]
            file.create_dataset(f"metadata/{name}", data=texts, shape=(len(texts),), dtype=h5py.string_dtype("utf-8"))
        file.attrs.update(
            format=FORMAT,
            format_version=FORMAT_VERSION,
            teacher=dataset.teacher,
            units=UNITS,
            content_hash=dataset.content_hash(),
            dropped_reasons=np.array(sorted(dataset.dropped), dtype=h5py.string_dtype("utf-8")),
            dropped_counts=np.array([dataset.dropped[r] for r in sorted(dataset.dropped)], np.int64),
        )


def read_hdf5(path):
    import h5py

    try:
        with h5py.File(path, "r") as file:
            return _from_hdf5(file, path)
    except (OSError, RuntimeError, KeyError) as error:
        raise DatasetError(f"{path}: truncated or no HDF5 dataset of this layout ({error}); make it again") from error


def _from_hdf5(file, path):
    attrs = dict(file.attrs)
    found = attrs.get("format", FORMAT), int(attrs.get("format_version", FORMAT_VERSION)), attrs.get("units", UNITS)
    expected = FORMAT, FORMAT_VERSION, UNITS
    if found != expected:
        raise DatasetError(f"{path}: expected format, version and units {expected}, found {found}; convert it first")
    numbers = file["structures/atomic_numbers"][:]
    offsets = file["metadata/atom_offsets"][:] if "metadata/atom_offsets" in file else file["atom_offsets"][:]
    n, s = len(numbers), len(offsets) - 1
    if s < 0 or offsets[0] != 0 or offsets[-1] != n or (np.diff(offsets) < 1).any():
        raise DatasetError(f"{path}: atom offsets must rise from 0 to the {n} atoms of the file; it is damaged")

    def array(name, shape, default=None):
        if name not in file and default is not None:
            return np.broadcast_to(default, shape)
        values = file[name][:]
        if values.shape != shape:
            raise DatasetError(f"{path}: {name} has shape {values.shape}, expected {shape}; it is damaged")
        return values

    def texts(name):
        if f"metadata/{name}" not in file:
            return [""] * s
        values = file[f"metadata/{name}"].asstr()[:]
        if values.shape != (s,):
            raise DatasetError(f"{path}: metadata/{name} has shape {values.shape}, expected ({s},); it is damaged")
        return values.tolist()

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
                numbers[atoms], positions[atoms], cells[i], pbc[i], float(energy[i]), forces[atoms], stress[i],
                temperature=float(temperature[i]), **words,
            )
        )
    dropped = Counter(dict(zip(attrs.get("dropped_reasons", []), map(int, attrs.get("dropped_counts", [])), strict=True)))
    result = Dataset(frames, str(attrs.get("teacher", "unknown")), dropped)
    stated = attrs.get("content_hash")
    if stated and stated != result.content_hash():
        raise DatasetError(f"{path}: content differs from its hash {stated[:12]}…; the file was changed or is damaged")
    return result


# --- extended XYZ


def write_xyz(dataset, path):
    from ase import Atoms
    from ase.calculators.singlepoint import SinglePointCalculator
    from ase.io.extxyz import write_xyz as ase_write

    def structures():
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
            if not np.isnan(frame.stress).any():
                labels["stress"] = frame.stress
            atoms.calc = SinglePointCalculator(atoms, **labels)
            yield atoms

    with open(path, "w") as file:
        for atoms in structures():
            ase_write(file, atoms, write_results=True)


def _text(value):
    """ASE reads the SMILES of hydrogen fluoride, F, as False."""
    return {"True": "T", "False": "F"}.get(str(value), str(value))


def read_xyz(path):
    from ase.io.extxyz import read_xyz as ase_read

    frames, teacher, last = [], None, -1
    try:
        with open(path) as file:
            for last, atoms in enumerate(ase_read(file, index=slice(None))):
                found = _text(atoms.info.get("teacher", teacher or "unknown"))
                if teacher not in (None, found):
                    raise DatasetError(f"{path}: frame {last} is labelled by {found!r}, those before it by {teacher!r}")
                teacher = found
                frames.append(_from_atoms(atoms, path, last))
    except DatasetError:
        raise
    except Exception as error:  # ASE's parser raises many kinds
        raise DatasetError(f"{path}: truncated or damaged after frame {last} ({type(error).__name__}: {error})") from error
    return Dataset(frames, teacher or "unknown")


def _from_atoms(atoms, path, index):
    results = atoms.calc.results if atoms.calc else {}
    for name in ("energy", "forces"):
        if name not in results:
            raise DatasetError(f"{path}: frame {index} has no {name}")
    if np.shape(results["forces"]) != (len(atoms), 3):
        raise DatasetError(f"{path}: frame {index} has forces of shape {np.shape(results['forces'])}, expected {(len(atoms), 3)}")
    stress = np.full((3, 3), np.nan)
    if "stress" in results:
        from ase.stress import voigt_6_to_full_3x3_stress

        stress = np.asarray(results["stress"], float)
        stress = voigt_6_to_full_3x3_stress(stress) if stress.shape == (6,) else stress.reshape(3, 3)
    return Frame(
        atoms.numbers.astype(np.uint8), atoms.positions, np.array(atoms.cell.array), np.array(atoms.pbc),
        float(results["energy"]), np.asarray(results["forces"], float), stress,
        temperature=float(atoms.info.get("temperature", np.nan)),
        **{name: _text(atoms.info.get(name, "")) for name in TEXTS},
    )


# --- summary


def summary(dataset):
    """Counts and distributions, ready for JSON."""
    frames = dataset.frames
    forces = np.concatenate([np.linalg.norm(f.forces, axis=1) for f in frames] or [np.zeros(0)])
    elements = Counter(np.concatenate([f.numbers for f in frames] or [np.zeros(0, int)]).tolist())
    kinds = sorted({f.kind for f in frames})

    def force_percentiles(kind):
        values = np.concatenate([np.linalg.norm(f.forces, axis=1) for f in frames if f.kind == kind])
        return [round(float(v), 3) for v in np.percentile(values, [50, 90, 99, 100])]

    temperatures = Counter("none" if np.isnan(f.temperature) else 100 * round(f.temperature / 100) for f in frames)
    return {
        "teacher": dataset.teacher,
        "frames": len(frames),
        "atoms": len(forces),
        "atoms_per_frame": round(len(forces) / max(len(frames), 1), 2),
        "molecules": len({f.molecule for f in frames}),
        "kinds": {k: dict(Counter(f.split for f in frames if f.kind == k)) for k in kinds},
        "splits": dict(Counter(f.split for f in frames)),
        "temperatures": {str(t): n for t, n in sorted(temperatures.items(), key=str)},
        "elements": {ELEMENTS[z]: n for z, n in sorted(elements.items())},
        "force_norms_50_90_99_100_percent": {k: force_percentiles(k) for k in kinds},
        "dropped": dict(dataset.dropped),
        "content_hash": dataset.content_hash(),
    }
