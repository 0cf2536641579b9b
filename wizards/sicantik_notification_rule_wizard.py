from odoo import _, api, fields, models


class SicantikNotificationRuleWizard(models.TransientModel):
    """Make the rule of a scenario."""

    _name = "sicantik.notification.rule.wizard"
    _description = "New Rule from Template"

    scenario_id = fields.Many2one("sicantik.notification.scenario", required=True, ondelete="cascade")
    summary = fields.Text(related="scenario_id.summary")
    name = fields.Char(
        string="Rule Name",
        compute="_compute_name",
        store=True,
        readonly=False,
        required=True,
        precompute=True,
    )
    switch_on = fields.Boolean(help="Messages go out from the next event on. Off: look at it first.")
    notice = fields.Text(compute="_compute_notice")

    @api.depends("scenario_id")
    def _compute_name(self):
        for wizard in self:
            wizard.name = wizard.scenario_id.name

    @api.depends("scenario_id")
    def _compute_notice(self):
        """Say which rules do the same already."""
        for wizard in self:
            rules = wizard.scenario_id.rule_ids
            names = ", ".join(f"“{name}”" for name in rules.mapped("name"))
            if any(rules.mapped("active")):
                wizard.notice = _(
                    "There is a rule for this already, and it is switched on: %s. With a second one people "
                    "would be told twice.",
                    names,
                )
            elif rules:
                wizard.notice = _(
                    "There is a rule for this already, but it is switched off: %s. You may switch that one "
                    "on instead.",
                    names,
                )
            else:
                wizard.notice = False

    def action_create(self):
        """Make the rule and open it.

        :raise AccessError: the user is no notification manager
        """
        self.ensure_one()
        self.env["sicantik.notification.access"]._check_manager()
        rule = self.scenario_id._make(self.name, self.switch_on)
        return {
            "type": "ir.actions.act_window",
            "res_model": rule._name,
            "res_id": rule.id,
            "views": [(False, "form")],
        }

    def action_open_rules(self):
        """Open the rules that do the same already."""
        self.ensure_one()
        return {
            "type": "ir.actions.act_window",
            "name": _("Rules"),
            "res_model": "sicantik.notification.rule",
            "views": [(False, "list"), (False, "form")],
            "domain": [("id", "in", self.scenario_id.rule_ids.ids)],
            "context": {"active_test": False},
        }
