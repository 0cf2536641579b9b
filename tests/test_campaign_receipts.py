"""Campaigns whose messages providers take, and refuse afterwards by webhook."""

from datetime import timedelta

from odoo import fields

from ..models import sicantik_notification_campaign_health as health
from .test_receipts import PAYMENT, RECIPIENT
from .webhooks import EventCase


class TestCampaignReceipts(EventCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.meta = cls._meta()
        cls.rule = cls._rule(cls._trigger(), rate_limit_enabled=False)
        cls.campaign = cls.env["sicantik.notification.campaign"].create(
            {"name": "Test", "rule_id": cls.rule.id, "target_domain": "[('id', '=', 0)]"}
        )

    def setUp(self):
        super().setUp()
        self.campaign.action_start()

    def _queue(self, count, **vals):
        """Queue messages of the campaign, each to a number of its own."""
        rows = self.queue
        for _number in range(count):
            phone = f"0812000{next(self.numbers):05}"
            rows += self._row(campaign_id=self.campaign.id, rule_id=self.rule.id, phone=phone, **vals)
        return rows

    def refuse(self, rows, **why):
        """Have the provider refuse what it has taken."""
        logs = self.logs.search([("queue_id", "in", rows.ids), ("state", "=", "sent")])
        self.told(self.meta, *(self.receipt(log.external_message_id, "failed", **why) for log in logs))

    def test_retry_asks_the_same_provider_again(self):
        """It may be the only one, and what kept it from sending has been mended."""
        row = self._queue(1)
        self.drain()
        self.refuse(row, **PAYMENT)
        self.assertEqual((row.state, row.late_provider_id), ("failed", self.meta))
        self.campaign.action_retry_failed()
        self.wait_for_the_pair()
        self.drain()
        self.assertSent(row, "meta")
        self.assertEqual(len(self.gateway.messages()), 2)

    def test_a_completed_campaign_runs_on_for_what_comes_back(self):
        """So that it can be paused and cancelled, and says that it has not ended."""
        fonnte = self._provider("fonnte", sequence=99)
        row = self._queue(1)
        self.drain()
        self.assertEqual(self.campaign.state, "completed")
        fonnte.write({"daily_limit": 1, "min_delay_seconds": 0})
        self._row(phone="081200009999", message_type="text", body="Halo", template_key=False)
        self.drain()  # it takes the only place of the day
        self.refuse(row, **PAYMENT)
        self.assertEqual((row.state, self.campaign.state), ("pending", "running"))
        self.campaign.action_cancel()
        self.assertEqual((row.state, self.campaign.state), ("cancelled", "cancelled"))

    def test_a_completed_campaign_runs_on_for_a_retry(self):
        row = self._queue(1)
        self.drain()
        self.refuse(row, **PAYMENT)
        self.assertEqual((row.state, self.campaign.state), ("failed", "completed"))
        row.action_retry()
        self.assertEqual(self.campaign.state, "running")
        self.wait_for_the_pair()
        self.drain()
        self.assertEqual((row.state, self.campaign.state), ("sent", "completed"))

    def test_retried_messages_go_on_to_the_next_provider_again(self):
        row = self._queue(1)
        self.drain()
        self.refuse(row, **PAYMENT)
        fonnte = self._provider("fonnte", sequence=99)
        self.campaign.action_retry_failed()
        self.wait_for_the_pair()
        self.drain()
        self.assertSent(row, "meta")
        self.refuse(row, **PAYMENT)
        self.drain()
        self.assertSent(row, fonnte.provider_type)

    def _limits(self, percent, last):
        for what, value in (("percent", percent), ("last", last)):
            self.env["ir.config_parameter"].set_param(health.LIMITS[what][0], str(value))

    def test_late_refusals_pause_it(self):
        self._limits(50, 4)
        rows = self._queue(6)
        later = self._queue(1, scheduled_date=fields.Datetime.now() + timedelta(hours=1))
        self.drain()
        self.assertEqual(set(rows.mapped("state")), {"sent"})
        self.refuse(rows[:1], **RECIPIENT)
        self.assertEqual(self.campaign.state, "running", "one of four")
        self.refuse(rows[1:], **RECIPIENT)
        self.assertEqual(set(rows.mapped("state")), {"failed"})
        self.assertEqual((self.campaign.state, later.state), ("paused", "pending"))
        self.assertIn("of the last", self.campaign.state_reason)
        self.assertTrue(self.campaign.activity_ids)

    def test_late_refusals_one_by_one_pause_it_too(self):
        """When events cannot be applied together, each is applied by itself."""
        self._limits(50, 4)
        rows = self._queue(4)
        self._queue(1, scheduled_date=fields.Datetime.now() + timedelta(hours=1))
        self.drain()
        apply_ = type(self.events)._apply

        def alone(events, ids=None, failing=None):
            if ids is None:
                raise ValueError
            return apply_(events, ids, failing)

        self.patch(type(self.events), "_apply", alone)
        self.refuse(rows, **RECIPIENT)
        self.assertEqual(self.campaign.state, "paused")

    def test_late_refusals_of_other_messages_do_not_pause_it(self):
        self._limits(50, 4)
        self._queue(1, scheduled_date=fields.Datetime.now() + timedelta(hours=1))
        for _number in range(4):
            row, _log = self.send()
            self.refuse(row, **RECIPIENT)
        self.assertEqual(self.campaign.state, "running")
