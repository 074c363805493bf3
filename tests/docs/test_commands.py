"""The commands of README and guide run, in their order, in a folder that holds nothing else."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import markdown
import pytest
from markdown import BOOK, ROOT

# As they are read.
PAGES = [ROOT / "README.md"] + [
    BOOK / "guide" / f"{page}.md"
    for page in ("install", "first-run", "training", "choosing", "scaling")
]
BUILT = ("libmlff_student.so", "mlff-student", "mlff-student-train", "libmlff_student_torch.so")
ENVIRONMENTS = (".venv", ".venv-torch")
LARGE = 1_000_000  # bytes
SECONDS = 600


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A fresh checkout, as `git clone` leaves it, with what make built before in its place."""
    folder = tmp_path_factory.mktemp("fresh") / "mlff-student"
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for name in filter(None, listed.stdout.split("\0")):
        source, copy = ROOT / name, folder / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        if not source.exists():
            continue
        if source.stat().st_size > LARGE:
            copy.symlink_to(source)
        else:
            shutil.copy2(source, copy, follow_symlinks=False)
    release = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release"
    (folder / "target/release").mkdir(parents=True)
    for name in BUILT:
        assert (release / name).exists(), f"{name} is missing in {release}: run make all trainer"
        (folder / "target/release" / name).symlink_to(release / name)
    for name in ENVIRONMENTS:
        assert (ROOT / name).exists(), f"{name} is missing: run make all trainer"
        (folder / name).symlink_to((ROOT / name).resolve())
    return folder


def surroundings(folder):
    """A user's variables. What Cargo would build is built: to build it again would take minutes."""
    home = folder.parent / "home"
    home.mkdir(exist_ok=True)
    cargo = folder.parent / "cargo"
    cargo.write_text('#!/bin/sh\nif [ "$1" = --version ]; then exec cargo "$@"; fi\n')
    cargo.chmod(0o755)
    own = re.compile("PYTHON|LAMMPS_|MLFF_|CARGO_TARGET|LD_LIBRARY_PATH|PKG_CONFIG_PATH")
    kept = {key: value for key, value in os.environ.items() if not own.match(key)}
    # Where packages come from is the machine's matter.
    kept.setdefault("PIP_CACHE_DIR", str(Path.home() / ".cache/pip"))
    for variable, place in (("CARGO_HOME", ".cargo"), ("RUSTUP_HOME", ".rustup")):
        kept.setdefault(variable, str(Path.home() / place))
    return {**kept, "HOME": str(home), "CARGO": str(cargo), "MAKEFLAGS": ""}


def is_ignored(block):
    return "ignore" in block.words


def script(page, folder):
    """Writes the page's files, where they come; gives its commands as one shell script."""
    lines = ["set -eo pipefail"]
    for block in markdown.blocks(page):
        files = [word.removeprefix("file=") for word in block.words if word.startswith("file=")]
        if files:
            written = folder.parent / f"{page.stem}-{block.line}"
            written.write_text(block.text)
            lines.append(f"cp '{written}' '{files[0]}'")
        elif block.language == "sh" and not is_ignored(block):
            lines += [f"echo '== {page.name}, line {block.line}'", block.text]
    return "\n".join(lines)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_commands_of_a_page_run_in_order(page, checkout):
    command = ["bash", "-c", script(page, checkout)]
    ran = subprocess.run(
        command, cwd=checkout, env=surroundings(checkout), stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=SECONDS,
    )  # fmt: skip
    assert ran.returncode == 0, f"{page.name}: the last commands printed\n{ran.stdout[-4000:]}"


@pytest.mark.parametrize("page", markdown.files(), ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_that_are_not_run_say_what_they_need(page):
    for block in markdown.blocks(page):
        if is_ignored(block):
            first = block.text.splitlines()[0]
            assert re.match(r"# (needs|takes|as in|in a) ", first), (
                f"{page}:{block.line}: expected '# needs ...', found {first!r}"
            )
