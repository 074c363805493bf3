"""make says in its first lines what it lacks, before it downloads or compiles anything."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# Not that of a `make test` around these tests.
OURS = ("MAKE", "CARGO_T")
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
NOBODY = 65534


def make(folder, *words, **options):
    outputs = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.run(["make", *words], cwd=folder, env=ENVIRONMENT, **outputs, **options)


@pytest.fixture
def project(tmp_path):
    """What make reads of the project."""

    def copy(name):
        folder = tmp_path / name
        folder.mkdir()
        for file in ("Makefile", "install.mk", "Cargo.toml", "LICENSE-MIT", "LICENSE-APACHE"):
            shutil.copy(ROOT / file, folder)
        for part in ("include", "packaging"):
            shutil.copytree(ROOT / part, folder / part)
        for part in ("tool/src/plot", "models/labels"):
            (folder / part).mkdir(parents=True)
        shutil.copy(ROOT / "tool/src/plot/DejaVuSans.LICENSE", folder / "tool/src/plot")
        for hashes in (ROOT / "models/labels").glob("*.sha256"):
            shutil.copy(hashes, folder / "models/labels")
        return folder

    return copy


@pytest.mark.parametrize("words", [["all"], ["demo"], ["help"], ["-f", "install.mk", "install"]])
def test_a_folder_with_a_space_is_refused_in_the_first_line(project, words):
    folder = project("my student")
    finished = make(folder, *words)
    assert finished.returncode != 0
    lines = [line for line in finished.stdout.splitlines() if not line.startswith("make: ")]
    assert "make cannot handle spaces in paths" in lines[0] and str(folder) in lines[0]


@pytest.mark.parametrize("name", ["MODEL", "VENV", "CARGO_TARGET_DIR", "LAMMPS"])
def test_a_name_with_a_space_is_refused_in_the_first_line(project, name):
    finished = make(project("student"), "all", f"{name}=my file")
    assert finished.returncode != 0
    assert f"{name} is 'my file': make cannot handle spaces" in finished.stdout.splitlines()[0]


@pytest.mark.parametrize("target", ["all", "demo", "library", "plugin", "lint", "test-trainer"])
def test_without_rust_make_names_rustup_before_it_downloads(project, target):
    folder = project("student")
    (folder / "student.pt").touch()
    finished = make(folder, target, "CARGO=no-such-cargo", "MODEL=student.pt")
    assert finished.returncode != 0
    assert "ERROR: there is no Rust here (no-such-cargo is not found)" in finished.stdout
    assert "install it as https://rustup.rs says" in finished.stdout
    assert not list(folder.glob(".venv*"))


@pytest.mark.skipif(not shutil.which("cargo"), reason="cargo is not installed")
def test_a_rust_that_is_too_old_is_refused_before_anything_is_downloaded(project):
    folder = project("student")
    text = (folder / "Cargo.toml").read_text()
    assert text.count("rust-version") == 1
    newer = re.sub('rust-version = ".*"', 'rust-version = "99.1"', text)
    (folder / "Cargo.toml").write_text(newer)
    finished = make(folder, "all")
    assert finished.returncode != 0
    assert "ERROR: Rust 99.1 or newer is needed, found 1." in finished.stdout
    assert not list(folder.glob(".venv*"))


def built(folder):
    """Stands for what cargo builds: make only copies it."""
    build = folder / "build"
    build.mkdir()
    for name in ("libmlff_student.so", "mlff-student"):
        (build / name).write_text(name)
    return build


def test_install_without_rights_suggests_a_prefix(project, tmp_path):
    folder = project("student")
    build = built(folder)
    prefix = tmp_path / "system"
    prefix.mkdir(mode=0o755)
    options = {}
    if os.geteuid() == 0:
        # All of these folders are pytest's, for its user alone.
        for part in [tmp_path, *tmp_path.parents[:2]]:
            part.chmod(0o755)
        options = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
    else:
        prefix.chmod(0o555)
    words = ["-f", "install.mk", "install", f"BUILD={build}", f"PREFIX={prefix}"]
    finished = make(folder, *words, **options)
    assert finished.returncode != 0
    assert f"ERROR: you may not write to {prefix}: " in finished.stdout
    assert "make install PREFIX=$HOME/mlff" in finished.stdout
    assert not list(prefix.iterdir())


def test_a_prefix_may_have_a_space(project, tmp_path):
    folder = project("student")
    prefix = tmp_path / "my programs"
    words = ["-f", "install.mk", "install", f"BUILD={built(folder)}", f"PREFIX={prefix}"]
    finished = make(folder, *words)
    assert finished.returncode == 0, finished.stdout
    installed = ["bin/mlff-student", "include/mlff_student.h", "lib/libmlff_student.so"]
    for name in [*installed, "lib/pkgconfig/mlff_student.pc"]:
        assert (prefix / name).exists(), finished.stdout
    finished = make(folder, "-f", "install.mk", "uninstall", f"PREFIX={prefix}")
    assert finished.returncode == 0
    assert not [path for path in prefix.rglob("*") if path.is_file()]
