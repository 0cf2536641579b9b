"""The provider: what all services have in common, once.

:meth:`Provider.send` is a template method. A service's module gives its facts as class attributes, builds the
request and reads what its answers say about success and failure; timing, classes, HTTP fallbacks and the
sentences for the admin are the same for all and live here.
"""

import datetime
import email.utils
import re
import time
from abc import ABC, abstractmethod
from collections import ChainMap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar

from . import errors, transport
from .errors import Verdict
from .events import Event, Hook
from .message import ACCEPTED, MAX_REFERENCE, REFUSED, UNKNOWN, Account, Attempt, Message, Report
from .transport import Answer

_MAX_SAID = 300  # characters of a service's own words in an error message
_MAX_READ = 2000  # characters of them that are looked at
_MIN_SECRET = 4  # characters; replacing shorter ones would only spoil the words around
_TRIED_AGAIN = re.compile(r"; (?:the message|it) is tried again[^.;]*")
_LONG_NUMBER = re.compile(r"\+?\d(?:[\s().-]*\d){8,}")  # nine digits: no code of a service is that long
_FIELD_LABELS = {
    "base_url": "base URL",
    "api_token": "API token",
    "sender_id": "sender ID",
    "account_id": "account ID",
}


@dataclass(frozen=True, slots=True)
class Request:
    """A request to a service, ready for :func:`transport.request`. ``path`` follows the base URL."""

    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    json: object | None = field(default=None, repr=False)
    data: Mapping[str, str] | None = field(default=None, repr=False)
    params: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """An error in a service's own shape.

    ``code`` is the service's code, ``said`` its text. ``keys`` are the rows of the code table to look for,
    the most precise first; empty means ``(code,)``. ``transient`` is true when the service itself calls the
    error passing.
    """

    code: str
    said: str = ""
    keys: tuple[str, ...] = ()
    transient: bool = False


class Provider(ABC):
    """One account at one service. Cheap to make, immutable, safe to share between threads.

    Class attributes: ``type`` and ``label`` name the service; ``has_templates`` says that it stores reviewed
    templates, ``has_window`` that free text needs an open 24-hour window; ``signs_webhooks`` that it signs
    what it sends to us; ``required`` lists the account fields that must be filled in, ``own_names`` says
    what the service calls them; ``codes`` is the code table, and ``late_codes`` what a message can fail of
    after it was accepted, where that differs.
    """

    type: ClassVar[str]
    label: ClassVar[str]
    default_base_url: ClassVar[str]
    default_api_version: ClassVar[str] = ""
    has_templates: ClassVar[bool] = False
    has_window: ClassVar[bool] = False
    signs_webhooks: ClassVar[bool] = False
    required: ClassVar[tuple[str, ...]] = ("api_token",)
    own_names: ClassVar[Mapping[str, str]] = {}
    codes: ClassVar[Mapping[str, Verdict]] = {}
    late_codes: ClassVar[Mapping[str, Verdict]] = {}

    def __init__(self, account: Account) -> None:
        self.account = account
        self.token = account.api_token.strip()
        self.sender_id = account.sender_id.strip()
        self.account_id = account.account_id.strip()
        secret = account.app_secret.strip()
        self.app_secrets = tuple(dict.fromkeys(filter(None, (secret, *re.split(r"[\s,]+", secret)))))
        self.verify_token = account.verify_token.strip()
        self.base_url = (account.base_url.strip() or self.default_base_url).rstrip("/")
        self.api_version = account.api_version.strip() or self.default_api_version

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.account!r})"

    # -- Public ----------------------------------------------------------------------------------------------

    def send(self, message: Message) -> Attempt:
        """Hand ``message`` to the service, once, and say what came of it.

        Nothing that the wire does raises; an account that is not completely filled in is a refusal too.

        :raises ValueError: for a message that no code should have built (a number that is not E.164, a
            reference that is too long).
        """
        _check(message)
        if problem := self._account_problem():
            return _refusal("not_configured", problem, Verdict(errors.BAD_CREDENTIALS, errors.ACCT))
        if failure := self._foreseen(message):
            return self._attempt(failure.code, failure.said, self.codes[failure.code], message)
        request = self._build_send(message)
        started = time.perf_counter()
        try:
            answer = self._request(request)
        except transport.NotSent as error:
            attempt = self._attempt("not_sent", str(error), errors.NOT_SENT, message)
        except transport.OutcomeUnknown as error:
            attempt = self._attempt("no_answer", str(error), errors.NO_CERTAINTY, message)
        else:
            attempt = self._read_send(answer, message)
        return replace(attempt, elapsed_ms=round((time.perf_counter() - started) * 1000))

    def test_connection(self) -> Report:
        """Ask the service whether a message would go out now. Sends nothing to anybody, raises nothing."""
        if problem := self._account_problem():
            return Report(False, problem)
        try:
            return self._test()
        except transport.TransportError as error:
            return Report(
                False,
                f"{self.label} could not be asked: {error}. Check the base URL and this server's network.",
            )

    # -- Webhooks --------------------------------------------------------------------------------------------

    def is_authentic(self, hook: Hook) -> bool:
        """Say whether the service itself sent ``hook``, in constant time.

        Where the service signs, False also when no secret is configured. Where it does not, always True: the
        secret path of the webhook's address is then the key, and checked by whoever received the call.
        """
        return not self.signs_webhooks

    def challenge(self, hook: Hook) -> str | None:
        """Return the answer to a service that asks whether the address is ours, None to refuse."""
        return None

    def read_events(self, hook: Hook) -> list[Event]:
        """Return what ``hook`` tells, in its order; nothing for kinds of events that concern nobody here.

        Call :meth:`is_authentic` first.

        :raises Malformed: when the body is not what this service sends.
        """
        events: dict[str, Event] = {}
        for event in self._read_events(hook):
            events.setdefault(event.key, event)
        return list(events.values())

    def number_of(self, sender: str) -> str | None:
        """Ask the service for the number behind the ``sender`` of an :class:`events.Inbound` without one.

        One request at most, where the service can be asked at all.

        :return: E.164, or an empty text when it is not to be had; None when the service does not answer at
            present, or not with that: ask again later. Raises nothing.
        """
        return ""

    def webhook_answer(self) -> tuple[str, str]:
        """Return body and content type of the answer that tells the service that all is well (HTTP 200)."""
        return '{"ok": true}', "application/json"

    # -- What a service brings -------------------------------------------------------------------------------

    @abstractmethod
    def _build_send(self, message: Message) -> Request:
        """Return the request that sends ``message``."""

    @abstractmethod
    def _read_success(self, body: object) -> str | None:
        """Return the message id when ``body`` (parsed JSON, any shape) says success, empty when it has none,
        None when it does not say success."""

    @abstractmethod
    def _read_failure(self, body: object, message: Message | None) -> Failure | None:
        """Return the error that ``body`` (parsed JSON, any shape) tells of, or None. ``message`` is None in a
        connection test."""

    @abstractmethod
    def _test(self) -> Report:
        """Return the report of a connection test. May raise :class:`transport.TransportError`."""

    def _read_events(self, hook: Hook) -> Iterable[Event]:
        """Return what ``hook`` tells, perhaps twice. May raise :class:`events.Malformed`."""
        return ()

    def _retry_after(self, answer: Answer) -> float | None:
        """Return how many seconds the service asks to wait, if it says. A service may know more headers."""
        return _seconds(answer.headers.get("Retry-After", ""))

    def _foreseen(self, message: Message) -> Failure | None:
        """Return what the service would refuse ``message`` with, by a code of the table, when that is certain
        without asking it."""
        return None

    # -- Shared ----------------------------------------------------------------------------------------------

    def _request(self, request: Request) -> Answer:
        return transport.request(
            request.method,
            self.base_url + request.path,
            headers=request.headers,
            json=request.json,
            data=request.data,
            params=request.params,
            timeout=self.account.timeout,
        )

    def _read_send(self, answer: Answer, message: Message) -> Attempt:
        """Return what ``answer`` says about ``message``: by the body's codes, then by the HTTP status."""
        message_id = self._read_success(answer.body)
        failure = self._read_failure(answer.body, message)
        if message_id is not None:
            if failure is None and 200 <= answer.status < 300:
                return Attempt(ACCEPTED, message_id=storable(message_id))
            said = "the answer says both success and failure"
            return self._attempt(f"http_{answer.status}", said, errors.NO_CERTAINTY, message)
        verdict = self._verdict(failure, answer)
        code, said = (failure.code, failure.said) if failure else _unexplained(answer)
        return self._attempt(code, said, verdict, message, self._retry_after(answer))

    def _verdict(self, failure: Failure | None, answer: Answer) -> Verdict:
        if failure and (verdict := _row(failure, self.codes)):
            return verdict
        return errors.verdict_for_status(answer.status, explained=failure is not None)

    def _attempt(
        self, code: str, said: str, verdict: Verdict, message: Message, retry_after: float | None = None
    ) -> Attempt:
        """Return the attempt of a message that was not accepted, with its sentence."""
        if verdict.error_class in errors.RETRY:
            retry_after = retry_after if retry_after is not None else verdict.retry_after
        else:
            retry_after = None
        words = self._clean(f"{code}: {said}" if said else code, message)
        return _refusal(
            self._clean(code, message), f"{verdict.hint} ({self.label} {words})", verdict, retry_after
        )

    def _late_verdict(self, failure: Failure) -> Verdict:
        """Return what an error means that came by webhook, after the message was accepted."""
        return _row(failure, ChainMap(self.late_codes, self.codes)) or errors.UNEXPLAINED

    def _late(self, failure: Failure, number: object = "") -> dict[str, str | bool]:
        """Return what ``failure``, come by webhook, says in the fields of a :class:`events.Receipt`.

        :param number: the recipient's number as the service wrote it, to be left out of the words.
        """
        verdict = self._late_verdict(failure)
        hint = verdict.hint
        if verdict.error_class in errors.RETRY:
            hint = (
                f"{_TRIED_AGAIN.sub('', hint)} It failed after it had been accepted: send it again if needed."
            )
        digits = re.sub(r"\D", "", as_text(number))
        patterns = [*([_number_pattern(digits)] if len(digits) >= 7 else ()), _LONG_NUMBER]
        code, said = (self._clean(text, patterns=patterns) for text in (failure.code, failure.said))
        return {
            "error_class": verdict.error_class,
            "error_code": code,
            "error_message": f"{hint} ({self.label} {f'{code}: {said}' if said else code})",
            "scope": verdict.scope,
            "opt_out": verdict.opt_out,
        }

    def _failed_test(self, answer: Answer) -> Report:
        """Return the report of a connection test that the service refused or answered strangely."""
        failure = self._read_failure(answer.body, None)
        verdict = self._verdict(failure, answer)
        hint = verdict.hint
        if verdict.error_class in errors.HOLD:  # its hint is about a message
            hint = "The answer could not be understood. Check the base URL, or try again later."
        code, said = (failure.code, failure.said) if failure else _unexplained(answer)
        return Report(False, f"{hint} ({self.label} {self._clean(f'{code}: {said}' if said else code)})")

    def _account_problem(self) -> str:
        """Return a sentence when the account cannot work as it is filled in, else an empty text."""
        missing = [name for name in self.required if not getattr(self.account, name).strip()]
        if missing:
            labels = ", ".join(map(self._field_label, missing))
            return f"{self.label} is not completely configured: fill in {labels}."
        if not (self.token.isascii() and self.token.isprintable()):
            return f"The API token of {self.label} has characters that no token has. Copy it again."
        if not re.match(r"https?://[^/]", self.base_url):
            return f"The base URL of {self.label} must begin with https:// or http://."
        return ""

    def _field_label(self, name: str) -> str:
        own = self.own_names.get(name)
        return f"{_FIELD_LABELS[name]} ({own})" if own else _FIELD_LABELS[name]

    def _clean(
        self, said: str, message: Message | None = None, patterns: Iterable[re.Pattern[str]] = ()
    ) -> str:
        """Return a service's words on one line, cut, without our secrets and the recipient's number, nor what
        ``patterns`` match.
        """
        said = " ".join(storable(said[:_MAX_READ]).split())
        for secret in (self.token, *self.app_secrets, *self._more_secrets()):
            if len(secret) >= _MIN_SECRET:
                said = said.replace(secret, "***")
        if message:
            said = _number_pattern(message.phone).sub("***", said)
        for pattern in patterns:
            said = pattern.sub("***", said)
        return said[:_MAX_SAID]

    def _more_secrets(self) -> tuple[str, ...]:
        """Return the account's secrets besides the token."""
        return ()


# -- Helpers for reading answers -----------------------------------------------------------------------------


def as_dict(value: object) -> dict:
    """Return ``value`` when it is a JSON object, else an empty one, so that any shape can be read."""
    return value if isinstance(value, dict) else {}


def as_list(value: object) -> list:
    """Return ``value`` when it is a JSON array, else an empty one."""
    return value if isinstance(value, list) else []


def as_text(value: object) -> str:
    """Return a JSON text or number as text, anything else (also true and false) as an empty text."""
    return str(value) if isinstance(value, (str, int, float)) and not isinstance(value, bool) else ""


def lower_keys(value: object) -> dict[str, object]:
    """Return a JSON object with its keys in lower case, for a service that writes them in either."""
    return {key.lower(): item for key, item in as_dict(value).items()}


def as_bool(value: object) -> bool | None:
    """Return the truth value that a service wrote as a boolean or as a word, None for anything else."""
    if isinstance(value, str):
        return {"true": True, "false": False}.get(value.strip().lower())
    return value if isinstance(value, bool) else None


def storable(text: str) -> str:
    """Return ``text`` without what a database refuses: NUL and lone surrogates."""
    return text.replace("\0", "").encode("utf-8", "replace").decode("utf-8")


def _refusal(code: str, text: str, verdict: Verdict, retry_after: float | None = None) -> Attempt:
    return Attempt(
        UNKNOWN if verdict.error_class in errors.HOLD else REFUSED,
        error_class=verdict.error_class,
        error_code=code,
        error_message=text,
        scope=verdict.scope,
        opt_out=verdict.opt_out,
        retry_after=retry_after,
    )


def _unexplained(answer: Answer) -> tuple[str, str]:
    """Return code and words for an answer without an error in the service's shape."""
    if 200 <= answer.status < 300:
        return f"http_{answer.status}", "the answer could not be understood"
    return f"http_{answer.status}", ""


def _row(failure: Failure, codes: Mapping[str, Verdict]) -> Verdict | None:
    """Return what the table says about ``failure``, the most precise row first."""
    for key in failure.keys or (failure.code,):
        if key in codes:
            return codes[key]
    return errors.PASSING_FAULT if failure.transient else None


def _check(message: Message) -> None:
    if not re.fullmatch(r"\+[1-9]\d{6,14}", message.phone):
        raise ValueError("The number of a message must be E.164 with its plus")
    if len(message.reference) > MAX_REFERENCE:
        raise ValueError(f"The reference of a message is longer than {MAX_REFERENCE} characters")


def _number_pattern(phone: str) -> re.Pattern[str]:
    """Return a pattern for a number in any spelling: its last eight digits and whatever leads up to them."""
    return re.compile(r"(?:\+?\d[\d\s().-]*)?" + r"[\s().-]*".join(phone[-8:]))


def _seconds(text: str) -> float | None:
    """Return a ``Retry-After`` value (seconds, or an HTTP date) in seconds, None when it is neither."""
    text = text.strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        when = email.utils.parsedate_to_datetime(text)
    except (TypeError, ValueError, IndexError):
        return None
    if when.tzinfo is None:
        when = when.replace(tzinfo=datetime.timezone.utc)
    return max(0.0, (when - datetime.datetime.now(datetime.timezone.utc)).total_seconds())
