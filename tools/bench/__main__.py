"""`python -m tools.bench SUBJECT GIVEN RESULT`: measure one subject in this process.

Run by `tools/env/bench.py` with an interpreter that has Odoo, one database for each subject. GIVEN is a file
with a JSON object of the arguments of `Session.open`; the lines are written to the file RESULT."""

from __future__ import annotations

import json
import sys
from importlib import import_module
from pathlib import Path

from .session import Session, tell


def main(subject: str, given: str, result: str) -> None:
    """Measure, and write what was measured, also when the subject breaks off."""
    session = Session.open(**json.loads(Path(given).read_text()))
    tell(f"{subject}: begin")
    try:
        import_module(f"{__package__}.{subject}").run(session)
    finally:
        Path(result).write_text(json.dumps([line.as_dict() for line in session.lines]))
    tell(f"{subject}: end")


if __name__ == "__main__":
    main(*sys.argv[1:])
