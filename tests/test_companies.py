"""Two offices in one database: neither sees, counts or touches what is the other's, by whatever road."""

import json

from odoo import Command
from odoo.exceptions import AccessError, UserError
from odoo.tests import Form

from .test_security import GROUPS, MODULE, SecurityCase

QUEUE = "sicantik.notification.queue"
LOG = "sicantik.notification.log"
RULE = "sicantik.notification.rule"
CAMPAIGN = "sicantik.notification.campaign"
AUTO = "sicantik.auto.message"
PROVIDER = "sicantik.whatsapp.provider"
# Models without a company of their own, and the path to it.
BY_PATH = {
    "sicantik.whatsapp.event": "provider_id.company_id",
    "sicantik.whatsapp.pair": "provider_id.company_id",
    "sicantik.notification.campaign.target": "campaign_id.company_id",
}


class CompanyCase(SecurityCase):
    """`here` and `there` are managers of a company each, `both` of the two; each company has one of all."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.here = cls.env.company
        cls.there = cls.env["res.company"].create({"name": "Other office"})
        # Exporting is a right of its own; it must not be what keeps the offices apart.
        groups = f"{GROUPS['manager']},base.group_allow_export"
        cls.users["here"] = cls._user("here_test", groups)
        cls.users["there"] = cls._user("there_test", groups)
        cls.users["there"].write({"company_ids": [Command.set(cls.there.ids)], "company_id": cls.there.id})
        cls.users["both"] = cls._user("both_test", f"{GROUPS['manager']},base.group_multi_company")
        cls.users["both"].company_ids = [Command.set((cls.here + cls.there).ids)]
        cls.trigger = cls._trigger("test_manual", trigger_type="manual")
        cls.rule = cls._rule(cls.trigger)
        cls.mine = cls._office(cls.here, "081200000031")
        cls.theirs = cls._office(cls.there, "081200000032")

    @classmethod
    def _office(cls, company, number):
        """Make one of each thing that belongs to a company.

        :return: {model: record}, and the contact under `res.partner`
        :rtype: dict
        """
        env = cls.env
        own = {"company_id": company.id}
        partner = cls._partner(f"Contact of {company.name}", number, **own)
        permit = cls._permit(partner_id=partner.id, permit_number=f"N-{company.id}", **own)
        provider = cls._provider("meta", name=f"Meta of {company.name}", **own)
        campaign = env[CAMPAIGN].create({"name": f"C of {company.name}", "rule_id": cls.rule.id, **own})
        auto = env[AUTO].create({"title": f"A of {company.name}", "message": "M", **own})
        row = cls._row(
            partner_id=partner.id, rule_id=cls.rule.id, campaign_id=campaign.id, permit_id=permit.id, **own
        )
        row.auto_message_id = auto
        log = cls.logs._record(
            [
                {
                    "state": "sent",
                    "rule_id": cls.rule.id,
                    "campaign_id": campaign.id,
                    "queue_id": row.id,
                    "partner_id": partner.id,
                    **own,
                }
            ]
        )
        records = [
            *(partner, permit, provider, campaign, auto, row, log),
            env["sicantik.document"].create({"name": "Form", "permit_id": permit.id, **own}),
            env["sicantik.whatsapp.pair"].create({"provider_id": provider.id, "phone": "+6281200000031"}),
            env["sicantik.notification.campaign.target"].create(
                {"campaign_id": campaign.id, "res_id": permit.id}
            ),
            env["sicantik.notification.tally"].create(
                {"rule_id": cls.rule.id, "kind": "failed", "amount": 7, **own}
            ),
        ]
        return {record._name: record for record in records}

    def forget(self):
        """Let the next read come from the database."""
        self.env.flush_all()
        self.env.invalidate_all()

    def ours(self):
        """Give the models of which there is one record per company."""
        return [name for name in self.mine if name != "res.partner"]


class TestCompanyRules(CompanyCase):
    def test_every_model_has_its_rule(self):
        """A model of a company, and whatever hangs on one, is shown to the people of that company."""
        rules = self.env["ir.rule"].with_user(self.users["here"])
        for name, model in self.env.items():
            if not name.startswith("sicantik.") or model._abstract or model._transient:
                continue
            path = "company_id" if "company_id" in model._fields else BY_PATH.get(name)
            if path:
                domain = str(rules._compute_domain(name, "read"))
                for part in path.split("."):
                    with self.subTest(name):
                        self.assertIn(part, domain)

    def test_every_wizard_is_ones_own(self):
        rules = self.env["ir.rule"].with_user(self.users["here"])
        for name, model in self.env.items():
            if name.startswith("sicantik.") and model._transient:
                with self.subTest(name):
                    self.assertIn("create_uid", str(rules._compute_domain(name, "read")))

    def test_each_sees_their_own(self):
        self.assertGreater(len(self.ours()), 8)
        for model in self.ours():
            both = self.mine[model] + self.theirs[model]
            for name, expected in (("here", self.mine[model]), ("there", self.theirs[model])):
                with self.subTest(model=model, user=name):
                    found = self.as_user(name, model).search([("id", "in", both.ids)])
                    self.assertEqual(found.ids, expected.ids)
            found = self.as_user("both", model).with_context(allowed_company_ids=(self.here + self.there).ids)
            self.assertEqual(len(found.search([("id", "in", both.ids)])), 2, model)

    def test_nobody_touches_the_others(self):
        for model in self.ours():
            ids = self.theirs[model].ids
            self.assertRefused("here", model, "read", ids, ["display_name"])
            self.assertRefused("here", model, "write", ids, {})
            self.assertRefused("here", model, "unlink", ids)
            company = BY_PATH.get(model, "company_id").split(".")[0]
            self.assertRefused("here", model, "export_data", ids, [f"{company}/.id"])
            self.assertRefused("here", model, "copy", ids)
        for model, methods in {
            "sicantik.permit": ("action_submit", "action_cancel"),
            "sicantik.document": ("action_upload", "action_cancel"),
            QUEUE: ("action_process", "action_retry", "action_cancel"),
            CAMPAIGN: ("action_start", "action_pause", "action_resume", "action_cancel", "action_dry_run"),
            AUTO: ("action_schedule", "action_send_now", "action_cancel", "action_reset"),
            PROVIDER: ("action_test_connection", "action_sync_templates", "action_renew_webhook_url"),
        }.items():
            for method in methods:
                self.assertRefused("here", model, method, self.theirs[model].ids)
        self.assertEqual(self.gateway.requests(), [])

    def test_lists_by_way_of_what_is_shared(self):
        rule = self.rule.with_user(self.users["here"])
        self.assertEqual(rule.queue_ids, self.mine[QUEUE].with_env(rule.env))
        self.assertEqual(rule.log_ids.ids, self.mine[LOG].ids)
        (values,) = self.rpc("here", RULE, "read", self.rule.ids, ["queue_ids", "log_ids"])
        self.assertEqual((values["queue_ids"], values["log_ids"]), (self.mine[QUEUE].ids, self.mine[LOG].ids))
        result = rule.export_data(["queue_ids/phone"])
        self.assertNotIn("+6281200000032", str(result))

    def test_what_is_counted(self):
        self.mine[QUEUE].state = self.theirs[QUEUE].state = "sent"
        self.forget()
        for name in ("here", "there"):
            rule = self.rule.with_user(self.users[name])
            self.assertEqual((rule.success_count, rule.failed_count), (1, 7), name)
        groups = self.as_user("here", QUEUE)._read_group(
            [("rule_id", "=", self.rule.id)], ["company_id"], ["__count"]
        )
        self.assertEqual([(company.id, count) for company, count in groups], [(self.here.id, 1)])
        entry = self.env["sicantik.notification.blacklist"].create({"phone_number": "081200000032"})
        self.logs._record(
            [
                {
                    "state": "skipped",
                    "phone": "+6281200000032",
                    "error_class": "blacklisted",
                    "company_id": self.there.id,
                }
            ]
        )
        for name, count in (("here", 0), ("there", 1)):
            self.forget()
            self.assertEqual(entry.with_user(self.users[name]).blocked_count, count, name)

    def test_buttons_of_a_permit(self):
        permit = self.mine["sicantik.permit"].with_user(self.users["here"])
        self.forget()
        self.assertEqual((permit.notification_count, permit.notification_ids.ids), (1, self.mine[QUEUE].ids))
        self.mine[QUEUE].company_id = self.there
        self.forget()
        self.assertEqual((permit.notification_count, permit.notification_ids.ids), (0, []))

    def test_names_of_campaigns(self):
        """A rule that another company uses cannot be deleted; what it uses it for is not told."""
        self.mine[CAMPAIGN].unlink()
        with self.assertRaisesRegex(UserError, "another company") as caught:
            self.rule.with_user(self.users["here"]).unlink()
        self.assertNotIn("C of", str(caught.exception))


class TestCompanyRoads(CompanyCase):
    def test_a_row_by_hand_about_what_is_the_others(self):
        vals = {"partner_id": self.mine["res.partner"].id, "template_key": "test_ready"}
        for name, model in (
            ("permit_id", "sicantik.permit"),
            ("document_id", "sicantik.document"),
            ("campaign_id", CAMPAIGN),
            ("auto_message_id", AUTO),
        ):
            self.assertRefused("here", QUEUE, "create", [{**vals, name: self.theirs[model].id}])
            self.assertRefused("here", QUEUE, "write", self.mine[QUEUE].ids, {name: self.theirs[model].id})
        self.assertRefused("here", QUEUE, "create", [{**vals, "partner_id": self.theirs["res.partner"].id}])
        self.assertRefused("here", QUEUE, "create", [{**vals, "company_id": self.there.id}])
        row = self.as_user("here", QUEUE).create({**vals, "permit_id": self.mine["sicantik.permit"].id})
        self.assertEqual((row.company_id, row.permit_id.id), (self.here, self.mine["sicantik.permit"].id))

    def test_searching_rows_by_the_others_permits(self):
        self.env.flush_all()
        for domain in (
            [("permit_id", "ilike", f"N-{self.there.id}")],
            [("permit_id.permit_number", "=", f"N-{self.there.id}")],
            [("permit_id", "any", [("permit_number", "=", f"N-{self.there.id}")])],
            [("document_id.permit_id.permit_number", "=", f"N-{self.there.id}")],
        ):
            # So that only the permit is in the way.
            self.theirs[QUEUE].company_id = self.here
            with self.subTest(domain):
                self.assertFalse(self.as_user("here", QUEUE).search(domain))

    def test_send_whatsapp_to_the_others(self):
        wizard = "sicantik.notification.compose.wizard"
        context = {"active_model": "sicantik.permit", "active_ids": self.theirs["sicantik.permit"].ids}
        with self.assertRaises(AccessError):
            Form(self.as_user("here", wizard).with_context(**context))
        vals = {"res_model": "sicantik.permit", "res_ids": json.dumps(self.theirs["sicantik.permit"].ids)}
        wizard = self.as_user("here", wizard).create({**vals, "message_type": "text", "body": "Hello"})
        with self.assertRaises(AccessError):
            wizard.action_send()

    def test_test_send_by_the_others_provider(self):
        wizard = self.as_user("here", "sicantik.notification.test.wizard").create(
            {
                "partner_id": self.mine["res.partner"].id,
                "template_key": "test_ready",
                "context_values": '{"partner_name": "Ani", "permit_number": "1"}',
                "provider_id": self.theirs[PROVIDER].id,
            }
        )
        wizard.action_send_test()
        self.assertEqual(self.gateway.messages(), [])
        self.assertIn("Not sent", wizard.result)

    def test_test_send_to_the_others(self):
        with self.assertRaises(AccessError):
            self.as_user("here", "sicantik.notification.test.wizard").create(
                {
                    "partner_id": self.theirs["res.partner"].id,
                    "template_key": "test_ready",
                    "context_values": "{}",
                }
            ).action_send_test()
        self.assertEqual(self.gateway.messages(), [])

    def test_preview_of_the_others_record(self):
        wizard = self.as_user("here", "sicantik.notification.preview.wizard").create(
            {"rule_id": self.rule.id, "res_id": self.theirs["sicantik.permit"].id}
        )
        with self.assertRaises(AccessError):
            wizard.action_preview()

    def test_preview_offers_a_record_of_ones_own(self):
        form = Form(
            self.as_user("here", "sicantik.notification.preview.wizard").with_context(
                default_rule_id=self.rule.id
            )
        )
        self.assertEqual(form.res_id, self.mine["sicantik.permit"].id)

    def test_dry_run(self):
        """Among the targets there is nobody of another company, nor anything of theirs in the examples."""
        campaign = self.mine[CAMPAIGN].with_user(self.users["here"])
        campaign.target_domain = f"[('permit_number', 'in', ['N-{self.here.id}', 'N-{self.there.id}'])]"
        run = self.env["sicantik.notification.dry.run"].browse(campaign.action_dry_run()["res_id"])
        self.assertEqual(run.total_targets, 1)
        self.assertNotIn("Other office", " ".join(line.samples or "" for line in run.line_ids))

    def test_custom_recipients_are_of_the_records_company(self):
        self.rule.write(
            {"recipient_type": "custom", "recipient_domain": "[('name', '=like', 'Contact of %')]"}
        )
        before = self.queue.search([])
        for office, company in ((self.mine, self.here), (self.theirs, self.there)):
            self.trigger.fire("test_manual", office["sicantik.permit"])
            (row,) = self.queue.search([]) - before
            self.assertEqual((row.partner_id, row.company_id), (office["res.partner"], company))
            before += row

    def test_custom_recipients_that_speak_of_the_record(self):
        self.rule.write(
            {
                "recipient_type": "custom",
                "recipient_domain": "[('name', '=like', 'Contact of %'), ('id', '!=', record_id * 0)]",
            }
        )
        before = self.queue.search([])
        self.trigger.fire("test_manual", self.mine["sicantik.permit"] + self.theirs["sicantik.permit"])
        rows = self.queue.search([]) - before
        self.assertEqual(
            sorted((row.partner_id.id, row.company_id.id) for row in rows),
            sorted(
                (one["res.partner"].id, one["sicantik.permit"].company_id.id)
                for one in (self.mine, self.theirs)
            ),
        )

    def test_contacts_of_an_auto_message(self):
        """A contact that is not theirs is left out, and its name is not told; its number is only a number."""
        theirs = self.theirs["res.partner"]
        message = self.env[AUTO].create(
            {
                "title": "T",
                "message": "M",
                "contact_ids": [Command.set(theirs.ids)],
                "contact_input": f"{theirs.id}, 081200000932",
            }
        )
        self.assertEqual(message.left_out_count, 2)
        self.assertNotIn("Contact of", message.left_out)
        recipients, _faults = message._read_contacts()
        self.assertFalse(recipients["+6281200000932"])

    def test_made_in_the_company_at_work(self):
        """What a user of two companies makes belongs to the one that is switched on first."""
        ids = (self.there + self.here).ids
        for model, vals in (
            ("sicantik.permit", {}),
            ("sicantik.document", {"name": "Form"}),
            (CAMPAIGN, {"name": "C", "rule_id": self.rule.id}),
            (AUTO, {"title": "T", "message": "M"}),
            (QUEUE, {"phone": "+6281200000001", "template_key": "test_ready"}),
        ):
            with self.subTest(model):
                records = self.as_user("both", model).with_context(allowed_company_ids=ids)
                self.assertEqual(records.create(vals).company_id, self.there)

    def test_each_company_has_its_providers(self):
        for office in (self.mine, self.theirs):
            office["res.partner"].whatsapp_opt_in = True
            chosen = self.dispatcher.determine_provider(
                office["res.partner"].id, office["sicantik.permit"].id, "test_ready"
            )
            self.assertEqual(chosen["provider"], office[PROVIDER])

    def test_rows_leave_by_their_companys_provider(self):
        self.mine[PROVIDER].unlink()
        rows = self.mine[QUEUE] + self.theirs[QUEUE]
        (self.mine["res.partner"] + self.theirs["res.partner"]).whatsapp_opt_in = True
        rows.campaign_id = False
        rows.auto_message_id = False
        self.drain()
        self.assertEqual(self.theirs[QUEUE].provider_id, self.theirs[PROVIDER])
        self.assertEqual((self.mine[QUEUE].state, self.mine[QUEUE].error_class), ("failed", "no_provider"))

    def test_default_menu_of_a_second_company(self):
        """Their manager finds the same menus; only what is in the lists differs."""
        menus = [
            self.env["ir.ui.menu"].with_user(self.users[name]).load_web_menus(False)
            for name in ("here", "there")
        ]
        names = [
            {menu.get("xmlid") for menu in found.values() if (menu.get("xmlid") or "").startswith(MODULE)}
            for found in menus
        ]
        self.assertEqual(*names)
