"""The books: what was queued, what the queue says became of it, what the phones received.

Pure functions over plain values. Every message carries a token of its own (K0000123) from the transaction
that queued it to the simulated phone; tokens are what the three sides are compared by.
"""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

TOKEN = re.compile(r"K\d{7}")
ENDED = frozenset({"sent", "failed", "skipped", "cancelled"})

#: Messages a minute of the rule with a limit.
LIMIT = 10

#: The books, in the order of the table: name → what must not occur.
BOOKS = {
    "lost": "a committed message has no row in the queue",
    "doubled": "one message has more than one row",
    "unknown": "a row or a received message that nobody queued",
    "unended": "a row never ended",
    "duplicates": "a message that must not be repeated was received more than once",
    "unaccounted": "more messages were received than the log has accepted and interrupted attempts",
    "phantoms": "the log has more accepted attempts than messages were received",
    "false sent": "a row says sent, and nothing was received or no accepted attempt is in its log",
    "false end": "a row does not say sent although an attempt was accepted, or it was accepted twice",
    "reasonless": "a row failed without saying why",
    "limit": "more messages than the rule allows were received within its period",
}


@dataclass
class Ledger:
    """What the loader queued: token → kind. `committed` for certain; `tried` also what broke off."""

    committed: dict[str, str] = field(default_factory=dict)
    tried: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Row:
    """A queue row as it ended, with its log in two numbers.

    :param accepted: log rows that say an attempt was accepted
    :param interrupted: log rows that say nobody knows whether an attempt left
    """

    id: int
    token: str
    state: str
    error_class: str | None
    accepted: int
    interrupted: int


@dataclass(frozen=True)
class Received:
    """A message at the simulator; `at` in Unix seconds."""

    id: int
    token: str
    at: float


@dataclass(frozen=True)
class Rules:
    """How the kinds of messages are to be treated.

    :param resend: kinds that may be sent again when nobody knows whether they left
    :param limited: the kind whose rule has a rate limit
    :param limit: messages per period
    :param period: seconds; shorter than the rule's own by what a message needs from its claim to the phone
    """

    resend: frozenset[str]
    limited: str
    limit: int
    period: float


def read_ledger(lines: Iterable[str]) -> Ledger:
    """Read the loader's ledger: JSON lines `{"try": [tokens], "kind": …}` and `{"done": [tokens]}`.

    A last line that was cut off counts as not written.
    """
    ledger = Ledger()
    for line in lines:
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        for token in entry.get("try", ()):
            ledger.tried[token] = entry["kind"]
        for token in entry.get("done", ()):
            ledger.committed[token] = ledger.tried[token]
    return ledger


def token_of(*texts: str) -> str:
    """The token in what a phone shows, empty when there is none."""
    for text in texts:
        if match := TOKEN.search(text):
            return match[0]
    return ""


def check(
    ledger: Ledger, rows: Sequence[Row], received: Sequence[Received], rules: Rules
) -> dict[str, list[str]]:
    """Compare the three sides.

    :return: book name → what does not balance, one sentence each; an empty list for a book that balances
    """
    found: dict[str, list[str]] = {name: [] for name in BOOKS}
    messages: dict[str, list[Received]] = defaultdict(list)
    for message in received:
        messages[message.token].append(message)
    for token, count in Counter(row.token for row in rows).items():
        if count > 1:
            found["doubled"].append(f"{token}: {count} rows")
    tokens = {row.token for row in rows}
    found["lost"] += [f"{token} ({kind})" for token, kind in ledger.committed.items() if token not in tokens]
    for token in sorted(tokens - ledger.tried.keys()):
        found["unknown"].append(f"row of {token or 'no token'}")
    for token in sorted(messages.keys() - tokens):
        found["unknown"].append(f"{len(messages[token])} message(s) of {token or 'no token'} without a row")
    for row in rows:
        for book, text in _row_findings(row, len(messages[row.token]), ledger, rules):
            found[book].append(text)
    found["limit"] += _beyond_limit(ledger, received, rules)
    return found


def _row_findings(row: Row, count: int, ledger: Ledger, rules: Rules) -> Iterable[tuple[str, str]]:
    kind = ledger.tried.get(row.token, "")
    who = (
        f"row {row.id} {row.token} ({kind}): {row.state}/{row.error_class or '-'}, {count} received, "
        f"log: {row.accepted} accepted, {row.interrupted} interrupted"
    )
    if row.state not in ENDED:
        yield "unended", who
        return
    if count > 1 and kind not in rules.resend:
        yield "duplicates", who
    if count > row.accepted + row.interrupted:
        yield "unaccounted", who
    if row.accepted > count:
        yield "phantoms", who
    if row.state == "sent" and not (count and row.accepted):
        yield "false sent", who
    if row.accepted > 1 or (row.accepted and row.state != "sent"):
        yield "false end", who
    if row.state == "failed" and not row.error_class:
        yield "reasonless", who


def _beyond_limit(ledger: Ledger, received: Sequence[Received], rules: Rules) -> list[str]:
    times = sorted(one.at for one in received if ledger.tried.get(one.token) == rules.limited)
    for first, last in zip(times, times[rules.limit :], strict=False):
        if last - first < rules.period:
            return [f"{rules.limit + 1} messages within {last - first:.1f} s, allowed are {rules.limit}"]
    return []


def counts(ledger: Ledger, rows: Sequence[Row], received: Sequence[Received], rules: Rules) -> dict[str, int]:
    """What the table tells besides the books."""
    per_token = Counter(one.token for one in received)
    return {
        "rows": len(rows),
        "received": len(received),
        "sent": sum(row.state == "sent" for row in rows),
        "interrupted": sum(row.error_class == "interrupted" for row in rows),
        "otherwise ended": sum(
            row.state in ENDED and row.state != "sent" and row.error_class != "interrupted" for row in rows
        ),
        "interrupted attempts": sum(row.interrupted for row in rows),
        "received again (resend)": sum(
            count - 1 for token, count in per_token.items() if ledger.tried.get(token) in rules.resend
        ),
    }
