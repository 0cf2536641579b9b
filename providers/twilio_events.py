"""What Twilio tells by webhook (providers.md 4.5, 4.6): forms, signed over the public address."""

import base64
import hashlib
import hmac
from collections.abc import Iterator
from urllib.parse import parse_qsl, urlsplit

from . import hooks
from .base import Failure, Provider
from .events import ACCEPTED, DELIVERED, FAILED, READ, SENT, Event, Hook, Inbound, Malformed, Receipt
from .hooks import e164, event_key, words

_MAX_FIELDS = 500

_STATES = {
    "queued": ACCEPTED,
    "accepted": ACCEPTED,
    "scheduled": ACCEPTED,
    "sending": ACCEPTED,
    "sent": SENT,
    "delivered": DELIVERED,
    "read": READ,
    "undelivered": FAILED,
    "failed": FAILED,
    "canceled": FAILED,
}


class TwilioEvents(Provider):
    """Reads status callbacks and messages.

    Signed with the account's auth token: the API token here, or one of ``app_secret`` (the next token, while
    one is exchanged for the other).
    """

    signs_webhooks = True

    def is_authentic(self, hook: Hook) -> bool:
        given = hook.header("X-Twilio-Signature")
        if not given:
            return False
        if "bodySHA256" in hook.query:
            # Not a form: the address has the body's hash, and the address is signed.
            fields, whole = "", hooks.same(hook.query["bodySHA256"], hashlib.sha256(hook.body).hexdigest())
        else:
            try:
                pairs, whole = set(_pairs(hook)), True
            except Malformed:
                return False
            fields = "".join(name + value for name, value in sorted(pairs))
        found = False
        for url in _spellings(hook.url):
            content = (url + fields).encode("utf-8", "surrogateescape")
            for token in filter(None, (self.token, *self.app_secrets)):
                signature = hmac.new(token.encode(), content, "sha1").digest()
                found |= hooks.same(given, base64.b64encode(signature).decode())
        return found and whole

    def webhook_answer(self) -> tuple[str, str]:
        return "<Response></Response>", "text/xml"

    def _read_events(self, hook: Hook) -> Iterator[Event]:
        fields = dict(_pairs(hook))
        message_id = words(fields.get("MessageSid")) or words(fields.get("SmsSid"))
        if not message_id and "AccountSid" not in fields:
            raise Malformed("the body has no fields of this service")
        said = (words(fields.get("MessageStatus")) or words(fields.get("SmsStatus"))).lower()
        if message_id and said in _STATES:
            yield self._receipt(message_id, said, fields)
        elif message_id and said in ("", "received") and "From" in fields:
            yield from self._inbound(message_id, fields)

    def _receipt(self, message_id: str, said: str, fields: dict[str, str]) -> Receipt:
        state, problem = _STATES[said], {}
        if state == FAILED:
            code = words(fields.get("ErrorCode"))
            text = words(fields.get("ErrorMessage")) or words(fields.get("ChannelStatusMessage"))
            problem = self._late(Failure(code or said, text), fields.get("To"))
        return Receipt(event_key("receipt", message_id, state), message_id, state, **problem)

    def _inbound(self, message_id: str, fields: dict[str, str]) -> Iterator[Inbound]:
        given, user = words(fields.get("From")), words(fields.get("WaId"))
        phone = e164(given) or e164(user)
        if phone and phone == e164(fields.get("To")):
            return  # an echo of our own
        button = words(fields.get("ButtonText"), hooks.MAX_TEXT)
        yield Inbound(
            event_key("inbound", message_id),
            phone,
            text=words(fields.get("Body"), hooks.MAX_TEXT) or button,
            payload=words(fields.get("ButtonPayload"), hooks.MAX_TEXT),
            name=words(fields.get("ProfileName")),
            message_id=message_id,
            sender="" if phone else user or given,
        )


def _pairs(hook: Hook) -> list[tuple[str, str]]:
    """Return the fields of the form in the body; bytes that are no UTF-8 stay what they are.

    :raises Malformed: when it is no form.
    """
    try:
        return parse_qsl(
            hook.body.decode("utf-8", "surrogateescape"),
            keep_blank_values=True,
            strict_parsing=bool(hook.body),
            errors="surrogateescape",
            max_num_fields=_MAX_FIELDS,
        )
    except ValueError:
        raise Malformed("the body is not a form") from None


def _spellings(url: str) -> tuple[str, ...]:
    """Return the address with and without its scheme's own port: Twilio may have signed either."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return (url,)
    usual = {"https": 443, "http": 80}.get(parts.scheme)
    if port is None and usual:
        return url, parts._replace(netloc=f"{parts.netloc}:{usual}").geturl()
    if port == usual:
        return url, parts._replace(netloc=parts.netloc.removesuffix(f":{usual}")).geturl()
    return (url,)
