"""Campaigns: states, the frozen audience, pacing, pauses, failures, statistics, and who may do what."""

from datetime import timedelta
from unittest.mock import patch

from odoo import fields
from odoo.exceptions import AccessError, UserError
from odoo.tests import new_test_user
from odoo.tools import mute_logger

from ..models import sicantik_notification_campaign as campaigns
from ..models import sicantik_notification_campaign_health as health
from ..models import sicantik_notification_expansion as expansion
from ..wizards import sicantik_notification_dry_run as dry_run
from .common import NotificationCase

EVALUATION = "odoo.addons.sicantik_notification_automation.models.sicantik_notification_evaluation"
GROUP = "sicantik_notification_automation.group_notification_"
DOMAIN = "[('permit_number', 'like', 'Campaign')]"


class CampaignCase(NotificationCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.fonnte = cls._provider("fonnte")
        cls.rule = cls._rule(
            cls._trigger("campaign", trigger_type="manual"), rate_limit_enabled=False, max_retries=0
        )
        cls.permits = cls._permits(12)

    @classmethod
    def _permits(cls, count, first=10):
        return cls.env["sicantik.permit"].create(
            [
                {
                    "partner_id": cls._partner(f"Applicant {n}", f"0812000000{n}").id,
                    "permit_number": f"Campaign {n}",
                    "state": "approved",
                }
                for n in range(first, first + count)
            ]
        )

    @classmethod
    def _campaign(cls, **vals):
        return cls.env["sicantik.notification.campaign"].create(
            {"name": "Test", "rule_id": cls.rule.id, "target_domain": DOMAIN, **vals}
        )

    def chunks(self, size):
        """Have targets queued in chunks of this size."""
        self.startPatcher(patch.object(expansion, "CHUNK", size))

    def cron(self):
        result = self.env["sicantik.notification.campaign"].cron_process_campaign_batch()
        self.env.invalidate_all()
        return result

    def queued(self, campaign):
        """Give the records that have a message of a campaign, one entry per message."""
        return sorted(self.queue.search([("campaign_id", "=", campaign.id)]).mapped("res_id"))

    def targets(self, campaign):
        return self.env["sicantik.notification.campaign.target"].search_count(
            [("campaign_id", "=", campaign.id)]
        )


class TestCampaignStates(CampaignCase):
    def test_from_start_to_end(self):
        campaign = self._campaign()
        campaign.action_start()
        self.assertEqual((campaign.state, campaign.expanded, campaign.total_pending), ("running", True, 12))
        self.drain()
        self.assertEqual((campaign.state, campaign.total_sent), ("completed", 12), "at the end of the drain")
        self.assertEqual(campaign.progress_percentage, 100)
        self.assertEqual(len(self.gateway.messages()), 12)

    def test_what_is_possible_in_which_state(self):
        actions = {
            "action_start": ("draft", "scheduled"),
            "action_pause": ("running",),
            "action_resume": ("paused",),
            "action_cancel": ("scheduled", "running", "paused"),
            "action_retry_failed": ("running", "completed"),
            "action_relaunch": ("completed", "cancelled"),
        }
        for state in ("draft", "scheduled", "running", "paused", "completed", "cancelled"):
            for action, allowed in actions.items():
                campaign = self._campaign(state=state, target_domain="[('id', '=', 0)]")
                with self.subTest(f"{action} {state}"):
                    if state in allowed:
                        getattr(campaign, action)()
                        self.assertNotEqual((campaign.state, action), ("draft", "action_start"))
                    else:
                        with self.assertRaisesRegex(UserError, "this is possible only when it is"):
                            getattr(campaign, action)()
                        self.assertEqual(campaign.state, state)

    def test_scheduled(self):
        later = fields.Datetime.now() + timedelta(hours=1)
        campaign = self._campaign(scheduled_date=later)
        triggers = self.env["ir.cron.trigger"].search([("cron_id", "=", self.env.ref(campaigns.CRON).id)])
        campaign.action_start()
        self.assertEqual((campaign.state, self.queued(campaign)), ("scheduled", []))
        new = (
            self.env["ir.cron.trigger"].search([("cron_id", "=", self.env.ref(campaigns.CRON).id)]) - triggers
        )
        self.assertEqual(new.mapped("call_at"), [later], "woken at its time, not polled")
        self.cron()
        self.assertEqual(campaign.state, "scheduled", "not before its time")
        campaign.scheduled_date = fields.Datetime.now() - timedelta(seconds=1)
        self.cron()
        self.assertEqual((campaign.state, self.queued(campaign)), ("running", self.permits.ids))

    def test_start_now_does_not_wait_for_the_date(self):
        campaign = self._campaign(scheduled_date=fields.Datetime.now() + timedelta(hours=1))
        campaign.action_start()
        campaign.action_start()
        self.assertEqual((campaign.state, len(self.queued(campaign))), ("running", 12))

    def test_a_scheduled_one_that_cannot_start_pauses_and_tells(self):
        campaign = self._campaign(scheduled_date=fields.Datetime.now() + timedelta(hours=1))
        campaign.action_start()
        campaign.scheduled_date = fields.Datetime.now() - timedelta(seconds=1)
        self.env.cr.execute(
            "UPDATE sicantik_notification_campaign SET target_domain = '[(1' WHERE id = %s", [campaign.id]
        )
        self.env.invalidate_all()
        with mute_logger(EVALUATION):
            self.cron()
        self.assertEqual(campaign.state, "paused")
        self.assertIn("could not be queued", campaign.state_reason)
        self.env.cr.execute(
            "UPDATE sicantik_notification_campaign SET target_domain = %s WHERE id = %s",
            [DOMAIN, campaign.id],
        )
        self.env.invalidate_all()
        campaign.action_resume()
        self.assertEqual(self.queued(campaign), self.permits.ids)

    def test_what_is_under_way_stays_as_it_is(self):
        campaign = self._campaign()
        campaign.action_start()
        campaign.write({"description": "Something", "target_domain": DOMAIN})
        with self.assertRaisesRegex(UserError, "under way"):
            campaign.target_domain = "[]"
        with self.assertRaisesRegex(UserError, "Cancel it first"):
            campaign.unlink()
        with self.assertRaisesRegex(UserError, "Delete its campaigns first"):
            self.rule.unlink()
        with self.assertRaisesRegex(UserError, "Delete its campaigns first"):
            self.rule.trigger_id.unlink()

    def test_when_the_model_goes_its_campaigns_go(self):
        """As the uninstallation of a module does: by the database."""
        campaign = self._campaign()
        self.env.flush_all()
        self.env.cr.execute(
            "DELETE FROM sicantik_notification_trigger WHERE id = %s", [self.rule.trigger_id.id]
        )
        self.env.invalidate_all()
        self.assertFalse(campaign.exists())

    def test_duplicate(self):
        campaign = self._campaign(template_key="other")
        campaign.action_start()
        copy = campaign.copy()
        self.assertEqual((copy.name, copy.state, copy.template_key), ("Test (copy)", "draft", "other"))
        self.assertFalse(copy.start_date or copy.expanded or copy.queue_ids or copy.state_reason)

    def test_access(self):
        campaign = self._campaign()
        user = new_test_user(self.env, "campaign_user", groups=f"{GROUP}user")
        manager = new_test_user(self.env, "campaign_manager", groups=f"{GROUP}manager")
        actions = ("start", "pause", "resume", "cancel", "relaunch", "dry_run", "retry_failed")
        for action in (*actions, "retry_interrupted"):
            with self.subTest(action), self.assertRaises(AccessError):
                getattr(campaign.with_user(user), f"action_{action}")()
        self.assertEqual(campaign.with_user(user).total_targets, 0, "but they may look")
        with self.assertRaises(AccessError):
            campaign.with_user(manager).state = "running"
        with self.assertRaises(AccessError):
            self.env[campaign._name].with_user(manager).create(
                {"name": "C", "rule_id": self.rule.id, "state": "running"}
            )
        campaign.with_user(manager).action_start()
        self.assertEqual(campaign.state, "running")


class TestCampaignAudience(CampaignCase):
    def test_frozen(self):
        self.chunks(5)
        campaign = self._campaign()
        campaign.action_start()
        self.assertEqual((self.queued(campaign), self.targets(campaign)), (self.permits[:5].ids, 7))
        self.assertEqual((campaign.total_targets, campaign.total_pending), (12, 12))
        self._permits(3, first=50)
        self.permits[7].permit_number = "No more"
        gone = self.permits[9]
        gone.unlink()
        self.cron()
        self.assertEqual(self.queued(campaign), (self.permits - gone).ids)
        self.assertTrue(campaign.expanded)
        self.assertEqual(self.targets(campaign), 0)

    def test_sends_while_it_expands(self):
        self.chunks(5)
        campaign = self._campaign()
        campaign.action_start()
        self.drain()
        self.assertEqual((campaign.state, campaign.total_sent, campaign.total_pending), ("running", 5, 7))
        self.cron()
        self.drain()
        self.assertEqual((campaign.state, campaign.total_sent), ("completed", 12))

    def test_an_interrupted_chunk_is_done_again(self):
        """The chunk breaks off after its rows were written, as by the end of the process."""
        self.chunks(5)
        campaign = self._campaign()
        campaign.action_start()
        queue = type(self.queue)
        enqueue = queue._enqueue

        def cut_off(records, rows):
            enqueue(records, rows)
            raise KeyboardInterrupt

        with patch.object(queue, "_enqueue", cut_off), self.assertRaises(KeyboardInterrupt):
            self.cron()
        self.env.invalidate_all()
        self.assertEqual((len(self.queued(campaign)), self.targets(campaign)), (5, 7))
        self.cron()
        self.assertEqual(self.queued(campaign), self.permits.ids)

    def test_nobody_twice_even_if_targets_come_back(self):
        campaign = self._campaign()
        campaign.action_start()
        self.env.cr.execute(
            """
            INSERT INTO sicantik_notification_campaign_target (campaign_id, res_id)
            SELECT %s, id FROM unnest(%s) AS id
            """,
            [campaign.id, self.permits.ids],
        )
        campaign.expanded = False
        self.cron()
        self.assertEqual(self.queued(campaign), self.permits.ids)

    def test_one_faulty_record_costs_nobody_else(self):
        faulty = self.permits[3]
        self.rule.context_preparation_code = f"context = {{'x': 1 / (record.id - {faulty.id})}}"
        campaign = self._campaign()
        with mute_logger(EVALUATION):
            campaign.action_start()
        self.assertEqual(self.queued(campaign), (self.permits - faulty).ids)
        self.assertEqual(campaign.state, "running")
        self.assertIn("ZeroDivisionError", self.rule.last_error)

    def test_a_chunk_that_fails_as_a_whole_pauses(self):
        self.chunks(5)
        campaign, other = self._campaign(), self._campaign(name="Other")
        campaign.action_start()
        other.action_start()
        rule = type(self.rule)
        prepare = rule._prepare_rows

        def fail(records, targets, events, *args):
            if any(event.key.startswith(f"c{campaign.id}.") for event in events.values()):
                raise ValueError("no such thing")
            return prepare(records, targets, events, *args)

        with patch.object(rule, "_prepare_rows", fail), mute_logger(EVALUATION):
            self.cron()
        self.assertEqual((campaign.state, other.expanded), ("paused", True))
        self.assertIn("no such thing", campaign.state_reason)
        self.assertEqual(campaign.activity_ids.user_id, campaign.user_id)
        campaign.action_resume()
        self.assertFalse(campaign.state_reason or campaign.activity_ids)
        self.cron()
        self.assertEqual(self.queued(campaign), self.permits.ids)

    def test_relaunch_leaves_out_who_was_reached(self):
        campaign = self._campaign()
        campaign.action_start()
        self.drain()
        failed = self.queue.search([("campaign_id", "=", campaign.id)])[:2]
        failed.write({"state": "failed", "error_class": "bad_recipient"})
        doubtful = self.queue.search([("campaign_id", "=", campaign.id)])[2]
        doubtful.write({"state": "failed", "error_class": "interrupted"})
        self.gateway.reset()
        new = self._permits(1, first=60)
        campaign.action_relaunch()
        self.drain()
        again = self.queue.search([("campaign_id", "=", campaign.id), ("id", ">", campaign.last_row_id)])
        self.assertEqual(sorted(again.mapped("res_id")), sorted([*failed.mapped("res_id"), new.id]))
        self.assertEqual((campaign.state, len(self.gateway.messages())), ("completed", 3))

    def test_relaunch_tells_the_channels_apart(self):
        self._send_both()
        campaign = self._campaign()
        campaign.action_start()
        self.drain()
        self.assertEqual((campaign.state, campaign.total_sent), ("completed", 24))
        rows = self.queue.search([("campaign_id", "=", campaign.id), ("channel", "=", "whatsapp")])
        rows[:2].write({"state": "failed", "error_class": "bad_recipient"})
        campaign.action_relaunch()
        again = self.queue.search([("campaign_id", "=", campaign.id), ("id", ">", campaign.last_row_id)])
        self.assertEqual(again.mapped("channel"), ["whatsapp"] * 2)

    def test_dry_run_tells_the_channels_apart(self):
        self._send_both()
        run = self.env["sicantik.notification.dry.run"].browse(self._campaign().action_dry_run()["res_id"])
        lines = {(line.reason, line.amount) for line in run.line_ids if line.kind == "send"}
        self.assertEqual(lines, {("Fonnte", 12), ("E-mail", 12)})

    def _send_both(self):
        """Have the rule send e-mails too; everybody has an address and wants WhatsApp."""
        template = self.env["mail.template"].create(
            {
                "name": "Campaign",
                "model_id": self.env["ir.model"]._get_id("sicantik.permit"),
                "subject": "Campaign",
                "body_html": "<p>Hello</p>",
            }
        )
        self.rule.write({"channel": "both", "mail_template_id": template.id})
        for partner in self.permits.partner_id:
            partner.write({"email": f"applicant{partner.id}@example.com", "whatsapp_opt_in": True})

    def test_relaunch_remembers_deleted_messages(self):
        campaign = self._campaign()
        campaign.action_start()
        self.drain()
        campaign.queue_ids.unlink()
        campaign.action_relaunch()
        self.assertFalse(self.queued(campaign))

    def test_relaunch_after_a_cancellation(self):
        campaign = self._campaign()
        campaign.action_start()
        campaign.action_cancel()
        campaign.action_relaunch()
        self.drain()
        self.assertEqual(
            (campaign.state, campaign.total_sent, campaign.total_cancelled), ("completed", 12, 12)
        )


class TestCampaignPace(CampaignCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.rule.write({"schedule_type": "batch", "batch_size": 3, "batch_interval": 10})

    def minutes(self, campaign, since):
        """Give, in the order of the records, in which minute after a moment each message leaves."""
        rows = self.queue.search([("campaign_id", "=", campaign.id), ("state", "=", "pending")])
        return [round((row.scheduled_date - since).total_seconds() / 60) for row in rows.sorted("res_id")]

    def test_by_position_across_chunks(self):
        self.chunks(5)
        campaign = self._campaign()
        campaign.action_start()
        campaign.pace_date -= timedelta(minutes=1)  # the next chunk comes later
        self.cron()
        expected = [0] * 3 + [10] * 3 + [20] * 3 + [30] * 3
        found = self.minutes(campaign, campaign.start_date)
        self.assertEqual(found[:5], expected[:5])
        self.assertEqual(found[5:], [minute - 1 for minute in expected[5:]])

    def test_a_late_expansion_makes_no_burst(self):
        self.chunks(6)
        campaign = self._campaign()
        campaign.action_start()
        campaign.pace_date -= timedelta(hours=2)  # nobody expanded it for two hours
        self.cron()
        self.assertEqual(self.minutes(campaign, fields.Datetime.now())[6:], [0] * 3 + [10] * 3)

    def test_resumed_after_a_pause(self):
        self.chunks(6)
        campaign = self._campaign()
        campaign.action_start()
        for hold in (True, False):
            with self.subTest("the scheduled action was quicker" if hold else "the button was quicker"):
                before = campaign.start_date
                campaign.action_pause()
                if hold:
                    self.cron()
                    self.assertEqual(len(self.rows(campaign_id=campaign.id, held=True)), 6)
                # An hour goes by.
                campaign.paused_date -= timedelta(hours=1)
                campaign.pace_date -= timedelta(hours=1)
                for row in self.rows(campaign_id=campaign.id):
                    row.scheduled_date -= timedelta(hours=1)
                campaign.action_resume()
                self.assertEqual(self.minutes(campaign, before), [0] * 3 + [10] * 3, "no burst")
                self.assertFalse(self.rows(campaign_id=campaign.id, held=True))
        self.cron()
        self.assertEqual(self.minutes(campaign, before), [0] * 3 + [10] * 3 + [20] * 3 + [30] * 3)

    def test_released_in_chunks(self):
        """Each message is moved once, whoever releases it."""
        self.startPatcher(patch.object(campaigns, "ROWS_AT_ONCE", 4))
        self.startPatcher(patch.object(expansion, "ROWS_CHUNK", 3))
        campaign = self._campaign()
        campaign.action_start()
        campaign.action_pause()
        self.cron()
        campaign.paused_date -= timedelta(hours=1)
        campaign.action_resume()
        self.assertEqual(len(self.rows(campaign_id=campaign.id, held=True)), 8)
        self.cron()
        self.assertFalse(self.rows(campaign_id=campaign.id, held=True))
        self.assertFalse(campaign.rows_todo)
        expected = [60] * 3 + [70] * 3 + [80] * 3 + [90] * 3
        self.assertEqual(self.minutes(campaign, campaign.start_date), expected)

    def test_failed_ones_come_back_in_batches(self):
        campaign = self._campaign()
        campaign.action_start()
        self.rows(campaign_id=campaign.id).write({"state": "failed", "error_class": "retry_later"})
        campaign.action_retry_failed()
        expected = [0] * 3 + [10] * 3 + [20] * 3 + [30] * 3
        self.assertEqual(self.minutes(campaign, fields.Datetime.now()), expected)


class TestCampaignPause(CampaignCase):
    def test_within_one_claim(self):
        campaign = self._campaign()
        campaign.action_start()
        drain = self.env["sicantik.notification.drain"]
        self.assertEqual(len(drain._claim(1, 5)), 5)
        campaign.action_pause()
        self.env.flush_all()
        self.assertFalse(drain._claim(1, 5))
        self.assertFalse(drain._next_due())
        campaign.action_resume()
        self.env.flush_all()
        self.assertEqual(len(drain._claim(1, 100)), 7)

    def test_paused_messages_are_out_of_the_way(self):
        campaign = self._campaign()
        campaign.action_start()
        campaign.action_pause()
        self.cron()
        self.assertEqual(self.rows(campaign_id=campaign.id).mapped("held"), [True] * 12)
        other = self._row(scheduled_date=fields.Datetime.now() + timedelta(seconds=-1))
        self.drain()
        self.assertEqual(other.state, "sent")
        self.assertEqual(campaign.total_pending, 12)
        campaign.action_resume()
        self.drain()
        self.assertEqual((campaign.total_sent, campaign.state), (12, "completed"))

    def test_nothing_is_expanded_meanwhile(self):
        self.chunks(5)
        campaign = self._campaign()
        campaign.action_start()
        campaign.action_pause()
        self.cron()
        self.assertEqual(len(self.queued(campaign)), 5)

    def test_cancel(self):
        self.chunks(5)
        self.startPatcher(patch.object(campaigns, "ROWS_AT_ONCE", 2))
        campaign = self._campaign()
        campaign.action_start()
        drain = self.env["sicantik.notification.drain"]
        claimed = self.queue.browse(drain._claim(1, 1)[0].id)
        campaign.action_cancel()
        self.assertEqual((campaign.total_cancelled, campaign.rows_todo), (2, "cancel"))
        self.env.flush_all()
        self.assertFalse(drain._claim(1, 100), "it holds for all at once")
        self.cron()
        self.assertEqual(
            (campaign.total_cancelled, campaign.rows_todo, self.targets(campaign)), (4, "cancel", 0)
        )
        self.assertEqual((campaign.total_pending, campaign.total_skipped), (1, 0))
        entries = campaign.log_ids
        self.assertEqual(entries.mapped("error_class"), ["cancelled"] * 4)
        self.assertIn("Cancelled by", entries[0].error_message)
        self.assertTrue(entries[0].phone and entries[0].partner_id)
        with self.assertRaisesRegex(UserError, "still being cancelled"):
            campaign.unlink()
        self.cron()
        self.assertEqual((claimed.state, campaign.rows_todo), ("processing", "cancel"), "it is waited for")
        claimed.write({"state": "sent"})
        self.cron()
        self.assertFalse(campaign.rows_todo)
        campaign.unlink()

    def test_what_comes_back_to_a_cancelled_campaign(self):
        """Whatever way it comes back, it ends as the others: reason, log row, and its key given back."""
        self.rule.repeat_policy = "once"
        campaign = self._campaign()
        campaign.action_start()
        drain = self.env["sicantik.notification.drain"]
        released, settled, rescued = self.queue.browse([row.id for row in drain._claim(7, 3)])
        campaign.action_cancel()
        wait = {"state": "pending", "error_class": "limited", "retry_count": 0, "attempt_count": 0}
        drain._release(7, released.ids)
        self.env["sicantik.notification.settlement"]._write(7, [{"id": settled.id, **wait}])
        self.env["sicantik.notification.worker"]._rescue()
        self.env.invalidate_all()
        rows = released + settled + rescued
        self.assertEqual(set(rows.mapped("state")), {"pending"})
        self.assertFalse(drain._claim(8, 100), "and is not sent meanwhile")
        self.cron()
        for row in rows:
            self.assertEqual((row.state, row.error_class), ("cancelled", "cancelled"))
            self.assertIn("Cancelled by", row.error_message)
            self.assertAttempts(row, [("skipped", False, "cancelled")])
        self.assertFalse(campaign.rows_todo)
        again = self._campaign()
        again.action_start()
        self.assertEqual(self.queued(again), self.permits.ids)

    def test_what_may_have_left_keeps_its_key(self):
        self.rule.repeat_policy = "once"
        campaign = self._campaign()
        campaign.action_start()
        row = self.rows(campaign_id=campaign.id)[0]
        row.error_class = "interrupted"  # its provider sends such messages again
        campaign.action_cancel()
        self.assertEqual((row.state, row.error_class), ("cancelled", "interrupted"))
        again = self._campaign()
        again.action_start()
        self.assertEqual(self.queued(again), self.permits.ids[1:], "they may have been told")

    def test_cancel_wakes_until_nothing_is_left(self):
        campaign = self._campaign()
        campaign.action_start()
        self.env["sicantik.notification.drain"]._claim(1, 1)
        campaign.action_cancel()
        triggers = self.env["ir.cron.trigger"].search([])
        self.cron()
        new = self.env["ir.cron.trigger"].search([]) - triggers
        self.assertEqual(new.cron_id, self.env.ref(campaigns.CRON))
        self.assertGreater(min(new.mapped("call_at")), fields.Datetime.now(), "not at once, again and again")

    def test_retry_in_a_cancelled_campaign(self):
        self.gateway.fault("fonnte", "target invalid")
        campaign = self._campaign()
        campaign.action_start()
        rows = self.rows(campaign_id=campaign.id)
        rows[1:].write({"scheduled_date": fields.Datetime.now() + timedelta(minutes=9)})
        self.drain()
        campaign.action_cancel()
        self.assertEqual(rows[0].state, "failed")
        with self.assertRaisesRegex(UserError, "Relaunch it"):
            rows[0].action_retry()
        self.assertEqual(rows[0].state, "failed")

    def test_what_comes_back_late_is_found(self):
        """A retry or a refusal that had begun before the cancellation, and was committed after its end."""
        campaign = self._campaign()
        campaign.action_start()
        campaign.action_cancel()
        self.cron()
        self.assertFalse(campaign.rows_todo)
        row = self.rows(campaign_id=campaign.id)[0]
        row.write({"state": "pending", "error_class": False})
        with self.assertRaisesRegex(UserError, "still being cancelled"):
            campaign.unlink()
        self.cron()
        self.assertEqual((row.state, row.error_class, campaign.rows_todo), ("cancelled", "cancelled", False))

    def test_cancel_what_is_held(self):
        campaign = self._campaign()
        campaign.action_start()
        campaign.action_pause()
        self.cron()
        campaign.action_cancel()
        rows = self.rows(campaign_id=campaign.id)
        self.assertEqual(set(rows.mapped("state")), {"cancelled"})
        self.assertFalse(any(rows.mapped("held")))

    def test_pause_before_the_release_is_done(self):
        self.startPatcher(patch.object(campaigns, "ROWS_AT_ONCE", 4))
        campaign = self._campaign()
        campaign.action_start()
        campaign.action_pause()
        self.cron()
        campaign.action_resume()
        campaign.action_pause()
        self.cron()
        campaign.action_resume()
        self.cron()
        self.drain()
        self.assertEqual((campaign.state, campaign.total_sent), ("completed", 12))


class TestCampaignFailures(CampaignCase):
    def _limits(self, percent, last):
        for what, value in (("percent", percent), ("last", last)):
            self.env["ir.config_parameter"].set_param(health.LIMITS[what][0], str(value))

    def test_pauses_by_itself(self):
        self._limits(50, 10)
        campaign = self._campaign(user_id=new_test_user(self.env, "owner", groups=f"{GROUP}manager").id)
        self.gateway.fault("fonnte", "target invalid")
        campaign.action_start()
        self.rows(campaign_id=campaign.id)[6:].write(
            {"scheduled_date": fields.Datetime.now() + timedelta(minutes=9)}
        )
        self.drain()
        self.assertEqual((campaign.state, campaign.total_failed, campaign.total_pending), ("paused", 6, 6))
        self.assertIn("of the last", campaign.state_reason)
        self.assertEqual(campaign.activity_ids.user_id, campaign.user_id)
        self.gateway.clear_faults()
        campaign.action_resume()
        self.assertFalse(campaign.activity_ids)
        self.rows(campaign_id=campaign.id, state="pending").write({"scheduled_date": fields.Datetime.now()})
        self.drain()
        self.assertEqual((campaign.state, campaign.total_sent), ("completed", 6))
        campaign.action_retry_failed()
        self.drain()
        self.assertEqual((campaign.state, campaign.total_sent, campaign.total_failed), ("completed", 12, 0))

    def test_pauses_without_an_owner_who_may_know(self):
        self._limits(50, 10)
        campaign = self._campaign(user_id=new_test_user(self.env, "stranger", groups="base.group_user").id)
        self.gateway.fault("fonnte", "target invalid")
        campaign.action_start()
        with mute_logger(EVALUATION):
            self.drain()
        self.assertEqual(campaign.state, "paused")
        self.assertIn("of the last", campaign.state_reason)

    def test_few_failures_do_not_pause(self):
        self._limits(50, 10)
        campaign = self._campaign()
        self.gateway.fault("fonnte", "target invalid", times=4)
        campaign.action_start()
        self.drain()
        self.assertEqual((campaign.state, campaign.total_failed), ("completed", 4))

    def test_switched_off(self):
        self._limits(0, 10)
        campaign = self._campaign()
        self.gateway.fault("fonnte", "target invalid")
        campaign.action_start()
        self.drain()
        self.assertEqual((campaign.state, campaign.total_failed), ("completed", 12))

    def test_what_a_run_sees(self):
        watch = health.Watch()
        self.assertEqual(watch.note([(1, "sent"), (1, "skipped")]), set())
        self.assertEqual(watch.note([(1, "failed")]), {1}, "unknown so far: the database is asked")
        watch.learn(2, 3, {1: [True]})
        self.assertEqual(watch.note([(1, "sent"), (1, "sent"), (1, "sent"), (1, "failed")]), set())
        self.assertEqual(watch.note([(1, "failed")]), {1})
        watch.learn(0, 3, {})
        self.assertEqual(watch.note([(1, "failed"), (2, "failed")]), set())

    def test_retry_failed_only(self):
        campaign = self._campaign()
        campaign.action_start()
        self.drain()
        rows = self.rows(campaign_id=campaign.id)
        rows[0].write({"state": "failed", "error_class": "bad_template"})
        rows[1].write({"state": "failed", "error_class": "interrupted"})
        rows[2].write({"state": "skipped", "error_class": "no_number"})
        self.assertEqual(campaign.total_interrupted, 1)
        campaign.action_retry_failed()
        self.assertEqual(rows[:3].mapped("state"), ["pending", "failed", "skipped"])
        self.assertEqual(campaign.state, "running")
        self.drain()
        self.assertEqual((rows[0].state, campaign.state), ("sent", "completed"))
        campaign.action_retry_interrupted()
        self.drain()
        self.assertEqual(rows[:3].mapped("state"), ["sent", "sent", "skipped"])

    def test_settings(self):
        settings = self.env["res.config.settings"]
        self._limits("", "")
        new = settings.create({})
        self.assertEqual((new.whatsapp_campaign_pause_percent, new.whatsapp_campaign_pause_last), (50, 100))
        settings.create({"whatsapp_campaign_pause_percent": 0}).execute()
        self.assertEqual(self.env["sicantik.notification.campaign.health"]._limit("percent"), 0)
        for wrong in ({"whatsapp_campaign_pause_percent": 101}, {"whatsapp_campaign_pause_last": 0}):
            with self.assertRaises(UserError):
                settings.create({"whatsapp_campaign_pause_percent": 50, **wrong})


class TestCampaignNumbers(CampaignCase):
    def test_queries_do_not_grow_with_the_list(self):
        several = self._campaign().union(*(self._campaign(name=f"C {n}") for n in range(20)))
        for campaign in several:
            campaign.action_start()
        names = ("total_sent", "total_cancelled", "progress_percentage")
        live = ("rate_per_minute", "expected_end", "total_interrupted")
        for chosen in (several[:1], several):
            self.env.invalidate_all()
            with self.assertQueryCount(1):
                self.assertEqual(set(chosen.mapped("total_pending")), {12})
                chosen.mapped(lambda campaign: [campaign[name] for name in names])
            with self.assertQueryCount(2):  # one is for their dates and states
                chosen.mapped(lambda campaign: [campaign[name] for name in live])

    def test_rate_and_end(self):
        campaign = self._campaign()
        campaign.action_start()
        rows = self.rows(campaign_id=campaign.id)
        rows[6:].write({"scheduled_date": fields.Datetime.now() + timedelta(hours=1)})
        self.drain()
        self.assertEqual((campaign.total_sent, campaign.rate_per_minute), (6, 6.0))
        minutes = (campaign.expected_end - fields.Datetime.now()).total_seconds() / 60
        self.assertAlmostEqual(minutes, 1, delta=0.5)
        campaign.action_pause()
        self.assertFalse(campaign.rate_per_minute or campaign.expected_end)


class TestDryRun(CampaignCase):
    def lines(self, wizard):
        return {(line.kind, line.reason): line.amount for line in wizard.line_ids}

    def play(self, campaign):
        action = campaign.action_dry_run()
        return self.env[action["res_model"]].browse(action["res_id"])

    def test_says_what_would_happen(self):
        self.permits[0].partner_id.whatsapp_number = False
        self.env["sicantik.notification.blacklist"].create({"phone_number": "081200000012"})
        self.permits[3].partner_id = False
        campaign = self._campaign()
        before = (self.queue.search_count([]), self.logs.search_count([]))
        wizard = self.play(campaign)
        self.assertEqual(
            self.lines(wizard),
            {
                ("send", "Fonnte"): 9,
                ("skip", "No Usable Number"): 1,
                ("skip", "Blacklisted"): 1,
                ("skip", "Nobody to Write To"): 1,
            },
        )
        self.assertEqual((wizard.total_targets, wizard.send_count, wizard.skip_count), (12, 9, 3))
        self.assertEqual(wizard.recipient_count, 11)
        self.assertFalse(wizard.is_estimate)
        self.assertIn(
            "Applicant 12", wizard.line_ids.filtered(lambda one: one.reason == "Blacklisted").samples
        )
        self.assertEqual((self.queue.search_count([]), self.logs.search_count([])), before, "writes nothing")
        self.assertEqual((campaign.state, self.targets(campaign)), ("draft", 0))
        campaign.action_start()
        self.drain()
        self.assertEqual((campaign.total_sent, campaign.total_skipped), (9, 3), "and so it happened")

    def test_what_would_fail(self):
        self.fonnte.active = False
        wizard = self.play(self._campaign())
        self.assertEqual(self.lines(wizard), {("fail", "No Eligible Provider"): 12})
        wizard = self.play(self._campaign(template_key="no_such_key"))
        self.assertEqual(self.lines(wizard), {("fail", "No Such Template"): 12})

    def test_repeat_policy(self):
        self.rule.repeat_policy = "once"
        self.env["sicantik.notification.trigger"].fire("campaign", self.permits[:4])
        wizard = self.play(self._campaign())
        self.assertEqual((wizard.send_count, wizard.skip_count), (8, 4))

    def test_many_targets_are_estimated(self):
        self.startPatcher(patch.object(dry_run, "LIMIT", 6))
        self.startPatcher(patch.object(dry_run, "CHUNK", 4))
        self.permits[0].partner_id.whatsapp_number = False
        wizard = self.play(self._campaign())
        self.assertEqual((wizard.total_targets, wizard.examined, wizard.is_estimate), (12, 6, True))
        self.assertEqual((wizard.send_count, wizard.skip_count), (10, 2))
        self.assertEqual(self.lines(wizard)["send", "Fonnte"], 5)
        wizard.action_start()
        self.assertEqual(wizard.campaign_id.state, "running")
