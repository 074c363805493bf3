"""Writes the datasets and the student that tests read.

    .venv-distil/bin/python tool/tests/data/make_datasets.py

Labels and weights are random numbers: reading and comparing are tested here, not physics.
"""

import json
import pathlib
import sys

import ase.io
import h5py
import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[2] / "python"))
from mlff_student.distil.dataset import Dataset, Frame

TEACHER = "GFN2-xTB (tblite 0.8.0)"


def frames():
    random = np.random.default_rng(1)
    water = [[0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]]
    methanol = [
        [0, 0, 0],
        [1.42, 0, 0],
        [-0.4, 1, 0],
        [-0.4, -0.5, 0.9],
        [-0.4, -0.5, -0.9],
        [1.7, 0.9, 0],
    ]
    for index, (kind, symbols, positions, molecule, scaffold, split, temperature) in enumerate(
        [
            ("trajectory", "OHH", water, "O", "", "train", 300.0),
            ("trajectory", "COHHHH", methanol, "CO", "CO", "train", 600.0),
            ("torsion", "COHHHH", methanol, "CO", "CO", "train", np.nan),
            ("water", "OHH", water, "O", "", "valid", np.nan),
            ("trajectory", "SHH", water, "S", "é|C=C/C", "test", 300.0),
            ("periodic", "OHH", water, "O", "", "test", np.nan),
        ]
    ):
        atoms = Atoms(symbols, np.array(positions) + random.normal(0, 0.05, np.shape(positions)))
        stress = None
        if kind == "periodic":
            atoms.set_cell([[10, 0, 0], [1, 11, 0], [0, 0.5, 12]])
            atoms.pbc = [True, True, True]
            stress = random.normal(0, 0.01, (3, 3))
            stress += stress.T
        atoms.calc = SinglePointCalculator(
            atoms, energy=random.normal(-100, 10), forces=random.normal(0, 1, (len(atoms), 3))
        )
        yield {
            "atoms": atoms,
            "stress": stress,
            "name": f"{kind}-{index}",
            "kind": kind,
            "temperature": temperature,
            "molecule": molecule,
            "scaffold": scaffold,
            "split": split,
        }


def arrays(frames):
    """The datasets of a file by name."""

    def each(key):
        return [frame[key] for frame in frames]

    atoms = each("atoms")
    stress = [np.full((3, 3), np.nan) if s is None else s for s in each("stress")]
    return {
        "structures/atomic_numbers": np.concatenate([a.numbers for a in atoms]).astype(np.uint8),
        "structures/positions": np.concatenate([a.positions for a in atoms]),
        "structures/cells": np.array([a.cell[:] for a in atoms]),
        "structures/pbc": np.array([a.pbc for a in atoms]),
        "labels/energy": np.array([a.get_potential_energy() for a in atoms]),
        "labels/forces": np.concatenate([a.get_forces() for a in atoms]),
        "labels/stress": np.array(stress),
        "metadata/atom_offsets": np.cumsum([0] + [len(a) for a in atoms]),
        "metadata/temperature": np.array(each("temperature")),
        **{
            f"metadata/{key}": np.array(each(key), dtype=object)
            for key in ("name", "kind", "molecule", "scaffold", "split")
        },
    }


def content_hash(arrays):
    """The data tool's own hash."""
    names = (
        "structures/cells",
        "structures/pbc",
        "labels/energy",
        "labels/stress",
        "metadata/name",
        "metadata/split",
    )
    ends = arrays["metadata/atom_offsets"]
    frames = []
    for start, end, *values in zip(ends, ends[1:], *(arrays[name] for name in names)):
        numbers, positions, forces = (
            arrays[name][start:end]
            for name in ("structures/atomic_numbers", "structures/positions", "labels/forces")
        )
        cell, pbc, energy, stress, name, split = values
        frames.append(
            Frame(numbers, positions, cell, pbc, energy, forces, stress, name=name, split=split)
        )
    return Dataset(frames, TEACHER).content_hash()


def write(name, arrays, compressed=False, packed=False, **attributes):
    attributes = {
        "format": "mlff-student-dataset",
        "format_version": 1,
        "teacher": TEACHER,
        "units": "angstrom, electronvolt",
    } | attributes
    # The newest layout makes small files; the packed one is as the data tool writes it.
    with h5py.File(
        HERE / name, "w", libver="earliest" if compressed or packed else "latest"
    ) as file:
        file.attrs.update({key: value for key, value in attributes.items() if value is not None})
        for path, values in arrays.items():
            text = values.dtype == object
            options = {"dtype": h5py.string_dtype("utf-8")} if text else {}
            if text and packed:
                values = np.array([word.encode() for word in values], bytes)
                options = {"dtype": h5py.string_dtype("utf-8", values.itemsize)}
                values = values.astype(options["dtype"])
            if packed and path in ("structures/positions", "labels/forces"):
                options |= {"chunks": (8, 3), "scaleoffset": 4}
            elif packed or (compressed and not text):
                options |= {"chunks": True, "compression": "gzip", "shuffle": packed}
            file.create_dataset(path, data=values, **options)


def write_xyz(name, frames):
    with open(HERE / name, "w") as file:
        for frame in frames:
            atoms = frame["atoms"].copy()
            atoms.calc = SinglePointCalculator(
                atoms,
                **frame["atoms"].calc.results,
                **(
                    {}
                    if frame["stress"] is None
                    else {"stress": frame["stress"][[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]}
                ),
            )
            atoms.info = {
                key: frame[key]
                for key in ("name", "kind", "molecule", "scaffold", "split")
                if frame[key]
            } | {"teacher": TEACHER}
            if not np.isnan(frame["temperature"]):
                atoms.info["temperature"] = frame["temperature"]
            ase.io.write(file, atoms, format="extxyz")


def write_student(name, elements=9, hidden=4, basis=5):
    """A smooth student for H C N O as docs/src/reference/model-files.md describes it."""
    random = np.random.default_rng(2)
    tensors = {
        "embedding": random.normal(size=(elements, hidden)),
        "reference_energies": -np.arange(elements),
        "basis.frequencies": np.pi * np.arange(1, basis + 1) / 5,
        "blocks.0.update.epsilon": np.array(1e-8),
        "blocks.0.update.channel_mix.weight": random.normal(size=(2 * hidden, hidden)),
    }
    for layer, inputs, outputs in [
        ("blocks.0.filter.0", basis, 3 * hidden),
        ("blocks.0.sender.first", hidden, hidden),
        ("blocks.0.sender.second", hidden, 3 * hidden),
        ("blocks.0.update.first", 2 * hidden, hidden),
        ("blocks.0.update.second", hidden, 3 * hidden),
        ("head.0", hidden, hidden),
        ("head.1", hidden, 1),
    ]:
        tensors[f"{layer}.weight"] = random.normal(size=(outputs, inputs)) / np.sqrt(inputs)
        tensors[f"{layer}.bias"] = 0.1 * random.normal(size=outputs)
    header, data = (
        {
            "__metadata__": {
                "format": "mlff-student",
                "format_version": "1",
                "architecture": "painn",
                "hidden": str(hidden),
                "blocks": "1",
                "basis": "bessel",
                "cutoff": "5",
                "softening": "0",
                "envelope": "cosine",
                "norm": "root",
                "envelope_place": "filter",
                "species": "H C N O",
                "units": "angstrom, electronvolt",
                "teacher": TEACHER,
            }
        },
        b"",
    )
    for tensor, values in tensors.items():
        start, data = len(data), data + values.astype("<f4").tobytes()
        header[tensor] = {"dtype": "F32", "shape": values.shape, "data_offsets": [start, len(data)]}
    header = json.dumps(header).encode()
    header += b" " * (-len(header) % 8)
    (HERE / name).write_bytes(len(header).to_bytes(8, "little") + header + data)


def main():
    good = list(frames())
    sound = arrays(good)
    write("sound.h5", sound, compressed=True, content_hash=content_hash(sound))
    rounded = sound | {
        name: sound[name].round(4) for name in ("structures/positions", "labels/forces")
    }
    write("packed.h5", rounded, packed=True, content_hash=content_hash(rounded))
    changed_force = sound["labels/forces"].copy()
    changed_force[0, 0] += 1e-3
    write("edited.h5", sound | {"labels/forces": changed_force}, content_hash=content_hash(sound))
    write_xyz("sound.xyz", good)
    required = {
        name: values
        for name, values in sound.items()
        if not name.startswith("metadata/") or name.endswith("offsets")
    }
    del required["labels/stress"]
    narrow = {
        name: values.astype(
            {"f": np.float32, "i": np.int32, "u": np.int64, "b": bool}[values.dtype.kind]
        )
        for name, values in required.items()
    }
    write("required-only.h5", narrow, format=None, format_version=None, teacher=None, units=None)

    broken = arrays(good)
    broken["labels/energy"][0] = np.nan
    broken["labels/forces"][4, 1] = np.inf  # frame 1
    broken["structures/atomic_numbers"][9] = 0  # frame 2
    broken["structures/positions"][15, 0] = np.nan  # frame 3
    broken["structures/cells"][5] = 0
    write("defects.h5", broken)
    partly = sound["labels/stress"].copy()
    partly[5, 0, 1] = np.nan
    write("stress.h5", sound | {"labels/stress": partly})
    leak = {**good[2], "split": "test", "name": "copy of torsion-2"}
    write("duplicates.h5", arrays(good + [leak, {**good[2], "name": "copy in its own split"}]))

    def changed(name, **values):
        write(
            name, {**required, **{key.replace("__", "/"): value for key, value in values.items()}}
        )

    changed("forces-shape.h5", labels__forces=required["labels/forces"][:, :2])
    changed("forces-count.h5", labels__forces=required["labels/forces"][:-1])
    changed("half.h5", labels__forces=required["labels/forces"].astype(np.float16))
    changed("energy-type.h5", labels__energy=np.array(["-1 eV"] * len(good), dtype=object))
    offsets = required["metadata/atom_offsets"].copy()
    changed("offsets-end.h5", metadata__atom_offsets=offsets[:-1])
    offsets[[1, 2]] = offsets[[2, 1]]
    changed("offsets-order.h5", metadata__atom_offsets=offsets)
    changed("split.h5", metadata__split=np.array(["dev"] * len(good), dtype=object))
    for missing in ("labels/forces", "structures/pbc"):
        write(f"no-{missing.split('/')[1]}.h5", {k: v for k, v in required.items() if k != missing})
    write("no-labels.h5", {k: v for k, v in required.items() if not k.startswith("labels/")})
    write("other-teacher.h5", required, teacher="Orb-v2")
    write("other-units.h5", required, units="bohr, hartree")
    write("newer.h5", required, format_version=2)
    write("units-list.h5", required, units=[1, 2])
    numbers = "structures/atomic_numbers"
    write(
        "never-written.h5", {name: values for name, values in required.items() if name != numbers}
    )
    with h5py.File(HERE / "never-written.h5", "a", libver="latest") as file:
        file.create_dataset(numbers, (4_000_000_000,), np.uint8)
    write_student("student.safetensors")


if __name__ == "__main__":
    main()
