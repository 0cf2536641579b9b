"""What people click, in a real browser."""

from odoo.tests import tagged

from .common import TourCase


@tagged("post_install", "-at_install")
class TestTours(TourCase):
    def setUp(self):
        super().setUp()
        trigger = self.env["sicantik.notification.trigger"].search([("code", "=", "permit_state_change")])
        self.rule = self.env["sicantik.notification.rule"].create(
            {
                "name": "Tour",
                "trigger_id": trigger.id,
                "template_key": "permit_ready",
                "condition_domain": "[('state', '=', 'approved')]",
            }
        )

    def tour_permits(self, tour, **vals):
        """Play a tour that begins with the list of permits, where a clerk finds one of *Tour Applicant*.

        :return: the permit, and its messages in order
        """
        applicant = self.env["res.partner"].create(
            {"name": "Tour Applicant", "whatsapp_number": "0812 0000 0088"}
        )
        permit = self.env["sicantik.permit"].create({"partner_id": applicant.id, **vals})
        self.env.cr.flush()
        action = self.env.ref("sicantik_notification_automation.sicantik_permit_action")
        self.start_tour(f"/web#action={action.id}&view_type=list", tour, login="admin")
        self.env.invalidate_all()
        self.assertEqual(permit.state, "approved")
        rows = self.env["sicantik.notification.queue"].search([("permit_id", "=", permit.id)], order="id")
        return permit, rows

    def test_first_road(self):
        _permit, row = self.tour_permits("sicantik_first_road")
        self.assertEqual((row.state, row.provider_id.name), ("sent", "Tour"))
        (message,) = self.gateway.messages()
        self.assertEqual(message["to"], "6281200000088")
        self.assertIn("Tour Applicant", message["text"])

    def test_permit_pages(self):
        """A clerk presses the button and sees the message; a notification user writes by hand."""
        self.rule.post_note = True
        permit, rows = self.tour_permits("sicantik_permit_pages", state="processing")
        self.assertEqual(rows.mapped("template_key"), ["permit_ready", "status_update"])
        self.assertEqual(rows[0].state, "sent")
        self.assertEqual(self.gateway.messages()[0]["to"], "6281200000088")
        self.assertTrue(any("Tour Applicant" in note.body for note in permit.message_ids))
