"""Watzap: JSON in and out, keys in the body, errors in `status` of an HTTP 200 (providers.md section 3)."""

from typing import ClassVar

from .store import digits
from .wire import Call, Reply, Route, Wire

ERRORS = {
    "1002": ("Invalid API key", "error"),
    "1003": ("Invalid number key", "error"),
    "1004": ("Pairing failed, access denied", "error"),
    "1005": ("WhatsApp Instance Not Started", "fatal_error"),
    "1006": ("Other error", "error"),
}


class Watzap(Wire):
    """The calls `/v1/send_message`, `/v1/checking_key` and `/v1/validate_number`."""

    name = "watzap"
    label = "Watzap"
    default_account: ClassVar[dict] = {
        "api_key": "WATZAP-KEY-DEMO",
        "number_key": "WATZAP-NUMBER-DEMO",
        "wa_number": "6221500000",
        "connected": True,
    }

    def routes(self) -> list[Route]:
        return [
            Route("POST", "/v1/send_message", "send", self.send),
            Route("POST", "/v1/checking_key", "test", self.checking_key),
            Route("POST", "/v1/validate_number", "test", self.validate_number),
        ]

    def recipients(self, call: Call) -> list[str]:
        number = digits((call.fields or {}).get("phone_no"))
        return [number] if number else []

    def knows_code(self, code: str) -> bool:
        return code.isdigit()

    def refusal(self, code: str, http_status: int | None = None) -> Reply:
        message, ack = ERRORS.get(code, ("Error", "error"))
        body = {"status": code, "message": message, "ack": ack}
        if code == "1005":
            body["wa_number"] = self.account["wa_number"]
        return Reply(body, http_status or 200)

    def send(self, call: Call) -> Reply:
        """Take a text message (providers.md 3.2). The answer has no message id."""
        refused = self._refused(call)
        if refused:
            return self.refusal(refused)
        text = call.fields.get("message")
        recipients = self.recipients(call)
        if not recipients or not isinstance(text, str) or not text:
            return self.refusal("1006")
        self.store.mailbox.add(self.name, recipients[0], text)
        return Reply({"status": "200", "message": "Successfully", "ack": "successfully"})

    def checking_key(self, call: Call) -> Reply:
        """Describe the licence (providers.md 3.6). Only here a good `status` is a boolean."""
        account = self.account
        if (call.fields or {}).get("api_key") != account["api_key"]:
            return self.refusal("1002")
        licence = {
            "id": "1",
            "key": account["number_key"],
            "plan": "Premium",
            "active_until": "2099-12-31 00:00:00",
            "limit_message_per_day": 0,
            "wa_number": account["wa_number"],
            "is_connected": account["connected"],
        }
        data = {
            "id": "A1",
            "name": "Demo",
            "email": "demo@example.id",
            "expires_on": "31 December 2099",
            "plan": "Premium",
            "licenses_key": [licence],
        }
        return Reply({"data": data, "status": True, "message": "Successfully"})

    def validate_number(self, call: Call) -> Reply:
        """Say whether a number could be on WhatsApp: here, when its length is possible."""
        refused = self._refused(call)
        if refused:
            return self.refusal(refused)
        if not any(8 <= len(number) <= 15 for number in self.recipients(call)):
            return self.refusal("1006")
        return Reply({"status": "200", "message": "Valid WhatsApp Number", "ack": "successfully"})

    def _refused(self, call: Call) -> str:
        """Return the error status that the keys or the device lead to, "" when all is well."""
        fields, account = call.fields or {}, self.account
        if fields.get("api_key") != account["api_key"]:
            return "1002"
        if fields.get("number_key") != account["number_key"]:
            return "1003"
        return "" if account["connected"] else "1005"
