"""The hunt for holes, with students that ship and with paths that are made up."""

import json
import subprocess
import sys
from collections import Counter
from itertools import islice
from types import SimpleNamespace

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from ase.calculators.calculator import CalculationFailed
from calculators import Given, cheap
from conftest import ROOT

from mlff_student.distil import files, floor, generate, hunt, isomers, scatter, teachers

MODELS = [ROOT / "models" / f"organics-{size}.safetensors" for size in ("small", "medium")]


@pytest.fixture(scope="module")
def students(library):
    hunt.load_students(*MODELS)
    return hunt.students()


@pytest.fixture(scope="module")
def hunted(library, tmp_path_factory):
    folder = tmp_path_factory.mktemp("hunt") / "round"
    command = [sys.executable, "-m", "mlff_student.distil", "hunt", folder, "--students", *MODELS]
    command += ["--round", "test", "--frames", "48", "--jobs", "2"]
    environment = {"PYTHONPATH": str(ROOT / "python"), "PATH": "/usr/bin:/bin"}

    def run():
        options = {"cwd": ROOT, "env": environment, "check": True, "timeout": 300}
        return subprocess.run(command, capture_output=True, text=True, **options).stdout

    return folder, run, run()


def test_frames_are_labelled_sound_and_split_by_the_name_of_their_trial(hunted):
    found = generate.collect(hunted[0]).checked()
    assert len(found.frames) >= 24
    for frame in found.frames:
        assert frame.kind == "hunt"
        assert frame.split == generate.split_of_job(frame.name.rsplit("-", 1)[0])
        # Labels are of rounded positions.
        assert scatter.closest(Atoms(frame.numbers, frame.positions)) > hunt.CLOSEST - 1e-3
        assert np.linalg.norm(frame.forces, axis=1).max() <= teachers.MAX_FORCE["hunt"]


def test_every_trial_is_counted_and_the_counts_are_printed(hunted):
    folder, _, printed = hunted
    counts = json.loads((folder / "hunt.json").read_text())["students"]
    assert list(counts) == list(map(str, MODELS))
    kinds = [kind for own in counts.values() for kind in own.values()]
    assert sum(kind["trials"] for kind in kinds) == len(list(folder.glob("shards/*.h5"))) == 8
    for path, own in counts.items():
        line = next(x for x in printed.splitlines() if x.startswith(path.rsplit("/", 1)[-1]))
        assert all(f"{name} {kind['holes']}/{kind['trials']}" in line for name, kind in own.items())


def test_a_run_that_was_stopped_goes_on_to_the_same_frames_and_counts(hunted):
    folder, run, printed = hunted
    whole, counts = generate.collect(folder).content_hash(), (folder / "hunt.json").read_text()
    for shard in sorted(folder.glob("shards/*.h5"))[::3]:
        shard.unlink()
        (folder / "trials" / f"{shard.stem}.json").unlink()
    (folder / "hunt.json").unlink()
    assert run() == printed
    assert generate.collect(folder).content_hash() == whole
    assert (folder / "hunt.json").read_text() == counts


@pytest.mark.parametrize("begin", dict.fromkeys(hunt.TRIALS), ids=lambda begin: begin.__name__)
def test_every_kind_of_trial_has_a_path_of_finite_energies(begin):
    # Any student may break where it goes: here something that cannot moves the atoms.
    safe = hunt.Student(cheap(), None)
    job = SimpleNamespace(rng=np.random.default_rng(1), split="train")
    job.pick = lambda pool: pool[int(job.rng.integers(len(pool)))]
    mols, temperature, path = begin(job, safe)
    steps = list(islice(path, 3))
    assert steps and all(np.isfinite(energy) for _, energy in steps)
    assert (begin is hunt.hot) <= (1500 <= temperature <= 4000)
    # Whatever the molecules are, the teacher can label their atoms.
    assert steps[0][0].numbers.sum() % 2 == 0
    assert all(m.split == "train" for m in mols)


def test_all_kinds_of_trials_students_and_splits_have_their_turn():
    drawn = [hunt.Trial("1", i, None).subject() for i in range(300)]
    assert {begin for begin, _ in drawn} == set(hunt.TRIALS)
    count = Counter(split for _, split in drawn)
    assert count["train"] > 240 and 3 < count["valid"] < 24 and 12 < count["test"] < 40


def pair_at(distance):
    """Two carbon atoms at a distance in covalent sums, behind them two more, far away."""
    return Atoms("C4", [[0, 0, 0], [0, 0, 1.52 * distance], [9, 0, 0], [0, 9, 0]])


class Flat:
    """Energies above hydrides are energies."""

    def above(self, energy, numbers):
        return energy / len(numbers)


def test_a_path_ends_where_a_hole_leaves_nothing_to_label():
    path = [(pair_at(d), 4 * e) for d, e in ((1.0, 0.0), (0.6, -50.0), (0.45, -1e30), (0.4, -1e40))]
    looks, broke = hunt.followed(path, hunt.Student(None, Flat()))
    assert [look.above for look in looks] == [0.0, -50.0, -1e30] and not broke
    assert hunt.outcome(looks, broke) == {"lowest": -1e30, "hole": True, "broke": False}
    # Close, but no hole: atoms may come apart again.
    path = [(pair_at(0.4), 900.0), (pair_at(1.0), 0.0)]
    looks, _ = hunt.followed(path, hunt.Student(None, Flat()))
    assert len(looks) == 2 and not hunt.outcome(looks, False)["hole"]


def test_a_student_that_breaks_ends_the_path_and_no_other_error_is_hidden(students):
    def path():
        yield pair_at(1.0), 4.0
        raise CalculationFailed("not finite")

    looks, broke = hunt.followed(path(), hunt.Student(None, Flat()))
    assert [look.above for look in looks] == [1.0] and broke
    at_one_place = Atoms("H2", [[0, 0, 0], [0, 0, 0]])
    assert hunt.followed(hunt.relaxed(at_one_place, students[0]), students[0]) == ([], True)
    from mlff_student import Error

    with pytest.raises(Error, match="Xe"):
        hunt.followed(hunt.relaxed(Atoms("Xe2", [[0, 0, 0], [0, 0, 3]]), students[0]), students[0])


def looks_of(distances, energies):
    atoms = map(pair_at, distances)
    return [hunt.Look(a, e, scatter.closest(a)) for a, e in zip(atoms, energies, strict=True)]


def test_the_start_the_lowest_and_the_unsure_are_chosen(students, monkeypatch):
    distances = np.linspace(1.2, 0.3, 91)
    looks = looks_of(distances, -10.0 / distances)
    # Students differ more the closer the atoms are.
    monkeypatch.setattr(hunt, "difference", lambda atoms, _: 1 / scatter.closest(atoms))
    chosen = hunt.chosen(looks, students[0], np.random.default_rng(0))
    found = [scatter.closest(atoms) for atoms in chosen]
    assert len(found) == len(set(found)) == 2 + hunt.BY_CHANCE + hunt.UNSURE
    assert found[0] == pytest.approx(1.2) and found[1] == pytest.approx(0.5)
    assert min(found) >= hunt.CLOSEST
    unsure = found[-hunt.UNSURE :]
    assert unsure == sorted(unsure) and max(unsure) < 0.8
    assert hunt.chosen(looks_of([0.4], [-5.0]), students[0], np.random.default_rng(0)) == []


def test_one_student_alone_is_unsure_of_nothing(students, monkeypatch):
    monkeypatch.setattr(hunt, "_students", students[:1])
    water = molecule("H2O")
    assert hunt.difference(water, students[0]) == 0.0
    monkeypatch.setattr(hunt, "_students", students)
    forces = [hunt.forces(student, water) for student in students]
    expected = np.linalg.norm(forces[0] - forces[1], axis=1).max()
    assert hunt.difference(water, students[0]) == pytest.approx(expected)


def test_looks_are_spread_by_how_far_atoms_moved():
    # Slow, then fast: places follow the way, not the steps.
    distances = np.concatenate([np.linspace(1.2, 1.19, 200), np.linspace(1.18, 0.6, 60)])
    found = [look.closest for look in hunt.spread(looks_of(distances, distances))]
    assert len(found) == hunt.LOOKS
    assert found[0] == pytest.approx(1.2) and found[-1] == pytest.approx(0.6)
    np.testing.assert_allclose(np.diff(found), np.diff(found).mean(), atol=0.012)


class Deep(Given):
    """Hydrides have no energy, anything else lies far below."""

    def calculate(self, atoms=None, properties=(), system_changes=()):
        hydride = len(atoms) <= 5 and (atoms.numbers > 1).sum() <= 1
        self.energy = 0.0 if hydride else -1000.0
        super().calculate(atoms, properties, system_changes)


def test_labels_in_a_hole_are_another_electronic_state(students, tmp_path, monkeypatch):
    monkeypatch.setattr(hunt, "TRIALS", [hunt.scattered])
    found = generate.run(hunt.Trial("1", 0, tmp_path), 0, teachers.Teacher("deep", Deep))
    assert not found.frames and set(found.dropped) == {"another electronic state"}


def test_atoms_that_are_thrown_together_keep_their_distance():
    rng = np.random.default_rng(3)
    for least in (0.7, 0.9):
        numbers = scatter.composition(12, rng)
        assert numbers.sum() % 2 == 0
        atoms = scatter.soup(numbers, least, rng)
        assert sorted(atoms.numbers) == sorted(numbers) and scatter.closest(atoms) >= least
    # A cube without room grows; what is there stays.
    there = molecule("C6H6")
    both = scatter.thrown([molecule("C6H6")] * 2, 0.5, 0.8, rng, into=there)
    np.testing.assert_array_equal(both.positions[:12], there.positions)
    for a, b in ((0, 12), (0, 24), (12, 24)):
        assert scatter.fractions(both[a : a + 12], both[b : b + 12]).min() >= 0.8


def test_atoms_of_one_molecule_find_each_other_however_they_are_ordered_and_turned():
    rng = np.random.default_rng(5)
    first = molecule("CH3CH2OH")
    second = first[rng.permutation(len(first))]
    second.rotate(130, (1, 2, 3))
    second.translate((4, 5, 6))
    found = isomers.matched(first, second, rng)
    np.testing.assert_array_equal(found.numbers, first.numbers)
    np.testing.assert_allclose(found.positions, first.positions, atol=1e-6)


def test_atoms_that_are_paired_by_chance_are_all_there_and_where_they_were():
    first, second = molecule("CH3CH2OH"), molecule("CH3OCH3")
    drawn = [isomers.unmatched(first, second, np.random.default_rng(seed)) for seed in (0, 1)]
    for found in (isomers.unmatched(first, second), *drawn):
        np.testing.assert_array_equal(found.numbers, first.numbers)
        assert sorted(map(tuple, found.positions)) == sorted(map(tuple, second.positions))
    assert drawn[0] != drawn[1]


def test_paths_between_isomers_begin_and_end_there_without_collisions():
    first = molecule("CH3CH2OH")
    second = isomers.matched(first, molecule("CH3OCH3"), np.random.default_rng(1))
    images = isomers.interpolated(first, second, 5)
    assert len(images) == 7
    np.testing.assert_array_equal(images[0].positions, first.positions)
    np.testing.assert_array_equal(images[-1].positions, second.positions)
    assert min(map(scatter.closest, images)) > 0.5
    for group in isomers.groups("train", 9):
        assert len(group) > 1 and len({m.atoms for m in group}) == 1


def test_hydrides_have_no_energy_above_themselves_and_no_labelled_frame_is_in_a_hole():
    calculator = teachers.gfn2().calculator()
    ours = floor.Floor(calculator)
    for name in floor.HYDRIDES.values():
        atoms = molecule(name)
        atoms.calc = calculator
        assert ours.above(atoms.get_potential_energy(), atoms.numbers) == pytest.approx(0, abs=1e-9)
    found = files.read(ROOT / "models" / "labels" / "small-1.h5").frames
    lowest = min(ours.above(frame.energy, frame.numbers) for frame in found)
    # SF6, which holds the record.
    assert -0.4 < lowest < -0.3


def test_a_calculator_of_some_elements_is_asked_for_no_others():
    class Asked(Given):
        def calculate(self, atoms=None, properties=(), system_changes=()):
            asked.update(atoms.numbers.tolist())
            super().calculate(atoms, properties, system_changes)

    asked = set()
    assert floor.Floor(Asked()).above(-6.0, [1, 1, 8]) == pytest.approx(-2.0) and asked == {1, 8}
