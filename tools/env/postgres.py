"""A private PostgreSQL cluster for this checkout: no TCP port, a socket only its owner can reach.

PostgreSQL refuses to run as root, so for root it runs as the system user `postgres` (or `nobody`).
Several commands may use the cluster at a time: each holds a shared lock while it does, and the last one
stops the server. The kernel releases the lock of a command that was killed, so the count is never wrong.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import re
import shlex
import shutil
from collections.abc import Sequence
from pathlib import Path

from . import paths, shell, system
from .console import SetupError, say
from .locks import FileLock, locked

ROLE = "odoo"
#: A Unix socket's address has 107 usable bytes; PostgreSQL adds its own file name to the folder.
SOCKET_LIMIT = 107 - len("/.s.PGSQL.5432")
#: A developer's database may be lost with the machine's power; it need not wait for the disk.
SETTINGS = {
    "listen_addresses": "",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_connections": "200",
}


class Cluster:
    """The checkout's database server.

    Use `start` and `release`, or a `with` block. `socket` is the folder to give to clients as host.

    :cvar variant: a word for a server of its own beside the shared one; it lies in the folder of that one, so
        that `make clean` finds it
    :cvar settings: what the server is started with
    """

    variant = ""
    settings = SETTINGS

    def __init__(self) -> None:
        paths.ensure_env()
        self.owner = _unprivileged_user()
        self.folder = self._choose_folder()
        versions = system.postgres_versions()
        if not versions:
            raise SetupError("No PostgreSQL server in /usr/lib/postgresql/*/bin.")
        existing = [v for v in versions if (self.folder / str(v) / "data" / "PG_VERSION").exists()]
        self.version = existing[0] if existing else next(iter(versions))
        self.binaries = versions[self.version]
        self.home = self.folder / str(self.version)
        self.data = self.home / "data"
        self.socket = self._choose_socket()
        name = f"postgres-{self.variant}" if self.variant else "postgres"
        self._gate = paths.ENV / f"{name}.start.lock"
        self._use = FileLock(paths.ENV / f"{name}.use.lock")

    def __enter__(self) -> Cluster:
        self.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self.release()

    def start(self) -> None:
        """Create the cluster when there is none, start it when it is not running, and keep it in use."""
        with locked(self._gate):
            self._use.take(shared=True)
            if not (self.data / "PG_VERSION").exists():
                self._create()
            if not self.running():
                self._launch()
            if pid := self.running():
                shell.spared.add(pid)

    def release(self) -> None:
        """Stop using the cluster; stop the server when nobody else uses it."""
        with locked(self._gate):
            if self._use.take(wait=False):
                self.stop()
            self._use.release()

    def stop(self) -> None:
        """Stop the server, whoever uses it; quiet when it does not run."""
        if pid := self.running():
            self._as_owner(
                self._control("stop", "-m", "fast", "-w", "-t", "30"),
                what="Stopping PostgreSQL",
                timeout=60,
                check=False,
            )
            shell.spared.discard(pid)

    def running(self) -> int | None:
        """The server's process id, or None."""
        with contextlib.suppress(OSError, ValueError, IndexError):
            pid = int((self.data / "postmaster.pid").read_text().split()[0])
            # A stale pid file may name a process that is something else by now.
            if shell.alive(pid) and "postgres" in Path(f"/proc/{pid}/cmdline").read_text():
                return pid
        return None

    def sql(self, statement: str, database: str = "postgres") -> list[str]:
        """Run SQL that we wrote ourselves (names only from this package) and return the output lines."""
        result = shell.run(
            [
                self.binaries / "psql",
                *("-h", self.socket, "-U", ROLE, "-d", database),
                *("-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", statement),
            ],
            timeout=300,
            what=f"The database statement `{statement}`",
        )
        return result.stdout.splitlines()

    def remove(self) -> None:
        """Stop the server and delete all its files."""
        with locked(self._gate):
            self.stop()
        for folder in (self.folder, self.socket):
            shutil.rmtree(folder, ignore_errors=True)

    def _create(self) -> None:
        say(f"Creating a private PostgreSQL {self.version} cluster in {paths.relative(self.folder)}")
        if paths.ROOT not in self.folder.parents:
            reason = "because its owner cannot enter the checkout"
            say(f"  (outside the checkout, {reason}; `make clean` removes it)")
        shutil.rmtree(self.data, ignore_errors=True)
        for folder in (self.folder, self.home):
            self._private_folder(folder)
        self._as_owner(
            [
                self.binaries / "initdb",
                *("-D", self.data, "-U", ROLE, "-A", "trust"),
                *("-E", "UTF8", "--locale=C", "--no-sync"),
            ],
            what="initdb",
            timeout=120,
        )

    def _launch(self) -> None:
        # PostgreSQL refuses a data folder that others may read (after a `chmod -R` of the checkout, say).
        for folder in (self.folder, self.home, self.data, self.socket):
            self._private_folder(folder)
        log = self.home / "log"
        options = " ".join(f"-c {key}={value}" for key, value in self.settings.items())
        try:
            self._as_owner(
                self._control("start", "-w", "-t", "60", "-l", log)
                + ["-o", f"-k {shlex.quote(str(self.socket))} {options}"],
                what="Starting PostgreSQL",
                timeout=90,
            )
        except SetupError as error:
            raise SetupError(f"{error}\nIts log ends:\n{shell.tail(log, 1000)}") from error

    def _control(self, *words: str | Path) -> list[str | Path]:
        return [self.binaries / "pg_ctl", "-D", self.data, *words]

    def _as_owner(
        self, command: Sequence[str | Path], *, what: str, timeout: float, check: bool = True
    ) -> None:
        if self.owner:
            command = ["runuser", "-u", self.owner.pw_name, "--", *command]
        # Not in our folder: the owner may not be allowed to stand there.
        shell.run(command, what=what, timeout=timeout, cwd=Path("/"), check=check)

    def _private_folder(self, folder: Path) -> None:
        """Make `folder` for the server's owner alone (trust authentication needs that).

        A folder in a public place that somebody else made first is refused.
        """
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        expected = self.owner.pw_uid if self.owner else os.geteuid()
        if folder.is_symlink() or folder.stat().st_uid not in (expected, os.geteuid()):
            raise SetupError(f"{folder} exists and belongs to somebody else; remove it and try again.")
        if self.owner:
            os.chown(folder, self.owner.pw_uid, self.owner.pw_gid)
        folder.chmod(0o700)

    def _choose_folder(self) -> Path:
        if self.owner:
            enter = ["runuser", "-u", self.owner.pw_name, "--", "test", "-x", paths.ENV]
            if shell.run(enter, timeout=10, cwd=Path("/"), check=False).returncode:
                return Path(f"/var/tmp/sicantik-{paths.CHECKOUT_ID}") / self.variant
        return paths.ENV / "postgres" / self.variant

    def _choose_socket(self) -> Path:
        inside = self.home / "socket"
        if len(str(inside).encode()) <= SOCKET_LIMIT:
            return inside
        return Path(f"/tmp/sicantik-{paths.CHECKOUT_ID}") / self.variant


def _unprivileged_user() -> pwd.struct_passwd | None:
    """The user that the server runs as when we are root; None when we are an ordinary user."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise SetupError("Neither the user `postgres` nor `nobody` exists to run PostgreSQL as.")


def identifier(name: str) -> str:
    """`name` when it is safe as an SQL identifier without quotes; raises ValueError otherwise."""
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,62}", name):
        raise ValueError(f"Not a plain database name: {name!r}")
    return name
