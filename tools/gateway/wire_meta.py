"""Meta WhatsApp Cloud API: send, number, account, template list (providers.md section 1)."""

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count
from typing import ClassVar

from .store import digits
from .wire import Call, Reply, Route, Wire

MAX_TEXT = 4096

# code: (HTTP status, text); the statuses of providers.md 1.5, 400 where that table is in doubt.
ERRORS: dict[int, tuple[int, str]] = {
    0: (401, "AuthException"),
    1: (400, "API Unknown"),
    2: (503, "API Service"),
    3: (500, "API Method"),
    4: (429, "API Too Many Calls"),
    10: (403, "Permission Denied"),
    33: (400, "Parameter value is not valid"),
    100: (400, "Invalid parameter"),
    190: (401, "Access token has expired"),
    200: (403, "API Permission"),
    368: (403, "Temporarily blocked for policies violations"),
    80007: (400, "Rate limit issues"),
    130429: (429, "Rate limit hit"),
    130472: (400, "User's number is part of an experiment"),
    130497: (403, "Business account is restricted from messaging users in this country"),
    131000: (500, "Something went wrong"),
    131005: (403, "Access denied"),
    131008: (400, "Required parameter is missing"),
    131009: (400, "Parameter value is not valid"),
    131016: (500, "Service unavailable"),
    131021: (400, "Recipient cannot be sender"),
    131026: (400, "Message undeliverable"),
    131030: (400, "Recipient phone number not in allowed list"),
    131031: (403, "Account has been locked"),
    131037: (400, "Display name is not approved"),
    131042: (400, "Business eligibility payment issue"),
    131045: (500, "Incorrect certificate"),
    131047: (400, "Re-engagement message"),
    131048: (400, "Spam rate limit hit"),
    131049: (400, "Message not delivered to maintain healthy ecosystem engagement"),
    131050: (400, "User has stopped marketing messages"),
    131051: (400, "Unsupported message type"),
    131056: (400, "Pair rate limit hit"),
    131057: (500, "Account in maintenance mode"),
    132000: (400, "Number of parameters does not match the expected number of params"),
    132001: (404, "Template name does not exist in the translation"),
    132005: (400, "Translated text too long"),
    132007: (400, "Template format character policy violated"),
    132012: (400, "Parameter format does not match format in the created template"),
    132015: (400, "Template is paused"),
    132016: (400, "Template is disabled"),
    133004: (503, "Server temporarily unavailable"),
    133010: (400, "Phone number not registered"),
    135000: (400, "Generic user error"),
}
TRANSIENT = {2, 4}

_PLACEHOLDER = re.compile(r"\{\{\s*(\w+)\s*\}\}")
_CODE = re.compile(r"\d+(/\d+)?\Z")
_NODE = r"/{version:v\d+\.\d+}/{node:\d+}"


class Refused(Exception):
    """The request is refused with this error code."""

    def __init__(self, code: int, details: str, subcode: int | None = None) -> None:
        super().__init__(details)
        self.code = code
        self.details = details
        self.subcode = subcode


@dataclass(frozen=True, slots=True)
class Template:
    """One row of the account's template list; `placeholders` in order of first appearance."""

    id: str
    name: str
    language: str
    status: str
    category: str
    body: str
    placeholders: tuple[str, ...]
    quality: str = "UNKNOWN"

    @property
    def named(self) -> bool:
        """Whether the parameters have names instead of positions."""
        return any(not name.isdigit() for name in self.placeholders)

    def fill(self, values: dict[str, str]) -> str:
        """Return the body with the parameters in place."""
        return _PLACEHOLDER.sub(lambda match: values.get(match[1], match[0]), self.body)

    def row(self) -> dict:
        """Return it as the template list shows it."""
        body: dict = {"type": "BODY", "text": self.body}
        if self.named:
            examples = [{"param_name": name, "example": name} for name in self.placeholders]
            body["example"] = {"body_text_named_params": examples}
        elif self.placeholders:
            body["example"] = {"body_text": [[f"example {name}" for name in self.placeholders]]}
        return {
            "id": self.id,
            "name": self.name,
            "language": self.language,
            "status": self.status,
            "category": self.category,
            "quality_score": {"score": self.quality, "date": 1_760_000_000},
            "parameter_format": "NAMED" if self.named else "POSITIONAL",
            "components": [body],
        }


class Meta(Wire):
    """Sends by phone-number id, templates by WABA id, both behind one bearer token."""

    name = "meta"
    label = "Meta"
    default_account: ClassVar[dict] = {
        "token": "META-TOKEN-DEMO",
        "phone_number_id": "200000000000002",
        "waba_id": "100000000000001",
        "display_phone_number": "+62 21 500000",
        "templates": None,  # None: every name is an approved template in Indonesian
        "open_windows": [],
        "page_size": 1000,  # templates on a page at most, whatever the limit asked for
    }

    def __init__(self, store) -> None:
        super().__init__(store)
        self._ids = count(1)
        self._traces = count(1)
        self.configure()

    def configure(self) -> None:
        account = self.account
        if not isinstance(account["open_windows"], list):
            raise ValueError("meta: open_windows must be a list of phone numbers")
        self._windows = frozenset(digits(number) for number in account["open_windows"])
        if isinstance(account["page_size"], bool) or not isinstance(account["page_size"], int):
            raise ValueError("meta: page_size must be a number")
        rows = account["templates"]
        self._templates = None if rows is None else _read_templates(rows)

    def happened(self, values: Mapping) -> None:
        """A message from somebody opens the window; a template's new state or quality stays."""
        account = self.account
        number = digits(values.get("from"))
        if values["event"] == "inbound" and number and number not in self._windows:
            account["open_windows"] = [*account["open_windows"], number]
        elif values["event"] in ("template", "template_quality"):
            key = "status" if values["event"] == "template" else "quality"
            for row in account["templates"] or ():
                if (row["name"], row.get("language") or "id") == (
                    values["name"],
                    values.get("language", "id"),
                ):
                    row[key] = values.get(key, "RED")
        self.configure()

    def routes(self) -> list[Route]:
        return [
            Route("POST", f"{_NODE}/messages", "send", self.send),
            Route("GET", f"{_NODE}/message_templates", "test", self.templates),
            Route("GET", _NODE, "test", self.node),
        ]

    def recipients(self, call: Call) -> list[str]:
        number = digits((call.fields or {}).get("to"))
        return [number] if number else []

    def knows_code(self, code: str) -> bool:
        return bool(_CODE.match(code))

    def refusal(self, code: str, http_status: int | None = None) -> Reply:
        number, _slash, subcode = code.partition("/")
        if number == "190" and not subcode:
            subcode = "463"
        return self._error(
            Refused(int(number), "Played by the simulator.", int(subcode) if subcode else None), http_status
        )

    def send(self, call: Call) -> Reply:
        """Take a template message, or a text inside an open window (providers.md 1.2)."""
        try:
            self._authorise(call, "phone_number_id")
            return self._send(call)
        except Refused as refused:
            return self._error(refused)

    def node(self, call: Call) -> Reply:
        """Describe the phone number or the business account (providers.md 1.12)."""
        account = self.account
        known = {
            account["phone_number_id"]: {
                "id": account["phone_number_id"],
                "display_phone_number": account["display_phone_number"],
                "verified_name": "Contoh",
                "quality_rating": "GREEN",
                "platform_type": "CLOUD_API",
                "throughput": {"level": "STANDARD"},
                "status": "CONNECTED",
            },
            account["waba_id"]: {"id": account["waba_id"], "name": "Contoh"},
        }
        try:
            self._authorise(call)
            if call.path["node"] not in known:
                raise _no_object(call)
        except Refused as refused:
            return self._error(refused)
        return Reply(_only_fields(known[call.path["node"]], call))

    def templates(self, call: Call) -> Reply:
        """List the templates by page (providers.md 1.11)."""
        try:
            self._authorise(call, "waba_id")
            start, limit = _page(call)
            limit = max(1, min(limit, self.account["page_size"]))
        except Refused as refused:
            return self._error(refused)
        rows = [template.row() for template in (self._templates or {}).values()]
        for key in ("name", "status", "category", "language"):
            if key in call.query:
                rows = [row for row in rows if row[key] == call.query[key]]
        end = start + limit
        paging: dict = {"cursors": {"before": _cursor(start), "after": _cursor(end)}}
        if end < len(rows):
            rest = "&".join(f"{key}={value}" for key, value in call.query.items() if key != "after")
            paging["next"] = f"{call.url}?{rest}{'&' if rest else ''}after={_cursor(end)}"
        page = [_only_fields(row, call) for row in rows[start:end]]
        return Reply({"data": page, "paging": paging} if page else {"data": []})

    def _authorise(self, call: Call, owner: str = "") -> None:
        """Refuse a wrong token, or a node in the path that is not the account's `owner` id."""
        if call.headers.get("Authorization") != f"Bearer {self.account['token']}":
            raise Refused(190, "Invalid OAuth access token - Cannot parse access token")
        if owner and call.path["node"] != self.account[owner]:
            raise _no_object(call)

    def _send(self, call: Call) -> Reply:
        fields = call.fields
        if fields is None:
            raise Refused(100, "The request body is not a JSON object.")
        if fields.get("messaging_product") != "whatsapp":
            raise Refused(100, "The parameter messaging_product is required.")
        if not fields.get("to"):
            raise Refused(100, "The parameter to is required.")
        to = digits(fields["to"])
        if not 8 <= len(to) <= 15:
            raise Refused(131009, "Recipient is not a phone number.")
        kind = fields.get("type", "text")
        template, values = None, []
        if kind == "template":
            template, values, text = self._read_template(fields.get("template"))
        elif kind == "text":
            text = self._read_text(fields.get("text"), to)
        else:
            raise Refused(131051, f"The simulator does not know messages of type {kind}.")
        message_id = f"wamid.HBgTEST{next(self._ids):010d}"
        self.store.mailbox.add(
            self.name,
            to,
            text,
            template=template,
            parameters=values,
            message_id=message_id,
            reference=fields.get("biz_opaque_callback_data"),
        )
        message = {"id": message_id}
        if template:  # the real service leaves the status out of text answers (providers.md 1.3)
            message["message_status"] = "accepted"
        return Reply(
            {
                "messaging_product": "whatsapp",
                "contacts": [{"input": fields["to"], "wa_id": to}],
                "messages": [message],
            }
        )

    def _read_text(self, part: object, to: str) -> str:
        body = part.get("body") if isinstance(part, dict) else None
        if not isinstance(body, str) or not body:
            raise Refused(100, "The parameter text['body'] is required.")
        if len(body) > MAX_TEXT:
            raise Refused(100, f"Param text['body'] must be at most {MAX_TEXT} characters long.")
        if to not in self._windows:
            raise Refused(
                131047,
                "Message failed to send because more than 24 hours have passed since the customer last "
                "replied to this number.",
            )
        return body

    def _read_template(self, part: object) -> tuple[str, list[str], str]:
        """Return name, body parameter values and the text that a phone would show."""
        part = part if isinstance(part, dict) else {}
        name, language = part.get("name"), part.get("language")
        language = language.get("code") if isinstance(language, dict) else None
        if not (name and isinstance(name, str) and language and isinstance(language, str)):
            raise Refused(131008, "The template's name and language are required.")
        parameters = _body_parameters(part)
        values = [parameter["text"] for parameter in parameters]
        if self._templates is None:
            if language != "id":
                raise _no_template(name, language)
            return name, values, f"{name}: {' | '.join(values)}" if values else name
        template = self._templates.get((name, language))
        if template is None or template.status != "APPROVED":
            raise _no_template(name, language)
        return name, values, template.fill(_match(template, parameters))

    def _error(self, refused: Refused, http_status: int | None = None) -> Reply:
        status, title = ERRORS.get(refused.code, (400, "Unknown error"))
        if refused.subcode == 33:
            title = "Unsupported request"
        error: dict = {
            "message": f"(#{refused.code}) {title}",
            "type": "OAuthException",
            "code": refused.code,
            "error_data": {"messaging_product": "whatsapp", "details": refused.details},
            "fbtrace_id": f"AbCdEf{next(self._traces)}",
        }
        if refused.subcode is not None:
            error["error_subcode"] = refused.subcode
        if refused.code in TRANSIENT:
            error["is_transient"] = True
        return Reply({"error": error}, http_status or status)


def _no_object(call: Call) -> Refused:
    return Refused(
        100,
        f"Object with ID '{call.path['node']}' does not exist, cannot be loaded due to missing permissions, "
        "or does not support this operation.",
        33,
    )


def _no_template(name: str, language: str) -> Refused:
    return Refused(132001, f"template name ({name}) does not exist in {language}")


def _body_parameters(part: dict) -> list[dict]:
    """Return the body component's text parameters; an empty text is refused as the real service does."""
    found = []
    for component in _objects(part, "components"):
        if str(component.get("type")).lower() != "body":
            continue
        for parameter in _objects(component, "parameters"):
            if parameter.get("type") != "text":
                raise Refused(132012, "The simulator knows only text parameters in the body.")
            if not str(parameter.get("text") or "").strip():
                raise Refused(131008, "Parameter of type text is missing text value")
            found.append({**parameter, "text": str(parameter["text"])})
    return found


def _objects(holder: dict, key: str) -> list[dict]:
    """Return the list of objects under `key`, empty when it is left out."""
    found = holder.get(key, [])
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise Refused(100, f"Param template['{key}'] must be an array of objects.")
    return found


def _match(template: Template, parameters: list[dict]) -> dict[str, str]:
    """Return the value of every placeholder, or refuse when they do not fit the template."""
    wanted = template.placeholders
    if len(parameters) != len(wanted):
        raise Refused(
            132000,
            f"body: number of localizable_params ({len(parameters)}) does not match the expected number of "
            f"params ({len(wanted)})",
        )
    if not template.named:
        if any("parameter_name" in parameter for parameter in parameters):
            raise Refused(100, "Parameter names are not allowed in a positional template")
        return {str(index): parameter["text"] for index, parameter in enumerate(parameters, 1)}
    values = {parameter.get("parameter_name"): parameter["text"] for parameter in parameters}
    if set(values) != set(wanted):
        raise Refused(100, "Parameter name is missing or empty")
    return values


def _read_templates(rows: object) -> dict[tuple[str, str], Template]:
    """Read the admin's template list; one row per name and language."""
    templates = {}
    if not isinstance(rows, list):
        raise ValueError("meta: templates must be a list or null")
    for index, row in enumerate(rows, 1):
        if not isinstance(row, dict) or not row.get("name"):
            raise ValueError("meta: every template needs a name")
        body = str(row.get("body") or "")
        template = Template(
            id=str(row.get("id") or 900_000_000_000_000 + index),
            name=row["name"],
            language=row.get("language") or "id",
            status=row.get("status") or "APPROVED",
            category=row.get("category") or "UTILITY",
            body=body,
            placeholders=tuple(dict.fromkeys(_PLACEHOLDER.findall(body))),
            quality=row.get("quality") or "UNKNOWN",
        )
        templates[template.name, template.language] = template
    return templates


def _only_fields(row: dict, call: Call) -> dict:
    """Return the row with the fields that the query asked for; the id is always there."""
    asked = call.query.get("fields")
    if not asked:
        return row
    wanted = {"id", *asked.split(",")}
    return {key: value for key, value in row.items() if key in wanted}


def _cursor(position: int) -> str:
    return base64.urlsafe_b64encode(str(position).encode()).decode().rstrip("=")


def _page(call: Call) -> tuple[int, int]:
    """Return (first row, number of rows) that the query asks for."""
    try:
        limit = max(1, min(int(call.query.get("limit", "25")), 1000))
        after = call.query.get("after", "")
        start = int(base64.urlsafe_b64decode(after + "=" * (-len(after) % 4))) if after else 0
    except ValueError:
        raise Refused(100, "Invalid limit or cursor") from None
    return start, limit
