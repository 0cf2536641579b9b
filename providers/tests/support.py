"""What the tests stand on: the gateway simulator as its own process, and a server told what to say."""

import atexit
import contextlib
import json
import os
import selectors
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlencode

from .. import Account, Hook, Message, Template, transport

ROOT = Path(__file__).resolve().parents[2]
START_TIMEOUT = 20  # seconds
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))

for _name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
    os.environ.pop(_name, None)  # a developer's proxy would answer in place of the tests' servers
atexit.register(transport.close)  # else Python warns of every connection kept for later

PHONE = "+6281200000001"
OTHER_PHONE = "+6281200000002"


class Gateway:
    """The simulator and its admin doors. It ends with this process, whatever happens to it."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tools.gateway", "--port", "0", "--parent", str(os.getpid())],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        atexit.register(self.stop)
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            line = self.process.stdout.readline() if selector.select(START_TIMEOUT) else ""
        if not line.startswith("gateway ready on "):
            self.stop()
            raise RuntimeError("The gateway simulator did not start")
        self.url = line.split()[-1]

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(10)
        self.process.stdout.close()

    def admin(self, method: str, path: str, values: object | None = None) -> dict:
        body = None if values is None else json.dumps(values).encode()
        request = urllib.request.Request(
            f"{self.url}/admin/{path}", body, {"Content-Type": "application/json"}, method=method
        )
        with _DIRECT.open(request, timeout=10) as answer:
            return json.load(answer)

    def reset(self) -> None:
        self.admin("POST", "reset")

    def play(self, provider: str, fault: str, **options: object) -> None:
        """Have the next send (or ``times=None`` every one) of ``provider`` fail in the given way."""
        self.admin("POST", "faults", {"provider": provider, "fault": fault, "times": 1, **options})

    def configure(self, **accounts: dict) -> None:
        self.admin("POST", "accounts", accounts)

    def messages(self, **filters: object) -> list[dict]:
        return self.admin("GET", "messages?" + urlencode(filters))["messages"]

    def requests(self) -> list[dict]:
        return self.admin("GET", "requests")["requests"]

    def account(self, provider_type: str, **changes: object) -> Account:
        """Return the account that the simulator accepts, with ``changes``."""
        values = {"base_url": f"{self.url}/{provider_type}", "timeout": (5.0, 10.0)}
        return Account(**{"provider_type": provider_type, **values, **ACCOUNTS[provider_type], **changes})


ACCOUNTS = {
    "meta": {
        "api_token": "META-TOKEN-DEMO",
        "sender_id": "200000000000002",
        "account_id": "100000000000001",
        "app_secret": "META-SECRET-DEMO",
        "verify_token": "META-VERIFY-DEMO",
    },
    "fonnte": {"api_token": "FONNTE-TOKEN-DEMO"},
    "watzap": {"api_token": "WATZAP-KEY-DEMO", "sender_id": "WATZAP-NUMBER-DEMO"},
    "waha": {"api_token": "WAHA-KEY-DEMO", "app_secret": "WAHA-SECRET-DEMO"},
    "twilio": {
        "api_token": "TWILIO-TOKEN-DEMO",
        "sender_id": "+6221500000",
        "account_id": "AC00000000000000000000000000000001",
    },
}


def offline(provider_type: str, **changes: object) -> Account:
    """Return the same account at an address where nobody is, for what needs no service."""
    values = {"provider_type": provider_type, "base_url": "http://127.0.0.1:9", **ACCOUNTS[provider_type]}
    return Account(**{**values, **changes})


def hook(body: object, headers: dict[str, str] | None = None, **values: object) -> Hook:
    """Return a call of a webhook: ``body`` as it is when it is bytes, else as JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Hook("POST", content, headers or {}, **values)


_gateway: Gateway | None = None


def gateway() -> Gateway:
    """Return the one simulator of this test run, started on first use."""
    global _gateway
    if _gateway is None:
        _gateway = Gateway()
    return _gateway


def template_message(phone: str = PHONE, **changes: object) -> Message:
    """Return a message whose template the simulator knows (any name is approved in Indonesian)."""
    values = {
        "name": "izin_selesai",
        "language": "id",
        "parameters": (("partner_name", "Budi"), ("permit_type", "SIUP")),
        "body": "{{partner_name}}, izin {{permit_type}} selesai.",
    }
    return Message(phone, "Budi, izin SIUP selesai.", Template(**{**values, **changes}), "msg:0001")


class RawServer:
    """A TCP server on 127.0.0.1 that hands each connection to ``talk(connection)`` in a thread.

    For what the simulator cannot say: exact bytes, and faults below HTTP. ``requests`` keeps what
    :meth:`read` read, ``connections`` counts them.
    """

    def __init__(self, talk: Callable[["RawServer", socket.socket], None]) -> None:
        self.talk = talk
        self.requests: list[bytes] = []
        self.connections = 0
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self._serve, daemon=True).start()

    def __enter__(self) -> "RawServer":
        return self

    def __exit__(self, *_exception: object) -> None:
        # shutdown wakes the accept, which a close alone leaves waiting
        for one in (self._listener, *self._open):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _address = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(connection)
            threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            self.talk(self, connection)

    def read(self, connection: socket.socket) -> bytes:
        """Read one request to its end and return it, empty when the client has gone."""
        data = b""
        while b"\r\n\r\n" not in data:
            piece = connection.recv(65536)
            if not piece:
                return b""
            data += piece
        head, _blank, body = data.partition(b"\r\n\r\n")
        length = 0
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        while len(body) < length:
            body += connection.recv(65536)
        self.requests.append(head + b"\r\n\r\n" + body)
        return self.requests[-1]


def http_answer(body: bytes, status: str = "200 OK", *headers: str) -> bytes:
    """Return a whole HTTP answer."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def saying(body: object, status: str = "200 OK", *headers: str) -> RawServer:
    """Return a server that answers every request with ``body`` (bytes as they are, else as JSON)."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()

    def talk(server: RawServer, connection: socket.socket) -> None:
        while server.read(connection):
            connection.sendall(http_answer(content, status, *headers))

    return RawServer(talk)


def closed_port() -> int:
    """Return a port on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]
