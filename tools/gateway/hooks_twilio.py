"""Twilio's webhooks (providers.md 4.5, 4.6): forms, signed over the address and every field."""

import base64
import hashlib
import hmac
from collections.abc import Mapping
from itertools import count
from urllib.parse import parse_qsl, urlencode

from .hooks import Hooks, required
from .store import Message, digits


class TwilioHooks(Hooks):
    """Posts where the message said, else to the account's `callback_url`."""

    name = "twilio"
    statuses = frozenset({"queued", "sent", "delivered", "read", "undelivered", "failed"})
    content_type = "application/x-www-form-urlencoded"

    def __init__(self, store) -> None:
        super().__init__(store)
        self._ids = count(1)

    def url(self, message: Message | None = None) -> str:
        return self.account["callback_url"] or (message and message.callback_url) or ""

    def receipt(self, message: Message, status: str, code: str, at: float) -> dict:
        fields = {
            **self._ids_of(message.message_id),
            "MessageStatus": status,
            "SmsStatus": status,
            "To": f"whatsapp:+{message.to}",
            "From": self._sender(),
            "ChannelPrefix": "whatsapp",
            "ChannelToAddress": f"+{message.to}",
        }
        if status in ("failed", "undelivered"):
            fields["ErrorCode"] = code or "63024"
        return fields

    def happening(self, event: str, values: Mapping) -> dict:
        if event != "inbound":
            return super().happening(event, values)
        number = digits(required(values, "from"))
        text, payload = str(values.get("text") or ""), str(values.get("payload") or "")
        return {
            **self._ids_of(values.get("message_id") or f"SM{next(self._ids):032x}"),
            "SmsStatus": "received",
            "From": f"whatsapp:+{number}",
            "To": self._sender(),
            "WaId": number,
            "ProfileName": values.get("name") or "Budi",
            "Body": text,
            "MessageType": "button" if payload else "text",
            "NumMedia": "0",
            **({"ButtonText": text, "ButtonPayload": payload} if payload else {}),
        }

    def encode(self, body: dict) -> bytes:
        if not isinstance(body, dict):
            raise ValueError("a form is an object with its fields")
        return urlencode(body).encode()

    def sign(self, body: bytes, url: str, *, spoilt: bool = False) -> dict[str, str]:
        secret = "WRONG" if spoilt else self.account["auth_token"]
        fields = sorted(parse_qsl(body.decode(), keep_blank_values=True))
        content = url + "".join(name + value for name, value in fields)
        digest = hmac.new(secret.encode(), content.encode(), hashlib.sha1).digest()
        return {"X-Twilio-Signature": base64.b64encode(digest).decode()}

    def _ids_of(self, sid: str | None) -> dict[str, str]:
        sid = sid or ""
        return {
            "MessageSid": sid,
            "SmsSid": sid,
            "AccountSid": self.account["account_sid"],
            "ApiVersion": "2010-04-01",
        }

    def _sender(self) -> str:
        return f"whatsapp:+{self.account['number']}"
