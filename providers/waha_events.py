"""What WAHA tells by webhook (providers.md 5.7): an envelope around each event, signed with the HMAC key."""

from collections.abc import Iterator, Mapping
from typing import ClassVar

from . import hooks
from .base import Failure, Provider, as_dict, as_text
from .errors import MSG, STOPS_SENDER, UNKNOWN, Verdict
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
from .message import Account

DEFAULT_SESSION = "default"
NOT_WORKING = "not working"  # the row of session states that are not known here

# providers.md 5.7; the states of a session are among the codes of sending.
LATE_CODES: dict[str, Verdict] = {
    "ack -1": Verdict(
        UNKNOWN, MSG, "WhatsApp did not take the message from the session. Check the number and the session."
    ),
}

_STATES = {"-1": FAILED, "0": ACCEPTED, "1": SENT, "2": DELIVERED, "3": READ, "4": READ}
_NOBODY = ("@g.us", "@broadcast", "@newsletter")


class WahaEvents(Provider):
    """Reads acknowledgements, messages and the state of the session."""

    signs_webhooks = True
    late_codes: ClassVar[Mapping[str, Verdict]] = LATE_CODES

    def __init__(self, account: Account) -> None:
        super().__init__(account)
        self.session = self.sender_id or DEFAULT_SESSION

    def is_authentic(self, hook: Hook) -> bool:
        return hooks.is_hex_signature(hook.header("X-Webhook-Hmac"), self.app_secrets, hook.body, "sha512")

    def _read_events(self, hook: Hook) -> Iterator[Event]:
        envelope = hooks.json_object(hook)
        kind = as_text(envelope.get("event"))
        if not kind:
            raise Malformed("the body has no event")
        session = words(envelope.get("session"))
        if session and session != self.session:
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
        message_id, state = message_key(whole), _STATES.get(words(payload.get("ack")))
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
        given, message_id = words(payload.get("from")), message_key(words(payload.get("id")))
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
        elif status:
            problem = self._late(Failure(status, keys=(status, NOT_WORKING)))
            if problem["error_class"] in STOPS_SENDER:  # one that is starting tells again in a moment
                yield SenderChange(key, False, problem["error_class"], problem["error_message"])


def message_key(serialized: str) -> str:
    """Return the part of a message's id that stays the same: ``true_<chat>_<ID>`` → ``<ID>``.

    The chat may be a hidden number in one place and the phone number in another (providers.md 5.3), and in a
    group the author follows the id. Some engines give the id alone.
    """
    parts = serialized.split("_")
    return parts[2] if len(parts) > 2 and "@" in parts[1] else serialized


def _is_group(payload: dict) -> bool:
    return any(words(payload.get(name)).endswith(_NOBODY) for name in ("from", "to"))
