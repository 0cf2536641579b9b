"""What people click, in a real browser."""

from odoo.tests import HttpCase, tagged

from .common import Gateway


@tagged("post_install", "-at_install")
class TestTours(HttpCase):
    browser_size = "1366,768"

    def test_first_road(self):
        gateway = Gateway.start(type(self))
        env = self.env(context={"tracking_disable": True})
        env["sicantik.notification.rule"].search([]).active = False
        env["sicantik.whatsapp.provider"].search([]).active = False
        env["sicantik.whatsapp.provider"].create(
            {
                "name": "Tour",
                "provider_type": "fonnte",
                "base_url": f"{gateway.url}/fonnte",
                "api_token": "FONNTE-TOKEN-DEMO",
                "credential_state": "configured",
            }
        )
        trigger = env["sicantik.notification.trigger"].search([("code", "=", "permit_state_change")])
        env["sicantik.notification.rule"].create(
            {
                "name": "Tour",
                "trigger_id": trigger.id,
                "template_key": "permit_ready",
                "condition_domain": "[('state', '=', 'approved')]",
            }
        )
        applicant = env["res.partner"].create({"name": "Tour Applicant", "whatsapp_number": "0812 0000 0088"})
        permit = env["sicantik.permit"].create({"partner_id": applicant.id})
        self.env.cr.flush()

        action = env.ref("sicantik_notification_automation.sicantik_permit_action")
        self.start_tour(f"/web#action={action.id}&view_type=list", "sicantik_first_road", login="admin")

        env.invalidate_all()
        self.assertEqual(permit.state, "approved")
        row = env["sicantik.notification.queue"].search([("permit_id", "=", permit.id)])
        self.assertEqual((row.state, row.provider_id.name), ("sent", "Tour"))
        (message,) = gateway.messages()
        self.assertEqual(message["to"], "6281200000088")
        self.assertIn("Tour Applicant", message["text"])

    def test_permit_pages(self):
        """A clerk presses the button and sees the message; a notification user writes by hand."""
        gateway = Gateway.start(type(self))
        env = self.env(context={"tracking_disable": True})
        env["sicantik.notification.rule"].search([]).active = False
        env["sicantik.whatsapp.provider"].search([]).active = False
        env["sicantik.whatsapp.provider"].create(
            {
                "name": "Tour",
                "provider_type": "fonnte",
                "base_url": f"{gateway.url}/fonnte",
                "api_token": "FONNTE-TOKEN-DEMO",
                "credential_state": "configured",
            }
        )
        trigger = env["sicantik.notification.trigger"].search([("code", "=", "permit_state_change")])
        env["sicantik.notification.rule"].create(
            {
                "name": "Tour",
                "trigger_id": trigger.id,
                "template_key": "permit_ready",
                "condition_domain": "[('state', '=', 'approved')]",
                "post_note": True,
            }
        )
        applicant = env["res.partner"].create({"name": "Tour Applicant", "whatsapp_number": "0812 0000 0089"})
        permit = env["sicantik.permit"].create({"partner_id": applicant.id, "state": "processing"})
        self.env.cr.flush()

        action = env.ref("sicantik_notification_automation.sicantik_permit_action")
        self.start_tour(f"/web#action={action.id}&view_type=list", "sicantik_permit_pages", login="admin")

        env.invalidate_all()
        self.assertEqual(permit.state, "approved")
        rows = env["sicantik.notification.queue"].search([("permit_id", "=", permit.id)], order="id")
        self.assertEqual(rows.mapped("template_key"), ["permit_ready", "status_update"])
        self.assertEqual(rows[0].state, "sent")
        self.assertEqual(gateway.messages()[0]["to"], "6281200000089")
        self.assertTrue(any("Tour Applicant" in note.body for note in permit.message_ids))
