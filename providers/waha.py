"""WAHA (providers.md 5): a self-hosted gateway that sends text through a linked device."""

from collections.abc import Mapping
from typing import ClassVar
from urllib.parse import quote

from . import errors, phone
from .base import Failure, Request, as_dict, as_list, as_text
from .errors import (
    ACCOUNT_BLOCKED,
    ACCT,
    BAD_CREDENTIALS,
    INTERRUPTED,
    MSG,
    RETRY_LATER,
    SENDER,
    UNKNOWN,
    Verdict,
)
from .hooks import e164
from .message import ACCEPTED, Attempt, Message, Report
from .transport import Answer, TransportError
from .waha_events import NOT_WORKING, WahaEvents, message_key

WORKING = "WORKING"

_LINK = "The WAHA session is not linked to WhatsApp. Scan its QR code in the WAHA dashboard."
_PASSKEY = "The WAHA session waits for a passkey. Confirm it in the WAHA dashboard."
_OUR_BUG = "WAHA does not accept the form of this request. Report it to the developers with this text."

# providers.md 5.4, in its order: states of a session in lower case, then HTTP statuses.
CODES: dict[str, Verdict] = {
    "starting": Verdict(
        RETRY_LATER, SENDER, "The WAHA session is starting; the message is tried again later."
    ),
    "scan_qr_code": Verdict(ACCOUNT_BLOCKED, SENDER, _LINK),
    "passkey_required": Verdict(ACCOUNT_BLOCKED, SENDER, _PASSKEY),
    "passkey_confirmation_required": Verdict(ACCOUNT_BLOCKED, SENDER, _PASSKEY),
    "stopped": Verdict(
        ACCOUNT_BLOCKED, SENDER, "The WAHA session is stopped. Start it in the WAHA dashboard."
    ),
    "failed": Verdict(
        ACCOUNT_BLOCKED, SENDER, "The WAHA session has failed. Restart it in the WAHA dashboard."
    ),
    NOT_WORKING: Verdict(
        ACCOUNT_BLOCKED, SENDER, "The WAHA session does not work. Look at it in the WAHA dashboard."
    ),
    "404": Verdict(
        BAD_CREDENTIALS, SENDER, "WAHA does not know the session. Enter its name as the sender ID."
    ),
    "404/path": errors.WRONG_ADDRESS,
    "401": Verdict(BAD_CREDENTIALS, ACCT, "WAHA refused the API key. Enter the one of the server."),
    "422": Verdict(UNKNOWN, MSG, "This WAHA engine or edition cannot send the message. Read its text."),
    "400": Verdict(UNKNOWN, MSG, _OUR_BUG),
    "500": Verdict(
        INTERRUPTED,
        MSG,
        "WAHA failed while sending; whether the message left is not known. See WAHA's log, or ask the "
        "recipient, before sending again.",
    ),
}


class WahaProvider(WahaEvents):
    """WAHA: text only, one session per linked phone, message ids in the shape of its engine.

    Whether a number is on WhatsApp (5.5) is not asked before a send: it would be a second request for each
    message, one that WhatsApp itself may count against the sender, and receipts tell what was delivered.
    """

    type = "waha"
    label = "WAHA"
    default_base_url = ""  # there is no service but the office's own
    required = ("base_url", "api_token")
    own_names: ClassVar[Mapping[str, str]] = {"base_url": "address of the WAHA server"}
    codes: ClassVar[Mapping[str, Verdict]] = CODES

    # -- Sending ---------------------------------------------------------------------------------------------

    def _build_send(self, message: Message) -> Request:
        return Request(
            "POST",
            "/api/sendText",
            headers=self._headers(),
            json={
                "session": self.session,
                "chatId": f"{phone.digits(message.phone)}@c.us",
                "text": message.text,
            },
        )

    def _read_send(self, answer: Answer, message: Message) -> Attempt:
        """As for all, but an empty 201 is a success: so said one version of WAHA (providers.md 5.3)."""
        if answer.status == 201 and not answer.text.strip():
            return Attempt(ACCEPTED)
        return super()._read_send(answer, message)

    def _read_success(self, body: object) -> str | None:
        answer = as_dict(body)
        found = answer.get("id")
        candidates = (
            found,
            as_dict(found).get("_serialized"),
            as_dict(as_dict(answer.get("_data")).get("id")).get("_serialized"),
            as_dict(answer.get("key")).get("id"),
        )
        return next((message_key(text) for text in map(as_text, candidates) if text), None)

    def _read_failure(self, body: object, message: Message | None) -> Failure | None:
        answer = as_dict(body)
        state, status = as_text(answer.get("status")), as_text(answer.get("statusCode"))
        if state and "expected" in answer:
            return Failure(state, keys=(state.lower(), NOT_WORKING))
        if not status:
            return None
        if status == "500":
            return Failure(status)  # its body repeats the request: the number and the text
        said = answer.get("message")
        said = as_text(said) or "; ".join(filter(None, map(as_text, as_list(said))))
        # The framework's own answer to a path that it does not know.
        keys = ("404/path",) if status == "404" and said.startswith("Cannot ") else ()
        return Failure(status, said, keys=(*keys, status))

    def _verdict(self, failure: Failure | None, answer: Answer) -> Verdict:
        """As for all, but a 500 leaves the outcome unknown, whatever its body says."""
        return self.codes["500"] if answer.status == 500 else super()._verdict(failure, answer)

    # -- Connection test (providers.md 5.8) ------------------------------------------------------------------

    def _test(self) -> Report:
        path = f"/api/sessions/{quote(self.session, safe='')}"
        answer = self._request(Request("GET", path, headers=self._headers()))
        facts = as_dict(answer.body)
        state = as_text(facts.get("status"))
        if answer.status != 200 or as_text(facts.get("name")) != self.session or not state:
            return self._failed_test(answer)
        number, _at, _server = as_text(as_dict(facts.get("me")).get("id")).partition("@")
        engine = as_text(as_dict(facts.get("engine")).get("engine"))
        details = {"session": self.session, "status": state, "number": number, "engine": engine}
        details = {name: text for name, text in details.items() if text}
        if state == WORKING:
            return Report(True, "The session is connected and can send.", details)
        if state.lower() == "starting":
            return Report(False, "The WAHA session is starting. Test again in a minute.", details)
        return Report(False, self.codes.get(state.lower(), self.codes[NOT_WORKING]).hint, details)

    # -- Hidden numbers (providers.md 5.5) -------------------------------------------------------------------

    def number_of(self, sender: str) -> str | None:
        """As for all. 404 is the answer of a server that does not know the person, or is too old to tell."""
        if not sender.endswith("@lid"):
            return ""
        session, lid = (quote(part, safe="") for part in (self.session, sender))
        try:
            answer = self._request(Request("GET", f"/api/{session}/lids/{lid}", headers=self._headers()))
        except TransportError:
            return None
        if answer.status in (400, 404):
            return ""
        return e164(as_dict(answer.body).get("pn")) if answer.status == 200 else None

    # -- Helpers ---------------------------------------------------------------------------------------------

    def _headers(self) -> dict[str, str]:
        return {"X-Api-Key": self.token}
