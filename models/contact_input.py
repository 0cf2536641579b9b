"""Contacts as people and other systems write them down, in whatever shape, as plain values.

The shapes (seed 4: “Handle berbagai format contact_ids”):

* a JSON list of ids, of numbers, or of objects with `phone` or `phone_number` (else `id`); also one object;
* numbers or ids separated by commas, semicolons or line breaks, with or without brackets and quotes.

One rule for all of them says what a bare value is: **up to eight digits without a leading zero or plus are
the id of a contact, everything else is a phone number**. No number that WhatsApp reaches is that short when
its area or country code is there.
"""

import json
import re
from dataclasses import dataclass

# More than anybody types, and no more than one statement queues well: at 60 s each it is a week.
MAX_CONTACTS = 10_000
# Characters of an entry that are shown again.
SHOWN = 60

MALFORMED = "malformed"
NOT_A_CONTACT = "not_a_contact"
NO_PHONE = "no_phone"

_ID = re.compile(r"[1-9][0-9]{0,7}")
_SEPARATORS = re.compile(r"[,;\t\r\n]+")
_BRACKETS = {"[": "]", "{": "}"}
_PHONE_KEYS = ("phone", "phone_number")


@dataclass(frozen=True, slots=True)
class Entry:
    """One contact as it was written: a partner's id, a number that is still to be read, or a fault.

    :param str text: what was written, shortened, to show it to a person
    :param int partner_id: id of a contact
    :param str number: a phone number in any spelling, perhaps none at all
    :param str fault: `MALFORMED` (the whole text is no list), `NOT_A_CONTACT` or `NO_PHONE`
    """

    text: str
    partner_id: int | None = None
    number: str | None = None
    fault: str | None = None


def parse(text):
    """Read a list of contacts.

    :param str text: what somebody entered; anything false is an empty list
    :return: the contacts in their order, the faulty ones too; one entry with the fault `MALFORMED` when the
        text looks like JSON and is not
    :rtype: list[Entry]
    """
    text = (text or "").strip().lstrip("\ufeff").strip()
    if not text:
        return []
    if text[0] not in _BRACKETS:
        return _separated(text)
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        inside = text[1:-1]
        if text[-1] == _BRACKETS[text[0]] and not re.search(r"[\[\]{}:]", inside):
            return _separated(inside)  # [0812…, 0813…] and {0812…} are no JSON, and yet clear
        return [Entry(_shown(text), fault=MALFORMED)]
    return [_from_json(value) for value in (values if isinstance(values, list) else [values])]


def _separated(text):
    parts = (part.strip().strip("\"'").strip() for part in _SEPARATORS.split(text))
    return [_bare(part) for part in parts if part]


def _bare(text):
    if _ID.fullmatch(text):
        return Entry(_shown(text), partner_id=int(text))
    return Entry(_shown(text), number=text)


def _from_json(value):
    if isinstance(value, dict):
        return _from_object(value)
    text = _plain(value)
    if text:
        return _bare(text)
    return Entry(_shown(value), fault=NOT_A_CONTACT)


def _from_object(value):
    for key in _PHONE_KEYS:
        number = _plain(value.get(key))
        if number:
            return Entry(_shown(number), number=number)
    id_ = _plain(value.get("id"))
    if id_ and _ID.fullmatch(id_):
        return Entry(_shown(id_), partner_id=int(id_))
    return Entry(_shown(value), fault=NO_PHONE)


def _plain(value):
    """Give a text, or a number as spreadsheets and languages without integers write it; None for the rest."""
    if isinstance(value, str):
        return value.strip() or None
    if isinstance(value, bool):
        return None
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e18:
        return str(int(value))
    if isinstance(value, int) and abs(value) < 10**18:
        return str(value)
    return None


def _shown(value):
    """Give something as a short line that the database and a form can hold."""
    if not isinstance(value, str):
        try:
            value = json.dumps(value, ensure_ascii=False)
        except (ValueError, RecursionError):
            value = "…"
    line = " ".join(value[: SHOWN * 4].replace("\x00", "").encode(errors="replace").decode().split())
    return line if len(line) <= SHOWN else line[: SHOWN - 1] + "…"
