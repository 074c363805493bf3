"""Generation: a list of small jobs, each stored as one shard when it is done.

A job's frames depend on its name and the seed alone. So a run that was killed goes on where it
stopped, more frames are more jobs, and the result is the same for any number of workers.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import signal
import sys
import threading
import traceback
from collections import Counter
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from math import ceil
from multiprocessing import connection, get_context, parent_process
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from . import crystals, dataset, files, frames, teachers
from .molecules import SMALL, molecules, order_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .dataset import Frame
    from .molecules import Molecule
    from .teachers import Teacher


# Share of the frames, frames of one job.
SHARES = {
    "trajectory": (0.38, 8),
    "small": (0.05, 8),
    "torsion": (0.15, 12),
    "transfer": (0.02, 12),
    "contact": (0.09, 11),
    "collision": (0.01, 6),
    "cluster": (0.20, 8),
    "water": (0.05, 8),
}
# Share of the frames that have a cell, frames of one job.
PERIODIC = {
    "periodic": (0.6, 3),
    "crystal": (0.4, 6),
}
# Jobs of other kinds between two periodic ones, which take as long as all of those together.
PERIODIC_SPACING = 40
# Shares of the splits, of jobs that are not tied to one molecule.
TEST, VALID = 0.08, 0.04
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


@dataclass(frozen=True)
class Work:
    """One job: its kind of structures, and its number."""

    kind: str
    index: int

    @property
    def name(self) -> str:
        """The name, which is that of its shard; random numbers come from it."""
        return f"{self.kind}-{self.index:06d}"

    @property
    def expected(self) -> int:
        """How many frames it makes, about."""
        return (SHARES | PERIODIC)[self.kind][1]

    def subject(self) -> tuple[Any, str]:
        """What the job is about (a molecule, a pair of elements, a crystal or None), and its
        split.
        """
        if self.kind == "trajectory":
            molecule = in_turn()[self.index % len(in_turn())]
            return molecule, molecule.split
        if self.kind == "small":
            return small_molecules()[self.index % len(small_molecules())], "train"
        split = split_of_job(self.name)
        # Every second one is about a kind of bond, which the job draws.
        if self.kind == "torsion" and self.index % 2 == 0:
            turnable = turnable_molecules(split)
            return turnable[order_key("torsion", self.name) % len(turnable)], split
        if self.kind in ("contact", "collision"):
            return frames.PAIRS[self.index % len(frames.PAIRS)], split
        if self.kind == "crystal":
            return crystals.subject(self.index, split)
        return None, split

    def frames(self, job: frames.Job, subject: Any) -> Iterator[Frame | str]:
        """Labelled frames, or reasons why there is none."""
        if self.kind == "crystal":
            return crystals.crystal(job, subject)
        return getattr(frames, self.kind)(job, subject)


def split_of_job(name: str) -> str:
    """The split of a job that is not tied to one molecule."""
    x = order_key("split", name) / 2**64
    return "test" if x < TEST else "valid" if x < TEST + VALID else "train"


@functools.cache
def in_turn() -> list[Molecule]:
    """All molecules in an order that looks random; as long as there are such, every tenth is held
    out.
    """
    ordered = sorted(molecules(), key=lambda m: order_key("turn", m.smiles))
    train = [m for m in ordered if m.split == "train"]
    held_out = [m for m in ordered if m.split != "train"]
    for place, molecule in enumerate(held_out):
        train.insert(10 * place, molecule)
    return train


@functools.cache
def small_molecules() -> list[Molecule]:
    """The small molecules of the table, which have jobs of their own.

    Among all others each would come up five to eight times in 100,000 frames, too few for the
    vibrations of molecules like CO2, whose bonds occur nowhere else.
    """
    return sorted(
        (m for m in molecules() if m.scaffold == SMALL), key=lambda m: order_key("turn", m.smiles)
    )


def turnable_molecules(split: str) -> list[Molecule]:
    """Molecules of a split with 6 to 30 atoms, to turn bonds of."""
    return [m for m in frames.pool(split, 30) if m.atoms >= 6]


def _place(work: Work) -> float:
    """Where a job stands in the plan, from 0 to 1.

    Trajectories for tests take half of the time: they are in the second half, so that training need
    not wait for them.
    """
    x = order_key("plan", work.name) / 2**64
    late = work.kind == "trajectory" and work.subject()[1] == "test"
    return 0.5 + x / 2 if late else x


def plan(count: int, periodic_share: float, only: str | None = None) -> list[Work]:
    """The jobs for about `count` frames, so ordered that any first part is a fair sample for
    training.

    Of jobs with a cell there are few among the others; most of them come last. With `only`, jobs of
    that kind alone.
    """
    shares = SHARES if only is None else {only: (SHARES | PERIODIC)[only]}
    works = _works(shares, count * (1 - periodic_share))
    boxes = _works(PERIODIC, count * periodic_share)
    result = []
    for i, work in enumerate(works):
        result.append(work)
        if i % PERIODIC_SPACING == PERIODIC_SPACING - 1 and boxes:
            result.append(boxes.pop(0))
    return result + boxes


def _works(shares: dict[str, tuple[float, int]], count: float) -> list[Work]:
    """Jobs for about `count` frames of these kinds, in the order of the plan."""
    whole = sum(share for share, _ in shares.values())
    works = [
        Work(k, i)
        for k, (share, size) in shares.items()
        for i in range(ceil(count * (share / whole) / size))
    ]
    return sorted(works, key=_place)


# --- workers

_teacher = None
_mover = None


def start_worker(spec: str, prepare: Callable | None = None, arguments: tuple = ()) -> None:
    """Loads the teacher and what else the jobs need, in a worker process.

    The worker ends with its parent, even if that is killed.
    """
    global _teacher
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_follow_parent, daemon=True).start()
    _teacher = teachers.load(spec)
    if prepare:
        prepare(*arguments)


def load_mover(model: str) -> None:
    """Loads the student that moves atoms, in a worker process."""
    global _mover
    _mover = teachers.student(model)


def _follow_parent() -> None:
    connection.wait([parent_process().sentinel])
    os._exit(1)


def run(work: Work, seed: int, teacher: Teacher, mover: Teacher | None = None) -> dataset.Dataset:
    """A job's frames, and what was dropped, by reason."""
    subject, split = work.subject()
    job = frames.Job(work.name, seed, split, teacher, mover)
    kept, dropped = [], Counter()
    try:
        for result in work.frames(job, subject):
            if isinstance(result, str):
                dropped[result] += 1
            else:
                kept.append(result)
    except teachers.Dropped as reason:
        dropped[str(reason)] += 1
    return dataset.Dataset(kept, teacher.name, dropped)


def _work(work: Work, seed: int, folder: str | Path) -> tuple[Work, int | None, Any]:
    """Runs a job and stores its shard: the job, how many frames it kept and what was dropped.

    If it failed, the number is None and the third the traceback.
    """
    try:
        result = run(work, seed, _teacher, _mover)
        files.write(result, shard(folder, work))
    except Exception:
        return work, None, traceback.format_exc()
    return work, len(result.frames), result.dropped


def shard(folder: str | Path, work: Work) -> Path:
    """The file of a job's frames."""
    return Path(folder) / "shards" / f"{work.name}.h5"


# --- the run


def check_folder(folder: str | Path, mine: dict[str, Any]) -> None:
    """Raises DatasetError for a folder that holds another run; notes this one in a new folder."""
    path = Path(folder) / "run.json"
    if path.exists():
        found = json.loads(path.read_text())
        if found != mine:
            raise dataset.DatasetError(
                f"{folder} holds a run with {found}, not {mine}: give those or another folder"
            )
    else:
        (Path(folder) / "shards").mkdir(parents=True, exist_ok=True)
        # Whole or not at all, also where the run is killed here.
        part = path.with_suffix(".part")
        part.write_text(json.dumps(mine))
        part.replace(path)


def generate(
    folder: str | Path, works: list[Work], seed: int, spec: str, jobs: int, mover: str | None = None
) -> int:
    """Runs those jobs of a plan that are not done yet; returns how many failed."""
    identity = {"seed": seed, "teacher": spec}
    if mover is None:
        return carry_out(folder, works, identity, jobs)
    identity["mover"] = digest(mover)
    return carry_out(folder, works, identity, jobs, load_mover, (mover,))


def digest(path: str | Path) -> str:
    """SHA-256 of a file: tells it from others, wherever it is."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def carry_out(
    folder: str | Path,
    works: list[Any],
    identity: dict[str, Any],
    jobs: int,
    prepare: Callable | None = None,
    arguments: tuple = (),
) -> int:
    """Runs those of the jobs that are not done yet, in worker processes; returns how many failed.

    `identity` tells this run from others (seed and teacher at least). Each worker calls
    `prepare(*arguments)` first.
    """
    seed, spec = identity["seed"], identity["teacher"]
    # Small molecules gain nothing from threads, and several workers would fight for cores.
    os.environ.update(ONE_THREAD)
    # Say early what is wrong with them, before the folder is this run's.
    teachers.load(spec)
    if prepare:
        prepare(*arguments)
    check_folder(folder, identity)
    finished = {p.stem for p in (Path(folder) / "shards").glob("*.h5")}
    todo = [w for w in works if w.name not in finished]
    dropped, failed = Counter(), 0
    done = sum(w.expected for w in works if w.name in finished)
    total = sum(w.expected for w in works)
    bar = tqdm(
        total=total, initial=done, unit="frame", mininterval=1 if sys.stderr.isatty() else 30
    )
    with ProcessPoolExecutor(
        jobs, get_context("spawn"), start_worker, (spec, prepare, arguments)
    ) as workers:
        try:
            pending = set()
            for work in todo:
                if len(pending) >= 3 * jobs:
                    failed += _collect(pending, bar, dropped)
                pending.add(workers.submit(_work, work, seed, folder))
            while pending:
                failed += _collect(pending, bar, dropped)
        except KeyboardInterrupt:
            workers.shutdown(cancel_futures=True)
            raise
        except BrokenProcessPool as error:
            raise RuntimeError(
                "a worker was killed (out of memory?); the same command goes on from here"
            ) from error
    bar.close()
    return failed


def _collect(pending: set, bar: tqdm, dropped: Counter) -> int:
    """Takes finished jobs out of `pending`; returns how many failed."""
    finished, _ = wait(pending, return_when=FIRST_COMPLETED)
    pending -= finished
    failed = 0
    for future in finished:
        work, kept, rest = future.result()
        bar.update(work.expected)
        if kept is None:
            failed += 1
            tqdm.write(
                f"{work.name} failed and will be tried again by the next run:\n{rest}",
                file=sys.stderr,
            )
        else:
            dropped.update(rest)
    bar.set_postfix(dropped=dropped.total(), failed=failed, refresh=False)
    return failed


def collect(folder: str | Path) -> dataset.Dataset:
    """One dataset of all shards in a folder, ordered by name."""
    shards = sorted((Path(folder) / "shards").glob("*.h5"))
    if not shards:
        raise dataset.DatasetError(f"{folder}: no shards; run generate first")
    return dataset.merged([files.read(p) for p in tqdm(shards, unit="shard")])
