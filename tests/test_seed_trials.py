"""The four trials of the setup guide (seed 2, chapter 7), in a browser, in Indonesian, as written there."""

from odoo.tests import HttpCase, tagged

from .common import Gateway

MODULE = "sicantik_notification_automation"
APPLICANT = "Pemohon Uji Coba"


@tagged("post_install", "-at_install")
class TestSeedTrials(HttpCase):
    browser_size = "1366,768"

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.gateway = Gateway.start(cls)
        cls.env = cls.env(context={**cls.env.context, "tracking_disable": True})
        cls.env["res.lang"]._activate_lang("id_ID")
        cls.env["ir.module.module"].search([("name", "=", MODULE)])._update_translations(["id_ID"])
        cls.env.ref("base.user_admin").lang = "id_ID"
        # Nothing else is sent, and what the trials look for is on the first page.
        cls.env["sicantik.notification.rule"].search([]).active = False
        cls.env["sicantik.whatsapp.provider"].search([]).active = False
        cls.env["sicantik.permit"].search([]).active = False
        cls.env["sicantik.notification.queue"].search([]).write({"state": "cancelled"})
        cls.env["sicantik.whatsapp.provider"].create(
            {
                "name": "Fonnte",
                "provider_type": "fonnte",
                "base_url": f"{cls.gateway.url}/fonnte",
                "api_token": "FONNTE-TOKEN-DEMO",
                "credential_state": "configured",
            }
        )

    def applicant(self, number=1, **vals):
        """Create one, with a WhatsApp number."""
        return self.env["res.partner"].create(
            {"name": APPLICANT, "whatsapp_number": f"+628120000008{number}", **vals}
        )

    def permit(self, number=1, **vals):
        """Create a permit of an applicant of its own."""
        partner = self.applicant(number)
        return self.env["sicantik.permit"].create(
            {"partner_id": partner.id, "permit_number": f"503/{number}", **vals}
        )

    def rule(self):
        """Create the rule that trial 3 chooses."""
        trigger = self.env["sicantik.notification.trigger"].search([("code", "=", "permit_state_change")])
        return self.env["sicantik.notification.rule"].create(
            {"name": "Aturan Uji Coba", "trigger_id": trigger.id, "template_key": "selesai_diproses"}
        )

    def play(self, number):
        """Walk through a trial; give the messages that arrived at the phones."""
        self.env.flush_all()
        self.start_tour("/web", f"sicantik_seed_trial_{number}", login="admin")
        self.env.invalidate_all()
        return self.gateway.messages()

    def setUp(self):
        super().setUp()
        self.gateway.reset()

    def test_1_automatic_notification(self):
        permit = self.permit(permit_type_id=self.env["sicantik.permit.type"].search([], limit=1).id)
        (message,) = self.play(1)
        self.assertEqual(permit.state, "approved")
        self.assertEqual(message["to"], "6281200000081")
        self.assertIn(APPLICANT, message["text"])

    def test_2_campaign(self):
        for number in range(1, 7):
            self.permit(number, state="approved", expiry_date="2030-01-31")
        texts = self.play(2)
        self.assertEqual(
            sorted(message["to"] for message in texts), [f"628120000008{i}" for i in range(1, 7)]
        )
        campaign = self.env["sicantik.notification.campaign"].search(
            [("name", "=", "Test Kampanye Reminder")]
        )
        self.assertEqual((campaign.total_targets, campaign.total_sent), (6, 6))
        self.assertEqual(campaign.rule_id.batch_size, 5)

    def test_3_by_hand(self):
        self.applicant()
        self.rule()
        test, manual = self.play(3)
        self.assertEqual(test["to"], manual["to"])
        self.assertIn("TEST/2025/00001", manual["text"])

    def test_4_scheduled_actions(self):
        row = self.env["sicantik.notification.queue"].create(
            {
                "partner_id": self.applicant().id,
                "template_key": "selesai_diproses",
                "context_values": {"partner_name": "Ani", "permit_number": "503/0001"},
            }
        )
        (message,) = self.play(4)
        self.assertEqual(row.state, "sent")
        self.assertEqual(message["to"], "6281200000081")
