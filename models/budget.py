"""How long a run of a scheduled action may last."""

import time

from odoo.service import server
from odoo.tools import config

# Seconds of wall time that no run exceeds.
LONGEST_RUN = 240


class Budget:
    """A share of what Odoo allows, in wall and in processor time.

    :param bool scheduled: whether the scheduler runs it, which has a limit of its own
    :param float share: of the limits
    :param float longest: seconds of wall time that it never exceeds
    """

    def __init__(self, scheduled=False, share=0.5, longest=LONGEST_RUN):
        wall = config["limit_time_real"]
        if scheduled and config["limit_time_real_cron"] >= 0:  # -1: the same
            wall = config["limit_time_real_cron"]
        self.until = time.monotonic() + min(LONGEST_RUN, longest, (wall or float("inf")) * share)
        cpu = config["limit_time_cpu"] if config["workers"] else 0
        self.cpu_until = time.process_time() + cpu * share if cpu else float("inf")

    def is_over(self):
        """Whether the budget is spent, or the server is to stop."""
        return (
            time.monotonic() > self.until
            or time.process_time() > self.cpu_until
            or bool(getattr(server.server, "quit_signals_received", 0))
        )
