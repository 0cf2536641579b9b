from odoo import _, api, fields, models

from ..compat import check_access
from .opening import open_dialog
from .sicantik_notification_access import MANAGER, USER

WIZARD = "sicantik.notification.selection.wizard"


class SicantikNotificationRule(models.Model):
    """The entry of a rule in the Action menu of its model: send to the records that are selected there."""

    _inherit = "sicantik.notification.rule"

    menu_action_ids = fields.One2many(
        "ir.actions.act_window", "sicantik_rule_id", string="Entries in Action Menus", readonly=True
    )
    in_action_menu = fields.Boolean(compute="_compute_in_action_menu", compute_sudo=True)
    is_manual = fields.Boolean(compute="_compute_is_manual", help="People run it, by a manual trigger.")

    @api.depends("menu_action_ids")
    def _compute_in_action_menu(self):
        for rule in self:
            rule.in_action_menu = bool(rule.menu_action_ids)

    @api.depends("trigger_id.trigger_type")
    def _compute_is_manual(self):
        for rule in self:
            rule.is_manual = rule.trigger_id.trigger_type == "manual"

    def write(self, vals):
        result = super().write(vals)
        if "trigger_id" in vals or "name" in vals:
            for rule in self.sudo().filtered("menu_action_ids"):
                rule.menu_action_ids.write(rule._menu_action_values())
        return result

    def action_add_to_menu(self):
        """Offer the rule in the Action menu of its model's lists and forms.

        :raise AccessError: the user may not change rules
        """
        check_access(self, "write")
        for rule in self.sudo().filtered(lambda rule: not rule.menu_action_ids):
            rule.env["ir.actions.act_window"].create(rule._menu_action_values())
        return True

    def action_remove_from_menu(self):
        """Take the rule out of the Action menu again.

        :raise AccessError: the user may not change rules
        """
        check_access(self, "write")
        self.sudo().menu_action_ids.unlink()
        return True

    def action_open_selection(self):
        """Choose records and send to them by this rule, in a window of its own."""
        self.ensure_one()
        return open_dialog(
            _("Send to Chosen Records"),
            WIZARD,
            context={"default_rule_id": self.id, "active_model": self._name, "active_ids": self.ids},
        )

    def _menu_action_values(self):
        """Give the values of the entry. Users run what waits for people to run it; the rest is for managers,
        who may send campaigns.
        """
        self.ensure_one()
        group = self.env.ref(USER if self.is_manual else MANAGER)
        return {
            "name": _("Send WhatsApp: %s", self.name),
            "sicantik_rule_id": self.id,
            "res_model": WIZARD,
            "view_mode": "form",
            "target": "new",
            "context": repr({"default_rule_id": self.id}),
            "binding_model_id": self.trigger_id.model_id.id,
            "binding_view_types": "list,form",
            "groups_id": [(6, 0, group.ids)],
        }
