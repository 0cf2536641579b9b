from odoo import _, api, fields, models
from odoo.exceptions import UserError

from ..compat import check_access
from ..models.opening import open_dialog
from ..models.sicantik_notification_evaluation import Event

# What evaluating a domain raises that somebody has written wrong.
FAULTS = (ValueError, SyntaxError, NameError, TypeError, KeyError)
VIEW = "sicantik_notification_automation.sicantik_notification_try_wizard_result"


class SicantikNotificationTryWizard(models.TransientModel):
    """“Try It On…”: what a trigger and its rules would do for a record, and for each “no” the reason.

    `outcome` is a `Trial` as JSON, `result` shows it. Nothing happens: see `sicantik.notification.trial`.
    """

    _name = "sicantik.notification.try.wizard"
    _description = "Try It On…"

    trigger_id = fields.Many2one(
        "sicantik.notification.trigger", required=True, readonly=True, ondelete="cascade"
    )
    rule_id = fields.Many2one("sicantik.notification.rule", readonly=True, ondelete="cascade")
    trigger_type = fields.Selection(related="trigger_id.trigger_type")
    state_choices = fields.Json(related="trigger_id.state_choices")
    resource_ref = fields.Reference(selection="_select_model", string="Record")
    old_state = fields.Char(string="From")
    new_state = fields.Char(string="To")
    outcome = fields.Json(readonly=True)
    result = fields.Html(compute="_compute_result", sanitize=False)

    @api.model
    def _select_model(self):
        return [(model.model, model.name) for model in self.env["ir.model"].sudo().search([])]

    @api.depends_context("lang")
    @api.depends("outcome")
    def _compute_result(self):
        for wizard in self:
            wizard.result = (
                self.env["ir.qweb"]._render(VIEW, {"trial": wizard.outcome}) if wizard.outcome else False
            )

    # === OPENING ===#

    @api.model
    def _open(self, trigger, rule=None):
        """Open the dialog, with a record that is likely to be wanted already tried.

        :param trigger: one trigger
        :param rule: the rule of it that is of interest; all of them when None
        :return: an action
        :rtype: dict
        :raise AccessError: the user is no notification user
        """
        self.env["sicantik.notification.access"]._check_user()
        wizard = self.create({"trigger_id": trigger.id, "rule_id": rule.id if rule else False})
        record = wizard._likely_record()
        if record:
            wizard.resource_ref = f"{record._name},{record.id}"
            wizard.outcome = wizard._play()
        return wizard._action()

    def _action(self):
        self.ensure_one()
        return open_dialog(_("Try It On…"), self._name, self.id, context={"dialog_size": "large"})

    def _likely_record(self):
        """Find the newest record that trigger and rule are for, else the newest one that the user may read.

        :return: a record, or an empty recordset; None when the model is not there
        """
        model = self.env.get(self.trigger_id.model_name or "")
        if model is None:
            return None
        check_access(model, "read")
        texts = (self.trigger_id.condition_domain, self.rule_id.condition_domain)
        try:
            values = self.trigger_id._domain_values(event=Event(""))
            domain = [term for text in texts for term in self.trigger_id._eval_domain(text, values)]
            found = model.search(domain, order="id desc", limit=1)
        except FAULTS:
            found = model.browse()  # what is wrong is said when it is tried
        return found or model.search([], order="id desc", limit=1)

    def _guess_states(self, record):
        """Offer a change of the status that trigger and rule are for."""
        if self.trigger_type != "on_state_change":
            return
        trigger = self.trigger_id
        name = trigger.state_field
        field = record._fields.get(name)
        if field is None:
            return
        current = str(record[name].id if field.relational else record[name] or "")
        known = [one["value"] for one in self.state_choices or ()]
        new = _first(trigger.state_to) or self._state_of_condition(name) or current
        olds = [*(_split(trigger.state_from) or [current, *known])]
        self.new_state = new
        self.old_state = current if current in olds and current != new else _other(olds, new)

    @api.onchange("resource_ref")
    def _onchange_resource_ref(self):
        if self.resource_ref and self.resource_ref._name == self.trigger_id.model_name:
            self._guess_states(self.resource_ref)

    def _state_of_condition(self, name):
        """Give the first status that the rule's own condition asks for; None when it names none."""
        rule = self.rule_id
        try:
            domain = rule._eval_domain(rule.condition_domain, rule._domain_values(event=Event("")))
        except FAULTS:
            return None
        for term in domain:
            if isinstance(term, list | tuple) and term[0] in (name, "state", "status") and term[2]:
                if term[1] in ("=", "in"):
                    value = term[2] if term[1] == "=" else next(iter(term[2]))
                    return str(value)
        return None

    # === TRYING ===#

    def action_try(self):
        """Try it on the record that is chosen.

        :raise AccessError: the user is no notification user, or may not read the record
        :raise UserError: there is no such record, or it is of another model
        """
        self.ensure_one()
        self.outcome = self._play()
        return self._action()

    def _play(self):
        self.env["sicantik.notification.access"]._check_user()
        record = self.resource_ref and self.resource_ref.exists()
        if not record:
            raise UserError(_("Choose the record to try it on."))
        if record._name != self.trigger_id.model_name:
            raise UserError(
                _(
                    "The trigger “%(trigger)s” is for “%(model)s”. Choose a record of that kind.",
                    trigger=self.trigger_id.name,
                    model=self.trigger_id.model_id.name,
                )
            )
        check_access(record, "read")
        if not (self.old_state or self.new_state):
            self._guess_states(record)
        trial = self.env["sicantik.notification.trial"]._try(
            self.trigger_id, record, self.rule_id or None, self.old_state, self.new_state
        )
        return {
            **trial.as_dict(),
            "headline": self._headline(trial),
            "headline_verdict": bool(trial.count_messages()),
        }

    def _headline(self, trial):
        """Say the outcome in one line."""
        count = trial.count_messages()
        if count:
            return (
                _("Yes: %s messages would go out.", count)
                if count > 1
                else _("Yes: one message would go out.")
            )
        if not trial.fires:
            return _("No: the trigger would not fire.")
        if not trial.rules:
            return _("No: the trigger has no rules yet.")
        if not any(rule.applies for rule in trial.rules):
            return _("No: no rule would apply.")
        return _("No: nobody would be written to.")


def _split(text):
    return [part.strip() for part in (text or "").split(",") if part.strip()]


def _first(text):
    return next(iter(_split(text)), None)


def _other(values, value):
    return next((one for one in values if one != value), False)
