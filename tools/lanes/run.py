"""What is played: two lanes at once, then one of them killed; and what must be true afterwards."""

from __future__ import annotations

import ast
import os
import signal
import time
from collections import Counter
from pathlib import Path

from ..env import rpc
from ..env.odoo import Odoo
from ..env.report import Step
from ..env.waiting import wait_until
from .stage import QUEUE, Stage, ready

MESSAGES = 600
#: How long the simulated service takes for a message: long enough for two lanes to meet.
DELAY_MS = 400
PATIENCE = 60
#: More than a process has under way at once: its death may leave so many messages in doubt.
IN_DOUBT = 100
#: queue_job takes a job for dead when its worker is gone and it was handed out longer ago than this.
DEAD_AFTER = 10

JOBS = "queue_job WHERE channel = 'root.sicantik_notification'"
ENDED = "state NOT IN ('pending', 'processing')"


def play(odoo: Odoo, log: Path, step: Step) -> None:
    """Run the tests and scenes; each thing that must be true counts as one test.

    :param odoo: with a running cluster
    :param log: where the full output goes
    :param step: takes the results
    """
    with ready(odoo, log, step) as stage:
        rpc.fetch(f"{stage.gateway}/admin/settings", {"delay_ms": DELAY_MS})
        _two_lanes(stage, step)
        _one_killed(stage, step)


def _check(step: Step, claim: str, holds: bool, found: object) -> None:
    if holds:
        step.passed += 1
    else:
        step.failures.append(f"Not so: {claim}. Found: {found}")


def _two_lanes(stage: Stage, step: Step) -> None:
    stage.queue("both", MESSAGES)
    every = f"body LIKE 'both %' AND {ENDED}"
    wait_until(lambda: stage.count(every) == MESSAGES, seconds=PATIENCE)
    wait_until(lambda: not _jobs(stage, "state NOT IN ('done', 'failed')"), seconds=PATIENCE)
    states = stage.sql("SELECT state, count(*) FROM sicantik_notification_queue GROUP BY state")
    sent = stage.count("body LIKE 'both %' AND state = 'sent'")
    _check(step, "all messages are sent", sent == MESSAGES, states)
    twice = {text: n for text, n in Counter(stage.texts()).items() if n != 1}
    _check(step, "each message arrived once", not twice and len(stage.texts()) == MESSAGES, twice)
    jobs = _jobs(stage, "state = 'done'")
    _check(step, "the lanes sent them all", sum(job["sent"] for job in jobs) == MESSAGES, jobs)
    meetings = [
        (one["pid"], other["pid"])
        for one in jobs
        for other in jobs
        if one["pid"] < other["pid"]
        and one["sent"]
        and other["sent"]
        and max(one["begin"], other["begin"]) < min(one["end"], other["end"])
    ]
    _check(step, "two lanes sent at the same time, in two processes", bool(meetings), jobs)
    _check(step, "no lane failed", not _jobs(stage, "state = 'failed'"), _jobs(stage, "true"))


def _one_killed(stage: Stage, step: Step) -> None:
    before = len(stage.texts())
    stage.queue("one killed", MESSAGES)
    wait_until(lambda: len(stage.texts()) > before + MESSAGES // 6, seconds=PATIENCE)
    victims = stage.sql(f"SELECT worker_pid, uuid FROM {JOBS} AND state = 'started' ORDER BY id LIMIT 1")
    _check(step, "a lane was at work to be killed", bool(victims), _jobs(stage, "true"))
    if not victims:
        return
    ((pid, uuid),) = victims
    os.kill(int(pid), signal.SIGKILL)
    killed = time.monotonic()
    wait_until(lambda: not stage.count("state = 'pending'"), seconds=PATIENCE)
    time.sleep(max(0.0, killed + DEAD_AFTER + 1 - time.monotonic()))
    # Time passes: what is left in a claim is the killed lane's. Where its lock tells, this changes nothing.
    stage.sql(
        "UPDATE sicantik_notification_queue SET lease_until = now() at time zone 'UTC' - interval '1 second' "
        "WHERE state = 'processing'"
    )
    stage.queue("after", 1)
    wait_until(lambda: stage.count(ENDED) == stage.count("true"), seconds=PATIENCE)
    wait_until(lambda: not _jobs(stage, "state NOT IN ('done', 'failed')"), seconds=PATIENCE)

    states = stage.sql("SELECT state, error_class, count(*) FROM sicantik_notification_queue GROUP BY 1, 2")
    _check(step, "every message has ended", stage.count(ENDED) == 2 * MESSAGES + 1, states)
    arrived = Counter(stage.texts())
    twice = {text: n for text, n in arrived.items() if n > 1}
    _check(step, "no message arrived twice", not twice, twice)
    fates = dict(stage.sql("SELECT body, concat(state, ' ', error_class) FROM sicantik_notification_queue"))
    lost = [text for text, fate in fates.items() if fate.startswith("sent") and text not in arrived]
    _check(step, "what counts as sent has arrived", not lost, lost)
    others = {text: fate for text, fate in fates.items() if fate not in ("sent ", "failed interrupted")}
    _check(step, "what was in doubt is told as interrupted", not others, others)
    doubtful = [text for text, fate in fates.items() if fate == "failed interrupted"]
    _check(step, "the death left little in doubt", len(doubtful) <= IN_DOUBT, len(doubtful))
    jobs = _jobs(stage, "true")
    ended = {job["uuid"]: job["state"] for job in jobs}
    _check(step, "the killed lane's job came to its end too", ended.get(uuid) == "done", jobs)
    _check(step, "no lane waits or hangs", set(ended.values()) == {"done"}, jobs)
    rows = stage.client.call(QUEUE, "search_count", [])
    _check(step, "no row was lost", rows == 2 * MESSAGES + 1, rows)


def _jobs(stage: Stage, condition: str) -> list[dict]:
    """The lanes' jobs for which an SQL condition holds, oldest first."""
    lines = stage.sql(
        "SELECT uuid, state, coalesce(worker_pid, 0), extract(epoch FROM date_started), "
        f"extract(epoch FROM date_done), result FROM {JOBS} AND ({condition}) ORDER BY id"
    )
    return [
        {
            "uuid": uuid,
            "state": state,
            "pid": int(pid),
            "begin": float(begin or 0),
            "end": float(end or 0),
            "sent": ast.literal_eval(result)["sent"] if result else 0,
        }
        for uuid, state, pid, begin, end, result in lines
    ]
