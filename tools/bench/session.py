"""A process with an Odoo in it: registry, environment, and what measures time, statements and memory."""

from __future__ import annotations

import gc
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import odoo
from odoo import SUPERUSER_ID, api
from odoo.modules.registry import Registry
from odoo.sql_db import Cursor

from .lines import Line
from .sizes import SIZES, Size

CONTEXT = {"tracking_disable": True, "mail_create_nolog": True, "mail_notrack": True}
_TABLE = re.compile(r"\s*(\w+)(?:\s+(?:INTO|FROM))?\s+\"?(\w+)?", re.I)


@dataclass
class Session:
    """What a subject is given.

    :param database: name of the database, made for this subject alone
    :param size: how much to measure
    :param options: options of Odoo's command line, for further processes
    :param gateway: address of the gateway simulator; empty for subjects that send nothing
    :param postmaster: process id of the database server
    :param queue_job: what starts queue_job's runner; empty when it is not there
    """

    database: str
    size: Size
    options: list[str]
    gateway: str = ""
    gateway_pid: int = 0
    postmaster: int = 0
    queue_job: dict[str, Any] = field(default_factory=dict)
    lines: list[Line] = field(default_factory=list)

    @classmethod
    def open(cls, database: str, size: str, options: Sequence[str], **others: Any) -> Session:
        """Configure Odoo in this process and load the registry."""
        odoo.tools.config.parse_config(list(options))
        session = cls(database, SIZES[size], list(options), **others)
        session.registry.check_signaling()
        return session

    @property
    def registry(self) -> Registry:
        """The registry; another one after a model was made by hand."""
        return Registry(self.database)

    @contextmanager
    def environment(self, **context: Any) -> Iterator[Any]:
        """An environment in superuser mode with a cursor of its own; committed when the block ends well."""
        with self.registry.cursor() as cr:
            yield api.Environment(cr, SUPERUSER_ID, {**CONTEXT, **context})

    def add(self, target: str, what: str, values: Sequence[float] = (), unit: str = "", **limit: Any) -> None:
        """Note a figure. `limit` is `at_most=`, `at_least=` or `equal=` with the target's figure, or
        `reason=`."""
        senses = {"at_most": "<=", "at_least": ">=", "equal": "="}
        reason = limit.pop("reason", "")
        ((sense, figure),) = limit.items() or [("", None)]
        self.lines.append(
            Line(target, what, [float(one) for one in values], unit, senses.get(sense, ""), figure, reason)
        )

    def sql(self, statement: str, parameters: dict[str, Any] | None = None) -> list[tuple[Any, ...]]:
        """Run a statement of our own outside any transaction block (VACUUM), and give its rows."""
        with odoo.sql_db.db_connect(self.database).cursor() as cr:
            cr._cnx.autocommit = True
            try:
                cr.execute(statement, parameters)
                return cr.fetchall() if cr.description else []
            finally:
                cr._cnx.autocommit = False


def tell(text: str) -> None:
    """Progress, for the log."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def seconds(work: Callable[[], Any]) -> float:
    """Wall time of work(), with the garbage collected before."""
    gc.collect()
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def rounds(count: int, **variants: Callable[[], float]) -> dict[str, list[float]]:
    """Run each variant once as a warm-up, then all of them in turn, `count` times.

    :param count: number of rounds
    :param variants: functions that give one sample each
    :return: {variant: its samples}
    """
    samples: dict[str, list[float]] = {name: [] for name in variants}
    for work in variants.values():
        work()
    for _round in range(count):
        for name, work in variants.items():
            samples[name].append(work())
    return samples


@contextmanager
def statements() -> Iterator[Counter[str]]:
    """Count the SQL statements of this process: {"all": …, "INSERT some_table": …, "SELECT": …}.

    Wrapping the cursor costs time: nothing is timed inside.
    """
    counts: Counter[str] = Counter()
    original = Cursor.execute

    def execute(self: Any, query: Any, *args: Any, **kwargs: Any) -> Any:
        text = query if isinstance(query, str) else getattr(query, "code", str(query))
        verb, table = _TABLE.match(text).groups() if _TABLE.match(text) else ("?", "")
        counts["all"] += 1
        counts[f"{verb} {table}" if verb.upper() in ("INSERT", "UPDATE", "DELETE") else verb] += 1
        return original(self, query, *args, **kwargs)

    Cursor.execute = execute
    try:
        yield counts
    finally:
        Cursor.execute = original


def memory_mb(name: str = "VmRSS") -> float:
    """Memory of this process: `VmRSS` now, `VmHWM` at its highest."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(rf"^{name}:\s+(\d+) kB", status, re.M)[1]) / 1024
