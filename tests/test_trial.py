"""“Try It On…”: what it says is what happens, and it does nothing itself."""

import itertools
import re
from datetime import timedelta

from odoo import fields
from odoo.exceptions import AccessError, UserError
from odoo.tests import new_test_user
from odoo.tools import mute_logger

from .common import NotificationCase
from .test_scenarios import MODULE, ScenarioCase

EVALUATION = f"odoo.addons.{MODULE}.models.sicantik_notification_evaluation"
# Tables in which something would be found if something had happened.
TABLES = ("queue", "log", "execution", "tally", "usage", "allowance", "moment", "campaign")


class TrialCase(NotificationCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.trigger = cls._trigger("test_state", state_from="draft", state_to="approved")
        cls.rule = cls._rule(cls.trigger)
        cls.trials = cls.env["sicantik.notification.trial"]
        cls.user = new_test_user(cls.env, "try_user", groups=f"{MODULE}.group_notification_user")

    def _try(self, record, old="draft", new="approved", rule=None, trigger=None):
        return self.trials._try(trigger or self.trigger, record, rule, old, new)

    def _books(self):
        """Count everything that could tell of something that has happened."""
        self.env.flush_all()
        counts = {}
        for name in TABLES:
            self.env.cr.execute(f"SELECT count(*) FROM sicantik_notification_{name}")
            counts[name] = self.env.cr.fetchone()[0]
        return counts

    def assertNo(self, checks, text):
        """Assert that the only check that says no has this in its text or its reason."""
        noes = [check for check in checks if check.verdict == "no"]
        self.assertEqual(len(noes), 1, checks)
        self.assertIn(text, f"{noes[0].text} {noes[0].reason}")

    def assertOutlook(self, trial, outcome, reason=""):
        """Assert what would become of the one message."""
        (message,) = trial.rules[0].messages
        self.assertEqual(message.outcome, outcome, message)
        self.assertIn(reason, f"{message.label} {message.reason}")
        return message


class TestTrial(TrialCase):
    def test_yes(self):
        self._provider("fonnte", name="Our Fonnte", sequence=1)
        self._provider("watzap", name="Our Watzap", sequence=2)
        trial = self._try(self._permit())
        self.assertTrue(trial.fires)
        self.assertTrue(trial.rules[0].applies)
        message = self.assertOutlook(trial, "send")
        self.assertEqual((message.who, message.address), ("Ani", "+6281200000001"))
        self.assertEqual((message.provider, message.fallbacks), ("Our Fonnte", ["Our Watzap"]))
        self.assertEqual(message.chosen, "Our Fonnte: no Meta account is configured.")
        self.assertEqual(message.text, "Dear Ani, permit 503/0001 is ready.")
        self.assertEqual(trial.count_messages(), 1)

    def test_reason_for_meta(self):
        self._provider("meta", name="Our Meta")
        self.partner.whatsapp_opt_in = True
        message = self.assertOutlook(self._try(self._permit()), "send")
        self.assertEqual((message.provider, message.chosen), ("Our Meta", "Meta: the recipient is opted in."))

    def test_nothing_happens(self):
        self._provider("fonnte", rate_per_second=1, daily_limit=10)
        self._provider("meta")
        self.rule.context_preparation_code = "record.write({'permit_number': 'changed'})\ncontext = {}"
        self.env.company.whatsapp_daily_cap = 1
        permits = self._permit() + self._permit(partner_id=False) + self._permit(state="approved")
        self.commit()
        before = self._books()
        for permit in permits:
            for policy in ("always", "once", "cooldown"):
                self.rule.repeat_policy = policy
                self._try(permit)
        self.commit()
        self.assertEqual(self._books(), before)
        self.assertEqual(permits.mapped("state"), ["draft", "draft", "approved"])
        self.assertEqual(set(permits.mapped("permit_number")), {"503/0001"})
        self.assertEqual(self.gateway.requests(), [])
        self.assertEqual((self.trigger.execution_count, self.rule.execution_count), (0, 0))
        self.assertFalse(self.trigger.last_error or self.rule.last_error)

    def test_trigger_is_switched_off(self):
        self.trigger.active = False
        trial = self._try(self._permit())
        self.assertFalse(trial.fires)
        self.assertNo(trial.checks, "switched off")
        self.assertEqual(trial.count_messages(), 0)

    def test_rule_is_switched_off(self):
        self._provider("fonnte")
        self.rule.active = False
        trial = self._try(self._permit())
        self.assertTrue(trial.fires)
        self.assertFalse(trial.rules[0].applies)
        self.assertNo(trial.rules[0].checks, "switched off")
        self.assertOutlook(trial, "send")  # if it were on
        self.assertEqual(trial.count_messages(), 0)

    def test_other_status(self):
        self.assertNo(self._try(self._permit(), "submitted", "approved").checks, "from “Submitted”")
        self.assertNo(self._try(self._permit(), "draft", "rejected").checks, "to “Rejected”")
        self.trigger.write({"state_from": False, "state_to": False})
        self.assertNo(self._try(self._permit(), "draft", "draft").checks, "are the same")

    def test_looked_at_as_if_it_had_the_status(self):
        self._provider("fonnte")
        self.rule.condition_domain = "[('state', '=', 'approved')]"
        self.rule.condition_python = "record.status == 'approved' and new_state == 'approved'"
        permit = self._permit()
        self.assertTrue(self._try(permit).rules[0].applies)
        self.assertEqual(permit.state, "draft")

    def test_condition_of_the_trigger(self):
        self.trigger.condition_domain = "[('is_renewal', '=', True), ('permit_number', '=', '503/0002')]"
        trial = self._try(self._permit(is_renewal=True))
        self.assertFalse(trial.fires)
        self.assertNo(trial.checks, "503/0002 Permit Number is: 503/0001.")
        self.assertTrue(self._try(self._permit(is_renewal=True, permit_number="503/0002")).fires)

    def test_condition_of_the_rule(self):
        self.rule.condition_domain = "['|', ('is_renewal', '=', True), ('expiry_date', '!=', False)]"
        trial = self._try(self._permit())
        self.assertTrue(trial.fires)
        self.assertFalse(trial.rules[0].applies)
        self.assertNo(trial.rules[0].checks, "Expiry Date is: empty")

    def test_python_condition(self):
        self.rule.condition_python = "record.is_renewal"
        self.assertNo(self._try(self._permit()).rules[0].checks, "Python condition")
        self.rule.condition_python = "1 / 0"
        with mute_logger(EVALUATION):
            trial = self._try(self._permit())
        self.assertIn("ZeroDivisionError", trial.rules[0].error)
        self.assertFalse(trial.rules[0].applies)

    def test_faulty_condition(self):
        self.env.cr.execute(
            "UPDATE sicantik_notification_trigger SET condition_domain = %s WHERE id = %s",
            ["[('gone', '=', 1)]", self.trigger.id],
        )
        self.trigger.invalidate_recordset()
        with mute_logger(EVALUATION):
            trial = self._try(self._permit())
        self.assertFalse(trial.fires)
        self.assertNo(trial.checks, "gone")

    def test_recipients_who_are_left_out(self):
        self._provider("fonnte")
        self.assertOutlook(self._try(self._permit(partner_id=False)), "held", "no applicant")
        joko = self._partner("Joko")
        self.assertOutlook(self._try(self._permit(partner_id=joko.id)), "held", "no usable WhatsApp number")
        self.rule.require_opt_in = True
        self.assertOutlook(self._try(self._permit()), "held", "not agreed")
        self.rule.require_opt_in = False
        self.env["sicantik.notification.blacklist"].create({"phone_number": "081200000001", "reason": "STOP"})
        self.assertOutlook(self._try(self._permit()), "held", "STOP")

    def test_messages_that_would_fail(self):
        self.assertOutlook(self._try(self._permit()), "fail", "No provider is active")
        self._provider("fonnte")
        self.rule.template_key = "no_such_key"
        self.assertOutlook(self._try(self._permit()), "fail", "no_such_key")

    def test_repeats(self):
        self._provider("fonnte")
        permit = self._permit()
        for policy, reason in (("once", "told already"), ("cooldown", "within the last 24 hours")):
            self.rule.repeat_policy = policy
            self.assertOutlook(self._try(permit), "send")
            self.env["sicantik.notification.trigger"]._process_trigger("test_state", permit)
            self.assertOutlook(self._try(permit), "held", reason)
            rows = self.rows(res_id=permit.id)
            rows.action_cancel()
            rows.unlink()

    def test_messages_that_wait(self):
        self._provider("fonnte")
        self.rule.write({"schedule_type": "scheduled", "scheduled_delay": 60})
        message = self.assertOutlook(self._try(self._permit()), "wait")
        self.assertTrue(message.leaves)
        now = fields.Datetime.now()
        soon = (now + timedelta(hours=2)).hour
        self.rule.write({"schedule_type": "immediate", "quiet_hours": "own"})
        self.rule.write({"sending_from": soon, "sending_to": (soon + 1) % 24 or 24})
        self.partner.tz = "UTC"
        self.assertOutlook(self._try(self._permit()), "wait", "Quiet hours")

    def test_limits(self):
        self._provider("fonnte")
        self.rule.write({"rate_limit_count": 1, "rate_limit_period": "day"})
        permit = self._permit()
        self.assertOutlook(self._try(permit), "send")
        self.env["sicantik.notification.trigger"]._process_trigger("test_state", permit)
        self.drain()
        before = self._books()
        self.assertOutlook(self._try(permit), "wait", "sends 1 messages per day at most")
        self.assertEqual(self._books(), before)

    def test_provider_that_rests(self):
        first = self._provider("fonnte", sequence=1)
        self._provider("watzap", sequence=2)
        later = fields.Datetime.now() + timedelta(hours=1)
        self.env["sicantik.notification.allowance"].sudo().create(
            {"subject": f"provider:{first.id}", "probe_date": later, "open_count": 1}
        )
        self.env.flush_all()
        self.assertEqual(self.assertOutlook(self._try(self._permit()), "send").provider, "Watzap")

    def test_email(self):
        template = self.env["mail.template"].create(
            {
                "name": "Ready",
                "model_id": self.env["ir.model"]._get_id("sicantik.permit"),
                "subject": "Permit {{ object.permit_number }}",
                "body_html": "<p>Ready.</p>",
            }
        )
        self.partner.email = "ani@example.com"
        self.rule.write({"channel": "email", "mail_template_id": template.id})
        before = self.env["mail.mail"].search_count([])
        message = self.assertOutlook(self._try(self._permit()), "send")
        self.assertEqual((message.subject, message.text), ("Permit 503/0001", "Ready."))
        self.assertEqual(self.env["mail.mail"].search_count([]), before)

    def test_other_types(self):
        self._provider("fonnte")
        field = self.env["ir.model.fields"]._get("sicantik.permit", "permit_number")
        for vals in (
            {"trigger_type": "on_create"},
            {"trigger_type": "on_write"},
            {"trigger_type": "on_field_change", "field_to_watch": field.id},
            {"trigger_type": "cron"},
            {"trigger_type": "manual"},
            {"trigger_type": "api"},
        ):
            with self.subTest(vals["trigger_type"]):
                self.trigger.write(vals)
                trial = self._try(self._permit(), None, None)
                self.assertTrue(trial.fires, trial.checks)
                self.assertEqual(trial.count_messages(), 1)

    def test_archived_records_are_not_for_the_clock(self):
        permit = self._permit(active=False)
        self.trigger.trigger_type = "cron"
        self.assertNo(self._try(permit).checks, "archived")

    def test_number_of_queries(self):
        """It grows with the rules, not with the recipients."""
        self._provider("fonnte")
        self.rule.write({"recipient_type": "custom", "recipient_domain": "[('ref', '=', 'TRY')]"})
        permit = self._permit()
        counts = []
        for number in range(2, 12):
            self._partner(f"P{number}", f"0812000001{number:02}", ref="TRY")
            if number in (3, 11):
                self.env.flush_all()
                self.env.invalidate_all()
                start = self.env.cr.sql_log_count
                self.assertEqual(self._try(permit).count_messages(), number - 1)
                counts.append(self.env.cr.sql_log_count - start)
        self.assertLessEqual(counts[1], counts[0] + 2, counts)


class TestTrialOnTime(TrialCase):
    """Relative to a date: as the clock decides."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls._provider("fonnte")
        cls.env.company.partner_id.tz = "UTC"
        cls.trigger.write(
            {
                "trigger_type": "on_time",
                "date_field_id": cls.env["ir.model.fields"]._get("sicantik.permit", "expiry_date").id,
                "time_offsets": "-30d,-7d",
            }
        )

    def _expiring(self, days):
        return self._permit(expiry_date=fields.Date.today() + timedelta(days=days))

    def test_moments(self):
        for days, fires, said in ((30, True, "is due now"), (29, True, "comes"), (5, False, "is past")):
            with self.subTest(days):
                trial = self._try(self._expiring(days))
                self.assertEqual(trial.fires, fires)
                self.assertIn(said, trial.checks[-1].reason)
        self.assertNo(self._try(self._permit()).checks, "“Expiry Date” is empty")

    def test_as_the_clock(self):
        """What is due is what the clock fires for, and what has fired is told."""
        permits = {days: self._expiring(days) for days in (31, 30, 29, 8, 7, 6, 0, -1)}
        due = {days for days, permit in permits.items() if "due now" in self._try(permit).checks[-1].reason}
        self.commit()
        self.drain()
        told = {days for days, permit in permits.items() if self.rows(res_id=permit.id)}
        self.assertEqual(due, told)
        self.assertEqual(told, {30, 7})
        self.assertIn("fired already", self._try(permits[30]).checks[-1].reason)


class TestTrialOfScenarios(ScenarioCase):
    """The seven scenarios, with records that they are for and others: the trial says what then happens."""

    numbers = itertools.count()
    RULES = {
        "permit_ready": "permit",
        "document_pending": "document",
        "approval_required": "document",
        "status_update_applicant": "permit",
        "status_update_staff": "permit",
        "reminder": "document",
        "permit_expiry_warning": "permit",
        "permit_renewal_approved": "permit",
        "permit_expiring": "permit",
    }

    def _permits(self):
        today = fields.Date.today()
        silent = self._partner("Tanpa Nomor")
        return [
            self._permit(registration_id=f"REG-T{next(self.numbers)}", **vals)
            for vals in (
                {},
                {"permit_number": False},
                {"is_renewal": True, "responsible_id": self.rina.id},
                {"partner_id": silent.id},
                {"partner_id": False},
                {"state": "active", "expiry_date": today + timedelta(days=30)},
                {"state": "approved", "expiry_date": today + timedelta(days=7)},
            )
        ]

    def _documents(self):
        permit = self._permits()[0]
        since = fields.Datetime.now() - timedelta(hours=30)
        return [
            self._document(permit, **vals)
            for vals in (
                {},
                {"requires_approval": True},
                {"requires_approval": True, "approver_id": self.head.id, "responsible_id": self.rina.id},
                {"state": "pending_signature", "pending_since": since, "responsible_id": self.rina.id},
                {"state": "pending_signature", "pending_since": since},
                {"state": "pending_signature", "responsible_id": self.rina.id},
            )
        ]

    def _happen(self, trigger, record, old, new):
        """Let the event happen, as something that capture does not see, and drain the queue."""
        if new:
            self.env.flush_all()
            self.env.cr.execute(f"UPDATE {record._table} SET state = %s WHERE id = %s", [new, record.id])
            record.invalidate_recordset()
        result = self.env["sicantik.notification.trigger"]._process_trigger(trigger.code, record, old, new)
        self.commit()
        rows = self.queue.browse(result["queue_ids"])
        rows.filtered(lambda row: row.state == "pending").action_process()
        self.env.invalidate_all()
        return result, rows

    def test_as_it_happens(self):
        yes = 0
        for name, kind in self.RULES.items():
            self._turn_on(name)
            rule = self.env.ref(f"{MODULE}.sicantik_notification_rule_{name}")
            trigger = rule.trigger_id
            is_state = trigger.trigger_type == "on_state_change"
            news = {"permit": ["submitted", "active"], "document": ["pending_signature", "signed"]}[kind]
            for new in news if is_state else [None]:
                records = self._permits() if kind == "permit" else self._documents()
                for number, record in enumerate(records):
                    old = record.state if is_state else None
                    if old and old == new:
                        continue
                    with self.subTest(rule=name, number=number, new=new):
                        trial = self.env["sicantik.notification.trial"]._try(trigger, record, rule, old, new)
                        result, rows = self._happen(trigger, record, old, new)
                        if trigger.trigger_type != "on_time":
                            self.assertEqual(trial.fires, result["processed"], trial)
                        (tried,) = trial.rules
                        self.assertEqual(tried.applies and trial.fires, bool(rows), (tried, result))
                        said = {"send": "sent", "held": "skipped", "fail": "failed"}
                        self.assertEqual(
                            sorted((one.who, said[one.outcome]) for one in tried.messages if rows),
                            sorted((row.partner_id.display_name or "Nobody", row.state) for row in rows),
                        )
                        texts = [one.text for one in tried.messages if one.outcome == "send" and rows]
                        arrived = [message["text"] for message in self.gateway.messages()]
                        self.assertEqual(sorted(map(_timeless, texts)), sorted(map(_timeless, arrived)))
                        yes += bool(rows)
                    self.gateway.reset()
            rule.active = False
        self.assertGreater(yes, 15, "many of them are a yes")


def _timeless(text):
    """Leave out of a text what time it is: another minute may have begun."""
    return re.sub(r"\d\d:\d\d", "", text)


class TestTryWizard(TrialCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.wizards = cls.env["sicantik.notification.try.wizard"]
        cls.employee = new_test_user(cls.env, "try_employee", groups="base.group_user")

    def _wizard(self, action):
        return self.env[action["res_model"]].browse(action["res_id"])

    def test_button_of_the_trigger(self):
        self._provider("fonnte")
        permit = self._permit()
        wizard = self._wizard(self.trigger.action_try())
        self.assertEqual((wizard.resource_ref, wizard.rule_id), (permit, self.rule.browse()))
        self.assertEqual((wizard.old_state, wizard.new_state), ("draft", "approved"))
        self.assertIn("Yes: one message would go out.", wizard.result)
        self.assertIn("Dear Ani, permit 503/0001 is ready.", wizard.result)

    def test_button_of_the_rule(self):
        self._rule(self.trigger, name="Another")
        self._permit()
        wizard = self._wizard(self.rule.action_try())
        self.assertIn(self.rule.name, wizard.result)
        self.assertNotIn("Another", wizard.result)

    def test_status_is_taken_from_the_condition(self):
        self.trigger.write({"state_from": False, "state_to": False})
        self.rule.condition_domain = "[('permit_number', '!=', False), ('state', 'in', ['active'])]"
        self._permit(state="active")
        wizard = self._wizard(self.rule.action_try())
        self.assertEqual((wizard.old_state, wizard.new_state), ("draft", "active"))

    def test_try_another_record(self):
        wizard = self._wizard(self.trigger.action_try())
        wizard.resource_ref = self._permit(partner_id=False)
        wizard.action_try()
        self.assertIn("no applicant", wizard.result)
        self.assertIn("No: nobody would be written to.", wizard.result)

    def test_wrong_record(self):
        wizard = self._wizard(self.trigger.action_try())
        wizard.resource_ref = self.partner
        with self.assertRaisesRegex(UserError, "is for “"):
            wizard.action_try()
        wizard.resource_ref = False
        with self.assertRaisesRegex(UserError, "Choose the record"):
            wizard.action_try()

    def test_faulty_rule_can_be_tried(self):
        self.rule.condition_python = "1 / 0"
        self._permit()
        with mute_logger(EVALUATION):
            self.assertIn("ZeroDivisionError", self._wizard(self.rule.action_try()).result)

    def test_names_are_escaped(self):
        self.partner.name = "<script>alert(1)</script>"
        self._provider("fonnte")
        self._permit()
        result = self._wizard(self.trigger.action_try()).result
        self.assertNotIn("<script>", result)
        self.assertIn("&lt;script&gt;", result)

    def test_notification_user(self):
        self._permit()
        wizard = self._wizard(self.rule.with_user(self.user).action_try()).with_user(self.user)
        self.assertIn("Would it fire?", wizard.result)

    def test_record_that_the_user_may_not_read(self):
        office = self.env["res.company"].create({"name": "Other office"})
        permit = self._permit(company_id=office.id)
        wizard = self._wizard(self.trigger.with_user(self.user).action_try()).with_user(self.user)
        with self.assertRaises(AccessError):
            wizard.write({"resource_ref": f"sicantik.permit,{permit.id}"})
            wizard.action_try()

    def test_others(self):
        with self.assertRaises(AccessError):
            self.wizards.with_user(self.employee)._open(self.trigger)
        with self.assertRaises(AccessError):
            self.wizards.with_user(self.employee).create({"trigger_id": self.trigger.id})

    def test_somebody_elses(self):
        self._permit()
        wizard = self._wizard(self.trigger.action_try())
        with self.assertRaises(AccessError):
            wizard.with_user(self.user).read(["outcome"])
