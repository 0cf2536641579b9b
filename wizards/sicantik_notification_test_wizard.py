import json

from odoo import _, api, fields, models
from odoo.exceptions import UserError


class SicantikNotificationTestWizard(models.TransientModel):
    """Send one message now, by the road that the rule's messages take (seed 2, section 7.3)."""

    _name = "sicantik.notification.test.wizard"
    _description = "Test Send"

    rule_id = fields.Many2one("sicantik.notification.rule")
    partner_id = fields.Many2one(
        "res.partner", string="Recipient", required=True, default=lambda self: self.env.user.partner_id
    )
    template_key = fields.Char(
        compute="_compute_template_key", store=True, readonly=False, required=True, precompute=True
    )
    # With the rights of the user: it shows the recipient's name.
    context_values = fields.Text(
        compute="_compute_context_values",
        compute_sudo=False,
        store=True,
        readonly=False,
        precompute=True,
        help="The parameters as a JSON object.",
    )
    provider_id = fields.Many2one("sicantik.whatsapp.provider", help="Empty: chosen as for any message.")
    result = fields.Text(readonly=True)

    @api.depends("rule_id")
    def _compute_template_key(self):
        for wizard in self:
            wizard.template_key = wizard.rule_id.template_key or wizard.template_key

    @api.depends("template_key", "partner_id")
    def _compute_context_values(self):
        """Offer a value for every parameter: the recipient's name, and the parameter's own name in
        brackets.
        """
        for wizard in self:
            templates = self.env["sicantik.notification.rule"]._templates_for(wizard.template_key)
            names = [name for template in templates for name in template._parameter_names()]
            values = {name: f"[{name}]" for name in names}
            if "partner_name" in values and wizard.partner_id:
                values["partner_name"] = wizard.partner_id.name
            wizard.context_values = json.dumps(values, ensure_ascii=False, indent=2)

    def action_send_test(self):
        """Send the message now and show what came of it; the delivery log has it too.

        :raise AccessError: the user is no notification user
        :raise UserError: the rule sends no WhatsApp messages, the parameters are no JSON object, or there is
            no such template
        """
        self.ensure_one()
        queue = self.env["sicantik.notification.queue"]
        queue._check_may_run()
        if self.rule_id.channel == "email":
            raise UserError(
                _(
                    "“%s” sends e-mail only. Look at the e-mail with the button Preview of the rule.",
                    self.rule_id.name,
                )
            )
        row = queue.new({"context_values": self.context_values or "{}"})
        sent = self.env["sicantik.whatsapp.dispatcher"]._send_template(
            self.template_key, self.partner_id, row._context_dict(), provider=self.provider_id
        )
        if sent["success"]:
            self.result = _(
                "Sent by %(provider)s. %(id)s", provider=sent["provider"], id=sent["message_id"] or ""
            )
        else:
            self.result = _("Not sent: %s", sent["error"])
        if sent.get("fallback_used"):
            self.result += "\n" + _(
                "Before that, %(provider)s refused: %(error)s",
                provider=sent["original_provider"],
                error=sent["original_error"],
            )
        return {
            "type": "ir.actions.act_window",
            "name": _("Test Send"),
            "res_model": self._name,
            "res_id": self.id,
            "view_mode": "form",
            "target": "new",
        }
