from .support import BUDI, META, META_AUTH, GatewayCase, template

WABA = "/meta/v23.0/100000000000001"
KNOWN = [
    {"name": "izin_selesai", "language": "id", "status": "APPROVED", "body": "{{1}}, izin {{2}} selesai."},
    {"name": "izin_nama", "language": "id", "status": "APPROVED", "body": "{{nama}}: {{izin}}"},
    {"name": "tertunda", "language": "id", "status": "PAUSED", "body": "Halo"},
]


class MetaCase(GatewayCase):
    def know_templates(self):
        self.admin("POST", "/accounts", {"meta": {"templates": KNOWN}})

    def assertRefused(self, answer, http_status, code, subcode=None):
        status, body = answer
        self.assertEqual((status, body["error"]["code"]), (http_status, code))
        self.assertEqual(body["error"].get("error_subcode"), subcode)
        self.assertEqual(self.messages(), [])


class TestMetaSend(MetaCase):
    def test_template_arrives_with_everything_it_carried(self):
        status, answer = self.send_meta(biz_opaque_callback_data="msg:0001")
        self.assertEqual(status, 200)
        self.assertEqual(answer["contacts"], [{"input": BUDI, "wa_id": BUDI}])
        self.assertEqual(answer["messages"][0]["message_status"], "accepted")
        (message,) = self.messages()
        del message["at"], message["id"]
        self.assertEqual(
            message,
            {
                "provider": "meta",
                "to": BUDI,
                "text": "izin_selesai: Budi | SIUP",
                "template": "izin_selesai",
                "parameters": ["Budi", "SIUP"],
                "message_id": answer["messages"][0]["id"],
                "reference": "msg:0001",
                "callback_url": None,
            },
        )

    def test_message_ids_differ(self):
        ids = {self.send_meta()[1]["messages"][0]["id"] for _turn in range(5)}
        self.assertEqual(len(ids), 5)

    def test_known_body_is_filled_by_position(self):
        self.know_templates()
        self.send_meta()
        self.assertEqual(self.messages()[0]["text"], "Budi, izin SIUP selesai.")

    def test_known_body_is_filled_by_name_in_any_order(self):
        self.know_templates()
        self.send_meta(template=template("izin_nama", "SIUP", "Budi", names=("izin", "nama")))
        self.assertEqual(self.messages()[0]["text"], "Budi: SIUP")

    def test_placeholder_in_a_value_stays_text(self):
        self.know_templates()
        self.send_meta(template=template("izin_selesai", "{{2}}", "SIUP"))
        self.assertEqual(self.messages()[0]["text"], "{{2}}, izin SIUP selesai.")

    def test_named_template_needs_its_names(self):
        self.know_templates()
        self.assertRefused(self.send_meta(template=template("izin_nama", "Budi", "SIUP")), 400, 100)

    def test_parameter_count(self):
        self.know_templates()
        refused = self.send_meta(template=template("izin_selesai", "Budi"))
        self.assertRefused(refused, 400, 132000)
        self.assertIn("(1) does not match", refused[1]["error"]["error_data"]["details"])

    def test_unknown_language_paused_and_unknown_template(self):
        self.assertRefused(self.send_meta(template=template(language="en_US")), 404, 132001)
        self.know_templates()
        self.assertRefused(self.send_meta(template=template("tertunda")), 404, 132001)
        self.assertRefused(self.send_meta(template=template("tidak_ada")), 404, 132001)

    def test_empty_parameter(self):
        self.assertRefused(self.send_meta(template=template("izin_selesai", " ")), 400, 131008)

    def test_recipient_missing_or_no_number(self):
        self.assertRefused(self.send_meta(to=""), 400, 100)
        self.assertRefused(self.send_meta(to="Budi"), 400, 131009)

    def test_token_and_number_id(self):
        values = {"messaging_product": "whatsapp", "to": BUDI}
        for headers in ({}, {"Authorization": "META-TOKEN-DEMO"}, {"Authorization": "Bearer wrong"}):
            self.assertRefused(self.json("POST", f"{META}/messages", values, headers), 401, 190)
        self.assertRefused(self.json("POST", f"{WABA}/messages", values, META_AUTH), 400, 100, 33)

    def test_text_needs_an_open_window(self):
        text = {"type": "text", "text": {"body": "Halo"}}
        self.assertRefused(self.send_meta(text), 400, 131047)
        self.admin("POST", "/accounts", {"meta": {"open_windows": ["+62 812-0000-0001"]}})
        self.assertEqual(self.send_meta(text)[0], 200)
        self.assertEqual([message["text"] for message in self.messages()], ["Halo"])

    def test_malformed_bodies_are_refused_in_metas_words(self):
        for part in ("x", {"name": "x", "language": "id"}, {**template(), "components": [7]}):
            with self.subTest(part=part):
                status, answer = self.send_meta(template=part)
                self.assertEqual(status, 400)
                self.assertIn(answer["error"]["code"], (100, 131008))
        for body in (b"", b"{", b"[]", b"\xff"):
            with self.subTest(body=body):
                self.assertEqual(self.call("POST", f"{META}/messages", body=body, headers=META_AUTH)[0], 400)


class TestMetaReading(MetaCase):
    def get(self, path):
        return self.json("GET", path, headers=META_AUTH)

    def test_number_and_account(self):
        self.assertEqual(
            self.get(f"{META}?fields=id,quality_rating"),
            (200, {"id": "200000000000002", "quality_rating": "GREEN"}),
        )
        self.assertEqual(self.get(WABA)[1]["id"], "100000000000001")
        self.assertRefused(self.get("/meta/v23.0/300000000000003"), 400, 100, 33)
        self.assertRefused(self.json("GET", META), 401, 190)

    def test_template_list_by_page(self):
        self.know_templates()
        names, path = [], f"{WABA}/message_templates?limit=2"
        while path:
            status, answer = self.get(path)
            self.assertEqual(status, 200)
            names += [row["name"] for row in answer["data"]]
            following = answer["paging"].get("next", "")
            path = following.partition(f":{self.port}")[2]
        self.assertEqual(names, ["izin_selesai", "izin_nama", "tertunda"])

    def test_template_row(self):
        self.know_templates()
        (row,) = self.get(f"{WABA}/message_templates?name=izin_nama")[1]["data"]
        self.assertEqual(row["parameter_format"], "NAMED")
        self.assertEqual(row["components"][0]["text"], "{{nama}}: {{izin}}")
        paused = self.get(f"{WABA}/message_templates?status=PAUSED&fields=name")[1]["data"]
        self.assertEqual([sorted(row) for row in paused], [["id", "name"]])
        self.assertRefused(self.get(f"{META}/message_templates"), 400, 100, 33)
