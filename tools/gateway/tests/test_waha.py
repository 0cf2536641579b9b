from .support import BUDI, WAHA_AUTH, GatewayCase

SESSION = "/waha/api/sessions/default"


class TestWaha(GatewayCase):
    def know(self, **account):
        self.admin("POST", "/accounts", {"waha": account})

    def play(self, fault, **options):
        self.admin("POST", "/faults", {"provider": "waha", "fault": fault, "times": 1, **options})

    def assertRefused(self, answer, http_status):
        self.assertEqual((answer[0], answer[1]["statusCode"]), (http_status, http_status))
        self.assertEqual(self.messages(), [])

    def test_every_engine_has_its_own_answer(self):
        answers = {}
        for engine in ("GOWS", "NOWEB", "WEBJS"):
            self.know(engine=engine)
            status, answers[engine] = self.send_waha(text="Halo *Budi*")
            self.assertEqual(status, 201)
        ids = [message["message_id"] for message in self.messages()]
        self.assertEqual(answers["GOWS"]["id"], f"true_{BUDI}@c.us_{ids[0]}")
        self.assertEqual(answers["NOWEB"]["key"]["id"], ids[1])
        self.assertEqual(answers["WEBJS"]["id"]["_serialized"], f"true_{BUDI}@c.us_{ids[2]}")
        self.assertEqual(answers["WEBJS"]["_data"]["id"]["_serialized"], f"true_{BUDI}@c.us_{ids[2]}")
        self.assertEqual({(one["to"], one["text"]) for one in self.messages()}, {(BUDI, "Halo *Budi*")})

    def test_empty_answer(self):
        self.know(empty_answers=True)
        body = b'{"session": "default", "chatId": "6281200000001@c.us", "text": "Halo"}'
        status, _headers, answer = self.call("POST", "/waha/api/sendText", body=body, headers=WAHA_AUTH)
        self.assertEqual((status, answer), (201, b""))
        self.assertEqual(len(self.messages()), 1)

    def test_session_that_does_not_work(self):
        for state in ("STARTING", "SCAN_QR_CODE", "STOPPED", "FAILED"):
            with self.subTest(state):
                self.know(status=state)
                status, answer = self.send_waha()
                self.assertEqual(
                    (status, answer["status"], answer["expected"], answer["session"]),
                    (422, state, ["WORKING"], "default"),
                )
                status, answer = self.json("GET", SESSION, headers=WAHA_AUTH)
                self.assertEqual((status, answer["status"], answer["me"]), (200, state, None))
        self.assertEqual(self.messages(), [])

    def test_session_that_works(self):
        status, answer = self.json("GET", SESSION, headers=WAHA_AUTH)
        self.assertEqual((status, answer["status"], answer["name"]), (200, "WORKING", "default"))
        self.assertEqual(answer["me"]["id"], "6221500000@c.us")
        self.assertRefused(self.json("GET", SESSION), 401)
        self.assertRefused(self.json("GET", "/waha/api/sessions/other", headers=WAHA_AUTH), 404)

    def test_refusals(self):
        self.assertRefused(self.send_waha(headers={}), 401)
        self.assertRefused(self.send_waha(session="other"), 404)
        self.assertRefused(self.send_waha(text=""), 400)
        self.assertRefused(self.send_waha(chatId=7), 400)
        self.assertRefused(self.json("POST", "/waha/api/sendText", ["no object"], WAHA_AUTH), 400)

    def test_500_echoes_the_request(self):
        for fault, taken in (("500", 0), ("500/sent", 1)):
            with self.subTest(fault):
                self.play(fault)
                status, answer = self.send_waha(text="Halo")
                self.assertEqual((status, answer["statusCode"]), (500, 500))
                self.assertEqual(answer["request"]["body"]["chatId"], f"{BUDI}@c.us")
                self.assertEqual(len(self.messages()), taken)

    def test_session_that_drops_in_the_middle(self):
        self.play("FAILED", to=BUDI)
        self.assertEqual(self.send_waha(chatId="6281200000002@c.us")[0], 201)
        self.assertEqual(self.send_waha()[1]["status"], "FAILED")
        self.play("422")
        self.assertEqual(self.send_waha()[1]["statusCode"], 422)

    def test_mistakes_are_told(self):
        for changes in ({"status": "ASLEEP"}, {"engine": "STEAM"}):
            self.assertEqual(self.json("POST", "/admin/accounts", {"waha": changes})[0], 400)
        for fault in ("WORKING", "418", "asleep"):
            values = {"provider": "waha", "fault": fault}
            self.assertEqual(self.json("POST", "/admin/faults", values)[0], 400)
