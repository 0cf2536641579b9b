"""What Meta tells (providers.md 1.8 to 1.10): signature, the question for the address, and every event."""

import datetime
import json
import unittest

from .. import Hook, Malformed, errors, provider_for
from ..events import Inbound, Preference, Receipt, SenderChange, TemplateChange
from .support import PHONE, hook, offline

# providers.md 1.8: the non-ASCII characters are six ASCII characters each.
SIGNED = rb'{"text":{"body":"Halo \u2705 caf\u00e9"}}'
SIGNATURE = "sha256=bc9e1bf8c071ca9ff2d380f5f597f97ca8b79e1073de346c81f74135e4314fbc"
NUMBER = "200000000000002"
METADATA = {"display_phone_number": "6221500000", "phone_number_id": NUMBER}


def change(field, value, time=1760000000):
    return {
        "object": "whatsapp_business_account",
        "entry": [{"id": "100000000000001", "time": time, "changes": [{"field": field, "value": value}]}],
    }


def messages(**value):
    return change("messages", {"messaging_product": "whatsapp", "metadata": METADATA, **value})


def status(state="delivered", message_id="wamid.HBgTEST0001", **more):
    row = {"id": message_id, "status": state, "timestamp": "1760000000", "recipient_id": PHONE[1:], **more}
    return messages(statuses=[row])


def failed(code, **more):
    return status("failed", errors=[{"code": code, "title": "Title", **more}])


def said(**message):
    message = {"from": PHONE[1:], "id": "wamid.IN1", "timestamp": "1760000100", **message}
    return messages(contacts=[{"profile": {"name": "Budi"}, "wa_id": PHONE[1:]}], messages=[message])


class MetaCase(unittest.TestCase):
    def setUp(self):
        self.provider = provider_for(offline("meta"))

    def events(self, body):
        return self.provider.read_events(hook(body))

    def event(self, body):
        (event,) = self.events(body)
        return event


class TestSignature(MetaCase):
    def is_authentic(self, signature=SIGNATURE, secret="app-secret-demo", body=SIGNED):
        headers = {} if signature is None else {"x-hub-signature-256": signature}
        return provider_for(offline("meta", app_secret=secret)).is_authentic(hook(body, headers))

    def test_vector(self):
        self.assertTrue(self.is_authentic())

    def test_refused(self):
        for case in (
            {"signature": None},
            {"signature": ""},
            {"signature": SIGNATURE.removeprefix("sha256=")},
            {"signature": SIGNATURE.replace("sha256", "sha1")},
            {"signature": SIGNATURE[:-1] + "0"},
            {"signature": "sha256=é"},
            {"secret": "another"},
            {"secret": ""},
            {"secret": " , "},
            {"body": SIGNED + b"\n"},
            {"body": json.dumps(json.loads(SIGNED), ensure_ascii=False).encode()},
        ):
            with self.subTest(**case):
                self.assertFalse(self.is_authentic(**case))

    def test_nobody_signs_with_an_empty_secret(self):
        empty = "sha256=" + "b" * 64
        self.assertFalse(self.is_authentic(empty, secret=""))

    def test_old_and_new_secret_during_rotation(self):
        for secret in ("app-secret-demo, next", "next app-secret-demo", "next\napp-secret-demo"):
            with self.subTest(secret=secret):
                self.assertTrue(self.is_authentic(secret=secret))


class TestChallenge(MetaCase):
    QUERY = {"mode": "subscribe", "challenge": "1158201444", "verify_token": "META-VERIFY-DEMO"}

    def challenge(self, mark=".", method="GET", token="META-VERIFY-DEMO", **changes):
        query = {f"hub{mark}{name}": value for name, value in {**self.QUERY, **changes}.items()}
        provider = provider_for(offline("meta", verify_token=token))
        return provider.challenge(Hook(method, query=query))

    def test_answered(self):
        self.assertEqual(self.challenge(), "1158201444")
        self.assertEqual(self.challenge("_"), "1158201444")

    def test_refused(self):
        for case in (
            {"verify_token": "wrong"},
            {"verify_token": ""},
            {"token": "", "verify_token": ""},
            {"token": " ", "verify_token": " "},
            {"mode": "unsubscribe"},
            {"method": "POST"},
            {"challenge": "<script>alert(1)</script>"},
            {"challenge": ""},
        ):
            with self.subTest(**case):
                self.assertIsNone(self.challenge(**case))
        self.assertIsNone(self.provider.challenge(Hook("GET")))


class TestReceipts(MetaCase):
    def test_states(self):
        for state, wanted in (
            ("sent", "sent"),
            ("delivered", "delivered"),
            ("read", "read"),
            ("played", "read"),
        ):
            with self.subTest(state=state):
                receipt = self.event(status(state, biz_opaque_callback_data="demo:17"))
                self.assertEqual(
                    receipt,
                    Receipt(
                        f"receipt:wamid.HBgTEST0001:{wanted}",
                        "wamid.HBgTEST0001",
                        wanted,
                        at=datetime.datetime(2025, 10, 9, 8, 53, 20),
                        reference="demo:17",
                    ),
                )

    def test_failures_by_the_table_of_sending(self):
        for code, error_class, scope in (
            (131026, errors.BAD_RECIPIENT, errors.RCPT),
            (131042, errors.ACCOUNT_BLOCKED, errors.ACCT),
            (131047, errors.WINDOW_CLOSED, errors.RCPT),
            (131049, errors.RETRY_LATER, errors.RCPT),
            (131050, errors.BAD_RECIPIENT, errors.RCPT),
            (999999, errors.UNKNOWN, errors.MSG),
        ):
            with self.subTest(code=code):
                receipt = self.event(failed(code))
                self.assertEqual((receipt.state, receipt.error_class), ("failed", error_class))
                self.assertEqual((receipt.error_code, receipt.scope), (str(code), scope))
                self.assertEqual(receipt.opt_out, code == 131050)
                self.assertIn(f"(Meta {code}: Title)", receipt.error_message)

    def test_no_promise_of_another_try(self):
        for code in (1, 131000, 131016, 130429, 131056, 131057):
            with self.subTest(code=code):
                message = self.event(failed(code)).error_message
                self.assertNotIn("tried again", message)
                self.assertIn("failed after it had been accepted", message)

    def test_failure_without_errors(self):
        receipt = self.event(status("failed"))
        self.assertEqual((receipt.state, receipt.error_class), ("failed", errors.UNKNOWN))
        self.assertTrue(receipt.error_code)

    def test_words_without_secrets_and_numbers(self):
        words = (
            f"to {PHONE}, +62 812-0000-0001, 081200000001 and +6281200000055 by META-TOKEN-DEMO "
            "META-SECRET-DEMO"
        )
        receipt = self.event(failed(131026, error_data={"details": words}))
        for hidden in ("81200000001", "0000-0001", "81200000055", "TOKEN", "SECRET"):
            self.assertNotIn(hidden, receipt.error_message)

    def test_number_cut_in_the_middle(self):
        for length in range(270, 300):
            words = "x" * length + " +6281200000055"
            self.assertNotRegex(self.event(failed(131026, message=words)).error_message, r"x .*62\d")

    def test_key_is_the_message_and_its_state(self):
        first, again = self.event(status("read")), self.event(status("read", timestamp="1760000500"))
        others = [self.event(status("sent")), self.event(status("read", "wamid.HBgTEST0002"))]
        self.assertEqual(first.key, again.key)
        self.assertEqual(len({first.key, *(one.key for one in others)}), 3)

    def test_a_long_id_has_a_short_key(self):
        first, second = (self.event(status("read", "wamid." + "A" * 190 + end)) for end in ("1", "2"))
        self.assertLessEqual(len(first.key), 200)
        self.assertNotEqual(first.key, second.key)

    def test_several_in_one_call_in_their_order_and_once(self):
        rows = [{"id": f"wamid.{index}", "status": "sent"} for index in (3, 1, 2, 1)]
        body = messages(statuses=rows)
        body["entry"].append(status("read", "wamid.9")["entry"][0])
        self.assertEqual([one.message_id for one in self.events(body)], [f"wamid.{i}" for i in (3, 1, 2, 9)])

    def test_unknown_state_tells_nothing(self):
        self.assertEqual(self.events(status("warmed")), [])
        self.assertEqual(self.events(status("sent", "")), [])


class TestInbound(MetaCase):
    def test_text(self):
        event = self.event(said(type="text", text={"body": "STOP"}))
        self.assertEqual(
            event,
            Inbound(
                "inbound:wamid.IN1",
                PHONE,
                at=datetime.datetime(2025, 10, 9, 8, 55),
                text="STOP",
                name="Budi",
                message_id="wamid.IN1",
            ),
        )
        for hidden in (PHONE[1:], "STOP", "Budi"):
            self.assertNotIn(hidden, repr(event))

    def test_buttons(self):
        tapped = self.event(said(type="button", button={"payload": "STOP_1", "text": "Berhenti"}))
        self.assertEqual((tapped.text, tapped.payload), ("Berhenti", "STOP_1"))
        for kind in ("button_reply", "list_reply"):
            reply = {"type": kind, kind: {"id": "b1", "title": "Ya"}}
            event = self.event(said(type="interactive", interactive=reply))
            self.assertEqual((event.text, event.payload), ("Ya", "b1"))

    def test_anything_else_opens_the_window_too(self):
        for message in ({"type": "image", "image": {"id": "1"}}, {"type": "unsupported", "errors": [{}]}, {}):
            with self.subTest(message=message):
                event = self.event(said(**message))
                self.assertEqual((event.phone, event.text), (PHONE, ""))

    def test_no_number(self):
        message = {
            "id": "wamid.IN2",
            "from_user_id": "ID.1234567890",
            "text": {"body": "Halo"},
            "type": "text",
        }
        contact = {"profile": {"name": "Siti"}, "user_id": "ID.1234567890"}
        event = self.event(messages(contacts=[contact], messages=[message]))
        self.assertEqual((event.phone, event.sender, event.name), ("", "ID.1234567890", "Siti"))

    def test_what_is_none(self):
        self.assertEqual(self.events(said(group_id="g1", type="text", text={"body": "STOP"})), [])
        self.assertEqual(self.events(said(**{"from": "6221500000"}, type="text", text={"body": "x"})), [])
        self.assertEqual(self.events(said(id="")), [])
        self.assertEqual(self.events(said(type="system", system={"body": "A changed to B"})), [])
        self.assertEqual(
            self.events(change("smb_message_echoes", {"message_echoes": [{"id": "wamid.1"}]})), []
        )

    def test_text_is_storable(self):
        event = self.event(said(type="text", text={"body": "a\0b\ud800" + "c" * 9000}))
        self.assertNotIn("\0", event.text)
        event.text.encode()
        self.assertLessEqual(len(event.text), 4096)


class TestPreferences(MetaCase):
    def wish(self, value, **more):
        row = {"wa_id": PHONE[1:], "category": "marketing_messages", "value": value, "timestamp": 1760000200}
        return change("user_preferences", {"metadata": METADATA, "user_preferences": [{**row, **more}]})

    def test_stop_and_resume(self):
        stop, resume = self.event(self.wish("stop")), self.event(self.wish("resume"))
        self.assertEqual(
            stop, Preference(stop.key, PHONE, True, at=datetime.datetime(2025, 10, 9, 8, 56, 40))
        )
        self.assertFalse(resume.opted_out)
        again, later = self.event(self.wish("stop")), self.event(self.wish("stop", timestamp=1760000300))
        self.assertEqual(stop.key, again.key)
        self.assertEqual(len({stop.key, resume.key, later.key}), 3)
        self.assertNotIn(PHONE[1:], stop.key)

    def test_others(self):
        self.assertEqual(self.events(self.wish("signup")), [])
        self.assertEqual(self.events(self.wish("stop", wa_id=None)), [])


class TestTemplates(MetaCase):
    VALUE = {
        "message_template_id": 123,
        "message_template_name": "izin_selesai",
        "message_template_language": "id",
    }

    def test_status(self):
        value = {**self.VALUE, "event": "PAUSED", "reason": "NONE", "message_template_category": "UTILITY"}
        event = self.event(change("message_template_status_update", value))
        self.assertEqual(
            event, TemplateChange(event.key, "izin_selesai", "id", "PAUSED", category="UTILITY", reason="")
        )
        rejected = {**value, "event": "REJECTED", "reason": "ABUSIVE_CONTENT"}
        event = self.event(change("message_template_status_update", rejected))
        self.assertEqual((event.status, event.reason), ("REJECTED", "ABUSIVE_CONTENT"))

    def test_quality_and_category(self):
        quality = {**self.VALUE, "previous_quality_score": "GREEN", "new_quality_score": "RED"}
        event = self.event(change("message_template_quality_update", quality))
        self.assertEqual((event.status, event.quality, event.category), ("", "RED", ""))
        category = {**self.VALUE, "previous_category": "UTILITY", "new_category": "MARKETING"}
        event = self.event(change("template_category_update", category))
        self.assertEqual((event.status, event.quality, event.category), ("", "", "MARKETING"))

    def test_the_same_state_another_time_is_another_event(self):
        value = {**self.VALUE, "event": "PAUSED"}
        keys = [
            self.event(change("message_template_status_update", value, time)).key for time in (10, 10, 20)
        ]
        self.assertEqual((keys[0] == keys[1], keys[0] == keys[2]), (True, False))

    def test_incomplete(self):
        for value in ({}, {"event": "PAUSED"}, self.VALUE):
            self.assertEqual(self.events(change("message_template_status_update", value)), [])


class TestSender(MetaCase):
    def test_the_account_does_not_work(self):
        event = self.event(messages(errors=[{"code": 131031, "title": "Account has been locked"}]))
        self.assertEqual(
            (type(event), event.works, event.error_class), (SenderChange, False, errors.ACCOUNT_BLOCKED)
        )
        self.assertIn("Business Support", event.error_message)

    def test_errors_that_stop_nobody(self):
        for code in (131051, 131000, 130429, 130497, 999999, None):
            with self.subTest(code=code):
                self.assertEqual(self.events(messages(errors=[{"code": code, "title": "x"}])), [])

    def test_another_number_of_the_account(self):
        other = {"metadata": {**METADATA, "phone_number_id": "200000000000003"}}
        self.assertEqual(self.events(messages(**other, errors=[{"code": 131037}])), [])
        self.assertEqual(len(self.events(messages(**other, errors=[{"code": 131031}]))), 1)


class TestMalformed(MetaCase):
    def test_bodies(self):
        for body in (
            b"",
            b"{",
            b"\xff\xfe",
            b"[]",
            b"null",
            b"1",
            b'"x"',
            b"{}",
            b'{"entry": {}}',
            b"[" * 9999,
        ):
            with self.subTest(body=body[:20]), self.assertRaises(Malformed) as caught:
                self.provider.read_events(hook(body))
            self.assertIsNone(caught.exception.__cause__)

    def test_unknown_kinds_tell_nothing(self):
        self.assertEqual(self.events(change("account_update", {"event": "X"})), [])
        self.assertEqual(self.events({"object": "page", "entry": []}), [])

    def test_answer(self):
        self.assertEqual(self.provider.webhook_answer(), ("EVENT_RECEIVED", "text/plain"))
