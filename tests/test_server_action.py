"""Server actions that send by a rule: what they do, what they never do, and who may."""

from odoo.exceptions import AccessError, ValidationError
from odoo.tests import new_test_user
from odoo.tools import mute_logger

from .common import NotificationCase

EVALUATION = "odoo.addons.sicantik_notification_automation.models.sicantik_notification_evaluation"
GROUP = "sicantik_notification_automation.group_"
REFUSED = "odoo.addons.base.models.ir_actions"


class ServerActionCase(NotificationCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls._provider("fonnte")
        cls.rule = cls._rule(cls._trigger("by_action", trigger_type="api"))
        cls.permits = cls.env["sicantik.permit"].create(
            [
                {
                    "partner_id": cls._partner(f"Applicant {n}", f"0812000000{n}").id,
                    "permit_number": f"Action {n}",
                    "state": "approved",
                }
                for n in range(20, 23)
            ]
        )

    @classmethod
    def _action(cls, **vals):
        return cls.env["ir.actions.server"].create(
            {
                "name": "Tell them",
                "model_id": cls.env["ir.model"]._get_id("sicantik.permit"),
                "state": "sicantik_notification",
                "sicantik_rule_id": cls.rule.id,
                **vals,
            }
        )

    def run_on(self, action, records, user=None):
        """Run an action as the Action menu does; give what the person reads."""
        if user:
            action = action.with_user(user)
        selection = {"active_model": records._name, "active_id": records[:1].id, "active_ids": records.ids}
        return action.with_context(**selection).run()["params"]


class TestServerAction(ServerActionCase):
    def test_sends_by_its_rule(self):
        told = self.run_on(self._action(), self.permits)
        rows = self.assertQueued(self.permits.partner_id, rule_id=self.rule.id)
        self.assertEqual(rows.mapped("res_id"), self.permits.ids)
        self.assertEqual((told["type"], told["message"]), ("success", "Messages in the delivery queue: 3"))
        self.assertEqual(self.rule.execution_count, 3)
        self.drain()
        self.assertEqual(len(self.gateway.messages()), 3)

    def test_the_rule_decides(self):
        self.rule.write(
            {"condition_domain": "[('permit_number', '!=', 'Action 20')]", "repeat_policy": "once"}
        )
        self.env["sicantik.notification.blacklist"].create({"phone_number": "081200000021"})
        action = self._action()
        self.run_on(action, self.permits)
        self.assertEqual(
            [(row.res_id, row.state) for row in self.rows(rule_id=self.rule.id)],
            [(self.permits[1].id, "skipped"), (self.permits[2].id, "pending")],
        )
        told = self.run_on(action, self.permits[2])
        self.assertIn("told already", told["message"])
        told = self.run_on(action, self.permits[0])
        self.assertIn("No record meets", told["message"])

    def test_one_event_per_transaction(self):
        action = self._action()
        for count in (1, 2):
            self.run_on(action, self.permits[0])
            self.run_on(action, self.permits[0])
            self.assertEqual(len(self.rows(rule_id=self.rule.id)), count)
            self.commit()

    def test_as_many_queries_for_many_records(self):
        action = self._action()
        more = self.permits.create(
            [{"partner_id": self._partner(f"P {n}", f"08120000{n}").id} for n in range(1000, 1050)]
        )
        counts = []
        for records in (self.permits, more):
            self.env.flush_all()
            self.env.invalidate_all()
            before = self.env.cr.sql_log_count
            self.run_on(action, records)
            counts.append(self.env.cr.sql_log_count - before)
        self.assertLessEqual(counts[1], counts[0] + 3, "no query per record")

    @mute_logger(EVALUATION)
    def test_never_breaks_the_transaction(self):
        action = self._action()
        self.rule.condition_python = "record.no_such_field"
        self.assertIn("no_such_field", self.run_on(action, self.permits)["message"])
        self.assertIn("no_such_field", self.rule.last_error)
        self.env.cr.execute("UPDATE sicantik_notification_rule SET condition_domain = '[(1'")
        self.env.invalidate_all()
        self.permits[0].permit_number = "changed meanwhile"
        self.assertEqual(self.run_on(action, self.permits)["type"], "warning")
        self.env.flush_all()
        self.env.invalidate_all()
        self.assertEqual(self.permits[0].permit_number, "changed meanwhile")
        self.assertFalse(self.rows(rule_id=self.rule.id))

    def test_without_a_rule_or_with_one_that_is_off(self):
        action = self._action()
        self.rule.active = False
        self.assertIn("switched off", self.run_on(action, self.permits)["message"])
        other = self._rule(self._trigger("contacts", model="res.partner", trigger_type="manual"))
        self.rule.active = True
        self.rule.trigger_id = other.trigger_id
        self.assertIn("not for", self.run_on(action, self.permits)["message"])
        self.rule.unlink()
        self.env.invalidate_all()
        self.assertIn("Choose one", self.run_on(action, self.permits)["message"])
        self.assertFalse(self.rows(res_model="sicantik.permit"))

    def test_the_models_must_be_the_same(self):
        contacts = self.env["ir.model"]._get_id("res.partner")
        with self.assertRaisesRegex(ValidationError, "rule of the same model"):
            self._action(model_id=contacts)
        with self.assertRaisesRegex(ValidationError, "Choose the rule"):
            self._action(sicantik_rule_id=False)

    def test_what_the_context_says_stays_outside(self):
        action = self._action().with_context(default_state="draft", default_phone="+620")
        self.run_on(action, self.permits[0])
        self.assertQueued(self.permits[0].partner_id, rule_id=self.rule.id, state="pending")

    def test_forms(self):
        """Each form of Odoo in which such an action is made asks for the rule."""
        names = ["base.view_server_action_form", "base.ir_cron_view_form"]
        names.append("base_automation.ir_actions_server_view_form_automation")  # in 17.0, when installed
        for view in filter(None, (self.env.ref(name, raise_if_not_found=False) for name in names)):
            with self.subTest(view.name):
                arch = (
                    self.env[view.model].with_user(self.env.ref("base.user_admin")).get_view(view.id)["arch"]
                )
                self.assertIn('name="sicantik_rule_id"', arch)

    def test_within_other_actions(self):
        parent = self._action(name="Both", state="multi", sicantik_rule_id=False)
        child = self._action()
        parent.write({"child_ids": [(4, child.id)]})
        self.run_on(parent, self.permits)
        self.assertEqual(len(self.rows(rule_id=self.rule.id)), 3)


class TestScheduledAction(ServerActionCase):
    def _cron(self):
        return self.env["ir.cron"].create(
            {
                "name": "Tell them every week",
                "model_id": self.env["ir.model"]._get_id("sicantik.permit"),
                "state": "sicantik_notification",
                "sicantik_rule_id": self.rule.id,
                "interval_type": "weeks",
            }
        )

    def test_all_that_meet_the_conditions(self):
        self.rule.condition_domain = "[('permit_number', '=like', 'Action 2%'), ('id', '=', record_id)]"
        self.rule.trigger_id.condition_domain = f"[('id', 'in', {self.permits[:2].ids})]"
        self._cron().ir_actions_server_id.run()
        self.assertEqual(self.rows(rule_id=self.rule.id).mapped("res_id"), self.permits[:2].ids)

    @mute_logger(EVALUATION)
    def test_a_faulty_condition_is_shown_by_the_rule(self):
        cron = self._cron()
        self.env.cr.execute("UPDATE sicantik_notification_rule SET condition_domain = '[(1'")
        self.env.invalidate_all()
        cron.ir_actions_server_id.run()
        self.assertIn("SyntaxError", self.rule.last_error)

    @mute_logger(REFUSED)
    def test_not_by_everybody(self):
        """Who may change permits may run a scheduled action by its id, but does not write to everybody."""
        clerk = new_test_user(self.env, "action_clerk", groups=f"{GROUP}staff")
        with self.assertRaises(AccessError):
            self._cron().ir_actions_server_id.with_user(clerk).run()


class TestServerActionAccess(ServerActionCase):
    def test_a_clerk_may_run_what_the_administrator_made(self):
        clerk = new_test_user(self.env, "action_clerk", groups=f"{GROUP}staff")
        self.run_on(self._action(), self.permits, clerk)
        self.assertEqual(len(self.rows(rule_id=self.rule.id)), 3)

    @mute_logger(REFUSED)
    def test_nobody_sends_about_what_they_may_not_read(self):
        stranger = new_test_user(self.env, "action_stranger", groups="base.group_user")
        action = self._action()
        with self.assertRaises(AccessError):
            self.run_on(action, self.permits, stranger)
        # A group on the action spares Odoo's own check, not ours.
        action.write({"groups_id": [(4, self.env.ref("base.group_user").id)]})
        with self.assertRaises(AccessError):
            self.run_on(action, self.permits, stranger)
        with self.assertRaises(AccessError):
            self.rule.with_user(stranger).sudo(False)._call(self.permits.with_user(stranger))
        self.assertFalse(self.rows(rule_id=self.rule.id))

    def test_not_about_another_company(self):
        company = self.env["res.company"].create({"name": "Elsewhere"})
        clerk = new_test_user(
            self.env, "action_clerk", groups=f"{GROUP}staff", company_id=self.env.company.id
        )
        self.permits[0].company_id = company
        with mute_logger(REFUSED), self.assertRaises(AccessError):
            self.run_on(self._action(), self.permits, clerk)
        self.assertFalse(self.rows(rule_id=self.rule.id))

    def test_only_administrators_make_them(self):
        manager = new_test_user(self.env, "action_manager", groups=f"{GROUP}notification_manager")
        vals = {
            "name": "Mine",
            "model_id": self.env["ir.model"]._get_id("sicantik.permit"),
            "state": "sicantik_notification",
        }
        with self.assertRaises(AccessError):
            self.env["ir.actions.server"].with_user(manager).create(
                {**vals, "sicantik_rule_id": self.rule.id}
            )

    def test_portal_users_are_refused(self):
        portal = new_test_user(self.env, "action_portal", groups="base.group_portal")
        with self.assertRaises(AccessError):
            self.rule.with_user(portal)._call(self.permits.with_user(portal))


class TestAutomationRule(ServerActionCase):
    """Odoo's own Automation Rules, where they are installed."""

    def setUp(self):
        super().setUp()
        if "base.automation" not in self.env:
            self.skipTest("Automation Rules (base_automation) are not installed in this database")
        values = {"name": "On approval", "model_id": self.env["ir.model"]._get_id("sicantik.permit")}
        self.automation = self.env["base.automation"].create({**values, "trigger": "on_create_or_write"})
        self.automation.filter_domain = "[('state', '=', 'approved')]"
        self._action(usage="base_automation", base_automation_id=self.automation.id)

    def test_approved(self):
        permit = self._permit(state="draft")
        self.assertFalse(self.rows(rule_id=self.rule.id))
        permit.state = "approved"
        self.assertQueued(self.partner, rule_id=self.rule.id, res_id=permit.id)

    @mute_logger(EVALUATION)
    def test_the_permit_is_saved_all_the_same(self):
        self.rule.condition_python = "record.no_such_field"
        permit = self._permit(state="draft")
        permit.state = "approved"
        self.env.flush_all()
        self.env.invalidate_all()
        self.assertEqual(permit.state, "approved")
        self.assertIn("no_such_field", self.rule.last_error)
        self.assertFalse(self.rows(rule_id=self.rule.id))

    def test_by_a_clerk_who_knows_nothing_of_rules(self):
        clerk = new_test_user(self.env, "automation_clerk", groups=f"{GROUP}staff")
        self._permit(state="draft").with_user(clerk).write({"state": "approved"})
        self.assertQueued(self.partner, rule_id=self.rule.id)

    def test_nothing_of_what_is_rolled_back(self):
        permit = self._permit(state="draft")
        with self.assertRaises(ZeroDivisionError), self.env.cr.savepoint():
            permit.state = "approved"
            raise ZeroDivisionError
        self.assertFalse(self.rows(rule_id=self.rule.id))
