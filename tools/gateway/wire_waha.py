"""WAHA: JSON in and out, the answer's shape is the engine's (providers.md section 5)."""

import time
from itertools import count
from typing import ClassVar

from .store import digits
from .wire import Call, Reply, Route, Wire

STATES = (
    "STOPPED",
    "STARTING",
    "SCAN_QR_CODE",
    "PASSKEY_REQUIRED",
    "PASSKEY_CONFIRMATION_REQUIRED",
    "WORKING",
    "FAILED",
)
# GOWS stands for the documented model; the other two have their own.
ENGINES = ("GOWS", "NOWEB", "WEBJS")
# Faults by HTTP status. "500/sent" fails after the message was sent.
STATUSES = {
    "400": "Bad Request",
    "401": "Unauthorized",
    "404": "Session not found",
    "422": "The method is not available in this engine",
    "500": "",
    "500/sent": "",
}


class Waha(Wire):
    """Sends by `/api/sendText` and describes its session."""

    name = "waha"
    label = "WAHA"
    default_account: ClassVar[dict] = {
        "api_key": "WAHA-KEY-DEMO",
        "session": "default",
        "number": "6221500000",
        "status": "WORKING",
        "engine": "NOWEB",
        "empty_answers": False,  # as one version did: 201 without a body
    }

    def __init__(self, store) -> None:
        super().__init__(store)
        self._ids = count(1)

    @property
    def connected(self) -> bool:
        return self.account["status"] == "WORKING"

    def configure(self) -> None:
        if self.account["status"] not in STATES:
            raise ValueError(f"waha: status must be one of {', '.join(STATES)}")
        if self.account["engine"] not in ENGINES:
            raise ValueError(f"waha: engine must be one of {', '.join(ENGINES)}")

    def routes(self) -> list[Route]:
        return [
            Route("POST", "/api/sendText", "send", self.send),
            Route("GET", "/api/sessions/{session}", "test", self.session),
            Route("GET", "/api/{session}/lids/{lid}", "test", self.lid),
        ]

    def recipients(self, call: Call) -> list[str]:
        chat = (call.fields or {}).get("chatId")
        number = digits(chat.partition("@")[0]) if isinstance(chat, str) else ""
        return [number] if number else []

    def knows_code(self, code: str) -> bool:
        return code in STATUSES or (code in STATES and code != "WORKING")

    def refusal(self, code: str, http_status: int | None = None) -> Reply:
        if code in STATES:
            body = {
                "error": "Session status is not as expected. Try again later or restart the session",
                "session": self.account["session"],
                "status": code,
                "expected": ["WORKING"],
            }
            return Reply(body, http_status or 422)
        status = int(code[:3])
        return Reply({"message": STATUSES[code], "statusCode": status}, http_status or status)

    def play(self, code: str, http_status: int | None, call: Call) -> Reply:
        if not code.startswith("500"):
            return self.refusal(code, http_status)
        if code == "500/sent":
            self.send(call)
        body = {
            "statusCode": 500,
            "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "exception": {
                "message": "Evaluation failed",
                "name": "Error",
                "stack": "Error: Evaluation failed",
            },
            "request": {"url": "/api/sendText", "body": call.fields, "query": dict(call.query)},
            "version": {"version": "2026.8.1", "engine": self.account["engine"], "tier": "CORE"},
        }
        return Reply(body, http_status or 500)

    def send(self, call: Call) -> Reply:
        """Take a text (providers.md 5.2). A number without WhatsApp is taken as well, as in reality."""
        fields, account = call.fields or {}, self.account
        if call.headers.get("X-Api-Key") != account["api_key"]:
            return self.refusal("401")
        if fields.get("session", "default") != account["session"]:
            return self.refusal("404")
        recipients, text = self.recipients(call), fields.get("text")
        if not recipients or not isinstance(text, str) or not text:
            return self.refusal("400")
        if not self.connected:
            return self.refusal(account["status"])
        message_id = f"3EB0TEST{next(self._ids):012X}"
        self.store.mailbox.add(self.name, recipients[0], text, message_id=message_id)
        if account["empty_answers"]:
            return Reply("", 201)
        return Reply(self._sent(message_id, recipients[0], text), 201)

    def session(self, call: Call) -> Reply:
        """Describe the session (providers.md 5.5)."""
        account = self.account
        if call.headers.get("X-Api-Key") != account["api_key"]:
            return self.refusal("401")
        if call.path["session"] != account["session"]:
            return self.refusal("404")
        linked = {"id": f"{account['number']}@c.us", "pushName": "Demo"}
        return Reply(
            {
                "name": account["session"],
                "status": account["status"],
                "me": linked if self.connected else None,
                "config": {},
                "engine": {"engine": account["engine"]},
            }
        )

    def lid(self, call: Call) -> Reply:
        """Tell the number behind a hidden one (providers.md 5.5); here it is the number turned around."""
        if call.headers.get("X-Api-Key") != self.account["api_key"]:
            return self.refusal("401")
        lid = call.path["lid"]
        if call.path["session"] != self.account["session"] or not lid.endswith("00@lid"):
            return self.refusal("404")
        return Reply({"lid": lid, "pn": f"{lid.removesuffix('00@lid')[::-1]}@c.us"})

    def _sent(self, message_id: str, to: str, text: str) -> dict:
        """Return the engine's answer (providers.md 5.3)."""
        chat = f"{to}@c.us"
        serialized = f"true_{chat}_{message_id}"
        engine, now = self.account["engine"], int(time.time())
        if engine == "NOWEB":
            key = {"remoteJid": f"{to}@s.whatsapp.net", "fromMe": True, "id": message_id}
            return {"key": key, "messageTimestamp": str(now), "status": "PENDING"}
        if engine == "WEBJS":
            parts = {"fromMe": True, "remote": chat, "id": message_id, "_serialized": serialized}
            return {"_data": {"id": parts, "ack": 0}, "id": {"_serialized": serialized}}
        return {
            "id": serialized,
            "timestamp": now,
            "from": f"{self.account['number']}@c.us",
            "fromMe": True,
            "to": chat,
            "body": text,
            "ack": 0,
        }
