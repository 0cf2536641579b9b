"""When messages may leave, by the wall clock: compared minute by minute with what the clock shows."""

import random
from datetime import datetime, timedelta

from odoo.tests import tagged
from odoo.tests.common import BaseCase

from ..models.company_time import find_zone, local_time
from ..models.sending_window import Window, next_allowed

EVERY_DAY = tuple(range(7))
OFFICE = Window.of(8, 20, EVERY_DAY)
NIGHT = Window.of(20, 6, EVERY_DAY)
ZONES = ("Asia/Jakarta", "Europe/Paris", "America/St_Johns", "Australia/Lord_Howe", "America/Santiago")
# Days around which clocks are changed in those zones, and a plain one.
DAYS = (
    *(datetime(2026, 3, 8), datetime(2026, 3, 29), datetime(2026, 4, 5), datetime(2026, 6, 1)),
    *(datetime(2026, 9, 6), datetime(2026, 10, 4), datetime(2026, 10, 25), datetime(2026, 11, 1)),
)


@tagged("post_install", "-at_install")
class TestSendingWindow(BaseCase):
    def assertNext(self, window, zone, local, expected):
        """Assert when a message may leave; all times as the wall clock of the zone shows them."""
        zone = find_zone(zone)
        moment = zone.localize(datetime.fromisoformat(local))
        moment = moment.replace(tzinfo=None) - moment.utcoffset()
        found = next_allowed(moment, window, zone)
        self.assertEqual(local_time(found, zone), datetime.fromisoformat(expected))
        return found

    def test_open(self):
        for local in ("2026-03-02 08:00", "2026-03-02 12:34:56.789", "2026-03-02 19:59:59.999999"):
            self.assertNext(OFFICE, "Asia/Jakarta", local, local)

    def test_closed(self):
        self.assertNext(OFFICE, "Asia/Jakarta", "2026-03-02 07:59:59.5", "2026-03-02 08:00")
        self.assertNext(OFFICE, "Asia/Jakarta", "2026-03-02 20:00", "2026-03-03 08:00")

    def test_across_midnight(self):
        for local in ("2026-03-02 20:00", "2026-03-02 23:59", "2026-03-03 00:00", "2026-03-03 05:59"):
            self.assertNext(NIGHT, "Asia/Jakarta", local, local)
        self.assertNext(NIGHT, "Asia/Jakarta", "2026-03-03 06:00", "2026-03-03 20:00")
        to_midnight = Window.of(20, 0, EVERY_DAY)
        self.assertNext(to_midnight, "Asia/Jakarta", "2026-03-02 23:59", "2026-03-02 23:59")
        self.assertNext(to_midnight, "Asia/Jakarta", "2026-03-03 00:00", "2026-03-03 20:00")

    def test_weekdays(self):
        weekdays = Window.of(8, 20, range(5))
        self.assertNext(weekdays, "Asia/Jakarta", "2026-03-06 21:00", "2026-03-09 08:00")  # a Friday
        self.assertNext(weekdays, "Asia/Jakarta", "2026-03-08 12:00", "2026-03-09 08:00")
        sunday = Window.of(8, 20, [6])
        self.assertNext(sunday, "Asia/Jakarta", "2026-03-08 20:00", "2026-03-15 08:00")

    def test_a_night_belongs_to_the_day_on_which_it_begins(self):
        friday = Window.of(20, 6, [4])
        self.assertNext(friday, "Asia/Jakarta", "2026-03-07 05:00", "2026-03-07 05:00")
        self.assertNext(friday, "Asia/Jakarta", "2026-03-06 05:00", "2026-03-06 20:00")
        sunday = Window.of(20, 6, [6])
        self.assertNext(sunday, "Asia/Jakarta", "2026-03-09 05:00", "2026-03-09 05:00")  # a Monday

    def test_whole_days(self):
        weekend = Window.of(0, 24, [5, 6])
        self.assertNext(weekend, "Asia/Jakarta", "2026-03-08 00:00", "2026-03-08 00:00")
        self.assertNext(weekend, "Asia/Jakarta", "2026-03-09 00:00", "2026-03-14 00:00")

    def test_clock_put_forward(self):
        """Europe/Paris, 29 March 2026: 02:00 becomes 03:00."""
        found = self.assertNext(OFFICE, "Europe/Paris", "2026-03-28 21:00", "2026-03-29 08:00")
        self.assertEqual(found, datetime(2026, 3, 29, 6, 0), "ten hours later and not eleven")
        in_the_gap = Window.of(2.5, 6, EVERY_DAY)
        self.assertNext(in_the_gap, "Europe/Paris", "2026-03-29 01:00", "2026-03-29 03:00")
        all_in_the_gap = Window.of(2.25, 2.75, EVERY_DAY)
        self.assertNext(all_in_the_gap, "Europe/Paris", "2026-03-29 01:00", "2026-03-30 02:15")

    def test_clock_put_back(self):
        """Europe/Paris, 25 October 2026: 03:00 becomes 02:00, and the hour comes twice."""
        found = self.assertNext(OFFICE, "Europe/Paris", "2026-10-24 21:00", "2026-10-25 08:00")
        self.assertEqual(found, datetime(2026, 10, 25, 7, 0))
        paris, twice = find_zone("Europe/Paris"), Window.of(2.25, 2.5, EVERY_DAY)
        for minute in (15, 29):  # first time, second time
            for hour in (0, 1):
                moment = datetime(2026, 10, 25, hour, minute)
                self.assertEqual(next_allowed(moment, twice, paris), moment)
        self.assertEqual(
            next_allowed(datetime(2026, 10, 25, 0, 30), twice, paris), datetime(2026, 10, 25, 1, 15)
        )

    def test_the_first_moment_at_which_the_clock_shows_such_an_hour(self):
        """For many windows, zones and moments: it is open then, and at no minute before."""
        rng = random.Random(20261121)
        for _number in range(250):
            window = Window(
                rng.randrange(0, 1440, 15),
                rng.randrange(0, 1441, 15),
                tuple(sorted(rng.sample(EVERY_DAY, rng.randint(3, 7)))),
            )
            if window.never_opens:
                continue
            zone = find_zone(rng.choice(ZONES))
            moment = rng.choice(DAYS) + timedelta(minutes=rng.randrange(-2880, 2880))
            found = next_allowed(moment, window, zone)
            with self.subTest(window=window, zone=zone, moment=moment):
                self.assertGreaterEqual(found, moment)
                self.assertTrue(self.shows(window, found, zone))
                self.assertEqual(next_allowed(found, window, zone), found)
                while moment < found:
                    self.assertFalse(self.shows(window, moment, zone))
                    moment += timedelta(minutes=5)

    def shows(self, window, moment, zone):
        """Whether the window is open, said in another way than the code says it."""
        local = local_time(moment, zone)
        minute, day = local.hour * 60 + local.minute, local.weekday()
        if window.start < window.end:
            return day in window.days and window.start <= minute < window.end
        return (day in window.days and minute >= window.start) or (
            (day - 1) % 7 in window.days and minute < window.end
        )

    def test_never_open(self):
        for window in (Window.of(8, 20, []), Window.of(8, 8, EVERY_DAY), Window.of(0, 0, EVERY_DAY)):
            self.assertTrue(window.never_opens)
            with self.assertRaises(ValueError):
                next_allowed(datetime(2026, 3, 2), window, find_zone("UTC"))

    def test_zones_that_there_are_not(self):
        self.assertEqual(find_zone(None, "", "Mars/Olympus", "Asia/Jayapura").zone, "Asia/Jayapura")
        self.assertEqual(find_zone(False, "Mars/Olympus").zone, "Asia/Jakarta")
