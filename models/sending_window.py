"""When messages may leave: hours and weekdays, by the wall clock of a time zone. Plain Python, no ORM.

Moments are naive datetimes in UTC, as Odoo keeps them.
"""

from datetime import datetime, timedelta
from typing import NamedTuple

from .company_time import local_time

DAY = 24 * 60  # in minutes
WEEK = timedelta(days=7)
MONDAY = datetime(1970, 1, 5)
# Each step ends at an opening or where the clock is changed; two of the latter within a week are rare enough.
STEPS = 20


class Window(NamedTuple):
    """Hours in which messages may leave, on some days of the week.

    `start` and `end` are minutes after midnight (`end` up to 1440). An `end` that is not after the `start`
    lies on the next day. `days` are the weekdays on which it opens, 0 for Monday: 20:00 to 06:00 on Friday
    ends on Saturday morning.
    """

    start: int
    end: int
    days: tuple

    @classmethod
    def of(cls, start, end, days):
        """Make one of hours, as fields of type Float hold them (20.5 is 20:30)."""
        return cls(round(start * 60), round(end * 60), tuple(sorted(days)))

    @property
    def length(self):
        """How long it is open, as a timedelta."""
        return timedelta(minutes=(self.end - self.start) % DAY or DAY)

    @property
    def is_in_a_day(self):
        """Whether its hours are hours of a day."""
        return 0 <= self.start < DAY and 0 <= self.end <= DAY

    @property
    def never_opens(self):
        """Whether it opens on no day, or closes when it opens."""
        return not self.days or self.start == self.end

    def since_opening(self, local):
        """Give, for each of its days, how long ago it opened last, by the clock on the wall.

        :param datetime local: the wall clock
        :rtype: list[timedelta]
        """
        return [(local - MONDAY - timedelta(days=day, minutes=self.start)) % WEEK for day in self.days]

    def is_open(self, local):
        """Whether messages may leave when the wall clock shows this."""
        return any(since < self.length for since in self.since_opening(local))

    def until_opening(self, local):
        """How long a wall clock that is not changed takes from here to the next opening."""
        return min(WEEK - since for since in self.since_opening(local))


def next_allowed(moment, window, zone):
    """Give the first moment, from this one on, at which messages may leave.

    What the wall clock shows decides, also on days when it is changed: an hour that comes twice is open or
    closed twice, and a window that lies in an hour left out does not open on that day.

    :param datetime moment: in UTC
    :param Window window: the hours and days
    :param tzinfo zone: whose wall clock counts
    :return: `moment` itself when the window is open, else a later one in UTC
    :rtype: datetime
    :raise ValueError: the window never opens
    """
    if window.never_opens:
        raise ValueError("The window never opens.")
    at = moment
    for _step in range(STEPS):
        local = local_time(at, zone)
        if window.is_open(local):
            return at
        later = at + window.until_opening(local)
        at = later if _shift(later, zone) == _shift(at, zone) else _change(at, later, zone)
    raise ValueError("The window never opens.")


def _shift(moment, zone):
    """Give by how much the wall clock differs from UTC."""
    return local_time(moment, zone) - moment


def _change(before, after, zone):
    """Give the second at which the wall clock is changed between two moments."""
    shift = _shift(before, zone)
    before = before.replace(microsecond=0)
    while after - before > timedelta(seconds=1):
        middle = before + timedelta(seconds=(after - before) // timedelta(seconds=2))
        if _shift(middle, zone) == shift:
            before = middle
        else:
            after = middle
    return after
