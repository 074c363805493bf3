#!/usr/bin/env python3
"""Writes a student's model card from its file and two reports of `mlff-student validate`:

    mlff-student validate S.safetensors data.h5 --out all
    mlff-student validate S.safetensors data.h5 --kind trajectory --out trajectories
    python3 models/make_card.py S.safetensors all/report.json trajectories/report.json > S.md

A student of ANI-1ccx wants to know, too, what got no label (data/labels-cc: `make labels-cc`):

    python -m mlff_student.distil info data/labels-cc/*.h5 > labels.json
    python3 models/make_card.py S.safetensors all/report.json trajectories/report.json labels.json
"""

import hashlib
import json
import struct
import sys
from pathlib import Path

# Aims for errors of forces (eV/Å) and energies (meV/atom; None: no aim).
TARGETS = {
    "organics-small": (0.060, 8.0),
    "organics-medium": (0.040, 5.0),
    "organics-large": (0.025, 3.0),
    "organics-cc-small": (0.075, None),
    "organics-cc-medium": (0.055, None),
    "organics-cc-large": (0.040, None),
}
# What students must not be used for: all of them, and those of each teacher.
NEVER = [
    "Bulk liquids, interfaces and pressures beyond the errors above: few periodic frames were "
    "trained on.",
    "Ions, radicals, metals, other elements: its energy knows no charge and no spin.",
    "Breaking bonds, and energies relative to free atoms.",
]
NEVER_OF = {
    "GFN2-xTB": [
        "Energies of atoms closer than 0.65 of the sum of their covalent radii: a core keeps them "
        "apart, as a wall that rises all the way in; how high it is there is not the teacher's "
        "word.",
    ],
    "ANI-1ccx": [
        "Clusters and dimers, and whatever else molecules do to each other: ANI-1ccx is not good "
        "at it, and knows nothing beyond 5.2 Å.",
        "Collisions: it has no walls of its own. ANI-1ccx knows no collisions, nine of ten such "
        "frames got no label, and what keeps atoms apart is the repulsion that is built in.",
        "H₂: ANI-1ccx is wrong about it, by 8 eV/Å at the length of the bond, and no label has it.",
    ],
}


def metadata(path):
    """The strings in the header of a safetensors file."""
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        return json.loads(file.read(length))["__metadata__"]


def listed(words):
    """H, C, N and O."""
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def method_of(teacher):
    """The name of the method in that of a teacher, which has versions in it, too."""
    return next((method for method in NEVER_OF if method in teacher), teacher)


def disagreements(path):
    """Frames without a label because ANI-1ccx's networks differ, in what `teacher info` prints."""
    # One object follows the other.
    objects = Path(path).read_text().replace("}\n{", "},\n{")
    return sum(
        count
        for summary in json.loads(f"[{objects}]")
        for reason, count in summary["dropped"].items()
        if reason.startswith("networks'")
    )


def row(name, errors):
    energy, forces, stress = errors["energy"], errors["forces"], errors["stress"]
    r2 = "–" if forces["r2"] is None else f"{forces['r2']:.4f}"
    gpa = "–" if stress is None else f"{stress['mae_gpa']:.2f}"
    return (
        f"| {name} | {errors['frames']} | {forces['mae_ev_per_angstrom']:.4f} "
        f"| {forces['rmse_ev_per_angstrom']:.4f} | {r2} "
        f"| {energy['mae_mev_per_atom']:.1f} | {gpa} |"
    )


def table(first, groups):
    head = (
        f"| {first} | frames | force MAE (eV/Å) | force RMSE (eV/Å) | R² | energy MAE (meV/atom) "
        "| stress MAE (GPa) |"
    )
    return [head, "| --- |" + " --- |" * 6, *(row(group["name"], group) for group in groups), ""]


def main():
    path, everything, trajectories = (
        Path(sys.argv[1]),
        *(json.loads(Path(name).read_text()) for name in sys.argv[2:4]),
    )
    name, about = path.stem, metadata(path)
    model = everything["model"]
    overall = trajectories["overall"]
    force, energy = overall["forces"]["mae_ev_per_angstrom"], overall["energy"]["mae_mev_per_atom"]
    earlier = int(about.get("earlier_samples", 0))
    after = (
        f", after {earlier:,} in earlier runs, `docs/src/measurements/training.md`"
        if earlier
        else ""
    )
    method, cutoff = method_of(about["teacher"]), f"{model['cutoff_angstrom']:g} Å"
    vectors = f" ({about['vectors']} with vectors)" if "vectors" in about else ""
    clusters = "" if method == "ANI-1ccx" else ", and clusters of them"
    agreed = []
    if len(sys.argv) > 4:
        agreed = [
            f"Left out: {disagreements(sys.argv[4]):,} frames on which the members of {method} "
            "disagree. There the student has learned nothing.",
            "",
        ]
    hashes = about["training_data_hash"]
    digest = hashlib.sha256(hashes.encode()).hexdigest()[:16]
    data = (
        f"{len(hashes.split())} files, SHA-256 of `training_data_hash` in the student's file "
        f"{digest}…"
    )
    lines = [
        f"# {name}",
        "",
        f"A smooth, equivariant student (PaiNN) of {model['parameters']:,} parameters: "
        f"{model['hidden']} channels{vectors}, {model['blocks']} blocks, cutoff {cutoff}, for "
        f"neutral, closed-shell organic molecules of {listed(about['species'].split())}{clusters}. "
        f"It reproduces {method} ({about['teacher']}), errors of that method included.",
        "",
        f"Trained on {about['trained_until']}, with {int(about['training_frames']):,} frames "
        f"({int(about['training_samples']):,} seen, repetitions counted{after}); data: {data}; "
        f"`models/{name}.toml` trains one like it from random weights. "
        f"Licence: {about['licence']}.",
        "",
        *agreed,
        "## Errors on held-out scaffolds",
        "",
        f"Trajectories of {trajectories['data']['molecules']} molecules that share no scaffold "
        "with training, equal parts of 300, 600 and 900 K: "
        f"**force MAE {force:.3f} eV/Å, energy MAE {energy:.1f} meV/atom**.",
        "",
        *table("temperature", [*trajectories["by_temperature"], {"name": "all", **overall}]),
        *table("kind of structure", everything["by_kind"]),
        *table("element, in trajectories", trajectories["by_element"]),
        "Clusters and boxes hold the energies of whole arrangements; `water` and `periodic` frames "
        "are new arrangements of liquids that training knows.",
        "",
    ]
    if name in TARGETS:
        aim_force, aim_energy = TARGETS[name]
        aims = [(force, aim_force, "eV/Å"), (energy, aim_energy, "meV/atom")]
        met = [
            f"{aim:g} {unit}, {'met' if error <= aim else '**not met**'}"
            for error, aim, unit in aims
            if aim is not None
        ]
        lines += [
            f"Aims for its size: {'; '.join(met)}. "
            "`docs/src/measurements/training.md` shows how errors fall with data and samples.",
            "",
        ]
    lines += [
        f"![errors while it was trained]({name}-curves.png)",
        "",
        "## What it must not be used for",
        "",
        *(f"- {never}" for never in [*NEVER, *NEVER_OF.get(method, [])]),
        f"- Interactions beyond {cutoff}: electrostatics and dispersion end there.",
        f"- Anything that {method} itself gets wrong.",
    ]
    print("\n".join(lines))


if __name__ == "__main__":
    main()
