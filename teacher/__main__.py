"""Says where `python -m teacher` went. To be removed after release 0.1.0."""

import sys

print(
    "`python -m teacher` is now `python -m mlff_student.distil`, with the same commands, "
    "in the environment that `make distil-venv` makes.",
    file=sys.stderr,
)
sys.exit(2)
