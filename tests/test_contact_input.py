"""How lists of contacts are read; plain Python."""

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from odoo.tests import tagged
from odoo.tests.common import BaseCase

from ..models.contact_input import MALFORMED, NO_PHONE, NOT_A_CONTACT, Entry, parse

SETTINGS = settings(deadline=None, database=None, derandomize=True)
NUMBERS = st.integers(0, 99_999_999).map(lambda number: f"0812{number:08}")
IDS = st.integers(1, 99_999_999)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.sampled_from(["phone", "id"]), inner),
)


def plain(entries):
    """Give what counts: ids as int, numbers as str, faults by name."""
    return [entry.fault or entry.partner_id or entry.number for entry in entries]


@tagged("post_install", "-at_install")
class TestContactInput(BaseCase):
    def test_shapes(self):
        for text, expected in (
            (None, []),
            ("  \n ", []),
            ("081200000001", ["081200000001"]),
            ("081200000001, +62 812-0000-0002", ["081200000001", "+62 812-0000-0002"]),
            ("081200000001;081200000002;", ["081200000001", "081200000002"]),
            ("081200000001\r\n\r\n081200000002\n", ["081200000001", "081200000002"]),
            ("12, 7", [12, 7]),
            ("[12, 7]", [12, 7]),
            ('["12", "081200000001"]', [12, "081200000001"]),
            ("[6281200000001, 81200000002]", ["6281200000001", "81200000002"]),
            ("[6281200000001.0]", ["6281200000001"]),
            ('[{"phone": "081200000001", "name": "Ani", "id": 4}]', ["081200000001"]),
            ('[{"phone_number": 6281200000001}]', ["6281200000001"]),
            ('[{"phone": null, "phone_number": "", "id": 4}]', [4]),
            ('[{"phone": "", "id": "4"}]', [4]),
            ('{"phone": "081200000001"}', ["081200000001"]),
            # What is no JSON, and yet clear.
            ("[081200000001, 081200000002]", ["081200000001", "081200000002"]),
            ("['081200000001', '7']", ["081200000001", 7]),
            ("{081200000001,7}", ["081200000001", 7]),
            ('"081200000001", 7', ["081200000001", 7]),
            ("6281200000001@c.us", ["6281200000001@c.us"]),
        ):
            with self.subTest(text):
                self.assertEqual(plain(parse(text)), expected)

    def test_what_is_an_id(self):
        for text, expected in (
            ("1", 1),
            ("99999999", 99_999_999),
            ("100000000", "100000000"),
            ("0812", "0812"),
            ("+62", "+62"),
            ("0", "0"),
            ("１２", "１２"),
        ):
            with self.subTest(text):
                self.assertEqual(plain(parse(text)), [expected])

    def test_faults(self):
        for text, expected in (
            ("[true, null, [1], 1.5, 1e400]", [NOT_A_CONTACT] * 5),
            ('[{}, {"id": "a-b"}, {"phone": true}, {"id": 0}]', [NO_PHONE] * 4),
            ('[{"phone": "0812"', [MALFORMED]),
            ("{'phone': '0812'}", [MALFORMED]),
            ("[" * 100_000, [MALFORMED]),
            ("[" + "9" * 5000 + "]", ["9" * 5000]),
        ):
            with self.subTest(text[:40]):
                self.assertEqual(plain(parse(text)), expected)

    def test_one_fault_leaves_the_others(self):
        self.assertEqual(
            plain(parse('[null, "081200000001", {}, 7]')), [NOT_A_CONTACT, "081200000001", NO_PHONE, 7]
        )

    @SETTINGS
    @given(st.lists(NUMBERS | IDS, min_size=1))
    def test_every_shape_says_the_same(self, contacts):
        texts = [str(one) for one in contacts]
        shapes = [
            *(separator.join(texts) for separator in (",", ", ", ";", "\n", "\r\n", " ,\n")),
            json.dumps(contacts),
            json.dumps(texts),
            json.dumps([{"phone": one} if isinstance(one, str) else {"id": one} for one in contacts]),
            "[" + ", ".join(texts) + "]",
            "{" + ",".join(texts) + "}",
        ]
        for shape in shapes:
            self.assertEqual(plain(parse(shape)), contacts, shape)

    @SETTINGS
    @given(st.text() | JSON.map(json.dumps) | st.lists(JSON).map(json.dumps))
    def test_any_text(self, text):
        """Never an exception; each entry is exactly one thing, and can be shown and stored."""
        for entry in parse(text):
            self.assertIsInstance(entry, Entry)
            self.assertEqual(sum(map(bool, (entry.partner_id, entry.number, entry.fault))), 1)
            self.assertLessEqual(len(entry.text), 60)
            self.assertNotIn("\n", entry.text)
            self.assertNotIn("\x00", entry.text)
            entry.text.encode()

    @SETTINGS
    @given(st.lists(JSON))
    def test_one_entry_per_element(self, values):
        self.assertEqual(len(parse(json.dumps(values))), len(values))
