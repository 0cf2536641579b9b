from odoo import fields, models


class SicantikAutoMessage(models.Model):
    """A message that somebody planned by hand for a list of contacts (seed 4)."""

    _name = "sicantik.auto.message"
    _description = "Auto Message"
    _order = "scheduled_at desc, id desc"
    _rec_name = "title"

    title = fields.Char(required=True)
    message = fields.Text(required=True)
    contact_ids = fields.Many2many("res.partner", string="Contacts")
    contact_input = fields.Text(
        string="More Contacts",
        help="Numbers or contacts as text: separated by commas or lines, or a JSON list.",
    )
    scheduled_at = fields.Datetime(required=True, default=fields.Datetime.now, index=True)
    sent_at = fields.Datetime(readonly=True, copy=False)
    delay_seconds = fields.Integer(string="Delay (s)", default=60, help="Seconds between two messages.")
    state = fields.Selection(
        [
            ("draft", "Draft"),
            ("scheduled", "Scheduled"),
            ("sending", "Sending"),
            ("sent", "Sent"),
            ("partial", "Partly Sent"),
            ("failed", "Failed"),
            ("cancelled", "Cancelled"),
        ],
        string="Status",
        default="draft",
        required=True,
        copy=False,
        readonly=True,
    )
    queue_ids = fields.One2many(
        "sicantik.notification.queue", "auto_message_id", string="Messages", readonly=True
    )
    total_count = fields.Integer(string="Recipients", compute="_compute_counts")
    sent_count = fields.Integer(string="Sent", compute="_compute_counts")
    failed_count = fields.Integer(string="Failed", compute="_compute_counts")
    company_id = fields.Many2one(
        "res.company", required=True, index=True, default=lambda self: self.env.company
    )

    _sql_constraints = [
        ("delay_not_negative", "CHECK (delay_seconds >= 0)", "The delay cannot be negative."),
    ]

    def _compute_counts(self):
        counts = self.env["sicantik.notification.tally"]._totals("auto_message_id", self.ids)
        for message in self:
            message.sent_count = counts[message.id, "sent"]
            message.failed_count = counts[message.id, "failed"]
            message.total_count = sum(count for (id_, _state), count in counts.items() if id_ == message.id)
