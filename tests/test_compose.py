"""“Send WhatsApp” from permits and documents."""

import json

from odoo import Command
from odoo.exceptions import AccessError, UserError
from odoo.tests import Form

from .test_security import MODULE, SecurityCase

PERMIT, DOCUMENT = "sicantik.permit", "sicantik.document"
WIZARD = "sicantik.notification.compose.wizard"


class ComposeCase(SecurityCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.permit = cls._permit(applicant_name="Ani")

    def _opened_on(self, records):
        return {"active_model": records._name, "active_ids": records.ids, "active_id": records[:1].id}

    def _wizard(self, records, name="user", **vals):
        wizards = self.as_user(name, WIZARD).with_context(**self._opened_on(records))
        return wizards.create({"template_id": self.template.id, **vals})

    def _sent(self, wizard):
        """Press Send and give the rows that it made."""
        wizard.action_send()
        return self.queue.search([("event_key", "=like", f"compose:{wizard.id}:%")], order="id")


class TestCompose(ComposeCase):
    def test_from_a_permit_to_the_phone(self):
        self._provider("fonnte")
        form = Form(self.as_user("user", WIZARD).with_context(**self._opened_on(self.permit)))
        self.assertIn("Choose a template", form.summary)
        form.template_id = self.template.with_user(self.users["user"])
        self.assertEqual(form.preview, "Dear Ani, permit 503/0001 is ready.")
        self.assertEqual(form.summary, "Will be sent: 1\n  Fonnte: 1")
        action = form.save().action_send()
        self.assertEqual(self.gateway.messages(), [], "rows carry the messages")
        row = self.queue.browse(action["res_id"])
        self.assertEqual(
            (action["res_model"], row.partner_id, row.phone, row.state, row.res_model, row.res_id),
            (row._name, self.partner, "+6281200000001", "pending", PERMIT, self.permit.id),
        )
        self.drain()
        self.assertSent(row, "fonnte")
        self.assertEqual(self.gateway.messages()[0]["text"], "Dear Ani, permit 503/0001 is ready.")
        self.permit.invalidate_recordset()
        self.assertEqual(self.permit.notification_ids, row)

    def test_free_text(self):
        self._provider("fonnte")
        wizard = self._wizard(self.permit, message_type="text", template_id=False, body="Please call us.")
        self.assertEqual(wizard.preview, "Please call us.")
        row = self._sent(wizard)
        self.drain()
        self.assertEqual((row.message_type, row.template_key, row.state), ("text", False, "sent"))
        self.assertEqual(self.gateway.messages()[0]["text"], "Please call us.")

    def test_another_recipient(self):
        self._provider("fonnte")
        budi = self._partner("Budi", "081200000002")
        form = Form(self.as_user("user", WIZARD).with_context(**self._opened_on(self.permit)))
        form.template_id = self.template.with_user(self.users["user"])
        with form.line_ids.edit(0) as line:
            line.partner_id = budi
            self.assertEqual((line.phone, line.outcome), ("+6281200000002", "send"))
        row = self._sent(form.save())
        self.assertEqual((row.partner_id, row.phone), (budi, "+6281200000002"))
        self.assertIn('"partner_name": "Budi"', row.context_values)

    def test_a_line_taken_away(self):
        permits = self.permit + self._permit()
        wizard = self._wizard(permits)
        wizard.line_ids[1].unlink()
        self.assertEqual(self._sent(wizard).res_id, self.permit.id)

    def test_from_documents(self):
        self._provider("fonnte")
        document = self.env[DOCUMENT].create({"name": "Form", "permit_id": self.permit.id})
        row = self._sent(self._wizard(document))
        self.assertEqual((row.document_id, row.permit_id), (document, self.permit))

    def test_pressed_twice(self):
        wizard = self._wizard(self.permit)
        self.assertEqual(len(self._sent(wizard)), 1)
        self.assertEqual(len(self._sent(wizard)), 1)

    def test_nothing_to_say(self):
        for vals, message in (
            ({"template_id": False}, "Choose a template"),
            ({"message_type": "text", "body": "  "}, "Write the message"),
        ):
            with self.assertRaisesRegex(UserError, message):
                self._wizard(self.permit, **vals).action_send()

    def test_nobody_to_say_it_to(self):
        wizard = self._wizard(self.permit)
        wizard.line_ids.unlink()
        with self.assertRaisesRegex(UserError, "nobody"):
            wizard.action_send()


class TestOutlook(ComposeCase):
    """What is shown before sending is what happens."""

    def _outlook(self, **vals):
        wizard = self._wizard(self.permit, **vals)
        (line,) = wizard.line_ids
        self._sent(wizard)
        self.drain()
        (row,) = self.queue.search([("event_key", "=like", f"compose:{wizard.id}:%")])
        return line, row

    def assertHeld(self, error_class, outcome="held", state="skipped", **vals):
        line, row = self._outlook(**vals)
        self.assertEqual((line.outcome, line.error_class), (outcome, error_class))
        self.assertEqual((row.state, row.error_class), (state, error_class))
        self.assertTrue(line.reason)
        self.assertEqual(self.gateway.messages(), [])
        self.assertEqual(row.log_ids.error_class, error_class)

    def test_the_provider_that_determine_provider_names(self):
        self._provider("fonnte")
        self._provider("meta")
        for opt_in, name in ((False, "Fonnte"), (True, "Meta")):
            self.partner.whatsapp_opt_in = opt_in
            line, row = self._outlook()
            told = self.dispatcher.determine_provider(self.partner.id, self.permit.id, "test_ready")
            self.assertEqual((line.provider_name, told["provider"].name, row.provider_id.name), (name,) * 3)

    def test_no_number(self):
        self._provider("fonnte")
        self.permit.partner_id = self._partner("Joko")
        self.assertHeld("no_number")

    def test_no_applicant(self):
        self._provider("fonnte")
        self.permit.partner_id = False
        self.assertHeld("no_recipient")

    def test_blacklisted(self):
        self._provider("fonnte")
        self.env["sicantik.notification.blacklist"].create({"phone_number": "081200000001"})
        self.assertHeld("blacklisted")

    def test_no_provider(self):
        self.assertHeld("no_provider", "fail", "failed")

    def test_missing_parameter(self):
        self._provider("fonnte")
        template = self.env["sicantik.whatsapp.template.master"].create(
            {
                "template_key": "test_unknown",
                "name": "Unknown",
                "body_preview": "Hello {{nowhere}}.",
                "parameter_list": ["nowhere"],
            }
        )
        self.assertHeld("missing_parameter", "fail", "failed", template_id=template.id)

    def test_text_outside_the_window(self):
        self._provider("meta")
        self.partner.whatsapp_opt_in = True
        self.assertHeld("no_provider", "fail", "failed", message_type="text", body="Hello")

    def test_summary(self):
        self._provider("fonnte")
        permits = self.permit + self._permit(partner_id=self._partner("Joko").id) + self._permit()
        self.assertEqual(
            self._wizard(permits).summary,
            "Will be sent: 2\n  Fonnte: 2\nWill not be sent: 1\n  No Usable Number: 1",
        )


class TestTemplates(ComposeCase):
    """Only templates that some provider could send are offered."""

    def _offered(self):
        offered = self._wizard(self.permit).usable_template_ids
        return {one.template_key for one in offered if one.template_key.removeprefix("meta_") == "test_ready"}

    def test_before_any_provider(self):
        self.assertEqual(self._offered(), {"test_ready"})

    def test_by_meta_alone(self):
        self._provider("meta")
        self.assertEqual(self._offered(), {"test_ready"})
        self.meta_template.meta_status = "rejected"
        self.assertEqual(self._offered(), set())
        self._provider("fonnte")
        self.assertEqual(self._offered(), {"test_ready"})

    def test_archived(self):
        """Without the plain text there is none for other providers than Meta."""
        self._provider("fonnte")
        self.template.active = False
        self.assertEqual(self._offered(), set())
        self._provider("meta")
        self.assertEqual(self._offered(), {"meta_test_ready"})


class TestComposeMany(ComposeCase):
    def test_thousands_in_one_go(self):
        self._provider("fonnte")
        partners = self.env["res.partner"].create(
            [
                {"name": f"Applicant {number}", "whatsapp_number": f"+62812{number:08}"}
                for number in range(1200)
            ]
        )
        permits = self.env[PERMIT].create([{"partner_id": partner.id} for partner in partners])
        wizard = self._wizard(permits)
        self.assertFalse(wizard.line_ids)
        self.assertEqual(wizard.summary, "Will be sent: 1200\n  Fonnte: 1200")
        self.env.flush_all()
        self.env.invalidate_all()
        before = self.env.cr.sql_log_count
        action = wizard.action_send()
        self.assertLess(self.env.cr.sql_log_count - before, 60)
        rows = self.queue.search(action["domain"])
        self.assertEqual((len(rows), rows.partner_id), (1200, partners))
        self.assertLess(len(json.dumps(action)), 2000)

    def test_too_many(self):
        records = self.env[PERMIT].browse(range(1, 10002))
        with self.assertRaisesRegex(UserError, "campaign"):
            self.env[WIZARD]._check_records(records)


class TestComposeAccess(ComposeCase):
    def test_who_may_not(self):
        for name in ("staff", "official", "employee"):
            with self.subTest(name), self.assertRaises(AccessError):
                self._wizard(self.permit, name)

    def test_bound_for_notification_users(self):
        for model in (PERMIT, DOCUMENT):
            for name, offered in (("user", True), ("manager", True), ("staff", False)):
                bindings = self.as_user(name, "ir.actions.actions").get_bindings(model)
                names = [action["name"] for action in bindings.get("action", ())]
                self.assertEqual("Send WhatsApp" in names, offered, f"{model} {name}")

    def test_records_of_another_company(self):
        company = self.env["res.company"].create({"name": "Other office"})
        other = self._permit(company_id=company.id)
        with self.assertRaises(AccessError):
            self._wizard(other)
        wizard = self._wizard(self.permit)
        wizard.res_ids = json.dumps(other.ids)
        self.assertRefused("user", WIZARD, "action_send", wizard.ids)
        with self.assertRaises(AccessError):
            wizard._outlooks(wizard._targets())

    def test_a_record_that_it_was_not_opened_for(self):
        other = self._permit()
        wizard = self._wizard(self.permit)
        wizard.line_ids.res_id = other.id
        with self.assertRaises(UserError):
            wizard.action_send()

    def test_another_model(self):
        with self.assertRaises(UserError):
            self._wizard(
                self.permit, res_model="res.partner", res_ids="[1]", line_ids=[Command.clear()]
            ).action_send()

    def test_somebody_elses_wizard(self):
        wizard = self._wizard(self.permit, "manager")
        self.env.flush_all()
        self.env.invalidate_all()
        self.assertRefused("user", WIZARD, "action_send", wizard.ids)

    def test_views_of_the_action(self):
        for model in ("permit", "document"):
            action = self.env.ref(f"{MODULE}.sicantik_notification_compose_wizard_action_{model}")
            self.assertEqual((action.res_model, action.target), (WIZARD, "new"))
