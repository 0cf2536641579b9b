"""Whatever comes to a webhook: nothing but Malformed is ever raised, and what is read can be stored."""

import copy
import dataclasses
import datetime
import json
import unittest
from urllib.parse import urlencode

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from .. import PROVIDERS, Hook, Malformed, errors, provider_for
from ..events import MAX_KEY, STATES, Inbound, Preference, Receipt, SenderChange, TemplateChange
from .support import offline

settings.register_profile(
    "webhooks",
    max_examples=60,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
settings.load_profile("webhooks")

LIMITS = {"text": 4096, "payload": 4096, "reference": 512, "name": 512, "error_message": 1000}

# Values that a field may have by mistake or by malice; and those that it has.
NUMBERS = (
    "6281200000001",
    "+6281200000001",
    "6281200000001@c.us",
    "whatsapp:+6281200000001",
    "1@lid",
    "x@g.us",
)
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(10**8, 10**14),
    st.floats(),
    st.text(max_size=20),
    st.text(alphabet=st.characters(), max_size=8),
    st.sampled_from(NUMBERS),
    st.sampled_from(("1760000000", "1760000000000", "9" * 30, "-1", "1e400", "true", "\0", "x" * 5000)),
    st.sampled_from(
        ("sent", "delivered", "read", "failed", "invalid", "stop", "connect", "disconnect", "WORKING")
    ),
)
JSON = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)


META_ERROR = {"code": 131031, "title": "x", "error_data": {"details": "x"}}
META_VALUES = (
    ("messages", {"statuses": [{"id": "wamid.1", "status": "read", "timestamp": "1760000000"}] * 2}),
    (
        "messages",
        {"statuses": [{"id": "w", "status": "failed", "recipient_id": NUMBERS[0], "errors": [META_ERROR]}]},
    ),
    (
        "messages",
        {
            "metadata": {"display_phone_number": "6221500000", "phone_number_id": "200000000000002"},
            "contacts": [{"profile": {"name": "Budi"}, "wa_id": NUMBERS[0], "user_id": "ID.1"}],
            "messages": [
                {"from": NUMBERS[0], "id": "w1", "timestamp": "1", "type": "text", "text": {"body": "x"}},
                {
                    "from_user_id": "ID.1",
                    "id": "w2",
                    "type": "button",
                    "button": {"payload": "x", "text": "y"},
                },
                {"from": "1", "id": "w3", "type": "interactive", "interactive": {"list_reply": {"id": "b1"}}},
            ],
            "errors": [META_ERROR],
        },
    ),
    ("user_preferences", {"user_preferences": [{"wa_id": NUMBERS[0], "value": "stop", "timestamp": 1}]}),
    *(
        (
            field,
            {
                "message_template_name": "n",
                "message_template_language": "id",
                "event": "PAUSED",
                "new_quality_score": "RED",
                "new_category": "MARKETING",
                "reason": "x",
            },
        )
        for field in (
            "message_template_status_update",
            "message_template_quality_update",
            "template_category_update",
        )
    ),
)
WAHA = {"id": "evt_1", "timestamp": 1760000000000, "session": "default", "me": {"id": "6221500000@c.us"}}
SIDS = {"MessageSid": "SM1", "AccountSid": "AC1", "From": NUMBERS[3], "To": "whatsapp:+6221500000"}

# Bodies as they should be, and what comes out of them.
SAMPLES = {
    "meta": (
        [
            {"entry": [{"time": 1, "changes": [{"field": field, "value": value}]}]}
            for field, value in META_VALUES
        ],
        {Receipt, Inbound, Preference, TemplateChange, SenderChange},
    ),
    "fonnte": (
        [
            {"device": "6221500000", "id": "1", "stateid": "2", "status": "sent", "state": "delivered"},
            {"device": "6221500000", "id": "1", "status": "invalid", "target": NUMBERS[0]},
            {
                "device": "6221500000",
                "sender": NUMBERS[0],
                "message": "STOP",
                "text": "x",
                "name": "Budi",
                "inboxid": "5",
                "timestamp": 1760000000,
                "isgroup": False,
                "member": "",
            },
            {
                "device": "6221500000",
                "status": "disconnect",
                "token": "FONNTE-TOKEN-DEMO",
                "reason": "x",
                "timestamp": 1,
            },
        ],
        {Receipt, Inbound, SenderChange},
    ),
    "watzap": (
        [
            {
                "type": "incoming_chat",
                "data": {
                    "chat_id": NUMBERS[2],
                    "message_id": "A",
                    "name": "Budi",
                    "timestamp": 1760000000,
                    "message_body": "STOP",
                    "is_from_me": False,
                },
            }
        ],
        {Inbound},
    ),
    "waha": (
        [
            {**WAHA, "event": "message.ack", "payload": {"id": "true_1@c.us_A", "ack": -1, "fromMe": True}},
            {
                **WAHA,
                "event": "message",
                "payload": {
                    "id": "false_1@lid_A",
                    "from": "1@lid",
                    "to": "x",
                    "fromMe": False,
                    "timestamp": 1760000000,
                    "body": "STOP",
                    "_data": {"notifyName": "Budi", "key": {"remoteJidAlt": NUMBERS[2]}},
                },
            },
            {**WAHA, "event": "session.status", "payload": {"status": "FAILED"}},
        ],
        {Receipt, Inbound, SenderChange},
    ),
    "twilio": (
        [
            {**SIDS, "MessageStatus": "failed", "ErrorCode": "63016", "ErrorMessage": "x"},
            {**SIDS, "WaId": "1", "Body": "x", "ButtonText": "x", "ButtonPayload": "x", "ProfileName": "x"},
        ],
        {Receipt, Inbound},
    ),
}


def places(value):
    """Yield every place in ``value``, as the container and the key in it."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in list(items):
        yield value, key
        yield from places(inner)


def spoilt(sample, changes):
    """Return ``sample`` with some of its values changed: ``changes`` are (which place, value) pairs."""
    sample = copy.deepcopy(sample)
    for which, value in changes:
        found = list(places(sample))
        container, key = found[which % len(found)]
        container[key] = value
    return sample


def encoded(provider_type, body):
    if provider_type != "twilio":
        return json.dumps(body).encode()
    fields = {name: str(value).encode("utf-8", "replace") for name, value in body.items()}
    return urlencode(fields).encode()


HEADERS = ("X-Hub-Signature-256", "X-Twilio-Signature", "X-Webhook-Hmac")


class TestJunk(unittest.TestCase):
    def setUp(self):
        self.providers = [provider_for(offline(name)) for name in PROVIDERS]

    def read(self, provider, hook):
        try:
            events = provider.read_events(hook)
        except Malformed as error:
            self.assertIsNone(error.__cause__)
            return []
        for event in events:
            self.check(event)
        self.assertEqual(len({event.key for event in events}), len(events))
        return events

    def check(self, event):
        """What the database and the rules of events ask for."""
        self.assertTrue(event.key)
        for name, value in dataclasses.asdict(event).items():
            if isinstance(value, str):
                value.encode()
                self.assertNotIn("\0", value)
                self.assertLessEqual(len(value), MAX_KEY if name == "key" else LIMITS.get(name, 200), name)
            elif name == "at":
                self.assertTrue(value is None or (type(value) is datetime.datetime and value.tzinfo is None))
            else:
                self.assertIsInstance(value, bool)
        if isinstance(event, Receipt):
            self.assertIn(event.state, STATES)
            self.assertTrue(event.message_id or event.alias)
            self.assertEqual(event.error_class != "", event.state == "failed")
        elif isinstance(event, Inbound):
            self.assertNotEqual(bool(event.phone), bool(event.sender))
        elif isinstance(event, Preference):
            self.assertTrue(event.phone)
        elif isinstance(event, TemplateChange):
            self.assertTrue(event.name and event.language)
        elif isinstance(event, SenderChange):
            self.assertEqual(event.error_class == "", event.works)
        if getattr(event, "phone", ""):
            self.assertRegex(event.phone, r"^\+[1-9]\d{6,14}$")
            if event.phone[1:] not in getattr(event, "message_id", ""):
                self.assertNotIn(event.phone[1:], repr(event))
        if getattr(event, "error_class", ""):
            self.assertIn(event.error_class, errors.CLASSES)
            self.assertNotIn("81200000001", event.error_message)

    @given(st.binary(max_size=200))
    def test_bytes(self, body):
        for provider in self.providers:
            self.read(provider, Hook("POST", body))

    @given(JSON)
    def test_json(self, value):
        for provider in self.providers:
            self.read(provider, Hook("POST", json.dumps(value).encode()))

    def test_nearly_right(self):
        """Bodies of a service's own shape with anything in some of their fields."""
        for name, (samples, wanted) in SAMPLES.items():
            with self.subTest(provider=name):
                self.assertEqual(self.kinds(name, samples), wanted)

    def kinds(self, name, samples):
        """Read many bodies like ``samples``; return the kinds of events that came out."""
        provider, kinds = provider_for(offline(name)), set()

        @settings(max_examples=300)
        @given(st.sampled_from(samples), st.lists(st.tuples(st.integers(0, 99), JSON), max_size=4))
        def read(sample, changes):
            hook = Hook("POST", encoded(name, spoilt(sample, changes)))
            kinds.update(map(type, self.read(provider, hook)))

        read()
        return kinds

    @given(
        st.binary(max_size=50),
        st.dictionaries(st.sampled_from(HEADERS), st.text(max_size=90), max_size=3),
        st.text(max_size=30),
        st.dictionaries(st.sampled_from(("bodySHA256", "hub.mode", "hub_mode", "x")), st.text(max_size=9)),
    )
    def test_signatures(self, body, headers, url, query):
        for provider in self.providers:
            hook = Hook("POST", body, headers, url, query)
            self.assertEqual(provider.is_authentic(hook), not provider.signs_webhooks)
            self.assertIsNone(provider.challenge(dataclasses.replace(hook, method="GET")))

    def test_deep(self):
        for depth in (100, 5_000, 200_000):
            for body in (b"[" * depth + b"]" * depth, b'{"entry":' * depth + b"1" + b"}" * depth):
                for provider in self.providers:
                    self.read(provider, Hook("POST", body))

    def test_long_numbers(self):
        body = b'{"entry":[],"event":"message","id":%s,"status":"sent"}' % (b"9" * 6000)
        for provider in self.providers:
            self.read(provider, Hook("POST", body))
