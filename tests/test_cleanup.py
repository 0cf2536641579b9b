"""Cleaning up: what goes, what stays, and that totals do not notice."""

from datetime import timedelta
from types import SimpleNamespace
from unittest.mock import patch

from odoo import fields
from odoo.exceptions import ValidationError
from odoo.tests import new_test_user, tagged

from ..models import sicantik_notification_cleanup as cleanup
from .common import NotificationCase

CRON = "sicantik_notification_automation.ir_cron_cleanup_logs"
USER = "sicantik_notification_automation.group_notification_user"
LOG_DAYS = "sicantik_notification_automation.log_keep_days"
QUEUE_DAYS = "sicantik_notification_automation.queue_keep_days"
ENDED = ("sent", "failed", "skipped", "cancelled")
TOTALS = (
    *("total_targets", "total_sent", "total_failed", "total_skipped", "total_cancelled", "total_pending"),
)


class CleanupCase(NotificationCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.env["ir.config_parameter"].search([("key", "in", (LOG_DAYS, QUEUE_DAYS))]).unlink()
        cls.trigger = cls._trigger("test_manual", trigger_type="manual")
        cls.rule = cls._rule(cls.trigger)
        cls.campaign = cls._campaign("Spring")
        cls.journal = cls.env["sicantik.notification.execution"]
        # What is old already, of other modules' demo data or of earlier work, is none of these tests'.
        cls.logs.cron_cleanup_old_logs()

    @classmethod
    def _campaign(cls, name):
        return cls.env["sicantik.notification.campaign"].create({"name": name, "rule_id": cls.rule.id})

    def setUp(self):
        super().setUp()
        # Few rows are to fill several chunks.
        for name in ("CHUNK", "MESSAGE_CHUNK"):
            self.startPatcher(patch.object(cleanup, name, 3))

    def age(self, rows, days, names=("create_date", "write_date")):
        """Make rows as old as so many days."""
        self.env.flush_all()
        then = fields.Datetime.now() - timedelta(days=days)
        for name in names:
            self.env.cr.execute(f"UPDATE {rows._table} SET {name} = %s WHERE id = ANY(%s)", [then, rows.ids])
        self.env.invalidate_all()
        return rows

    def message(self, state="sent", days=0, **vals):
        """Make a message of the campaign that ended so many days ago."""
        row = self._row(**{"rule_id": self.rule.id, "campaign_id": self.campaign.id, **vals})
        row.write({"state": state, "sent_date": state == "sent" and fields.Datetime.now()})
        names = ["create_date", "write_date"] + ["sent_date"] * (state == "sent")
        return self.age(row, days, names)

    def entry(self, days=0, **vals):
        """Make a row of the log."""
        entry = self.logs.create({"rule_id": self.rule.id, "state": "sent", **vals})
        return self.age(entry, days)

    def execution(self, days=0, **vals):
        """Make a row of the journal."""
        return self.age(self.journal.create({"trigger_id": self.trigger.id, "record_count": 1, **vals}), days)

    def clean(self):
        self.env.flush_all()
        return self.logs.cron_cleanup_old_logs()

    def totals(self):
        """Give everything that is counted of the rule, the trigger and the campaign."""
        self.env.invalidate_all()
        names = ("execution_count", "last_execution_date", "last_error")
        return {
            **{name: self.campaign[name] for name in (*TOTALS, "progress_percentage")},
            **{name: self.rule[name] for name in ("success_count", "failed_count")},
            **{f"rule {name}": self.rule[name] for name in names},
            **{f"trigger {name}": self.trigger[name] for name in names},
        }


@tagged("post_install", "-at_install")
class TestCleanup(CleanupCase):
    # === THE LOG ===#

    def test_old_log_rows_go(self):
        old = self.logs.union(*(self.entry(days=91) for _number in range(7)))
        young = self.logs.union(*(self.entry(days=89) for _number in range(2)))
        self.assertEqual(self.clean(), 7)
        self.assertEqual((old.exists(), young.exists()), (self.logs, young))

    def test_old_and_young_mixed(self):
        """Also whole chunks of young rows do not end the walk."""
        ages = (100, 1, 100, 1, 1, 1, 1, 1, 1, 100, 100, 100, 100, 1, 100)
        rows = [self.entry(days=days) for days in ages]
        self.assertEqual(self.clean(), ages.count(100))
        self.assertEqual([bool(row.exists()) for row in rows], [days == 1 for days in ages])

    def test_a_second_time(self):
        self.entry(days=100)
        self.assertEqual((self.clean(), self.clean()), (1, 0))

    def test_nothing_to_do(self):
        self.assertEqual(self.clean(), 0)

    # === THE QUEUE ===#

    def test_ended_messages_go(self):
        old = self.queue.union(*(self.message(state, days=31) for state in ENDED))
        young = self.queue.union(*(self.message(state, days=29) for state in ENDED))
        self.clean()
        self.assertEqual((old.exists(), young.exists()), (self.queue, young))

    def test_what_is_to_be_sent_stays(self):
        rows = self.queue.union(*(self.message(state, days=1000) for state in ("pending", "processing")))
        self.clean()
        self.assertEqual(rows.exists(), rows)

    def test_age_is_counted_from_the_end(self):
        """A message that waited for months and was sent yesterday is a day old."""
        sent, failed = self.message("sent"), self.message("failed")
        self.age(sent + failed, 200, ["create_date"])
        self.clean()
        self.assertEqual((sent + failed).exists(), sent + failed)

    def test_log_rows_outlive_their_message(self):
        row = self.message(days=40)
        entry = self.entry(days=40, queue_id=row.id)
        self.assertEqual(self.clean(), 0)
        self.env.invalidate_all()
        self.assertFalse(row.exists())
        self.assertTrue(entry.exists())
        self.assertFalse(entry.queue_id)

    def test_rows_that_another_table_holds(self):
        rows = [self.message(days=40) for _number in range(5)]
        entries = [self.entry(days=100) for _number in range(5)]
        self.env.cr.execute(
            """
            CREATE TABLE "test cleanup %" (
                message integer REFERENCES sicantik_notification_queue,
                entry integer REFERENCES sicantik_notification_log ON DELETE RESTRICT)
            """
        )
        self.env.cr.execute('INSERT INTO "test cleanup %%" VALUES (%s, %s)', [rows[1].id, entries[3].id])
        self.assertEqual(self.clean(), 4)
        self.assertEqual([bool(row.exists()) for row in rows], [False, True, False, False, False])
        self.assertEqual([bool(row.exists()) for row in entries], [False, False, False, True, False])

    def test_tables_of_limits(self):
        now = fields.Datetime.now()
        usage = self.env["sicantik.notification.usage"].create(
            [{"subject": "test", "bucket": now - timedelta(days=days), "count": 1} for days in (0, 1, 3, 4)]
        )
        pairs = self.env["sicantik.whatsapp.pair"].create(
            [
                {
                    "provider_id": self._provider("meta").id,
                    "phone": "+6281200000098",
                    "last_date": now - timedelta(days=days),
                }
                for days in (1, 3)
            ]
        )
        places = self.env["sicantik.notification.allowance"].create(
            [
                {"subject": subject, "next_slot": now - timedelta(days=days)}
                for subject, days in (("line:9:rule 1", 1), ("line:9:rule 2", 3), ("provider:9", 3))
            ]
        )
        self.clean()
        self.env.invalidate_all()
        self.assertEqual((usage.exists(), pairs.exists()), (usage[:2], pairs[:1]))
        self.assertEqual(places.exists(), places[0] + places[2])

    # === TOTALS ===#

    def _history(self):
        for state in (*ENDED, "sent", "sent", "failed"):
            self.message(state, days=40)
            self.message(state, days=4)
        self.message("pending", days=40)
        for days, error in ((200, False), (150, "oops"), (100, False), (95, "late")):
            self.execution(days, rule_id=self.rule.id, record_count=3, error=error)
            self.execution(days, record_count=5)

    def test_totals_survive(self):
        self._history()
        before = self.totals()
        self.assertEqual(
            (
                *(before["total_sent"], before["total_skipped"], before["total_cancelled"]),
                before["success_count"],
            ),
            (6, 2, 2, 6),
            before,
        )
        self.assertEqual((before["rule execution_count"], before["rule last_error"]), (12, "late"))
        self.clean()
        self.assertEqual(self.totals(), before)
        self.assertEqual(self.queue.search_count([("campaign_id", "=", self.campaign.id)]), 8)
        self.assertEqual(self.journal.search_count([("trigger_id", "=", self.trigger.id)]), 2)

    def test_totals_survive_in_the_middle(self):
        """Each chunk is counted where it is deleted: whoever stops in between leaves true totals."""
        self._history()
        before = self.totals()
        walker = self.env["sicantik.notification.cleanup"]
        for job in walker._jobs():
            position, chunks, deleted = 0, 0, 0
            while position is not None:
                position, count = walker._delete_chunk(job, "", position)
                chunks, deleted = chunks + 1, deleted + count
                with self.subTest(job.model, chunk=chunks):
                    self.assertEqual(self.totals(), before)
            self.assertGreater(chunks, deleted / cleanup.CHUNK)
        self.assertEqual(self.clean(), 0)
        self.assertEqual(self.totals(), before)

    def test_totals_add_up_over_time(self):
        for _month in range(3):
            self._history()
            before = self.totals()
            self.clean()
            self.assertEqual(self.totals(), before)
        lines = self.env["sicantik.notification.tally"].search([("campaign_id", "=", self.campaign.id)])
        self.assertEqual(
            {line.kind: line.amount for line in lines},
            {"sent": 9, "failed": 6, "skipped": 3, "cancelled": 3},
        )

    def test_progress_of_a_campaign_without_rows(self):
        for state in ENDED:
            self.message(state, days=40)
        self.clean()
        self.assertFalse(self.campaign.queue_ids)
        self.assertEqual((self.campaign.total_targets, self.campaign.progress_percentage), (4, 100))

    def test_totals_survive_rows_deleted_by_hand(self):
        self._history()
        before = self.totals()
        self.rows(campaign_id=self.campaign.id).filtered(lambda row: row.state in ENDED).unlink()
        self.assertEqual(self.totals(), before)
        self.clean()
        self.assertEqual(self.totals(), before)

    def test_owners_are_counted_apart(self):
        other = self._campaign("Autumn")
        self.message(days=40)
        self.message(days=40, campaign_id=other.id)
        self.message(days=40, campaign_id=False, rule_id=False)
        self.clean()
        self.assertEqual((self.campaign.total_sent, other.total_sent, self.rule.success_count), (1, 1, 2))

    def test_a_deleted_campaign_stays_in_the_totals_of_its_rule(self):
        self.message(days=40)
        self.clean()
        self.campaign.unlink()
        self.assertEqual(self.rule.success_count, 1)

    def test_a_rule_that_executes_again(self):
        self.execution(200, rule_id=self.rule.id, record_count=2)
        self.execution(100, rule_id=self.rule.id, record_count=3, error="oops")
        self.clean()
        self.execution(rule_id=self.rule.id, record_count=4)
        self.env.invalidate_all()
        self.assertEqual((self.rule.execution_count, self.rule.last_error), (9, False))

    def test_who_may_not_see_a_message_does_not_see_it_counted(self):
        company = self.env["res.company"].create({"name": "Elsewhere"})
        user = new_test_user(self.env, "reader_test", groups=USER)
        self.message(days=40)
        self.message(days=40, company_id=company.id)

        def seen(rule):
            rule.invalidate_recordset()
            return rule.success_count

        for _time in ("before", "after"):
            self.assertEqual((seen(self.rule.with_user(user)), seen(self.rule)), (1, 2))
            self.clean()

    def test_queries_do_not_grow_with_the_list(self):
        campaigns = self.campaign.union(*(self._campaign(f"Campaign {number}") for number in range(20)))
        rules = self.rule.union(*(self._rule(self.trigger, name=f"Rule {number}") for number in range(20)))
        for campaign, rule in zip(campaigns, rules, strict=True):
            self.message(days=40, campaign_id=campaign.id, rule_id=rule.id)
            self.message(campaign_id=campaign.id, rule_id=rule.id)
            self.execution(rule_id=rule.id)
        self.clean()
        for records, name, queries, expected in (
            (campaigns, "total_sent", 1, 2),
            (rules, "success_count", 1, 2),
            (rules, "execution_count", 3, 1),
        ):
            self.env.flush_all()
            self.env.invalidate_all()
            with self.subTest(name), self.assertQueryCount(queries):
                self.assertEqual(set(records.mapped(name)), {expected})

    # === WHAT RULES REMEMBER ===#

    def _tell(self, permit, days):
        """Fire the trigger, send what it queued, and let time pass."""
        self.trigger.fire("test_manual", permit)
        self.commit()
        self.drain()
        rows = self.rows(res_model="sicantik.permit", res_id=permit.id)
        entries = self.logs.search([("res_model", "=", "sicantik.permit"), ("res_id", "=", permit.id)])
        self.age(rows, days, ["create_date", "write_date", "sent_date"])
        self.age(entries, days)
        return rows, entries

    def test_once_is_once(self):
        self._provider("fonnte")
        permit = self._permit()
        self.rule.repeat_policy = "once"
        rows, entries = self._tell(permit, 400)
        self.assertEqual((rows.state, entries.state), ("sent", "sent"))
        self.clean()
        self.assertFalse(rows.exists())
        again, _entries = self._tell(permit, 0)
        self.assertFalse(again)
        self.assertEqual(len(self.gateway.messages()), 1)

    def test_always_leaves_no_memory(self):
        self._provider("fonnte")
        rows, entries = self._tell(self._permit(), 400)
        self.assertEqual(self.clean(), 1)
        self.assertFalse(rows.exists() or entries.exists())

    def test_memory_goes_with_its_rule(self):
        self._provider("fonnte")
        self.rule.repeat_policy = "once"
        _rows, entries = self._tell(self._permit(), 400)
        self.campaign.unlink()
        self.rule.unlink()
        self.assertEqual(self.clean(), 1)
        self.assertFalse(entries.exists())

    def test_cooldown_longer_than_rows_are_kept(self):
        self._provider("fonnte")
        permit = self._permit()
        self.rule.write({"repeat_policy": "cooldown", "cooldown_hours": 60 * 24})
        rows, _entries = self._tell(permit, 50)
        self.clean()
        again, _entries = self._tell(permit, 61)
        self.assertEqual(again, rows, "held back")
        self.clean()
        self.assertFalse(rows.exists())
        again, _entries = self._tell(permit, 0)
        self.assertEqual(again.state, "sent")

    # === THE BUDGET ===#

    def _clean_in(self, seconds_per_look):
        """Clean by a clock that moves on so much each time it is read; tell whether the cron is woken."""
        now = iter(range(0, 10**6, seconds_per_look))
        triggers = self.env["ir.cron.trigger"].search_count([])
        with patch.object(cleanup, "time", SimpleNamespace(monotonic=lambda: next(now))):
            deleted = self.clean()
        return deleted, self.env["ir.cron.trigger"].search_count([]) > triggers

    def test_the_rest_is_left_to_another_run(self):
        for _number in range(12):
            self.entry(days=100)
        deleted, woken = self._clean_in(25)
        self.assertEqual((deleted, woken), (6, True))
        self.assertEqual(self._clean_in(1), (6, False))

    def test_a_run_without_success_is_not_repeated_at_once(self):
        for _number in range(12):
            self.entry(days=1)
        self.assertEqual(self._clean_in(25), (0, False))

    # === SETTINGS ===#

    def _set(self, **values):
        names = {"log": "whatsapp_log_keep_days", "queue": "whatsapp_queue_keep_days"}
        settings = self.env["res.config.settings"].create(
            {names[name]: days for name, days in values.items()}
        )
        settings.execute()

    def _get(self):
        settings = self.env["res.config.settings"].create({})
        return settings.whatsapp_log_keep_days, settings.whatsapp_queue_keep_days

    def test_settings_are_kept(self):
        self.assertEqual(self._get(), (90, 30))
        self._set(log=365, queue=10)
        self.assertEqual(self._get(), (365, 10))
        self._set(log=0)
        self.assertEqual(self._get(), (0, 10))

    def test_settings_are_obeyed(self):
        entries = self.entry(days=100) + self.entry(days=370)
        rows = self.message(days=9) + self.message(days=11)
        self._set(log=365, queue=10)
        self.assertEqual(self.clean(), 1)
        self.assertEqual((entries.exists(), rows.exists()), (entries[0], rows[0]))

    def test_zero_keeps_for_ever(self):
        entry, row, execution = self.entry(days=9999), self.message(days=9999), self.execution(9999)
        self.execution()
        self._set(log=0, queue=0)
        self.assertEqual(self.clean(), 0)
        self.assertTrue(entry.exists() and row.exists() and execution.exists())

    def test_too_short(self):
        for days in (6, 1, -1):
            with self.subTest(days), self.assertRaises(ValidationError):
                self._set(queue=days)

    def test_parameters_written_by_hand(self):
        row = self.message(days=5)
        for value, expected in (
            ("1", 7),
            ("-5", 30),
            ("soon", 30),
            ("", 30),
            (" 0 ", 0),
            ("45", 45),
            ("9" * 12, 36_500),
        ):
            self.env["ir.config_parameter"].set_param(QUEUE_DAYS, value)
            with self.subTest(value):
                self.assertEqual(self.env["sicantik.notification.cleanup"]._keep_days("queue"), expected)
                self.clean()
        self.assertTrue(row.exists())

    def test_the_scheduled_action(self):
        entry = self.entry(days=100)
        self.env.ref(CRON).ir_actions_server_id.run()
        self.env.invalidate_all()
        self.assertFalse(entry.exists())
