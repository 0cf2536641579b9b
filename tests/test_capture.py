"""Promise 2, nothing is announced that did not happen, and what capture notices."""

from contextlib import suppress

import psycopg2

from odoo.tools import mute_logger

from .common import NotificationCase

EVALUATION = "odoo.addons.sicantik_notification_automation.models.sicantik_notification_evaluation"


class TestCapture(NotificationCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.trigger = cls._trigger(state_to="approved")
        cls.rule = cls._rule(cls.trigger)

    # === WHAT COUNTS AS A CHANGE OF STATE ===#

    def test_state_change_queues_one_row(self):
        permit = self._permit()
        self.commit()
        permit.state = "approved"
        self.assertFalse(self.rows(), "nothing is queued before the transaction ends")
        self.commit()
        row = self.assertQueued(self.partner, state="pending")
        self.assertEqual(row.phone, "+6281200000001")
        self.assertEqual((row.res_model, row.res_id, row.permit_id), ("sicantik.permit", permit.id, permit))
        self.assertEqual((self.trigger.execution_count, self.rule.execution_count), (1, 1))

    def test_state_by_its_other_name(self):
        """`status` is `state` (contract, section 1): watching one and writing the other is the same."""
        self.trigger.state_field = "status"
        permit = self._permit()
        self.commit()
        permit.status = "approved"
        self.commit()
        self.assertEqual(permit.state, "approved")
        self.assertQueued(self.partner)

    def test_other_states_are_not_for_this_trigger(self):
        permit = self._permit()
        self.commit()
        permit.state = "submitted"
        self.commit()
        self.assertFalse(self.rows())

    def test_state_lists(self):
        self.trigger.write({"state_from": "submitted, processing", "state_to": "approved,active"})
        permits = self._permit() + self._permit() + self._permit()
        permits[0].state = "submitted"
        permits[1].state = "processing"
        self.commit()
        for permit, state in zip(permits, ("active", "approved", "approved"), strict=True):
            permit.state = state
        self.commit()
        self.assertEqual(self.rows().mapped("permit_id"), permits[:2])

    def test_same_value_is_no_change(self):
        permit = self._permit(state="approved")
        self.commit()
        permit.state = "approved"
        self.commit()
        self.assertFalse(self.rows())

    def test_creation_is_no_change_of_state(self):
        self._permit(state="approved")
        self.commit()
        self.assertFalse(self.rows())

    def test_created_and_approved_in_one_transaction(self):
        self._permit().state = "approved"
        self.commit()
        self.assertQueued(self.partner)

    def test_old_value_is_that_before_the_transaction(self):
        self.trigger.state_from = "draft"
        permit = self._permit()
        self.commit()
        permit.state = "submitted"
        permit.state = "approved"
        self.commit()
        self.assertQueued(self.partner)

    def test_many_records_at_once(self):
        permits = (
            self._permit()
            + self._permit()
            + self._permit(partner_id=self._partner("Budi", "081200000002").id)
        )
        self.commit()
        permits.write({"state": "approved"})
        self.commit()
        self.assertEqual(self.rows().mapped("permit_id"), permits)
        self.assertEqual(len(self.rows()), 3, "one row per record and recipient, no cross product")
        self.assertEqual(self.trigger.execution_count, 3)

    # === NOTHING IS ANNOUNCED THAT DID NOT HAPPEN ===#

    def test_taken_back_in_the_same_transaction(self):
        permit = self._permit()
        self.commit()
        permit.state = "approved"
        permit.state = "draft"
        self.commit()
        self.assertNothingHappened()

    def test_taken_back_with_a_savepoint_between(self):
        """Odoo runs the precommit hooks at every savepoint: what was queued too early is withdrawn."""
        permit = self._permit()
        self.commit()
        permit.state = "approved"
        with self.env.cr.savepoint():
            pass
        permit.state = "draft"
        self.commit()
        self.assertNothingHappened()

    def test_taken_back_inside_a_savepoint(self):
        permit = self._permit()
        self.commit()
        permit.state = "approved"
        with self.env.cr.savepoint():
            permit.state = "draft"
        self.commit()
        self.assertNothingHappened()

    def test_skipped_rows_are_withdrawn_with_their_log(self):
        permit = self._permit(partner_id=self._partner("No number").id)
        self.commit()
        permit.state = "approved"
        with self.env.cr.savepoint():
            pass
        self.assertEqual(self.logs.search_count([("res_id", "=", permit.id)]), 1)
        permit.state = "draft"
        self.commit()
        self.assertNothingHappened()

    def test_rollback_to_a_savepoint(self):
        permit = self._permit()
        self.commit()
        with self.assertRaises(ZeroDivisionError), self.env.cr.savepoint():
            permit.state = "approved"
            with self.env.cr.savepoint():
                pass
            raise ZeroDivisionError
        self.commit()
        self.assertEqual(permit.state, "draft")
        self.assertNothingHappened()

    def test_withdrawal_that_is_rolled_back(self):
        """Approved, then a savepoint in which it is taken back, then that savepoint is undone: it is
        approved.
        """
        permit = self._permit()
        self.commit()
        permit.state = "approved"
        with self.assertRaises(ZeroDivisionError), self.env.cr.savepoint():
            permit.state = "draft"
            with self.env.cr.savepoint():
                pass
            raise ZeroDivisionError
        self.commit()
        self.assertEqual(permit.state, "approved")
        self.assertQueued(self.partner)
        self.assertEqual(self.trigger.execution_count, 1)

    def test_savepoints_do_not_multiply_the_message(self):
        permit = self._permit()
        self.commit()
        for state in ("approved", "submitted", "approved"):
            permit.state = state
            with self.env.cr.savepoint():
                pass
        self.commit()
        self.assertQueued(self.partner)
        self.assertEqual((self.trigger.execution_count, self.rule.execution_count), (1, 1))

    def test_the_message_tells_how_the_transaction_ended(self):
        """What is written after an early evaluation is in the message too."""
        permit = self._permit(permit_number=False)
        self.commit()
        permit.state = "approved"
        with self.env.cr.savepoint():
            pass
        permit.permit_number = "503/0009"
        self.commit()
        self.assertEqual(self.assertQueued(self.partner)._context_dict()["permit_number"], "503/0009")

    def test_condition_met_later_in_the_transaction(self):
        self.rule.condition_domain = "[('permit_number', '!=', False)]"
        permit = self._permit(permit_number=False)
        self.commit()
        permit.state = "approved"
        with self.env.cr.savepoint():
            pass
        permit.permit_number = "503/0009"
        self.commit()
        self.assertQueued(self.partner)

    def test_deleted_in_the_same_transaction(self):
        permit = self._permit()
        self.commit()
        permit.state = "approved"
        with self.env.cr.savepoint():
            pass
        permit.unlink()
        self.commit()
        self.assertFalse(self.rows())

    def test_another_transaction_is_another_event(self):
        permit = self._permit()
        self.commit()
        for state in ("approved", "draft", "approved"):
            permit.state = state
            self.commit()
        self.assertEqual(len(self.rows()), 2)

    def assertNothingHappened(self):
        self.assertFalse(self.rows())
        self.assertFalse(self.logs.search([("res_model", "=", "sicantik.permit")]))
        self.assertFalse(
            self.env["sicantik.notification.execution"].search([("trigger_id", "=", self.trigger.id)])
        )
        self.assertEqual((self.trigger.execution_count, self.rule.execution_count), (0, 0))

    # === OTHER TYPES OF TRIGGERS, OTHER MODELS ===#

    def _partner_rule(self, **vals):
        trigger = self._trigger("test_partner", "res.partner", **vals)
        return self._rule(trigger, context_preparation_code="context = {'permit_number': '-'}")

    def test_on_create(self):
        self._partner_rule(trigger_type="on_create")
        dewi = self._partner("Dewi", "081200000003")
        self.commit()
        self.assertQueued(dewi)
        dewi.name = "Dewi S."
        self.commit()
        self.assertQueued(dewi)

    def test_on_write(self):
        self._partner_rule(trigger_type="on_write")
        dewi = self._partner("Dewi", "081200000003")
        dewi.comment = "new"
        self.commit()
        self.assertFalse(self.rows(), "a record that is new is not updated")
        dewi.write({"name": "Dewi"})
        self.commit()
        self.assertFalse(self.rows(), "the same value again changes nothing")
        dewi.comment = "moved"
        self.commit()
        self.assertQueued(dewi)

    def test_on_field_change(self):
        field = self.env["ir.model.fields"]._get("res.partner", "city")
        self._partner_rule(trigger_type="on_field_change", field_to_watch=field.id)
        dewi = self._partner("Dewi", "081200000003", city="Medan")
        self.commit()
        dewi.name = "Dewi S."
        self.commit()
        self.assertFalse(self.rows())
        dewi.city = "Binjai"
        self.commit()
        self.assertQueued(dewi)

    def test_recomputed_stored_field(self):
        """A value that changes because another record does counts like one that is written."""
        field = self.env["ir.model.fields"]._get("sicantik.permit", "permit_type_name")
        trigger = self._trigger("test_type_name", trigger_type="on_field_change", field_to_watch=field.id)
        self._rule(trigger)
        kind = self.env["sicantik.permit.type"].create({"name": "SIUP"})
        permits = self._permit(permit_type_id=kind.id) + self._permit()
        self.commit()
        kind.name = "SIUP Besar"
        self.commit()
        self.assertEqual(self.rows().permit_id, permits[0])

    def test_first_computation_is_no_change(self):
        field = self.env["ir.model.fields"]._get("sicantik.permit", "permit_type_name")
        self._rule(self._trigger("test_type_name", trigger_type="on_field_change", field_to_watch=field.id))
        self._permit(permit_type_id=self.env["sicantik.permit.type"].create({"name": "SIUP"}).id)
        self.commit()
        self.assertFalse(self.rows())

    def test_recipient_is_the_record_itself(self):
        """A contact or a user is its own applicant (contract, section 7)."""
        self._partner_rule(trigger_type="on_create")
        dewi = self._partner("Dewi", "081200000003")
        self.commit()
        self.assertEqual(self.rows().partner_id, dewi)

    def test_own_models_are_refused(self):
        with self.assertRaisesRegex(Exception, "notifications themselves"):
            self._trigger("test_own", "sicantik.notification.queue", trigger_type="on_create")

    def test_field_that_cannot_be_watched_is_refused(self):
        with self.assertRaisesRegex(Exception, "has no field"):
            self._trigger("test_nothing", state_field="no_such_field")

    # === WHAT IT COSTS ===#

    def test_no_query_where_nobody_watches(self):
        """T1: a model that no trigger watches pays no SQL."""
        self.template.body_preview = "warm up"
        self.env.flush_all()
        with self.assertQueryCount(1):
            self.template.body_preview = "Dear {{partner_name}}"
            self.env.flush_all()

    def test_no_query_where_no_watched_field_is_written(self):
        """T2: the write itself is the only query."""
        permit = self._permit()
        self.commit()
        permit.issue_date = "2026-01-01"
        self.env.flush_all()
        with self.assertQueryCount(1):
            permit.issue_date = "2026-01-02"
            self.env.flush_all()

    def test_queries_do_not_grow_with_the_records(self):
        def queries(count):
            permits = self.env["sicantik.permit"].create(
                [
                    {"partner_id": self._partner(f"P{i}", f"0812000010{i:02}").id, "permit_number": f"{i}"}
                    for i in range(count)
                ]
            )
            self.commit()
            self.env.invalidate_all()
            permits.write({"state": "approved"})
            self.env.flush_all()
            before = self.env.cr.sql_log_count
            self.commit()
            return self.env.cr.sql_log_count - before

        queries(2)
        self.assertEqual(queries(3), queries(30))

    def _extra_queries(self, change):
        """Count what capture adds to a change and its commit, each with an empty cache, as in a user's click.

        :param change: function of a permit
        """

        def queries(active):
            self.trigger.active = active
            for _time in range(2):  # the first fills what is cached for good
                permit = self._permit(state="draft", permit_number="503/0001")
                self.commit()
                self.env.invalidate_all()
                before = self.env.cr.sql_log_count
                change(permit)
                self.commit()
            return self.env.cr.sql_log_count - before

        without = queries(False)
        return queries(True) - without

    def _write(self, permit):
        permit.state = "approved"

    def test_one_query_for_another_transition(self):
        """T3: the one that reads the old value."""
        self.assertEqual(self._extra_queries(lambda permit: permit.write({"state": "submitted"})), 1)
        self.trigger.state_from = "submitted"
        self.assertEqual(self._extra_queries(self._write), 1)

    def test_no_query_for_a_change_whose_old_value_is_known(self):
        def change(permit):
            self.assertTrue(permit.state)
            permit.state = "submitted"

        self.assertEqual(self._extra_queries(change), 0)

    def test_one_query_when_the_trigger_has_another_condition(self):
        for condition in (
            "[('permit_number', '=', 'another')]",
            "[('permit_number', '=', False), ('state', '!=', 'draft')]",
            "[('state', '=', old_state)]",
            "[('issue_date', '>', context_today() - relativedelta(days=30)), ('company_id', '!=', False)]",
        ):
            with self.subTest(condition):
                self.trigger.condition_domain = condition
                self.assertEqual(self._extra_queries(self._write), 1)
                self.assertFalse(self.trigger.execution_count)

    def test_two_queries_when_no_rule_has_anything_to_say(self):
        """The second one is for the journal: the trigger has fired."""
        for condition in ("[('permit_number', '=', 'another')]", "[('state', '=', old_state)]"):
            with self.subTest(condition):
                self.rule.condition_domain = condition
                count = self.trigger.execution_count
                self.assertEqual(self._extra_queries(self._write), 2)
                self.assertEqual(self.trigger.execution_count, count + 2)
        self.assertFalse(self.rule.execution_count)
        self.assertFalse(self.rows())

    def test_no_query_for_new_records(self):
        def create(_permit):
            self.env["sicantik.permit"].create([{"partner_id": self.partner.id} for _number in range(20)])

        self.assertEqual(self._extra_queries(create), 0)

    # === THE JOURNAL ===#

    def test_journal_of_a_trigger_without_a_rule_is_taken_back(self):
        self.rule.condition_domain = "[('permit_number', '=', 'another')]"
        permits = self._permit() + self._permit()
        self.commit()
        permits.write({"state": "approved"})
        with self.env.cr.savepoint():
            pass
        self.assertEqual(self.trigger.execution_count, 2)
        permits.write({"state": "draft"})
        self.commit()
        self.assertNothingHappened()

    def test_journal_of_a_trigger_that_is_deleted_meanwhile(self):
        journal = self.env["sicantik.notification.execution"]
        permit = self._permit()
        rows = [journal._row(self.trigger, permit), journal._row(self.trigger, permit, self.rule)]
        deleted = {**rows[0], "trigger_id": 2**31 - 1}
        ids = journal._write_rows([rows[0], deleted, rows[1]])
        self.assertIsNone(ids[1])
        written = journal.browse([ids[0], ids[2]])
        self.assertEqual([row.rule_id for row in written], [self.rule.browse(), self.rule])
        self.assertEqual(written.mapped("res_ids"), [permit.ids, permit.ids])
        self.assertLess(ids[0], ids[2], "the last one tells of the last error")

    def test_deleted_with_nothing_between(self):
        self.rule.condition_domain = "[('permit_number', '=', 'another')]"
        permit = self._permit()
        self.commit()
        permit.state = "approved"
        permit.unlink()
        self.commit()
        self.assertNothingHappened()

    # === CHANGES OF RULES ===#

    def test_rule_that_is_changed_in_the_same_transaction(self):
        self.rule.condition_domain = "[('permit_number', '=', 'another')]"
        permit = self._permit()
        self.commit()
        permit.state = "approved"
        self.rule.condition_domain = False
        self.commit()
        self.assertQueued(self.partner)

    def test_cache_that_somebody_still_holds(self):
        """What a traceback keeps alive is not taken for the cache."""
        self._permit()
        held = self.env["sicantik.notification.trigger"]._watches()
        self.assertIs(self.trigger._remember_watches(), held)
        self.trigger.active = False
        self.commit()
        self.assertIsNone(self.env["sicantik.permit"]._notification_watch())

    def test_rule_that_is_added_archived_and_deleted(self):
        other = self._rule(self.trigger, name="Other")
        expected = [self.rule + other, self.rule, self.rule]
        for step, rules in zip((None, "archive", "unlink"), expected, strict=True):
            if step == "archive":
                other.active = False
            elif step == "unlink":
                other.unlink()
            permit = self._permit()
            self.commit()
            permit.state = "approved"
            self.commit()
            self.assertEqual(self.queue.search([("permit_id", "=", permit.id)]).rule_id, rules)

    def test_change_of_a_rule_that_is_rolled_back(self):
        permit = self._permit()
        self.commit()
        with self.assertRaises(ZeroDivisionError), self.env.cr.savepoint():
            self.rule.condition_domain = "[('permit_number', '=', 'another')]"
            self._permit().state = "approved"
            with self.env.cr.savepoint():
                pass
            raise ZeroDivisionError
        permit.state = "approved"
        self.commit()
        self.assertQueued(self.partner)

    def test_what_is_not_committed_is_not_for_others(self):
        """The cache of the registry, which all transactions share, is filled with committed values only."""
        triggers = self.env["sicantik.notification.trigger"]
        self.assertIs(triggers._remember_watches(), triggers._remember_watches())
        shared = triggers._watches()
        self.rule.condition_domain = "[('permit_number', '=', 'another')]"
        own = triggers._remember_watches()
        self.assertIsNot(own, shared)
        self.assertIs(triggers._remember_watches(), own)
        self.commit()
        self.assertIs(triggers._remember_watches(), triggers._watches())

    # === SWITCHING TRIGGERS ON AND OFF ===#

    def test_archived_trigger(self):
        permit = self._permit()
        self.trigger.active = False
        self.commit()
        permit.state = "approved"
        self.commit()
        self.assertFalse(self.rows())
        self.trigger.active = True
        permit.state = "draft"
        self.commit()
        permit.state = "approved"
        self.commit()
        self.assertQueued(self.partner)

    def test_rolled_back_trigger_leaves_the_others_watched(self):
        with self.assertRaises(ZeroDivisionError), self.env.cr.savepoint():
            self.trigger.active = False
            self._permit().state = "approved"
            raise ZeroDivisionError
        permit = self._permit()
        self.commit()
        permit.state = "approved"
        self.commit()
        self.assertQueued(self.partner)

    # === PROMISE 1: THE BUSINESS TRANSACTION IS NEVER BROKEN ===#

    def _approve_with(self, **vals):
        """Approve a permit with a faulty rule beside the good one."""
        faulty = self._rule(self.trigger, name="Faulty", sequence=1)
        # Written by hand: a domain that cannot work is refused when it is saved, but models change later.
        for name, value in vals.items():
            self.env.cr.execute(
                f"UPDATE sicantik_notification_rule SET {name} = %s WHERE id = %s", [value, faulty.id]
            )
        faulty.invalidate_recordset()
        permit = self._permit()
        self.commit()
        with mute_logger(EVALUATION):
            permit.state = "approved"
            self.commit()
        self.env.invalidate_all()
        self.assertEqual(permit.state, "approved")
        self.assertEqual(self.rows().rule_id, self.rule, "the good rule goes on")
        return faulty

    def test_domain_that_cannot_be_parsed(self):
        self.assertIn("SyntaxError", self._approve_with(condition_domain="[('state',").last_error)

    def test_domain_with_an_unknown_field(self):
        self.assertIn("gone", self._approve_with(condition_domain="[('gone', '=', 1)]").last_error)

    def test_python_condition_that_raises(self):
        self.assertIn("ZeroDivisionError", self._approve_with(condition_python="1 / 0").last_error)

    def test_python_that_breaks_the_transaction(self):
        """SQL that fails aborts the transaction down to a savepoint; ours is between it and the permit."""
        broken = "env.cr.execute('SELECT no_such_column FROM sicantik_permit')"
        with mute_logger("odoo.sql_db"):
            self.assertTrue(self._approve_with(condition_python=broken).last_error)

    def test_code_that_hides_a_failed_query(self):
        with mute_logger("odoo.sql_db", EVALUATION), self.trigger._fence("test") as failure:
            with suppress(psycopg2.Error):
                self.env.cr.execute("SELECT no_such_column FROM sicantik_permit")
        self.assertIn("query failed", failure.error)
        self.assertTrue(self.trigger.search_count([]), "the transaction goes on")

    def test_context_code_that_raises(self):
        self.assertIn(
            "oops", self._approve_with(context_preparation_code="raise ValueError('oops')").last_error
        )

    def test_error_that_no_column_can_hold(self):
        faulty = self._approve_with(context_preparation_code="raise ValueError('oops \\x00 \\ud800')")
        self.assertIn("oops", faulty.last_error)

    def test_recipient_path_that_is_gone(self):
        faulty = self._approve_with(recipient_type="field", recipient_field="no_such_field")
        self.assertIn("no_such_field", faulty.last_error)

    def test_code_that_writes_to_the_record_does_not_go_on_for_ever(self):
        self.rule.context_preparation_code = "record.write({'state': 'draft'})\ncontext = {}"
        permit = self._permit()
        self.commit()
        permit.state = "approved"
        self.commit()
        self.assertLessEqual(len(self.rows()), 1)

    def test_faulty_condition_of_the_trigger(self):
        self.env.cr.execute(
            "UPDATE sicantik_notification_trigger SET condition_domain = '1 +' WHERE id = %s",
            [self.trigger.id],
        )
        self.trigger.invalidate_recordset()
        permit = self._permit()
        self.commit()
        with mute_logger(EVALUATION):
            permit.state = "approved"
            self.commit()
        self.env.invalidate_all()
        self.assertEqual(permit.state, "approved")
        self.assertIn("SyntaxError", self.trigger.last_error)
        self.assertFalse(self.rows())

    def test_traceback_is_in_the_server_log(self):
        self.rule.condition_python = "1 / 0"
        permit = self._permit()
        self.commit()
        with self.assertLogs(EVALUATION, "ERROR") as log:
            permit.state = "approved"
            self.commit()
        self.assertIn("Traceback", log.output[0])

    def test_one_record_fails_the_others_go_on(self):
        self.rule.condition_python = "1 / len(record.permit_number or '')"
        permits = self._permit(permit_number=False) + self._permit(permit_number="503/0002")
        self.commit()
        with mute_logger(EVALUATION):
            permits.write({"state": "approved"})
            self.commit()
        self.assertEqual(self.rows().permit_id, permits[1])
        self.assertIn("ZeroDivisionError", self.rule.last_error)

    def test_error_is_gone_after_the_next_good_run(self):
        rule = self._approve_with(condition_python="1 / 0")
        rule.condition_python = False
        permit = self._permit()
        self.commit()
        permit.state = "approved"
        self.commit()
        self.assertFalse(rule.last_error)
