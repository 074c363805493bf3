"""The Markdown files of the project, and what stands in them."""

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BOOK = ROOT / "docs/src"
SUMMARY = BOOK / "SUMMARY.md"


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, the words behind it, and its lines."""

    language: str
    words: tuple
    text: str
    line: int


def files():
    """All Markdown files under version control."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "*.md"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).exists()]


def blocks(path):
    """The fenced blocks of a file, in order."""
    found, start = [], None
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        fence = re.match(r"\s*(`{3,})(.*)$", line)
        if start is None and fence:
            language, *words = fence[2].split() or [""]
            start, lines, marks = number, [], fence[1]
        elif start is not None and fence and fence[1] == marks and not fence[2].strip():
            found.append(Block(language, tuple(words), "\n".join(lines) + "\n", start))
            start = None
        elif start is not None:
            lines.append(line)
    assert start is None, f"{path}:{start}: a block without an end"
    return found


def prose(path):
    """The numbered lines of a file outside of fenced blocks."""
    lines = path.read_text().splitlines()
    inside = set()
    for block in blocks(path):
        inside.update(range(block.line, block.line + block.text.count("\n") + 2))
    return [(number, line) for number, line in enumerate(lines, start=1) if number not in inside]


def anchors(path):
    """What `#...` may name in a file: its headings, as mdBook and the hosting write them."""
    found = set()
    for _, line in prose(path):
        heading = re.match(r"#{1,6} (.*)$", line)
        if heading:
            # Of a link only its text counts.
            text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading[1])
            found.add(
                "".join(c for c in text.lower().replace(" ", "-") if c.isalnum() or c in "-_")
            )
    return found
