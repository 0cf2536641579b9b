from odoo import _, api, fields, models
from odoo.exceptions import ValidationError

from ..providers import phone
from .res_partner import FALLBACK_REGION


class SicantikNotificationBlacklist(models.Model):
    """Numbers that must not be written to.

    The number alone decides. It is stored as E.164, so that each spelling of it finds the entry. `source`
    says who asked for it: an entry of source `opt_out` is a person's own wish and holds for every rule;
    entries of the other sources can be passed over by a rule with `respect_blacklist` off.
    """

    _name = "sicantik.notification.blacklist"
    _description = "WhatsApp Blacklist"
    _rec_name = "phone_number"
    _order = "id desc"

    phone_number = fields.Char(required=True, copy=False)
    partner_id = fields.Many2one("res.partner", string="Contact", ondelete="set null", index="btree_not_null")
    reason = fields.Char()
    source = fields.Selection(
        [("manual", "Manual"), ("opt_out", "Opted Out"), ("provider", "Provider")],
        required=True,
        default="manual",
    )
    date = fields.Datetime(
        string="Since", default=fields.Datetime.now, copy=False, help="Since when the number is blocked."
    )
    # What a person's own opt-out covered up: it is there again when the opt-out is taken back.
    source_before = fields.Char(readonly=True, copy=False)
    reason_before = fields.Char(readonly=True, copy=False)
    active = fields.Boolean(default=True)
    blocked_count = fields.Integer(
        string="Messages Held Back", compute="_compute_blocked", help="Messages that this entry held back."
    )
    last_blocked_date = fields.Datetime(string="Last Held Back", compute="_compute_blocked")

    _sql_constraints = [
        ("phone_number_unique", "UNIQUE (phone_number)", "This number is on the blacklist already."),
    ]

    def _compute_blocked(self):
        """Read from the log: a counter on the entry would be written by every worker at once.

        Entries hold for all companies; what is counted are the messages that the user may see.
        """
        stats = {
            number: (count, last)
            for number, count, last in self.env["sicantik.notification.log"]._read_group(
                [("phone", "in", self.mapped("phone_number")), ("error_class", "=", "blacklisted")],
                ["phone"],
                ["__count", "create_date:max"],
            )
        }
        for entry in self:
            entry.blocked_count, entry.last_blocked_date = stats.get(entry.phone_number, (0, False))

    @api.model
    def _to_e164(self, number):
        """Give the E.164 form of a number in any spelling, None when it is not one."""
        return phone.to_e164(number or "", self.env.company.country_id.code or FALLBACK_REGION)

    @api.onchange("partner_id")
    def _onchange_partner_id(self):
        if self.partner_id.whatsapp_e164:
            self.phone_number = self.partner_id.whatsapp_e164

    def _normalize(self, vals):
        """Return `vals` with the number as E.164.

        :raise ValidationError: the number is not a phone number
        """
        if "phone_number" not in vals:
            return vals
        number = self._to_e164(vals["phone_number"])
        if not number:
            raise ValidationError(
                _(
                    "“%s” is not a phone number. Write it as 0812…, 62812… or +62 812….",
                    vals["phone_number"] or "",
                )
            )
        return {**vals, "phone_number": number}

    @api.model_create_multi
    def create(self, vals_list):
        """Create entries; a number that is archived here already is taken up again instead of refused."""
        vals_list = [self._normalize(vals) for vals in vals_list]
        archived = {
            entry.phone_number: entry
            for entry in self.with_context(active_test=False).search(
                [
                    ("phone_number", "in", [vals.get("phone_number") for vals in vals_list]),
                    ("active", "=", False),
                ]
            )
        }
        new = iter(super().create([vals for vals in vals_list if vals.get("phone_number") not in archived]))
        entries = self.browse()
        for vals in vals_list:
            entry = archived.get(vals.get("phone_number"))
            if entry:
                again = {"active": True, "date": fields.Datetime.now()}
                entry.write({**again, "source_before": False, "reason_before": False, **vals})
            entries |= entry or next(new)
        return entries

    def write(self, vals):
        return super().write(self._normalize(vals))

    @api.model
    def is_blacklisted(self, phone_number):
        """Tell whether a number is on the blacklist.

        :param str phone_number: the number in any spelling
        :rtype: bool
        :raise AccessError: the caller is no internal user
        """
        self.env["sicantik.notification.access"]._check_internal()
        number = self._to_e164(phone_number)
        return bool(number and self.sudo()._blocked([number]))

    @api.model
    def _blocked(self, numbers):
        """Look many numbers up at once.

        :param numbers: E.164 numbers
        :return: {number: (source, reason)} of those that are blacklisted
        :rtype: dict
        """
        entries = self.with_context(active_test=True).search_fetch(
            [("phone_number", "in", list(set(numbers)))], ["phone_number", "source", "reason"]
        )
        return {entry.phone_number: (entry.source, entry.reason) for entry in entries}

    # === OPT-OUTS ===#

    @api.model
    def _opted_out(self, numbers):
        """Tell since when people do not want messages: {E.164 number: UTC datetime}."""
        entries = self.with_context(active_test=True).search_fetch(
            [("phone_number", "in", list(numbers)), ("source", "=", "opt_out")], ["phone_number", "date"]
        )
        return {entry.phone_number: entry.date or entry.create_date for entry in entries}

    @api.model
    def _add_opt_outs(self, numbers):
        """Block numbers whose owners ask for it. An entry of another source becomes theirs.

        :param dict numbers: {E.164 number: (reason, UTC datetime, partner id)}
        :return: the numbers that were not opted out before
        :rtype: set
        """
        entries = self.with_context(active_test=True).search([("phone_number", "in", list(numbers))])
        known = {entry.phone_number: entry for entry in entries}
        new = {number for number in numbers if number not in known or known[number].source != "opt_out"}
        vals_list = []
        for number in new:
            reason, at, partner_id = numbers[number]
            vals = {"source": "opt_out", "reason": reason, "date": at}
            entry = known.get(number)
            if entry:
                entry.write({**vals, "source_before": entry.source, "reason_before": entry.reason})
            else:
                vals_list.append({"phone_number": number, "partner_id": partner_id, **vals})
        self.create(vals_list)
        return new

    @api.model
    def _lift_opt_outs(self, numbers):
        """Take opt-outs back. What blocked a number besides does so again.

        :param numbers: E.164 numbers
        :return: the numbers that were opted out
        :rtype: list
        """
        entries = self.with_context(active_test=True).search(
            [("phone_number", "in", list(numbers)), ("source", "=", "opt_out")]
        )
        for entry in entries.filtered("source_before"):
            entry.write(
                {
                    "source": entry.source_before,
                    "reason": entry.reason_before,
                    "source_before": False,
                    "reason_before": False,
                }
            )
        entries.filtered(lambda entry: entry.source == "opt_out").active = False
        return entries.mapped("phone_number")
