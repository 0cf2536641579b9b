"""The frequency cap: so many messages to one recipient in a day, and no more, whoever sends them."""

from datetime import date
from unittest.mock import patch

from freezegun import freeze_time
from psycopg2.errors import LockNotAvailable

from odoo.exceptions import AccessError, ValidationError
from odoo.sql_db import Cursor
from odoo.tests import new_test_user, tagged
from odoo.tools import mute_logger

from ..models import run
from ..models.road import Job, Place, Row
from .common import NotificationCase
from .test_concurrency import DRAIN, TIMEOUT, ConcurrencyCase

# 21:00 in Jakarta; the day ends at 17:00 UTC.
EVENING = "2026-03-02 14:00:00"
# When those are looked at again that waited for messages under way.
LATER = "2026-03-02 14:02:00"
NEXT_DAY = "2026-03-02 17:30:00"


@tagged("post_install", "-at_install")
class TestFrequencyCap(NotificationCase):
    """Two messages a day, by the clock of Jakarta."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.fonnte = cls._provider("fonnte", sequence=5)
        cls.rule = cls._rule(cls._trigger("capped", trigger_type="manual"))
        cls.company = cls.env.company
        cls.company.partner_id.tz = "Asia/Jakarta"
        cls.company.write({"quiet_hours": False, "whatsapp_daily_cap": 2})
        cls.other = cls._partner("Budi", "081200000002")

    def setUp(self):
        super().setUp()
        patcher = patch.object(run, "LINGER_FOR_CALLERS", 0.0)
        patcher.start()
        self.addCleanup(patcher.stop)

    def _rows(self, count, **vals):
        return self.queue.concat(*(self._row(**vals) for _i in range(count)))

    def _drain_twice(self):
        """Drain in the evening, and again for those who waited for what was under way."""
        with freeze_time(EVENING):
            counts = self.drain()
        with freeze_time(LATER):
            self.drain()
        return counts

    def assertCapped(self, rows):
        for row in rows:
            self.assertEqual((row.state, row.error_class, row.counted_on), ("skipped", "capped", False))

    def test_no_more_than_so_many(self):
        with freeze_time(EVENING):
            rows = self._rows(4)
            self.assertEqual(self.drain()["sent"], 2)
        self.assertEqual(rows[:2].mapped("state"), ["sent", "sent"], "the oldest went first")
        for row in rows[2:]:
            self.assertEqual((row.state, row.error_class, row.retry_count), ("pending", "limited", 0))
        with freeze_time(LATER):
            self.assertEqual(self.drain(), {"sent": 0, "failed": 0, "skipped": 2, "processed": 2})
        self.assertCapped(rows[2:])
        self.assertIn("since 02-03-2026 00:00 (Asia/Jakarta)", rows[3].error_message)
        self.assertIn("had 2 messages", rows[3].error_message)
        self.assertNotIn("812", rows[3].error_message)
        self.assertAttempts(rows[3], [("skipped", False, "capped")])
        self.assertEqual(len(self.gateway.messages()), 2)

    def test_over_all_rules_and_by_hand(self):
        second = self._rule(self.rule.trigger_id)
        with freeze_time(EVENING):
            self._row(rule_id=self.rule.id)
            self.drain()
            self._row(message_type="text", body="Halo", template_key=False)
            self.drain()
            row, other = self._row(rule_id=second.id), self._row(partner_id=self.other.id)
            self.drain()
        self.assertCapped(row)
        self.assertEqual(other.state, "sent", "somebody else is not concerned")

    def test_the_number_counts_and_not_the_contact(self):
        twin = self._partner("Ani at work", "+62 812-0000-0001")
        with freeze_time(EVENING):
            self._rows(2)
            row = self._row(partner_id=twin.id)
        self._drain_twice()
        self.assertCapped(row)

    def test_the_next_day(self):
        with freeze_time(EVENING):
            self._rows(2)
            self.drain()
        with freeze_time(NEXT_DAY):
            rows = self._rows(3)
            self.drain()
        with freeze_time("2026-03-02 17:35:00"):
            self.drain()
        self.assertEqual(rows.mapped("state"), ["sent", "sent", "skipped"])
        self.assertIn("since 03-03-2026", rows[2].error_message)

    def test_urgent_ones_are_neither_capped_nor_counted(self):
        with freeze_time(EVENING):
            urgent = self._rows(3, priority=9)
            self.drain()
            usual = self._rows(2)
            self.drain()
            self.rule.urgent = True
            later = self._row(rule_id=self.rule.id, priority=5)
            self.drain()
        self.assertEqual(set((urgent + usual + later).mapped("state")), {"sent"})
        self.assertFalse(any((urgent + later).mapped("counted_on")))

    def test_companies_count_by_themselves(self):
        other = self.env["res.company"].create({"name": "Elsewhere", "whatsapp_daily_cap": 1})
        with freeze_time(EVENING):
            ours, theirs = self._rows(3), self._rows(2, company_id=other.id)
        self._drain_twice()
        self.assertEqual(ours.mapped("state"), ["sent", "sent", "skipped"])
        self.assertEqual(theirs.mapped("state"), ["sent", "skipped"])

    def test_a_retry_counts_once(self):
        self.company.whatsapp_daily_cap = 1
        self.rule.retry_delay = 1
        self.gateway.fault("fonnte", "http:502", times=1)
        with freeze_time(EVENING):
            row = self._row(rule_id=self.rule.id)
            self.drain()
            self.assertEqual((row.state, row.retry_count), ("pending", 1))
            between = self._row()
            self.drain()
            self.assertEqual(between.state, "pending", "the one that is tried again keeps its place")
        with freeze_time("2026-03-02 14:05:00"):
            self.drain()
            self.assertSent(row, "fonnte")
        with freeze_time("2026-03-02 14:07:00"):
            self.drain()
            self.assertCapped(between)
            self.assertEqual(len(self.gateway.messages()), 1)

    def test_one_under_way_that_fails_takes_nobodys_place(self):
        self.company.whatsapp_daily_cap = 1
        self.gateway.fault("fonnte", "target invalid", times=1)
        with freeze_time(EVENING):
            refused, row = self._row(), self._row()
            self.drain()
            self.assertEqual((refused.state, row.state), ("failed", "pending"))
            self.assertIn("under way", row.error_message)
        with freeze_time(LATER):
            self.drain()
            self.assertSent(row, "fonnte")

    def test_a_retry_on_the_next_day_counts_there(self):
        self.company.whatsapp_daily_cap = 1
        self.gateway.fault("fonnte", "http:502", times=1)
        with freeze_time("2026-03-02 16:58:00"):  # two minutes before the day ends
            row = self._row()
            self.drain()
            self.assertEqual(row.state, "pending")
        with freeze_time(NEXT_DAY):
            self.drain()
            self.assertSent(row, "fonnte")
            late = self._row()
            self.drain()
            self.assertCapped(late)

    def test_what_did_not_leave_gives_its_place_back(self):
        self.company.whatsapp_daily_cap = 1
        self.gateway.fault("fonnte", "target invalid", times=1)
        with freeze_time(EVENING):
            refused = self._row()
            self.drain()
            self.assertEqual((refused.state, refused.counted_on), ("failed", False))
            row = self._row()
            self.drain()
            self.assertEqual(row.state, "sent")
            refused.action_retry()
            self.drain()
            self.assertCapped(refused)

    def test_what_may_have_left_keeps_it(self):
        self.company.whatsapp_daily_cap = 1
        self.gateway.fault("fonnte", "cut_after_read", times=1)
        with freeze_time(EVENING):
            doubtful, row = self._row(), self._row()
        self._drain_twice()
        self.assertEqual(doubtful.error_class, "interrupted")
        self.assertCapped(row)

    def test_what_is_cancelled_gives_it_back(self):
        self.company.whatsapp_daily_cap = 1
        self.gateway.fault("fonnte", "http:502", times=1)
        with freeze_time(EVENING):
            cancelled = self._row()
            self.drain()
            cancelled.action_cancel()
            row = self._row()
            self.drain()
            self.assertEqual(row.state, "sent")

    def test_who_waits_for_a_limit_takes_no_place(self):
        self.company.whatsapp_daily_cap = 1
        self.rule.write({"rate_limit_count": 1, "rate_limit_period": "hour"})
        with freeze_time(EVENING):
            self._row(rule_id=self.rule.id, partner_id=self.other.id)
            waiting = self._row(rule_id=self.rule.id)
            self.drain()
            self.assertEqual((waiting.error_class, waiting.counted_on), ("limited", False))
            row = self._row()
            self.drain()
            self.assertEqual(row.state, "sent")
        with freeze_time("2026-03-02 15:30:00"):
            self.drain()
            self.assertCapped(waiting)

    def test_what_is_left_out_takes_no_allowance(self):
        self.company.whatsapp_daily_cap = 1
        self.fonnte.daily_limit = 2
        with freeze_time(EVENING):
            rows = self._rows(5) + self._row(partner_id=self.other.id)
        self._drain_twice()
        self.assertEqual(rows.mapped("state"), ["sent"] + ["skipped"] * 4 + ["sent"])

    def test_the_next_provider_counts_once(self):
        self._provider("watzap", sequence=9)
        self.gateway.account(fonnte={"connected": False})
        with freeze_time(EVENING):
            rows = self._rows(3)
        self._drain_twice()
        self.assertEqual(rows.mapped("state"), ["sent", "sent", "skipped"])
        self.assertEqual(set(rows[:2].mapped("provider_type")), {"watzap"})

    def test_a_step_that_is_done_again(self):
        """The answer of a commit was lost: the place that it has taken is the message's own."""
        self.company.whatsapp_daily_cap = 1
        original, done = run.Run.step, []

        def step(this, env, ended, onward, rows):
            result = original(this, env, ended, onward, rows)
            if rows and not done:
                done.append(True)
                result = original(this, env, ended, onward, rows)
            return result

        row = self._row()
        with patch.object(run.Run, "step", step):
            self.drain()
        self.assertEqual((done, row.state), ([True], "sent"))

    def test_process_now_does_not_pass_over_it(self):
        with freeze_time(EVENING):
            rows = self._rows(3)
            rows.action_process()
            self.assertEqual(rows[2].state, "pending")
            rows[2].action_process()
            self.assertCapped(rows[2])
            rows[2].action_retry()
            rows[2].action_process()
            self.assertCapped(rows[2])
        with freeze_time(NEXT_DAY):
            rows[2].action_retry()
            self.drain()
            self.assertSent(rows[2], "fonnte")

    def test_who_is_told_once_is_told_later(self):
        """A rule that tells once has not told whom the cap held back."""
        self.rule.repeat_policy = "once"
        permit, triggers = self._permit(), self.env["sicantik.notification.trigger"]
        with freeze_time(EVENING):
            self._rows(2)
            self.drain()
            row = self.queue.browse(triggers.fire("capped", permit)["queue_ids"])
            self.drain()
            self.assertCapped(row)
        with freeze_time(NEXT_DAY):
            self.assertEqual(triggers.fire("capped", permit)["count"], 1)
            self.assertEqual(self.drain()["sent"], 1)

    def test_nothing_is_read_or_written_without_a_cap(self):
        self.company.whatsapp_daily_cap = 0
        statements, execute = [], Cursor.execute

        def noting(cr, query, *args, **kwargs):
            statements.append(str(getattr(query, "code", query)))
            return execute(cr, query, *args, **kwargs)

        def cap_statements():
            return [text for text in statements if "pg_advisory_xact_lock" in text or "asked.phone" in text]

        with freeze_time(EVENING), patch.object(Cursor, "execute", noting):
            rows = self._rows(3)
            self.drain()
            self.assertEqual(rows.mapped("state"), ["sent"] * 3)
            self.assertFalse(any(rows.mapped("counted_on")))
            self.assertTrue(statements)
            self.assertFalse(cap_statements())
            self.company.whatsapp_daily_cap = 50
            self._rows(20)
            self.drain()
            self.assertEqual(len(cap_statements()), 2, "two for all messages of a turn")

    def test_set_in_the_settings(self):
        self.env["res.config.settings"].create({"whatsapp_daily_cap": 7}).execute()
        self.assertEqual(self.company.whatsapp_daily_cap, 7)
        with self.assertRaisesRegex(ValidationError, "0 for any number"):
            self.env["res.config.settings"].create({"whatsapp_daily_cap": -1}).execute()

    def test_who_may_not(self):
        manager = new_test_user(
            self.env, "cap_m", groups="sicantik_notification_automation.group_notification_manager"
        )
        user = new_test_user(
            self.env, "cap_u", groups="sicantik_notification_automation.group_notification_user"
        )
        with self.assertRaises(AccessError):
            self.company.with_user(manager).whatsapp_daily_cap = 0
        with self.assertRaises(AccessError):
            self._row().with_user(user).counted_on = False

    def test_days_begin_at_midnight_of_the_company(self):
        with freeze_time("2026-03-02 16:59:59"):
            first = self._row()
            self.drain()
        with freeze_time("2026-03-02 17:00:00"):
            second = self._row()
            self.drain()
        self.assertEqual((first + second).mapped("counted_on"), [date(2026, 3, 2), date(2026, 3, 3)])


@tagged("post_install", "-at_install")
class TestFrequencyCapAcrossProcesses(ConcurrencyCase):
    def setUp(self):
        super().setUp()
        with self.environment() as env:
            env.company.whatsapp_daily_cap = 3
            self.people = env["res.partner"].create(
                [{"name": f"Capped {n}", "whatsapp_number": f"08120000009{n}"} for n in range(4)]
            )
        self.addCleanup(self._restore)

    def _restore(self):
        with self.environment() as env:
            env.company.whatsapp_daily_cap = 0
            env.cr.execute(
                "DELETE FROM sicantik_notification_log WHERE partner_id = ANY(%s)", [self.people.ids]
            )
            env.cr.execute(
                "DELETE FROM sicantik_notification_queue WHERE partner_id = ANY(%s)", [self.people.ids]
            )
            self.people.with_env(env).unlink()

    def _messages(self, count):
        with self.environment() as env:
            return env["sicantik.notification.queue"].create(
                [
                    {
                        "partner_id": self.people[number % 4].id,
                        "template_key": "concurrency",
                        "context_values": {"number": number},
                    }
                    for number in range(count)
                ]
            )

    def test_two_drains_at_once(self):
        """Four people with thirty messages each: three each leave, whichever process takes them."""
        rows = self._messages(120)
        processes = [self._process(DRAIN), self._process(DRAIN)]
        for process in processes:
            self._go(process)
        for process in processes:
            self.assertTrue(process.stdout.readline(), "the drain came to its end")
        with self.environment() as env:
            rows.with_env(env).filtered(lambda row: row.state == "pending").action_process()
        told = [message["to"] for message in self.gateway.messages()]
        self.assertEqual(sorted(told.count(number) for number in set(told)), [3, 3, 3, 3])
        with self.environment() as env:
            rows = rows.with_env(env)
            for person in self.people.with_env(env):
                states = rows.filtered(lambda row, who=person: row.partner_id == who).mapped("state")
                self.assertEqual((states.count("sent"), states.count("skipped")), (3, 27))

    def test_a_number_is_counted_by_one_at_a_time(self):
        """Whoever counts holds the number until what it takes is committed; other numbers are free."""

        def count(env, phone):
            job = Job(Row(*[None] * len(Row._fields)), place=Place(1, phone, date(2026, 3, 2), 3, "UTC"))
            env.cr.execute("SET LOCAL lock_timeout = '200ms'")
            with env.cr.savepoint(flush=False):
                env["sicantik.notification.cap"]._open([job])

        with self.environment() as one, self.environment() as two:
            count(one, "+6281200000090")
            count(two, "+6281200000091")
            with mute_logger("odoo.sql_db"), self.assertRaises(LockNotAvailable):
                count(two, "+6281200000090")
            one.cr.rollback()
            count(two, "+6281200000090")

    def test_killed_with_a_place(self):
        """What a killed process leaves in doubt keeps its place: it may have arrived."""
        self.gateway.fault("fonnte", "timeout_after_read")
        with self.environment() as env:
            env.company.whatsapp_daily_cap = 1
        row = self._messages(1)
        process = self._process(DRAIN)
        self._go(process)
        self._wait_for(lambda: self.gateway.messages())
        process.kill()
        process.wait(TIMEOUT)
        self.gateway.clear_faults()
        late = self._messages(1)
        with (
            self.environment() as env,
            mute_logger("odoo.addons.sicantik_notification_automation.models.sicantik_notification_worker"),
        ):
            env["sicantik.notification.queue"].cron_process_queue()
        with self.environment() as env:
            self.assertEqual(row.with_env(env).error_class, "interrupted")
            self.assertEqual(late.with_env(env).error_class, "capped")
        self.assertEqual(len(self.gateway.messages()), 1)
