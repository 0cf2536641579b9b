"""`make campaign`: a campaign of SIZE targets, killed twice while it expands, paused and resumed."""

from __future__ import annotations

import os

from ..campaign.run import logs, play
from . import addon, paths, source, system
from .console import SetupError, complain, say
from .odoo import Odoo
from .postgres import Cluster
from .report import Step

SIZE = 100_000
#: The short version, a step of `make test`.
SHORT_SIZE = 5_000
#: Fewer are queued before anybody can be killed.
SMALLEST = 4_000


def main() -> int:
    """The long version by hand: 100,000 targets, or SIZE."""
    text = os.environ.get("SIZE", "").strip() or str(SIZE)
    if not text.isdecimal() or int(text) < SMALLEST:
        raise SetupError(f"SIZE must be a whole number from {SMALLEST} on, not {text!r}.")
    paths.ensure_env()
    addon.require()
    system.ensure_packages(with_browser=False)
    odoo = source.choose_one()
    step = Step("campaign")
    say(f"A campaign of {int(text):,} targets on Odoo {odoo.version}")
    _play(odoo, int(text), step)
    for failure in step.failures:
        complain(failure)
    if step.failures:
        complain(f"The logs are in {paths.relative(logs(odoo))}.")
    return 1 if step.failures else 0


def short(odoo: Odoo, step: Step) -> None:
    """The short version as a step of `make test`: each thing that must be true counts as one test."""
    _play(odoo, SHORT_SIZE, step)


def _play(odoo: Odoo, size: int, step: Step) -> None:
    with Cluster() as odoo.cluster:
        table = play(odoo, size, step)
    say()
    for name, found in table.items():
        say(f"  {name:<40}{found:>10}")
    say(f"  {'checks that hold':<40}{step.passed:>10}")
    say()
