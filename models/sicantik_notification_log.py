import json

from odoo import _, api, fields, models
from odoo.exceptions import UserError

from .opening import open_form
from .sicantik_notification_queue import CHANNELS, ERROR_CLASSES, ONCE, PROVIDER_TYPES, WHATSAPP
from .transaction import committed

NOW = "now() at time zone 'UTC'"
# What a log row says of its message, and of what was done with it; with the types in the database.
MESSAGE = {
    "queue_id": "integer",
    "rule_id": "integer",
    "campaign_id": "integer",
    "partner_id": "integer",
    "channel": "text",
    "phone": "text",
    "email": "text",
    "res_model": "text",
    "res_id": "integer",
    "template_key": "text",
    "event_key": "text",
    "context_values": "text",
    "company_id": "integer",
}
ATTEMPT = {
    "state": "text",
    "sent_date": "timestamp",
    "provider_id": "integer",
    "provider_type": "text",
    "external_message_id": "text",
    "error_message": "text",
    "error_class": "text",
    "processing_time_ms": "integer",
    "attempt": "integer",
    "delivery_state": "text",
}


class SicantikNotificationLog(models.Model):
    """What happened: one row per attempt at a provider and one per message that was not sent.

    Written once, by `_record` and `_record_attempts`, and never edited; only what providers tell afterwards
    (`sicantik.whatsapp.receipt`) is added. Ended queue rows may be deleted; their log rows stay.
    """

    _name = "sicantik.notification.log"
    _description = "Notification Log"
    _inherit = "sicantik.notification.message.mixin"
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
    channel = fields.Selection(CHANNELS, required=True, default=WHATSAPP)
    phone = fields.Char(index="btree_not_null")
    email = fields.Char(string="E-mail Address", index="btree_not_null")
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
    # A second name that a provider has for it (Fonnte's `stateid`), told by webhook.
    external_alias = fields.Char(index="btree_not_null", readonly=True)
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
    advice = fields.Char(string="What to Do", compute="_compute_advice")

    def init(self):
        self.env.cr.execute(
            "ALTER TABLE sicantik_notification_log ALTER COLUMN channel SET DEFAULT 'whatsapp'"
        )

    @api.depends("state", "error_class", "delivery_state")
    def _compute_advice(self):
        """Say what mends a failure, as the queue and the Overview do."""
        mending = self.env["sicantik.notification.mending"]
        for log in self:
            told = log.error_class and (log.state != "sent" or log.delivery_state == "failed")
            log.advice = told and mending._advice(log.error_class)[0]

    def action_open_story(self):
        """Open the whole story of the message that this row is about.

        :raise AccessError: the user is no notification user
        :raise UserError: its queue row has been deleted
        """
        self.env["sicantik.notification.access"]._check_user()
        self.ensure_one()
        if not self.queue_id:
            raise UserError(
                _("The message itself is no longer in the queue. Open this line: it tells what is left.")
            )
        return open_form("sicantik.notification.queue", self.queue_id.id)

    @api.model
    def _delivery_states(self):
        """Give the delivery states with their labels in the user's language."""
        return self._fields["delivery_state"]._description_selection(self.env)

    @api.model
    def _record(self, vals_list):
        """Write log rows about messages that have no queue row, or whose queue row is not written yet.

        :param list[dict] vals_list: values of the columns in MESSAGE and ATTEMPT
        :return: the new rows
        """
        if not vals_list:
            return self.browse()
        columns = {**MESSAGE, **ATTEMPT}
        return self._insert(
            f"SELECT {', '.join(columns)}, %(uid)s, {NOW}, %(uid)s, {NOW} FROM {self._recordset(columns)}",
            columns,
            [{"channel": WHATSAPP, **vals} for vals in vals_list],
        )

    @api.model
    def _record_attempts(self, vals_list):
        """Write log rows of queue rows, from which they take numbers, records and parameters.

        An attempt that is there already is left out: a commit whose answer was lost is done again.

        :param list[dict] vals_list: `queue_id` and values of the columns in ATTEMPT
        """
        if not vals_list:
            return
        once = "CASE WHEN position(%(once)s in q.event_key) > 0 THEN q.event_key END"
        message = [once if name == "event_key" else f"q.{name}" for name in MESSAGE if name != "queue_id"]
        provider = "(SELECT id FROM sicantik_whatsapp_provider WHERE id = given.provider_id)"
        attempt = [provider if name == "provider_id" else f"given.{name}" for name in ATTEMPT]
        self._insert(
            f"""
            SELECT q.id, {", ".join(message)}, {", ".join(attempt)}, %(uid)s, {NOW}, %(uid)s, {NOW}
              FROM {self._recordset({"queue_id": "integer", **ATTEMPT})}
              JOIN sicantik_notification_queue q ON q.id = given.queue_id
             WHERE given.attempt IS NULL OR NOT EXISTS (
                       SELECT 1 FROM sicantik_notification_log l
                        WHERE l.queue_id = given.queue_id AND l.attempt = given.attempt
                          AND l.state = given.state AND l.provider_type = given.provider_type)
            """,
            {**MESSAGE, **ATTEMPT},
            vals_list,
        )

    @api.model
    def _recordset(self, columns):
        types = ", ".join(f"{name} {sql_type}" for name, sql_type in columns.items())
        return f"jsonb_to_recordset(%(rows)s::jsonb) AS given ({types})"

    @api.model
    def _insert(self, select, columns, vals_list):
        """Insert what a SELECT gives for these columns; names are constants of this file."""
        rows = [
            {name: value for name, value in vals.items() if value is not False and value is not None}
            for vals in vals_list
        ]
        self.env.cr.execute(
            f"""
            INSERT INTO sicantik_notification_log
                ({", ".join(columns)}, create_uid, create_date, write_uid, write_date)
            {select} RETURNING id, external_message_id
            """,
            {"uid": self.env.uid, "once": ONCE, "rows": json.dumps(rows, ensure_ascii=False, default=str)},
            log_exceptions=False,  # the server would log the rows, and with them numbers and names
        )
        self.invalidate_model()
        made = self.env.cr.fetchall()
        self.env["sicantik.whatsapp.event"]._awaken([message_id for _id, message_id in made])
        return self.sudo().browse(id_ for id_, _message_id in made)

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
        """Scheduled action: delete old log rows, ended messages and executions, as the settings say.

        :return: how many log rows were deleted
        :rtype: int
        :raise AccessError: the caller is not a notification manager
        """
        self.env["sicantik.notification.access"]._check_manager()
        return self.env["sicantik.notification.cleanup"].sudo()._run().get(self._name, 0)
