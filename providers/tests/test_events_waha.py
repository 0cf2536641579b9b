"""What WAHA tells (providers.md 5.7): an envelope around each event, signed with the HMAC key."""

import datetime
import hashlib
import hmac
import unittest

from .. import Malformed, errors, provider_for
from ..events import Inbound, Receipt, SenderChange
from .support import PHONE, closed_port, gateway, hook, offline, saying

# The documented vector.
SIGNED = b'{"event":"message","session":"default","engine":"WEBJS"}'
SIGNATURE = (
    "208f8a55dde9e05519e898b10b89bf0d0b3b0fdf11fdbf09b6b90476301b98d8"
    "097c462b2b17a6ce93b6b47a136cf2e78a33a63f6752c2c1631777076153fa89"
)
ACK = {"id": f"true_{PHONE[1:]}@c.us_3EB0TEST01", "from": f"{PHONE[1:]}@c.us", "fromMe": True, "ack": 3}
MESSAGE = {
    "id": f"false_{PHONE[1:]}@c.us_3EB0IN01",
    "timestamp": 1760000100,
    "from": f"{PHONE[1:]}@c.us",
    "fromMe": False,
    "to": "6221500000@c.us",
    "body": "STOP",
    "_data": {"notifyName": "Budi"},
}
LID = "123456789012345@lid"


class TestSignature(unittest.TestCase):
    def is_authentic(self, signature=SIGNATURE, key="my-secret-key", body=SIGNED):
        headers = {} if signature is None else {"x-webhook-hmac": signature}
        return provider_for(offline("waha", app_secret=key)).is_authentic(hook(body, headers))

    def test_vector(self):
        self.assertTrue(self.is_authentic())
        self.assertTrue(self.is_authentic(SIGNATURE.upper()))
        self.assertTrue(self.is_authentic(key="next, my-secret-key"))

    def test_a_key_of_several_words(self):
        signature = hmac.new(b"one, two", SIGNED, hashlib.sha512).hexdigest()
        self.assertTrue(self.is_authentic(signature, key="one, two"))

    def test_refused(self):
        for case in (
            {"signature": None},
            {"signature": ""},
            {"signature": SIGNATURE[:-1]},
            {"signature": "é"},
            {"key": "another"},
            {"key": ""},
            {"body": SIGNED + b" "},
        ):
            with self.subTest(**case):
                self.assertFalse(self.is_authentic(**case))


class WahaCase(unittest.TestCase):
    def setUp(self):
        self.provider = provider_for(offline("waha"))

    def events(self, kind, payload, **envelope):
        body = {
            "id": "evt_01",
            "timestamp": 1760000000123,
            "event": kind,
            "session": "default",
            "me": {"id": "6221500000@c.us"},
            "payload": payload,
        }
        return self.provider.read_events(hook({**body, **envelope}))

    def event(self, kind, payload, **envelope):
        (event,) = self.events(kind, payload, **envelope)
        return event


class TestReceipts(WahaCase):
    def test_states(self):
        for ack, state in ((0, "accepted"), (1, "sent"), (2, "delivered"), (3, "read"), (4, "read")):
            with self.subTest(ack=ack):
                event = self.event("message.ack", {**ACK, "ack": ack})
                self.assertEqual(
                    event,
                    Receipt(
                        "receipt:evt_01",
                        "3EB0TEST01",
                        state,
                        at=datetime.datetime(2025, 10, 9, 8, 53, 20, 123000),
                    ),
                )

    def test_failure(self):
        event = self.event("message.ack", {**ACK, "ack": -1, "ackName": "ERROR"})
        self.assertEqual(
            (event.state, event.error_class, event.scope), ("failed", errors.UNKNOWN, errors.MSG)
        )
        self.assertIn("ack -1", event.error_message)

    def test_ids_in_every_form(self):
        for written in (
            f"true_{LID}_3EB0TEST01",
            "3EB0TEST01",
            "true_6281200000001@s.whatsapp.net_3EB0TEST01",
        ):
            with self.subTest(written=written):
                self.assertEqual(self.event("message.ack", {**ACK, "id": written}).message_id, "3EB0TEST01")

    def test_not_about_a_message_of_ours(self):
        group = "120363000000000001@g.us"
        for change in (
            {"fromMe": False},
            {"fromMe": None, "id": "false_x@c.us_3EB0"},
            {"from": group, "id": f"true_{group}_3EB0_x@c.us"},
            {"to": group},
            {"ack": 9},
            {"ack": None},
            {"id": ""},
        ):
            with self.subTest(**change):
                self.assertEqual(self.events("message.ack", {**ACK, **change}), [])
        self.assertEqual(self.events("message.ack.group", ACK), [])

    def test_keys(self):
        key = self.event("message.ack", ACK).key
        self.assertEqual(key, self.event("message.ack", ACK).key)
        self.assertNotEqual(key, self.event("message.ack", ACK, id="evt_02").key)
        without = [self.event("message.ack", {**ACK, "ack": ack}, id=None).key for ack in (1, 1, 2)]
        self.assertEqual((without[0] == without[1], without[0] == without[2]), (True, False))


class TestInbound(WahaCase):
    def test_message(self):
        event = self.event("message", MESSAGE)
        self.assertEqual(
            event,
            Inbound(
                "inbound:3EB0IN01",
                PHONE,
                at=datetime.datetime(2025, 10, 9, 8, 55),
                text="STOP",
                name="Budi",
                message_id="3EB0IN01",
            ),
        )

    def test_hidden_number(self):
        event = self.event("message", {**MESSAGE, "from": LID, "id": f"false_{LID}_3EB0IN01"})
        self.assertEqual((event.phone, event.sender, event.key), ("", LID, "inbound:3EB0IN01"))
        told = {"key": {"remoteJid": LID, "remoteJidAlt": f"{PHONE[1:]}@s.whatsapp.net"}}
        event = self.event("message", {**MESSAGE, "from": LID, "_data": told})
        self.assertEqual((event.phone, event.sender), (PHONE, ""))

    def test_what_is_none(self):
        for change in (
            {"fromMe": True},
            {"from": "120363000000000001@g.us"},
            {"from": "status@broadcast"},
            {"from": "6221500000@c.us"},
            {"from": None},
        ):
            with self.subTest(**change):
                self.assertEqual(self.events("message", {**MESSAGE, **change}), [])
        self.assertEqual(self.events("message.any", MESSAGE), [])

    def test_without_an_id(self):
        event = self.event("message", {**MESSAGE, "id": None})
        self.assertNotIn(PHONE[1:], event.key)
        self.assertEqual(event.message_id, "")


class TestSession(WahaCase):
    def test_states(self):
        for status in ("SCAN_QR_CODE", "PASSKEY_REQUIRED", "STOPPED", "FAILED", "SOMETHING_NEW"):
            with self.subTest(status=status):
                event = self.event("session.status", {"status": status})
                self.assertEqual(
                    (type(event), event.works, event.error_class),
                    (SenderChange, False, errors.ACCOUNT_BLOCKED),
                )
                self.assertIn("WAHA", event.error_message)
        self.assertTrue(self.event("session.status", {"status": "WORKING"}).works)
        self.assertEqual(self.events("session.status", {"status": "STARTING"}), [])
        self.assertEqual(self.events("session.status", {}), [])

    def test_another_session(self):
        self.assertEqual(self.events("session.status", {"status": "FAILED"}, session="other"), [])
        self.provider = provider_for(offline("waha", sender_id="other"))
        self.assertEqual(len(self.events("session.status", {"status": "FAILED"}, session="other")), 1)


class TestHook(WahaCase):
    def test_bodies(self):
        for body in (b"", b"[]", b"null", b"{}", b'{"event": 0.0, "x": ""}'[:10], b'{"event": []}'):
            with self.subTest(body=body), self.assertRaises(Malformed):
                self.provider.read_events(hook(body))
        self.assertEqual(self.events("engine.event", {}), [])
        self.assertEqual(self.events("message", []), [])


class TestHiddenNumbers(unittest.TestCase):
    def test_asked(self):
        gateway().reset()
        provider = provider_for(gateway().account("waha"))
        hidden = f"{PHONE[1:][::-1]}00@lid"
        self.assertEqual(provider.number_of(hidden), PHONE)
        self.assertEqual(provider.number_of("1@lid"), "")
        self.assertEqual(len(gateway().requests()), 2)

    def test_not_asked(self):
        provider = provider_for(gateway().account("waha", base_url=f"http://127.0.0.1:{closed_port()}"))
        for sender in ("", PHONE, "x@c.us"):
            self.assertEqual(provider.number_of(sender), "")
        self.assertEqual(provider_for(offline("fonnte")).number_of("1@lid"), "")

    def test_no_answer_for_now(self):
        provider = provider_for(gateway().account("waha", base_url=f"http://127.0.0.1:{closed_port()}"))
        self.assertIsNone(provider.number_of("1@lid"))
        for status, number in ((500, None), (502, None), (429, None), (401, None), (422, None), (404, "")):
            with self.subTest(status), saying({}, f"{status} Status") as server:
                provider = provider_for(gateway().account("waha", base_url=server.url))
                self.assertEqual(provider.number_of("1@lid"), number)

    def test_junk(self):
        for body in (b"<html>", [], {"pn": []}, {"pn": "x@c.us"}):
            with saying(body) as server:
                provider = provider_for(gateway().account("waha", base_url=server.url))
                self.assertEqual(provider.number_of("1@lid"), "")
