"""What triggers and rules say of themselves: the sentence, what there is to choose, and what is wrong."""

from odoo.exceptions import AccessError
from odoo.tests import Form, new_test_user
from odoo.tools import mute_logger

from .common import NotificationCase
from .test_trial import EVALUATION, MODULE


class TestWording(NotificationCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.wording = cls.env["sicantik.notification.wording"]
        cls.trigger = cls._trigger("test_state", state_to="approved")
        cls.rule = cls._rule(cls.trigger)

    def assertSaid(self, domain, text, model="sicantik.permit"):
        self.assertEqual(self.wording._say_domain(self.env[model], domain), text)

    # === DOMAINS ===#

    def test_terms(self):
        for term, text in (
            (("state", "=", "approved"), "Status is Approved"),
            (("state", "!=", "approved"), "Status is not Approved"),
            (("state", "in", ["draft", "approved"]), "Status is one of Draft, Approved"),
            (("state", "not in", ("draft", "approved")), "Status is none of Draft, Approved"),
            (("state", "in", ["draft"]), "Status is Draft"),
            (("permit_number", "=", False), "Permit Number is empty"),
            (("permit_number", "!=", False), "Permit Number is filled in"),
            (("permit_number", "ilike", "503"), "Permit Number contains 503"),
            (("is_renewal", "=", True), "Renewal is ticked"),
            (("is_renewal", "!=", True), "Renewal is not ticked"),
            (("expiry_date", "<=", "2026-12-31"), "Expiry Date is 12/31/2026 at the latest"),
            (("days_until_expiry", ">", 3), "Days Until Expiry is more than 3"),
            (("partner_id", "=", self.partner.id), "Applicant is Ani"),
            (("partner_id.name", "=", "Ani"), "Applicant › Name is Ani"),
            (("gone", "=", 1), "gone is 1"),
            ((1, "=", 1), "always"),
            ((0, "=", 1), "never"),
        ):
            with self.subTest(term):
                self.assertSaid([term], text)

    def test_connectives(self):
        one, two, three = ("state", "=", "draft"), ("is_renewal", "=", True), ("permit_number", "!=", False)
        self.assertSaid([], "any record")
        self.assertSaid([one, two], "Status is Draft and Renewal is ticked")
        self.assertSaid(["|", one, two], "(Status is Draft or Renewal is ticked)")
        self.assertSaid(["!", one], "not (Status is Draft)")
        self.assertSaid(
            ["|", "&", one, two, three],
            "(Status is Draft and Renewal is ticked or Permit Number is filled in)",
        )

    def test_conditions(self):
        one, two, three = ("a", "=", 1), ("b", "=", 2), ("c", "=", 3)
        self.assertEqual(self.wording._conditions([one, two]), [[one], [two]])
        self.assertEqual(self.wording._conditions(["&", one, two]), [[one], [two]])
        self.assertEqual(self.wording._conditions(["&", "|", one, two, three]), [["|", one, two], [three]])
        self.assertEqual(
            self.wording._conditions(["!", "&", one, two, three]), [["!", "&", one, two], [three]]
        )
        self.assertEqual(self.wording._conditions([]), [])

    def test_restricted_fields_are_not_told(self):
        user = new_test_user(self.env, "wording_user", groups=f"{MODULE}.group_notification_user")
        provider = self._provider("fonnte").with_user(user)
        self.assertIsNone(self.wording._actual(provider, "api_token"))
        self.assertEqual(self.wording._actual(provider, "name"), "Fonnte")
        office = self.env["res.company"].create({"name": "Other office"})
        hidden = self._partner("Hidden", company_id=office.id)
        permits = self.env["sicantik.permit"].with_user(user)
        said = self.wording.with_user(user)._say_domain(permits, [("partner_id", "=", hidden.id)])
        self.assertEqual(said, f"Applicant is {hidden.id}")

    # === SENTENCES ===#

    def test_triggers(self):
        fields_ = self.env["ir.model.fields"]
        number = fields_._get("sicantik.permit", "permit_number").id
        expiry = fields_._get("sicantik.permit", "expiry_date").id
        for vals, text in (
            ({}, "When “Status” of “SICANTIK Permit” becomes Approved, its rules"),
            ({"state_from": "draft,submitted"}, "changes from Draft or Submitted to Approved, its rules"),
            ({"state_to": False}, "is no longer Draft or Submitted, its rules"),
            ({"state_from": False}, "When “Status” of “SICANTIK Permit” changes, its rules"),
            ({"trigger_type": "on_create"}, "When a record of “SICANTIK Permit” is created,"),
            ({"trigger_type": "on_write"}, "When a record of “SICANTIK Permit” is updated,"),
            ({"trigger_type": "on_field_change", "field_to_watch": number}, "“Permit Number” of “SICANTIK"),
            ({"trigger_type": "cron"}, "For each record of “SICANTIK Permit”, every day,"),
            ({"cron_interval_number": 2, "cron_interval_type": "weeks"}, "every 2 weeks,"),
            (
                {"trigger_type": "on_time", "date_field_id": expiry, "time_offsets": "-30d,-2h,1w,0d"},
                "30 days before, 2 hours before, 7 days after, at the time of “Expiry Date” of “SICANTIK",
            ),
            ({"trigger_type": "manual"}, "When this trigger is called for records of “SICANTIK Permit”"),
            ({"trigger_type": "api"}, "When another system calls this trigger"),
            ({"condition_domain": "[('is_renewal', '=', True)]"}, "Only if Renewal is ticked."),
            ({"active": False}, "It is switched off: nothing happens."),
        ):
            with self.subTest(vals):
                self.trigger.write(vals)
                self.assertIn(text, self.trigger.summary)

    def test_rule(self):
        self.rule.condition_domain = "[('permit_number', '!=', False)]"
        self.assertEqual(
            self.rule.summary,
            "When “Status” of “SICANTIK Permit” becomes Approved, the applicants get “Ready” by WhatsApp. "
            "Only if Permit Number is filled in. The message leaves at once. "
            "At most 100 messages per hour. Left out: who is on the blacklist.",
        )

    def test_quiet_hours_of_the_company(self):
        self.env.company.quiet_hours = True
        self.assertIn("The message leaves at once, but not in quiet hours.", self.rule.summary)

    def test_what_rules_say(self):
        for vals, text in (
            ({"recipient_type": "staff"}, "all members of “DPMPTSP Staff” get"),
            ({"recipient_type": "official"}, "official (else all officials) get"),
            (
                {"recipient_type": "custom", "recipient_domain": "[('ref', '=', 'X')]"},
                "all contacts for whom Reference is X get",
            ),
            ({"recipient_type": "field", "recipient_field": "responsible_id"}, "the people in “Responsible"),
            ({"schedule_type": "scheduled", "scheduled_delay": 15}, "The message leaves 15 minutes later."),
            ({"schedule_type": "batch"}, "in batches of 100 messages, one every 5 minutes."),
            ({"schedule_type": "immediate", "urgent": True}, "also in quiet hours."),
            ({"urgent": False, "quiet_hours": "own"}, "but only between 08:00 and 20:00."),
            ({"repeat_policy": "once"}, "Nobody is told twice"),
            ({"repeat_policy": "cooldown", "cooldown_hours": 36}, "within 36 hours."),
            ({"rate_limit_period": "day", "rate_limit_count": 7}, "At most 7 messages per day."),
            ({"require_opt_in": True}, "who has not agreed to it"),
            ({"condition_python": "True"}, "the Python condition is true"),
            (
                {"condition_domain": "[('expiry_date', '<', datetime.now().strftime('%Y-%m-%d'))]"},
                "(as of today)",
            ),
            ({"active": False}, "The rule is switched off: nothing is sent."),
        ):
            with self.subTest(vals):
                self.rule.write(vals)
                self.assertIn(text, self.rule.summary)

    def test_as_a_notification_user(self):
        user = new_test_user(self.env, "sentence_user", groups=f"{MODULE}.group_notification_user")
        group = self.env.ref(f"{MODULE}.group_staff").id
        self.rule.write({"recipient_type": "staff", "staff_group_id": group})
        self.rule.condition_domain = "[('responsible_id', '=', uid), ('permit_type_id', '!=', False)]"
        self.env.invalidate_all()
        for record in (self.rule, self.trigger):
            record = record.with_user(user)
            self.assertIn("“SICANTIK Permit” becomes Approved", record.summary)
            self.assertFalse(record.advice)

    def test_while_it_is_written(self):
        """The sentence follows the form, also through what cannot work yet."""
        form = Form(self.env["sicantik.notification.rule"])
        self.assertIn("Choose a trigger first", form.summary)
        form.trigger_id = self.trigger
        form.template_key = "test_ready"
        self.assertIn("“Ready” by WhatsApp", form.summary)
        form.condition_domain = "[('state', "
        self.assertIn("Only if the condition as it is written.", form.summary)
        form.condition_domain = "[('state', '=', 'draft')]"
        self.assertIn("Only if Status is Draft.", form.summary)

    # === WHAT THERE IS TO CHOOSE ===#

    def test_choices(self):
        form = Form(self.env["sicantik.notification.trigger"])
        self.assertFalse(form.state_choices)
        form.model_id = self.env["ir.model"]._get("sicantik.permit")
        self.assertIn({"value": "approved", "label": "Approved"}, form.state_choices)
        fields_ = [one["value"] for one in form.state_field_choices]
        self.assertEqual(fields_[:2], ["state", "status"])
        self.assertIn("responsible_id", fields_)
        self.assertNotIn("days_until_expiry", fields_)
        form.state_field = "permit_type_id"
        kind = self.env["sicantik.permit.type"].create({"name": "SIUP Uji"})
        form.state_field = "state"
        form.state_field = "permit_type_id"
        self.assertIn({"value": str(kind.id), "label": "SIUP Uji"}, form.state_choices)
        form.state_field = "gone"
        self.assertFalse(form.state_choices)

    def test_labels_are_in_the_users_language(self):
        self.env["res.lang"]._activate_lang("id_ID")
        self.env["ir.module.module"]._load_module_terms([MODULE], ["id_ID"])
        choices = self.trigger.with_context(lang="id_ID").state_choices
        self.assertIn({"value": "approved", "label": "Disetujui"}, choices)

    def test_path_that_leads_nowhere(self):
        """It is said at once, and not only when it is saved."""
        form = Form(self.rule)
        form.recipient_type = "field"
        with self.assertLogs("odoo.tests.form.onchange", "WARNING") as logs:
            form.recipient_field = "permit_type_id"
        self.assertIn("does not lead to contacts", "".join(logs.output))


class TestMended(NotificationCase):
    """What went wrong, what to do about it, and that it is mended."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.trigger = cls._trigger("test_state", state_to="approved")
        cls.rule = cls._rule(cls.trigger)
        cls.user = new_test_user(cls.env, "mended_user", groups=f"{MODULE}.group_notification_user")

    def _fail(self):
        with mute_logger(EVALUATION):
            self._permit().state = "approved"
            self.commit()
        self.env.invalidate_all()

    def _break(self, table, column, value, record):
        """Make something invalid that was valid when it was saved."""
        self.env.flush_all()
        self.env.cr.execute(f"UPDATE {table} SET {column} = %s WHERE id = %s", [value, record.id])
        self.env.invalidate_all()
        record._clear_watches()

    def test_nothing_is_wrong(self):
        self.assertFalse(self.trigger.advice or self.rule.advice)

    def test_python(self):
        self.rule.condition_python = "1 / 0"
        self._fail()
        self.assertIn("ZeroDivisionError", self.rule.last_error)
        self.assertIn("Look at the Python of the rule", self.rule.advice)

    def test_faulty_domain(self):
        self._break("sicantik_notification_rule", "condition_domain", "[('gone', '=', 1)]", self.rule)
        self._fail()
        self.assertTrue(self.rule.last_error)
        self.assertIn("The condition cannot be used", self.rule.advice)
        self._break("sicantik_notification_rule", "condition_domain", "[]", self.rule)
        self.assertIn("Nothing is wrong with the rule", self.rule.advice)

    def test_faulty_trigger(self):
        self._break("sicantik_notification_trigger", "condition_domain", "[('gone', '=', 1)]", self.trigger)
        self._fail()
        self.assertIn("The condition cannot be used", self.trigger.advice)

    def test_mark_as_mended(self):
        self.rule.condition_python = "1 / 0"
        self._fail()
        self.rule.condition_python = False
        with self.assertRaises(AccessError):
            self.rule.with_user(self.user).action_mark_mended()
        count = self.rule.execution_count
        self.rule.action_mark_mended()
        self.assertFalse(self.rule.last_error or self.rule.advice)
        self.assertEqual(self.rule.execution_count, count)
        errors = self.env["sicantik.notification.execution"].search([("rule_id", "=", self.rule.id)])
        self.assertTrue(any(row.error for row in errors), "the journal keeps it")

    def test_mark_a_trigger_as_mended(self):
        self._break("sicantik_notification_trigger", "condition_domain", "[('gone', '=', 1)]", self.trigger)
        self._fail()
        self.trigger.is_failing = True
        self.assertTrue(self.trigger.last_error)
        with self.assertRaises(AccessError):
            self.trigger.with_user(self.user).action_mark_mended()
        self.trigger.action_mark_mended()
        self.assertFalse(self.trigger.last_error or self.trigger.is_failing)

    def test_missing_template(self):
        self.assertTrue(self.rule.has_template)
        self.rule.template_key = "no_such_key"
        self.assertFalse(self.rule.has_template)
        action = self.rule.action_make_template()
        self.assertEqual(action["context"], {"default_template_key": "no_such_key"})
        self.rule.template_key = "test_ready"
        self.assertTrue(self.rule.has_template)
