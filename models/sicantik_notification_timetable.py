from odoo import _, api, fields, models
from odoo.exceptions import UserError, ValidationError

from . import offsets
from .company_time import coming, slot_after

# Writing one of these may bring the next run nearer.
TIMED = {"active", "trigger_type", "cron_interval_number", "cron_interval_type", "next_run"}


class SicantikNotificationTimetable(models.Model):
    """When triggers fire that wait for a time and not for a change; the clock fires them.

    Slots of `cron` triggers are counted from `first_run`, the run that somebody has entered last, in the time
    zone of the main company. `run_slot` and `run_position` are the run that is under way: it goes through the
    records by their ids, a chunk in each transaction.

    `on_time` triggers fire for what comes due after `armed_date`, when they were activated or given another
    field or other offsets. `looked_date` is when the clock looked last.
    """

    _inherit = "sicantik.notification.trigger"

    next_run = fields.Datetime(
        compute="_compute_next_run",
        inverse="_inverse_next_run",
        store=True,
        readonly=False,
        copy=False,
        help="Later runs keep the hour of this one, in the time zone of the company.",
    )
    first_run = fields.Datetime(readonly=True, copy=False)
    run_slot = fields.Datetime(string="Run under Way", readonly=True, copy=False)
    run_position = fields.Integer(readonly=True, copy=False)
    armed_date = fields.Datetime(compute="_compute_armed_date", store=True, copy=False)
    looked_date = fields.Datetime(readonly=True, copy=False)
    is_failing = fields.Boolean(readonly=True, copy=False, help="The last look at the clock failed.")

    # === COMPUTES ===#

    @api.depends("trigger_type", "active", "cron_interval_number", "cron_interval_type")
    def _compute_next_run(self):
        now = fields.Datetime.now()
        for trigger in self:
            if trigger.trigger_type != "cron":
                trigger.next_run = False
            elif trigger.active and trigger.cron_interval_number > 0 and trigger.cron_interval_type:
                trigger.next_run = trigger._slot_after(now)
            else:
                trigger.next_run = trigger.next_run

    def _inverse_next_run(self):
        for trigger in self:
            trigger.first_run = trigger.next_run

    @api.depends("trigger_type", "active", "model_id", "date_field_id", "time_offsets")
    def _compute_armed_date(self):
        now = fields.Datetime.now()
        for trigger in self:
            trigger.armed_date = trigger.active and trigger.trigger_type == "on_time" and now

    def _slot_after(self, moment):
        """Give the first slot of a `cron` trigger later than a moment.

        :param datetime moment: UTC
        :rtype: datetime
        """
        self.ensure_one()
        first = self.first_run or self.next_run or fields.Datetime.now().replace(second=0)
        return slot_after(
            first, self.cron_interval_number, self.cron_interval_type, self._company_zone(), moment
        )

    @api.model
    def _company_zone(self):
        """Give the name of the time zone of the main company.

        :rtype: str
        """
        return self.env["res.company"]._get_main_company()._notification_tz()

    @api.model
    def _upcoming(self, hour):
        """Give the next moment at which it is `hour` o'clock at the company."""
        return coming(60 * hour, self._company_zone(), fields.Datetime.now())

    # === CONSTRAINTS ===#

    @api.constrains("trigger_type", "cron_interval_number", "cron_interval_type")
    def _check_interval(self):
        for trigger in self.filtered(lambda trigger: trigger.trigger_type == "cron"):
            if trigger.cron_interval_number < 1 or not trigger.cron_interval_type:
                raise ValidationError(
                    _("“%s” needs an interval of at least one, such as every 1 days.", trigger.name)
                )

    @api.constrains("trigger_type", "model_id", "date_field_id")
    def _check_date_field(self):
        for trigger in self.filtered(lambda trigger: trigger.trigger_type == "on_time"):
            field = trigger.date_field_id
            if not field:
                raise ValidationError(
                    _("Choose the date of “%s” that the offsets are counted from.", trigger.model_id.name)
                )
            model = self.env.get(trigger.model_name)
            known = model._fields.get(field.name) if model is not None else None
            if field.model_id != trigger.model_id or known is None:
                raise ValidationError(
                    _(
                        "“%(model)s” has no field “%(field)s”. Choose a field of this model.",
                        model=trigger.model_id.name,
                        field=field.name,
                    )
                )
            if known.type not in ("date", "datetime") or not known.store or not known.column_type:
                raise ValidationError(
                    _("“%s” cannot be searched by time. Choose a stored date of this model.", field.name)
                )

    @api.constrains("trigger_type", "time_offsets", "tolerance_minutes")
    def _check_time_offsets(self):
        for trigger in self.filtered(lambda trigger: trigger.trigger_type == "on_time"):
            try:
                offsets.parse(trigger.time_offsets)
            except ValueError as error:
                raise ValidationError(
                    _(
                        "“%s” is no time before or after a date. Write a number and m, h, d or w, with a "
                        "minus for before, separated by commas: -90d, -7d or -1h.",
                        error.args[0],
                    )
                ) from error
            if not 0 <= trigger.tolerance_minutes < offsets.DAY:
                raise ValidationError(_("The tolerance is a number of minutes, less than a day."))

    # === CRUD ===#

    @api.model_create_multi
    def create(self, vals_list):
        triggers = super().create(vals_list)
        triggers._fill_next_run()
        triggers._wake_clock()
        return triggers

    def write(self, vals):
        if not vals.get("active", True) or "trigger_type" in vals:
            vals = {**vals, "run_slot": False, "run_position": False}  # a run under way ends here
        result = super().write(vals)
        if not TIMED.isdisjoint(vals):
            self._fill_next_run()
            self._wake_clock()
        return result

    def _fill_next_run(self):
        """Give the next slot to those whose next run was left empty."""
        for trigger in self:
            has_interval = trigger.cron_interval_number > 0 and trigger.cron_interval_type
            if trigger.trigger_type == "cron" and trigger.active and has_interval and not trigger.next_run:
                trigger.next_run = trigger._slot_after(fields.Datetime.now())

    def _wake_clock(self):
        runs = [trigger.next_run for trigger in self if trigger.active and trigger.next_run]
        if runs:
            self.env["sicantik.notification.queue"]._wake_cron(min(runs))

    # === ACTIONS ===#

    def action_run_now(self):
        """Run a `cron` trigger without waiting for its next run, which stays as it is.

        :raise AccessError: the user is no notification manager
        :raise UserError: the trigger is archived, of another type, or at work already
        """
        self.ensure_one()
        self.env["sicantik.notification.access"]._check_manager()
        if self.trigger_type != "cron":
            raise UserError(_("Only triggers with a cron schedule can be run by hand."))
        if not self.active:
            raise UserError(_("The trigger “%s” is archived. Activate it first.", self.name))
        outcome = self.env["sicantik.notification.clock"].sudo()._run_by_hand(self.id)
        if outcome is None:
            raise UserError(_("“%s” is running already. Look at its executions in a minute.", self.name))
        self.invalidate_recordset()
        count, more, error = outcome
        if more:
            message = _("Fired for %s records so far; the scheduled action goes on with the rest.", count)
        else:
            message = _("Fired for %s records. The messages are in the queue.", count)
        return {
            "type": "ir.actions.client",
            "tag": "display_notification",
            "params": {
                "type": "danger" if error else "success",
                "title": self.name,
                "message": error or message,
                "next": {"type": "ir.actions.client", "tag": "soft_reload"},
            },
        }
