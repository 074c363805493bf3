"""Says where `python -m validation` went. To be removed after release 0.1.0."""

import sys

print(
    "`python -m validation` is now `python -m mlff_student.acceptance`, with the same options, "
    "in the environment that `make distil-venv` makes.",
    file=sys.stderr,
)
sys.exit(2)
