import http.client
import json
import socket
import threading

from .support import BUDI, META, META_AUTH, SITI, GatewayCase, template

BODY = json.dumps(
    {"messaging_product": "whatsapp", "to": BUDI, "type": "template", "template": template("x")}
).encode()


class FaultCase(GatewayCase):
    def play(self, fault, provider="meta", **values):
        return self.admin("POST", "/faults", {"provider": provider, "fault": fault, **values})["id"]

    def raw_meta(self, timeout=10.0):
        return self.call("POST", f"{META}/messages", body=BODY, headers=META_AUTH, timeout=timeout)

    def last_request(self):
        return self.admin("GET", "/requests")["requests"][-1]


class TestRefusals(FaultCase):
    def test_meta_codes_have_their_http_status(self):
        for fault, status, subcode in (
            ("131042", 400, None),
            ("190", 401, 463),
            ("130429", 429, None),
            ("131000", 500, None),
            ("132001", 404, None),
            ("100/33", 400, 33),
            ("999999", 400, None),
        ):
            with self.subTest(fault=fault):
                self.play(fault, times=1)
                answered, body = self.send_meta()
                self.assertEqual((answered, body["error"]["code"]), (status, int(fault.partition("/")[0])))
                self.assertEqual(body["error"].get("error_subcode"), subcode)
        self.assertEqual(self.messages(), [])

    def test_http_status_and_retry_after_can_be_set(self):
        self.play("131056", times=1, http_status=429, retry_after=30)
        status, headers, _body = self.raw_meta()
        self.assertEqual((status, headers["Retry-After"]), (429, "30"))

    def test_body_errors_of_the_gateways_stay_http_200(self):
        self.play("insufficient quota", "fonnte")
        self.play("1004", "watzap")
        status, body = self.send_fonnte()
        self.assertEqual((status, body["status"], body["reason"]), (200, False, "insufficient quota"))
        status, body = self.send_watzap()
        self.assertEqual((status, body["status"]), (200, "1004"))

    def test_plain_http_errors(self):
        for status in (401, 429, 500, 502, 504):
            with self.subTest(status=status):
                self.play(f"http:{status}", "*", times=1)
                answered, headers, body = self.raw_meta()
                self.assertEqual((answered, headers.get_content_type()), (status, "text/html"))
                self.assertNotIn("Retry-After", headers)
                self.assertIn(str(status).encode(), body)
        self.assertEqual(self.messages(), [])


class TestBrokenAnswers(FaultCase):
    """The faults of the line: what the client sees, and whether the message was received."""

    def test_cut_before_read_is_not_received(self):
        self.play("cut_before_read", times=1)
        with self.assertRaises(ConnectionError):
            self.raw_meta()
        self.assertEqual(self.messages(), [])
        self.assertEqual(self.last_request()["status"], "cut")

    def test_cut_after_read_is_received(self):
        self.play("cut_after_read", times=1)
        with self.assertRaises(ConnectionError):
            self.raw_meta()
        self.assertEqual(len(self.messages()), 1)
        self.assertEqual(self.raw_meta()[0], 200)

    def test_timeout_after_read_is_received(self):
        self.play("timeout_after_read", times=1)
        with self.assertRaises(socket.timeout):
            self.raw_meta(timeout=0.3)
        self.assertEqual(len(self.messages()), 1)

    def test_truncated_promises_more_than_it_sends(self):
        self.play("truncated", times=1)
        with self.assertRaises(http.client.IncompleteRead) as caught:
            self.raw_meta()
        self.assertGreater(len(caught.exception.partial), 20)
        self.assertGreater(caught.exception.expected, 20)
        self.assertEqual(len(self.messages()), 1)

    def test_success_without_meaning_is_received(self):
        self.play("not_json", times=1)
        status, headers, body = self.raw_meta()
        self.assertEqual((status, headers.get_content_type()), (200, "text/html"))
        self.assertIn(b"<html", body)
        self.play("empty", times=1)
        self.assertEqual(self.raw_meta()[::2], (200, b""))
        self.assertEqual(len(self.messages()), 2)

    def test_slow_answer_waits_while_others_are_served(self):
        self.play("slow", times=1, delay=0.5)
        order = []
        slow = threading.Thread(target=lambda: order.append(("slow", self.raw_meta()[0])))
        slow.start()
        while not self.messages():  # from here on the slow one is waiting
            pass
        order.append(("quick", self.raw_meta()[0]))
        slow.join(10)
        self.assertEqual(order, [("quick", 200), ("slow", 200)])
        self.assertEqual(len(self.messages()), 2)


class TestChoosing(FaultCase):
    def test_times_and_counting(self):
        fault_id = self.play("131042", times=2)
        statuses = [self.send_meta()[0] for _turn in range(3)]
        self.assertEqual(statuses, [400, 400, 200])
        (fault,) = self.admin("GET", "/faults")["faults"]
        self.assertEqual((fault["id"], fault["played"], fault["active"]), (fault_id, 2, False))

    def test_only_for_one_recipient(self):
        self.play("131026", to="+62 812-0000-0001")
        self.assertEqual([self.send_meta()[0], self.send_meta(to=SITI)[0]], [400, 200])
        self.play("target invalid", "fonnte", to=BUDI)
        self.assertFalse(self.send_fonnte(target="081200000001")[1]["status"])

    def test_only_for_one_provider_or_for_all(self):
        self.play("http:500", "watzap", times=1)
        self.assertEqual([self.send_meta()[0], self.send_fonnte()[0]], [200, 200])
        self.assertEqual(self.call("POST", "/watzap/v1/send_message", body=b"{}")[0], 500)
        self.play("http:502", "*")
        self.assertEqual(self.raw_meta()[0], 502)
        self.assertEqual(self.call("POST", "/fonnte/send")[0], 502)

    def test_sends_and_connection_tests_are_apart(self):
        self.play("190", on="test")
        self.assertEqual(self.send_meta()[0], 200)
        self.assertEqual(self.json("GET", META, headers=META_AUTH)[0], 401)

    def test_removing(self):
        first, _second = self.play("131042"), self.play("131031")
        self.assertEqual(self.send_meta()[1]["error"]["code"], 131042)
        self.admin("DELETE", f"/faults/{first}")
        self.assertEqual(self.send_meta()[1]["error"]["code"], 131031)
        self.assertEqual(self.json("DELETE", f"/admin/faults/{first}")[0], 404)
        self.admin("DELETE", "/faults")
        self.assertEqual(self.send_meta()[0], 200)

    def test_mistakes_are_told(self):
        for values in (
            {"provider": "meta", "fault": "cut_after"},
            {"provider": "fonnte", "fault": "cut_after"},
            {"provider": "*", "fault": "131042"},
            {"provider": "nobody", "fault": "slow"},
            {"provider": "meta", "fault": "slow", "time": 1},
            {"provider": "meta", "fault": "slow", "delay": "long"},
            {"provider": "meta", "fault": "slow", "on": "never"},
            {"provider": "meta"},
        ):
            with self.subTest(values=values):
                status, answer = self.json("POST", "/admin/faults", values)
                self.assertEqual(status, 400)
                self.assertTrue(answer["error"])
        self.assertEqual(self.admin("GET", "/faults")["faults"], [])
