from odoo import api, fields, models

from .sicantik_notification_compose_wizard import OUTCOMES, Outlook


class SicantikNotificationComposeLine(models.TransientModel):
    """One record of “Send WhatsApp”, who is written to about it, and what would become of the message."""

    _name = "sicantik.notification.compose.line"
    _description = "Recipient of Send WhatsApp"

    wizard_id = fields.Many2one("sicantik.notification.compose.wizard", required=True, ondelete="cascade")
    res_id = fields.Integer(string="Record ID", required=True)
    record_name = fields.Char(string="Record", compute="_compute_record_name")
    partner_id = fields.Many2one("res.partner", string="Recipient")
    phone = fields.Char(string="Number", compute="_compute_outcome")
    outcome = fields.Selection(OUTCOMES, string="Outlook", compute="_compute_outcome")
    error_class = fields.Char(compute="_compute_outcome")
    reason = fields.Char(compute="_compute_outcome")
    provider_name = fields.Char(string="Provider", compute="_compute_outcome")
    preview = fields.Text(compute="_compute_outcome")

    @api.depends("res_id", "wizard_id.res_model")
    def _compute_record_name(self):
        for wizard in self.wizard_id:
            lines = self.filtered(lambda line, of=wizard: line.wizard_id == of)
            names = {record.id: record.display_name for record in wizard._records()}
            for line in lines:
                line.record_name = names.get(line.res_id, False)

    @api.depends("res_id", "partner_id", "wizard_id.message_type", "wizard_id.template_id", "wizard_id.body")
    def _compute_outcome(self):
        for wizard in self.wizard_id:
            lines = self.filtered(lambda line, of=wizard: line.wizard_id == of)
            targets = wizard._targets_of(lines)
            outlooks = wizard._outlooks(targets)
            for line, (_record, partner), outlook in zip(lines, targets, outlooks, strict=True):
                line.phone = partner.whatsapp_e164
                line.outcome = outlook.outcome
                line.error_class = outlook.error_class
                line.reason = outlook.reason
                line.provider_name = outlook.provider
                line.preview = outlook.text

    def _outlook(self):
        """Give the computed outlook of a line."""
        self.ensure_one()
        return Outlook(
            self.outcome,
            self.error_class or "",
            self.reason or "",
            self.provider_name or "",
            self.preview or "",
        )
