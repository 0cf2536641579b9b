import ast
import re

from odoo import api, fields, models

from ..compat import has_access
from .sicantik_notification_queue import DOCUMENT, PERMIT

# As the selection wizard writes it.
SELECTION = re.compile(r"\[\('id', 'in', \[([\d, ]*)\]\)\]")
MODELS = (PERMIT, DOCUMENT, "res.partner")


class SicantikNotificationCampaign(models.Model):
    """What the pages of campaigns need to be filled in easily."""

    _inherit = "sicantik.notification.campaign"

    target_is_plain = fields.Boolean(compute="_compute_target_kind", help="The domain builder can show it.")
    target_is_selection = fields.Boolean(compute="_compute_target_kind")
    target_selected = fields.Integer(string="Chosen Records", compute="_compute_target_kind")

    @api.depends("target_domain", "target_model")
    def _compute_target_kind(self):
        for campaign in self:
            text = (campaign.target_domain or "[]").strip()
            chosen = SELECTION.fullmatch(text)
            campaign.target_is_selection = bool(chosen)
            campaign.target_selected = len(re.findall(r"\d+", chosen[1])) if chosen else 0
            known = bool(campaign.target_model) and campaign.target_model in self.env
            campaign.target_is_plain = known and not chosen and _is_literal(text)

    @api.onchange("rule_id")
    def _onchange_rule_id(self):
        """The records of a campaign are of its rule's model; a domain of another one means nothing."""
        model = self.rule_id.model_name
        if model and model != self.target_model:
            self.target_model = model
            self.target_domain = "[]"

    @api.onchange("target_model")
    def _onchange_target_model(self):
        if self.rule_id and self.rule_id.model_name != self.target_model:
            self.rule_id = False

    @api.model
    def get_target_models(self):
        """Give the models that campaigns may be about: those of triggers, permits, documents, contacts.

        :return: [(technical name, name)] of those that the user may read, by name
        :rtype: list
        :raise AccessError: the user is no notification user
        """
        self.env["sicantik.notification.access"]._check_user()
        triggers = self.env["sicantik.notification.trigger"].sudo()
        groups = triggers._read_group([("model_name", "in", list(self.env))], ["model_name"])
        names = {*MODELS, *(name for (name,) in groups)}
        readable = [name for name in names if has_access(self.env[name], "read")]
        models_ = self.env["ir.model"].sudo().search([("model", "in", readable)], order="name")
        return [(model.model, model.name) for model in models_]

    def action_open_targets(self):
        """Show the records that a campaign is about now, as its user may see them."""
        self.ensure_one()
        domain = self._eval_domain(self.target_domain, self._domain_values())
        return {
            "type": "ir.actions.act_window",
            "name": self.name,
            "res_model": self.target_model,
            "domain": domain,
            "views": [(False, "list"), (False, "form")],
        }


def _is_literal(text):
    """Tell whether a domain has no name in it that only the server knows."""
    try:
        return isinstance(ast.literal_eval(text), list)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return False
