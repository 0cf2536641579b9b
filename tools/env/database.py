"""Odoo databases in the private cluster: made once as a template, then copied in a second."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from . import paths, shell
from .console import say
from .locks import locked
from .odoo import Odoo, check_log
from .postgres import Cluster, identifier

#: Changes when templates must be made anew although Odoo is the same.
RECIPE = "1"


def filestore(odoo: Odoo, name: str) -> Path:
    """The folder of a database's attachments."""
    return odoo.data_dir / "filestore" / name


def exists(cluster: Cluster, name: str) -> bool:
    """Whether the cluster has a database of this name."""
    return bool(cluster.sql(f"SELECT 1 FROM pg_database WHERE datname = '{identifier(name)}'"))


def drop(cluster: Cluster, odoo: Odoo, name: str) -> None:
    """Remove a database and its attachments, whoever is connected; quiet when there is none."""
    cluster.sql(f"DROP DATABASE IF EXISTS {identifier(name)} WITH (FORCE)")
    shutil.rmtree(filestore(odoo, name), ignore_errors=True)


def copy(cluster: Cluster, odoo: Odoo, source: str, target: str) -> None:
    """Copy a database that nobody is connected to, replacing `target`."""
    drop(cluster, odoo, target)
    cluster.sql(f"CREATE DATABASE {identifier(target)} TEMPLATE {identifier(source)}")
    if filestore(odoo, source).exists():
        # Odoo never changes an attachment's file, so both databases can share it.
        shutil.copytree(filestore(odoo, source), filestore(odoo, target), copy_function=os.link)


def ensure_template(cluster: Cluster, odoo: Odoo) -> str:
    """The database with Odoo's own modules (base, mail, web, demo data) and without the addon.

    :return: its name
    """
    name = f"template_{odoo.series}_{odoo.identity}_{RECIPE}"
    with locked(paths.ENV / f"{name}.lock"):
        if not exists(cluster, name):
            say(f"Preparing a database with Odoo {odoo.version}'s own modules (once, about a minute)")
            drop(cluster, odoo, work := f"{name}_new")
            log = paths.LOGS / f"template-{odoo.series}.log"
            log.unlink(missing_ok=True)
            command = [*odoo.command(work), "-i", "base,mail,web", "--stop-after-init", "--no-http"]
            shell.run(command, timeout=1200, log=log, env=odoo.env(), what="Installing base, mail and web")
            check_log(log, "Installing base, mail and web")
            os.makedirs(filestore(odoo, work), exist_ok=True)
            shutil.rmtree(filestore(odoo, name), ignore_errors=True)
            filestore(odoo, work).rename(filestore(odoo, name))
            cluster.sql(f"ALTER DATABASE {work} RENAME TO {name}")
    return name


def drop_abandoned(cluster: Cluster, odoo: Odoo) -> None:
    """Remove test databases whose test run was killed before it could."""
    for name in cluster.sql("SELECT datname FROM pg_database WHERE datname LIKE 'test\\_%'"):
        if not shell.alive(int(name.rpartition("_")[2])):
            drop(cluster, odoo, name)
