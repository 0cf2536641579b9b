"""What the readers of webhooks share: checking signatures, and taking values out of bodies of any shape."""

import datetime
import hashlib
import hmac
import json
import re

from .base import as_text, storable
from .events import MAX_KEY, Hook, Malformed
from .phone import to_e164

MAX_ID = 200  # characters of an id, a name, a state that are kept
MAX_TEXT = 4096  # characters of a person's text that are kept

_EPOCH = datetime.datetime(1970, 1, 1)
_SECONDS = re.compile(r"\d{9,13}(?:\.\d*)?")
_MILLISECONDS_FROM = 100_000_000_000  # as seconds this would be the year 5138
_PLAIN = re.compile(r"[\w=+/.@-]*", re.ASCII)


def json_object(hook: Hook) -> dict:
    """Return the JSON object in the body.

    :raises Malformed: when the body is something else.
    """
    try:
        body = json.loads(hook.body)
    except (ValueError, RecursionError):
        raise Malformed("the body is not JSON") from None
    if not isinstance(body, dict):
        raise Malformed("the body is not a JSON object")
    return body


def words(value: object, most: int = MAX_ID) -> str:
    """Return a JSON text or number as storable text without blanks around it, at most ``most`` characters."""
    return storable(as_text(value)[:most]).strip()


def moment(value: object) -> datetime.datetime | None:
    """Return Unix seconds or milliseconds, written as a number or a text, as naive UTC; else None."""
    text = as_text(value).strip()
    if not (text.isascii() and _SECONDS.fullmatch(text)):
        return None
    seconds = float(text)
    return _EPOCH + datetime.timedelta(seconds=seconds / 1000 if seconds >= _MILLISECONDS_FROM else seconds)


def e164(value: object) -> str:
    """Return a number that a service gave, with its country code and perhaps without plus, as E.164.

    Empty when it is none. Also takes WhatsApp ids (``6281200000001@c.us``) and Twilio's addresses
    (``whatsapp:+6281200000001``).
    """
    digits = re.fullmatch(
        r"(?:whatsapp:)?\+?(\d{7,15})(?:(?::\d+)?@(?:c\.us|s\.whatsapp\.net))?", words(value)
    )
    return (digits and to_e164(f"+{digits[1]}")) or ""


def event_key(kind: str, *parts: str, personal: bool = False) -> str:
    """Return the key of an event: ``kind`` and the ``parts`` that tell it from others of its kind.

    Hashed when it would be long or not plain, and when ``parts`` hold something ``personal``.
    """
    key = ":".join((kind, *parts))
    if not personal and len(key) <= MAX_KEY and all(_PLAIN.fullmatch(part) for part in parts):
        return key
    return f"{kind}#{hashlib.sha256(json.dumps(parts).encode()).hexdigest()}"


def is_hex_signature(given: str, secrets: tuple[str, ...], body: bytes, digest: str) -> bool:
    """Say whether ``given`` is the hex HMAC of ``body`` with one of ``secrets``, in constant time."""
    found = False
    for secret in secrets:
        found |= same(given.lower(), hmac.new(secret.encode(), body, digest).hexdigest())
    return found


def same(given: str, expected: str) -> bool:
    """Compare two texts in constant time."""
    return hmac.compare_digest(given.encode("utf-8", "replace"), expected.encode("utf-8", "replace"))
