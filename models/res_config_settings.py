from odoo import _, api, fields, models
from odoo.exceptions import ValidationError

from . import opt_words
from .sicantik_notification_cleanup import KEEP, SHORTEST_KEEP
from .sicantik_notification_lane import LANES_PARAMETER
from .sicantik_whatsapp_consent import DEFAULT_POLICY, OPT_IN_WORDS, OPT_OUT_WORDS, POLICIES, POLICY
from .sicantik_whatsapp_dispatcher import DEFAULT_PROVIDER

KEEP_FIELDS = {"whatsapp_log_keep_days": "log", "whatsapp_queue_keep_days": "queue"}


class ResConfigSettings(models.TransientModel):
    _inherit = "res.config.settings"

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

    whatsapp_opt_in_policy = fields.Selection(
        POLICIES, string="Opt-in by Message", default=DEFAULT_POLICY, config_parameter=POLICY
    )
    whatsapp_opt_out_words = fields.Char(
        string="Opt-out Words", default=opt_words.OPT_OUT, config_parameter=OPT_OUT_WORDS
    )
    whatsapp_opt_in_words = fields.Char(
        string="Opt-in Words", default=opt_words.OPT_IN, config_parameter=OPT_IN_WORDS
    )

    # 0, too, means something here: the scheduled action sends everything.
    whatsapp_lanes = fields.Integer(string="Lanes")
    whatsapp_has_lanes = fields.Boolean(readonly=True)

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

    @api.model
    def get_values(self):
        cleanup = self.env["sicantik.notification.cleanup"]
        return {
            **super().get_values(),
            "whatsapp_has_lanes": "queue.job" in self.env,
            "whatsapp_lanes": self.env["sicantik.notification.lane"]._limit(),
            **{name: cleanup._keep_days(what) for name, what in KEEP_FIELDS.items()},
        }

    def set_values(self):
        result = super().set_values()
        self.env["ir.config_parameter"].sudo().set_param(LANES_PARAMETER, str(self.whatsapp_lanes))
        for name, what in KEEP_FIELDS.items():
            parameter, _default = KEEP[what]
            self.env["ir.config_parameter"].sudo().set_param(parameter, str(self[name]))
        return result
