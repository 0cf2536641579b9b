"""Permits and documents in the office: the buttons that move them, and what was sent about them."""

from odoo import Command
from odoo.exceptions import AccessError, UserError
from odoo.tests import Form
from odoo.tools.safe_eval import safe_eval

from .common import NotificationCase
from .test_security import MODULE, SecurityCase

PERMIT, DOCUMENT = "sicantik.permit", "sicantik.document"


class TestStateButtons(SecurityCase):
    def test_the_usual_way_of_a_permit(self):
        permit = self._permit().with_user(self.users["staff"])
        for button, state in (
            ("action_submit", "submitted"),
            ("action_start_processing", "processing"),
            ("action_approve", "approved"),
            ("action_activate", "active"),
            ("action_expire", "expired"),
            ("action_renew", "renewed"),
        ):
            self.rpc("staff", PERMIT, button, permit.ids)
            self.assertEqual(permit.state, state)

    def test_the_usual_way_of_a_document(self):
        document = self.env[DOCUMENT].create({"name": "Form"})
        for name, button, state in (
            ("staff", "action_upload", "uploaded"),
            ("staff", "action_request_signature", "pending_signature"),
            ("official", "action_sign", "signed"),
            ("official", "action_verify", "verified"),
            ("official", "action_approve", "approved"),
        ):
            self.rpc(name, DOCUMENT, button, document.ids)
            self.env.flush_all()  # each press is a request of its own
            self.assertEqual(document.state, state)
        self.assertTrue(document.signature_date)

    def test_rejected_and_back(self):
        permit = self._permit(state="processing")
        permit.action_reject()
        permit.action_reset_to_draft()
        permit.action_cancel()
        permit.action_reset_to_draft()
        self.assertEqual(permit.state, "draft")

    def test_a_button_leads_from_certain_states_only(self):
        """Also when it is pressed for several, and on a page that is not up to date."""
        permits = self._permit(state="processing") + self._permit(state="expired")
        with self.assertRaisesRegex(UserError, "Expired"):
            permits.action_approve()
        self.assertEqual(permits.mapped("state"), ["processing", "expired"])

    def test_every_button_is_shown_exactly_where_it_works(self):
        """For each state: the buttons that the form shows move the record, the others refuse."""
        for model in (PERMIT, DOCUMENT):
            form = Form(self.env[model])
            tree = form._view["tree"]
            buttons = {}
            for node in tree.xpath("/form/header/button[@type='object']"):
                buttons.setdefault(node.get("name"), []).append(node.get("invisible"))
            for state in self.env[model]._fields["state"].get_values(self.env):
                for button, conditions in buttons.items():
                    shown = not all(self._is_invisible(one, state) for one in conditions)
                    record = self.env[model].create({"name": "Form"} if model == DOCUMENT else {})
                    record.state = state
                    with self.subTest(f"{model} {state} {button}"):
                        if shown:
                            getattr(record, button)()
                            self.assertNotEqual(record.state, state)
                        elif (button, state) not in EARLY:
                            self.assertRaises(UserError, getattr(record, button))

    def _is_invisible(self, condition, state):
        return safe_eval(condition, {"id": 1, "state": state})

    def test_one_usual_next_step(self):
        """No state offers two primary buttons."""
        for model in (PERMIT, DOCUMENT):
            nodes = Form(self.env[model])._view["tree"].xpath("/form/header/button[@class='btn-primary']")
            for state in self.env[model]._fields["state"].get_values(self.env):
                shown = [node for node in nodes if not self._is_invisible(node.get("invisible"), state)]
                self.assertLessEqual(len(shown), 1, f"{model} {state}")

    def test_who_may_not(self):
        permit = self._permit(state="processing")
        for name in ("user", "employee", "portal"):
            self.assertRefused(name, PERMIT, "action_approve", permit.ids)
        other = self._permit(
            state="processing", company_id=self.env["res.company"].create({"name": "Other office"}).id
        )
        self.assertRefused("staff", PERMIT, "action_approve", other.ids)
        self.assertEqual((permit + other).mapped("state"), ["processing"] * 2)

    def test_a_button_fires_the_trigger(self):
        trigger = self._trigger("test_state", state_to="approved")
        self._rule(trigger)
        permit = self._permit(state="processing")
        self.commit()
        permit.with_user(self.users["staff"]).action_approve()
        self.commit()
        self.assertQueued(self.partner, template_key="test_ready")

    def test_columns_of_the_kanban(self):
        """The usual states have a column also when empty; the ends of the road when something is there."""
        permits = self.env[PERMIT]
        self.assertEqual(permits._fields["state"].group_expand, "_expand_states")
        self.assertEqual(
            permits._expand_states(["rejected", "approved"], []),
            ["draft", "submitted", "processing", "approved", "active", "rejected"],
        )


# Buttons that work a step early by purpose, though the form offers the usual one there.
EARLY = {
    ("action_approve", "submitted"),
    ("action_renew", "approved"),
    ("action_expire", "approved"),
}


class TestMessagesOfARecord(SecurityCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.permit = cls._permit()
        cls.document = cls.env[DOCUMENT].create({"name": "Form", "permit_id": cls.permit.id})
        cls.rows_of_permit = cls.queue.create(
            [cls._about(cls.permit), cls._about(cls.permit), cls._about(cls.document)]
        )

    @classmethod
    def _about(cls, record, **vals):
        return {
            "partner_id": cls.partner.id,
            "template_key": "test_ready",
            "res_model": record._name,
            "res_id": record.id,
            **vals,
        }

    def test_count_and_tab(self):
        """A permit shows the messages about its documents too; newest first."""
        self.assertEqual((self.permit.notification_count, self.document.notification_count), (3, 1))
        self.assertEqual(self.permit.notification_ids.ids, self.rows_of_permit.ids[::-1])
        self.assertEqual(self.document.notification_ids, self.rows_of_permit[2])

    def test_count_equals_the_list_behind_it(self):
        action = self.env.ref(f"{MODULE}.sicantik_notification_queue_action_permit")
        domain = [("permit_id", "=", self.permit.id)]
        self.assertEqual(action.domain, "[('permit_id', '=', active_id)]")
        self.assertEqual(self.queue.search_count(domain), self.permit.notification_count)

    def test_archived_documents_count(self):
        self.document.active = False
        self.permit.invalidate_recordset()
        self.assertEqual(self.permit.notification_count, 3)

    def test_counts_of_many_in_few_queries(self):
        permits = self.permit + self.env[PERMIT].create([{} for _number in range(50)])
        self.queue.create([self._about(permit) for permit in permits[1:]])
        self.env.flush_all()
        self.env.invalidate_all()
        with self.assertQueryCount(2):
            self.assertEqual(permits.mapped("notification_count"), [3] + [1] * 50)

    def test_a_thousand_messages_are_not_read(self):
        self.queue.create([self._about(self.permit) for _number in range(150)])
        self.permit.invalidate_recordset()
        self.assertEqual((len(self.permit.notification_ids), self.permit.notification_count), (100, 153))

    def test_new_record(self):
        for model in (PERMIT, DOCUMENT):
            self.assertFalse(self.env[model].new({}).notification_ids)
            self.assertEqual(self.env[model].new({}).notification_count, 0)

    def test_own_company_only(self):
        company = self.env["res.company"].create({"name": "Other office"})
        self.queue.create(self._about(self.permit, company_id=company.id))
        permit = self.permit.with_user(self.users["user"])
        self.assertEqual((permit.notification_count, len(permit.notification_ids)), (3, 3))

    def test_who_may_not(self):
        for name in ("staff", "official"):
            for field in ("notification_count", "notification_ids"):
                self.assertRefused(name, PERMIT, "read", self.permit.ids, [field])

    def test_forms_of_each_role(self):
        """What a role may not use is not in its form, and the form opens all the same."""
        for name, sees in (("staff", False), ("official", False), ("user", True), ("manager", True)):
            for record in (self.permit, self.document):
                with self.subTest(f"{name} {record._name}"):
                    fields = self._form_fields(name, record)
                    self.assertEqual("notification_ids" in fields, sees)
                    self.rpc(name, record._name, "read", record.ids, fields)

    def _form_fields(self, name, record):
        view = self.rpc(name, record._name, "get_views", [(False, "form")])
        model = view["models"][record._name]
        return list(model.get("fields", model))  # Odoo 19 tells more of the model than its fields

    def test_delivery_state(self):
        first, second, _third = self.rows_of_permit
        self.logs._record(
            [
                {"queue_id": first.id, "state": "sent", "delivery_state": "read"},
                {"queue_id": first.id, "state": "failed"},
                {"queue_id": second.id, "state": "sent", "delivery_state": "accepted"},
                {"queue_id": second.id, "state": "sent", "delivery_state": "failed"},
            ]
        )
        self.env.invalidate_all()
        rows = self.rows_of_permit
        rows.mapped("state")
        with self.assertQueryCount(1):
            self.assertEqual(rows.mapped("delivery_state"), ["read", "failed", False])


class TestNotes(NotificationCase):
    """A rule may have its sent messages noted on the record."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls._provider("fonnte")
        cls.trigger = cls._trigger("test_manual", trigger_type="manual")
        cls.rule = cls._rule(cls.trigger, name="Tell the applicant", post_note=True)
        cls.permit = cls._permit()

    def _fire(self, records):
        self.env["sicantik.notification.trigger"].fire("test_manual", records)
        self.drain()

    def _notes(self, record):
        return record.message_ids.filtered(lambda one: "Tell the applicant" in one.body)

    def test_sent(self):
        self._fire(self.permit)
        (note,) = self._notes(self.permit)
        self.assertIn("Ani", note.body)
        self.assertIn("Fonnte", note.body)
        self.assertNotIn("812000", note.body)
        self.assertEqual(note.subtype_id, self.env.ref("mail.mt_note"))
        self.assertFalse(note.notification_ids)

    def test_off_by_default(self):
        self.rule.post_note = (
            self.env["sicantik.notification.rule"].default_get(["post_note"]).get("post_note")
        )
        self._fire(self.permit)
        self.assertEqual(len(self.gateway.messages()), 1)
        self.assertFalse(self._notes(self.permit))

    def test_only_what_was_sent(self):
        self.gateway.fault("fonnte", "http:500")
        self._fire(self.permit)
        self.assertFalse(self._notes(self.permit))

    def test_names_are_escaped(self):
        self.partner.name = "<b>Ani</b>"
        self._fire(self.permit)
        self.assertIn("&lt;b&gt;Ani", self._notes(self.permit).body)

    def test_several_recipients(self):
        group = self.env["res.groups"].create({"name": "Inspectors"})
        for name, number in (("Rina", "081200000021"), ("Tono", "081200000022")):
            partner = self._partner(name, number)
            self.env["res.users"].create(
                {
                    "name": name,
                    "login": name,
                    "partner_id": partner.id,
                    "groups_id": [Command.link(group.id)],
                }
            )
        self.rule.write({"recipient_type": "staff", "staff_group_id": group.id})
        self._fire(self.permit)
        self.assertEqual(len(self.gateway.messages()), 2)
        text = "".join(self._notes(self.permit).mapped("body"))
        self.assertIn("Rina", text)
        self.assertIn("Tono", text)

    def test_failing_notes_cost_nothing_else(self):
        """Whatever goes wrong while notes are posted, the message is settled as sent, once."""
        model = type(self.env["mail.thread"])
        original = model._message_log_batch

        def broken(records, *args, **kwargs):
            records.env.cr.execute("SELECT 1 / 0")

        self.addCleanup(setattr, model, "_message_log_batch", original)
        model._message_log_batch = broken
        with self.assertLogs(f"odoo.addons.{MODULE}.models.sicantik_notification_note", "ERROR"):
            with self.assertLogs("odoo.sql_db", "ERROR"):
                self._fire(self.permit)
        row = self.rows(rule_id=self.rule.id)
        self.assertEqual(row.state, "sent")
        self.assertEqual(len(self.gateway.messages()), 1)
        self.assertFalse(self._notes(self.permit))

    def test_a_record_without_a_chatter(self):
        self._trigger("test_type", model="sicantik.permit.type", trigger_type="manual")
        row = self._row(rule_id=self.rule.id, res_model="sicantik.permit.type", res_id=1)
        self.drain()
        self.assertEqual(row.state, "sent")

    def test_many_in_few_queries(self):
        """Notes of a batch are made together: each one more costs an insert at most."""
        permits = self.env[PERMIT].create([{"partner_id": self.partner.id} for _number in range(40)])
        rows = self.queue.create(
            [
                {
                    "rule_id": self.rule.id,
                    "partner_id": self.partner.id,
                    "res_model": PERMIT,
                    "res_id": permit.id,
                    "template_key": "test_ready",
                }
                for permit in permits
            ]
        )
        rows.write({"state": "sent"})
        self.env.flush_all()
        self.env.invalidate_all()
        before = self.env.cr.sql_log_count
        self.env["sicantik.notification.note"]._post(rows.ids)
        self.assertLess(self.env.cr.sql_log_count - before, 40)
        self.assertEqual([len(self._notes(permit)) for permit in permits], [1] * 40)


class TestAccessOfArchived(SecurityCase):
    def test_archived_permit(self):
        """An archived permit keeps its messages and can still be written about."""
        permit = self._permit(active=False)
        self._row(res_model=PERMIT, res_id=permit.id)
        self.assertEqual(permit.with_user(self.users["user"]).notification_count, 1)
        with self.assertRaises(AccessError):
            permit.with_user(self.users["employee"]).read(["state"])
