"""CSV and XLSX of the queue and the log: for those to whom Odoo's right to export is given, over HTTP."""

import csv
import io
import json
import zipfile

from odoo import Command, http
from odoo.tests import HttpCase, tagged
from odoo.tools import mute_logger

MODULE = "sicantik_notification_automation"
FIELDS = ("create_date", "partner_id/name", "phone", "template_key", "state", "error_class", "subject_name")


@tagged("post_install", "-at_install")
class TestExport(HttpCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        partner = cls.env["res.partner"].create({"name": "Ani", "whatsapp_number": "0812 0000 0001"})
        cls.permit = cls.env["sicantik.permit"].create({"partner_id": partner.id})
        cls.row = cls.env["sicantik.notification.queue"].create(
            {"partner_id": partner.id, "template_key": "permit_ready", "permit_id": cls.permit.id}
        )
        cls.row.action_cancel()
        cls.log = cls.env["sicantik.notification.log"].search([("queue_id", "=", cls.row.id)])

    def user(self, login, *groups):
        ids = [self.env.ref(group).id for group in groups]
        return self.env["res.users"].create(
            {"name": login, "login": login, "password": f"{login}-invented", "groups_id": [Command.set(ids)]}
        )

    def export(self, login, records, kind, names=FIELDS):
        """Ask for a file as the dialog of the list does."""
        self.authenticate(login, f"{login}-invented")
        data = {
            "model": records._name,
            "fields": [{"name": name, "label": name, "type": "char"} for name in names],
            "ids": records.ids,
            "domain": [],
            "groupby": [],
            "context": {},
            "import_compat": False,
        }
        return self.url_open(
            f"/web/export/{kind}",
            data={"data": json.dumps(data), "csrf_token": http.Request.csrf_token(self)},
        )

    def test_manager_with_the_right(self):
        self.user("manager", f"{MODULE}.group_notification_manager", "base.group_allow_export")
        for records, state in ((self.row, "Cancelled"), (self.log, "Skipped")):
            answer = self.export("manager", records, "csv")
            self.assertEqual(answer.status_code, 200)
            _head, line = csv.reader(io.StringIO(answer.content.decode("utf-8-sig")))
            self.assertEqual(
                line[1:],
                ["Ani", "'+6281200000001", "permit_ready", state, "Cancelled", self.permit.display_name],
            )
            answer = self.export("manager", records, "xlsx")
            self.assertEqual(answer.status_code, 200)
            texts = zipfile.ZipFile(io.BytesIO(answer.content)).read("xl/sharedStrings.xml").decode()
            self.assertIn("+6281200000001", texts)

    def test_without_the_right(self):
        """Numbers and names are personal data: who follows the messages may not take them away by that."""
        self.user("user", f"{MODULE}.group_notification_user")
        self.user("manager", f"{MODULE}.group_notification_manager")
        for login in ("user", "manager"):
            for kind in ("csv", "xlsx"):
                with mute_logger("odoo.addons.web.controllers.export"):
                    answer = self.export(login, self.log, kind)
                self.assertNotIn(b"6281200000001", answer.content)
                self.assertNotEqual(answer.status_code, 200)

    def test_stranger_with_the_right(self):
        self.user("stranger", "base.group_user", "base.group_allow_export")
        with mute_logger("odoo.addons.web.controllers.export"):
            answer = self.export("stranger", self.log, "csv")
        self.assertNotIn(b"6281200000001", answer.content)
        self.assertNotEqual(answer.status_code, 200)

    def test_story_is_not_offered(self):
        fields = self.env["sicantik.notification.queue"].fields_get(
            ["story", "shown_text", "state"], ["exportable"]
        )
        self.assertEqual({name for name, about in fields.items() if about.get("exportable", True)}, {"state"})
