"""Watzap's own words: body, statuses, licence test (providers.md 3)."""

import json
import unittest

from .. import ACCEPTED, REFUSED, errors, provider_for
from ..watzap import CODES
from .support import gateway, saying, template_message

# providers.md 3.3: status and text → class and scope.
EXPECTED = {
    ("1002", "invalid API key"): ("bad_credentials", "acct"),
    ("1003", "invalid number key"): ("bad_credentials", "sender"),
    ("1004", "pairing failed, access denied"): ("account_blocked", "sender"),
    ("1005", "WhatsApp Instance Not Started"): ("account_blocked", "sender"),
    ("1005", "something else"): ("unknown", "sender"),
    ("1006", "other error"): ("unknown", "msg"),
    ("1999", "never seen before"): ("unknown", "msg"),
}


class TestWatzap(unittest.TestCase):
    def setUp(self):
        self.gateway = gateway()
        self.gateway.reset()
        self.provider = provider_for(self.gateway.account("watzap"))

    def attempt(self, answer):
        with saying(answer) as server:
            provider = provider_for(self.gateway.account("watzap", base_url=server.url))
            attempt = provider.send(template_message())
            self.request = server.requests[0]
        return attempt

    def test_request(self):
        self.attempt({"status": "200"})
        head, _blank, body = self.request.partition(b"\r\n\r\n")
        self.assertTrue(head.startswith(b"POST /v1/send_message "))
        self.assertNotIn(b"Authorization", head)
        self.assertEqual(
            json.loads(body),
            {
                "api_key": "WATZAP-KEY-DEMO",
                "number_key": "WATZAP-NUMBER-DEMO",
                "phone_no": "6281200000001",
                "message": "Budi, izin SIUP selesai.",
                "wait_until_send": "1",
            },
        )

    def test_every_status(self):
        self.assertEqual({status for status, _text in EXPECTED} - {"1999"}, {code[:4] for code in CODES})
        for (status, text), (error_class, scope) in EXPECTED.items():
            for written in (status, int(status)):
                with self.subTest(status=written, text=text):
                    attempt = self.attempt({"status": written, "message": text, "ack": "fatal_error"})
                    self.assertEqual(
                        (attempt.outcome, attempt.error_class, attempt.scope, attempt.error_code),
                        (REFUSED, error_class, scope, status),
                    )
                    self.assertIn(text, attempt.error_message)

    def test_statuses_of_the_simulator(self):
        for status, error_class in (
            ("1002", errors.BAD_CREDENTIALS),
            ("1003", errors.BAD_CREDENTIALS),
            ("1004", errors.ACCOUNT_BLOCKED),
            ("1005", errors.ACCOUNT_BLOCKED),
            ("1006", errors.UNKNOWN),
        ):
            with self.subTest(status):
                self.gateway.play("watzap", status)
                self.assertEqual(self.provider.send(template_message()).error_class, error_class)
        self.assertEqual(self.gateway.messages(), [])

    def test_wrong_number_key(self):
        account = self.gateway.account("watzap", sender_id="WRONG-SECRET-1")
        attempt = provider_for(account).send(template_message())
        self.assertEqual((attempt.error_class, attempt.scope), (errors.BAD_CREDENTIALS, errors.SENDER))

    def test_ways_to_say_success(self):
        for answer in ({"status": "200"}, {"status": 200, "ack": "successfully"}):
            self.assertEqual(self.attempt(answer).outcome, ACCEPTED)

    def test_a_false_status_is_a_refusal(self):
        """The form that errors might have in /checking_key, whose status is a boolean."""
        for status in (False, "false"):
            attempt = self.attempt({"status": status, "message": "no"})
            self.assertEqual((attempt.outcome, attempt.error_class), (REFUSED, errors.UNKNOWN))
            self.assertEqual(attempt.error_code, "false")

    def test_answers_that_say_neither(self):
        for answer in ({"status": "200", "ack": "fatal_error"}, {"status": True}, {"ack": "successfully"}):
            with self.subTest(answer):
                self.assertEqual(self.attempt(answer).error_class, errors.INTERRUPTED)

    # -- Connection test -------------------------------------------------------------------------------------

    def report(self, answer):
        with saying(answer) as server:
            return provider_for(self.gateway.account("watzap", base_url=server.url)).test_connection()

    def test_disconnected_number(self):
        self.gateway.configure(watzap={"connected": False})
        report = self.provider.test_connection()
        self.assertFalse(report.ok)
        self.assertIn("not running", report.message)

    def test_number_key_that_is_not_in_the_account(self):
        report = provider_for(self.gateway.account("watzap", sender_id="WRONG-SECRET-1")).test_connection()
        self.assertFalse(report.ok)
        self.assertIn("number key", report.message)

    def test_licences(self):
        licence = {"key": "WATZAP-NUMBER-DEMO", "is_connected": True}
        for change, ok in (
            ({}, True),
            ({"active_until": "2099-12-31 00:00:00"}, True),
            ({"active_until": "someday"}, True),
            ({"active_until": None}, True),
            ({"active_until": "2020-12-31 00:00:00"}, False),
            ({"is_connected": "true"}, True),
            ({"is_connected": "false"}, False),
            ({"is_connected": None}, False),
            ({"key": "other"}, False),
        ):
            with self.subTest(change):
                answer = {"status": True, "data": {"licenses_key": [7, {**licence, **change}]}}
                self.assertEqual(self.report(answer).ok, ok)
