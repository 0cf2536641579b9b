"""What Twilio tells (providers.md 4.5, 4.6): forms, signed over the public address and all fields."""

import base64
import hashlib
import hmac
import json
import unittest
from urllib.parse import parse_qsl, urlencode, urlsplit

from .. import Hook, Malformed, errors, provider_for
from ..events import Inbound, Receipt
from .support import PHONE, offline

# The public vector of Twilio's own libraries.
URL = "https://mycompany.com/myapp.php?foo=1&bar=2"
FIELDS = {
    "CallSid": "CA1234567890ABCDE",
    "Caller": "+12349013030",
    "Digits": "1234",
    "From": "+12349013030",
    "To": "+18005551212",
}
SIGNATURE = "0/KCTR6DLpKmkAf8muzZqo1nDgQ="

STATUS = {
    "MessageSid": "SM00000000000000000000000000000001",
    "SmsSid": "SM00000000000000000000000000000001",
    "MessageStatus": "delivered",
    "SmsStatus": "delivered",
    "To": f"whatsapp:{PHONE}",
    "From": "whatsapp:+6221500000",
    "AccountSid": "AC00000000000000000000000000000001",
    "ApiVersion": "2010-04-01",
}
MESSAGE = {
    "MessageSid": "SM00000000000000000000000000000009",
    "SmsStatus": "received",
    "From": f"whatsapp:{PHONE}",
    "To": "whatsapp:+6221500000",
    "WaId": PHONE[1:],
    "ProfileName": "Budi",
    "Body": "STOP",
    "MessageType": "text",
    "NumMedia": "0",
    "AccountSid": "AC00000000000000000000000000000001",
}


def sign(content, token="12345"):
    return base64.b64encode(hmac.new(token.encode(), content, hashlib.sha1).digest()).decode()


class TestSignature(unittest.TestCase):
    def is_authentic(self, signature=SIGNATURE, body=None, url=URL, token="12345"):
        body = urlencode(FIELDS).encode() if body is None else body
        headers = {} if signature is None else {"X-Twilio-Signature": signature}
        query = dict(parse_qsl(urlsplit(url).query))
        return provider_for(offline("twilio", api_token=token)).is_authentic(
            Hook("POST", body, headers, url, query)
        )

    def test_vector(self):
        self.assertTrue(self.is_authentic())
        reversed_body = urlencode(dict(reversed(FIELDS.items()))).encode()
        self.assertTrue(self.is_authentic(body=reversed_body))

    def test_refused(self):
        for case in (
            {"signature": None},
            {"signature": ""},
            {"signature": "1" + SIGNATURE[1:]},
            {"signature": "é"},
            {"token": "another"},
            {"token": ""},
            {"url": URL + "3"},
            {"url": ""},
            {"body": b""},
            {"body": urlencode({**FIELDS, "Digits": "1235"}).encode()},
            {"body": urlencode({**FIELDS, "More": ""}).encode()},
            {"body": b"&".join([b"a=1"] * 600)},
            {"body": b"{}"},
        ):
            with self.subTest(**case):
                self.assertFalse(self.is_authentic(**case))

    def test_an_empty_token_signs_nothing(self):
        content = URL + "".join(name + value for name, value in sorted(FIELDS.items()))
        self.assertFalse(self.is_authentic(sign(content.encode(), ""), token=""))

    def test_the_next_token_during_rotation(self):
        provider = provider_for(offline("twilio", api_token="old", app_secret="12345"))
        hook = Hook("POST", urlencode(FIELDS).encode(), {"X-Twilio-Signature": SIGNATURE}, URL)
        self.assertTrue(provider.is_authentic(hook))

    def test_port_written_or_not(self):
        fields = "".join(name + value for name, value in sorted(FIELDS.items()))
        with_port = URL.replace("mycompany.com", "mycompany.com:443")
        self.assertTrue(self.is_authentic(url=with_port))
        self.assertTrue(self.is_authentic(sign((with_port + fields).encode())))
        other = URL.replace("mycompany.com", "mycompany.com:8443")
        self.assertFalse(self.is_authentic(url=other))
        self.assertTrue(self.is_authentic(sign((other + fields).encode()), url=other))
        self.assertFalse(self.is_authentic(url="https://mycompany.com:x/"))

    def test_any_bytes_and_repeated_fields(self):
        body = b"b=%C3%A9%00&a=2&a=1&a=2&c=&d=%FF"
        content = URL.encode() + b"a1a2b\xc3\xa9\x00cd\xff"
        self.assertTrue(self.is_authentic(sign(content), body=body))

    def test_json_by_its_hash(self):
        body = json.dumps({"a": "é"}).encode()
        url = f"https://mycompany.com/hook?bodySHA256={hashlib.sha256(body).hexdigest()}"
        self.assertTrue(self.is_authentic(sign(url.encode()), body=body, url=url))
        self.assertFalse(self.is_authentic(sign(url.encode()), body=body + b" ", url=url))
        self.assertFalse(self.is_authentic(sign(url.encode(), "x"), body=body, url=url))


class TestTwilioEvents(unittest.TestCase):
    def setUp(self):
        self.provider = provider_for(offline("twilio"))

    def events(self, fields, **changes):
        body = urlencode({**fields, **changes}).encode()
        return self.provider.read_events(Hook("POST", body))

    def event(self, fields, **changes):
        (event,) = self.events(fields, **changes)
        return event

    def test_states(self):
        sid = STATUS["MessageSid"]
        for said, state in (
            ("queued", "accepted"),
            ("sending", "accepted"),
            ("sent", "sent"),
            ("delivered", "delivered"),
            ("read", "read"),
        ):
            with self.subTest(said=said):
                event = self.event(STATUS, MessageStatus=said)
                self.assertEqual(event, Receipt(f"receipt:{sid}:{state}", sid, state))
        only_old_names = {name: value for name, value in STATUS.items() if not name.startswith("Message")}
        self.assertEqual(self.event(only_old_names).message_id, sid)

    def test_failures(self):
        for code, error_class in (
            ("63016", errors.WINDOW_CLOSED),
            ("63024", errors.BAD_RECIPIENT),
            ("63049", errors.RETRY_LATER),
            ("63020", errors.ACCOUNT_BLOCKED),
            ("99999", errors.UNKNOWN),
        ):
            for said in ("undelivered", "failed"):
                with self.subTest(code=code, said=said):
                    event = self.event(STATUS, MessageStatus=said, ErrorCode=code)
                    self.assertEqual(
                        (event.state, event.error_class, event.error_code), ("failed", error_class, code)
                    )
                    self.assertTrue(event.error_message)
        words = {"ErrorMessage": f"cannot reach {PHONE} with TWILIO-TOKEN-DEMO"}
        event = self.event(STATUS, MessageStatus="failed", ErrorCode="63024", **words)
        for hidden in (PHONE[3:], "TOKEN"):
            self.assertNotIn(hidden, event.error_message)
        self.assertEqual(self.event(STATUS, MessageStatus="canceled").error_code, "canceled")

    def test_message(self):
        sid = MESSAGE["MessageSid"]
        self.assertEqual(
            self.event(MESSAGE), Inbound(f"inbound:{sid}", PHONE, text="STOP", name="Budi", message_id=sid)
        )
        tapped = self.event(MESSAGE, Body="Berhenti", ButtonText="Berhenti", ButtonPayload="STOP_1")
        self.assertEqual((tapped.text, tapped.payload), ("Berhenti", "STOP_1"))
        self.assertEqual(self.event(MESSAGE, Body="", ButtonText="Ya").text, "Ya")
        hidden = self.event(MESSAGE, From="whatsapp:ID.123", WaId="")
        self.assertEqual((hidden.phone, hidden.sender), ("", "whatsapp:ID.123"))

    def test_an_echo(self):
        self.assertEqual(self.events(MESSAGE, From="whatsapp:+6221500000", WaId="6221500000"), [])

    def test_others(self):
        self.assertEqual(self.events(STATUS, MessageStatus="unheard of"), [])
        self.assertEqual(self.events({"AccountSid": "AC1", "Level": "ERROR"}), [])
        for body in (b"", b"{}", b"[]", b"hello", b"a=1", b"a=1&&", b"a=1&" * 600):
            with self.subTest(body=body[:20]), self.assertRaises(Malformed):
                self.provider.read_events(Hook("POST", body))

    def test_answer(self):
        self.assertEqual(self.provider.webhook_answer(), ("<Response></Response>", "text/xml"))
