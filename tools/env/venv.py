"""Virtualenvs in `.env/`, one for each set of requirements, built once."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from . import paths, shell
from .console import SetupError, say
from .locks import locked


def ensure(
    name: str,
    requirements: Sequence[str],
    fallback: Sequence[str] | None = None,
    base: str | None = None,
) -> Path:
    """Build the virtualenv unless it is there.

    :param name: short name, part of the folder's name
    :param requirements: lines as in a requirements file
    :param fallback: what to try when these cannot be installed (pins without a wheel for this Python)
    :param base: the interpreter to build it from; default: the one that runs us
    :return: the interpreter inside
    """
    base = base or sys.executable
    # Resolved, because /usr/bin/python3 is another Python after an upgrade of the system.
    recipe = "\n".join([os.path.realpath(base), *requirements, *(fallback or ())])
    folder = paths.ensure_env() / f"venv-{name}-{hashlib.sha256(recipe.encode()).hexdigest()[:8]}"
    python, complete = folder / "bin" / "python", folder / "complete"
    with locked(paths.ENV / "venv.lock"):
        if complete.exists() and python.exists():
            return python
        say(f"Building the Python environment {paths.relative(folder)} (once, about half a minute)")
        shutil.rmtree(folder, ignore_errors=True)
        shell.run([base, "-m", "venv", folder], timeout=120, what="Creating a virtualenv")
        try:
            _install(python, folder, requirements)
        except SetupError:
            if fallback is None:
                raise
            say("  the pinned versions do not install on this Python; taking the nearest that do")
            _install(python, folder, fallback)
        complete.touch()
    return python


def _install(python: Path, folder: Path, requirements: Sequence[str]) -> None:
    listing = folder / "requirements.txt"
    listing.write_text("\n".join(requirements) + "\n")
    shell.run(
        [
            *(python, "-m", "pip", "--no-input", "--disable-pip-version-check"),
            *("install", "-q", "--prefer-binary", "-r", listing),
        ],
        timeout=1500,
        what="Installing the Python requirements",
    )


def read_requirements(path: Path) -> list[str]:
    """The lines of a requirements file without comments and empty lines."""
    lines = (line.partition(" #")[0].strip() for line in path.read_text().splitlines())
    return [line for line in lines if line and not line.startswith("#")]
