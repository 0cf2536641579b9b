"""Permits, documents, contacts, blacklist, templates and providers: what their records know by themselves."""

import json
from datetime import timedelta

from freezegun import freeze_time
from psycopg2 import IntegrityError

from odoo import fields
from odoo.exceptions import UserError, ValidationError
from odoo.tools import mute_logger

from .common import NotificationCase

MODULE = "sicantik_notification_automation"
NOW = fields.Datetime.from_string("2026-03-02 08:00:00")


class ModelCase(NotificationCase):
    def assertTaken(self, create):
        """Assert that the database refuses what `create()` creates because it is there already."""
        with mute_logger("odoo.sql_db"), self.assertRaises(IntegrityError), self.env.cr.savepoint():
            create()
            self.env.flush_all()


class TestPermit(ModelCase):
    # === NUMBERS AND NAMES ===#

    def test_registration_number_by_sequence(self):
        first, second = self._permit(), self._permit()
        self.assertRegex(first.registration_id, r"^REG/\d{4}/\d{5,}$")
        self.assertNotEqual(first.registration_id, second.registration_id)

    def test_registration_number_of_the_office(self):
        self.assertEqual(self._permit(registration_id="2018/17").registration_id, "2018/17")

    def test_registration_number_is_unique(self):
        self._permit(registration_id="2018/17")
        self.assertTaken(lambda: self._permit(registration_id="2018/17"))

    def test_copy_has_a_number_of_its_own(self):
        permit = self._permit(state="approved")
        copy = permit.copy()
        self.assertNotEqual(copy.registration_id, permit.registration_id)
        self.assertEqual((copy.state, copy.permit_number), ("draft", False))

    def test_applicant(self):
        permit = self._permit()
        self.assertEqual(permit.applicant_name, "Ani")
        permit.applicant_name = "Ani Lestari"
        self.assertEqual(permit.applicant_name, "Ani Lestari")
        self.assertEqual(self._permit(partner_id=False, applicant_name="Somebody").applicant_name, "Somebody")

    def test_permit_type(self):
        kind = self.env["sicantik.permit.type"].create({"name": "SIUP"})
        permit = self._permit(permit_type_id=kind.id)
        self.assertEqual(permit.permit_type_name, "SIUP")
        kind.name = "SIUP Besar"
        self.assertEqual(permit.permit_type_name, "SIUP Besar")

    # === TWO NAMES FOR ONE STATE ===#

    def test_status_reads_as_state(self):
        permit = self._permit(state="approved")
        self.assertEqual(permit.status, "approved")
        permit.state = "active"
        self.assertEqual(permit.status, "active")

    def test_status_writes_state(self):
        permit = self._permit()
        permit.status = "approved"
        self.assertEqual(permit.state, "approved")
        self.assertEqual(self._permit(status="submitted").state, "submitted")

    def test_status_searches_as_state(self):
        permits = self._permit(state="approved") + self._permit(state="draft")
        ours = [("id", "in", permits.ids)]
        for domain in (
            [("status", "=", "approved")],
            [("status", "!=", "draft")],
            [("status", "in", ["approved", "active"])],
        ):
            with self.subTest(domain):
                self.assertEqual(permits.search([*ours, *domain]), permits[0])
                self.assertEqual(permits.filtered_domain(domain), permits[0])

    def test_status_has_the_same_values(self):
        def values(name):
            return permits._fields[name]._description_selection(self.env)

        permits = self.env["sicantik.permit"]
        self.assertEqual(values("status"), values("state"))
        self.assertEqual(
            [value for value, _label in values("state")],
            "draft submitted processing approved active rejected expired renewed cancelled".split(),
        )

    # === DAYS UNTIL EXPIRY ===#

    def test_days_until_expiry(self):
        with freeze_time("2026-03-02 08:00:00"):
            for date, days in (("2026-04-01", 30), ("2026-03-02", 0), ("2026-02-28", -2), (False, 0)):
                with self.subTest(date):
                    self.assertEqual(self._permit(expiry_date=date).days_until_expiry, days)

    def test_search_days_until_expiry(self):
        with freeze_time("2026-03-02 08:00:00"):
            days = {
                number: self._permit(expiry_date=fields.Date.add(fields.Date.today(), days=number))
                for number in (-5, 0, 7, 30, 90)
            }
            never = self._permit()
            ours = [("id", "in", [never.id, *(permit.id for permit in days.values())])]
            for operator, value, expected in (
                ("=", 30, [30]),
                ("=", 0, [0]),
                ("!=", 30, [-5, 0, 7, 90]),
                ("<", 7, [-5, 0]),
                ("<=", 7, [-5, 0, 7]),
                (">", 7, [30, 90]),
                (">=", 7, [7, 30, 90]),
                ("in", [7, 90], [7, 90]),
                ("not in", [7, 90], [-5, 0, 30]),
            ):
                with self.subTest(f"{operator} {value}"):
                    found = never.search([*ours, ("days_until_expiry", operator, value)])
                    self.assertEqual(
                        sorted(found.mapped("days_until_expiry")),
                        expected,
                        "permits without a date match nothing",
                    )
                    self.assertNotIn(never, found)

    def test_search_days_until_expiry_by_a_text(self):
        with self.assertRaises(UserError):
            self.env["sicantik.permit"].search([("days_until_expiry", "ilike", "3")])


class TestDocument(ModelCase):
    def _document(self, **vals):
        return self.env["sicantik.document"].create({"name": "Form", **vals})

    def test_number_by_sequence(self):
        document = self._document()
        self.assertRegex(document.document_number, r"^DOC/\d{4}/\d{5,}$")
        self.assertNotEqual(document.copy().document_number, document.document_number)

    def test_number_is_unique(self):
        self._document(document_number="D/1")
        self.assertTaken(lambda: self._document(document_number="D/1"))

    def test_waiting_for_its_signature(self):
        document = self._document()
        self.assertFalse(document.pending_since)
        with freeze_time(NOW):
            document.state = "pending_signature"
            self.env.flush_all()
        self.assertEqual(document.pending_since, NOW)
        with freeze_time(NOW + timedelta(hours=5)):
            document.write({"state": "pending_signature", "name": "Form 2"})
            self.env.flush_all()
        self.assertEqual(document.pending_since, NOW, "it has waited since then")
        document.state = "uploaded"
        self.assertFalse(document.pending_since, "it waits no longer")

    def test_created_waiting(self):
        with freeze_time(NOW):
            document = self._document(state="pending_signature")
            self.env.flush_all()
        self.assertEqual(document.pending_since, NOW)

    def test_signature_date(self):
        document = self._document(state="pending_signature")
        self.assertFalse(document.signature_date)
        with freeze_time(NOW):
            document.state = "signed"
            self.env.flush_all()
        self.assertEqual(document.signature_date, NOW)
        document.state = "verified"
        self.assertEqual(document.signature_date, NOW, "verifying does not unsign")

    def test_applicant_is_that_of_the_permit(self):
        budi = self._partner("Budi", "081200000002")
        document = self._document(permit_id=self._permit().id)
        self.assertEqual(document.partner_id, self.partner)
        document.permit_id = self._permit(partner_id=budi.id)
        self.assertEqual(document.partner_id, budi)

    def test_applicant_without_a_permit(self):
        self.assertEqual(self._document(partner_id=self.partner.id).partner_id, self.partner)

    def test_states(self):
        self.assertEqual(
            self.env["sicantik.document"]._fields["state"].get_values(self.env),
            "draft uploaded pending_signature signed verified approved rejected cancelled".split(),
        )


class TestPartnerNumber(ModelCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.indonesia = cls.env.ref("base.id")
        cls.singapore = cls.env.ref("base.sg")

    def test_spellings_of_one_number(self):
        for spelling in ("081234567890", "81234567890", "6281234567890", "+62 812-3456-7890"):
            with self.subTest(spelling):
                partner = self._partner("Dewi", spelling, country_id=self.indonesia.id)
                self.assertEqual(partner.whatsapp_e164, "+6281234567890")

    def test_region_is_the_country_of_the_partner(self):
        partner = self._partner("Tan", "9123 4567", country_id=self.singapore.id)
        self.assertEqual(partner.whatsapp_e164, "+6591234567")

    def test_region_is_that_of_the_company_next(self):
        self.env.company.country_id = self.singapore
        self.assertEqual(self._partner("Tan", "9123 4567").whatsapp_e164, "+6591234567")

    def test_region_is_indonesia_last(self):
        self.env.company.country_id = False
        self.assertEqual(self._partner("Dewi", "081234567890").whatsapp_e164, "+6281234567890")

    def test_country_is_set_later(self):
        partner = self._partner("Tan", country_id=self.singapore.id, phone="9123 4567")
        self.assertEqual(partner.whatsapp_e164, "+6591234567")
        partner.country_id = self.indonesia
        self.assertFalse(partner.whatsapp_e164)

    def test_other_numbers_of_the_contact(self):
        partner = self._partner("Dewi", country_id=self.indonesia.id, phone="081200000011")
        self.assertEqual(partner.whatsapp_e164, "+6281200000011")
        if "mobile" in partner._fields:
            partner.mobile = "081200000012"
            self.assertEqual(partner.whatsapp_e164, "+6281200000012")
        partner.whatsapp_number = "081200000013"
        self.assertEqual(partner.whatsapp_e164, "+6281200000013")

    def test_no_number(self):
        self.assertFalse(self._partner("Joko").whatsapp_e164)
        self.assertFalse(self._partner("Joko", phone="ask Ani").whatsapp_e164)

    def test_number_that_is_none(self):
        for number in ("12", "ask Ani", "+62 0"):
            with self.subTest(number), self.assertRaisesRegex(ValidationError, "WhatsApp"):
                self._partner("Joko", number)

    def test_number_is_found(self):
        self.assertIn(
            self.partner, self.env["res.partner"].search([("whatsapp_e164", "=", "+6281200000001")])
        )

    # === CONSENT AND WINDOW ===#

    def test_opt_in_date(self):
        self.assertFalse(self.partner.whatsapp_opt_in_date)
        with freeze_time(NOW):
            self.partner.whatsapp_opt_in = True
            self.env.flush_all()
        self.assertEqual(self.partner.whatsapp_opt_in_date, NOW)
        self.partner.write({"whatsapp_opt_in": True, "city": "Medan"})
        self.assertEqual(self.partner.whatsapp_opt_in_date, NOW, "the consent is as old as it was")
        self.partner.whatsapp_opt_in = False
        self.assertFalse(self.partner.whatsapp_opt_in_date)

    def test_opt_in_date_that_is_known(self):
        partner = self._partner(
            "Dewi", "081200000003", whatsapp_opt_in=True, whatsapp_opt_in_date="2025-01-01 00:00:00"
        )
        self.assertEqual(fields.Datetime.to_string(partner.whatsapp_opt_in_date), "2025-01-01 00:00:00")

    def test_window(self):
        for hours, is_open in ((0, True), (23.99, True), (24, False), (48, False)):
            with self.subTest(hours), freeze_time(NOW):
                self.partner.whatsapp_last_inbound = NOW - timedelta(hours=hours)
                self.partner.invalidate_recordset(["whatsapp_window_open"])
                self.assertEqual(self.partner.whatsapp_window_open, is_open)

    def test_window_of_one_who_never_wrote(self):
        self.assertFalse(self.partner.whatsapp_window_open)

    def test_copy_has_not_written(self):
        self.partner.whatsapp_last_inbound = NOW
        self.assertFalse(self.partner.copy().whatsapp_last_inbound)


class TestBlacklist(ModelCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.env.company.country_id = cls.env.ref("base.id")
        cls.blacklist = cls.env["sicantik.notification.blacklist"]

    def _entry(self, number="081234567890", **vals):
        return self.blacklist.create({"phone_number": number, **vals})

    def test_any_spelling(self):
        spellings = ("081234567890", "81234567890", "6281234567890", "+62 812-3456-7890")
        for written in spellings:
            entry = self._entry(written)
            self.assertEqual(entry.phone_number, "+6281234567890")
            for asked in spellings:
                with self.subTest(f"{written} {asked}"):
                    self.assertIs(self.blacklist.is_blacklisted(asked), True)
            entry.unlink()
        self.assertIs(self.blacklist.is_blacklisted("081234567890"), False)

    def test_asking_for_nonsense(self):
        for number in (False, None, "", "12", "ask Ani"):
            with self.subTest(number):
                self.assertIs(self.blacklist.is_blacklisted(number), False)

    def test_number_that_is_none(self):
        for number in ("12", "ask Ani"):
            with self.subTest(number), self.assertRaisesRegex(ValidationError, "phone number"):
                self._entry(number)
        entry = self._entry()
        with self.assertRaisesRegex(ValidationError, "phone number"):
            entry.phone_number = "12"

    def test_one_entry_for_a_number(self):
        self._entry("081234567890")
        self.assertTaken(lambda: self._entry("+62 812-3456-7890"))

    def test_change_of_the_number(self):
        entry = self._entry()
        entry.phone_number = "0812 3456 7891"
        self.assertEqual(entry.phone_number, "+6281234567891")

    def test_archived_entry_blocks_nobody(self):
        self._entry().active = False
        self.assertFalse(self.blacklist.is_blacklisted("081234567890"))

    def test_archived_entry_is_taken_up_again(self):
        entry = self._entry(reason="wrong number")
        entry.active = False
        again = self._entry("+62 812-3456-7890", reason="STOP", source="opt_out")
        self.assertEqual(again, entry)
        self.assertEqual((entry.active, entry.reason, entry.source), (True, "STOP", "opt_out"))

    def test_several_at_once_with_an_archived_one(self):
        entry = self._entry()
        entry.active = False
        entries = self.blacklist.create(
            [{"phone_number": number} for number in ("081200000071", "081234567890", "081200000072")]
        )
        self.assertEqual(
            entries.mapped("phone_number"), ["+6281200000071", "+6281234567890", "+6281200000072"]
        )
        self.assertEqual(entries[1], entry)

    def test_what_it_held_back(self):
        rule = self._rule(self._trigger("test_manual", trigger_type="manual"))
        entry, other = self._entry("081200000001"), self._entry("081200000071")
        self.assertEqual((entry.blocked_count, entry.last_blocked_date), (0, False))
        for _time in range(2):
            self.env["sicantik.notification.trigger"].fire("test_manual", self._permit())
        self.env.invalidate_all()
        self.assertEqual(rule.queue_ids.mapped("state"), ["skipped"] * 2)
        self.assertEqual(entry.blocked_count, 2)
        self.assertTrue(entry.last_blocked_date)
        self.assertEqual((other.blocked_count, other.last_blocked_date), (0, False))


class TestTemplates(ModelCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.templates = cls.env["sicantik.whatsapp.template.master"]

    def _template(self, key="test_new", **vals):
        return self.templates.create({"template_key": key, "name": "New", "body_preview": "Hello.", **vals})

    def test_parameters_as_text_or_list(self):
        text = self._template(parameter_list='["a", "b"]')
        given = self._template("test_new_2", parameter_list=["a", "b"])
        self.assertEqual(json.loads(text.parameter_list), json.loads(given.parameter_list))
        given.parameter_list = ["b"]
        self.assertEqual(given._parameter_names(), ["b"])

    def test_no_parameters(self):
        for number, empty in enumerate((False, "", "[]", [])):
            template = self._template(f"test_new_{number}", parameter_list=empty)
            self.assertEqual(template._parameter_names(), [])

    def test_parameters_that_are_no_list_of_names(self):
        for value in ("a, b", '{"a": 1}', '"a"', "[1, 2]", '[["a"]]', "[a]"):
            with self.subTest(value), self.assertRaisesRegex(ValidationError, "JSON list of names"):
                self.template.parameter_list = value

    def test_text_with_an_unknown_placeholder(self):
        with self.assertRaisesRegex(ValidationError, "expiry_date"):
            self.template.body_preview = "Until {{expiry_date}}"

    def test_key(self):
        self.assertTaken(lambda: self._template("test_ready"))
        for key in ("with space", "with-dash", "naïve"):
            with (
                self.subTest(key),
                self.assertRaisesRegex(ValidationError, "letters, digits and underscores"),
            ):
                self._template(key)

    def test_copy_has_a_key_of_its_own(self):
        copy = self.template.copy()
        self.assertTrue(copy.template_key)
        self.assertNotEqual(copy.template_key, "test_ready")

    # === META ===#

    def test_name_at_meta_makes_it_usable_there(self):
        template = self._template()
        self.assertEqual((template.meta_status, template._is_usable_at_meta()), ("draft", False))
        template.meta_template_name = "halo"
        self.assertEqual((template.meta_status, template._is_usable_at_meta()), ("configured", True))

    def test_name_with_a_status(self):
        template = self._template(meta_template_name="halo", meta_status="draft")
        self.assertFalse(template._is_usable_at_meta())
        template.write({"meta_template_name": "halo_2", "meta_status": "rejected"})
        self.assertFalse(template._is_usable_at_meta())

    def test_same_name_again_changes_nothing(self):
        """A status that Meta has given does not go away because a form or an import writes the same name."""
        for status in ("approved", "rejected", "paused"):
            with self.subTest(status):
                self.meta_template.meta_status = status
                self.meta_template.write({"meta_template_name": self.meta_template.meta_template_name})
                self.assertEqual(self.meta_template.meta_status, status)

    def test_usable_by_status(self):
        for status, usable in (
            ("draft", False),
            ("configured", True),
            ("approved", True),
            ("rejected", False),
            ("paused", False),
        ):
            with self.subTest(status):
                self.meta_template.meta_status = status
                self.assertEqual(self.meta_template._is_usable_at_meta(), usable)
        self.meta_template.write({"meta_status": "approved", "meta_template_name": False})
        self.assertFalse(self.meta_template._is_usable_at_meta())

    # === LOOK-UP ===#

    def test_by_key_with_variants(self):
        both = {"test_ready": self.template, "meta_test_ready": self.meta_template}
        self.assertEqual(self.templates._by_key(["test_ready"]), both)
        self.assertEqual(self.templates._by_key(["meta_test_ready"]), both)
        self.assertEqual(self.templates._by_key(["no_such_key", False, None]), {})

    def test_by_key_without_archived_ones(self):
        self.meta_template.active = False
        self.assertEqual(self.templates._by_key(["test_ready"]), {"test_ready": self.template})


class TestProviders(ModelCase):
    # === CREDENTIALS ===#

    def test_new_one_is_untested(self):
        provider = self.env["sicantik.whatsapp.provider"].create({"name": "F", "provider_type": "fonnte"})
        self.assertEqual((provider.credential_state, provider.on_interrupted), ("draft", "hold"))

    def test_changed_credentials_are_untested(self):
        for name, value in (
            ("api_token", "another"),
            ("base_url", "http://127.0.0.1:9/meta"),
            ("sender_id", "1"),
            ("account_id", "1"),
            ("api_version", "v24.0"),
        ):
            with self.subTest(name):
                provider = self._provider("meta")
                provider[name] = value
                self.assertEqual(provider.credential_state, "draft")

    def test_same_credentials_again(self):
        provider = self._provider("meta")
        provider.write({"api_token": "META-TOKEN-DEMO", "sender_id": provider.sender_id})
        self.assertEqual(provider.credential_state, "configured")

    def test_other_changes(self):
        provider = self._provider("meta")
        provider.write({"name": "Renamed", "sequence": 3, "daily_limit": 100, "on_interrupted": "resend"})
        self.assertEqual(provider.credential_state, "configured")

    def test_changed_credentials_with_their_state(self):
        provider = self._provider("meta")
        provider.write({"api_token": "another", "credential_state": "configured"})
        self.assertEqual(provider.credential_state, "configured")

    def test_address_of_the_real_service(self):
        provider = self.env["sicantik.whatsapp.provider"].create({"name": "New", "provider_type": "fonnte"})
        self.assertEqual(provider.base_url, "https://api.fonnte.com")
        provider.provider_type = "watzap"
        self.assertEqual(provider.base_url, "https://api.watzap.id")
        provider.base_url = "http://127.0.0.1:9/own"
        provider.provider_type = "meta"
        self.assertEqual(provider.base_url, "http://127.0.0.1:9/own", "what somebody entered stays")

    def test_address_without_trailing_slash(self):
        provider = self._provider("fonnte", base_url=" http://127.0.0.1:9/fonnte// ")
        self.assertEqual(provider.base_url, "http://127.0.0.1:9/fonnte")
        provider.base_url = "http://127.0.0.1:9/other/"
        self.assertEqual(provider.base_url, "http://127.0.0.1:9/other")

    def test_same_address_with_a_slash_is_no_change(self):
        provider = self._provider("fonnte")
        provider.base_url = provider.base_url + "/"
        self.assertEqual(provider.credential_state, "configured")

    # === CONNECTION TEST ===#

    def _test(self, provider):
        """Test the connection.

        :return: the message for the user
        """
        action = provider.action_test_connection()
        self.assertEqual(self.gateway.messages(), [], "a test sends nothing")
        works = provider.credential_state == "configured"
        self.assertEqual(action["params"]["type"], "success" if works else "danger")
        return action["params"]["message"]

    def test_good_connection(self):
        for provider_type in ("meta", "fonnte", "watzap"):
            with self.subTest(provider_type):
                provider = self._provider(provider_type, credential_state="draft")
                self.assertIn("works", self._test(provider))
                self.assertEqual(
                    (provider.credential_state, provider.last_error_message), ("configured", False)
                )

    def test_wrong_token(self):
        for provider_type in ("meta", "fonnte", "watzap"):
            with self.subTest(provider_type):
                provider = self._provider(provider_type, api_token="WRONG-SECRET")
                message = self._test(provider)
                self.assertEqual(provider.credential_state, "error")
                self.assertTrue(provider.last_error_message)
                self.assertIn(provider.last_error_message, message)
                self.assertNotIn("WRONG-SECRET", message)

    def test_wrong_sender(self):
        for provider_type in ("meta", "watzap"):
            with self.subTest(provider_type):
                provider = self._provider(provider_type, sender_id="1")
                self._test(provider)
                self.assertEqual(provider.credential_state, "error")

    def test_disconnected_phone(self):
        for provider_type in ("fonnte", "watzap"):
            with self.subTest(provider_type):
                self.gateway.account(**{provider_type: {"connected": False}})
                provider = self._provider(provider_type)
                self._test(provider)
                self.assertEqual(provider.credential_state, "error")

    def test_nobody_answers(self):
        provider = self._provider("fonnte", base_url="http://127.0.0.1:9/fonnte")
        self._test(provider)
        self.assertEqual(provider.credential_state, "error")
        self.assertTrue(provider.last_error_message)

    def test_error_is_gone_after_a_good_test(self):
        provider = self._provider("fonnte", api_token="WRONG-SECRET")
        self._test(provider)
        provider.api_token = "FONNTE-TOKEN-DEMO"
        self.assertFalse(provider.last_error_message)
        self._test(provider)
        self.assertEqual(provider.credential_state, "configured")

    def test_missing_settings_are_named(self):
        for provider_type, names in (
            ("meta", ("api token", "sender")),
            ("fonnte", ("api token",)),
            ("watzap", ("api token", "sender")),
        ):
            with self.subTest(provider_type):
                provider = self._provider(provider_type, api_token=False, sender_id=False)
                message = self._test(provider)
                for name in names:
                    self.assertIn(name, message.lower())
                self.assertEqual(provider.credential_state, "error")
        self.assertEqual(self.gateway.requests(), [], "nobody is asked before the settings are complete")

    def test_several_at_once(self):
        good = self._provider("fonnte", credential_state="draft")
        bad = self._provider("watzap", api_token="WRONG-SECRET")
        (good + bad).action_test_connection()
        self.assertEqual((good + bad).mapped("credential_state"), ["configured", "error"])

    def test_webhook_address(self):
        self.env["ir.config_parameter"].set_param("web.base.url", "https://sicantik.example.id")
        provider, other = self._provider("meta"), self._provider("meta")
        self.assertEqual(
            provider.webhook_url,
            f"https://sicantik.example.id/sicantik/webhook/{provider.id}/{provider.webhook_token}",
        )
        self.assertGreaterEqual(len(provider.webhook_token), 20)
        self.assertNotEqual(provider.webhook_token, other.webhook_token)


class TestSettings(ModelCase):
    def _settings(self, **vals):
        return self.env["res.config.settings"].create(vals)

    def test_default_provider(self):
        first, second = self._provider("fonnte", sequence=1), self._provider("watzap", sequence=2)
        self.assertEqual(self.dispatcher.determine_provider(self.partner.id)["provider"], first)
        self._settings(whatsapp_default_provider_id=second.id).execute()
        self.assertEqual(self._settings().whatsapp_default_provider_id, second)
        self.assertEqual(self.dispatcher.determine_provider(self.partner.id)["provider"], second)
        self._settings(whatsapp_default_provider_id=False).execute()
        self.assertEqual(self.dispatcher.determine_provider(self.partner.id)["provider"], first)

    def test_default_provider_that_is_gone(self):
        first, second = self._provider("fonnte", sequence=1), self._provider("watzap", sequence=2)
        self._settings(whatsapp_default_provider_id=second.id).execute()
        second.unlink()
        self.assertEqual(self.dispatcher.determine_provider(self.partner.id)["provider"], first)
        self.assertFalse(self._settings().whatsapp_default_provider_id)
