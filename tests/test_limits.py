"""Limits: how many messages leave when, and that those which have no room wait instead of failing."""

import math
from collections import Counter
from datetime import datetime, timedelta
from unittest.mock import patch

from freezegun import freeze_time

from odoo import fields
from odoo.tests import tagged
from odoo.tests.common import BaseCase
from odoo.tools import mute_logger

from ..models import run
from ..models.limits import DAY, Full, Ledger, State, Window
from ..models.road import Job, Row, Sender
from ..providers import Route
from .common import NotificationCase


@tagged("post_install", "-at_install")
class TestWindow(BaseCase):
    """The arithmetic of a sliding window."""

    def test_never_more_than_the_limit_in_any_period(self):
        """Messages that come whenever there is room: count them in every window."""
        sent, used, now = [], {}, 1_000_000.0
        for _step in range(400):
            window = Window(7, 60, now, used.items())
            while window.has_room():
                window.take(now)
                sent.append(now)
            for bucket, count in window.taken.items():
                used[bucket] = used.get(bucket, 0) + count
            now += 1.7
        self.assertEqual(max(sum(1 for one in sent if start <= one < start + 60) for start in sent), 7)
        self.assertGreater(len(sent), 7 * 10, "it does not stop either")

    def test_places_are_those_where_there_is_room(self):
        window = Window(2, 3600, 0.0, [(-1800, 1), (-1700, 1)])
        self.assertFalse(window.has_room())
        places = [window.book() for _i in range(4)]
        self.assertEqual(places, [1801, 1901, 1801 + 3600, 1901 + 3600])

    def test_whoever_waits_already_comes_first(self):
        window = Window(1, 60, 0.0, [(-30, 1)], [(31, 1)])
        self.assertGreaterEqual(window.book(), 31 + 60)

    def test_the_first_free_place(self):
        window = Window(2, 3600, 0.0, [(-1800, 2), (-100, 1)])
        self.assertEqual(window.first_free(), 1801, "with one of three over the limit, two have to go")


class TestLimits(NotificationCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.fonnte = cls._provider("fonnte", sequence=5)
        cls.rule = cls._rule(cls._trigger())

    def setUp(self):
        super().setUp()
        # A drain would wait some seconds for the next turn; these tests look at what waits.
        patcher = patch.object(run, "LINGER_FOR_CALLERS", 0.0)
        patcher.start()
        self.addCleanup(patcher.stop)

    def _rows(self, count, **vals):
        return self.queue.concat(*(self._row(**vals) for _i in range(count)))

    def _sent(self, rows):
        return len(rows.filtered(lambda row: row.state == "sent"))

    def assertWaits(self, rows, text):
        for row in rows:
            self.assertEqual(
                (row.state, row.retry_count, row.attempt_count, row.error_class), ("pending", 0, 0, "limited")
            )
            self.assertGreater(row.scheduled_date, fields.Datetime.now())
            self.assertIn(text, row.error_message)
            self.assertFalse(row.worker)

    # === RULES ===#

    def test_rule(self):
        self.rule.write({"rate_limit_count": 3, "rate_limit_period": "hour"})
        start = datetime(2026, 3, 2, 8, 0, 0)
        with freeze_time(start):
            rows = self._rows(7, rule_id=self.rule.id)
            self.assertEqual(self.drain()["sent"], 3)
            waiting = rows.filtered(lambda row: row.state == "pending")
            self.assertWaits(waiting, "3 messages per")
            self.assertEqual(waiting, rows[3:], "the oldest went first")
            hours = [(row.scheduled_date - start).total_seconds() // 3600 for row in waiting]
            self.assertEqual(hours, [1, 1, 1, 2], "each at the time when there is room for it")
            self.assertFalse(self.drain()["processed"])
        with freeze_time(start + timedelta(minutes=59)):
            waiting.scheduled_date = fields.Datetime.now()
            self.assertFalse(self.drain()["processed"], "the window slides")
        with freeze_time(start + timedelta(minutes=61)):
            self.assertEqual(self.drain()["sent"], 3)
        with freeze_time(start + timedelta(minutes=123)):
            self.assertEqual(self.drain()["sent"], 1)
        self.assertEqual(len(self.gateway.messages()), 7)

    def test_it_is_woken_when_there_is_room(self):
        self.rule.write({"rate_limit_count": 1, "rate_limit_period": "day"})
        cron = self.env.ref("sicantik_notification_automation.ir_cron_process_queue")
        self.env["ir.cron.trigger"].search([("cron_id", "=", cron.id)]).unlink()
        rows = self._rows(2, rule_id=self.rule.id)
        self.env["ir.cron.trigger"].search([("cron_id", "=", cron.id)]).unlink()
        self.drain()
        woken = self.env["ir.cron.trigger"].search([("cron_id", "=", cron.id)])
        self.assertEqual(woken.mapped("call_at"), [rows[1].scheduled_date])

    def test_a_limit_that_is_switched_off(self):
        self.rule.write({"rate_limit_count": 1, "rate_limit_enabled": False})
        self._rows(3, rule_id=self.rule.id)
        self.assertEqual(self.drain()["sent"], 3)

    def test_a_busy_rule_does_not_stop_the_others(self):
        self.rule.rate_limit_count = 1
        other = self._rule(self._trigger("test_other"))
        busy = self._rows(5, rule_id=self.rule.id)
        rows = self._rows(2, rule_id=other.id)
        self.drain()
        self.assertEqual((self._sent(busy), self._sent(rows)), (1, 2))

    def test_a_failed_attempt_counts_and_its_retry_waits_for_room(self):
        self.rule.write({"rate_limit_count": 1, "retry_delay": 0})
        self.gateway.fault("fonnte", "http:502", times=1)
        row = self._row(rule_id=self.rule.id)
        self.drain()
        row.scheduled_date = fields.Datetime.now()
        self.drain()
        self.assertEqual((row.state, row.error_class, row.retry_count), ("pending", "limited", 1))

    def test_process_now_holds_to_limits(self):
        self.rule.rate_limit_count = 1
        rows = self._rows(2, rule_id=self.rule.id)
        rows.action_process()
        self.assertEqual(self._sent(rows), 1)

    # === PROVIDERS ===#

    def test_minimum_delay(self):
        self.fonnte.min_delay_seconds = 30
        rows = self._rows(3)
        self.drain()
        self.assertEqual(self._sent(rows), 1)
        waiting = rows[1:]
        self.assertWaits(waiting, "pace")
        first, second = (row.scheduled_date for row in waiting)
        self.assertGreaterEqual(first, rows[0].sent_date + timedelta(seconds=29))
        self.assertGreaterEqual(second, first + timedelta(seconds=29))

    def test_rate_per_second(self):
        """Within a drain: no more messages arrive in a second than the rate says."""
        self.fonnte.rate_per_second = 20
        self._rows(30)
        self.assertEqual(self.drain()["sent"], 30)
        times = sorted(message["at"] for message in self.gateway.messages())
        most = max(sum(1 for one in times if start <= one < start + 0.5) for start in times)
        # A slow machine delays single messages; it does not make more of them.
        self.assertLessEqual(most, 10 + 3)

    def test_a_long_line_does_not_stop_the_others(self):
        self.fonnte.min_delay_seconds = 60
        other = self._rule(self._trigger("test_other"))
        self._rows(1)
        self.drain()
        busy = self._rows(5, rule_id=self.rule.id)
        late = self._row(rule_id=other.id)
        self.drain()
        self.assertLess(late.scheduled_date, busy.sorted("scheduled_date")[1].scheduled_date)

    def test_lines_that_promise_more_than_there_is(self):
        """Ten rules at one slow provider: nobody starves, and rows are not moved again and again."""
        sender = Sender(1, "S", "fonnte", None, None, min_delay_seconds=5)
        empty = Row(*[None] * len(Row._fields))
        rows = [empty._replace(id=id_, rule_id=id_ % 10, priority=5) for id_ in range(300)]
        waiting = [(0.0, row) for row in rows]
        state, lines, visits, sent = State(), {}, 0, Counter()
        for now in range(0, 600):
            due = [row for at, row in waiting if at <= now]
            waiting = [(at, row) for at, row in waiting if at > now]
            ledger = Ledger(
                now,
                {1: sender},
                {},
                windows={},
                states={1: state},
                lines=lines,
                pairs={},
                reached={},
                default_priority=5,
                horizon=2.0,
            )
            for row in due:
                visits += 1
                found = ledger.admit(Job(row, [Route(1, None, None)]))
                if isinstance(found, Full):
                    waiting.append((math.ceil(found.until), row._replace(error_class="limited")))
                else:
                    sent[row.rule_id] += 1
        self.assertGreater(sum(sent.values()), 600 / (5 * 1.25) * 0.9)
        self.assertLess(max(sent.values()), 3 * min(sent.values()))
        self.assertLess(visits, 300 * 12)

    def test_daily_limit_goes_to_the_next_provider(self):
        watzap = self._provider("watzap", sequence=9)
        self.fonnte.daily_limit = 2
        rows = self._rows(5)
        self.drain()
        self.assertEqual(sorted(rows.mapped("provider_type")), ["fonnte"] * 2 + ["watzap"] * 3)
        watzap.active = False
        row = self._row()
        self.drain()
        self.assertWaits(row, "daily limit")
        self.assertGreater(row.scheduled_date, fields.Datetime.now() + timedelta(hours=23))

    def test_provider_asks_to_slow_down(self):
        self.gateway.fault("fonnte", "http:429", times=1, retry_after=600)
        asked = self._row()
        self.drain()
        row = self._row()
        self.drain()
        self.assertEqual((asked.state, asked.retry_count), ("pending", 0))
        self.assertWaits(row, "slow down")
        self.assertAlmostEqual(
            row.scheduled_date, fields.Datetime.now() + timedelta(seconds=600), delta=timedelta(seconds=30)
        )
        self.assertEqual(len(self.gateway.requests()), 1)
        self.assertTrue(self.fonnte.paused_until)

    def test_slow_down_for_ever_ends(self):
        self.gateway.fault("fonnte", "http:429", retry_after=1)
        row = self._row(max_retries=0)
        self.env.cr.execute(
            "UPDATE sicantik_notification_queue SET attempt_count = 25 WHERE id = %s", [row.id]
        )
        row.invalidate_recordset()
        self.drain()
        self.assertEqual((row.state, row.error_class), ("failed", "rate_limited"))

    def test_fallback_keeps_to_the_limits_of_the_next_provider(self):
        self._provider("watzap", sequence=9, min_delay_seconds=600)
        self.gateway.account(fonnte={"connected": False})
        rows = self._rows(3)
        self.drain()
        self.assertEqual(len(self.gateway.messages(provider="watzap")), 1)
        waiting = rows.filtered(lambda row: row.state == "pending")
        self.assertEqual(len(waiting), 2)
        self.assertEqual(set(waiting.mapped("error_class")), {"limited"})
        self.assertEqual(set(waiting.mapped("retry_count")), {0})

    def test_one_message_now_keeps_to_limits(self):
        self.fonnte.daily_limit = 1
        values = {"partner_name": "Ani", "permit_number": "1"}
        send = self.dispatcher.send_template_message
        self.assertTrue(send("test_ready", self.partner.id, values)["success"])
        refused = send("test_ready", self.partner.id, values)
        self.assertEqual((refused["success"], refused["error_class"]), (False, "limited"))
        self.assertIn("daily limit", refused["error"])
        self.assertEqual(len(self.gateway.messages()), 1)

    # === META ===#

    def _meta(self, **vals):
        self.fonnte.active = False
        self.partner.whatsapp_opt_in = True
        return self._provider("meta", sequence=1, **vals)

    def test_pair_limit(self):
        self._meta()
        other = self._partner("Budi", "081200000002", whatsapp_opt_in=True)
        first, second = self._row(), self._row()
        third = self._row(partner_id=other.id)
        self.drain()
        self.assertEqual((first.state, third.state), ("sent", "sent"))
        self.assertWaits(second, "one number")
        self.assertLess(second.scheduled_date, fields.Datetime.now() + timedelta(seconds=10))

    def test_messaging_limit_counts_people(self):
        self._meta(messaging_limit=2)
        people = [
            self._partner(f"P{number}", f"08120000010{number}", whatsapp_opt_in=True) for number in range(3)
        ]
        start = datetime(2026, 3, 2, 8, 0, 0)
        with freeze_time(start):
            rows = [self._row(partner_id=person.id) for person in people]
            self.drain()
            self.assertEqual([row.state for row in rows], ["sent", "sent", "pending"])
            self.assertWaits(rows[2], "as many people")
        with freeze_time(start + timedelta(minutes=1)):
            again = self._row(partner_id=people[0].id)
            self.drain()
            self.assertEqual(again.state, "sent", "the same person is no further one")
            people[2].whatsapp_last_inbound = fields.Datetime.now()
            answer = self._row(partner_id=people[2].id)
            self.drain()
            self.assertEqual(answer.state, "sent", "an answer does not count")
        with freeze_time(start + timedelta(seconds=DAY + 61)):
            self.drain()
            self.assertEqual(rows[2].state, "sent")


class TestCircuit(NotificationCase):
    """Providers that fail are left alone, people are told, and they are tried again."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.fonnte = cls._provider("fonnte", sequence=5)

    def setUp(self):
        super().setUp()
        self.gateway.account(fonnte={"connected": False})
        patcher = patch.object(run, "LINGER_FOR_CALLERS", 0.0)
        patcher.start()
        self.addCleanup(patcher.stop)
        self.start = datetime(2026, 3, 2, 8, 0, 0)

    def drain(self):
        with mute_logger("odoo.addons.sicantik_notification_automation.models.sicantik_whatsapp_circuit"):
            return super().drain()

    def _fail(self, count):
        """Let so many messages fail, one after the other."""
        for _i in range(count):
            self._row(max_retries=0)
            self.drain()

    def _activities(self):
        return self.env["mail.activity"].search(
            [("res_model", "=", self.fonnte._name), ("res_id", "=", self.fonnte.id)]
        )

    def test_opens_after_failures_in_a_row(self):
        self._fail(4)
        self.assertEqual(self.fonnte.credential_state, "configured")
        self._fail(1)
        self.assertEqual(self.fonnte.credential_state, "error")
        self.assertIn("disconnected", self.fonnte.last_error_message)
        self.assertTrue(self.fonnte.probe_date)

    def test_opens_at_once_when_credentials_are_refused(self):
        self.fonnte.write({"api_token": "FONNTE-TOKEN-WRONG", "credential_state": "configured"})
        self._fail(1)
        self.assertEqual(self.fonnte.credential_state, "error")

    def test_a_success_between_is_a_new_beginning(self):
        self._fail(4)
        self.gateway.account(fonnte={"connected": True})
        self._row()
        self.drain()
        self.gateway.account(fonnte={"connected": False})
        self._fail(4)
        self.assertEqual(self.fonnte.credential_state, "configured")

    def test_refusals_of_recipients_do_not_count(self):
        self.gateway.account(fonnte={"connected": True})
        self.gateway.fault("fonnte", "target invalid")
        self._fail(8)
        self.assertEqual(self.fonnte.credential_state, "configured")

    def test_unknown_outcomes_count(self):
        """A service that does not answer would put every message in doubt."""
        self.gateway.account(fonnte={"connected": True})
        self.gateway.fault("fonnte", "cut_after_read")
        self._fail(5)
        self.assertEqual(self.fonnte.credential_state, "error")

    def test_each_manager_gets_one_activity(self):
        managers = self.env.ref("sicantik_notification_automation.group_notification_manager")
        manager = self.env["res.users"].create({"name": "M", "login": "circuit_manager"})
        managers.write({"user_ids" if "user_ids" in managers._fields else "users": [(4, manager.id)]})
        self._fail(7)
        self.assertEqual(len(self._activities().filtered(lambda one: one.user_id == manager)), 1)

    def test_others_wait_without_spending_attempts(self):
        self._fail(5)
        self.gateway.reset()
        row = self._row()
        self.drain()
        self.assertEqual(
            (row.state, row.retry_count, row.attempt_count, row.error_class), ("pending", 0, 0, "limited")
        )
        self.assertFalse(self.gateway.requests())

    def test_others_go_to_the_next_provider(self):
        self._fail(5)
        self._provider("watzap", sequence=9)
        row = self._row()
        self.drain()
        self.assertSent(row, "watzap")
        self.assertAttempts(row, [("sent", "watzap", False)])

    def test_determine_provider_passes_over_it(self):
        watzap = self._provider("watzap", sequence=9)
        # With the second one at hand its circuit opens all the same.
        self._fail(5)
        self.assertEqual(self.dispatcher.determine_provider(self.partner.id)["provider"], watzap)

    def test_one_probe_closes_it(self):
        with freeze_time(self.start):
            self._fail(5)
        self.gateway.reset()
        with freeze_time(self.start + timedelta(seconds=61)):
            rows = self.queue.concat(*(self._row() for _i in range(5)))
            self.drain()
        self.assertEqual(self.fonnte.credential_state, "configured")
        self.assertFalse(self.fonnte.last_error_message)
        self.assertFalse(self._activities())
        with freeze_time(self.start + timedelta(seconds=67)):
            self.drain()
        self.assertEqual(rows.mapped("state").count("sent"), 5, "with the probe back the others follow")

    def test_one_probe_that_fails(self):
        with freeze_time(self.start):
            self._fail(5)
            before = len(self.gateway.requests())
        with freeze_time(self.start + timedelta(seconds=61)):
            rows = self.queue.concat(*(self._row() for _i in range(5)))
            self.drain()
            self.assertEqual(len(self.gateway.requests()), before + 1, "one message and no more")
            self.assertEqual(sorted(rows.mapped("retry_count")), [0, 0, 0, 0, 1])
            self.assertGreater(
                self.fonnte.probe_date, fields.Datetime.now() + timedelta(seconds=110), "twice as long"
            )

    def test_a_failed_test_of_the_connection_leaves_it_to_be_tried_again(self):
        self._fail(5)
        self.fonnte.action_test_connection()
        self.assertEqual(self.fonnte.credential_state, "error")
        self.assertTrue(self.fonnte.probe_date)
        row = self._row()
        self.drain()
        self.assertEqual((row.state, row.error_class), ("pending", "limited"))

    def test_a_test_of_the_connection_closes_it(self):
        self._fail(5)
        self.gateway.account(fonnte={"connected": True})
        self.fonnte.action_test_connection()
        self.assertFalse(self.fonnte.probe_date)
        self.assertFalse(self._activities())
        row = self._row()
        self.drain()
        self.assertSent(row, "fonnte")
