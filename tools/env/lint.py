"""ruff over everything, pylint-odoo over what is written for Odoo."""

from __future__ import annotations

import time
from pathlib import Path

from .. import port
from . import paths, shell, system, venv
from .console import SetupError
from .report import Step, summarize


def main() -> int:
    """`make lint`."""
    paths.ensure_env()
    system.ensure_packages(with_browser=False)
    return summarize(steps())


def interpreter() -> Path:
    """A small virtualenv for the checks alone: they do not need an Odoo."""
    wanted = [
        line
        for line in venv.read_requirements(paths.HERE / "requirements-dev.txt")
        if line.startswith(("ruff==", "pylint-odoo=="))
    ]
    return venv.ensure("lint", wanted)


def steps() -> list[Step]:
    """Run both checks; each counts as one test."""
    python = interpreter()
    # providers/ is plain Python: what pylint-odoo knows about models does not hold there.
    addon = (path for path in port.addon_files(paths.ROOT) if path.parts[0] != "providers")
    files = [str(path) for path in addon if path.suffix == ".py"]
    return [
        _check("lint: ruff", [python, "-m", "ruff", "check", "--no-cache", "--output-format=concise", "."]),
        _check("lint: pylint-odoo", [python, "-m", "pylint", "--rcfile=.pylintrc", "--score=no", *files]),
    ]


def _check(name: str, command: list[str | Path]) -> Step:
    step = Step(name)
    begin = time.monotonic()
    try:
        result = shell.run(command, timeout=600, cwd=paths.ROOT, check=False)
        if result.returncode:
            step.failures.append(result.stdout.strip() or f"exit code {result.returncode}")
        else:
            step.passed = 1
    except SetupError as error:
        step.failures.append(str(error))
    step.seconds = time.monotonic() - begin
    return step
