# SPDX-License-Identifier: MIT OR Apache-2.0
"""Measures what a student must show beside its teacher, one module for each property.

    python -m validation MODEL... --out DIR          all of them
    python -m validation.dimers MODEL... --out DIR   one of them
"""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# The package of this source tree, installed or not.
sys.path.insert(0, str(ROOT / "python"))
# Read when the teacher is imported: times are those of one core.
os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")
