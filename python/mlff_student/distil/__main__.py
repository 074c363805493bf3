# SPDX-License-Identifier: MIT OR Apache-2.0
"""The command line of `python -m mlff_student.distil`."""

import argparse
import inspect
import json
import sys
from collections.abc import Callable
from pathlib import Path

from ..streams import survive_closed_pipes

DESCRIPTION = """\
Makes labelled data to train students on: structures with energies, forces and stress
of a teacher, GFN2-xTB unless told otherwise.

A student of your own, from nothing to a file to train on:

  python -m mlff_student.distil generate data --frames 20000 --jobs 4
  python -m mlff_student.distil merge data -o data.h5
  python -m mlff_student.distil info data.h5

or from structures that you have:

  python -m mlff_student.distil label md.xyz -o labels.h5

then name the file under [data] in the configuration of `mlff-student train`.
"""
EPILOG = "`python -m mlff_student.distil COMMAND --help` explains a command and its options."


def generate(args: argparse.Namespace) -> None:
    """Composes molecules, moves their atoms and labels the structures with the teacher.

    FOLDER keeps one small file for each job. A run that was stopped or killed goes on with the
    same command; a larger --frames adds to what is there. A structure without a cell takes about
    0.1 s of one core with GFN2-xTB, one with a cell about 4 s.

      python -m mlff_student.distil generate data --frames 20000 --jobs 4

    A student that moves the atoms of training frames halves the time:

      python -m mlff_student.distil generate data --mover models/organics-small.safetensors
    """
    from .generate import generate, plan

    works = plan(args.frames, 0.0 if args.only else args.periodic_share, args.only)
    failed = generate(args.folder, works, args.seed, args.teacher, args.jobs, args.mover)
    finish(failed, args.folder)


def explore(args: argparse.Namespace) -> None:
    """Active learning: labels structures on which two students disagree.

    One student moves the atoms of training molecules and clusters at 300 to 1000 K, another one
    computes the same structures. The teacher labels those where their forces differ most, those
    where a student breaks, and some at random. Merge the folder with your data, train again, and
    explore under the name of the next round.

      python -m mlff_student.distil explore round1 --round 1 \\
          --walker small.safetensors --judge medium.safetensors
      python -m mlff_student.distil merge data round1 -o data-2.h5
    """
    from . import explore
    from .generate import carry_out, digest

    count = max(1, round(args.frames / explore.Walk.expected))
    works = [explore.Walk(args.round, i) for i in range(count)]
    identity = {"seed": args.seed, "teacher": args.teacher, "round": args.round}
    identity |= {"walker": digest(args.walker), "judge": digest(args.judge)}
    students = (args.walker, args.judge)
    failed = carry_out(args.folder, works, identity, args.jobs, explore.load_students, students)
    finish(failed, args.folder)


def hunt(args: argparse.Namespace) -> None:
    """Searches for holes: structures far below what their atoms can form, by a student's energy.

    Students relax, compress, heat and insert atoms where nobody would put them; the teacher labels
    the way. Afterwards, and in hunt.json, it says how many trials of each kind ended in a hole.
    Merge, train, and hunt again under the next name until none does.

      python -m mlff_student.distil hunt hunt1 --round 1 \\
          --students small.safetensors medium.safetensors
    """
    from . import hunt
    from .generate import carry_out, digest

    folder = Path(args.folder)
    count = max(1, round(args.frames / hunt.Trial.expected))
    works = [hunt.Trial(args.round, i, folder) for i in range(count)]
    identity = {"seed": args.seed, "teacher": args.teacher, "round": args.round}
    identity |= {"students": [digest(path) for path in args.students]}
    failed = carry_out(folder, works, identity, args.jobs, hunt.load_students, args.students)
    hunt.report(folder, args.students)
    finish(failed, folder)


def finish(failed: int, folder: Path) -> None:
    """Says what comes next; ends with an error where jobs failed."""
    if failed:
        sys.exit(f"{failed} jobs failed: their errors are above; the same command tries them again")
    print(f"done; now: python -m mlff_student.distil merge {folder} -o {folder}.h5")


def merge(args: argparse.Namespace) -> None:
    """Makes one dataset of several, without duplicates, and prints what is in it.

    Folders of a run that has not ended may be merged, too. Labels of different teachers are
    refused. Structures that stand in several splits are dropped.

      python -m mlff_student.distil merge data round1 more.xyz -o all.h5 -o all.xyz
    """
    from . import dataset, files
    from .generate import collect

    for path in args.output:
        files.format_of(path)
    parts = [collect(p) if Path(p).is_dir() else files.read(p) for p in args.inputs]
    merged = dataset.merged(parts).checked()
    for path in args.output:
        files.write(merged, path)
    print_json(dataset.summary(merged))


def label(args: argparse.Namespace) -> None:
    """Labels the structures of files with the teacher, and prints what came of it.

    Reads whatever ASE reads, and datasets, whose own labels are ignored. Splits, names and kinds
    that a file gives are kept. What is done is kept in OUTPUT.parts until all is: a run that was
    stopped goes on with the same command.

      python -m mlff_student.distil label md.xyz -o labels.h5
      python -m mlff_student.distil label md.xyz -o labels.h5 --teacher ani1ccx
    """
    from . import dataset, labelling

    found = labelling.label(args.structures, args.output, args.teacher, args.jobs)
    print_json(dataset.summary(found))


def info(args: argparse.Namespace) -> None:
    """Prints what is in datasets, as JSON: teacher, frames, splits, kinds, elements, forces, hash.

    With --expect it ends with an error where a content hash is not the one in the list.

      python -m mlff_student.distil info models/labels/held-out.h5
      python -m mlff_student.distil info --expect models/labels/organics-cc.sha256 \\
          data/labels-cc/*.h5
    """
    from . import dataset, files

    hashes = {}
    for path in args.files:
        summary = dataset.summary(files.read(path))
        hashes[Path(path).name] = summary["content_hash"]
        print_json({"file": path} | summary)
    if args.expect:
        files.expect(hashes, args.expect)


def molecules(args: argparse.Namespace) -> None:
    """Prints the molecules that generate takes, one in each line.

    The columns are SMILES, split, number of atoms, Murcko scaffold ("-" where acyclic) and the
    scaffold of the table in scaffolds.py. Numbers of molecules follow on standard error, as JSON.

      python -m mlff_student.distil molecules | head
      python -m mlff_student.distil molecules | grep " test "
    """
    from .molecules import molecules, summary

    for m in molecules():
        print(m.smiles, m.split, m.atoms, m.murcko or "-", m.scaffold)
    print(json.dumps(summary()), file=sys.stderr)


def print_json(value: object) -> None:
    """Prints a value as indented JSON."""
    print(json.dumps(value, indent=2))


def main() -> None:
    """Reads the command line and runs a command."""
    survive_closed_pipes()
    try:
        args = parser().parse_args()
    except ModuleNotFoundError as error:
        sys.exit(
            f"error: the package {error.name} is missing: run `make distil-venv` and use "
            ".venv-distil/bin/python, or install mlff-student with the extra `distil`"
        )
    try:
        args.function(args)
    except (ValueError, OSError, RuntimeError, ImportError) as error:
        sys.exit(f"error: {error}")


def parser() -> argparse.ArgumentParser:
    """The command line; a command's help is the docstring of its function."""
    from .generate import PERIODIC, SHARES

    parser = argparse.ArgumentParser(
        prog="python -m mlff_student.distil",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(
        function: Callable[[argparse.Namespace], None], text: str
    ) -> argparse.ArgumentParser:
        made = commands.add_parser(
            function.__name__,
            help=text,
            description=inspect.getdoc(function),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        made.set_defaults(function=function)
        return made

    def labels(p: argparse.ArgumentParser) -> None:
        p.add_argument(
            "--teacher",
            default="gfn2",
            help="gfn2 (GFN2-xTB, default), ani1ccx (ANI-1ccx, H C N O only), or module:factory, "
            "a function without arguments that returns an ASE calculator",
        )
        p.add_argument("--jobs", type=int, default=1, help="worker processes (default %(default)s)")

    def runs(p: argparse.ArgumentParser, frames: int, text: str) -> None:
        p.add_argument("folder", metavar="FOLDER", help="where frames are kept, one file a job")
        p.add_argument("--frames", type=int, default=frames, help=f"{text} (default %(default)s)")
        p.add_argument("--seed", type=int, default=0, help="other seeds give other structures")

    p = command(generate, "make structures of molecules and crystals, and label them")
    runs(p, 100_000, "about as many frames")
    p.add_argument(
        "--periodic-share",
        type=float,
        default=0.05,
        help="part of the frames that are liquids and crystals (default %(default)s)",
    )
    p.add_argument("--only", choices=SHARES | PERIODIC, help="one kind of structures")
    p.add_argument("--mover", metavar="STUDENT", help="moves the atoms of training frames")
    labels(p)

    p = command(explore, "active learning: label structures on which two students disagree")
    runs(p, 20_000, "at most about as many frames")
    p.add_argument("--walker", required=True, metavar="STUDENT", help="moves the atoms")
    p.add_argument("--judge", required=True, metavar="STUDENT", help="is compared with it")
    p.add_argument("--round", default="1", help="name of the round: others start other walks")
    labels(p)

    p = command(hunt, "label the ways on which students fall into holes")
    runs(p, 20_000, "about as many frames")
    p.add_argument(
        "--students", nargs="+", required=True, metavar="STUDENT", help="move atoms, in turn"
    )
    p.add_argument("--round", default="1", help="name of the round: others start other trials")
    labels(p)

    p = command(label, "label structures that you have")
    p.add_argument("structures", nargs="+", metavar="FILE", help="what ASE reads, or datasets")
    p.add_argument("-o", "--output", required=True, help=".h5 or .xyz")
    labels(p)

    p = command(merge, "make one dataset of folders and files")
    p.add_argument("inputs", nargs="+", metavar="INPUT", help="folders of runs, .h5, .xyz")
    p.add_argument(
        "-o", "--output", action="append", required=True, help=".h5 or .xyz; may be given twice"
    )

    p = command(info, "print what is in datasets")
    p.add_argument("files", nargs="+", metavar="FILE", help=".h5 or .xyz")
    p.add_argument("--expect", metavar="LIST", help="lines `HASH NAME`: hashes that are required")

    command(molecules, "print the molecules that generate takes")
    return parser


if __name__ == "__main__":
    main()
