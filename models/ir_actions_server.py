import logging

from odoo import _, api, fields, models
from odoo.exceptions import ValidationError

from .base import Notes

_logger = logging.getLogger(__name__)

NOTIFICATION = "sicantik_notification"


class IrActionsServer(models.Model):
    """Server actions that send by a rule: in Action menus, Automation Rules and scheduled actions."""

    _inherit = "ir.actions.server"

    state = fields.Selection(
        selection_add=[(NOTIFICATION, "Send WhatsApp notification")], ondelete={NOTIFICATION: "cascade"}
    )
    sicantik_rule_id = fields.Many2one(
        "sicantik.notification.rule",
        string="Notification Rule",
        ondelete="set null",
        index="btree_not_null",
        help="Is applied to the records, whatever its trigger waits for. Its condition, repeat policy and "
        "limits hold.",
    )

    @api.constrains("state", "model_id", "sicantik_rule_id")
    def _check_sicantik_rule_id(self):
        for action in self.filtered(lambda action: action.state == NOTIFICATION):
            rule = action.sicantik_rule_id.sudo()
            if not rule:
                raise ValidationError(
                    _("“%s” sends by a notification rule. Choose the rule.", action.name or "")
                )
            if rule.model_name != action.model_id.model:
                raise ValidationError(
                    _(
                        "The rule “%(rule)s” is for “%(model)s”, but this action is for “%(other)s”. Choose "
                        "a rule of the same model.",
                        rule=rule.name,
                        model=rule.trigger_id.model_id.name,
                        other=action.model_id.name,
                    )
                )

    def _run_action_sicantik_notification_multi(self, eval_context=None):
        """Apply the rule to the records, in the transaction of who runs the action.

        Whatever is wrong with the rule, the transaction goes on: whoever clicked is told, and the rule shows
        it. However often it runs for a record within one transaction, that is one event. Without records,
        which is how the scheduler runs it, all that meet the conditions are meant.

        :return: an action that tells the person what came of it
        :rtype: dict
        :raise AccessError: the person may not read the records
        """
        self.ensure_one()
        # As the one who runs it: actions themselves are read in superuser mode.
        env = (eval_context or {}).get("env") or self.env
        rule = self.sicantik_rule_id.sudo().with_env(env)
        records = self._notification_records(eval_context or {})
        if not rule:
            reason = _("The action “%s” has no notification rule. Choose one in its form.", self.name)
            return self._tell_notified({"reason": reason, "count": 0})
        if not records and self.usage == "ir_cron":
            return self._tell_notified(rule._call_due())
        # An Automation Rule runs its actions at each of the writes of which one change may consist.
        event_key = f"action{self.id}:{Notes.of(self.env.cr).token}"
        return self._tell_notified(rule._call(records, event_key))

    @api.model
    def _notification_records(self, eval_context):
        """Give the records that an action runs for, with the rights of who runs it."""
        model = eval_context.get("model")
        if model is None:
            model = self.env[self.model_id.model]
        return (eval_context.get("records") or model) | (eval_context.get("record") or model)

    def _tell_notified(self, result):
        """Give the notification on the screen of the person who ran the action.

        :param dict result: as `fire` of triggers gives it
        """
        count, reason = result["count"], result.get("reason")
        if reason:
            _logger.info("Server action %s has queued nothing", self.id)
        return {
            "type": "ir.actions.client",
            "tag": "display_notification",
            "params": {
                "type": "warning" if reason else "success",
                "title": _("Nothing was sent") if reason else _("On their way"),
                "message": reason or _("Messages in the delivery queue: %s", count),
                "next": {"type": "ir.actions.act_window_close"},
            },
        }

    # === NAMES, FROM ODOO 18 ON ===#

    def _name_depends(self):
        return [*super()._name_depends(), "sicantik_rule_id"]

    def _generate_action_name(self):
        if self.state == NOTIFICATION and self.sicantik_rule_id:
            return _("Send WhatsApp: %s", self.sicantik_rule_id.sudo().name)
        return super()._generate_action_name()
