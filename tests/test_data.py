"""What is installed: default data by the names of the contract (section 3), neutralisation, demo data."""

import json
from unittest import SkipTest

from odoo.tests import TransactionCase, tagged
from odoo.tools import file_open

from .common import NotificationCase

MODULE = "sicantik_notification_automation"
# code: (model, type, further values)
TRIGGERS = {
    "permit_state_change": ("sicantik.permit", "on_state_change", {"state_field": "state"}),
    "permit_expiring": (
        "sicantik.permit",
        "cron",
        {"cron_interval_number": 1, "cron_interval_type": "days"},
    ),
    "document_uploaded": (
        "sicantik.document",
        "on_state_change",
        {"state_from": "draft", "state_to": "uploaded"},
    ),
    "document_pending_signature": (
        "sicantik.document",
        "on_state_change",
        {"state_from": False, "state_to": "pending_signature"},
    ),
    "document_signed": ("sicantik.document", "on_state_change", {"state_from": False, "state_to": "signed"}),
    "document_pending_reminder": (
        "sicantik.document",
        "cron",
        {"cron_interval_number": 1, "cron_interval_type": "days"},
    ),
    "permit_expiry_warning": ("sicantik.permit", "on_time", {"time_offsets": "-90d,-60d,-30d,-7d"}),
}
# Seed 3, “Daftar Template Master”
TEMPLATES = {
    "permit_ready": "partner_name permit_type permit_number issue_date download_link",
    "document_pending": "jumlah jenis_izin nama_pemohon pendaftaran_id link_dashboard",
    "approval_required": "nama_pejabat jenis_izin nama_pemohon permit_number approval_link",
    "status_update": "pendaftaran_id status_lama status_baru timestamp detail_link",
    "reminder": "jumlah jenis_izin nama_pemohon waktu_pending link_dashboard",
    "selesai_diproses": "partner_name permit_number",
    "permit_expiry_warning": (
        "partner_name permit_type permit_number expiry_date remaining_days renewal_link contact_dpmptsp"
    ),
    "permit_renewal_approved": (
        "partner_name permit_type permit_number_new start_date expiry_date validity_period download_link"
    ),
}
# name: (every, unit, priority, model, method)
CRONS = {
    "SICANTIK: Process Notification Queue": (
        1,
        "minutes",
        20,
        "sicantik.notification.queue",
        "cron_process_queue",
    ),
    "SICANTIK: Process Campaign Batch": (
        5,
        "minutes",
        15,
        "sicantik.notification.campaign",
        "cron_process_campaign_batch",
    ),
    "SICANTIK: Cleanup Old Notification Logs": (
        1,
        "days",
        5,
        "sicantik.notification.log",
        "cron_cleanup_old_logs",
    ),
}
# rule: (trigger, template, recipients); the seven scenarios of seed 3, and the rule of the daily trigger
RULES = {
    "permit_ready": ("permit_state_change", "permit_ready", "partner"),
    "document_pending": ("document_pending_signature", "document_pending", "staff"),
    "approval_required": ("document_pending_signature", "approval_required", "official"),
    "status_update_applicant": ("permit_state_change", "status_update", "partner"),
    "status_update_staff": ("permit_state_change", "status_update", "field"),
    "reminder": ("document_pending_reminder", "reminder", "field"),
    "permit_expiry_warning": ("permit_expiry_warning", "permit_expiry_warning", "partner"),
    "permit_renewal_approved": ("permit_state_change", "permit_renewal_approved", "partner"),
    "permit_expiring": ("permit_expiring", "permit_reminder", "partner"),
}


# What the demo does not bring: messages and templates in these states, and these kinds of events.
UNSEEN = {"paused", "preference", "sender", "configured"}


def demo_is_installed(env):
    """Tell whether this database has the demo data of the addon."""
    return bool(env.ref(f"{MODULE}.res_partner_applicant_ani_demo", raise_if_not_found=False))


@tagged("post_install", "-at_install")
class TestShippedData(TransactionCase):
    def _shipped(self, model):
        ids = (
            self.env["ir.model.data"]
            .search([("module", "=", MODULE), ("model", "=", model)])
            .mapped("res_id")
        )
        return self.env[model].with_context(active_test=False).browse(ids)

    def _rule(self, name):
        return self.env.ref(f"{MODULE}.sicantik_notification_rule_{name}")

    # === TRIGGERS ===#

    def test_triggers(self):
        triggers = {trigger.code: trigger for trigger in self._shipped("sicantik.notification.trigger")}
        for code, (model, trigger_type, values) in TRIGGERS.items():
            with self.subTest(code):
                trigger = triggers[code]
                self.assertEqual((trigger.model_name, trigger.trigger_type), (model, trigger_type))
                for name, value in values.items():
                    self.assertEqual(trigger[name], value, name)
                self.assertTrue(trigger.active)

    def test_time_of_the_daily_triggers(self):
        """09:00 and 10:00 in Jakarta (contract, section 7)."""
        for code, hour in (("permit_expiring", 2), ("document_pending_reminder", 3)):
            with self.subTest(code):
                next_run = self.env.ref(f"{MODULE}.sicantik_notification_trigger_{code}").next_run
                self.assertEqual((next_run.hour, next_run.minute, next_run.second), (hour, 0, 0))

    def test_expiry_warning(self):
        trigger = self.env.ref(f"{MODULE}.sicantik_notification_trigger_permit_expiry_warning")
        self.assertEqual(trigger.date_field_id.name, "expiry_date")
        permits = self.env["sicantik.permit"].create(
            [{"state": state} for state, _label in self.env["sicantik.permit"]._fields["state"].selection]
        )
        found = trigger._filter(trigger.condition_domain, permits, {})
        self.assertEqual(sorted(found.mapped("state")), ["active", "approved"])

    def test_permits_that_expire_within_30_days(self):
        trigger = self.env.ref(f"{MODULE}.sicantik_notification_trigger_permit_expiring")
        permits = self.env["sicantik.permit"]
        today = permits._fields["expiry_date"].today()
        found = trigger._filter(
            trigger.condition_domain,
            permits.create(
                [
                    {
                        "state": state,
                        "expiry_date": days and permits._fields["expiry_date"].add(today, days=days),
                    }
                    for state in ("approved", "draft")
                    for days in (False, -10, 20, 40)
                ]
            ),
            {},
        )
        self.assertEqual(found.mapped("days_until_expiry"), [20])

    def test_documents_that_have_waited_for_a_day(self):
        trigger = self.env.ref(f"{MODULE}.sicantik_notification_trigger_document_pending_reminder")
        documents = self.env["sicantik.document"]
        now = documents._fields["pending_since"].now()
        waiting = documents.create(
            [
                {
                    "name": str(hours),
                    "state": "pending_signature",
                    "pending_since": documents._fields["pending_since"].subtract(now, hours=hours),
                }
                for hours in (2, 23, 25, 50)
            ]
        )
        found = trigger._filter(trigger.condition_domain, waiting, {})
        self.assertEqual(found.mapped("name"), ["25", "50"])

    # === SCHEDULED ACTIONS ===#

    def test_scheduled_actions(self):
        crons = self._shipped("ir.cron")
        self.assertEqual(set(crons.mapped("name")), set(CRONS), "no other scheduled action")
        for cron in crons:
            with self.subTest(cron.name):
                number, unit, priority, model, method = CRONS[cron.name]
                self.assertEqual(
                    (cron.interval_number, cron.interval_type, cron.priority), (number, unit, priority)
                )
                self.assertEqual((cron.model_id.model, cron.code.strip()), (model, f"model.{method}()"))
                self.assertTrue(cron.active)
                if "numbercall" in cron._fields:
                    self.assertEqual(cron.numbercall, -1, "runs for ever")

    def test_scheduled_actions_run(self):
        for cron in self._shipped("ir.cron"):
            with self.subTest(cron.name):
                cron.ir_actions_server_id.run()

    # === RULES ===#

    def test_rules(self):
        for name, expected in RULES.items():
            with self.subTest(name):
                rule = self._rule(name)
                self.assertEqual((rule.trigger_code, rule.template_key, rule.recipient_type), expected)
                self.assertTrue(rule.template_master_id)
                self.assertEqual((rule.schedule_type, rule.channel), ("immediate", "whatsapp"))
                if not demo_is_installed(self.env):
                    self.assertFalse(rule.active, "nothing is sent before an administrator says so")

    def test_no_rule_is_forgotten(self):
        shipped = self._shipped("sicantik.notification.rule")
        names = set(shipped.get_external_id().values())
        self.assertEqual(
            {name for name in names if not name.endswith("_demo")},
            {f"{MODULE}.sicantik_notification_rule_{name}" for name in RULES},
        )

    def test_shipped_rules_have_no_python(self):
        """So that a manager can copy and change them."""
        for rule in self._shipped("sicantik.notification.rule"):
            self.assertFalse(rule.condition_python or rule.context_preparation_code, rule.name)

    def test_repeat_policies(self):
        reminder, expiring = self._rule("reminder"), self._rule("permit_expiring")
        self.assertEqual((reminder.repeat_policy, reminder.cooldown_hours), ("cooldown", 24))
        self.assertEqual(expiring.repeat_policy, "once")

    def test_scenarios(self):
        """Which rules are for which permit, as seed 3 tells the scenarios."""
        for vals, names in (
            ({"state": "active", "permit_number": "1"}, {"permit_ready"}),
            ({"state": "active"}, set()),
            ({"state": "approved", "permit_number": "1"}, set()),
            ({"state": "active", "permit_number": "1", "is_renewal": True}, {"permit_renewal_approved"}),
            ({"state": "approved", "is_renewal": True}, set()),
        ):
            with self.subTest(vals):
                permit = self.env["sicantik.permit"].create(vals)
                found = {
                    name
                    for name in ("permit_ready", "permit_renewal_approved")
                    if self._rule(name)._filter(self._rule(name).condition_domain, permit, {})
                }
                self.assertEqual(found, names)

    # === TEMPLATES ===#

    def test_templates(self):
        templates = {one.template_key: one for one in self._shipped("sicantik.whatsapp.template.master")}
        for key, parameters in TEMPLATES.items():
            with self.subTest(key):
                self.assertEqual(json.loads(templates[key].parameter_list), parameters.split())
        self.assertLessEqual({"permit_reminder", "renewal_approved"}, set(templates))

    def test_every_template_has_its_meta_variant(self):
        templates = {one.template_key: one for one in self._shipped("sicantik.whatsapp.template.master")}
        for key in [key for key in templates if not key.startswith("meta_")]:
            with self.subTest(key):
                plain, meta = templates[key], templates[f"meta_{key}"]
                self.assertEqual(json.loads(meta.parameter_list), json.loads(plain.parameter_list))
                self.assertTrue(meta.meta_template_name)
                self.assertFalse(plain.meta_template_name)

    def test_templates_use_their_parameters(self):
        for template in self._shipped("sicantik.whatsapp.template.master"):
            with self.subTest(template.template_key):
                self.assertEqual(template.language, "id")
                for name in template._parameter_names():
                    self.assertIn("{{" + name + "}}", template.body_preview)

    def test_nothing_is_usable_at_meta_before_the_office_has_created_it(self):
        if demo_is_installed(self.env):
            self.skipTest("demo data turns some on")
        for template in self._shipped("sicantik.whatsapp.template.master"):
            self.assertFalse(template._is_usable_at_meta(), template.template_key)

    # === THE REST ===#

    def test_no_provider_is_shipped(self):
        if demo_is_installed(self.env):
            self.skipTest("demo data has some")
        self.assertFalse(self._shipped("sicantik.whatsapp.provider"))

    def test_groups(self):
        for name, label in (
            ("group_notification_user", "Notification User"),
            ("group_notification_manager", "Notification Manager"),
            ("group_staff", "DPMPTSP Staff"),
            ("group_official", "DPMPTSP Officials"),
        ):
            self.assertEqual(self.env.ref(f"{MODULE}.{name}").with_context(lang="en_US").name, label)

    def test_updates_leave_the_data_alone(self):
        """What an administrator has changed stays changed (noupdate)."""
        data = self.env["ir.model.data"].search(
            [
                ("module", "=", MODULE),
                (
                    "model",
                    "in",
                    [
                        "sicantik.notification.trigger",
                        "sicantik.notification.rule",
                        "sicantik.whatsapp.template.master",
                        "ir.cron",
                    ],
                ),
                ("name", "not like", "%demo"),
            ]
        )
        self.assertTrue(data)
        self.assertEqual(data.filtered(lambda one: not one.noupdate).mapped("name"), [])


@tagged("post_install", "-at_install")
class TestConstraintsInTheDatabase(TransactionCase):
    def test_unique_values(self):
        """They are declared in a way that the port rewrites: make sure that the database knows them."""
        self.env.cr.execute(
            """
            SELECT con.conrelid::regclass::text || ' ' || att.attname
              FROM pg_constraint con
              JOIN pg_attribute att ON att.attrelid = con.conrelid AND att.attnum = con.conkey[1]
             WHERE con.contype = 'u' AND con.conrelid::regclass::text LIKE 'sicantik%%'
            """
        )
        found = {name for (name,) in self.env.cr.fetchall()}
        self.assertLessEqual(
            {
                "sicantik_permit registration_id",
                "sicantik_document document_number",
                "sicantik_notification_trigger code",
                "sicantik_notification_queue event_key",
                "sicantik_notification_blacklist phone_number",
                "sicantik_whatsapp_template_master template_key",
            },
            found,
        )


class TestNeutralize(NotificationCase):
    """A copy of the production database cannot send (checklist 10)."""

    def _neutralize(self):
        self.env.flush_all()
        with file_open(f"{MODULE}/data/neutralize.sql") as script:
            self.env.cr.execute(script.read())
        self.env.invalidate_all()

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.trigger = cls._trigger("test_manual", trigger_type="manual")
        cls.rule = cls._rule(cls.trigger)

    def test_providers(self):
        provider = self._provider("meta", app_secret="APP-SECRET", verify_token="VERIFY-TOKEN")
        self._neutralize()
        self.assertEqual((provider.active, provider.credential_state), (False, "draft"))
        for name in ("api_token", "app_secret", "verify_token", "webhook_token", "webhook_url"):
            self.assertFalse(provider[name], name)

    def test_queue_is_cancelled(self):
        rows = self._row() + self._row(state="processing") + self._row(state="sent")
        self._neutralize()
        self.assertEqual(rows.mapped("state"), ["cancelled", "cancelled", "sent"])

    def test_nothing_can_be_sent(self):
        providers = [self._provider(one) for one in ("meta", "fonnte", "watzap")]
        old = self._row()
        self._neutralize()
        self.env["sicantik.notification.trigger"].fire("test_manual", self._permit())
        self.drain()
        new = self.rows(rule_id=self.rule.id)
        self.assertEqual((old.state, new.state, new.error_class), ("cancelled", "failed", "no_provider"))
        for provider in providers:
            provider.write({"active": True, "credential_state": "configured"})
        failed = self._row()
        self.drain()
        self.assertNotEqual(failed.state, "sent", "even a provider that is turned on again has no token")
        result = self.dispatcher.send_text_message(self.partner.id, "Hello")
        self.assertFalse(result["success"])
        self.assertEqual(self.gateway.messages(), [])

    def test_campaigns_and_auto_messages_stop(self):
        campaigns = self.env["sicantik.notification.campaign"].create(
            [
                {"name": state, "rule_id": self.rule.id, "target_domain": "[('id', '=', 0)]", "state": state}
                for state in ("scheduled", "running", "draft", "completed")
            ]
        )
        messages = self.env["sicantik.auto.message"].create(
            [
                {"title": state, "message": "Hello", "contact_input": "081200000001", "state": state}
                for state in ("scheduled", "sending", "draft", "sent")
            ]
        )
        self._neutralize()
        self.assertEqual(campaigns.mapped("state"), ["paused", "paused", "draft", "completed"])
        self.assertEqual(messages.mapped("state"), ["cancelled", "cancelled", "draft", "sent"])


class TestDemoData(TransactionCase):
    """Looked at as soon as it is there: other tests use the database, too."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        if not demo_is_installed(cls.env):
            raise SkipTest("this database has no demo data")

    def _demo(self, model):
        data = self.env["ir.model.data"].search(
            [("module", "=", MODULE), ("model", "=", model), ("name", "=like", "%_demo")]
        )
        return self.env[model].with_context(active_test=False).browse(data.mapped("res_id")).exists()

    def test_every_state_has_something_to_show(self):
        for model in ("sicantik.permit", "sicantik.document"):
            states = {state for state, _label in self.env[model]._fields["state"].selection}
            self.assertEqual(set(self._demo(model).mapped("state")), states)

    def test_rules_are_on(self):
        # One change of a permit sends one message; and the daily reminder covers what the expiry warning
        # does.
        off = {"status_update_applicant", "status_update_staff", "permit_expiring"}
        for name in RULES:
            on = name not in off
            self.assertEqual(self.env.ref(f"{MODULE}.sicantik_notification_rule_{name}").active, on, name)

    def test_demo_does_not_send(self):
        providers = self._demo("sicantik.whatsapp.provider")
        self.assertTrue(providers)
        for provider in providers.filtered("active"):
            self.assertRegex(provider.base_url, r"^http://(127\.0\.0\.1|localhost)[:/]", provider.name)

    def test_numbers_are_invented(self):
        partners = self._demo("res.partner")
        self.assertTrue(partners)
        for partner in partners.filtered("whatsapp_e164"):
            self.assertTrue(partner.whatsapp_e164.startswith("+62812000000"), partner.name)

    def test_somebody_has_no_number(self):
        self.assertIn(False, self._demo("res.partner").mapped("whatsapp_e164"))

    # === THE MONTH THAT THE DEMO TELLS OF ===#

    def test_messages_of_every_state_and_reason(self):
        rows = self.env["sicantik.notification.queue"].search([])
        # One is being sent, until the first run finds that its worker is gone.
        states = {*rows.mapped("state"), "processing"}
        self.assertEqual(states, set(rows._fields["state"].get_values(self.env)))
        reasons = {one for one in rows._fields["error_class"].get_values(self.env)} - {
            *("window_closed", "account_blocked", "bad_credentials"),  # these went on to another provider
            *("unknown", "no_email", "no_record"),
        }
        self.assertLessEqual(reasons, set(rows.mapped("error_class")))
        logged = set(self.env["sicantik.notification.log"].search([]).mapped("error_class"))
        self.assertLessEqual({"window_closed", "account_blocked", "bad_credentials"}, logged)

    def test_every_page_has_something_to_show(self):
        for model, field in (
            ("sicantik.notification.campaign", "state"),
            ("sicantik.auto.message", "state"),
            ("sicantik.notification.blacklist", "source"),
            ("sicantik.whatsapp.provider", "credential_state"),
            ("sicantik.whatsapp.event", "kind"),
            ("sicantik.whatsapp.template.master", "meta_status"),
        ):
            with self.subTest(model):
                records = self.env[model].search([])
                missing = set(records._fields[field].get_values(self.env)) - set(records.mapped(field))
                self.assertLessEqual(missing, UNSEEN)

    def test_every_ended_message_is_in_the_log(self):
        """One accepted attempt for a sent message, a reason and a log row for each that was not."""
        rows = self.env["sicantik.notification.queue"].search([])
        self.assertGreater(len(rows), 200)
        for row in rows.filtered(lambda row: row.state not in ("pending", "processing")):
            logs = row.log_ids
            accepted = logs.filtered(lambda log: log.state == "sent" and log.delivery_state != "failed")
            self.assertTrue(logs, row.name)
            self.assertEqual(len(accepted), row.state == "sent", row.name)
            if row.state != "sent":
                self.assertTrue(row.error_class and row.error_message, row.name)
            self.assertEqual(
                row.attempt_count, len(logs.filtered("attempt")), f"{row.name}: attempts and their log rows"
            )
        self.assertFalse(self.env["sicantik.notification.log"].search([("queue_id", "=", False)]))

    def test_totals_are_what_they_count(self):
        queue = self.env["sicantik.notification.queue"]

        def count(records, **values):
            domain = [(name, "=", value) for name, value in values.items()]
            return queue.search_count([*domain, ("id", "in", records.ids)])

        for campaign in self.env["sicantik.notification.campaign"].search([]):
            for state in ("sent", "failed", "skipped", "cancelled"):
                found = count(campaign.queue_ids, state=state)
                self.assertEqual(campaign[f"total_{state}"], found, f"{campaign.name}: {state}")
            self.assertEqual(campaign.total_targets, len(campaign.queue_ids), campaign.name)
            if campaign.state == "completed":
                self.assertEqual((campaign.total_pending, campaign.progress_percentage), (0, 100))
        for message in self.env["sicantik.auto.message"].search([]):
            self.assertEqual(message.sent_count, count(message.queue_ids, state="sent"), message.title)
            self.assertEqual(message.total_count, len(message.queue_ids), message.title)
        for rule in self.env["sicantik.notification.rule"].search([]):
            self.assertEqual(rule.success_count, count(rule.queue_ids, state="sent"), rule.name)
            self.assertFalse(rule.last_error, rule.name)
        journal = self.env["sicantik.notification.execution"].search([])
        for trigger in self.env["sicantik.notification.trigger"].search([]):
            own = journal.filtered(lambda line, of=trigger: line.trigger_id == of and not line.rule_id)
            self.assertEqual(trigger.execution_count, sum(own.mapped("record_count")), trigger.name)

    def test_the_past_is_in_the_past(self):
        """Dates of the last thirty days, in the order in which things happen; nothing is due at once."""
        now = self.env["sicantik.notification.queue"]._fields["sent_date"].now()
        logs = self.env["sicantik.notification.log"].search([])
        self.assertGreater((max(logs.mapped("create_date")) - min(logs.mapped("create_date"))).days, 25)
        self.assertLessEqual(max(logs.mapped("create_date")), now)
        for log in logs:
            dates = [log.sent_date, log.delivered_date, log.read_date]
            self.assertEqual([one for one in dates if one], sorted(one for one in dates if one), log.id)
        pending = self.env["sicantik.notification.queue"].search([("state", "=", "pending")])
        loose = pending.filtered(lambda row: not row.held)
        installed = min(loose.mapped("write_date"), default=now)
        self.assertGreater(min(loose.mapped("scheduled_date")), installed)
