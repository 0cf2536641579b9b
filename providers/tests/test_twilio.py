"""Twilio's own words: form, content templates, codes, account test (providers.md 4)."""

import json
import unittest
from base64 import b64decode
from urllib.parse import parse_qs

from .. import ACCEPTED, REFUSED, Message, errors, provider_for
from ..twilio import CODES, MAX_TEXT
from .support import PHONE, gateway, saying, template_message

SID = "AC00000000000000000000000000000001"
CONTENT = "HX00000000000000000000000000000001"

# providers.md 4.3, then Twilio's own pages: code → class and scope.
EXPECTED = {
    "20003": ("bad_credentials", "acct"),
    "20429": ("rate_limited", "acct"),
    "21211": ("bad_recipient", "rcpt"),
    "21606": ("bad_credentials", "sender"),
    "21612": ("bad_recipient", "rcpt"),
    "21608": ("account_blocked", "acct"),
    "21610": ("bad_recipient", "rcpt"),
    "21611": ("rate_limited", "sender"),
    "21614": ("bad_recipient", "rcpt"),
    "30001": ("retry_later", "sender"),
    "63001": ("bad_credentials", "sender"),
    "63002": ("bad_credentials", "sender"),
    "63003": ("bad_recipient", "rcpt"),
    "63005": ("bad_template", "msg"),
    "63007": ("bad_credentials", "sender"),
    "63008": ("account_blocked", "sender"),
    "63010": ("retry_later", "sender"),
    "63012": ("retry_later", "sender"),
    "63013": ("bad_template", "tmpl"),
    "63014": ("bad_recipient", "rcpt"),
    "63015": ("bad_recipient", "rcpt"),
    "63016": ("window_closed", "rcpt"),
    "63017": ("rate_limited", "acct"),
    "63018": ("rate_limited", "sender"),
    "63019": ("bad_template", "msg"),
    "63025": ("bad_template", "msg"),
    "63020": ("account_blocked", "acct"),
    "63021": ("bad_template", "msg"),
    "63022": ("account_blocked", "sender"),
    "63024": ("bad_recipient", "rcpt"),
    "63027": ("bad_template", "tmpl"),
    "63028": ("bad_template", "tmpl"),
    "63029": ("bad_template", "tmpl"),
    "63030": ("bad_template", "msg"),
    "63032": ("bad_recipient", "rcpt"),
    "63049": ("retry_later", "rcpt"),
    "20404": ("bad_credentials", "acct"),
    "21617": ("bad_template", "msg"),
    "21655": ("bad_template", "tmpl"),
    "21656": ("bad_template", "tmpl"),
    "21658": ("bad_template", "msg"),
    "63040": ("bad_template", "tmpl"),
    "63041": ("bad_template", "tmpl"),
    "63042": ("bad_template", "tmpl"),
}


class TestTwilio(unittest.TestCase):
    def setUp(self):
        self.gateway = gateway()
        self.gateway.reset()
        self.provider = provider_for(self.gateway.account("twilio"))

    def attempt(self, answer, status="201 Created", message=None, **changes):
        """Return the attempt when the service answers ``answer``; keep what it was asked."""
        with saying(answer, status) as server:
            provider = provider_for(self.gateway.account("twilio", base_url=server.url, **changes))
            attempt = provider.send(message or template_message())
            self.request = server.requests[0] if server.requests else b""
        return attempt

    def sent(self, message, **changes):
        """Return the form fields that go to the service."""
        attempt = self.attempt({"sid": "SM1", "status": "queued"}, message=message, **changes)
        self.assertEqual(attempt.outcome, ACCEPTED, attempt)
        fields = parse_qs(self.request.partition(b"\r\n\r\n")[2].decode(), strict_parsing=True)
        return {name: value for name, (value,) in fields.items()}

    # -- Requests --------------------------------------------------------------------------------------------

    def test_text_request(self):
        fields = self.sent(Message(PHONE, "Halo Budi & 100%"))
        self.assertEqual(
            fields,
            {
                "From": "whatsapp:+6221500000",
                "To": "whatsapp:+6281200000001",
                "Body": "Halo Budi & 100%",
            },
        )
        head = self.request.partition(b"\r\n\r\n")[0].decode()
        self.assertTrue(head.startswith(f"POST /2010-04-01/Accounts/{SID}/Messages.json "))
        (basic,) = [line.split()[2] for line in head.splitlines() if line.startswith("Authorization: Basic ")]
        self.assertEqual(b64decode(basic).decode(), f"{SID}:TWILIO-TOKEN-DEMO")
        self.assertNotIn("TWILIO-TOKEN-DEMO", self.request.decode())

    def test_content_template_with_its_variables(self):
        fields = self.sent(template_message(twilio_content_sid=CONTENT))
        self.assertNotIn("Body", fields)
        self.assertEqual(fields["ContentSid"], CONTENT)
        self.assertEqual(json.loads(fields["ContentVariables"]), {"1": "Budi", "2": "SIUP"})

    def test_content_template_without_variables(self):
        fields = self.sent(template_message(twilio_content_sid=CONTENT, parameters=()))
        self.assertNotIn("ContentVariables", fields)

    def test_template_without_a_content_sid_is_its_text(self):
        fields = self.sent(template_message())
        self.assertEqual(fields["Body"], "Budi, izin SIUP selesai.")
        self.assertNotIn("ContentSid", fields)

    def test_variables_that_whatsapp_refuses_are_made_fit(self):
        values = (("a", ""), ("b", "Jl. Merdeka\n1"), ("c", "1      2"), ("d", 'é "😀"'))
        fields = self.sent(template_message(twilio_content_sid=CONTENT, parameters=values))
        self.assertEqual(
            json.loads(fields["ContentVariables"]),
            {"1": "-", "2": "Jl. Merdeka 1", "3": "1 2", "4": 'é "😀"'},
        )

    def test_status_callback_when_there_is_one(self):
        address = "https://crm.example.id/hooks/7/secret"
        self.assertEqual(self.sent(Message(PHONE, "Halo"), callback_url=address)["StatusCallback"], address)
        self.assertNotIn("StatusCallback", self.sent(Message(PHONE, "Halo")))

    def test_spellings_of_the_sender(self):
        for written in (
            "+6221500000",
            "whatsapp:+6221500000",
            " whatsapp:+62 21-500 000 ",
            "+62 (21) 500.000",
        ):
            with self.subTest(written):
                fields = self.sent(Message(PHONE, "Halo"), sender_id=written)
                self.assertEqual(fields["From"], "whatsapp:+6221500000")
        fields = self.sent(Message(PHONE, "Halo"), sender_id="081200000009")
        self.assertEqual(fields["From"], "whatsapp:+6281200000009")

    def test_sender_that_is_no_number(self):
        provider = provider_for(self.gateway.account("twilio", sender_id="Dinas Perizinan"))
        attempt = provider.send(template_message())
        self.assertEqual((attempt.outcome, attempt.error_class), (REFUSED, errors.BAD_CREDENTIALS))
        self.assertIn("country code", attempt.error_message)
        self.assertFalse(provider.test_connection().ok)
        self.assertEqual(self.gateway.requests(), [])

    # -- Too long --------------------------------------------------------------------------------------------

    def test_the_longest_text(self):
        self.assertEqual(self.provider.send(Message(PHONE, "é" * MAX_TEXT)).outcome, ACCEPTED)
        attempt = self.provider.send(Message(PHONE, "x" * (MAX_TEXT + 1)))
        self.assertEqual(
            (attempt.outcome, attempt.error_class, attempt.error_code),
            (REFUSED, errors.BAD_TEMPLATE, "21617"),
        )
        self.assertIn("1601 characters", attempt.error_message)
        self.assertIn("content SID", attempt.error_message)
        self.assertEqual(len(self.gateway.requests()), 1)

    def test_a_content_template_may_say_more(self):
        """The limit is that of Body; of a variable it is its own."""
        long_text = template_message(twilio_content_sid=CONTENT)
        long_text = Message(PHONE, "x" * 3000, long_text.template)
        self.assertEqual(self.provider.send(long_text).outcome, ACCEPTED)
        parameters = (("a", "Budi"), ("b", "x" * (MAX_TEXT + 1)))
        attempt = self.provider.send(template_message(twilio_content_sid=CONTENT, parameters=parameters))
        self.assertEqual((attempt.error_class, attempt.error_code), (errors.BAD_TEMPLATE, "21658"))
        self.assertIn("variable 2", attempt.error_message)
        self.assertEqual(len(self.gateway.requests()), 1)

    # -- Answers ---------------------------------------------------------------------------------------------

    def test_content_template_arrives(self):
        self.gateway.configure(twilio={"contents": {CONTENT: "{{1}}, izin {{2}} selesai."}})
        attempt = self.provider.send(template_message(twilio_content_sid=CONTENT))
        (message,) = self.gateway.messages()
        self.assertEqual((message["text"], message["template"]), ("Budi, izin SIUP selesai.", CONTENT))
        self.assertEqual((attempt.message_id, message["to"]), (message["message_id"], PHONE[1:]))
        unknown = self.provider.send(template_message(twilio_content_sid=CONTENT[:-1] + "2"))
        self.assertEqual((unknown.error_class, unknown.error_code), (errors.BAD_TEMPLATE, "21655"))

    def test_every_code(self):
        self.assertEqual(set(EXPECTED), set(CODES))
        for code, (error_class, scope) in EXPECTED.items():
            with self.subTest(code):
                self.gateway.play("twilio", code)
                attempt = self.provider.send(template_message())
                self.assertEqual(
                    (attempt.outcome, attempt.error_class, attempt.scope, attempt.error_code),
                    (REFUSED, error_class, scope, code),
                )
                self.assertEqual(attempt.opt_out, code == "21610")
                self.assertEqual(attempt.retry_after, 86400 if code == "63049" else None)
        self.assertEqual(self.gateway.messages(), [])

    def test_the_code_wins_over_the_status(self):
        for status in ("400 Bad", "429 Slow", "500 Oops", "504 Late", "200 OK"):
            with self.subTest(status):
                attempt = self.attempt({"code": 21614, "message": "no", "status": 400}, status)
                self.assertEqual(attempt.error_class, errors.BAD_RECIPIENT)

    def test_unknown_codes(self):
        error = {"code": 99999, "message": "never seen before", "status": 400}
        for status, error_class in (
            ("400 Bad", errors.UNKNOWN),
            ("404 Not Found", errors.UNKNOWN),
            ("503 Oops", errors.RETRY_LATER),
            ("429 Slow", errors.RATE_LIMITED),
        ):
            with self.subTest(status):
                attempt = self.attempt(error, status)
                self.assertEqual((attempt.error_class, attempt.error_code), (error_class, "99999"))
                self.assertIn("never seen before", attempt.error_message)

    def test_message_that_failed_at_once(self):
        answer = {
            "sid": "SM1",
            "status": "failed",
            "error_code": 63016,
            "error_message": "outside the window",
        }
        self.assertEqual(self.attempt(answer).error_class, errors.WINDOW_CLOSED)
        attempt = self.attempt({"sid": "SM1", "status": "undelivered", "error_code": None})
        self.assertEqual((attempt.outcome, attempt.error_code), (REFUSED, "undelivered"))

    def test_ways_to_say_success(self):
        for status in ("queued", "accepted", "sent", "scheduled"):
            attempt = self.attempt({"sid": "SM1", "status": status})
            self.assertEqual((attempt.outcome, attempt.message_id), (ACCEPTED, "SM1"))

    def test_answers_that_say_neither(self):
        for answer in (
            {"status": "queued"},
            {"sid": None},
            {"sid": "", "status": "queued"},
            {"message": "x"},
        ):
            with self.subTest(answer):
                self.assertEqual(self.attempt(answer).error_class, errors.INTERRUPTED)

    def test_credentials_that_are_echoed(self):
        basic = self.provider._headers()["Authorization"].split()[1]
        for secret in (basic, "https://crm.example.id/hooks/7/secret"):
            attempt = self.attempt(
                {"code": 21609, "message": f"bad {secret}"},
                "400 Bad",
                callback_url="https://crm.example.id/hooks/7/secret",
            )
            self.assertNotIn(secret, attempt.error_message)
            self.assertIn("***", attempt.error_message)
        self.assertNotIn("secret", repr(self.gateway.account("twilio", callback_url="https://x/secret")))

    # -- Connection test -------------------------------------------------------------------------------------

    def test_account_facts(self):
        report = self.provider.test_connection()
        self.assertTrue(report.ok)
        self.assertEqual(report.details, {"friendly_name": "Demo", "type": "Full", "status": "active"})

    def test_suspended_account(self):
        for status in ("suspended", "closed"):
            with self.subTest(status):
                self.gateway.configure(twilio={"status": status})
                report = self.provider.test_connection()
                self.assertFalse(report.ok)
                self.assertIn("not active", report.message)

    def test_other_account_sid(self):
        report = provider_for(self.gateway.account("twilio", account_id="AC2")).test_connection()
        self.assertFalse(report.ok)
        self.assertIn("20003", report.message)

    def test_the_answers_token_stays_inside(self):
        answer = {"sid": SID, "status": "active", "auth_token": "OTHER-TOKEN-DEMO"}
        for change in ({}, {"status": "suspended"}, {"sid": "AC2"}):
            with saying({**answer, **change}) as server:
                account = self.gateway.account("twilio", base_url=server.url)
                self.assertNotIn("OTHER-TOKEN-DEMO", repr(provider_for(account).test_connection()))
