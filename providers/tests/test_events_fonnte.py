"""What Fonnte tells (providers.md 2.8, 2.9): two ids for one message, and nothing signed."""

import datetime
import unittest
from unittest.mock import patch

from .. import Malformed, errors, provider_for
from ..events import STATES, Inbound, Receipt, SenderChange
from .support import PHONE, hook, offline

DEVICE = "6221500000"
MESSAGE = {
    "device": DEVICE,
    "sender": PHONE[1:],
    "message": "STOP",
    "text": "",
    "name": "Budi",
    "member": "",
    "inboxid": "555",
    "timestamp": 1760000100,
    "isgroup": False,
}


class FonnteCase(unittest.TestCase):
    def setUp(self):
        self.provider = provider_for(offline("fonnte"))

    def events(self, **body):
        return self.provider.read_events(hook(body))

    def event(self, **body):
        (event,) = self.events(**body)
        return event


class TestReceipts(FonnteCase):
    def test_pairing_then_receipt_by_the_other_id(self):
        pairing = self.event(device=DEVICE, id="80000001", stateid="3EB0TEST01", status="sent", state="sent")
        self.assertEqual(
            pairing, Receipt("receipt:80000001:3EB0TEST01:sent", "80000001", "sent", alias="3EB0TEST01")
        )
        receipt = self.event(device=DEVICE, stateid="3EB0TEST01", state="delivered")
        self.assertEqual(
            receipt, Receipt("receipt::3EB0TEST01:delivered", "", "delivered", alias="3EB0TEST01")
        )

    def test_progress(self):
        for status, state in (
            ("sent", "sent"),
            ("Pending", "accepted"),
            ("waiting", "accepted"),
            ("processing", "accepted"),
        ):
            with self.subTest(status=status):
                self.assertEqual(self.event(id=80000001, status=status).state, state)
                self.assertEqual(self.event(ID="80000001", Status=status).message_id, "80000001")

    def test_failures(self):
        for status, error_class, scope in (
            ("invalid", errors.BAD_RECIPIENT, errors.RCPT),
            ("expired", errors.ACCOUNT_BLOCKED, errors.SENDER),
            ("url unreachable", errors.BAD_TEMPLATE, errors.MSG),
            ("failed", errors.UNKNOWN, errors.MSG),
        ):
            with self.subTest(status=status):
                receipt = self.event(device=DEVICE, id="80000001", status=status)
                self.assertEqual(
                    (receipt.state, receipt.error_class, receipt.scope), ("failed", error_class, scope)
                )
                self.assertEqual(receipt.error_code, status)
                self.assertTrue(receipt.error_message.endswith(f"(Fonnte {status})"))

    def test_the_further_of_two_states(self):
        for state, status, wanted in (
            ("delivered", "sent", "delivered"),
            ("sent", "pending", "sent"),
            ("delivered", "failed", "delivered"),
            ("sent", "failed", "failed"),
            ("", "sent", "sent"),
            ("unheard of", "read", "read"),
        ):
            with self.subTest(state=state, status=status):
                self.assertEqual(self.event(id="1", stateid="2", state=state, status=status).state, wanted)

    def test_an_unknown_state_still_pairs(self):
        self.assertEqual(self.event(id="1", stateid="2", status="unheard of").state, "accepted")
        self.assertEqual(self.events(id="1", status="unheard of"), [])

    def test_keys(self):
        bodies = (
            {"id": "1", "status": "sent"},
            {"id": "1", "stateid": "2", "status": "sent"},
            {"stateid": "1", "state": "sent"},
            {"id": "1", "status": "failed"},
        )
        keys = [self.event(**body).key for body in bodies]
        self.assertEqual(len(set(keys)), len(bodies))
        self.assertEqual(keys, [self.event(**body).key for body in bodies])
        self.assertLessEqual({self.event(**body).state for body in bodies}, set(STATES))


class TestInbound(FonnteCase):
    def test_message(self):
        event = self.event(**MESSAGE)
        self.assertEqual(
            event,
            Inbound(
                event.key,
                PHONE,
                at=datetime.datetime(2025, 10, 9, 8, 55),
                text="STOP",
                name="Budi",
                message_id="555",
            ),
        )
        self.assertNotIn(PHONE[3:], repr(event))

    def test_button(self):
        event = self.event(**{**MESSAGE, "message": "", "text": "Berhenti"})
        self.assertEqual((event.text, event.payload), ("Berhenti", "Berhenti"))

    def test_groups_and_echoes(self):
        for change in (
            {"isgroup": True},
            {"isgroup": "true"},
            {"member": "6281200000002"},
            {"sender": "120363000000000001@g.us"},
            {"sender": DEVICE},
            {"sender": f"{DEVICE}@c.us"},
            {"sender": "status@broadcast"},
        ):
            with self.subTest(**change):
                self.assertEqual(self.events(**{**MESSAGE, **change}), [])

    def test_a_sender_without_number(self):
        event = self.event(**{**MESSAGE, "sender": "123456789012345@lid"})
        self.assertEqual((event.phone, event.sender), ("", "123456789012345@lid"))

    def test_keys(self):
        key = self.event(**MESSAGE).key
        self.assertEqual(key, self.event(**{**MESSAGE, "name": "Budi S."}).key)
        self.assertNotEqual(key, self.event(**{**MESSAGE, "inboxid": "556"}).key)
        self.assertNotEqual(key, self.event(**{**MESSAGE, "sender": "6281200000002"}).key)
        self.assertNotIn(PHONE[1:], key)
        old = {name: value for name, value in MESSAGE.items() if name != "inboxid"}
        self.assertEqual(self.event(**old).key, self.event(**old).key)
        for change in ({"timestamp": 1760000101}, {"message": "stop"}):
            self.assertNotEqual(self.event(**old).key, self.event(**{**old, **change}).key)


class TestDevice(FonnteCase):
    STATUS = {"device": DEVICE, "token": "FONNTE-TOKEN-DEMO", "timestamp": 1760000100}

    def test_disconnect_and_connect(self):
        reason = "logged out by +62 812-0000-0001, token FONNTE-TOKEN-DEMO"
        event = self.event(**self.STATUS, status="disconnect", reason=reason)
        self.assertEqual(
            (type(event), event.works, event.error_class), (SenderChange, False, errors.ACCOUNT_BLOCKED)
        )
        self.assertIn("Scan its QR code", event.error_message)
        self.assertIn("logged out", event.error_message)
        for hidden in ("FONNTE-TOKEN-DEMO", "0000-0001"):
            self.assertNotIn(hidden, event.error_message)
        works = self.event(**self.STATUS, status="connect")
        self.assertEqual((works.works, works.error_class, works.error_message), (True, "", ""))
        self.assertNotEqual(event.key, works.key)
        later = self.event(**{**self.STATUS, "timestamp": 1760000200}, status="disconnect")
        self.assertNotEqual(event.key, later.key)

    def test_without_a_time(self):
        told = {"device": DEVICE, "status": "disconnect"}
        with patch("time.time", return_value=1_760_000_100.0):
            first, again = self.event(**told), self.event(**told)
        with patch("time.time", return_value=1_760_000_220.0):
            later = self.event(**told)
        self.assertEqual(first.key, again.key)
        self.assertNotEqual(first.key, later.key)

    def test_another_device(self):
        self.assertEqual(self.events(**{**self.STATUS, "token": "OTHER"}, status="disconnect"), [])


class TestHook(FonnteCase):
    def test_the_secret_address_is_the_key(self):
        self.assertFalse(self.provider.signs_webhooks)
        self.assertTrue(self.provider.is_authentic(hook({})))
        self.assertIsNone(self.provider.challenge(hook({})))
        self.assertEqual(self.provider.webhook_answer(), ('{"ok": true}', "application/json"))

    def test_bodies(self):
        for body in (b"", b"device=1&id=2", b"[]", b"null", b"\xff"):
            with self.subTest(body=body), self.assertRaises(Malformed):
                self.provider.read_events(hook(body))
        self.assertEqual(self.events(), [])
        self.assertEqual(self.events(device=DEVICE, something="new"), [])
