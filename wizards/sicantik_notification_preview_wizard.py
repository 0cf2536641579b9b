from odoo import _, api, fields, models
from odoo.exceptions import UserError
from odoo.tools import html2plaintext

from ..compat import check_access
from ..models.road import EMAIL, Refusal
from ..models.sicantik_notification_evaluation import Event, Failure
from ..models.sicantik_notification_queue import ADDRESS
from ..models.sicantik_whatsapp_dispatcher import Request


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
    preview_text = fields.Text(string="Result", readonly=True)

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
        self.preview_text = self._preview(record.sudo(), self.rule_id.sudo())
        return {
            "type": "ir.actions.act_window",
            "name": _("Preview"),
            "res_model": self._name,
            "res_id": self.id,
            "view_mode": "form",
            "target": "new",
        }

    def _preview(self, record, rule):
        trouble = Failure()
        event = Event("preview", new_state=record["state"] if "state" in record._fields else None)
        rows = []
        with rule._fence(f"preview of rule {rule.id}", undo=True) as failure:
            matched = rule._matching(record, {record.id: event}, trouble)
            rows = rule._prepare_rows(matched, {record.id: event}, trouble)
        problem = failure.error or trouble.error
        if problem:
            return _("The rule fails: %s", problem)
        if not rows and trouble.held_back:
            return _("Nothing would be sent: everybody was told already, which the rule does not repeat yet.")
        if not rows:
            return _("Nothing would be sent: the record does not meet the conditions of the rule.")
        told = self.env["sicantik.notification.queue"].sudo()._told(rows)
        return "\n\n".join(self._preview_row(row, row["event_key"] in told) for row in rows)

    def _preview_row(self, row, told):
        partner = self.env["res.partner"].sudo().browse(row.get("partner_id"))
        who = f"{partner.display_name or '–'} ({row.get(ADDRESS[row['channel']]) or '–'})"
        if told:
            return _("%s: was told already, and the rule tells once.", who)
        if row["state"] == "skipped":
            return _("%(who)s: left out. %(reason)s", who=who, reason=row["error_message"])
        if row["channel"] == EMAIL:
            return self._preview_email(row, partner, who)
        queue_row = self.env["sicantik.notification.queue"].new({"context_values": row["context_values"]})
        request = Request(
            0,
            row["phone"],
            partner.whatsapp_opt_in,
            partner.whatsapp_window_open,
            row["company_id"],
            template_key=row["template_key"] or "",
            context=queue_row._context_dict(),
        )
        plan = self.env["sicantik.whatsapp.dispatcher"]._plan([request])[0]
        if isinstance(plan, Refusal):
            return _("%(who)s: would fail. %(reason)s", who=who, reason=plan.error_message)
        providers = (
            self.env["sicantik.whatsapp.provider"].sudo().browse([route.provider_id for route in plan])
        )
        return _(
            "%(who)s, by %(providers)s:\n%(text)s",
            who=who,
            providers=" → ".join(providers.mapped("name")),
            text=plan[0].message.text,
        )

    def _preview_email(self, row, partner, who):
        mails = self.env["sicantik.notification.mail"].sudo()
        rule = self.rule_id.sudo()
        template = mails._template(rule.mail_template_id.id, row["company_id"], partner.lang)
        composed = {}
        with rule._fence(f"e-mail template {template.id}", undo=True) as failure:
            composed = mails._compose(template, [row["res_id"]])
        if failure.error:
            return _("%(who)s: would fail. %(reason)s", who=who, reason=failure.error)
        mail = composed[row["res_id"]]
        return _(
            "%(who)s, by e-mail:\n%(subject)s\n\n%(text)s",
            who=who,
            subject=mail["subject"],
            text=html2plaintext(mail["body_html"] or ""),
        )
