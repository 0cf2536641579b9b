import unittest

from ..phone import digits, mask, to_e164

SAME = (
    "081234567890",
    "81234567890",
    "6281234567890",
    "+62 812-3456-7890",
    "+6281234567890",
    "0812-3456-7890",
    "0812.3456.7890",
    "(0812) 3456 7890",
    "+62 (0)812-3456-7890",
    "62 812 3456 7890",
    "006281234567890",
    "00 62 812 3456 7890",
    "  081234567890\n",
    "6281234567890@c.us",
    "6281234567890@s.whatsapp.net",
    "6281234567890:12@s.whatsapp.net",
    "０８１２３４５６７８９０",
    6281234567890,
)

NO_NUMBER = (
    None,
    False,
    "",
    " ",
    "-",
    "0812",
    "08123",
    "112",
    "110",
    "911",
    "abc",
    "0812ABC7890",
    "0812 3456 7890 ext 5",
    "081234567890;ext=5",
    "081234567890, 081234567891",
    "0812345678901234567890",
    "0" * 200,
    "+",
    "+0",
    "00",
    "+6200000000000",
    "120363000000000000@g.us",
    "12345678901234@lid",
    "user@example.id",
    "8123456",
)


class TestPhone(unittest.TestCase):
    def test_many_spellings_one_number(self):
        for spelling in SAME:
            with self.subTest(spelling):
                self.assertEqual(to_e164(spelling), "+6281234567890")

    def test_no_number(self):
        for raw in NO_NUMBER:
            with self.subTest(raw):
                self.assertIsNone(to_e164(raw))

    def test_the_tests_own_numbers_are_valid(self):
        self.assertEqual(to_e164("081200000001"), "+6281200000001")

    def test_region(self):
        self.assertEqual(to_e164("9123 4567", "SG"), "+6591234567")
        self.assertEqual(to_e164("9123 4567", "sg"), "+6591234567")
        self.assertEqual(to_e164("+65 9123 4567"), "+6591234567")
        self.assertEqual(to_e164("081234567890", ""), "+6281234567890")
        self.assertEqual(to_e164("081234567890", None), "+6281234567890")

    def test_home_number_without_plus_in_another_region(self):
        for region in ("SG", "US", "ZZ"):
            with self.subTest(region):
                self.assertEqual(to_e164("6281234567890", region), "+6281234567890")

    def test_no_guess_at_other_country_codes(self):
        # +81 3 2345 6789 is a number in Tokyo; without plus it is a mistyped Indonesian one.
        self.assertEqual(to_e164("+81323456789"), "+81323456789")
        self.assertNotEqual(to_e164("81323456789"), "+81323456789")
        self.assertIsNone(to_e164("6591234567", "US"))

    def test_whatsapp_ids_are_international(self):
        self.assertEqual(to_e164("6591234567@c.us"), "+6591234567")
        self.assertIsNone(to_e164("081234567890@c.us"))

    def test_digits_and_mask(self):
        self.assertEqual(digits("+6281200000001"), "6281200000001")
        self.assertEqual(mask("+6281200000001"), "+62812****01")
        self.assertEqual(mask("+1234567"), "****")
