"""Offsets as people write them, and the wall clock of the company."""

from datetime import datetime, timedelta

from odoo.tests import BaseCase, tagged

from ..models import offsets
from ..models.company_time import coming, day_start, slot_after, to_local, to_utc

JAKARTA, PARIS = "Asia/Jakarta", "Europe/Paris"
DAY = 24 * 60


@tagged("post_install", "-at_install")
class TestOffsets(BaseCase):
    def test_as_people_write_them(self):
        for text, minutes in (
            ("-90d,-60d,-30d,-7d", (-90 * DAY, -60 * DAY, -30 * DAY, -7 * DAY)),
            ("-1h", (-60,)),
            ("+2w", (14 * DAY,)),
            ("30m", (30,)),
            (" - 7 D ,\t-1H ", (-7 * DAY, -60)),
            ("0d", (0,)),
            ("-1d,-24h", (-DAY,)),
        ):
            with self.subTest(text):
                self.assertEqual(offsets.parse(text), minutes)

    def test_what_is_no_offset(self):
        for text, wrong in (
            ("", ""),
            (None, ""),
            (False, ""),
            ("-7d,", ""),
            ("-7", "-7"),
            ("7 days", "7 days"),
            ("-7d;-1d", "-7d;-1d"),
            ("-7d,x", "x"),
            ("--7d", "--7d"),
            ("1.5h", "1.5h"),
            ("٣d", "٣d"),
            ("9999999w", "9999999w"),
            ("-11y", "-11y"),
        ):
            with self.subTest(text), self.assertRaises(ValueError) as caught:
                offsets.parse(text)
            self.assertEqual(caught.exception.args, (wrong,))


@tagged("post_install", "-at_install")
class TestCompanyTime(BaseCase):
    def test_there_and_back(self):
        for moment in (datetime(2026, 1, 1, 12), datetime(2026, 7, 1, 23, 30), datetime(2026, 3, 29, 0, 59)):
            for zone in (JAKARTA, PARIS, "America/New_York", "UTC"):
                self.assertEqual(to_utc(to_local(moment, zone), zone), moment)

    def test_times_that_are_not_there_or_there_twice(self):
        self.assertEqual(to_utc(datetime(2026, 3, 29, 2, 30), PARIS), datetime(2026, 3, 29, 1, 30))
        self.assertEqual(to_utc(datetime(2026, 10, 25, 2, 30), PARIS), datetime(2026, 10, 25, 1, 30))

    def test_day_start(self):
        self.assertEqual(day_start(datetime(2026, 7, 1, 18), JAKARTA), datetime(2026, 7, 1, 17))
        self.assertEqual(day_start(datetime(2026, 7, 1, 21), PARIS), datetime(2026, 6, 30, 22))

    def test_coming(self):
        self.assertEqual(coming(9 * 60, JAKARTA, datetime(2026, 7, 1, 1, 59)), datetime(2026, 7, 1, 2))
        self.assertEqual(coming(9 * 60, JAKARTA, datetime(2026, 7, 1, 2)), datetime(2026, 7, 2, 2))

    def test_days_keep_their_hour(self):
        """09:00 in Paris, before, on and after the days on which the clocks change."""
        first = to_utc(datetime(2026, 1, 1, 9), PARIS)
        moment, seen = datetime(2026, 3, 27), []
        for _day in range(5):
            moment = slot_after(first, 1, "days", PARIS, moment)
            seen.append((to_local(moment, PARIS).hour, moment.hour))
        self.assertEqual(seen, [(9, 8), (9, 8), (9, 7), (9, 7), (9, 7)])
        slot = slot_after(first, 1, "days", PARIS, datetime(2026, 11, 20))
        self.assertEqual(slot, datetime(2026, 11, 20, 8))

    def test_an_hour_that_is_left_out_comes_back_the_next_day(self):
        first = to_utc(datetime(2026, 3, 1, 2, 30), PARIS)
        days = [slot_after(first, 1, "days", PARIS, datetime(2026, 3, day, 4)) for day in (27, 28, 29)]
        self.assertEqual([to_local(day, PARIS).hour for day in days], [2, 3, 2])

    def test_hours_go_on(self):
        first = datetime(2026, 3, 28, 20)
        slot, slots = first, [first]
        for _hour in range(10):
            slot = slot_after(first, 1, "hours", PARIS, slot)
            slots.append(slot)
        self.assertEqual({b - a for a, b in zip(slots, slots[1:], strict=False)}, {timedelta(hours=1)})

    def test_short_months_shift_nothing(self):
        first = to_utc(datetime(2026, 1, 31, 9), JAKARTA)
        slot, days = first, []
        for _month in range(4):
            slot = slot_after(first, 1, "months", JAKARTA, slot)
            days.append((slot.month, slot.day))
        self.assertEqual(days, [(2, 28), (3, 31), (4, 30), (5, 31)])

    def test_the_next_one_only(self):
        """However long ago the last one was, the next slot is in the future and in the series."""
        first = datetime(2020, 1, 1, 2)
        for number, unit in (
            (1, "minutes"),
            (7, "hours"),
            (1, "days"),
            (3, "days"),
            (2, "weeks"),
            (5, "months"),
        ):
            for moment in (datetime(2026, 7, 1, 1, 59), datetime(2026, 7, 1, 2), datetime(2019, 1, 1)):
                with self.subTest(number=number, unit=unit, moment=moment):
                    slot = slot_after(first, number, unit, JAKARTA, moment)
                    self.assertGreater(slot, moment)
                    if moment < first:
                        self.assertEqual(slot, first)
                        continue
                    step = {"months": 31 * number}.get(unit)
                    step = timedelta(days=step) if step else timedelta(**{unit: number})
                    self.assertLessEqual(slot - moment, step)

    def test_no_interval(self):
        with self.assertRaises(ValueError):
            slot_after(datetime(2026, 1, 1), 0, "days", JAKARTA, datetime(2026, 1, 2))
