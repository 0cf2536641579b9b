"""T8 to T10, T12 and T15: from queue rows to the wire and back."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import odoo

from . import jobs, world
from .lines import ratios
from .sending import Sample, drain, fill, naive, sample
from .session import Session, rounds, tell
from .simulator import Simulator

IN_FLIGHT = 32
DELAYS = (0, 50, 100, 200)
#: Messages of a sample, per second of `Size.seconds`. The slower the answers, the longer the drain is
#: watched: its beginning and its end, when fewer requests are under way, take some answers' time.
NAIVE_MESSAGES = {0: 250, 50: 18, 100: 9, 200: 5}
DRAIN_MESSAGES = {0: 1_000, 50: 800, 100: 600, 200: 400}
BOUND_SHARE = {50: 0.90, 100: 0.93, 200: 0.93}
#: T9's limits: at D = 0 and above.
NAIVE_LIMIT = {0: 5, 50: 25, 100: 25, 200: 25}
JOBS_LIMIT = {0: 15, 50: 9, 100: 9, 200: 9}
WAYS = {"drain": "drain", "naive": "naive loop", "jobs": "queue_job"}
CLAIMS = 20
TIMEOUT = 300


def run(session: Session) -> None:
    """Measure T8 to T10, T12 and T15."""
    simulator = Simulator(session.gateway)
    with session.environment() as env:
        world.quiet(env)
        world.partners(env, 10_000)
        template = world.template(env, ["number"])
        world.rule(env, template.template_key)
        world.provider(env, session.gateway)
    session.sql("VACUUM ANALYZE res_partner")
    _compare(session, _speeds(session, simulator))
    _two_drains(session, simulator)
    _long_drain(session, simulator)


def _speeds(session: Session, simulator: Simulator) -> dict[int, dict[str, list[Sample]]]:
    """T8, T9, T10: the drain, the naive loop and queue_job, in turn, at each delay.

    :return: {delay: {"drain", "naive", "jobs": samples}}, without "jobs" when there is no queue_job
    """
    found = {}
    with jobs.runner(session, simulator) as runner:
        for delay in DELAYS:
            tell(f"drain, naive loop and queue_job, D={delay} ms")
            # Whole waves: what is left over would wait for one more answer.
            many = round(DRAIN_MESSAGES[delay] * session.size.seconds / IN_FLIGHT) * IN_FLIGHT
            few = max(10, round(NAIVE_MESSAGES[delay] * session.size.seconds))
            ways = {
                "drain": lambda d=delay, n=many: sample(session, simulator, d, n, lambda: drain(session)),
                "naive": lambda d=delay, n=few: sample(
                    session, simulator, d, n, lambda: naive(session, simulator)
                ),
            }
            if runner:
                ways["jobs"] = lambda d=delay: runner.send(d, session.size.jobs)
            found[delay] = rounds(session.size.rounds, **ways)
    return found


def _compare(session: Session, speeds: dict[int, dict[str, list[Sample]]]) -> None:
    for delay, found in speeds.items():
        ours, at = [one.speed for one in found["drain"]], f"D={delay} ms"
        session.add("T8", f"drain, {at}", ours, "msg/s")
        if delay:
            shares = [one / (IN_FLIGHT / delay * 1000) for one in ours]
            session.add("T8", f"part of the bound, {at}", shares, "x", at_least=BOUND_SHARE[delay])
        naives = [one.speed for one in found["naive"]]
        session.add("T9", f"naive loop, {at}", naives, "msg/s")
        session.add("T9", f"drain / naive, {at}", ratios(ours, naives), "x", at_least=NAIVE_LIMIT[delay])
        what, limit = f"drain / queue_job with 4 workers, {at}", {"at_least": JOBS_LIMIT[delay]}
        if "jobs" in found:
            theirs = [one.speed for one in found["jobs"]]
            session.add("T9", f"queue_job with 4 workers, {at}", theirs, "msg/s")
            session.add("T9", what, ratios(ours, theirs), "x", **limit)
        else:
            session.add("T9", what, unit="x", reason=session.queue_job["reason"], **limit)
    for delay in (0, 50):
        for way, samples in speeds[delay].items():
            limit = {"at_most": 1.5} if way == "drain" else {}
            values = [one.cpu for one in samples]
            session.add("T10", f"{WAYS[way]}, D={delay} ms: CPU per message", values, "ms", **limit)
        for part, label in (("client", "the sending process"), ("postgres", "PostgreSQL")):
            values = [getattr(one, part) for one in speeds[delay]["drain"]]
            session.add("T10", f"drain, D={delay} ms: of it {label}", values, "ms")


def _two_drains(session: Session, simulator: Simulator) -> None:
    """T12: two processes drain at once; all messages arrive, each once."""
    tell("two drains")
    count = round(DRAIN_MESSAGES[0] * session.size.seconds * 1.5)

    def by(processes: int) -> float:
        fill(session, count)
        simulator.begin(0)
        with _drains(session, processes) as go:
            elapsed = go()
        texts = [message["text"] for message in simulator.messages()]
        twice.append(len(texts) - len(set(texts)))
        missing.append(count - len(set(texts)))
        return count / elapsed

    twice: list[float] = []
    missing: list[float] = []
    found = rounds(session.size.rounds, one=lambda: by(1), two=lambda: by(2))
    session.add("T12", "one drain", found["one"], "msg/s")
    session.add("T12", "two drains", found["two"], "msg/s")
    session.add("T12", "two / one", ratios(found["two"], found["one"]), "x", at_least=1.5)
    session.add("T12", "messages that arrived twice, all rounds", [sum(twice)], equal=0)
    session.add("T12", "messages that did not arrive, all rounds", [sum(missing)], equal=0)


@contextmanager
def _drains(session: Session, processes: int) -> Iterator[Callable[[], float]]:
    """Processes that wait for their sign; the function gives it, and the seconds until all are done."""
    given = json.dumps({"database": session.database, "options": session.options})
    workers = [
        subprocess.Popen(
            [sys.executable, "-m", __name__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _process in range(processes)
    ]

    def go() -> float:
        begin = time.perf_counter()
        for worker in workers:
            worker.stdin.write("go\n")
            worker.stdin.flush()
        for worker in workers:
            if worker.stdout.readline().strip() != "done":
                raise AssertionError("a drain broke off")
        return time.perf_counter() - begin

    try:
        for worker in workers:
            worker.stdin.write(given + "\n")
            worker.stdin.flush()
        for worker in workers:
            if worker.stdout.readline().strip() != "ready":
                raise AssertionError("a drain's process did not start")
        yield go
    finally:
        for worker in workers:
            worker.kill()
            worker.communicate(timeout=TIMEOUT)


def _drain_process() -> None:
    """A process that drains when it is told to."""
    session = Session.open(size="small", **json.loads(sys.stdin.readline()))
    with session.environment() as env:
        env["sicantik.notification.queue"].search([], limit=1).read()
    print("ready", flush=True)
    sys.stdin.readline()
    with session.environment() as env:
        while env["sicantik.notification.queue"].cron_process_queue()["processed"]:
            env.cr.commit()
    print("done", flush=True)


def _long_drain(session: Session, simulator: Simulator) -> None:
    """T15: an old snapshot keeps every dead row and index entry alive while the drain goes on."""
    count = session.size.long_drain
    tell(f"a drain of {count:,} messages under an old snapshot")
    fill(session, count)
    simulator.begin(0)
    with odoo.sql_db.db_connect(session.database).cursor() as old, _claims(session) as claims:
        old.execute("SELECT count(*) FROM sicantik_notification_queue")
        drain(session)
        old.rollback()
    arrivals = [message["at"] for message in simulator.messages()]
    if len(arrivals) != count:
        raise AssertionError(f"{len(arrivals)} of {count} messages arrived")
    tenth = count // 10
    first, last = (tenth / (part[-1] - part[0]) for part in (arrivals[:tenth], arrivals[-tenth:]))
    pauses = [after - before for before, after in pairwise(arrivals)]
    begin, end = sorted(claims[:CLAIMS]), sorted(claims[-CLAIMS:])
    medians = [half[len(half) // 2] for half in (begin, end)]
    session.add("T15", f"the first {CLAIMS} claims", begin, "ms")
    session.add("T15", f"the last {CLAIMS} claims of {len(claims)}", end, "ms")
    session.add("T15", "last / first", [medians[1] / medians[0]], "x", at_most=4)
    session.add("T15", f"first {tenth:,} messages", [first], "msg/s")
    session.add("T15", f"last {tenth:,} messages", [last], "msg/s")
    session.add("T15", "longest pause between two messages", [max(pauses)], "s")


@contextmanager
def _claims(session: Session) -> Iterator[list[float]]:
    """Time the claims of this process that found something, in ms."""
    with session.environment() as env:
        model = type(env["sicantik.notification.drain"])
    original, claims = model._claim, []

    def timed(self: Any, *args: Any, **kwargs: Any) -> Any:
        begin = time.perf_counter()
        claimed = original(self, *args, **kwargs)
        if claimed:
            claims.append((time.perf_counter() - begin) * 1000)
        return claimed

    model._claim = timed
    try:
        yield claims
    finally:
        del model._claim


if __name__ == "__main__":
    _drain_process()
