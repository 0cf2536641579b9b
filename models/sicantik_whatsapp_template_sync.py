from odoo import _, api, models

from ..providers import TemplatesRefused, provider_for
from .sicantik_whatsapp_circuit import ACTIVITY
from .sicantik_whatsapp_event import APPLIED, Verdict

# What Meta's words for a template mean here. Any other one is shown as it is, and the template waits as a
# draft: only approved ones are sent (providers.md 1.11).
STATUSES = {
    "APPROVED": "approved",
    "REINSTATED": "approved",
    "UNARCHIVED": "approved",
    "REJECTED": "rejected",
    "PAUSED": "paused",
    "DISABLED": "paused",
    "LIMIT_EXCEEDED": "paused",
    "ARCHIVED": "paused",
    "PENDING_DELETION": "paused",
    "DELETED": "paused",
}
# A warning, no state: the template can be sent as before.
WARNINGS = ("FLAGGED",)
TURNED_DOWN = ("rejected", "paused")


class SicantikWhatsappTemplateSync(models.AbstractModel):
    """What Meta says about our templates: by its list, on demand, and by webhook."""

    _name = "sicantik.whatsapp.template.sync"
    _description = "WhatsApp Template Sync"

    @api.model
    def _read_lists(self, providers):
        """Ask Meta for the templates of accounts. Writes nothing.

        :return: {provider: list[TemplateInfo], or a sentence that says why there is none}
        :rtype: dict
        """
        lists = {}
        for provider in providers:
            try:
                pages = provider_for(provider._account()).list_templates()
                lists[provider] = [info for page in pages for info in page]
            except TemplatesRefused as refused:
                lists[provider] = str(refused)
        return lists

    @api.model
    def _sync(self, infos):
        """Take over what Meta says about templates.

        :param list[TemplateInfo] infos: what `list_templates` gave
        :return: (templates that are up to date now, ours that Meta does not have, how many of Meta's are not
            ours)
        :rtype: tuple
        """
        masters = self._masters()
        by_name = {}
        for master in masters:
            key = (master.meta_template_name, master.language)
            by_name[key] = by_name.get(key, master.browse()) | master
        found, unknown = masters.browse(), 0
        for info in infos:
            ours = by_name.get((info.name, info.language))
            if not ours:
                unknown += 1
                continue
            found |= ours
            self._take_over(ours, info.status, info.category, info.quality)
        return found, masters - found, unknown

    @api.model
    def _masters(self):
        masters = self.env["sicantik.whatsapp.template.master"].sudo()
        return masters.search([("meta_template_name", "!=", False)])

    def _take_over(self, templates, status, category="", quality="", reason=""):
        """Write what Meta says about templates, and tell the managers of those that it does not send now."""
        values = {}
        if category:
            values["meta_category"] = category
        if quality:
            values["meta_quality"] = quality
        if status:
            values["meta_remote_status"] = status
            if status not in WARNINGS:
                values["meta_status"] = STATUSES.get(status, "draft")
        for template in templates:
            new = {name: value for name, value in values.items() if template[name] != value}
            # The list of templates says no reasons: what a webhook told holds until the state changes.
            told = reason if reason and reason != "NONE" else False
            if "meta_status" in new or (told and "meta_status" in values and told != template.meta_reason):
                new["meta_reason"] = told
            was_usable = template._is_usable_at_meta()
            if new:
                template.write(new)
            if "meta_remote_status" not in new and "meta_status" not in new:
                continue
            is_usable = template._is_usable_at_meta()
            if is_usable:
                template.activity_unlink([ACTIVITY])
            elif was_usable or template.meta_status in TURNED_DOWN:
                self._tell(template, reason)

    def _tell(self, template, reason):
        """Give each manager one activity about a template that Meta does not send now."""
        template.activity_unlink([ACTIVITY])
        for user in self.env["sicantik.notification.alert"]._users():
            # The words are looked up in the language of `self`.
            self.with_context(lang=user.lang)._schedule(template, user, reason)

    def _schedule(self, template, user, reason):
        note = _(
            "Meta says “%(status)s”, so messages with it go through the next provider. Look at the template "
            "in Meta's WhatsApp Manager; “Synchronize Templates” in the WhatsApp account reads it again.",
            status=template.meta_remote_status,
        )
        if reason and reason != "NONE":
            note = _("%(note)s Reason: %(reason)s", note=note, reason=reason)
        template.with_context(lang=user.lang, mail_activity_quick_update=True).activity_schedule(
            ACTIVITY, user_id=user.id, summary=_("Meta does not send this template"), note=note
        )

    @api.model
    def _apply_events(self, stored):
        """Apply changes that Meta told by webhook.

        :param list[Stored] stored: the events, in the order in which they came
        :return: {event id: Verdict}
        :rtype: dict
        """
        masters = self._masters()
        verdicts = {}
        for one in stored:
            change = one.event
            ours = masters.filtered(
                lambda master, change=change: (
                    (master.meta_template_name, master.language) == (change.name, change.language)
                )
            )
            self._take_over(ours, change.status, change.category, change.quality, change.reason)
            verdicts[one.id] = APPLIED if ours else Verdict("unmatched", _("No template here has this name."))
        return verdicts
