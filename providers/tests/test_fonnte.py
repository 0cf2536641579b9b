"""Fonnte's own words: form, variables, reasons, device test (providers.md 2)."""

import unittest
from urllib.parse import parse_qs

from .. import ACCEPTED, REFUSED, Account, Message, errors, provider_for
from ..fonnte import CODES
from ..transport import Answer
from .support import PHONE, gateway, saying, template_message

# providers.md 2.4: reason → class and scope.
EXPECTED = {
    "token invalid": ("bad_credentials", "acct"),
    "devices must belong to an account": ("bad_credentials", "sender"),
    "unknown user": ("bad_credentials", "acct"),
    "invalid device": ("bad_credentials", "sender"),
    "request invalid on disconnected device": ("account_blocked", "sender"),
    "insufficient quota": ("account_blocked", "sender"),
    "target invalid": ("bad_recipient", "rcpt"),
    "input invalid": ("unknown", "msg"),
    "json format invalid": ("unknown", "msg"),
    "url invalid": ("bad_template", "msg"),
    "url unreachable": ("bad_template", "msg"),
    "file format not supported": ("bad_template", "msg"),
    "file size must under 4mb": ("bad_template", "msg"),
    "id required": ("unknown", "msg"),
    "device already connect": ("unknown", "msg"),
    "device already disconnected": ("unknown", "msg"),
}


class TestFonnte(unittest.TestCase):
    def setUp(self):
        self.gateway = gateway()
        self.gateway.reset()
        self.provider = provider_for(self.gateway.account("fonnte"))

    def attempt(self, answer, message=None):
        """Return the attempt when the service answers with ``answer``, and the form that it got."""
        with saying(answer) as server:
            provider = provider_for(self.gateway.account("fonnte", base_url=server.url))
            attempt = provider.send(message or template_message())
            head, _blank, body = server.requests[0].partition(b"\r\n\r\n")
        self.assertIn(b"Authorization: FONNTE-TOKEN-DEMO\r\n", head + b"\r\n")
        form = {name: values[0] for name, values in parse_qs(body.decode(), keep_blank_values=True).items()}
        return attempt, form

    def test_request(self):
        _attempt, form = self.attempt({"status": True})
        text = "Budi, izin SIUP selesai."
        self.assertEqual(form, {"target": "6281200000001", "message": text, "countryCode": "0"})

    def test_variables(self):
        _attempt, form = self.attempt({"status": True}, template_message(fonnte_variables=True))
        self.assertEqual(form["target"], "6281200000001|Budi|Budi|SIUP")
        self.assertEqual(form["message"], "{var1}, izin {var2} selesai.")

    def test_variables_arrive_as_the_same_text(self):
        message = template_message(fonnte_variables=True)
        self.assertEqual(self.provider.send(message).outcome, ACCEPTED)
        (received,) = self.gateway.messages()
        self.assertEqual((received["to"], received["text"]), (PHONE[1:], message.text))

    def test_values_that_cannot_travel_as_variables(self):
        for value in ("a|b", "a,b", "a\nb", "a\rb", "", " a", "a ", "{var2}"):
            with self.subTest(value):
                parameters = (("partner_name", value), ("permit_type", "SIUP"))
                message = template_message(parameters=parameters, fonnte_variables=True)
                _attempt, form = self.attempt({"status": True}, message)
                self.assertEqual(form["target"], "6281200000001")
                self.assertEqual(form["message"], message.text)

    def test_variables_need_a_body_and_parameters(self):
        for changes in ({"body": ""}, {"parameters": ()}):
            _attempt, form = self.attempt(
                {"status": True}, template_message(fonnte_variables=True, **changes)
            )
            self.assertEqual(form["message"], "Budi, izin SIUP selesai.")

    def test_a_complete_number_is_not_rewritten(self):
        self.provider.send(Message("+6590000001", "Halo"))
        self.assertEqual([one["to"] for one in self.gateway.messages()], ["6590000001"])

    def test_ways_to_say_success(self):
        answers = (
            ({"status": True, "id": ["80000001"]}, "80000001"),
            ({"status": "true", "id": [80000001, 80000002]}, "80000001"),
            ({"Status": True, "ID": ["80000001"]}, "80000001"),
            ({"status": "True"}, ""),
            ({"status": True, "id": "80000001"}, ""),
        )
        for answer, message_id in answers:
            with self.subTest(answer):
                attempt, _form = self.attempt(answer)
                self.assertEqual((attempt.outcome, attempt.message_id), (ACCEPTED, message_id))

    def test_ways_to_say_no(self):
        answers = (
            ({"status": False, "reason": "token invalid"}, errors.BAD_CREDENTIALS),
            ({"Status": False, "Reason": " Token Invalid "}, errors.BAD_CREDENTIALS),
            ({"status": "false", "reason": "insufficient quota"}, errors.ACCOUNT_BLOCKED),
            ({"status": False, "detail": "target invalid"}, errors.BAD_RECIPIENT),
            ({"status": False, "reason": "never seen before"}, errors.UNKNOWN),
            ({"status": False}, errors.UNKNOWN),
            ({"status": False, "reason": ["target invalid"]}, errors.UNKNOWN),
        )
        for answer, error_class in answers:
            with self.subTest(answer):
                attempt, _form = self.attempt(answer)
                self.assertEqual((attempt.outcome, attempt.error_class), (REFUSED, error_class))
                self.assertTrue(attempt.error_code)

    def test_a_status_that_says_neither(self):
        for answer in ({"status": 1}, {"status": "ok"}, {"reason": "token invalid"}):
            with self.subTest(answer):
                attempt, _form = self.attempt(answer)
                self.assertEqual(attempt.error_class, errors.INTERRUPTED)

    def test_every_reason(self):
        self.assertEqual(set(EXPECTED), set(CODES))
        for reason, (error_class, scope) in EXPECTED.items():
            with self.subTest(reason):
                self.gateway.play("fonnte", reason)
                attempt = self.provider.send(template_message())
                self.assertEqual(
                    (attempt.outcome, attempt.error_class, attempt.scope, attempt.error_code),
                    (REFUSED, error_class, scope, reason),
                )
        self.assertEqual(self.gateway.messages(), [])

    # -- Connection test -------------------------------------------------------------------------------------

    def test_disconnected_device(self):
        self.gateway.configure(fonnte={"connected": False})
        report = self.provider.test_connection()
        self.assertFalse(report.ok)
        self.assertIn("QR", report.message)
        self.assertEqual(report.details["device_status"], "disconnect")

    def test_empty_quota(self):
        self.gateway.configure(fonnte={"quota": 0})
        report = self.provider.test_connection()
        self.assertFalse(report.ok)
        self.assertIn("quota", report.message)

    def test_device_of_the_token(self):
        self.gateway.configure(fonnte={"device": "6281200000008"})
        for sender_id, ok in (
            ("", True),
            ("0812-0000-0008", True),
            ("Kantor", True),
            ("0812-0000-0009", False),
        ):
            with self.subTest(sender_id):
                account = self.gateway.account("fonnte", sender_id=sender_id)
                self.assertEqual(provider_for(account).test_connection().ok, ok)


class TestStorable(unittest.TestCase):
    """What a service says ends up in a database: NUL and lone surrogates would be refused there."""

    def test_reason_and_id(self):
        provider = provider_for(Account("fonnte", "http://127.0.0.1:9", "T"))
        message = Message("+6281200000001", "Halo")
        for body in (
            {"status": False, "reason": "odd\0te\ud800xt"},
            {"status": True, "id": ["8\0\ud8001"], "detail": "ok"},
        ):
            attempt = provider._read_send(Answer(200, {}, body, "", 1), message)
            told = attempt.error_message + attempt.error_code + attempt.message_id
            self.assertNotIn("\0", told)
            told.encode("utf-8")
