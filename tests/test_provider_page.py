"""The provider page: how a provider is doing, what a connection test tells, what its limits count."""

from datetime import timedelta

from odoo import fields
from odoo.exceptions import AccessError, ValidationError

from .common import NotificationCase
from .test_security import SecurityCase
from .webhooks import EventCase

MODULE = "sicantik_notification_automation"


class TestConnectionFacts(NotificationCase):
    def test_facts(self):
        """The test says what was reached, also when it cannot send."""
        for provider_type, facts in (
            ("meta", ("Number:", "Name:", "Account:")),
            ("fonnte", ("Device:", "Messages left:", "Valid until:")),
            ("watzap", ("Number:", "Package:", "Number valid until:")),
            ("twilio", ("Account:", "Status:")),
            ("waha", ("Session:", "Number:")),
        ):
            with self.subTest(provider_type):
                provider = self._provider(provider_type, credential_state="draft")
                message = provider.action_test_connection()["params"]["message"]
                for fact in facts:
                    self.assertIn(fact, provider.account_facts)
                    self.assertIn(fact, message)
                self.assertTrue(provider.tested_date)
                for secret in filter(
                    None, (provider.api_token, provider_type == "watzap" and provider.sender_id)
                ):
                    self.assertNotIn(secret, message + provider.account_facts)

    def test_facts_of_what_cannot_send(self):
        self.gateway.account(fonnte={"connected": False})
        provider = self._provider("fonnte")
        message = provider.action_test_connection()["params"]["message"]
        self.assertIn(provider.last_error_message, message)
        self.assertIn("Device:", message)
        self.assertNotIn("works", message)

    def test_every_fact_has_a_label(self):
        labels = self.env["sicantik.whatsapp.provider"]._fact_labels()
        for provider_type in ("meta", "fonnte", "watzap", "twilio", "waha"):
            details = self._provider(provider_type)._test_connection().details
            self.assertTrue(details)
            self.assertLessEqual(set(details), set(labels), provider_type)

    def test_other_credentials_are_another_account(self):
        provider = self._provider("fonnte")
        provider.action_test_connection()
        provider.api_token = "OTHER-TOKEN"
        self.assertFalse(provider.account_facts)
        provider.action_test_connection()
        self.assertFalse(provider.account_facts)

    def test_account_id_is_asked_for(self):
        provider = self._provider("meta", account_id=False)
        message = provider.action_test_connection()["params"]["message"]
        self.assertIn("WhatsApp Business Account ID", message)
        self.assertEqual(provider.credential_state, "configured")

    def test_in_the_users_language(self):
        """The labels are those of who tests (here: of a translation that this test makes)."""
        provider = self._provider("fonnte")
        labels = {**provider._fact_labels(), "device": "Perangkat"}
        self.patch(type(provider), "_fact_labels", lambda self: labels)
        provider.action_test_connection()
        self.assertIn("Perangkat:", provider.account_facts)


class TestHealth(EventCase):
    def test_health(self):
        now = fields.Datetime.now()
        provider = self._provider("fonnte", credential_state="draft")
        allowance = self.env["sicantik.notification.allowance"]
        self.assertEqual(provider.health, "untested")
        provider.credential_state = "configured"
        self.assertEqual(provider.health, "ready")
        allowance._pause({provider.id: now + timedelta(minutes=5)})
        provider.invalidate_recordset()
        self.assertEqual(provider.health, "resting")
        provider.credential_state = "error"
        self.assertEqual(provider.health, "refusing")
        provider.active = False
        self.assertEqual(provider.health, "off")
        self.assertTrue(provider.health_text)

    def test_open_circuit(self):
        provider = self._provider("fonnte", api_token="WRONG-SECRET")
        self.send()
        provider.invalidate_recordset()
        self.assertTrue(provider.probe_date)
        self.assertEqual(provider.health, "refusing")

    def test_daily_limit(self):
        provider = self._provider("fonnte", daily_limit=2)
        self.send()
        provider.invalidate_recordset()
        self.assertEqual((provider.used_count, provider.health), (1, "ready"))
        self.send()
        provider.invalidate_recordset()
        self.assertEqual((provider.used_count, provider.health), (2, "full"))

    def test_messaging_limit(self):
        self.partner.whatsapp_opt_in = True
        provider = self._provider("meta", messaging_limit=250)
        self.send(partner_id=self.partner.id)
        provider.invalidate_recordset()
        self.assertEqual(provider.reached_count, 1)

    def test_traffic(self):
        provider, other = self._provider("fonnte"), self._provider("watzap", active=False)
        for _number in range(2):
            self.send()
        self.gateway.fault("fonnte", "target invalid", times=1)
        self.send()
        (provider + other).invalidate_recordset()
        self.assertEqual((provider.sent_count, provider.failed_count, provider.rate_now), (2, 1, 0.4))
        self.assertEqual((other.sent_count, other.failed_count, other.rate_now), (0, 0, 0.0))
        action = provider.action_open_log()
        self.assertEqual(self.env[action["res_model"]].search_count(action["domain"]), 3)

    def test_last_webhook(self):
        self.assertFalse(self.env["sicantik.whatsapp.provider"].new({}).last_event_date, "a new one has none")
        provider = self._provider("fonnte")
        self.assertFalse(provider.last_event_date)
        self.env["sicantik.whatsapp.event"].create(
            {"provider_id": provider.id, "kind": "sender", "key": "one", "payload": "{}"}
        )
        provider.invalidate_recordset()
        self.assertTrue(provider.last_event_date)
        action = provider.action_open_events()
        self.assertEqual(self.env[action["res_model"]].search_count(action["domain"]), 1)

    def test_counted_together(self):
        names = ["health", "health_text", "used_count", "reached_count", "sent_count", "last_event_date"]
        providers = self._provider("fonnte", daily_limit=5) + self._provider("meta", messaging_limit=5)
        for _number in range(5):
            providers += self._provider("watzap", daily_limit=5)
        self.env.flush_all()
        self.env.invalidate_all()
        # The providers, their standing, limits and messaging limits, the log twice, the events; translations.
        with self.assertQueryCount(9):
            for name in names:
                providers.mapped(name)


class TestProviderPageRights(SecurityCase):
    def test_users_read_the_health(self):
        provider = self._provider("fonnte")
        names = ["health", "health_text", "used_count", "sent_count", "rate_now", "last_event_date"]
        values = self.rpc("user", provider._name, "read", provider.ids, names)[0]
        self.assertEqual(values["health"], "ready")
        for name in ("staff", "official", "employee", "portal", "public"):
            self.assertRefused(name, provider._name, "read", provider.ids, names)


class TestWhoIsTold(EventCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        users = cls.env["res.users"].with_context(no_reset_password=True)
        cls.manager, cls.second, cls.reader = (
            users.create(
                {
                    "name": login,
                    "login": login,
                    "groups_id": [(6, 0, [cls.env.ref(f"{MODULE}.group_notification_{group}").id])],
                }
            )
            for login, group in (("told_one", "manager"), ("told_two", "manager"), ("told_not", "user"))
        )

    def told_of_refusal(self, **vals):
        provider = self._provider("fonnte", api_token="WRONG-SECRET", **vals)
        self.send()
        return provider.activity_ids.user_id

    def test_everybody(self):
        told = self.told_of_refusal()
        self.assertLessEqual(self.manager + self.second, told)
        self.assertNotIn(self.reader, told)

    def test_those_named(self):
        self.env.company.whatsapp_alert_user_ids = self.manager
        self.assertEqual(self.told_of_refusal(company_id=self.env.company.id), self.manager)

    def test_who_has_lost_the_right(self):
        """Then it is as if nobody was named: somebody has to hear of it."""
        self.env.company.whatsapp_alert_user_ids = self.manager
        self.manager.groups_id = [(6, 0, [self.env.ref("base.group_user").id])]
        told = self.told_of_refusal(company_id=self.env.company.id)
        self.assertIn(self.second, told)
        self.assertNotIn(self.manager, told)

    def test_who_has_left_the_company(self):
        """They may not even see the provider."""
        ours, other = self.env.company, self.env["res.company"].create({"name": "Other"})
        ours.whatsapp_alert_user_ids = self.manager
        self.manager.write({"company_ids": [(6, 0, other.ids)], "company_id": other.id})
        told = self.told_of_refusal(company_id=ours.id)
        self.assertIn(self.second, told)
        self.assertNotIn(self.manager, told)
        with self.assertRaisesRegex(ValidationError, "told_one"):
            ours.whatsapp_alert_user_ids = self.second + self.manager

    def test_other_company(self):
        other = self.env["res.company"].create({"name": "Other"})
        self.second.company_ids += other
        other.whatsapp_alert_user_ids = self.second
        told = self.env["sicantik.notification.alert"]._users(self.env.company)
        self.assertIn(self.manager, told)
        self.assertEqual(self.env["sicantik.notification.alert"]._users(other), self.second)
        self.assertLessEqual(self.manager + self.second, self.env["sicantik.notification.alert"]._users())

    def test_managers_only(self):
        with self.assertRaisesRegex(Exception, "told_not cannot mend"), self.cr.savepoint():
            self.env.company.whatsapp_alert_user_ids = self.reader

    def test_templates(self):
        companies = self.env["res.company"].search([])
        self.second.company_ids = companies
        companies.whatsapp_alert_user_ids = self.second
        self.meta_template.write({"meta_template_name": "izin_siap", "meta_status": "approved"})
        sync = self.env["sicantik.whatsapp.template.sync"]
        sync._take_over(self.meta_template, "REJECTED", reason="INVALID_FORMAT")
        self.assertEqual(self.meta_template.activity_ids.user_id, self.second)
        self.assertEqual(self.meta_template.meta_reason, "INVALID_FORMAT")
        sync._take_over(self.meta_template, "REJECTED")
        self.assertEqual(self.meta_template.meta_reason, "INVALID_FORMAT", "the list says no reasons")
        sync._take_over(self.meta_template, "APPROVED", reason="NONE")
        self.assertFalse(self.meta_template.meta_reason)


class TestWhoMayChooseWhoIsTold(SecurityCase):
    def test_rights(self):
        for name in ("user", "staff", "employee"):
            with self.assertRaises(AccessError):
                company = self.env.company.with_user(self.users[name])
                company.whatsapp_alert_user_ids = self.users["manager"]
