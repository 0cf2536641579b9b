"""Where things are. Everything built lives in `.env/` of the checkout; only what is large and the same
for every checkout (an unpacked Odoo) lives in the user's cache folder."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from .console import SetupError

MODULE = "sicantik_notification_automation"
ROOT = Path(__file__).resolve().parents[2]
ENV = ROOT / ".env"
LOGS = ENV / "log"
HERE = Path(__file__).resolve().parent

#: The same short word for one checkout, whoever asks: names folders outside the checkout.
CHECKOUT_ID = hashlib.sha256(str(ROOT).encode()).hexdigest()[:10]


def ensure_env() -> Path:
    """Create `.env/` and return it.

    Raises SetupError when the checkout or its `.env` belongs to somebody else.
    """
    try:
        for folder in (ENV, LOGS):
            folder.mkdir(exist_ok=True)
        writable = os.access(ENV, os.W_OK) and os.access(LOGS, os.W_OK)
    except PermissionError:
        writable = False
    if not writable:
        raise SetupError(
            f"{ENV} cannot be written by this user. It was probably made by another user (root?): "
            f"run the same command as that user, or let them run `make clean` first."
        )
    return ENV


def user_cache() -> Path:
    """The per-user cache folder shared by all checkouts, created when missing."""
    base = os.environ.get("XDG_CACHE_HOME")
    folder = (Path(base) if base else Path.home() / ".cache") / "sicantik"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        folder = ensure_env() / "cache"  # a user without a home folder
        folder.mkdir(exist_ok=True)
    return folder


def relative(path: Path) -> str:
    """`path` as seen from the checkout when it is inside, else in full."""
    try:
        return str(path.relative_to(ROOT))
    except ValueError:
        return str(path)
