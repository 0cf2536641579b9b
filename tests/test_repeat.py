"""What a rule does not say again: counted, shown, remembered, and decided by the database."""

from datetime import timedelta

from freezegun import freeze_time
from psycopg2 import errorcodes

from odoo import fields
from odoo.tests import tagged

from .common import NotificationCase
from .test_cleanup import CleanupCase
from .test_concurrency import ConcurrencyCase

FIRE = """
cr.execute("SELECT 1")  # from here on it sees the database as it is now
print("started", flush=True)
try:
    permits = env["sicantik.permit"].browse(%r)
    result = env["sicantik.notification.trigger"].fire("repeat", permits)
    cr.commit()
    print(result["count"], flush=True)
except psycopg2.Error as error:
    print(error.pgcode, flush=True)
    cr.rollback()
"""


class RepeatCase(NotificationCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.trigger = cls._trigger("test_manual", trigger_type="manual")
        cls.rule = cls._rule(cls.trigger)

    def fire(self, records, **kwargs):
        result = self.trigger.fire("test_manual", records, **kwargs)
        self.commit()
        self.env.invalidate_all()
        return self.queue.browse(result["queue_ids"])


class TestHeldBack(RepeatCase):
    def test_always(self):
        permit = self._permit()
        for _time in range(2):
            self.fire(permit)
        self.assertEqual(self.rule.held_back_count, 0)

    def test_the_same_event_is_not_a_repetition(self):
        permit = self._permit()
        for _time in range(2):
            self.fire(permit, event_key="invoice 1")
        self.assertEqual((len(self.rows()), self.rule.held_back_count), (1, 0))

    def test_once(self):
        self.rule.repeat_policy = "once"
        permits = self._permit() + self._permit()
        for _time in range(3):
            self.fire(permits)
        self.assertEqual((len(self.rows()), self.rule.held_back_count), (2, 4))

    def test_cooldown(self):
        self.rule.write({"repeat_policy": "cooldown", "cooldown_hours": 24})
        permit = self._permit()
        for _time in range(3):
            self.fire(permit)
        self.assertEqual((len(self.rows()), self.rule.held_back_count), (1, 2))
        with freeze_time(fields.Datetime.now() + timedelta(hours=25)):
            self.assertTrue(self.fire(permit))
            self.assertEqual(self.rule.held_back_count, 2)

    def test_the_same_event_after_the_cooldown(self):
        """A cooldown does not make two messages of one event."""
        self.rule.write({"repeat_policy": "cooldown", "cooldown_hours": 24})
        permit = self._permit()
        self.assertTrue(self.fire(permit, event_key="invoice 1"))
        with freeze_time(fields.Datetime.now() + timedelta(hours=25)):
            self.assertFalse(self.fire(permit, event_key="invoice 1"))
            self.assertTrue(self.fire(permit, event_key="invoice 2"))

    def test_what_may_have_left_counts_as_told(self):
        for policy in ("once", "cooldown"):
            with self.subTest(policy):
                self.rule.repeat_policy = policy
                permit = self._permit()
                row = self.fire(permit)
                row.write({"state": "failed", "error_class": "interrupted"})
                self.assertFalse(self.fire(permit))

    def test_others_who_were_not_told(self):
        """A colleague who joins later hears of it although the others were told."""
        self.rule.write({"repeat_policy": "cooldown", "recipient_type": "custom"})
        self.rule.recipient_domain = f"[('id', 'in', {self.partner.ids})]"
        permit = self._permit()
        self.fire(permit)
        other = self._partner("Budi", "081200000002")
        self.rule.recipient_domain = f"[('id', 'in', {(self.partner + other).ids})]"
        self.assertEqual(self.fire(permit).partner_id, other)
        self.assertEqual(self.rule.held_back_count, 1)

    def test_queries_do_not_depend_on_the_number_of_records(self):
        self.rule.repeat_policy = "cooldown"
        counts = []
        for number in (2, 40):
            permits = self.env["sicantik.permit"].concat(*(self._permit() for _i in range(number)))
            for _time in range(2):
                self.commit()
                self.env.invalidate_all()
                before = self.cr.sql_log_count
                self.trigger.fire("test_manual", permits)
                counts.append(self.cr.sql_log_count - before)
        self.assertEqual(self.rule.held_back_count, 42)
        self.assertLessEqual(counts[2], counts[0] + 1)
        self.assertLessEqual(counts[3], counts[1] + 1)

    def test_preview(self):
        permit = self._permit()
        self._provider("fonnte")

        def preview():
            wizard = self.env["sicantik.notification.preview.wizard"].create(
                {"rule_id": self.rule.id, "res_id": permit.id}
            )
            wizard.action_preview()
            return wizard.preview_text

        for policy in ("once", "cooldown"):
            with self.subTest(policy):
                self.rule.repeat_policy = policy
                self.assertIn("is ready", preview())
                self.fire(permit)
                self.assertIn("told already", preview())
                self.assertNotIn("is ready", preview())
                self.rows().write({"state": "cancelled"})
                self.rule = self.rule.copy()


class TestHeldBackStays(CleanupCase):
    def test_after_the_cleanup(self):
        self.rule.repeat_policy = "once"
        permit = self._permit()
        for _time in range(3):
            self.trigger.fire("test_manual", permit)
        self.commit()
        self.age(self.env["sicantik.notification.execution"].search([]), 400)
        self.trigger.fire("test_manual", permit)  # the last row of the journal stays
        self.commit()
        before = self.totals()
        self.assertEqual(self.rule.held_back_count, 3)
        self.clean()
        self.assertEqual(self.totals(), before)
        self.assertEqual(self.rule.held_back_count, 3)

    def test_what_may_have_left_is_remembered(self):
        """The queue row is deleted, the log row stays: it is not told again."""
        self._provider("fonnte")
        self.rule.repeat_policy = "once"
        permit = self._permit()
        self.gateway.fault("fonnte", "cut_after_read")
        self.trigger.fire("test_manual", permit)
        self.commit()
        self.drain()
        row = self.rows(res_id=permit.id)
        self.assertEqual(row.error_class, "interrupted")
        entries = self.logs.search([("queue_id", "=", row.id)])
        self.age(row, 400)
        self.age(entries, 400)
        self.clean()
        self.assertFalse(row.exists())
        self.trigger.fire("test_manual", permit)
        self.assertFalse(self.rows(res_id=permit.id))


@tagged("post_install", "-at_install")
class TestCooldownProcesses(ConcurrencyCase):
    """Two transactions at once, which cannot see each other's messages."""

    def setUp(self):
        super().setUp()
        with self.environment() as env:
            trigger = env["sicantik.notification.trigger"].browse(self.ids["sicantik.notification.trigger"])
            trigger.write({"code": "repeat", "trigger_type": "manual"})
            trigger.rule_ids.write({"repeat_policy": "cooldown"})
            self.permits = env["sicantik.permit"].create(
                [
                    {"partner_id": self.ids["res.partner"], "permit_number": f"503/{number}"}
                    for number in range(2)
                ]
            )

    def _fire(self, env, permits):
        return env["sicantik.notification.trigger"].fire("repeat", permits.with_env(env))["count"]

    def _rows(self, env):
        return env["sicantik.notification.queue"].search([("res_id", "in", self.permits.ids)])

    def test_one_of_two(self):
        first = self.permits[0]
        later = self._process(FIRE % first.ids)
        with self.environment() as env:
            self.assertEqual(self._fire(env, first), 1)
            env.cr.flush()
            self._go(later)
            self.assertEqual(later.stdout.readline().strip(), "started")
        # It saw the database as it was before; the server does its transaction again.
        self.assertIn(later.stdout.readline().strip(), (errorcodes.SERIALIZATION_FAILURE, "0"))
        with self.environment() as env:
            self.assertEqual(self._fire(env, first), 0)
            self.assertEqual(len(self._rows(env)), 1)

    def test_one_that_is_taken_back(self):
        first = self.permits[0]
        later = self._process(FIRE % first.ids)
        with self.environment() as env:
            self._fire(env, first)
            env.cr.flush()
            self._go(later)
            self.assertEqual(later.stdout.readline().strip(), "started")
            env.cr.rollback()
        self.assertEqual(later.stdout.readline().strip(), "1")
        with self.environment() as env:
            self.assertEqual(len(self._rows(env)), 1)

    def test_another_record_does_not_wait(self):
        first, second = self.permits
        other = self._process(FIRE % second.ids)
        with self.environment() as env:
            self._fire(env, first)
            env.cr.flush()
            self._go(other)
            self.assertEqual(other.stdout.readline().strip(), "started")
            self.assertEqual(other.stdout.readline().strip(), "1", "while this transaction is still open")
        with self.environment() as env:
            self.assertEqual(len(self._rows(env)), 2)
