"""Wire adapters for WhatsApp services, in plain Python: no import of odoo, no database, safe in threads.

Build an :class:`Account` and a :class:`Message`, then ``provider_for(account).send(message)`` for one message
or :class:`Deliveries` for many. A new service is one module with a :class:`Provider` and a line in
``registry``.
"""

from . import errors, events, parameters, phone
from .base import Provider
from .delivery import Deliveries, Route, attempt, goes_on, longest_attempt
from .errors import Verdict
from .events import Event, Hook, Malformed, TemplateInfo, TemplatesRefused
from .message import ACCEPTED, REFUSED, UNKNOWN, Account, Attempt, Message, Report, Template
from .parameters import MissingParameter
from .phone import to_e164
from .registry import PROVIDERS, provider_for

__all__ = [
    "ACCEPTED",
    "PROVIDERS",
    "REFUSED",
    "UNKNOWN",
    "Account",
    "Attempt",
    "Deliveries",
    "Event",
    "Hook",
    "Malformed",
    "Message",
    "MissingParameter",
    "Provider",
    "Report",
    "Route",
    "Template",
    "TemplateInfo",
    "TemplatesRefused",
    "Verdict",
    "attempt",
    "errors",
    "events",
    "goes_on",
    "longest_attempt",
    "parameters",
    "phone",
    "provider_for",
    "to_e164",
]
