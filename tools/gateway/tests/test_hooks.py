import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from .support import BUDI, META, META_AUTH, SITI, GatewayCase

HOOK = "/sicantik/webhook/1/secret-path"


class Customer(ThreadingHTTPServer):
    """Keeps every call as (method, path, headers, body) and answers with the next of `statuses`, then 200."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.calls, self.statuses = [], []
        self.url = f"http://127.0.0.1:{self.server_port}{HOOK}"
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self):
        self.shutdown()
        self.server_close()


class Handler(BaseHTTPRequestHandler):
    def answer(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.calls.append((self.command, self.path, self.headers, body))
        self.send_response(self.server.statuses.pop(0) if self.server.statuses else 200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    do_GET = do_POST = answer

    def log_message(self, *_arguments):
        return None


class HooksCase(GatewayCase):
    def setUp(self):
        super().setUp()
        self.customer = Customer()
        self.addCleanup(self.customer.stop)

    def configure(self, provider="meta", **account):
        self.admin("POST", "/accounts", {provider: {"callback_url": self.customer.url, **account}})

    def happen(self, event, provider="meta", **values):
        return self.admin("POST", "/hooks", {"provider": provider, "event": event, **values})["calls"]

    def refused(self, **values):
        status, answer = self.json("POST", "/admin/hooks", {"provider": "meta", **values})
        self.assertEqual(status, 400, answer)
        return answer["error"]

    def settled(self):
        answer = self.admin("GET", "/hooks?settle=10")
        self.assertEqual(answer["waiting"], 0)
        return answer["calls"]

    def bodies(self):
        return [json.loads(body) for _method, _path, _headers, body in self.customer.calls]

    def statuses(self):
        return [
            row["status"]
            for body in self.bodies()
            for row in body["entry"][0]["changes"][0]["value"].get("statuses", ())
        ]


class TestReceipts(HooksCase):
    def test_nothing_happens_unless_asked_for(self):
        self.send_meta()
        self.configure()
        self.send_meta()
        self.assertEqual((self.settled(), self.customer.calls), ([], []))

    def test_in_the_order_asked_for(self):
        self.configure(receipts=["read", "sent", "sent", "failed:131042"])
        _status, answer = self.send_meta(biz_opaque_callback_data="msg:0001")
        calls = self.settled()
        self.assertEqual([one["status"] for one in calls], [200] * 4)
        self.assertEqual(self.statuses(), ["read", "sent", "sent", "failed"])
        row = self.bodies()[-1]["entry"][0]["changes"][0]["value"]["statuses"][0]
        self.assertEqual((row["id"], row["recipient_id"]), (answer["messages"][0]["id"], BUDI))
        self.assertEqual((row["biz_opaque_callback_data"], row["errors"][0]["code"]), ("msg:0001", 131042))
        self.assertEqual(urlsplit(self.customer.calls[0][1]).path, HOOK)

    def test_also_when_the_answer_to_the_send_is_lost(self):
        self.configure(receipts=["sent"])
        self.admin("POST", "/faults", {"provider": "meta", "fault": "cut_after_read", "times": 1})
        with self.assertRaises(OSError):
            self.send_meta()
        self.settled()
        self.assertEqual(self.statuses(), ["sent"])

    def test_none_for_a_message_that_was_refused(self):
        self.configure(receipts=["sent"])
        self.admin("POST", "/faults", {"provider": "meta", "fault": "131042", "times": 1})
        self.send_meta()
        self.assertEqual(self.settled(), [])

    def test_repeated_until_taken_and_not_for_ever(self):
        self.configure(receipts=["sent"])
        self.customer.statuses = [500, 404]
        self.send_meta()
        (call,) = self.settled()
        self.assertEqual((call["status"], call["attempts"]), (200, 3))
        self.customer.statuses = [500] * 9
        self.send_meta()
        self.assertEqual(self.settled()[-1]["attempts"], 3)
        self.assertEqual(len(self.customer.calls), 6)

    def test_reset_stops_what_is_under_way(self):
        self.configure(receipts=["sent"] * 20, receipt_delay_ms=500)
        self.send_meta()
        self.admin("POST", "/reset", {})
        self.assertEqual(self.settled(), [])
        self.assertEqual(self.admin("GET", "/accounts")["meta"]["receipts"], [])

    def test_one_message(self):
        self.configure()
        self.send_meta()
        self.send_meta(to=SITI)
        (_first, second) = self.messages()
        self.happen("receipt", id=second["id"], status="delivered")
        self.happen("receipt", message_id=second["message_id"], status="failed", code="131026")
        self.happen("receipt", message_id="wamid.UNKNOWN", status="read", times=2)
        self.assertEqual(self.statuses(), ["delivered", "failed", "read", "read"])
        self.assertEqual(self.customer.calls[2][3], self.customer.calls[3][3])

    def test_nobody_there(self):
        self.configure(callback_url="http://127.0.0.1:9/")
        (call,) = self.happen("receipt", message_id="x", status="sent", attempts=2)
        self.assertEqual((call["status"], call["attempts"]), (0, 2))


class TestEvents(HooksCase):
    def test_a_message_opens_the_window(self):
        text = {"type": "text", "text": {"body": "Halo"}}
        self.configure()
        self.assertEqual(self.send_meta(text)[1]["error"]["code"], 131047)
        self.happen("inbound", **{"from": f"+{BUDI}"}, text="STOP")
        self.assertEqual(self.send_meta(text)[0], 200)

    def test_a_template_keeps_its_new_state(self):
        self.configure(templates=[{"name": "izin_selesai", "body": "x"}])
        self.happen("template", name="izin_selesai", status="PAUSED")
        self.happen("template_quality", name="izin_selesai", quality="RED")
        path = "/meta/v23.0/100000000000001/message_templates"
        _status, answer = self.json("GET", path, headers=META_AUTH)
        (row,) = answer["data"]
        self.assertEqual((row["status"], row["quality_score"]["score"]), ("PAUSED", "RED"))

    def test_pages_of_templates(self):
        self.configure(templates=[{"name": f"t{index}"} for index in range(5)], page_size=2)
        path = "/meta/v23.0/100000000000001/message_templates?limit=100"
        _status, answer = self.json("GET", path, headers=META_AUTH)
        self.assertEqual(len(answer["data"]), 2)
        self.assertIn("next", answer["paging"])

    def test_the_question_for_the_address(self):
        self.configure()
        self.happen("challenge")
        method, path, _headers, _body = self.customer.calls[0]
        query = parse_qs(urlsplit(path).query)
        self.assertEqual((method, query["hub.verify_token"]), ("GET", ["META-VERIFY-DEMO"]))

    def test_any_body(self):
        self.configure()
        for body in ({"a": 1}, [], None, "{", "é"):
            self.happen("raw", body=body)
        sent = [body.decode() for _method, _path, _headers, body in self.customer.calls]
        self.assertEqual(sent, ['{"a": 1}', "[]", "null", "{", "é"])
        for _method, _path, headers, _body in self.customer.calls:
            self.assertRegex(headers["X-Hub-Signature-256"], r"^sha256=[0-9a-f]{64}$")

    def test_signatures(self):
        self.configure()
        for signature in ("good", "wrong", "missing", "reserialised"):
            self.happen(
                "inbound", **{"from": BUDI}, text="é", message_id="wamid.1", at=1, signature=signature
            )
        signatures = [headers["X-Hub-Signature-256"] for _m, _p, headers, _b in self.customer.calls]
        self.assertIsNone(signatures[2])
        self.assertEqual(len(set(signatures)), 4)
        self.assertIn(rb"\u00e9", self.customer.calls[0][3])

    def test_what_the_customer_answers(self):
        self.configure()
        self.customer.statuses = [403]
        (call,) = self.happen("inbound", **{"from": BUDI}, text="x")
        self.assertEqual((call["status"], call["answer"], call["attempts"]), (403, "ok", 1))


class TestAdmin(HooksCase):
    def test_nonsense_is_explained(self):
        self.assertIn("callback_url", self.refused(event="inbound", **{"from": BUDI}))
        self.configure()
        for values in (
            {},
            {"provider": "nobody", "event": "inbound"},
            {"provider": ["meta"], "event": "inbound"},
            {"event": "dance"},
            {"event": "inbound"},
            {"event": "receipt", "status": "sent"},
            {"event": "receipt", "message_id": "x", "status": "warmed"},
            {"event": "receipt", "message_id": "x", "status": "failed", "code": "many"},
            {"event": "receipt", "id": "x", "status": "sent"},
            {"event": "inbound", "from": BUDI, "signature": "nice"},
            {"event": "inbound", "from": BUDI, "times": 1000},
            {"event": "inbound", "from": BUDI, "attempts": 0},
            {"event": "inbound", "from": BUDI, "at": "now"},
            {"event": "template", "status": "PAUSED"},
            {"provider": "watzap", "event": "receipt", "message_id": "x", "status": "sent"},
        ):
            with self.subTest(values=values):
                self.assertTrue(self.refused(**values))
        self.assertEqual(self.customer.calls, [])

    def test_accounts(self):
        before = self.admin("GET", "/accounts")
        for account in (
            {"callback_url": "http://example.com/hook"},
            {"callback_url": "http://127.0.0.1.example.com/"},
            {"callback_url": "file:///etc/passwd"},
            {"callback_url": 5},
            {"receipts": ["warmed"]},
            {"receipts": ["failed:many"]},
            {"receipts": "sent"},
            {"receipt_delay_ms": -1},
            {"page_size": "x"},
        ):
            with self.subTest(account=account):
                self.assertEqual(self.json("POST", "/admin/accounts", {"meta": account})[0], 400)
                self.assertEqual(self.admin("GET", "/accounts"), before)
        self.assertEqual(self.json("POST", "/admin/accounts", {"watzap": {"receipts": ["sent"]}})[0], 400)

    def test_never_to_anybody_else(self):
        self.admin("POST", "/accounts", {"twilio": {"receipts": ["sent"]}})
        for url in ("https://example.com/hook", "http://10.0.0.1/"):
            self.send_twilio(StatusCallback=url)
        self.assertEqual(self.settled(), [])
        (message, _other) = self.messages()
        refusal = self.refused(provider="twilio", event="receipt", id=message["id"], status="sent")
        self.assertIn("this machine", refusal)

    def test_log_has_no_address_number_or_text(self):
        self.configure()
        self.happen("inbound", **{"from": BUDI}, text="very private")
        log = json.dumps(self.admin("GET", "/hooks?provider=meta"))
        for hidden in ("secret-path", BUDI, "private", "META-SECRET-DEMO"):
            self.assertNotIn(hidden, log)
        self.assertEqual(self.admin("GET", "/hooks?provider=fonnte")["calls"], [])

    def test_the_wires_go_on_as_before(self):
        self.configure(receipts=["sent"])
        self.assertEqual(self.json("GET", META, headers=META_AUTH)[0], 200)
        self.assertEqual(len(self.messages()), 0)
