"""What Meta tells by webhook (providers.md 1.8 to 1.10)."""

import re
from collections.abc import Iterator

from . import errors, hooks
from .base import Failure, Provider, as_dict, as_list, as_text
from .events import (
    DELIVERED,
    FAILED,
    READ,
    SENT,
    Event,
    Hook,
    Inbound,
    Malformed,
    Preference,
    Receipt,
    SenderChange,
    TemplateChange,
)
from .hooks import e164, event_key, moment, words

_STATES = {"sent": SENT, "delivered": DELIVERED, "read": READ, "played": READ, "failed": FAILED}
_WISHES = {"stop": True, "resume": False}
_NOT_WRITTEN = frozenset({"system", "request_welcome"})  # told by WhatsApp itself, not by the person
_CHALLENGE = re.compile(r"[\w.-]{1,200}", re.ASCII)


class MetaEvents(Provider):
    """Reads status, message, preference and template webhooks. Signed with the app's secret."""

    signs_webhooks = True

    def is_authentic(self, hook: Hook) -> bool:
        given = hook.header("X-Hub-Signature-256")
        return given.startswith("sha256=") and hooks.is_hex_signature(
            given.removeprefix("sha256="), self.app_secrets, hook.body, "sha256"
        )

    def challenge(self, hook: Hook) -> str | None:
        # PHP-like stacks in front of us turn the dots into underscores.
        asked = {name.replace("_", ".", 1): value for name, value in hook.query.items() if name[:4] != "hub."}
        asked.update(hook.query)
        expected = self.verify_token
        if hook.method.upper() != "GET" or not expected or asked.get("hub.mode") != "subscribe":
            return None
        if not hooks.same(asked.get("hub.verify_token", ""), expected):
            return None
        # Sent back as it came: only what cannot be mistaken for a page.
        challenge = asked.get("hub.challenge", "")
        return challenge if _CHALLENGE.fullmatch(challenge) else None

    def webhook_answer(self) -> tuple[str, str]:
        return "EVENT_RECEIVED", "text/plain"

    def _read_events(self, hook: Hook) -> Iterator[Event]:
        body = hooks.json_object(hook)
        if not isinstance(body.get("entry"), list):
            raise Malformed("the body has no list of entries")
        for entry in map(as_dict, body["entry"]):
            time = words(entry.get("time"))
            for change in map(as_dict, as_list(entry.get("changes"))):
                yield from self._read_change(as_text(change.get("field")), as_dict(change.get("value")), time)

    def _read_change(self, kind: str, value: dict, time: str) -> Iterator[Event]:
        """Yield what one change tells. ``time`` is when Meta noticed it."""
        if kind == "messages":
            yield from self._read_statuses(value)
            yield from self._read_messages(value)
            yield from self._read_errors(value, time)
        elif kind == "user_preferences":
            yield from self._read_preferences(value)
        elif kind in _TEMPLATE_FIELDS:
            yield from self._read_template(kind, value, time)

    def _read_statuses(self, value: dict) -> Iterator[Event]:
        for status in map(as_dict, as_list(value.get("statuses"))):
            message_id, said = words(status.get("id")), words(status.get("status")).lower()
            if not message_id or said not in _STATES:
                continue
            state, problem = _STATES[said], {}
            if state == FAILED:
                error = next(map(as_dict, as_list(status.get("errors"))), {})
                problem = self._late(self._failure(error) or Failure("failed"), status.get("recipient_id"))
            yield Receipt(
                event_key("receipt", message_id, state),
                message_id,
                state,
                at=moment(status.get("timestamp")),
                reference=words(status.get("biz_opaque_callback_data"), 512),
                **problem,
            )

    def _read_messages(self, value: dict) -> Iterator[Event]:
        contacts = [as_dict(contact) for contact in as_list(value.get("contacts"))]
        names = {
            words(contact.get(key)): words(as_dict(contact.get("profile")).get("name"))
            for contact in contacts
            for key in ("user_id", "wa_id")
        }
        own = e164(re.sub(r"\D", "", words(as_dict(value.get("metadata")).get("display_phone_number"))))
        for message in map(as_dict, as_list(value.get("messages"))):
            message_id = words(message.get("id"))
            given, user = words(message.get("from")), words(message.get("from_user_id"))
            phone = e164(given)
            # A message of a group is nobody's answer to us, and one from our own number is an echo.
            if not message_id or message.get("group_id") or (own and phone == own):
                continue
            if as_text(message.get("type")) in _NOT_WRITTEN:
                continue
            if not (given or user):
                continue
            text, payload = _said(message)
            yield Inbound(
                event_key("inbound", message_id),
                phone,
                at=moment(message.get("timestamp")),
                text=text,
                payload=payload,
                name=names.get(given) or names.get(user) or "",
                message_id=message_id,
                sender="" if phone else user or given,
            )

    def _failure(self, error: object, form: str = "") -> Failure | None:
        """Return what Meta's error object tells; ``form`` is a more precise key's second part (``text``)."""
        error = as_dict(error)
        code = as_text(error.get("code"))
        if not code:
            return None
        subcode = as_text(error.get("error_subcode"))
        data = error.get("error_data")  # a plain text on some endpoints
        details = as_text(as_dict(data).get("details")) or as_text(data)
        said = [as_text(error.get("message")) or as_text(error.get("title")), details]
        said.append(subcode and f"subcode {subcode}")
        return Failure(
            code,
            said="; ".join(part for part in said if part),
            keys=tuple(f"{code}/{part}" for part in (subcode, form) if part) + (code,),
            transient=error.get("is_transient") is True,
        )

    def _read_errors(self, value: dict, time: str) -> Iterator[Event]:
        """Yield that the sender does not work, when an error without a message says so."""
        number = words(as_dict(value.get("metadata")).get("phone_number_id"))
        for error in map(as_dict, as_list(value.get("errors"))):
            failure = self._failure(error)
            verdict = self._late_verdict(failure) if failure else errors.UNEXPLAINED
            if verdict.error_class not in errors.STOPS_SENDER or verdict.scope not in errors.WHOLE_SENDER:
                continue
            if verdict.scope == errors.SENDER and number and number != self.sender_id:
                continue  # another number of the same account
            problem = self._late(failure)
            yield SenderChange(
                event_key("sender", number, time, failure.code, failure.said, personal=True),
                False,
                problem["error_class"],
                problem["error_message"],
            )

    def _read_preferences(self, value: dict) -> Iterator[Event]:
        for wish in map(as_dict, as_list(value.get("user_preferences"))):
            phone, said = e164(wish.get("wa_id")), words(wish.get("value")).lower()
            if phone and said in _WISHES:
                time = words(wish.get("timestamp"))
                yield Preference(
                    event_key("preference", phone, words(wish.get("category")), said, time, personal=True),
                    phone,
                    _WISHES[said],
                    at=moment(time),
                )

    def _read_template(self, kind: str, value: dict, time: str) -> Iterator[Event]:
        names = _TEMPLATE_FIELDS[kind]
        name, language = (words(value.get(f"message_template_{part}"), 512) for part in ("name", "language"))
        told = {part: words(value.get(key)) for part, key in names.items()}
        if told.get("reason", "").upper() == "NONE":
            told["reason"] = ""
        if name and language and any(told.values()):
            told = {"status": "", **told}
            yield TemplateChange(
                event_key("template", name, language, time, *told.values()), name, language, **told
            )


# The field of a webhook → the part of a TemplateChange → its name there.
_TEMPLATE_FIELDS = {
    "message_template_status_update": {
        "status": "event",
        "category": "message_template_category",
        "reason": "reason",
    },
    "message_template_quality_update": {"quality": "new_quality_score"},
    "template_category_update": {"category": "new_category"},
}


def _said(message: dict) -> tuple[str, str]:
    """Return the words of a message and the value of the button that was tapped."""
    kind = as_text(message.get("type"))
    part = as_dict(message.get(kind))
    if kind == "text":
        return words(part.get("body"), hooks.MAX_TEXT), ""
    if kind == "button":
        return words(part.get("text"), hooks.MAX_TEXT), words(part.get("payload"), hooks.MAX_TEXT)
    if kind == "interactive":
        reply = as_dict(part.get("button_reply")) or as_dict(part.get("list_reply"))
        return words(reply.get("title"), hooks.MAX_TEXT), words(reply.get("id"), hooks.MAX_TEXT)
    return "", ""
