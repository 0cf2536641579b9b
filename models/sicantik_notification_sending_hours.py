from odoo import _, api, fields, models
from odoo.exceptions import ValidationError

from .sending_window import Window

DAYS = [
    *("sending_monday", "sending_tuesday", "sending_wednesday", "sending_thursday", "sending_friday"),
    *("sending_saturday", "sending_sunday"),
]
WINDOW_FIELDS = ["sending_from", "sending_to", *DAYS]


class SicantikNotificationSendingHours(models.AbstractModel):
    """Hours and weekdays in which messages may leave; the rest is quiet. For companies, rules and settings.

    Whether they hold says the field `quiet_hours` of each of these models.
    """

    _name = "sicantik.notification.sending.hours"
    _description = "Sending Hours"

    sending_from = fields.Float(default=8.0, help="When messages may leave, by the recipient's clock.")
    sending_to = fields.Float(
        default=20.0, help="When that ends. Not later than the beginning: on the next day."
    )
    sending_monday = fields.Boolean(string="Monday", default=True)
    sending_tuesday = fields.Boolean(string="Tuesday", default=True)
    sending_wednesday = fields.Boolean(string="Wednesday", default=True)
    sending_thursday = fields.Boolean(string="Thursday", default=True)
    sending_friday = fields.Boolean(string="Friday", default=True)
    sending_saturday = fields.Boolean(string="Saturday", default=True)
    sending_sunday = fields.Boolean(string="Sunday", default=True)

    def _has_sending_hours(self):
        """Tell whether the hours of this record hold."""
        self.ensure_one()
        return bool(self.quiet_hours)

    def _sending_window(self):
        """Give the hours of this record; None when it has none.

        :rtype: Window
        """
        if not self._has_sending_hours():
            return None
        days = [number for number, name in enumerate(DAYS) if self[name]]
        return Window.of(self.sending_from, self.sending_to, days)

    @api.constrains("quiet_hours", *WINDOW_FIELDS)
    def _check_sending_hours(self):
        for record in self:
            window = record._sending_window()
            if not window:
                continue
            if not window.days:
                raise ValidationError(
                    _("No message could ever leave: choose at least one day on which messages may leave.")
                )
            if not window.is_in_a_day:
                raise ValidationError(
                    _("The hours in which messages may leave lie between 00:00 and 24:00. Write such hours.")
                )
            if window.never_opens:
                raise ValidationError(
                    _(
                        "No message could ever leave: the hours end when they begin. Write another end, or "
                        "00:00 to 24:00 for the whole day."
                    )
                )
