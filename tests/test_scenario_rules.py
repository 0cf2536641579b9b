"""“New Rule from Template”: the seven scenarios, ready to be made."""

from odoo.exceptions import AccessError, UserError
from odoo.tests import new_test_user

from .common import NotificationCase

MODULE = "sicantik_notification_automation"
SCENARIOS = (
    *("permit_ready", "document_pending", "approval_required", "status_update_applicant"),
    *("status_update_staff", "reminder", "permit_expiry_warning", "permit_renewal_approved"),
)


class TestScenarioRules(NotificationCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.manager = new_test_user(
            cls.env, "scenario_manager", groups=f"{MODULE}.group_notification_manager"
        )
        cls.user = new_test_user(cls.env, "scenario_user", groups=f"{MODULE}.group_notification_user")

    def _scenario(self, name):
        return self.env.ref(f"{MODULE}.sicantik_notification_scenario_{name}")

    def _make(self, scenario, **vals):
        action = self._scenario(scenario).action_use()
        wizards = self.env[action["res_model"]].with_user(self.manager).with_context(**action["context"])
        opened = wizards.create(vals).action_create()
        return self.env[opened["res_model"]].browse(opened["res_id"])

    def assertSame(self, record, other, names):
        self.assertEqual(
            {name: record[name] for name in names}, {name: other[name] for name in names}, record.name
        )

    def test_they_are_as_the_rules_that_are_installed(self):
        for name in SCENARIOS:
            with self.subTest(name):
                shipped = self.env.ref(f"{MODULE}.sicantik_notification_rule_{name}")
                rule = self._make(name)
                self.assertNotEqual(rule, shipped)
                self.assertEqual(rule.trigger_id, shipped.trigger_id)
                self.assertFalse(rule.active)
                names = ("name", "description", "condition_domain", "template_key", "recipient_type")
                names += ("recipient_field", "repeat_policy", "cooldown_hours", "schedule_type")
                self.assertSame(rule, shipped, names)

    def test_a_missing_trigger_is_made(self):
        names = ("name", "model_id", "trigger_type", "state_field", "state_from", "state_to", "next_run")
        names += ("condition_domain", "date_field_id", "time_offsets", "cron_interval_number")
        for name in SCENARIOS:
            with self.subTest(name):
                scenario = self._scenario(name)
                shipped = scenario._trigger()
                code, shipped.code = shipped.code, "put_aside"
                rule = self._make(name, switch_on=True)
                self.assertNotEqual(rule.trigger_id, shipped)
                self.assertTrue(rule.active and rule.trigger_id.active)
                shipped.active = True
                shipped.next_run = rule.trigger_id.next_run  # the demo may have moved it
                self.assertSame(rule.trigger_id, shipped, names)
                rule.trigger_id.unlink()
                shipped.code = code

    def test_switched_on(self):
        """It works at once: with its trigger."""
        self._provider("fonnte")
        rule = self._make("permit_ready", switch_on=True, name="Mine")
        self.assertEqual((rule.name, rule.active, rule.trigger_id.active), ("Mine", True, True))
        self._permit().state = "active"
        self.commit()
        self.assertQueued([self.partner], rule_id=rule.id, template_key="permit_ready")

    def test_second_rule(self):
        scenario = self._scenario("permit_ready")
        wizards = self.env["sicantik.notification.rule.wizard"]
        notice = wizards.new({"scenario_id": scenario.id}).notice
        self.assertIn("it is switched off: ", notice)
        self.assertIn("“Permit Ready”", notice)
        self._make("permit_ready", switch_on=True, name="Mine")
        scenario.invalidate_recordset()
        wizard = wizards.create({"scenario_id": scenario.id})
        self.assertIn("would be told twice", wizard.notice)
        self.assertTrue(scenario.is_used)
        found = self.env["sicantik.notification.rule"].with_context(active_test=False)
        names = found.search(wizard.action_open_rules()["domain"]).mapped("name")
        self.assertLessEqual({"Permit Ready", "Mine"}, set(names))
        scenario.rule_ids.template_key = "test_ready"
        scenario.invalidate_recordset()
        self.assertFalse(wizards.new({"scenario_id": scenario.id}).notice)

    def test_code_of_another_trigger(self):
        shipped = self._scenario("permit_ready")._trigger()
        shipped.code = "put_aside"
        self._trigger("permit_state_change", model="res.partner", trigger_type="on_create")
        with self.assertRaisesRegex(UserError, "another model"):
            self._make("permit_ready")

    def test_they_say_what_they_do(self):
        self.assertIn("the applicants get “", self._scenario("permit_ready").summary)
        self.assertIn("90 days before", self._scenario("permit_expiry_warning").summary)
        for name in SCENARIOS:
            self.assertTrue(self._scenario(name).summary)

    def test_who_may(self):
        scenario = self._scenario("permit_ready")
        self.assertTrue(scenario.with_user(self.manager).read(["name", "summary", "rule_count"]))
        with self.assertRaises(AccessError):
            scenario.with_user(self.manager).write({"name": "Other"})
        with self.assertRaises(AccessError):
            scenario.with_user(self.user).read(["name"])
        with self.assertRaises(AccessError):
            self.env["sicantik.notification.rule.wizard"].with_user(self.user).create(
                {"scenario_id": scenario.id}
            )
