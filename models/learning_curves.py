#!/usr/bin/env python3
"""How errors on held-out scaffolds fall with the number of training frames and with the frames seen
(needs matplotlib):

    models/learning_curves.py training/* --out docs/learning-curves

Each argument is the folder of a run of `mlff-student train`, with its student and curves.csv.
Writes a picture and a table.
"""

import argparse
import csv
from collections import defaultdict
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from make_card import metadata


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--out", required=True, type=Path)
    args = parser.parse_args()
    figure, (frames, samples) = plt.subplots(
        1, 2, figsize=(10, 4), sharey=True, layout="constrained"
    )
    families = defaultdict(list)
    for run in args.runs:
        (student,) = (
            path for path in run.glob("*.safetensors") if path.name != "checkpoint.safetensors"
        )
        about = metadata(student)
        label = f"{about['hidden']} channels, {int(about['training_samples']):,} seen"
        error = float(about["test_force_mae_eV_per_A"])
        families[label].append(
            (
                int(about["training_frames"]),
                error,
                1e3 * float(about["test_energy_mae_eV_per_atom"]),
            )
        )
        rows = list(csv.DictReader((run / "curves.csv").open()))
        samples.plot(
            [float(r["samples"]) for r in rows],
            [float(r["valid_force_mae_eV_per_A"]) for r in rows],
            label=f"{about['hidden']} channels, {int(about['training_frames']):,} frames",
        )
    lines = [
        "| student | training frames | force MAE (eV/Å) | energy MAE (meV/atom) |",
        "| --- | --: | --: | --: |",
    ]
    for label, points in sorted(families.items()):
        points.sort()
        frames.plot([p[0] for p in points], [p[1] for p in points], "o-", label=label)
        lines += [
            f"| {label} | {n:,} | {force:.4f} | {energy:.1f} |" for n, force, energy in points
        ]
    frames.set(
        xscale="log",
        yscale="log",
        xlabel="training frames",
        ylabel="force MAE, held-out scaffolds (eV/Å)",
    )
    samples.set(xscale="log", xlabel="frames seen", ylabel="force MAE, validation scaffolds (eV/Å)")
    for axes in (frames, samples):
        axes.grid(True, which="both", alpha=0.3)
        axes.legend(fontsize=7)
    figure.savefig(args.out.with_suffix(".png"), dpi=120)
    args.out.with_suffix(".md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
