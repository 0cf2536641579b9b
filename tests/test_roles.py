"""Each role at the server's door: what a browser, or a program in its place, is given and refused over HTTP.

What is not in the tables below is for managers only: a new method or menu has to be put there, or to refuse.
"""

import inspect
import json

from odoo import Command
from odoo.tests import HttpCase
from odoo.tools import mute_logger

from .test_security import GROUPS, MATRIX, MODULE, OPERATIONS, SecurityCase

QUEUE = "sicantik.notification.queue"
PROVIDER = "sicantik.whatsapp.provider"
ACCESS_ERROR = "odoo.exceptions.AccessError"
NO_SESSION = "odoo.http.SessionExpiredException"
# Of these a method is the server's own, overridden.
ORM = {"create", "write", "unlink", "copy_data", "default_get", "init", "get_values", "set_values"}

OFFICE = {"staff", "official", "manager", "administrator"}
USERS = {"user", "manager", "administrator"}
MANAGERS = {"manager", "administrator"}
INTERNAL = {*USERS, *OFFICE, "employee"}
# Who may call what; the key None stands for all methods of a model.
CALLERS = {
    ("sicantik.permit", None): OFFICE,
    ("sicantik.document", None): OFFICE,
    (QUEUE, "action_process"): USERS,
    (QUEUE, "action_retry"): USERS,
    (QUEUE, "action_cancel"): USERS,
    ("sicantik.notification.rule", "action_test_send"): USERS,
    (QUEUE, "action_mend"): USERS,
    ("sicantik.notification.rule", "action_preview"): USERS,
    ("sicantik.notification.rule", "action_try"): USERS,
    ("sicantik.notification.trigger", "action_try"): USERS,
    ("sicantik.notification.campaign", "get_target_models"): USERS,
    ("sicantik.whatsapp.template.master", "action_send_test"): USERS,
    ("sicantik.notification.overview", None): USERS,
    ("sicantik.notification.message.mixin", None): USERS,
    (QUEUE, "action_open_subject"): USERS,
    ("sicantik.notification.log", "action_open_subject"): USERS,
    ("sicantik.notification.log", "action_open_story"): USERS,
    ("sicantik.notification.test.wizard", None): USERS,
    ("sicantik.notification.preview.wizard", None): USERS,
    ("sicantik.notification.compose.wizard", None): USERS,
    ("sicantik.notification.selection.wizard", None): USERS,
    ("sicantik.notification.try.wizard", None): USERS,
    ("sicantik.notification.blacklist", "is_blacklisted"): INTERNAL,
    ("sicantik.notification.trigger", "fire"): INTERNAL,
    ("sicantik.whatsapp.dispatcher", None): INTERNAL,
}
# The menus of each role, in the words of the contract's section 4.
OFFICE_MENUS = {"sicantik_menu", "sicantik_permit_menu", "sicantik_document_menu"}
USER_MENUS = OFFICE_MENUS | {
    *("sicantik_notification_menu", "sicantik_notification_overview_menu"),
    *("sicantik_notification_campaign_menu", "sicantik_auto_message_menu"),
    *("sicantik_notification_menu_monitoring", "sicantik_notification_queue_menu"),
    "sicantik_notification_log_menu",
}
MANAGER_MENUS = USER_MENUS | {
    *("sicantik_whatsapp_event_menu", "sicantik_notification_menu_configuration"),
    *("sicantik_notification_trigger_menu", "sicantik_notification_rule_menu"),
    *(
        "sicantik_notification_blacklist_menu",
        "sicantik_whatsapp_menu",
        "sicantik_whatsapp_menu_configuration",
    ),
    *("sicantik_whatsapp_provider_menu", "sicantik_whatsapp_provider_menu_meta"),
    "sicantik_whatsapp_template_master_menu",
}
# What the action menu of lists and forms offers beyond Odoo's own, to those who may do it.
ACTION_MENUS = {
    "sicantik.permit": {
        "sicantik_notification_compose_wizard_action_permit": USERS,
        "sicantik_notification_test_wizard_action_permit": USERS,
        "sicantik_notification_selection_wizard_action_permit": MANAGERS,
    },
    "sicantik.document": {
        "sicantik_notification_compose_wizard_action_document": USERS,
        "sicantik_notification_test_wizard_action_document": USERS,
        "sicantik_notification_selection_wizard_action_document": MANAGERS,
    },
    QUEUE: {"sicantik_notification_test_wizard_action_queue": USERS},
    "sicantik.notification.rule": {"sicantik_notification_test_wizard_action": USERS},
    "sicantik.whatsapp.template.master": {"sicantik_notification_test_wizard_action_template": USERS},
}
MENUS = {
    "user": USER_MENUS,
    "manager": MANAGER_MENUS,
    "administrator": MANAGER_MENUS | {"ir_cron_menu"},
    "staff": OFFICE_MENUS,
    "official": OFFICE_MENUS,
    "employee": set(),
}


class RoleCase(HttpCase, SecurityCase):
    """Users who log in with their login as password, and a record of each model."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.users["administrator"] = cls._user("administrator_test", f"base.group_system,{GROUPS['manager']}")
        for user in cls.users.values():
            user.password = user.login
        cls.provider = cls._provider("meta", app_secret="APP-SECRET", verify_token="VERIFY-TOKEN")
        cls.ids = {model: cls.env[model].search([], limit=1).ids for model in MATRIX}
        cls.ids.update({record._name: record.ids for record in cls._records()})

    @classmethod
    def _records(cls):
        """Make one record of each model, as the system does."""
        env = cls.env
        trigger = cls._trigger("test_manual", trigger_type="manual")
        rule = cls._rule(trigger)
        permit = cls._permit()
        campaign = env["sicantik.notification.campaign"].create({"name": "C", "rule_id": rule.id})
        about = json.dumps(permit.ids)
        compose = env["sicantik.notification.compose.wizard"].create(
            {
                "res_model": permit._name,
                "res_ids": about,
                "line_ids": [Command.create({"res_id": permit.id, "partner_id": cls.partner.id})],
            }
        )
        dry_run = env["sicantik.notification.dry.run"]._of(campaign)
        simple = {
            "permit.type": {"name": "Trade", "code": "T"},
            "document": {"name": "Form", "permit_id": permit.id},
            "auto.message": {"title": "T", "message": "M"},
            "notification.blacklist": {"phone_number": "+6281200000099"},
            "notification.campaign.target": {"campaign_id": campaign.id, "res_id": permit.id},
            "notification.execution": {"trigger_id": trigger.id, "record_count": 1},
            "notification.tally": {"trigger_id": trigger.id, "kind": "sent", "amount": 1},
            "notification.allowance": {"subject": "rule:0"},
            "notification.usage": {"subject": "rule:0", "bucket": "2031-06-11 03:00:00"},
            "notification.moment": {
                "trigger_id": trigger.id,
                "res_id": permit.id,
                "offset_minutes": 0,
                "date_value": "2031-06-11",
            },
            "whatsapp.event": {
                "provider_id": cls.provider.id,
                "kind": "inbound",
                "key": "1",
                "payload": "{}",
                "state": "ignored",
            },
            "whatsapp.pair": {"provider_id": cls.provider.id, "phone": "+6281200000001"},
            "notification.test.wizard": {"rule_id": rule.id, "partner_id": cls.partner.id},
            "notification.preview.wizard": {"rule_id": rule.id, "res_id": permit.id},
            "notification.trouble": {
                "kind": "rule",
                "res_model": rule._name,
                "res_id": rule.id,
                "date": "2031-06-11 03:00:00",
            },
            "notification.selection.wizard": {"target_model": permit._name, "name": "S"},
            "notification.try.wizard": {"trigger_id": trigger.id},
            "notification.rule.wizard": {
                "scenario_id": env["sicantik.notification.scenario"].search([], limit=1).id,
                "name": "R",
            },
        }
        made = [env[f"sicantik.{name}"].create(vals) for name, vals in simple.items()]
        made += [
            trigger,
            rule,
            permit,
            campaign,
            compose,
            compose.line_ids,
            dry_run,
            dry_run.line_ids,
            cls.provider,
        ]
        made += [cls.template, cls._row(provider_id=cls.provider.id), cls.logs._record([{"state": "sent"}])]
        return [record for record in made if record]

    def call(self, model, method, *args, **kwargs):
        """Call a method as the web client does.

        :return: the result, and the name of the exception or None
        :rtype: tuple
        """
        answer = self.url_open(
            f"/web/dataset/call_kw/{model}/{method}",
            data=json.dumps(
                {
                    "jsonrpc": "2.0",
                    "method": "call",
                    "params": {"model": model, "method": method, "args": args, "kwargs": kwargs},
                }
            ),
            headers={"Content-Type": "application/json"},
        ).json()
        return answer.get("result"), answer["error"]["data"]["name"] if "error" in answer else None

    def log_in(self, role):
        login = self.users[role].login
        self.authenticate(login, login)

    def _methods(self):
        """Give what can be called by name: (model, method, arguments)."""
        for model in sorted(name for name in self.env.registry if name.startswith("sicantik.")):
            own = (one for one in type(self.env[model]).__mro__ if MODULE in one.__module__)
            for method in sorted(
                {name for one in own for name, value in vars(one).items() if callable(value)}
            ):
                function = getattr(type(self.env[model]), method)
                if method.startswith("_") or method in ORM or not inspect.isroutine(function):
                    continue
                needed = [
                    one
                    for one in list(inspect.signature(function).parameters.values())[1:]
                    if one.default is one.empty and one.kind is one.POSITIONAL_OR_KEYWORD
                ]
                of_model = getattr(function, "_api", None) == "model" or getattr(
                    function, "_api_model", False
                )
                args = ["x" for _parameter in needed]
                yield model, method, args if of_model else [self.ids.get(model, []), *args]

    def assertRefusedByHttp(self, role, model, method, *args, **kwargs):
        with self.subTest(role=role, model=model, method=method):
            _result, error = self.call(model, method, *args, **kwargs)
            self.assertEqual(error, ACCESS_ERROR)

    def assertOpensOrRefuses(self, role, model, method, *args):
        """Where a window leads to is no secret; what is in it asks again who may read it."""
        with self.subTest(role=role, model=model, method=method):
            result, error = self.call(model, method, *args)
            if error != ACCESS_ERROR:
                self.assertIsNone(error)
                self.assertEqual(result["type"], "ir.actions.act_window")


class QuietRoleCase(RoleCase):
    """What is refused is written to the server's log, which is right, and much of it."""

    def run(self, result=None):
        names = (
            "odoo.http",
            "odoo.models",
            "odoo.addons.base.models.ir_model",
            "odoo.addons.base.models.ir_rule",
        )
        with mute_logger(*names):
            return super().run(result)


class TestRolesByRpc(QuietRoleCase):
    def test_models(self):
        """Read, write, create, delete, copy, export and look up, of every model."""
        for role in GROUPS:
            if role == "public":
                continue
            self.log_in(role)
            for model, rights in MATRIX.items():
                mine = rights.get(role, "")
                ids = self.ids[model]
                if "r" in mine:
                    with self.subTest(role=role, model=model):
                        found, error = self.call(model, "search_read", [], ["id"], limit=1)
                        self.assertIsNone(error)
                        self.assertIsInstance(found, list)
                else:
                    self.assertRefusedByHttp(role, model, "search_read", [], ["id"], limit=1)
                    self.assertRefusedByHttp(role, model, "name_search", "")
                    self.assertRefusedByHttp(role, model, "read", ids, ["id", "display_name"])
                for right, operation in OPERATIONS.items():
                    if right in mine or right == "r":
                        continue
                    args = {"create": ([{}],), "write": (ids, {}), "unlink": (ids,)}[operation]
                    self.assertRefusedByHttp(role, model, operation, *args)

    def test_the_wizard_of_somebody_else(self):
        """What one user has typed is not for the others, whatever group they are of."""
        for role in ("user", "manager", "administrator"):
            self.log_in(role)
            for model in MATRIX:
                if not self.env[model]._transient:
                    continue
                self.assertRefusedByHttp(role, model, "read", self.ids[model], ["id", "display_name"])
                self.assertRefusedByHttp(role, model, "write", self.ids[model], {})
                if "r" in MATRIX[model].get("manager" if role == "administrator" else role, ""):
                    with self.subTest(role=role, model=model):
                        found = self.call(model, "search_count", [("id", "in", self.ids[model])])
                        self.assertEqual(found, (0, None))

    def test_methods(self):
        """Every method that has no underscore refuses whom it is not for."""
        for role in ("user", "staff", "official", "employee", "portal"):
            self.log_in(role)
            for model, method, args in self._methods():
                callers = CALLERS.get((model, method), CALLERS.get((model, None), MANAGERS))
                if role in callers:
                    continue
                if method.startswith("action_open_") and (model, method) not in CALLERS:
                    self.assertOpensOrRefuses(role, model, method, *args)
                else:
                    self.assertRefusedByHttp(role, model, method, *args)
        self.assertEqual(self.gateway.requests(), [])

    def test_there_is_one_of_each(self):
        self.assertFalse([model for model, ids in self.ids.items() if not ids], "make one in `_records`")

    def test_methods_are_found(self):
        """The test above tests what there is."""
        found = {(model, method) for model, method, _args in self._methods()}
        self.assertFalse({key for key in CALLERS if key[1]} - found)
        self.assertIn(("sicantik.permit", "action_approve"), found)
        self.assertIn(("sicantik.whatsapp.provider", "action_test_connection"), found)

    def test_without_a_session(self):
        self.authenticate(None, None)
        for model in MATRIX:
            with self.subTest(model):
                self.assertEqual(self.call(model, "search_read", [], ["id"])[1], NO_SESSION)

    def test_menus(self):
        """The menus that a role sees are exactly these, and each of them opens something it may read."""
        for role, expected in MENUS.items():
            self.log_in(role)
            menus = self._load_menus()
            ours = {
                menu["xmlid"].removeprefix(f"{MODULE}."): menu
                for menu in menus.values()
                if (menu.get("xmlid") or "").startswith(f"{MODULE}.")
            }
            with self.subTest(role):
                self.assertEqual(set(ours), expected)
            for name, menu in ours.items():
                if menu.get("actionModel") != "ir.actions.act_window":
                    continue
                model = self.env["ir.actions.act_window"].browse(menu["actionID"]).res_model
                with self.subTest(role=role, menu=name):
                    self.assertIsNone(self.call(model, "search_read", [], ["id"], limit=1)[1])

    def _load_menus(self):
        # The part after the name was taken out of the path in later versions.
        for path in ("/web/webclient/load_menus/0", "/web/webclient/load_menus"):
            answer = self.url_open(path)
            if answer.status_code == 200:
                return answer.json()
        self.fail(f"The menus cannot be loaded: {answer.status_code}")

    def test_action_menus(self):
        for role in MENUS:
            self.log_in(role)
            for model, actions in ACTION_MENUS.items():
                if "r" not in MATRIX[model].get(role, "r" if role == "administrator" else ""):
                    continue
                types = ("list", "form")
                views, error = self.call(
                    model, "get_views", [[False, one] for one in types], {"toolbar": True}
                )
                self.assertIsNone(error)
                offered = {
                    action["id"]
                    for one in types
                    for action in views["views"][one].get("toolbar", {}).get("action", [])
                }
                for xmlid, roles in actions.items():
                    with self.subTest(role=role, action=xmlid):
                        self.assertEqual(self.env.ref(f"{MODULE}.{xmlid}").id in offered, role in roles)


class TestSecretsByRpc(QuietRoleCase):
    """Credentials do not leave by any call of the web client."""

    SECRETS = ("api_token", "app_secret", "verify_token", "webhook_token", "webhook_url", "sender_id")

    def test_user(self):
        self.log_in("user")
        ids = self.provider.ids
        for secret in self.SECRETS:
            spec = {"name": {}, secret: {}}
            self.assertRefusedByHttp("user", PROVIDER, "read", ids, [secret])
            self.assertRefusedByHttp("user", PROVIDER, "search_read", [], [secret])
            self.assertRefusedByHttp("user", PROVIDER, "web_read", ids, specification=spec)
            self.assertRefusedByHttp("user", PROVIDER, "web_search_read", [], specification=spec)
            self.assertRefusedByHttp("user", PROVIDER, "export_data", ids, ["name", secret])
            self.assertRefusedByHttp(
                "user", QUEUE, "export_data", self.ids[QUEUE], ["name", f"provider_id/{secret}"]
            )
            nested = {"provider_id": {"fields": spec}}
            self.assertRefusedByHttp("user", QUEUE, "web_read", self.ids[QUEUE], specification=nested)
        for secret in self.SECRETS[:4]:
            domain = [[secret, "=like", "M%"]]
            self.assertRefusedByHttp("user", PROVIDER, "search_count", domain)
            self.assertRefusedByHttp("user", PROVIDER, "name_search", "", domain)
            self.assertRefusedByHttp("user", QUEUE, "search", [[f"provider_id.{secret}", "=like", "M%"]])
            self.assertRefusedByHttp("user", PROVIDER, "search", [], order=secret)
            if hasattr(self.env[PROVIDER], "formatted_read_group"):
                self.assertRefusedByHttp("user", PROVIDER, "formatted_read_group", [], [secret], ["__count"])
            else:
                self.assertRefusedByHttp("user", PROVIDER, "read_group", [], [], [secret])
        fields, error = self.call(PROVIDER, "fields_get")
        self.assertIsNone(error)
        self.assertFalse(set(self.SECRETS) & set(fields))

    def test_forms_of_a_user_have_no_secrets(self):
        self.log_in("user")
        views, error = self.call(PROVIDER, "get_views", [[False, "form"], [False, "list"]])
        self.assertIsNone(error)
        for secret in self.SECRETS:
            self.assertNotIn(f'name="{secret}"', views["views"]["form"]["arch"])

    def test_manager_does_his_work(self):
        self.log_in("manager")
        values, error = self.call(PROVIDER, "read", self.provider.ids, ["api_token"])
        self.assertIsNone(error)
        self.assertEqual(values[0]["api_token"], "META-TOKEN-DEMO")

    def test_guessing_by_way_of_a_permit(self):
        """A search for messages by their permit must not see more of the database than its user."""
        self.log_in("user")
        self.assertRefusedByHttp(
            "user", QUEUE, "search", [["permit_id.message_ids.mail_server_id.smtp_pass", "=like", "a%"]]
        )
        inner = [["message_ids.mail_server_id.smtp_pass", "=like", "a%"]]
        self.assertRefusedByHttp("user", QUEUE, "search", [["permit_id", "any", inner]])
