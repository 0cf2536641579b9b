from odoo import fields, models


class IrActionsActWindow(models.Model):
    """Entries of Action menus that belong to a rule, and go with it."""

    _inherit = "ir.actions.act_window"

    sicantik_rule_id = fields.Many2one(
        "sicantik.notification.rule",
        string="Notification Rule",
        ondelete="cascade",
        index="btree_not_null",
        readonly=True,
    )
