from odoo import api, fields, models

DOCUMENT_STATES = [
    ("draft", "Draft"),
    ("uploaded", "Uploaded"),
    ("pending_signature", "Pending Signature"),
    ("signed", "Signed"),
    ("verified", "Verified"),
    ("approved", "Approved"),
    ("rejected", "Rejected"),
    ("cancelled", "Cancelled"),
]


class SicantikDocument(models.Model):
    _name = "sicantik.document"
    _description = "SICANTIK Document"
    _inherit = [
        "mail.thread",
        "mail.activity.mixin",
        "sicantik.state.mixin",
        "sicantik.notification.mixin",
    ]
    _order = "id desc"
    _rec_names_search = ["name", "document_number"]
    _check_company_auto = True
    _usual_states = ("draft", "uploaded", "pending_signature", "signed", "verified", "approved")

    document_number = fields.Char(index=True, copy=False, help="Given by the sequence when left empty.")
    name = fields.Char(required=True, tracking=True)
    permit_id = fields.Many2one("sicantik.permit", index="btree_not_null", check_company=True, tracking=True)
    partner_id = fields.Many2one(
        "res.partner",
        string="Applicant",
        compute="_compute_partner_id",
        store=True,
        readonly=False,
        index="btree_not_null",
        check_company=True,
    )
    state = fields.Selection(
        DOCUMENT_STATES,
        string="Status",
        required=True,
        default="draft",
        copy=False,
        tracking=True,
        group_expand="_expand_states",
    )
    requires_approval = fields.Boolean()
    pending_since = fields.Datetime(
        compute="_compute_pending_since",
        store=True,
        readonly=False,
        copy=False,
        help="When the document began to wait for its signature.",
    )
    signature_date = fields.Datetime(
        compute="_compute_signature_date", store=True, readonly=False, copy=False, tracking=True
    )
    approver_id = fields.Many2one(
        "res.users", string="Official", help="The official who signs or approves.", tracking=True
    )
    responsible_id = fields.Many2one(
        "res.users", help="Staff member in charge of this document.", tracking=True
    )
    active = fields.Boolean(default=True)
    company_id = fields.Many2one(
        "res.company", required=True, index=True, default=lambda self: self.env.company
    )

    _sql_constraints = [
        ("document_number_unique", "UNIQUE (document_number)", "This document number is taken already."),
    ]

    @api.depends("permit_id")
    def _compute_partner_id(self):
        for document in self:
            document.partner_id = document.permit_id.partner_id or document.partner_id

    @api.depends("state")
    def _compute_pending_since(self):
        now = fields.Datetime.now()
        for document in self:
            waiting = document.state == "pending_signature"
            document.pending_since = waiting and (document.pending_since or now)

    @api.depends("state")
    def _compute_signature_date(self):
        now = fields.Datetime.now()
        for document in self:
            if document.state == "signed" and not document.signature_date:
                document.signature_date = now
            else:
                document.signature_date = document.signature_date

    @api.model_create_multi
    def create(self, vals_list):
        for vals in vals_list:
            if not vals.get("document_number"):
                vals["document_number"] = self.env["ir.sequence"].next_by_code("sicantik.document")
        return super().create(vals_list)

    # === BUTTONS ===#

    def action_upload(self):
        return self._move_to("uploaded", "draft")

    def action_request_signature(self):
        return self._move_to("pending_signature", "uploaded")

    def action_sign(self):
        return self._move_to("signed", "pending_signature")

    def action_verify(self):
        return self._move_to("verified", "signed")

    def action_approve(self):
        return self._move_to("approved", "signed", "verified")

    def action_reject(self):
        return self._move_to("rejected", "uploaded", "pending_signature", "signed", "verified")

    def action_cancel(self):
        return self._move_to("cancelled", "draft", "uploaded", "pending_signature")

    def action_reset_to_draft(self):
        return self._move_to("draft", "rejected", "cancelled")
