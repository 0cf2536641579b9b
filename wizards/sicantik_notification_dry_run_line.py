from odoo import fields, models


class SicantikNotificationDryRunLine(models.TransientModel):
    """One reason, how many messages it is about, and some of them."""

    _name = "sicantik.notification.dry.run.line"
    _description = "Reason in a Dry Run"

    dry_run_id = fields.Many2one("sicantik.notification.dry.run", required=True, ondelete="cascade")
    kind = fields.Selection(
        [("send", "Would Be Sent"), ("skip", "Would Be Skipped"), ("fail", "Would Fail")],
        string="Result",
        readonly=True,
    )
    reason = fields.Char(string="By or Because", readonly=True)
    amount = fields.Integer(string="Messages", readonly=True)
    samples = fields.Text(string="For Example", readonly=True)
