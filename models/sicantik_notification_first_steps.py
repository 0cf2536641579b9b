from odoo import _, api, models

from .opening import open_form, open_list
from .sicantik_notification_access import MANAGER

MODULE = "sicantik_notification_automation"
LOG = "sicantik.notification.log"
PROVIDER = "sicantik.whatsapp.provider"


class SicantikNotificationFirstSteps(models.AbstractModel):
    """The checklist of a new office, on top of the Overview page: from nothing to the first message.

    Whether a step is done is read from what is there, never ticked off. The checklist goes when a manager has
    seen all of it done, or has put it away; it comes back when a manager asks for it (`first_steps_hidden` of
    the company).
    """

    _name = "sicantik.notification.first.steps"
    _description = "First Steps"

    @api.model
    def show(self, shown):
        """Bring the checklist of the current company back, or put it away.

        :param bool shown: whether it is on the Overview page from now on
        :raise AccessError: the user is no notification manager
        """
        self.env["sicantik.notification.access"]._check_manager()
        self.env.company.sudo().first_steps_hidden = not shown

    @api.model
    def _steps(self, providers):
        """Give the checklist; three questions to the database, each answered by the first row.

        :param list[dict] providers: those of the page (`_providers` of the overview)
        :return: dicts of `key`, `done`, `title`, `text` (why), `button` and `action` (False: the user may not
            do it), or False when there is nothing to show
        :rtype: list[dict] or bool
        """
        if self.env.company.sudo().first_steps_hidden:
            return False
        manager = self.env.user.has_group(MANAGER)
        steps = [self._step(manager, *step) for step in self._what(providers)]
        if not manager and all(step["done"] for step in steps):
            return False  # the last look is the managers'
        return steps

    def _step(self, manager, key, done, title, text, button, action):
        return {
            "key": key,
            "done": done,
            "title": title,
            "text": text,
            "button": button,
            "action": action if manager else False,
        }

    def _what(self, providers):
        def exists(model, domain):
            return bool(self.env[model].search_count(domain, limit=1))

        sent = exists(LOG, [("state", "=", "sent"), ("rule_id", "!=", False)])
        return [
            (
                "provider",
                bool(providers),
                _("Connect a provider"),
                _("It carries the messages: an account at Meta, Fonnte, Watzap, Twilio or WAHA."),
                _("Connect"),
                self._open_providers(providers and [one["id"] for one in providers]),
            ),
            (
                "test",
                any(one["state"] == "configured" for one in providers),
                _("Test the connection"),
                _("“Test Connection” asks the service whether it would take messages, and sends none."),
                _("Test"),
                self._open_providers([one["id"] for one in providers if one["state"] != "configured"]),
            ),
            (
                "template",
                sent or exists(LOG, [("state", "=", "sent"), ("template_key", "!=", False)]),
                _("Check a template"),
                _("Send yourself one of the texts and read on your own phone what applicants will read."),
                _("Send a Test"),
                f"{MODULE}.sicantik_notification_test_wizard_action",
            ),
            (
                "rule",
                exists("sicantik.notification.rule", [("trigger_id.active", "=", True)]),
                _("Switch on a rule"),
                _("A rule for each of the usual occasions is there, switched off: nothing is sent yet."),
                _("Choose a Rule"),
                f"{MODULE}.sicantik_notification_rule_action",
            ),
            (
                "message",
                sent,
                _("See the first message leave"),
                _("Change the status of a permit as the rule expects. The message leaves in a minute."),
                _("Open Permits"),
                f"{MODULE}.sicantik_permit_action",
            ),
        ]

    def _open_providers(self, ids):
        """Open the providers that a step is about: the one there is, several in a list, else a new one."""
        if not ids:
            return open_form(PROVIDER, False)
        found = self.env[PROVIDER].browse(ids)
        return open_list(_("WhatsApp Providers"), PROVIDER, [("id", "in", ids)], found)
