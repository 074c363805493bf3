"""What `make` builds, it builds once."""

import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]


def make(*targets):
    """What make and Cargo print."""
    done = subprocess.run(["make", *targets], cwd=ROOT, text=True, capture_output=True)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_library_and_trainer_do_not_undo_each_other():
    # Each with Cargo's own choice of features: where the two differ, they compile in turn.
    make("library", "trainer")
    for target in ["library", "trainer", "library"]:
        said = make(target)
        assert "Finished `release` profile" in said, said
        assert "Compiling" not in said, f"make {target}: {said}"
