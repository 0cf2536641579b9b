"""What a person clicks: one action of the campaign, in a transaction of its own, repeated when it collides
with another one, as the server does. Run inside Odoo's interpreter by `run`."""

from __future__ import annotations

import time
from typing import Any

from psycopg2 import errors

from ..chaos.inside import open_registry, transaction

TRIES = 5
COLLISIONS = (errors.SerializationFailure, errors.DeadlockDetected, errors.LockNotAvailable)


def main() -> None:
    """Do the action of the command line."""
    registry, values = open_registry()

    def work(env: Any) -> None:
        getattr(env["sicantik.notification.campaign"].browse(values["campaign"]), values["action"])()

    for left in reversed(range(TRIES)):
        try:
            transaction(registry, work)
            return
        except COLLISIONS:
            if not left:
                raise
            time.sleep(0.2)


if __name__ == "__main__":
    main()
