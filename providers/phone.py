"""The one door for phone numbers: every spelling goes in, E.164 or nothing comes out.

``081234567890``, ``81234567890``, ``6281234567890`` and ``+62 812-3456-7890`` are one number (contract.md 1).
"""

import re
from functools import lru_cache

import phonenumbers

HOME_REGION = "ID"
HOME_PREFIX = "62"

_MAX_LENGTH = 64  # characters; longer is no number, and the cache should not keep it
_WHATSAPP_ID = re.compile(r"\+?(\d+)(?::\d+)?@(?:c\.us|s\.whatsapp\.net)")


def to_e164(raw: object, region: str = HOME_REGION) -> str | None:
    """Return ``raw`` as E.164 with its plus (``+6281234567890``), or None when it is no valid number.

    :param raw: a number in any spelling, or a WhatsApp id (``6281234567890@c.us``); anything false is None.
    :param region: ISO code of the country of a number without country code. A number that makes no sense
        there but begins with 62 is read as an Indonesian one; other country codes need a plus or ``00``,
        since guessing them could send somebody's message to a stranger.
    """
    if not raw:
        return None
    text = str(raw).strip()
    if len(text) > _MAX_LENGTH:
        return None
    return _to_e164(text, (region or HOME_REGION).upper())


def digits(e164: str) -> str:
    """Return an E.164 number without its plus, as the services want it."""
    return e164.lstrip("+")


def mask(e164: str) -> str:
    """Return a number for a log line: ``+62812****01``."""
    return f"{e164[:6]}****{e164[-2:]}" if len(e164) > 8 else "****"


@lru_cache(maxsize=16384)
def _to_e164(text: str, region: str) -> str | None:
    if whatsapp_id := _WHATSAPP_ID.fullmatch(text):
        return _parsed("+" + whatsapp_id[1], region)
    if any(character.isalpha() for character in text):
        return None  # phonenumbers would read letters as the keys of a dial
    if text.startswith("00"):
        # Indonesia dials abroad by 001, 007 …, so phonenumbers would not read 00 there.
        text = "+" + text[2:]
    number = _parsed(text, region)
    if number is None and text.startswith(HOME_PREFIX):
        number = _parsed("+" + text, region)
    return number


def _parsed(text: str, region: str) -> str | None:
    try:
        number = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        return None
    if number.extension or not (
        phonenumbers.is_possible_number(number) and phonenumbers.is_valid_number(number)
    ):
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
