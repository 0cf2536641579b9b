"""Fonnte's webhooks (providers.md 2.8, 2.9), unsigned. WhatsApp's receipts name another id, the stateid."""

import time
from collections.abc import Mapping
from itertools import count

from .hooks import Hooks, required
from .store import Message, digits

# Fonnte's own progress, by its id; the rest are receipts of WhatsApp, by the stateid.
PROGRESS = frozenset({"pending", "waiting", "processing", "invalid", "expired", "url unreachable", "failed"})


class FonnteHooks(Hooks):
    """``sent`` tells both ids: it is the pairing. A failure's code is its word: ``failed:invalid``."""

    name = "fonnte"
    statuses = PROGRESS | {"sent", "delivered", "read"}

    def __init__(self, store) -> None:
        super().__init__(store)
        self._ids = count(501)

    def receipt(self, message: Message, status: str, code: str, at: float) -> dict:
        body = {"device": self.account["device"]}
        if status in PROGRESS:
            return {**body, "id": message.message_id, "status": code or status}
        receipt = {"stateid": f"3EB0STATE{message.message_id}", "state": status}
        if status == "sent":
            receipt |= {"id": message.message_id, "status": "sent"}
        return {**body, **receipt}

    def happening(self, event: str, values: Mapping) -> dict:
        if event == "inbound":
            return self._inbound(values)
        if event == "sender":
            works = bool(values.get("works"))
            return {
                "device": self.account["device"],
                "status": "connect" if works else "disconnect",
                "token": self.account["token"],
                "timestamp": int(values.get("at") or time.time()),
                **({} if works else {"reason": "logged out"}),
            }
        return super().happening(event, values)

    def _inbound(self, values: Mapping) -> dict:
        return {
            "device": self.account["device"],
            "sender": digits(required(values, "from")),
            "message": str(values.get("text") or ""),
            "text": str(values.get("payload") or ""),
            "name": values.get("name") or "Budi",
            "member": "",
            "location": "",
            "pollname": "",
            "choices": [],
            "inboxid": str(values.get("message_id") or next(self._ids)),
            "timestamp": int(values.get("at") or time.time()),
            "isgroup": False,
            "isforwarded": False,
        }
