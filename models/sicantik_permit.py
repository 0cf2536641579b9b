from odoo import _, api, fields, models
from odoo.exceptions import UserError

PERMIT_STATES = [
    ("draft", "Draft"),
    ("submitted", "Submitted"),
    ("processing", "Processing"),
    ("approved", "Approved"),
    ("active", "Active"),
    ("rejected", "Rejected"),
    ("expired", "Expired"),
    ("renewed", "Renewed"),
    ("cancelled", "Cancelled"),
]


class SicantikPermit(models.Model):
    _name = "sicantik.permit"
    _description = "SICANTIK Permit"
    _inherit = [
        "mail.thread",
        "mail.activity.mixin",
        "sicantik.state.mixin",
        "sicantik.notification.mixin",
    ]
    _order = "id desc"
    _rec_names_search = ["registration_id", "permit_number", "applicant_name"]
    _check_company_auto = True
    _usual_states = ("draft", "submitted", "processing", "approved", "active")

    registration_id = fields.Char(
        string="Registration Number",
        index=True,
        copy=False,
        help="Number under which the application was registered; given by the sequence when left empty.",
    )
    permit_number = fields.Char(index="trigram", copy=False, tracking=True)
    applicant_name = fields.Char(compute="_compute_applicant_name", store=True, readonly=False, tracking=True)
    partner_id = fields.Many2one(
        "res.partner", string="Applicant", index="btree_not_null", check_company=True, tracking=True
    )
    permit_type_id = fields.Many2one("sicantik.permit.type", tracking=True)
    permit_type_name = fields.Char(related="permit_type_id.name", string="Permit Type Name", store=True)
    state = fields.Selection(
        PERMIT_STATES,
        string="Status",
        required=True,
        default="draft",
        copy=False,
        tracking=True,
        group_expand="_expand_states",
    )
    # The seeds speak of `state` and of `status`; both are this one value.
    status = fields.Selection(related="state", string="Permit Status", readonly=False, tracking=False)
    issue_date = fields.Date(copy=False)
    expiry_date = fields.Date(copy=False, index="btree_not_null")
    days_until_expiry = fields.Integer(
        compute="_compute_days_until_expiry", search="_search_days_until_expiry"
    )
    responsible_id = fields.Many2one(
        "res.users", help="Staff member in charge of this permit.", tracking=True
    )
    is_renewal = fields.Boolean(string="Renewal")
    original_permit_id = fields.Many2one(
        "sicantik.permit", index="btree_not_null", check_company=True, help="The permit that this one renews."
    )
    document_ids = fields.One2many("sicantik.document", "permit_id", string="Documents")
    active = fields.Boolean(default=True)
    company_id = fields.Many2one(
        "res.company", required=True, index=True, default=lambda self: self.env.company
    )

    _sql_constraints = [
        ("registration_id_unique", "UNIQUE (registration_id)", "This registration number is taken already."),
    ]

    @api.depends("partner_id")
    def _compute_applicant_name(self):
        for permit in self:
            if permit.partner_id:
                permit.applicant_name = permit.partner_id.name
            else:
                permit.applicant_name = permit.applicant_name

    @api.depends("expiry_date")
    @api.depends_context("tz")
    def _compute_days_until_expiry(self):
        today = fields.Date.context_today(self)
        for permit in self:
            permit.days_until_expiry = (permit.expiry_date - today).days if permit.expiry_date else 0

    @api.depends("registration_id", "permit_number", "applicant_name")
    def _compute_display_name(self):
        for permit in self:
            number = permit.permit_number or permit.registration_id or _("New permit")
            permit.display_name = f"{number} – {permit.applicant_name}" if permit.applicant_name else number

    @api.model
    def _search_days_until_expiry(self, operator, value):
        """Search by remaining days: `n` days from today is a date.

        Permits without an expiry date never expire and match no comparison.
        """
        today = fields.Date.context_today(self)
        if operator in ("in", "not in"):
            days = [fields.Date.add(today, days=int(number)) for number in value]
            return [("expiry_date", operator, days), ("expiry_date", "!=", False)]
        if operator not in ("=", "!=", "<", "<=", ">", ">="):
            raise UserError(_("Remaining days can be compared with a number only, not with “%s”.", operator))
        return [
            ("expiry_date", operator, fields.Date.add(today, days=int(value or 0))),
            ("expiry_date", "!=", False),
        ]

    def _notification_owners(self):
        """Show the messages about a permit's documents with those about the permit."""
        documents = self.env["sicantik.document"].sudo().with_context(active_test=False)
        documents = documents.search_fetch([("permit_id", "in", self.ids)], ["permit_id"])
        return {
            **super()._notification_owners(),
            **{(one._name, one.id): one.permit_id.id for one in documents},
        }

    @api.model_create_multi
    def create(self, vals_list):
        for vals in vals_list:
            if not vals.get("registration_id"):
                vals["registration_id"] = self.env["ir.sequence"].next_by_code("sicantik.permit")
        return super().create(vals_list)

    # === BUTTONS ===#

    def action_submit(self):
        return self._move_to("submitted", "draft")

    def action_start_processing(self):
        return self._move_to("processing", "submitted")

    def action_approve(self):
        return self._move_to("approved", "submitted", "processing")

    def action_activate(self):
        return self._move_to("active", "approved")

    def action_reject(self):
        return self._move_to("rejected", "submitted", "processing")

    def action_expire(self):
        return self._move_to("expired", "approved", "active")

    def action_renew(self):
        return self._move_to("renewed", "approved", "active", "expired")

    def action_cancel(self):
        return self._move_to("cancelled", "draft", "submitted", "processing", "approved", "active")

    def action_reset_to_draft(self):
        return self._move_to("draft", "rejected", "cancelled")
