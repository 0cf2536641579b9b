"""The forms of triggers and rules, in a real browser."""

from odoo.tests import tagged

from .common import TourCase


@tagged("post_install", "-at_install")
class TestRuleTours(TourCase):
    def test_rules(self):
        model = self.env["ir.model"]._get("sicantik.permit")
        trigger = self.env["sicantik.notification.trigger"].create(
            {"name": "Tour", "code": "tour_state", "model_id": model.id, "trigger_type": "on_state_change"}
        )
        self.env["sicantik.notification.rule"].create(
            {"name": "Tour", "trigger_id": trigger.id, "template_key": "permit_ready"}
        )
        applicant = self.env["res.partner"].create(
            {"name": "Tour Applicant", "whatsapp_number": "0812 0000 0088"}
        )
        self.env["sicantik.permit"].create({"partner_id": applicant.id, "permit_number": "503/88"})
        self.env.cr.flush()
        action = self.env.ref("sicantik_notification_automation.sicantik_notification_trigger_action")
        self.start_tour(
            f"/web#action={action.id}&view_type=list", "sicantik_rules", login="admin", timeout=180
        )
        self.env.invalidate_all()
        self.assertEqual((trigger.state_from, trigger.state_to), ("draft", "approved"))
        self.assertIn("datetime.now()", trigger.condition_domain)
        rule = self.env["sicantik.notification.rule"].search([("name", "=", "Tour Rule")])
        rule = rule or rule.with_context(active_test=False).search([("name", "=", "Tour Rule")])
        self.assertEqual((rule.active, rule.recipient_field), (False, "partner_id"))
        self.assertEqual(self.gateway.requests(), [], "trying sends nothing")
        self.assertFalse(self.env["sicantik.notification.queue"].search([("partner_id", "=", applicant.id)]))
