"""One run: start, two kills in the middle of a chunk, pause, resume, end; and what must be true then."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from ..chaos.phones import Phones
from ..chaos.servers import Server, prefork
from ..env import addon, database, gateway, paths, ports, rpc, shell
from ..env.console import SetupError, say
from ..env.odoo import Odoo, check_log
from ..env.report import Step
from ..env.waiting import wait_until

#: From so many targets on the service answers at once and kills are spread over the expansion.
LARGE = 20_000
#: Milliseconds in which the service answers in a smaller run, so that there is something to pause.
DELAY_MS = 60
#: Messages that a killed server may leave in doubt.
IN_DOUBT = 100
#: Seconds for the slowest step of a run of this many targets.
PATIENCE = 120
TARGETS_PER_SECOND = 100
#: The session that keeps a chunk from ending, by name.
HOLDER = "campaign_holder"

QUEUE = "sicantik_notification_queue"
#: A chunk under way: its targets are taken, its messages wait for the table.
BLOCKED = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = '{name}' AND wait_event_type = 'Lock' "
    "AND query ILIKE '%INSERT INTO sicantik_notification_queue%'"
)


def logs(odoo: Odoo) -> Path:
    """Where the logs of the last run are."""
    return paths.LOGS / f"campaign-{odoo.series}"


def play(odoo: Odoo, size: int, step: Step) -> dict[str, str]:
    """Play one run; each thing that must be true counts as one test.

    :param odoo: with a running cluster
    :param size: how many targets
    :param step: takes the results
    :return: name → what was measured, as shown
    :raises SetupError: something does not start, or does not come to its end
    """
    with _Run(odoo, size, step).ready() as run:
        run.scenes()
        run.check()
        return run.table


class _Run:
    def __init__(self, odoo: Odoo, size: int, step: Step) -> None:
        assert odoo.cluster
        self.odoo, self.cluster, self.size, self.step = odoo, odoo.cluster, size, step
        self.name = f"test_campaign{odoo.series}_{os.getpid()}"
        self.folder = logs(odoo)
        self.table: dict[str, str] = {}
        self.patience = PATIENCE + size / TARGETS_PER_SECOND
        self.server: Server
        self.phones: Phones
        self.campaign = 0
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)

    # === SETTING UP ===#

    @contextlib.contextmanager
    def ready(self) -> Iterator[_Run]:
        """Database, simulator and records for the length of a `with` block."""
        odoo = self.odoo
        with contextlib.ExitStack() as stack:
            stack.callback(database.drop, self.cluster, odoo, self.name)
            stack.callback(shutil.rmtree, paths.ENV / f"addons-{odoo.series}-{self.name}", ignore_errors=True)
            database.copy(self.cluster, odoo, database.ensure_template(self.cluster, odoo), self.name)
            self.addons = addon.addons_folder(odoo, self.name)
            log = self.folder / "install.log"
            command = [
                *odoo.command(self.name, [self.addons]),
                *("-i", paths.MODULE, "--stop-after-init", "--no-http", "--max-cron-threads=0"),
            ]
            shell.run(command, timeout=900, log=log, env=odoo.env(), what="Installing the addon")
            check_log(log, "Installing the addon")
            port = ports.ephemeral()
            simulator = gateway.start(odoo.python, port)
            stack.callback(shell.stop, simulator, patience=3)
            url = gateway.address(port)
            made = json.loads(self._inside("world", gateway=url, size=self.size).splitlines()[-1])
            self.campaign = made["campaign"]
            self.phones = Phones(url)
            rpc.fetch(f"{url}/admin/settings", {"delay_ms": 0 if self.size >= LARGE else DELAY_MS})
            self.server = prefork(odoo, self.name, self.addons, self.folder / "server.log")
            stack.callback(self.server.stop)
            yield self

    def _inside(self, script: str, **values: object) -> str:
        """Run a script in Odoo's interpreter to its end and return what it prints."""
        arguments = self.odoo.command(self.name, [self.addons])[2:]
        home = self.odoo.pythonpath or self.odoo.program.parent
        result = shell.run(
            [
                *(str(self.odoo.python), "-m", f"tools.campaign.{script}"),
                *(json.dumps(arguments), json.dumps({"database": self.name, **values})),
            ],
            timeout=600,
            cwd=paths.ROOT,
            env={**self.odoo.env(), "PYTHONPATH": str(home)},
            what=f"`{script}`",
        )
        return result.stdout

    def _act(self, action: str) -> None:
        say(f"  {action}")
        self._inside("act", campaign=self.campaign, action=f"action_{action}")

    # === LOOKING ===#

    def _number(self, statement: str) -> int:
        return int(self.cluster.sql(statement, self.name)[0] or 0)

    def _left(self) -> int:
        return self._number("SELECT count(*) FROM sicantik_notification_campaign_target")

    def _rows(self, condition: str = "true") -> int:
        return self._number(
            f"SELECT count(*) FROM {QUEUE} WHERE campaign_id = {self.campaign} AND {condition}"
        )

    def _state(self) -> str:
        statement = f"SELECT state FROM sicantik_notification_campaign WHERE id = {self.campaign}"
        return self.cluster.sql(statement, self.name)[0]

    def _wait(self, what: str, condition: Callable[[], bool]) -> None:
        """Wait, and spare the minute between two looks of Odoo at its scheduled actions."""
        told = 0.0

        def nudged() -> bool:
            nonlocal told
            if time.monotonic() > told + 2:
                told = time.monotonic()
                self.cluster.sql(f"NOTIFY cron_trigger, '{self.name}'")
            return condition()

        if not wait_until(nudged, seconds=self.patience):
            raise SetupError(f"{what}: not within {self.patience:.0f} s; see {paths.relative(self.folder)}.")

    def _require(self, claim: str, holds: bool, found: object) -> None:
        if holds:
            self.step.passed += 1
        else:
            self.step.failures.append(f"Not so: {claim}. Found: {found}")

    # === SCENES ===#

    def scenes(self) -> None:
        """Play everything."""
        begin = time.monotonic()
        self._act("start")
        self._require(
            "the audience is frozen at the start", self._left() + self._rows() == self.size, self._left()
        )
        self._kill(self.size)
        self._kill(self.size // 2)
        self.server.start()
        self._wait("All targets are queued", lambda: not self._left())
        self.table["seconds until all were queued"] = f"{time.monotonic() - begin:.0f}"
        self._pause()
        self._wait("The campaign is completed", lambda: self._state() == "completed")
        self.table["seconds until completed"] = f"{time.monotonic() - begin:.0f}"
        peaks = [_peak_mb(pid) for pid in self.server.workers()]
        self.table["memory of the largest process, MB"] = f"{max(peaks, default=0):.0f}"
        self.server.stop()
        self.phones.close()

    def _kill(self, left: int) -> None:
        """Kill the server in the middle of a chunk.

        :param left: let it expand until so few targets are left
        """
        if left < self.size >= LARGE:
            self.server.start()
            self._wait("The expansion goes on", lambda: self._left() <= left)
            with self._held_up():
                self._kill_blocked()
        else:
            with self._held_up():
                self.server.start()
                self._kill_blocked()
        # The database notices at its next word to the killed one.
        self._wait("The chunk is undone", lambda: not self._number(BLOCKED.format(name=self.name)))

    def _kill_blocked(self) -> None:
        self._wait("A chunk is under way", lambda: bool(self._number(BLOCKED.format(name=self.name))))
        before = self._left()
        self.server.kill()
        say(f"  killed, {before} targets left")
        self._require("the expansion was killed half-way", before > 0, before)

    @contextlib.contextmanager
    def _held_up(self) -> Iterator[None]:
        """Keep messages from being queued for the length of a `with` block."""
        statement = (
            f"SET application_name = '{HOLDER}'; BEGIN; "
            f"LOCK TABLE {QUEUE} IN SHARE ROW EXCLUSIVE MODE; SELECT pg_sleep(300)"
        )
        command = [
            self.cluster.binaries / "psql",
            *("-h", self.cluster.socket, "-U", "odoo", "-d", self.name, "-X", "-q", "-c", statement),
        ]
        with (self.folder / "holder.log").open("wb") as stream:
            process = shell.start(command, stdout=stream)
        held = (
            "SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE l.granted "
            f"AND a.application_name = '{HOLDER}' AND l.mode = 'ShareRowExclusiveLock'"
        )
        try:
            self._wait("The table is locked", lambda: bool(self._number(held)))
            yield
        finally:
            self.cluster.sql(
                f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = '{HOLDER}'",
                self.name,
            )
            shell.stop(process, patience=3)

    def _pause(self) -> None:
        self._act("pause")
        self._wait("What was claimed has ended", lambda: not self._rows("state = 'processing'"))
        before = self._rows("state = 'sent'")
        self._wait(
            "Paused messages are held", lambda: not self._rows("state = 'pending' AND held IS NOT TRUE")
        )
        time.sleep(3)
        after = self._rows("state = 'sent'")
        self.table["sent before the pause"] = f"{before}"
        self._require("there was something to pause", before < self.size, before)
        self._require("nothing leaves during a pause", before == after, after - before)
        self._require("the campaign is paused", self._state() == "paused", self._state())
        self._act("resume")

    # === CHECKS ===#

    def check(self) -> None:
        """Compare rows, log and phones."""
        targets = self._number(
            f"SELECT count(DISTINCT res_id) FROM {QUEUE} WHERE campaign_id = {self.campaign}"
        )
        self._require(
            "exactly one row per target", self._rows() == targets == self.size, (self._rows(), targets)
        )
        interrupted = "state = 'failed' AND error_class = 'interrupted'"
        sent, doubtful = self._rows("state = 'sent'"), self._rows(interrupted)
        self._require("every row ended as sent or in doubt", sent + doubtful == self.size, (sent, doubtful))
        self._require("little is in doubt", doubtful <= 2 * IN_DOUBT, doubtful)
        arrived = Counter(message.token for message in self.phones.received)
        twice = [token for token, count in arrived.items() if count > 1]
        self._require("nobody got it twice", not twice, twice[:10])
        self._require(
            "what counts as sent has arrived, and little else",
            sent <= len(arrived) <= self.size,
            (sent, len(arrived)),
        )
        self.table.update(
            {"targets": f"{self.size}", "sent": f"{sent}", "in doubt": f"{doubtful}", "kills": "2"}
        )


def _peak_mb(pid: int) -> float:
    """The largest memory that a process has had, in MB."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")), 0.0)
