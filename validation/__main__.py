# SPDX-License-Identifier: MIT OR Apache-2.0
"""Measures every property of students and writes a report.

Each property prints a table and writes NAME.json, NAME.png and NAME.md into the folder of --out; report.md holds all of
them. What the teacher computed is kept in the folder `teacher` there: a second run with other students is faster.
"""

import importlib
import sys
import traceback

from . import lammps, setting

PROPERTIES = ["invariance", "collisions", "dimers", "crystals", "frequencies", "torsions", "speed", "nve", "stability", "holes"]


def extend(parser):
    parser.add_argument("--only", nargs="+", choices=PROPERTIES, default=PROPERTIES, help="some of the properties")


def main():
    chosen, found = setting.read(__doc__.split("\n")[0], extend=extend)
    if {"nve", "stability", "holes"} & set(found.only):
        lammps.check(chosen)
    failed = []
    for name in found.only:
        try:
            importlib.import_module(f"validation.{name}").run(chosen)
        except Exception:
            # The others are worth having all the same.
            traceback.print_exc()
            failed.append(name)
    parts = [chosen.out / f"{name}.md" for name in PROPERTIES if name not in failed]
    text = "\n".join(part.read_text() for part in parts if part.exists())
    names = ", ".join(model.name for model in chosen.models)
    (chosen.out / "report.md").write_text(f"# Validation: {names}\n\n{text}")
    print(f"Report: {chosen.out / 'report.md'}")
    if failed:
        sys.exit(f"could not be measured, see above: {', '.join(failed)}")


if __name__ == "__main__":
    main()
