"""What can go wrong with a message, and what is to be done about it, as data.

The classes and scopes are those of providers.md (head and section 0); ``interrupted`` is ours: the request
may have left and nobody knows. A provider's code table maps its own codes to :class:`Verdict` rows.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

# Classes
RETRY_LATER = "retry_later"
RATE_LIMITED = "rate_limited"
BAD_RECIPIENT = "bad_recipient"
BAD_TEMPLATE = "bad_template"
WINDOW_CLOSED = "window_closed"
ACCOUNT_BLOCKED = "account_blocked"
BAD_CREDENTIALS = "bad_credentials"
UNKNOWN = "unknown"  # a clear refusal whose reason we cannot act on; not the outcome message.UNKNOWN
INTERRUPTED = "interrupted"

# Policies: the classes for which each one holds.
FAILOVER = frozenset({ACCOUNT_BLOCKED, BAD_CREDENTIALS, WINDOW_CLOSED})  # the next provider, at once
RETRY = frozenset({RETRY_LATER, RATE_LIMITED})  # the same provider, later
FINAL = frozenset({BAD_RECIPIENT, BAD_TEMPLATE, UNKNOWN})  # no other provider, no retry
HOLD = frozenset({INTERRUPTED})  # a person or the provider's on_interrupted setting decides
# The account or sender itself is at fault, and stays so until a person has done something.
STOPS_SENDER = frozenset({ACCOUNT_BLOCKED, BAD_CREDENTIALS})

POLICY: Mapping[str, frozenset[str]] = MappingProxyType(
    {error_class: policy for policy in (FAILOVER, RETRY, FINAL, HOLD) for error_class in policy}
)
CLASSES = frozenset(POLICY)

# Scopes: what an error tells us to stop.
MSG = "msg"  # this message
RCPT = "rcpt"  # this recipient
TMPL = "tmpl"  # this template
SENDER = "sender"  # this number, device or session
ACCT = "acct"  # the whole account
PAIR = "pair"  # this sender to this recipient
SCOPES = frozenset({MSG, RCPT, TMPL, SENDER, ACCT, PAIR})
WHOLE_SENDER = frozenset({SENDER, ACCT})  # every message of the sender is concerned


@dataclass(frozen=True, slots=True)
class Verdict:
    """One row of a code table.

    ``hint`` tells an admin what is wrong and what to do next; ``opt_out`` that the person asked not to be
    written to; ``retry_after`` (seconds) how long the service's documentation says to wait, used when the
    answer itself does not say.
    """

    error_class: str
    scope: str
    hint: str = ""
    opt_out: bool = False
    retry_after: float | None = None


# What HTTP alone says, when the body has no code that we know (contract.md 7 before providers.md).
THROTTLED = Verdict(RATE_LIMITED, SENDER, "The service asks to slow down; the message is tried again later.")
TOKEN_REFUSED = Verdict(
    BAD_CREDENTIALS, ACCT, "The service refused the credentials. Enter valid ones and test again."
)
WRONG_ADDRESS = Verdict(
    BAD_CREDENTIALS,
    ACCT,
    "The base URL does not lead to the service's API. Correct it, or empty it for the default.",
)
PASSING_FAULT = Verdict(
    RETRY_LATER, SENDER, "The service has a passing fault; the message is tried again later."
)
NOT_SENT = Verdict(RETRY_LATER, SENDER, "The service could not be reached; the message is tried again later.")
UNEXPLAINED = Verdict(
    UNKNOWN, MSG, "The service refused the message for a reason not known here. Read its text."
)
NO_CERTAINTY = Verdict(
    INTERRUPTED,
    MSG,
    "Whether the message left is not known. Ask the service or the recipient before sending again.",
)

# The gateway gave up waiting (504; Cloudflare's 524) or got an answer that it could not read (Cloudflare's
# 520): the service behind it may well have sent the message.
GATEWAY_LOST_TRACK = frozenset({504, 520, 524})


def verdict_for_status(status: int, *, explained: bool) -> Verdict:
    """Return what an HTTP status means when no known code explains it.

    :param status: the HTTP status.
    :param explained: whether the body is an error of the service's own shape, with a code not known here. If
        it is, the address is right and a success status is no success.
    """
    if status == 429:
        return THROTTLED
    if status in (401, 403):
        return TOKEN_REFUSED
    if status in GATEWAY_LOST_TRACK:
        return NO_CERTAINTY
    if status >= 500:
        return PASSING_FAULT
    if explained:
        return UNEXPLAINED
    if 200 <= status < 300:
        return NO_CERTAINTY
    if status in (404, 405) or 300 <= status < 400:
        return WRONG_ADDRESS
    return UNEXPLAINED
