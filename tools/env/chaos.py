"""`make chaos`: kill servers at random moments, crash the database, and check that no message got lost or
sent twice. KILLS=…, SECONDS=… and SEED=… change the run."""

from __future__ import annotations

import os
import secrets

from ..chaos.run import Outcome, logs, play
from . import addon, paths, source, system
from .console import SetupError, complain, say
from .odoo import Odoo
from .report import Step

KILLS = 200
#: The short version, the last step of `make test`: as many kills as fit into this.
SHORT_SECONDS = 30


def main() -> int:
    """The long version by hand: 200 kills, or what the variables say."""
    seconds = _number("SECONDS", 0)
    kills = _number("KILLS", 10**6 if seconds else KILLS)
    paths.ensure_env()
    addon.require()
    system.ensure_packages(with_browser=False)
    odoo = source.choose_one()
    outcome = _play(odoo, kills=kills, seconds=seconds)
    failures = outcome.failures()
    for failure in failures:
        complain(failure)
    if failures:
        complain(f"The books do not balance; logs and findings are in {paths.relative(logs(odoo))}.")
    return 1 if failures else 0


def short(odoo: Odoo, step: Step) -> None:
    """The short version as a step of `make test`: each book counts as one test."""
    outcome = _play(odoo, kills=10**6, seconds=SHORT_SECONDS)
    step.passed += outcome.balanced
    step.failures += outcome.failures()


def _play(odoo: Odoo, *, kills: int, seconds: float) -> Outcome:
    seed = _number("SEED", secrets.randbelow(10**6))
    say(f"Chaos on Odoo {odoo.version} (SEED={seed})")
    outcome = play(odoo, kills=kills, seconds=seconds, seed=seed)
    say()
    for name, count in outcome.table.items():
        say(f"  {name:<32}{count:>8}")
    say(f"  {'seconds':<32}{outcome.seconds:>8.0f}")
    say()
    return outcome


def _number(name: str, default: int) -> int:
    text = os.environ.get(name, "").strip()
    try:
        return int(text) if text else default
    except ValueError:
        raise SetupError(f"{name} must be a whole number, not {text!r}.") from None
