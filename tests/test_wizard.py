"""The test send and the preview of a rule."""

import json

from odoo.exceptions import AccessError, UserError, ValidationError
from odoo.tests import Form, new_test_user
from odoo.tools import mute_logger

from .common import NotificationCase

MODULE = "sicantik_notification_automation"
EVALUATION = f"odoo.addons.{MODULE}.models.sicantik_notification_evaluation"


class WizardCase(NotificationCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.trigger = cls._trigger("test_state", state_to="approved")
        cls.rule = cls._rule(cls.trigger)
        cls.user = new_test_user(cls.env, "user_test", groups=f"{MODULE}.group_notification_user")
        cls.employee = new_test_user(cls.env, "employee_test", groups="base.group_user")


class TestSendWizard(WizardCase):
    def _wizard(self, **vals):
        return self.env["sicantik.notification.test.wizard"].create(
            {
                "rule_id": self.rule.id,
                "partner_id": self.partner.id,
                "context_values": '{"partner_name": "Ani", "permit_number": "TEST/1"}',
                **vals,
            }
        )

    def assertNothingSent(self, wizard, reason):
        self.assertIn(reason, wizard.result)
        self.assertEqual(self.gateway.messages(), [])

    def test_sends_now(self):
        self._provider("fonnte")
        wizard = self._wizard()
        action = wizard.action_send_test()
        self.assertEqual((action["res_model"], action["res_id"]), (wizard._name, wizard.id))
        (message,) = self.gateway.messages()
        self.assertEqual(message["text"], "Dear Ani, permit TEST/1 is ready.")
        self.assertEqual(message["to"], "6281200000001")
        self.assertIn("Fonnte", wizard.result)

    def test_log_has_it(self):
        provider = self._provider("fonnte")
        self._wizard().action_send_test()
        log = self.logs.search([("partner_id", "=", self.partner.id)])
        self.assertEqual(
            (log.state, log.provider_id, log.template_key, log.attempt), ("sent", provider, "test_ready", 1)
        )

    def test_values_are_offered(self):
        wizard = self._wizard(context_values=False)
        form = Form(self.env["sicantik.notification.test.wizard"].with_context(default_rule_id=self.rule.id))
        form.partner_id = self.partner
        wizard = form.save()
        self.assertEqual(wizard.template_key, "test_ready")
        self.assertEqual(
            json.loads(wizard.context_values), {"partner_name": "Ani", "permit_number": "503/0123/IUMK/2026"}
        )

    def test_template_of_its_own(self):
        self._provider("fonnte")
        self.env["sicantik.whatsapp.template.master"].create(
            {"template_key": "test_hello", "name": "Hello", "body_preview": "Hello."}
        )
        self._wizard(template_key="test_hello").action_send_test()
        self.assertEqual(self.gateway.messages()[0]["text"], "Hello.")

    def test_without_a_rule(self):
        self._provider("fonnte")
        self._wizard(rule_id=False, template_key="test_ready").action_send_test()
        self.assertEqual(len(self.gateway.messages()), 1)

    def test_by_the_chosen_provider(self):
        self._provider("fonnte", sequence=1)
        second = self._provider("watzap", sequence=2)
        self._wizard(provider_id=second.id).action_send_test()
        self.assertEqual([message["provider"] for message in self.gateway.messages()], ["watzap"])

    def test_fallback_is_told(self):
        self._provider("fonnte", sequence=1)
        self._provider("watzap", sequence=2)
        self.gateway.account(fonnte={"connected": False})
        wizard = self._wizard()
        wizard.action_send_test()
        self.assertIn("Watzap", wizard.result)
        self.assertIn("Fonnte", wizard.result)

    def test_refusal_is_told(self):
        self._provider("fonnte", api_token="WRONG-SECRET")
        wizard = self._wizard()
        wizard.action_send_test()
        self.assertNothingSent(wizard, "Not sent")
        self.assertNotIn("WRONG-SECRET", wizard.result)

    def test_missing_parameter(self):
        self._provider("fonnte")
        wizard = self._wizard(context_values='{"partner_name": "Ani"}')
        wizard.action_send_test()
        self.assertNothingSent(wizard, "permit_number")

    def test_no_provider(self):
        wizard = self._wizard()
        wizard.action_send_test()
        self.assertNothingSent(wizard, "provider")

    def test_recipient_without_a_number(self):
        self._provider("fonnte")
        wizard = self._wizard(partner_id=self._partner("Joko").id)
        wizard.action_send_test()
        self.assertNothingSent(wizard, "number")

    def test_blacklisted_recipient(self):
        self._provider("fonnte")
        self.env["sicantik.notification.blacklist"].create(
            {"phone_number": "081200000001", "source": "opt_out", "reason": "STOP"}
        )
        wizard = self._wizard()
        wizard.action_send_test()
        self.assertNothingSent(wizard, "blacklist")

    def test_parameters_that_are_no_json(self):
        for text in ("{'partner_name': 'Ani'}", "[1]", "Ani"):
            with self.subTest(text), self.assertRaisesRegex(ValidationError, "JSON object"):
                self._wizard(context_values=text).action_send_test()

    def test_unknown_template(self):
        with self.assertRaisesRegex(UserError, "no_such_key"):
            self._wizard(template_key="no_such_key").action_send_test()

    def test_notification_user(self):
        self._provider("fonnte")
        wizards = self.env["sicantik.notification.test.wizard"].with_user(self.user)
        wizard = wizards.create(
            {
                "rule_id": self.rule.id,
                "partner_id": self.partner.id,
                "context_values": '{"partner_name": "Ani", "permit_number": "TEST/1"}',
            }
        )
        wizard.action_send_test()
        self.assertEqual(len(self.gateway.messages()), 1)

    def test_nothing_of_hidden_contacts(self):
        """Values are offered with the rights of who asks."""
        office = self.env["res.company"].create({"name": "Other office"})
        hidden = self._partner("Hidden", "081200000009", company_id=office.id)
        wizard = self.env["sicantik.notification.test.wizard"].with_user(self.user)
        with self.assertRaises(AccessError):
            wizard.create({"partner_id": hidden.id, "template_key": "permit_ready"}).read(["context_values"])

    def test_others(self):
        with self.assertRaises(AccessError):
            self.env["sicantik.notification.test.wizard"].with_user(self.employee).create(
                {"partner_id": self.partner.id, "template_key": "test_ready"}
            )

    # === WHAT IT OFFERS ===#

    def _open(self, record, **context):
        """Open the wizard from a record, as its Action menu does."""
        context = {"active_model": record._name, "active_id": record.id, **context}
        return Form(self.env["sicantik.notification.test.wizard"].with_context(**context))

    def test_action_menus(self):
        for record in (self.rule, self.template, self._permit(), self._row()):
            bound = self.env["ir.actions.act_window"].search(
                [
                    ("binding_model_id.model", "=", record._name),
                    ("res_model", "=", "sicantik.notification.test.wizard"),
                ]
            )
            self.assertEqual((bound.name, bound.binding_view_types), ("Test Send", "form"), record._name)

    def test_from_a_template(self):
        form = self._open(self.template)
        self.assertEqual(form.template_key, "test_ready")
        self.assertIn("permit_number", form.context_values)

    def test_from_a_rule(self):
        form = self._open(self.rule)
        self.assertEqual((form.rule_id, form.template_key), (self.rule, "test_ready"))

    def test_from_a_permit(self):
        """With the values of the permit, but to whoever tests and not to the applicant."""
        form = self._open(self._permit(permit_number="503/0042"))
        self.assertEqual(form.partner_id, self.env.user.partner_id)
        form.template_key = "test_ready"
        self.assertEqual(
            json.loads(form.context_values), {"partner_name": "Ani", "permit_number": "503/0042"}
        )

    def test_from_a_message(self):
        row = self._row(context_values={"partner_name": "Budi", "permit_number": "9"})
        form = self._open(row)
        self.assertEqual(form.partner_id, self.env.user.partner_id)
        self.assertEqual(json.loads(form.context_values)["partner_name"], "Budi")
        form.partner_id = self.partner
        self.assertEqual(json.loads(form.context_values), {"partner_name": "Budi", "permit_number": "9"})

    def test_shows_text_and_provider_before(self):
        self._provider("fonnte", name="Our Fonnte", sequence=1)
        self._provider("watzap", name="Our Watzap", sequence=2)
        form = self._open(self.rule)
        form.partner_id = self.partner
        self.assertEqual(form.preview, "Dear Ani, permit 503/0123/IUMK/2026 is ready.")
        self.assertEqual(form.outlook, "By Our Fonnte → Our Watzap")
        form.context_values = "{"
        self.assertIn("JSON object", form.outlook)
        form.context_values = "{}"
        self.assertIn("partner_name", form.outlook, "what is missing is named")
        self.assertEqual(self.gateway.messages(), [])

    def test_says_what_to_do(self):
        wizard = self._wizard()
        wizard.action_send_test()
        self.assertEqual(wizard.outcome, "failed")
        self.assertIn("Set up a provider", wizard.advice)
        self._provider("fonnte")
        wizard.action_send_test()
        self.assertEqual((wizard.outcome, wizard.advice), ("sent", False))
        logs = self.logs.search(wizard.action_open_log()["domain"])
        self.assertEqual(set(logs.mapped("state")), {"sent", "failed"})

    def test_records_of_others(self):
        """Values of a permit that the user may not read are not offered."""
        office = self.env["res.company"].create({"name": "Other office"})
        hidden = self._permit(permit_number="503/SECRET", company_id=office.id)
        wizards = self.env["sicantik.notification.test.wizard"].with_user(self.user)
        with self.assertRaises(AccessError):
            Form(wizards.with_context(active_model=hidden._name, active_id=hidden.id))
        with self.assertRaises(AccessError):
            wizards.create(
                {"template_key": "test_ready", "res_model": hidden._name, "res_id": hidden.id}
            ).read(["context_values"])

    def test_button_of_the_rule(self):
        action = self.rule.action_test_send()
        wizard = (
            self.env[action["res_model"]]
            .with_context(**action["context"])
            .create({"partner_id": self.partner.id})
        )
        self.assertEqual((wizard.rule_id, wizard.template_key), (self.rule, "test_ready"))


class TestPreviewWizard(WizardCase):
    def _preview(self, record, user=None):
        wizards = self.env["sicantik.notification.preview.wizard"].with_user(user or self.env.user)
        wizard = wizards.create({"rule_id": self.rule.id, "res_id": record.id})
        wizard.action_preview()
        return wizard.preview_text

    def test_shows_who_gets_what_by_whom(self):
        self._provider("fonnte", name="Our Fonnte")
        text = self._preview(self._permit())
        self.assertIn("Ani (+6281200000001)", text)
        self.assertIn("Our Fonnte", text)
        self.assertIn("Dear Ani, permit 503/0001 is ready.", text)

    def test_shows_the_fallbacks(self):
        self._provider("fonnte", sequence=1)
        self._provider("watzap", sequence=2)
        self.assertIn("Fonnte → Watzap", self._preview(self._permit()))

    def test_does_nothing(self):
        self._provider("fonnte")
        permits = self._permit() + self._permit(partner_id=False)
        before = self.logs.search_count([])
        for permit in permits:
            self._preview(permit)
        self.commit()
        self.assertFalse(self.rows())
        self.assertEqual(self.logs.search_count([]), before)
        self.assertEqual(self.gateway.requests(), [])
        self.assertEqual((self.trigger.execution_count, self.rule.execution_count), (0, 0))

    def test_does_nothing_even_if_the_code_does(self):
        """Code that writes is run for its values only."""
        self.rule.context_preparation_code = "record.write({'permit_number': 'changed'})\ncontext = {}"
        permit = self._permit()
        self._preview(permit)
        self.assertEqual(permit.permit_number, "503/0001")

    def test_record_that_the_rule_is_not_for(self):
        self.rule.condition_domain = "[('state', '=', 'approved')]"
        self.assertIn("does not meet the conditions", self._preview(self._permit()))

    def test_recipient_who_is_left_out(self):
        self.assertIn(
            "no usable WhatsApp number", self._preview(self._permit(partner_id=self._partner("Joko").id))
        )
        self.assertIn("Nobody to write to", self._preview(self._permit(partner_id=False)))
        self.env["sicantik.notification.blacklist"].create({"phone_number": "081200000001"})
        self.assertIn("blacklist", self._preview(self._permit()))

    def test_message_that_would_fail(self):
        self.assertIn("No provider is active", self._preview(self._permit()))
        self._provider("fonnte")
        self.rule.template_key = "no_such_key"
        self.assertIn("no_such_key", self._preview(self._permit()))

    def test_rule_that_fails(self):
        self.rule.condition_python = "1 / 0"
        with mute_logger(EVALUATION):
            self.assertIn("ZeroDivisionError", self._preview(self._permit()))

    def test_unknown_record(self):
        with self.assertRaisesRegex(UserError, "no record"):
            self._preview(self.env["sicantik.permit"].browse(2**31 - 1))

    def test_record_is_proposed(self):
        self.rule.condition_domain = "[('state', '=', 'approved'), ('permit_number', '=', 'mine')]"
        permit = self._permit(state="approved", permit_number="mine")
        self._permit()
        wizard = self.env["sicantik.notification.preview.wizard"].create({"rule_id": self.rule.id})
        self.assertEqual((wizard.res_model, wizard.res_id), ("sicantik.permit", permit.id))

    def test_notification_user(self):
        self._provider("fonnte")
        self.assertIn("Dear Ani", self._preview(self._permit(), self.user))

    def test_record_that_the_user_may_not_read(self):
        company = self.env["res.company"].create({"name": "Other office"})
        with self.assertRaises(AccessError):
            self._preview(self._permit(company_id=company.id), self.user)

    def test_others(self):
        with self.assertRaises(AccessError):
            self._preview(self._permit(), self.employee)

    def test_button_of_the_rule(self):
        action = self.rule.action_preview()
        wizard = self.env[action["res_model"]].with_context(**action["context"]).create({})
        self.assertEqual(wizard.rule_id, self.rule)
