"""Conditions that are answered without a search find what the search finds."""

from itertools import product

from odoo.tools import mute_logger

from ..models.plain_domain import PlainDomain
from .common import NotificationCase


class TestPlainDomain(NotificationCase):
    """Each domain is answered both ways, for records with every kind of value, NULL among them."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        office = cls.env["res.company"].create({"name": "Other office"})
        cls.partners = cls.env["res.partner"].create(
            [
                {"name": "Ani", "ref": "a", "color": 3, "employee": True, "lang": "en_US"},
                {"name": "Budi", "ref": "b", "color": -2, "parent_id": cls.partner.id},
                {"name": "Citra", "ref": False, "color": 0, "active": False, "company_id": office.id},
                {"name": "Dewi", "ref": "A", "color": 1, "comment": "x", "tz": "UTC"},
            ]
        )
        cls.empty = cls.env["res.partner"].create([{"name": "Null"}, {"name": "Text", "ref": ""}])
        cls.env.flush_all()
        cls.env.cr.execute(
            "UPDATE res_partner SET color = NULL, employee = NULL, ref = NULL WHERE id = %s",
            [cls.empty[0].id],
        )
        cls.records = (cls.partners + cls.empty).sudo()
        cls.permits = (
            cls._permit(issue_date="2026-01-01") + cls._permit(state="approved") + cls._permit()
        ).sudo()
        cls.permits[1].write({"issue_date": "2026-01-02", "permit_number": False, "is_renewal": True})

    def _found(self, domain, records):
        found = records.with_context(active_test=False).search([("id", "in", records.ids), *domain])
        return records.filtered(lambda record: record in found)

    def assertSame(self, domain, records=None):
        """Assert that the values tell what the search finds, or that they say that they cannot tell.

        :return: the records found, None when only the search could tell
        """
        records = self.records if records is None else records
        plain = PlainDomain.of(records, domain)
        for state in ("cold", "warm"):
            if state == "cold":
                self.env.invalidate_all()
            found = plain and plain.within(records)
            if found is not None:
                self.assertEqual(found.ids, self._found(domain, records).ids, f"{domain}, {state} cache")
        return found

    def test_every_comparison_with_every_value(self):
        of_partners = {
            "ref": (False, None, "a", "b", "", "a ", "%", 1),
            "color": (False, None, 0, 1, 3, -2, True, "3", 2.5, 2**40),
            "employee": (False, True, None, 0),
            "active": (True, False),
            "parent_id": (False, None, 0, self.partner.id, -1, "Ani", True),
            "company_id": (False, self.env.company.id),
            "lang": (False, "en_US"),
            "create_date": (False, None),
            "id": (False, self.records[0].id, 0, -1),
        }
        of_permits = {
            "issue_date": (False, None, "2026-01-01", "20260101", "2026-W01-1", "2026-01-01 10:00:00"),
            "state": (False, "draft", "approved", "no such state"),
            "permit_number": (False, "503/0001"),
            "is_renewal": (True, False),
            "partner_id": (False, self.partner.id),
        }
        told = 0
        for records, values in ((self.records, of_partners), (self.permits, of_permits)):
            for term in self._terms(values):
                with self.subTest(term):
                    told += self._answers(records, term)
        self.assertGreater(told, 500, "most of them are answered without a search")

    def _terms(self, values):
        for name, of in values.items():
            yield from ((name, *rest) for rest in product(("=", "!=", "<", "<=", ">", ">="), of))
            for operator, size in product(("in", "not in"), range(4)):
                yield name, operator, list(of[:size])
                yield name, operator, list(of[len(of) - size :])

    def _answers(self, records, term):
        """Compare both answers for all records and for each; count those that took no search."""
        try:
            with mute_logger("odoo.sql_db"), self.env.cr.savepoint(flush=False):
                records.search([term])
        except Exception:
            self.assertIsNone(PlainDomain.of(records, [term]), "what a search refuses is not answered")
            return 0
        return sum(self.assertSame([term], some) is not None for some in (records, *records))

    def test_operators(self):
        first, second, third = ("ref", "=", "a"), ("color", ">", 2), ("employee", "=", True)
        known = self.partners[0] + self.partners[1] + self.partners[3]
        for domain in (
            [first, second],
            ["&", first, second],
            ["|", first, second],
            ["|", "|", first, second, third],
            ["&", "|", first, second, third],
            ["|", first, "&", second, third],
            [first, "|", second, third],
        ):
            with self.subTest(domain):
                self.assertIsNotNone(self.assertSame(domain, known.sudo()))

    def test_what_only_a_search_can_answer(self):
        for domain in (
            ["!", ("ref", "=", "a")],
            ["|", ("ref", "=", "a")],
            ["&"],
            [(1, "=", 1)],
            [("ref", "ilike", "a")],
            [("ref", ">", "a")],
            [("ref", "=", "")],
            [("parent_id.ref", "=", "a")],
            [("parent_id", "=", "Ani")],
            [("parent_id", "child_of", 1)],
            [("child_ids", "=", False)],
            [("category_id", "in", [1])],
            [("create_date", ">", "2026-01-01")],
            [("partner_latitude", "=", 0)],
            [("no_such_field", "=", 1)],
            [("email_formatted", "=", "a")],
            [("employee", "=", None)],
            [("ref", "in", "a")],
        ):
            with self.subTest(domain):
                self.assertIsNone(PlainDomain.of(self.records, domain))

    def test_translated_names(self):
        self.assertIsNone(PlainDomain.of(self.env["sicantik.notification.rule"], [("name", "=", "x")]))

    def test_model_that_searches_in_its_own_way(self):
        self.assertIsNone(PlainDomain.of(self.env["ir.attachment"], [("name", "=", "x")]))

    def test_rights_of_a_user_take_a_search(self):
        records = self.records.with_user(self.env.ref("base.user_admin"))
        self.assertIsNone(PlainDomain.of(records, [("color", "=", 3)]).within(records))

    def test_deleted_record_takes_a_search(self):
        record = self.env["res.partner"].create({"name": "Gone"}).sudo()
        record.unlink()
        self.assertIsNone(PlainDomain.of(record, [("ref", "=", "a")]).within(record))

    def test_values_that_are_not_written_yet(self):
        self.records[0].ref = "new"
        self.assertEqual(self.assertSame([("ref", "=", "new")], self.records[0]), self.records[0])

    def test_order_and_emptiness(self):
        records = self.records.sorted("id", reverse=True)
        self.assertEqual(PlainDomain.of(records, []).within(records), records)
        self.assertEqual(
            self.assertSame([("active", "=", True)], records).ids, (records - self.partners[2]).ids
        )
        self.assertEqual(
            PlainDomain.of(records, [("ref", "=", "a")]).within(records.browse()), records.browse()
        )
