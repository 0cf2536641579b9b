"""Odoo 19 from Debian's package `odoo-19`, unpacked into the user's cache without being installed."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from . import debian, paths, shell, venv
from .console import SetupError, say
from .locks import locked
from .odoo import Odoo

#: Odoo's tree has links into the packages with the JavaScript libraries; they resolve in the same root.
PACKAGES = ("odoo-19", "libjs-jquery", "libjs-jquery-form", "libjs-underscore")
DIST = Path("usr/lib/python3/dist-packages")
#: Listed in the web client's bundle but not in Debian's package (it blurs the background of calls); a
#: missing file is a console error, and that fails every browser test.
ABSENT_SCRIPT = Path("odoo/addons/mail/static/lib/selfie_segmentation/selfie_segmentation.js")


def from_debian() -> Odoo:
    """Odoo 19, unpacked when it is not there yet. Raises SetupError when it cannot be had."""
    cache = paths.user_cache()
    with locked(cache / "odoo-19.lock"):
        trees = sorted(cache.glob("odoo-19_*"), key=lambda tree: tree.stat().st_mtime)
        tree = trees[-1] if trees else _unpack(cache)
    dist = tree / DIST
    version = re.search(r"odoo-19_(.+)", tree.name)[1]
    requirements = [
        *venv.read_requirements(paths.HERE / "requirements-19.txt"),
        *venv.read_requirements(paths.HERE / "requirements-dev.txt"),
    ]
    return Odoo(
        series=19,
        version=f"19.0 ({version})",
        origin=f"Debian's package odoo-19 ({paths.relative(tree)})",
        program=tree / "usr/bin/odoo",
        own_addons=[dist / "odoo" / "addons"],
        # An older Python takes the newest versions that still know it.
        python=venv.ensure("19", requirements, fallback=[pin.replace("==", "<=") for pin in requirements]),
        pythonpath=dist,
        demo_options=["--with-demo"],
    )


def _unpack(cache: Path) -> Path:
    """Fetch and unpack into `cache`; the folder appears under its name only when it is complete."""
    say("Fetching Odoo 19 from Debian's sid (once, about 130 MB)")
    work = cache / f"unpacking.{os.getpid()}"
    try:
        files = _download(work)
        version = next(file.name.split("_")[1] for file in files if file.name.startswith("odoo-19_"))
        root = work / "root"
        for file in files:
            shell.run(["dpkg", "-x", file, root], timeout=600, what=f"Unpacking {file.name}")
        dist = root / DIST
        if not (dist / "odoo" / "cli" / "upgrade_code.py").exists():
            raise SetupError("The package odoo-19 is not laid out as expected (no odoo/cli/upgrade_code.py).")
        script = dist / ABSENT_SCRIPT
        if not script.exists():
            script.parent.mkdir(parents=True, exist_ok=True)
            script.write_text("/* Not part of the Debian package; only the blur of calls needs it. */\n")
        return root.rename(cache / f"odoo-19_{version.replace('%3a', '-')}")
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _download(work: Path) -> list[Path]:
    mirrors = debian.mirrors()
    if not mirrors:
        raise SetupError(
            "No Debian mirror is known to fetch Odoo 19 from. Set ODOO_HOME=<source tree of Odoo 17.0>, or "
            "DEBIAN_MIRROR=<address of a Debian mirror>."
        )
    failure: SetupError | None = None
    for mirror in mirrors:
        shutil.rmtree(work, ignore_errors=True)
        try:
            apt = debian.PrivateApt(work, mirror)
            apt.update()
            return apt.download(PACKAGES)
        except SetupError as error:
            failure = error
    raise failure
