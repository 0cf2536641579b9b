"""Twilio: form in, JSON out, refusals by code (providers.md section 4)."""

import json
import re
from base64 import b64encode
from email.utils import formatdate
from itertools import count
from typing import ClassVar

from .store import digits
from .wire import Call, Reply, Route, Wire

MAX_TEXT = 1600

# code: (HTTP status, text). Those that the real service tells by webhook can be played as refusals too.
ERRORS: dict[str, tuple[int, str]] = {
    "20003": (401, "Authenticate"),
    "20404": (404, "The requested resource was not found"),
    "20429": (429, "Too Many Requests"),
    "21211": (400, "The 'To' number is not a valid phone number."),
    "21602": (400, "Message body is required."),
    "21603": (400, "A 'From' phone number is required."),
    "21604": (400, "A 'To' phone number is required."),
    "21606": (
        400,
        "The From phone number is not a valid, SMS-capable inbound phone number for your account.",
    ),
    "21608": (400, "The number is unverified. Trial accounts cannot send messages to unverified numbers."),
    "21610": (400, "Attempt to send to unsubscribed recipient"),
    "21611": (429, "This 'From' number has exceeded the maximum number of queued messages"),
    "21612": (400, "The 'To' phone number is not currently reachable using the 'From' phone number"),
    "21614": (400, "'To' number is not a valid mobile number"),
    "21617": (400, "The concatenated message body exceeds the 1600 character limit"),
    "21655": (400, "The ContentSid is Invalid"),
    "21656": (400, "The Content Variables parameter is invalid."),
    "63007": (400, "Twilio could not find a Channel with the specified From address"),
    "63016": (400, "Failed to send freeform message because you are outside the allowed window."),
    "63018": (429, "Rate limit exceeded for Channel"),
}

_ADDRESS = re.compile(r"whatsapp:\+(\d{8,15})\Z")
_PLACEHOLDER = re.compile(r"\{\{\s*(\w+)\s*\}\}")
_ACCOUNT = r"/2010-04-01/Accounts/{account:[^/.]+}"


class Refused(Exception):
    """The request is refused with this error code."""

    def __init__(self, code: str, text: str = "") -> None:
        super().__init__(text)
        self.code = code
        self.text = text


class Twilio(Wire):
    """Sends by `Messages.json` and describes the account, both behind HTTP Basic."""

    name = "twilio"
    label = "Twilio"
    form = True
    default_account: ClassVar[dict] = {
        "account_sid": "AC00000000000000000000000000000001",
        "auth_token": "TWILIO-TOKEN-DEMO",
        "number": "6221500000",
        "status": "active",
        "contents": None,  # None: every ContentSid is known; else {"HX…": "{{1}}, izin {{2}} selesai."}
    }

    def __init__(self, store) -> None:
        super().__init__(store)
        self._ids = count(1)

    def configure(self) -> None:
        contents = self.account["contents"]
        if contents is not None and not (
            isinstance(contents, dict) and all(isinstance(body, str) for body in contents.values())
        ):
            raise ValueError("twilio: contents must be an object of ContentSid and text, or null")

    def routes(self) -> list[Route]:
        return [
            Route("POST", f"{_ACCOUNT}/Messages.json", "send", self.send),
            Route("GET", f"{_ACCOUNT}.json", "test", self.describe),
        ]

    def recipients(self, call: Call) -> list[str]:
        number = digits((call.fields or {}).get("To"))
        return [number] if number else []

    def knows_code(self, code: str) -> bool:
        return code.isdigit()

    def refusal(self, code: str, http_status: int | None = None) -> Reply:
        return self._error(Refused(code), http_status)

    def send(self, call: Call) -> Reply:
        """Take a content template or a text (providers.md 4.1)."""
        try:
            self._authorise(call)
            return self._send(call.fields or {})
        except Refused as refused:
            return self._error(refused)

    def describe(self, call: Call) -> Reply:
        """Describe the account (providers.md 4.7). As at the real service, the token is in the answer."""
        try:
            self._authorise(call)
        except Refused as refused:
            return self._error(refused)
        account = self.account
        return Reply(
            {
                "sid": account["account_sid"],
                "auth_token": account["auth_token"],
                "friendly_name": "Demo",
                "status": account["status"],
                "type": "Full",
                "uri": f"/2010-04-01/Accounts/{account['account_sid']}.json",
            }
        )

    def _authorise(self, call: Call) -> None:
        """Refuse wrong credentials; an account in the path that is not theirs does not exist for them."""
        account = self.account
        pair = f"{account['account_sid']}:{account['auth_token']}"
        if call.headers.get("Authorization") != f"Basic {b64encode(pair.encode()).decode()}":
            raise Refused("20003")
        if call.path["account"] != account["account_sid"]:
            raise Refused("20404")

    def _send(self, fields: dict) -> Reply:
        account = self.account
        if not fields.get("To"):
            raise Refused("21604")
        if not fields.get("From"):
            raise Refused("21603")
        if fields["From"] != f"whatsapp:+{account['number']}":
            raise Refused("63007")
        to = _ADDRESS.match(fields["To"])
        if not to:
            raise Refused("21211", f"The 'To' number {fields['To']} is not a valid phone number.")
        values: list[str] = []
        if fields.get("ContentSid"):
            text, values = self._content(fields["ContentSid"], fields.get("ContentVariables", ""))
        else:
            text = fields.get("Body", "")
        if not text:
            raise Refused("21602")
        if len(text) > MAX_TEXT:
            raise Refused("21617")
        sid = f"SM{next(self._ids):032x}"
        self.store.mailbox.add(
            self.name,
            to[1],
            text,
            template=fields.get("ContentSid") or None,
            parameters=values,
            message_id=sid,
            callback_url=fields.get("StatusCallback") or None,
        )
        return Reply(
            {
                "sid": sid,
                "status": "queued",
                "account_sid": account["account_sid"],
                "from": fields["From"],
                "to": fields["To"],
                "body": text,
                "direction": "outbound-api",
                "num_media": "0",
                "num_segments": "1",
                "error_code": None,
                "error_message": None,
                "date_created": formatdate(),
                "price": None,
                "price_unit": None,
                "api_version": "2010-04-01",
                "uri": f"/2010-04-01/Accounts/{account['account_sid']}/Messages/{sid}.json",
            },
            201,
        )

    def _content(self, sid: str, written: str) -> tuple[str, list[str]]:
        """Return the text that a phone would show, and the values in the order of their keys."""
        try:
            values = json.loads(written) if written else {}
        except ValueError:
            raise Refused("21656") from None
        if not isinstance(values, dict) or not all(isinstance(one, str) and one for one in values.values()):
            raise Refused("21656")
        if any(not key.isdigit() for key in values):
            raise Refused("21656", "The simulator knows only numbered variables.")
        texts = [values[key] for key in sorted(values, key=int)]
        known = self.account["contents"]
        if known is None:
            return (f"{sid}: {' | '.join(texts)}" if texts else sid), texts
        if sid not in known:
            raise Refused("21655")
        return _PLACEHOLDER.sub(lambda match: values.get(match[1], match[0]), known[sid]), texts

    def _error(self, refused: Refused, http_status: int | None = None) -> Reply:
        status, text = ERRORS.get(refused.code, (400, "Unknown error"))
        status = http_status or status
        body = {
            "code": int(refused.code),
            "message": refused.text or text,
            "more_info": f"https://www.twilio.com/docs/errors/{refused.code}",
            "status": status,
        }
        return Reply(body, status)
