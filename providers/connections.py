"""Connections: kept, bounded, noting what left, and never held longer than a request may take.

What matters most after a failure is whether the request left. The exceptions of an HTTP library do not tell:
a reset behind a proxy is called "Cannot connect to proxy", a TLS handshake that times out a read timeout, and
both differ between versions. So the connection itself keeps a note: the moment before its first byte of a
request goes to the socket, the request counts as sent.

The timeout of a socket begins anew with every piece of an answer. A service that drips bytes would hold a
request for ever, so the reader of an answer shortens that timeout to what is left of the whole exchange. This
happens in the thread that reads: no watchdog, and no system call for an answer that comes in time.

A connection that was idle for long is closed instead of used again. It could have been dropped by the other
side or by a firewall in between; a request lost that way has an unknown outcome that nobody needs.

Threads share all of it: urllib3's pool manager and pools are made for threads (locks and a queue).
"""

import io
import os
import socket
import ssl
import threading
import time
from functools import lru_cache
from http.client import HTTPResponse

from requests import utils  # the environment's proxies and CA, read as everything else on the system does
from urllib3 import PoolManager, ProxyManager
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import LocationParseError
from urllib3.util import connection as sockets
from urllib3.util import make_headers, parse_url
from urllib3.util.ssl_ import create_urllib3_context

POOL_TIMEOUT = 10.0  # seconds to wait for a free connection
MAX_IDLE = 20.0  # seconds after which a kept connection is not trusted any more

_KEPT_POOLS = 1000  # hosts whose connections are kept
_KEPT_URLS = 1000  # addresses whose pool is remembered
_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
_BUNDLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
_ENVIRONMENT = (*_PROXIES, *map(str.upper, _PROXIES), *_BUNDLES)


class Progress(threading.local):
    """The request that this thread makes.

    ``left``: whether it may have left (in doubt it has). ``limit``: seconds that the exchange may take from
    the moment it has a connection. ``deadline``: when that is over (``time.monotonic()``). ``hurried``:
    whether its socket waits for less than usual. ``overdue``: whether it was cut for the deadline.
    """

    left = True
    limit = 0.0
    deadline = 0.0
    hurried = False
    overdue = False

    def begin(self, limit: float) -> None:
        """Note that a request begins, whose exchange may take ``limit`` seconds."""
        self.left = self.hurried = self.overdue = False
        self.limit = limit
        self.start_clock()

    def start_clock(self) -> None:
        """Note that the exchange begins."""
        self.deadline = time.monotonic() + self.limit

    def time_left(self) -> float:
        """Return the seconds left of the exchange.

        :raises TimeoutError: when there are none.
        """
        left = self.deadline - time.monotonic()
        if left <= 0:
            self.overdue = True
            raise TimeoutError("timed out")
        return left


progress = Progress()


def _hurry(sock: socket.socket) -> None:
    """Let ``sock`` wait no longer than the exchange may last.

    :raises TimeoutError: when that is over.
    """
    left = progress.time_left()
    timeout = sock.gettimeout()
    if timeout is None or left < timeout:
        progress.hurried = True
        sock.settimeout(left)


# -- An answer that may not drip -----------------------------------------------------------------------------


class _Reader(io.RawIOBase):
    """Reads a socket, waiting no longer than the exchange may last."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._file = sock.makefile("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int | None:
        _hurry(self._sock)
        try:
            return self._file.readinto(buffer)
        except TimeoutError:
            progress.overdue = progress.hurried
            raise

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()


class _ReadSocket:
    """What ``HTTPResponse`` wants of a socket: to be read."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Reader(self._sock))


class _Response(HTTPResponse):
    def __init__(self, sock: socket.socket, *args, **kwargs) -> None:
        super().__init__(_ReadSocket(sock), *args, **kwargs)


# -- Connections and pools -----------------------------------------------------------------------------------


class _NotingConnection:
    """Notes the first byte of a request. What ``connect`` writes (TLS, a proxy's CONNECT) is not yet one."""

    response_class = _Response
    last_used = 0.0

    def connect(self) -> None:
        left = progress.left
        try:
            super().connect()
        finally:
            progress.left = left

    def send(self, data: object) -> None:
        if self.sock is None and self.auto_open:
            self.connect()
        # The system's resolver knows no timeout: what it held up for too long does not leave any more.
        _hurry(self.sock)
        progress.left = True
        super().send(data)


class _DirectConnection(_NotingConnection):
    def _new_conn(self) -> socket.socket:
        """Try the addresses of the host in turn, none longer than the timeout, and none past the deadline
        (urllib3 would give each of them the whole timeout)."""
        error: OSError = OSError("the host has no address")
        for *_kind, address in _addresses(self._dns_host, self.port):
            try:
                return sockets.create_connection(
                    address[:2], min(self.timeout, progress.time_left()), socket_options=self.socket_options
                )
            except OSError as failed:
                error = failed
                if progress.overdue:
                    break
        raise error


def _addresses(host: str, port: int) -> list[tuple]:
    try:
        return socket.getaddrinfo(host.strip("[]"), port, sockets.allowed_gai_family(), socket.SOCK_STREAM)
    except UnicodeError:  # a label that is empty or too long; quoted in its text
        raise LocationParseError("the host name") from None


class _NotingPool:
    """Gives out noting connections, none that was idle for long, and waits for one for a while only."""

    def _get_conn(self, timeout: float | None = None):
        connection = super()._get_conn(POOL_TIMEOUT if timeout is None else timeout)
        if connection.sock is not None and time.monotonic() - connection.last_used > MAX_IDLE:
            connection.close()
        progress.start_clock()
        return connection

    def _put_conn(self, conn) -> None:
        if conn is not None:
            conn.last_used = time.monotonic()
            if progress.hurried:
                conn.close()  # its short timeout is not for the next request
        super()._put_conn(conn)


class _HTTPConnection(_DirectConnection, HTTPConnectionPool.ConnectionCls):
    pass


class _HTTPSConnection(_DirectConnection, HTTPSConnectionPool.ConnectionCls):
    pass


class _HTTPPool(_NotingPool, HTTPConnectionPool):
    ConnectionCls = _HTTPConnection


class _HTTPSPool(_NotingPool, HTTPSConnectionPool):
    ConnectionCls = _HTTPSConnection


POOLS = {"http": _HTTPPool, "https": _HTTPSPool}


@lru_cache(1)
def _socks_pools() -> tuple[type, dict[str, type]]:
    """Return the pool manager for SOCKS proxies and its pools.

    :raises ImportError: without PySocks.
    """
    from urllib3.contrib import socks

    def noting(pool: type) -> type:
        connection = type("Connection", (_NotingConnection, pool.ConnectionCls), {})
        return type("Pool", (_NotingPool, pool), {"ConnectionCls": connection})

    pools = socks.SOCKSProxyManager.pool_classes_by_scheme
    return socks.SOCKSProxyManager, {scheme: noting(pool) for scheme, pool in pools.items()}


def _context(bundle: str) -> ssl.SSLContext:
    """Return what verifies certificates by the file or directory ``bundle``. Slow: once a pool."""
    context = create_urllib3_context(cert_reqs=ssl.CERT_REQUIRED)
    context.load_verify_locations(**{"capath" if os.path.isdir(bundle) else "cafile": bundle})
    return context


# -- All of them ---------------------------------------------------------------------------------------------


class Connections:
    """The pools of a process: at most ``size`` connections per (scheme, host, port)."""

    def __init__(self, size: int) -> None:
        if size < 1:
            raise ValueError("A pool needs at least one connection")
        self.size = size
        self._managers: dict[tuple[str, str], PoolManager] = {}
        self._lock = threading.Lock()
        self._known = lru_cache(_KEPT_URLS)(self._find)

    def close(self) -> None:
        """Close the connections that are not in use, for good: others are asked for the next ones."""
        with self._lock:
            for manager in self._managers.values():
                manager.clear()

    def find(self, url: str) -> tuple[HTTPConnectionPool, str]:
        """Return the pool for ``url`` and what to ask it for, as the environment's proxies have it.

        :raises ValueError, urllib3.exceptions.HTTPError: for a malformed URL.
        :raises ImportError: for a SOCKS proxy without PySocks.
        """
        return self._known(url, tuple([os.environ.get(name) for name in _ENVIRONMENT]))

    def _find(self, url: str, _environment: tuple[str | None, ...]) -> tuple[HTTPConnectionPool, str]:
        parts = parse_url(url)
        if parts.scheme not in POOLS or not parts.host or parts.host.startswith((".", "*")):
            raise ValueError("not an address of a web service")
        proxies = utils.get_environ_proxies(url)
        proxy = utils.select_proxy(url, proxies) or ""
        bundle = ""
        if parts.scheme == "https" or proxy.startswith("https:"):
            bundle = next(filter(None, map(os.environ.get, _BUNDLES)), utils.DEFAULT_CA_BUNDLE_PATH)
        pool = self._manager(proxy, bundle).connection_from_host(parts.host, parts.port, parts.scheme)
        forwarded = pool.proxy is not None and parts.scheme == "http"
        # A forwarding proxy is told the whole address, without the part that is for browsers only.
        return pool, parts._replace(auth=None, fragment=None).url if forwarded else parts.request_uri

    def _manager(self, proxy: str, bundle: str) -> PoolManager:
        with self._lock:
            manager = self._managers.get((proxy, bundle))
            if manager is None:
                manager = self._managers[proxy, bundle] = self._new_manager(proxy, bundle)
            return manager

    def _new_manager(self, proxy: str, bundle: str) -> PoolManager:
        options = {"num_pools": _KEPT_POOLS, "maxsize": self.size, "block": True}
        if bundle:
            options["ssl_context"] = _context(bundle)
            options["cert_reqs"] = "CERT_REQUIRED"
        if not proxy:
            manager, pools = PoolManager(**options), POOLS
        elif proxy.lower().startswith("socks"):
            kind, pools = _socks_pools()
            manager = kind(proxy, **options)
        else:
            proxy = utils.prepend_scheme_if_needed(proxy, "http")
            user, password = utils.get_auth_from_url(proxy)
            if user:
                options["proxy_headers"] = make_headers(proxy_basic_auth=f"{user}:{password}")
            if bundle:
                # Of a service urllib3 compares the name itself, of a proxy it leaves that to the context.
                options["proxy_ssl_context"] = _context(bundle)
                options["proxy_ssl_context"].check_hostname = True
            manager, pools = ProxyManager(proxy, **options), POOLS
        manager.pool_classes_by_scheme = pools
        return manager
