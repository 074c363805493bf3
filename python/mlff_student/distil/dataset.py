"""Datasets: labelled frames of one teacher, and what must not be among them.

What is wrong with a file as a whole refuses it (`DatasetError`); what is wrong with a frame drops
the frame, and `Dataset.dropped` counts it by reason.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from ase.data import chemical_symbols

from .molecules import ELEMENTS, OTHER_ELEMENTS, split_of

UNITS = "angstrom, electronvolt"
# Liquids are made of common molecules: there a test is for arrangements that training has not seen.
SHARED_KINDS = ("water", "periodic")
SPLITS = ("train", "valid", "test")
TEXTS = ("name", "kind", "molecule", "scaffold", "split")
# Frames closer than this (Å) to one another are the same.
SAME = 1e-4


class DatasetError(ValueError):
    """A file that is refused; the message says why and what to do."""


@dataclass
class Frame:
    """A labelled structure of n atoms. Lengths in Å, energies in eV; stress as in ASE, in eV/Å³
    with positive tension, NaN where there is none.
    """

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

    @property
    def used_as(self) -> str:
        """The split; a frame that names none is used for training."""
        return self.split or "train"

    def fingerprint(self) -> bytes:
        """SHA-256 that is equal for equal structures, wherever they are in space."""
        centred = (self.positions - self.positions.mean(axis=0)) / SAME
        lengths = np.concatenate([centred, self.cell / SAME]).round().astype(np.int64)
        return hashlib.sha256(self.numbers.astype(np.uint8).tobytes() + lengths.tobytes()).digest()

    def defect(self) -> str | None:
        """The reason to drop this frame, or None."""
        if not set(self.numbers.tolist()) <= set(ELEMENTS):
            return OTHER_ELEMENTS
        if not np.isfinite(self.positions).all() or not np.isfinite(self.cell).all():
            return "structure not finite"
        if not (np.isfinite(self.energy) and np.isfinite(self.forces).all()):
            return "label not finite"
        if not (np.isfinite(self.stress).all() or np.isnan(self.stress).all()):
            return "label not finite"
        return None


@dataclass
class Dataset:
    """Frames of one teacher, and how many were dropped on the way, by reason."""

    frames: list[Frame]
    teacher: str
    dropped: Counter = field(default_factory=Counter)

    def drop_defects(self) -> Dataset:
        """Drops frames with other elements or numbers that are not finite."""
        self._keep(lambda frame: frame.defect())
        return self

    def drop_wrong_splits(self) -> Dataset:
        """Drops frames of molecules that the list of molecules assigns to another split.

        Not those of liquids, which share common molecules.
        """

        def reason(frame: Frame) -> str | None:
            if frame.kind in SHARED_KINDS:
                return None
            home = {split_of(part) for part in frame.molecule.split(".")} - {None}
            # Crystals are held out by molecule, of those that are in training otherwise, too.
            if frame.kind == "crystal":
                home -= {"train"}
            return "molecule in the wrong split" if home - {frame.used_as} else None

        self._keep(reason)
        return self

    def drop_duplicates(self) -> Dataset:
        """Drops repeated structures.

        A structure that stands in several splits is dropped from all of them: a student must not be
        tested on what it was trained on.
        """
        splits = defaultdict(set)
        for frame in self.frames:
            splits[frame.fingerprint()].add(frame.used_as)
        seen = set()

        def reason(frame: Frame) -> str | None:
            key = frame.fingerprint()
            if len(splits[key]) > 1:
                return "duplicate across the split"
            if key in seen:
                return "duplicate"
            seen.add(key)
            return None

        self._keep(reason)
        return self

    def checked(self) -> Dataset:
        """Drops all that must not be in a dataset; returns itself."""
        return self.drop_defects().drop_wrong_splits().drop_duplicates()

    def _keep(self, reason_of: Callable[[Frame], str | None]) -> None:
        """Drops frames for which there is a reason, and counts them."""
        reasons = [reason_of(f) for f in self.frames]
        self.dropped.update(r for r in reasons if r)
        self.frames = [f for f, r in zip(self.frames, reasons, strict=True) if r is None]

    def content_hash(self) -> str:
        """SHA-256 of structures, labels, names and splits, in order."""
        digest = hashlib.sha256()
        for frame in self.frames:
            digest.update(frame.numbers.astype(np.uint8).tobytes())
            numbers = [
                frame.positions,
                frame.cell,
                frame.pbc,
                frame.energy,
                frame.forces,
                np.nan_to_num(frame.stress),
            ]
            for values in numbers:
                # + 0.0 makes −0 and 0 one.
                digest.update((np.asarray(values, "<f8") + 0.0).tobytes())
            digest.update(f"{frame.name}\0{frame.split}\0".encode())
        return digest.hexdigest()


def merged(datasets: Iterable[Dataset]) -> Dataset:
    """One dataset of several; raises DatasetError for labels of different teachers."""
    teachers = sorted({d.teacher for d in datasets})
    if len(teachers) > 1:
        found = ", ".join(map(repr, teachers))
        raise DatasetError(
            f"labels of different teachers do not mix: found {found}; merge them apart"
        )
    dropped = sum((d.dropped for d in datasets), Counter())
    return Dataset([f for d in datasets for f in d.frames], teachers[0], dropped)


def summary(dataset: Dataset) -> dict[str, Any]:
    """Counts and distributions, ready for JSON."""
    frames = dataset.frames
    forces = np.concatenate([np.linalg.norm(f.forces, axis=1) for f in frames] or [np.zeros(0)])
    elements = Counter(np.concatenate([f.numbers for f in frames] or [np.zeros(0, int)]).tolist())
    kinds = sorted({f.kind for f in frames})

    def force_percentiles(kind: str) -> list[float]:
        values = np.concatenate(
            [np.linalg.norm(f.forces, axis=1) for f in frames if f.kind == kind]
        )
        return [round(float(v), 3) for v in np.percentile(values, [50, 90, 99, 100])]

    temperatures = Counter(
        "none" if np.isnan(f.temperature) else 100 * round(f.temperature / 100) for f in frames
    )
    return {
        "teacher": dataset.teacher,
        "frames": len(frames),
        "atoms": len(forces),
        "atoms_per_frame": round(len(forces) / max(len(frames), 1), 2),
        "molecules": len({f.molecule for f in frames}),
        "kinds": {
            k: dict(Counter(f.split or "unmarked" for f in frames if f.kind == k)) for k in kinds
        },
        "splits": dict(Counter(f.split or "unmarked" for f in frames)),
        "temperatures": {str(t): n for t, n in sorted(temperatures.items(), key=str)},
        "elements": {chemical_symbols[z]: n for z, n in sorted(elements.items())},
        "force_norms_50_90_99_100_percent": {k: force_percentiles(k) for k in kinds},
        "dropped": dict(dataset.dropped),
        "content_hash": dataset.content_hash(),
    }
