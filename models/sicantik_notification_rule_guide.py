from odoo import _, api, fields, models

from .road import EMAIL
from .sicantik_notification_trigger_guide import first_complaint

TEMPLATES = "sicantik.whatsapp.template.master"
# What the sentence of a rule speaks of.
SAID = [
    *("active", "trigger_id.summary", "condition_domain", "condition_python", "channel", "template_key"),
    *("template_master_id", "mail_template_id", "recipient_type", "recipient_field", "staff_group_id"),
    *("official_group_id", "require_opt_in", "respect_blacklist", "schedule_type", "scheduled_delay"),
    *("batch_size", "batch_interval", "urgent", "quiet_hours", "sending_from", "sending_to"),
    *("repeat_policy", "cooldown_hours", "rate_limit_enabled", "rate_limit_count", "rate_limit_period"),
]


class SicantikNotificationRuleGuide(models.Model):
    """What helps people with the form of a rule: what it does in words, what is wrong with it and what to do
    then.
    """

    _inherit = "sicantik.notification.rule"

    summary = fields.Text(string="In Words", compute="_compute_summary")
    has_template = fields.Boolean(compute="_compute_has_template")
    advice = fields.Text(string="What to Do", compute="_compute_advice")

    # === COMPUTES ===#

    @api.depends_context("lang")
    @api.depends(*SAID)
    def _compute_summary(self):
        wording = self.env["sicantik.notification.wording"]
        for rule in self:
            rule.summary = wording._say_rule(rule)

    @api.depends("channel", "template_key", "template_master_id")
    def _compute_has_template(self):
        """Whether the template is there that WhatsApp messages are made of; e-mail needs none."""
        for rule in self:
            rule.has_template = rule.channel == EMAIL or bool(
                self._templates_for(rule.template_key) if rule.template_key else False
            )

    @api.depends_context("lang")
    @api.depends("last_error", "condition_domain", "recipient_type", "recipient_domain", "recipient_field")
    def _compute_advice(self):
        for rule in self:
            rule.advice = rule._say_advice() if rule.last_error else False

    def _say_advice(self):
        """Say what to do about the last error."""
        wrong = self._what_is_wrong()
        if wrong:
            return wrong
        if (self.condition_python or "").strip() or (self.context_preparation_code or "").strip():
            return _(
                "Look at the Python of the rule: the condition (tab Conditions) and the context code (tab "
                "Context Values). A Settings administrator may correct it. Then try it on a record."
            )
        return _(
            "Nothing is wrong with the rule as it is written now. Try it on a record; when that goes well, "
            "mark it as mended."
        )

    def _what_is_wrong(self):
        """Look for what cannot work, as it is written now.

        :return: a sentence, None when there is nothing
        """
        self.ensure_one()
        if self.env.get(self.model_name) is None:
            return _("The model of its trigger is not installed any more. Choose another trigger.")
        checks = [self._check_domains, self._check_recipient_field]
        return first_complaint([*checks, self._check_mail_template])

    @api.onchange("recipient_field", "recipient_type", "trigger_id")
    def _onchange_recipient_field(self):
        """Say at once when a path leads nowhere; when it is saved it is refused."""
        if self.recipient_type == "field" and self.recipient_field and self.trigger_id:
            complaint = first_complaint([self._check_recipient_field])
            if complaint:
                return {"warning": {"title": _("Recipients"), "message": complaint}}
        return None

    # === ACTIONS ===#

    def action_try(self):
        """Open “Try It On…” for this rule.

        :raise AccessError: the user is no notification user
        """
        self.ensure_one()
        self.env["sicantik.notification.access"]._check_user()
        return self.env["sicantik.notification.try.wizard"]._open(self.trigger_id, self)

    def action_mark_mended(self):
        """Take back the last error, in the journal, where it stays to be read.

        :raise AccessError: the user is no notification manager
        """
        self.env["sicantik.notification.access"]._check_manager()
        journal = self.env["sicantik.notification.execution"].sudo()
        failing = self.filtered("last_error")
        journal._write_rows([journal._row(rule.trigger_id, rule=rule) for rule in failing])
        return True

    def action_make_template(self):
        """Open a new master template with the key that the rule asks for.

        :raise AccessError: the user is no notification manager
        """
        self.ensure_one()
        self.env["sicantik.notification.access"]._check_manager()
        return {
            "type": "ir.actions.act_window",
            "name": _("Master Templates"),
            "res_model": TEMPLATES,
            "views": [(False, "form")],
            "context": {"default_template_key": self.template_key},
        }
