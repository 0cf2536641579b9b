import json

from .support import BUDI, TWILIO, TWILIO_AUTH, GatewayCase

CONTENT = "HX00000000000000000000000000000001"


class TestTwilio(GatewayCase):
    def assertRefused(self, answer, http_status, code):
        status, body = answer
        self.assertEqual((status, body["code"], body["status"]), (http_status, code, http_status))
        self.assertEqual(self.messages(), [])

    def test_message_arrives_with_what_a_status_needs(self):
        status, answer = self.send_twilio(
            Body="Halo *Budi* & 100%", StatusCallback="https://crm.example.id/h"
        )
        self.assertEqual((status, answer["status"], answer["error_code"]), (201, "queued", None))
        (message,) = self.messages()
        self.assertEqual((message["to"], message["text"]), (BUDI, "Halo *Budi* & 100%"))
        self.assertEqual(
            (message["message_id"], message["callback_url"]), (answer["sid"], "https://crm.example.id/h")
        )
        self.assertRegex(answer["sid"], r"^SM[0-9a-f]{32}$")

    def test_content_is_filled_by_number(self):
        self.admin("POST", "/accounts", {"twilio": {"contents": {CONTENT: "{{1}}, izin {{2}}: {{1}} {{3}}"}}})
        values = json.dumps({"2": "SIUP", "1": "{{2}}"})
        self.send_twilio(Body="", ContentSid=CONTENT, ContentVariables=values)
        (message,) = self.messages()
        self.assertEqual(message["text"], "{{2}}, izin SIUP: {{2}} {{3}}")
        self.assertEqual((message["template"], message["parameters"]), (CONTENT, ["{{2}}", "SIUP"]))

    def test_content_that_is_not_described_shows_its_values(self):
        self.send_twilio(Body="", ContentSid=CONTENT, ContentVariables='{"1": "Budi", "2": "SIUP"}')
        self.assertEqual(self.messages()[0]["text"], f"{CONTENT}: Budi | SIUP")

    def test_refused_content(self):
        for written in ("{", "[]", '{"1": ""}', '{"1": null}', '{"nama": "Budi"}'):
            with self.subTest(written):
                answer = self.send_twilio(ContentSid=CONTENT, ContentVariables=written)
                self.assertRefused(answer, 400, 21656)
        self.admin("POST", "/accounts", {"twilio": {"contents": {}}})
        self.assertRefused(self.send_twilio(ContentSid=CONTENT), 400, 21655)

    def test_refusals(self):
        self.assertRefused(self.send_twilio(headers={}), 401, 20003)
        other = TWILIO[:-1] + "2"
        self.assertRefused(self.send_twilio(account=other), 404, 20404)
        self.assertRefused(self.send_twilio(To=""), 400, 21604)
        self.assertRefused(self.send_twilio(To="whatsapp:+62x"), 400, 21211)
        self.assertRefused(self.send_twilio(To=f"+{BUDI}"), 400, 21211)
        self.assertRefused(self.send_twilio(From=""), 400, 21603)
        self.assertRefused(self.send_twilio(From="whatsapp:+6221500001"), 400, 63007)
        self.assertRefused(self.send_twilio(Body=""), 400, 21602)
        self.assertRefused(self.send_twilio(Body="x" * 1601), 400, 21617)

    def test_played_codes_have_their_http_status(self):
        for fault, status in (("20429", 429), ("63018", 429), ("21610", 400), ("99999", 400)):
            with self.subTest(fault):
                self.admin("POST", "/faults", {"provider": "twilio", "fault": fault, "times": 1})
                self.assertRefused(self.send_twilio(), status, int(fault))

    def test_fault_for_one_recipient(self):
        self.admin("POST", "/faults", {"provider": "twilio", "fault": "63016", "to": "+62 812-0000-0002"})
        self.assertEqual(self.send_twilio()[0], 201)
        self.assertEqual(self.send_twilio(To="whatsapp:+6281200000002")[1]["code"], 63016)

    def test_account_shows_its_token_as_the_real_one_does(self):
        status, answer = self.json("GET", f"{TWILIO}.json", headers=TWILIO_AUTH)
        self.assertEqual(
            (status, answer["status"], answer["auth_token"]), (200, "active", "TWILIO-TOKEN-DEMO")
        )
        self.assertRefused(self.json("GET", f"{TWILIO}.json"), 401, 20003)

    def test_nonsense_contents(self):
        for contents in ([], {"HX1": 1}, "x"):
            changes = {"twilio": {"contents": contents}}
            self.assertEqual(self.json("POST", "/admin/accounts", changes)[0], 400)
