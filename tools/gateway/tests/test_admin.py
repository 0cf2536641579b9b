import json
from http.client import HTTPConnection

from .support import BUDI, META, SITI, GatewayCase


class TestMessages(GatewayCase):
    def test_filters_count_and_order(self):
        for number in (BUDI, SITI, BUDI):
            self.send_fonnte(target=number)
        self.send_watzap()
        everything = self.messages()
        self.assertEqual([one["to"] for one in everything], [BUDI, SITI, BUDI, BUDI])
        self.assertEqual(sorted(one["id"] for one in everything), [one["id"] for one in everything])
        answer = self.admin("GET", f"/messages?provider=fonnte&to=%2B{BUDI}&limit=1")
        self.assertEqual((answer["count"], answer["messages"]), (2, everything[:1]))
        self.assertEqual(self.messages(f"?since_id={everything[1]['id']}"), everything[2:])
        self.assertEqual(self.json("GET", "/admin/messages?limit=many")[0], 400)

    def test_forgetting_messages_keeps_faults(self):
        self.send_watzap()
        self.admin("POST", "/faults", {"provider": "meta", "fault": "131042"})
        self.admin("DELETE", "/messages")
        self.assertEqual(self.messages(), [])
        self.assertEqual(len(self.admin("GET", "/faults")["faults"]), 1)


class TestAccounts(GatewayCase):
    def test_new_credentials(self):
        changed = self.admin("POST", "/accounts", {"fonnte": {"token": "OTHER-DEMO"}})
        self.assertEqual(changed["fonnte"]["device"], "6221500000")
        self.assertEqual(self.send_fonnte()[1]["reason"], "token invalid")
        self.assertEqual(self.admin("GET", "/accounts"), changed)

    def test_nonsense_changes_nothing(self):
        before = self.admin("GET", "/accounts")
        for changes in (
            {"nobody": {}},
            {"meta": {"token": "x"}, "fonnte": {"colour": "red"}},
            {"meta": {"token": "x", "templates": [{"language": "id"}]}},
            {"meta": {"open_windows": BUDI}},
            {"meta": None},
        ):
            with self.subTest(changes=changes):
                self.assertEqual(self.json("POST", "/admin/accounts", changes)[0], 400)
                self.assertEqual(self.admin("GET", "/accounts"), before)


class TestReset(GatewayCase):
    def test_everything_is_as_at_start(self):
        accounts = self.admin("GET", "/accounts")
        self.send_fonnte()
        self.admin(
            "POST", "/accounts", {"meta": {"open_windows": [BUDI], "templates": []}, "fonnte": {"quota": 0}}
        )
        self.admin("POST", "/settings", {"delay_ms": 20})
        self.admin("POST", "/faults", {"provider": "*", "fault": "http:500"})
        self.admin("POST", "/reset", {})
        self.assertEqual(self.admin("GET", "/accounts"), accounts)
        self.assertEqual(self.admin("GET", "/requests")["requests"], [])
        self.assertEqual(self.admin("GET", "/settings"), {"delay_ms": 0})
        self.assertEqual(self.messages(), [])
        self.assertEqual(self.send_meta()[0], 200)
        text = {"type": "text", "text": {"body": "Halo"}}
        self.assertEqual(self.send_meta(text)[1]["error"]["code"], 131047)

    def test_message_ids_are_never_used_again(self):
        self.send_fonnte()
        (before,) = self.messages()
        self.admin("POST", "/reset", {})
        self.send_fonnte()
        (after,) = self.messages(f"?since_id={before['id']}")
        self.assertNotEqual(after["message_id"], before["message_id"])


class TestRequests(GatewayCase):
    def test_log_has_no_secret_and_no_text(self):
        self.send_meta(biz_opaque_callback_data="SECRET-REF")
        self.json("GET", f"{META}?access_token=SECRET-QUERY")
        self.json("GET", "/fonnte/misspelt")
        answer = self.admin("GET", "/requests")
        self.assertEqual(
            [(one["provider"], one["method"], one["path"], one["status"]) for one in answer["requests"]],
            [
                ("meta", "POST", f"{META}/messages", 200),
                ("meta", "GET", META, 401),
                ("fonnte", "GET", "/fonnte/misspelt", 404),
            ],
        )
        for secret in ("SECRET", "META-TOKEN-DEMO", "Budi"):
            self.assertNotIn(secret, json.dumps(answer))
        self.assertEqual(self.admin("GET", "/requests?provider=fonnte")["count"], 1)

    def test_settings(self):
        for values in ({"delay_ms": -1}, {"delay_ms": "x"}, {"delay": 1}, []):
            with self.subTest(values=values):
                self.assertEqual(self.json("POST", "/admin/settings", values)[0], 400)
        self.assertEqual(self.admin("GET", "/health"), {"ok": True})


class TestPage(GatewayCase):
    def events(self):
        """Open the live events; return a function that reads the next one as (name, data)."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=10)
        self.addCleanup(connection.close)
        connection.request("GET", "/events")
        answer = connection.getresponse()
        self.assertEqual(answer.headers.get_content_type(), "text/event-stream")

        def following():
            lines = []
            while (line := answer.readline().decode().rstrip("\n")) or not lines:
                lines.append(line)
            name, data = lines
            return name.removeprefix("event: "), json.loads(data.removeprefix("data: "))

        return following

    def test_page_needs_nothing_from_elsewhere(self):
        status, headers, body = self.call("GET", "/")
        self.assertEqual((status, headers.get_content_type()), (200, "text/html"))
        page = body.decode()
        self.assertIn('<html lang="en">', page)
        for outside in ('src="', "@import", "https://", "innerHTML"):
            self.assertNotIn(outside, page)

    def test_events_follow_messages_faults_and_clearing(self):
        self.send_watzap(message="satu")
        following = self.events()
        self.assertEqual(following()[0], "state")
        name, data = following()
        self.assertEqual((name, [one["text"] for one in data["messages"]]), ("snapshot", ["satu"]))
        self.send_watzap(message="dua")
        name, data = following()
        self.assertEqual((name, [one["text"] for one in data["messages"]]), ("messages", ["dua"]))
        self.assertEqual(data["counts"], {"watzap": 2})
        self.admin("POST", "/faults", {"provider": "meta", "fault": "131042"})
        name, data = following()
        self.assertEqual((name, [one["fault"] for one in data["faults"]]), ("state", ["131042"]))
        self.admin("DELETE", "/messages")
        self.assertEqual(following(), ("snapshot", {"messages": [], "counts": {}}))
