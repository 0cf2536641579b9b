"""T11: what a claim costs in a queue of a million rows."""

from __future__ import annotations

import time

from . import world
from .lines import Line
from .session import Session, tell

LIMIT = 200
CLAIMS = 31
FEW = 1_000


def run(session: Session) -> None:
    """Measure T11."""
    with session.environment() as env:
        world.quiet(env)
        world.partners(env, 1_000)
        world.template(env, ["number"])
    rows = session.size.queue_rows
    many, later = rows // 5, rows // 10
    world.empty(session)
    _grow(session, sent=FEW // 2, due=FEW // 2)
    small = _claims(session, f"{FEW:,} rows, {FEW // 2} due")
    _grow(session, sent=rows - FEW)
    idle = _claims(session, f"{rows:,} rows, none due", at_most=0.5)
    _grow(session, due=many)
    large = _claims(session, f"{rows:,} rows and {many:,} due", at_most=3)
    session.lines += [idle, small, large]
    session.add("T11", f"{many:,} due / {FEW // 2} due", [large.median / small.median], "x", at_most=1.5)
    _grow(session, due=FEW, later=later)
    what = f"{rows:,} rows and {FEW:,} due behind {later:,} of tomorrow"
    session.lines.append(_claims(session, what, at_most=4))


def _grow(session: Session, *, sent: int = 0, due: int = 0, later: int = 0) -> None:
    """Put the queue into a state: what was pending is gone, new rows stand behind the old ones.

    :param sent: number of new ended rows
    :param due: number of pending rows, the oldest first
    :param later: number of pending rows for tomorrow, of a higher priority
    """
    tell(f"the queue: {sent:,} sent, {due:,} due, {later:,} later")
    session.sql("DELETE FROM sicantik_notification_queue WHERE state = 'pending'")
    rows, tomorrow = sent + due + later, f"n > {sent + due}"
    world.queue(
        session,
        rows,
        state=f"CASE WHEN n > {sent} THEN 'pending' ELSE 'sent' END",
        priority=f"CASE WHEN {tomorrow} THEN 9 ELSE 5 END",
        scheduled_date=f"now() at time zone 'UTC' + CASE WHEN {tomorrow} THEN interval '1 day' "
        f"ELSE (n - {rows + 1}) * interval '0.1 second' END",
    )


def _claims(session: Session, what: str, **limit: float) -> Line:
    """Claim some times, each rolled back, after one that fills the caches."""
    samples = []
    with session.environment() as env:
        drain = env["sicantik.notification.drain"]
        for _claim in range(CLAIMS + 1):
            begin = time.perf_counter()
            drain._claim(1, LIMIT)
            samples.append((time.perf_counter() - begin) * 1000)
            env.cr.rollback()
    senses = {"sense": "<=", "limit": limit["at_most"]} if limit else {}
    return Line("T11", what, samples[1:], "ms", **senses)
