"""What comes back from a service by webhook, as plain values: receipts, answers, wishes, states.

Nothing here knows Odoo or HTTP. Moments are naive UTC. What is personal (numbers, names, texts) or may be
secret (a webhook's headers and address) does not show in a ``repr``.

Every event has a ``key``: a text of at most :data:`MAX_KEY` characters, the same when the service repeats the
event and different for every other event of the same account (providers.md 0.5). It never holds a number or a
text in the clear.
"""

import datetime
from collections.abc import Mapping
from dataclasses import dataclass, field

MAX_KEY = 200  # characters

# States of a receipt, from the lowest to the highest; failed has its own rules (providers.md 6).
ACCEPTED = "accepted"
SENT = "sent"
DELIVERED = "delivered"
READ = "read"
FAILED = "failed"
STATES = (ACCEPTED, SENT, DELIVERED, READ, FAILED)


class Malformed(ValueError):
    """The body of a webhook is not what this service sends. Its text holds nothing of the body."""


@dataclass(frozen=True, slots=True)
class Hook:
    """One call of a webhook.

    ``body`` is what came over the wire, unchanged, for signatures are made over it; ``url`` the public
    address as the service called it, query included, rebuilt from configuration (providers.md 4.5); ``query``
    the fields of the address's query.
    """

    method: str
    body: bytes = field(default=b"", repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    url: str = field(default="", repr=False)
    query: Mapping[str, str] = field(default_factory=dict, repr=False)

    def header(self, name: str) -> str:
        """Return the header ``name``, written in any case, or an empty text."""
        wanted = name.lower()
        return next((value for key, value in self.headers.items() if key.lower() == wanted), "")


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a message of ours.

    ``message_id`` is the id that :class:`~.message.Attempt` brought, empty when the service names another one
    only; ``alias`` that other one (Fonnte's ``stateid``), together with ``message_id`` in the receipt that
    tells which belongs to which; ``reference`` what :class:`~.message.Message` gave the service, if it echoes
    it. ``state`` is one of :data:`STATES`; ``error_class``, ``error_code``, ``error_message``, ``scope`` and
    ``opt_out`` say of a failed one what they say in an attempt. ``at`` is None when no time is told.
    """

    key: str
    message_id: str
    state: str
    at: datetime.datetime | None = None
    alias: str = ""
    error_class: str = ""
    error_code: str = ""
    error_message: str = ""
    scope: str = ""
    opt_out: bool = False
    reference: str = ""


@dataclass(frozen=True, slots=True)
class Inbound:
    """A message that a person wrote to us; never one of ours, never one of a group.

    ``phone`` is E.164, or empty when the service gave no number: ``sender`` then has the id that it gave
    instead (Meta's user id, WhatsApp's ``…@lid``). ``text`` is what was written, or the words on the button
    that was tapped; ``payload`` the button's own value. ``message_id`` is the service's id of this message.
    """

    key: str
    phone: str = field(repr=False)
    at: datetime.datetime | None = None
    text: str = field(default="", repr=False)
    payload: str = field(default="", repr=False)
    name: str = field(default="", repr=False)
    message_id: str = ""
    sender: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Preference:
    """A person told the service itself to stop (or resume) what we send. ``phone`` is E.164."""

    key: str
    phone: str = field(repr=False)
    opted_out: bool
    at: datetime.datetime | None = None


@dataclass(frozen=True, slots=True)
class TemplateChange:
    """A stored template's state or quality has changed.

    ``name`` and ``language`` as the service knows them. ``status`` as the service writes it (``APPROVED``),
    empty when only the quality is told; ``category``, ``quality`` and ``reason`` are empty when not told.
    """

    key: str
    name: str
    language: str
    status: str
    category: str = ""
    quality: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class SenderChange:
    """The sender (number, device or session) or its account stopped working, or works again.

    ``error_class`` and ``error_message`` say what is wrong, as in an attempt; empty when it works.
    """

    key: str
    works: bool
    error_class: str = ""
    error_message: str = ""


Event = Receipt | Inbound | Preference | TemplateChange | SenderChange


@dataclass(frozen=True, slots=True)
class TemplateInfo:
    """A template as the service stores it, one per name and language.

    ``status``, ``category`` and ``quality`` as the service writes them (``APPROVED``, ``UTILITY``,
    ``GREEN``); ``body`` is the text with its placeholders; ``parameters`` how many different ones it has.
    """

    id: str
    name: str
    language: str
    status: str
    category: str
    quality: str = ""
    body: str = ""
    parameters: int = 0


class TemplatesRefused(Exception):
    """The service did not give its list of templates. The text is a sentence for the admin."""
