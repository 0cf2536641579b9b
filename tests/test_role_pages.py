"""Each role in a real browser: its menus, every page behind them, and no button that it may not press."""

import json
from pathlib import Path

from .test_roles import CALLERS, MANAGERS, MATRIX, MENUS, MODULE, QuietRoleCase

CODE = (Path(__file__).parent / "role_pages.js").read_text()
ADMINISTRATOR = "rwcu"


class TestRolePages(QuietRoleCase):
    browser_size = "1366,768"

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        # Wizards are opened by buttons, with what they need.
        cls.forms = {
            model: ids
            for model, ids in cls.ids.items()
            if ids and not cls.env[model]._transient and cls._has_form(model)
        }

    @classmethod
    def _has_form(cls, model):
        return cls.env["ir.ui.view"].search_count([("model", "=", model), ("type", "=", "form")], limit=1)

    def _walk(self, role):
        """Open all that a role may open."""
        refused = {}
        for model, method, _args in self._methods():
            callers = CALLERS.get((model, method), CALLERS.get((model, None), MANAGERS))
            if role not in callers and not method.startswith("action_open_"):
                refused.setdefault(model, []).append(method)
        pages, forms = [], {}
        for name in sorted(MENUS[role]):
            action = self.env.ref(f"{MODULE}.{name}").action
            if action:
                model = action.res_model if action._name == "ir.actions.act_window" else None
                pages.append({"menu": name, "model": model, "create": "c" in self._rights(role, model)})
        for model, ids in self.forms.items():
            if "r" in self._rights(role, model):
                forms[model] = {"model": model, "id": ids[0], "create": "c" in self._rights(role, model)}
        parameters = {
            "menus": sorted(MENUS[role]),
            "module": MODULE,
            "pages": [*pages, *forms.values()],
            "refused": refused,
        }
        login = self.users[role].login
        code = CODE.replace("__PARAMETERS__", json.dumps(parameters))
        ready = "Boolean(document.querySelector('.o_main_navbar'))"
        self.browser_js("/web", code, ready, login=login, timeout=180)

    def _rights(self, role, model):
        if role == "administrator":
            role = "manager"
            if model == "ir.cron":
                return ADMINISTRATOR.replace("c", "")  # the list offers none
        return MATRIX.get(model, {}).get(role, "")

    def test_user(self):
        self._walk("user")

    def test_manager(self):
        self._walk("manager")

    def test_administrator(self):
        self._walk("administrator")

    def test_staff(self):
        self._walk("staff")

    def test_official(self):
        self._walk("official")

    def test_employee(self):
        self._walk("employee")
