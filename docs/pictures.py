#!/usr/bin/env python3
"""Draws two pictures of the book from the tables beside them, so that figures stand in one place.

.venv/bin/python docs/pictures.py [FOLDER]
"""

import re
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

MEASUREMENTS = Path(__file__).resolve().parent / "src/measurements"
COLORS = {"organics-large": "#0072b2", "organics-medium": "#d55e00", "organics-small": "#009e73"}
PUBLISHED = {"student-427k": "#555555", "student-77k": "#888888", "student-21k": "#bbbbbb"}
PARTS = ("messages", "in reverse", "dense layers", "distances", "forces and the rest")


def table(text: str, first: str) -> list[list[str]]:
    """Rows of the Markdown table whose header begins with `first`, the header first."""
    lines = text[text.index(f"| {first} |") :].splitlines()
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in lines
        if line.startswith("|")
    ]
    length = next(k for k, line in enumerate(lines) if not line.startswith("|"))
    return [rows[0], *rows[2:length]]


def number(text: str) -> float:
    """The first number in a cell."""
    return float(re.search(r"[\d.]+", text.replace(",", ""))[0])


def performance(text: str, path: Path) -> None:
    """Times of students and other potentials, by size, and where the time goes."""
    figure, (dots, lines, shares) = plt.subplots(
        3, 1, figsize=(9, 9), layout="constrained", height_ratios=[4, 2.6, 2.6]
    )

    # One core, 1,536 atoms: students, and in LAMMPS other potentials.
    students = {row[0]: number(row[1]) for row in table(text, "student | this library")[1:]}
    others = table(text, "student | µs/atom/step")[0][2:]
    peers = {name: number(time) for name, time in (cell.rsplit(":", 1) for cell in others)}
    times = sorted({**students, **peers}.items(), key=lambda item: item[1])
    kinds = {
        "students that ship": COLORS,
        "published students": PUBLISHED,
        "other potentials, in LAMMPS": peers,
    }
    for (kind, members), color in zip(kinds.items(), ("#0072b2", "#888888", "#cc79a7")):
        chosen = [(place, time) for place, (name, time) in enumerate(times) if name in members]
        dots.plot(
            [time for _, time in chosen],
            [place for place, _ in chosen],
            "o",
            color=color,
            label=kind,
        )
    for place, (_, time) in enumerate(times):
        dots.annotate(f"{time:g}", (time, place), (7, -3), textcoords="offset points", fontsize=8)
    dots.set_yticks(range(len(times)), [name for name, _ in times])
    dots.set(xscale="log", xlim=(1, 400), xlabel="µs per atom and step, one core, some 1,500 atoms")
    dots.set_xticks([1, 10, 100], ["1", "10", "100"])
    dots.grid(axis="y", color="#e5e5e5")
    dots.invert_yaxis()
    dots.legend(bbox_to_anchor=(1.02, 0.5), loc="center left", frameon=False, fontsize=8)

    sizes = table(text, "atoms | 24")
    atoms = [number(cell) for cell in sizes[0][1:]]
    for name, *cells in sizes[1:]:
        lines.plot(atoms, [number(cell) for cell in cells], "o-", color=PUBLISHED[name], label=name)
    lines.set(xscale="log", yscale="log", xlabel="atoms", ylabel="µs per atom and step")
    lines.set_yticks([5, 10, 20, 50], ["5", "10", "20", "50"])
    lines.minorticks_off()
    lines.set_xticks(atoms, [f"{count:,.0f}" for count in atoms])
    lines.legend(bbox_to_anchor=(1.02, 0.5), loc="center left", frameon=False, fontsize=8)

    rows = table(text, "student | messages | in reverse")[1:]
    left = [0.0] * len(rows)
    for column, part in enumerate(PARTS, start=1):
        widths = [number(row[column]) for row in rows]
        shares.barh([row[0] for row in rows], widths, left=left, label=part)
        left = [start + width for start, width in zip(left, widths)]
    shares.set(xlim=(0, 100), xlabel="share of time in the library (%), 1,536 atoms")
    shares.invert_yaxis()
    shares.legend(bbox_to_anchor=(1.02, 0.5), loc="center left", frameon=False, fontsize=8)
    for axis in (dots, lines, shares):
        axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=110)


def stability(text: str, path: Path) -> None:
    """How many molecules are whole after how long."""
    runs = re.findall(r"^(organics-\w+) +(\d+ K) +(\d+) +(\d+) +\S", text, re.M)
    broken = re.findall(r"^(organics-\w+) +(\d+ K)  +[A-Z]\S* +([\d.]+)  ", text, re.M)
    figure, axis = plt.subplots(figsize=(8, 4), layout="constrained")
    for student, temperature, molecules, count in runs:
        times = sorted(
            float(time) for name, at, time in broken if (name, at) == (student, temperature)
        )
        assert len(times) == int(count), (
            f"{student}, {temperature}: {len(times)} broken molecules listed, {count} counted"
        )
        whole = [100 * (1 - k / int(molecules)) for k in range(len(times) + 1)]
        style = "-" if temperature == "600 K" else "--"
        label = f"{student}, {temperature}"
        axis.step(
            [0, *times, 100],
            [*whole, whole[-1]],
            style,
            where="post",
            color=COLORS[student],
            label=label,
        )
    axis.set(xlim=(0, 100), ylim=(90, 100.3), xlabel="time (ps)", ylabel="molecules intact (%)")
    axis.legend(bbox_to_anchor=(1.02, 0.5), loc="center left", frameon=False, fontsize=8)
    axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else MEASUREMENTS
    (folder / "acceptance").mkdir(parents=True, exist_ok=True)
    performance((MEASUREMENTS / "performance.md").read_text(), folder / "performance.png")
    stability((MEASUREMENTS / "acceptance.md").read_text(), folder / "acceptance/stability.png")
