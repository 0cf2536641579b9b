"""Meta's own words: requests, codes, subcodes, waiting times, connection test (providers.md 1)."""

import json
import unittest

from .. import ACCEPTED, REFUSED, Message, errors, provider_for
from ..meta import CODES
from .support import PHONE, gateway, saying, template_message

# providers.md 1.5, for a template message: code → class and scope.
EXPECTED = {
    "0": ("bad_credentials", "acct"),
    "1": ("retry_later", "msg"),
    "2": ("retry_later", "sender"),
    "3": ("bad_credentials", "acct"),
    "4": ("rate_limited", "acct"),
    "10": ("bad_credentials", "acct"),
    "33": ("bad_credentials", "sender"),
    "100": ("unknown", "msg"),
    "100/33": ("bad_credentials", "sender"),
    "190": ("bad_credentials", "acct"),
    "200": ("bad_credentials", "acct"),
    "299": ("bad_credentials", "acct"),
    "368": ("account_blocked", "acct"),
    "80007": ("rate_limited", "acct"),
    "80008": ("rate_limited", "acct"),
    "130403": ("bad_recipient", "rcpt"),
    "130429": ("rate_limited", "sender"),
    "130472": ("bad_recipient", "rcpt"),
    "130497": ("account_blocked", "rcpt"),
    "131000": ("retry_later", "msg"),
    "131005": ("bad_credentials", "acct"),
    "131008": ("bad_template", "msg"),
    "131009": ("bad_template", "msg"),
    "131016": ("retry_later", "sender"),
    "131021": ("bad_recipient", "rcpt"),
    "131026": ("bad_recipient", "rcpt"),
    "131030": ("bad_recipient", "rcpt"),
    "131031": ("account_blocked", "acct"),
    "131037": ("account_blocked", "sender"),
    "131042": ("account_blocked", "acct"),
    "131045": ("account_blocked", "sender"),
    "131047": ("window_closed", "rcpt"),
    "131048": ("rate_limited", "sender"),
    "131049": ("retry_later", "rcpt"),
    "131050": ("bad_recipient", "rcpt"),
    "131051": ("unknown", "msg"),
    "131052": ("unknown", "msg"),
    "131053": ("bad_template", "msg"),
    "131055": ("unknown", "msg"),
    "131056": ("rate_limited", "pair"),
    "131057": ("retry_later", "sender"),
    "131062": ("bad_recipient", "rcpt"),
    "131063": ("bad_template", "tmpl"),
    "131064": ("rate_limited", "acct"),
    "132000": ("bad_template", "tmpl"),
    "132001": ("bad_template", "tmpl"),
    "132005": ("bad_template", "msg"),
    "132007": ("bad_template", "tmpl"),
    "132008": ("bad_template", "msg"),
    "132012": ("bad_template", "tmpl"),
    "132015": ("bad_template", "tmpl"),
    "132016": ("bad_template", "tmpl"),
    "132018": ("bad_template", "tmpl"),
    "132068": ("bad_template", "tmpl"),
    "132069": ("rate_limited", "tmpl"),
    "133000": ("account_blocked", "sender"),
    "133004": ("retry_later", "sender"),
    "133005": ("account_blocked", "sender"),
    "133006": ("account_blocked", "sender"),
    "133008": ("account_blocked", "sender"),
    "133009": ("account_blocked", "sender"),
    "133010": ("account_blocked", "sender"),
    "133015": ("retry_later", "sender"),
    "133016": ("rate_limited", "sender"),
    "134101": ("retry_later", "tmpl"),
    "135000": ("unknown", "msg"),
    "137000": ("bad_recipient", "rcpt"),
    "2494100": ("retry_later", "sender"),
}
NOT_PLAYED = {str(code) for code in range(201, 299)} | {"190/463", "100/test", "131008/text", "131009/text"}


class TestMeta(unittest.TestCase):
    def setUp(self):
        self.gateway = gateway()
        self.gateway.reset()
        self.provider = provider_for(self.gateway.account("meta"))

    def refused_by(self, error, status="400 Bad Request", *headers, message=None):
        """Return the attempt when the service answers with ``error``."""
        with saying({"error": error}, status, *headers) as server:
            provider = provider_for(self.gateway.account("meta", base_url=server.url))
            return provider.send(message or template_message())

    def sent_body(self, message):
        """Return the JSON that goes to the service."""
        with saying({"messages": [{"id": "wamid.1"}]}) as server:
            provider = provider_for(self.gateway.account("meta", base_url=server.url))
            self.assertEqual(provider.send(message).outcome, ACCEPTED)
            return json.loads(server.requests[0].partition(b"\r\n\r\n")[2])

    def test_template_request(self):
        self.assertEqual(
            self.sent_body(template_message()),
            {
                "messaging_product": "whatsapp",
                "recipient_type": "individual",
                "to": "6281200000001",
                "type": "template",
                "template": {
                    "name": "izin_selesai",
                    "language": {"code": "id"},
                    "components": [
                        {
                            "type": "body",
                            "parameters": [
                                {"type": "text", "text": "Budi"},
                                {"type": "text", "text": "SIUP"},
                            ],
                        }
                    ],
                },
                "biz_opaque_callback_data": "msg:0001",
            },
        )

    def test_template_without_parameters_has_no_components(self):
        body = self.sent_body(template_message(parameters=()))
        self.assertEqual(body["template"], {"name": "izin_selesai", "language": {"code": "id"}})

    def test_text_request(self):
        self.assertEqual(
            self.sent_body(Message(PHONE, "Halo")),
            {
                "messaging_product": "whatsapp",
                "recipient_type": "individual",
                "to": "6281200000001",
                "type": "text",
                "text": {"body": "Halo", "preview_url": False},
            },
        )

    def test_version_and_number_are_in_the_path(self):
        with saying({"messages": [{"id": "wamid.1"}]}) as server:
            for version, path in (("", b"/v23.0/1%2F2/messages"), ("v25.0", b"/v25.0/1%2F2/messages")):
                account = self.gateway.account(
                    "meta", base_url=server.url, sender_id="1/2", api_version=version
                )
                provider_for(account).send(template_message())
                self.assertTrue(server.requests[-1].startswith(b"POST " + path + b" "))
                self.assertIn(b"Authorization: Bearer META-TOKEN-DEMO", server.requests[-1])

    def test_empty_parameter_and_reference_arrive(self):
        attempt = self.provider.send(template_message(parameters=(("a", ""), ("b", "Jl. Merdeka\n1"))))
        self.assertEqual(attempt.outcome, ACCEPTED, attempt)
        (message,) = self.gateway.messages()
        self.assertEqual(message["parameters"], ["-", "Jl. Merdeka 1"])
        self.assertEqual(message["reference"], "msg:0001")

    def test_every_code(self):
        self.assertEqual(set(EXPECTED) | NOT_PLAYED, set(CODES))
        for code, (error_class, scope) in EXPECTED.items():
            with self.subTest(code):
                self.gateway.play("meta", code)
                attempt = self.provider.send(template_message())
                self.assertEqual(
                    (attempt.outcome, attempt.error_class, attempt.scope, attempt.error_code),
                    (REFUSED, error_class, scope, code.partition("/")[0]),
                )
                self.assertEqual(attempt.opt_out, code == "131050")
        self.assertEqual(self.gateway.messages(), [])

    def test_the_code_wins_over_the_status(self):
        for status in (400, 429, 500, 504):
            with self.subTest(status):
                self.gateway.play("meta", "131026", http_status=status)
                self.assertEqual(self.provider.send(template_message()).error_class, errors.BAD_RECIPIENT)

    def test_a_code_in_a_success_status_is_a_refusal(self):
        self.assertEqual(self.refused_by({"code": 131042}, "200 OK").error_class, errors.ACCOUNT_BLOCKED)
        self.assertEqual(self.refused_by({"code": 999999}, "200 OK").error_class, errors.UNKNOWN)

    def test_success_and_error_in_one_answer_is_no_certainty(self):
        with saying({"messages": [{"id": "wamid.1"}], "error": {"code": 131042}}) as server:
            provider = provider_for(self.gateway.account("meta", base_url=server.url))
            self.assertEqual(provider.send(template_message()).error_class, errors.INTERRUPTED)

    def test_parameter_errors_of_free_text_are_not_the_templates_fault(self):
        text = Message(PHONE, "Halo")
        for code in (131008, 131009):
            self.assertEqual(self.refused_by({"code": code}).error_class, errors.BAD_TEMPLATE)
            self.assertEqual(self.refused_by({"code": code}, message=text).error_class, errors.UNKNOWN)

    def test_subcodes(self):
        expired = self.refused_by({"code": 190, "error_subcode": 463}, "401 Unauthorized")
        self.assertIn("expired", expired.error_message)
        self.assertEqual(expired.error_code, "190")
        wrong_id = self.refused_by({"code": 100, "error_subcode": 33})
        self.assertEqual(wrong_id.error_class, errors.BAD_CREDENTIALS)

    def test_unknown_codes(self):
        transient = {"code": 999999, "is_transient": True}
        self.assertEqual(self.refused_by(transient).error_class, errors.RETRY_LATER)
        self.assertEqual(self.refused_by({"code": 999999}).error_class, errors.UNKNOWN)
        self.assertEqual(self.refused_by({"code": 999999}, "404 Not Found").error_class, errors.UNKNOWN)
        self.assertEqual(self.refused_by({"code": 999999}, "503 Oops").error_class, errors.RETRY_LATER)
        self.assertEqual(self.refused_by({"code": 999999}, "429 Slow").error_class, errors.RATE_LIMITED)
        self.assertEqual(self.refused_by({"code": 131042, "is_transient": True}).error_code, "131042")

    def test_the_services_words_are_in_the_message(self):
        details = "body: number of localizable_params (1) does not match"
        for data in ({"details": details}, details):
            attempt = self.refused_by({"code": 132000, "message": "(#132000) Number", "error_data": data})
            for part in ("132000", "(#132000) Number", details, "parameter list"):
                self.assertIn(part, attempt.error_message)

    def test_waiting_times(self):
        usage = '{"1": [{"type": "whatsapp", "estimated_time_to_regain_access": 5}]}'
        header = f"X-Business-Use-Case-Usage: {usage}"
        cases = (
            (80007, ("Retry-After: 9",), 9),
            (80007, (header,), 300),
            (80007, (header, "Retry-After: 9"), 9),
            (80007, (), None),
            (131057, (), 120),
            (131049, (), 86400),
            (131049, ("Retry-After: 9",), 9),
            (131042, ("Retry-After: 9",), None),
            (80007, ("X-Business-Use-Case-Usage: {nonsense",), None),
            (80007, ('X-Business-Use-Case-Usage: {"1": {"a": 1}, "2": [3]}',), None),
            (80007, ("Retry-After: soon",), None),
            (80007, ("Retry-After: Wed, 21 Oct 2015 07:28:00 GMT",), 0),
            (80007, ("Retry-After: Wed, 21 Oct 2015 07:28:00 -0000",), 0),
        )
        for code, headers, seconds in cases:
            with self.subTest(code=code, headers=headers):
                attempt = self.refused_by({"code": code}, "400 Bad Request", *headers)
                self.assertEqual(attempt.retry_after, seconds)

    def test_closed_window(self):
        attempt = self.provider.send(Message(PHONE, "Halo"))
        self.assertEqual(attempt.error_class, errors.WINDOW_CLOSED)
        self.assertEqual(self.gateway.messages(), [])

    def test_template_that_does_not_exist(self):
        attempt = self.provider.send(template_message(language="en_US"))
        self.assertEqual((attempt.error_class, attempt.scope), (errors.BAD_TEMPLATE, errors.TMPL))

    # -- Connection test -------------------------------------------------------------------------------------

    def report(self, **changes):
        return provider_for(self.gateway.account("meta", **changes)).test_connection()

    def test_connection_facts(self):
        details = self.report().details
        self.assertEqual(details["display_phone_number"], "+62 21 500000")
        self.assertEqual(details["account_name"], "Contoh")

    def test_connection_without_waba(self):
        report = self.report(account_id="")
        self.assertTrue(report.ok)
        self.assertIn("WABA", report.message)

    def test_connection_with_wrong_ids(self):
        report = self.report(sender_id="999")
        self.assertFalse(report.ok)
        self.assertIn("phone-number ID", report.message)
        report = self.report(account_id="999")
        self.assertFalse(report.ok)
        self.assertIn("WABA ID cannot be read", report.message)

    def test_connection_with_the_waba_id_as_sender(self):
        report = self.report(sender_id="100000000000001")
        self.assertFalse(report.ok)
        self.assertIn("something else than a phone number", report.message)

    def test_connection_with_ids_swapped_as_the_real_service_says_it(self):
        error = {"code": 100, "message": "(#100) Tried accessing nonexisting field (display_phone_number)"}
        with saying({"error": error}, "400 Bad Request") as server:
            report = self.report(base_url=server.url)
        self.assertFalse(report.ok)
        self.assertIn("phone-number ID", report.message)

    def test_connection_when_the_templates_cannot_be_read(self):
        self.gateway.play("meta", "200", on="test", times=3)
        self.assertIn("permission", self.report().message)
