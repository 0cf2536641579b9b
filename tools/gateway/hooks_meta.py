"""Meta's webhooks: statuses, messages, preferences, templates, the address (providers.md 1.8 to 1.10)."""

import hashlib
import hmac
import time
from collections.abc import Mapping
from itertools import count
from typing import ClassVar

from .hooks import Hooks, required
from .store import Message, digits
from .wire_meta import ERRORS


class MetaHooks(Hooks):
    """Signed with the app's secret; non-ASCII characters go out as ``\\uXXXX``, and are signed so."""

    name = "meta"
    statuses = frozenset({"sent", "delivered", "read", "played", "failed"})
    settings: ClassVar[dict] = {"app_secret": "META-SECRET-DEMO", "verify_token": "META-VERIFY-DEMO"}

    def __init__(self, store) -> None:
        super().__init__(store)
        self._ids = count(1)

    def split(self, status: object) -> tuple[str, str]:
        word, code = super().split(status)
        if code:
            _error(code)
        return word, code

    def receipt(self, message: Message, status: str, code: str, at: float) -> dict:
        row: dict = {
            "id": message.message_id,
            "status": status,
            "timestamp": str(int(at)),
            "recipient_id": message.to,
        }
        if message.reference:
            row["biz_opaque_callback_data"] = message.reference
        if status == "failed":
            row["errors"] = [_error(code or "131026")]
        else:
            row["pricing"] = {
                "billable": True,
                "pricing_model": "PMP",
                "type": "regular",
                "category": "utility",
            }
        return self._change("messages", self._value(statuses=[row]))

    def happening(self, event: str, values: Mapping) -> dict:
        if event == "challenge":
            mark = "_" if values.get("underscores") else "."
            return {
                f"hub{mark}mode": values.get("mode", "subscribe"),
                f"hub{mark}challenge": values.get("challenge", "1158201444"),
                f"hub{mark}verify_token": values.get("verify_token", self.account["verify_token"]),
            }
        if event == "inbound":
            return self._inbound(values)
        if event == "preference":
            wish = {
                "wa_id": digits(required(values, "from")),
                "category": "marketing_messages",
                "value": values.get("value", "stop"),
                "detail": "User requested this",
                "timestamp": int(values.get("at") or time.time()),
            }
            return self._change("user_preferences", self._value(user_preferences=[wish]))
        if event == "sender":
            return self._change("messages", self._value(errors=[_error(str(values.get("code") or "131031"))]))
        if event in ("template", "template_quality"):
            return self._template(event, values)
        return super().happening(event, values)

    def sign(self, body: bytes, url: str, *, spoilt: bool = False) -> dict[str, str]:
        secret = "WRONG" if spoilt else self.account["app_secret"]
        signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
        return {"X-Hub-Signature-256": f"sha256={signature}", "User-Agent": "facebookexternalua"}

    def _inbound(self, values: Mapping) -> dict:
        """A message of a person, without a number when only `user_id` is given."""
        number, user = digits(values.get("from")), str(values.get("user_id") or "")
        if not (number or user):
            raise ValueError("from is required")
        text, payload = str(values.get("text") or ""), str(values.get("payload") or "")
        message: dict = {
            "id": values.get("message_id") or f"wamid.HBgIN{next(self._ids):010d}",
            "timestamp": str(int(values.get("at") or time.time())),
        }
        contact: dict = {"profile": {"name": values.get("name") or "Budi"}}
        for holder, key in ((message, "from"), (contact, "wa_id")):
            if number:
                holder[key] = number
        if user:
            message["from_user_id"] = contact["user_id"] = user
        if payload:
            message |= {"type": "button", "button": {"payload": payload, "text": text}}
        else:
            message |= {"type": "text", "text": {"body": text}}
        return self._change("messages", self._value(contacts=[contact], messages=[message]))

    def _template(self, event: str, values: Mapping) -> dict:
        value = {
            "message_template_id": 900_000_000_000_001,
            "message_template_name": required(values, "name"),
            "message_template_language": values.get("language", "id"),
        }
        if event == "template_quality":
            value |= {
                "previous_quality_score": "GREEN",
                "new_quality_score": values.get("quality", "RED"),
            }
            return self._change("message_template_quality_update", value)
        value |= {
            "event": required(values, "status"),
            "reason": values.get("reason", "NONE"),
            "message_template_category": values.get("category", "UTILITY"),
        }
        return self._change("message_template_status_update", value)

    def _value(self, **parts: list) -> dict:
        account = self.account
        metadata = {
            "display_phone_number": digits(account["display_phone_number"]),
            "phone_number_id": account["phone_number_id"],
        }
        return {"messaging_product": "whatsapp", "metadata": metadata, **parts}

    def _change(self, field: str, value: dict) -> dict:
        entry = {
            "id": self.account["waba_id"],
            "time": int(time.time()),
            "changes": [{"field": field, "value": value}],
        }
        return {"object": "whatsapp_business_account", "entry": [entry]}


def _error(code: str) -> dict:
    if not code.isdigit():
        raise ValueError(f"meta: {code!r} is no error code")
    number = int(code)
    _status, title = ERRORS.get(number, (400, "Unknown error"))
    return {
        "code": number,
        "title": title,
        "message": title,
        "error_data": {"details": "Played by the simulator."},
        "href": "https://developers.facebook.com/docs/whatsapp/cloud-api/support/error-codes/",
    }
