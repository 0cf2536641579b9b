from .support import BUDI, GatewayCase


class TestWatzap(GatewayCase):
    def assertRefused(self, answer, code, ack="error"):
        status, body = answer
        self.assertEqual((status, body["status"], body["ack"]), (200, code, ack))
        self.assertEqual(self.messages(), [])

    def test_message_arrives_without_an_id(self):
        answer = self.send_watzap(message="Halo *Budi*", wait_until_send="1")
        self.assertEqual(answer, (200, {"status": "200", "message": "Successfully", "ack": "successfully"}))
        (message,) = self.messages()
        self.assertEqual((message["to"], message["text"], message["message_id"]), (BUDI, "Halo *Budi*", None))

    def test_refusals(self):
        self.assertRefused(self.send_watzap(api_key="wrong"), "1002")
        self.assertRefused(self.send_watzap(number_key="wrong"), "1003")
        self.assertRefused(self.send_watzap(phone_no=""), "1006")
        self.assertRefused(self.send_watzap(message=""), "1006")
        self.assertRefused(self.json("POST", "/watzap/v1/send_message", ["no object"]), "1002")

    def test_stopped_instance(self):
        self.admin("POST", "/accounts", {"watzap": {"connected": False}})
        answer = self.send_watzap()
        self.assertRefused(answer, "1005", ack="fatal_error")
        self.assertEqual(answer[1]["message"], "WhatsApp Instance Not Started")
        (licence,) = self.watzap("/checking_key")[1]["data"]["licenses_key"]
        self.assertIs(licence["is_connected"], False)

    def test_checking_key_and_number(self):
        answer = self.watzap("/checking_key")[1]
        self.assertIs(answer["status"], True)
        self.assertEqual(answer["data"]["licenses_key"][0]["key"], "WATZAP-NUMBER-DEMO")
        self.assertRefused(self.watzap("/checking_key", api_key="wrong"), "1002")
        self.assertEqual(self.watzap("/validate_number", phone_no=BUDI)[1]["status"], "200")
        self.assertRefused(self.watzap("/validate_number", phone_no="12"), "1006")
