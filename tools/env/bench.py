"""`make bench`: the performance targets, each beside its anchor, as a table and as JSON.

SIZE=small, normal (about ten minutes) or full; ONLY=T5,T8 for some targets (those that share a subject come
along); TARGET=file for the JSON; STRICT=1 to end with exit code 1 when a target does not hold. What is
measured and how is in `tools/bench/`."""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..bench.lines import FAILS, NOT_MEASURED, Line, verdict_of
from ..bench.sizes import SIZES
from ..bench.table import rows, summary
from ..bench.targets import TARGETS, subjects_of
from ..lanes import packages
from . import addon, database, gateway, paths, ports, shell, source, system
from .console import SetupError, complain, say
from .locks import locked
from .odoo import Odoo, check_log
from .postgres import SETTINGS, Cluster

#: The anchors that are Odoo's own.
ANCHORS = ("base_automation", "mass_mailing_sms")
JOBS_ADDON = paths.ROOT / "tools" / "bench" / "jobs_addon"
TIMEOUT = 3600
CHANNELS = "root:4"
#: What a subject that broke off did not measure.
REST = "the rest"


@dataclass
class Bench:
    """One run on one Odoo.

    :param odoo: with a running cluster, without demo data
    :param size: name of the size
    :param name: begins the names of this run's databases
    """

    odoo: Odoo
    size: str
    name: str

    @property
    def addons(self) -> list[Path]:
        """The addon, as it is now: others may go on writing."""
        return [paths.ENV / f"addons-{self.odoo.series}-{self.name}"]


class LastingCluster(Cluster):
    """A server that waits for the disk, as PostgreSQL does by default and where it matters.

    How often a commit waits is a good part of what is compared.
    """

    variant = "bench"
    settings = {name: SETTINGS[name] for name in ("listen_addresses", "max_connections")}


def main() -> int:
    """Measure what was asked for on each Odoo; 1 only with STRICT=1, or when a subject broke off."""
    size = os.environ.get("SIZE", "").strip() or "normal"
    if size not in SIZES:
        raise SetupError(f"SIZE must be one of {', '.join(SIZES)}; not {size!r}.")
    only = [word.upper() for word in os.environ.get("ONLY", "").replace(",", " ").split()] or list(TARGETS)
    try:
        subjects = subjects_of(only)
    except ValueError as error:
        raise SetupError(f"ONLY: {error}.") from None
    paths.ensure_env()
    addon.require()
    system.ensure_packages(with_browser=False)
    code = 0
    for odoo in source.choose():
        with LastingCluster() as cluster:
            options = ["--without-demo=all"] if odoo.series == 17 else []
            odoo = replace(odoo, cluster=cluster, demo_options=options)
            bench = Bench(odoo, size, f"bench_{odoo.series}_{os.getpid()}")
            begin = time.monotonic()
            with _prepared(bench):
                lines = [line for subject in subjects for line in _measure(bench, subject)]
            code |= _report(bench, lines, time.monotonic() - begin)
    return code


# === DATABASES ===#


@contextmanager
def _prepared(bench: Bench) -> Iterator[None]:
    """A database with the anchors and the addon, copied for each subject, and everything gone in the end."""
    odoo = bench.odoo
    _drop_abandoned(odoo)
    try:
        _copy_addon(bench)
        database.copy(odoo.cluster, odoo, _template(odoo), bench.name)
        _install(bench, bench.name, [paths.MODULE])
        yield
    finally:
        for name in _databases(odoo):
            if name == bench.name or name.startswith(f"{bench.name}_"):
                database.drop(odoo.cluster, odoo, name)
        shutil.rmtree(bench.addons[0], ignore_errors=True)


def _template(odoo: Odoo) -> str:
    """The database with Odoo's own anchors, made once.

    :return: its name
    """
    name = f"template_bench_{odoo.series}_{odoo.identity}"
    plain = database.ensure_template(odoo.cluster, odoo)
    with locked(paths.ENV / f"{name}.lock"):
        if not database.exists(odoo.cluster, name):
            say("Preparing a database with the modules to compare with (once, about a minute)")
            work = f"{name}_new"
            database.copy(odoo.cluster, odoo, plain, work)
            _run_odoo(
                odoo, [*odoo.command(work), "-i", ",".join(ANCHORS)], "Installing the modules to compare with"
            )
            shutil.rmtree(database.filestore(odoo, name), ignore_errors=True)
            if database.filestore(odoo, work).exists():
                database.filestore(odoo, work).rename(database.filestore(odoo, name))
            odoo.cluster.sql(f"ALTER DATABASE {work} RENAME TO {name}")
    return name


def _copy_addon(bench: Bench) -> None:
    target = bench.addons[0] / paths.MODULE
    if bench.odoo.series != 17:
        addon.write_port(bench.odoo, target)
        return
    for path in addon.port.addon_files(paths.ROOT):
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(paths.ROOT / path, target / path)


def _install(
    bench: Bench, name: str, modules: Sequence[str], addons: Sequence[Path] = (), **env: str
) -> None:
    command = [*bench.odoo.command(name, [*bench.addons, *addons]), "-i", ",".join(modules)]
    _run_odoo(bench.odoo, command, f"Installing {', '.join(modules)}", **env)


def _run_odoo(odoo: Odoo, command: Sequence[str], what: str, **env: str) -> None:
    log = paths.LOGS / f"bench-install-{odoo.series}.log"
    log.unlink(missing_ok=True)
    shell.run(
        [*command, "--stop-after-init", "--no-http"],
        timeout=1200,
        log=log,
        env={**odoo.env(), **env},
        what=what,
    )
    check_log(log, what)


def _drop_abandoned(odoo: Odoo) -> None:
    """Remove what runs left that were killed."""
    for name in _databases(odoo):
        found = re.match(r"bench_\d+_(\d+)", name)
        if found and not shell.alive(int(found[1])):
            database.drop(odoo.cluster, odoo, name)
    for folder in paths.ENV.glob("addons-*-bench_*"):
        if not shell.alive(int(folder.name.rpartition("_")[2])):
            shutil.rmtree(folder, ignore_errors=True)


def _databases(odoo: Odoo) -> list[str]:
    """The databases of all runs."""
    return odoo.cluster.sql("SELECT datname FROM pg_database WHERE datname LIKE 'bench\\_%'")


# === SUBJECTS ===#


def _measure(bench: Bench, subject: str) -> list[Line]:
    """Measure one subject; when it breaks off, its targets say so."""
    targets = [name for name, target in TARGETS.items() if target.subject == subject]
    say(f"Measuring {', '.join(targets)} ({subject})")
    odoo, name = bench.odoo, f"{bench.name}_{subject}"
    log, result = paths.LOGS / f"bench-{odoo.series}-{subject}.log", paths.ENV / f"{name}.json"
    broken = ""
    try:
        database.copy(odoo.cluster, odoo, bench.name, name)
        given = {"database": name, "size": bench.size, "options": _options(bench, name)}
        if subject == "drain":
            with _wire(bench, f"{name}_jobs") as wire:
                _run_subject(odoo, subject, {**given, **wire}, log, result)
        else:
            _run_subject(odoo, subject, given, log, result)
    except SetupError as error:
        complain(str(error))
        broken = f"{subject} broke off; see {paths.relative(log)}"
    lines = [Line.from_dict(values) for values in json.loads(result.read_text())] if result.exists() else []
    result.unlink(missing_ok=True)
    database.drop(odoo.cluster, odoo, name)
    if broken:
        lines += [Line(target, REST, sense="=", limit=0, reason=broken) for target in targets]
    return lines


def _run_subject(odoo: Odoo, subject: str, given: dict[str, Any], log: Path, result: Path) -> None:
    """Run a subject in a process of its own; its lines come in the file `result`."""
    log.unlink(missing_ok=True)
    specification = result.with_suffix(".in.json")
    specification.write_text(json.dumps(given))
    try:
        shell.run(
            [odoo.python, "-m", "tools.bench", subject, specification, result],
            timeout=TIMEOUT,
            cwd=paths.ROOT,
            env={**odoo.env(), "PYTHONPATH": _pythonpath(odoo)},
            log=log,
            what=f"Measuring {subject}",
        )
    finally:
        specification.unlink(missing_ok=True)


@contextmanager
def _wire(bench: Bench, name: str) -> Iterator[dict[str, Any]]:
    """The gateway simulator, and what the drain is compared with.

    :param name: name of the database for queue_job
    """
    odoo, port = bench.odoo, ports.ephemeral()
    simulator = gateway.start(odoo.python, port)
    try:
        yield {
            "gateway": gateway.address(port),
            "gateway_pid": simulator.pid,
            "postmaster": odoo.cluster.running(),
            "queue_job": _queue_job(bench, name),
        }
    finally:
        shell.stop(simulator, patience=3)


def _options(bench: Bench, name: str, addons: Sequence[Path] = ()) -> list[str]:
    """Odoo's options for a process that only loads it."""
    command = bench.odoo.command(name, [*bench.addons, *addons])[2:]
    return [*command, "--no-http", "--max-cron-threads=0", "--log-level=warn"]


def _pythonpath(odoo: Odoo) -> str:
    return str(odoo.pythonpath or odoo.program.parent)


def _queue_job(bench: Bench, name: str) -> dict[str, Any]:
    """A database with queue_job and the job to compare with, and how to start its runner.

    :return: what `tools/bench/jobs.py` needs, or the reason why there is none
    """
    odoo = bench.odoo
    try:
        libraries = packages.folder(odoo)
        addons = [libraries / "addons", JOBS_ADDON]
        pythonpath = os.pathsep.join([_pythonpath(odoo), str(libraries)])
        database.copy(odoo.cluster, odoo, database.ensure_template(odoo.cluster, odoo), name)
        _install(bench, name, ["queue_job", "bench_jobs"], addons, PYTHONPATH=pythonpath)
    except SetupError as error:
        return {"reason": f"queue_job cannot be had: {str(error).partition(chr(10))[0]}"}
    port = ports.ephemeral()
    modules = "base,web,queue_job" if odoo.series == 17 else "base,rpc,web,queue_job"
    return {
        "command": [
            *odoo.command(name, [*bench.addons, *addons]),
            *(f"--load={modules}", "--workers=4", "--max-cron-threads=0", "--log-level=warn"),
            *(f"--http-port={port}", f"--gevent-port={ports.ephemeral()}"),
        ],
        "env": {"PYTHONPATH": pythonpath, "ODOO_QUEUE_JOB_CHANNELS": CHANNELS},
        "url": f"http://127.0.0.1:{port}",
        "database": name,
        "options": _options(bench, name, addons),
        "log": str(paths.LOGS / f"bench-{odoo.series}-queue_job.log"),
    }


# === THE REPORT ===#


def _report(bench: Bench, lines: Sequence[Line], seconds: float) -> int:
    """Print the table and write the JSON; the exit code."""
    odoo = bench.odoo
    conditions = {
        "odoo": odoo.version,
        "postgresql": odoo.cluster.sql("SHOW server_version")[0],
        "postgresql_settings": LastingCluster.settings,
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "size": bench.size,
        "seconds": round(seconds),
    }
    say(
        f"\nOdoo {odoo.version}, PostgreSQL {conditions['postgresql']}, {os.cpu_count()} cores, "
        f"size {bench.size}"
    )
    say(
        "The private cluster has PostgreSQL's default settings, and waits for the disk. Anchors and addon are"
    )
    say("measured on the same one. Read the ratios, not the absolutes. Median (smallest..largest).")
    for line in [*rows(lines), *summary(lines)]:
        say(line)
    wanted = os.environ.get("TARGET", "").strip()
    target = Path(wanted) if wanted else paths.ENV / f"bench-{odoo.series}.json"
    verdicts = {
        name: verdict_of(mine)
        for name in TARGETS
        if (mine := [line for line in lines if line.target == name])
    }
    found = {
        "conditions": conditions,
        "verdicts": verdicts,
        "targets": {name: {"title": TARGETS[name].title, "note": TARGETS[name].note} for name in verdicts},
        "lines": [line.as_dict() for line in lines],
    }
    target.write_text(json.dumps(found, indent=1) + "\n")
    say(f"In {seconds:.0f} s; as JSON: {paths.relative(target)}")
    broken = any(line.what == REST for line in lines)
    failing = [name for name, verdict in verdicts.items() if verdict in (FAILS, NOT_MEASURED)]
    return 1 if broken or (failing and os.environ.get("STRICT", "").strip() in ("1", "yes")) else 0
