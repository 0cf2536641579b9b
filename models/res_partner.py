from datetime import timedelta

from odoo import _, api, fields, models
from odoo.exceptions import ValidationError

from ..providers import phone

# How long free text may be sent after a person's last message (providers.md 1.2, code 131047).
SERVICE_WINDOW = timedelta(hours=24)
FALLBACK_REGION = "ID"


class ResPartner(models.Model):
    _inherit = "res.partner"

    whatsapp_number = fields.Char(
        string="WhatsApp Number",
        help="Number for WhatsApp, in any spelling (0812…, 62812…, +62 812-…). "
        "Empty: the mobile or phone number is used.",
    )
    whatsapp_e164 = fields.Char(
        string="WhatsApp (E.164)",
        compute="_compute_whatsapp_e164",
        store=True,
        index="btree_not_null",
        help="The number as the providers are given it; empty when no usable number is known.",
    )
    whatsapp_opt_in = fields.Boolean(string="WhatsApp Opt-in", copy=False, tracking=True)
    whatsapp_opt_in_date = fields.Datetime(
        string="WhatsApp Opt-in Date",
        copy=False,
        compute="_compute_whatsapp_opt_in_date",
        store=True,
        readonly=False,
    )
    whatsapp_opt_out_date = fields.Datetime(
        string="WhatsApp Opt-out Date",
        readonly=True,
        copy=False,
        help="When the consent was withdrawn. After that a message brings it back by a word such as START "
        "only.",
    )
    whatsapp_last_inbound = fields.Datetime(
        string="Last WhatsApp Message Received",
        readonly=True,
        copy=False,
        help="Last message of this person to the official (Meta) number. It opens the 24-hour window.",
    )
    whatsapp_window_open = fields.Boolean(string="24 h Window Open", compute="_compute_whatsapp_window_open")

    @api.model
    def _whatsapp_number_fields(self):
        """Names of the fields that may hold the number, best first (there is no `mobile` in Odoo 19)."""
        return [name for name in ("whatsapp_number", "mobile", "phone") if name in self._fields]

    def _whatsapp_region(self):
        """Give the country code by which a national number is read (contract, section 1)."""
        country = self.country_id or self.company_id.country_id or self.env.company.country_id
        return country.code or FALLBACK_REGION

    @api.depends(lambda self: [*self._whatsapp_number_fields(), "country_id", "company_id.country_id"])
    def _compute_whatsapp_e164(self):
        names = self._whatsapp_number_fields()
        for partner in self:
            region = partner._whatsapp_region()
            numbers = (phone.to_e164(partner[name], region) for name in names if partner[name])
            partner.whatsapp_e164 = next(filter(None, numbers), False)

    @api.depends("whatsapp_opt_in")
    def _compute_whatsapp_opt_in_date(self):
        now = fields.Datetime.now()
        for partner in self:
            partner.whatsapp_opt_in_date = partner.whatsapp_opt_in and (partner.whatsapp_opt_in_date or now)

    @api.depends("whatsapp_last_inbound")
    def _compute_whatsapp_window_open(self):
        since = fields.Datetime.now() - SERVICE_WINDOW
        for partner in self:
            last = partner.whatsapp_last_inbound
            partner.whatsapp_window_open = bool(last and last > since)

    def write(self, vals):
        if "whatsapp_opt_in" not in vals or "whatsapp_opt_out_date" in vals:
            return super().write(vals)
        if vals["whatsapp_opt_in"]:
            return super().write({**vals, "whatsapp_opt_out_date": False})
        withdrawn = self.filtered("whatsapp_opt_in")
        result = super().write(vals)
        if withdrawn:
            super(ResPartner, withdrawn).write({"whatsapp_opt_out_date": fields.Datetime.now()})
        return result

    @api.constrains("whatsapp_number")
    def _check_whatsapp_number(self):
        for partner in self:
            if partner.whatsapp_number and not phone.to_e164(
                partner.whatsapp_number, partner._whatsapp_region()
            ):
                raise ValidationError(
                    _(
                        "“%s” is not a phone number that WhatsApp can reach. Write it as 0812…, 62812… or "
                        "+62 812…, or set the contact's country.",
                        partner.whatsapp_number,
                    )
                )
