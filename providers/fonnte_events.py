"""What Fonnte tells by webhook (providers.md 2.8, 2.9). Nothing is signed: the secret address is the key."""

import time
from collections.abc import Iterator, Mapping
from typing import ClassVar

from . import hooks
from .base import Failure, Provider, as_bool, lower_keys
from .errors import ACCOUNT_BLOCKED, BAD_RECIPIENT, MSG, RCPT, SENDER, UNKNOWN, Verdict
from .events import (
    ACCEPTED,
    DELIVERED,
    FAILED,
    READ,
    SENT,
    Event,
    Hook,
    Inbound,
    Receipt,
    SenderChange,
)
from .hooks import e164, event_key, moment, words

RECONNECT = "The device is disconnected. Scan its QR code again in the Fonnte dashboard."

# providers.md 2.8; "url unreachable" is among the codes of sending.
LATE_CODES: dict[str, Verdict] = {
    "invalid": Verdict(BAD_RECIPIENT, RCPT, "Fonnte cannot send to the recipient's number. Check it."),
    "expired": Verdict(
        ACCOUNT_BLOCKED,
        SENDER,
        "The device was disconnected for seven days, so Fonnte gave the message up. Link the device again.",
    ),
    "failed": Verdict(
        UNKNOWN, MSG, "Fonnte could not send the message. Look at its history in the Fonnte dashboard."
    ),
    "disconnect": Verdict(ACCOUNT_BLOCKED, SENDER, RECONNECT),
}

_STATES = {
    "sent": SENT,
    "delivered": DELIVERED,
    "read": READ,
    "pending": ACCEPTED,
    "waiting": ACCEPTED,
    "processing": ACCEPTED,
    "invalid": FAILED,
    "expired": FAILED,
    "url unreachable": FAILED,
    "failed": FAILED,
}


class FonnteEvents(Provider):
    """Reads receipts, messages and the state of the device."""

    late_codes: ClassVar[Mapping[str, Verdict]] = LATE_CODES

    def _read_events(self, hook: Hook) -> Iterator[Event]:
        body = lower_keys(hooks.json_object(hook))
        if words(body.get("sender")):
            yield from self._read_message(body)
        elif words(body.get("id")) or words(body.get("stateid")):
            yield from self._read_receipt(body)
        elif words(body.get("status")).lower() in ("connect", "disconnect"):
            yield from self._read_device(body)

    def _read_receipt(self, body: dict) -> Iterator[Event]:
        message_id, alias = words(body.get("id")), words(body.get("stateid"))
        # Fonnte's progress and WhatsApp's receipt; one body may bring both, one ahead of the other.
        said = [words(body.get(name)).lower() for name in ("state", "status")]
        known = [word for word in said if word in _STATES]
        if known:
            best = max(known, key=lambda word: _RANK[_STATES[word]])
            state = _STATES[best]
        elif message_id and alias:
            best, state = "", ACCEPTED  # still says which id belongs to which
        else:
            return
        problem = self._late(Failure(best), body.get("target")) if state == FAILED else {}
        yield Receipt(
            event_key("receipt", message_id, alias, state), message_id, state, alias=alias, **problem
        )

    def _read_message(self, body: dict) -> Iterator[Event]:
        sender, device = words(body.get("sender")), words(body.get("device"))
        if as_bool(body.get("isgroup")) or words(body.get("member")) or sender.endswith(_GROUPS):
            return
        phone = e164(sender)
        if sender == device or (phone and phone == e164(device)):
            return  # an echo of our own
        text = words(body.get("message"), hooks.MAX_TEXT)
        button = words(body.get("text"), hooks.MAX_TEXT)
        inbox, sent = words(body.get("inboxid")), words(body.get("timestamp"))
        what = ("inbox", inbox) if inbox else ("time", sent, text, button)
        yield Inbound(
            event_key("inbound", device, sender, *what, personal=True),
            phone,
            at=moment(sent),
            text=text or button,
            payload=button,
            name=words(body.get("name")),
            message_id=inbox,
            sender="" if phone else sender,
        )

    def _read_device(self, body: dict) -> Iterator[Event]:
        # The token tells the device: one address may be set for several of an account.
        token = words(body.get("token"))
        if token and not hooks.same(token, self.token):
            return
        status = words(body.get("status")).lower()
        # Without a time of its own each one is news after a minute: the second disconnection too.
        at = words(body.get("timestamp")) or f"received {time.time() // 60:.0f}"
        key = event_key("sender", words(body.get("device")), status, at, personal=True)
        if status == "connect":
            yield SenderChange(key, True)
        else:
            problem = self._late(Failure(status, words(body.get("reason"))))
            yield SenderChange(key, False, problem["error_class"], problem["error_message"])


_GROUPS = ("@g.us", "@broadcast", "@newsletter")
# A receipt of WhatsApp is better proof than a failure that Fonnte reports.
_RANK = {ACCEPTED: 0, SENT: 1, FAILED: 2, DELIVERED: 3, READ: 4}
