"""The door by which providers tell us something: who comes in, what is refused, and that nothing breaks."""

import json
import logging
from unittest.mock import patch

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from odoo.tools import mute_logger

from ..controllers.raw import MAX_BODY
from ..providers import PROVIDERS
from .webhooks import SECRET, VERIFY, DoorCase

_logger = logging.getLogger(__name__)

STATUS = {
    "object": "whatsapp_business_account",
    "entry": [
        {
            "id": "100000000000001",
            "changes": [
                {
                    "field": "messages",
                    "value": {
                        "messaging_product": "whatsapp",
                        "metadata": {"phone_number_id": "200000000000002"},
                        "statuses": [{"id": "wamid.X", "status": "delivered", "timestamp": "1760000000"}],
                    },
                }
            ],
        }
    ],
}
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
JUNK = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


class TestDoor(DoorCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.meta = cls._meta()
        cls.fonnte = cls._provider("fonnte")

    def assertRefused(self, answer, status):
        self.assertEqual(answer.status_code, status, answer.text)
        self.assertEqual(list(answer.json()), ["error"])
        self.assertFalse(self.events.search([]))

    def test_taken_once(self):
        for _again in range(2):
            answer = self.signed(self.meta, STATUS)
            self.assertEqual(answer.status_code, 200, answer.text)
        self.assertNotIn("Set-Cookie", answer.headers)
        event = self.events.search([])
        self.assertEqual((event.provider_id, event.kind, event.status), (self.meta, "receipt", "delivered"))
        self.assertEqual(event.state, "pending", "it is answered first and applied afterwards")

    def test_the_scheduled_action_is_woken(self):
        cron = self.env.ref("sicantik_notification_automation.ir_cron_process_queue")
        triggers = self.env["ir.cron.trigger"].search([("cron_id", "=", cron.id)])
        triggers.unlink()
        self.signed(self.meta, STATUS)
        self.assertTrue(self.env["ir.cron.trigger"].search([("cron_id", "=", cron.id)]))

    def test_unknown_provider_or_path(self):
        body = json.dumps(STATUS)
        for path in (
            f"/sicantik/webhook/{self.meta.id}/wrong",
            f"/sicantik/webhook/{self.meta.id}/%C3%A9",
            f"/sicantik/webhook/{self.meta.id}/{self.fonnte.webhook_token}",
            f"/sicantik/webhook/{self.meta.id + 1000}/{self.meta.webhook_token}",
            f"/sicantik/webhook/0/{self.meta.webhook_token}",
            f"/sicantik/webhook/99999999999999999999/{self.meta.webhook_token}",
        ):
            with self.subTest(path):
                self.assertRefused(self.call(path, body), 404)
        self.assertEqual(self.call("/sicantik/webhook/x/y", body).status_code, 404)

    def test_archived_provider(self):
        path = self.path(self.fonnte)
        self.fonnte.active = False
        self.assertRefused(self.call(path, "{}"), 404)

    def test_a_new_address(self):
        old = self.path(self.fonnte)
        self.fonnte.action_renew_webhook_url()
        self.assertRefused(self.call(old, "{}"), 404)
        self.assertEqual(self.call(self.path(self.fonnte), "{}").status_code, 200)

    def test_the_access_log_does_not_tell_the_address(self):
        path = self.path(self.fonnte)
        with self.assertLogs("werkzeug", logging.INFO) as log:
            self.call(f"{path}?hub.verify_token=VERIFY", "{}")
        told = "".join(log.output)
        self.assertIn(f"POST /sicantik/webhook/{self.fonnte.id}/… HTTP/1.1", told)
        self.assertNotIn(self.fonnte.webhook_token, told)
        self.assertNotIn("VERIFY", told)

    def test_without_a_token(self):
        """A copy of the database has none: nothing opens its doors."""
        self.fonnte.webhook_token = False
        for token in ("False", "None", "%20"):
            self.assertRefused(self.call(f"/sicantik/webhook/{self.fonnte.id}/{token}", "{}"), 404)

    def test_signature(self):
        self.assertRefused(self.signed(self.meta, STATUS, "wrong"), 403)
        self.assertRefused(self.call(self.path(self.meta), json.dumps(STATUS)), 403)
        for signature in ("", "sha256=", "sha256=é".encode("latin-1"), "sha1=00", "x" * 1000):
            headers = {"X-Hub-Signature-256": signature}
            self.assertRefused(self.call(self.path(self.meta), "{}", headers=headers), 403)

    def test_no_secret_refuses_all(self):
        self.meta.app_secret = False
        self.assertRefused(self.signed(self.meta, STATUS, ""), 403)

    def test_malformed(self):
        for body in (b"", b"{", b"[]", b"\xff\xfe", b"null", b"[" * 100_000):
            with self.subTest(body[:10]):
                self.assertRefused(self.signed(self.meta, body), 400)

    def test_too_large(self):
        body = b"x" * (MAX_BODY + 1)
        self.assertRefused(self.signed(self.meta, body), 413)
        parts = (b"x" * 65536 for _part in range(40))
        self.assertRefused(self.call(self.path(self.fonnte), parts), 413)

    def test_without_a_length(self):
        """A body that comes in pieces is read as one."""
        body = json.dumps({"device": "6221500000", "id": "80000001", "status": "sent"}).encode()
        pieces = (body[at : at + 7] for at in range(0, len(body), 7))
        answer = self.call(self.path(self.fonnte), pieces, headers={"Content-Type": "application/json"})
        self.assertEqual(answer.status_code, 200, answer.text)
        self.assertEqual(self.events.search([]).message_id, "80000001")

    def test_fields_of_a_form_are_no_arguments(self):
        """The path is the key: nothing in the body or the query changes who is spoken to."""
        form = {"self": "1", "provider_id": str(self.meta.id), "token": "x", "csrf_token": "x"}
        answer = self.call(self.path(self.fonnte), form, params={"self": "1", "provider_id": "7"})
        self.assertIn(answer.status_code, (200, 400))
        self.assertFalse(self.events.search([]))

    def test_challenge(self):
        query = {"hub.mode": "subscribe", "hub.challenge": "1158201444", "hub.verify_token": VERIFY}
        answer = self.call(self.path(self.meta), method="GET", params=query)
        self.assertEqual((answer.status_code, answer.text), (200, "1158201444"))
        self.assertTrue(answer.headers["Content-Type"].startswith("text/plain"))
        wrong = {**query, "hub.verify_token": "wrong"}
        self.assertRefused(self.call(self.path(self.meta), method="GET", params=wrong), 403)
        self.assertRefused(self.call(self.path(self.fonnte), method="GET", params=query), 403)
        self.meta.verify_token = False
        nothing = {**query, "hub.verify_token": ""}
        self.assertRefused(self.call(self.path(self.meta), method="GET", params=nothing), 403)

    def test_the_simulator_asks(self):
        self.connect(self.meta)
        self.assertEqual(self.happen(self.meta, "challenge"), [200])

    def test_nothing_personal_in_the_log(self):
        body = {"device": "6221500000", "sender": "6281200000077", "message": "secret words", "inboxid": "1"}
        with self.assertLogs("odoo", "INFO") as caught:
            _logger.warning("so that there is a line at all")
            self.call(self.path(self.fonnte), json.dumps(body))
            self.signed(self.meta, json.dumps(body).encode())
            self.drain()
        text = "\n".join(caught.output)
        for words in ("6281200000077", "81200000077", "secret words", SECRET):
            self.assertNotIn(words, text)

    def test_an_adapter_that_breaks(self):
        """Whatever is wrong with the reading, the service hears that its body was not understood."""
        with (
            patch.object(PROVIDERS["fonnte"], "read_events", side_effect=KeyError("6281200000077")),
            self.assertLogs("odoo.addons.sicantik_notification_automation.controllers.webhook") as caught,
        ):
            self.assertRefused(self.call(self.path(self.fonnte), "{}"), 400)
        self.assertNotIn("6281200000077", "\n".join(caught.output))

    @mute_logger("odoo.addons.sicantik_notification_automation.models.sicantik_whatsapp_event")
    def test_junk(self):
        """Generated bodies and bytes at every kind of door: refused or understood, never an error of ours."""
        doors = [self.meta, self.fonnte, self._provider("watzap"), self._provider("twilio"), self._waha()]
        seen = set()

        @settings(max_examples=60, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        @given(st.sampled_from(doors), JUNK | st.binary(max_size=200), st.booleans())
        def knock(provider, junk, good):
            body = junk if isinstance(junk, bytes) else json.dumps(junk).encode()
            if good and provider == self.meta:
                answer = self.signed(provider, body)
            else:
                answer = self.call(self.path(provider), body, headers={"Content-Type": "application/json"})
            self.assertIn(answer.status_code, (200, 400, 403))
            seen.add(answer.status_code)

        knock()
        self.drain()
        self.assertLessEqual({400, 403}, seen)
        self.assertFalse(self.rows(state="sent"))
        self.assertFalse(self.events.search([("state", "=", "pending")]))

    def _waha(self):
        return self._provider("waha", app_secret="WAHA-SECRET-DEMO")
