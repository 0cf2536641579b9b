from odoo import _, api, fields, models
from odoo.exceptions import ValidationError

from . import opt_words
from .run import IN_FLIGHT, MOST_IN_FLIGHT
from .sicantik_notification_campaign_health import LIMITS
from .sicantik_notification_cleanup import KEEP, SHORTEST_KEEP
from .sicantik_notification_clock import CATCH_UP, DEFAULT_CATCH_UP, LONGEST_CATCH_UP
from .sicantik_notification_drain import IN_FLIGHT_PARAMETER
from .sicantik_notification_lane import LANES_PARAMETER
from .sicantik_notification_sending_hours import WINDOW_FIELDS
from .sicantik_whatsapp_consent import DEFAULT_POLICY, OPT_IN_WORDS, OPT_OUT_WORDS, POLICIES, POLICY
from .sicantik_whatsapp_dispatcher import DEFAULT_PROVIDER

KEEP_FIELDS = {"whatsapp_log_keep_days": "log", "whatsapp_queue_keep_days": "queue"}
# Of the company. Not `related`: those are written one by one, and hours make sense together only.
COMPANY_FIELDS = ["quiet_hours", *WINDOW_FIELDS, "whatsapp_daily_cap"]
PAUSE_FIELDS = {"whatsapp_campaign_pause_percent": "percent", "whatsapp_campaign_pause_last": "last"}


# Named only because it inherits two: it is Odoo's.
class ResConfigSettings(models.TransientModel):  # pylint: disable=no-wizard-in-models
    _name = "res.config.settings"
    _inherit = ["res.config.settings", "sicantik.notification.sending.hours"]

    whatsapp_default_provider_id = fields.Many2one(
        "sicantik.whatsapp.provider",
        string="Default Provider",
        config_parameter=DEFAULT_PROVIDER,
        domain="[('provider_type', '!=', 'meta')]",
        help="Tried first when Meta cannot take a message.",
    )
    # Not `config_parameter`: it cannot tell 0, which keeps rows for ever, from a parameter that is not set.
    whatsapp_queue_keep_days = fields.Integer(string="Days Ended Messages Are Kept")
    whatsapp_log_keep_days = fields.Integer(string="Days the Log Is Kept")

    whatsapp_catch_up_hours = fields.Integer(
        string="Hours to Catch Up", config_parameter=CATCH_UP, default=DEFAULT_CATCH_UP
    )
    whatsapp_opt_in_policy = fields.Selection(
        POLICIES, string="Opt-in by Message", default=DEFAULT_POLICY, config_parameter=POLICY
    )
    whatsapp_opt_out_words = fields.Char(
        string="Opt-out Words", default=opt_words.OPT_OUT, config_parameter=OPT_OUT_WORDS
    )
    whatsapp_opt_in_words = fields.Char(
        string="Opt-in Words", default=opt_words.OPT_IN, config_parameter=OPT_IN_WORDS
    )

    whatsapp_in_flight = fields.Integer(
        string="Requests at Once", default=IN_FLIGHT, config_parameter=IN_FLIGHT_PARAMETER
    )
    # 0, too, means something here: the scheduled action sends everything.
    whatsapp_lanes = fields.Integer(string="Lanes")
    whatsapp_has_lanes = fields.Boolean(readonly=True)

    quiet_hours = fields.Boolean()
    whatsapp_daily_cap = fields.Integer(string="Messages per Recipient and Day")
    whatsapp_tz = fields.Selection(
        related="company_id.partner_id.tz", string="Time Zone", readonly=False, help="That of the company."
    )

    whatsapp_country_id = fields.Many2one(
        related="company_id.country_id",
        string="Default Country",
        readonly=False,
        help="That of the company. Empty: Indonesia.",
    )
    whatsapp_alert_user_ids = fields.Many2many(
        related="company_id.whatsapp_alert_user_ids", readonly=False, domain="[('share', '=', False)]"
    )
    whatsapp_scheduler_url = fields.Char(string="Scheduler Address", compute="_compute_whatsapp_urls")
    whatsapp_trigger_url = fields.Char(string="Trigger Address", compute="_compute_whatsapp_urls")
    whatsapp_is_reachable = fields.Boolean(compute="_compute_whatsapp_urls")

    # And here: campaigns do not pause by themselves.
    whatsapp_campaign_pause_percent = fields.Integer(string="Percentage of Failures That Pauses a Campaign")
    whatsapp_campaign_pause_last = fields.Integer(string="Messages Among Which Failures Are Counted")

    @api.depends("company_id")
    def _compute_whatsapp_urls(self):
        base = self.env["ir.config_parameter"].sudo().get_param("web.base.url", "")
        for settings in self:
            settings.whatsapp_scheduler_url = f"{base}/api/cron-auto-message"
            settings.whatsapp_trigger_url = f"{base}/sicantik/api/v1/triggers/<code>/fire"
            # Services call webhooks by https only, from outside.
            settings.whatsapp_is_reachable = base.startswith("https://")

    @api.constrains(*PAUSE_FIELDS)
    def _check_campaign_pause(self):
        for settings in self:
            if not 0 <= settings.whatsapp_campaign_pause_percent <= 100:
                raise ValidationError(
                    _("A campaign pauses at between 1 and 100 percent of failures. Write 0 to switch it off.")
                )
            last = settings.whatsapp_campaign_pause_last
            if settings.whatsapp_campaign_pause_percent and not 1 <= last <= 10_000:
                raise ValidationError(
                    _("Failures are counted among the last 1 to 10,000 messages. Write a number in between.")
                )

    @api.constrains(*KEEP_FIELDS)
    def _check_keep_days(self):
        for settings in self:
            for name in KEEP_FIELDS:
                if settings[name] and settings[name] < SHORTEST_KEEP:
                    raise ValidationError(
                        _(
                            "Messages and the log are kept for at least %s days. Write 0 to keep them for "
                            "ever.",
                            SHORTEST_KEEP,
                        )
                    )

    @api.constrains("whatsapp_in_flight")
    def _check_in_flight(self):
        for settings in self:
            if not 1 <= settings.whatsapp_in_flight <= MOST_IN_FLIGHT:
                raise ValidationError(
                    _("Between 1 and %s requests can be under way at once.", MOST_IN_FLIGHT)
                )

    @api.constrains("whatsapp_catch_up_hours")
    def _check_catch_up_hours(self):
        for settings in self:
            if not 1 <= settings.whatsapp_catch_up_hours <= LONGEST_CATCH_UP:
                raise ValidationError(
                    _("Reminders can be caught up for 1 to %s hours after their time.", LONGEST_CATCH_UP)
                )

    @api.model
    def get_values(self):
        cleanup = self.env["sicantik.notification.cleanup"]
        health = self.env["sicantik.notification.campaign.health"]
        return {
            **super().get_values(),
            "whatsapp_has_lanes": "queue.job" in self.env,
            "whatsapp_lanes": self.env["sicantik.notification.lane"]._limit(),
            **{name: cleanup._keep_days(what) for name, what in KEEP_FIELDS.items()},
            **{name: self.env.company[name] for name in COMPANY_FIELDS},
            **{name: health._limit(what) for name, what in PAUSE_FIELDS.items()},
        }

    def set_values(self):
        result = super().set_values()
        self.env["ir.config_parameter"].sudo().set_param(LANES_PARAMETER, str(self.whatsapp_lanes))
        for name, what in KEEP_FIELDS.items():
            parameter, _default = KEEP[what]
            self.env["ir.config_parameter"].sudo().set_param(parameter, str(self[name]))
        changed = {name: self[name] for name in COMPANY_FIELDS if self[name] != self.company_id[name]}
        if changed:
            self.company_id.write(changed)
        for name, what in PAUSE_FIELDS.items():
            parameter, _default = LIMITS[what]
            self.env["ir.config_parameter"].sudo().set_param(parameter, str(self[name]))
        return result
