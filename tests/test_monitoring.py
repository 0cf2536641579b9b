"""What people see of messages and do with them: the story, the buttons for many, searches, what is told."""

from datetime import timedelta
from unittest.mock import patch

from freezegun import freeze_time
from lxml import html

from odoo import fields
from odoo.exceptions import AccessError, UserError
from odoo.tests import Form, new_test_user
from odoo.tools.safe_eval import safe_eval

from .. import uninstall_hook
from ..providers import errors
from .common import NotificationCase

MODULE = "sicantik_notification_automation"
NIGHT = "2026-05-01 16:00:00"  # 23:00 in Jakarta


class MonitoringCase(NotificationCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.fonnte = cls._provider("fonnte", name="Our Fonnte", sequence=1)
        cls.rule = cls._rule(cls._trigger("test_state", state_to="approved"), name="Ready rule")
        cls.user = new_test_user(cls.env, "user_test", groups=f"{MODULE}.group_notification_user")

    def story(self, message):
        """Give the steps of a story as text, oldest first."""
        steps = html.fromstring(str(message.story)).xpath("//li")
        return [" ".join(" ".join(step.itertext()).split()) for step in steps]

    def assertStory(self, message, *expected):
        """Assert how many steps there are, and that each has a text, in order."""
        story = self.story(message)
        self.assertEqual(len(story), len(expected), story)
        for step, text in zip(story, expected, strict=True):
            self.assertIn(text, step)


class TestStory(MonitoringCase):
    def test_from_the_trigger_to_the_reading(self):
        permit = self._permit()
        self.commit()
        permit.state = "approved"
        self.commit()
        row = self.rows(permit_id=permit.id)
        self.assertStory(row, "Rule “Ready rule”, trigger “test_state”", "next run of the scheduled action")
        self.drain()
        log = self.logs.search([("queue_id", "=", row.id)])
        later = fields.Datetime.now() + timedelta(minutes=5)
        self.env.cr.execute(
            "UPDATE sicantik_notification_log "
            "SET delivery_state = 'read', delivered_date = %s, read_date = %s WHERE id = %s",
            [later, later + timedelta(minutes=1), log.id],
        )
        self.env.invalidate_all()
        self.assertStory(row, "Put into the queue", "Attempt 1: Our Fonnte took it", "Delivered", "Read")
        self.assertEqual(row.shown_text, "Dear Ani, permit 503/0001 is ready.")
        self.assertEqual(row.trigger_id, self.rule.trigger_id)
        self.assertEqual(self.story(log), self.story(row), "a log row tells the story of its message")
        self.assertEqual(log.action_open_story()["res_id"], row.id)
        self.assertEqual(row.action_open_subject()["res_id"], permit.id)

    def test_fallback(self):
        self._provider("watzap", name="Our Watzap", sequence=2)
        self.gateway.account(fonnte={"connected": False})
        row = self._row()
        self.drain()
        self.assertStory(
            row,
            "Entered by hand",
            "Attempt 1: Our Fonnte refused it Account Blocked",
            "Attempt 2: Our Watzap took it",
        )

    def test_late_refusal(self):
        row = self._row()
        self.drain()
        log = self.logs.search([("queue_id", "=", row.id)])
        # By the provider's clock it was before it was sent.
        self.env.cr.execute(
            "UPDATE sicantik_notification_log SET delivery_state = 'failed', delivery_failed_date = %s, "
            "error_class = 'bad_recipient', error_message = 'Not on WhatsApp.' WHERE id = %s",
            [row.create_date - timedelta(minutes=1), log.id],
        )
        self.env.invalidate_all()
        self.assertStory(
            row,
            "Put into the queue",
            "took it",
            "Our Fonnte refused it afterwards Recipient Refused Not on WhatsApp.",
        )
        self.assertIn("Correct it in the contact", log.advice)

    def test_interrupted(self):
        self.gateway.fault("fonnte", "cut_after_read")
        row = self._row()
        self.drain()
        self.assertEqual((row.state, row.error_class), ("failed", "interrupted"))
        self.assertStory(row, "Put into the queue", "Attempt 1: Our Fonnte gave no answer")
        self.assertIn("Ask the recipient", row.next_step)

    def test_cancelled_and_left_out(self):
        row = self._row()
        row.action_cancel()
        self.assertStory(row, "Put into the queue", "Cancelled Cancelled by")
        self.env["sicantik.notification.blacklist"].create(
            {"phone_number": "081200000001", "reason": "Moved"}
        )
        blocked = self._row()
        self.drain()
        self.assertStory(
            blocked, "Put into the queue", "Left out Blacklisted The number is on the blacklist: Moved"
        )
        self.assertEqual(blocked.remedy, "blacklist")
        self.assertEqual(blocked.action_mend()["res_model"], "sicantik.notification.blacklist")

    def test_what_comes_next(self):
        later = fields.Datetime.now() + timedelta(days=1)
        for values, text in (
            ({"scheduled_date": later}, "as planned"),
            ({"scheduled_date": later, "error_class": "quiet_hours"}, "quiet hours are over"),
            ({"scheduled_date": later, "error_class": "limited"}, "there is room again"),
            ({"scheduled_date": later, "next_retry_date": later}, "tried again on"),
            ({}, "next run of the scheduled action"),
        ):
            with self.subTest(text):
                self.assertIn(text, self._row(**values).next_step)
        self.env.ref(f"{MODULE}.ir_cron_process_queue").active = False
        self.assertIn("is off", self._row().next_step)

    @freeze_time("2026-05-01 10:00:00")
    def test_times_are_those_of_the_user(self):
        row = self._row(scheduled_date="2026-05-02 00:00:00").with_context(tz="Asia/Jakarta")
        self.assertIn("Sat 2 May 2026, 07:00", row.next_step)

    def test_paused_campaign(self):
        campaign = self.env["sicantik.notification.campaign"].create(
            {"name": "Spring", "rule_id": self.rule.id, "target_model": "sicantik.permit"}
        )
        row = self._row(campaign_id=campaign.id)
        campaign.sudo().state = "paused"
        self.env.invalidate_all()
        self.assertIn("“Spring” is resumed", row.next_step)
        self.assertFalse(row.can_process)
        self.assertTrue(self._row().can_process)

    def test_log_without_a_queue_row(self):
        """A test message has no row, and its attempts belong together all the same."""
        self._provider("watzap", name="Our Watzap", sequence=2)
        self.gateway.account(fonnte={"connected": False})
        context = {"partner_name": "Ani", "permit_number": "503/0001"}
        self.dispatcher.send_template_message("test_ready", self.partner.id, context)
        logs = self.logs.search([("partner_id", "=", self.partner.id)])
        for log in logs:
            self.assertStory(log, "Our Fonnte refused it", "Our Watzap took it")
            self.assertEqual(log.shown_text, "Dear Ani, permit 503/0001 is ready.")
        with self.assertRaisesRegex(UserError, "no longer in the queue"):
            logs[0].action_open_story()

    def test_nothing_is_taken_for_markup(self):
        self.fonnte.name = "<b>Fonnte</b>"
        row = self._row()
        self.drain()
        self.assertNotIn("<b>", str(row.story))
        self.assertStory(row, "Put into the queue", "<b>Fonnte</b> took it")

    def test_a_missing_value_stays_a_placeholder(self):
        row = self._row(context_values={"partner_name": "Ani {{x}}"})
        self.assertEqual(row.shown_text, "Dear Ani {{x}}, permit {{permit_number}} is ready.")
        form = Form(row)
        form.context_values = "{"
        self.assertIn("{{partner_name}}", form.shown_text, "somebody is typing")

    def test_metas_own_text(self):
        self.meta_template.body_preview = "Meta: {{partner_name}}, {{permit_number}}."
        self.assertEqual(self._row(provider_type="meta").shown_text, "Meta: Ani, 503/0001.")

    def test_free_text_and_email(self):
        self.assertEqual(self._row(message_type="text", template_key=False, body="Hello").shown_text, "Hello")
        email = self._row(channel="email", email="ani@example.com", template_key=False)
        self.assertFalse(email.shown_text)

    def test_as_a_user(self):
        permit = self._permit()
        row = self._row(permit_id=permit.id)
        self.drain()
        mine = row.with_user(self.user)
        self.assertStory(mine, "Put into the queue", "took it")
        self.assertEqual(mine.subject_name, permit.display_name)

    def test_provider_that_went_to_another_company(self):
        row = self._row()
        self.drain()
        self.fonnte.company_id = self.env["res.company"].create({"name": "Elsewhere"})
        log = self.logs.search([("queue_id", "=", row.id)])
        for message in (row, log):
            self.assertStory(message.with_user(self.user), "Put into the queue", "took it")

    def test_hidden_subject(self):
        """What a message is about is named to those only who may read it."""
        secret = self.env["ir.config_parameter"].create({"key": "secret.key", "value": "1"})
        row = self._row()
        row.write({"res_model": secret._name, "res_id": secret.id})
        mine = row.with_user(self.user)
        self.assertFalse(mine.subject_name)
        with self.assertRaisesRegex(UserError, "not for you"):
            mine.action_open_subject()

    def test_queries_do_not_grow(self):
        rows = self.queue.concat(*(self._row() for _i in range(12)))
        self.drain()
        logs = self.logs.search([("queue_id", "in", rows.ids)])
        self.env["sicantik.notification.story"]._stories(rows[:1])
        for messages in (rows, logs):
            self.env.invalidate_all()
            few = self._count(messages[:2])
            self.env.invalidate_all()
            self.assertEqual(self._count(messages), few)

    def _count(self, messages):
        before = self.env.cr.sql_log_count
        messages.read(["story", "shown_text", "subject_name", "address"])
        return self.env.cr.sql_log_count - before


class TestManyAtOnce(MonitoringCase):
    def _failed(self, **vals):
        return self._row(state="failed", error_class="bad_recipient", **vals)

    def _campaign(self, state):
        campaign = self.env["sicantik.notification.campaign"].create(
            {"name": state, "rule_id": self.rule.id, "target_model": "sicantik.permit"}
        )
        campaign.sudo().state = state
        return campaign

    def test_retry_does_what_can_be_done(self):
        good = self._failed() + self._row(state="skipped", error_class="no_number")
        stopped = self._failed(campaign_id=self._campaign("cancelled").id)
        sent = self._row(state="sent")
        told = (good + stopped + sent).action_retry()["params"]
        self.assertEqual(good.mapped("state"), ["pending", "pending"])
        self.assertEqual((stopped.state, sent.state), ("failed", "sent"))
        self.assertEqual(told["title"], "Tried again: 2 of 4")
        self.assertIn("Its campaign was cancelled: 1", told["message"])
        self.assertIn("Sent: 1", told["message"])

    def test_retry_that_is_impossible_for_all(self):
        stopped = self._failed(campaign_id=self._campaign("cancelled").id)
        self.assertFalse(stopped.can_retry, "the button is not there")
        with self.assertRaisesRegex(UserError, "Relaunch it"):
            (stopped + self._row(state="sent")).action_retry()
        self.assertEqual(stopped.state, "failed")

    def test_retry_of_what_another_row_sends(self):
        """A rule that tells once: of two rows that gave the key back one is sent."""
        first, second, third = (self._failed() for _i in range(3))
        for row in (first, second):
            row.event_key = f"x:once:1:{row.id}"
        third.event_key = f"y:once:1:{third.id}"
        told = (first + second + third).action_retry()["params"]
        self.assertEqual((first.state, second.state, third.state), ("pending", "failed", "pending"))
        self.assertIn("In the queue a second time: 1", told["message"])
        with self.assertRaisesRegex(UserError, "a second time"):
            second.action_retry()

    def test_cancel(self):
        pending = self._row() + self._row()
        told = (pending + self._row(state="sent") + self._failed()).action_cancel()["params"]
        self.assertEqual(pending.mapped("state"), ["cancelled", "cancelled"])
        self.assertEqual(told["title"], "Cancelled: 2 of 4")
        self.assertIn("Sent: 1", told["message"])
        self.assertIn("Failed (Recipient Refused): 1", told["message"])

    def test_process(self):
        ready = self._row() + self._row(scheduled_date=fields.Datetime.now() + timedelta(days=1))
        paused = self._row(campaign_id=self._campaign("paused").id)
        self.gateway.fault("fonnte", "target invalid", times=1)
        told = (ready + paused + self._row(state="sent")).action_process()["params"]
        self.assertEqual(sorted(ready.mapped("state")), ["failed", "sent"])
        self.assertEqual(paused.state, "pending")
        self.assertEqual(told["title"], "Sent: 1 of 4")
        for text in ("Failed (Recipient Refused): 1", "Pending (its campaign stands still): 1", "Sent: 1"):
            self.assertIn(text, told["message"])

    def test_everything_was_done(self):
        told = (self._row() + self._row()).action_process()["params"]
        self.assertEqual((told["type"], told["message"]), ("success", ""))

    def test_mending(self):
        for reason, model in (
            ("no_number", "res.partner"),
            ("missing_parameter", "sicantik.notification.rule"),
            ("no_template", "sicantik.whatsapp.template.master"),
            ("no_provider", "sicantik.whatsapp.provider"),
        ):
            row = self._row(state="failed", error_class=reason, rule_id=self.rule.id)
            self.assertEqual(row.with_user(self.user).action_mend()["res_model"], model, reason)
        employee = new_test_user(self.env, "employee_test", groups="base.group_user")
        with self.assertRaises(AccessError):
            row.with_user(employee).action_mend()


class TestSearch(MonitoringCase):
    def assertFinds(self, model, field, text, expected):
        found = self.env[model].with_user(self.user).search([(field, "ilike", text)])
        self.assertEqual(found & expected, expected if expected else found.browse(), text)
        return found

    def test_by_name_number_and_address(self):
        row = self._row()
        email = self._row(channel="email", email="ani@example.com", partner_id=False, template_key=False)
        other = self._row(partner_id=self._partner("Budi", "0812 0000 0002").id)
        self.drain()
        for text in ("Ani", "081200000001", "0812-0000-0001", "+62 812 0000 0001", "200000001"):
            found = self.assertFinds("sicantik.notification.queue", "address", text, row)
            self.assertFalse(found & other, text)
        self.assertFinds("sicantik.notification.queue", "address", "ani@example", email)
        log = self.logs.search([("queue_id", "=", row.id)])
        self.assertFinds("sicantik.notification.log", "address", "0812 0000 0001", log)
        self.assertFalse(self.queue.search([("address", "not ilike", "Ani"), ("id", "=", row.id)]))

    def test_by_record(self):
        permit = self._permit(permit_number="503/7777")
        document = self.env["sicantik.document"].create({"name": "Plan of 7777", "permit_id": permit.id})
        row, other = self._row(permit_id=permit.id), self._row()
        of_document = self._row(document_id=document.id)
        self.drain()
        for model, of in (
            ("sicantik.notification.queue", lambda one: one),
            ("sicantik.notification.log", lambda one: self.logs.search([("queue_id", "=", one.id)])),
        ):
            found = self.assertFinds(model, "subject_name", "503/7777", of(row))
            self.assertFalse(found & of(other))
            self.assertFinds(model, "subject_name", "Plan of 7777", of(of_document))

    def test_my_permits(self):
        mine, other = self._permit(responsible_id=self.user.id), self._permit()
        rows = self._row(permit_id=mine.id), self._row(permit_id=other.id)
        self.assertIn(rows[0], self._filter("mine"))
        self.assertNotIn(rows[1], self._filter("mine"))

    def test_needs_attention(self):
        expected = [
            self._row(state="failed", error_class="interrupted"),
            self._row(state="skipped", error_class="no_number"),
        ]
        others = [self._row(), self._row(state="skipped", error_class="blacklisted"), self._row(state="sent")]
        found = self._filter("attention")
        self.assertTrue(all(row in found for row in expected))
        self.assertFalse(any(row in found for row in others))

    def _filter(self, name):
        """Search with a filter of the queue's search view, as the user."""
        arch = self.env.ref(f"{MODULE}.sicantik_notification_queue_view_search").arch
        (node,) = html.fromstring(arch.encode()).xpath(f"//filter[@name='{name}']")
        return self.queue.with_user(self.user).search(safe_eval(node.get("domain"), {"uid": self.user.id}))


class TestTrouble(MonitoringCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.manager = new_test_user(cls.env, "manager_test", groups=f"{MODULE}.group_notification_manager")
        cls.trouble = cls.env["sicantik.notification.trouble"]

    def look(self):
        self.env["sicantik.notification.campaign"].cron_process_campaign_batch()
        self.env.invalidate_all()

    def told(self, record):
        type_id = self.env.ref(f"{MODULE}.mail_activity_type_trouble").id
        return record.activity_ids.filtered(
            lambda activity: activity.activity_type_id.id == type_id and activity.user_id == self.manager
        )

    def interrupted(self, count=1):
        vals = {"state": "failed", "error_class": errors.INTERRUPTED, "provider_id": self.fonnte.id}
        return self.queue.concat(*(self._row(**vals) for _i in range(count)))

    def test_one_for_many_messages(self):
        rows = self.interrupted(5)
        self.look()
        self.look()
        self.assertEqual(len(self.told(self.fonnte)), 1)
        rows[0].action_retry()
        self.look()
        self.assertEqual(len(self.told(self.fonnte)), 1, "four are left")
        rows[1:].action_retry()
        self.look()
        self.assertFalse(self.told(self.fonnte), "mended")

    def test_it_goes_with_the_addon(self):
        self.interrupted()
        self.look()
        told = self.told(self.fonnte)
        uninstall_hook(self.env)
        self.assertFalse(told.exists(), "or the type of the activity could not be deleted")

    def test_done_is_done_until_it_happens_again(self):
        with freeze_time("2026-05-01 10:00:00"):
            self.interrupted()
            self.look()
            self.told(self.fonnte).action_done()
            self.look()
            self.assertFalse(self.told(self.fonnte))
        with freeze_time("2026-05-01 11:00:00"):
            self.interrupted()
            self.look()
            self.assertEqual(len(self.told(self.fonnte)), 1)

    def test_failing_rule(self):
        self.rule.condition_python = "1 / 0"
        permit = self._permit()
        self.commit()
        permit.state = "approved"
        with self.assertLogs(f"odoo.addons.{MODULE}.models.sicantik_notification_evaluation", "ERROR"):
            self.commit()
        self.assertTrue(self.rule.last_error)
        self.look()
        self.assertEqual(len(self.told(self.rule)), 1)
        self.rule.condition_python = False
        other = self._permit()
        self.commit()
        other.state = "approved"
        self.commit()
        self.look()
        self.assertFalse(self.told(self.rule))

    def test_other_companies_are_not_bothered(self):
        self.fonnte.company_id = self.env["res.company"].create({"name": "Other office"})
        self.interrupted()
        self.look()
        self.assertFalse(self.told(self.fonnte))

    def test_the_scheduled_action_goes_on(self):
        def broken(this):
            raise ValueError

        with (
            patch.object(type(self.trouble), "_compare", broken),
            self.assertLogs(f"odoo.addons.{MODULE}.models.sicantik_notification_trouble", "ERROR"),
        ):
            self.look()
