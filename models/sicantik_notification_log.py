from odoo import api, fields, models

from .sicantik_notification_queue import ERROR_CLASSES, PROVIDER_TYPES
from .transaction import committed

KEEP_DAYS = 90
CLEANUP_CHUNK = 10_000


class SicantikNotificationLog(models.Model):
    """What happened: one row per attempt at a provider and one per message that was not sent.

    Written once, by `_record`, and never edited. Ended queue rows may be deleted; their log rows stay.
    """

    _name = "sicantik.notification.log"
    _description = "Notification Log"
    _order = "id desc"
    _rec_name = "phone"

    queue_id = fields.Many2one("sicantik.notification.queue", ondelete="set null", index="btree_not_null")
    rule_id = fields.Many2one("sicantik.notification.rule", ondelete="set null", index="btree_not_null")
    campaign_id = fields.Many2one(
        "sicantik.notification.campaign", ondelete="set null", index="btree_not_null"
    )
    partner_id = fields.Many2one(
        "res.partner", string="Recipient", ondelete="set null", index="btree_not_null"
    )
    phone = fields.Char(index="btree_not_null")
    res_model = fields.Char(string="Model")
    res_id = fields.Many2oneReference(string="Record", model_field="res_model")
    template_key = fields.Char()
    # Of rules that tell once; the memory of it outlives the queue row.
    event_key = fields.Char(index="btree_not_null", readonly=True)
    context_values = fields.Text()
    state = fields.Selection(
        [("sent", "Sent"), ("failed", "Failed"), ("skipped", "Skipped")], string="Status", required=True
    )
    sent_date = fields.Datetime()
    provider_id = fields.Many2one("sicantik.whatsapp.provider", ondelete="set null")
    provider_type = fields.Selection(PROVIDER_TYPES)
    external_message_id = fields.Char(string="Provider Message ID", index="btree_not_null")
    error_message = fields.Text()
    error_class = fields.Selection(ERROR_CLASSES, string="Reason")
    processing_time_ms = fields.Integer(string="Processing Time (ms)")
    attempt = fields.Integer(help="1 for the first attempt at this message, 2 for the next one, …")
    delivery_state = fields.Selection(
        [("accepted", "Accepted"), ("delivered", "Delivered"), ("read", "Read"), ("failed", "Failed")]
    )
    delivered_date = fields.Datetime()
    read_date = fields.Datetime()
    delivery_failed_date = fields.Datetime()
    company_id = fields.Many2one("res.company", index=True)

    @api.model
    def _record(self, vals_list):
        """Write log rows: the one door to this model.

        :param list[dict] vals_list: values of the rows
        :return: the new rows
        """
        return self.sudo().create(vals_list)

    @api.model
    def _record_committed(self, vals_list):
        """Write log rows in a transaction of their own: a message that left did so, whatever becomes of the
        caller's.

        What only the caller's transaction knows (a recipient just created) is left out; the number stays.
        """

        def work(env):
            rows = [dict(vals) for vals in vals_list]
            for name in ("partner_id", "provider_id", "company_id"):
                ids = {row[name] for row in rows if row.get(name)}
                known = set(env[self._fields[name].comodel_name].browse(ids).exists().ids)
                for row in rows:
                    row[name] = row.get(name) in known and row[name]
            env[self._name]._record(rows)

        committed(self.env, work)

    @api.model
    def cron_cleanup_old_logs(self):
        """Scheduled action: delete log rows older than 90 days.

        :return: how many rows were deleted
        :rtype: int
        :raise AccessError: the caller is not a notification manager
        """
        self.env["sicantik.notification.access"]._check_manager()
        limit = fields.Datetime.subtract(fields.Datetime.now(), days=KEEP_DAYS)
        old = self.sudo().search([("create_date", "<", limit)], order="id", limit=CLEANUP_CHUNK)
        count = len(old)
        old.unlink()
        if count == CLEANUP_CHUNK:
            self.env.ref("sicantik_notification_automation.ir_cron_cleanup_logs")._trigger()
        return count
