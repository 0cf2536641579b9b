"""WAHA's own words: body, ids of the engines, states of the session (providers.md 5)."""

import json
import unittest

from .. import ACCEPTED, REFUSED, UNKNOWN, Message, errors, provider_for
from ..waha import CODES, message_key
from .support import PHONE, gateway, saying, template_message

# providers.md 5.4: state of the session → class and scope, then HTTP status → class and scope.
STATES = {
    "STARTING": ("retry_later", "sender"),
    "SCAN_QR_CODE": ("account_blocked", "sender"),
    "PASSKEY_REQUIRED": ("account_blocked", "sender"),
    "PASSKEY_CONFIRMATION_REQUIRED": ("account_blocked", "sender"),
    "STOPPED": ("account_blocked", "sender"),
    "FAILED": ("account_blocked", "sender"),
}
STATUSES = {
    "404": ("bad_credentials", "sender"),
    "401": ("bad_credentials", "acct"),
    "422": ("unknown", "msg"),
    "400": ("unknown", "msg"),
}
ID = "3EB0TEST01"
SERIALIZED = f"true_6281200000001@c.us_{ID}"
DOCUMENTED = {"id": SERIALIZED, "timestamp": 1760000000, "fromMe": True, "body": "Halo", "ack": 0}
NOWEB = {
    "key": {"remoteJid": "6281200000001@s.whatsapp.net", "fromMe": True, "id": ID},
    "messageTimestamp": "1760000000",
    "status": "PENDING",
}
WEBJS = {
    "_data": {"id": {"fromMe": True, "id": ID, "_serialized": SERIALIZED}, "ack": 0},
    "id": {"_serialized": SERIALIZED},
}


class TestWaha(unittest.TestCase):
    def setUp(self):
        self.gateway = gateway()
        self.gateway.reset()
        self.provider = provider_for(self.gateway.account("waha"))

    def attempt(self, answer, status="201 Created", **changes):
        """Return the attempt when the service answers ``answer``; keep what it was asked."""
        with saying(answer, status) as server:
            provider = provider_for(self.gateway.account("waha", base_url=server.url, **changes))
            attempt = provider.send(template_message())
            self.request = server.requests[0]
        return attempt

    def test_request(self):
        for written, session in (("", "default"), (" izin ", "izin")):
            with self.subTest(session):
                self.attempt(DOCUMENTED, sender_id=written)
                head, _blank, body = self.request.partition(b"\r\n\r\n")
                self.assertTrue(head.startswith(b"POST /api/sendText "))
                self.assertIn(b"X-Api-Key: WAHA-KEY-DEMO", head)
                self.assertEqual(
                    json.loads(body),
                    {"session": session, "chatId": "6281200000001@c.us", "text": "Budi, izin SIUP selesai."},
                )

    def test_one_request_per_message(self):
        self.provider.send(template_message())
        self.assertEqual([one["path"] for one in self.gateway.requests()], ["/waha/api/sendText"])

    # -- Success ---------------------------------------------------------------------------------------------

    def test_ids_of_the_engines(self):
        both = {
            "id": {"_serialized": ""},
            "_data": {"id": {"_serialized": SERIALIZED}},
            "key": {"id": "other"},
        }
        for answer in (DOCUMENTED, NOWEB, WEBJS, both, {"id": ID}):
            with self.subTest(answer):
                attempt = self.attempt(answer)
                self.assertEqual((attempt.outcome, attempt.message_id), (ACCEPTED, ID))

    def test_engines_of_the_simulator(self):
        for engine in ("GOWS", "NOWEB", "WEBJS"):
            with self.subTest(engine):
                self.gateway.reset()
                self.gateway.configure(waha={"engine": engine})
                attempt = self.provider.send(template_message())
                self.assertEqual([one["message_id"] for one in self.gateway.messages()], [attempt.message_id])

    def test_message_key(self):
        for serialized, key in (
            (SERIALIZED, ID),
            (f"true_123456@lid_{ID}", ID),
            (f"true_120363000000000001@g.us_{ID}_6281200000001@c.us", ID),
            (ID, ID),
            ("A_B_C", "A_B_C"),
        ):
            self.assertEqual(message_key(serialized), key)

    def test_empty_201_is_accepted_without_an_id(self):
        self.gateway.configure(waha={"empty_answers": True})
        attempt = self.provider.send(template_message())
        self.assertEqual((attempt.outcome, attempt.message_id), (ACCEPTED, ""))
        self.assertEqual(len(self.gateway.messages()), 1)

    def test_other_empty_answers_are_no_certainty(self):
        for answer, status in ((b"", "200 OK"), (b"", "204 No Content"), (b"{}", "201 Created")):
            with self.subTest(answer=answer, status=status):
                self.assertEqual(self.attempt(answer, status).outcome, UNKNOWN)

    # -- Refused ---------------------------------------------------------------------------------------------

    def test_every_row_is_tried(self):
        tried = {state.lower() for state in STATES} | set(STATUSES)
        self.assertEqual(tried | {"not working", "404/path", "500"}, set(CODES))

    def test_states_of_the_session(self):
        for state, (error_class, scope) in STATES.items():
            with self.subTest(state):
                self.gateway.configure(waha={"status": state})
                attempt = self.provider.send(template_message())
                self.assertEqual(
                    (attempt.outcome, attempt.error_class, attempt.scope, attempt.error_code),
                    (REFUSED, error_class, scope, state),
                )
                report = self.provider.test_connection()
                self.assertEqual((report.ok, report.details["status"]), (False, state))
                self.assertGreater(len(report.message.split()), 4)
        self.assertEqual(self.gateway.messages(), [])

    def test_state_that_nobody_knows(self):
        answer = {"error": "Session status is not as expected.", "status": "ASLEEP", "expected": ["WORKING"]}
        attempt = self.attempt(answer, "422 Unprocessable")
        self.assertEqual((attempt.outcome, attempt.error_class), (REFUSED, errors.ACCOUNT_BLOCKED))
        self.assertEqual((attempt.error_code, attempt.scope), ("ASLEEP", errors.SENDER))

    def test_statuses(self):
        for status, (error_class, scope) in STATUSES.items():
            with self.subTest(status):
                self.gateway.play("waha", status)
                attempt = self.provider.send(template_message())
                self.assertEqual(
                    (attempt.outcome, attempt.error_class, attempt.scope, attempt.error_code),
                    (REFUSED, error_class, scope, status),
                )

    def test_wrong_session(self):
        provider = provider_for(self.gateway.account("waha", sender_id="other"))
        attempt = provider.send(template_message())
        self.assertEqual((attempt.error_class, attempt.scope), (errors.BAD_CREDENTIALS, errors.SENDER))
        report = provider.test_connection()
        self.assertFalse(report.ok)
        self.assertIn("sender ID", report.message)

    def test_wrong_path(self):
        answer = {"statusCode": 404, "message": "Cannot POST /x/api/sendText", "error": "Not Found"}
        attempt = self.attempt(answer, "404 Not Found")
        self.assertEqual((attempt.error_class, attempt.scope), (errors.BAD_CREDENTIALS, errors.ACCT))
        self.assertIn("base URL", attempt.error_message)

    def test_list_of_complaints(self):
        answer = {"statusCode": 400, "message": ["text must be a string", {"x": 1}], "error": "Bad Request"}
        self.assertIn("text must be a string", self.attempt(answer, "400 Bad Request").error_message)

    # -- Outcome unknown -------------------------------------------------------------------------------------

    def test_500_is_never_sent_again_and_its_echo_stays_inside(self):
        message = Message(PHONE, "Rahasia PT Maju")
        for fault, taken in (("500", 0), ("500/sent", 1)):
            with self.subTest(fault):
                self.gateway.reset()
                self.gateway.play("waha", fault)
                attempt = self.provider.send(message)
                self.assertEqual((attempt.outcome, attempt.error_class), (UNKNOWN, errors.INTERRUPTED))
                self.assertEqual(len(self.gateway.messages()), taken)
                self.assertIn("WAHA's log", attempt.error_message)
                for hidden in (PHONE[1:], "Rahasia", "Evaluation"):
                    self.assertNotIn(hidden, repr(attempt))

    def test_500_leaves_doubt_whatever_its_body_says(self):
        for answer in (b"<html>oops</html>", {"statusCode": 404}, {"status": "FAILED", "expected": []}, b""):
            with self.subTest(answer):
                self.assertEqual(self.attempt(answer, "500 Oops").outcome, UNKNOWN)

    def test_500_in_a_connection_test_is_no_question_about_a_message(self):
        self.gateway.play("waha", "500", on="test")
        report = self.provider.test_connection()
        self.assertFalse(report.ok)
        self.assertNotIn("recipient", report.message)

    # -- Connection test -------------------------------------------------------------------------------------

    def test_session_facts(self):
        report = self.provider.test_connection()
        self.assertTrue(report.ok)
        self.assertEqual(
            report.details,
            {"session": "default", "status": "WORKING", "number": "6221500000", "engine": "NOWEB"},
        )

    def test_sessions_that_answer_strangely(self):
        for answer in ({"name": "other", "status": "WORKING"}, {"name": "default"}, {"status": "WORKING"}):
            with self.subTest(answer), saying(answer) as server:
                provider = provider_for(self.gateway.account("waha", base_url=server.url))
                self.assertFalse(provider.test_connection().ok)
        with saying({"name": "default", "status": "WORKING", "me": None, "engine": "x"}) as server:
            self.assertTrue(
                provider_for(self.gateway.account("waha", base_url=server.url)).test_connection().ok
            )
