"""Waiting for something to become true."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable


def wait_until(
    condition: Callable[[], bool], *, seconds: float, process: subprocess.Popen[bytes] | None = None
) -> bool:
    """Ask again and again until `condition` holds.

    :param seconds: how long at most
    :param process: give up at once when this process has ended
    :return: whether it came to hold
    """
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        if process and process.poll() is not None:
            return False
        time.sleep(0.1)
    return condition()
