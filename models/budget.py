"""How long a run of a scheduled action may last."""

import time

from odoo.service import server
from odoo.tools import config

# Seconds of wall time that no run exceeds.
LONGEST_RUN = 240


class Budget:
    """Half of what Odoo allows, in wall and in processor time, and never longer than `LONGEST_RUN`.

    :param bool scheduled: whether the scheduler runs it, which has a limit of its own
    """

    def __init__(self, scheduled=False):
        wall = config["limit_time_real"]
        if scheduled and config["limit_time_real_cron"] >= 0:  # -1: the same
            wall = config["limit_time_real_cron"]
        self.until = time.monotonic() + min(LONGEST_RUN, (wall or float("inf")) / 2)
        cpu = config["limit_time_cpu"] if config["workers"] else 0
        self.cpu_until = time.process_time() + cpu / 2 if cpu else float("inf")

    def is_over(self):
        """Whether the budget is spent, or the server is to stop."""
        return (
            time.monotonic() > self.until
            or time.process_time() > self.cpu_until
            or bool(getattr(server.server, "quit_signals_received", 0))
        )
