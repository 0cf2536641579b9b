"""What the simulator remembers: messages, requests, faults, accounts. Plain classes, in memory, bounded.

Everything runs in one event loop, so nothing here needs a lock. Storing a message is O(1).
"""

import copy
import re
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from itertools import islice

KEEP_MESSAGES = 200_000
KEEP_REQUESTS = 2_000
KEEP_FAULTS = 500

_NOT_DIGITS = re.compile(r"\D+")


def digits(number: object) -> str:
    """Return only the digits of a phone number, ``""`` for None."""
    return _NOT_DIGITS.sub("", str(number or ""))


@dataclass(slots=True)
class Message:
    """One message that a provider took over. `to` is digits only, `at` is Unix seconds.

    `callback_url` is where its sender wants to hear of it, when it said so with the message.
    """

    id: int
    provider: str
    to: str
    text: str
    template: str | None
    parameters: list[str]
    message_id: str | None
    reference: str | None
    at: float
    callback_url: str | None = None


class Mailbox:
    """The newest messages of all providers, oldest first; ids grow by one and are never used twice."""

    def __init__(self, keep: int = KEEP_MESSAGES) -> None:
        self._messages: deque[Message] = deque(maxlen=keep)
        self.counts: Counter[str] = Counter()
        self.last_id = 0
        self.listener: Callable[[Message], None] | None = None  # told of each message that was received
        self.generation = 0  # grows when messages were forgotten, so that open pages start over

    def add(
        self,
        provider: str,
        to: str,
        text: str,
        *,
        template: str | None = None,
        parameters: Iterable[str] = (),
        message_id: str | None = None,
        reference: str | None = None,
        callback_url: str | None = None,
    ) -> Message:
        """Store a message that was just received and return it."""
        self.last_id += 1
        message = Message(
            id=self.last_id,
            provider=provider,
            to=to,
            text=text,
            template=template,
            parameters=list(parameters),
            message_id=message_id,
            reference=reference,
            at=time.time(),
            callback_url=callback_url,
        )
        self._messages.append(message)
        self.counts[provider] += 1
        if self.listener:
            self.listener(message)
        return message

    def since(self, since_id: int = 0) -> Iterator[Message]:
        """Yield the kept messages with an id above `since_id`, oldest first."""
        first_id = self.last_id - len(self._messages) + 1
        return islice(self._messages, max(0, since_id + 1 - first_id), None)

    def newest(self, count: int) -> list[Message]:
        """Return the newest `count` messages, oldest first."""
        return list(islice(self._messages, max(0, len(self._messages) - count), None))

    def search(
        self, *, provider: str = "", to: str = "", since_id: int = 0, limit: int | None = None
    ) -> tuple[list[dict], int]:
        """Return the first `limit` matching messages as dicts, and how many match in all."""
        wanted = digits(to)
        found: list[dict] = []
        count = 0
        for message in self.since(since_id):
            if (provider and message.provider != provider) or (wanted and message.to != wanted):
                continue
            count += 1
            if limit is None or len(found) < limit:
                found.append(asdict(message))
        return found, count

    def clear(self) -> None:
        """Forget the messages and the counts. Ids go on, so that no id ever means two messages."""
        self._messages.clear()
        self.counts.clear()
        self.generation += 1


@dataclass(slots=True)
class Fault:
    """A fault to play; `times` None means until it is removed, `delay` and `retry_after` are seconds."""

    id: int
    provider: str
    fault: str
    times: int | None = None
    to: str = ""
    on: str = "send"
    retry_after: float | None = None
    delay: float | None = None
    http_status: int | None = None
    played: int = 0

    @property
    def active(self) -> bool:
        """Whether it will still be played."""
        return self.times is None or self.played < self.times

    def matches(self, provider: str, kind: str, recipients: Iterable[str]) -> bool:
        """Whether it applies to a call of `kind` ("send" or "test") to `recipients` (digits)."""
        return (
            self.active
            and self.on == kind
            and self.provider in ("*", provider)
            and (not self.to or self.to in recipients)
        )


class FaultBook:
    """The faults in the order they were asked for; the first that matches is played.

    :param keep: how many faults that were played out stay in the list.
    """

    def __init__(self, keep: int = KEEP_FAULTS) -> None:
        self._keep = keep
        self._faults: dict[int, Fault] = {}
        self._active: list[Fault] = []
        self._last_id = 0

    def __bool__(self) -> bool:
        return bool(self._active)

    def add(self, **values) -> Fault:
        """Add a fault (fields of `Fault` without id and played) and return it."""
        self._last_id += 1
        fault = Fault(id=self._last_id, **values)
        self._faults[fault.id] = fault
        for old in [one.id for one in self._faults.values() if not one.active][: -self._keep]:
            del self._faults[old]
        self._changed()
        return fault

    def take(self, provider: str, kind: str, recipients: Iterable[str]) -> Fault | None:
        """Return the fault to play for this call and count it, or None."""
        for fault in self._active:
            if fault.matches(provider, kind, recipients):
                fault.played += 1
                if fault.times is not None:
                    self._changed()
                return fault
        return None

    def list(self) -> list[dict]:
        """Return all faults, also those played out, as dicts with `active`."""
        return [{**asdict(fault), "active": fault.active} for fault in self._faults.values()]

    def remove(self, fault_id: int) -> bool:
        """Remove one fault; False when there is none with that id."""
        found = self._faults.pop(fault_id, None) is not None
        self._changed()
        return found

    def clear(self) -> None:
        """Remove all faults."""
        self._faults.clear()
        self._changed()

    def _changed(self) -> None:
        self._active = [fault for fault in self._faults.values() if fault.active]


class Accounts:
    """The provider accounts that the simulator knows, by provider name.

    :param defaults: the state at start, ``{"fonnte": {"token": …, "connected": True}, …}``.
    """

    def __init__(self, defaults: Mapping[str, Mapping]) -> None:
        self._defaults = defaults
        self._current: dict[str, dict] = copy.deepcopy(dict(defaults))

    def __getitem__(self, provider: str) -> dict:
        return self._current[provider]

    def all(self) -> dict[str, dict]:
        """Return every account by provider name."""
        return self._current

    def patch(self, changes: Mapping) -> None:
        """Merge `changes` into the accounts.

        :raises ValueError: an unknown provider or field; nothing is changed then.
        """
        for provider, values in changes.items():
            if provider not in self._current:
                raise ValueError(f"unknown provider {provider!r}")
            if not isinstance(values, Mapping):
                raise ValueError(f"{provider}: an object is expected")
            unknown = sorted(set(values) - set(self._defaults[provider]))
            if unknown:
                raise ValueError(f"{provider}: unknown field {', '.join(unknown)}")
        for provider, values in changes.items():
            self._current[provider].update(copy.deepcopy(dict(values)))

    def restore(self) -> None:
        """Go back to the accounts as they were at start."""
        self._current = copy.deepcopy(dict(self._defaults))


@dataclass(slots=True)
class Store:
    """All state of one simulator. `delay` is what every send waits first, in seconds."""

    accounts: Accounts
    mailbox: Mailbox = field(default_factory=Mailbox)
    faults: FaultBook = field(default_factory=FaultBook)
    delay: float = 0.0
    last_request_id: int = 0
    requests: deque[dict] = field(default_factory=lambda: deque(maxlen=KEEP_REQUESTS))

    def log(self, provider: str, method: str, path: str, status: int | str, fault: str | None = None) -> None:
        """Note a provider call: path without query, `status` answered or "cut", the fault played if any."""
        self.last_request_id += 1
        self.requests.append(
            {
                "id": self.last_request_id,
                "provider": provider,
                "method": method,
                "path": path,
                "status": status,
                "fault": fault,
                "at": time.time(),
            }
        )

    def reset(self) -> None:
        """Go back to the state at start; only the running ids go on."""
        self.mailbox.clear()
        self.requests.clear()
        self.faults.clear()
        self.accounts.restore()
        self.delay = 0.0
