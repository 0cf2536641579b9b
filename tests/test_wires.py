"""Twilio and WAHA on the road: what goes over the wire, which is tried first, what is asked of them."""

from odoo.tests import Form

from .common import NotificationCase

TEXT = "Dear Ani, permit 503/0001 is ready."
VALUES = {"partner_name": "Ani", "permit_number": "503/0001"}
CONTENT = "HX00000000000000000000000000000001"


class WireCase(NotificationCase):
    def _drained(self, **vals):
        """Queue one message and drain.

        :return: the row
        """
        row = self._row(**vals)
        self.drain()
        return row


class TestTwilioOnTheRoad(WireCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.twilio = cls._provider("twilio")

    def test_content_template(self):
        self.template.twilio_content_sid = f" {CONTENT} "
        self.gateway.account(twilio={"contents": {CONTENT: "Yth. {{1}}, izin {{2}} siap."}})
        row = self._drained()
        self.assertSent(row, "twilio")
        (message,) = self.gateway.messages()
        self.assertEqual(
            (message["to"], message["template"], message["parameters"], message["text"]),
            ("6281200000001", CONTENT, ["Ani", "503/0001"], "Yth. Ani, izin 503/0001 siap."),
        )
        self.assertEqual(row.external_message_id, message["message_id"])
        self.assertAttempts(row, [("sent", "twilio", False)])

    def test_text_without_a_content_sid(self):
        self.assertSent(self._drained(), "twilio")
        self.assertEqual([one["text"] for one in self.gateway.messages()], [TEXT])

    def test_closed_window_goes_on_to_the_next(self):
        self._provider("waha", sequence=20)
        self.gateway.fault("twilio", "63016")
        row = self._drained()
        self.assertSent(row, "waha")
        self.assertAttempts(row, [("failed", "twilio", "window_closed"), ("sent", "waha", False)])

    def test_text_that_is_too_long_fails_with_advice(self):
        row = self._drained(context_values={**VALUES, "partner_name": "x" * 1600})
        self.assertEqual((row.state, row.error_class), ("failed", "bad_template"))
        self.assertIn("1600 characters", row.error_message)
        self.assertEqual(self.gateway.requests(), [])

    def test_person_who_answered_stop(self):
        self.gateway.fault("twilio", "21610")
        row = self._drained()
        self.assertEqual((row.state, row.error_class), ("failed", "bad_recipient"))

    def test_twilio_is_told_our_webhook_when_it_can_call_it(self):
        for base, called in (("https://sicantik.example.id", True), ("http://localhost:8069", False)):
            self.env["ir.config_parameter"].set_param("web.base.url", base)
            self.twilio.invalidate_recordset(["webhook_url"])
            self.assertSent(self._drained(), "twilio")
            expected = self.twilio.webhook_url if called else None
            self.assertEqual(self.gateway.messages()[-1]["callback_url"], expected)
            self.assertEqual(self.twilio._account().callback_url, expected or "")


class TestWahaOnTheRoad(WireCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.waha = cls._provider("waha")

    def test_rendered_text(self):
        for engine in ("NOWEB", "WEBJS", "GOWS"):
            with self.subTest(engine):
                self.gateway.account(waha={"engine": engine})
                row = self._drained()
                self.assertSent(row, "waha")
                message = self.gateway.messages()[-1]
                self.assertEqual((message["to"], message["text"]), ("6281200000001", TEXT))
                self.assertEqual(row.external_message_id, message["message_id"])

    def test_empty_answer_is_sent_without_an_id(self):
        self.gateway.account(waha={"empty_answers": True})
        row = self._drained()
        self.assertSent(row, "waha")
        self.assertFalse(row.external_message_id)

    def test_failed_meta_goes_on_to_waha(self):
        """Seed 2, section 6.2, with WAHA in the place of Fonnte."""
        self._provider("meta")
        self.partner.whatsapp_opt_in = True
        self.gateway.fault("meta", "131042")
        row = self._drained()
        self.assertSent(row, "waha")
        self.assertAttempts(row, [("failed", "meta", "account_blocked"), ("sent", "waha", False)])
        self.assertEqual([one["provider"] for one in self.gateway.messages()], ["waha"])

    def test_server_error_is_held_and_not_sent_twice(self):
        self._provider("fonnte", sequence=20)
        self.gateway.fault("waha", "500/sent", times=1)
        row = self._drained()
        self.assertEqual((row.state, row.error_class), ("failed", "interrupted"))
        for hidden in ("6281200000001", "503/0001"):
            self.assertNotIn(hidden, row.error_message)
        self.drain()
        self.assertEqual([one["provider"] for one in self.gateway.messages()], ["waha"])

    def test_lost_session_hands_over_and_stops_the_batch(self):
        """A session that drops is asked until its circuit opens, and no more; nothing is lost."""
        self._provider("fonnte", sequence=20)
        self.gateway.account(waha={"status": "SCAN_QR_CODE"})
        rows = self.queue.browse()
        for number in range(12):
            rows += self._row(partner_id=self._partner(f"P{number}", f"0812000001{number:02}").id)
        self.drain()
        self.assertEqual(set(rows.mapped("state")), {"sent"})
        self.assertEqual(set(rows.mapped("provider_type")), {"fonnte"})
        self.assertEqual(self.waha.credential_state, "error")
        self.assertIn("QR code", self.waha.last_error_message)
        asked = len(self.gateway.requests(provider="waha"))
        later = self._drained()
        self.assertSent(later, "fonnte")
        self.assertEqual(len(self.gateway.requests(provider="waha")), asked)


class TestWiresAsProviders(WireCase):
    def test_order_among_equals(self):
        """Ties of the sequence: Fonnte, Watzap, WAHA, Twilio (contract, section 7)."""
        made = {name: self._provider(name) for name in ("twilio", "waha", "watzap", "fonnte")}
        for name in ("fonnte", "watzap", "waha", "twilio"):
            chosen = self.dispatcher.determine_provider(self.partner.id, template_key="test_ready")
            self.assertEqual(chosen["provider"], made[name])
            made[name].active = False

    def test_connection(self):
        for provider_type in ("twilio", "waha"):
            with self.subTest(provider_type):
                provider = self._provider(provider_type, credential_state="draft")
                provider.action_test_connection()
                self.assertEqual(
                    (provider.credential_state, provider.last_error_message), ("configured", False)
                )
                provider.api_token = "WRONG-SECRET"
                provider.action_test_connection()
                self.assertEqual(provider.credential_state, "error")
                self.assertNotIn("WRONG-SECRET", provider.last_error_message)
        self.assertEqual(self.gateway.messages(), [])

    def test_connection_of_what_cannot_send(self):
        self.gateway.account(waha={"status": "STOPPED"}, twilio={"status": "suspended"})
        for provider_type, said in (("waha", "stopped"), ("twilio", "not active")):
            with self.subTest(provider_type):
                provider = self._provider(provider_type, credential_state="draft")
                provider.action_test_connection()
                self.assertEqual(provider.credential_state, "error")
                self.assertIn(said, provider.last_error_message)

    def test_missing_settings_are_named(self):
        for provider_type, names in (
            ("twilio", ("auth token", "WhatsApp number", "account SID")),
            ("waha", ("base URL", "API token")),
        ):
            with self.subTest(provider_type):
                provider = self._provider(
                    provider_type, api_token=False, sender_id=False, account_id=False, base_url=False
                )
                provider.action_test_connection()
                for name in names:
                    self.assertIn(name, provider.last_error_message)
        self.assertEqual(self.gateway.requests(), [])

    def test_address(self):
        """Twilio's own is offered; WAHA has none but the office's, so the form asks for it."""
        providers = self.env["sicantik.whatsapp.provider"]
        provider = providers.create({"name": "T", "provider_type": "twilio"})
        self.assertEqual(provider.base_url, "https://api.twilio.com")
        provider.provider_type = "waha"
        self.assertFalse(provider.base_url)
        provider.provider_type = "fonnte"
        self.assertEqual(provider.base_url, "https://api.fonnte.com")

    def test_form_of_every_type(self):
        for provider_type in ("meta", "fonnte", "watzap", "twilio", "waha"):
            with self.subTest(provider_type), Form(self.env["sicantik.whatsapp.provider"]) as form:
                form.name = provider_type
                form.provider_type = provider_type
                form.api_token = "TOKEN-DEMO"
                form.sender_id = "+6221500000"
                if provider_type in ("meta", "twilio"):
                    form.account_id = "1"
                if provider_type == "waha":
                    form.base_url = "http://127.0.0.1:9"
                else:
                    self.assertTrue(form.base_url)
