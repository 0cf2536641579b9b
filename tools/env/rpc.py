"""A small JSON-RPC client for the running Odoo, and plain HTTP for the simulator."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any

from .console import SetupError

#: Never through a proxy: everything here is on this machine.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def fetch(url: str, data: Any = None, timeout: float = 30) -> Any:
    """GET (or POST `data` as JSON) and return the JSON answer.

    :raises OSError: nobody listens, or the answer is an HTTP error
    """
    request = urllib.request.Request(url)
    if data is not None:
        request.data = json.dumps(data).encode()
        request.add_header("Content-Type", "application/json")
    with _opener.open(request, timeout=timeout) as response:
        return json.loads(response.read())


def answers(url: str) -> bool:
    """Whether a GET of `url` is answered with success."""
    try:
        with _opener.open(url, timeout=5) as response:
            return response.status == 200
    except (OSError, urllib.error.URLError):
        return False


class Client:
    """Calls models of one database as one user.

    :param url: Odoo's address, also remembered by Odoo as its own (links in messages)
    """

    def __init__(self, url: str, database: str, login: str = "admin", password: str = "admin") -> None:
        self.url, self.database, self.password = url, database, password
        arguments = [database, login, password, {"base_location": url}]
        self.uid = self._service("common", "authenticate", arguments)
        if not self.uid:
            raise SetupError(f"Odoo refuses the login {login} (was its password changed?).")

    def call(self, model: str, method: str, *arguments: Any, **keywords: Any) -> Any:
        """Call a public method of a model.

        :raises SetupError: Odoo answered with an error
        """
        return self._service(
            "object",
            "execute_kw",
            [self.database, self.uid, self.password, model, method, list(arguments), keywords],
        )

    def _service(self, service: str, method: str, arguments: list[Any]) -> Any:
        body = {
            "jsonrpc": "2.0",
            "method": "call",
            "id": 1,
            "params": {"service": service, "method": method, "args": arguments},
        }
        answer = fetch(f"{self.url}/jsonrpc", body, timeout=120)
        if error := answer.get("error"):
            data = error.get("data", {})
            raise SetupError(f"Odoo: {data.get('name')}: {data.get('message') or error.get('message')}")
        return answer.get("result")
