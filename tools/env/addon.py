"""The addon under its technical name, whatever the checkout's folder is called."""

from __future__ import annotations

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

    For 17 links to what the checkout has; for 19 a fresh port in a folder per purpose, so that a test run
    does not change files under a running server.

    :param purpose: "run", or something unique to a test run
    """
    if odoo.series == 17:
        folder = paths.ENV / "addons-17"
        with locked(paths.ENV / "addons.lock"):
            _link_entries(folder / paths.MODULE)
        return folder
    folder = paths.ENV / f"addons-{odoo.series}-{purpose}"
    write_port(odoo, folder / paths.MODULE)
    return folder


def _link_entries(folder: Path) -> None:
    """Fill a folder with links to the visible entries of the checkout.

    Not one link to the checkout itself: Odoo's export of terms walks through all that is in an addon, and
    `.env` would lead it into this folder again.
    """
    if folder.is_symlink():
        folder.unlink()
    folder.mkdir(parents=True, exist_ok=True)
    hidden = (".", "__pycache__")
    wanted = {one.name: str(one) for one in paths.ROOT.iterdir() if not one.name.startswith(hidden)}
    for link in folder.iterdir():
        if link.is_symlink() and os.readlink(link) != wanted.get(link.name):
            link.unlink()
    for name, target in wanted.items():
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(target)


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
