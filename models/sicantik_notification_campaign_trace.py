from collections import defaultdict

from odoo import api, fields, models

from ..compat import has_access


class SicantikNotificationQueue(models.Model):
    """What the list of a campaign's recipients says beyond the row itself."""

    _inherit = "sicantik.notification.queue"

    subject_name = fields.Char(string="About", compute="_compute_subject_name")

    @api.depends("res_model", "res_id")
    @api.depends_context("lang", "uid")
    def _compute_subject_name(self):
        """Name what messages are about, as far as the user may read them. One search per model."""
        ids = defaultdict(set)
        for row in self:
            if row.res_model in self.env and row.res_id:
                ids[row.res_model].add(row.res_id)
        names = {}
        for model, res_ids in ids.items():
            records = self.env[model].with_context(active_test=False)
            if has_access(records, "read"):
                found = records.search([("id", "in", list(res_ids))])
                names.update({(model, record.id): record.display_name for record in found})
        for row in self:
            row.subject_name = names.get((row.res_model, row.res_id), False)
