"""The template page: samples, parameters of list and text, where a template is used, what Meta says of it."""

import json
from ast import literal_eval
from xml.etree import ElementTree

from odoo.exceptions import AccessError, UserError, ValidationError
from odoo.tests import Form

from .common import NotificationCase
from .test_security import SecurityCase

QUEUE = "sicantik.notification.queue"
CAMPAIGN = "sicantik.notification.campaign"


class TestTemplateParameters(NotificationCase):
    def test_samples(self):
        """Own ones first, then the usual ones, then the name."""
        self.template.write(
            {
                "body_preview": "{{partner_name}} {{permit_number}} {{warna}}",
                "parameter_list": ["partner_name", "permit_number", "warna"],
                "sample_values": '{"partner_name": "Budi"}',
            }
        )
        samples = self.template._samples()
        self.assertEqual(list(samples), ["partner_name", "permit_number", "warna"])
        self.assertEqual((samples["partner_name"], samples["warna"]), ("Budi", "[warna]"))
        self.assertEqual(samples["permit_number"], json.loads(self.template.known_samples)["permit_number"])

    def test_every_shipped_parameter_has_a_sample(self):
        shipped = self.env["ir.model.data"].search(
            [
                ("module", "=", "sicantik_notification_automation"),
                ("model", "=", "sicantik.whatsapp.template.master"),
            ]
        )
        for template in self.env["sicantik.whatsapp.template.master"].browse(shipped.mapped("res_id")):
            for name, sample in template._samples().items():
                self.assertNotEqual(sample, f"[{name}]", template.template_key)

    def test_sample_values_are_texts(self):
        for value in ("[]", "{", '{"a": 1}', '"a"'):
            with self.subTest(value), self.assertRaises(ValidationError), self.cr.savepoint():
                self.template.sample_values = value
        self.template.sample_values = False
        self.assertTrue(self.template._samples())

    def test_unused_parameters(self):
        self.assertFalse(self.template.unused_parameters)
        self.template.parameter_list = ["partner_name", "permit_number", "expiry_date", "status"]
        self.assertEqual(self.template.unused_parameters, "expiry_date, status")
        self.assertIn(self.template, self._found("attention"))
        self.template.body_preview += " {{expiry_date}} {{status}}"
        self.assertFalse(self.template.unused_parameters)
        self.assertNotIn(self.template, self._found("attention"))

    def test_unused_parameters_while_editing(self):
        with Form(self.template) as form:
            form.body_preview = "Dear {{partner_name}}."
            self.assertEqual(form.unused_parameters, "permit_number")

    def test_needs_attention(self):
        self.assertNotIn(self.meta_template, self._found("attention"))
        for status in ("rejected", "paused"):
            self.meta_template.meta_status = status
            self.assertIn(self.meta_template, self._found("attention"))
            self.template.meta_status = status  # it has no name at Meta: nobody cares
        self.assertNotIn(self.template, self._found("attention"))

    def _found(self, name):
        """Give the templates that a filter of the list finds."""
        search = self.env.ref(
            "sicantik_notification_automation.sicantik_whatsapp_template_master_view_search"
        )
        domain = self._filter_domain(search.arch, name)
        return self.env["sicantik.whatsapp.template.master"].search(domain)

    def _filter_domain(self, arch, name):
        return literal_eval(ElementTree.fromstring(arch).find(f".//filter[@name='{name}']").get("domain"))

    # === WHERE IT IS USED ===#

    def test_uses(self):
        trigger = self._trigger()
        rule = self._rule(trigger)
        self._rule(trigger, template_key="meta_test_ready", name="By Meta's key")
        other = self._rule(trigger, template_key="permit_ready")
        campaigns = self.env[CAMPAIGN]
        for name, vals in (
            ("Its rule's", {"rule_id": rule.id}),
            ("Its own", {"rule_id": other.id, "template_key": "test_ready"}),
            ("Another", {"rule_id": rule.id, "template_key": "permit_ready"}),
        ):
            campaigns.create({"name": name, **vals})
        ended = campaigns.create({"name": "Ended", "rule_id": rule.id})
        ended.sudo().state = "cancelled"
        self.env[QUEUE].create(
            [{"phone": "+6281200000001", "template_key": key} for key in ("test_ready", "meta_test_ready")]
        )
        both = self.template + self.meta_template
        both.invalidate_recordset()
        for template in both:
            with self.subTest(template.template_key):
                self.assertEqual(
                    (template.rule_count, template.campaign_count, template.waiting_count), (2, 2, 2)
                )
                for action, count in (
                    (template.action_open_rules(), 2),
                    (template.action_open_campaigns(), 2),
                    (template.action_open_waiting(), 2),
                ):
                    self.assertEqual(self.env[action["res_model"]].search_count(action["domain"]), count)
        self.assertLessEqual(both, self._found("used"))
        self.assertFalse(both & self._found("unused"))

    def test_unused_template(self):
        unused = self.template.create({"template_key": "test_unused", "name": "U", "body_preview": "Hi"})
        self.assertFalse(unused.is_used)
        self.assertIn(unused, self._found("unused"))
        self.assertNotIn(unused, self._found("used"))

    def test_uses_are_counted_together(self):
        templates = self.template.search([])
        self.env.flush_all()
        self.env.invalidate_all()
        # The templates, then rules, campaigns of their own and campaigns of their rules; the rules' keys.
        with self.assertQueryCount(6):
            templates.mapped("rule_count")

    # === ACTIONS ===#

    def test_send_test_shows_the_samples(self):
        self._provider("fonnte")
        action = self.template.action_send_test()
        wizard = (
            self.env[action["res_model"]]
            .with_context(**action["context"])
            .create({"partner_id": self.partner.id})
        )
        self.assertEqual(wizard.template_key, "test_ready")
        self.assertEqual(json.loads(wizard.context_values), self.template._samples())
        wizard.action_send_test()
        self.assertIn(self.template._samples()["permit_number"], self.gateway.messages()[0]["text"])

    def test_sync_needs_an_account(self):
        with self.assertRaisesRegex(UserError, "no WhatsApp account of Meta"):
            self.template.action_sync_from_meta()
        self.assertFalse(self.template.has_meta_account)
        self._provider("meta")
        self.template.invalidate_recordset()
        self.assertTrue(self.template.has_meta_account)
        self.assertEqual(self.template.action_sync_from_meta()["tag"], "display_notification")


class TestTemplateRights(SecurityCase):
    def test_sync(self):
        self._provider("meta")
        for name in ("user", "staff", "official", "employee", "portal", "public"):
            self.assertRefused(name, self.template._name, "action_sync_from_meta")
        self.rpc("manager", self.template._name, "action_sync_from_meta")

    def test_users_read_the_page(self):
        values = self.rpc(
            "user",
            self.template._name,
            "read",
            self.template.ids,
            ["rule_count", "campaign_count", "waiting_count", "is_used", "has_meta_account", "known_samples"],
        )[0]
        self.assertFalse(values["is_used"])
        with self.assertRaises(AccessError):
            self.template.with_user(self.users["user"]).sample_values = "{}"
