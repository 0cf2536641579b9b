"""E-mail beside WhatsApp: from the rule to the mail in Odoo's own mail queue, and what becomes of it."""

import base64
import inspect
from datetime import timedelta
from unittest.mock import patch

from odoo import fields
from odoo.exceptions import AccessError, UserError, ValidationError
from odoo.tests import new_test_user
from odoo.tools import mute_logger

from odoo.addons.mail.models.mail_mail import MailMail

from ..models.road import Job
from ..models.sicantik_notification_settlement import SicantikNotificationSettlement
from .common import NotificationCase

MODULE = "sicantik_notification_automation"
EVALUATION = f"odoo.addons.{MODULE}.models.sicantik_notification_evaluation"
RENDERING = ("odoo.addons.mail.models.mail_render_mixin", EVALUATION)


class EmailCase(NotificationCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.fonnte = cls._provider("fonnte")
        cls.mail_template = cls._mail_template()
        cls.trigger = cls._trigger("test_manual", trigger_type="manual")
        cls.rule = cls._rule(cls.trigger, channel="both", mail_template_id=cls.mail_template.id)
        cls.partner.write({"email": "Ani@Example.com", "whatsapp_opt_in": True})

    @classmethod
    def _mail_template(cls, **vals):
        return cls.env["mail.template"].create(
            {
                "name": "Permit ready",
                "model_id": cls.env["ir.model"]._get_id("sicantik.permit"),
                "subject": "Permit {{ object.permit_number }}",
                "body_html": "<p>Permit <b t-out='object.permit_number'>1</b> is ready.</p>",
                "email_from": "office@example.com",
                "email_to": "somebody.else@example.com",
                "auto_delete": False,
                **vals,
            }
        )

    def fire(self, records, **kwargs):
        result = self.env["sicantik.notification.trigger"].fire("test_manual", records, **kwargs)
        return self.queue.browse(result["queue_ids"]).sorted("id")

    def mails(self, records):
        """Give the mails about records, oldest first."""
        return self.env["mail.mail"].search(
            [("model", "=", records._name), ("res_id", "in", records.ids)], order="id"
        )

    def assertEnded(self, row, state, reason):
        self.assertEqual((row.state, row.error_class), (state, reason), row.read())
        self.assertTrue(row.error_message)
        log = self.logs.search([("queue_id", "=", row.id)])
        self.assertEqual((log.channel, log.state, log.error_class), ("email", state, reason))


class TestEmail(EmailCase):
    def test_both(self):
        """Each channel has its own row, log and once-only key."""
        permit = self._permit()
        rows = self.fire(permit, event_key="the-event")
        self.assertEqual(
            [(row.channel, row.phone, row.email, row.state) for row in rows],
            [
                ("whatsapp", "+6281200000001", False, "pending"),
                ("email", False, "ani@example.com", "pending"),
            ],
        )
        self.assertEqual(len(set(rows.mapped("event_key"))), 2)
        self.assertEqual(self.drain(), {"processed": 2, "sent": 2, "failed": 0, "skipped": 0})
        (message,) = self.gateway.messages()
        self.assertEqual(message["to"], "6281200000001")
        mail = self.mails(permit)
        self.assertEqual((mail.subject, mail.state), ("Permit 503/0001", "outgoing"))
        self.assertIn("<b>503/0001</b>", mail.body_html)
        self.assertEqual((mail.email_from, mail.email_to), ("office@example.com", '"Ani" <ani@example.com>'))
        self.assertFalse(mail.recipient_ids or mail.email_cc, "it is the rule that says who hears it")
        row = rows[1]
        self.assertEqual((row.state, row.external_message_id), ("sent", mail.message_id))
        self.assertTrue(row.sent_date)
        self.assertFalse(row.provider_id)
        log = row.log_ids
        self.assertEqual(
            (log.channel, log.email, log.state, log.attempt, log.delivery_state, log.external_message_id),
            ("email", "ani@example.com", "sent", 1, "accepted", mail.message_id),
        )
        self.assertEqual((self.rule.success_count, self.rule.failed_count), (2, 0))
        self.assertFalse(self.fire(permit, event_key="the-event"), "the same event is told once, by each")

    def test_keys_of_whatsapp_stay_as_they_were(self):
        permit = self._permit()
        row, email = self.fire(permit, event_key="the-event")
        key = f"{self.rule.id}:test_ready:sicantik.permit,{permit.id}:+6281200000001:the-event"
        self.assertEqual(row.event_key, key)
        self.assertTrue(email.event_key.startswith("email:"))

    def test_whatsapp_to_the_opted_in_only(self):
        self.partner.whatsapp_opt_in = False
        row, email = self.fire(self._permit())
        self.assertEqual((row.state, row.error_class), ("skipped", "no_opt_in"))
        self.assertEqual(email.state, "pending")
        self.drain()
        self.assertEqual(email.state, "sent")
        self.assertFalse(self.gateway.messages())

    def test_consent_withdrawn_in_between(self):
        row, _email = self.fire(self._permit())
        self.partner.whatsapp_opt_in = False
        self.drain()
        self.assertEqual((row.state, row.error_class), ("skipped", "no_opt_in"))

    def test_email_alone(self):
        """No WhatsApp template, no provider, no number is needed."""
        self.fonnte.active = False
        self.rule.write({"channel": "email", "template_key": False})
        self.partner.write({"whatsapp_number": False, "whatsapp_opt_in": False})
        permit = self._permit()
        row = self.fire(permit)
        self.assertEqual(self.drain(), {"processed": 1, "sent": 1, "failed": 0, "skipped": 0})
        self.assertEqual((row.channel, row.state), ("email", "sent"))
        self.assertEqual(len(self.mails(permit)), 1)
        self.assertIn("Ani", row.name)

    def test_whatsapp_alone_writes_no_mail(self):
        self.rule.channel = "whatsapp"
        permit = self._permit()
        self.assertEqual(self.fire(permit).channel, "whatsapp")
        self.drain()
        self.assertFalse(self.mails(permit))

    def test_nobody_to_write_to(self):
        self.rule.channel = "email"
        self.assertEnded(self.fire(self._permit(partner_id=False)), "skipped", "no_recipient")

    def test_shared_address_is_told_once(self):
        budi = self._partner("Budi", "081200000002", email="ani@example.com", whatsapp_opt_in=True)
        self.rule.write(
            {
                "recipient_type": "custom",
                "recipient_domain": f"[('id', 'in', {(self.partner + budi).ids})]",
            }
        )
        rows = self.fire(self._permit())
        self.assertEqual(sorted(rows.mapped("channel")), ["email", "whatsapp", "whatsapp"])

    def test_process_now(self):
        permit = self._permit()
        rows = self.fire(permit)
        rows.scheduled_date = fields.Datetime.now() + timedelta(days=1)
        rows.action_process()
        self.assertEqual(rows.mapped("state"), ["sent", "sent"])
        self.assertEqual(len(self.mails(permit)), 1)

    def test_odoos_mail_queue_is_woken(self):
        cron = self.env.ref("mail.ir_cron_mail_scheduler_action")
        wakes = self.env["ir.cron.trigger"].search_count([("cron_id", "=", cron.id)])
        self.fire(self._permit())
        self.drain()
        self.assertGreater(self.env["ir.cron.trigger"].search_count([("cron_id", "=", cron.id)]), wakes)

    # === WHO GETS NONE ===#

    def test_no_address(self):
        self.partner.email = False
        _whatsapp, row = self.fire(self._permit())
        self.assertEnded(row, "skipped", "no_email")
        self.partner.email = "ani@example.com"
        row.action_retry()
        self.drain()
        self.assertEqual((row.state, row.email), ("sent", "ani@example.com"))

    def test_still_no_address(self):
        self.partner.email = False
        _whatsapp, row = self.fire(self._permit())
        row.action_retry()
        self.drain()
        self.assertEqual((row.state, row.error_class), ("skipped", "no_email"))

    def test_blacklisted_address(self):
        self.env["mail.blacklist"].create({"email": "ani@example.com"})
        whatsapp, row = self.fire(self._permit())
        self.assertEnded(row, "skipped", "blacklisted")
        self.assertTrue(row.is_blacklisted)
        self.assertEqual(whatsapp.state, "pending", "the e-mail blacklist is about e-mail")

    def test_address_blacklisted_in_between(self):
        permit = self._permit()
        _whatsapp, row = self.fire(permit)
        self.env["mail.blacklist"].create({"email": "ani@example.com"})
        self.drain()
        self.assertEnded(row, "skipped", "blacklisted")
        self.assertFalse(self.mails(permit))

    def test_blacklisted_number_gets_mail(self):
        self.env["sicantik.notification.blacklist"].create({"phone_number": "081200000001"})
        whatsapp, row = self.fire(self._permit())
        self.drain()
        self.assertEqual((whatsapp.error_class, row.state), ("blacklisted", "sent"))

    # === REPEAT POLICIES AND LIMITS ===#

    def test_once(self):
        self.rule.repeat_policy = "once"
        permit = self._permit()
        self.assertEqual(len(self.fire(permit)), 2)
        self.assertFalse(self.fire(permit))

    def test_once_is_remembered_for_each_channel(self):
        """Also when the queue rows are gone; the log knows."""
        self.rule.repeat_policy = "once"
        self.partner.whatsapp_opt_in = False
        permit = self._permit()
        self.fire(permit)
        self.drain()
        self.rows(res_id=permit.id).unlink()
        self.partner.whatsapp_opt_in = True
        self.assertEqual(self.fire(permit).mapped("channel"), ["whatsapp"])

    def test_cooldown(self):
        self.rule.write({"repeat_policy": "cooldown", "cooldown_hours": 24})
        permit = self._permit()
        self.partner.whatsapp_opt_in = False
        self.assertEqual(len(self.fire(permit)), 2)
        self.partner.whatsapp_opt_in = True
        self.assertEqual(self.fire(permit).mapped("channel"), ["whatsapp"], "the e-mail was sent just now")

    def test_rate_limit_of_the_rule(self):
        self.rule.write({"channel": "email", "rate_limit_count": 2})
        permits = self._permit() + self._permit() + self._permit()
        rows = self.fire(permits)
        self.drain()
        self.assertEqual(sorted(rows.mapped("state")), ["pending", "sent", "sent"])
        waiting = rows.filtered(lambda row: row.state == "pending")
        self.assertEqual(waiting.error_class, "limited")
        self.assertEqual(len(self.mails(permits)), 2)

    # === WHAT IS WRITTEN ===#

    def test_language_of_the_recipient(self):
        self.env["res.lang"]._activate_lang("id_ID")
        self.mail_template.with_context(lang="id_ID").subject = "Izin {{ object.permit_number }}"
        budi = self._partner("Budi", email="budi@example.com", lang="id_ID")
        permit = self._permit()
        self.rule.write(
            {
                "channel": "email",
                "recipient_type": "custom",
                "recipient_domain": f"[('id', 'in', {(self.partner + budi).ids})]",
            }
        )
        self.partner.lang = "en_US"
        self.fire(permit)
        self.drain()
        self.assertEqual(
            {mail.email_to: mail.subject for mail in self.mails(permit)},
            {
                '"Ani" <ani@example.com>': "Permit 503/0001",
                '"Budi" <budi@example.com>': "Izin 503/0001",
            },
        )

    def test_times_are_the_companys(self):
        self.env.company.partner_id.tz = "Asia/Makassar"
        self.mail_template.body_html = (
            "<p t-out=\"format_datetime(object.create_date, dt_format='yyyy-MM-dd HH:mm')\"/>"
        )
        permit = self._permit()
        self.fire(permit)
        self.drain()
        local = fields.Datetime.context_timestamp(permit.with_context(tz="Asia/Makassar"), permit.create_date)
        self.assertIn(local.strftime("%Y-%m-%d %H:%M"), self.mails(permit).body_html)

    def test_layout(self):
        self.mail_template.email_layout_xmlid = "mail.mail_notification_light"
        permit = self._permit()
        self.fire(permit)
        self.drain()
        body = self.mails(permit).body_html
        self.assertIn("<b>503/0001</b>", body)
        self.assertIn("<table", body)

    def test_attachments(self):
        self.mail_template.attachment_ids = [
            (0, 0, {"name": "terms.txt", "datas": base64.b64encode(b"These are the terms.")})
        ]
        permit = self._permit()
        self.fire(permit)
        self.drain()
        self.assertEqual(self.mails(permit).attachment_ids.mapped("name"), ["terms.txt"])

    def test_sender_without_one_in_the_template(self):
        self.env.company.email = "company@example.com"
        self.mail_template.email_from = False
        permit = self._permit()
        self.fire(permit)
        self.drain()
        self.assertIn("company@example.com", self.mails(permit).email_from)

    def test_one_that_cannot_be_written_does_not_stop_the_others(self):
        self.mail_template.body_html = "<p t-out=\"1 / (object.permit_number != 'broken')\"/>"
        good, bad, other = self._permit(), self._permit(permit_number="broken"), self._permit()
        self.rule.channel = "email"
        self.fire(good + bad + other)
        with mute_logger(*RENDERING):
            self.assertEqual(self.drain(), {"processed": 3, "sent": 2, "failed": 1, "skipped": 0})
        row = self.rows(res_id=bad.id)
        self.assertEnded(row, "failed", "bad_template")
        self.assertIn("ZeroDivisionError: division by zero\nCorrect the e-mail template", row.error_message)
        self.assertEqual(self.mails(good + bad + other).mapped("res_id"), (good + other).ids)
        bad.permit_number = "503/0009"
        row.action_retry()
        self.drain()
        self.assertEqual((row.state, row.error_message), ("sent", False))

    def test_deleted_record(self):
        self.rule.channel = "email"
        permit = self._permit()
        row = self.fire(permit)
        permit.unlink()
        self.drain()
        self.assertEnded(row, "failed", "no_record")

    def test_deleted_template(self):
        self.rule.channel = "email"
        row = self.fire(self._permit())
        self.mail_template.unlink()
        self.drain()
        self.assertEnded(row, "failed", "no_template")

    def test_deleted_rule(self):
        self.rule.channel = "email"
        row = self.fire(self._permit())
        self.rule.unlink()
        self.drain()
        self.assertEnded(row, "failed", "no_template")

    # === EXACTLY ONCE ===#

    def test_mail_and_state_are_one_transaction(self):
        self.rule.channel = "email"
        permit = self._permit()
        row = self.fire(permit)
        settle = SicantikNotificationSettlement._write
        with (
            patch.object(SicantikNotificationSettlement, "_write", side_effect=ValueError("broken")),
            mute_logger(f"odoo.addons.{MODULE}.models.run"),
        ):
            self.drain()
        self.assertFalse(self.mails(permit), "what cannot be settled is not handed over")
        self.assertEqual(row.state, "pending")
        self.assertIs(SicantikNotificationSettlement._write, settle)
        row.scheduled_date = fields.Datetime.now()
        self.drain()
        self.assertEqual((row.state, len(self.mails(permit))), ("sent", 1))

    def test_row_that_is_no_longer_ours(self):
        self.rule.channel = "email"
        permit = self._permit()
        row = self.fire(permit)
        drain = self.env["sicantik.notification.drain"]
        mine, others = 2_000_000_001, 2_000_000_002
        claimed = drain._claim(mine, 10)
        _directory, rules = drain._facts(claimed)
        jobs = [Job(one) for one in claimed]
        row.worker = others
        self.env.flush_all()
        self.assertEqual(self.env["sicantik.notification.mail"]._hand_over(mine, jobs, rules), [])
        self.assertFalse(self.mails(permit))

    def test_set_based(self):
        """The queries of a hand-over hardly grow with the number of mails."""
        self.rule.write({"channel": "email", "rate_limit_enabled": False})

        def count(number):
            permits = self.env["sicantik.permit"].create(
                [{"partner_id": self.partner.id, "permit_number": str(one)} for one in range(number)]
            )
            self.fire(permits)
            self.env.flush_all()
            self.env.invalidate_all()
            before = self.env.cr.sql_log_count
            self.assertEqual(self.drain()["sent"], number)
            return self.env.cr.sql_log_count - before

        count(1)  # what is read once per process
        few, many = count(10), count(40)
        self.assertLess(many - few, 30, f"{few} queries for 10 mails, {many} for 40")

    # === WHAT BECOMES OF IT ===#

    def _post_process(self, mail, **kwargs):
        """Do what Odoo does when it has spoken to the mail server."""
        known = inspect.signature(MailMail._postprocess_sent_message).parameters
        more = {"success_emails": []} if "success_emails" in known else {}
        mail._postprocess_sent_message(success_pids=[], **more, **kwargs)
        self.commit()

    def test_mail_server_refuses(self):
        permit = self._permit()
        _whatsapp, row = self.fire(permit)
        self.drain()
        mail = self.mails(permit)
        self._post_process(mail, failure_type="unknown", failure_reason="550 no\nsuch user")
        self.assertEqual((row.log_ids.delivery_state, row.log_ids.state), ("failed", "sent"))
        self.assertEqual(row.log_ids.error_message, "Unknown error: 550 no such user")
        self.assertTrue(row.log_ids.delivery_failed_date)

    def test_mail_is_deleted_after_it_failed(self):
        self.mail_template.auto_delete = True
        permit = self._permit()
        _whatsapp, row = self.fire(permit)
        self.drain()
        mail = self.mails(permit)
        self._post_process(mail, failure_type="mail_email_invalid")
        self.assertFalse(mail.exists())
        self.assertEqual(row.log_ids.delivery_state, "failed")

    def test_mail_is_sent_again(self):
        permit = self._permit()
        _whatsapp, row = self.fire(permit)
        self.drain()
        mail = self.mails(permit)
        self._post_process(mail, failure_type="mail_smtp")
        self.assertEqual(row.log_ids.delivery_state, "failed")
        self._post_process(mail)
        self.assertEqual((row.log_ids.delivery_state, row.log_ids.error_message), ("accepted", False))

    def test_mail_comes_back(self):
        permit = self._permit()
        whatsapp, row = self.fire(permit)
        self.drain()
        bounce = {
            "bounced_email": "ani@example.com",
            "bounced_partner": self.partner,
            "bounced_msg_ids": [row.external_message_id],
            "bounced_message": self.env["mail.message"],
            **{"email_from": "MAILER-DAEMON@example.com", "to": "bounce@example.com", "message_id": "<1@x>"},
        }
        self.env["mail.thread"]._routing_handle_bounce(None, bounce)
        self.commit()
        self.assertEqual(row.log_ids.delivery_state, "failed")
        self.assertEqual(whatsapp.log_ids.delivery_state, "accepted", "another message")

    def test_other_mails_are_none_of_our_business(self):
        mail = self.env["mail.mail"].create({"subject": "Hello", "email_to": "x@example.com"})
        self._post_process(mail, failure_type="mail_smtp")
        self.assertTrue(mail.exists())


class TestEmailRules(EmailCase):
    def test_template_is_needed(self):
        for channel in ("email", "both"):
            with self.subTest(channel), self.assertRaisesRegex(ValidationError, "e-mail template"):
                self.rule.write({"channel": channel, "mail_template_id": False})

    def test_template_of_another_model(self):
        model_id = self.env["ir.model"]._get_id("res.partner")
        other = self._mail_template(model_id=model_id, subject="Hello", body_html="<p>Hello</p>")
        with self.assertRaisesRegex(ValidationError, "e-mail template"):
            self.rule.mail_template_id = other

    def test_trigger_of_another_model(self):
        other = self._trigger("test_partner", "res.partner", trigger_type="manual")
        with self.assertRaisesRegex(ValidationError, "e-mail template"):
            self.rule.trigger_id = other

    def test_whatsapp_alone_needs_none(self):
        self.rule.write({"channel": "whatsapp", "mail_template_id": False})


class TestEmailWizards(EmailCase):
    def _preview(self, record):
        wizard = self.env["sicantik.notification.preview.wizard"].create(
            {"rule_id": self.rule.id, "res_id": record.id}
        )
        wizard.action_preview()
        return wizard.preview_text

    def test_preview_shows_both(self):
        permit = self._permit()
        text = self._preview(permit)
        self.assertIn("Dear Ani, permit 503/0001 is ready.", text)
        self.assertIn("Ani (ani@example.com), by e-mail:\nPermit 503/0001", text)
        self.assertFalse(self.mails(permit) or self.rows(res_id=permit.id))

    def test_preview_of_what_cannot_be_written(self):
        self.mail_template.body_html = "<p t-out=\"1 / (object.permit_number != 'broken')\"/>"
        with mute_logger(*RENDERING):
            self.assertIn("would fail", self._preview(self._permit(permit_number="broken")))

    def test_preview_of_who_gets_none(self):
        self.partner.email = False
        self.assertIn("has no e-mail address", self._preview(self._permit()))

    def test_test_send(self):
        """It has no record that an e-mail could be written about."""
        wizard = self.env["sicantik.notification.test.wizard"].create(
            {"rule_id": self.rule.id, "partner_id": self.partner.id}
        )
        wizard.action_send_test()
        self.assertIn("Sent by", wizard.result)
        self.rule.channel = "email"
        with self.assertRaisesRegex(UserError, "Preview"):
            wizard.action_send_test()


class TestEmailAccess(EmailCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.manager = new_test_user(cls.env, "m_test", groups=f"{MODULE}.group_notification_manager")
        company = cls.env["res.company"].create({"name": "Other office"})
        cls.foreign = cls._permit(company_id=company.id)

    def _vals(self, permit):
        return {
            "channel": "email",
            "rule_id": self.rule.id,
            "partner_id": self.partner.id,
            "res_model": permit._name,
            "res_id": permit.id,
        }

    def test_manager_queues_an_email_by_hand(self):
        permit = self._permit()
        row = self.queue.with_user(self.manager).create(self._vals(permit))
        self.assertEqual((row.email, row.phone, row.channel), ("ani@example.com", False, "email"))
        budi = self._partner("Budi", "081200000002", email="budi@example.com")
        row.partner_id = budi
        self.assertEqual((row.email, row.phone), ("budi@example.com", False))
        self.drain()
        self.assertEqual(len(self.mails(permit)), 1)

    def test_about_what_the_manager_may_not_read(self):
        """An e-mail says what its record says."""
        with self.assertRaises(AccessError):
            self.queue.with_user(self.manager).create(self._vals(self.foreign))
        row = self.queue.with_user(self.manager).create(self._vals(self._permit()))
        with self.assertRaises(AccessError):
            row.res_id = self.foreign.id

    def test_message_turned_into_an_email(self):
        vals = {**self._vals(self.foreign), "channel": "whatsapp", "template_key": "test_ready"}
        with self.assertRaises(AccessError):
            self.queue.with_user(self.manager).create(vals)
        row = self.queue.create(vals).with_user(self.manager)
        with self.assertRaises(AccessError):
            row.channel = "email"

    def test_user_who_is_no_manager(self):
        user = new_test_user(self.env, "u_test", groups=f"{MODULE}.group_notification_user")
        with self.assertRaises(AccessError):
            self.queue.with_user(user).create(self._vals(self._permit()))

    def test_record_of_another_model(self):
        """A template is rendered for records of its own model only."""
        row = self.queue.create({**self._vals(self._permit()), "res_model": "res.partner", "res_id": 1})
        self.drain()
        self.assertEqual((row.state, row.error_class), ("failed", "no_template"))

    def test_address_is_checked(self):
        row = self.queue.create(self._vals(self._permit()))
        row.email = "Budi <BUDI@example.com>"
        self.assertEqual(row.email, "budi@example.com")
        with self.assertRaisesRegex(ValidationError, "not an e-mail address"):
            row.email = "nonsense"
