"""Watzap.id (providers.md 3): an unofficial gateway that sends text through a linked device."""

import datetime
from collections.abc import Iterator, Mapping
from typing import ClassVar

from . import hooks, phone
from .base import Failure, Provider, Request, as_bool, as_dict, as_list, as_text
from .errors import ACCOUNT_BLOCKED, ACCT, BAD_CREDENTIALS, MSG, SENDER, UNKNOWN, Verdict
from .events import Event, Hook, Inbound
from .hooks import e164, event_key, moment, words
from .message import Message, Report

_RESTART = "The WhatsApp instance is not running. Start it or link the device again in the Watzap dashboard."
_NUMBER_KEY = "Watzap does not know the number key. Copy it from the Watzap dashboard into the sender ID."

# providers.md 3.3, in its order. A key "status/not started" goes by the text as well.
CODES: dict[str, Verdict] = {
    "1002": Verdict(
        BAD_CREDENTIALS,
        ACCT,
        "Watzap does not know the API key. Copy it from the Watzap dashboard into the token.",
    ),
    "1003": Verdict(BAD_CREDENTIALS, SENDER, _NUMBER_KEY),
    "1004": Verdict(
        ACCOUNT_BLOCKED, SENDER, "The pairing has failed. Link the device again in the Watzap dashboard."
    ),
    "1005": Verdict(
        UNKNOWN, SENDER, "Watzap reports a fatal error. Look at the device in the Watzap dashboard."
    ),
    "1005/not started": Verdict(ACCOUNT_BLOCKED, SENDER, _RESTART),
    "1006": Verdict(
        UNKNOWN, MSG, "Watzap reports an error without saying more. Look into the Watzap dashboard."
    ),
}


class WatzapProvider(Provider):
    """Watzap: text only, credentials in the body, errors in ``status``, no message id and no receipts."""

    type = "watzap"
    label = "Watzap"
    default_base_url = "https://api.watzap.id"
    required = ("api_token", "sender_id")
    own_names: ClassVar[Mapping[str, str]] = {"api_token": "api_key", "sender_id": "number_key"}
    codes: ClassVar[Mapping[str, Verdict]] = CODES

    # -- Sending ---------------------------------------------------------------------------------------------

    def _build_send(self, message: Message) -> Request:
        return Request(
            "POST",
            "/v1/send_message",
            json={
                "api_key": self.token,
                "number_key": self.sender_id,
                "phone_no": phone.digits(message.phone),
                "message": message.text,
                "wait_until_send": "1",  # answer when it is sent, not when it is queued
            },
        )

    def _read_success(self, body: object) -> str | None:
        answer = as_dict(body)
        sent = as_text(answer.get("status")) == "200" and as_text(answer.get("ack")) != "fatal_error"
        return "" if sent else None

    def _read_failure(self, body: object, message: Message | None) -> Failure | None:
        answer = as_dict(body)
        status = as_text(answer.get("status")).strip()
        if as_bool(answer.get("status")) is False:
            status = "false"  # the form of /checking_key
        if not status or status == "200":
            return None
        said = as_text(answer.get("message"))
        detail = ("not started",) if "not started" in said.lower() else ()
        return Failure(status, said, keys=tuple(f"{status}/{part}" for part in detail) + (status,))

    def _more_secrets(self) -> tuple[str, ...]:
        return (self.sender_id,)

    # -- Webhooks (providers.md 3.5: messages only, nothing signed) ------------------------------------------

    def _read_events(self, hook: Hook) -> Iterator[Event]:
        body = hooks.json_object(hook)
        data = as_dict(body.get("data"))
        chat = words(data.get("chat_id"))
        if as_text(body.get("type")) != "incoming_chat" or not chat:
            return
        if as_bool(data.get("is_from_me")) or chat.endswith(("@g.us", "@broadcast", "@newsletter")):
            return
        phone, message_id, time = e164(chat), words(data.get("message_id")), words(data.get("timestamp"))
        text = words(data.get("message_body"), hooks.MAX_TEXT)
        what = ("id", message_id) if message_id else ("time", chat, time, text)
        yield Inbound(
            event_key("inbound", *what, personal=not message_id),
            phone,
            at=moment(time),
            text=text,
            name=words(data.get("name")),
            message_id=message_id,
            sender="" if phone else chat,
        )

    # -- Connection test (providers.md 3.6) ------------------------------------------------------------------

    def _test(self) -> Report:
        answer = self._request(Request("POST", "/v1/checking_key", json={"api_key": self.token}))
        body = as_dict(answer.body)
        data = as_dict(body.get("data"))
        if answer.status != 200 or as_bool(body.get("status")) is not True or not data:
            return self._failed_test(answer)
        licences = map(as_dict, as_list(data.get("licenses_key")))
        licence = next((row for row in licences if as_text(row.get("key")) == self.sender_id), None)
        details = {"account": as_text(data.get("name")), "expires_on": as_text(data.get("expires_on"))}
        if licence is None:
            return Report(False, _NUMBER_KEY, _filled(details))
        details |= {name: as_text(licence.get(name)) for name in ("wa_number", "plan", "active_until")}
        problem = _licence_problem(licence)
        return Report(not problem, problem or "The number is connected and can send.", _filled(details))


def _licence_problem(licence: dict) -> str:
    if as_bool(licence.get("is_connected")) is not True:
        return _RESTART
    if _past(as_text(licence.get("active_until"))):
        return "The number's licence has ended. Renew it in the Watzap dashboard."
    return ""


def _past(moment: str) -> bool:
    """Say whether ``moment`` (``2027-04-27 00:00:00``, zone not documented) is over; no date never is."""
    try:
        return datetime.datetime.fromisoformat(moment) < datetime.datetime.now()
    except (ValueError, TypeError):
        return False


def _filled(details: dict[str, str]) -> dict[str, str]:
    return {name: text for name, text in details.items() if text}
