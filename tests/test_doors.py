"""The doors for other programs, over real HTTP, checked against the file that describes them."""

import inspect
import json
import shlex
from datetime import datetime, timedelta
from unittest.mock import patch
from urllib.parse import quote

import jsonschema
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from odoo import fields
from odoo.tests import HttpCase
from odoo.tools import mute_logger

from ..controllers.doors import MAX_BODY
from ..controllers.trigger import MAX_RECORDS, MAX_TEXT, MAX_VALUES
from ..models import run
from .common import ADDON, TIMEOUT
from .test_security import SecurityCase

SCHEDULERS = ("/api/auto-message-scheduler", "/api/cron-auto-message")
DOCUMENT = json.loads((ADDON / "static" / "openapi.json").read_text())
# The lines of seed 4, word for word.
CURLS = """
curl -X POST https://your-domain.com/api/cron-auto-message
curl -X POST https://your-domain.com/api/auto-message-scheduler
"""
SETTINGS = settings(
    max_examples=60,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


class DoorCase(HttpCase, SecurityCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.fonnte = cls._provider("fonnte", sequence=5)
        cls.keys = {name: cls._key(cls.users[name]) for name in ("manager", "user", "employee", "portal")}
        cls.startClassPatcher(patch.object(run, "LINGER_FOR_CALLERS", 0.0))

    @classmethod
    def _key(cls, user):
        """Make an API key as the person would."""
        keys = cls.env["res.users.apikeys"].with_user(user)
        if "expiration_date" in inspect.signature(keys._generate).parameters:
            return keys._generate("rpc", "Test", datetime.now() + timedelta(days=1))
        return keys._generate("rpc", "Test")

    def call(self, path, body=None, key="manager", method="POST", headers=None, **kwargs):
        """Knock at a door.

        :param body: what is sent as JSON; bytes are sent as they are
        :param str key: whose key; a key that is nobody's as it is; None for none
        """
        headers = dict(headers or {})
        if key is not None:
            headers.setdefault("Authorization", f"Bearer {self.keys.get(key, key)}")
        if body is not None and not isinstance(body, bytes):
            headers.setdefault("Content-Type", "application/json")
            body = json.dumps(body).encode()
        answer = self.opener.request(
            method, self.base_url() + path, data=body, headers=headers, timeout=TIMEOUT, **kwargs
        )
        self.env.invalidate_all()
        return answer

    def assertAsDocumented(self, answer, path, status=None):
        """Assert that an answer is one of those that the document promises, and what it is."""
        self.assertEqual(answer.status_code, status or answer.status_code, answer.text)
        self.assertNotIn("Set-Cookie", answer.headers)
        promised = DOCUMENT["paths"][path]["post"]["responses"]
        self.assertIn(str(answer.status_code), promised, answer.text)
        response = promised[str(answer.status_code)]
        if "$ref" in response:
            response = DOCUMENT["components"]["responses"][response["$ref"].rpartition("/")[2]]
        for name, header in response.get("headers", {}).items():
            self.assertTrue(not header.get("required") or name in answer.headers, answer.headers)
        if "content" not in response:
            return None
        self.assertEqual(answer.headers["Content-Type"].partition(";")[0], "application/json")
        schema = response["content"]["application/json"]["schema"]
        jsonschema.Draft202012Validator({**schema, "components": DOCUMENT["components"]}).validate(
            answer.json()
        )
        return answer.json()

    def _books(self):
        """Give all that a call could have changed."""
        self.env.invalidate_all()
        return (
            self.queue.search([], order="id").mapped(lambda row: (row.id, row.state)),
            self.logs.search_count([]),
            self.env["sicantik.notification.execution"].search_count([]),
            self.env["sicantik.auto.message"].search([], order="id").mapped("state"),
        )


class TestDocument(DoorCase):
    def test_every_reference_leads_somewhere(self):
        text = json.dumps(DOCUMENT)
        for part in text.split('"$ref": "#/')[1:]:
            value = DOCUMENT
            for name in part.partition('"')[0].split("/"):
                value = value[name]

    def test_schemas_are_schemas(self):
        for schema in DOCUMENT["components"]["schemas"].values():
            jsonschema.Draft202012Validator.check_schema(schema)

    def test_it_is_served(self):
        answer = self.url_open("/sicantik_notification_automation/static/openapi.json")
        self.assertEqual(answer.json(), DOCUMENT)


class TestAutoMessageDoor(DoorCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.messages = cls.env["sicantik.auto.message"]
        cls.messages.search([("state", "in", ("scheduled", "sending"))]).write({"state": "cancelled"})

    def _planned(self, **vals):
        message = self.messages.create(
            {
                "title": "Closed",
                "message": "Closed on Friday.",
                "contact_input": "081200000011, 081200000012",
                "delay_seconds": 0,
                **vals,
            }
        )
        message.action_schedule()
        return message

    def test_seed_4(self):
        """Planned for tonight, contacts in several shapes, a cron outside, one fault on the way."""
        self.env["sicantik.notification.blacklist"].create({"phone_number": "081200000014"})
        message = self._planned(
            contact_input=json.dumps(
                [
                    {"id": "b7f1", "name": "Budi", "phone": "0812-0000-0012"},
                    {"phone_number": "6281200000013"},
                    "+62 812-0000-0014",
                    "12345678901234567890",
                    self.partner.id,
                    "081200000001",
                ]
            ),
            scheduled_at=fields.Datetime.now() + timedelta(hours=1),
            delay_seconds=60,
        )
        lines = [shlex.split(line) for line in CURLS.strip().splitlines()]

        def curl(line):
            self.assertEqual(line[:3], ["curl", "-X", "POST"])
            answer = self.call(line[3].removeprefix("https://your-domain.com"))
            return answer.json()

        nothing = {"processed": 0, "queued": 0, "sent": 0, "failed": 0, "skipped": 0}
        for line in lines:
            self.assertEqual(curl(line), nothing, "its time has not come")
        self.assertEqual(message.left_out_count, 2, message.left_out)

        message._move(("scheduled",), "scheduled", scheduled_at=fields.Datetime.now())
        self.gateway.fault("fonnte", "target invalid", times=1)
        self.assertEqual(curl(lines[0]), {**nothing, "queued": 4, "processed": 1, "failed": 1})
        self.assertEqual(message.state, "sending")
        self.assertEqual(curl(lines[1]), nothing, "a minute between two messages")
        for _minute in range(3):
            self.env["sicantik.notification.allowance"].search([("subject", "=like", "auto:%")]).unlink()
            rows = self.rows(auto_message_id=message.id, state="pending")
            rows[:1].write({"scheduled_date": fields.Datetime.now()})
            curl(lines[0])
        self.assertEqual((message.state, message.sent_count), ("partial", 2))
        self.assertEqual((message.failed_count, message.skipped_count), (1, 1))
        self.assertTrue(message.sent_at)
        self.assertEqual({sent["text"] for sent in self.gateway.messages()}, {"Closed on Friday."})
        self.assertEqual(curl(lines[1]), nothing)
        self.assertEqual(len(self.gateway.messages()), 2)

    def test_counts(self):
        for path in SCHEDULERS:
            self._planned()
            found = self.assertAsDocumented(self.call(path), path, 200)
            self.assertEqual(found, {"processed": 2, "queued": 2, "sent": 2, "failed": 0, "skipped": 0})
            found = self.assertAsDocumented(self.call(path, {}), path, 200)
            self.assertEqual(set(found.values()), {0})

    def test_what_is_not_theirs_stays(self):
        row = self._row()
        self.call(SCHEDULERS[0])
        self.assertEqual(row.state, "pending")

    def test_the_pause_holds_and_the_answer_does_not_wait_for_it(self):
        self._planned(delay_seconds=3600)
        found = self.call(SCHEDULERS[0]).json()
        self.assertEqual((found["queued"], found["sent"]), (2, 1))

    def test_any_way_of_sending_nothing(self):
        for headers in ({}, {"Content-Type": "application/json"}, {"Content-Type": "text/plain"}):
            answer = self.call(SCHEDULERS[0], b"", headers=headers)
            self.assertAsDocumented(answer, SCHEDULERS[0], 200)

    def test_only_post(self):
        message = self._planned()
        for path in SCHEDULERS:
            for method in ("GET", "PUT", "DELETE"):
                self.assertEqual(self.call(path, method=method).status_code, 405)
        self.assertEqual(message.state, "scheduled")

    def test_keys(self):
        self._planned()
        books = self._books()
        for path in SCHEDULERS:
            for header, status in (
                (None, 401),
                ("", 401),
                ("Bearer", 401),
                ("Bearer ", 401),
                ("Bearer 0123456789abcdef", 401),
                (f"Basic {self.keys['manager']}", 401),
                (f"Bearer {self.keys['manager']}0", 401),
                (f"Bearer {self.keys['manager'][:-1]}", 401),
                ("Bearer " + "a" * 257, 401),
                ("Bearer é€".encode(), 401),
                (f"Bearer {self.keys['user']}", 403),
                (f"Bearer {self.keys['employee']}", 403),
                (f"Bearer {self.keys['portal']}", 403),
            ):
                headers = {} if header is None else {"Authorization": header}
                with self.subTest(header=header):
                    answer = self.call(path, key=None, headers=headers)
                    self.assertAsDocumented(answer, path, status)
        self.assertEqual(self._books(), books)
        self.assertEqual(self.gateway.requests(), [])

    def test_a_key_of_somebody_who_left(self):
        self.users["manager"].active = False
        self.assertEqual(self.call(SCHEDULERS[0]).status_code, 401)

    def test_a_session_is_no_key(self):
        """Nobody's browser can be made to knock."""
        self.authenticate("admin", "admin")
        self.assertEqual(self.call(SCHEDULERS[0], key=None).status_code, 401)

    def test_bodies(self):
        self._planned()
        books = self._books()
        for body, status in (
            (b"{", 400),
            (b"[]" + b" " * 10 + b"x", 400),
            (b'[1, "a"]', 400),
            (b"\xff\xfe{}", 400),
            (b'{"a": NaN}', 400),
            (b"[" * 100_000, 400),
            (b" " * (MAX_BODY + 1), 413),
        ):
            with self.subTest(body[:20]):
                self.assertAsDocumented(self.call(SCHEDULERS[0], body), SCHEDULERS[0], status)
        self.assertEqual(self._books(), books)

    def test_a_body_in_chunks(self):
        """Without a Content-Length, small and too large."""
        for parts, status in (([b"{", b"}"], 200), ([b"[1", b"]"], 400), ([b" " * 500_000] * 3, 413)):
            with self.subTest(status):
                answer = self.opener.post(
                    self.base_url() + SCHEDULERS[0],
                    data=iter(parts),
                    headers={"Authorization": f"Bearer {self.keys['manager']}"},
                    timeout=TIMEOUT,
                )
                self.assertAsDocumented(answer, SCHEDULERS[0], status)

    @SETTINGS
    @given(st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()))
    def test_junk(self, body):
        self.assertAsDocumented(self.call(SCHEDULERS[1], body), SCHEDULERS[1])

    @SETTINGS
    @given(
        st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=80)
    )
    def test_junk_for_a_key(self, key):
        answer = self.call(
            SCHEDULERS[1], key=None, headers={"Authorization": f"Bearer {key}".encode("latin-1")}
        )
        self.assertAsDocumented(answer, SCHEDULERS[1], 401)


class TestTriggerDoor(DoorCase):
    DOOR = "/sicantik/api/v1/triggers/{code}/fire"

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.trigger = cls._trigger("test_api", trigger_type="api")
        cls.rule = cls._rule(cls.trigger)
        cls.permit = cls._permit()

    def fire(self, body=None, code="test_api", **kwargs):
        return self.call(self.DOOR.format(code=quote(code, safe="")), body, **kwargs)

    def assertRefusedWith(self, status, *args, **kwargs):
        books = self._books()
        answer = self.assertAsDocumented(self.fire(*args, **kwargs), self.DOOR, status)
        self.assertEqual(self._books(), books)
        return answer

    def test_fire(self):
        body = {"res_ids": [self.permit.id], "values": {"partner_name": "Ani & Budi"}}
        found = self.assertAsDocumented(self.fire(body), self.DOOR, 200)
        row = self.assertQueued(self.partner, rule_id=self.rule.id)
        self.assertEqual(
            found,
            {
                "processed": True,
                "trigger_id": self.trigger.id,
                "rules_processed": self.rule.ids,
                "queue_ids": row.ids,
                "count": 1,
            },
        )
        self.drain()
        self.assertIn("Ani & Budi", self.gateway.messages()[0]["text"])

    def test_the_body_counts_whatever_the_header_calls_it(self):
        """curl says of every body that it is a form."""
        body = json.dumps({"res_ids": [self.permit.id], "values": {"a": "1=2&b"}}).encode()
        for type_ in ("application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/plain"):
            answer = self.fire(body, headers={"Content-Type": type_})
            self.assertEqual(answer.json()["count"], 1, type_)

    def test_the_query_counts_nothing(self):
        body = {"res_ids": [self.permit.id]}
        answer = self.call(self.DOOR.format(code="test_api") + "?self=1&code=x&csrf_token=1", body)
        self.assertEqual(answer.status_code, 200)

    def test_the_same_event_once(self):
        body = {"res_ids": [self.permit.id], "event_key": "import: 7/ü:once:"}
        counts = [self.assertAsDocumented(self.fire(body), self.DOOR, 200)["count"] for _i in range(3)]
        self.assertEqual(counts, [1, 0, 0])
        self.assertEqual(self.fire({**body, "event_key": "import: 8"}).json()["count"], 1)
        self.assertEqual(len(self.rows(rule_id=self.rule.id)), 2)

    def test_ids_twice(self):
        self.assertEqual(self.fire({"res_ids": [self.permit.id] * 3}).json()["count"], 1)

    def test_a_condition_that_is_not_met(self):
        self.trigger.condition_domain = "[('state', '=', 'approved')]"
        found = self.assertAsDocumented(self.fire({"res_ids": [self.permit.id]}), self.DOOR, 200)
        self.assertEqual((found["processed"], found["count"]), (False, 0))
        self.assertTrue(found["reason"])

    def test_codes(self):
        self._trigger("test_manual", trigger_type="manual")
        self._trigger("test_archived", trigger_type="api", active=False)
        body = {"res_ids": [self.permit.id]}
        answers = {
            json.dumps(self.assertRefusedWith(404, body, code=code))
            for code in ("nothing", "test_manual", "test_archived", "permit_state_change", "%", "a\x00b", "ü")
        }
        self.assertEqual(len(answers), 1, "one answer for all")

    def test_keys(self):
        body = {"res_ids": [self.permit.id]}
        self.assertRefusedWith(401, body, key=None)
        self.assertRefusedWith(401, body, key="0123456789abcdef0123456789abcdef01234567")
        for name in ("user", "employee", "portal"):
            self.assertRefusedWith(403, body, key=name)
        self.assertRefusedWith(401, body, key=None, code="nothing")

    def test_only_post(self):
        self.assertEqual(self.fire(method="GET").status_code, 405)

    def test_records_that_are_not_there_or_not_theirs(self):
        """Both get the same answer, and nothing is done for the others either."""
        other = self.env["res.company"].create({"name": "Other office"})
        foreign = self._permit(company_id=other.id)
        answers = {
            json.dumps(self.assertRefusedWith(403, {"res_ids": [self.permit.id, id_]}))
            for id_ in (foreign.id, 2**31 - 1)
        }
        self.assertEqual(len(answers), 1)

    def test_a_model_that_they_may_not_read(self):
        self._trigger("test_rules", model="ir.rule", trigger_type="api")
        rule = self.env["ir.rule"].search([], limit=1)
        with mute_logger("odoo.addons.base.models.ir_model", "odoo.addons.base.models.ir_rule"):
            self.assertRefusedWith(403, {"res_ids": rule.ids}, code="test_rules")

    def test_archived_records_may_be_reported(self):
        self.permit.active = False
        self.assertEqual(self.fire({"res_ids": self.permit.ids}).status_code, 200)

    def test_bodies(self):
        good = {"res_ids": [self.permit.id]}
        for body in (
            *(None, {}, [], 1, "x", {"res_ids": []}, {"res_ids": 1}, {"res_ids": [True]}),
            *({"res_ids": [0]}, {"res_ids": [-1]}, {"res_ids": ["1"]}, {"res_ids": [1.0]}),
            *({"res_ids": [2**31]}, {"res_ids": [10**30]}),
            {"res_ids": list(range(1, MAX_RECORDS + 2))},
            *({**good, "values": value} for value in ([], "x", None, {"a": []}, {"a": {"b": 1}})),
            {**good, "values": {"a": "x" * (MAX_TEXT + 1)}},
            {**good, "values": {"x" * (MAX_TEXT + 1): "a"}},
            {**good, "values": {str(n): n for n in range(MAX_VALUES + 1)}},
            *({**good, "event_key": key} for key in ("", None, 7, "x" * 201, ["x"])),
            {**good, "more": 1},
            {**good, "values": {"a": "\x00"}},
            {**good, "values": {"a\x00": "1"}},
            {**good, "event_key": "\x00"},
            *(b"{", b'{"res_ids": [1}', b'{"res_ids": [1], "values": {"a": "\\ud800"}}'),
            *(b'{"res_ids": [1], "values": {"a": 1e999}}', b'{"res_ids": [1], "values": {"a": Infinity}}'),
            b'{"res_ids": [' + b"1" * 5000 + b"]}",
        ):
            with self.subTest(str(body)[:60]):
                self.assertRefusedWith(400, body)
        self.assertRefusedWith(413, b'{"res_ids": [1], "values": {"a": "' + b"x" * MAX_BODY + b'"}}')

    def test_odd_values_that_are_allowed(self):
        values = {
            "a": 10**300,
            "b": -0.5,
            "c": None,
            "d": False,
            "e": "' \" \\ %s {{x}} <b>",
            "": "",
            "f": "😀",
            "g": "x" * 1024,
        }
        found = self.fire({"res_ids": [self.permit.id], "values": values}).json()
        self.assertEqual(found["count"], 1)
        self.drain()
        self.assertEqual(self.queue.browse(found["queue_ids"]).state, "sent")

    @SETTINGS
    @given(JSON, st.text(max_size=20))
    def test_junk(self, value, code):
        for body, where in (
            (value, "test_api"),
            ({"res_ids": value}, "test_api"),
            ({"res_ids": [self.permit.id], "values": value}, "test_api"),
            ({"res_ids": [self.permit.id], "values": {"x": value}}, "test_api"),
            ({"res_ids": [self.permit.id], "event_key": value}, "test_api"),
            ({"res_ids": [self.permit.id]}, code.replace("/", "") or "x"),
        ):
            try:
                quote(where)
            except UnicodeEncodeError:
                continue
            answer = self.fire(body, code=where)
            if where in (".", ".."):
                continue  # another path
            self.assertAsDocumented(answer, self.DOOR)
            valid = not list(
                jsonschema.Draft202012Validator(DOCUMENT["components"]["schemas"]["Event"]).iter_errors(body)
            )
            if answer.status_code == 200:
                self.assertTrue(valid, "what the document does not allow is refused")

    @SETTINGS
    @given(st.binary(max_size=100))
    def test_junk_that_is_no_json(self, body):
        books = self._books()
        answer = self.fire(body)
        self.assertAsDocumented(answer, self.DOOR, 400)
        self.assertEqual(self._books(), books)
