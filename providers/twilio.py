"""Twilio's WhatsApp channel (providers.md 4): Meta's templates and window behind Twilio's own API."""

import json
import re
from base64 import b64encode
from collections.abc import Mapping
from typing import ClassVar
from urllib.parse import quote

from . import parameters, phone
from .base import Failure, Request, as_dict, as_text
from .errors import (
    ACCOUNT_BLOCKED,
    ACCT,
    BAD_CREDENTIALS,
    BAD_RECIPIENT,
    BAD_TEMPLATE,
    MSG,
    RATE_LIMITED,
    RCPT,
    RETRY_LATER,
    SENDER,
    TMPL,
    WINDOW_CLOSED,
    Verdict,
)
from .message import Account, Message, Report
from .twilio_events import TwilioEvents

MAX_TEXT = 1600  # characters of a Body, and of one content variable
TOO_LONG = "21617"
TOO_LONG_VALUE = "21658"
_INACTIVE = "The Twilio account is not active. See the reason in the Twilio Console."

_DAY = 86400
_NOISE = re.compile(r"[\s().-]")
_E164 = re.compile(r"\+[1-9]\d{6,14}")

_CREDENTIALS = "Copy the account SID and the auth token from the Twilio Console."
_SENDER = (
    "The sender number is not enabled for WhatsApp in this Twilio account. Enter one of its WhatsApp senders."
)
_SLOWER = "Twilio asks to slow down; the message is tried again later."
_PASSING = "Twilio or WhatsApp has a passing fault; the message is tried again later."
_NUMBER = "The recipient's number cannot be reached on WhatsApp. Check it."
_CONTENT = "WhatsApp refused the content. Compare the text and the values with the template at Twilio."
_MEDIA = "The media could not be used. Check its type, size and link."
_TEMPLATE = "Compare the Twilio content SID and the parameter list with the template in the Twilio Console."

# providers.md 4.3, in its order; those that come by webhook only are here too.
CODES: dict[str, Verdict] = {
    "20003": Verdict(BAD_CREDENTIALS, ACCT, "Twilio refused the credentials. " + _CREDENTIALS),
    "20429": Verdict(RATE_LIMITED, ACCT, _SLOWER),
    "21211": Verdict(BAD_RECIPIENT, RCPT, "Twilio does not accept the recipient's number. Check it."),
    "21606": Verdict(BAD_CREDENTIALS, SENDER, _SENDER),
    "21612": Verdict(BAD_RECIPIENT, RCPT, "Twilio cannot send from this sender to this number. Check both."),
    "21608": Verdict(
        ACCOUNT_BLOCKED,
        ACCT,
        "A trial account may write to verified numbers only. Verify the number at Twilio, or upgrade.",
    ),
    "21610": Verdict(
        BAD_RECIPIENT, RCPT, "The person has answered STOP. Do not send any message again.", opt_out=True
    ),
    "21611": Verdict(
        RATE_LIMITED, SENDER, "The sender's queue at Twilio is full; the message is tried again later."
    ),
    "21614": Verdict(BAD_RECIPIENT, RCPT, _NUMBER),
    "30001": Verdict(
        RETRY_LATER, SENDER, "The message waited too long at Twilio; another try makes sense later."
    ),
    "63001": Verdict(BAD_CREDENTIALS, SENDER, _SENDER),
    "63002": Verdict(BAD_CREDENTIALS, SENDER, _SENDER),
    "63003": Verdict(BAD_RECIPIENT, RCPT, _NUMBER),
    "63005": Verdict(BAD_TEMPLATE, MSG, _CONTENT),
    "63007": Verdict(BAD_CREDENTIALS, SENDER, _SENDER),
    "63008": Verdict(
        ACCOUNT_BLOCKED,
        SENDER,
        "The WhatsApp sender is set up wrongly at Twilio. Look at it in the Twilio Console.",
    ),
    "63010": Verdict(RETRY_LATER, SENDER, _PASSING),
    "63012": Verdict(RETRY_LATER, SENDER, _PASSING),
    "63013": Verdict(BAD_TEMPLATE, TMPL, "The content breaks a rule of WhatsApp. Change the template."),
    "63014": Verdict(BAD_RECIPIENT, RCPT, "The person has blocked the sender. Use another channel."),
    "63015": Verdict(
        BAD_RECIPIENT,
        RCPT,
        "The sandbox writes only to people who have joined it. Have the person join, or use a real sender.",
    ),
    "63016": Verdict(
        WINDOW_CLOSED,
        RCPT,
        "The person's last message is more than 24 hours old. Only a template can be sent now: give the "
        "master template its Twilio content SID.",
    ),
    "63017": Verdict(RATE_LIMITED, ACCT, _SLOWER),
    "63018": Verdict(
        RATE_LIMITED,
        SENDER,
        "The sender's throughput or messaging limit is used up; the message is tried again later.",
    ),
    "63019": Verdict(BAD_TEMPLATE, MSG, _MEDIA),
    "63025": Verdict(BAD_TEMPLATE, MSG, _MEDIA),
    "63020": Verdict(
        ACCOUNT_BLOCKED,
        ACCT,
        "There is a payment or eligibility problem with the business account. Settle it at Meta and Twilio.",
    ),
    "63021": Verdict(BAD_TEMPLATE, MSG, "WhatsApp refused the content, perhaps as too long. " + _TEMPLATE),
    "63022": Verdict(
        ACCOUNT_BLOCKED,
        SENDER,
        "The sender's display name or certificate is not in order. Register the sender again at Twilio.",
    ),
    "63024": Verdict(BAD_RECIPIENT, RCPT, _NUMBER),
    "63027": Verdict(BAD_TEMPLATE, TMPL, "The template does not exist in this language. " + _TEMPLATE),
    "63028": Verdict(BAD_TEMPLATE, TMPL, "The number of parameters is wrong. " + _TEMPLATE),
    "63029": Verdict(BAD_TEMPLATE, TMPL, "The template could not be fetched. " + _TEMPLATE),
    "63030": Verdict(BAD_TEMPLATE, MSG, "WhatsApp does not support a parameter. " + _TEMPLATE),
    "63032": Verdict(
        BAD_RECIPIENT,
        RCPT,
        "WhatsApp limits or tests messages to this person and did not deliver. Use another channel.",
    ),
    "63049": Verdict(
        RETRY_LATER,
        RCPT,
        "Meta holds marketing messages to this person back for now; another try makes sense after a day.",
        retry_after=_DAY,
    ),
    # Not in that table, but on Twilio's own pages: what wrong settings and templates lead to.
    "20404": Verdict(BAD_CREDENTIALS, ACCT, "Twilio does not know the account SID. " + _CREDENTIALS),
    TOO_LONG: Verdict(
        BAD_TEMPLATE,
        MSG,
        f"Twilio takes texts of at most {MAX_TEXT} characters. Shorten the text, or give the master template "
        "its Twilio content SID.",
    ),
    "21655": Verdict(BAD_TEMPLATE, TMPL, "Twilio does not know the content SID. " + _TEMPLATE),
    "21656": Verdict(BAD_TEMPLATE, TMPL, "Twilio does not accept the content variables. " + _TEMPLATE),
    TOO_LONG_VALUE: Verdict(
        BAD_TEMPLATE, MSG, f"A value is longer than the {MAX_TEXT} characters that Twilio takes. Shorten it."
    ),
    "63040": Verdict(
        BAD_TEMPLATE, TMPL, "WhatsApp has rejected the template. Change it and submit it again."
    ),
    "63041": Verdict(
        BAD_TEMPLATE,
        TMPL,
        "WhatsApp has paused the template for low quality. Improve it, or wait until it is back.",
    ),
    "63042": Verdict(BAD_TEMPLATE, TMPL, "WhatsApp has disabled the template for good. Create a new one."),
}
# What a message is called that certainly was not sent (providers.md 4.2).
_UNSENT = frozenset({"failed", "undelivered", "canceled"})


class TwilioProvider(TwilioEvents):
    """Twilio: content templates, free text in an open window, a status webhook per message."""

    type = "twilio"
    label = "Twilio"
    default_base_url = "https://api.twilio.com"
    has_templates = True
    has_window = True
    required = ("api_token", "sender_id", "account_id")
    own_names: ClassVar[Mapping[str, str]] = {
        "api_token": "auth token",
        "sender_id": "WhatsApp number",
        "account_id": "account SID",
    }
    codes: ClassVar[Mapping[str, Verdict]] = CODES

    def __init__(self, account: Account) -> None:
        super().__init__(account)
        self.sender = _sender_number(self.sender_id)
        self._basic = b64encode(f"{self.account_id}:{self.token}".encode("utf-8", "replace")).decode()

    # -- Sending ---------------------------------------------------------------------------------------------

    def _account_problem(self) -> str:
        if problem := super()._account_problem():
            return problem
        if not self.sender:
            return (
                f"The sender ID of {self.label} is no phone number. Enter the WhatsApp number with its "
                "country code, such as +6221500000."
            )
        return ""

    def _foreseen(self, message: Message) -> Failure | None:
        content = _content(message)
        if "Body" in content and len(content["Body"]) > MAX_TEXT:
            return Failure(TOO_LONG, f"{len(content['Body'])} characters")
        values = parameters.to_twilio(message.template.parameters) if "ContentSid" in content else {}
        for position, value in values.items():
            if len(value) > MAX_TEXT:
                return Failure(TOO_LONG_VALUE, f"variable {position} has {len(value)} characters")
        return None

    def _build_send(self, message: Message) -> Request:
        fields = {
            "From": f"whatsapp:{self.sender}",
            "To": f"whatsapp:{message.phone}",
            **_content(message),
        }
        if self.account.callback_url:
            fields["StatusCallback"] = self.account.callback_url
        return Request("POST", self._path("/Messages"), headers=self._headers(), data=fields)

    def _read_success(self, body: object) -> str | None:
        answer = as_dict(body)
        sent = as_text(answer.get("status")) not in _UNSENT and not _error_code(answer)
        return (as_text(answer.get("sid")) or None) if sent else None

    def _read_failure(self, body: object, message: Message | None) -> Failure | None:
        answer = as_dict(body)
        if code := _error_code(answer):
            return Failure(code, as_text(answer.get("message")) or as_text(answer.get("error_message")))
        if as_text(answer.get("sid")) and (status := as_text(answer.get("status"))) in _UNSENT:
            return Failure(status)
        return None

    def _more_secrets(self) -> tuple[str, ...]:
        return (self._basic, self.account.callback_url)

    # -- Connection test (providers.md 4.7) ------------------------------------------------------------------

    def _test(self) -> Report:
        """The answer also holds the auth token: only what is named here may leave this method."""
        answer = self._request(Request("GET", self._path(), headers=self._headers()))
        facts = as_dict(answer.body)
        if answer.status != 200 or as_text(facts.get("sid")) != self.account_id:
            return self._failed_test(answer)
        details = {
            name: text for name in ("friendly_name", "type", "status") if (text := as_text(facts.get(name)))
        }
        if details.get("status") != "active":
            return Report(False, _INACTIVE, details)
        return Report(
            True,
            "The account is active. Whether WhatsApp is enabled for the sender shows with the first message.",
            details,
        )

    # -- Helpers ---------------------------------------------------------------------------------------------

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Basic {self._basic}"}

    def _path(self, below: str = "") -> str:
        return f"/2010-04-01/Accounts/{quote(self.account_id, safe='')}{below}.json"


def _content(message: Message) -> dict[str, str]:
    """Return the form fields of what is said: the reviewed template where there is one, else the text."""
    template = message.template
    if not (template and template.twilio_content_sid):
        return {"Body": message.text}
    content = {"ContentSid": template.twilio_content_sid}
    if values := parameters.to_twilio(template.parameters):
        content["ContentVariables"] = json.dumps(values, ensure_ascii=False)
    return content


def _error_code(answer: dict) -> str:
    """Return the code of a refused request, or the one in a message resource."""
    return as_text(answer.get("code")) or as_text(answer.get("error_code"))


def _sender_number(text: str) -> str:
    """Return a sender (``whatsapp:+62 21 500000`` and other spellings) as E.164, empty when it is none."""
    number = text.removeprefix("whatsapp:").strip()
    literal = _NOISE.sub("", number)
    if _E164.fullmatch(literal):
        return literal  # also numbers that only Twilio knows, such as those of its sandbox
    return phone.to_e164(number) or ""
