"""Calls from other addons, and what a trigger accepts and counts."""

from psycopg2 import IntegrityError

from odoo.exceptions import AccessError, ValidationError
from odoo.tests import new_test_user
from odoo.tools import mute_logger

from .common import NotificationCase

MODULE = "sicantik_notification_automation"
EVALUATION = f"odoo.addons.{MODULE}.models.sicantik_notification_evaluation"
RESULT = {"processed", "trigger_id", "rules_processed", "queue_ids", "count"}


class TriggerCase(NotificationCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.triggers = cls.env["sicantik.notification.trigger"]
        cls.manual = cls._trigger("test_manual", trigger_type="manual")
        cls.state = cls._trigger("test_state", state_from="draft, submitted", state_to="approved")
        cls.manual_rule = cls._rule(cls.manual)
        cls.state_rule = cls._rule(cls.state)

    def assertProcessed(self, result, trigger, rules, rows):
        """Assert the whole result of a call that fired."""
        self.assertEqual(
            result,
            {
                "processed": True,
                "trigger_id": trigger.id,
                "rules_processed": rules.ids,
                "queue_ids": rows.ids,
                "count": len(rows),
            },
        )

    def assertNotProcessed(self, result, reason):
        """Assert the whole result of a call that did not fire, and that it says why."""
        self.assertEqual(set(result), RESULT | {"reason"})
        self.assertIn(reason, result["reason"])
        self.assertEqual(
            (result["processed"], result["rules_processed"], result["queue_ids"], result["count"]),
            (False, [], [], 0),
        )
        self.assertFalse(self.rows())


class TestFire(TriggerCase):
    def test_manual(self):
        result = self.triggers.fire("test_manual", self._permit())
        self.assertProcessed(result, self.manual, self.manual_rule, self.assertQueued(self.partner))

    def test_api(self):
        trigger = self._trigger("test_api", trigger_type="api")
        rule = self._rule(trigger)
        result = self.triggers.fire("test_api", self._permit())
        self.assertProcessed(result, trigger, rule, self.assertQueued(self.partner))

    def test_many_records(self):
        permits = self._permit() + self._permit() + self._permit()
        result = self.triggers.fire("test_manual", permits)
        self.assertEqual(result["count"], 3)
        self.assertEqual(self.rows().permit_id, permits)

    def test_rules_in_their_order(self):
        first = self._rule(self.manual, name="First", sequence=1)
        self._rule(self.manual, name="Archived", active=False)
        result = self.triggers.fire("test_manual", self._permit())
        self.assertEqual(result["rules_processed"], (first + self.manual_rule).ids)

    def test_trigger_without_rules(self):
        self.manual_rule.active = False
        result = self.triggers.fire("test_manual", self._permit())
        self.assertProcessed(result, self.manual, self.manual.rule_ids.browse(), self.queue)

    # === REASONS ===#

    def test_unknown_code(self):
        self.assertNotProcessed(self.triggers.fire("no_such_code", self._permit()), "no_such_code")

    def test_archived_trigger(self):
        self.manual.active = False
        self.assertNotProcessed(self.triggers.fire("test_manual", self._permit()), "archived")

    def test_trigger_that_fires_on_its_own(self):
        self.assertNotProcessed(self.triggers.fire("test_state", self._permit()), "fires on its own")

    def test_records_of_another_model(self):
        result = self.triggers.fire("test_manual", self.partner)
        self.assertNotProcessed(result, "sicantik.permit")
        self.assertIn("res.partner", result["reason"])

    def test_no_record(self):
        result = self.triggers.fire("test_manual", self.env["sicantik.permit"])
        self.assertNotProcessed(result, "No record")

    def test_condition_that_no_record_meets(self):
        self.manual.condition_domain = "[('state', '=', 'approved')]"
        self.assertNotProcessed(self.triggers.fire("test_manual", self._permit()), "condition")

    def test_condition_that_some_records_meet(self):
        self.manual.condition_domain = "[('state', '=', 'approved')]"
        permit = self._permit(state="approved")
        self.triggers.fire("test_manual", permit + self._permit())
        self.assertEqual(self.rows().permit_id, permit)

    def test_faulty_condition(self):
        self.env.cr.execute(
            "UPDATE sicantik_notification_trigger SET condition_domain = '1 +' WHERE id = %s",
            [self.manual.id],
        )
        self.manual.invalidate_recordset()
        with mute_logger(EVALUATION):
            result = self.triggers.fire("test_manual", self._permit())
        self.assertNotProcessed(result, "SyntaxError")
        self.assertIn("SyntaxError", self.manual.last_error)


class TestProcessTrigger(TriggerCase):
    def _process(self, records, code="test_state", **kwargs):
        return self.triggers._process_trigger(code, records, **kwargs)

    def test_call_of_the_contract(self):
        result = self._process(self._permit(), old_state="draft", new_state="approved")
        self.assertProcessed(result, self.state, self.state_rule, self.assertQueued(self.partner))

    def test_any_type_of_trigger(self):
        for trigger_type in ("on_create", "on_write", "cron", "manual", "api"):
            with self.subTest(trigger_type):
                self._rule(self._trigger(f"test_{trigger_type}_1", trigger_type=trigger_type))
                self.assertEqual(self._process(self._permit(), f"test_{trigger_type}_1")["count"], 1)

    def test_change_that_the_trigger_is_not_for(self):
        for old, new in (("processing", "approved"), ("draft", "submitted"), ("approved", "draft")):
            with self.subTest(f"{old} → {new}"):
                result = self._process(self._permit(), old_state=old, new_state=new)
                self.assertNotProcessed(result, "not one that the trigger is for")

    def test_state_before_is_not_known(self):
        """What the caller does not say cannot speak against it."""
        self.assertEqual(self._process(self._permit(), new_state="approved")["count"], 1)
        self.assertNotIn("reason", self._process(self._permit(), old_state="submitted"))

    def test_no_state_is_known(self):
        self.assertEqual(self._process(self._permit())["count"], 1)

    def test_states_are_there_for_the_conditions(self):
        self.state_rule.condition_python = "(old_state, new_state) == ('draft', 'approved')"
        self.assertEqual(self._process(self._permit(), old_state="draft", new_state="approved")["count"], 1)
        self.assertEqual(
            self._process(self._permit(), old_state="submitted", new_state="approved")["count"], 0
        )

    def test_unknown_code(self):
        self.assertNotProcessed(self._process(self._permit(), "no_such_code"), "no_such_code")


class TestSameEvent(TriggerCase):
    def test_each_call_is_an_event_of_its_own(self):
        permit = self._permit()
        self.triggers.fire("test_manual", permit)
        self.triggers.fire("test_manual", permit)
        self.assertEqual(len(self.rows()), 2)

    def test_event_key_across_transactions(self):
        permit = self._permit()
        first = self.triggers.fire("test_manual", permit, event_key="invoice 17")
        self.commit()
        second = self.triggers.fire("test_manual", permit, event_key="invoice 17")
        self.commit()
        self.assertEqual((first["count"], second["count"]), (1, 0))
        self.assertProcessed(second, self.manual, self.manual_rule, self.queue)
        self.assertQueued(self.partner)

    def test_event_key_of_another_record_or_event(self):
        permit = self._permit()
        for record, key in ((permit, "1"), (permit, "2"), (self._permit(), "1")):
            self.assertEqual(self.triggers.fire("test_manual", record, event_key=key)["count"], 1)

    def test_event_key_with_processed_trigger(self):
        permit = self._permit()
        for count in (1, 0):
            result = self.triggers._process_trigger(
                "test_state", permit, old_state="draft", new_state="approved", event_key="import 3"
            )
            self.assertEqual(result["count"], count)
            self.commit()

    def test_call_and_captured_change_are_one_event(self):
        permit = self._permit()
        self.commit()
        permit.state = "approved"
        self.triggers._process_trigger("test_state", permit, old_state="draft", new_state="approved")
        self.commit()
        self.assertQueued(self.partner)
        self.assertEqual((self.state.execution_count, self.state_rule.execution_count), (1, 1))

    def test_call_that_is_rolled_back_counts_for_nothing(self):
        permit, other = self._permit(), self._permit()
        self.commit()
        (permit + other).write({"state": "approved"})
        with self.assertRaises(ZeroDivisionError), self.env.cr.savepoint():
            self.triggers._process_trigger("test_state", permit, old_state="draft", new_state="approved")
            raise ZeroDivisionError
        self.commit()
        self.assertEqual((self.state.execution_count, self.state_rule.execution_count), (2, 2))

    def test_captured_change_and_later_call_are_one_event(self):
        permit = self._permit()
        self.commit()
        permit.state = "approved"
        with self.env.cr.savepoint():
            pass
        self.assertQueued(self.partner)
        self.triggers._process_trigger("test_state", permit, old_state="draft", new_state="approved")
        self.commit()
        self.assertQueued(self.partner)
        self.assertEqual((self.state.execution_count, self.state_rule.execution_count), (1, 1))

    def test_same_call_twice_in_one_transaction(self):
        permit = self._permit()
        for _time in range(2):
            self.triggers._process_trigger("test_state", permit, old_state="draft", new_state="approved")
        self.assertQueued(self.partner)

    def test_same_change_in_another_transaction_is_another_event(self):
        permit = self._permit()
        for _time in range(2):
            self.triggers._process_trigger("test_state", permit, old_state="draft", new_state="approved")
            self.commit()
        self.assertEqual(len(self.rows()), 2)

    def test_database_takes_an_event_key_once(self):
        """Even a program that goes past the ORM cannot queue the same message twice."""
        self.triggers.fire("test_manual", self._permit())
        row = self.rows()
        self.assertTrue(row.event_key)
        with (
            mute_logger("odoo.sql_db"),
            self.assertRaises(IntegrityError),
            self.env.cr.savepoint(flush=False),
        ):
            self.env.cr.execute(
                """
                INSERT INTO sicantik_notification_queue (event_key, state, message_type, scheduled_date)
                     VALUES (%s, 'pending', 'template', now())
                """,
                [row.event_key],
            )

    def test_rows_by_hand_have_no_event_key(self):
        self.assertFalse((self._row() + self._row()).mapped("event_key")[0])


class TestTriggerAccess(TriggerCase):
    def _fire_as(self, user, records):
        return self.env["sicantik.notification.trigger"].with_user(user).fire("test_manual", records)

    def test_outsiders(self):
        permit = self._permit()
        for user in (
            new_test_user(self.env, "portal_test", groups="base.group_portal"),
            new_test_user(self.env, "public_test", groups="base.group_public"),
        ):
            for call in ("fire", "_process_trigger"):
                with self.subTest(f"{user.name} {call}"), self.assertRaises(AccessError):
                    getattr(self.triggers.with_user(user), call)("test_manual", permit.with_user(user))
                with self.subTest(f"{user.name} {call}, own contact"), self.assertRaises(AccessError):
                    getattr(self.triggers.with_user(user), call)("test_manual", user.partner_id)
        self.assertFalse(self.rows())

    def test_member_of_the_staff(self):
        """Whoever may read the permit may fire, without any right on the queue."""
        user = new_test_user(self.env, "staff_test", groups=f"{MODULE}.group_staff")
        permit = self._permit()
        self.assertEqual(self._fire_as(user, permit.with_user(user))["count"], 1)
        self.assertQueued(self.partner)

    def test_employee_who_may_not_read_the_record(self):
        user = new_test_user(self.env, "employee_test", groups="base.group_user")
        with self.assertRaises(AccessError):
            self._fire_as(user, self._permit().with_user(user))
        self.assertFalse(self.rows())

    def test_rights_are_those_of_the_caller(self):
        """Records that come along with more rights do not lend them."""
        user = new_test_user(self.env, "employee_test", groups="base.group_user")
        with self.assertRaises(AccessError):
            self._fire_as(user, self._permit().sudo())
        self.assertFalse(self.rows())

    def test_record_of_another_company(self):
        user = new_test_user(self.env, "staff_test", groups=f"{MODULE}.group_staff")
        company = self.env["res.company"].create({"name": "Other office"})
        permit = self._permit(company_id=company.id)
        with self.assertRaises(AccessError):
            self._fire_as(user, permit.with_user(user))

    def test_state_change_by_the_staff(self):
        user = new_test_user(self.env, "staff_test", groups=f"{MODULE}.group_staff")
        permit = self._permit()
        self.commit()
        permit.with_user(user).state = "approved"
        self.commit()
        self.assertQueued(self.partner)


class TestTriggerChecks(TriggerCase):
    def assertRefused(self, message, **vals):
        with self.subTest(**vals), self.assertRaisesRegex(ValidationError, message), self.env.cr.savepoint():
            self._trigger(**{"code": "test_refused", **vals})

    def test_code_format(self):
        for code in ("with space", "with-dash", "with.dot", "naïve", "semi;colon", "trailing\n"):
            self.assertRefused("letters, digits and underscores", code=code)
        self._trigger("Good_code_1")

    def test_code_is_unique(self):
        with mute_logger("odoo.sql_db"), self.assertRaises(IntegrityError), self.env.cr.savepoint():
            self._trigger("test_manual", trigger_type="manual")

    def test_copy_has_a_code_of_its_own(self):
        copy = self.manual.copy()
        self.assertTrue(copy.code)
        self.assertNotEqual(copy.code, "test_manual")

    def test_field_that_is_not_there(self):
        self.assertRefused("no field", state_field="no_such_field")
        self.assertRefused("no field", state_field=False)
        self.assertRefused("no field", trigger_type="on_field_change")

    def test_field_of_another_model(self):
        field = self.env["ir.model.fields"]._get("res.partner", "city")
        self.assertRefused("no field", trigger_type="on_field_change", field_to_watch=field.id)

    def test_field_whose_changes_nobody_can_notice(self):
        field = self.env["ir.model.fields"]._get("sicantik.permit", "activity_state")
        self.assertRefused("cannot be noticed", trigger_type="on_field_change", field_to_watch=field.id)

    def test_other_types_watch_no_field(self):
        for number, trigger_type in enumerate(("on_create", "on_write", "manual", "api", "cron")):
            self._trigger(f"test_type_{number}", trigger_type=trigger_type, state_field="no_such_field")

    def test_condition(self):
        self.assertRefused("no_such_field", condition_domain="[('no_such_field', '=', 1)]")
        self.assertRefused("list of conditions", condition_domain="[('state', '='")
        self.assertRefused("record", condition_domain="[('id', '=', record.id)]")


class TestTriggerCounters(TriggerCase):
    def test_nothing_yet(self):
        self.assertEqual((self.manual.execution_count, self.manual.last_execution_date), (0, False))
        self.assertFalse(self.manual.last_error)

    def test_rule_count(self):
        self._rule(self.manual, name="Second")
        self._rule(self.manual, name="Archived", active=False)
        self.env.invalidate_all()
        self.assertEqual((self.manual.rule_count, self.state.rule_count), (2, 1))

    def test_executions_count_records(self):
        self.triggers.fire("test_manual", self._permit() + self._permit())
        self.triggers.fire("test_manual", self._permit())
        self.env.invalidate_all()
        self.assertEqual(self.manual.execution_count, 3)
        self.assertTrue(self.manual.last_execution_date)
        self.assertEqual(self.state.execution_count, 0)

    def test_records_that_the_condition_leaves_out_do_not_count(self):
        self.manual.condition_domain = "[('state', '=', 'approved')]"
        self.triggers.fire("test_manual", self._permit(state="approved") + self._permit())
        self.assertEqual(self.manual.execution_count, 1)

    def test_counters_are_read_anew(self):
        """Whoever looks before and after, in one transaction, sees the difference."""
        before = (
            self.manual.execution_count,
            self.manual_rule.execution_count,
            len(self.manual_rule.queue_ids),
        )
        self.triggers.fire("test_manual", self._permit())
        after = (
            self.manual.execution_count,
            self.manual_rule.execution_count,
            len(self.manual_rule.queue_ids),
        )
        self.assertEqual((before, after), ((0, 0, 0), (1, 1, 1)))
