"""The one module that touches the network: one request, one answer, over kept connections.

:class:`NotSent` is raised only when certainly no byte of the request left, :class:`OutcomeUnknown` for
everything after that moment and for every doubt (``connections`` keeps the note and says why).
"""

import json as jsonlib
import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from urllib.parse import urlencode

from urllib3.exceptions import HTTPError
from urllib3.response import HTTPResponse
from urllib3.util import Retry, Timeout

from . import connections
from .connections import Connections, progress

POOL_SIZE = 64  # connections per (scheme, host, port): two drains of a process, 32 requests each
MAX_TEXT = 2000  # characters of an answer kept as text
MAX_BODY = 8 * 1024 * 1024  # bytes of an answer read at all
_CHUNK = 64 * 1024
_NEVER = Retry(False)  # no retry, and every exception as it is
_HEADERS = {"User-Agent": "sicantik-notification-automation", "Accept": "*/*"}
_HEADER_VALUE = re.compile(r"(?:[!-~\x80-\xff][\t -~\x80-\xff]*)?")


class TransportError(Exception):
    """A request got no answer. The text is a short reason without URL, secret or number."""


class NotSent(TransportError):
    """No byte of the request left this machine."""


class OutcomeUnknown(TransportError):
    """The request may have arrived: its answer did not come, or not whole."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer: ``headers`` without regard to case, ``body`` the parsed JSON or None, ``text`` cut."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: object | None = field(repr=False)
    text: str = field(repr=False)
    elapsed_ms: int


def request(
    method: str,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    json: object | None = None,
    data: Mapping[str, str] | None = None,
    params: Mapping[str, str] | None = None,
    timeout: tuple[float, float] = (5.0, 30.0),
) -> Answer:
    """Send one request and return its answer, whatever its status. No retry, no redirect, TLS verified.

    A redirect is an answer like any other: following it would send the body a second time.

    :param json: a body to send as JSON; ``data`` one to send as a form; at most one of them.
    :param timeout: seconds to connect (to one address of the host), and to wait between two pieces of the
        answer. Their sum is what the whole exchange may take, once it has a connection.
    :raises NotSent: when certainly no byte of the request left.
    :raises OutcomeUnknown: when it may have left and no whole answer came.
    """
    return _transport.request(
        method, url, headers=headers, json=json, data=data, params=params, timeout=timeout
    )


def longest(timeout: tuple[float, float]) -> float:
    """Return the seconds after which :func:`request` has certainly ended, given its ``timeout``.

    That is the wait for a free connection, the exchange, and a TLS handshake that began just before the end.
    Only the system's resolver can take longer, which nothing interrupts; a request that it held up for so
    long does not leave.
    """
    connect, read = timeout
    return connections.POOL_TIMEOUT + 2 * connect + read


def close() -> None:
    """Close the connections that are not in use."""
    set_pool_size(_transport.pool_size)


def set_pool_size(size: int) -> None:
    """Keep at most ``size`` connections per (scheme, host, port), from the next request on."""
    global _transport
    before, _transport = _transport, _Transport(size)
    before.close()


# -- The exchange --------------------------------------------------------------------------------------------


class _Transport:
    def __init__(self, pool_size: int = POOL_SIZE) -> None:
        self.pool_size = pool_size
        self._connections = Connections(pool_size)

    def close(self) -> None:
        self._connections.close()

    def request(self, method, url, *, headers, json, data, params, timeout) -> Answer:
        started = time.perf_counter()
        try:
            lines, content = _prepare(headers, json, data)
            pool, target = self._connections.find(url)
            if params:
                target += ("&" if "?" in target else "?") + urlencode(params)
            wait = _timeout(timeout)
        except (HTTPError, OSError, ImportError, ValueError, TypeError) as error:
            # Not chained: such an exception quotes the header or the address that it does not like.
            raise NotSent(f"the request could not be built ({type(error).__name__})") from None
        progress.begin(sum(timeout))
        try:
            response = pool.urlopen(
                method,
                target,
                content,
                lines,
                retries=_NEVER,
                redirect=False,
                assert_same_host=False,
                timeout=wait,
                preload_content=False,
            )
            received = _read(response)
        except (HTTPError, OSError, ValueError) as error:
            raise _failure(error, timeout) from error
        return Answer(
            status=response.status,
            headers=response.headers,
            body=parse_json(received),
            text=received[: 4 * MAX_TEXT].decode("utf-8", "replace")[:MAX_TEXT],
            elapsed_ms=round((time.perf_counter() - started) * 1000),
        )


@lru_cache(64)
def _timeout(timeout: tuple[float, float]) -> Timeout:
    connect, read = timeout
    return Timeout(connect=connect, read=read)


def _prepare(
    headers: Mapping[str, str] | None, json: object | None, data: Mapping[str, str] | None
) -> tuple[dict[str, str], bytes | None]:
    """Return the header lines and the body of a request.

    :raises ValueError, TypeError: for a header or a body that cannot be sent.
    """
    lines, content = dict(_HEADERS), None
    if data:
        lines["Content-Type"] = "application/x-www-form-urlencoded"
        content = urlencode(data).encode("ascii")
    elif json is not None:
        lines["Content-Type"] = "application/json"
        content = jsonlib.dumps(json, allow_nan=False).encode("ascii")
    if headers:
        if not all(map(_HEADER_VALUE.fullmatch, headers.values())):
            raise ValueError("a header that cannot be sent")
        lines.update(headers)
    return lines, content


def _read(response: HTTPResponse) -> bytes:
    """Return the whole body of ``response`` and give its connection back.

    :raises OutcomeUnknown: when it is too long, or shorter than announced (which urllib3 1.26 lets pass).
    """
    content = b""
    try:
        for chunk in response.stream(_CHUNK, decode_content=True):
            content += chunk
            if len(content) > MAX_BODY:
                raise OutcomeUnknown("the answer is too long")
        if response.length_remaining:
            raise OutcomeUnknown("the answer was cut")
    except BaseException:
        response.close()
        raise
    finally:
        response.release_conn()
    return content


def parse_json(content: bytes | str) -> object | None:
    """Return parsed JSON, None when it is none."""
    try:
        return jsonlib.loads(content)
    except (ValueError, RecursionError):
        return None


# -- What went wrong -----------------------------------------------------------------------------------------

_TIMEOUTS = frozenset(
    {"ConnectTimeout", "ConnectTimeoutError", "ReadTimeout", "ReadTimeoutError", "TimeoutError", "timeout"}
)

# The name of an exception somewhere in the chain → what to tell, first match wins. By name, since the same
# fault has other classes in other versions.
_REASONS: tuple[tuple[frozenset[str], str], ...] = (
    (frozenset({"SSLCertVerificationError", "CertificateError"}), "its TLS certificate is not valid"),
    (frozenset({"gaierror", "NameResolutionError"}), "its host name could not be found"),
    (frozenset({"ConnectionRefusedError"}), "the connection was refused"),
    (frozenset({"EmptyPoolError"}), "all connections to it were busy"),
    (_TIMEOUTS, "{timeout}"),
    (frozenset({"SSLError"}), "the TLS connection failed"),
    (frozenset({"IncompleteRead"}), "the answer was cut"),
    (frozenset({"ProxyError"}), "the proxy failed"),
)


def _failure(error: Exception, timeout: tuple[float, float]) -> TransportError:
    connect, read = timeout
    if progress.overdue:
        waited = f"not done within {connect + read:g} s"
    elif progress.left:
        waited = f"no answer within {read:g} s"
    else:
        waited = f"no connection within {connect:g} s"
    names = {type(link).__name__ for link in _chain(error)}
    reason = next((text for known, text in _REASONS if known & names), "the connection was cut")
    return (OutcomeUnknown if progress.left else NotSent)(reason.format(timeout=waited))


def _chain(error: BaseException | None):
    """Yield ``error`` and what caused it: causes, contexts, and exceptions wrapped as arguments."""
    seen: set[int] = set()
    waiting = [error]
    while waiting:
        link = waiting.pop()
        if isinstance(link, BaseException) and id(link) not in seen:
            seen.add(id(link))
            yield link
            waiting += [link.__cause__, link.__context__, getattr(link, "reason", None), *link.args]


_transport = _Transport()


def _after_fork() -> None:
    """Start afresh: a child must not share its parent's sockets, nor close pools whose locks may be held."""
    global _transport
    _transport = _Transport(_transport.pool_size)


os.register_at_fork(after_in_child=_after_fork)
