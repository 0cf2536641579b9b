"""What every wire is made of: a call that came in, the reply, and the class that a provider's file fills.

To add a provider: write `wire_<name>.py` with a subclass of `Wire`, and name it in `server.WIRES`.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from .store import Store


@dataclass(slots=True)
class Call:
    """One request, read completely. `fields` is the parsed body; None when it could not be understood."""

    fields: dict | None
    headers: Mapping[str, str]
    query: Mapping[str, str]
    path: Mapping[str, str]
    url: str


@dataclass(slots=True)
class Reply:
    """An answer: a dict goes out as JSON, a string as HTML."""

    body: dict | str
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Route:
    """One call of a provider. `path` is aiohttp's, below the wire's name; `kind` is "send" or "test"."""

    method: str
    path: str
    kind: str
    handle: Callable[[Call], Reply]


class Wire(ABC):
    """One provider's HTTP interface. `name` is also the first part of the path: ``/<name>/…``."""

    name: ClassVar[str]
    label: ClassVar[str]
    form: ClassVar[bool] = False  # the body is a form, not JSON
    default_account: ClassVar[dict]

    def __init__(self, store: Store) -> None:
        self.store = store

    @property
    def account(self) -> dict:
        """The account that this provider knows now."""
        return self.store.accounts[self.name]

    @property
    def connected(self) -> bool:
        """Whether its phone is linked, for a provider that has one."""
        return self.account.get("connected", True)

    @abstractmethod
    def routes(self) -> list[Route]:
        """Return the calls that this provider understands."""

    @abstractmethod
    def recipients(self, call: Call) -> list[str]:
        """Return the phone numbers (digits) that a send goes to; faults are matched with them."""

    @abstractmethod
    def refusal(self, code: str, http_status: int | None = None) -> Reply:
        """Return the provider's own refusal for `code`; `http_status` overrides the usual one."""

    def play(self, code: str, http_status: int | None, call: Call) -> Reply:
        """Return what the fault `code` answers to `call`; for providers whose refusals depend on the call."""
        return self.refusal(code, http_status)

    @abstractmethod
    def knows_code(self, code: str) -> bool:
        """Whether `code` has the shape of this provider's codes."""

    def happened(self, values: Mapping) -> None:
        """Take over what an admin let happen (the `values` of `Callbacks.happen`)."""
        return None

    def configure(self) -> None:
        """Take over a changed account.

        :raises ValueError: when the account makes no sense.
        """
        return None
