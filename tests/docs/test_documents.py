"""Links of the documents lead somewhere, files that they name exist, and pages can be read."""

import re
import subprocess
import sys
from pathlib import Path

import markdown
import pytest
from markdown import BOOK, ROOT, SUMMARY

FILES = markdown.files()
LINK = re.compile(r"!?\[(?:[^\[\]]|\[[^\]]*\])*\]\(([^)\s]+)\)")
INCLUDE = re.compile(r"\{\{#include ([^}:]+)")
# What a command makes, or what is a placeholder.
MADE = ("target/", "data/", "training/", ".venv")


def name(path):
    return str(path.relative_to(ROOT))


def included(path):
    """Files whose text stands in this page of the book."""
    return [(path.parent / found).resolve() for found in INCLUDE.findall(path.read_text())]


@pytest.mark.parametrize("path", FILES, ids=name)
def test_links_lead_to_files_and_headings_that_exist(path):
    dead = []
    for number, line in markdown.prose(path):
        for target in LINK.findall(line):
            if re.match(r"[a-z]+:", target):
                continue
            file, _, anchor = target.partition("#")
            there = (path.parent / file).resolve() if file else path
            if not there.exists():
                dead.append(f"{name(path)}:{number}: {target}: there is no such file")
            elif anchor and anchor not in markdown.anchors(there):
                dead.append(f"{name(path)}:{number}: {target}: there is no such heading")
    assert not dead, "\n".join(dead)


@pytest.mark.parametrize("path", sorted(BOOK.rglob("*.md")), ids=name)
def test_links_of_the_book_stay_in_the_book(path):
    """What lies elsewhere is not copied to the built book."""
    texts = [path, *included(path)]
    for text in texts:
        assert text.exists(), f"{name(path)} includes {text}, which does not exist"
        if text.suffix != ".md":
            continue
        for number, line in markdown.prose(text):
            for target in LINK.findall(line):
                file = target.partition("#")[0]
                if file and not re.match(r"[a-z]+:", file):
                    # Pictures of the students' cards are links to those beside the cards.
                    there = Path(path.parent / file)
                    inside = BOOK in [
                        *Path(*there.parts[:-1]).resolve().parents,
                        there.parent.resolve(),
                    ]
                    assert inside and there.exists(), (
                        f"{name(text)}:{number}: {target}, seen from {name(path)}"
                    )


def test_every_page_is_in_the_summary():
    listed = {
        (BOOK / target).resolve()
        for _, line in markdown.prose(SUMMARY)
        for target in LINK.findall(line)
    }
    pages = {page.resolve() for page in BOOK.rglob("*.md")} - {SUMMARY.resolve()}
    assert pages == listed


def braces(path):
    """a/{b,c} is a/b and a/c."""
    choice = re.search(r"\{([^{}]*)\}", path)
    if not choice:
        return [path]
    return [path[: choice.start()] + word + path[choice.end() :] for word in choice[1].split(",")]


@pytest.mark.parametrize("path", [path for path in FILES if name(path) != "CHANGELOG.md"], ids=name)
def test_files_that_are_named_exist(path):
    folders = {entry.name for entry in ROOT.iterdir() if entry.is_dir()}
    missing = []
    for number, line in markdown.prose(path):
        for code in re.findall(r"`([^`]+)`", line):
            word = code.rstrip("/").split(":")[0]
            if not re.fullmatch(r"[\w.{},*/-]+", word) or "/" not in word or word.startswith(MADE):
                continue
            if word.split("/")[0] not in folders or "NAME" in word or "..." in word:
                continue
            missing += [
                f"{name(path)}:{number}: {one}" for one in braces(word) if not list(ROOT.glob(one))
            ]
    assert not missing, "\n".join(missing)


@pytest.mark.parametrize("path", FILES, ids=name)
def test_prose_fits_into_100_columns(path):
    if path.match("models/organics-*.md"):
        pytest.skip("a card, which models/make_card.py writes")
    long = [
        f"{name(path)}:{number}: {len(line)} columns"
        for number, line in markdown.prose(path)
        if len(line) > 100 and not line.lstrip().startswith(("|", "- ["))
    ]
    assert not long, "run make fmt\n" + "\n".join(long)


def test_pictures_can_be_drawn_from_the_tables(tmp_path):
    subprocess.run([sys.executable, ROOT / "docs/pictures.py", tmp_path], check=True)
    for picture in ("performance.png", "acceptance/stability.png"):
        assert (tmp_path / picture).stat().st_size > 10_000


def test_the_readme_is_short():
    words = len((ROOT / "README.md").read_text().split())
    assert words <= 500, f"README.md has {words} words"
