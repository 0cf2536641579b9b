"""Queues messages in ordinary transactions until it is asked to stop, and keeps a ledger of its commits.

Run inside Odoo's interpreter by `run`. The ledger is written before each commit ("try") and after it
("done"), and is on the disk before the next transaction begins.
"""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from itertools import count, cycle
from typing import Any, TextIO

from .inside import attempt, open_registry

#: Due rows that are to be waiting at any time, so that whoever is killed has work in its hands.
BACKLOG = 400
CHUNK = 60
SLOW_CHUNK = 5
PAUSE = 0.15
#: Rows that may wait for a provider that is left alone because it failed.
WAITING = 1500
#: Rows waiting for the limit at most: they are what the end of a run waits for.
LIMITED_BACKLOG = 14
LIMITED_CHUNK = 7


class Loader:
    """Queues chunks of messages of all kinds.

    :param ledger: open file of the ledger
    :param values: what `world.build` returned, and `seed`
    """

    def __init__(self, registry: Any, ledger: TextIO, values: dict) -> None:
        self.registry = registry
        self.ledger = ledger
        self.rules, self.companies, self.lanes = values["rules"], values["companies"], values["lanes"]
        self.partners = cycle(values["partners"])
        self.permits: Iterator[int] = iter(values["permits"])
        self.random = random.Random(values["seed"])
        self.numbers = count(1)
        self.stopping = False
        signal.signal(signal.SIGTERM, self._stop)

    def _stop(self, _number: int, _frame: object) -> None:
        self.stopping = True

    def run(self) -> None:
        """Queue until SIGTERM; what is under way then is finished."""
        while not self.stopping:
            due, waiting, limited = self._waiting()
            if limited <= LIMITED_BACKLOG - LIMITED_CHUNK:
                self._queue("limited", LIMITED_CHUNK)
            size = CHUNK if due < BACKLOG and waiting < WAITING else SLOW_CHUNK
            kind = self.random.choices(("hold", "resend", "permit"), (6, 3, 2))[0]
            if kind == "permit":
                self._approve(max(1, size // 6))
            else:
                self._queue(kind, size)
            time.sleep(PAUSE)

    def _waiting(self) -> tuple[int, int, int]:
        """How many rows are due, how many wait in all, and how many of them under the rule with a limit."""

        def work(env: Any) -> tuple[int, int, int]:
            env.cr.execute(
                """
                SELECT count(*) FILTER (WHERE scheduled_date <= now() at time zone 'UTC'), count(*),
                       count(*) FILTER (WHERE rule_id = %s)
                  FROM sicantik_notification_queue WHERE state = 'pending'
                """,
                [self.rules["limited"]],
            )
            return env.cr.fetchone()

        certain, counted = attempt(self.registry, work)
        return counted if certain else (BACKLOG, 0, LIMITED_BACKLOG)

    def _queue(self, kind: str, size: int) -> None:
        company = self.companies["resend" if kind == "resend" else "hold"]

        def work(env: Any, tokens: list[str]) -> None:
            env["sicantik.notification.queue"].create(
                [
                    {
                        "rule_id": self.rules[kind],
                        "partner_id": next(self.partners),
                        "company_id": company,
                        "context_values": {"permit_number": token},
                    }
                    for token in tokens
                ]
            )

        self._commit(kind, size, work)

    def _approve(self, size: int) -> None:
        """Approve permits; their rule queues the messages."""
        ids = [id_ for _number, id_ in zip(range(size), self.permits, strict=False)]
        if not ids:
            self._queue("hold", size)
            return

        def work(env: Any, tokens: list[str]) -> None:
            for permit, token in zip(env["sicantik.permit"].browse(ids), tokens, strict=True):
                permit.write({"permit_number": token, "state": "approved"})

        self._commit("permit", len(ids), work)

    def _commit(self, kind: str, size: int, work: Callable[[Any, list[str]], None]) -> None:
        tokens = [f"K{next(self.numbers):07d}" for _one in range(size)]
        self._note({"try": tokens, "kind": kind})

        def all_of_it(env: Any) -> None:
            work(env, tokens)
            for lane in env["ir.cron"].browse(self.lanes):
                lane._trigger()

        certain, _nothing = attempt(self.registry, all_of_it)
        if certain:
            self._note({"done": tokens})

    def _note(self, entry: dict) -> None:
        self.ledger.write(json.dumps(entry) + "\n")
        self.ledger.flush()
        os.fsync(self.ledger.fileno())


def main() -> None:
    """Queue into the database of the command line."""
    registry, values = open_registry()
    with open(values["ledger"], "a", encoding="utf-8") as ledger:
        Loader(registry, ledger, values).run()


if __name__ == "__main__":
    main()
