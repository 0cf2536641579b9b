"""WAHA's webhooks (providers.md 5.7): an envelope around each event, signed with the HMAC key."""

import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from itertools import count
from typing import ClassVar

from .hooks import Hooks
from .store import Message, digits

ACKS = {"pending": (0, "PENDING"), "sent": (1, "SERVER"), "delivered": (2, "DEVICE"), "read": (3, "READ")}
ACKS |= {"played": (4, "PLAYED"), "failed": (-1, "ERROR")}


class WahaHooks(Hooks):
    """Receipts name a message by ``true_<chat>_<id>``, where the chat may be a hidden number."""

    name = "waha"
    statuses = frozenset(ACKS)
    settings: ClassVar[dict] = {"app_secret": "WAHA-SECRET-DEMO", "hidden_numbers": False}

    def __init__(self, store) -> None:
        super().__init__(store)
        self._events = count(1)
        self._ids = count(1)

    def receipt(self, message: Message, status: str, code: str, at: float) -> dict:
        ack, name = ACKS[status]
        chat = self._chat(message.to)
        payload = {
            "id": f"true_{chat}_{message.message_id}",
            "from": chat,
            "participant": None,
            "fromMe": True,
            "ack": ack,
            "ackName": name,
        }
        return self._envelope("message.ack", payload, at)

    def happening(self, event: str, values: Mapping) -> dict:
        at = values.get("at") or time.time()
        if event == "sender":
            status = values.get("status") or ("WORKING" if values.get("works") else "FAILED")
            return self._envelope("session.status", {"status": status, "statuses": [], "data": None}, at)
        if event != "inbound":
            return super().happening(event, values)
        number = digits(values.get("from"))
        chat = str(values.get("user_id") or (number and self._chat(number)))
        if not chat:
            raise ValueError("from is required")
        from_me = bool(values.get("from_me"))
        message_id = values.get("message_id") or f"3EB0IN{next(self._ids):010X}"
        payload = {
            "id": f"{str(from_me).lower()}_{chat}_{message_id}",
            "timestamp": int(at),
            "from": chat,
            "fromMe": from_me,
            "source": "app",
            "to": f"{self.account['number']}@c.us",
            "body": str(values.get("text") or ""),
            "hasMedia": False,
            "ack": 0,
            "_data": {"notifyName": values.get("name") or "Budi"},
        }
        return self._envelope("message", payload, at)

    def sign(self, body: bytes, url: str, *, spoilt: bool = False) -> dict[str, str]:
        secret = "WRONG" if spoilt else self.account["app_secret"]
        return {
            "X-Webhook-Request-Id": f"req{next(self._ids)}",
            "X-Webhook-Timestamp": str(int(time.time() * 1000)),
            "X-Webhook-Hmac": hmac.new(secret.encode(), body, hashlib.sha512).hexdigest(),
            "X-Webhook-Hmac-Algorithm": "sha512",
        }

    def encode(self, body: dict) -> bytes:
        return json.dumps(body, ensure_ascii=False).encode()

    def _chat(self, number: str) -> str:
        return f"{number[::-1]}00@lid" if self.account["hidden_numbers"] else f"{number}@c.us"

    def _envelope(self, event: str, payload: dict, at: float) -> dict:
        account = self.account
        return {
            "id": f"evt_{next(self._events):026d}",
            "timestamp": int(at * 1000),
            "event": event,
            "session": account["session"],
            "metadata": {},
            "me": {"id": f"{account['number']}@c.us", "pushName": "Demo"},
            "payload": payload,
            "engine": account["engine"],
            "environment": {"tier": "CORE", "version": "2026.8.1"},
        }
