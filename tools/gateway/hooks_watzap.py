"""Watzap's webhook (providers.md 3.5): messages only, unsigned."""

import time
from collections.abc import Mapping
from itertools import count

from .hooks import Hooks, required
from .store import digits


class WatzapHooks(Hooks):
    """Tells of messages, and nothing about what became of ours."""

    name = "watzap"

    def __init__(self, store) -> None:
        super().__init__(store)
        self._ids = count(1)

    def happening(self, event: str, values: Mapping) -> dict:
        if event != "inbound":
            return super().happening(event, values)
        return {
            "type": "incoming_chat",
            "data": {
                "chat_id": f"{digits(required(values, 'from'))}@c.us",
                "message_id": values.get("message_id") or f"WZIN{next(self._ids):010d}",
                "name": values.get("name") or "Budi",
                "profile_picture": "",
                "timestamp": int(values.get("at") or time.time()),
                "message_body": str(values.get("text") or ""),
                "message_ack": "PENDING",
                "has_media": False,
                "media_mime": "",
                "media_name": "",
                "location_attached": {"lat": None, "lng": None},
                "is_forwading": False,
                "is_from_me": bool(values.get("from_me")),
            },
        }
