from odoo import _, api, fields, models
from odoo.exceptions import UserError

from .opening import open_dialog

TRIGGERS, RULES = "sicantik.notification.trigger", "sicantik.notification.rule"


class SicantikNotificationScenario(models.Model):
    """A rule that offices usually want, ready to be made: the seven scenarios of seed 3. Other addons add
    theirs as data.

    `trigger_values` and `rule_values` are values of fields, but for `date_field` (the name of a field) and
    `hour` (the o'clock of the first run of a `cron` trigger).
    """

    _name = "sicantik.notification.scenario"
    _description = "Notification Scenario"
    _order = "sequence, id"

    name = fields.Char(required=True, translate=True)
    description = fields.Text(translate=True)
    sequence = fields.Integer(default=10)
    icon = fields.Char(help="Of Font Awesome, such as fa-bell.")
    model_name = fields.Char(required=True)
    trigger_code = fields.Char(required=True)
    trigger_name = fields.Char(required=True, translate=True)
    trigger_values = fields.Json(required=True)
    rule_values = fields.Json(required=True)
    summary = fields.Text(string="In Words", compute="_compute_summary")
    rule_ids = fields.Many2many(
        RULES, string="Rules", compute="_compute_rule_ids", context={"active_test": False}
    )
    rule_count = fields.Integer(compute="_compute_rule_ids")
    is_used = fields.Boolean(
        string="In Use", compute="_compute_rule_ids", help="A rule of it is switched on."
    )

    # === COMPUTES ===#

    @api.depends_context("lang")
    @api.depends("trigger_code", "rule_values")
    def _compute_summary(self):
        wording = self.env["sicantik.notification.wording"]
        for scenario in self:
            trigger = scenario._trigger() or self.env[TRIGGERS].new(scenario._prepare_trigger())
            rule = self.env[RULES].new({**scenario._prepare_rule(), "trigger_id": trigger})
            said = (
                wording._say_message(rule, wording._say_event(trigger)),
                wording._say_conditions(rule),
                wording._say_repeats(rule),
            )
            scenario.summary = " ".join(filter(None, said))

    @api.depends("trigger_code", "rule_values")
    def _compute_rule_ids(self):
        """Find the rules that do the same: same trigger, template and recipients."""
        rules = self.env[RULES].with_context(active_test=False)
        rules = rules.search([("trigger_code", "in", self.mapped("trigger_code"))])
        for scenario in self:
            scenario.rule_ids = rules.filtered(scenario._is_made_of)
            scenario.rule_count = len(scenario.rule_ids)
            scenario.is_used = any(scenario.rule_ids.mapped("active"))

    def _is_made_of(self, rule):
        values = self._prepare_rule()
        same = ("template_key", "recipient_type", "recipient_field")
        return rule.trigger_code == self.trigger_code and all(
            (rule[name] or False) == values.get(name, False) for name in same
        )

    # === MAKING ===#

    def _trigger(self):
        """Give the trigger of a scenario, also one that is switched off; empty when there is none."""
        self.ensure_one()
        triggers = self.env[TRIGGERS].with_context(active_test=False)
        return triggers.search([("code", "=", self.trigger_code)])

    def _prepare_trigger(self):
        values = dict(self.trigger_values or {})
        model = self.env["ir.model"]._get(self.model_name)
        date_field, hour = values.pop("date_field", None), values.pop("hour", None)
        if date_field:
            values["date_field_id"] = self.env["ir.model.fields"]._get(self.model_name, date_field).id
        if hour is not None:
            values["next_run"] = self.env[TRIGGERS]._upcoming(hour)
        return {"name": self.trigger_name, "code": self.trigger_code, "model_id": model.id, **values}

    def _prepare_rule(self):
        return {"recipient_type": "partner", **(self.rule_values or {})}

    def _make(self, name, active):
        """Make the rule of a scenario, and its trigger if that is missing.

        :param str name: of the rule
        :param bool active: whether the rule is switched on; its trigger is then, too
        :return: the rule
        :raise UserError: the trigger's code belongs to a trigger for another model
        """
        self.ensure_one()
        trigger = self._trigger() or self.env[TRIGGERS].create(self._prepare_trigger())
        if trigger.model_name != self.model_name:
            raise UserError(
                _(
                    "The trigger “%(trigger)s” has the code %(code)s, but is for another model. Give it "
                    "another code, or create the rule by hand.",
                    trigger=trigger.name,
                    code=trigger.code,
                )
            )
        if active and not trigger.active:
            trigger.active = True
        return self.env[RULES].create(
            {
                **self._prepare_rule(),
                "name": name or self.name,
                "description": self.description,
                "trigger_id": trigger.id,
                "active": active,
            }
        )

    # === ACTIONS ===#

    def action_use(self):
        """Ask for the name of the new rule and whether it is switched on.

        :raise AccessError: the user is no notification manager
        """
        self.ensure_one()
        self.env["sicantik.notification.access"]._check_manager()
        return open_dialog(
            _("New Rule from Template"),
            "sicantik.notification.rule.wizard",
            context={"default_scenario_id": self.id},
        )
