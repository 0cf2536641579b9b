"""What WAHA tells by webhook (providers.md 5.7): an envelope around each event, signed with the HMAC key."""

from collections.abc import Iterator, Mapping
from typing import ClassVar
from urllib.parse import quote

from . import hooks
from .base import Failure, Provider, Request, as_dict, as_text
from .errors import ACCOUNT_BLOCKED, MSG, SENDER, UNKNOWN, Verdict
from .events import (
    ACCEPTED,
    DELIVERED,
    FAILED,
    READ,
    SENT,
    Event,
    Hook,
    Inbound,
    Malformed,
    Receipt,
    SenderChange,
)
from .hooks import e164, event_key, moment, words
from .transport import TransportError

_LINK = "The session is not linked. Scan its QR code again in WAHA."

# providers.md 5.4, 5.7: the acknowledgement of a failure, and the states in which a session cannot send.
LATE_CODES: dict[str, Verdict] = {
    "ack -1": Verdict(
        UNKNOWN, MSG, "WhatsApp did not take the message from the session. Check the number and the session."
    ),
    "scan_qr_code": Verdict(ACCOUNT_BLOCKED, SENDER, _LINK),
    "passkey_required": Verdict(ACCOUNT_BLOCKED, SENDER, _LINK),
    "passkey_confirmation_required": Verdict(ACCOUNT_BLOCKED, SENDER, _LINK),
    "stopped": Verdict(ACCOUNT_BLOCKED, SENDER, "The session is stopped. Start it in WAHA."),
    "failed": Verdict(
        ACCOUNT_BLOCKED, SENDER, "The session has failed. Restart it in WAHA, or link it again."
    ),
}

_STATES = {"-1": FAILED, "0": ACCEPTED, "1": SENT, "2": DELIVERED, "3": READ, "4": READ}
_NOBODY = ("@g.us", "@broadcast", "@newsletter")


class WahaEvents(Provider):
    """Reads acknowledgements, messages and the state of the session."""

    signs_webhooks = True
    late_codes: ClassVar[Mapping[str, Verdict]] = LATE_CODES

    def is_authentic(self, hook: Hook) -> bool:
        return hooks.is_hex_signature(hook.header("X-Webhook-Hmac"), self.app_secrets, hook.body, "sha512")

    def number_of(self, sender: str) -> str:
        if not sender.endswith("@lid"):
            return ""
        session, lid = (quote(part, safe="") for part in (self.sender_id or "default", sender))
        request = Request("GET", f"/api/{session}/lids/{lid}", headers={"X-Api-Key": self.token})
        try:
            answer = self._request(request)
        except TransportError:
            return ""
        return e164(as_dict(answer.body).get("pn")) if answer.status == 200 else ""

    def _read_events(self, hook: Hook) -> Iterator[Event]:
        envelope = hooks.json_object(hook)
        kind = as_text(envelope.get("event"))
        if not kind:
            raise Malformed("the body has no event")
        session = words(envelope.get("session"))
        if session and session != (self.sender_id or "default"):
            return  # one address may be set for several sessions
        payload = as_dict(envelope.get("payload"))
        if kind == "message.ack":
            yield from self._read_ack(envelope, payload)
        elif kind == "message":
            yield from self._read_message(envelope, payload)
        elif kind == "session.status":
            yield from self._read_session(envelope, payload)

    def _read_ack(self, envelope: dict, payload: dict) -> Iterator[Event]:
        whole = words(payload.get("id"))
        message_id, state = _last_part(whole), _STATES.get(words(payload.get("ack")))
        ours = payload.get("fromMe") is True or (payload.get("fromMe") is None and whole.startswith("true_"))
        if not (message_id and state and ours) or _is_group(payload):
            return
        problem = {}
        if state == FAILED:
            to = payload.get("to") or payload.get("from")
            problem = self._late(Failure("ack -1", words(payload.get("ackName"))), to)
        yield Receipt(
            event_key("receipt", words(envelope.get("id")) or f"{message_id}:{state}"),
            message_id,
            state,
            at=moment(envelope.get("timestamp")),
            **problem,
        )

    def _read_message(self, envelope: dict, payload: dict) -> Iterator[Event]:
        given, message_id = words(payload.get("from")), _last_part(words(payload.get("id")))
        if payload.get("fromMe") is True or not given or _is_group(payload):
            return
        data = as_dict(payload.get("_data"))
        # Some engines tell the number beside the hidden id (devlikeapro/waha issue 1608).
        phone = e164(given) or e164(as_dict(data.get("key")).get("remoteJidAlt"))
        if phone and phone == e164(as_dict(envelope.get("me")).get("id")):
            return  # an echo of our own
        time = words(payload.get("timestamp"))
        what = (message_id,) if message_id else (words(envelope.get("id")), given, time)
        yield Inbound(
            event_key("inbound", *what, personal=not message_id),
            phone,
            at=moment(time),
            text=words(payload.get("body"), hooks.MAX_TEXT),
            name=words(data.get("notifyName")) or words(data.get("pushName")),
            message_id=message_id,
            sender="" if phone else given,
        )

    def _read_session(self, envelope: dict, payload: dict) -> Iterator[Event]:
        status = words(payload.get("status")).lower()
        time = words(envelope.get("timestamp"))
        key = event_key("sender", words(envelope.get("id")) or f"{status}:{time}")
        if status == "working":
            yield SenderChange(key, True)
        elif status in self.late_codes:  # one that starts is neither: it tells again in a moment
            problem = self._late(Failure(status))
            yield SenderChange(key, False, problem["error_class"], problem["error_message"])


def _last_part(message_id: str) -> str:
    """Return what identifies a message: the chat before it may be written in several ways (5.3)."""
    return message_id.rpartition("_")[2]


def _is_group(payload: dict) -> bool:
    return any(words(payload.get(name)).endswith(_NOBODY) for name in ("from", "to"))
