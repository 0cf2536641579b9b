"""The plain values that travel down the road inside one drain: no records, no connection."""

from dataclasses import dataclass, field
from datetime import date, datetime
from typing import NamedTuple

from ..providers import Account
from .company_time import DEFAULT_ZONE
from .sending_window import Window

# Messages of this priority, and those above it, are urgent.
URGENT = 9

# The channel of a queue row that is not WhatsApp.
EMAIL = "email"


class Row(NamedTuple):
    """A claimed queue row. The names are columns; the claim returns them in this order."""

    id: int
    rule_id: int | None
    campaign_id: int | None
    partner_id: int | None
    company_id: int | None
    phone: str | None
    message_type: str
    template_key: str | None
    body: str | None
    context_values: str | None
    priority: int
    retry_count: int
    max_retries: int
    attempt_count: int
    error_class: str | None
    scheduled_date: datetime
    counted_on: date | None = None
    channel: str = "whatsapp"
    email: str | None = None
    res_model: str | None = None
    res_id: int | None = None
    auto_message_id: int | None = None
    late_provider_id: int | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """What the drain has to know of a rule. `limit` is how many messages in `period` seconds, None: any;
    `window` its own sending hours when `quiet_hours` is `own`; `mail_template_id` is what e-mails are written
    from.
    """

    id: int
    name: str
    retry_delay: int
    require_opt_in: bool
    respect_blacklist: bool
    limit: int | None
    period: int
    urgent: bool = False
    quiet_hours: str = "company"
    window: Window | None = None
    mail_template_id: int | None = None
    post_note: bool = False


class Policy(NamedTuple):
    """What holds for the messages of a company: its sending hours (None: any), how many messages a recipient
    gets in a day (0: any number), and the name of its time zone.
    """

    window: Window | None
    cap: int
    zone: str


NO_POLICY = Policy(None, 0, DEFAULT_ZONE)


@dataclass(frozen=True, slots=True)
class Sender:
    """A provider as the drain sees it: how to speak to it, its limits, and how it stands.

    `probe_date` is set while its circuit is open, `paused_until` when it asked to slow down.
    """

    id: int
    name: str
    provider_type: str
    company_id: int | None
    account: Account
    on_interrupted: str = "hold"
    rate_per_second: float = 0.0
    min_delay_seconds: float = 0.0
    daily_limit: int = 0
    messaging_limit: int = 0
    probe_date: datetime | None = None
    paused_until: datetime | None = None

    @property
    def interval(self):
        """Seconds between the starts of two messages at least."""
        by_rate = 1 / self.rate_per_second if self.rate_per_second > 0 else 0.0
        return max(by_rate, self.min_delay_seconds or 0.0)

    @property
    def counted(self):
        """Whether what it sends is counted in the database: it has a limit, or Meta's pair limit holds."""
        return bool(
            self.interval or self.daily_limit > 0 or self.messaging_limit > 0 or self.provider_type == "meta"
        )


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why no way was found; nothing has been sent."""

    error_class: str
    error_message: str


@dataclass(frozen=True, slots=True)
class Wait:
    """There is no room yet: not before `until` (UTC), and why, in a sentence."""

    until: datetime
    reason: str
    error_class: str = "limited"


@dataclass(frozen=True, slots=True)
class Place:
    """What a message takes of its recipient's day when it leaves: one of `cap` messages on `day`, which
    begins at midnight in the time zone `zone`.
    """

    company_id: int
    phone: str
    day: date
    cap: int
    zone: str


@dataclass(frozen=True, slots=True)
class Handed:
    """An e-mail that this transaction has put into Odoo's own mail queue, with its Message-Id."""

    message_id: str


@dataclass(slots=True)
class Job:
    """One message under way: its row, the ways that are left, and what was tried.

    `verdict` is a Refusal or a Wait when it is given up for now without an answer that decides, and a Handed
    when it is an e-mail that needs no answer.
    `window_open` says that Meta counts it as an answer; `rule_counted` that the rule has counted it for its
    limit; `paced` that it has its turn among the auto messages; `settled` is the state that its row was given
    last.
    `place` is what it still has to take of its recipient's day, `counted_on` the day of which it has taken.
    """

    row: Row
    routes: list = field(default_factory=list)
    attempts: list = field(default_factory=list)
    verdict: Refusal | Wait | Handed | None = None
    window_open: bool = False
    rule_counted: bool = False
    place: Place | None = None
    counted_on: date | None = None
    paced: bool = False
    settled: str | None = None

    @property
    def answer(self):
        """The last attempt, None when there was none."""
        return self.attempts[-1][1] if self.attempts else None
