"""The simulator's webhooks, as its customer gets them over HTTP: signed right, and understood."""

import contextlib
import socket
import unittest
from urllib.parse import parse_qsl, urlsplit

from .. import ACCEPTED, Hook, Message, errors, provider_for
from ..events import Inbound, Preference, Receipt, SenderChange, TemplateChange
from .support import PHONE, RawServer, gateway, http_answer, template_message

PATH = "/sicantik/webhook/1/secret?db=x"


class Customer(RawServer):
    """A web server that keeps every call as a :class:`Hook`."""

    def __init__(self) -> None:
        super().__init__(Customer._answer)
        self.hooks: list[Hook] = []

    @property
    def address(self) -> str:
        return self.url + PATH

    def _answer(self, connection: socket.socket) -> None:
        while data := self.read(connection):
            head, _blank, body = data.partition(b"\r\n\r\n")
            first, *lines = head.decode().split("\r\n")
            method, target, _version = first.split(" ")
            headers = dict(line.split(": ", 1) for line in lines)
            url = self.url + target
            self.hooks.append(Hook(method, body, headers, url, dict(parse_qsl(urlsplit(url).query))))
            with contextlib.suppress(OSError):
                connection.sendall(http_answer(b"ok"))


class SimulatorCase(unittest.TestCase):
    def setUp(self):
        self.gateway = gateway()
        self.gateway.reset()
        self.customer = Customer()
        self.addCleanup(self.customer.__exit__)

    def tell(self, provider, event, **values):
        """Let something happen; return the provider, and the call that came of it."""
        self.gateway.configure(**{provider: {"callback_url": self.customer.address}})
        values = {"provider": provider, "event": event, **values}
        (call,) = self.gateway.admin("POST", "hooks", values)["calls"]
        self.assertEqual(call["status"], 200, call)
        return provider_for(self.gateway.account(provider)), self.customer.hooks[-1]

    def told(self, provider, event, **values):
        """Let something happen; return the one event that is read of it."""
        reader, hook = self.tell(provider, event, **values)
        self.assertTrue(reader.is_authentic(hook))
        (event,) = reader.read_events(hook)
        return event


class TestEverything(SimulatorCase):
    def test_receipts(self):
        for provider, failure in (
            ("meta", "failed:131042"),
            ("twilio", "failed:63016"),
            ("waha", "failed"),
            ("fonnte", "invalid"),
        ):
            for status in ("sent", "delivered", "read", failure):
                with self.subTest(provider=provider, status=status):
                    receipt = self.told(provider, "receipt", message_id="1", status=status)
                    self.assertIsInstance(receipt, Receipt)
                    self.assertEqual(receipt.state, status if status != failure else "failed")
                    self.assertEqual(bool(receipt.error_class), status == failure)
                    known = provider != "fonnte" or status in ("sent", failure)
                    self.assertEqual(receipt.message_id, "1" if known else "")

    def test_late_failures(self):
        for provider, code, error_class in (
            ("meta", "131042", errors.ACCOUNT_BLOCKED),
            ("meta", "131047", errors.WINDOW_CLOSED),
            ("meta", "131026", errors.BAD_RECIPIENT),
            ("meta", "131049", errors.RETRY_LATER),
            ("meta", "131050", errors.BAD_RECIPIENT),
            ("twilio", "63016", errors.WINDOW_CLOSED),
            ("fonnte", "invalid", errors.BAD_RECIPIENT),
            ("waha", "", errors.UNKNOWN),
        ):
            with self.subTest(provider=provider, code=code):
                receipt = self.told(provider, "receipt", message_id="1", status="failed", code=code)
                self.assertEqual(receipt.error_class, error_class)

    def test_inbound(self):
        for provider in ("meta", "fonnte", "watzap", "twilio", "waha"):
            with self.subTest(provider=provider):
                event = self.told(provider, "inbound", **{"from": PHONE}, text="Sté ✅ STOP", at=1760000100)
                self.assertIsInstance(event, Inbound)
                self.assertEqual((event.phone, event.text, event.name), (PHONE, "Sté ✅ STOP", "Budi"))
        for provider in ("meta", "fonnte", "twilio"):
            event = self.told(provider, "inbound", **{"from": PHONE}, text="Berhenti", payload="STOP_1")
            self.assertEqual((event.text, event.payload), ("Berhenti", "STOP_1"))

    def test_no_number(self):
        self.assertEqual(self.told("meta", "inbound", user_id="ID.1", text="x").sender, "ID.1")
        self.gateway.configure(waha={"hidden_numbers": True})
        event = self.told("waha", "inbound", **{"from": PHONE}, text="STOP")
        self.assertEqual(event.phone, "")
        self.assertEqual(provider_for(self.gateway.account("waha")).number_of(event.sender), PHONE)

    def test_preference_template_sender(self):
        self.assertTrue(self.told("meta", "preference", **{"from": PHONE}).opted_out)
        resumed = self.told("meta", "preference", **{"from": PHONE}, value="resume")
        self.assertIsInstance(resumed, Preference)
        self.assertFalse(resumed.opted_out)
        change = self.told("meta", "template", name="izin_selesai", status="PAUSED")
        self.assertIsInstance(change, TemplateChange)
        self.assertEqual((change.name, change.language, change.status), ("izin_selesai", "id", "PAUSED"))
        self.assertEqual(self.told("meta", "template_quality", name="a", quality="RED").quality, "RED")
        for provider in ("meta", "fonnte", "waha"):
            change = self.told(provider, "sender", works=False)
            self.assertIsInstance(change, SenderChange)
            self.assertFalse(change.works)
        for provider in ("fonnte", "waha"):
            self.assertTrue(self.told(provider, "sender", works=True).works)

    def test_signatures(self):
        for provider in ("meta", "twilio", "waha"):
            for signature in ("wrong", "missing", "reserialised"):
                with self.subTest(provider=provider, signature=signature):
                    if (provider, signature) == ("twilio", "reserialised"):
                        continue  # a form has one form only
                    reader, hook = self.tell(
                        provider, "inbound", **{"from": PHONE}, text="Halo é", signature=signature
                    )
                    self.assertFalse(reader.is_authentic(hook))

    def test_challenge(self):
        for underscores in (False, True):
            reader, hook = self.tell("meta", "challenge", underscores=underscores)
            self.assertEqual(reader.challenge(hook), "1158201444")
        reader, hook = self.tell("meta", "challenge", verify_token="wrong")
        self.assertIsNone(reader.challenge(hook))


class TestByThemselves(SimulatorCase):
    def follow(self, provider, receipts, message):
        self.gateway.configure(**{provider: {"callback_url": self.customer.address, "receipts": receipts}})
        reader = provider_for(self.gateway.account(provider))
        attempt = reader.send(message)
        self.assertEqual(attempt.outcome, ACCEPTED, attempt)
        self.assertEqual(self.gateway.admin("GET", "hooks?settle=10")["waiting"], 0)
        self.assertTrue(all(map(reader.is_authentic, self.customer.hooks)))
        return attempt, [event for hook in self.customer.hooks for event in reader.read_events(hook)]

    def test_order_of_meta(self):
        receipts = ["read", "sent", "sent", "failed:131026"]
        attempt, events = self.follow("meta", receipts, template_message())
        self.assertEqual([one.state for one in events], ["read", "sent", "sent", "failed"])
        self.assertEqual({one.message_id for one in events}, {attempt.message_id})
        self.assertEqual({one.reference for one in events}, {"msg:0001"})
        self.assertEqual(len({one.key for one in events}), 3)

    def test_receipts_of_fonnte_before_the_pairing(self):
        attempt, events = self.follow("fonnte", ["delivered", "sent"], Message(PHONE, "Halo"))
        early, pairing = events
        self.assertEqual((early.message_id, early.state), ("", "delivered"))
        self.assertEqual((pairing.message_id, pairing.alias), (attempt.message_id, early.alias))

    def test_twilio_and_waha(self):
        for provider in ("twilio", "waha"):
            self.customer.hooks.clear()
            attempt, events = self.follow(provider, ["sent", "read"], Message(PHONE, "Halo"))
            self.assertEqual([one.state for one in events], ["sent", "read"])
            self.assertEqual({one.message_id for one in events}, {attempt.message_id})

    def test_the_address_of_the_message(self):
        self.gateway.configure(twilio={"receipts": ["sent"]})
        provider = provider_for(self.gateway.account("twilio", callback_url=self.customer.address))
        attempt = provider.send(Message(PHONE, "Halo"))
        self.gateway.admin("GET", "hooks?settle=10")
        (hook,) = self.customer.hooks
        self.assertTrue(provider.is_authentic(hook))
        self.assertEqual(provider.read_events(hook)[0].message_id, attempt.message_id)
