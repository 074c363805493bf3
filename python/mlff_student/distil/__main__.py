"""`python -m mlff_student.distil COMMAND`: labelled data for training students."""

import argparse
import json
import sys
from pathlib import Path


def generate(args):
    from .generate import generate, plan

    works = plan(args.frames, 0.0 if args.only else args.periodic_share, args.only)
    failed = generate(args.folder, works, args.seed, args.teacher, args.jobs, args.mover)
    finish(failed, args.folder)


def explore(args):
    from . import explore
    from .generate import carry_out, digest

    works = [
        explore.Walk(args.round, i)
        for i in range(max(1, round(args.frames / explore.Walk.expected)))
    ]
    identity = {"seed": args.seed, "teacher": args.teacher, "round": args.round}
    identity |= {"walker": digest(args.walker), "judge": digest(args.judge)}
    failed = carry_out(
        args.folder, works, identity, args.jobs, explore.load_students, (args.walker, args.judge)
    )
    finish(failed, args.folder)


def hunt(args):
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


def finish(failed, folder):
    """Says what comes next, or how many jobs did not work."""
    if failed:
        sys.exit(f"{failed} jobs failed: their errors are above; the same command tries them again")
    print(f"done; now: python -m mlff_student.distil merge {folder} -o {folder}.h5")


def merge(args):
    from . import dataset, files
    from .generate import collect

    for path in args.output:
        files.format_of(path)
    parts = [collect(p) if Path(p).is_dir() else files.read(p) for p in args.inputs]
    merged = dataset.merged(parts).checked()
    for path in args.output:
        files.write(merged, path)
    print_json(dataset.summary(merged))


def label(args):
    from . import dataset, labelling

    print_json(
        dataset.summary(labelling.label(args.structures, args.output, args.teacher, args.jobs))
    )


def info(args):
    from . import dataset, files

    hashes = {}
    for path in args.files:
        summary = dataset.summary(files.read(path))
        hashes[Path(path).name] = summary["content_hash"]
        print_json({"file": path} | summary)
    if args.expect:
        files.expect(hashes, args.expect)


def molecules(args):
    from .molecules import molecules, summary

    for m in molecules():
        print(m.smiles, m.split, m.atoms, m.murcko or "-", m.scaffold)
    print(json.dumps(summary()), file=sys.stderr)


def print_json(value):
    print(json.dumps(value, indent=2))


def main():
    from .generate import PERIODIC, SHARES

    parser = argparse.ArgumentParser(prog="python -m mlff_student.distil", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(function, text):
        made = commands.add_parser(function.__name__, help=text, description=text)
        made.set_defaults(function=function)
        return made

    def labels(p):
        p.add_argument(
            "--teacher",
            default="gfn2",
            help="gfn2, ani1ccx or module:factory for an ASE calculator",
        )
        p.add_argument("--jobs", type=int, default=1, help="worker processes (default %(default)s)")

    p = command(generate, "makes structures and labels them; a run that was stopped goes on")
    p.add_argument("folder", help="where shards are kept")
    p.add_argument(
        "--frames", type=int, default=100_000, help="about as many (default %(default)s)"
    )
    p.add_argument(
        "--periodic-share",
        type=float,
        default=0.05,
        help="boxes and crystals, of all frames (default %(default)s)",
    )
    p.add_argument(
        "--only", choices=SHARES | PERIODIC, help="one kind of structures, where data lack it"
    )
    p.add_argument("--seed", type=int, default=0)
    p.add_argument(
        "--mover",
        help="a student that moves atoms of training frames, several times as fast as the teacher",
    )
    labels(p)

    p = command(explore, "active learning: students walk, the teacher labels where they are unsure")
    p.add_argument("folder", help="where shards are kept, one for each round")
    p.add_argument("--walker", required=True, help="the student that moves the atoms")
    p.add_argument("--judge", required=True, help="another student, whose forces are compared")
    p.add_argument("--round", default="1", help="name of the round: other names start other walks")
    p.add_argument(
        "--frames", type=int, default=20_000, help="at most about as many (default %(default)s)"
    )
    p.add_argument("--seed", type=int, default=0)
    labels(p)

    p = command(hunt, "the hunt for holes: where students go astray, the teacher labels the way")
    p.add_argument("folder", help="where shards are kept, one for each round")
    p.add_argument("--students", nargs="+", required=True, help="those that move atoms, in turns")
    p.add_argument("--round", default="1", help="name of the round: other names start other trials")
    p.add_argument("--frames", type=int, default=20_000, help="about as many (default %(default)s)")
    p.add_argument("--seed", type=int, default=0)
    labels(p)

    p = command(merge, "one dataset of folders of shards and files, without duplicates")
    p.add_argument("inputs", nargs="+", help="folders of generate, .h5 or .xyz files")
    p.add_argument(
        "-o", "--output", action="append", required=True, help=".h5 or .xyz; may be given twice"
    )

    p = command(
        label, "labels structures of files with the teacher; a run that was stopped goes on"
    )
    p.add_argument(
        "structures", nargs="+", help="what ASE reads, or datasets, whose labels are forgotten"
    )
    p.add_argument("-o", "--output", required=True, help=".h5 or .xyz")
    labels(p)

    p = command(info, "what is in datasets")
    p.add_argument("files", nargs="+")
    p.add_argument(
        "--expect",
        metavar="LIST",
        help="a file of lines `HASH NAME`: content hashes that must be found",
    )

    command(molecules, "the list of molecules: SMILES, split, atoms, Murcko scaffold, scaffold")

    args = parser.parse_args()
    try:
        args.function(args)
    except (ValueError, OSError, RuntimeError, ImportError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
