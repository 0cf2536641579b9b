"""Which Odoo: the developer's own 17.0, else the public 17.0, else Debian's 19."""

from __future__ import annotations

import os

from . import odoo17, odoo19
from .console import SetupError, say
from .odoo import Odoo


def choose() -> list[Odoo]:
    """The Odoos to use, each with its virtualenv, in the order asked for.

    The variable ODOO (`17`, `19` or `17,19`) forces the choice.
    """
    wanted = [word for word in os.environ.get("ODOO", "").replace(" ", "").split(",") if word]
    if unknown := set(wanted) - {"17", "19"}:
        raise SetupError(f"ODOO must be 17, 19 or 17,19; not {', '.join(sorted(unknown))}.")
    chosen = [_seventeen() if word == "17" else odoo19.from_debian() for word in wanted]
    if not wanted:
        chosen = [_seventeen(required=False) or odoo19.from_debian()]
    for odoo in chosen:
        say(f"Odoo {odoo.version} from {odoo.origin}")
    return chosen


def choose_one() -> Odoo:
    """The first of `choose`: what `make run` starts."""
    return choose()[0]


def _seventeen(*, required: bool = True) -> Odoo | None:
    if home := os.environ.get("ODOO_HOME", "").strip():
        return odoo17.from_home(home)
    reason = "ODOO_HOME is not set, and Odoo's public repository is not reachable."
    try:
        if odoo := odoo17.from_git():
            return odoo
    except SetupError as error:
        reason = str(error)
    if required:
        raise SetupError(f"No Odoo 17.0 at hand: {reason}")
    say(f"No Odoo 17.0 at hand: {reason}")
    return None
