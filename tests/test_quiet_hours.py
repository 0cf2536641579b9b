"""Quiet hours: what comes due in them leaves when they end."""

from datetime import datetime, timedelta
from unittest.mock import patch

from freezegun import freeze_time

from odoo import fields
from odoo.exceptions import AccessError, ValidationError
from odoo.tests import Form, new_test_user, tagged

from ..models import run
from ..models.sicantik_notification_evaluation import Event, Failure
from ..models.sicantik_notification_sending_hours import DAYS
from .common import NotificationCase

# Monday. Jakarta is seven hours ahead of UTC: 22:00, and the window opens at 01:00 UTC.
NIGHT = "2026-03-02 15:00:00"
OPENING = datetime(2026, 3, 3, 1, 0)
NOON = "2026-03-02 05:00:00"


class QuietCase(NotificationCase):
    """The company, in Jakarta, sends from 08:00 to 20:00."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.fonnte = cls._provider("fonnte")
        cls.trigger = cls._trigger("quiet", trigger_type="manual")
        cls.rule = cls._rule(cls.trigger, schedule_type="immediate")
        cls.company = cls.env.company
        cls.company.partner_id.tz = "Asia/Jakarta"
        cls.company.write(
            {
                "quiet_hours": True,
                "sending_from": 8.0,
                "sending_to": 20.0,
                **dict.fromkeys(DAYS, True),
                "whatsapp_daily_cap": 0,
            }
        )

    def setUp(self):
        super().setUp()
        patcher = patch.object(run, "LINGER_FOR_CALLERS", 0.0)
        patcher.start()
        self.addCleanup(patcher.stop)

    @classmethod
    def _partner(cls, name, number=False, **vals):
        # A contact's time zone is that of who made it, unless it is said.
        return super()._partner(name, number, **{"tz": False, **vals})

    def fire(self, records, **kwargs):
        result = self.env["sicantik.notification.trigger"].fire("quiet", records, **kwargs)
        return self.queue.browse(result["queue_ids"]).sorted("id")

    def assertQuiet(self, rows, until=OPENING):
        for row in rows:
            self.assertEqual(
                (row.state, row.error_class, row.scheduled_date), ("pending", "quiet_hours", until)
            )
            self.assertIn("Quiet hours", row.error_message)
            self.assertFalse(row.worker)


class TestQuietQueueing(QuietCase):
    """A rule queues a message: it is planned for when it may leave."""

    def test_at_night(self):
        with freeze_time(NIGHT):
            row = self.fire(self._permit())
            self.assertQuiet(row)
            self.assertIn("between 08:00 and 20:00 (Asia/Jakarta)", row.error_message)
            self.assertFalse(self.drain()["processed"])
        with freeze_time(OPENING):
            self.assertEqual(self.drain()["sent"], 1)
            self.assertSent(row, "fonnte")
            self.assertFalse(row.error_class)

    def test_by_day(self):
        with freeze_time(NOON):
            row = self.fire(self._permit())
            self.assertEqual((row.scheduled_date, row.error_class), (fields.Datetime.now(), False))
            self.assertEqual(self.drain()["sent"], 1)

    def test_by_the_clock_of_the_recipient(self):
        """At night in Jakarta it is 17:00 in Paris, and past midnight in Jayapura."""
        paris = self._partner("Paris", "081200000011", tz="Europe/Paris")
        jayapura = self._partner("Jayapura", "081200000012", tz="Asia/Jayapura")
        with freeze_time(NIGHT):
            in_paris = self.fire(self._permit(partner_id=paris.id))
            in_jayapura = self.fire(self._permit(partner_id=jayapura.id))
        self.assertFalse(in_paris.error_class)
        self.assertQuiet(in_jayapura, datetime(2026, 3, 2, 23, 0))
        self.assertIn("Asia/Jayapura", in_jayapura.error_message)

    def test_across_midnight(self):
        self.company.write({"sending_from": 20.0, "sending_to": 6.0})
        with freeze_time(NIGHT):
            self.assertFalse(self.fire(self._permit()).error_class)
        with freeze_time(NOON):
            self.assertQuiet(self.fire(self._permit()), datetime(2026, 3, 2, 13, 0))

    def test_weekdays(self):
        self.company.write({"sending_saturday": False, "sending_sunday": False})
        with freeze_time("2026-03-06 15:00:00"):  # a Friday
            self.assertQuiet(self.fire(self._permit()), datetime(2026, 3, 9, 1, 0))

    def test_a_clock_put_forward_in_the_night(self):
        self.partner.tz = "Europe/Paris"
        with freeze_time("2026-03-28 21:00:00"):
            self.assertQuiet(self.fire(self._permit()), datetime(2026, 3, 29, 6, 0))
        with freeze_time("2026-10-24 21:00:00"):
            self.assertQuiet(self.fire(self._permit()), datetime(2026, 10, 25, 7, 0))

    def test_urgent(self):
        self.rule.urgent = True
        with freeze_time(NIGHT):
            self.assertFalse(self.fire(self._permit()).error_class)
            self.assertEqual(self.drain()["sent"], 1)

    def test_a_rule_without(self):
        self.rule.quiet_hours = "none"
        with freeze_time(NIGHT):
            self.fire(self._permit())
            self.assertEqual(self.drain()["sent"], 1)

    def test_a_rule_with_its_own(self):
        self.rule.write({"quiet_hours": "own", "sending_from": 21.0, "sending_to": 23.0})
        with freeze_time(NIGHT):
            self.fire(self._permit())
            self.assertEqual(self.drain()["sent"], 1)
        with freeze_time(NOON):
            self.assertQuiet(self.fire(self._permit()), datetime(2026, 3, 2, 14, 0))
        self.company.quiet_hours = False
        with freeze_time(NOON):
            self.assertQuiet(self.fire(self._permit()), datetime(2026, 3, 2, 14, 0))

    def test_a_company_without(self):
        self.company.quiet_hours = False
        with freeze_time(NIGHT):
            self.fire(self._permit())
            self.assertEqual(self.drain()["sent"], 1)

    def test_the_company_of_the_record(self):
        other = self.env["res.company"].create({"name": "Elsewhere"})
        with freeze_time(NIGHT):
            self.assertFalse(self.fire(self._permit(company_id=other.id)).error_class)
            self.assertQuiet(self.fire(self._permit(company_id=self.company.id)))

    def test_a_delay_that_ends_at_night(self):
        self.rule.write({"schedule_type": "scheduled", "scheduled_delay": 10 * 60})
        with freeze_time(NOON):
            self.assertQuiet(self.fire(self._permit()))

    def test_batches_are_made_first(self):
        """Two by day, the others at night: positions are counted over all of them."""
        self.rule.write({"schedule_type": "batch", "batch_size": 2, "batch_interval": 5})
        permits = self.env["sicantik.permit"].union(
            *(self._permit(partner_id=self._partner(f"P{n}", f"0812000000{n}").id) for n in range(20, 25))
        )
        with freeze_time("2026-03-02 12:57:00"):  # 19:57
            rows = self.fire(permits)
        self.assertEqual([bool(row.error_class) for row in rows], [False, False, True, True, True])
        self.assertQuiet(rows[2:])

    def test_a_campaign(self):
        permit = self._permit()
        campaign = self.env["sicantik.notification.campaign"].create(
            {"name": "C", "rule_id": self.rule.id, "target_domain": f"[('id', '=', {permit.id})]"}
        )
        with freeze_time(NIGHT):
            campaign.action_start()
            self.assertQuiet(campaign.queue_ids)

    def test_what_is_left_out_is_left_out_at_once(self):
        with freeze_time(NIGHT):
            row = self.fire(self._permit(partner_id=self._partner("Nobody").id))
        self.assertEqual((row.state, row.error_class), ("skipped", "no_number"))

    def test_no_query_where_nothing_is_set(self):
        """Nor one more for the clocks of many recipients where something is."""
        permits = self.env["sicantik.permit"].union(
            *(self._permit(partner_id=self._partner(f"P{n}", f"0812000000{n}").id) for n in range(30, 60))
        )
        rows = self.rule.sudo()._prepare_rows(permits, dict.fromkeys(permits.ids, Event("q")), Failure())
        plain = [{**row, "scheduled_date": datetime.fromisoformat(NIGHT)} for row in rows]
        quiet = self.env["sicantik.notification.quiet"]
        with self.assertQueryCount(0):
            quiet._move([dict(row) for row in plain], self.rule)
        self.company.quiet_hours = False
        self.company.flush_recordset()
        quiet._move([dict(row) for row in plain], self.rule)  # what is cached is read once
        with self.assertQueryCount(0):
            quiet._move(plain, self.rule)
        self.assertEqual({row["scheduled_date"] for row in plain}, {datetime.fromisoformat(NIGHT)})


class TestQuietDrain(QuietCase):
    """Rows come due at night for many reasons; the drain looks again."""

    def _woken(self):
        cron = self.env.ref("sicantik_notification_automation.ir_cron_process_queue")
        return self.env["ir.cron.trigger"].search([("cron_id", "=", cron.id)])

    def test_a_row_made_by_hand(self):
        with freeze_time(NIGHT):
            row = self._row()
            self._woken().unlink()
            self.assertFalse(self.drain()["processed"])
            self.assertQuiet(row)
            self.assertEqual((row.retry_count, row.attempt_count), (0, 0), "no attempt is spent")
            self.assertFalse(row.log_ids)
            self.assertEqual(self._woken().mapped("call_at"), [OPENING])
            self.assertFalse(self.gateway.requests())
        with freeze_time(OPENING):
            self.drain()
            self.assertSent(row, "fonnte")

    def test_many_at_once(self):
        people = [
            self._partner(f"P{n}", f"0812000001{n}", tz=("Europe/Paris", False)[n % 2]) for n in range(10, 40)
        ]
        with freeze_time(NIGHT):
            rows = self.queue.concat(*(self._row(partner_id=person.id) for person in people))
            self.assertEqual(self.drain()["sent"], 15)
            self.assertQuiet(rows.filtered(lambda row: row.state == "pending"))

    def test_urgent(self):
        with freeze_time(NIGHT):
            urgent, usual = self._row(priority=9), self._row(priority=8)
            self.drain()
        self.assertEqual(urgent.state, "sent")
        self.assertQuiet(usual)

    def test_a_rule_made_urgent_later(self):
        with freeze_time(NIGHT):
            row = self._row(rule_id=self.rule.id)
            self.rule.urgent = True
            self.drain()
            self.assertEqual(row.state, "sent")

    def test_rules_of_their_own(self):
        own = self._rule(self.trigger, quiet_hours="own", sending_from=21.0, sending_to=23.0)
        none = self._rule(self.trigger, quiet_hours="none")
        with freeze_time(NIGHT):
            rows = [self._row(rule_id=rule.id) for rule in (own, none, self.rule)]
            self.drain()
            self.assertEqual([row.state for row in rows], ["sent", "sent", "pending"])
        with freeze_time(NOON):
            row = self._row(rule_id=own.id)
            self.drain()
            self.assertQuiet(row, datetime(2026, 3, 2, 14, 0))

    def test_a_retry_that_comes_at_night(self):
        self.rule.retry_delay = 10
        self.gateway.fault("fonnte", "http:502", times=1)
        with freeze_time("2026-03-02 12:55:00"):  # 19:55
            row = self._row(rule_id=self.rule.id)
            self.drain()
            self.assertEqual((row.error_class, row.retry_count), ("retry_later", 1))
        with freeze_time("2026-03-02 13:10:00"):
            self.drain()
            self.assertQuiet(row)
            self.assertEqual((row.retry_count, row.attempt_count), (1, 1))
        with freeze_time(OPENING):
            self.drain()
            self.assertSent(row, "fonnte")

    def test_a_limit_that_ends_at_night(self):
        self.rule.write({"rate_limit_count": 1, "rate_limit_period": "hour"})
        with freeze_time("2026-03-02 12:30:00"):  # 19:30
            rows = self._row(rule_id=self.rule.id) + self._row(rule_id=self.rule.id)
            self.drain()
            self.assertEqual(rows.mapped("error_class"), [False, "limited"])
        with freeze_time("2026-03-02 13:35:00"):
            self.drain()
            self.assertQuiet(rows[1])
        with freeze_time(OPENING):
            self.drain()
            self.assertSent(rows[1], "fonnte")

    def test_hours_set_after_queueing(self):
        self.company.quiet_hours = False
        with freeze_time(NIGHT):
            row = self.fire(self._permit())
            self.company.quiet_hours = True
            self.drain()
            self.assertQuiet(row)

    def test_hours_taken_away_after_queueing(self):
        """What was planned for the morning is not called back."""
        with freeze_time(NIGHT):
            row = self.fire(self._permit())
            self.company.quiet_hours = False
            self.assertFalse(self.drain()["processed"])
        with freeze_time(OPENING):
            self.drain()
            self.assertSent(row, "fonnte")

    def test_process_now(self):
        """A person who asks for it now means now."""
        with freeze_time(NIGHT):
            row = self.fire(self._permit())
            row.action_process()
            self.assertSent(row, "fonnte")

    def test_a_program_that_names_rows_does_not_pass_over_them(self):
        with freeze_time(NIGHT):
            row = self._row()
            self.env["sicantik.notification.drain"]._process(row.ids)
            row.invalidate_recordset()
            self.assertQuiet(row)

    def test_process_now_that_has_to_be_tried_again(self):
        self.gateway.fault("fonnte", "http:502", times=1)
        with freeze_time(NIGHT):
            row = self._row()
            row.action_process()
            self.assertEqual((row.state, row.retry_count), ("pending", 1))
        with freeze_time("2026-03-02 16:00:00"):
            self.drain()
            self.assertQuiet(row)

    def test_one_message_now(self):
        with freeze_time(NIGHT):
            sent = self.dispatcher.send_template_message(
                "test_ready", self.partner.id, {"partner_name": "Ani", "permit_number": "1"}
            )
            wizard = self.env["sicantik.notification.test.wizard"].create(
                {"rule_id": self.rule.id, "partner_id": self.partner.id}
            )
            wizard.action_send_test()
        self.assertTrue(sent["success"])
        self.assertIn("Sent by", wizard.result)

    def test_what_is_left_out_is_left_out_at_once(self):
        with freeze_time(NIGHT):
            row = self._row()
            self.env["sicantik.notification.blacklist"].create({"phone_number": row.phone})
            self.drain()
        self.assertEqual((row.state, row.error_class), ("skipped", "blacklisted"))

    def test_the_next_provider_is_not_kept_waiting(self):
        """What has begun by day is brought to its end."""
        self._provider("watzap", sequence=9)
        self.gateway.account(fonnte={"connected": False})
        with freeze_time("2026-03-02 12:59:59"):
            row = self._row()
            self.drain()
            self.assertSent(row, "watzap")

    def test_no_query_where_nothing_is_set(self):
        self.company.quiet_hours = False
        drain, quiet = self.env["sicantik.notification.drain"], self.env["sicantik.notification.quiet"]
        self._row(rule_id=self.rule.id)
        self._row()
        rows = drain._claim(1, 10)
        directory, rules = drain._facts(rows)
        with self.assertQueryCount(0):
            self.assertFalse(quiet._waits(rows, rules, directory.policies))
        self.company.quiet_hours = True
        directory, rules = drain._facts(rows)
        with freeze_time(NIGHT), self.assertQueryCount(1):
            self.assertEqual(len(quiet._waits(rows, rules, directory.policies)), 2)


@tagged("post_install", "-at_install")
class TestQuietSettings(QuietCase):
    def _settings(self, **vals):
        settings = self.env["res.config.settings"].create(vals)
        settings.execute()
        return settings

    def test_hours_are_saved_together(self):
        """By way of hours that would make no sense in between."""
        self._settings(quiet_hours=True, sending_from=20.0, sending_to=8.0, sending_sunday=False)
        self.assertEqual((self.company.sending_from, self.company.sending_to), (20.0, 8.0))
        self.assertEqual((self.company.sending_saturday, self.company.sending_sunday), (True, False))
        form = Form(self.env["res.config.settings"])
        self.assertEqual((form.sending_from, form.sending_sunday), (20.0, False))

    def test_saving_something_else_changes_nothing(self):
        before = self.company.read(["quiet_hours", "sending_from", "sending_to", *DAYS, "whatsapp_daily_cap"])
        self._settings()
        self.company.invalidate_recordset()
        self.assertEqual(self.company.read(list(before[0])), before)

    def test_time_zone(self):
        self._settings(whatsapp_tz="Asia/Makassar")
        self.assertEqual(self.company._notification_tz(), "Asia/Makassar")
        self.company.partner_id.tz = False
        self.assertEqual(self.company._notification_tz(), "Asia/Jakarta")

    def test_hours_that_never_come(self):
        none = dict.fromkeys(DAYS, False)
        for vals, told in (
            (none, "at least one day"),
            ({"sending_from": 9.0, "sending_to": 9.0}, "end when they begin"),
            ({"sending_from": 0.0, "sending_to": 0.0}, "end when they begin"),
            ({"sending_to": 25.0}, "between 00:00 and 24:00"),
            ({"sending_from": 24.0}, "between 00:00 and 24:00"),
            ({"sending_from": -1.0}, "between 00:00 and 24:00"),
        ):
            with self.subTest(vals):
                with self.assertRaisesRegex(ValidationError, told), self.cr.savepoint():
                    self.company.write(vals)
                with self.assertRaisesRegex(ValidationError, told), self.cr.savepoint():
                    self.rule.write({"quiet_hours": "own", **vals})
                with self.assertRaisesRegex(ValidationError, told), self.cr.savepoint():
                    self._settings(quiet_hours=True, **vals)
        # What does not hold may be anything.
        self.company.write({"quiet_hours": False, **none})
        self.rule.write({"quiet_hours": "company", **none})
        with self.assertRaisesRegex(ValidationError, "at least one day"), self.cr.savepoint():
            self.rule.quiet_hours = "own"

    def test_the_whole_day(self):
        self.company.write({"sending_from": 0.0, "sending_to": 24.0})
        with freeze_time(NIGHT):
            self.assertFalse(self.fire(self._permit()).error_class)

    def test_new_hours_hold_at_once(self):
        with freeze_time(NIGHT):
            self.assertQuiet(self.fire(self._permit()))
            self.company.sending_to = 23.0
            self.assertFalse(self.fire(self._permit()).error_class)

    def test_who_may_not(self):
        manager = new_test_user(
            self.env, "quiet_m", groups="sicantik_notification_automation.group_notification_manager"
        )
        user = new_test_user(
            self.env, "quiet_u", groups="sicantik_notification_automation.group_notification_user"
        )
        with self.assertRaises(AccessError):
            self.company.with_user(manager).quiet_hours = False
        with self.assertRaises(AccessError):
            self.env["res.config.settings"].with_user(manager).create({"quiet_hours": False}).execute()
        with self.assertRaises(AccessError):
            self.rule.with_user(user).quiet_hours = "none"
        self.rule.with_user(manager).quiet_hours = "none"
        self.assertTrue(self.company.quiet_hours)

    def test_form_of_a_rule(self):
        with Form(self.rule) as form:
            form.quiet_hours = "own"
            form.sending_from = 9.5
            form.sending_sunday = False
        window = self.rule._sending_window()
        self.assertEqual((window.start, window.end, window.days), (570, 1200, (0, 1, 2, 3, 4, 5)))

    def test_a_moment_before_the_hours_end(self):
        end = datetime(2026, 3, 2, 13, 0)
        with freeze_time(end - timedelta(seconds=1)):
            self.assertFalse(self.fire(self._permit()).error_class)
        with freeze_time(end):
            self.assertQuiet(self.fire(self._permit()))
