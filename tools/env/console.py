"""What a person sees: short lines, no colours, flushed at once so that CI shows them in order."""

from __future__ import annotations

import sys


class SetupError(Exception):
    """Something outside our hands is missing or broken; the text says what to do about it."""


def say(text: str = "") -> None:
    """Print one line of progress."""
    print(text, flush=True)


def complain(text: str) -> None:
    """Print a problem, on stderr, after whatever was said before."""
    sys.stdout.flush()
    print(text, file=sys.stderr, flush=True)
