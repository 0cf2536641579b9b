"""Templates, providers and settings in a real browser."""

import json

from odoo.tests import HttpCase, tagged

from .common import Gateway


@tagged("post_install", "-at_install")
class TestSetupTours(HttpCase):
    browser_size = "1366,768"

    def setUp(self):
        super().setUp()
        self.gateway = Gateway.start(type(self))

    def test_template_editor(self):
        template = self.env["sicantik.whatsapp.template.master"].create(
            {
                "template_key": "tour_template",
                "name": "Tour Template",
                "body_preview": "Yth. {{partner_name}}",
                "parameter_list": ["partner_name", "status"],
            }
        )
        action = self.env.ref("sicantik_notification_automation.sicantik_whatsapp_template_master_action")
        self.start_tour(f"/web#action={action.id}&view_type=list", "sicantik_template", login="admin")
        self.env.invalidate_all()
        self.assertEqual(
            template.body_preview, "Yth. *{{partner_name}}*, izin {{permit_number}} <b>siap</b>."
        )
        self.assertEqual(json.loads(template.parameter_list), ["permit_number", "partner_name"])
        self.assertEqual(json.loads(template.sample_values), {"permit_number": "503/77"})
        self.assertFalse(template.unused_parameters)

    def test_provider(self):
        self.env["sicantik.whatsapp.provider"].search([]).active = False
        action = self.env.ref("sicantik_notification_automation.sicantik_whatsapp_provider_action")
        self.env["sicantik.whatsapp.provider"].create(
            {
                "name": "Tour Provider",
                "provider_type": "fonnte",
                "base_url": f"{self.gateway.url}/fonnte",
                "daily_limit": 100,
            }
        )
        self.start_tour(f"/web#action={action.id}&view_type=list", "sicantik_provider", login="admin")
        self.env.invalidate_all()
        provider = self.env["sicantik.whatsapp.provider"].search([("name", "=", "Tour Provider")])
        self.assertEqual(provider.credential_state, "configured")
        self.assertIn("6221500000", provider.account_facts)

    def test_settings(self):
        # Saving is tested on the server: it loads the page anew, which ends a tour.
        self.start_tour("/web", "sicantik_settings", login="admin")
