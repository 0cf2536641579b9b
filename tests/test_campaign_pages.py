"""What the pages of campaigns show: whom they are about, what became of whom."""

import ast
import inspect

from lxml import etree

from odoo.exceptions import AccessError
from odoo.tests import Form, new_test_user

from .test_campaign import DOMAIN, GROUP, CampaignCase


class TestCampaignForm(CampaignCase):
    def test_the_rule_says_the_model(self):
        documents = self._rule(self._trigger("documents", model="sicantik.document", trigger_type="manual"))
        form = Form(self.env["sicantik.notification.campaign"])
        form.name = "Test"
        form.rule_id = self.rule
        form.target_domain = DOMAIN
        self.assertEqual((form.target_model, form.target_domain), ("sicantik.permit", DOMAIN))
        form.rule_id = documents
        self.assertEqual((form.target_model, form.target_domain), ("sicantik.document", "[]"))
        form.target_model = "sicantik.permit"
        self.assertFalse(form.rule_id, "it would be refused")
        form.rule_id = self.rule
        form.target_domain = DOMAIN
        self.assertEqual(form.save().rule_id, self.rule)

    def test_as_seed_2_fills_it_in(self):
        """The order of the guide: name, rule, model, domain; nothing that was written is changed."""
        form = Form(self.env["sicantik.notification.campaign"])
        form.name = "Peringatan Masa Berlaku Izin 30 Hari"
        form.rule_id = self.rule
        form.target_model = "sicantik.permit"
        form.target_domain = (
            "[('expiry_date', '<=', (datetime.now() + timedelta(days=30)).strftime('%Y-%m-%d')), "
            "('state', '=', 'approved')]"
        )
        campaign = form.save()
        self.assertIn("datetime.now()", campaign.target_domain)
        self.assertFalse(campaign.target_is_plain)

    def test_what_the_domain_builder_can_show(self):
        campaign = self._campaign()
        kinds = {
            DOMAIN: (True, False, 0),
            "[]": (True, False, 0),
            "[('create_uid', '=', uid)]": (False, False, 0),
            "[('id', 'in', [])]": (False, True, 0),
            f"[('id', 'in', {self.permits.ids})]": (False, True, 12),
            "[('id', 'in', [1]), ('state', '=', 'draft')]": (True, False, 0),
        }
        for text, kind in kinds.items():
            with self.subTest(text):
                campaign.target_domain = text
                found = (campaign.target_is_plain, campaign.target_is_selection, campaign.target_selected)
                self.assertEqual(found, kind)

    def test_models_to_choose(self):
        self._trigger("users", model="res.users", trigger_type="manual")
        self._trigger("crons", model="ir.cron", trigger_type="manual")
        manager = new_test_user(self.env, "page_manager", groups=f"{GROUP}manager")
        campaigns = self.env["sicantik.notification.campaign"]
        found = dict(campaigns.with_user(manager).get_target_models())
        self.assertLessEqual({"sicantik.permit", "sicantik.document", "res.partner", "res.users"}, set(found))
        self.assertNotIn("ir.cron", found, "nobody chooses what they may not read")
        stranger = new_test_user(self.env, "page_stranger", groups="base.group_user")
        with self.assertRaises(AccessError):
            campaigns.with_user(stranger).get_target_models()

    def test_show_the_targets(self):
        action = self._campaign().action_open_targets()
        self.assertEqual(self.env[action["res_model"]].search(action["domain"]), self.permits)

    def test_board(self):
        """All statuses have a column, in the order in which campaigns pass through them."""
        self._campaign().action_start()
        campaigns = self.env["sicantik.notification.campaign"].with_context(read_group_expand=True)
        domain = [("rule_id", "=", self.rule.id)]
        if "fields" in inspect.signature(campaigns.web_read_group).parameters:
            groups = campaigns.web_read_group(domain, fields=["state"], groupby=["state"])["groups"]
        else:  # from Odoo 19 on
            groups = campaigns.web_read_group(domain, groupby=["state"])["groups"]
        states = ["draft", "scheduled", "running", "paused", "completed", "cancelled"]
        self.assertEqual([group["state"] for group in groups], states)


class TestTrace(CampaignCase):
    def setUp(self):
        super().setUp()
        self.permits[0].partner_id.whatsapp_number = False
        self.campaign = self._campaign()
        self.campaign.action_start()
        self.gateway.fault("fonnte", "target invalid", times=1)
        self.drain()
        self.action = self.env.ref(
            "sicantik_notification_automation.sicantik_notification_campaign_action_trace"
        )
        log = self.logs.search([("campaign_id", "=", self.campaign.id), ("state", "=", "sent")], limit=1)
        self.env.cr.execute(
            "UPDATE sicantik_notification_log SET delivery_state = 'read' WHERE id = %s", [log.id]
        )
        self.env.invalidate_all()
        self.reader = log.queue_id

    def found(self, name):
        """Give the recipients that a filter of the trace finds."""
        arch = etree.fromstring(self.queue.get_view(self.action.search_view_id.id, "search")["arch"])
        domain = ast.literal_eval(arch.find(f".//filter[@name='{name}']").get("domain"))
        return self.queue.search([("campaign_id", "=", self.campaign.id), *domain])

    def test_one_row_per_recipient(self):
        rows = self.queue.search([("campaign_id", "=", self.campaign.id)])
        self.assertEqual(len(rows), 12)
        self.assertEqual(len(self.found("sent")), 10)
        self.assertEqual(self.found("failed").error_class, "bad_recipient")
        self.assertEqual(self.found("skipped").partner_id, self.permits[0].partner_id)
        self.assertEqual(self.found("read"), self.reader)
        self.assertEqual(self.found("delivered"), self.reader)
        self.assertEqual(self.reader.delivery_state, "read")
        permit = self.env["sicantik.permit"].browse(self.reader.res_id)
        self.assertEqual(self.reader.subject_name, permit.display_name)

    def test_columns_are_read_at_once(self):
        rows = self.queue.search([("campaign_id", "=", self.campaign.id)])
        names = ["partner_id", "phone", "subject_name", "state", "error_class", "delivery_state", "sent_date"]
        rows.read(names)
        counts = []
        for chosen in (rows[:6], rows):
            self.env.invalidate_all()
            before = self.env.cr.sql_log_count
            chosen.read(names)
            counts.append(self.env.cr.sql_log_count - before)
        self.assertEqual(*counts)

    def test_export(self):
        template = self.env.ref("sicantik_notification_automation.ir_exports_trace")
        self.assertEqual(template.resource, "sicantik.notification.queue")
        names = template.export_fields.mapped("name")
        manager = new_test_user(self.env, "trace_manager", groups=f"{GROUP}manager,base.group_allow_export")
        rows = self.queue.with_user(manager).search([("campaign_id", "=", self.campaign.id)], order="id")
        table = rows.export_data(names)["datas"]
        self.assertEqual(len(table), 12)
        first = dict(zip(names, table[0], strict=True))
        self.assertEqual((first["partner_id/name"], first["state"]), ("Applicant 10", "Skipped"))
        delivered = [dict(zip(names, row, strict=True))["delivery_state"] for row in table]
        self.assertIn("read", [text.lower() for text in delivered])

    def test_nobody_else_sees_it(self):
        clerk = new_test_user(self.env, "trace_clerk", groups="sicantik_notification_automation.group_staff")
        with self.assertRaises(AccessError):
            self.queue.with_user(clerk).search([("campaign_id", "=", self.campaign.id)])
        company = self.env["res.company"].create({"name": "Elsewhere"})
        other = new_test_user(
            self.env,
            "trace_other",
            groups=f"{GROUP}manager",
            company_id=company.id,
            company_ids=[(6, 0, company.ids)],
        )
        self.assertFalse(self.queue.with_user(other).search([("campaign_id", "=", self.campaign.id)]))
