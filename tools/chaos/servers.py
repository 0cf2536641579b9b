"""The Odoo servers that are killed: one with processes as cron workers, one with threads."""

from __future__ import annotations

import os
import random
import signal
import subprocess
from pathlib import Path

from ..env import shell
from ..env.odoo import Odoo

#: What Odoo logs when a server has loaded its database and begins to work.
UP = b"Registry loaded in"


class Server:
    """One Odoo server, started again and again.

    :param name: names its log
    :param options: what makes it the kind of server that it is
    :param log: file that all its lives append to
    """

    def __init__(self, name: str, odoo: Odoo, command: list[str], log: Path) -> None:
        self.name, self.odoo, self.command, self.log = name, odoo, command, log
        self.process: subprocess.Popen[bytes] | None = None
        self.launches = 0
        self._log_start = 0

    def start(self) -> None:
        """Start it; returns at once."""
        self._log_start = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as stream:
            self.process = shell.start(self.command, stdout=stream, env=self.odoo.env())
        self.launches += 1

    @property
    def running(self) -> bool:
        """Whether its main process lives."""
        return bool(self.process and self.process.poll() is None)

    @property
    def up(self) -> bool:
        """Whether this life has come so far that it works."""
        if not self.running:
            return False
        with self.log.open("rb") as stream:
            stream.seek(self._log_start)
            return UP in stream.read()

    def kill(self) -> None:
        """SIGKILL to the whole server."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        """End it in order."""
        if self.process:
            shell.stop(self.process, patience=15)

    def workers(self) -> list[int]:
        """Its worker processes (none when it works in threads)."""
        try:
            children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        except OSError:
            return []
        return [int(pid) for pid in children.split() if shell.alive(int(pid))]

    def kill_worker(self, rng: random.Random) -> bool:
        """SIGKILL to one worker process; its master starts another one.

        :return: whether there was one
        """
        workers = self.workers()
        if not workers:
            return False
        try:
            os.kill(rng.choice(workers), signal.SIGKILL)
        except ProcessLookupError:
            return False
        return True


def prefork(odoo: Odoo, database: str, addons: Path, log: Path) -> Server:
    """A server whose cron workers are processes. Without HTTP it has no other children."""
    options = ["--no-http", "--workers=1", "--max-cron-threads=2"]
    return Server("processes", odoo, [*odoo.command(database, [addons]), *options], log)


def threaded(odoo: Odoo, database: str, addons: Path, log: Path) -> Server:
    """A server whose cron workers are threads."""
    options = ["--no-http", "--workers=0", "--max-cron-threads=2"]
    return Server("threads", odoo, [*odoo.command(database, [addons]), *options], log)
