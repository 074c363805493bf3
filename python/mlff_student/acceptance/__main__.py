# SPDX-License-Identifier: MIT OR Apache-2.0
"""Measures every property of students and writes a report.

Each property prints a table and writes NAME.json, NAME.png and NAME.md into the folder of --out; report.md holds all of
them. What teachers computed is kept in the folder `teacher` there: a second run with other
students is faster.
"""

import importlib
import json
import sys
import traceback

from . import lammps, setting

PROPERTIES = [
    "forces", "invariance", "collisions", "dimers", "crystals", "frequencies", "torsions", "speed",
    "nve", "stability", "holes",
]  # fmt: skip


def extend(parser):
    parser.add_argument("--only", nargs="+", choices=PROPERTIES, help="some of the properties")


def main():
    chosen, found = setting.read(__doc__.split("\n")[0], extend=extend)
    names = found.only or PROPERTIES
    if found.only is None and chosen.dataset is None:
        print("forces: left out, as it needs frames labelled by the teacher (--dataset)")
        names = [name for name in names if name != "forces"]
    if {"nve", "stability", "holes"} & set(names):
        lammps.check(chosen)
    failed = []
    for name in names:
        try:
            importlib.import_module(f"{__package__}.{name}").run(chosen)
        except Exception:
            # The others are worth having all the same.
            traceback.print_exc()
            failed.append(name)
    parts = [part_of(chosen, name) for name in PROPERTIES if name not in failed]
    models = ", ".join(model.name for model in chosen.models)
    text = "\n".join(filter(None, parts))
    (chosen.out / "report.md").write_text(f"# Acceptance: {models}\n\n{text}")
    print(f"Report: {chosen.out / 'report.md'}")
    if failed:
        sys.exit(f"could not be measured, see above: {', '.join(failed)}")


def part_of(setting, name):
    """A property's part of the report, older ones too; "" where there is none, or where it is about
    another teacher."""
    values = setting.out / f"{name}.json"
    if not values.exists():
        return ""
    teacher = json.loads(values.read_text()).get("teacher", setting.teacher.full_name)
    return (setting.out / f"{name}.md").read_text() if teacher == setting.teacher.full_name else ""


if __name__ == "__main__":
    main()
