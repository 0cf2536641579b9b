"""T13: deleting a million old log rows. The anchor runs in a process of its own, for its memory."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from odoo.sql_db import Cursor

from . import world
from .session import Session, memory_mb, tell

LOG = "sicantik_notification_log"
CHUNK = 10_000
OLD_DAYS = 100
TIMEOUT = 600


def run(session: Session) -> None:
    """Measure T13: each variant in a process of its own, on the same rows."""
    with session.environment() as env:
        world.quiet(env)
        world.partners(env, 1_000)
    old = session.size.log_rows
    found = {}
    for variant in ("addon", "orm"):
        _fill(session, old, old // 10)
        found[variant] = _process(session, variant)
        ((left,),) = session.sql(f"SELECT count(*) FROM {LOG}")
        if left != old // 10:
            raise AssertionError(f"{variant}: {left} rows are left of {old // 10} new ones")
    addon, orm = found["addon"], found["orm"]
    limit = {"at_most": 5} if old >= 1_000_000 else {}
    session.add("T13", f"addon, {old:,} old rows", [addon["seconds"]], "s", **limit)
    session.add("T13", f"search().unlink() by {CHUNK:,}", [orm["seconds"]], "s")
    session.add("T13", "ORM / addon, time", [orm["seconds"] / addon["seconds"]], "x", at_least=4)
    session.add("T13", "longest transaction, addon", [addon["longest"]], "s", at_most=0.5)
    session.add("T13", "longest transaction, ORM", [orm["longest"]], "s")
    session.add("T13", "memory, addon", [addon["memory"]], "MB", at_most=20)
    session.add("T13", "memory, ORM", [orm["memory"]], "MB")


def _fill(session: Session, old: int, new: int) -> None:
    """Old log rows, spread over some days, and new ones."""
    tell(f"{old:,} old and {new:,} new log rows")
    session.sql(f"TRUNCATE {LOG}")
    session.sql(
        f"""
        INSERT INTO {LOG} (partner_id, phone, company_id, template_key, context_values, state, sent_date,
                           attempt, external_message_id, processing_time_ms, create_date)
        SELECT who.id, who.whatsapp_e164, 1, 'bench', '{{"partner_name": "Contact"}}', 'sent', stamp,
               1, 'bench-' || n, 50, stamp
          FROM generate_series(1, %(rows)s) AS n
    CROSS JOIN LATERAL (SELECT now() at time zone 'UTC' - CASE WHEN n <= %(old)s
                               THEN %(days)s * interval '1 day' + (%(old)s - n) * interval '8 second'
                               ELSE (%(rows)s - n) * interval '1 second' END AS stamp) AS times
          JOIN (SELECT id, whatsapp_e164, row_number() OVER (ORDER BY id) AS position
                  FROM res_partner WHERE whatsapp_e164 IS NOT NULL) AS who ON who.position = n %% 1000 + 1
      ORDER BY n
        """,
        {"old": old, "rows": old + new, "days": OLD_DAYS},
    )
    session.sql(f"VACUUM ANALYZE {LOG}")


def _process(session: Session, variant: str) -> dict[str, float]:
    tell(f"cleanup: {variant}")
    given = {"database": session.database, "options": session.options, "variant": variant}
    result = subprocess.run(
        [sys.executable, "-m", __name__],
        input=json.dumps(given),
        stdout=subprocess.PIPE,
        text=True,
        timeout=TIMEOUT,
    )
    if result.returncode:
        raise RuntimeError(f"the process for {variant} failed with exit code {result.returncode}")
    return json.loads(result.stdout.splitlines()[-1])


@contextmanager
def longest_transaction() -> Iterator[list[float]]:
    """Time each transaction of this process: from its first statement to its last, and the commit.

    :return: a list with one number, the seconds of the longest
    """
    longest: list[float] = [0.0]
    begun: dict[int, float] = {}
    ended: dict[int, float] = {}
    execute, commit = Cursor.execute, Cursor.commit

    def timed_execute(self: Any, *args: Any, **kwargs: Any) -> Any:
        begun.setdefault(id(self), time.perf_counter())
        try:
            return execute(self, *args, **kwargs)
        finally:
            ended[id(self)] = time.perf_counter()

    def timed_commit(self: Any) -> Any:
        begin = time.perf_counter()
        result = commit(self)
        if first := begun.pop(id(self), None):
            longest[0] = max(longest[0], ended[id(self)] - first + time.perf_counter() - begin)
        return result

    Cursor.execute, Cursor.commit = timed_execute, timed_commit
    try:
        yield longest
    finally:
        Cursor.execute, Cursor.commit = execute, commit


def measure(database: str, options: list[str], variant: str) -> dict[str, float]:
    """Clean up in this process."""
    session = Session.open(database, "small", options)
    with session.environment() as env:
        env["sicantik.notification.log"].search([], limit=1).read()
    before = memory_mb()
    with longest_transaction() as longest:
        begin = time.perf_counter()
        _by_addon(session) if variant == "addon" else _by_orm(session)
        elapsed = time.perf_counter() - begin
    return {"seconds": elapsed, "longest": longest[0], "memory": memory_mb("VmHWM") - before}


def _old(env: Any) -> list[tuple[str, str, Any]]:
    env.cr.execute("SELECT now() at time zone 'UTC' - interval '90 days'")
    return [("create_date", "<", env.cr.fetchone()[0])]


def _by_addon(session: Session) -> None:
    """The scheduled action, again as long as it leaves something."""
    while True:
        with session.environment() as env:
            env["sicantik.notification.log"].cron_cleanup_old_logs()
        with session.environment() as env:
            if not env["sicantik.notification.log"].search(_old(env), limit=1):
                return


def _by_orm(session: Session) -> None:
    while True:
        with session.environment() as env:
            rows = env["sicantik.notification.log"].search(_old(env), order="id", limit=CHUNK)
            if not rows:
                return
            rows.unlink()


if __name__ == "__main__":
    print(json.dumps(measure(**json.load(sys.stdin))))
