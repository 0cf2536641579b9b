"""Who hears what, and when: what a rule makes of the records that its trigger hands over."""

import json
from datetime import timedelta

from freezegun import freeze_time
from psycopg2 import IntegrityError

from odoo import Command, fields
from odoo.exceptions import ValidationError
from odoo.tools import mute_logger

from ..compat import group_users
from .common import NotificationCase

MODULE = "sicantik_notification_automation"
EVALUATION = f"odoo.addons.{MODULE}.models.sicantik_notification_evaluation"
NOW = "2026-03-02 08:00:00"


class RuleCase(NotificationCase):
    """A manual trigger for permits with one rule."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.trigger = cls._trigger("test_manual", trigger_type="manual")
        cls.rule = cls._rule(cls.trigger)

    @classmethod
    def _user(cls, name, number=False, groups="base.group_user"):
        """Create a user without a password: nobody logs in, and hashing takes half a second each."""
        ids = [cls.env.ref(group).id for group in groups.split(",")]
        return (
            cls.env["res.users"]
            .with_context(no_reset_password=True)
            .create(
                {
                    "name": name,
                    "login": name.lower(),
                    "whatsapp_number": number,
                    "groups_id": [Command.set(ids)],
                }
            )
        )

    @classmethod
    def _document(cls, **vals):
        return cls.env["sicantik.document"].create({"name": "Draft permit", **vals})

    def fire(self, records, code="test_manual", **kwargs):
        result = self.env["sicantik.notification.trigger"].fire(code, records, **kwargs)
        return self.queue.browse(result["queue_ids"]).sorted("id")

    def assertRecipients(self, rows, *partners):
        """Assert that these rows are for exactly these partners, one each."""
        self.assertEqual(sorted(rows.mapped("partner_id.name")), sorted(partner.name for partner in partners))
        self.assertEqual(len(rows), len(partners))

    def assertHeldBack(self, row, reason):
        """Assert that a row was skipped, with a log row and a sentence that says why."""
        self.assertEqual((row.state, row.error_class), ("skipped", reason), row.read())
        self.assertTrue(row.error_message)
        log = self.logs.search([("queue_id", "=", row.id)])
        self.assertEqual(
            (log.state, log.error_class, log.error_message), ("skipped", reason, row.error_message)
        )


class TestRecipients(RuleCase):
    # === THE APPLICANT ===#

    def test_applicant(self):
        self.assertRecipients(self.fire(self._permit()), self.partner)

    def test_each_record_has_its_own_recipients(self):
        budi = self._partner("Budi", "081200000002")
        permits = self._permit() + self._permit(partner_id=budi.id) + self._permit()
        rows = self.fire(permits)
        self.assertEqual(rows.mapped("permit_id"), permits)
        self.assertEqual([row.partner_id for row in rows], [permit.partner_id for permit in permits])

    # === STAFF ===#

    def test_staff_of_a_group(self):
        group = self.env["res.groups"].create({"name": "Front desk"})
        rina, tono = self._user("Rina T", "081200000091"), self._user("Tono T", "081200000092")
        self._user("Wati T", "081200000093")
        (rina + tono).write({"groups_id": [Command.link(group.id)]})
        self.rule.write({"recipient_type": "staff", "staff_group_id": group.id})
        self.assertRecipients(self.fire(self._permit()), rina.partner_id, tono.partner_id)

    def test_staff_without_a_group_is_the_staff_of_the_office(self):
        rina = self._user("Rina T", "081200000091", f"{MODULE}.group_staff")
        self.rule.recipient_type = "staff"
        rows = self.fire(self._permit())
        self.assertIn(rina.partner_id, rows.partner_id)
        self.assertEqual(rows.partner_id, group_users(self.env.ref(f"{MODULE}.group_staff")).partner_id)

    def test_every_member_for_every_record_once(self):
        group = self.env["res.groups"].create({"name": "Front desk"})
        members = self._user("Rina T", "081200000091") + self._user("Tono T", "081200000092")
        members.write({"groups_id": [Command.link(group.id)]})
        self.rule.write({"recipient_type": "staff", "staff_group_id": group.id})
        permits = self._permit() + self._permit() + self._permit()
        rows = self.fire(permits)
        self.assertEqual(
            sorted((row.res_id, row.partner_id.id) for row in rows),
            sorted((permit.id, member.partner_id.id) for permit in permits for member in members),
        )

    # === OFFICIALS ===#

    def _official_rule(self, **vals):
        trigger = self._trigger("test_document", "sicantik.document", trigger_type="manual")
        return self._rule(trigger, recipient_type="official", **vals)

    def test_official_of_the_document(self):
        self._official_rule()
        sri = self._user("Sri T", "081200000091")
        rows = self.fire(self._document(approver_id=sri.id), "test_document")
        self.assertRecipients(rows, sri.partner_id)

    def test_all_officials_when_the_document_has_none(self):
        self._official_rule()
        sri = self._user("Sri T", "081200000091", f"{MODULE}.group_official")
        rows = self.fire(self._document(), "test_document")
        self.assertIn(sri.partner_id, rows.partner_id)
        self.assertEqual(rows.partner_id, group_users(self.env.ref(f"{MODULE}.group_official")).partner_id)

    def test_officials_of_a_group_go_before_the_document(self):
        group = self.env["res.groups"].create({"name": "Heads"})
        sri, hasan = self._user("Sri T", "081200000091"), self._user("Hasan T", "081200000092")
        hasan.write({"groups_id": [Command.link(group.id)]})
        self._official_rule(official_group_id=group.id)
        rows = self.fire(self._document(approver_id=sri.id), "test_document")
        self.assertRecipients(rows, hasan.partner_id)

    def test_officials_of_a_record_that_knows_none(self):
        """Permits have no `approver_id`: the group it is."""
        sri = self._user("Sri T", "081200000091", f"{MODULE}.group_official")
        self.rule.recipient_type = "official"
        self.assertIn(sri.partner_id, self.fire(self._permit()).partner_id)

    # === A DOMAIN ===#

    def test_domain(self):
        dewi = self._partner("Dewi", "081200000003", city="Pulau Kampai")
        eko = self._partner("Eko", "081200000004", city="Pulau Kampai")
        self.rule.write({"recipient_type": "custom", "recipient_domain": "[('city', '=', 'Pulau Kampai')]"})
        self.assertRecipients(self.fire(self._permit()), dewi, eko)

    def test_domain_that_speaks_of_the_record(self):
        permits = self._permit() + self._permit()
        dewi = self._partner("Dewi", "081200000003", ref=f"for {permits[0].id}")
        eko = self._partner("Eko", "081200000004", ref=f"for {permits[1].id}")
        self.rule.write(
            {"recipient_type": "custom", "recipient_domain": "[('ref', '=', 'for %s' % record_id)]"}
        )
        rows = self.fire(permits)
        self.assertEqual(
            [(row.permit_id, row.partner_id) for row in rows], [(permits[0], dewi), (permits[1], eko)]
        )

    # === A FIELD ===#

    def test_field_with_a_user(self):
        rina = self._user("Rina T", "081200000091")
        self.rule.write({"recipient_type": "field", "recipient_field": "responsible_id"})
        self.assertRecipients(self.fire(self._permit(responsible_id=rina.id)), rina.partner_id)

    def test_path_to_partners_and_to_users(self):
        trigger = self._trigger("test_document", "sicantik.document", trigger_type="manual")
        rina = self._user("Rina T", "081200000091")
        permit = self._permit(responsible_id=rina.id)
        document = self._document(permit_id=permit.id)
        for path, partner in (
            ("permit_id.partner_id", self.partner),
            ("permit_id.responsible_id", rina.partner_id),
        ):
            rule = self._rule(trigger, recipient_type="field", recipient_field=path)
            self.assertRecipients(self.fire(document, "test_document"), partner)
            rule.active = False

    def test_field_with_many(self):
        trigger = self._trigger("test_partner", "res.partner", trigger_type="manual")
        self._rule(
            trigger,
            recipient_type="field",
            recipient_field="child_ids",
            context_preparation_code="context = {'permit_number': '-'}",
        )
        office = self._partner("Office", is_company=True)
        children = [
            self._partner(f"Child {number}", f"08120000004{number}", parent_id=office.id)
            for number in range(3)
        ]
        self.assertRecipients(self.fire(office, "test_partner"), *children)

    # === THE SAME PERSON TWICE ===#

    def test_one_number_is_told_once(self):
        """Two contacts, one number in two spellings."""
        self._partner("Dewi", "0812-0000-0003", city="Pulau Kampai")
        self._partner("Dewi again", "+62 812 0000 0003", city="Pulau Kampai")
        self.rule.write({"recipient_type": "custom", "recipient_domain": "[('city', '=', 'Pulau Kampai')]"})
        rows = self.fire(self._permit())
        self.assertEqual(rows.mapped("phone"), ["+6281200000003"])

    def test_two_rules_tell_twice(self):
        self._rule(self.trigger, name="Second rule")
        self.assertEqual(len(self.fire(self._permit())), 2)


class TestHeldBack(RuleCase):
    def _blacklist(self, number="0812-0000-0001", **vals):
        return self.env["sicantik.notification.blacklist"].create({"phone_number": number, **vals})

    # === NOBODY TO TELL ===#

    def test_recipient_without_a_number(self):
        joko = self._partner("Joko")
        row = self.fire(self._permit(partner_id=joko.id))
        self.assertHeldBack(row, "no_number")
        self.assertEqual((row.partner_id, row.phone), (joko, False))
        self.assertIn("Joko", row.error_message)

    def test_everybody_without_a_number_has_a_row(self):
        self._partner("Joko", city="Pulau Kampai")
        self._partner("Kartika", city="Pulau Kampai")
        self.rule.write({"recipient_type": "custom", "recipient_domain": "[('city', '=', 'Pulau Kampai')]"})
        self.assertEqual(self.fire(self._permit()).mapped("error_class"), ["no_number"] * 2)

    def test_nobody(self):
        row = self.fire(self._permit(partner_id=False))
        self.assertHeldBack(row, "no_recipient")
        self.assertFalse(row.partner_id)

    def test_nobody_in_each_type(self):
        group = self.env["res.groups"].create({"name": "Empty"})
        for vals in (
            {"recipient_type": "staff", "staff_group_id": group.id},
            {"recipient_type": "official", "official_group_id": group.id},
            {"recipient_type": "custom", "recipient_domain": "[('city', '=', 'Nowhere at all')]"},
            {"recipient_type": "field", "recipient_field": "responsible_id"},
        ):
            with self.subTest(vals["recipient_type"]):
                self.rule.write(vals)
                self.assertHeldBack(self.fire(self._permit()), "no_recipient")

    # === BLACKLIST ===#

    def test_blacklisted_in_any_spelling(self):
        for number, spelling in (
            ("081200000005", "+62 812-0000-0005"),
            ("+6281200000006", "81200000006"),
            ("81200000007", "0812 0000 0007"),
        ):
            with self.subTest(spelling):
                self._blacklist(spelling)
                row = self.fire(self._permit(partner_id=self._partner(number, number).id))
                self.assertHeldBack(row, "blacklisted")
                self.assertTrue(row.is_blacklisted)

    def test_reason_of_the_entry_is_said(self):
        self._blacklist(reason="wrong number")
        self.assertIn("wrong number", self.fire(self._permit()).error_message)

    def test_rule_that_passes_over_the_blacklist(self):
        self.rule.respect_blacklist = False
        entry = self._blacklist()
        for source, state in (("manual", "pending"), ("provider", "pending"), ("opt_out", "skipped")):
            with self.subTest(source):
                entry.source = source
                self.assertEqual(self.fire(self._permit()).state, state)

    def test_archived_entry(self):
        self._blacklist().active = False
        row = self.fire(self._permit())
        self.assertEqual((row.state, row.error_message), ("pending", False))

    # === CONSENT ===#

    def test_consent_asked_for(self):
        self.rule.require_opt_in = True
        self.assertHeldBack(self.fire(self._permit()), "no_opt_in")
        self.partner.whatsapp_opt_in = True
        self.assertEqual(self.fire(self._permit()).state, "pending")

    def test_consent_not_asked_for(self):
        self.assertEqual(self.fire(self._permit()).state, "pending")

    def test_one_held_back_the_others_go_on(self):
        budi = self._partner("Budi", "081200000002")
        self._blacklist()
        rows = self.fire(self._permit() + self._permit(partner_id=budi.id))
        self.assertEqual(rows.mapped("state"), ["skipped", "pending"])


class TestSchedule(RuleCase):
    def _minutes(self, rows):
        """Give how many minutes after NOW each row may leave."""
        return [(row.scheduled_date - fields.Datetime.from_string(NOW)).total_seconds() / 60 for row in rows]

    def _permits(self, count):
        return self.env["sicantik.permit"].create(
            [
                {"partner_id": self._partner(f"P{i}", f"0812000020{i:02}").id, "permit_number": str(i)}
                for i in range(count)
            ]
        )

    @freeze_time(NOW)
    def test_immediate(self):
        self.rule.scheduled_delay = 30
        self.assertEqual(self._minutes(self.fire(self._permits(2))), [0, 0])

    @freeze_time(NOW)
    def test_scheduled(self):
        self.rule.write({"schedule_type": "scheduled", "scheduled_delay": 90})
        self.assertEqual(self._minutes(self.fire(self._permits(2))), [90, 90])

    @freeze_time(NOW)
    def test_batches(self):
        self.rule.write({"schedule_type": "batch", "batch_size": 2, "batch_interval": 5})
        self.assertEqual(self._minutes(self.fire(self._permits(5))), [0, 0, 5, 5, 10])

    @freeze_time(NOW)
    def test_what_is_held_back_takes_no_place_in_a_batch(self):
        self.rule.write({"schedule_type": "batch", "batch_size": 1, "batch_interval": 5})
        permits = self._permits(3)
        permits[1].partner_id.whatsapp_number = False
        rows = self.fire(permits).filtered(lambda row: row.state == "pending")
        self.assertEqual(self._minutes(rows), [0, 5])

    def test_urgent_goes_first(self):
        usual = self.fire(self._permit())
        self.rule.urgent = True
        urgent = self.fire(self._permit())
        self.assertGreater(urgent.priority, usual.priority)
        self.assertEqual(usual.priority, 5)

    def test_retries_of_the_rule(self):
        self.rule.max_retries = 7
        self.assertEqual(self.fire(self._permit()).max_retries, 7)


class TestRepeatPolicy(RuleCase):
    def test_always(self):
        permit = self._permit()
        self.assertEqual(self.rule.repeat_policy, "always")
        self.fire(permit)
        self.assertTrue(self.fire(permit))

    def test_once(self):
        self.rule.repeat_policy = "once"
        permit = self._permit()
        self.assertTrue(self.fire(permit))
        self.assertFalse(self.fire(permit), "what is held back leaves no row")
        self.assertTrue(self.fire(self._permit()), "another record is another matter")

    def test_once_for_each_recipient(self):
        self.rule.repeat_policy = "once"
        permit = self._permit()
        self.fire(permit)
        permit.partner_id = self._partner("Budi", "081200000002")
        self.assertTrue(self.fire(permit))

    def test_once_is_about_those_who_were_told(self):
        """Who was held back has not been told: when the obstacle is gone, the message goes out."""
        self.rule.repeat_policy = "once"
        entry = self.env["sicantik.notification.blacklist"].create({"phone_number": "081200000001"})
        permit, orphan = self._permit(), self._permit(partner_id=False)
        self.assertEqual(self.fire(permit + orphan).mapped("state"), ["skipped"] * 2)
        entry.active = False
        orphan.partner_id = self.partner
        self.assertEqual(self.fire(permit + orphan).mapped("state"), ["pending"] * 2)
        self.assertFalse(self.fire(permit + orphan))

    def test_once_for_each_expiry_date(self):
        self.rule.repeat_policy = "once"
        permit = self._permit(expiry_date="2026-12-31")
        self.fire(permit)
        self.assertFalse(self.fire(permit))
        permit.expiry_date = "2027-12-31"
        self.assertTrue(self.fire(permit))

    def test_cooldown(self):
        self.rule.write({"repeat_policy": "cooldown", "cooldown_hours": 24})
        permit = self._permit()
        self.assertTrue(self.fire(permit))
        now = fields.Datetime.now()
        with freeze_time(now + timedelta(hours=23)):
            self.assertFalse(self.fire(permit), "what is held back leaves no row")
            self.assertTrue(self.fire(self._permit()), "another record is another matter")
        with freeze_time(now + timedelta(hours=25)):
            self.assertTrue(self.fire(permit))

    def test_cooldown_is_about_those_who_were_told(self):
        self.rule.write({"repeat_policy": "cooldown", "cooldown_hours": 24})
        permit = self._permit()
        for state in ("failed", "cancelled", "skipped"):
            with self.subTest(state):
                row = self.fire(permit)
                self.assertTrue(row)
                row.state = state

    def test_cooldown_of_another_rule(self):
        self.rule.write({"repeat_policy": "cooldown", "cooldown_hours": 24})
        permit = self._permit()
        self.fire(permit)
        other = self._rule(self.trigger, repeat_policy="cooldown")
        self.assertEqual(self.fire(permit).rule_id, other)


class TestConditions(RuleCase):
    def assertMatches(self, matching, *others, **event):
        """Assert which of these records the rule is for."""
        records = matching.union(*others)
        result = self.env["sicantik.notification.trigger"]._process_trigger("test_manual", records, **event)
        self.assertFalse(self.rule.last_error)
        rows = self.queue.browse(result["queue_ids"])
        self.assertEqual([row.permit_id for row in rows.sorted("id")], list(matching))

    # === DOMAINS ===#

    def test_domain(self):
        self.rule.condition_domain = "[('state', '=', 'approved')]"
        self.assertMatches(self._permit(state="approved"), self._permit())

    def test_domain_of_the_contract(self):
        self.rule.condition_domain = (
            "[('expiry_date', '<=', (datetime.now() + timedelta(days=30)).strftime('%Y-%m-%d')), "
            "('state', '=', 'approved')]"
        )
        today = fields.Date.today()
        soon, late = fields.Date.add(today, days=20), fields.Date.add(today, days=40)
        self.assertMatches(
            self._permit(state="approved", expiry_date=soon),
            self._permit(state="approved", expiry_date=late),
            self._permit(state="draft", expiry_date=soon),
            self._permit(state="approved"),
        )

    def test_states_before_and_after(self):
        self.rule.condition_domain = "[('id', '=', record_id if (old_state, new_state) == ('a', 'b') else 0)]"
        permit = self._permit()
        self.assertMatches(permit, old_state="a", new_state="b")
        self.assertMatches(permit.browse(), permit, old_state="a", new_state="c")

    def test_every_name_of_a_domain(self):
        for condition in (
            "[('id', '=', record_id)]",
            "[('id', 'in', record_ids)]",
            "[('create_uid', '=', uid)]",
            "[('create_uid', '=', user_id)]",
            "[('company_id', '=', company_id)]",
            "[('company_id', 'in', company_ids)]",
            "[('create_date', '<=', datetime.now() + timedelta(days=1))]",
            "[('create_date', '<=', datetime.now() + relativedelta(days=1))]",
            "[('create_date', '<=', time.strftime('%Y-12-31 23:59:59'))]",
            "[('create_date', '<=', context_today() + timedelta(days=2))]",
            "[('id', '=', record_id)] if 'state' not in changed else [('id', '=', 0)]",
        ):
            with self.subTest(condition):
                self.rule.condition_domain = condition
                self.assertMatches(self._permit())

    def test_what_has_changed(self):
        trigger = self._trigger(state_to="approved")
        self._rule(trigger, condition_domain="[('id', '=', record_id if 'state' in changed else 0)]")
        permit = self._permit()
        self.commit()
        permit.state = "approved"
        self.commit()
        self.assertEqual(self.rows().permit_id, permit)

    def test_remaining_days_mean_what_they_mean_in_a_search(self):
        """A permit without an expiry date never expires, so no number of days matches it."""
        self.rule.condition_domain = "[('days_until_expiry', '<=', 30)]"
        soon = fields.Date.add(fields.Date.today(), days=20)
        self.assertMatches(self._permit(expiry_date=soon), self._permit())

    def test_archived_record(self):
        self.rule.condition_domain = "[('state', '=', 'approved')]"
        self.assertMatches(self._permit(state="approved", active=False))

    # === PYTHON ===#

    def test_python(self):
        self.rule.condition_python = "record.partner_id.is_company"
        office = self._partner("Office", "081200000094", is_company=True)
        self.assertMatches(self._permit(partner_id=office.id), self._permit())

    def test_every_name_of_python(self):
        self.rule.condition_python = (
            "record in records and env['sicantik.permit'] is not None and user.id == env.uid "
            "and recipient is None and time.time() > 0 and context_today() and changed == {} "
            "and datetime.now() - timedelta(days=1) < datetime.now() + relativedelta(days=1) "
            "and (old_state, new_state) == ('a', 'b')"
        )
        self.assertMatches(self._permit(), old_state="a", new_state="b")

    def test_domain_and_python(self):
        self.rule.write(
            {
                "condition_domain": "[('state', '=', 'approved')]",
                "condition_python": "record.permit_number == '1'",
            }
        )
        self.assertMatches(
            self._permit(state="approved", permit_number="1"),
            self._permit(state="approved", permit_number="2"),
            self._permit(state="draft", permit_number="1"),
        )

    def test_python_does_not_see_modules(self):
        self.rule.condition_python = "__import__('os')"
        with mute_logger(EVALUATION):
            self.assertFalse(self.fire(self._permit()))
        self.assertTrue(self.rule.last_error)

    # === COUNTERS ===#

    def test_counters(self):
        self.rule.condition_domain = "[('state', '=', 'approved')]"
        self.assertEqual((self.rule.execution_count, self.rule.last_execution_date), (0, False))
        rows = self.fire(self._permit(state="approved") + self._permit(state="approved") + self._permit())
        self.env.invalidate_all()
        self.assertEqual(self.rule.execution_count, 2)
        self.assertTrue(self.rule.last_execution_date)
        rows[0].state, rows[1].state = "sent", "failed"
        self.env.invalidate_all()
        self.assertEqual((self.rule.success_count, self.rule.failed_count), (1, 1))


class TestContext(RuleCase):
    """What stands in the message."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.env["res.lang"]._activate_lang("id_ID")
        cls.env["ir.module.module"]._load_module_terms([MODULE], ["id_ID"])
        cls.rina = cls._user("Rina T", "081200000091")
        cls.permit = cls._permit(
            permit_type_id=cls.env["sicantik.permit.type"].create({"name": "Izin Reklame"}).id,
            permit_number="503/0017",
            state="approved",
            issue_date="2026-01-05",
            expiry_date="2027-01-04",
            responsible_id=cls.rina.id,
        )
        cls.document = cls._document(
            permit_id=cls.permit.id,
            state="pending_signature",
            pending_since=fields.Datetime.now() - timedelta(hours=50),
            approver_id=cls.rina.id,
        )
        cls.document_trigger = cls._trigger("test_document", "sicantik.document", trigger_type="manual")
        cls.document_rule = cls._rule(cls.document_trigger)

    def _values_for(self, records, code="test_manual", **kwargs):
        return json.loads(self.fire(records, code, **kwargs).context_values)

    def _shipped_templates(self):
        ids = self.env["ir.model.data"].search(
            [("module", "=", MODULE), ("model", "=", "sicantik.whatsapp.template.master")]
        )
        templates = self.env["sicantik.whatsapp.template.master"].browse(ids.mapped("res_id"))
        self.assertGreaterEqual(len(templates), 20)
        return templates

    # === THE DEFAULT MAPPING ===#

    def _filled(self, rule, record):
        """Fire for every shipped template.

        :return: two dicts {template key: parameters}: what is left out, what is empty
        """
        left_out, empty = {}, {}
        for template in self._shipped_templates():
            rule.template_key = template.template_key
            result = self.env["sicantik.notification.trigger"]._process_trigger(
                rule.trigger_code, record, old_state="draft", new_state=record.state
            )
            context = json.loads(self.queue.browse(result["queue_ids"]).context_values)
            for name in json.loads(template.parameter_list):
                if name not in context:
                    left_out.setdefault(template.template_key, []).append(name)
                elif not context[name]:
                    empty.setdefault(template.template_key, []).append(name)
        return left_out, empty

    def test_document_fills_every_shipped_template(self):
        self.assertEqual(self._filled(self.document_rule, self.document), ({}, {}))

    def test_permit_fills_every_shipped_template(self):
        left_out, empty = self._filled(self.rule, self.permit)
        self.assertEqual(left_out, {})
        waiting = {"reminder": ["waktu_pending"], "meta_reminder": ["waktu_pending"]}
        self.assertEqual(empty, waiting, "a permit waits for nobody's signature")

    def test_bare_records_fill_every_shipped_template(self):
        """What a record does not have is an empty text, not a parameter that is missing."""
        self.assertEqual(self._filled(self.rule, self._permit(permit_number=False))[0], {})
        document = self._document(partner_id=self.partner.id)
        self.assertEqual(self._filled(self.document_rule, document)[0], {})

    def test_every_shipped_template_can_be_sent(self):
        self._provider("fonnte")
        templates = self._shipped_templates().filtered(lambda one: not one.template_key.startswith("meta_"))
        for template in templates:
            self.document_rule.template_key = template.template_key
            self.fire(self.document, "test_document")
        self.drain()
        self.assertEqual(set(self.rows(rule_id=self.document_rule.id).mapped("state")), {"sent"})
        texts = [message["text"] for message in self.gateway.messages()]
        self.assertEqual(len(texts), len(templates))
        self.assertFalse([text for text in texts if "{{" in text])

    def test_permit_values(self):
        self.rule.template_key = "permit_renewal_approved"
        self.env["ir.config_parameter"].set_param("web.base.url", "https://sicantik.example.id")
        self.assertEqual(
            self._values_for(self.permit),
            {
                "partner_name": "Ani",
                "permit_type": "Izin Reklame",
                "permit_number_new": "503/0017",
                "start_date": "05-01-2026",
                "expiry_date": "04-01-2027",
                "validity_period": "1 tahun",
                "download_link": f"https://sicantik.example.id/download/{self.permit.registration_id}",
            },
        )

    def test_remaining_days(self):
        self.rule.template_key = "permit_expiry_warning"
        with freeze_time("2026-12-05 08:00:00"):
            self.assertEqual(self._values_for(self.permit)["remaining_days"], "30")

    def test_states_in_the_language_of_the_template(self):
        self.rule.template_key = "status_update"
        result = self.env["sicantik.notification.trigger"]._process_trigger(
            "test_manual", self.permit, old_state="draft", new_state="approved"
        )
        context = json.loads(self.queue.browse(result["queue_ids"]).context_values)
        indonesian = dict(
            self.permit._fields["state"]._description_selection(self.env(context={"lang": "id_ID"}))
        )
        self.assertNotEqual(indonesian["approved"], "Approved", "id.po has the labels")
        self.assertEqual(context["status_lama"], indonesian["draft"])
        self.assertEqual(context["status_baru"], indonesian["approved"])
        self.assertEqual(context["pendaftaran_id"], self.permit.registration_id)

    def test_states_of_an_english_template(self):
        template = self.env.ref(f"{MODULE}.sicantik_whatsapp_template_master_status_update")
        template.language = "en_US"
        self.rule.template_key = "status_update"
        self.assertEqual(self._values_for(self.permit)["status_baru"], "Approved")

    def test_time_that_a_document_has_waited(self):
        self.document_rule.template_key = "reminder"
        context = self._values_for(self.document, "test_document")
        self.assertEqual(context["waktu_pending"], "2 hari 2 jam")
        self.assertEqual(context["nama_pemohon"], "Ani")
        self.assertEqual(context["jenis_izin"], "Izin Reklame")

    def test_staff_are_addressed_by_their_own_name(self):
        self.rule.write({"recipient_type": "field", "recipient_field": "responsible_id"})
        self.assertEqual(self._values_for(self.permit)["partner_name"], "Rina T")

    def test_parameter_called_like_a_field(self):
        """Templates for other models find their parameters when they are called like fields."""
        self.env["sicantik.whatsapp.template.master"].create(
            {
                "template_key": "test_city",
                "name": "City",
                "body_preview": "{{name}} of {{city}}",
                "parameter_list": ["name", "city"],
            }
        )
        trigger = self._trigger("test_partner", "res.partner", trigger_type="manual")
        self._rule(trigger, template_key="test_city")
        self.partner.city = "Medan"
        self.assertEqual(self._values_for(self.partner, "test_partner"), {"name": "Ani", "city": "Medan"})

    # === CONTEXT CODE ===#

    def test_code_of_the_manual(self):
        """Seed 2, section 4.2, word for word."""
        self.rule.context_preparation_code = """
context = {
    'partner_name': recipient.name or 'Bapak/Ibu',
    'permit_number': record.permit_number or '',
    'permit_type': record.permit_type_name or '',
    'status': record.state or '',
    'applicant_name': record.applicant_name or '',
    'expiry_date': record.expiry_date.strftime('%d-%m-%Y') if record.expiry_date else '',
}
"""
        self.assertEqual(
            self._values_for(self.permit),
            {
                "partner_name": "Ani",
                "permit_number": "503/0017",
                "permit_type": "Izin Reklame",
                "status": "approved",
                "applicant_name": "Ani",
                "expiry_date": "04-01-2027",
            },
        )

    def test_what_the_code_leaves_out_comes_from_the_default_mapping(self):
        self.rule.context_preparation_code = "context = {'permit_number': 'mine'}"
        self.assertEqual(self._values_for(self.permit), {"partner_name": "Ani", "permit_number": "mine"})

    def test_code_is_run_for_each_recipient(self):
        budi = self._partner("Budi", "081200000002")
        self.rule.context_preparation_code = "context = {'partner_name': recipient.name.upper()}"
        rows = self.fire(self.permit + self._permit(partner_id=budi.id))
        self.assertEqual([json.loads(row.context_values)["partner_name"] for row in rows], ["ANI", "BUDI"])

    def test_values_that_are_no_text(self):
        self.rule.context_preparation_code = (
            "context = {'partner_name': recipient, 'permit_number': 17, 'a': None, 'b': record.issue_date}"
        )
        self.assertEqual(
            self._values_for(self.permit),
            {"partner_name": "Ani", "permit_number": 17, "a": "", "b": "2026-01-05"},
        )

    def test_code_that_gives_no_dictionary(self):
        self.rule.context_preparation_code = "context = 'nothing'"
        with mute_logger(EVALUATION):
            self.assertFalse(self.fire(self.permit))
        self.assertIn("context", self.rule.last_error)

    def test_values_of_the_call_win(self):
        self.rule.context_preparation_code = "context = {'permit_number': 'of the code'}"
        values = {"partner_name": "Called", "permit_number": "of the call", "extra": 1}
        self.assertEqual(self._values_for(self.permit, values=values), values)

    # === THE TEMPLATE ===#

    def test_template_of_the_rule(self):
        self.assertEqual(self.fire(self.permit).template_key, "test_ready")

    def test_template_of_the_campaign_goes_before_that_of_the_rule(self):
        campaign = self.env["sicantik.notification.campaign"].create(
            {
                "name": "Test",
                "rule_id": self.rule.id,
                "target_domain": f"[('id', '=', {self.permit.id})]",
                "template_key": "permit_reminder",
            }
        )
        campaign.action_start()
        row = campaign.queue_ids
        self.assertEqual(row.template_key, "permit_reminder")
        self.assertEqual(json.loads(row.context_values)["expiry_date"], "04-01-2027")

    def test_rule_and_its_template_follow_each_other(self):
        self.rule.template_master_id = self.meta_template
        self.assertEqual(self.rule.template_key, "meta_test_ready")
        self.rule.template_key = "test_ready"
        self.assertEqual(self.rule.template_master_id, self.template)
        self.rule.template_key = "not_there_yet"
        self.assertFalse(self.rule.template_master_id)
        self.assertEqual(self.rule.template_key, "not_there_yet")


class TestRuleChecks(RuleCase):
    """What is refused when a rule is saved, with a sentence that helps."""

    def assertRefused(self, message, **vals):
        with self.subTest(**vals), self.assertRaisesRegex(ValidationError, message):
            self.rule.write(vals)

    def test_domains_that_cannot_work(self):
        for domain, message in (
            ("[('state', '=', 'approved'", "list of conditions"),
            ("[('state', '=', no_such_name)]", "no_such_name"),
            ("[('no_such_field', '=', 1)]", "no_such_field"),
            ("'state'", "not a domain"),
            ("42", "not a domain"),
            ("[('state', '=')]", "list of conditions"),
        ):
            self.assertRefused(message, condition_domain=domain)
            self.assertRefused(
                message.replace("state", "name"), recipient_domain=domain.replace("state", "name")
            )

    def test_domains_see_no_recordset(self):
        for name in ("record", "records", "env", "user", "recipient", "self"):
            self.assertRefused(name, condition_domain=f"[('id', 'in', {name}.ids)]")

    def test_field_that_leads_to_nobody(self):
        for path in (
            False,
            "no_such_field",
            "state",
            "permit_type_id",
            "partner_id.name",
            "partner_id.country_id",
        ):
            self.assertRefused("does not lead to contacts", recipient_type="field", recipient_field=path)

    def test_numbers_that_make_no_sense(self):
        for name, value in (
            ("batch_size", 0),
            ("scheduled_delay", -1),
            ("batch_interval", -1),
            ("retry_delay", -1),
            ("max_retries", -1),
        ):
            with (
                self.subTest(name),
                mute_logger("odoo.sql_db"),
                self.assertRaises(IntegrityError),
                self.env.cr.savepoint(),
            ):
                self.rule[name] = value
                self.env.flush_all()

    def test_template_that_does_not_exist_is_a_warning(self):
        rule = self.env["sicantik.notification.rule"].new({"template_key": "no_such_key"})
        self.assertIn("no_such_key", rule._onchange_template_key()["warning"]["message"])
        rule.template_key = "test_ready"
        self.assertFalse(rule._onchange_template_key())
        self.rule.template_key = "no_such_key"
        self.assertTrue(self.fire(self._permit()), "it is saved, and its messages fail later")

    def test_defaults(self):
        rule = self.env["sicantik.notification.rule"].create({"name": "New", "trigger_id": self.trigger.id})
        self.assertRecordValues(
            rule,
            [
                {
                    "active": True,
                    "recipient_type": "partner",
                    "schedule_type": "immediate",
                    "batch_size": 100,
                    "batch_interval": 5,
                    "rate_limit_enabled": True,
                    "rate_limit_count": 100,
                    "rate_limit_period": "hour",
                    "max_retries": 3,
                    "retry_delay": 5,
                    "respect_blacklist": True,
                    "channel": "whatsapp",
                    "require_opt_in": False,
                    "urgent": False,
                    "repeat_policy": "always",
                    "trigger_code": "test_manual",
                }
            ],
        )
