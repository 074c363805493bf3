# SPDX-License-Identifier: MIT OR Apache-2.0
"""Acceptance tests of students beside their teacher, one module for each property.

`python -m mlff_student.acceptance MODEL... --out DIR` measures all of them and
`python -m mlff_student.acceptance.dimers MODEL... --out DIR` one of them.
"""

import os
from pathlib import Path

#: The project's checkout, which has the LAMMPS plugin, the environment .venv and the students.
ROOT = Path(__file__).resolve().parents[3]
# numpy and tblite read these when they are loaded: times are to be those of one core.
os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")
