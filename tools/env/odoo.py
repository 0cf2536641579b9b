"""One Odoo, ready to run: which files, which interpreter, which options."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from . import paths, shell
from .console import SetupError
from .postgres import ROLE, Cluster


@dataclass
class Odoo:
    """An Odoo of one series.

    :param series: 17 or 19
    :param version: as shown, e.g. "17.0"
    :param origin: where it comes from, in words
    :param program: the script to run with `python`
    :param own_addons: Odoo's own addons folders
    :param python: interpreter of the virtualenv
    :param pythonpath: folder to put on PYTHONPATH, or None
    :param demo_options: what makes it install demo data
    """

    series: int
    version: str
    origin: str
    program: Path
    own_addons: list[Path]
    python: Path
    pythonpath: Path | None = None
    demo_options: list[str] = field(default_factory=list)
    cluster: Cluster | None = None

    @property
    def identity(self) -> str:
        """A short word that differs when the files behind it are others."""
        return hashlib.sha256(f"{self.program.resolve()} {self.version}".encode()).hexdigest()[:8]

    @property
    def data_dir(self) -> Path:
        """Odoo's data folder (attachments, sessions) of this checkout and series."""
        return paths.ENV / f"data-{self.series}"

    def command(self, database: str, addons: Sequence[Path] = ()) -> list[str]:
        """The command line up to the options of the single case.

        :param database: the database's name
        :param addons: folders in front of Odoo's own
        """
        if not self.cluster:
            raise SetupError("The database server was not started.")
        config = paths.ENV / f"odoo-{self.series}.conf"
        if not config.exists():
            config.write_text("[options]\n")  # so that a ~/.odoorc of the user's plays no part
        folders = ",".join(str(folder) for folder in [*addons, *self.own_addons])
        return [
            *(str(self.python), str(self.program)),
            *("-c", str(config), "-d", database, "--db-filter", f"^{database}$", "--no-database-list"),
            *("--db_host", str(self.cluster.socket), "-r", ROLE),
            *("--addons-path", folders, "--data-dir", str(self.data_dir)),
            *("--http-interface", "127.0.0.1"),
            *self.demo_options,
        ]

    def env(self) -> dict[str, str]:
        """The environment to run it in; tests find the simulator through the last two."""
        env = self.unit_test_env()
        if self.pythonpath:
            env["PYTHONPATH"] = str(self.pythonpath)
        return env

    def unit_test_env(self) -> dict[str, str]:
        """The same for tests that must do without Odoo."""
        return shell.clean_environment(
            {"SICANTIK_PYTHON": str(self.python), "SICANTIK_ROOT": str(paths.ROOT)}
        )


#: "2024-01-31 12:00:00,000 4242 ERROR database odoo.logger: message"
LOG_LINE = re.compile(
    r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} \d+ (?P<level>[A-Z]+) \S+ (?P<logger>[^\s:]+): (?P<text>.*)$"
)
#: Odoo goes on without the demo data of a module when they do not load; for us that is a failure.
DEMO_FAILURE = re.compile(r"demo data failed to install")


def problems(text: str) -> list[str]:
    """The errors in a piece of Odoo's log, each with its traceback."""
    found: list[list[str]] = []
    collecting = False
    for line in text.splitlines():
        if match := LOG_LINE.match(line):
            collecting = match["level"] in ("ERROR", "CRITICAL") or bool(DEMO_FAILURE.search(line))
            if collecting:
                found.append([])
        if collecting:
            found[-1].append(line)
    return ["\n".join(lines) for lines in found]


def check_log(log: Path, what: str) -> None:
    """Raise SetupError with the errors that Odoo logged, if it did."""
    if found := problems(log.read_text(errors="replace")):
        shown = "\n".join(found[:3])
        raise SetupError(f"{what}: Odoo logged {len(found)} error(s); all of {paths.relative(log)}:\n{shown}")
