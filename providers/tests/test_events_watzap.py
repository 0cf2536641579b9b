"""What Watzap tells (providers.md 3.5): messages, and nothing about ours."""

import datetime
import unittest

from .. import Malformed, provider_for
from ..events import Inbound
from .support import PHONE, hook, offline

DATA = {
    "chat_id": "6281200000001@c.us",
    "message_id": "ABC1",
    "name": "Budi",
    "timestamp": 1760000100,
    "message_body": "STOP",
    "is_from_me": False,
}


class TestWatzapEvents(unittest.TestCase):
    def setUp(self):
        self.provider = provider_for(offline("watzap"))

    def events(self, kind="incoming_chat", **changes):
        return self.provider.read_events(hook({"type": kind, "data": {**DATA, **changes}}))

    def test_message(self):
        self.assertEqual(
            self.events(),
            [
                Inbound(
                    "inbound:id:ABC1",
                    PHONE,
                    at=datetime.datetime(2025, 10, 9, 8, 55),
                    text="STOP",
                    name="Budi",
                    message_id="ABC1",
                )
            ],
        )
        for chat in ("6281200000001", "+6281200000001", "6281200000001@s.whatsapp.net"):
            self.assertEqual(self.events(chat_id=chat)[0].phone, PHONE)
        (event,) = self.events(chat_id="123456789012345@lid")
        self.assertEqual((event.phone, event.sender), ("", "123456789012345@lid"))

    def test_without_an_id(self):
        (event,), (again,), (other,) = (
            self.events(message_id=None, message_body=text) for text in ("STOP", "STOP", "Halo")
        )
        self.assertEqual((event.key == again.key, event.key == other.key), (True, False))
        self.assertNotIn(PHONE[1:], event.key)

    def test_what_is_none(self):
        self.assertEqual(self.events(is_from_me=True), [])
        self.assertEqual(self.events(is_from_me="true"), [])
        self.assertEqual(self.events(chat_id="120363000000000001@g.us"), [])
        self.assertEqual(self.events(chat_id=""), [])
        self.assertEqual(self.events("outgoing_chat"), [])

    def test_hook(self):
        self.assertTrue(self.provider.is_authentic(hook({})))
        with self.assertRaises(Malformed):
            self.provider.read_events(hook(b"type=incoming_chat"))
