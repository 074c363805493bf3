"""Labels for given structures, as active learning needs them."""

import os
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from tqdm import tqdm

from . import dataset, extxyz, files, generate, teachers


def read_structures(path):
    """ASE structures with what is known of them in `info`; labels that they have are forgotten."""
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


def _label(indexed):
    index, atoms = indexed
    info = {name: extxyz.text(atoms.info.get(name, "")) for name in dataset.TEXTS}
    info["name"] = info["name"] or f"label-{index:06d}"
    info["split"] = info["split"] or "train"
    temperature = float(atoms.info.get("temperature", np.nan))
    try:
        return generate.worker_teacher().label(atoms, **info, temperature=temperature)
    except teachers.Dropped as reason:
        return str(reason)


def label(path, spec, jobs):
    """A dataset of the structures in a file; order, names and metadata are kept."""
    os.environ.update(generate.ONE_THREAD)
    teacher = teachers.load(spec)
    with ProcessPoolExecutor(jobs, get_context("spawn"), generate.start_worker, (spec,)) as workers:
        structures = list(enumerate(read_structures(path)))
        results = list(tqdm(workers.map(_label, structures, chunksize=8), total=len(structures), unit="frame"))
    kept = [r for r in results if not isinstance(r, str)]
    dropped = Counter(r for r in results if isinstance(r, str))
    return dataset.Dataset(kept, teacher.name, dropped)
