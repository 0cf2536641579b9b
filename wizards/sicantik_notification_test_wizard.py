import json

from odoo import _, api, fields, models
from odoo.exceptions import UserError, ValidationError

from ..compat import check_access
from ..models.opening import open_dialog, open_list
from ..models.road import Refusal
from ..models.sicantik_notification_evaluation import Event
from ..models.sicantik_notification_queue import DOCUMENT, PERMIT

QUEUE = "sicantik.notification.queue"
LOG = "sicantik.notification.log"
RULE = "sicantik.notification.rule"
TEMPLATE = "sicantik.whatsapp.template.master"


class SicantikNotificationTestWizard(models.TransientModel):
    """Send one message now, by the road that the rule's messages take (seed 2, section 7.3).

    It opens from a rule, a template, a permit or document, or a message of the queue, and takes over what
    that says, but for the recipient: a test goes to whoever makes it, until another one is chosen. The text
    and the provider are shown before anything is sent.
    """

    _name = "sicantik.notification.test.wizard"
    _description = "Test Send"

    rule_id = fields.Many2one("sicantik.notification.rule")
    partner_id = fields.Many2one(
        "res.partner", string="Recipient", required=True, default=lambda self: self.env.user.partner_id
    )
    template_key = fields.Char(
        compute="_compute_template_key", store=True, readonly=False, required=True, precompute=True
    )
    # The permit, document or message whose values are offered.
    res_model = fields.Char(string="Model", readonly=True)
    res_id = fields.Integer(string="Record ID", readonly=True)
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
    preview = fields.Text(compute="_compute_preview", compute_sudo=False)
    outlook = fields.Char(compute="_compute_preview", compute_sudo=False)
    result = fields.Text(readonly=True)
    outcome = fields.Selection([("sent", "Sent"), ("failed", "Not Sent")], readonly=True)
    advice = fields.Char(string="What to Do", readonly=True)

    @api.model
    def default_get(self, fields_list):
        """Take over what the record says that is open: a rule, template, permit, document or message."""
        values = super().default_get(fields_list)
        model, id_ = self.env.context.get("active_model"), self.env.context.get("active_id")
        if not id_ or model not in (RULE, TEMPLATE, PERMIT, DOCUMENT, QUEUE):
            return values
        record = self.env[model].browse(id_).exists()
        if not record:
            return values
        check_access(record, "read")
        if model == RULE:
            taken = {"rule_id": record.id}
        elif model == TEMPLATE:
            taken = {"template_key": record.template_key}
        else:
            taken = {"res_model": model, "res_id": record.id}
            if model == QUEUE:
                taken["template_key"] = record.template_key
        for name, value in taken.items():
            if value and name in fields_list and f"default_{name}" not in self.env.context:
                values[name] = value
        return values

    # === COMPUTES ===#

    @api.depends("rule_id")
    def _compute_template_key(self):
        for wizard in self:
            wizard.template_key = wizard.rule_id.template_key or wizard.template_key

    @api.depends("template_key", "partner_id", "res_model", "res_id")
    def _compute_context_values(self):
        """Offer a value for every parameter: what the record's applicant would read, when there is a record,
        or what the message says; else the recipient's name, and the samples of the template.
        """
        for wizard in self:
            templates = self.env[RULE]._templates_for(wizard.template_key)
            values = {name: text for template in templates for name, text in template._samples().items()}
            if "partner_name" in values and wizard.partner_id:
                values["partner_name"] = wizard.partner_id.name
            values.update(wizard._values_of_record(templates))
            wizard.context_values = json.dumps(values, ensure_ascii=False, indent=2)

    def _values_of_record(self, templates):
        """Give what the default mapping says of the permit or document, or what the message says as long as
        its template is the one that is tested: {parameter: text}.
        """
        if self.res_model not in (PERMIT, DOCUMENT, QUEUE) or not templates:
            return {}
        record = self.env[self.res_model].browse(self.res_id).exists()
        if not record:
            return {}
        check_access(record, "read")
        if self.res_model == QUEUE:
            is_same = record.template_key == self.template_key
            return record._read_context(record.context_values) if is_same else {}
        record = record.sudo()
        fill = self.env["sicantik.notification.context"]._for_templates(templates, record)
        values = fill(record, record.partner_id, Event("test", new_state=record.state))
        return {name: value for name, value in values.items() if value}

    @api.depends("template_key", "context_values", "partner_id", "provider_id")
    def _compute_preview(self):
        """Show the text and who would send it, as far as that is known before it is tried."""
        for wizard in self:
            wizard.preview = wizard.outlook = False
            if not wizard.template_key or not wizard.partner_id:
                continue
            try:
                plan = wizard._plan()
            except ValidationError as error:
                wizard.outlook = str(error)
                continue
            if isinstance(plan, Refusal):
                wizard.outlook = plan.error_message
                continue
            names = {
                provider.id: provider.name
                for provider in self.env["sicantik.whatsapp.provider"]
                .sudo()
                .browse(route.provider_id for route in plan)
            }
            wizard.preview = plan[0].message.text
            wizard.outlook = _("By %s", " → ".join(dict.fromkeys(names[route.provider_id] for route in plan)))

    def _plan(self):
        """Give the ways of the message, or the Refusal.

        :raise ValidationError: the parameters are no JSON object
        """
        context = self.env[QUEUE]._read_context(self.context_values or "{}")
        partner = self.partner_id._origin
        check_access(partner, "read")
        dispatcher = self.env["sicantik.whatsapp.dispatcher"].sudo()
        company = partner.sudo().company_id or self.env.company
        request = dispatcher._request(
            partner.sudo(), company, template_key=self.template_key, context=context
        )
        return dispatcher._plan([request], provider=self.provider_id._origin)[0]

    # === ACTIONS ===#

    def action_send_test(self):
        """Send the message now and show what came of it; the delivery log has it too.

        :raise AccessError: the user is no notification user
        :raise UserError: the rule sends no WhatsApp messages, the parameters are no JSON object, or there is
            no such template
        """
        self.ensure_one()
        queue = self.env[QUEUE]
        queue._check_may_run()
        if self.rule_id.channel == "email":
            raise UserError(
                _(
                    "“%s” sends e-mail only. Look at the e-mail with the button Preview of the rule.",
                    self.rule_id.name,
                )
            )
        context = queue._read_context(self.context_values or "{}")
        sent = self.env["sicantik.whatsapp.dispatcher"]._send_template(
            self.template_key, self.partner_id, context, provider=self.provider_id
        )
        self.outcome = "sent" if sent["success"] else "failed"
        self.advice = False
        if sent["success"]:
            self.result = _(
                "Sent by %(provider)s. %(id)s", provider=sent["provider"], id=sent["message_id"] or ""
            )
        else:
            self.result = _("Not sent: %s", sent["error"])
            self.advice = self.env["sicantik.notification.mending"]._advice(sent["error_class"])[0]
        if sent.get("fallback_used"):
            self.result += "\n" + _(
                "Before that, %(provider)s refused: %(error)s",
                provider=sent["original_provider"],
                error=sent["original_error"],
            )
        return open_dialog(_("Test Send"), self._name, self.id)

    def action_open_log(self):
        """Open the log of what was sent to this recipient, the newest first."""
        self.ensure_one()
        return open_list(_("Delivery Log"), LOG, [("partner_id", "=", self.partner_id.id)])
