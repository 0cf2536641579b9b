"""What people who look after the messages click, in a real browser."""

from odoo.tests import tagged

from .common import TourCase

MODULE = "sicantik_notification_automation"


@tagged("post_install", "-at_install")
class TestMonitoringTours(TourCase):
    def setUp(self):
        super().setUp()
        queue = self.env["sicantik.notification.queue"]
        queue.search([]).write({"state": "cancelled"})
        self.env.cr.execute(
            "UPDATE sicantik_notification_queue SET create_date = create_date - interval '9 days'"
        )
        self.applicant = self.env["res.partner"].create(
            {"name": "Tour Applicant", "whatsapp_number": "0812 0000 0088"}
        )

    def tour(self, action, tour):
        """Play a tour that begins with a list."""
        self.env.cr.flush()
        action = self.env.ref(f"{MODULE}.{action}")
        self.start_tour(f"/web#action={action.id}&view_type=list", tour, login="admin")
        self.env.invalidate_all()

    def test_monitoring(self):
        self.gateway.fault("fonnte", "target invalid", times=1)
        queue = self.env["sicantik.notification.queue"]
        vals = {
            "partner_id": self.applicant.id,
            "template_key": "selesai_diproses",
            "context_values": {"partner_name": "Tour Applicant", "permit_number": "503/1"},
        }
        failed = queue.create(vals)
        failed.action_process()
        self.assertEqual((failed.state, failed.error_class), ("failed", "bad_recipient"))
        waiting = queue.create(vals)
        self.tour("sicantik_notification_queue_action", "sicantik_monitoring")
        self.assertEqual(sorted((failed + waiting).mapped("state")), ["pending", "sent"])
        self.assertEqual(len(self.gateway.messages()), 1)

    def test_test_send(self):
        trigger = self.env["sicantik.notification.trigger"].search([("code", "=", "permit_state_change")])
        self.env["sicantik.notification.rule"].create(
            {"name": "Tour", "trigger_id": trigger.id, "template_key": "selesai_diproses"}
        )
        self.tour("sicantik_notification_rule_action", "sicantik_test_send")
        (message,) = self.gateway.messages()
        self.assertEqual(message["to"], "6281200000088")
