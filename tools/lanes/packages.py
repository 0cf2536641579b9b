"""OCA's `queue_job` and what a server with worker processes needs, in a folder of their own."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

from ..env import paths, shell
from ..env.console import say
from ..env.locks import locked
from ..env.odoo import Odoo

#: Without dependencies, as `odoo` is one of them. gevent is for the process that a server with workers
#: starts for live connections; without it that process would be started again and again.
GEVENT = ["gevent>=24.11", "greenlet", "zope.event", "zope.interface"]
REQUIREMENTS = {
    17: ["odoo-addon-queue-job==17.0.1.5.4", *GEVENT],
    19: ["odoo-addon-queue-job==19.0.2.4.0.1", "openupgradelib==3.13.7", *GEVENT],
}


def folder(odoo: Odoo) -> Path:
    """Install the packages unless they are there.

    :return: the folder to put on PYTHONPATH; `addons` below it is for the addons path
    :raises SetupError: they cannot be fetched
    """
    requirements = REQUIREMENTS[odoo.series]
    recipe = hashlib.sha256("\n".join([str(odoo.python), *requirements]).encode()).hexdigest()[:8]
    target = paths.ENV / f"queue-job-{odoo.series}-{recipe}"
    with locked(paths.ENV / "queue-job.lock"):
        if not target.exists():
            say(f"Fetching OCA's queue_job for Odoo {odoo.series} into {paths.relative(target)} (once)")
            work = target.with_name(f"{target.name}.new")
            shutil.rmtree(work, ignore_errors=True)
            shell.run(
                [
                    *(odoo.python, "-m", "pip", "--no-input", "--disable-pip-version-check", "install"),
                    *("-q", "--no-deps", "--prefer-binary", "--target", work, *requirements),
                ],
                timeout=300,
                what="Installing queue_job",
            )
            # As an addons folder of its own it is found in one way only.
            (work / "odoo" / "addons").rename(work / "addons")
            (work / "odoo").rmdir()
            work.rename(target)
    return target
