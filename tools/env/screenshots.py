"""`make screenshots`: pictures of every page, from a scratch database with demo data and simulated phones."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess

from . import addon, database, gateway, paths, ports, rpc, shell, source, system
from .console import SetupError, say
from .odoo import check_log
from .postgres import Cluster
from .waiting import wait_until

TIMEOUT = 900
LANGUAGES = "id_ID,en_US"


def main() -> int:
    """Take all pictures, or those that ONLY names (`ONLY=rule,overview`)."""
    paths.ensure_env()
    addon.require()
    system.ensure_packages(with_browser=True)
    odoo = source.choose_one()
    name = f"test_shots{odoo.series}_{os.getpid()}"
    install, log = (paths.LOGS / f"screenshots-{word}.log" for word in ("install", "odoo"))
    with contextlib.ExitStack() as stack:
        odoo.cluster = stack.enter_context(Cluster())
        database.drop_abandoned(odoo.cluster, odoo)
        template = database.ensure_template(odoo.cluster, odoo)
        stack.callback(database.drop, odoo.cluster, odoo, name)
        stack.callback(shutil.rmtree, paths.ENV / f"addons-{odoo.series}-{name}", ignore_errors=True)
        addons = addon.addons_folder(odoo, name)
        database.copy(odoo.cluster, odoo, template, name)
        say("Installing the addon with demo data, in English and Indonesian")
        install.unlink(missing_ok=True)
        options = ["-i", paths.MODULE, "--load-language", LANGUAGES, "--stop-after-init", "--no-http"]
        command = [*odoo.command(name, [addons]), *options]
        shell.run(command, timeout=TIMEOUT, log=install, env=odoo.env(), what="Installing the addon")
        check_log(install, "Installing the addon")
        gateway_port, port = ports.ephemeral(), ports.ephemeral()
        simulator = gateway.start(odoo.python, gateway_port)
        stack.callback(shell.stop, simulator, patience=3)
        url = f"http://127.0.0.1:{port}"
        # No cron threads: nothing happens between two pictures of one page.
        threads = ("--workers=0", "--max-cron-threads=0", f"--gevent-port={ports.ephemeral()}")
        with log.open("wb") as stream:
            command = [*odoo.command(name, [addons]), f"--http-port={port}", *threads]
            server = shell.start(command, stdout=stream, env=odoo.env())
        stack.callback(shell.stop, server)
        if not wait_until(lambda: rpc.answers(f"{url}/web/login"), process=server, seconds=180):
            raise SetupError(f"Odoo did not start; {paths.relative(log)} ends:\n{shell.tail(log, 4000)}")
        return _take(odoo.python, url, name, gateway.address(gateway_port))


def _take(python: os.PathLike[str], url: str, name: str, phones: str) -> int:
    """Let the interpreter that has the libraries do it; its words are shown as they come."""
    say("Taking pictures")
    process = shell.start(
        [
            *(str(python), "-m", "tools.screenshots.take", "--url", url, "--database", name),
            *("--gateway", phones, "--root", str(paths.ROOT), "--only", os.environ.get("ONLY", "")),
        ],
        stdout=None,
        cwd=paths.ROOT,
        env=shell.clean_environment(),
    )
    try:
        return process.wait(TIMEOUT)
    except subprocess.TimeoutExpired:
        raise SetupError(f"The pictures were not taken within {TIMEOUT} s.") from None
    finally:
        shell.stop(process, patience=3)
