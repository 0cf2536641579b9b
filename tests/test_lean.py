"""The queue's lean table: what it gave up in columns and keys is not missed."""

from unittest.mock import patch

from odoo.exceptions import ValidationError
from odoo.sql_db import Cursor
from odoo.tests import tagged

from ..models import sicantik_notification_expansion as expansion
from ..models.sicantik_notification_evaluation import Event, Failure
from .common import NotificationCase


@tagged("post_install", "-at_install")
class TestSubject(NotificationCase):
    """`permit_id` and `document_id` are what `res_model` and `res_id` say."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.permit = cls._permit()
        cls.document = cls.env["sicantik.document"].create({"name": "Permit", "permit_id": cls.permit.id})
        cls.of_permit = cls._row(permit_id=cls.permit.id)
        cls.of_document = cls._row(document_id=cls.document.id)
        cls.of_nothing = cls._row()
        cls.all = cls.of_permit + cls.of_document + cls.of_nothing
        cls.env.flush_all()
        cls.env.invalidate_all()

    def found(self, *condition):
        return self.queue.search([("id", "in", self.all.ids), condition], order="id")

    def test_rows_by_hand(self):
        self.assertEqual(
            (self.of_permit.res_model, self.of_permit.res_id), ("sicantik.permit", self.permit.id)
        )
        self.assertEqual(
            (self.of_document.res_model, self.of_document.res_id), ("sicantik.document", self.document.id)
        )
        self.assertFalse(self.of_nothing.res_model)

    def test_a_documents_row_knows_the_permit(self):
        self.assertEqual(
            [row.permit_id for row in self.all], [self.permit, self.permit, self.permit.browse()]
        )
        self.assertEqual(self.all.mapped("document_id"), self.document)

    def test_document_and_its_permit_together(self):
        row = self._row(document_id=self.document.id, permit_id=self.permit.id)
        self.assertEqual((row.res_model, row.document_id), ("sicantik.document", self.document))

    def test_search(self):
        about = self.of_permit + self.of_document
        for condition in (
            ("permit_id", "=", self.permit.id),
            ("permit_id", "in", self.permit.ids),
            ("permit_id", "!=", False),
            ("permit_id", "ilike", "503/00"),
            ("permit_id.permit_number", "=", "503/0001"),
            ("permit_id", "not in", [False]),
        ):
            self.assertEqual(self.found(*condition), about, condition)
        for condition in (
            ("permit_id", "=", False),
            ("permit_id", "!=", self.permit.id),
            ("permit_id", "not ilike", "503/00"),
        ):
            self.assertEqual(self.found(*condition), self.of_nothing, condition)
        self.assertEqual(self.found("permit_id", "in", [False, self.permit.id]), self.all)
        self.assertEqual(self.found("document_id", "=", self.document.id), self.of_document)
        self.assertEqual(self.found("document_id", "=", False), self.of_permit + self.of_nothing)

    def test_another_subject(self):
        other = self._permit(permit_number="503/0002")
        self.of_nothing.permit_id = other
        self.of_document.document_id = False
        self.of_permit.permit_id = False
        self.assertEqual((self.of_nothing.res_model, self.of_nothing.res_id), ("sicantik.permit", other.id))
        self.assertEqual(
            (self.of_document.res_model, self.of_document.res_id), ("sicantik.permit", self.permit.id)
        )
        self.assertFalse(self.of_permit.res_id)

    def test_deleted_record(self):
        self.document.unlink()
        self.permit.unlink()
        self.assertFalse(self.all.permit_id or self.all.document_id)
        self.assertTrue(self.all.read(["permit_id", "document_id"]))
        self.assertFalse(self.found("permit_id", "!=", False))

    def test_dates_are_kept(self):
        row = self._row()
        self.assertTrue(row.create_date and row.write_date)
        self.env.cr.execute(
            "UPDATE sicantik_notification_queue SET write_date = '2020-01-01' WHERE id = %s", [row.id]
        )
        row.invalidate_recordset()
        row.priority = 7
        self.assertGreater(row.write_date.year, 2020)


@tagged("post_install", "-at_install")
class TestReferences(NotificationCase):
    """Without foreign keys there is still no reference to what is not there."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.trigger = cls._trigger("lean", trigger_type="manual")
        cls.rule = cls._rule(cls.trigger)
        cls.company = cls.env["res.company"].create({"name": "Elsewhere"})

    def assertForgotten(self, row, name):
        self.env.invalidate_all()
        self.assertFalse(row[name])
        self.assertTrue(row.exists() and row.read([name]))

    def test_deleted_rule(self):
        row, other = self._row(rule_id=self.rule.id), self._row(rule_id=self._rule(self.trigger).id)
        self.rule.unlink()
        self.assertForgotten(row, "rule_id")
        self.assertTrue(other.rule_id)

    def test_rule_deleted_with_its_trigger(self):
        """That is done by the database."""
        row = self._row(rule_id=self.rule.id)
        self.trigger.unlink()
        self.assertForgotten(row, "rule_id")

    def test_deleted_campaign(self):
        campaign = self.env["sicantik.notification.campaign"].create(
            {"name": "Lean", "rule_id": self.rule.id}
        )
        row = self._row(campaign_id=campaign.id)
        campaign.unlink()
        self.assertForgotten(row, "campaign_id")

    def test_deleted_company(self):
        row = self._row(company_id=self.company.id)
        self.company.unlink()
        self.assertForgotten(row, "company_id")

    def test_nobody_refers_to_what_is_not_there(self):
        row = self._row()
        for name in ("rule_id", "campaign_id", "company_id"):
            with self.assertRaises(ValidationError), self.cr.savepoint():
                self._row(**{name: 2**31 - 1})
            with self.assertRaises(ValidationError), self.cr.savepoint():
                row.write({name: 2**31 - 1})


@tagged("post_install", "-at_install")
class TestBulk(NotificationCase):
    """Many rows at once."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.rule = cls._rule(cls._trigger("lean", trigger_type="manual"))
        cls.permits = cls.env["sicantik.permit"].union(
            *(
                cls._permit(
                    partner_id=cls._partner(f"Applicant {n}", f"0812000000{n}").id, permit_number=f"Lean {n}"
                )
                for n in range(10, 40)
            )
        )

    def test_rows_that_are_left_out_do_not_shift_the_others(self):
        def rows(permits, key):
            events = dict.fromkeys(permits.ids, Event(key))
            return self.rule._prepare_rows(permits, events, Failure())

        self.queue._enqueue(rows(self.permits[::2], "lean"))
        made = self.queue._enqueue(rows(self.permits, "lean"))
        self.assertEqual(sorted(made), self.permits[1::2].ids)
        for permit, ids in made.items():
            self.assertEqual(self.queue.browse(ids).res_id, permit)

    def test_campaign_costs_the_same_at_its_end(self):
        """No step reads what the ones before it have queued, and everybody is told once."""
        campaign = self.env["sicantik.notification.campaign"].create(
            {
                "name": "Lean",
                "rule_id": self.rule.id,
                "target_domain": "[('permit_number', 'like', 'Lean')]",
                "state": "running",
            }
        )
        steps, statements, more, after = 0, [], True, 0
        execute = Cursor.execute

        def noting(cr, query, *args, **kwargs):
            statements.append(getattr(query, "code", query))
            return execute(cr, query, *args, **kwargs)

        with patch.object(expansion, "CHUNK", 10), patch.object(Cursor, "execute", noting):
            while more:
                self.env.flush_all()
                self.env.invalidate_all()
                step = self.env["sicantik.notification.expansion"]._step
                more, after, _position = step(campaign.id, after, None)
                steps += 1
        self.assertTrue(campaign.expanded)
        self.assertEqual(steps, 4)
        self.assertTrue(statements)
        self.assertFalse([text for text in statements if 'FROM "sicantik_notification_queue"' in text])
        self.assertEqual(
            [(row.permit_id, row.partner_id) for row in campaign.queue_ids.sorted("res_id")],
            [(permit, permit.partner_id) for permit in self.permits],
        )
        self.assertEqual(
            campaign.queue_ids[0]._context_dict()["partner_name"], campaign.queue_ids[0].partner_id.name
        )
