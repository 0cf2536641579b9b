"""One message from queue row to log row: claim, plan, deliver, settle, and the buttons."""

import dataclasses
from datetime import timedelta
from unittest.mock import patch

from odoo import fields
from odoo.exceptions import UserError, ValidationError
from odoo.tests import Form, RecordCapturer
from odoo.tools import mute_logger

from ..models.sicantik_notification_worker import ALONE_FROM, DEATHS, Worker
from ..providers import attempt, delivery
from .common import NotificationCase

MODELS = "odoo.addons.sicantik_notification_automation.models"
RUN = f"{MODELS}.run"
RESCUE = f"{MODELS}.sicantik_notification_worker"
# Numbers of workers: no drain of the tests gets that far.
FIRST, SECOND, DEAD = 2_000_000_001, 2_000_000_002, 2_000_000_003


class TestQueue(NotificationCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.meta = cls._provider("meta", sequence=1)
        cls.fonnte = cls._provider("fonnte", sequence=5)
        cls.trigger = cls._trigger(state_to="approved")
        cls.rule = cls._rule(cls.trigger)

    # === THE ROAD ===#

    def test_from_permit_to_phone(self):
        permit = self._permit()
        self.commit()
        permit.state = "approved"
        self.commit()
        self.assertEqual(self.drain(), {"processed": 1, "sent": 1, "failed": 0, "skipped": 0})
        row = self.rows()
        self.assertSent(row, "fonnte")
        self.assertTrue(row.sent_date and row.external_message_id)
        self.assertAttempts(row, [("sent", "fonnte", False)])
        (message,) = self.gateway.messages()
        self.assertEqual(message["text"], "Dear Ani, permit 503/0001 is ready.")
        self.assertEqual(self.rule.success_count, 1)

    def test_meta_out_of_funds_fonnte_takes_over_in_the_same_attempt(self):
        self.partner.whatsapp_opt_in = True
        self.gateway.fault("meta", "131042")
        row = self._row()
        self.drain()
        self.assertSent(row, "fonnte")
        self.assertEqual((row.retry_count, row.attempt_count), (0, 2))
        self.assertAttempts(row, [("failed", "meta", "account_blocked"), ("sent", "fonnte", False)])

    def test_reference_goes_with_the_message(self):
        self.partner.whatsapp_opt_in = True
        row = self._row()
        self.drain()
        self.assertEqual(self.gateway.messages()[0]["reference"], f"{self.env.cr.dbname}:{row.id}")

    def test_text_message(self):
        row = self._row(message_type="text", body="Halo", template_key=False)
        self.drain()
        self.assertSent(row, "fonnte")
        self.assertEqual(self.gateway.messages()[0]["text"], "Halo")

    def test_priority_first_then_the_oldest(self):
        now = fields.Datetime.now()
        for text, priority, minutes in (("c", 5, 1), ("b", 5, 2), ("a", 9, 0), ("later", 9, -5)):
            self._row(
                message_type="text",
                body=text,
                priority=priority,
                scheduled_date=now - timedelta(minutes=minutes),
            )
        claimed = self.env["sicantik.notification.drain"]._claim(FIRST, 10)
        self.assertEqual([row.body for row in claimed], ["a", "b", "c"])

    def test_a_claim_goes_on_after_the_one_before(self):
        now = fields.Datetime.now()
        for text, priority, minutes in (("a", 9, 3), ("b", 5, 3), ("c", 5, 3), ("d", 5, 1), ("e", 1, 9)):
            self._row(
                message_type="text",
                body=text,
                priority=priority,
                scheduled_date=now - timedelta(minutes=minutes),
            )
        drain = self.env["sicantik.notification.drain"]
        first = drain._claim(FIRST, 2)
        self._row(message_type="text", body="older", priority=5, scheduled_date=now - timedelta(minutes=8))
        self._row(message_type="text", body="urgent", priority=9, scheduled_date=now)
        second = drain._claim(FIRST, 10, after=first[-1])
        third = drain._claim(FIRST, 10)
        texts = [[row.body for row in rows] for rows in (first, second, third)]
        self.assertEqual(texts, [["a", "b"], ["c", "d", "e"], ["urgent", "older"]])

    def test_more_rows_than_a_claim(self):
        rows = self.queue.browse()
        for _i in range(120):
            rows += self._row()
        self.assertEqual(self.drain()["sent"], 120)
        self.assertEqual(len(self.gateway.messages()), 120)
        self.assertEqual(set(rows.mapped("state")), {"sent"})

    # === REFUSALS ===#

    def test_passing_fault_is_tried_again_and_ends(self):
        self.gateway.fault("fonnte", "http:502")
        row = self._row(max_retries=2, rule_id=self.rule.id)
        self.rule.retry_delay = 7
        for number in (1, 2):
            self.drain()
            self.assertEqual(
                (row.state, row.retry_count, row.error_class), ("pending", number, "retry_later")
            )
            wait = row.next_retry_date - fields.Datetime.now()
            self.assertGreater(wait.total_seconds(), 7 * 60 * 2 ** (number - 1) - 30)
            self.assertLess(wait.total_seconds(), 7 * 60 * 2 ** (number - 1) * 1.1 + 1)
            self.assertFalse(self.drain()["processed"], "not before its time")
            row.scheduled_date = fields.Datetime.now()
        self.drain()
        self.assertEqual((row.state, row.error_class), ("failed", "retry_later"))
        self.assertAttempts(row, [("failed", "fonnte", "retry_later")] * 3)
        self.assertEqual(self.rule.failed_count, 1)

    def test_recovers_on_retry(self):
        self.gateway.fault("fonnte", "http:502", times=1)
        row = self._row()
        self.drain()
        row.scheduled_date = fields.Datetime.now()
        self.drain()
        self.assertSent(row, "fonnte")
        self.assertFalse(row.next_retry_date)
        self.assertEqual(self.logs.search([("queue_id", "=", row.id)], order="id").mapped("attempt"), [1, 2])

    def test_retry_after_is_obeyed(self):
        self.gateway.fault("fonnte", "http:429", retry_after=3600)
        row = self._row()
        self.drain()
        self.assertEqual((row.error_class, row.retry_count), ("rate_limited", 0), "no attempt is spent")
        self.assertGreater(row.next_retry_date, fields.Datetime.now() + timedelta(minutes=55))

    def test_refused_for_good_ends_at_once(self):
        self.gateway.fault("fonnte", "target invalid")
        row = self._row()
        self.drain()
        self.assertEqual((row.state, row.error_class, row.retry_count), ("failed", "bad_recipient", 0))

    def test_all_accounts_refuse_is_a_passing_fault(self):
        self.partner.whatsapp_opt_in = True
        self.gateway.fault("meta", "131042")
        self.gateway.account(fonnte={"connected": False})
        row = self._row()
        self.drain()
        self.assertEqual((row.state, row.retry_count), ("pending", 1))
        self.assertAttempts(
            row, [("failed", "meta", "account_blocked"), ("failed", "fonnte", "account_blocked")]
        )

    def test_unknown_outcome_is_held(self):
        self.gateway.fault("fonnte", "cut_after_read", times=1)
        row = self._row()
        self.drain()
        self.assertEqual((row.state, row.error_class), ("failed", "interrupted"))
        self.assertFalse(self.drain()["processed"])
        self.assertEqual(len(self.gateway.messages()), 1, "it had left, and is not sent again")

    def test_unknown_outcome_is_sent_again_where_the_provider_says_so(self):
        self.fonnte.on_interrupted = "resend"
        self.gateway.fault("fonnte", "cut_after_read", times=1)
        row = self._row()
        self.drain()
        self.assertEqual((row.state, row.error_class), ("pending", "interrupted"))
        row.scheduled_date = fields.Datetime.now()
        self.drain()
        self.assertSent(row, "fonnte")

    def test_missing_parameter_fails_before_anything_is_sent(self):
        row = self._row(context_values={"partner_name": "Ani"})
        self.drain()
        self.assertEqual((row.state, row.error_class), ("failed", "missing_parameter"))
        self.assertIn("permit_number", row.error_message)
        self.assertAttempts(row, [("failed", False, "missing_parameter")])
        self.assertFalse(self.gateway.requests())

    def test_no_template(self):
        row = self._row(template_key="no_such_key")
        self.drain()
        self.assertEqual((row.state, row.error_class), ("failed", "no_template"))

    def test_no_provider(self):
        (self.meta + self.fonnte).write({"active": False})
        row = self._row()
        self.drain()
        self.assertEqual((row.state, row.error_class), ("failed", "no_provider"))

    def test_blacklisted_after_queueing(self):
        row = self._row()
        self.env["sicantik.notification.blacklist"].create({"phone_number": "+62 812-0000-0001"})
        self.drain()
        self.assertEqual((row.state, row.error_class, row.is_blacklisted), ("skipped", "blacklisted", True))
        self.assertAttempts(row, [("skipped", False, "blacklisted")])
        self.assertFalse(self.gateway.messages())

    def test_consent_withdrawn_after_queueing(self):
        self.rule.require_opt_in = True
        row = self._row(rule_id=self.rule.id)
        self.drain()
        self.assertEqual((row.state, row.error_class), ("skipped", "no_opt_in"))

    def test_one_bad_row_does_not_stop_the_others(self):
        good = self._row()
        bad = self._row()
        self.env.cr.execute(
            "UPDATE sicantik_notification_queue SET context_values = 'no json' WHERE id = %s", [bad.id]
        )
        bad.invalidate_recordset()
        self.drain()
        self.assertSent(good, "fonnte")
        self.assertEqual(bad.state, "failed")
        self.assertIn("JSON object", bad.error_message)

    # === CLAIMS AND LEASES ===#

    def _claim(self, worker, *rows):
        """Claim, plan and admit these rows for a worker, and give the jobs that may leave."""
        drain = self.env["sicantik.notification.drain"]
        claimed = drain._claim(worker, 100, [row.id for row in rows])
        self.directory, self.rules = drain._facts(claimed)
        self.senders = {sender.id: sender for sender in self.directory.senders}
        jobs = drain._prepare(claimed, self.directory, self.rules)
        return [job for job, _place in drain._admit(worker, jobs, self.senders, self.rules)[0]]

    def _deliver(self, jobs):
        for job in jobs:
            job.attempts = [(job.routes[0], attempt(job.routes[0]))]

    def _settle(self, worker, jobs):
        self.env["sicantik.notification.settlement"]._settle(worker, jobs, self.senders, self.rules)

    def test_result_of_a_lost_claim_is_not_written(self):
        """Whoever comes back when its claim is lost finds the row in other hands; the log tells both."""
        row = self._row()
        jobs = self._claim(FIRST, row)
        self._deliver(jobs)
        row.write({"worker": SECOND})
        self.env.flush_all()
        self._settle(FIRST, jobs)
        self.assertEqual((row.state, row.worker), ("processing", SECOND))
        self.assertAttempts(row, [("sent", "fonnte", False)])

    def test_a_claim_that_was_lost_before_it_left(self):
        """Whoever was too slow to plan finds its rows in other hands, and sends nothing."""
        row = self._row()
        drain = self.env["sicantik.notification.drain"]
        claimed = drain._claim(FIRST, 1)
        row.write({"worker": SECOND})
        self.env.flush_all()
        directory, rules = drain._facts(claimed)
        jobs = drain._prepare(claimed, directory, rules)
        go, stay = drain._admit(FIRST, jobs, {one.id: one for one in directory.senders}, rules)
        self.assertEqual((go, stay), ([], []))

    def test_an_answer_that_comes_after_all(self):
        """The worker had lost its connection only: what it knows is better than “interrupted”."""
        row = self._row()
        jobs = self._claim(DEAD, row)
        self._deliver(jobs)
        with mute_logger(RESCUE):
            self.drain()
        self.assertEqual((row.state, row.error_class), ("failed", "interrupted"))
        self._settle(DEAD, jobs)
        self.assertSent(row, "fonnte")
        self.assertAttempts(row, [("failed", "fonnte", "interrupted"), ("sent", "fonnte", False)])

    def test_an_answer_that_comes_when_a_person_has_decided(self):
        row = self._row()
        jobs = self._claim(DEAD, row)
        self._deliver(jobs)
        with mute_logger(RESCUE):
            self.drain()
        row.action_retry()
        self.env.flush_all()
        self._settle(DEAD, jobs)
        self.assertEqual(row.state, "pending")

    def test_what_is_settled_twice_is_logged_once(self):
        """A commit whose answer was lost is done again."""
        row = self._row()
        jobs = self._claim(FIRST, row)
        self._deliver(jobs)
        self._settle(FIRST, jobs)
        self._settle(FIRST, jobs)
        self.assertAttempts(row, [("sent", "fonnte", False)])

    def test_a_result_that_cannot_be_written_costs_only_itself(self):
        good, bad = self._row(), self._row(message_type="text", body="bad")

        def odd(route):
            result = attempt(route)
            return dataclasses.replace(result, message_id="\0") if route.message.text == "bad" else result

        with patch.object(delivery, "attempt", odd), self.assertLogs(RUN, "ERROR") as logs:
            self.drain()
        self.assertEqual((good.state, bad.state), ("sent", "processing"))
        self.assertNotIn("812", "".join(logs.output), "no number in the log")

    def test_odd_answers(self):
        """A waiting time of a million years, and bytes that no database takes."""
        self.gateway.fault("fonnte", "http:429", times=1, retry_after=99999999999999)
        row = self._row()
        self.drain()
        self.assertEqual(row.state, "pending")
        self.assertLess(row.next_retry_date, fields.Datetime.now() + timedelta(days=3))

    def test_provider_deleted_while_its_message_was_under_way(self):
        row = self._abandoned(self.fonnte)
        self.fonnte.unlink()
        with mute_logger(RESCUE):
            self.drain()
        self.assertEqual((row.state, row.error_class), ("failed", "interrupted"))

    def test_provider_deleted_before_its_answer_came(self):
        row = self._row()
        jobs = self._claim(FIRST, row)
        self._deliver(jobs)
        self.fonnte.unlink()
        self._settle(FIRST, jobs)
        self.assertEqual((row.state, row.provider_type, row.provider_id.id), ("sent", "fonnte", False))

    def test_cancelled_campaign_is_not_tried_again(self):
        self.gateway.fault("fonnte", "http:502")
        campaign = self.env["sicantik.notification.campaign"].create({"name": "C", "rule_id": self.rule.id})
        row = self._row(campaign_id=campaign.id)
        jobs = self._claim(FIRST, row)
        self._deliver(jobs)
        campaign.state = "cancelled"
        self.env.flush_all()
        self._settle(FIRST, jobs)
        self.assertEqual(row.state, "pending")
        self.env["sicantik.notification.campaign"].cron_process_campaign_batch()
        self.env.invalidate_all()
        self.assertEqual((row.state, row.error_class, row.next_retry_date), ("cancelled", "cancelled", False))

    def _abandoned(self, provider=None, **vals):
        row = self._row()
        row.write(
            {
                "state": "processing",
                "worker": DEAD,
                "lease_until": fields.Datetime.now() - timedelta(minutes=1),
                "provider_id": provider and provider.id,
                "provider_type": provider and provider.provider_type,
                **vals,
            }
        )
        self.env.flush_all()
        return row

    def test_abandoned_before_it_could_leave(self):
        row = self._abandoned()
        self.drain()
        self.assertSent(row, "fonnte")
        self.assertEqual(row.interrupted_count, 1)

    def test_abandoned_when_it_may_have_left(self):
        row = self._abandoned(self.fonnte, lease_until=fields.Datetime.now() + timedelta(hours=1))
        with mute_logger(RESCUE):
            self.drain()
        self.assertEqual((row.state, row.error_class), ("failed", "interrupted"))
        self.assertAttempts(row, [("failed", "fonnte", "interrupted")])
        self.assertFalse(self.gateway.messages())

    def test_abandoned_and_sent_again_where_the_provider_says_so(self):
        self.fonnte.on_interrupted = "resend"
        row = self._abandoned(self.fonnte)
        with mute_logger(RESCUE):
            self.drain()
        self.assertEqual((row.state, row.retry_count), ("pending", 1))

    def test_an_answer_under_way_gets_its_time_before_it_is_sent_again(self):
        self.fonnte.on_interrupted = "resend"
        row = self._abandoned(self.fonnte, lease_until=fields.Datetime.now() + timedelta(minutes=1))
        self.drain()
        self.assertEqual(row.state, "processing")

    def test_a_living_worker_is_left_alone_however_old_its_lease(self):
        row = self._abandoned(self.fonnte)
        with Worker(self.env) as worker:
            row.worker = worker.number
            self.env.flush_all()
            self.env["sicantik.notification.worker"]._rescue()
            self.assertEqual(row.state, "processing")
        with mute_logger(RESCUE):
            self.env["sicantik.notification.worker"]._rescue()
        self.assertEqual(row.state, "failed")

    def test_a_claim_of_the_version_before(self):
        """It has no number, and nobody lives who could own it."""
        row = self._abandoned(worker=False)
        with Worker(self.env):
            self.env["sicantik.notification.worker"]._rescue()
        self.assertEqual(row.state, "pending")
        sent = self._abandoned(self.fonnte, worker=False)
        with Worker(self.env), mute_logger(RESCUE):
            self.env["sicantik.notification.worker"]._rescue()
        self.assertEqual((sent.state, sent.error_class), ("failed", "interrupted"))

    def test_what_comes_back_to_a_cancelled_campaign_is_cancelled(self):
        campaign = self.env["sicantik.notification.campaign"].create({"name": "C", "rule_id": self.rule.id})
        row, other = self._row(campaign_id=campaign.id), self._abandoned(campaign_id=campaign.id)
        drain = self.env["sicantik.notification.drain"]
        drain._claim(FIRST, 1, row.ids)
        campaign.state = "cancelled"
        self.env.flush_all()
        drain._release(FIRST, row.ids)
        self.env["sicantik.notification.worker"]._rescue()
        self.env["sicantik.notification.campaign"].cron_process_campaign_batch()
        self.env.invalidate_all()
        self.assertEqual((row + other).mapped("state"), ["cancelled"] * 2)

    def test_a_row_that_its_workers_die_of_is_taken_alone(self):
        killer = self._abandoned(interrupted_count=ALONE_FROM - 1)
        other = self._row()
        drain = self.env["sicantik.notification.drain"]
        self.env["sicantik.notification.worker"]._rescue()
        self.assertEqual([row.id for row in drain._claim(FIRST, 10)], [other.id])
        self.assertEqual([row.id for row in drain._claim(SECOND, 10, alone=True)], [killer.id])

    def test_taken_alone_it_is_sent_like_others(self):
        row = self._abandoned(interrupted_count=ALONE_FROM)
        self.drain()
        self.assertSent(row, "fonnte")

    def test_process_now_takes_them_too(self):
        rows = self._row() + self._row() + self._row()
        rows[1:].interrupted_count = ALONE_FROM
        rows.action_process()
        self.env.invalidate_all()
        self.assertEqual(rows.mapped("state"), ["sent"] * 3)
        self.assertEqual(len(self.gateway.messages()), 3)

    def test_a_row_that_its_workers_die_of_ends(self):
        row = self._abandoned(interrupted_count=DEATHS - 1)
        with mute_logger(RESCUE):
            self.drain()
        self.assertEqual((row.state, row.error_class), ("failed", "interrupted"))
        self.assertIn("not tried again", row.error_message)

    # === WAKING THE SCHEDULED ACTION ===#

    def _woken(self):
        cron = self.env.ref("sicantik_notification_automation.ir_cron_process_queue")
        return RecordCapturer(self.env["ir.cron.trigger"], [("cron_id", "=", cron.id)])

    def test_rows_for_now_wake_it(self):
        permit = self._permit()
        self.commit()
        with self._woken() as woken:
            permit.state = "approved"
            self.commit()
        self.assertEqual(len(woken.records), 1)

    def test_rows_for_later_do_not(self):
        self.rule.write({"schedule_type": "scheduled", "scheduled_delay": 30})
        permit = self._permit()
        self.commit()
        with self._woken() as woken:
            permit.state = "approved"
            self.commit()
        self.assertFalse(woken.records)

    def test_a_drain_has_itself_woken_when_the_next_row_is_due(self):
        drain = self.env["sicantik.notification.drain"]
        self.env["ir.cron.trigger"].search([]).unlink()
        with self._woken() as woken:
            drain._wake_for_the_rest()
        self.assertFalse(woken.records)
        later = fields.Datetime.now() + timedelta(hours=1)
        self._row(scheduled_date=later)
        with self._woken() as woken:
            drain._wake_for_the_rest()
            drain._wake_for_the_rest()
        self.assertEqual(woken.records.mapped("call_at"), [later], "at its time, and once")
        self._row()
        with self._woken() as woken:
            drain._wake_for_the_rest()
        self.assertEqual(len(woken.records), 1)

    # === BUTTONS ===#

    def test_process_now_passes_over_the_schedule(self):
        rows = self._row(scheduled_date=fields.Datetime.now() + timedelta(days=1)) + self._row()
        rows.action_process()
        self.assertEqual(rows.mapped("state"), ["sent", "sent"])
        told = rows.action_process()["params"]["message"]
        self.assertIn("Sent", told, "the scheduled action may have been quicker: no error")

    def test_process_now_holds_to_the_blacklist(self):
        self.env["sicantik.notification.blacklist"].create({"phone_number": "081200000001"})
        row = self._row()
        row.action_process()
        self.assertEqual(row.state, "skipped")

    def test_retry(self):
        self.gateway.fault("fonnte", "target invalid", times=1)
        row = self._row()
        self.drain()
        row.action_retry()
        self.assertEqual((row.state, row.retry_count, row.error_class), ("pending", 0, False))
        self.drain()
        self.assertSent(row, "fonnte")
        self.assertAttempts(row, [("failed", "fonnte", "bad_recipient"), ("sent", "fonnte", False)])
        with self.assertRaisesRegex(UserError, "Only failed"):
            row.action_retry()

    def test_retry_takes_the_number_that_was_missing(self):
        dewi = self._partner("Dewi")
        permit = self._permit(partner_id=dewi.id)
        self.commit()
        permit.state = "approved"
        self.commit()
        row = self.assertQueued(dewi, state="skipped", error_class="no_number")
        dewi.whatsapp_number = "0812 0000 0009"
        row.action_retry()
        self.drain()
        self.assertSent(row, "fonnte")
        self.assertEqual(self.gateway.messages()[0]["to"], "6281200000009")

    def test_cancel(self):
        row = self._row()
        row.action_cancel()
        self.assertEqual((row.state, row.error_class), ("cancelled", "cancelled"))
        self.assertAttempts(row, [("skipped", False, "cancelled")])
        self.assertFalse(self.drain()["processed"])
        with self.assertRaisesRegex(UserError, "Only pending"):
            row.action_cancel()

    def test_what_is_under_way_is_not_deleted(self):
        row = self._row()
        with self.assertRaisesRegex(UserError, "Cancel them first"):
            row.unlink()
        row.action_cancel()
        row.unlink()
        self.assertTrue(self.logs.search([("phone", "=", "+6281200000001"), ("queue_id", "=", False)]))

    def test_a_changed_row_is_a_checked_row(self):
        row = self._row()
        row.phone = "0812-0000-0066"
        self.assertEqual(row.phone, "+6281200000066")
        row.partner_id = self._partner("Eko", "0812 0000 0067")
        self.assertEqual(row.phone, "+6281200000067")

    # === QUEUEING BY HAND (seed 2, section 7.3) ===#

    def test_by_hand(self):
        form = Form(self.queue)
        form.rule_id = self.rule
        form.partner_id = self.partner
        form.context_values = '{"partner_name": "Test User", "permit_number": "TEST/2025/00001"}'
        row = form.save()
        self.assertEqual((row.template_key, row.phone), ("test_ready", "+6281200000001"))
        row.action_process()
        self.assertSent(row, "fonnte")
        self.assertEqual(
            self.gateway.messages()[0]["text"], "Dear Test User, permit TEST/2025/00001 is ready."
        )

    def test_context_must_be_a_json_object(self):
        for text in ("{'partner_name': 1}", "[1]", "hello"):
            with self.assertRaisesRegex(ValidationError, "JSON object"):
                self._row(context_values=text)

    def test_phone_in_any_spelling(self):
        self.assertEqual(self._row(partner_id=False, phone="0812-0000-0007").phone, "+6281200000007")
        with self.assertRaisesRegex(ValidationError, "not a phone number"):
            self._row(phone="12")
