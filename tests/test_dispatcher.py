"""Which provider, which template, which parameters, who is next (contract, section 6; seed 2, section 6)."""

from datetime import timedelta

from odoo import fields
from odoo.exceptions import AccessError, UserError
from odoo.tests import new_test_user

from .common import NotificationCase

VALUES = {"partner_name": "Ani", "permit_number": "503/0001"}
TEXT = "Dear Ani, permit 503/0001 is ready."


class TestDispatcher(NotificationCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.meta = cls._provider("meta", sequence=1)
        cls.watzap = cls._provider("watzap", sequence=5)
        cls.fonnte = cls._provider("fonnte", sequence=5)

    def _send(self, **vals):
        return self.dispatcher.send_template_message(
            "test_ready", self.partner.id, vals.pop("context_values", VALUES), **vals
        )

    def _chosen(self, template_key="test_ready"):
        return self.dispatcher.determine_provider(self.partner.id, template_key=template_key)

    # === CHOICE ===#

    def test_meta_for_the_opted_in(self):
        self.partner.whatsapp_opt_in = True
        chosen = self._chosen()
        self.assertEqual(chosen["provider"], self.meta)
        self.assertFalse(chosen["use_24h_window"])
        self.assertIn("opted in", chosen["reason"])

    def test_meta_within_24_hours(self):
        self.partner.whatsapp_last_inbound = fields.Datetime.now() - timedelta(hours=23)
        self.assertEqual((self._chosen()["provider"], self._chosen()["use_24h_window"]), (self.meta, True))
        self.partner.whatsapp_last_inbound = fields.Datetime.now() - timedelta(hours=25)
        self.assertEqual(self._chosen()["provider"], self.fonnte)

    def test_without_consent_the_others(self):
        """Of the same sequence Fonnte goes before Watzap (contract, section 7)."""
        chosen = self._chosen()
        self.assertEqual(chosen["provider"], self.fonnte)
        self.assertIn("neither opted in", chosen["reason"])

    def test_sequence_decides(self):
        self.watzap.sequence = 2
        self.assertEqual(self._chosen()["provider"], self.watzap)

    def test_default_provider_of_the_settings(self):
        settings = self.env["res.config.settings"].create({"whatsapp_default_provider_id": self.watzap.id})
        settings.execute()
        self.assertEqual(self._chosen()["provider"], self.watzap)

    def test_template_must_be_usable_at_meta(self):
        self.partner.whatsapp_opt_in = True
        for status in ("draft", "rejected", "paused"):
            self.meta_template.meta_status = status
            self.assertEqual(self._chosen()["provider"], self.fonnte, status)
        self.meta_template.meta_status = "approved"
        self.assertEqual(self._chosen()["provider"], self.meta)

    def test_plain_key_at_meta_when_there_is_no_variant(self):
        self.partner.whatsapp_opt_in = True
        self.meta_template.active = False
        self.assertEqual(self._chosen()["provider"], self.fonnte)
        self.template.meta_template_name = "izin_siap"
        self.assertEqual(self.template.meta_status, "configured")
        self.assertEqual(self._chosen()["provider"], self.meta)

    def test_untested_and_archived_providers_are_not_used(self):
        self.fonnte.credential_state = "draft"
        self.assertEqual(self._chosen()["provider"], self.watzap)
        self.watzap.active = False
        chosen = self._chosen()
        self.assertFalse(chosen["provider"])
        self.assertIn("No other provider is configured", chosen["reason"])

    def test_providers_of_another_company(self):
        other = self.env["res.company"].create({"name": "Other"})
        self.fonnte.company_id = other
        self.assertEqual(self._chosen()["provider"], self.watzap)
        permit = self._permit(company_id=other.id)
        chosen = self.dispatcher.determine_provider(self.partner.id, permit_id=permit.id)
        self.assertEqual(chosen["provider"], self.fonnte, "the permit's company decides")

    # === WHAT GOES OVER THE WIRE ===#

    def test_meta_gets_its_template_with_positional_parameters(self):
        self.partner.whatsapp_opt_in = True
        result = self._send()
        (message,) = self.gateway.messages()
        self.assertEqual((message["provider"], message["template"]), ("meta", "izin_siap"))
        self.assertEqual(message["parameters"], ["Ani", "503/0001"])
        self.assertEqual(
            (result["success"], result["provider"], result["message_id"]),
            (True, "Meta", message["message_id"]),
        )

    def test_fonnte_gets_the_rendered_text(self):
        result = self._send()
        (message,) = self.gateway.messages()
        self.assertEqual(
            (message["provider"], message["to"], message["text"]), ("fonnte", "6281200000001", TEXT)
        )
        self.assertEqual((result["provider_id"], result["provider_type"]), (self.fonnte.id, "fonnte"))
        self.assertNotIn("fallback_used", result)

    def test_fonnte_variables_where_the_account_uses_them(self):
        self.template.write({"fonnte_template_id": "T1", "fonnte_status": "configured"})
        self._send()
        self.assertEqual(self.gateway.messages()[0]["text"], TEXT)

    def test_watzap_gets_the_rendered_text(self):
        self.fonnte.active = False
        result = self._send()
        (message,) = self.gateway.messages()
        self.assertEqual((message["provider"], message["text"]), ("watzap", TEXT))
        self.assertFalse(result["message_id"], "Watzap gives none")

    def test_prefixed_key_means_the_same_template(self):
        self.dispatcher.send_template_message("meta_test_ready", self.partner.id, VALUES)
        self.assertEqual(self.gateway.messages()[0]["text"], TEXT)

    def test_a_placeholder_inside_a_value_stays(self):
        self._send(context_values={**VALUES, "partner_name": "{{permit_number}}"})
        self.assertEqual(
            self.gateway.messages()[0]["text"], "Dear {{permit_number}}, permit 503/0001 is ready."
        )

    def test_missing_parameter_is_named_and_nothing_is_sent(self):
        result = self._send(context_values={"partner_name": "Ani"})
        self.assertEqual((result["success"], result["error_class"]), (False, "missing_parameter"))
        self.assertIn("permit_number", result["error"])
        self.assertFalse(self.gateway.requests())

    def test_free_text(self):
        result = self.dispatcher.send_text_message(self.partner.id, "Halo")
        self.assertEqual((result["success"], result["provider_type"]), (True, "fonnte"))
        self.assertEqual(self.gateway.messages()[0]["text"], "Halo")

    def test_free_text_by_meta_only_in_an_open_window(self):
        self.partner.whatsapp_opt_in = True
        self.assertEqual(
            self.dispatcher.send_text_message(self.partner.id, "Halo")["provider_type"], "fonnte"
        )
        self.partner.whatsapp_last_inbound = fields.Datetime.now()
        self.gateway.account(meta={"open_windows": ["6281200000001"]})
        self.assertEqual(self.dispatcher.send_text_message(self.partner.id, "Halo")["provider_type"], "meta")

    def test_free_text_by_one_type_of_provider(self):
        result = self.dispatcher.send_text_message(self.partner.id, "Halo", provider_type="watzap")
        self.assertEqual(result["provider_type"], "watzap")

    # === FALLBACK ===#

    def test_payment_issue_at_meta_falls_back_at_once(self):
        """Seed 2, section 6.2: error 131042 → Fonnte or Watzap."""
        self.partner.whatsapp_opt_in = True
        self.gateway.fault("meta", "131042")
        result = self._send()
        self.assertTrue(result["success"])
        self.assertEqual(
            (result["provider"], result["fallback_used"], result["original_provider"]),
            ("Fonnte", True, "Meta"),
        )
        self.assertIn("131042", result["original_error"])
        self.assertEqual([message["provider"] for message in self.gateway.messages()], ["fonnte"])
        logs = self.logs.search([("partner_id", "=", self.partner.id)], order="id")
        self.assertEqual(
            [(log.state, log.provider_type, log.error_class, log.attempt) for log in logs],
            [("failed", "meta", "account_blocked", 1), ("sent", "fonnte", False, 2)],
        )

    def test_fallback_along_the_chain(self):
        self.partner.whatsapp_opt_in = True
        self.gateway.fault("meta", "190")
        self.gateway.account(fonnte={"connected": False})
        result = self._send()
        self.assertEqual((result["provider"], result["original_provider"]), ("Watzap", "Meta"))

    def test_a_refused_recipient_is_final(self):
        self.partner.whatsapp_opt_in = True
        self.gateway.fault("meta", "131026")
        result = self._send()
        self.assertEqual((result["success"], result["error_class"]), (False, "bad_recipient"))
        self.assertFalse(self.gateway.messages())

    def test_a_passing_fault_does_not_fall_back(self):
        self.gateway.fault("fonnte", "http:502")
        result = self._send()
        self.assertEqual((result["success"], result["error_class"]), (False, "retry_later"))
        self.assertFalse(self.gateway.messages())

    def test_unknown_outcome_does_not_fall_back(self):
        self.gateway.fault("fonnte", "cut_after_read")
        result = self._send()
        self.assertEqual((result["success"], result["error_class"]), (False, "interrupted"))
        self.assertEqual([message["provider"] for message in self.gateway.messages()], ["fonnte"])

    # === NOTHING TO SEND, NOBODY TO SEND IT ===#

    def test_nobody_eligible_says_what_to_configure(self):
        (self.meta + self.fonnte + self.watzap).write({"active": False})
        result = self._send()
        self.assertEqual(result["error_class"], "no_provider")
        self.assertIn("WhatsApp Providers", result["error"])

    def test_blacklisted(self):
        self.env["sicantik.notification.blacklist"].create(
            {"phone_number": "0812 0000 0001", "reason": "asked"}
        )
        result = self._send()
        self.assertEqual((result["success"], result["error_class"]), (False, "blacklisted"))
        self.assertFalse(self.gateway.requests())

    def test_no_number(self):
        result = self.dispatcher.send_template_message("test_ready", self._partner("Nobody").id, VALUES)
        self.assertEqual((result["success"], result["error_class"]), (False, "no_number"))

    def test_programming_errors_raise(self):
        with self.assertRaisesRegex(UserError, "no_such_key"):
            self.dispatcher.send_template_message("no_such_key", self.partner.id, {})
        with self.assertRaisesRegex(UserError, "There is no contact"):
            self.dispatcher.send_template_message("test_ready", 2**31 - 1, VALUES)

    # === WHO MAY CALL ===#

    def test_internal_users_may_portal_users_may_not(self):
        clerk = new_test_user(self.env, "clerk", groups="base.group_user")
        self.assertTrue(
            self.dispatcher.with_user(clerk).send_template_message("test_ready", self.partner.id, VALUES)[
                "success"
            ]
        )
        visitor = new_test_user(self.env, "visitor", groups="base.group_portal")
        for call in (
            lambda: self.dispatcher.with_user(visitor).send_template_message(
                "test_ready", self.partner.id, VALUES
            ),
            lambda: self.dispatcher.with_user(visitor).send_text_message(self.partner.id, "x"),
            lambda: self.dispatcher.with_user(visitor).determine_provider(self.partner.id),
        ):
            with self.assertRaises(AccessError):
                call()

    def test_only_for_permits_that_the_caller_may_read(self):
        clerk = new_test_user(self.env, "clerk", groups="base.group_user")
        with self.assertRaises(AccessError):
            self.dispatcher.with_user(clerk).send_template_message(
                "test_ready", self.partner.id, VALUES, permit_id=self._permit().id
            )

    def test_secrets_are_in_no_message(self):
        self.partner.whatsapp_opt_in = True
        self.gateway.fault("meta", "190")
        self._send()
        told = " ".join(filter(None, self.logs.search([]).mapped("error_message")))
        for secret in ("META-TOKEN-DEMO", "FONNTE-TOKEN-DEMO", "WATZAP-KEY-DEMO"):
            self.assertNotIn(secret, told)
