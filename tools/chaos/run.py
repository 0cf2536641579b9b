"""One chaos run, from an empty database to checked books."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from .. import port
from ..env import addon, database, paths, ports, rpc, shell
from ..env.console import SetupError, say
from ..env.locks import FileLock
from ..env.odoo import Odoo, check_log
from ..env.postgres import Cluster
from ..env.waiting import wait_until
from . import books
from .cluster import CrashingCluster
from .monkey import Monkey
from .phones import Phones
from .servers import prefork, threaded

RULES = books.Rules(resend=frozenset({"resend"}), limited="limited", limit=books.LIMIT, period=50.0)
#: Seconds that the rows have to end after the last kill: leases, retries and the limit are waited for.
PATIENCE = 600.0
#: Findings shown per book; all of them are in findings.json.
SHOWN = 10
#: Messages of which findings.json has all columns and the log.
DETAILED = 100

ROWS = """
SELECT json_build_object('id', q.id, 'token', coalesce(q.context_values::jsonb ->> 'permit_number', ''),
       'state', q.state, 'error_class', q.error_class,
       'accepted', count(l.id) FILTER (WHERE l.state = 'sent'),
       'interrupted', count(l.id) FILTER (WHERE l.error_class = 'interrupted'))
  FROM sicantik_notification_queue q LEFT JOIN sicantik_notification_log l ON l.queue_id = q.id
 GROUP BY q.id
"""
#: Everything about single messages, for whoever looks for the reason.
DETAILS = """
SELECT jsonb_build_object('row', to_jsonb(q), 'log', (
           SELECT jsonb_agg(to_jsonb(l) ORDER BY l.id)
             FROM sicantik_notification_log l WHERE l.queue_id = q.id))
  FROM sicantik_notification_queue q
 WHERE q.context_values::jsonb ->> 'permit_number' IN ({tokens})
 ORDER BY q.id
"""
TRIGGER = """
INSERT INTO ir_cron_trigger (cron_id, call_at)
SELECT id, now() at time zone 'UTC' FROM ir_cron WHERE id IN ({ids})
"""
OPEN = "SELECT count(*) FROM sicantik_notification_queue WHERE state IN ('pending', 'processing')"


@dataclass
class Outcome:
    """What a run found.

    :param table: name → number, as shown
    :param found: book → what does not balance in it
    :param problems: what went wrong beside the books
    :param seconds: how long it took
    """

    table: dict[str, int] = field(default_factory=dict)
    found: dict[str, list[str]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def balanced(self) -> int:
        """How many books balance."""
        return sum(not texts for texts in self.found.values())

    def failures(self) -> list[str]:
        """What to complain about: a text per book that does not balance, and the problems."""
        texts = [
            f"{name}: {books.BOOKS[name]} ({len(entries)})\n  " + "\n  ".join(entries[:SHOWN])
            for name, entries in self.found.items()
            if entries
        ]
        return texts + self.problems


def logs(odoo: Odoo) -> Path:
    """Where logs, ledger and findings of the last run are."""
    return paths.LOGS / f"chaos-{odoo.series}"


def play(odoo: Odoo, *, kills: int, seconds: float, seed: int) -> Outcome:
    """Play one run and check its books. Logs, ledger and findings are kept in `logs`.

    :param odoo: which Odoo; its `cluster` is replaced
    :param kills: kills wanted
    :param seconds: end the killing after so long; 0: when the kills are done
    :param seed: of all random choices
    :raises SetupError: something could not be set up
    """
    lock = FileLock(paths.ENV / "chaos.lock")
    if not lock.take(wait=False):
        raise SetupError("Another `make chaos` is at work in this checkout.")
    begin = time.monotonic()
    try:
        outcome = _Run(odoo, seed).play(kills, seconds)
    finally:
        lock.release()
    outcome.seconds = time.monotonic() - begin
    return outcome


class _Run:
    def __init__(self, odoo: Odoo, seed: int) -> None:
        self.odoo, self.seed = odoo, seed
        self.name = f"chaos_{odoo.series}"
        self.folder = logs(odoo)
        self.ledger = self.folder / "ledger.jsonl"
        self.addons = paths.ENV / "chaos-addons"
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir()

    def play(self, kills: int, seconds: float) -> Outcome:
        with contextlib.ExitStack() as stack:
            cluster = CrashingCluster()
            self._copy_addon()
            stack.callback(shutil.rmtree, self.addons, ignore_errors=True)
            self._database(cluster, stack)
            gateway_url = stack.enter_context(self._gateway())
            made = self._build_world(gateway_url)
            phones = Phones(gateway_url)
            servers = [
                kind(self.odoo, self.name, self.addons, self.folder / f"{kind.__name__}.log")
                for kind in (prefork, threaded)
            ]
            for server in servers:
                stack.callback(server.stop)
                server.start()
            monkey = Monkey(random.Random(self.seed), servers, cluster, phones, kills=kills, seconds=seconds)
            with self._loader(made) as loader:
                monkey.play(lambda: loader.poll() is None)
            phones.behave()
            monkey.revive()
            self._wait_for_the_end(cluster, made["lanes"] if seconds else [])
            for server in servers:
                server.stop()
            phones.close()
            outcome = self._check(cluster, phones, monkey)
            if not outcome.failures():
                database.drop(cluster, self.odoo, self.name)
            return outcome

    def _copy_addon(self) -> None:
        """A copy of the addon: all servers of a run have the same code, whatever is edited meanwhile."""
        target = self.addons / paths.MODULE
        shutil.rmtree(self.addons, ignore_errors=True)
        if self.odoo.series != 17:
            addon.write_port(self.odoo, target)
            return
        for path in port.addon_files(paths.ROOT):
            (target / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(paths.ROOT / path, target / path)

    def _database(self, cluster: CrashingCluster, stack: contextlib.ExitStack) -> None:
        """A fresh database with the addon, in the cluster that may crash, which then runs."""
        say("Preparing a database of its own")
        with Cluster() as shared:
            self.odoo.cluster = shared
            template = database.ensure_template(shared, self.odoo)
            stack.enter_context(cluster)
            self.odoo.cluster = cluster
            database.drop(cluster, self.odoo, self.name)
            cluster.take_over(shared, template, self.name)
        files = database.filestore(self.odoo, template)
        if files.exists():
            shutil.copytree(files, database.filestore(self.odoo, self.name), copy_function=os.link)
        log = self.folder / "install.log"
        command = [
            *self.odoo.command(self.name, [self.addons]),
            *("-i", paths.MODULE, "--stop-after-init", "--no-http", "--max-cron-threads=0"),
        ]
        shell.run(command, timeout=900, log=log, env=self.odoo.env(), what="Installing the addon")
        check_log(log, "Installing the addon")

    @contextlib.contextmanager
    def _gateway(self) -> Iterator[str]:
        number = ports.ephemeral()
        url = f"http://127.0.0.1:{number}"
        command = [self.odoo.python, "-m", "tools.gateway", f"--port={number}", f"--parent={os.getpid()}"]
        with (self.folder / "gateway.log").open("wb") as stream:
            process = shell.start(command, stdout=stream, cwd=paths.ROOT)
        try:
            if not wait_until(lambda: rpc.answers(f"{url}/admin/health"), process=process, seconds=30):
                raise SetupError(f"The gateway simulator did not start; see {paths.relative(self.folder)}.")
            yield url
        finally:
            shell.stop(process, patience=3)

    def _inside(self, script: str, **values: object) -> tuple[list[str], dict[str, str]]:
        """The command and the environment of a script in Odoo's interpreter."""
        arguments = self.odoo.command(self.name, [self.addons])[2:]
        command = [
            *(str(self.odoo.python), "-m", f"tools.chaos.{script}"),
            *(json.dumps(arguments), json.dumps({"database": self.name, **values})),
        ]
        home = self.odoo.pythonpath or self.odoo.program.parent
        return command, {**self.odoo.env(), "PYTHONPATH": str(home)}

    def _build_world(self, gateway: str) -> dict:
        command, env = self._inside("world", gateway=gateway)
        result = shell.run(command, timeout=300, cwd=paths.ROOT, env=env, what="Making the records")
        (self.folder / "world.log").write_text(result.stdout)
        return json.loads(result.stdout.splitlines()[-1])

    @contextlib.contextmanager
    def _loader(self, made: dict) -> Iterator[subprocess.Popen[bytes]]:
        """Messages being queued for the length of a `with` block."""
        self.ledger.touch()
        command, env = self._inside("loader", ledger=str(self.ledger), seed=self.seed, **made)
        with (self.folder / "loader.log").open("wb") as stream:
            process = shell.start(command, stdout=stream, cwd=paths.ROOT, env=env)
        try:
            if not wait_until(lambda: self.ledger.stat().st_size > 0, process=process, seconds=60):
                raise SetupError(f"Nothing gets queued; see {paths.relative(self.folder)}.")
            yield process
            if process.poll() is not None:
                raise SetupError(f"The loader ended too early; see {paths.relative(self.folder)}.")
        finally:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(60)
            shell.stop(process, patience=1)

    def _wait_for_the_end(self, cluster: Cluster, wake: list[int]) -> None:
        """Leave the servers alone until every row has ended.

        The notification only spares the minute between two looks of Odoo at its scheduled actions.

        :param wake: ids of scheduled actions to trigger as well, as the messages of a busy office would: it
            spares the minute between two runs of each
        """
        say("Nobody is killed any more; waiting until every row has ended")
        end, told = time.monotonic() + PATIENCE, time.monotonic()
        while (left := int(cluster.sql(OPEN, self.name)[0])) and time.monotonic() < end:
            if time.monotonic() > told + 20:
                told = time.monotonic()
                say(f"  {left} left")
            if wake:
                cluster.sql(TRIGGER.format(ids=", ".join(map(str, wake))), self.name)
            cluster.sql(f"NOTIFY cron_trigger, '{self.name}'")
            time.sleep(2)

    def _check(self, cluster: Cluster, phones: Phones, monkey: Monkey) -> Outcome:
        with self.ledger.open(encoding="utf-8") as lines:
            ledger = books.read_ledger(lines)
        rows = [books.Row(**json.loads(line)) for line in cluster.sql(ROWS, self.name)]
        outcome = Outcome(problems=list(monkey.problems))
        outcome.found = books.check(ledger, rows, phones.received, RULES)
        outcome.table = {
            **books.counts(ledger, rows, phones.received, RULES),
            **{f"kills: {kind}": count for kind, count in sorted(monkey.killed.items())},
            "kills": monkey.killed.total(),
            "server starts": sum(turn.server.launches for turn in monkey.turns),
            "database crashes": monkey.crashes,
            "faults played": phones.faults,
            **{f"book: {name}": len(entries) for name, entries in outcome.found.items()},
        }
        if not outcome.table["interrupted attempts"]:
            outcome.problems.append("Nothing was interrupted, so this run proves nothing.")
        details = self._details(cluster, phones, outcome)
        summary = json.dumps({"seed": self.seed, **vars(outcome), "details": details}, indent=1)
        (self.folder / "findings.json").write_text(summary)
        return outcome

    def _details(self, cluster: Cluster, phones: Phones, outcome: Outcome) -> list[dict]:
        """Queue row, log and messages of what does not balance."""
        texts = "\n".join(text for entries in outcome.found.values() for text in entries)
        tokens = sorted(set(books.TOKEN.findall(texts)))[:DETAILED]
        if not tokens:
            return []
        names = ", ".join(f"'{token}'" for token in tokens)
        rows = [json.loads(line) for line in cluster.sql(DETAILS.format(tokens=names), self.name)]
        received = [asdict(one) for one in phones.received if one.token in tokens]
        return [*rows, {"received": received}]
