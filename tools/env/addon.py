"""The addon under its technical name, whatever the checkout's folder is called."""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path

from .. import port
from . import paths, shell
from .console import SetupError
from .locks import locked
from .odoo import Odoo


def addons_folder(odoo: Odoo, purpose: str) -> Path:
    """A folder to put on Odoo's addons path, with the addon in it.

    For 17 a link to the checkout; for 19 a fresh port in a folder per purpose, so that a test run does not
    change files under a running server.

    :param purpose: "run", or something unique to a test run
    """
    if odoo.series == 17:
        folder = paths.ENV / "addons-17"
        with locked(paths.ENV / "addons.lock"):
            folder.mkdir(exist_ok=True)
            link = folder / paths.MODULE
            if not (link.is_symlink() and os.readlink(link) == str(paths.ROOT)):
                with contextlib.suppress(FileNotFoundError):
                    link.unlink()
                link.symlink_to(paths.ROOT, target_is_directory=True)
        return folder
    folder = paths.ENV / f"addons-{odoo.series}-{purpose}"
    write_port(odoo, folder / paths.MODULE)
    return folder


def write_port(odoo: Odoo, target: Path) -> None:
    """Port the checkout's addon for Odoo 19 to `target`, replacing it."""
    if not odoo.pythonpath:
        raise SetupError("Porting needs Odoo 19.")
    shell.run(
        [odoo.python, "-m", "tools.port", "--odoo", odoo.pythonpath, paths.ROOT, target],
        timeout=120,
        cwd=paths.ROOT,
        what="Porting the addon to Odoo 19",
    )


def fingerprint() -> str:
    """A word that changes when a file of the addon does."""
    digest = hashlib.sha256()
    for path in port.addon_files(paths.ROOT):
        if path.suffix != ".md" and path.parts[0] != "tests":
            digest.update(str(path).encode() + b"\0")
            digest.update((paths.ROOT / path).read_bytes() + b"\0")
    return digest.hexdigest()


def require() -> None:
    """Raise SetupError when the checkout is not the addon."""
    if not (paths.ROOT / "__manifest__.py").exists():
        raise SetupError(f"{paths.ROOT} has no __manifest__.py: it is not the addon.")
