"""queue_job, the anchor of T9: its real runner with four workers, one job per message."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import requests

from . import cpu
from .sending import Sample
from .session import Session, tell
from .simulator import Simulator, form

START = 60
TIMEOUT = 180


class RunnerError(Exception):
    """queue_job could not be measured; the text says why."""


class Runner:
    """Odoo with queue_job's runner, and a process that queues jobs.

    `session.queue_job` is `command` (Odoo's, workers and channel included), `env`, `url`, `database` and
    `options`, as made by `tools/env/bench.py`.
    """

    def __init__(self, session: Session, simulator: Simulator) -> None:
        self.session = session
        self.simulator = simulator
        self.given = session.queue_job

    def start(self) -> None:
        """Start both processes.

        :raises RunnerError: one of them does not come up
        """
        env = {**os.environ, **self.given["env"]}
        with open(self.given["log"], "wb") as log:
            self.server = subprocess.Popen(
                self.given["command"], env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
            self.client = subprocess.Popen(
                [sys.executable, "-m", __name__],
                env=env,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        try:
            self._tell({"database": self.given["database"], "options": self.given["options"]}, "ready")
            self._wait_until_up()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End both."""
        self.client.kill()
        self.client.communicate(timeout=TIMEOUT)
        self.server.send_signal(signal.SIGTERM)
        try:
            self.server.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.server.kill()
            self.server.wait()

    def send(self, delay: int, count: int) -> Sample:
        """Queue messages and wait until the simulator has them all.

        :return: the speed is from the first arrival to the last, the CPU that of Odoo's processes, the
            simulator and PostgreSQL
        :raises RunnerError: they do not arrive
        """
        self.simulator.begin(delay)
        pids = [self.server.pid, self.session.postmaster, self.session.gateway_pid]
        before = [cpu.seconds([pid]) for pid in pids]
        self._tell(
            {"url": self.simulator.address, "headers": self.simulator.headers, "count": count}, "queued"
        )
        deadline = time.monotonic() + TIMEOUT
        while self.simulator.count() < count:
            if time.monotonic() > deadline:
                raise RunnerError(f"{self.simulator.count()} of {count} jobs were done in {TIMEOUT} s")
            time.sleep(0.2)
        spent = [cpu.seconds([pid]) - first for pid, first in zip(pids, before, strict=True)]
        arrivals = [message["at"] for message in self.simulator.messages()]
        client, postgres, _gateway = (seconds / count * 1000 for seconds in spent)
        return Sample((count - 1) / (arrivals[-1] - arrivals[0]), sum(spent) / count * 1000, client, postgres)

    def _tell(self, what: dict[str, Any], expected: str) -> None:
        self.client.stdin.write(json.dumps(what) + "\n")
        self.client.stdin.flush()
        if self.client.stdout.readline().strip() != expected:
            raise RunnerError(f"the process that queues jobs broke off; see {self.given['log']}")

    def _wait_until_up(self) -> None:
        deadline = time.monotonic() + START
        while time.monotonic() < deadline and self.server.poll() is None:
            try:
                requests.get(f"{self.given['url']}/web/login", timeout=10)
                return
            except requests.RequestException:
                time.sleep(0.3)
        raise RunnerError(f"Odoo with queue_job did not start; see {self.given['log']}")


@contextmanager
def runner(session: Session, simulator: Simulator) -> Iterator[Runner | None]:
    """The runner, or None when there is none; `session.queue_job` says why."""
    if session.queue_job.get("reason"):
        yield None
        return
    tell("starting queue_job")
    running = Runner(session, simulator)
    try:
        running.start()
    except RunnerError as error:
        session.queue_job = {"reason": str(error)}
        yield None
        return
    try:
        yield running
    finally:
        running.stop()


def _client() -> None:
    """A process with queue_job in its registry that queues jobs when it is told to."""
    session = Session.open(size="small", **json.loads(sys.stdin.readline()))
    print("ready", flush=True)
    for line in sys.stdin:
        what = json.loads(line)
        with session.environment() as env:
            for number in range(what["count"]):
                env["bench.jobs"].with_delay().send(
                    what["url"], what["headers"], form(f"+62812{number:08}", f"number: {number}.")
                )
        print("queued", flush=True)


if __name__ == "__main__":
    _client()
