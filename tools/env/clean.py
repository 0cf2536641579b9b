"""`make clean`: stop what runs in this checkout and remove everything that was built for it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal

from . import paths, run, shell, system
from .console import SetupError, say
from .locks import FileLock
from .postgres import Cluster
from .waiting import wait_until


def main() -> int:
    """Stop `make run`, the database server, then remove `.env/`. The user's cache (Odoo) stays."""
    if not paths.ENV.exists():
        say("Nothing to clean.")
        return 0
    _stop_run()
    if system.postgres_versions():
        Cluster().remove()
    shutil.rmtree(paths.ENV)
    say(f"Removed {paths.ENV.name}. An unpacked Odoo stays in {paths.user_cache()}.")
    return 0


def _stop_run() -> None:
    lock = FileLock(run.LOCK)
    if not lock.take(wait=False):
        with contextlib.suppress(OSError, ValueError, KeyError, ProcessLookupError):
            pid = json.loads(run.STATE.read_text())["pid"]
            os.kill(pid, signal.SIGTERM)
            wait_until(lambda: not shell.alive(pid), seconds=30)
        if not lock.take(wait=False):
            raise SetupError("`make run` is at work in this checkout; stop it first (Ctrl-C).")
    lock.release()
