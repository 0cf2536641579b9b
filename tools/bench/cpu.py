"""CPU time of the processes that take part in sending: user and system time, ended children included."""

from __future__ import annotations

from collections.abc import Sequence

import psutil


def seconds(pids: Sequence[int]) -> float:
    """CPU seconds of these processes and of all below them, so far.

    A child that ended is counted by its parent, so the difference of two readings misses nobody.
    """
    processes = [psutil.Process(pid) for pid in set(pids)]
    processes += [child for process in processes for child in process.children(recursive=True)]
    return sum(_of(process) for process in processes)


def _of(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return times.user + times.system + times.children_user + times.children_system
