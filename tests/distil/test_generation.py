"""The command line from end to end: generation, kill and resume, merging, labelling."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ase.build import molecule
from ase.io import write
from conftest import ROOT

from mlff_student.distil import dataset, files, generate

# Enough for some jobs of most kinds; no periodic box, which takes seconds.
OPTIONS = ["--frames", "20", "--periodic-share", "0", "--seed", "5"]
PATHS = os.pathsep.join([str(ROOT / "python"), str(Path(__file__).parent)])


def start(*arguments):
    command = [sys.executable, "-m", "mlff_student.distil", *map(str, arguments)]
    env = os.environ | {"PYTHONPATH": PATHS}
    return subprocess.Popen(
        command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def run(*arguments):
    """(exit status, standard output, standard error)."""
    process = start(*arguments)
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def summary(*arguments):
    status, out, err = run(*arguments)
    assert status == 0, err
    return json.loads(out)


def wait_for(condition):
    for _ in range(3000):
        if condition():
            return
        time.sleep(0.1)
    raise AssertionError("waited five minutes")


def workers_of(process):
    return [
        int(p) for p in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    ]


def alive(pid):
    try:
        # A zombie has ended.
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two folders of the same run: one that was killed and went on with one worker, one made at
    once by two.
    """
    base = tmp_path_factory.mktemp("generation")
    killed, whole = base / "killed", base / "whole"
    process = start("generate", killed, *OPTIONS, "--jobs", 2)
    wait_for(lambda: len(list(killed.glob("shards/*.h5"))) >= 2)
    children = workers_of(process)
    assert children
    process.send_signal(signal.SIGKILL)
    process.communicate()
    wait_for(lambda: not any(map(alive, children)))
    done = {p.name: p.stat().st_mtime_ns for p in killed.glob("shards/*.h5")}
    status, _, err = run("generate", killed, *OPTIONS)
    assert status == 0, err
    kept = {p.name: p.stat().st_mtime_ns for p in killed.glob("shards/*.h5")}
    assert len(kept) > len(done)
    assert done.items() <= kept.items(), "finished jobs must not run again"
    status, _, err = run("generate", whole, *OPTIONS, "--jobs", 2)
    assert status == 0, err
    return base


def test_a_killed_run_goes_on_to_the_same_data(runs):
    killed, whole = (
        generate.collect(runs / "killed").checked(),
        generate.collect(runs / "whole").checked(),
    )
    assert len(killed.frames) >= 20
    assert killed.content_hash() == whole.content_hash()


def test_merging_twice_the_same_counts_duplicates(runs):
    whole = generate.collect(runs / "whole")
    twice = dataset.merged([whole, whole]).checked()
    assert twice.content_hash() == whole.checked().content_hash()
    assert twice.dropped["duplicate"] == len(whole.frames)


def test_merge_writes_both_formats_and_info_reads_them(runs):
    merged = summary("merge", runs / "whole", "-o", runs / "whole.h5", "-o", runs / "whole.xyz")
    assert merged["frames"] == sum(n for kind in merged["kinds"].values() for n in kind.values())
    for ending in (".h5", ".xyz"):
        assert (
            dataset.summary(files.read(runs / f"whole{ending}"))["content_hash"]
            == merged["content_hash"]
        )
    assert summary("info", runs / "whole.h5")["kinds"] == merged["kinds"]


def test_a_folder_of_another_run_is_refused(runs):
    status, _, err = run("generate", runs / "whole", *OPTIONS[:-1], "6")
    assert status != 0 and "holds a run with" in err and "Traceback" not in err


def test_more_frames_keep_what_is_there(runs):
    small = {w.name for w in generate.plan(60, 0)}
    assert small <= {w.name for w in generate.plan(200, 0.05)}


def test_other_teachers_labels_do_not_mix_in(runs):
    write(runs / "two.xyz", [molecule("CH4"), molecule("H2O")])
    arguments = [
        "label",
        runs / "two.xyz",
        "-o",
        runs / "cheap.h5",
        "--teacher",
        "calculators:cheap",
    ]
    assert summary(*arguments)["teacher"] == "calculators:cheap"
    status, _, err = run("merge", runs / "whole", runs / "cheap.h5", "-o", runs / "mixed.h5")
    assert status != 0 and "different teachers do not mix" in err
    assert not (runs / "mixed.h5").exists()


def test_given_structures_are_labelled_in_order_with_counts_of_what_is_not(tmp_path):
    methyl, water = molecule("CH3"), molecule("H2O")
    water.info.update(name="mine", molecule="O", kind="water", temperature=310.0, split="valid")
    write(tmp_path / "in.xyz", [molecule("CH4"), methyl, water])
    found = summary("label", tmp_path / "in.xyz", "-o", tmp_path / "out.h5")
    assert found["dropped"] == {"open shell": 1}
    frames = files.read(tmp_path / "out.h5").frames
    assert [f.name for f in frames] == ["label-000000", "mine"]
    # What names no split stays unmarked: where nothing is marked, the trainer sets some aside to
    # watch.
    assert frames[0].split == "" and found["splits"] == {"unmarked": 1, "valid": 1}
    assert (frames[1].kind, frames[1].split, frames[1].temperature) == ("water", "valid", 310.0)
    # The same labels when the file is labelled again.
    again = summary("label", tmp_path / "out.h5", "-o", tmp_path / "again.xyz")
    assert again["content_hash"] == found["content_hash"]


def test_a_name_that_cannot_be_written_and_a_mover_that_is_none_are_refused_before_any_work(
    tmp_path,
):
    write(tmp_path / "in.xyz", [molecule("CH4")])
    status, _, err = run("label", tmp_path / "in.xyz", "-o", tmp_path / "out")
    assert status != 0 and "expected a name that ends in" in err
    assert not list(tmp_path.glob("out*"))
    (tmp_path / "mover.pt").write_text("no student")
    status, _, err = run(
        "generate", tmp_path / "made", "--mover", tmp_path / "mover.pt", "--frames", 10
    )
    assert status != 0 and "a worker was killed" not in err
    assert not (tmp_path / "made").exists()


def test_labelling_goes_on_after_a_kill_to_the_same_file(tmp_path):
    structures = []
    for seed in range(48):
        structures.append(molecule("CH4"))
        structures[-1].rattle(0.05, seed=seed)
    write(tmp_path / "in.xyz", structures)
    arguments = ["label", tmp_path / "in.xyz", "--teacher", "calculators:slow", "-o"]
    killed, whole = tmp_path / "killed.h5", tmp_path / "whole.h5"
    parts = tmp_path / "killed.h5.parts/shards"
    process = start(*arguments, killed)
    wait_for(lambda: len(list(parts.glob("*.h5"))) >= 2)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    done = len(list(parts.glob("*.h5")))
    assert done < 6 and not killed.exists()
    status, _, err = run(*arguments[:-3], "--teacher", "calculators:cheap", "-o", killed)
    assert status != 0 and "holds a run with" in err
    found = summary(*arguments, killed)
    assert not parts.parent.exists()
    assert found["frames"] == 48
    assert found["content_hash"] == summary(*arguments, whole)["content_hash"]
    assert [f.name for f in files.read(killed).frames] == [f"label-{i:06d}" for i in range(48)]


def test_errors_in_jobs_are_reported_and_tried_again(tmp_path):
    arguments = [
        "generate",
        tmp_path / "run",
        "--frames",
        "1",
        "--periodic-share",
        "0",
        "--teacher",
        "calculators:program_error",
    ]
    status, _, err = run(*arguments)
    assert status != 0 and "NameError: a misspelt name" in err and "will be tried again" in err
    assert not list((tmp_path / "run/shards").glob("*.h5"))


def test_unknown_teachers_end_the_command_before_anything_is_made(tmp_path):
    status, _, err = run("generate", tmp_path / "run", "--teacher", "gfn9")
    assert (
        status != 0 and "expected gfn2, ani1ccx or module:factory" in err and "Traceback" not in err
    )
    assert not (tmp_path / "run").exists()
