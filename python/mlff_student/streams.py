# SPDX-License-Identifier: MIT OR Apache-2.0
"""Standard output and standard error whose reader may stop reading, as `| head` does."""

import os
import sys
from typing import TextIO


def survive_closed_pipes() -> None:
    """From now on, output that nobody reads is discarded.

    Without it a program that prints into `| head` ends with BrokenPipeError. What a program does
    and its exit status do not depend on who reads: files are written, checks are made.
    """
    # They are None where the program was started without them.
    sys.stdout = sys.stdout and Stream(sys.stdout)
    sys.stderr = sys.stderr and Stream(sys.stderr)


class Stream:
    """A text stream that discards what is written once its pipe is closed."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Writes text; returns its length, as a file does."""
        try:
            return self._stream.write(text)
        except BrokenPipeError:
            self._discard()
            return len(text)

    def flush(self) -> None:
        """Writes what is buffered; Python does it, too, when it ends."""
        try:
            self._stream.flush()
        except BrokenPipeError:
            self._discard()

    def _discard(self) -> None:
        # The buffer still holds what could not be written: the null device takes that, too.
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, self._stream.fileno())
        os.close(null)

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)
