import re

from odoo import _, api, fields, models
from odoo.exceptions import UserError

from ..compat import check_access
from ..models.sicantik_notification_access import MANAGER
from ..models.sicantik_notification_rule_call import MOST

# Targets that are looked at while somebody waits for the window. Of more, the numbers are estimates.
LOOK_AT = 1000
# What is shown while the window is filled in, and on what it depends.
SHOWN = (
    *("target_count", "send_count", "skip_count", "fail_count", "left_out_count"),
    *("is_estimate", "outlook", "trouble"),
)
ASKED = {"rule_id", "template_id", "target_model", "target_domain"}


class SicantikNotificationSelectionWizard(models.TransientModel):
    """Send to records that were selected in a list: as a campaign, or at once by a rule that people run.

    It says beforehand how many messages would leave, and why others would not, by the dry run of the very
    campaign that it would make.
    """

    _name = "sicantik.notification.selection.wizard"
    _description = "Send to Selected Records"

    target_model = fields.Char(required=True)
    target_domain = fields.Char(required=True, default="[]")
    selected_count = fields.Integer(string="Selected", help="0: the domain is to be written here.")
    rule_id = fields.Many2one(
        "sicantik.notification.rule",
        domain="[('model_name', '=', target_model)]",
        context={"active_test": False},
        help="Says who hears it and how. Rules that are switched off may be used, too.",
    )
    template_id = fields.Many2one(
        "sicantik.whatsapp.template.master",
        help="Instead of the rule's. Without a rule, the message goes to the applicants, or to the contacts "
        "themselves.",
    )
    name = fields.Char(string="Campaign Name", required=True)
    scheduled_date = fields.Datetime(string="Send At", help="Empty: at once.")
    campaign_id = fields.Many2one("sicantik.notification.campaign", readonly=True)
    may_plan = fields.Boolean(compute="_compute_may")
    may_run = fields.Boolean(compute="_compute_may")

    # Filled by `onchange`, and for nobody but who looks at the window.
    target_count = fields.Integer(string="Targets", readonly=True)
    send_count = fields.Integer(string="Would Be Sent", readonly=True)
    skip_count = fields.Integer(string="Would Be Skipped", readonly=True)
    fail_count = fields.Integer(string="Would Fail", readonly=True)
    left_out_count = fields.Integer(
        string="Left Out", readonly=True, help="Archived or deleted, or of another company."
    )
    is_estimate = fields.Boolean(readonly=True)
    outlook = fields.Json(readonly=True)
    trouble = fields.Text(readonly=True)

    # === OPENING ===#

    @api.model
    def default_get(self, fields_list):
        """Take the selected records; all that the search finds, when even more than Odoo hands over were
        selected.
        """
        values = super().default_get(fields_list)
        context = self.env.context
        rule = self.env["sicantik.notification.rule"].browse(context.get("default_rule_id") or ()).exists()
        model = context.get("active_model")
        if rule and model == rule._name:  # opened from the rule
            values.setdefault("target_model", rule.model_name)
        elif model in self.env and "target_model" not in values:
            values.update(
                self._selected(model, context.get("active_ids") or [], context.get("active_domain"))
            )
        if rule and rule.model_name != values.get("target_model"):
            raise UserError(
                _(
                    "The rule “%s” is for other records than these. Remove it from this Action menu, or add "
                    "it again.",
                    rule.name,
                )
            )
        if "name" in fields_list and not values.get("name"):
            values["name"] = rule.name or self._default_name(values.get("target_model"))
        return values

    @api.model
    def _selected(self, model, ids, domain):
        records = self.env[model].browse(ids).exists()
        check_access(records, "read")
        limit = self.env["ir.config_parameter"].sudo().get_param("web.active_ids_limit", "20000")
        count, text = len(records), str([("id", "in", sorted(records.ids))])
        if domain and len(ids) >= int(limit):
            # Odoo has cut the list: what was meant is all that the search finds.
            count, text = self.env[model].search_count(domain), str(domain)
        return {"target_model": model, "target_domain": text, "selected_count": count}

    @api.model
    def _default_name(self, model):
        label = self.env["ir.model"]._get(model or "").sudo().name or ""
        return f"{label} – {fields.Date.to_string(fields.Date.context_today(self))}"

    @api.depends("rule_id", "template_id", "selected_count", "target_model")
    def _compute_may(self):
        is_manager = self.env.su or self.env.user.has_group(MANAGER)
        for wizard in self:
            rule = wizard.rule_id.sudo()
            wizard.may_plan = is_manager
            wizard.may_run = bool(
                rule.is_manual
                and rule.active
                and not wizard.template_id
                and wizard.selected_count <= MOST
                and rule.model_name == wizard.target_model
            )

    @api.onchange("rule_id")
    def _onchange_rule_id(self):
        if self.rule_id:
            self.name = self.rule_id.name

    @api.onchange("template_id")
    def _onchange_template_id(self):
        if self.template_id and not self.rule_id:
            self.name = self.template_id.name

    @api.onchange("target_domain")
    def _onchange_target_domain(self):
        """That this is here makes clients ask when the domain changes; `onchange` does the rest."""

    # === OUTLOOK ===#

    def onchange(self, values, field_names, fields_spec):
        """Add what would come of it. Not a computed field: a dry run undoes what it did and, with that, all
        that was read, so there must be nothing left to compute.

        :raise AccessError: the user is no notification user
        """
        self.env["sicantik.notification.access"]._check_user()
        result = super().onchange(values, field_names, fields_spec)
        shown = [name for name in SHOWN if name in fields_spec]
        if shown and (not field_names or ASKED.intersection(field_names)):
            values = {**values, **result.get("value", {})}
            asked = {name: self._plain_value(name, values) for name in (*ASKED, "selected_count")}
            outlook = self._look(**asked)
            result.setdefault("value", {}).update({name: outlook[name] for name in shown})
        return result

    def _plain_value(self, name, values):
        value = values[name] if name in values else self[name]
        if isinstance(value, models.BaseModel):
            return value.id
        return value.get("id") if isinstance(value, dict) else value

    @api.model
    def _look(self, target_model, target_domain, rule_id, template_id, selected_count):
        """Say what would come of it.

        :return: {name of a field in SHOWN: its value}
        :rtype: dict
        """
        empty = dict.fromkeys(SHOWN, 0) | {"is_estimate": False, "outlook": [], "trouble": False}
        if not target_model or not (rule_id or template_id):
            return empty
        # A record of its own in the database, as the button makes it, and undone.
        with self.env["sicantik.notification.evaluation"]._fence(
            "outlook of a selection", undo=True
        ) as failure:
            wizard = self.with_context(tracking_disable=True).create(
                {
                    "name": "-",
                    "target_model": target_model,
                    "target_domain": target_domain or "[]",
                    "rule_id": rule_id,
                    "template_id": template_id,
                    "selected_count": selected_count,
                }
            )
            campaign = wizard._make_campaign(look=True)
            total, examined, findings = self.env["sicantik.notification.dry.run"]._findings(campaign, LOOK_AT)
        if failure.error:
            # Without the time and the kind of error, which are for the log.
            text = _("This cannot be sent: %s", failure.error.split(": ", 2)[-1])
            return {**empty, "trouble": text}
        factor = total / examined if examined else 1
        return {
            "target_count": total,
            "send_count": round(findings.count("send") * factor),
            "skip_count": round(findings.count("skip") * factor),
            "fail_count": round(findings.count("fail") * factor),
            "left_out_count": max(selected_count - total, 0),
            "is_estimate": total > examined,
            "outlook": self._listing(findings),
            "trouble": False,
        }

    @api.model
    def _listing(self, findings):
        """Give the reasons as the window shows them: how many, why, for example whom."""
        kinds = self.env["sicantik.notification.dry.run.line"]._fields["kind"]
        labels = dict(kinds._description_selection(self.env))
        return [
            {"kind": kind, "label": labels[kind], "count": count, "text": text, "samples": samples}
            for kind, text, count, samples in findings.listed()
        ]

    # === DOING IT ===#

    def action_start(self):
        """Make the campaign and start it, or plan it for its date; then show it.

        :raise AccessError: the user may not make campaigns
        """
        campaign = self._own_campaign()
        if campaign.state == "draft":
            campaign.action_start()
        return self._open(campaign)

    def action_draft(self):
        """Make the campaign and leave it as a draft.

        :raise AccessError: the user may not make campaigns
        """
        return self._open(self._own_campaign())

    def _own_campaign(self):
        """Give the campaign of this window, made when a button is pressed first. Pressed twice, also at the
        same time (both write the window), it is one: with two, people would be told twice.
        """
        self.ensure_one()
        if not self.campaign_id:
            self.campaign_id = self._make_campaign()
        return self.campaign_id

    def action_run(self):
        """Send at once by a rule that people run, without a campaign.

        :raise AccessError: the user is no notification user, or may not read the records
        :raise UserError: this is not such a rule, or nothing could be sent; it says why
        """
        self.ensure_one()
        self.env["sicantik.notification.access"]._check_user()
        if not self.may_run:
            raise UserError(
                _(
                    "Only a rule with a manual trigger, which is switched on, can be run so. Make a campaign "
                    "of it."
                )
            )
        # Pressed twice, it sends once.
        result = self.rule_id._call(self._records(), f"selection:{self.id}")
        if result.get("reason"):
            raise UserError(_("Nothing was sent: %s", result["reason"]))
        ids = sorted(result["queue_ids"])
        return {
            "type": "ir.actions.act_window",
            "name": _("Messages"),
            "res_model": "sicantik.notification.queue",
            "views": [(False, "list"), (False, "form")],
            # Short for thousands of them; what others queued meanwhile is not among them.
            "domain": [("id", ">=", ids[0]), ("id", "<=", ids[-1]), ("rule_id", "=", self.rule_id.id)],
        }

    def _records(self):
        """Give the records, as far as the user may read them."""
        if self.target_model not in self.env:
            raise UserError(_("Open this from a list, with some records selected."))
        evaluation = self.env["sicantik.notification.evaluation"]
        evaluation._check_domain(self.target_domain, self.target_model, _("The target domain"))
        domain = evaluation._eval_domain(self.target_domain, evaluation._domain_values())
        return self.env[self.target_model].search(domain, order="id", limit=MOST + 1)

    def _make_campaign(self, look=False):
        """Make the campaign; of a user who may run the rule but send no campaigns, only to look at what would
        come of it, and of the records that the user may read.

        :param bool look: whether it is undone afterwards; never from the context, which callers choose
        """
        self.ensure_one()
        campaigns = self.env["sicantik.notification.campaign"]
        domain = self.target_domain
        if not self.may_plan and self.may_run and look:
            campaigns, domain = campaigns.sudo(), str([("id", "in", self._records().ids)])
        rule = self.rule_id or self._rule_of_template()
        own_key = self.template_id.template_key if self.rule_id else False
        return campaigns.create(
            {
                "name": self.name,
                "rule_id": rule.id,
                "target_model": self.target_model,
                "target_domain": domain,
                "template_key": own_key,
                "scheduled_date": self.scheduled_date,
            }
        )

    def _rule_of_template(self):
        """Give the rule that sends a template to the people behind records of a model; make it when there is
        none yet. Its trigger is manual: by itself it sends nothing.
        """
        if not self.template_id:
            raise UserError(_("Choose a rule, or a template."))
        rules, triggers = self.env["sicantik.notification.rule"], self.env["sicantik.notification.trigger"]
        code = "campaign_" + re.sub(r"\W", "_", self.target_model)
        trigger = triggers.with_context(active_test=False).search([("code", "=", code)])
        model = self.env["ir.model"]._get(self.target_model)
        trigger = trigger or triggers.create(
            {
                "name": _("Campaigns: %s", model.name),
                "code": code,
                "model_id": model.id,
                "trigger_type": "manual",
            }
        )
        key = self.template_id.template_key
        plain = [("channel", "=", "whatsapp"), ("recipient_type", "=", "partner")]
        rule = rules.search([("trigger_id", "=", trigger.id), ("template_key", "=", key), *plain], limit=1)
        return rule or rules.create(
            {"name": self.template_id.name, "trigger_id": trigger.id, "template_key": key}
        )

    @api.model
    def _open(self, campaign):
        return {
            "type": "ir.actions.act_window",
            "res_model": campaign._name,
            "res_id": campaign.id,
            "views": [(False, "form")],
        }
