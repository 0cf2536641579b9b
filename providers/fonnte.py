"""Fonnte (providers.md 2): an unofficial gateway that sends text through a linked device."""

from collections.abc import Mapping
from typing import ClassVar

from . import parameters, phone
from .base import Failure, Request, as_bool, as_list, as_text, lower_keys
from .errors import (
    ACCOUNT_BLOCKED,
    ACCT,
    BAD_CREDENTIALS,
    BAD_RECIPIENT,
    BAD_TEMPLATE,
    MSG,
    RCPT,
    SENDER,
    UNKNOWN,
    Verdict,
)
from .fonnte_events import RECONNECT, FonnteEvents
from .message import Message, Report, Template

_DEVICE_TOKEN = "Copy the device's token from the Fonnte dashboard (not the account token)."
_OUR_BUG = "Fonnte does not accept the form of this request. Report it to the developers with this text."
_MEDIA = "Fonnte could not use the file. Check its link, type and size (4 MB at most)."
_QUOTA = "The message quota is used up. Buy more, or wait until it renews."
_NO_SEND = "This answer belongs to another call than sending. Report it to the developers."

# providers.md 2.4, in its order; keys are the reason, in lower case.
CODES: dict[str, Verdict] = {
    "token invalid": Verdict(BAD_CREDENTIALS, ACCT, "Fonnte does not know the token. " + _DEVICE_TOKEN),
    "devices must belong to an account": Verdict(
        BAD_CREDENTIALS,
        SENDER,
        "The device belongs to no account. Add it to the account in the Fonnte dashboard.",
    ),
    "unknown user": Verdict(BAD_CREDENTIALS, ACCT, "Fonnte does not know the account. " + _DEVICE_TOKEN),
    "invalid device": Verdict(BAD_CREDENTIALS, SENDER, "Fonnte does not know the device. " + _DEVICE_TOKEN),
    "request invalid on disconnected device": Verdict(ACCOUNT_BLOCKED, SENDER, RECONNECT),
    "insufficient quota": Verdict(ACCOUNT_BLOCKED, SENDER, _QUOTA),
    "target invalid": Verdict(
        BAD_RECIPIENT, RCPT, "Fonnte does not accept the recipient's number. Check it."
    ),
    "input invalid": Verdict(UNKNOWN, MSG, _OUR_BUG),
    "json format invalid": Verdict(UNKNOWN, MSG, _OUR_BUG),
    "url invalid": Verdict(BAD_TEMPLATE, MSG, _MEDIA),
    "url unreachable": Verdict(BAD_TEMPLATE, MSG, _MEDIA),
    "file format not supported": Verdict(BAD_TEMPLATE, MSG, _MEDIA),
    "file size must under 4mb": Verdict(BAD_TEMPLATE, MSG, _MEDIA),
    "id required": Verdict(UNKNOWN, MSG, _OUR_BUG),
    "device already connect": Verdict(UNKNOWN, MSG, _NO_SEND),
    "device already disconnected": Verdict(UNKNOWN, MSG, _NO_SEND),
}


class FonnteProvider(FonnteEvents):
    """Fonnte: text only, errors inside an HTTP 200, one message id per target."""

    type = "fonnte"
    label = "Fonnte"
    default_base_url = "https://api.fonnte.com"
    own_names: ClassVar[Mapping[str, str]] = {"api_token": "device token"}
    codes: ClassVar[Mapping[str, Verdict]] = CODES

    # -- Sending ---------------------------------------------------------------------------------------------

    def _build_send(self, message: Message) -> Request:
        target = phone.digits(message.phone)
        text = message.text
        if message.template and can_carry(message.template):
            values = parameters.to_fonnte(message.template.parameters)
            # The first value after the number is {name}, which no text of ours uses (providers.md 2.2).
            target = "|".join((target, next(iter(values.values())), *values.values()))
            text = parameters.fonnte_body(
                message.template.body, [name for name, _ in message.template.parameters]
            )
        # countryCode 0: the number is complete, Fonnte is not to rewrite it.
        return self._post("/send", {"target": target, "message": text, "countryCode": "0"})

    def _read_success(self, body: object) -> str | None:
        answer = lower_keys(body)
        if as_bool(answer.get("status")) is not True:
            return None
        ids = as_list(answer.get("id"))
        return as_text(ids[0]) if ids else ""

    def _read_failure(self, body: object, message: Message | None) -> Failure | None:
        answer = lower_keys(body)
        if as_bool(answer.get("status")) is not False:
            return None
        said = (as_text(answer.get("reason")) or as_text(answer.get("detail"))).strip()
        return Failure(said.lower() or "no reason")

    # -- Connection test (providers.md 2.10) -----------------------------------------------------------------

    def _test(self) -> Report:
        answer = self._request(self._post("/device", {}))
        facts = lower_keys(answer.body)
        if answer.status != 200 or as_bool(facts.get("status")) is not True:
            return self._failed_test(answer)
        names = ("device", "name", "package", "quota", "expired", "device_status")
        details = {name: text for name in names if (text := as_text(facts.get(name)))}
        return Report(
            not (problem := self._device_problem(details)), problem or "The device can send.", details
        )

    def _device_problem(self, details: dict[str, str]) -> str:
        wanted, device = phone.to_e164(self.sender_id), phone.to_e164(details.get("device"))
        if wanted and device and wanted != device:
            return "The token belongs to another device than the sender ID says. Correct one of them."
        if details.get("device_status", "").lower() != "connect":
            return RECONNECT
        quota = details.get("quota", "")
        return _QUOTA if quota.lstrip("-").isdigit() and int(quota) <= 0 else ""

    # -- Helpers ---------------------------------------------------------------------------------------------

    def _post(self, path: str, fields: dict[str, str]) -> Request:
        return Request("POST", path, headers={"Authorization": self.token}, data=fields)


def can_carry(template: Template) -> bool:
    """Say whether Fonnte's own variables can carry the template's values unchanged.

    Values travel in one field, separated by pipes and commas that nothing can escape (providers.md 2.2). A
    value with a brace could be filled in a second time, and what becomes of empty values and of blanks at the
    ends is not documented: such templates go out as rendered text.
    """
    values = [value for _name, value in template.parameters]
    return bool(
        template.fonnte_variables
        and template.body
        and values
        and all(value and value == value.strip() and not set(value) & set("|,{}\r\n") for value in values)
    )
