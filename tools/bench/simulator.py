"""The gateway simulator as the subjects see it."""

from __future__ import annotations

from typing import Any

import requests

TIMEOUT = 60
TOKEN = "FONNTE-TOKEN-DEMO"


class Simulator:
    """Its admin doors, and the address and headers of one message by Fonnte."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.address = f"{url}/fonnte/send"
        self.headers = {"Authorization": TOKEN}

    def _call(self, method: str, path: str, **kwargs: Any) -> Any:
        answer = requests.request(method, f"{self.url}/admin/{path}", timeout=TIMEOUT, **kwargs)
        answer.raise_for_status()
        return answer.json()

    def begin(self, delay_ms: int) -> None:
        """Forget everything, and answer after `delay_ms` from now on."""
        self._call("POST", "reset")
        self._call("POST", "accounts", json={"fonnte": {"quota": 10_000_000}})
        self._call("POST", "settings", json={"delay_ms": delay_ms})

    def messages(self) -> list[dict[str, Any]]:
        """The messages taken since `begin`, oldest first."""
        return self._call("GET", "messages")["messages"]

    def count(self) -> int:
        """How many they are."""
        return self._call("GET", "messages", params={"limit": 0})["count"]


def form(phone: str, text: str) -> dict[str, str]:
    """The body of one message."""
    return {"target": phone.lstrip("+"), "message": text, "countryCode": "0"}
