"""Addresses: the usual port when it is free, else the next one, and the same one next time."""

from __future__ import annotations

import contextlib
import json
import socket
from pathlib import Path

from .console import SetupError

#: Held for the life of this process: two checkouts that start together must not choose the same port
#: before either listens. Abstract sockets vanish with the process and need no file.
_claims: list[socket.socket] = []


def _claim(port: int) -> bool:
    claim = socket.socket(socket.AF_UNIX)
    try:
        claim.bind(f"\0sicantik-port-{port}")
    except OSError:
        claim.close()
        return False
    _claims.append(claim)
    return True


def is_free(port: int) -> bool:
    """Whether nobody listens on this TCP port, on any address."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
            probe.listen(1)
        except OSError:
            return False
    return True


def choose(name: str, preferred: int, memory: Path | None = None) -> int:
    """Choose and claim a free port.

    :param name: what it is for, the key in `memory`
    :param preferred: the first candidate when nothing is remembered; then the ones above
    :param memory: JSON file that keeps the choice
    :return: the port
    :raises SetupError: no free port among the 500 from `preferred`
    """
    known: dict[str, int] = {}
    if memory:
        with contextlib.suppress(OSError, ValueError):
            known = json.loads(memory.read_text())
    others = {port for key, port in known.items() if key != name}
    candidates = [known[name]] if name in known else []
    candidates += [port for port in range(preferred, preferred + 500) if port not in others]
    for port in candidates:
        if is_free(port) and _claim(port):
            if memory and known.get(name) != port:
                memory.write_text(json.dumps({**known, name: port}, indent=1))
            return port
    raise SetupError(f"No free TCP port between {preferred} and {preferred + 499} for {name}.")


def ephemeral() -> int:
    """Any free port, for a server of one test run; claimed like the others."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        if _claim(port):
            return port
