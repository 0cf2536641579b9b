"""Times before and after a date, as people write them: `-90d, -7d` or `-1h`. Plain Python."""

import re

# Minutes of each unit.
UNITS = {"m": 1, "h": 60, "d": 24 * 60, "w": 7 * 24 * 60}
DAY = UNITS["d"]
# Ten years: further away is a slip of the finger, and soon no date any more.
LONGEST = 3653 * DAY
MOST = 50
_OFFSET = re.compile(r"([+-]?)\s*([0-9]{1,7})\s*([mhdw])", re.IGNORECASE)


def parse(text):
    """Read a list of offsets separated by commas.

    :param str text: such as `-90d, -60d`; `+2w`, `30m` and `0d` are offsets too, spaces do not matter
    :return: minutes, negative before the date; each once, in the order in which they were written
    :rtype: tuple[int]
    :raise ValueError: its argument is the part that is no offset, empty when there is none at all
    """
    parts = [part.strip() for part in (text or "").split(",")]
    minutes = [_minutes(part) for part in parts]
    if len(minutes) > MOST:
        raise ValueError(parts[MOST])
    return tuple(dict.fromkeys(minutes))


def _minutes(part):
    found = _OFFSET.fullmatch(part)
    if not found:
        raise ValueError(part)
    sign, number, unit = found.groups()
    minutes = int(number) * UNITS[unit.lower()]
    if minutes > LONGEST:
        raise ValueError(part)
    return -minutes if sign == "-" else minutes
