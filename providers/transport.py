"""The one module that touches the network.

What matters most after a failure is whether the request left. The exceptions of ``requests`` do not tell: a
reset behind a proxy is called "Cannot connect to proxy", a TLS handshake that times out a read timeout, and
both differ between versions. So the connection itself keeps a note: the moment before its first byte of a
request goes to the socket, the request counts as sent. :class:`NotSent` is raised only when that moment was
certainly not reached, :class:`OutcomeUnknown` for everything after it and for every doubt.

Threads: ``requests.Session`` is not documented as thread-safe (cookies, adapters and settings are plain
attributes), so every thread has its own. Connections belong to one adapter mounted in all of them: urllib3's
pool manager and pools are made for threads (locks and a queue). That bounds the connections per (scheme,
host) for the whole process and keeps them alive when threads come and go.

A connection that was idle for long is closed instead of used again. It could have been dropped by the other
side or by a firewall in between; a request lost that way has an unknown outcome that nobody needs.
"""

import json as jsonlib
import os
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import requests
from requests.adapters import HTTPAdapter
from requests.cookies import RequestsCookieJar
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError

POOL_SIZE = 32  # connections per (scheme, host)
POOL_TIMEOUT = 60.0  # seconds to wait for a free connection
MAX_IDLE = 20.0  # seconds after which a kept connection is not trusted any more
MAX_TEXT = 2000  # characters of an answer kept as text
MAX_BODY = 8 * 1024 * 1024  # bytes of an answer read at all
_CHUNK = 64 * 1024


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
    :param timeout: seconds to connect, and to wait between two pieces of the answer.
    :raises NotSent: when certainly no byte of the request left.
    :raises OutcomeUnknown: when it may have left and no whole answer came.
    """
    return _transport.request(
        method, url, headers=headers, json=json, data=data, params=params, timeout=timeout
    )


def close() -> None:
    """Close the connections that are not in use."""
    _transport.close()


def set_pool_size(size: int) -> None:
    """Keep at most ``size`` connections per (scheme, host), from the next request on."""
    global _transport
    before, _transport = _transport, _Transport(size)
    before.close()


# -- The note: did the request leave? ------------------------------------------------------------------------


class _Progress(threading.local):
    """Of the request that this thread makes: whether it may have left (in doubt it has), and its timeout."""

    left = True
    timeout: tuple[float, float] | None = None


_progress = _Progress()


class _NotingConnection:
    """Notes the first byte of a request. What ``connect`` writes (TLS, a proxy's CONNECT) is not yet one."""

    last_used = 0.0

    def connect(self) -> None:
        left = _progress.left
        try:
            super().connect()
        finally:
            _progress.left = left

    def send(self, data: object) -> None:
        if self.sock is None and self.auto_open:
            self.connect()
        _progress.left = True
        super().send(data)


class _NotingPool:
    """Gives out noting connections, none that was idle for long, and waits for one for a while only."""

    def _get_conn(self, timeout: float | None = None):
        _progress.left = False
        connection = super()._get_conn(POOL_TIMEOUT if timeout is None else timeout)
        if connection.sock is not None and time.monotonic() - connection.last_used > MAX_IDLE:
            connection.close()
        return connection

    def _put_conn(self, conn) -> None:
        if conn is not None:
            conn.last_used = time.monotonic()
        super()._put_conn(conn)


class _HTTPConnection(_NotingConnection, HTTPConnectionPool.ConnectionCls):
    pass


class _HTTPSConnection(_NotingConnection, HTTPSConnectionPool.ConnectionCls):
    pass


class _HTTPPool(_NotingPool, HTTPConnectionPool):
    ConnectionCls = _HTTPConnection


class _HTTPSPool(_NotingPool, HTTPSConnectionPool):
    ConnectionCls = _HTTPSConnection


_POOLS = {"http": _HTTPPool, "https": _HTTPSPool}


class _NotingAdapter(HTTPAdapter):
    def init_poolmanager(self, *args, **kwargs) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, proxy: str, **kwargs):
        manager = super().proxy_manager_for(proxy, **kwargs)
        # A SOCKS proxy has pools of its own; there every failure is a doubt.
        if not proxy.lower().startswith("socks"):
            manager.pool_classes_by_scheme = _POOLS
        return manager

    def send(self, request, *args, timeout=None, **kwargs):
        # The pair of timeouts comes by this way and not through Session.send: whoever replaces that in tests
        # (Odoo 19 does) may expect a number there.
        return super().send(request, *args, timeout=timeout or _progress.timeout, **kwargs)


# -- Sessions ------------------------------------------------------------------------------------------------


class _NoCookies(RequestsCookieJar):
    """Keeps nothing: accounts that share a thread must not share a service's cookies."""

    def set_cookie(self, cookie, *args, **kwargs) -> None:
        return None


def _own_authorization(prepared: requests.PreparedRequest) -> requests.PreparedRequest:
    """Leave the request alone. Being set at all, it keeps ``.netrc`` from replacing our Authorization."""
    return prepared


class _Transport:
    def __init__(self, pool_size: int = POOL_SIZE) -> None:
        if pool_size < 1:
            raise ValueError("A pool needs at least one connection")
        self.pool_size = pool_size
        self._adapter = _NotingAdapter(
            pool_connections=POOL_SIZE, pool_maxsize=pool_size, max_retries=0, pool_block=True
        )
        self._local = threading.local()

    def close(self) -> None:
        """Close the connections that are not in use."""
        self._adapter.close()

    def _session(self) -> requests.Session:
        session = getattr(self._local, "session", None)
        if session is None:
            session = requests.Session()
            session.mount("http://", self._adapter)
            session.mount("https://", self._adapter)
            session.auth = _own_authorization
            session.cookies = _NoCookies()
            self._local.session = session
        return session

    def request(self, method, url, *, headers, json, data, params, timeout) -> Answer:
        session = self._session()
        started = time.perf_counter()
        try:
            prepared = session.prepare_request(
                requests.Request(method, url, headers=headers, json=json, data=data, params=params)
            )
        except (requests.RequestException, ValueError) as error:
            # Not chained: such an exception quotes the header that it does not like.
            raise NotSent(f"the request could not be built ({type(error).__name__})") from None
        # Proxy and CA settings of the environment.
        settings = session.merge_environment_settings(prepared.url, {}, True, None, None)
        _progress.left = True
        _progress.timeout = timeout
        try:
            with session.send(prepared, allow_redirects=False, **settings) as response:
                content = _read(response)
        except (requests.RequestException, HTTPError, OSError, ValueError) as error:
            raise _failure(error, timeout) from error
        return Answer(
            status=response.status_code,
            headers=response.headers,
            body=parse_json(content),
            text=content[: 4 * MAX_TEXT].decode("utf-8", "replace")[:MAX_TEXT],
            elapsed_ms=round((time.perf_counter() - started) * 1000),
        )


def _read(response: requests.Response) -> bytes:
    """Return the whole body of ``response``.

    :raises OutcomeUnknown: when it is too long, or shorter than announced (which requests 2.25 lets pass).
    """
    content = b""
    for chunk in response.iter_content(_CHUNK):
        content += chunk
        if len(content) > MAX_BODY:
            raise OutcomeUnknown("the answer is too long")
    if response.raw.length_remaining:
        raise OutcomeUnknown("the answer was cut")
    return content


def parse_json(content: bytes | str) -> object | None:
    """Return parsed JSON, None when it is none."""
    try:
        return jsonlib.loads(content)
    except (ValueError, RecursionError):
        return None


# -- What went wrong -----------------------------------------------------------------------------------------

# Raised before a connection is asked for. (A connect timeout is here for replacements of Session.send.)
_NEVER_STARTED = (
    requests.exceptions.ConnectTimeout,
    requests.exceptions.InvalidSchema,
    requests.exceptions.InvalidURL,
)

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
    certain = not _progress.left or isinstance(error, _NEVER_STARTED)
    connect, read = timeout
    waited = f"no connection within {connect:g} s" if certain else f"no answer within {read:g} s"
    names = {type(link).__name__ for link in _chain(error)}
    reason = next((text for known, text in _REASONS if known & names), "the connection was cut")
    return (NotSent if certain else OutcomeUnknown)(reason.format(timeout=waited))


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
