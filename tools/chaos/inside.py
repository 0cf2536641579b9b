"""A script inside Odoo: the registry of one database, and transactions that survive a database crash."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

import psycopg2


def open_registry() -> tuple[Any, dict]:
    """Read the command line (Odoo's options as JSON, then our own values as JSON) and load the database.

    :return: Odoo's registry, our own values
    """
    from odoo.tools import config

    arguments, values = json.loads(sys.argv[1]), json.loads(sys.argv[2])
    config.parse_config(arguments)
    from odoo.modules.registry import Registry

    return Registry(values["database"]), values


def transaction(registry: Any, work: Callable[[Any], Any]) -> Any:
    """Run work(env) as superuser and commit; what breaks it is raised."""
    from odoo import SUPERUSER_ID, api

    with registry.cursor() as cr:
        return work(api.Environment(cr, SUPERUSER_ID, {"lang": "en_US", "tracking_disable": True}))


def attempt(registry: Any, work: Callable[[Any], Any]) -> tuple[bool, Any]:
    """The same, for a database that may be down or crash.

    :return: whether it was committed for certain, and what `work` returned
    """
    try:
        return True, transaction(registry, work)
    except psycopg2.Error as error:
        print(f"transaction broken: {type(error).__name__}", flush=True)
        time.sleep(0.3)
        return False, None
