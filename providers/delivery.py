"""Hand messages to their providers: one message along its routes, many messages through a pool of threads.

No database and no ORM: what comes in are values, what comes out are lists of attempts.
"""

import logging
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

from . import errors
from .message import REFUSED, UNKNOWN, Account, Attempt, Message
from .registry import provider_for

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Route:
    """One way for a message: by which provider (its record id), with which account, in which form."""

    provider_id: int
    account: Account
    message: Message


Walk = list[tuple[Route, Attempt]]


def walk(routes: Sequence[Route], send: Callable[[Route], Attempt]) -> Walk:
    """Try ``routes`` in order and return every attempt made, in order.

    The next route is tried only when the message certainly did not leave and the refusal concerns the account
    or the provider (:data:`errors.FAILOVER`). Anything else ends the walk: accepted, final, to be retried at
    the same provider, or of unknown outcome.
    """
    attempts: Walk = []
    for route in routes:
        attempt = send(route)
        attempts.append((route, attempt))
        if attempt.outcome != REFUSED or attempt.error_class not in errors.FAILOVER:
            break
    return attempts


def deliver(jobs: Iterable[tuple[int, Sequence[Route]]], *, workers: int = 8) -> Iterator[tuple[int, Walk]]:
    """Deliver many messages at once and yield (job id, attempts) as they finish, in no order.

    At most ``workers`` messages are in flight. ``jobs`` is read in the caller's thread, one job as soon as
    one has finished, so it may be a generator that claims work late. When ``jobs`` itself raises, what is in
    flight is yielded first and the exception comes after it. Closing the generator early waits for what is in
    flight.

    An exception in an adapter costs its own message only: its attempt has the outcome ``UNKNOWN``, since
    nobody can say how far it came.

    :raises ValueError: when ``workers`` is not positive.
    """
    source = iter(jobs)
    in_flight: dict[Future[Walk], int] = {}
    failure: BaseException | None = None

    with ThreadPoolExecutor(workers, thread_name_prefix="delivery") as pool:

        def top_up() -> None:
            nonlocal failure
            while failure is None and len(in_flight) < workers:
                try:
                    job_id, routes = next(source)
                except StopIteration:
                    return
                except Exception as error:
                    failure = error
                    return
                in_flight[pool.submit(walk, routes, _send)] = job_id

        top_up()
        while in_flight:
            finished, _running = wait(in_flight, return_when=FIRST_COMPLETED)
            for future in finished:
                job_id = in_flight.pop(future)
                top_up()
                yield job_id, future.result()
    if failure is not None:
        raise failure


def _send(route: Route) -> Attempt:
    try:
        return provider_for(route.account).send(route.message)
    except Exception as error:
        # The text of the exception could hold the number or the message: its type and place are enough.
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
