"""`make port`: the Odoo 19 copy of the addon, to look at or to install elsewhere."""

from __future__ import annotations

import os
from pathlib import Path

from . import addon, odoo19, paths, system
from .console import say


def main() -> int:
    """Write the ported addon to TARGET (default: `.env/ported/<technical name>`)."""
    paths.ensure_env()
    system.ensure_packages(with_browser=False)
    odoo = odoo19.from_debian()
    wanted = os.environ.get("TARGET")
    target = Path(wanted).resolve() if wanted else paths.ENV / "ported" / paths.MODULE
    target.parent.mkdir(parents=True, exist_ok=True)
    addon.write_port(odoo, target)
    say(f"Ported to Odoo 19: {paths.relative(target)}")
    return 0
