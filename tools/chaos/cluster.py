"""A database server that may crash: its own, beside the one that `make run` and `make test` share."""

from __future__ import annotations

from ..env import postgres, shell
from ..env.postgres import ROLE, Cluster


class CrashingCluster(Cluster):
    """The cluster of chaos runs.

    A commit waits for its WAL here: without that a crash forgets the last half second, and what it forgets
    looks like lost and repeated messages. `fsync` may stay off, since the machine itself does not crash.
    """

    variant = "chaos"

    def start(self) -> None:
        """As for any cluster, and commits wait for the WAL."""
        super().start()
        self.sql(f"ALTER ROLE {ROLE} SET synchronous_commit = on")

    def crash(self) -> None:
        """Stop the server the hard way, as a crash does, and start it again: it recovers from its WAL."""
        if pid := self.running():
            shell.spared.discard(pid)
        self._as_owner(
            self._control("restart", "-m", "immediate", "-w", "-t", "60", "-l", self.home / "log"),
            what="Restarting PostgreSQL",
            timeout=120,
        )
        if pid := self.running():
            shell.spared.add(pid)

    def take_over(self, other: Cluster, source: str, target: str) -> None:
        """Copy a database of another cluster to this one.

        :param source: its name there
        :param target: a name that is free here
        """
        dump = self.folder / f"{target}.sql"
        try:
            connection = ("-h", other.socket, "-U", ROLE)
            shell.run(
                [self.binaries / "pg_dump", *connection, "-f", dump, source],
                timeout=300,
                what="Copying the database",
            )
            self.sql(f"CREATE DATABASE {postgres.identifier(target)}")
            shell.run(
                [
                    *(self.binaries / "psql", "-h", self.socket, "-U", ROLE, "-d", target),
                    *("-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", dump),
                ],
                timeout=300,
                what="Copying the database",
            )
        finally:
            dump.unlink(missing_ok=True)
