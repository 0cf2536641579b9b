"""The gateway simulator as a child process, and the demo providers that point at it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from . import paths, rpc, shell
from .console import SetupError, complain
from .waiting import wait_until

PREFERRED_PORT = 8075
PROVIDER = "sicantik.whatsapp.provider"


def start(python: Path, port: int) -> subprocess.Popen[bytes]:
    """Start the simulator and return when it answers.

    :param python: an interpreter with aiohttp
    :raises SetupError: it does not come up
    """
    log = paths.LOGS / "gateway.log"
    with log.open("wb") as stream:
        process = shell.start(
            [
                *(python, "-m", "tools.gateway", "--host", "127.0.0.1"),
                *("--port", str(port), "--parent", str(os.getpid())),
            ],
            stdout=stream,
            cwd=paths.ROOT,
        )
    if not wait_until(lambda: rpc.answers(f"{address(port)}/admin/health"), process=process, seconds=30):
        shell.stop(process, patience=1)
        said = shell.tail(log, 2000)
        raise SetupError(f"The gateway simulator did not start ({paths.relative(log)}):\n{said}")
    return process


def address(port: int) -> str:
    """The simulator's address."""
    return f"http://127.0.0.1:{port}"


def connect_providers(client: rpc.Client, gateway_url: str) -> None:
    """Point the demo providers at the simulator and test their connection.

    Only those whose base_url is on this machine; the others are somebody's real ones. A provider that does
    not accept its connection test is named, and the rest goes on.
    """
    fields = ["name", "provider_type", "base_url", "credential_state"]
    local = [["base_url", "=like", "http://127.0.0.1%"]]
    for provider in client.call(PROVIDER, "search_read", local, fields):
        wanted = f"{gateway_url}/{provider['provider_type']}"
        if provider["base_url"] == wanted and provider["credential_state"] == "configured":
            continue
        if provider["base_url"] != wanted:
            client.call(PROVIDER, "write", [provider["id"]], {"base_url": wanted})
        try:
            client.call(PROVIDER, "action_test_connection", [provider["id"]])
        except SetupError as error:
            complain(f"Provider {provider['name']}: the connection test failed: {error}")
