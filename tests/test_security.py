"""Who may do what: rights per group, companies, secrets, Python, and what cannot be called from outside."""

from odoo import Command, api
from odoo.exceptions import AccessError
from odoo.service import model as service

from .common import NotificationCase

MODULE = "sicantik_notification_automation"
GROUPS = {
    # Exporting is a right of its own; here it must not be what keeps secrets in.
    "user": f"{MODULE}.group_notification_user,base.group_allow_export",
    "manager": f"{MODULE}.group_notification_manager",
    "staff": f"{MODULE}.group_staff",
    "official": f"{MODULE}.group_official",
    "employee": "base.group_user",
    "portal": "base.group_portal",
    "public": "base.group_public",
}
OPERATIONS = {"r": "read", "w": "write", "c": "create", "u": "unlink"}
# Who may read, write, create, unlink; groups that are not named may do nothing.
OFFICE = {"user": "r", "manager": "rwcu", "staff": "rwc", "official": "rw"}
SETUP = {"user": "r", "manager": "rwcu"}
HISTORY = {"user": "r", "manager": "r"}
WIZARD = {"user": "rwcu", "manager": "rwcu"}
MATRIX = {
    "sicantik.permit": OFFICE,
    "sicantik.document": OFFICE,
    "sicantik.permit.type": {**OFFICE, "official": "r"},
    "sicantik.notification.trigger": SETUP,
    "sicantik.notification.rule": SETUP,
    "sicantik.notification.campaign": SETUP,
    "sicantik.notification.campaign.target": {"manager": "r"},
    "sicantik.notification.queue": SETUP,
    "sicantik.notification.blacklist": SETUP,
    "sicantik.auto.message": SETUP,
    "sicantik.whatsapp.template.master": SETUP,
    "sicantik.whatsapp.provider": SETUP,
    "sicantik.notification.log": HISTORY,
    "sicantik.notification.execution": HISTORY,
    "sicantik.notification.tally": HISTORY,
    "sicantik.notification.allowance": {},
    "sicantik.notification.usage": {},
    "sicantik.whatsapp.pair": {"manager": "r"},
    "sicantik.notification.moment": {},
    "sicantik.notification.trouble": {},
    "sicantik.whatsapp.event": {"manager": "r"},
    "sicantik.notification.test.wizard": WIZARD,
    "sicantik.notification.preview.wizard": WIZARD,
    "sicantik.notification.compose.wizard": WIZARD,
    "sicantik.notification.compose.line": WIZARD,
    "sicantik.notification.selection.wizard": WIZARD,
    "sicantik.notification.try.wizard": WIZARD,
    "sicantik.notification.scenario": {"manager": "r"},
    "sicantik.notification.rule.wizard": {"manager": "rwcu"},
    "sicantik.notification.dry.run": {"manager": "rwcu"},
    "sicantik.notification.dry.run.line": {"manager": "rwcu"},
}


class SecurityCase(NotificationCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.users = {name: cls._user(f"{name}_test", groups) for name, groups in GROUPS.items()}

    @classmethod
    def _user(cls, login, groups):
        """Create a user without a password: nobody logs in, and hashing takes half a second each."""
        ids = [cls.env.ref(group).id for group in groups.split(",")]
        users = cls.env["res.users"].with_context(no_reset_password=True)
        return users.create({"name": login, "login": login, "groups_id": [Command.set(ids)]})

    def as_user(self, name, model):
        return self.env[model].with_user(self.users[name])

    def rpc(self, name, model, method, *args, **kwargs):
        """Call a method as a client would, with the checks of the server's door."""
        records = self.as_user(name, model)
        if hasattr(service, "call_kw"):
            return service.call_kw(records, method, args, kwargs)
        service.check_method_name(method)
        return api.call_kw(records, method, args, kwargs)

    def assertRefused(self, *args, **kwargs):
        with self.subTest(args), self.assertRaises(AccessError):
            self.rpc(*args, **kwargs)


class TestRights(SecurityCase):
    def _may(self, name, model, operation):
        records = self.as_user(name, model)
        if hasattr(records, "has_access"):
            return records.has_access(operation)
        return records.check_access_rights(operation, raise_exception=False)

    def test_matrix(self):
        for model, rights in MATRIX.items():
            for name in GROUPS:
                with self.subTest(f"{model} {name}"):
                    found = "".join(one for one in OPERATIONS if self._may(name, model, OPERATIONS[one]))
                    self.assertEqual(found, rights.get(name, ""))

    def test_every_model_is_in_the_matrix(self):
        ours = {
            name for name, model in self.env.items() if name.startswith("sicantik.") and not model._abstract
        }
        self.assertEqual(ours, set(MATRIX))

    def test_manager_is_a_user_and_the_administrator_is_a_manager(self):
        self.assertTrue(self.users["manager"].has_group(f"{MODULE}.group_notification_user"))
        self.assertTrue(self.env.ref("base.user_admin").has_group(GROUPS["manager"]))

    def test_staff_works_on_permits(self):
        permits = self.as_user("staff", "sicantik.permit")
        permit = permits.create({"partner_id": self.partner.id})
        permit.state = "submitted"
        document = self.as_user("staff", "sicantik.document").create({"name": "Form", "permit_id": permit.id})
        document.state = "uploaded"
        with self.assertRaises(AccessError):
            permit.unlink()

    def test_official_signs(self):
        document = self.env["sicantik.document"].create({"name": "Form", "state": "pending_signature"})
        document.with_user(self.users["official"]).state = "signed"
        self.assertEqual(document.state, "signed")

    def test_log_is_append_only(self):
        log = self.logs._record([{"state": "sent", "phone": "+6281200000001"}])
        for name in ("user", "manager"):
            self.assertRefused(name, "sicantik.notification.log", "create", [{"state": "sent"}])
            self.assertRefused(name, "sicantik.notification.log", "write", log.ids, {"state": "failed"})
            self.assertRefused(name, "sicantik.notification.log", "unlink", log.ids)
            self.assertRefused(name, "sicantik.notification.log", "copy", log.ids)
        admin = self.env.ref("base.user_admin")
        for call in (
            lambda: log.with_user(admin).write({"state": "failed"}),
            lambda: log.with_user(admin).unlink(),
        ):
            with self.assertRaises(AccessError):
                call()
        self.assertEqual(log.state, "sent")

    def test_ended_rows_may_be_deleted_and_their_log_stays(self):
        row = self._row()
        row.action_cancel()
        log = self.logs.search([("queue_id", "=", row.id)])
        row.with_user(self.users["manager"]).unlink()
        self.assertTrue(log.exists())
        self.assertEqual(log.state, "skipped")


class TestCompanies(SecurityCase):
    """A user of one company sees what is of it or of none."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.other = cls.env["res.company"].create({"name": "Other office"})
        cls.trigger = cls._trigger("test_manual", trigger_type="manual")
        cls.rule = cls._rule(cls.trigger)

    def _pair(self, model, **vals):
        """Create a record of the user's company and one of the other."""
        records = self.env[model]
        return [
            records.create({**vals, "company_id": company.id}) for company in (self.env.company, self.other)
        ]

    def assertOwnOnly(self, model, mine, others):
        for name in ("user", "manager"):
            with self.subTest(f"{model} {name}"):
                found = self.as_user(name, model).search([("id", "in", (mine + others).ids)])
                self.assertEqual(found.ids, mine.ids)
                with self.assertRaises(AccessError):
                    others.with_user(self.users[name]).read(["display_name"])

    def test_records_of_another_company(self):
        for model, vals in (
            ("sicantik.permit", {}),
            ("sicantik.document", {"name": "Form"}),
            ("sicantik.whatsapp.provider", {"name": "F", "provider_type": "fonnte"}),
            ("sicantik.notification.queue", {"phone": "+6281200000001", "template_key": "test_ready"}),
            ("sicantik.notification.campaign", {"name": "C", "rule_id": self.rule.id}),
            ("sicantik.auto.message", {"title": "T", "message": "M"}),
        ):
            self.assertOwnOnly(model, *self._pair(model, **vals))

    def test_whom_the_number_of_another_company_has_written_to(self):
        mine, others = (
            self.env["sicantik.whatsapp.pair"].create({"provider_id": provider.id, "phone": "+6281200000021"})
            for provider in self._pair("sicantik.whatsapp.provider", name="M", provider_type="meta")
        )
        found = self.as_user("manager", "sicantik.whatsapp.pair").search([("phone", "=", "+6281200000021")])
        self.assertEqual(found, mine)
        with self.assertRaises(AccessError):
            others.with_user(self.users["manager"]).read(["phone"])

    def test_names_of_contacts_of_another_company(self):
        secret = self._partner("Secret", "081200000022", company_id=self.other.id)
        vals = {"partner_id": secret.id, "template_key": "test_ready"}
        for name in ("user", "manager"):
            self.env.invalidate_all()
            with self.subTest(name), self.assertRaises(AccessError):
                wizard = self.as_user(name, "sicantik.notification.test.wizard").create(vals)
                self.fail(wizard.context_values)

    def test_log_of_another_company(self):
        mine, others = (
            self.logs._record([{"state": "sent", "company_id": company.id}])
            for company in (self.env.company, self.other)
        )
        self.assertOwnOnly("sicantik.notification.log", mine, others)

    def test_provider_of_no_company_is_everybodys(self):
        provider = self._provider("fonnte", company_id=False)
        self.assertTrue(self.as_user("user", provider._name).search([("id", "=", provider.id)]))

    def test_nobody_creates_for_another_company(self):
        with self.assertRaises(AccessError):
            self.as_user("manager", "sicantik.whatsapp.provider").create(
                {"name": "F", "provider_type": "fonnte", "company_id": self.other.id}
            )

    def test_rows_of_another_company_cannot_be_sent(self):
        row = self._row(company_id=self.other.id)
        for method in ("action_process", "action_cancel", "action_retry"):
            self.assertRefused("manager", "sicantik.notification.queue", method, row.ids)
        self.assertEqual(row.state, "pending")

    def test_row_is_of_the_company_of_its_record(self):
        permit = self._permit(company_id=self.other.id)
        self.env["sicantik.notification.trigger"].fire("test_manual", permit)
        row = self.assertQueued(self.partner)
        self.assertEqual(row.company_id, self.other)

    def test_log_is_of_the_company_of_its_record(self):
        permit = self._permit(company_id=self.other.id, partner_id=False)
        self.env["sicantik.notification.trigger"].fire("test_manual", permit)
        self.assertEqual(self.logs.search([("res_id", "=", permit.id)]).company_id, self.other)


class TestPython(SecurityCase):
    """Python comes from Settings administrators only (promise 8), by whatever road."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.trigger = cls._trigger("test_manual", trigger_type="manual")
        cls.rule = cls._rule(
            cls.trigger, condition_python="record.active", context_preparation_code="context = {}"
        )
        cls.plain = cls._rule(cls.trigger, name="Without Python")
        cls.system = cls._user("system_test", f"base.group_system,{GROUPS['manager']}")
        cls.rules = cls.env["sicantik.notification.rule"].with_user(cls.users["manager"])
        cls.vals = {"name": "New", "trigger_id": cls.trigger.id}

    def assertAllRefused(self, call):
        """Assert that `call(field name)` is refused for each of the two Python fields."""
        for name in ("condition_python", "context_preparation_code"):
            with (
                self.subTest(name),
                self.assertRaisesRegex(AccessError, "Settings administrators"),
                self.env.cr.savepoint(),
            ):
                call(name)
                self.env.flush_all()

    def test_create(self):
        self.assertAllRefused(lambda name: self.rules.create({**self.vals, name: "1"}))

    def test_create_many(self):
        self.assertAllRefused(lambda name: self.rules.create([self.vals, {**self.vals, name: "1"}]))

    def test_write(self):
        self.assertAllRefused(lambda name: self.plain.with_env(self.rules.env).write({name: "1"}))
        self.assertAllRefused(lambda name: self.rule.with_env(self.rules.env).write({name: "1"}))

    def test_write_many(self):
        self.assertAllRefused(
            lambda name: (self.plain + self.rule).with_env(self.rules.env).write({name: "1"})
        )

    def test_emptying_one(self):
        """Without its condition a rule writes to more people."""
        for empty in (False, "", "  "):
            self.assertAllRefused(
                lambda name, empty=empty: self.rule.with_env(self.rules.env).write({name: empty})
            )

    def test_copy(self):
        self.assertAllRefused(lambda name: self.rule.with_env(self.rules.env).copy())
        self.assertAllRefused(lambda name: self.plain.with_env(self.rules.env).copy({name: "1"}))

    def test_defaults_in_the_context(self):
        self.assertAllRefused(
            lambda name: self.rules.with_context(**{f"default_{name}": "1"}).create(self.vals)
        )

    def test_user_defaults(self):
        def call(name):
            self.env["ir.default"].set("sicantik.notification.rule", name, "1")
            self.rules.create(self.vals)

        self.assertAllRefused(call)

    def test_import(self):
        def call(name):
            result = self.rules.load(["name", "trigger_id/.id", name], [["New", str(self.trigger.id), "1"]])
            # `load` turns exceptions into messages.
            self.assertFalse(result["ids"])
            raise AccessError(result["messages"][0]["message"])

        self.assertAllRefused(call)

    def test_import_over_an_existing_rule(self):
        def call(name):
            result = self.rules.load([".id", name], [[str(self.plain.id), "1"]])
            self.assertFalse(result["ids"])
            raise AccessError(result["messages"][0]["message"])

        self.assertAllRefused(call)

    def test_through_the_trigger(self):
        trigger = self.trigger.with_env(self.rules.env)
        self.assertAllRefused(
            lambda name: trigger.write({"rule_ids": [Command.create({"name": "New", name: "1"})]})
        )
        self.assertAllRefused(
            lambda name: trigger.write({"rule_ids": [Command.update(self.plain.id, {name: "1"})]})
        )
        self.assertAllRefused(
            lambda name: (
                self.env["sicantik.notification.trigger"]
                .with_user(self.users["manager"])
                .create(
                    {
                        "name": "New",
                        "code": "test_new",
                        "model_id": self.trigger.model_id.id,
                        "trigger_type": "manual",
                        "rule_ids": [Command.create({"name": "New", name: "1"})],
                    }
                )
            )
        )

    def test_through_the_client(self):
        def save(name):
            if hasattr(self.rules, "web_save"):
                return self.rpc(
                    "manager",
                    "sicantik.notification.rule",
                    "web_save",
                    self.plain.ids,
                    {name: "1"},
                    {"id": {}},
                )
            return self.rpc("manager", "sicantik.notification.rule", "write", self.plain.ids, {name: "1"})

        self.assertAllRefused(save)

    def test_manager_changes_the_rest(self):
        """A rule that has Python stays theirs to switch, rename and schedule."""
        rule = self.rule.with_env(self.rules.env)
        rule.write({"name": "Renamed", "active": False, "condition_python": "record.active"})
        self.assertEqual((rule.name, rule.condition_python), ("Renamed", "record.active"))
        self.rules.create(self.vals)

    def test_administrator_of_the_settings(self):
        rules = self.rules.with_user(self.system)
        rule = rules.create({**self.vals, "condition_python": "True"})
        rule.write({"condition_python": "record.active", "context_preparation_code": "context = {}"})
        rule.copy()
        rule.condition_python = False

    def test_no_other_model_has_a_field_that_leads_to_them(self):
        """A writable related field would be a road around."""
        names = {"condition_python", "context_preparation_code"}
        found = [
            str(field)
            for model in self.env.registry.values()
            for field in model._fields.values()
            if field.related and field.related.split(".")[-1] in names
        ]
        self.assertFalse(found)


class TestSecrets(SecurityCase):
    """Tokens are readable by managers only (promise 7)."""

    SECRETS = ("api_token", "app_secret", "verify_token", "webhook_token", "webhook_url", "sender_id")

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.provider = cls._provider("meta", app_secret="APP-SECRET", verify_token="VERIFY-TOKEN")
        cls.name = cls.provider._name

    def test_manager_reads_them(self):
        values = self.rpc("manager", self.name, "read", self.provider.ids, list(self.SECRETS))[0]
        self.assertEqual(values["api_token"], "META-TOKEN-DEMO")
        self.assertTrue(all(values[name] for name in self.SECRETS))

    def test_user_reads_the_rest(self):
        values = self.rpc("user", self.name, "read", self.provider.ids)[0]
        self.assertEqual(values["name"], "Meta")
        self.assertFalse(set(self.SECRETS) & set(values))
        self.assertFalse(set(self.SECRETS) & set(self.rpc("user", self.name, "fields_get")))

    def test_reading(self):
        for secret in self.SECRETS:
            self.assertRefused("user", self.name, "read", self.provider.ids, [secret])
            self.assertRefused("user", self.name, "search_read", [], [secret])
            self.assertRefused("user", self.name, "export_data", self.provider.ids, [secret])
            with self.subTest(secret), self.assertRaises(AccessError):
                _value = self.provider.with_user(self.users["user"])[secret]

    def test_reading_by_way_of_other_models(self):
        row = self._row()
        row.provider_id = self.provider
        self.assertRefused("user", row._name, "export_data", row.ids, ["provider_id/api_token"])

    def test_guessing_by_search(self):
        """Whether a search finds something tells a secret letter by letter."""
        row = self._row()
        log = self.logs._record([{"state": "sent", "provider_id": self.provider.id}])
        row.provider_id = self.provider
        for secret in self.SECRETS[:4]:
            domain = [(secret, "=like", "M%")]
            self.assertRefused("user", self.name, "search", domain)
            self.assertRefused("user", self.name, "search_count", domain)
            self.assertRefused("user", self.name, "name_search", "", domain)
            for records in (row, log):
                self.assertRefused(
                    "user", records._name, "search", [(f"provider_id.{secret}", "=like", "M%")]
                )
                self.assertRefused("user", records._name, "search", [("provider_id", "any", domain)])

    def test_grouping_and_sorting(self):
        for secret in self.SECRETS[:4]:
            self.assertRefused("user", self.name, "search", [], order=secret)
            with self.subTest(secret), self.assertRaises(AccessError):
                self.as_user("user", self.name)._read_group([], [secret], ["__count"])
            with self.subTest(secret), self.assertRaises(AccessError):
                self.as_user("user", self.name)._read_group([], [], [f"{secret}:array_agg"])

    def test_copy_has_no_secrets(self):
        copy = self.provider.copy()
        self.assertFalse(copy.api_token or copy.app_secret or copy.verify_token)
        self.assertNotEqual(copy.webhook_token, self.provider.webhook_token)
        self.assertEqual(copy.credential_state, "draft")

    def test_staff_see_no_provider(self):
        for name in ("staff", "official", "employee"):
            self.assertRefused(name, self.name, "search_read", [], ["name"])


class TestCalls(SecurityCase):
    """What can be called from outside, and by whom."""

    CRONS = (
        ("sicantik.notification.queue", "cron_process_queue"),
        ("sicantik.notification.campaign", "cron_process_campaign_batch"),
        ("sicantik.notification.log", "cron_cleanup_old_logs"),
    )

    def test_scheduled_actions(self):
        self._provider("fonnte")
        row = self._row()
        for name in ("user", "staff", "official", "employee", "portal", "public"):
            for model, method in self.CRONS:
                self.assertRefused(name, model, method)
        self.assertEqual(row.state, "pending")
        self.assertEqual(self.gateway.messages(), [])

    def test_scheduled_actions_by_a_manager(self):
        for model, method in self.CRONS:
            with self.subTest(method):
                self.rpc("manager", model, method)

    def test_private_methods(self):
        for model, method in (
            ("sicantik.notification.trigger", "_process_trigger"),
            ("sicantik.notification.trigger", "_fire"),
            ("sicantik.notification.rule", "_apply"),
            ("sicantik.notification.queue", "_enqueue"),
            ("sicantik.notification.queue", "_take_back"),
            ("sicantik.notification.log", "_record"),
            ("sicantik.notification.log", "_record_committed"),
            ("sicantik.notification.execution", "_note"),
            ("sicantik.notification.blacklist", "_blocked"),
            ("sicantik.notification.drain", "_run"),
            ("sicantik.notification.drain", "_process"),
            ("sicantik.whatsapp.provider", "_account"),
            ("sicantik.whatsapp.dispatcher", "_plan"),
            ("sicantik.whatsapp.dispatcher", "_send_template"),
        ):
            self.assertTrue(hasattr(self.env[model], method), method)
            self.assertRefused("manager", model, method, [])

    def test_actions_on_the_queue(self):
        self._provider("fonnte")
        row = self._row()
        failed = self._row(state="failed")
        for name in ("staff", "official", "employee", "portal", "public"):
            self.assertRefused(name, row._name, "action_process", row.ids)
            self.assertRefused(name, row._name, "action_cancel", row.ids)
            self.assertRefused(name, row._name, "action_retry", failed.ids)
        self.assertEqual((row.state, failed.state), ("pending", "failed"))
        self.assertEqual(self.gateway.messages(), [])

    def test_actions_on_the_queue_by_a_user(self):
        """A notification user runs what others have set up."""
        self._provider("fonnte")
        row, second, failed = self._row(), self._row(), self._row(state="failed")
        self.rpc("user", row._name, "action_process", row.ids)
        self.rpc("user", row._name, "action_cancel", second.ids)
        self.rpc("user", row._name, "action_retry", failed.ids)
        self.env.invalidate_all()
        self.assertEqual((row.state, second.state, failed.state), ("sent", "cancelled", "pending"))

    def test_user_does_not_write_rows(self):
        row = self._row()
        self.assertRefused("user", row._name, "write", row.ids, {"state": "sent"})
        self.assertRefused("user", row._name, "create", [{"partner_id": self.partner.id}])

    def test_campaigns(self):
        trigger = self._trigger("test_manual", trigger_type="manual")
        campaign = self.env["sicantik.notification.campaign"].create(
            {"name": "C", "rule_id": self._rule(trigger).id, "target_domain": "[('id', '=', 0)]"}
        )
        for name in ("user", "staff", "employee", "portal"):
            self.assertRefused(name, campaign._name, "action_start", campaign.ids)
        self.assertEqual(campaign.state, "draft")
        self.rpc("manager", campaign._name, "action_start", campaign.ids)
        self.assertNotEqual(campaign.state, "draft")

    def test_connection_test(self):
        provider = self._provider("fonnte")
        for name in ("user", "staff", "employee", "portal"):
            self.assertRefused(name, provider._name, "action_test_connection", provider.ids)
        self.assertEqual(self.gateway.requests(), [])

    def test_blacklist_for_outsiders(self):
        """Whether a number is on the blacklist is nobody's business outside."""
        for name in ("portal", "public"):
            self.assertRefused(name, "sicantik.notification.blacklist", "is_blacklisted", "+6281200000001")
