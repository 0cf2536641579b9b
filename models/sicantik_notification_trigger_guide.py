from odoo import _, api, fields, models
from odoo.exceptions import AccessError, ValidationError

# Fields that are usually meant by a status; they are offered first.
USUAL_STATES = ("state", "status", "stage_id")
# Records that are offered when the status is a record.
MOST_CHOICES = 80
# What the sentence of a trigger speaks of.
SAID = [
    *("active", "model_id", "trigger_type", "field_to_watch", "state_field", "state_from", "state_to"),
    *("condition_domain", "cron_interval_number", "cron_interval_type", "next_run", "date_field_id"),
    "time_offsets",
]


class SicantikNotificationTriggerGuide(models.Model):
    """What helps people with the form of a trigger: what it does in words, what there is to choose from,
    what is wrong with it and what to do then.
    """

    _inherit = "sicantik.notification.trigger"

    summary = fields.Text(string="In Words", compute="_compute_summary")
    state_field_choices = fields.Json(compute="_compute_state_field_choices")
    state_choices = fields.Json(compute="_compute_state_choices")
    advice = fields.Text(string="What to Do", compute="_compute_advice")

    # === COMPUTES ===#

    @api.depends_context("lang", "tz")
    @api.depends(*SAID)
    def _compute_summary(self):
        wording = self.env["sicantik.notification.wording"]
        for trigger in self:
            trigger.summary = wording._say_trigger(trigger) if trigger.model_id else False

    @api.depends_context("lang")
    @api.depends("model_id")
    def _compute_state_field_choices(self):
        """Offer the fields whose changes can be noticed and that have a limited number of values."""
        for trigger in self:
            model = self.env.get(trigger.model_id.model or "")
            trigger.state_field_choices = trigger._fields_to_choose(model) if model is not None else []

    @api.model
    def _fields_to_choose(self, model):
        labels = model.fields_get(attributes=["string", "type"])
        names = [
            name
            for name, one in labels.items()
            if one["type"] in ("selection", "many2one") and self._sources(model._fields[name])
        ]

        def rank(name):
            usual = USUAL_STATES.index(name) if name in USUAL_STATES else len(USUAL_STATES)
            return usual, labels[name]["type"] != "selection", labels[name]["string"]

        return [{"value": name, "label": labels[name]["string"]} for name in sorted(names, key=rank)]

    @api.depends_context("lang")
    @api.depends("model_id", "state_field")
    def _compute_state_choices(self):
        """Offer the values of the status, by their labels: `[{"value": …, "label": …}]`."""
        for trigger in self:
            model = self.env.get(trigger.model_id.model or "")
            field = model._fields.get(trigger.state_field or "") if model is not None else None
            trigger.state_choices = self._values_to_choose(field) if field is not None else []

    @api.model
    def _values_to_choose(self, field):
        if field.type == "selection":
            return [
                {"value": value, "label": label} for value, label in field._description_selection(self.env)
            ]
        if field.type != "many2one":
            return []
        try:
            records = self.env[field.comodel_name].search([], limit=MOST_CHOICES)
            return [{"value": str(record.id), "label": record.display_name} for record in records]
        except AccessError:
            return []  # they are typed then

    @api.depends_context("lang")
    @api.depends("last_error", "model_id", "condition_domain")
    def _compute_advice(self):
        for trigger in self:
            trigger.advice = trigger._say_advice() if trigger.last_error else False

    def _say_advice(self):
        """Say what to do about the last error."""
        wrong = self._what_is_wrong()
        if wrong:
            return wrong
        return _(
            "Nothing is wrong with the trigger as it is written now. Try it on a record; when that goes "
            "well, mark it as mended."
        )

    def _what_is_wrong(self):
        """Look for what cannot work, as it is written now.

        :return: a sentence, None when there is nothing
        """
        self.ensure_one()
        if self.env.get(self.model_name) is None:
            return _("The model “%s” is not installed any more. Choose another one.", self.model_name or "")
        checks = [self._check_domains, self._check_watched, self._check_states, self._check_date_field]
        return first_complaint([*checks, self._check_time_offsets])

    # === ACTIONS ===#

    def action_try(self):
        """Open “Try It On…” for this trigger and all its rules.

        :raise AccessError: the user is no notification user
        """
        self.ensure_one()
        self.env["sicantik.notification.access"]._check_user()
        return self.env["sicantik.notification.try.wizard"]._open(self)

    def action_mark_mended(self):
        """Take back the last error, in the journal, where it stays to be read.

        :raise AccessError: the user is no notification manager
        """
        self.env["sicantik.notification.access"]._check_manager()
        journal = self.env["sicantik.notification.execution"].sudo()
        failing = self.filtered("last_error")
        journal._write_rows([journal._row(trigger) for trigger in failing])
        failing.filtered("is_failing").sudo().write({"is_failing": False})
        return True


def first_complaint(checks):
    """Run checks of constraints until one complains.

    :param checks: functions that raise ValidationError
    :return: what it said, None when none of them complained
    """
    for check in checks:
        try:
            check()
        except ValidationError as error:
            return error.args[0]
    return None
