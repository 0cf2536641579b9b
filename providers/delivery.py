"""Hand messages to their providers: one now, or many at once through a pool of threads.

No database and no ORM: what comes in are values, what comes out are attempts.
"""

import heapq
import itertools
import logging
import threading
import time
import traceback
import weakref
from dataclasses import dataclass
from queue import Empty, SimpleQueue

from . import errors, transport
from .message import REFUSED, UNKNOWN, Account, Attempt, Message
from .registry import provider_for

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Route:
    """One way for a message: by which provider (its record id), with which account, in which form."""

    provider_id: int
    account: Account
    message: Message


Finished = tuple[int, Route, Attempt | None]


def longest_attempt(account: Account) -> float:
    """Return the seconds that one attempt with ``account`` takes at most (see :func:`transport.longest`)."""
    return transport.longest(account.timeout)


def goes_on(result: Attempt) -> bool:
    """Say whether the next route is to be tried after an attempt with this ``result``.

    Only when the message certainly did not leave and the refusal concerns the account or the provider
    (:data:`errors.FAILOVER`). Not when it was accepted, refused for good, is to be retried at the same
    provider, or has an unknown outcome.
    """
    return result.outcome == REFUSED and result.error_class in errors.FAILOVER


class Deliveries:
    """Requests in flight: one attempt at one route per message, in at most ``workers`` threads.

    For one thread that submits and collects; only the sending happens elsewhere. An exception in an adapter
    costs its own message only: its attempt has the outcome ``UNKNOWN``, since nobody can say how far it came.
    As a context manager it is closed at the end. Should it be forgotten instead, its threads end with it.

    :raises ValueError: when ``workers`` is not positive.
    """

    def __init__(self, workers: int) -> None:
        if workers < 1:
            raise ValueError("Deliveries need at least one thread")
        self._workers = workers
        self._threads: list[threading.Thread] = []
        self._ready: SimpleQueue = SimpleQueue()  # (key, route, until); None ends a thread
        self._done: SimpleQueue = SimpleQueue()  # (key, route, attempt)
        # A heap of (at, order, key, route, until).
        self._later: list[tuple[float, int, int, Route, float]] = []
        self._order = itertools.count()
        self._in_flight = 0  # given to the threads and not yet collected
        self._never_left: list[int] | None = None  # set when closed
        self._stop = weakref.finalize(self, _stop, self._ready, self._threads)
        self._stop.atexit = False

    def __enter__(self) -> "Deliveries":
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def __len__(self) -> int:
        """Return how many were submitted and not yet given back by :meth:`finished` or :meth:`close`."""
        return self._in_flight + len(self._later)

    def submit(self, key: int, route: Route, at: float = 0.0, patience: float = float("inf")) -> None:
        """Have the message of ``route`` sent as soon as a thread is free. Never blocks.

        :param key: what the caller knows the message by.
        :param at: not before this moment (``time.monotonic()`` seconds). A message that waits for it occupies
            no thread; the caller's own calls of :meth:`finished` send it on its way.
        :param patience: seconds after ``at`` from which it is not sent any more, because no thread was free:
            its place is lost, and it comes back from :meth:`finished` with None for an attempt.
        :raises RuntimeError: when closed, or when the system gives no thread at all; then nothing is sent.
        """
        if self._never_left is not None:
            raise RuntimeError("These deliveries are closed")
        if at > time.monotonic():
            heapq.heappush(self._later, (at, next(self._order), key, route, at + patience))
        else:
            self._give(key, route, at + patience)

    def finished(self, timeout: float) -> list[Finished]:
        """Return (key, route, attempt) of the attempts that ended since the last call, in that order.

        Waits up to ``timeout`` seconds for the first one, then takes what else is there. Returns at once when
        there is nothing to wait for.
        """
        end = time.monotonic() + timeout
        found: list[Finished] = []
        while not found and len(self):
            now = self._give_due()
            until = min(end, self._later[0][0]) if self._later else end
            try:
                found.append(self._done.get(timeout=max(0.0, until - now)))
            except Empty:
                if time.monotonic() >= end:
                    break
        while not self._done.empty():
            found.append(self._done.get())
        self._in_flight -= len(found)
        return found

    def close(self) -> list[int]:
        """Send nothing more, wait for what is in flight, and return the keys of what never left.

        The wait is bounded by :func:`longest_attempt`. What was in flight is still given by :meth:`finished`.
        A second call returns the same.
        """
        if self._never_left is None:
            self._never_left = [key for _at, _order, key, *_rest in sorted(self._later)]
            self._later.clear()
            stopped = self._stop()
            self._in_flight -= len(stopped)
            self._never_left = stopped + self._never_left
        for thread in self._threads:
            thread.join()
        return self._never_left

    def _give_due(self) -> float:
        """Give the threads what has waited for its time, and return the present."""
        now = time.monotonic()
        while self._later and self._later[0][0] <= now:
            _at, _order, key, route, until = self._later[0]
            self._give(key, route, until)
            heapq.heappop(self._later)
        return now

    def _give(self, key: int, route: Route, until: float) -> None:
        if len(self._threads) < min(self._workers, self._in_flight + 1):
            queues = (self._ready, self._done)
            thread = threading.Thread(target=_work, args=queues, name="delivery", daemon=False)
            try:
                thread.start()
            except RuntimeError:  # no more threads on this system: those that run do the work
                if not self._threads:
                    raise
            else:
                self._threads.append(thread)
        self._in_flight += 1
        self._ready.put((key, route, until))


def _work(ready: SimpleQueue, done: SimpleQueue) -> None:
    """Send what is ready. Without a reference to the :class:`Deliveries`, which may thus be forgotten."""
    while (job := ready.get()) is not None:
        key, route, until = job
        done.put((key, route, attempt(route) if time.monotonic() <= until else None))


def _stop(ready: SimpleQueue, threads: list[threading.Thread]) -> list[int]:
    """Take back what no thread has begun, have the threads end, and return the keys taken back."""
    keys = []
    try:
        while True:
            keys.append(ready.get_nowait()[0])
    except Empty:
        pass
    for _thread in threads:
        ready.put(None)
    return keys


def attempt(route: Route) -> Attempt:
    """Try ``route`` now and return what came of it; raises nothing."""
    try:
        return provider_for(route.account).send(route.message)
    except BaseException as error:
        # Whatever it is: this may be the last frame of a thread, and somebody waits. The text of
        # the exception could hold the number or the message: its type and place are enough.
        _logger.error(
            "The %s adapter failed with %s:\n%s",
            route.account.provider_type,
            type(error).__name__,
            "".join(traceback.format_tb(error.__traceback__)),
        )
        return Attempt(
            UNKNOWN,
            error_class=errors.INTERRUPTED,
            error_code="adapter_failure",
            error_message="The program failed while sending; whether the message left is not known. "
            "The server's log has the details.",
            scope=errors.MSG,
        )
