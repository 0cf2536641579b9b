from dataclasses import asdict

from markupsafe import Markup

from odoo import _, api, fields, models
from odoo.exceptions import UserError

from ..compat import check_access
from ..models.opening import open_dialog
from ..models.road import EMAIL
from ..models.sicantik_notification_evaluation import Event

MESSAGE_VIEW = "sicantik_notification_automation.sicantik_notification_try_wizard_message"


class SicantikNotificationPreviewWizard(models.TransientModel):
    """Show what a rule would do for one record, without doing it: who hears what, by whom, and why not."""

    _name = "sicantik.notification.preview.wizard"
    _description = "Preview"

    rule_id = fields.Many2one("sicantik.notification.rule", required=True)
    res_model = fields.Char(related="rule_id.model_name", string="Model")
    # With the rights of the user: what is offered is a record that they may read.
    res_id = fields.Integer(
        string="Record ID",
        compute="_compute_res_id",
        compute_sudo=False,
        store=True,
        readonly=False,
        precompute=True,
    )
    record_name = fields.Char(string="Record", compute="_compute_record_name")
    preview_text = fields.Text(string="Result", readonly=True)
    # The messages, looking as in “Try It On…”; empty when there are none, and preview_text says why.
    preview_html = fields.Html(readonly=True, sanitize=False)

    @api.depends("rule_id")
    def _compute_res_id(self):
        """Offer the newest record that the rule's own condition is for, else the newest one."""
        for wizard in self:
            rule = wizard.rule_id
            wizard.res_id = False
            if rule.model_name in self.env:
                model = self.env[rule.model_name]
                domain = rule._eval_domain(rule.condition_domain, rule._domain_values(event=Event("")))
                wizard.res_id = (
                    model.search(domain, order="id desc", limit=1) or model.search([], limit=1)
                ).id

    @api.depends("res_model", "res_id")
    def _compute_record_name(self):
        """Say which record the number means; nothing for one that the user may not read."""
        for wizard in self:
            model = self.env[wizard.res_model] if wizard.res_model in self.env else None
            known = wizard.res_id and model is not None
            wizard.record_name = known and model.search([("id", "=", wizard.res_id)]).display_name

    def action_preview(self):
        """Evaluate the rule for the record; nothing is queued and nothing is sent.

        :raise AccessError: the user is no notification user, or may not read the record
        :raise UserError: there is no such record
        """
        self.ensure_one()
        self.env["sicantik.notification.queue"]._check_may_run()
        record = self.env[self.res_model].browse(self.res_id).exists()
        if not record:
            raise UserError(_("There is no record with the id %s. Choose another one.", self.res_id))
        check_access(record, "read")
        trial = self._try(record.sudo(), self.rule_id.sudo())
        self.preview_text = self._preview(trial)
        self.preview_html = self._show(trial)
        return open_dialog(_("Preview"), self._name, self.id)

    def _try(self, record, rule):
        event = Event("preview", new_state=record["state"] if "state" in record._fields else None)
        return self.env["sicantik.notification.trial"]._try_rule(rule, record, event)

    def _show(self, trial):
        if trial.error:
            return False
        return Markup().join(
            self.env["ir.qweb"]._render(MESSAGE_VIEW, {"message": message, "counts": True})
            for message in asdict(trial)["messages"]
        )

    def _preview(self, trial):
        if trial.error:
            return _("The rule fails: %s", trial.error)
        if not trial.messages:
            return _("Nothing would be sent: the record does not meet the conditions of the rule.")
        return "\n\n".join(map(self._preview_message, trial.messages))

    def _preview_message(self, message):
        who = f"{message.who} ({message.address or '–'})"
        if message.outcome == "held":
            return _("%(who)s: left out. %(reason)s", who=who, reason=message.reason)
        if message.outcome == "fail":
            return _("%(who)s: would fail. %(reason)s", who=who, reason=message.reason)
        if message.channel == EMAIL:
            return _(
                "%(who)s, by e-mail:\n%(subject)s\n\n%(text)s",
                who=who,
                subject=message.subject,
                text=message.text,
            )
        providers = " → ".join([message.provider, *message.fallbacks])
        return _("%(who)s, by %(providers)s:\n%(text)s", who=who, providers=providers, text=message.text)
