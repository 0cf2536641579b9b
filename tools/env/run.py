"""`make run`: Odoo with the addon and demo data, and the gateway simulator, until Ctrl-C."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from . import addon, database, gateway, paths, ports, rpc, shell, source, system
from .console import SetupError, say
from .locks import FileLock
from .odoo import Odoo, check_log
from .postgres import Cluster
from .waiting import wait_until

STATE = paths.ENV / "run.json"
LOCK = paths.ENV / "run.lock"
LOG = paths.LOGS / "odoo.log"
LANGUAGES = "id_ID,en_US"


@dataclass
class Running:
    """What runs, as other commands find it in `.env/run.json`."""

    pid: int
    odoo: str
    gateway: str
    database: str

    def client(self) -> rpc.Client:
        """A connection to its Odoo as admin."""
        return rpc.Client(self.odoo, self.database)


def main() -> int:
    """Start everything, print the addresses, wait for Ctrl-C."""
    if running := find():
        say("Already running in this checkout.")
        _announce(running)
        return 0
    with started() as (running, processes):
        _announce(running)
        say("Ctrl-C stops everything.")
        try:
            return _watch(processes)
        except KeyboardInterrupt:
            say("\nStopping …")
            return 0


def find() -> Running | None:
    """What another terminal runs in this checkout, when it is ready to be used."""
    if not LOCK.exists():
        return None
    lock = FileLock(LOCK)
    try:
        if lock.take(wait=False):
            return None  # nobody holds it: what the file says is past
    finally:
        lock.release()
    try:
        return Running(**json.loads(STATE.read_text()))
    except (OSError, ValueError, TypeError):
        raise SetupError("`make run` is just starting in this checkout; try again when it is up.") from None


@contextlib.contextmanager
def started() -> Iterator[tuple[Running, dict[str, subprocess.Popen[bytes]]]]:
    """Everything running for the length of a `with` block, stopped after it.

    Yields what runs and the processes by name.
    """
    paths.ensure_env()
    addon.require()
    lock = FileLock(LOCK)
    if not lock.take(wait=False):
        raise SetupError("Another `make run` is at work in this checkout.")
    STATE.unlink(missing_ok=True)
    with contextlib.ExitStack() as stack:
        stack.callback(lock.release)
        system.ensure_packages(with_browser=False)
        odoo = source.choose_one()
        odoo.cluster = stack.enter_context(Cluster())
        addons = addon.addons_folder(odoo, "run")
        name = _ensure_database(odoo, addons)
        memory = paths.ENV / "ports.json"
        gateway_port = ports.choose("gateway", gateway.PREFERRED_PORT, memory)
        odoo_port = ports.choose("odoo", 8069, memory)
        processes = {}
        processes["The gateway simulator"] = gateway.start(odoo.python, gateway_port)
        stack.callback(shell.stop, processes["The gateway simulator"], patience=3)
        url = f"http://127.0.0.1:{odoo_port}"
        processes["Odoo"] = _start_odoo(odoo, addons, name, odoo_port, ports.choose("gevent", 8072, memory))
        stack.callback(shell.stop, processes["Odoo"])
        _wait_for_odoo(processes["Odoo"], url)
        running = Running(os.getpid(), url, gateway.address(gateway_port), name)
        gateway.connect_providers(running.client(), running.gateway)
        STATE.write_text(json.dumps(asdict(running)))
        stack.callback(STATE.unlink, missing_ok=True)
        yield running, processes


def _ensure_database(odoo: Odoo, addons: Path) -> str:
    """The demo database, with the addon as it is in the checkout now. Returns its name."""
    name = f"run_{odoo.series}_{odoo.identity}"
    record = paths.ENV / f"{name}.installed"
    current = addon.fingerprint()
    log = paths.LOGS / f"install-{odoo.series}.log"
    log.unlink(missing_ok=True)
    known = record.read_text() if record.exists() else None
    if not known or not database.exists(odoo.cluster, name):
        record.unlink(missing_ok=True)
        template = database.ensure_template(odoo.cluster, odoo)
        say("Installing the addon with demo data, in English and Indonesian")
        database.copy(odoo.cluster, odoo, template, name)
        options = ["-i", paths.MODULE, "--load-language", LANGUAGES]
    elif known != current:
        say("The addon's files changed: updating it in the database")
        options = ["-u", paths.MODULE, "--i18n-overwrite"]
    else:
        return name
    command = [*odoo.command(name, [addons]), *options, "--stop-after-init", "--no-http"]
    shell.run(command, timeout=900, log=log, env=odoo.env(), what="Installing the addon")
    check_log(log, "Installing the addon")
    record.write_text(current)
    return name


def _start_odoo(odoo: Odoo, addons: Path, name: str, port: int, gevent_port: int) -> subprocess.Popen[bytes]:
    """The server, threaded, with one cron thread: it is woken by the database when a job is triggered."""
    command = [
        *odoo.command(name, [addons]),
        *(f"--http-port={port}", f"--gevent-port={gevent_port}"),
        *("--workers=0", "--max-cron-threads=1"),
    ]
    with LOG.open("wb") as stream:
        return shell.start(command, stdout=stream, env=odoo.env())


def _wait_for_odoo(process: subprocess.Popen[bytes], url: str) -> None:
    # The login page, not only the port: it answers when the database is loaded.
    if not wait_until(lambda: rpc.answers(f"{url}/web/login"), process=process, seconds=180):
        raise SetupError(f"Odoo did not start; {paths.relative(LOG)} ends:\n{shell.tail(LOG, 4000)}")


def _announce(running: Running) -> None:
    say()
    say(f"  Odoo                  {running.odoo}  (login: admin / admin)")
    say(f"  Phones (simulator)    {running.gateway}")
    say(f"  Odoo's log            {paths.relative(LOG)}")
    say()


def _watch(processes: dict[str, subprocess.Popen[bytes]]) -> int:
    """Wait until one of the processes ends by itself, which is a failure."""
    while True:
        for name, process in processes.items():
            if process.poll() is not None:
                reason = f"ended by itself (exit code {process.returncode})"
                raise SetupError(f"{name} {reason}; see {paths.relative(paths.LOGS)}.")
        time.sleep(0.5)
