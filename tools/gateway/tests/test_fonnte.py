import json

from .support import BUDI, FONNTE_AUTH, SITI, GatewayCase


class TestFonnte(GatewayCase):
    def assertRefused(self, answer, reason, key="status"):
        status, body = answer
        self.assertEqual(status, 200)
        self.assertEqual((body[key], body["reason"]), (False, reason))
        self.assertIn("requestid", body)
        self.assertEqual(self.messages(), [])

    def texts(self):
        return {message["to"]: message["text"] for message in self.messages()}

    def test_message_arrives(self):
        status, answer = self.send_fonnte(message="Halo Budi & Siti 100%")
        self.assertEqual((status, answer["status"], answer["target"]), (200, True, [BUDI]))
        (message,) = self.messages()
        self.assertEqual((message["text"], [message["message_id"]]), ("Halo Budi & Siti 100%", answer["id"]))

    def test_multipart(self):
        body = (
            b'--B\r\nContent-Disposition: form-data; name="target"\r\n\r\n6281200000001\r\n'
            b'--B\r\nContent-Disposition: form-data; name="message"\r\n\r\nHalo\r\n--B--\r\n'
        )
        headers = {**FONNTE_AUTH, "Content-Type": "multipart/form-data; boundary=B"}
        _status, _headers, answer = self.call("POST", "/fonnte/send", body=body, headers=headers)
        self.assertTrue(json.loads(answer)["status"])
        self.assertEqual(self.texts(), {BUDI: "Halo"})

    def test_targets_and_variables(self):
        target = f"{BUDI}|Budi|SIUP|{{var1}},{SITI}|Siti|TDP|x"
        _status, answer = self.send_fonnte(target=target, message="{name}: {var1} {var2} {var3} {lain}")
        self.assertEqual(len(set(answer["id"])), 2)
        self.assertEqual(
            self.texts(), {BUDI: "Budi: SIUP {var1} {var3} {lain}", SITI: "Siti: TDP x {var3} {lain}"}
        )

    def test_country_code(self):
        for country, number in (("", BUDI), ("62", BUDI), ("60", "6081200000001"), ("0", "081200000001")):
            with self.subTest(country=country):
                fields = {"countryCode": country} if country else {}
                self.assertEqual(self.send_fonnte(target="081200000001", **fields)[1]["target"], [number])

    def test_refusals(self):
        self.assertRefused(self.form("/send", headers={}, target=BUDI, message="x"), "token invalid")
        bearer = {"Authorization": "Bearer FONNTE-TOKEN-DEMO"}
        self.assertRefused(self.form("/send", headers=bearer, target=BUDI, message="x"), "token invalid")
        self.assertRefused(self.send_fonnte(message=""), "input invalid")
        self.assertRefused(self.send_fonnte(target="abc"), "target invalid")

    def test_disconnected_device(self):
        self.admin("POST", "/accounts", {"fonnte": {"connected": False}})
        # The capital letter is the service's own (providers.md 2.4).
        self.assertRefused(self.send_fonnte(), "request invalid on disconnected device", key="Status")
        self.assertEqual(self.form("/device")[1]["device_status"], "disconnect")
        self.assertTrue(self.send_fonnte(connectOnly="false")[1]["status"])

    def test_quota_is_used_up(self):
        self.admin("POST", "/accounts", {"fonnte": {"quota": 1}})
        self.assertEqual(self.form("/device")[1]["quota"], "1")
        self.assertFalse(self.send_fonnte(target=f"{BUDI},{SITI}")[1]["status"])
        self.assertTrue(self.send_fonnte()[1]["status"])
        self.assertEqual(self.send_fonnte()[1]["reason"], "insufficient quota")
        self.assertEqual(len(self.messages()), 1)

    def test_validate_and_device_send_nothing(self):
        answer = self.form("/validate", target="081200000001,123")[1]
        self.assertEqual((answer["registered"], answer["not_registered"]), ([BUDI], ["123"]))
        self.assertEqual(self.form("/device")[1]["device_status"], "connect")
        self.assertRefused(self.form("/device", headers={}), "token invalid")
