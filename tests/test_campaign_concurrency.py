"""Campaigns on several real connections at once: what one transaction does is seen by the other one."""

import threading
from contextlib import contextmanager
from unittest.mock import patch

import psycopg2

from odoo import SUPERUSER_ID, api
from odoo.exceptions import UserError
from odoo.modules.registry import Registry
from odoo.tests import get_db_name, tagged
from odoo.tests.common import BaseCase

from ..models import sicantik_notification_campaign as campaigns
from ..models import sicantik_notification_expansion as expansion
from ..models import transaction

TIMEOUT = 30
WAITING = """
    SELECT 1 FROM pg_stat_activity
     WHERE datname = current_database() AND wait_event_type = 'Lock'
"""


@tagged("post_install", "-at_install")
class TestCampaignConcurrency(BaseCase):
    """What these tests create is committed, so that other connections see it, and deleted in the end."""

    def setUp(self):
        super().setUp()
        self.registry = Registry(get_db_name())
        # Here nothing holds its records in a transaction that never commits.
        patcher = patch.object(transaction, "shares_cursor", return_value=False)
        patcher.start()
        self.addCleanup(patcher.stop)
        patcher = patch.object(expansion, "CHUNK", 4)
        patcher.start()
        self.addCleanup(patcher.stop)
        with self.environment() as env:
            partner = env["res.partner"].create({"name": "Crowd", "whatsapp_number": "081200000098"})
            permits = env["sicantik.permit"].create([{"partner_id": partner.id} for _n in range(10)])
            trigger = env["sicantik.notification.trigger"].create(
                {
                    "name": "Crowd",
                    "code": "crowd",
                    "model_id": env["ir.model"]._get_id("sicantik.permit"),
                    "trigger_type": "manual",
                }
            )
            rule = env["sicantik.notification.rule"].create(
                {"name": "Crowd", "trigger_id": trigger.id, "template_key": "permit_ready"}
            )
            self.campaign_id = self._create(env, rule, f"[('id', 'in', {permits.ids})]").id
            self.permit_ids = permits.ids
            self.partner_id, self.trigger_id, self.rule_id = partner.id, trigger.id, rule.id
        self.addCleanup(self._clean)

    def _create(self, env, rule, domain):
        return env["sicantik.notification.campaign"].create(
            {"name": "Crowd", "rule_id": rule.id, "target_domain": domain}
        )

    def _clean(self):
        with self.environment() as env:
            for table in ("log", "queue"):
                env.cr.execute(
                    f"DELETE FROM sicantik_notification_{table} WHERE rule_id = %s", [self.rule_id]
                )
            found = env["sicantik.notification.campaign"].search([("rule_id", "=", self.rule_id)])
            found.write({"state": "draft", "rows_todo": False})
            found.unlink()
            env.cr.execute("DELETE FROM sicantik_notification_campaign_target WHERE campaign_id IS NULL")
            env["sicantik.notification.trigger"].browse(self.trigger_id).unlink()
            env["sicantik.permit"].browse(self.permit_ids).unlink()
            env["res.partner"].browse(self.partner_id).unlink()

    @contextmanager
    def environment(self):
        """An environment with a connection of its own; committed when the block ends well."""
        with self.registry.cursor() as cr:
            yield api.Environment(cr, SUPERUSER_ID, {"tracking_disable": True})

    def campaign(self, env):
        return env["sicantik.notification.campaign"].browse(self.campaign_id)

    def queued(self):
        with self.environment() as env:
            return sorted(
                env["sicantik.notification.queue"]
                .search([("campaign_id", "=", self.campaign_id)])
                .mapped("res_id")
            )

    @contextmanager
    def committed_when_awaited(self, cursor):
        """Commit a transaction, in a thread, as soon as somebody waits for what it has locked."""
        waited = []

        def commit():
            with self.registry.cursor() as other:
                for _attempt in range(TIMEOUT * 20):
                    other.execute(WAITING)
                    if other.fetchone():
                        waited.append(True)
                        break
                    other.rollback()
                    threading.Event().wait(0.05)
            cursor.commit()

        thread = threading.Thread(target=commit, daemon=True)
        thread.start()
        try:
            yield
        finally:
            thread.join(2 * TIMEOUT)
        self.assertTrue(waited, "somebody waited for the campaign")

    def test_two_people_press_start(self):
        with self.environment() as first:
            self.campaign(first).action_start()
            first.flush_all()
            with self.committed_when_awaited(first.cr):
                with self.assertRaises(psycopg2.errors.SerializationFailure), self.environment() as env:
                    self.campaign(env).action_start()
        # The server does the second request again, and that finds the campaign running.
        with self.assertRaisesRegex(UserError, "is Running"), self.environment() as env:
            self.campaign(env).action_start()
        self.assertEqual(self.queued(), self.permit_ids[:4])

    def test_the_scheduled_action_and_a_button_at_once(self):
        """The scheduled action reads what is committed: it finds that the button was quicker."""
        with self.environment() as env:
            self.campaign(env).write({"state": "scheduled", "scheduled_date": "2026-01-01 00:00:00"})
        with self.environment() as first:
            self.campaign(first).action_start()
            first.flush_all()
            with self.committed_when_awaited(first.cr), self.environment() as env:
                env["sicantik.notification.campaign"].cron_process_campaign_batch()
        self.assertEqual(self.queued(), self.permit_ids)

    def test_each_chunk_is_committed(self):
        """What breaks off costs no more than its own chunk, and is done again."""
        with self.environment() as env:
            self.campaign(env).action_start()
        queue = self.registry["sicantik.notification.queue"]
        enqueue, calls = queue._enqueue, []

        def cut_off(records, rows):
            made = enqueue(records, rows)
            calls.append(made)
            if len(calls) == 2:
                raise KeyboardInterrupt
            return made

        with patch.object(queue, "_enqueue", cut_off), self.assertRaises(KeyboardInterrupt):
            with self.environment() as env:
                env["sicantik.notification.campaign"].cron_process_campaign_batch()
        self.assertEqual(self.queued(), self.permit_ids[:8], "two chunks, and the third is undone")
        with self.environment() as env:
            env["sicantik.notification.campaign"].cron_process_campaign_batch()
        self.assertEqual(self.queued(), self.permit_ids)

    def test_one_process_expands_a_campaign(self):
        with self.environment() as env:
            self.campaign(env).action_start()
            triggers = env["ir.cron.trigger"].search([]).ids
        with self.environment() as other:
            other.cr.execute("SELECT pg_advisory_lock(%s, %s)", [expansion.LOCK_SPACE, self.campaign_id])
            with self.environment() as env:
                env["sicantik.notification.campaign"].cron_process_campaign_batch()
            other.cr.execute("SELECT pg_advisory_unlock_all()")
        self.assertEqual(self.queued(), self.permit_ids[:4])
        with self.environment() as env:
            new = env["ir.cron.trigger"].search([("id", "not in", triggers)])
            self.assertIn(env.ref(campaigns.CRON), new.cron_id, "it looks again soon")

    def test_cancel_while_a_message_comes_back(self):
        """The button does not see that a message has come back: the scheduled action does."""
        with self.environment() as env:
            self.campaign(env).action_start()
            row = self.campaign(env).queue_ids[0]
            row.state = "processing"
            env.flush_all()
            env.cr.execute("UPDATE sicantik_notification_queue SET worker = 4711 WHERE id = %s", [row.id])
        wait = {"state": "pending", "error_class": "limited", "retry_count": 0, "attempt_count": 0}
        with self.environment() as button:
            self.campaign(button).read(["state"])  # from here on it sees the database as it is now
            with self.environment() as env:
                env["sicantik.notification.settlement"]._write(4711, [{"id": row.id, **wait}])
            self.campaign(button).action_cancel()
        with self.environment() as env:
            self.assertEqual(row.with_env(env).state, "pending")
            self.assertEqual(self.campaign(env).rows_todo, "cancel")
            env["sicantik.notification.campaign"].cron_process_campaign_batch()
        with self.environment() as env:
            row = row.with_env(env)
            self.assertEqual((row.state, row.error_class), ("cancelled", "cancelled"))
            self.assertEqual(len(row.log_ids), 1)
            self.assertFalse(self.campaign(env).rows_todo)

    def test_resume_while_messages_are_held(self):
        """The button does not see that they have been held since it began: the scheduled action does."""
        with self.environment() as env:
            self.campaign(env).action_start()
            self.campaign(env).action_pause()
        with self.environment() as button:
            self.campaign(button).read(["state"])
            with self.environment() as env, patch.object(expansion, "ROWS_CHUNK", 4):
                env["sicantik.notification.expansion"]._rows_step(self.campaign_id)
            self.campaign(button).action_resume()
        with self.environment() as env:
            self.assertEqual(set(self.campaign(env).queue_ids.mapped("held")), {True})
            env["sicantik.notification.campaign"].cron_process_campaign_batch()
        with self.environment() as env:
            self.assertEqual(set(self.campaign(env).queue_ids.mapped("held")), {False})

    def test_pause_while_it_expands(self):
        """The button waits for the chunk under way and then goes on: its row was not changed meanwhile."""
        with self.environment() as env:
            self.campaign(env).action_start()
        with self.environment() as chunk:
            chunk["sicantik.notification.expansion"]._step(self.campaign_id, 0, None)
            chunk.flush_all()
            with self.committed_when_awaited(chunk.cr), self.environment() as env:
                self.campaign(env).action_pause()
        with self.environment() as env:
            self.assertEqual(self.campaign(env).state, "paused")
            env["sicantik.notification.campaign"].cron_process_campaign_batch()
        self.assertEqual(self.queued(), self.permit_ids[:8])
