"""The settings page: what it shows of companies and addresses, and what it changes."""

from odoo.exceptions import ValidationError
from odoo.tests import Form

from .common import NotificationCase


class TestSettingPage(NotificationCase):
    def _settings(self, **vals):
        return self.env["res.config.settings"].create(vals)

    def test_addresses(self):
        for base, reachable in (("https://sicantik.example.id", True), ("http://localhost:8069", False)):
            self.env["ir.config_parameter"].set_param("web.base.url", base)
            settings = self._settings()
            self.assertEqual(settings.whatsapp_scheduler_url, f"{base}/api/cron-auto-message")
            self.assertEqual(settings.whatsapp_trigger_url, f"{base}/sicantik/api/v1/triggers/<code>/fire")
            self.assertEqual(settings.whatsapp_is_reachable, reachable)

    def test_country(self):
        """By it numbers without country code are read."""
        self.env.company.country_id = self.env.ref("base.id")
        partner = self._partner("Fajar", "0812 0000 0066")
        self.assertEqual(partner.whatsapp_e164, "+6281200000066")
        self._settings(whatsapp_country_id=self.env.ref("base.my").id).execute()
        self.assertEqual(self.env.company.country_id.code, "MY")
        self.assertEqual(self._settings().whatsapp_country_id.code, "MY")

    def test_who_is_told(self):
        admin = self.env.ref("base.user_admin")
        self._settings(whatsapp_alert_user_ids=[(6, 0, admin.ids)]).execute()
        self.assertEqual(self.env.company.whatsapp_alert_user_ids, admin)

    def test_requests_at_once(self):
        """While two are under way, a third one waits for an answer."""
        for wrong in (0, 65):
            with self.assertRaisesRegex(ValidationError, "Between 1 and 64"):
                self._settings(whatsapp_in_flight=wrong)
        self._settings(whatsapp_in_flight=2).execute()
        self.assertEqual(self._settings().whatsapp_in_flight, 2)
        self._provider("fonnte")
        self.gateway.fault("fonnte", "slow", delay=0.4)
        rows = self.queue.concat(*(self._row() for _i in range(4)))
        self.drain()
        self.assertEqual(set(rows.mapped("state")), {"sent"})
        at = sorted(request["at"] for request in self.gateway.requests())
        self.assertGreaterEqual(at[2] - at[0], 0.35)

    def test_form(self):
        """Everything can be found on the page, each with a sentence of help."""
        form = Form(self.env["res.config.settings"])
        view = self.env["res.config.settings"].get_view()["arch"]
        self.assertTrue(form.whatsapp_scheduler_url)
        for name in (
            *("whatsapp_default_provider_id", "whatsapp_country_id", "whatsapp_tz", "quiet_hours"),
            *("whatsapp_daily_cap", "whatsapp_catch_up_hours", "whatsapp_lanes", "whatsapp_opt_in_policy"),
            *("whatsapp_opt_in_words", "whatsapp_opt_out_words", "whatsapp_alert_user_ids"),
            *("whatsapp_campaign_pause_percent", "whatsapp_scheduler_url", "whatsapp_trigger_url"),
            *("whatsapp_queue_keep_days", "whatsapp_log_keep_days", "whatsapp_in_flight"),
        ):
            self.assertIn(f'name="{name}"', view)
