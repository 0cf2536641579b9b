import unittest

from ..parameters import (
    MissingParameter,
    fonnte_body,
    meta_body,
    names_in,
    ordered,
    render,
    to_fonnte,
    to_meta,
    to_twilio,
    to_watzap,
)

# The example of the seeds ("Parameter Mapping").
BODY = "{{partner_name}}, izin {{permit_type}} Anda dengan nomor {{permit_number}} telah selesai diproses."
NAMES = ["partner_name", "permit_type", "permit_number"]
VALUES = {
    "partner_name": "John Doe",
    "permit_type": "SIUP",
    "permit_number": "503.517-0186-IX-SIUP-DPM-PPTSP-2018",
}
PAIRS = tuple(VALUES.items())


class TestParameters(unittest.TestCase):
    def test_names_in_order_of_first_appearance(self):
        self.assertEqual(names_in("{{b}} {{ a }} {{b}} {c} {{}} {{d-e}}"), ("b", "a"))
        self.assertEqual(names_in(""), ())

    def test_render(self):
        number = "503.517-0186-IX-SIUP-DPM-PPTSP-2018"
        text = f"John Doe, izin SIUP Anda dengan nomor {number} telah selesai diproses."
        self.assertEqual(render(BODY, VALUES), text)

    def test_render_turns_values_into_text_and_ignores_the_others(self):
        self.assertEqual(render("{{a}}|{{b}}|{{c}}", {"a": 0, "b": "", "c": False, "d": None}), "0||False")

    def test_a_placeholder_in_a_value_stays(self):
        self.assertEqual(render("{{a}} {{b}}", {"a": "{{b}}", "b": r"\1 {{a}}"}), r"{{b}} \1 {{a}}")

    def test_missing_parameters_are_all_named(self):
        for call in (
            lambda: render("{{a}} {{b}} {{c}} {{b}}", {"a": 1, "c": None}),
            lambda: ordered(["a", "b", "c"], {"a": 1, "c": None}),
            lambda: meta_body("{{a}} {{b}} {{c}}", ["a"]),
            lambda: fonnte_body("{{a}} {{b}} {{c}}", ["a"]),
        ):
            with self.assertRaises(MissingParameter) as caught:
                call()
            self.assertEqual(caught.exception.names, ("b", "c"))
            self.assertIn("b, c", str(caught.exception))

    def test_ordered(self):
        self.assertEqual(ordered(reversed(NAMES), VALUES), PAIRS[::-1])
        self.assertEqual(ordered(["n"], {"n": 5}), (("n", "5"),))
        self.assertEqual(ordered([], VALUES), ())

    def test_meta(self):
        self.assertEqual(
            meta_body(BODY, NAMES), "{{1}}, izin {{2}} Anda dengan nomor {{3}} telah selesai diproses."
        )
        self.assertEqual(
            to_meta(PAIRS[:2]), [{"type": "text", "text": "John Doe"}, {"type": "text", "text": "SIUP"}]
        )

    def test_meta_gets_no_value_that_it_refuses(self):
        values = ("", "  ", "\n", "a\r\n b\tc", "a     b", "a    b", " a ")
        texts = [parameter["text"] for parameter in to_meta([("x", value) for value in values])]
        self.assertEqual(texts, ["-", "-", "-", "a b c", "a b", "a    b", "a"])

    def test_twilio_gets_them_numbered_and_clean(self):
        self.assertEqual(to_twilio(PAIRS[:2]), {"1": "John Doe", "2": "SIUP"})
        self.assertEqual(to_twilio((("x", " "), ("y", "a\r\n b"))), {"1": "-", "2": "a b"})
        self.assertEqual(to_twilio(()), {})

    def test_watzap(self):
        self.assertEqual(
            to_watzap(PAIRS), {"1": "John Doe", "2": "SIUP", "3": "503.517-0186-IX-SIUP-DPM-PPTSP-2018"}
        )

    def test_fonnte(self):
        self.assertEqual(
            to_fonnte(PAIRS),
            {"var1": "John Doe", "var2": "SIUP", "var3": "503.517-0186-IX-SIUP-DPM-PPTSP-2018"},
        )
        self.assertEqual(
            fonnte_body(BODY, NAMES), "{var1}, izin {var2} Anda dengan nomor {var3} telah selesai diproses."
        )

    def test_a_placeholder_may_come_twice_and_out_of_order(self):
        self.assertEqual(meta_body("{{b}} {{a}} {{b}}", ["a", "b"]), "{{2}} {{1}} {{2}}")
