"""Campaigns as people click through them, in a real browser."""

from odoo.tests import tagged

from .common import TourCase

MODULE = "sicantik_notification_automation"


@tagged("post_install", "-at_install")
class TestCampaignTours(TourCase):
    def setUp(self):
        super().setUp()
        trigger = self.env["sicantik.notification.trigger"].create(
            {
                "name": "Pengingat",
                "code": "tour_reminder",
                "model_id": self.env["ir.model"]._get_id("sicantik.permit"),
                "trigger_type": "manual",
            }
        )
        # As seed 2, section 7.2, step 2 fills it in.
        self.rule = self.env["sicantik.notification.rule"].create(
            {
                "name": "Reminder Masa Berlaku Izin",
                "trigger_id": trigger.id,
                "template_key": "permit_reminder",
                "recipient_type": "partner",
                "schedule_type": "batch",
                "batch_size": 5,
                "batch_interval": 2,
                "quiet_hours": "none",
            }
        )
        self.permits = self.env["sicantik.permit"].create(
            [
                {
                    "partner_id": self._applicant(n).id,
                    "permit_number": "Tour 7.2",
                    "state": "approved",
                    "expiry_date": "2099-12-31",
                }
                for n in (1, 2, 3)
            ]
        )
        self.env.flush_all()

    def _applicant(self, number):
        return self.env["res.partner"].create(
            {"name": f"Tour Applicant {number}", "whatsapp_number": f"0812 0000 007{number}"}
        )

    def _campaign(self):
        self.env.invalidate_all()
        return self.env["sicantik.notification.campaign"].search([("rule_id", "=", self.rule.id)])

    def test_campaign_of_seed_2(self):
        self.env["res.lang"]._activate_lang("id_ID")
        self.env["ir.module.module"].search([("name", "=", MODULE)])._update_translations(["id_ID"])
        self.env.ref("base.user_admin").lang = "id_ID"
        action = self.env.ref(f"{MODULE}.sicantik_permit_action")
        self.start_tour(f"/web#action={action.id}&view_type=list", "sicantik_campaign", login="admin")
        campaign = self._campaign()
        self.assertEqual((campaign.name, campaign.state), ("Test Kampanye Reminder", "running"))
        self.assertEqual(campaign.queue_ids.partner_id, self.permits.partner_id)
        self.assertEqual([message["to"] for message in self.gateway.messages()], ["6281200000071"])

    def test_selection(self):
        self.permits[2].partner_id.whatsapp_number = False
        action = self.env.ref(f"{MODULE}.sicantik_permit_action").copy(
            {"domain": "[('permit_number', '=', 'Tour 7.2')]", "context": "{}"}
        )
        self.start_tour(f"/web#action={action.id}&view_type=list", "sicantik_selection", login="admin")
        campaign = self._campaign()
        self.assertEqual((campaign.state, campaign.total_targets, campaign.total_skipped), ("running", 3, 1))
        self.assertEqual(campaign.target_domain, str([("id", "in", self.permits.ids)]))
