"""Sending to records that were selected in a list: the outlook, the campaign, rules that people run."""

from odoo.exceptions import AccessError, UserError
from odoo.tests import Form, new_test_user
from odoo.tools import mute_logger

from .. import uninstall_hook
from ..wizards import sicantik_notification_selection_wizard as selection
from .common import NotificationCase

EVALUATION = "odoo.addons.sicantik_notification_automation.models.sicantik_notification_evaluation"
GROUP = "sicantik_notification_automation.group_notification_"
WIZARD = "sicantik.notification.selection.wizard"


class SelectionCase(NotificationCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls._provider("fonnte")
        cls.trigger = cls._trigger("by_hand", trigger_type="manual")
        cls.rule = cls._rule(cls.trigger)
        cls.permits = cls.env["sicantik.permit"].create(
            [
                {
                    "partner_id": cls._partner(f"Applicant {n}", f"0812000000{n}").id,
                    "permit_number": f"Selected {n}",
                    "state": "approved",
                }
                for n in range(30, 35)
            ]
        )
        cls.manager = new_test_user(cls.env, "selection_manager", groups=f"{GROUP}manager")
        cls.user = new_test_user(cls.env, "selection_user", groups=f"{GROUP}user")

    def open_for(self, records, user=None, **context):
        """Open the window as the Action menu does."""
        wizards = self.env[WIZARD].with_user(user or self.manager)
        return Form(
            wizards.with_context(active_model=records._name, active_ids=records.ids, **context),
            view="sicantik_notification_automation.sicantik_notification_selection_wizard_view_form",
        )

    def books(self):
        """Count all that a look must not leave behind."""
        names = ("queue", "log", "campaign", "rule", "trigger", "execution")
        return [
            self.env[f"sicantik.notification.{name}"].with_context(active_test=False).search_count([])
            for name in names
        ]

    def campaign_of(self, action):
        return self.env[action["res_model"]].browse(action["res_id"])


class TestSelection(SelectionCase):
    def test_from_the_selection_to_the_campaign(self):
        self.permits[0].partner_id.whatsapp_number = False
        self.env["sicantik.notification.blacklist"].create(
            {"phone_number": "081200000031", "reason": "asked"}
        )
        self.commit()
        before = self.books()
        form = self.open_for(self.permits)
        self.assertEqual((form.selected_count, form.target_count, bool(form.outlook)), (5, 0, False))
        form.rule_id = self.rule
        self.assertEqual(form.name, self.rule.name)
        self.assertEqual((form.target_count, form.send_count, form.skip_count, form.fail_count), (5, 3, 2, 0))
        found = [(line["kind"], line["text"], line["count"]) for line in form.outlook]
        expected = [("send", "Fonnte", 3), ("skip", "No Usable Number", 1), ("skip", "Blacklisted", 1)]
        self.assertEqual(found, expected)
        self.assertIn("Applicant 31", form.outlook[2]["samples"][0])
        self.commit()
        self.assertEqual(self.books(), before, "looking leaves nothing")
        campaign = self.campaign_of(form.save().action_start())
        self.assertEqual((campaign.state, campaign.total_targets), ("running", 5))
        self.assertEqual(campaign.target_domain, str([("id", "in", self.permits.ids)]))
        self.drain()
        self.assertEqual((campaign.total_sent, campaign.total_skipped, campaign.state), (3, 2, "completed"))

    def test_draft_and_schedule(self):
        form = self.open_for(self.permits)
        form.rule_id = self.rule
        form.name = "Later"
        form.scheduled_date = "2099-01-01 08:00:00"
        wizard = form.save()
        draft = self.campaign_of(wizard.action_draft())
        self.assertEqual((draft.name, draft.state, draft.user_id), ("Later", "draft", self.manager))
        self.assertEqual(self.campaign_of(wizard.action_start()).state, "scheduled")

    def test_pressed_twice_it_is_one_campaign(self):
        form = self.open_for(self.permits)
        form.rule_id = self.rule
        wizard = form.save()
        first = self.campaign_of(wizard.action_start())
        self.assertEqual(self.campaign_of(wizard.action_start()), first)
        self.drain()
        self.assertEqual(len(self.gateway.messages()), 5)

    def test_a_template_is_enough(self):
        contacts = self.permits[:2].partner_id
        self.commit()
        before = self.books()
        form = self.open_for(contacts)
        form.template_id = self.template
        self.assertEqual(form.name, "Ready")
        self.assertEqual((form.target_count, form.fail_count), (2, 2))
        self.assertIn("permit_number", str(form.outlook), "a contact has none")
        self.assertEqual(self.books(), before)
        self.template.write({"parameter_list": ["partner_name"], "body_preview": "Dear {{partner_name}}"})
        form = self.open_for(contacts)
        form.template_id = self.template
        self.assertEqual((form.target_count, form.send_count), (2, 2))
        first = self.campaign_of(form.save().action_draft())
        rule = first.rule_id
        self.assertEqual((rule.model_name, rule.template_key), ("res.partner", "test_ready"))
        self.assertEqual(rule.trigger_id.trigger_type, "manual", "it sends nothing by itself")
        form = self.open_for(contacts)
        form.template_id = self.template
        self.assertEqual(self.campaign_of(form.save().action_start()).rule_id, rule, "made once")
        self.drain()
        self.assertEqual(len(self.gateway.messages()), 2)

    def test_another_template_for_a_rule(self):
        other = self.template.copy({"template_key": "test_other", "name": "Other"})
        form = self.open_for(self.permits)
        form.rule_id = self.rule
        form.template_id = other
        campaign = self.campaign_of(form.save().action_start())
        self.assertEqual((campaign.rule_id, campaign.template_key), (self.rule, "test_other"))
        self.assertEqual(set(self.rows(campaign_id=campaign.id).mapped("template_key")), {"test_other"})

    def test_who_is_left_out_is_told(self):
        self.permits[0].active = False
        self.permits[1].company_id = self.env["res.company"].create({"name": "Elsewhere"})
        admin = self.env.ref("base.user_admin")
        admin.company_ids += self.permits[1].company_id
        form = self.open_for(self.permits, admin)
        form.rule_id = self.rule
        self.assertEqual((form.selected_count, form.target_count, form.left_out_count), (5, 3, 2))

    def test_many_are_estimated(self):
        self.patch(selection, "LOOK_AT", 2)
        form = self.open_for(self.permits)
        form.rule_id = self.rule
        self.assertEqual((form.target_count, form.send_count, form.is_estimate), (5, 5, True))

    def test_more_than_odoo_hands_over(self):
        """Who selects all of a search that finds more gets all, not the first twenty thousand."""
        self.env["ir.config_parameter"].set_param("web.active_ids_limit", "2")
        domain = [["permit_number", "like", "Selected"], ["active", "=", True]]
        form = self.open_for(self.permits[:2], active_domain=domain)
        self.assertEqual(form.selected_count, 5)
        form.rule_id = self.rule
        campaign = self.campaign_of(form.save().action_start())
        self.assertEqual((campaign.total_targets, campaign.target_domain), (5, str(domain)))

    @mute_logger(EVALUATION)
    def test_what_cannot_work_is_said(self):
        form = self.open_for(self.permits)
        form.rule_id = self.rule
        self.rule.condition_python = False
        self.rule.write({"recipient_type": "field", "recipient_field": "partner_id"})
        self.env.cr.execute("UPDATE sicantik_notification_rule SET recipient_field = 'nowhere'")
        self.env.invalidate_all()
        form.template_id = self.template
        self.assertEqual((form.send_count, form.fail_count), (0, 5))
        self.assertIn("The rule fails", form.outlook[0]["text"])

    @mute_logger(EVALUATION)
    def test_what_cannot_be_tried_is_said(self):
        form = self.open_for(self.permits)
        self.rule.trigger_id = self._trigger("elsewhere", model="sicantik.document", trigger_type="manual")
        form.rule_id = self.rule
        self.assertIn("is for sicantik.document", form.trouble)
        self.assertEqual(form.send_count, 0)

    def test_neither_rule_nor_template(self):
        wizard = self.env[WIZARD].create({"target_model": "sicantik.permit", "name": "Nothing"})
        with self.assertRaisesRegex(UserError, "Choose a rule, or a template"):
            wizard.action_start()


class TestRuleMenu(SelectionCase):
    def entries(self, model, user):
        bindings = self.env["ir.actions.actions"].with_user(user).get_bindings(model)
        return [one["name"] for one in bindings.get("action", ())]

    def test_out_of_the_box(self):
        for model in ("sicantik.permit", "sicantik.document", "res.partner"):
            with self.subTest(model):
                self.assertIn("Send Campaign…", self.entries(model, self.manager))
                self.assertNotIn("Send Campaign…", self.entries(model, self.user))

    def test_added_and_removed(self):
        name = f"Send WhatsApp: {self.rule.name}"
        self.assertNotIn(name, self.entries("sicantik.permit", self.user))
        self.rule.action_add_to_menu()
        self.rule.action_add_to_menu()
        self.assertEqual(self.entries("sicantik.permit", self.user).count(name), 1)
        self.rule.name = "Other"
        self.assertIn("Send WhatsApp: Other", self.entries("sicantik.permit", self.user))
        self.rule.action_remove_from_menu()
        self.assertNotIn("Send WhatsApp: Other", self.entries("sicantik.permit", self.user))
        self.assertFalse(self.rule.in_action_menu)

    def test_for_managers_when_it_is_a_campaign(self):
        rule = self._rule(self._trigger("by_itself"), name="By itself")
        rule.action_add_to_menu()
        self.assertIn("Send WhatsApp: By itself", self.entries("sicantik.permit", self.manager))
        self.assertNotIn("Send WhatsApp: By itself", self.entries("sicantik.permit", self.user))

    def test_it_moves_with_the_rule_and_goes_with_it(self):
        name = f"Send WhatsApp: {self.rule.name}"
        self.rule.action_add_to_menu()
        trigger = self._trigger("contacts_by_hand", model="res.partner", trigger_type="manual")
        self.rule.trigger_id = trigger
        self.assertNotIn(name, self.entries("sicantik.permit", self.user))
        self.assertIn(name, self.entries("res.partner", self.user))
        trigger.unlink()  # the database deletes its rules, which are not asked
        self.env.invalidate_all()
        self.assertNotIn(name, self.entries("res.partner", self.user))

    def test_it_goes_with_the_addon(self):
        self.rule.action_add_to_menu()
        entry = self.rule.menu_action_ids
        uninstall_hook(self.env)
        self.assertFalse(entry.exists())

    def test_not_by_users(self):
        for action in ("action_add_to_menu", "action_remove_from_menu"):
            with self.assertRaises(AccessError):
                getattr(self.rule.with_user(self.user), action)()

    def test_a_rule_of_other_records(self):
        with self.assertRaisesRegex(UserError, "other records"):
            self.open_for(self.partner, default_rule_id=self.rule.id)


class TestManualRule(SelectionCase):
    def test_a_user_runs_it(self):
        self.rule.condition_domain = "[('permit_number', '!=', 'Selected 30')]"
        form = self.open_for(self.permits, self.user, default_rule_id=self.rule.id)
        self.assertEqual((form.may_run, form.may_plan, form.send_count), (True, False, 5))
        wizard = form.save()
        action = wizard.action_run()
        rows = self.assertQueued(self.permits[1:].partner_id, rule_id=self.rule.id)
        self.assertEqual(self.queue.search(action["domain"]), rows.sorted("id", reverse=True))
        self.assertFalse(self.env["sicantik.notification.campaign"].search([("rule_id", "=", self.rule.id)]))
        with self.assertRaisesRegex(UserError, "told already"):
            wizard.action_run()
        self.assertEqual(len(self.rows(rule_id=self.rule.id)), 4, "pressed twice, it sends once")

    def test_from_the_rule_for_whom_the_domain_finds(self):
        action = self.rule.with_user(self.user).action_open_selection()
        form = Form(self.env[WIZARD].with_user(self.user).with_context(**action["context"]))
        self.assertEqual((form.target_model, form.selected_count), ("sicantik.permit", 0))
        form.target_domain = "[('permit_number', 'like', 'Selected')]"
        self.assertEqual(form.send_count, 5)
        form.save().action_run()
        self.assertEqual(len(self.rows(rule_id=self.rule.id)), 5)

    def test_a_user_sends_no_campaign(self):
        wizard = self.open_for(self.permits, self.user, default_rule_id=self.rule.id).save()
        for action in ("action_start", "action_draft"):
            with self.assertRaises(AccessError):
                getattr(wizard, action)()
            with self.assertRaises(AccessError):
                getattr(wizard.with_context(sicantik_look=True), action)()

    def test_only_what_the_user_may_read(self):
        self.permits[0].company_id = self.env["res.company"].create({"name": "Elsewhere"})
        self.env.flush_all()
        with self.assertRaises(AccessError):
            self.open_for(self.permits, self.user)
        domain = "[('permit_number', 'like', 'Selected')]"
        wizards = self.env[WIZARD].with_user(self.user)
        values = {"target_model": "sicantik.permit", "target_domain": domain, "name": "N"}
        wizards.create({**values, "rule_id": self.rule.id}).action_run()
        self.assertEqual(self.rows(rule_id=self.rule.id).mapped("res_id"), self.permits[1:].ids)
        looked = wizards._look("sicantik.permit", domain, self.rule.id, False, 0)
        self.assertEqual(looked["target_count"], 4)

    def test_not_by_strangers(self):
        stranger = new_test_user(self.env, "selection_stranger", groups="base.group_user")
        with self.assertRaises(AccessError):
            self.open_for(self.permits, stranger)
        wizard = self.open_for(self.permits, self.user, default_rule_id=self.rule.id).save()
        with self.assertRaises(AccessError):
            wizard.with_user(stranger).action_run()
        other = new_test_user(self.env, "selection_other", groups=f"{GROUP}user")
        with self.assertRaises(AccessError):
            wizard.with_user(other).read(["target_domain"])

    def test_others_are_refused(self):
        rule = self._rule(self._trigger("by_itself"))
        wizard = self.env[WIZARD].create({"target_model": "sicantik.permit", "rule_id": rule.id, "name": "N"})
        with self.assertRaisesRegex(UserError, "manual trigger"):
            wizard.action_run()
        self.rule.condition_domain = "[('id', '=', 0)]"
        wizard.rule_id = self.rule
        with self.assertRaisesRegex(UserError, "No record meets"):
            wizard.action_run()
