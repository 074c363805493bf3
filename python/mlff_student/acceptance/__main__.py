# SPDX-License-Identifier: MIT OR Apache-2.0
"""Measures every property of students and writes a report."""

import argparse
import importlib
import json
import sys
import traceback
from typing import TYPE_CHECKING

from ..streams import survive_closed_pipes

if TYPE_CHECKING:
    from .setting import Setting

# In the order of the report.
PROPERTIES = {
    "forces": "errors of forces and energies on labelled frames (needs --dataset)",
    "invariance": "energy under rotation and translation, continuity at the cutoff",
    "collisions": "energies of molecules that are pushed into each other",
    "dimers": "interaction energies of ten dimers",
    "crystals": "lattice energies and densities of relaxed molecular crystals",
    "frequencies": "wavenumbers and bond lengths of ten molecules",
    "torsions": "ten torsion profiles",
    "speed": "time for energy and forces, beside the teacher",
    "nve": "drift of the energy in LAMMPS",
    "stability": "molecules that break at 600 and 1000 K in LAMMPS",
    "holes": "searches for energies far too low, some of them in LAMMPS",
}
IN_LAMMPS = {"nve", "stability", "holes"}
DESCRIPTION = """\
Acceptance tests of students: measures what they must show beside their teacher.

Does everything work? Some minutes:

  python -m mlff_student.acceptance models/organics-small.safetensors --out quick --quick

Everything, several students side by side, in hours:

  python -m mlff_student.acceptance small.safetensors large.safetensors --out report \\
      --dataset models/labels/held-out.h5

Each property prints a table and writes NAME.json, NAME.png and NAME.md into the folder of
--out; report.md there joins them. A run that was interrupted goes on. The properties:

{properties}
"""


def describe() -> str:
    """The description for --help, with the list of properties."""
    lines = (f"  {name:<12} {text}" for name, text in PROPERTIES.items())
    return DESCRIPTION.format(properties="\n".join(lines))


def extend(parser: argparse.ArgumentParser) -> None:
    """Adds the option that this command has beside those of a single property."""
    parser.add_argument(
        "--only",
        nargs="+",
        choices=PROPERTIES,
        metavar="NAME",
        help="some of the properties (default: all; forces only with --dataset)",
    )


def main() -> None:
    """Reads the command line, measures, and joins what was measured into report.md."""
    survive_closed_pipes()
    try:
        from . import lammps, setting
    except ModuleNotFoundError as error:
        sys.exit(
            f"error: the package {error.name} is missing: run `make distil-venv` and use "
            ".venv-distil/bin/python, or install mlff-student with the extra `acceptance`"
        )
    chosen, found = setting.read(describe(), extend=extend, prog=f"python -m {__package__}")
    names = found.only or list(PROPERTIES)
    if found.only is None and chosen.dataset is None:
        print("forces: left out, as it needs frames labelled by the teacher (--dataset)")
        names.remove("forces")
    if IN_LAMMPS & set(names):
        lammps.check(chosen)
    failed = []
    for name in names:
        try:
            importlib.import_module(f"{__package__}.{name}").run(chosen)
        except Exception:
            # The results of the other properties are still of use.
            traceback.print_exc()
            failed.append(name)
    parts = [part_of(chosen, name) for name in PROPERTIES if name not in failed]
    models = ", ".join(model.name for model in chosen.models)
    text = "\n".join(filter(None, parts))
    (chosen.out / "report.md").write_text(f"# Acceptance: {models}\n\n{text}")
    print(f"Report: {chosen.out / 'report.md'}")
    if failed:
        sys.exit(f"could not be measured, see above: {', '.join(failed)}")


def part_of(setting: "Setting", name: str) -> str:
    """A property's part of the report, which may be of an earlier run.

    "" where it was not measured, or measured against another teacher.
    """
    values = setting.out / f"{name}.json"
    if not values.exists():
        return ""
    teacher = json.loads(values.read_text()).get("teacher", setting.teacher.full_name)
    return (setting.out / f"{name}.md").read_text() if teacher == setting.teacher.full_name else ""


if __name__ == "__main__":
    main()
