"""Database, simulator and a server with worker processes and a job runner, for the length of a `with`."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..env import addon, database, gateway, paths, ports, rpc, shell
from ..env.console import SetupError
from ..env.odoo import Odoo
from ..env.report import Step, read_odoo_log
from ..env.waiting import wait_until
from ..past import FORGET
from . import packages

#: Two lanes at once, and room for other jobs beside them.
CHANNELS = "root:4,root.sicantik_notification:2"
#: Both lanes, and one for the calls of this test; a worker takes one request at a time.
WORKERS = 3
QUEUE = "sicantik.notification.queue"
PROVIDER = "sicantik.whatsapp.provider"


@dataclass
class Stage:
    """What the scenes need.

    :param log: the server's log
    """

    odoo: Odoo
    database: str
    client: rpc.Client
    gateway: str
    log: Path

    def sql(self, statement: str) -> list[list[str]]:
        """Read (or age) rows of the database; columns must hold no `|`."""
        assert self.odoo.cluster
        return [line.split("|") for line in self.odoo.cluster.sql(statement, self.database)]

    def count(self, condition: str) -> int:
        """The number of queue rows for which an SQL condition holds."""
        return int(self.sql(f"SELECT count(*) FROM sicantik_notification_queue WHERE {condition}")[0][0])

    def texts(self) -> list[str]:
        """The texts that arrived at the simulated phones, in the order of their arrival."""
        return [message["text"] for message in rpc.fetch(f"{self.gateway}/admin/messages")["messages"]]

    def queue(self, scene: str, count: int) -> None:
        """Commit `count` due messages; the text of each is the scene and its number."""
        rows: list[dict[str, Any]] = [
            {"message_type": "text", "body": f"{scene} {n}", "phone": f"+62812000{n + 1000:05}"}
            for n in range(1, count + 1)
        ]
        self.client.call(QUEUE, "create", rows)


@contextlib.contextmanager
def ready(odoo: Odoo, log: Path, step: Step) -> Iterator[Stage]:
    """Install the addon beside `queue_job`, run the tests that want only that, and start everything.

    :param odoo: with a running cluster
    :param log: the log of the installation; the server's is beside it
    :param step: takes the results of the tests
    :raises SetupError: something does not start
    """
    libraries = packages.folder(odoo)
    name = f"test_lanes{odoo.series}_{os.getpid()}"
    assert odoo.cluster
    with contextlib.ExitStack() as stack:
        stack.callback(database.drop, odoo.cluster, odoo, name)
        stack.callback(shutil.rmtree, paths.ENV / f"addons-{odoo.series}-{name}", ignore_errors=True)
        database.copy(odoo.cluster, odoo, database.ensure_template(odoo.cluster, odoo), name)
        command = odoo.command(name, [addon.addons_folder(odoo, name), libraries / "addons"])
        env = odoo.env()
        env["PYTHONPATH"] = os.pathsep.join(filter(None, [env.get("PYTHONPATH"), str(libraries)]))
        _install(command, env, log, step)
        if not step.passed:
            raise SetupError("No test ran after the installation, so no server was started.")
        # The demo reminds people of permits that expire; here only the scenes send.
        odoo.cluster.sql("UPDATE sicantik_notification_trigger SET active = false", name)
        odoo.cluster.sql(FORGET, name)
        gateway_port = ports.ephemeral()
        simulator = gateway.start(odoo.python, gateway_port)
        stack.callback(shell.stop, simulator, patience=3)
        server_log = log.with_name(f"{log.stem}-server.log")
        url = f"http://127.0.0.1:{(port := ports.ephemeral())}"
        server = _start(odoo, [*command, f"--http-port={port}"], env, server_log)
        stack.callback(shell.stop, server, patience=15)
        ready_line = "queue job runner ready"
        if not wait_until(
            lambda: ready_line in shell.tail(server_log) and rpc.answers(f"{url}/web/login"),
            seconds=90,
            process=server,
        ):
            raise SetupError(f"The server or its job runner did not start:\n{shell.tail(server_log, 3000)}")
        client = rpc.Client(url, name)
        address = gateway.address(gateway_port)
        _connect(client, address)
        yield Stage(odoo, name, client, address, server_log)


def _install(command: list[str], env: dict[str, str], log: Path, step: Step) -> None:
    tags = f"sicantik_lanes,/{paths.MODULE}:TestLanes"
    options = ["-i", f"queue_job,{paths.MODULE}", "--test-enable", "--test-tags", tags]
    log.unlink(missing_ok=True)
    shell.run(
        [
            *(*command, *options, "--stop-after-init", "--max-cron-threads=0"),
            *(f"--http-port={ports.ephemeral()}", f"--gevent-port={ports.ephemeral()}"),
        ],
        timeout=600,
        log=log,
        env=env,
        check=False,  # the log says more
        what="Installing queue_job and the addon",
    )
    read_odoo_log(log.read_text(errors="replace"), step)


def _start(odoo: Odoo, command: list[str], env: dict[str, str], log: Path) -> subprocess.Popen[bytes]:
    modules = "base,web,queue_job" if odoo.series == 17 else "base,rpc,web,queue_job"
    with log.open("wb") as stream:
        return shell.start(
            [
                *(*command, f"--load={modules}", f"--gevent-port={ports.ephemeral()}"),
                *(f"--workers={WORKERS}", "--max-cron-threads=1"),
            ],
            stdout=stream,
            env={**env, "ODOO_QUEUE_JOB_CHANNELS": CHANNELS},
        )


def _connect(client: rpc.Client, address: str) -> None:
    """Leave one provider, the simulator's."""
    client.call(PROVIDER, "write", client.call(PROVIDER, "search", []), {"active": False})
    values = {
        "name": "Simulator",
        "provider_type": "fonnte",
        "base_url": f"{address}/fonnte",
        "api_token": "FONNTE-TOKEN-DEMO",
        "rate_per_second": 0,
        "min_delay_seconds": 0,
        "daily_limit": 0,
    }
    provider = client.call(PROVIDER, "create", values)
    client.call(PROVIDER, "action_test_connection", [provider])
