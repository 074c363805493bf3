#!/usr/bin/env python3
"""Writes a student's model card from its file and two reports of `mlff-student validate`:

    mlff-student validate S.safetensors data.h5 --out all
    mlff-student validate S.safetensors data.h5 --kind trajectory --out trajectories
    python3 models/make_card.py S.safetensors all/report.json trajectories/report.json > S.md
"""

import hashlib
import json
import struct
import sys
from pathlib import Path

TARGETS = {"organics-small": (0.07, 8.0), "organics-medium": (0.045, 5.0), "organics-large": (0.03, 3.0)}


def metadata(path):
    """The strings in the header of a safetensors file."""
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        return json.loads(file.read(length))["__metadata__"]


def row(name, errors):
    energy, forces, stress = errors["energy"], errors["forces"], errors["stress"]
    r2 = "–" if forces["r2"] is None else f"{forces['r2']:.4f}"
    gpa = "–" if stress is None else f"{stress['mae_gpa']:.2f}"
    return (
        f"| {name} | {errors['frames']} | {forces['mae_ev_per_angstrom']:.4f} | {forces['rmse_ev_per_angstrom']:.4f} | {r2} "
        f"| {energy['mae_mev_per_atom']:.1f} | {gpa} |"
    )


def table(first, groups):
    head = f"| {first} | frames | force MAE (eV/Å) | force RMSE (eV/Å) | R² | energy MAE (meV/atom) | stress MAE (GPa) |"
    return [head, "| --- |" + " --- |" * 6, *(row(group["name"], group) for group in groups), ""]


def main():
    path, everything, trajectories = Path(sys.argv[1]), *(json.loads(Path(name).read_text()) for name in sys.argv[2:4])
    name, about = path.stem, metadata(path)
    model = everything["model"]
    overall = trajectories["overall"]
    force, energy = overall["forces"]["mae_ev_per_angstrom"], overall["energy"]["mae_mev_per_atom"]
    earlier = int(about.get("earlier_samples", 0))
    after = f", after {earlier:,} in earlier runs, `docs/training.md`" if earlier else ""
    hashes = about["training_data_hash"]
    data = f"{len(hashes.split())} files, SHA-256 of `training_data_hash` in the student's file {hashlib.sha256(hashes.encode()).hexdigest()[:16]}…"
    lines = [
        f"# {name}",
        "",
        f"A smooth, equivariant student (PaiNN) of {model['parameters']:,} parameters: {model['hidden']} channels, {model['blocks']} blocks, "
        f"cutoff {model['cutoff_angstrom']:g} Å, for neutral, closed-shell organic molecules of H, C, N, O, F, S and Cl, and clusters of them. "
        f"It reproduces GFN2-xTB ({about['teacher']}), errors of that method included.",
        "",
        f"Trained on {about['trained_until']}, with {int(about['training_frames']):,} frames ({int(about['training_samples']):,} seen, repetitions "
        f"counted{after}); data: {data}; `models/{name}.toml` trains one like it from random weights. Licence: {about['licence']}.",
        "",
        "## Errors on held-out scaffolds",
        "",
        f"Trajectories of {trajectories['data']['molecules']} molecules that share no scaffold with training, equal parts of 300, 600 and 900 K: "
        f"**force MAE {force:.3f} eV/Å, energy MAE {energy:.1f} meV/atom**.",
        "",
        *table("temperature", [*trajectories["by_temperature"], {"name": "all", **overall}]),
        *table("kind of structure", everything["by_kind"]),
        *table("element, in trajectories", trajectories["by_element"]),
        "Clusters and boxes hold the energies of whole arrangements; `water` and `periodic` frames are new arrangements of liquids that training knows.",
        "",
    ]
    if name in TARGETS:
        aim_force, aim_energy = TARGETS[name]
        met = lambda error, aim: "met" if error <= aim else "**not met**"
        lines += [
            f"Aims for its size: {aim_force:g} eV/Å, {met(force, aim_force)}; {aim_energy:g} meV/atom, {met(energy, aim_energy)}. "
            "`docs/training.md` shows how errors fall with data and samples.",
            "",
        ]
    lines += [
        f"![errors while it was trained]({name}-curves.png)",
        "",
        "## What it must not be used for",
        "",
        "- Bulk liquids, interfaces and pressures beyond the errors above: few periodic frames were trained on.",
        "- Ions, radicals, metals, other elements: its energy knows no charge and no spin.",
        "- Breaking bonds, and energies relative to free atoms.",
        "- Energies of atoms closer than 0.65 of the sum of their covalent radii: a core keeps them apart, as a wall "
        "that rises all the way in; how high it is there is not the teacher's word.",
        f"- Interactions beyond {model['cutoff_angstrom']:g} Å: electrostatics and dispersion end there.",
        "- Anything that GFN2-xTB itself gets wrong.",
    ]
    print("\n".join(lines))


if __name__ == "__main__":
    main()
