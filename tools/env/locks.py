"""File locks that the kernel releases when their holder ends, however it ends."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path


class FileLock:
    """One lock on one file. Child processes do not inherit it.

    :param path: the file; created when missing, never removed (removing it would race)
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._descriptor: int | None = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)

    def take(self, *, shared: bool = False, wait: bool = True) -> bool:
        """Take (or change) the lock. Returns False when `wait` is off and somebody else has it."""
        flags = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        try:
            fcntl.flock(self._descriptor, flags if wait else flags | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def release(self) -> None:
        """Give the lock back; safe to call twice."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on `path` for the length of a `with` block, waiting for it first."""
    lock = FileLock(path)
    try:
        lock.take()
        yield
    finally:
        lock.release()
