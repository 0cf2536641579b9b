"""Fonnte: form in, JSON out, every refusal in an HTTP 200 (providers.md section 2)."""

import re
from itertools import count
from typing import ClassVar

from .store import digits
from .wire import Call, Reply, Route, Wire

DISCONNECTED = "request invalid on disconnected device"
MAX_TEXT = 60_000

_PLACEHOLDER = re.compile(r"\{(name|var[1-9]\d*)\}")
_GROUP = re.compile(r"[\d-]+@g\.us\Z")


class Fonnte(Wire):
    """The device token calls `/send`, `/device` and `/validate`."""

    name = "fonnte"
    label = "Fonnte"
    form = True
    default_account: ClassVar[dict] = {
        "token": "FONNTE-TOKEN-DEMO",
        "device": "6221500000",
        "connected": True,
        "quota": 1_000_000,
    }

    def __init__(self, store) -> None:
        super().__init__(store)
        self._ids = count(80_000_001)
        self._request_ids = count(2_900_001)

    def routes(self) -> list[Route]:
        return [
            Route("POST", "/send", "send", self.send),
            Route("POST", "/device", "test", self.device),
            Route("POST", "/validate", "test", self.validate),
        ]

    def recipients(self, call: Call) -> list[str]:
        return [number for number, _values in self._targets(call)]

    def knows_code(self, code: str) -> bool:
        # The reasons are free text; an underscore or colon is a misspelt fault of the simulator.
        return bool(code.strip()) and not set("_:") & set(code)

    def refusal(self, code: str, http_status: int | None = None) -> Reply:
        # The real service writes this one reason with a capital "Status" (providers.md 2.4).
        key = "Status" if code == DISCONNECTED else "status"
        return Reply({key: False, "reason": code, "requestid": next(self._request_ids)}, http_status or 200)

    def send(self, call: Call) -> Reply:
        """Take a message to one or several targets (providers.md 2.2)."""
        account = self.account
        if call.headers.get("Authorization") != account["token"]:
            return self.refusal("token invalid")
        text = (call.fields or {}).get("message")
        if not text or len(text) > MAX_TEXT or not call.fields.get("target"):
            return self.refusal("input invalid")
        targets = self._targets(call)
        if not targets:
            return self.refusal("target invalid")
        connect_only = call.fields.get("connectOnly", "true").lower() not in ("false", "0")
        if connect_only and not account["connected"]:
            return self.refusal(DISCONNECTED)
        if account["quota"] < len(targets):
            return self.refusal("insufficient quota")
        account["quota"] -= len(targets)
        ids = []
        for number, values in targets:
            message_id = str(next(self._ids))
            ids.append(message_id)
            self.store.mailbox.add(
                self.name, number, _fill(text, values), parameters=values, message_id=message_id
            )
        return Reply(
            {
                "detail": "success! message in queue",
                "id": ids,
                "process": "pending",
                "requestid": next(self._request_ids),
                "status": True,
                "target": [number for number, _values in targets],
            }
        )

    def device(self, call: Call) -> Reply:
        """Tell the device's state (providers.md 2.5)."""
        account = self.account
        if call.headers.get("Authorization") != account["token"]:
            return self.refusal("token invalid")
        return Reply(
            {
                "device": account["device"],
                "device_status": "connect" if account["connected"] else "disconnect",
                "expired": "1 January 2030",
                "messages": self.store.mailbox.counts[self.name],
                "name": "Demo",
                "package": "Reguler",
                "quota": str(account["quota"]),
                "status": True,
            }
        )

    def validate(self, call: Call) -> Reply:
        """Say which targets could be WhatsApp numbers: here, those of a possible length."""
        if call.headers.get("Authorization") != self.account["token"]:
            return self.refusal("token invalid")
        if not (call.fields or {}).get("target"):
            return self.refusal("input invalid")
        if not self.account["connected"]:
            return self.refusal(DISCONNECTED)
        registered = self.recipients(call)
        asked = [_number(part, _country(call)) for part in call.fields["target"].split(",")]
        return Reply(
            {
                "status": True,
                "registered": registered,
                "not_registered": [number for number in asked if number and number not in registered],
            }
        )

    def _targets(self, call: Call) -> list[tuple[str, list[str]]]:
        """Return (number, pipe values) of each usable target."""
        targets = []
        for part in (call.fields or {}).get("target", "").split(","):
            number, *values = part.strip().split("|")
            number = _number(number, _country(call))
            if "@" in number or 8 <= len(number) <= 15:
                targets.append((number, values))
        return targets


def _country(call: Call) -> str:
    return digits((call.fields or {}).get("countryCode", "62"))


def _number(raw: str, country: str) -> str:
    """Return the digits of a target with a leading 0 replaced by `country` ("0" leaves it), or a group id."""
    raw = raw.strip()
    if _GROUP.match(raw):
        return raw
    number = digits(raw.split("|")[0])
    if number.startswith("0") and country.strip("0"):
        return country + number[1:]
    return number


def _fill(text: str, values: list[str]) -> str:
    """Put the pipe values into the placeholders; the first value is {name}, the second {var1}."""
    if not values:
        return text
    known = {"name" if index == 0 else f"var{index}": value for index, value in enumerate(values)}
    return _PLACEHOLDER.sub(lambda match: known.get(match[1], match[0]), text)
