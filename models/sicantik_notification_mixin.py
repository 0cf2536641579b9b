from collections import Counter

from odoo import api, fields, models

from .sicantik_notification_access import USER

# So many messages of a record are listed on its form; the button beside it leads to all of them.
LISTED = 100


class SicantikNotificationMixin(models.AbstractModel):
    """What a record's form shows of the messages about it, for notification users."""

    _name = "sicantik.notification.mixin"
    _description = "Messages About a Record"

    notification_count = fields.Integer(
        string="Number of Messages", compute="_compute_notification_count", groups=USER
    )
    notification_ids = fields.One2many(
        "sicantik.notification.queue",
        string="Newest Messages",
        compute="_compute_notification_ids",
        groups=USER,
    )

    def _notification_owners(self):
        """Tell whose messages are shown where: on a record are those about it.

        :return: {(model, id of what the message is about): id of the record on which it is shown}
        :rtype: dict
        """
        return {(self._name, record_id): record_id for record_id in self.ids}

    @api.model
    def _notification_domain(self, subjects):
        """Give the domain of the messages about any of these.

        :param subjects: iterable of (model, id)
        """
        by_model = {}
        for model, record_id in subjects:
            by_model.setdefault(model, []).append(record_id)
        domain = ["|"] * (len(by_model) - 1)
        for model, ids in by_model.items():
            domain += ["&", ("res_model", "=", model), ("res_id", "in", ids)]
        return domain

    def _compute_notification_count(self):
        """Count the messages of all records in one grouped query."""
        owners = self._notification_owners()
        counts = Counter()
        if owners:
            groups = self.env["sicantik.notification.queue"]._read_group(
                self._notification_domain(owners), ["res_model", "res_id"], ["__count"]
            )
            for model, record_id, count in groups:
                counts[owners[model, record_id]] += count
        for record in self:
            record.notification_count = counts[record._origin.id]

    def _compute_notification_ids(self):
        """Give the newest messages; one query per record, since it is a form that asks."""
        queue = self.env["sicantik.notification.queue"]
        for record in self:
            owners = record._notification_owners()
            record.notification_ids = (
                queue.search(self._notification_domain(owners), order="id desc", limit=LISTED)
                if owners
                else queue
            )
