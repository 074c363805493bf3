"""Datasets: both formats hold the same, and bad files are refused or their frames dropped with a
count.
"""

import h5py
import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from rdkit import Chem

from mlff_student.distil import dataset, files, hdf5, teachers
from mlff_student.distil.molecules import molecules


def label(atoms, **metadata):
    return teachers.load("calculators:cheap").label(atoms, **metadata)


def frames():
    """Five kinds of frames; hydrogen fluoride's SMILES is what ASE takes for a truth value."""
    box = molecule("CH4")
    box.set_cell([[10.0, 0, 0], [0.123456789, 10.5, 0], [0, 0, 11.0]])
    box.pbc = True
    rng = np.random.default_rng(3)
    turned = molecule("CH3OH")
    turned.positions += rng.normal(size=turned.positions.shape) * 0.1
    return [
        label(
            molecule("H2O"),
            name="w",
            kind="trajectory",
            molecule="O",
            scaffold="small",
            split="train",
            temperature=300.0,
        ),
        label(
            Atoms("HF", [[0, 0, 0], [0.93, 0, 0]]),
            name="f",
            kind="displaced",
            molecule="F",
            split="train",
        ),
        label(
            molecule("CO"),
            name="c",
            kind="torsion",
            molecule="[C-]#[O+]",
            scaffold="with space",
            split="train",
        ),
        label(box, name="b", kind="periodic", molecule="C", split="test"),
        label(turned, name="m"),
    ]


def data():
    return dataset.Dataset(frames(), "a teacher (1.0)")


@pytest.mark.parametrize("endings", [(".h5", ".xyz"), (".xyz", ".h5"), (".hdf5", ".extxyz")])
def test_what_is_written_is_read_back_through_both_formats(tmp_path, endings):
    original, path = data(), None
    current = original
    for ending in endings:
        path = tmp_path / f"data{ending}"
        files.write(current, path)
        current = files.read(path)
    assert current.content_hash() == original.content_hash()
    assert current.teacher == original.teacher
    for a, b in zip(original.frames, current.frames, strict=True):
        for text in dataset.TEXTS:
            assert getattr(a, text) == getattr(b, text)
        assert a.temperature == b.temperature or (
            np.isnan(a.temperature) and np.isnan(b.temperature)
        )
        assert np.array_equal(a.positions, b.positions) and np.array_equal(a.forces, b.forces)
        assert np.array_equal(a.stress, b.stress, equal_nan=True)


def test_a_dataset_without_frames_can_be_kept(tmp_path):
    files.write(
        dataset.Dataset([], "t", dataset.Counter({"unconverged": 3})), tmp_path / "empty.h5"
    )
    assert files.read(tmp_path / "empty.h5").dropped == {"unconverged": 3}


def test_counts_of_dropped_frames_stay_with_the_file(tmp_path):
    d = data()
    d.dropped["unconverged"] = 7
    files.write(d, tmp_path / "a.h5")
    assert dataset.summary(files.read(tmp_path / "a.h5"))["dropped"] == {"unconverged": 7}


@pytest.mark.parametrize("ending", [".h5", ".xyz"])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 0.97])
def test_truncated_files_are_refused(tmp_path, ending, share):
    path = tmp_path / f"a{ending}"
    files.write(data(), path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(dataset.DatasetError, match=r"truncated|empty"):
        files.read(path)


def test_an_extended_xyz_file_cut_at_any_byte_is_never_read_as_whole(tmp_path):
    path = tmp_path / "a.xyz"
    files.write(data(), path)
    whole = path.read_bytes()
    expected = files.read(path).content_hash()
    # A cut after a frame's last line cannot be told from a shorter file.
    for cut in range(len(whole) - 400, len(whole)):
        path.write_bytes(whole[:cut])
        try:
            assert files.read(path).content_hash() != expected
            assert whole[:cut].endswith(b"\n")
        except dataset.DatasetError:
            pass


def nan_label(f):
    f.forces[0, 0] = np.nan


def nan_energy(f):
    f.energy = np.nan


def nan_position(f):
    f.positions[0, 0] = np.nan


def bromine(f):
    f.numbers[0] = 35


def partly_nan_stress(f):
    f.stress = np.zeros((3, 3))
    f.stress[0, 1] = np.nan


def infinite_stress(f):
    f.stress = np.full((3, 3), np.inf)


@pytest.mark.parametrize("ending", [".h5", ".xyz"])
@pytest.mark.parametrize("place", [1, 3], ids=["molecule", "box"])
@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (nan_label, "label not finite"),
        (nan_energy, "label not finite"),
        (nan_position, "structure not finite"),
        (bromine, "element outside H C N O F S Cl"),
        (partly_nan_stress, "label not finite"),
        (infinite_stress, "label not finite"),
    ],
)
def test_frames_with_defects_are_dropped_and_counted(tmp_path, ending, damage, reason, place):
    d = data()
    damage(d.frames[place])
    files.write(d, tmp_path / f"a{ending}")
    found = files.read(tmp_path / f"a{ending}")
    assert len(found.frames) == 4
    assert found.dropped == {reason: 1}


def test_atomic_numbers_outside_the_table_are_refused(tmp_path):
    for number in (0, 257, -250):
        text = (
            f'1\nProperties=Z:I:1:pos:R:3:forces:R:3 energy=1.0 pbc="F F F"\n{number} 0 0 0 0 0 0\n'
        )
        (tmp_path / "a.xyz").write_text(text)
        with pytest.raises(dataset.DatasetError, match="expected 1 to 118"):
            files.read(tmp_path / "a.xyz")


def damaged(tmp_path, change):
    path = tmp_path / "a.h5"
    files.write(data(), path)
    with h5py.File(path, "a") as file:
        change(file)
    return path


def replace(name, values):
    def change(file):
        del file[name]
        if values is not None:
            file[name] = values

    return change


def falling_unsigned_offsets(file):
    """Differences of unsigned numbers are never negative."""
    offsets = file["metadata/atom_offsets"][:].astype(np.uint64)
    offsets[1], offsets[2] = offsets[2], offsets[1]
    replace("metadata/atom_offsets", offsets)(file)


def attribute(name, value):
    return lambda file: file.attrs.__setitem__(name, value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (replace("labels/forces", np.zeros((2, 3))), r"labels/forces has shape \(2, 3\), expected"),
        (replace("labels/forces", None), "no HDF5 dataset of this layout"),
        (replace("labels/energy", np.zeros(3)), "labels/energy has shape"),
        (replace("labels/stress", np.zeros((5, 6))), "labels/stress has shape"),
        (replace("metadata/atom_offsets", np.array([0, 3, 2])), "atom offsets must rise"),
        (falling_unsigned_offsets, "atom offsets must rise"),
        (replace("metadata/kind", np.array([b"x"])), "metadata/kind has shape"),
        (attribute("units", "bohr, hartree"), "expected format, version and units"),
        (attribute("format_version", 9), "expected format, version and units"),
        (attribute("format", "another"), "expected format, version and units"),
        (attribute("content_hash", "0" * 64), "differs from its hash"),
    ],
)
def test_hdf5_of_another_layout_units_or_content_is_refused(tmp_path, change, message):
    with pytest.raises(dataset.DatasetError, match=message):
        files.read(damaged(tmp_path, change))


def test_hdf5_needs_only_structures_energies_forces_and_offsets(tmp_path):
    def strip(file):
        for name in ("kind", "name", "molecule", "scaffold", "split", "temperature"):
            del file[f"metadata/{name}"]
        for name in ("labels/stress", "structures/cells", "structures/pbc"):
            del file[name]
        for name in list(file.attrs):
            del file.attrs[name]

    found = files.read(damaged(tmp_path, strip))
    assert len(found.frames) == 5
    assert found.frames[0].kind == "" and not found.frames[3].pbc.any()


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("forces:R:3", "forces:R:2", "shape"),
        (" energy=", " other=", "has no energy"),
        ('teacher="a teacher (1.0)"', "teacher=another", "labelled by"),
        (
            "kind=trajectory",
            'kind=trajectory units="bohr, hartree"',
            "expected 'angstrom, electronvolt'",
        ),
    ],
)
def test_bad_extended_xyz_is_refused(tmp_path, before, after, message):
    path = tmp_path / "a.xyz"
    files.write(data(), path)
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after, 1))
    with pytest.raises(dataset.DatasetError, match=message):
        files.read(path)


def test_other_files_are_refused_by_name(tmp_path):
    with pytest.raises(dataset.DatasetError, match="no such file"):
        files.read(tmp_path / "none.h5")
    (tmp_path / "a.csv").write_text("1,2")
    with pytest.raises(dataset.DatasetError, match="expected a name that ends in"):
        files.read(tmp_path / "a.csv")
    (tmp_path / "a.h5").write_text("no HDF5")
    with pytest.raises(dataset.DatasetError, match="no HDF5"):
        files.read(tmp_path / "a.h5")


def test_different_teachers_do_not_mix():
    with pytest.raises(dataset.DatasetError, match="'one', 'two'"):
        dataset.merged([dataset.Dataset([], "two"), dataset.Dataset([], "one")])


def test_duplicates_are_dropped_and_those_across_the_split_from_both():
    first, second = frames()[:2], frames()[:2]
    second[0].split = "test"
    # The same structure elsewhere in space.
    second[1].positions = second[1].positions + 3.0
    found = dataset.Dataset(first + second, "t").drop_duplicates()
    assert [f.name for f in found.frames] == ["f"]
    assert found.dropped == {"duplicate across the split": 2, "duplicate": 1}


def test_molecules_of_another_split_are_dropped_but_liquids_share_them():
    held_out = next(m.smiles for m in molecules() if m.split == "test")
    base = {"split": "train", "molecule": f"O.{held_out}"}
    water = molecule("H2O")
    made = [label(water, kind=kind, **base) for kind in ("cluster", "periodic")]
    # However it is written.
    turned = Chem.MolToSmiles(
        Chem.MolFromSmiles(held_out), rootedAtAtom=1, kekuleSmiles=True, canonical=False
    )
    made.append(label(molecule("CH4"), kind="cluster", split="train", molecule=turned))
    made.append(label(molecule("NH3"), kind="cluster", split="train", molecule="no molecule"))
    found = dataset.Dataset(made, "t").drop_wrong_splits()
    assert [f.kind for f in found.frames] == ["periodic", "cluster"] and found.frames[
        1
    ].molecule == "no molecule"
    assert found.dropped == {"molecule in the wrong split": 2}


def test_a_frame_without_a_split_counts_as_training():
    held_out = next(m.smiles for m in molecules() if m.split == "test")
    found = dataset.Dataset(
        [label(molecule("H2O"), kind="cluster", molecule=held_out)], "t"
    ).drop_wrong_splits()
    assert found.dropped == {"molecule in the wrong split": 1}
    first, second = frames()[:1], frames()[:1]
    first[0].split, second[0].split = "", "train"
    found = dataset.Dataset(first + second, "t").drop_duplicates()
    assert found.dropped == {"duplicate": 1}


def test_the_hash_follows_every_number_and_name():
    def changed(change):
        d = data()
        change(d.frames[3])
        return d.content_hash()

    def shift(name):
        return lambda f: setattr(f, name, getattr(f, name) + 1e-8)

    changes = [shift(n) for n in ("positions", "cell", "energy", "forces", "stress")]
    changes += [lambda f: setattr(f, "name", "other"), lambda f: setattr(f, "split", "train")]
    hashes = {changed(c) for c in changes} | {data().content_hash()}
    assert len(hashes) == len(changes) + 1


def test_the_layout_is_the_documented_one(tmp_path):
    files.write(data(), tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5") as file:
        shapes = {
            name: file[name].shape
            for group in ("structures", "labels")
            for name in map(f"{group}/{{}}".format, file[group])
        }
        offsets = file["metadata/atom_offsets"][:]
        assert (
            file.attrs["format"] == hdf5.FORMAT and file.attrs["units"] == "angstrom, electronvolt"
        )
        assert file["structures/atomic_numbers"].dtype == np.uint8
        assert offsets.dtype == np.int64
    n, s = offsets[-1], 5
    assert shapes == {
        "structures/atomic_numbers": (n,),
        "structures/positions": (n, 3),
        "structures/cells": (s, 3, 3),
        "structures/pbc": (s, 3),
        "labels/energy": (s,),
        "labels/forces": (n, 3),
        "labels/stress": (s, 3, 3),
    }
