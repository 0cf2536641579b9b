"""What a wall clock shows where the company is, and when it shows it again. Plain Python.

Moments are UTC without a time zone, as the database has them; “local” times are what the wall clock shows.
"""

from datetime import timedelta, timezone

import pytz
from dateutil.relativedelta import relativedelta

DEFAULT_ZONE = "Asia/Jakarta"  # where the offices are for which this addon was made
ELAPSED = ("minutes", "hours")  # these go on through a change of the clocks; days keep their hour


def find_zone(*names):
    """Give the first of some time zones that there is, that of Jakarta when there is none of them.

    :param names: names such as Asia/Jakarta, or empty
    :rtype: tzinfo
    """
    for name in names:
        try:
            if name:
                return pytz.timezone(name)
        except pytz.UnknownTimeZoneError:
            continue
    return pytz.timezone(DEFAULT_ZONE)


def local_time(moment, zone):
    """Give what the wall clock of a time zone shows at a moment.

    :param datetime moment: in UTC
    :rtype: datetime
    """
    return moment.replace(tzinfo=timezone.utc).astimezone(zone).replace(tzinfo=None)


def to_local(moment, zone):
    """Give what the wall clock of a time zone (its name) shows at a moment."""
    return local_time(moment, find_zone(zone))


def to_utc(local, zone):
    """Give the moment at which the wall clock shows a time.

    A time that is shown twice is taken the second time; one that is left out, as much after the gap as it
    lies in it.
    """
    return find_zone(zone).localize(local, is_dst=False).astimezone(timezone.utc).replace(tzinfo=None)


def day_start(moment, zone):
    """Give the moment at which the local day of a moment began."""
    return to_utc(to_local(moment, zone).replace(hour=0, minute=0, second=0, microsecond=0), zone)


def coming(minutes, zone, now):
    """Give the next moment, later than `now`, when the wall clock shows so many minutes after midnight."""
    local = to_local(now, zone)
    today = local.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(minutes=minutes)
    return to_utc(today if today > local else today + timedelta(days=1), zone)


def slot_after(first, number, unit, zone, moment):
    """Give the first slot later than a moment, of those that come every so many units.

    All slots are counted from the first one, so that neither a change of the clocks nor a short month shifts
    those after it.

    :param datetime first: the first slot
    :param int number: how many units there are from one to the next, at least 1
    :param str unit: `minutes`, `hours`, `days`, `weeks` or `months`
    :param str zone: name of the time zone in which days begin
    :param datetime moment: usually now
    :rtype: datetime
    """
    if number < 1:
        raise ValueError(number)
    if first > moment:
        return first
    if unit in ELAPSED:
        step = timedelta(**{unit: number})
        return first + ((moment - first) // step + 1) * step
    start, local = to_local(first, zone), to_local(moment, zone)
    if unit == "months":
        passed = (local.year - start.year) * 12 + local.month - start.month
    else:
        passed = (local - start).days // (7 if unit == "weeks" else 1)
    turn = max(0, passed // number - 1)
    while True:
        slot = to_utc(start + relativedelta(**{unit: number * turn}), zone)
        if slot > moment:
            return slot
        turn += 1
