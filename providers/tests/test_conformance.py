"""What every provider must do, tried on each of them against the simulator, over HTTP."""

import dataclasses
import json
import logging
import unittest

from .. import ACCEPTED, PROVIDERS, REFUSED, UNKNOWN, Account, Message, errors, provider_for
from .support import PHONE, closed_port, gateway, saying, template_message

TEXT = 'Yth. Budi & "PT Maju" (100%),\nizin 503/0186 +selesai {{x}} #1 😀 é'
SECRETS = (
    "META-TOKEN-DEMO",
    "FONNTE-TOKEN-DEMO",
    "WATZAP-KEY-DEMO",
    "WATZAP-NUMBER-DEMO",
    "WAHA-KEY-DEMO",
    "TWILIO-TOKEN-DEMO",
    "WRONG-SECRET-1",
)

# After these the message may have been taken: name → messages on the phone.
UNKNOWN_OUTCOMES = {
    "http:504": 0,
    "http:524": 0,
    "cut_before_read": 0,
    "cut_after_read": 1,
    "timeout_after_read": 1,
    "truncated": 1,
    "not_json": 1,
    "empty": 1,
}

# Bodies that no service should send; nothing may raise, nothing may count as accepted.
STRANGE_BODIES = (
    None,
    True,
    42,
    "text",
    [],
    [[]],
    {},
    {"status": None},
    {"status": []},
    {"status": {"status": True}},
    {"error": None},
    {"error": "text"},
    {"error": []},
    {"error": {"code": None}},
    {"error": {"code": {"a": 1}}},
    {"messages": None},
    {"messages": {}},
    {"messages": [None]},
    {"messages": [{}]},
    {"messages": [{"id": None}]},
    {"messages": [{"id": []}]},
    {"messages": [{"id": ""}]},
)


class Conformance:
    """The suite. A subclass names its provider and gives it the provider's own words.

    ``blocked`` is a fault at account level; ``without_id`` says that the service gives no message ids,
    ``lost_at_500`` that an HTTP 500 of it does not say whether the message left.
    """

    provider_type: str
    blocked: str
    without_id = False
    lost_at_500 = False

    def setUp(self) -> None:
        self.gateway = gateway()
        self.gateway.reset()
        self.gateway.configure(meta={"open_windows": [PHONE]})

    def provider(self, **changes: object):
        return provider_for(self.gateway.account(self.provider_type, **changes))

    def play(self, fault: str, **options: object) -> None:
        self.gateway.play(self.provider_type, fault, **options)

    def received(self) -> list[dict]:
        return self.gateway.messages(provider=self.provider_type)

    def assert_refused(self, attempt, error_class: str, scopes: tuple[str, ...] = ()) -> None:
        self.assertEqual((attempt.outcome, attempt.error_class), (REFUSED, error_class), attempt)
        self.assert_explained(attempt)
        if scopes:
            self.assertIn(attempt.scope, scopes)

    def assert_unknown(self, attempt) -> None:
        self.assertEqual((attempt.outcome, attempt.error_class), (UNKNOWN, errors.INTERRUPTED), attempt)
        self.assert_explained(attempt)

    def assert_explained(self, attempt) -> None:
        """An admin can act on it, and nothing confidential is in it."""
        self.assertIn(attempt.scope, errors.SCOPES)
        self.assertTrue(attempt.error_code)
        self.assertGreater(len(attempt.error_message.split()), 5)
        self.assert_clean(repr(attempt))

    def assert_clean(self, text: str) -> None:
        for hidden in (*SECRETS, PHONE[1:], PHONE[3:], "PT Maju"):
            self.assertNotIn(hidden, text)

    # -- Accepted --------------------------------------------------------------------------------------------

    def test_text_arrives_unchanged(self):
        attempt = self.provider().send(Message(PHONE, TEXT, reference="msg:0001"))
        self.assertEqual(attempt.outcome, ACCEPTED, attempt)
        self.assertEqual((attempt.error_class, attempt.error_code, attempt.error_message), ("", "", ""))
        (message,) = self.received()
        self.assertEqual((message["to"], message["text"]), (PHONE[1:], TEXT))
        self.assertEqual(attempt.message_id, "" if self.without_id else message["message_id"])
        self.assertEqual(bool(attempt.message_id), not self.without_id)

    def test_template_arrives_as_its_text(self):
        body = {"name": "izin_selesai", "language": "id", "body": "{{1}}, izin {{2}} selesai."}
        self.gateway.configure(meta={"templates": [body]})
        message = template_message()
        attempt = self.provider().send(message)
        self.assertEqual(attempt.outcome, ACCEPTED, attempt)
        self.assertEqual([one["text"] for one in self.received()], [message.text])

    def test_slow_answer_is_still_an_answer(self):
        self.play("slow", delay=0.2)
        attempt = self.provider().send(template_message())
        self.assertEqual(attempt.outcome, ACCEPTED)
        self.assertGreaterEqual(attempt.elapsed_ms, 200)

    def test_base_url_may_end_with_a_slash(self):
        address = f"{self.gateway.url}/{self.provider_type}/"
        self.assertEqual(self.provider(base_url=address).send(template_message()).outcome, ACCEPTED)

    # -- Refused ---------------------------------------------------------------------------------------------

    def test_wrong_token(self):
        attempt = self.provider(api_token="WRONG-SECRET-1").send(template_message())
        self.assert_refused(attempt, errors.BAD_CREDENTIALS, (errors.ACCT,))
        self.assertEqual(self.received(), [])

    def test_account_level_refusal(self):
        self.play(self.blocked)
        attempt = self.provider().send(template_message())
        self.assert_refused(attempt, errors.ACCOUNT_BLOCKED, (errors.ACCT, errors.SENDER))

    def test_incomplete_account_sends_nothing(self):
        for name in PROVIDERS[self.provider_type].required:
            with self.subTest(name):
                provider = self.provider(**{name: " "})
                self.assert_refused(provider.send(template_message()), errors.BAD_CREDENTIALS)
                self.assertFalse(provider.test_connection().ok)
        self.assertEqual(self.gateway.requests(), [])

    def test_token_that_cannot_be_a_header(self):
        for token in ("tok\nen", "töken", "tok\x00en"):
            with self.subTest(token):
                attempt = self.provider(api_token=token).send(template_message())
                self.assert_refused(attempt, errors.BAD_CREDENTIALS)

    def test_throttling_says_how_long_to_wait(self):
        self.play("http:429", retry_after=7)
        attempt = self.provider().send(template_message())
        self.assert_refused(attempt, errors.RATE_LIMITED)
        self.assertEqual(attempt.retry_after, 7)

    def test_throttling_without_a_time(self):
        self.play("http:429")
        attempt = self.provider().send(template_message())
        self.assert_refused(attempt, errors.RATE_LIMITED)
        self.assertIsNone(attempt.retry_after)

    def test_passing_faults(self):
        for fault in ("http:502", "http:503") if self.lost_at_500 else ("http:500", "http:502", "http:503"):
            with self.subTest(fault):
                self.play(fault)
                self.assert_refused(self.provider().send(template_message()), errors.RETRY_LATER)
        self.assertEqual(self.received(), [])

    def test_http_refuses_the_credentials(self):
        for fault in ("http:401", "http:403"):
            with self.subTest(fault):
                self.play(fault)
                self.assert_refused(self.provider().send(template_message()), errors.BAD_CREDENTIALS)

    def test_unexplained_refusal_is_final(self):
        self.play("http:418")
        self.assert_refused(self.provider().send(template_message()), errors.UNKNOWN)

    def test_wrong_address_stops_the_account(self):
        with saying(b"<html>moved</html>", "301 Moved", "Location: http://127.0.0.1:9/") as server:
            provider = self.provider(base_url=server.url)
            self.assert_refused(provider.send(template_message()), errors.BAD_CREDENTIALS)
            self.assertEqual(len(server.requests), 1)
        with saying(b"<html>not found</html>", "404 Not Found") as server:
            provider = self.provider(base_url=server.url)
            self.assert_refused(provider.send(template_message()), errors.BAD_CREDENTIALS)
        provider = self.provider(base_url="api.example.invalid")
        self.assert_refused(provider.send(template_message()), errors.BAD_CREDENTIALS)

    def test_nobody_listens(self):
        provider = self.provider(base_url=f"http://127.0.0.1:{closed_port()}")
        attempt = provider.send(template_message())
        self.assert_refused(attempt, errors.RETRY_LATER)
        self.assertIn("refused", attempt.error_message)

    # -- Outcome unknown -------------------------------------------------------------------------------------

    def test_unknown_outcomes_are_not_sent_again(self):
        provider = self.provider(timeout=(5.0, 0.4))
        faults = {**UNKNOWN_OUTCOMES, "http:500": 0} if self.lost_at_500 else UNKNOWN_OUTCOMES
        for fault, taken in faults.items():
            with self.subTest(fault):
                self.gateway.reset()
                self.play(fault)
                self.assert_unknown(provider.send(template_message()))
                self.assertEqual(len(self.received()), taken)
                self.assertEqual(len(self.gateway.requests()), 1)

    def test_strange_answers_raise_nothing_and_are_no_success(self):
        for body in STRANGE_BODIES:
            for status, error_class in (
                ("200 OK", errors.INTERRUPTED),
                ("503 Oops", errors.RETRY_LATER),
                ("429 Slow", errors.RATE_LIMITED),
            ):
                with self.subTest(body=body, status=status), saying(body, status) as server:
                    provider = self.provider(base_url=server.url)
                    attempt = provider.send(template_message())
                    self.assertEqual(attempt.error_class, error_class, attempt)
                    self.assert_explained(attempt)
                    self.assertFalse(provider.test_connection().ok)

    def test_success_with_an_error_status_is_no_certainty(self):
        good = self.success_body()
        with saying(good, "500 Oops") as server:
            self.assert_unknown(self.provider(base_url=server.url).send(template_message()))
        with saying(good) as server:
            attempt = self.provider(base_url=server.url).send(template_message())
            self.assertEqual(attempt.outcome, ACCEPTED)

    def test_a_byte_order_mark_does_not_hide_success(self):
        with saying(b"\xef\xbb\xbf " + json.dumps(self.success_body()).encode()) as server:
            attempt = self.provider(base_url=server.url).send(template_message())
            self.assertEqual(attempt.outcome, ACCEPTED)

    # -- Connection test -------------------------------------------------------------------------------------

    def test_good_connection(self):
        report = self.provider().test_connection()
        self.assertTrue(report.ok, report)
        self.assertTrue(report.details)
        self.assert_clean(repr(report))
        self.assertTrue(all(isinstance(text, str) for text in report.details.values()))
        self.assertEqual(self.received(), [])

    def test_connection_with_a_wrong_token(self):
        report = self.provider(api_token="WRONG-SECRET-1").test_connection()
        self.assertFalse(report.ok)
        self.assert_clean(repr(report))

    def test_connection_when_nobody_listens(self):
        report = self.provider(base_url=f"http://127.0.0.1:{closed_port()}").test_connection()
        self.assertFalse(report.ok)
        self.assertIn("refused", report.message)

    def test_connection_with_faults(self):
        for fault in ("http:500", "http:502", "cut_after_read", "truncated", "not_json", "empty"):
            with self.subTest(fault):
                self.play(fault, on="test")
                report = self.provider().test_connection()
                self.assertFalse(report.ok)
                self.assertGreater(len(report.message.split()), 5)

    # -- Confidential ----------------------------------------------------------------------------------------

    def test_nothing_confidential_is_logged_or_shown(self):
        provider = self.provider(timeout=(5.0, 0.4))
        with self.assertLogs(level=logging.DEBUG) as logs:
            logging.getLogger("test").debug("assertLogs wants one line")
            for fault in ("http:500", "not_json", "cut_after_read", "timeout_after_read", self.blocked):
                self.play(fault)
                provider.send(template_message())
            provider.send(Message(PHONE, TEXT))
            provider.test_connection()
        self.assert_clean("\n".join(logs.output))
        self.assert_clean(repr(provider) + repr(provider.account) + repr(template_message()))

    def test_an_answer_that_echoes_what_was_sent(self):
        account = self.gateway.account(self.provider_type)
        echo = f"bad {account.api_token} for +62 812-0000-0001, 081200000001 or {PHONE[1:]}"
        with saying(self.failure_body(echo)) as server:
            attempt = self.provider(base_url=server.url).send(template_message())
        self.assertIn("***", attempt.error_message)
        self.assert_explained(attempt)
        self.assertNotIn("0000-0001", attempt.error_message)

    # -- Facts -----------------------------------------------------------------------------------------------

    def test_code_table(self):
        provider = PROVIDERS[self.provider_type]
        self.assertTrue(provider.codes)
        for code, verdict in provider.codes.items():
            with self.subTest(code):
                self.assertEqual(code, code.strip().lower())
                self.assertIn(verdict.error_class, errors.CLASSES)
                self.assertIn(verdict.scope, errors.SCOPES)
                self.assertGreater(len(verdict.hint.split()), 4)
                self.assertTrue(verdict.hint.endswith("."))

    def test_facts(self):
        provider = PROVIDERS[self.provider_type]
        self.assertEqual(provider.type, self.provider_type)
        self.assertTrue(provider.label)
        if "base_url" not in provider.required:
            self.assertTrue(provider.default_base_url.startswith("https://"))
        self.assertIn("api_token", provider.required)
        fields = {field.name for field in dataclasses.fields(self.gateway.account(self.provider_type))}
        self.assertLessEqual(set(provider.required), fields)

    def test_a_malformed_message_is_a_programming_error(self):
        for message in (
            Message("081200000001", TEXT),
            Message("", TEXT),
            Message(PHONE, "a", None, "r" * 513),
        ):
            with self.assertRaises(ValueError):
                self.provider().send(message)

    def success_body(self) -> dict:
        raise NotImplementedError

    def failure_body(self, text: str) -> dict:
        raise NotImplementedError


class TestMetaConformance(Conformance, unittest.TestCase):
    provider_type = "meta"
    blocked = "131042"

    def success_body(self):
        return {"messages": [{"id": "wamid.HBgTEST0001", "message_status": "accepted"}]}

    def failure_body(self, text):
        return {"error": {"code": 999999, "message": text}}


class TestFonnteConformance(Conformance, unittest.TestCase):
    provider_type = "fonnte"
    blocked = "request invalid on disconnected device"

    def success_body(self):
        return {"status": True, "id": ["80000001"]}

    def failure_body(self, text):
        return {"status": False, "reason": text}


class TestWatzapConformance(Conformance, unittest.TestCase):
    provider_type = "watzap"
    blocked = "1005"
    without_id = True

    def success_body(self):
        return {"status": "200", "message": "Successfully", "ack": "successfully"}

    def failure_body(self, text):
        return {"status": "1006", "message": text, "ack": "error"}


class TestWahaConformance(Conformance, unittest.TestCase):
    provider_type = "waha"
    blocked = "FAILED"
    lost_at_500 = True

    def success_body(self):
        return {"id": "true_6281200000001@c.us_3EB0TEST01", "fromMe": True, "ack": 0}

    def failure_body(self, text):
        return {"statusCode": 422, "message": text}


class TestTwilioConformance(Conformance, unittest.TestCase):
    provider_type = "twilio"
    blocked = "63020"

    def success_body(self):
        return {"sid": "SM00000000000000000000000000000001", "status": "queued", "error_code": None}

    def failure_body(self, text):
        return {"code": 99999, "message": text, "status": 400}


class TestRegistry(unittest.TestCase):
    def test_every_provider_goes_through_the_suite(self):
        tried = {suite.provider_type for suite in Conformance.__subclasses__()}
        self.assertEqual(tried, set(PROVIDERS))

    def test_unknown_type(self):
        with self.assertRaises(ValueError):
            provider_for(Account("pigeon", "", "token"))
