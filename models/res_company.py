from odoo import _, api, fields, models
from odoo.exceptions import ValidationError
from odoo.tools import ormcache

from .company_time import DEFAULT_ZONE
from .road import Policy
from .sicantik_notification_sending_hours import WINDOW_FIELDS


class ResCompany(models.Model):
    _name = "res.company"
    _inherit = ["res.company", "sicantik.notification.sending.hours"]

    quiet_hours = fields.Boolean(help="Messages leave within certain hours only; the others wait.")
    whatsapp_daily_cap = fields.Integer(
        string="Messages per Recipient and Day",
        help="More messages than this in one day are left out, over all rules; urgent ones are not counted. "
        "0: any number.",
    )
    first_steps_hidden = fields.Boolean(
        copy=False, help="The checklist of the Overview is done, or was put away."
    )

    whatsapp_alert_user_ids = fields.Many2many(
        "res.users",
        "res_company_whatsapp_alert_user_rel",
        "company_id",
        "user_id",
        string="Who Is Told",
        help="Notification managers who get an activity when something needs a person. Empty: all those of "
        "the company.",
    )

    @api.constrains("whatsapp_alert_user_ids")
    def _check_whatsapp_alert_user_ids(self):
        alert, others = self.env["sicantik.notification.alert"], self.env["res.users"].sudo()
        for company in self.sudo():
            others |= company.whatsapp_alert_user_ids - alert._managers(company)
        if others:
            raise ValidationError(
                _(
                    "%s cannot mend what is reported. Make them notification managers of this company first, "
                    "or choose others.",
                    ", ".join(others.mapped("name")),
                )
            )

    @api.constrains("whatsapp_daily_cap")
    def _check_whatsapp_daily_cap(self):
        if any(company.whatsapp_daily_cap < 0 for company in self):
            raise ValidationError(
                _("The number of messages per recipient and day cannot be negative. Write 0 for any number.")
            )

    def write(self, vals):
        result = super().write(vals)
        if not {"quiet_hours", *WINDOW_FIELDS}.isdisjoint(vals):
            self.env.registry.clear_cache()
        return result

    @ormcache("self.id")
    def _cached_sending_window(self):
        """As `_sending_window`, without a query; it may be out of date in a transaction that began earlier.

        Good enough to plan with: the drain looks again.
        """
        return self.sudo()._sending_window()

    def _notification_tz(self):
        """Give the name of the company's time zone: that of its own contact."""
        self.ensure_one()
        return self.sudo().partner_id.tz or DEFAULT_ZONE

    def _sending_policies(self):
        """Read what holds for the messages of companies.

        :return: {company id: Policy}
        :rtype: dict
        """
        return {
            company.id: Policy(
                company._sending_window(), company.whatsapp_daily_cap, company._notification_tz()
            )
            for company in self.sudo()
        }
