"""What a Notification Manager must not reach: secrets of the server, other companies, unreadable models."""

from odoo.exceptions import AccessError, ValidationError
from odoo.tests import new_test_user

from .common import NotificationCase


class TestFences(NotificationCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.manager = new_test_user(
            cls.env, "fenced", groups="sicantik_notification_automation.group_notification_manager"
        )
        cls.trigger = cls._trigger("fenced", trigger_type="manual")
        cls.rule = cls._rule(cls.trigger)

    def test_no_way_out_of_a_domain(self):
        for value in (
            "'{0.__globals__}'.format(context_today)",
            "'{0.__init__.__globals__[calendar]}'.format(relativedelta)",
            "'{x}'.format_map({'x': 1})",
            "f'{context_today.__globals__}'",
            "context_today.__closure__",
            "datetime.__class__",
            "[x for x in (1, 2)]",
            "(lambda: 1)()",
        ):
            with self.subTest(value), self.assertRaises(ValidationError) as refused:
                self.trigger.with_user(self.manager).condition_domain = f"[('permit_number', '=', {value})]"
            self.assertIn("cannot be used in a domain", str(refused.exception))

    def test_domains_of_the_seeds(self):
        for domain in (
            "[('expiry_date', '<=', (datetime.now() + timedelta(days=30)).strftime('%Y-%m-%d')), "
            "('state', '=', 'approved')]",
            "[('expiry_date', '>=', context_today() + relativedelta(months=1))]",
            "['|', ('id', 'in', record_ids), ('company_id', '=', company_id)]",
        ):
            self.trigger.with_user(self.manager).condition_domain = domain

    def test_fields_that_the_author_may_not_read(self):
        """A domain is evaluated in superuser mode: it must not tell what its author could not search by."""
        with self.assertRaises(ValidationError):
            self.rule.with_user(
                self.manager
            ).condition_domain = "[('message_ids.mail_server_id.smtp_pass', '=like', 'h%')]"

    def test_model_that_the_author_may_not_read(self):
        trigger = self._trigger("parameters", "ir.config_parameter", trigger_type="manual")
        vals = {"name": "Curious", "trigger_id": trigger.id, "template_key": "test_ready"}
        with self.assertRaises(AccessError):
            self.env["sicantik.notification.rule"].with_user(self.manager).create(vals)
        with self.assertRaises(AccessError):
            self.rule.with_user(self.manager).trigger_id = trigger

    def test_staff_of_another_company(self):
        other = self.env["res.company"].create({"name": "Other"})
        group = self.env["res.groups"].create({"name": "Fenced Staff"})
        here = new_test_user(self.env, "here", email=False)
        there = new_test_user(self.env, "there", company_id=other.id, company_ids=[(6, 0, other.ids)])
        field = "group_ids" if "group_ids" in here._fields else "groups" + "_id"
        (here + there).write({field: [(4, group.id)]})
        self.rule.write({"recipient_type": "staff", "staff_group_id": group.id})
        self.env["sicantik.notification.trigger"].fire("fenced", self._permit())
        self.assertEqual(self.rows().partner_id, here.partner_id)

    def test_campaign_keeps_to_its_company(self):
        other = self.env["res.company"].create({"name": "Other"})
        ours, theirs = self._permit(), self._permit(company_id=other.id)
        campaign = self.env["sicantik.notification.campaign"].create(
            {
                "name": "C",
                "rule_id": self.rule.id,
                "target_domain": f"[('id', 'in', [{ours.id}, {theirs.id}])]",
                "company_id": self.env.company.id,
            }
        )
        campaign.action_start()
        self.assertEqual(campaign.queue_ids.permit_id, ours)

    def test_callers_context_does_not_wake_the_archived(self):
        self._provider("fonnte", active=False)
        chosen = self.dispatcher.with_context(active_test=False).determine_provider(self.partner.id)
        self.assertFalse(chosen["provider"])

    def test_once_is_remembered_when_the_row_is_deleted(self):
        self._provider("fonnte")
        self.rule.repeat_policy = "once"
        permit = self._permit()
        triggers = self.env["sicantik.notification.trigger"]
        triggers.fire("fenced", permit)
        self.drain()
        self.rows().unlink()
        self.assertEqual(triggers.fire("fenced", permit)["count"], 0)

    def test_once_after_a_failure(self):
        """Nobody was told: the next event tells, and so does a retry of the first row."""
        self.rule.repeat_policy = "once"
        permit = self._permit()
        triggers = self.env["sicantik.notification.trigger"]
        triggers.fire("fenced", permit)
        self.drain()
        self.assertEqual(self.rows().error_class, "no_provider")
        self._provider("fonnte")
        self.rows().action_retry()
        self.drain()
        self.assertEqual(self.rows().state, "sent")
        self.assertEqual(triggers.fire("fenced", permit)["count"], 0)

    def test_unknown_status_is_refused(self):
        with self.assertRaisesRegex(ValidationError, "aproved"):
            self._trigger("typo", state_to="aproved")

    def test_database_errors_tell_no_rows(self):
        with self.assertLogs(level="ERROR") as log:
            result = self.env["sicantik.notification.trigger"].fire(
                "fenced", self._permit(), event_key="a\0b"
            )
        self.assertFalse(result["count"])
        told = "".join(log.output) + (self.rule.last_error or "")
        self.assertNotIn("81200000001", told)
