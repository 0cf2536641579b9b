"""Meta WhatsApp Cloud API (providers.md 1)."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import ClassVar
from urllib.parse import quote

from . import parameters, phone
from .base import Failure, Request, as_dict, as_list, as_text
from .errors import (
    ACCOUNT_BLOCKED,
    ACCT,
    BAD_CREDENTIALS,
    BAD_RECIPIENT,
    BAD_TEMPLATE,
    MSG,
    PAIR,
    RATE_LIMITED,
    RCPT,
    RETRY_LATER,
    SENDER,
    TMPL,
    UNKNOWN,
    WINDOW_CLOSED,
    Verdict,
)
from .events import TemplateInfo, TemplatesRefused
from .hooks import MAX_TEXT, words
from .message import Message, Report
from .meta_events import MetaEvents
from .transport import Answer, TransportError, parse_json

_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_MAX_PAGES = 200  # of a hundred templates each
_TEMPLATE_FIELDS = "id,name,language,status,category,quality_score,parameter_format,components"
_PLACEHOLDER = re.compile(r"\{\{\s*(\w+)\s*\}\}")

_NEW_TOKEN = "Create a new permanent access token of a system user in Meta Business Settings and enter it."
_PERMISSION = (
    "The token lacks a permission. Give the system user the WhatsApp account and "
    "whatsapp_business_messaging, whatsapp_business_management, then create a new token."
)
_WRONG_ID = (
    "The phone-number ID or WABA ID does not exist, or the token may not see it. "
    "Compare it with WhatsApp Manager."
)
_PASSING = "Meta has a passing fault; the message is tried again later."
_SLOWER = "Meta asks to slow down; the message is tried again later."
_REGISTRATION = "The sender number is not registered properly. Register it again in WhatsApp Manager."
_OUR_BUG = "Meta does not accept the form of this request. Report it to the developers with this text."
_TEMPLATE_PARAMETERS = (
    "The template's parameters do not match. Compare the parameter list with the template at Meta."
)

# providers.md 1.5, in its order. A key "code/subcode", "code/text" (free text instead of a template) or
# "code/test" (a connection test) is more precise than "code".
CODES: dict[str, Verdict] = {
    "0": Verdict(BAD_CREDENTIALS, ACCT, _NEW_TOKEN),
    "1": Verdict(RETRY_LATER, MSG, _PASSING),
    "2": Verdict(RETRY_LATER, SENDER, _PASSING),
    "3": Verdict(BAD_CREDENTIALS, ACCT, _PERMISSION),
    "4": Verdict(RATE_LIMITED, ACCT, _SLOWER),
    "10": Verdict(BAD_CREDENTIALS, ACCT, _PERMISSION),
    "33": Verdict(BAD_CREDENTIALS, SENDER, _WRONG_ID),
    "100": Verdict(UNKNOWN, MSG, _OUR_BUG),
    "100/33": Verdict(BAD_CREDENTIALS, SENDER, _WRONG_ID),
    "100/test": Verdict(BAD_CREDENTIALS, SENDER, _WRONG_ID),
    "190": Verdict(BAD_CREDENTIALS, ACCT, "The access token is not valid. " + _NEW_TOKEN),
    "190/463": Verdict(BAD_CREDENTIALS, ACCT, "The access token has expired. " + _NEW_TOKEN),
    **{str(code): Verdict(BAD_CREDENTIALS, ACCT, _PERMISSION) for code in range(200, 300)},
    "368": Verdict(
        ACCOUNT_BLOCKED,
        ACCT,
        "Meta has blocked the account for a policy violation. Appeal in Business Support.",
    ),
    "80007": Verdict(RATE_LIMITED, ACCT, _SLOWER),
    "80008": Verdict(RATE_LIMITED, ACCT, _SLOWER),
    "130403": Verdict(BAD_RECIPIENT, RCPT, "WhatsApp does not let the business write to this person."),
    "130429": Verdict(
        RATE_LIMITED, SENDER, "The number's throughput is used up; the message is tried again later."
    ),
    "130472": Verdict(
        BAD_RECIPIENT,
        RCPT,
        "This person is in one of Meta's experiments and gets no marketing messages. Use another channel.",
    ),
    # Concerns numbers of one country: the account as a whole goes on, so the scope is the recipient.
    "130497": Verdict(
        ACCOUNT_BLOCKED,
        RCPT,
        "The account may not write to this country. See the restriction in WhatsApp Manager.",
    ),
    "131000": Verdict(RETRY_LATER, MSG, _PASSING),
    "131005": Verdict(BAD_CREDENTIALS, ACCT, _PERMISSION),
    "131008": Verdict(BAD_TEMPLATE, MSG, "A parameter is missing or empty. " + _TEMPLATE_PARAMETERS),
    "131008/text": Verdict(UNKNOWN, MSG, _OUR_BUG),
    "131009": Verdict(BAD_TEMPLATE, MSG, "A parameter is not acceptable. " + _TEMPLATE_PARAMETERS),
    "131009/text": Verdict(UNKNOWN, MSG, "A value is not acceptable to Meta, perhaps the number. Check it."),
    "131016": Verdict(RETRY_LATER, SENDER, _PASSING),
    "131021": Verdict(
        BAD_RECIPIENT, RCPT, "The recipient is the sender's own number. Correct the recipient."
    ),
    "131026": Verdict(
        BAD_RECIPIENT,
        RCPT,
        "WhatsApp cannot deliver to this number: not on WhatsApp, an old version, or the business is "
        "blocked. Check the number.",
    ),
    "131030": Verdict(
        BAD_RECIPIENT,
        RCPT,
        "A test number may write to listed numbers only. Add the recipient to the list at Meta, or use a "
        "real number.",
    ),
    "131031": Verdict(
        ACCOUNT_BLOCKED, ACCT, "Meta has locked the account. See the reason in Business Support."
    ),
    "131037": Verdict(
        ACCOUNT_BLOCKED,
        SENDER,
        "The number's display name is not approved. Have it approved in WhatsApp Manager.",
    ),
    "131042": Verdict(
        ACCOUNT_BLOCKED,
        ACCT,
        "There is a payment problem with the business account. Settle the billing at Meta.",
    ),
    "131045": Verdict(ACCOUNT_BLOCKED, SENDER, _REGISTRATION),
    "131047": Verdict(
        WINDOW_CLOSED,
        RCPT,
        "The person's last message is more than 24 hours old. Only a template can be sent now.",
    ),
    "131048": Verdict(
        RATE_LIMITED,
        SENDER,
        "Too many people block or report the number, so Meta restricts it. Send less and see its quality.",
        retry_after=2 * _HOUR,
    ),
    "131049": Verdict(
        RETRY_LATER,
        RCPT,
        "Meta holds marketing messages to this person back for now; another try makes sense after a day.",
        retry_after=_DAY,
    ),
    "131050": Verdict(
        BAD_RECIPIENT, RCPT, "The person has stopped marketing messages. Do not send any again.", opt_out=True
    ),
    "131051": Verdict(UNKNOWN, MSG, _OUR_BUG),
    "131052": Verdict(
        UNKNOWN, MSG, "Meta could not fetch the media of a received message. Ask for it again."
    ),
    "131053": Verdict(BAD_TEMPLATE, MSG, "Meta could not load the media. Check its type, size and link."),
    "131055": Verdict(UNKNOWN, MSG, _OUR_BUG),
    "131056": Verdict(
        RATE_LIMITED, PAIR, "Too many messages to this person in a short time; it is tried again later."
    ),
    "131057": Verdict(
        RETRY_LATER,
        SENDER,
        "Meta is upgrading the account; it is tried again in a minute.",
        retry_after=2 * _MINUTE,
    ),
    "131062": Verdict(BAD_RECIPIENT, RCPT, "This person can be written to by number only. Enter the number."),
    "131063": Verdict(
        BAD_TEMPLATE, TMPL, "Marketing templates are switched off for the Cloud API. Use a utility template."
    ),
    "131064": Verdict(
        RATE_LIMITED,
        ACCT,
        "Meta limits the account because templates are in the wrong category. Correct the categories.",
        retry_after=_HOUR,
    ),
    "132000": Verdict(BAD_TEMPLATE, TMPL, "The number of parameters is wrong. " + _TEMPLATE_PARAMETERS),
    "132001": Verdict(
        BAD_TEMPLATE,
        TMPL,
        "No approved template of this name and language. Check both, and the template's status.",
    ),
    "132005": Verdict(
        BAD_TEMPLATE, MSG, "The filled-in text is too long. Shorten the values or the template."
    ),
    "132007": Verdict(
        BAD_TEMPLATE, TMPL, "The template breaks a content rule. Change it and have it approved."
    ),
    "132008": Verdict(BAD_TEMPLATE, MSG, "A parameter's value is not acceptable. " + _TEMPLATE_PARAMETERS),
    "132012": Verdict(BAD_TEMPLATE, TMPL, "A parameter has the wrong format. " + _TEMPLATE_PARAMETERS),
    "132015": Verdict(
        BAD_TEMPLATE,
        TMPL,
        "Meta has paused the template for low quality. Improve it, or wait until it is back.",
    ),
    "132016": Verdict(BAD_TEMPLATE, TMPL, "Meta has disabled the template for good. Create a new one."),
    "132018": Verdict(BAD_TEMPLATE, TMPL, "The parameters were not accepted. " + _TEMPLATE_PARAMETERS),
    "132068": Verdict(BAD_TEMPLATE, TMPL, "The template's flow is blocked. Repair the flow at Meta."),
    "132069": Verdict(
        RATE_LIMITED, TMPL, "The template's flow is throttled; the message is tried again later."
    ),
    "133000": Verdict(ACCOUNT_BLOCKED, SENDER, _REGISTRATION),
    "133004": Verdict(RETRY_LATER, SENDER, _PASSING),
    "133005": Verdict(ACCOUNT_BLOCKED, SENDER, "The number's two-step PIN is wrong. " + _REGISTRATION),
    "133006": Verdict(ACCOUNT_BLOCKED, SENDER, "The number must be verified again. " + _REGISTRATION),
    "133008": Verdict(
        ACCOUNT_BLOCKED, SENDER, "The PIN was guessed too often. Wait, then register the number again."
    ),
    "133009": Verdict(
        ACCOUNT_BLOCKED, SENDER, "The PIN was entered too fast. Wait, then register the number again."
    ),
    "133010": Verdict(ACCOUNT_BLOCKED, SENDER, _REGISTRATION),
    "133015": Verdict(
        RETRY_LATER,
        SENDER,
        "The number was deleted a moment ago; it is tried again in some minutes.",
        retry_after=5 * _MINUTE,
    ),
    "133016": Verdict(
        RATE_LIMITED,
        SENDER,
        "The number was registered too often. Wait before registering it again.",
        retry_after=_HOUR,
    ),
    "134101": Verdict(
        RETRY_LATER,
        TMPL,
        "The template is still being set up at Meta; it is tried again in ten minutes.",
        retry_after=10 * _MINUTE,
    ),
    "135000": Verdict(UNKNOWN, MSG, _OUR_BUG),
    "137000": Verdict(
        BAD_RECIPIENT, RCPT, "The person has registered WhatsApp anew. Check the number with them."
    ),
    "2494100": Verdict(RETRY_LATER, SENDER, _PASSING),
}


class MetaProvider(MetaEvents):
    """The official API: reviewed templates, free text in an open window, status webhooks."""

    type = "meta"
    label = "Meta"
    default_base_url = "https://graph.facebook.com"
    default_api_version = "v23.0"
    has_templates = True
    has_window = True
    required = ("api_token", "sender_id")
    own_names: ClassVar[Mapping[str, str]] = {"api_token": "access token", "sender_id": "phone number ID"}
    codes: ClassVar[Mapping[str, Verdict]] = CODES

    # -- Sending ---------------------------------------------------------------------------------------------

    def _build_send(self, message: Message) -> Request:
        body: dict[str, object] = {
            "messaging_product": "whatsapp",
            "recipient_type": "individual",
            "to": phone.digits(message.phone),
            **(_template(message) if message.template else _text(message)),
        }
        if message.reference:
            body["biz_opaque_callback_data"] = message.reference
        return Request("POST", self._path(self.sender_id, "messages"), headers=self._headers(), json=body)

    def _read_success(self, body: object) -> str | None:
        messages = as_list(as_dict(body).get("messages"))
        return (as_text(as_dict(messages[0]).get("id")) or None) if messages else None

    def _read_failure(self, body: object, message: Message | None) -> Failure | None:
        form = "test" if message is None else "template" if message.template else "text"
        return self._failure(as_dict(body).get("error"), form)

    def _retry_after(self, answer: Answer) -> float | None:
        """Return ``Retry-After``, else what the usage header estimates (providers.md 1.4: in minutes)."""
        seconds = super()._retry_after(answer)
        if seconds is None:
            seconds = _regain_access(answer.headers.get("X-Business-Use-Case-Usage", ""))
        return seconds

    # -- Connection test (providers.md 1.12) -----------------------------------------------------------------

    def _test(self) -> Report:
        number = self._get(
            self._path(self.sender_id),
            fields="id,display_phone_number,verified_name,quality_rating,throughput,status,platform_type",
        )
        facts = as_dict(number.body)
        if number.status != 200 or as_text(facts.get("id")) != self.sender_id:
            return self._failed_test(number)
        details = _texts(facts, ("display_phone_number", "verified_name", "quality_rating", "status"))
        if "display_phone_number" not in details:
            return Report(
                False, "The sender ID is the ID of something else than a phone number. " + _WRONG_ID
            )
        if not self.account_id:
            return Report(
                True, "The sender number can send. Fill in the WABA ID to read templates too.", details
            )

        waba = self._get(self._path(self.account_id), fields="id,name")
        if waba.status != 200 or as_text(as_dict(waba.body).get("id")) != self.account_id:
            return self._failed_part("The WABA ID cannot be read", waba, details)
        details |= {"account_name": name} if (name := as_text(as_dict(waba.body).get("name"))) else {}

        templates = self._get(self._path(self.account_id, "message_templates"), fields="name", limit="1")
        if templates.status != 200 or not isinstance(as_dict(templates.body).get("data"), list):
            return self._failed_part("The templates cannot be read", templates, details)
        return Report(
            True, "The sender number, the WhatsApp account and its templates are reachable.", details
        )

    def _failed_part(self, what: str, answer: Answer, details: dict[str, str]) -> Report:
        return Report(
            False, f"The sender number is all right. {what}: {self._failed_test(answer).message}", details
        )

    # -- Templates (providers.md 1.11) -----------------------------------------------------------------------

    def list_templates(self) -> Iterator[list[TemplateInfo]]:
        """Yield the account's templates, a page of them at a time, asking Meta for each page.

        :raises TemplatesRefused: with a sentence for the admin, when Meta does not give a page.
        """
        if problem := self._account_problem() or self._waba_problem():
            raise TemplatesRefused(problem)
        path, after, seen = self._path(self.account_id, "message_templates"), "", set()
        for _page in range(_MAX_PAGES):
            params = {"fields": _TEMPLATE_FIELDS, "limit": "100", **({"after": after} if after else {})}
            try:
                answer = self._get(path, **params)
            except TransportError as error:
                raise TemplatesRefused(
                    f"Meta could not be asked for its templates: {error}. Check the base URL and this "
                    "server's network, or try again later."
                ) from None
            body = as_dict(answer.body)
            if answer.status != 200 or not isinstance(body.get("data"), list):
                raise TemplatesRefused(f"The templates cannot be read. {self._failed_test(answer).message}")
            yield [template for row in body["data"] if (template := _stored_template(as_dict(row)))]
            paging = as_dict(body.get("paging"))
            after = as_text(as_dict(paging.get("cursors")).get("after"))
            if not (paging.get("next") and after):
                return
            if after in seen:
                break
            seen.add(after)
        raise TemplatesRefused(
            "Meta's list of templates does not come to an end. Try again later; if it stays so, report it."
        )

    def _waba_problem(self) -> str:
        if self.account_id:
            return ""
        return "The templates belong to the WhatsApp account. Fill in its WABA ID."

    # -- Helpers ---------------------------------------------------------------------------------------------

    def _get(self, path: str, **params: str) -> Answer:
        return self._request(Request("GET", path, headers=self._headers(), params=params))

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    def _path(self, *parts: str) -> str:
        return "/" + "/".join(quote(part, safe="") for part in (self.api_version, *parts))


def _template(message: Message) -> dict[str, object]:
    template: dict[str, object] = {
        "name": message.template.name,
        "language": {"code": message.template.language},
    }
    if values := parameters.to_meta(message.template.parameters):
        template["components"] = [{"type": "body", "parameters": values}]
    return {"type": "template", "template": template}


def _text(message: Message) -> dict[str, object]:
    return {"type": "text", "text": {"body": message.text, "preview_url": False}}


def _stored_template(row: dict) -> TemplateInfo | None:
    """Return one row of the template list, None when it is none."""
    name, language = words(row.get("name"), 512), words(row.get("language"))
    if not (name and language):
        return None
    components = map(as_dict, as_list(row.get("components")))
    part = next((one for one in components if as_text(one.get("type")).upper() == "BODY"), {})
    body = words(part.get("text"), MAX_TEXT)
    return TemplateInfo(
        id=words(row.get("id")),
        name=name,
        language=language,
        status=words(row.get("status")).upper(),
        category=words(row.get("category")).upper(),
        quality=words(as_dict(row.get("quality_score")).get("score")).upper(),
        body=body,
        parameters=len(set(_PLACEHOLDER.findall(body))),
    )


def _texts(facts: dict, names: Iterable[str]) -> dict[str, str]:
    return {name: text for name in names if (text := as_text(facts.get(name)))}


def _regain_access(header: str) -> float | None:
    """Return the longest ``estimated_time_to_regain_access`` of the usage header, in seconds."""
    usage = as_dict(parse_json(header))
    minutes = [
        entry["estimated_time_to_regain_access"]
        for entries in usage.values()
        for entry in map(as_dict, as_list(entries))
        if isinstance(entry.get("estimated_time_to_regain_access"), (int, float))
    ]
    longest = max(minutes, default=0)
    return longest * 60.0 if longest > 0 else None
