"""The translation files: complete, in step with each other, and with the seeds' words."""

import inspect
import io
import re

import polib

from odoo.modules.module import get_module_path
from odoo.tests import TransactionCase, tagged
from odoo.tools.translate import trans_export

MODULE = "sicantik_notification_automation"
# Up to Odoo 17; then an environment.
TAKES_CURSOR = "cr" in inspect.signature(trans_export).parameters
PLACEHOLDER = re.compile(r"%\(\w+\)s|%s|\{\{?\w+\}?\}")


@tagged("post_install", "-at_install")
class TestTranslations(TransactionCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        folder = f"{get_module_path(MODULE)}/i18n"
        cls.template = polib.pofile(f"{folder}/{MODULE}.pot")
        cls.indonesian = polib.pofile(f"{folder}/id.po")
        own = [
            field
            for model in cls.env.registry.values()
            for field in model._fields.values()
            if MODULE in field._modules
        ]
        # `state` of server actions is Odoo's, with one value of ours.
        names = [
            (field.model_name.replace(".", "_"), field.name)
            for field in own
            if (field.model_name, field.name) not in (("ir.actions.server", "state"), ("ir.cron", "state"))
        ]
        cls.fields_ = {f"field_{model}__{name}" for model, name in names}
        cls.selections = [f"selection__{model}__{name}__" for model, name in names]
        cls.selections.append("selection__ir_actions_server__state__sicantik_")

    def test_every_term_is_translated(self):
        empty = [entry.msgid for entry in self.indonesian if not entry.msgstr or entry.fuzzy]
        self.assertEqual(empty, [])
        self.assertEqual({entry.msgid for entry in self.indonesian}, {entry.msgid for entry in self.template})

    def test_placeholders_are_kept(self):
        for entry in self.indonesian:
            with self.subTest(entry.msgid):
                self.assertCountEqual(PLACEHOLDER.findall(entry.msgid), PLACEHOLDER.findall(entry.msgstr))

    def test_the_template_has_every_term(self):
        """Export anew, as the button of Odoo does, and compare: nothing is missing, nothing is left over.

        Terms of fields that come with Odoo's mixins are Odoo's own, and differ from version to version; so
        are, for a database, those of its demo data.
        """
        exported, committed = (
            {entry.msgid: entry.occurrences for entry in entries if self._is_ours(entry)}
            for entries in (self._exported(), self.template)
        )
        missing = {term: where for term, where in exported.items() if term not in committed}
        if not TAKES_CURSOR:  # of `_("…", one["name"])` later versions take the key for a term as well
            missing = {term: where for term, where in missing.items() if not term.isidentifier()}
        self.assertFalse(missing, "not in the template: export it again")
        gone = {term: where for term, where in committed.items() if term not in exported}
        self.assertFalse(gone, "nowhere in the source any more")

    def _exported(self):
        buffer = io.BytesIO()
        trans_export(False, [MODULE], buffer, "po", self.env.cr if TAKES_CURSOR else self.env)
        return polib.pofile(buffer.getvalue().decode())

    def _is_ours(self, entry):
        return any(self._is_our_term(occurrence) for occurrence, _line in entry.occurrences)

    def _is_our_term(self, occurrence):
        """Tell whether a term, `model:ir.model.fields,help:module.field_x__y` say, is of our own source."""
        kind, _colon, rest = occurrence.partition(":")
        _what, _colon, xmlid = rest.partition(":")
        name = xmlid.partition(".")[2]
        if kind != "model" or not name.startswith(("field_", "selection__")):
            return not name.endswith("_demo")
        return name in self.fields_ or name.startswith(tuple(self.selections))
