import json

from odoo import _, api, fields, models
from odoo.exceptions import UserError, ValidationError

from ..compat import check_access
from ..providers import errors

CRON = "sicantik_notification_automation.ir_cron_process_queue"
WORKERS = "sicantik_notification_worker"

# Part of the event keys of rules with the policy `once`; such a key is given back by who was not told.
ONCE = ":once:"
PROVIDER_TYPES = [
    ("meta", "Meta WhatsApp"),
    ("fonnte", "Fonnte"),
    ("watzap", "Watzap"),
    ("twilio", "Twilio"),
    ("waha", "WAHA"),
]
# Why a message did not go out: what the wire says (providers/errors.py), and what is found before the wire.
ERROR_CLASSES = [
    (errors.RETRY_LATER, "Passing Fault"),
    (errors.RATE_LIMITED, "Rate Limited"),
    (errors.BAD_RECIPIENT, "Recipient Refused"),
    (errors.BAD_TEMPLATE, "Template Refused"),
    (errors.WINDOW_CLOSED, "24 h Window Closed"),
    (errors.ACCOUNT_BLOCKED, "Account Blocked"),
    (errors.BAD_CREDENTIALS, "Credentials Refused"),
    (errors.UNKNOWN, "Refused, Reason Unknown"),
    (errors.INTERRUPTED, "Interrupted: Outcome Unknown"),
    ("limited", "Waiting for Its Turn"),
    ("missing_parameter", "Parameter Missing"),
    ("no_template", "No Such Template"),
    ("no_provider", "No Eligible Provider"),
    ("no_number", "No Usable Number"),
    ("no_recipient", "Nobody to Write To"),
    ("no_opt_in", "Not Opted In"),
    ("blacklisted", "Blacklisted"),
    ("cancelled", "Cancelled"),
]
# Columns that `_enqueue` fills, with their types in the database.
COLUMNS = {
    "rule_id": "integer",
    "campaign_id": "integer",
    "auto_message_id": "integer",
    "partner_id": "integer",
    "phone": "text",
    "res_model": "text",
    "res_id": "integer",
    "permit_id": "integer",
    "document_id": "integer",
    "message_type": "text",
    "template_key": "text",
    "body": "text",
    "event_key": "text",
    "context_values": "text",
    "scheduled_date": "timestamp",
    "priority": "integer",
    "state": "text",
    "error_message": "text",
    "error_class": "text",
    "max_retries": "integer",
    "is_blacklisted": "boolean",
    "company_id": "integer",
}


class SicantikNotificationQueue(models.Model):
    """One message to one person, from the event to its end.

    States and who sets them::

        pending ──claim──► processing ──settle──► sent | failed | skipped | pending (retry)
        pending ──action_cancel──► cancelled
        failed, skipped ──action_retry──► pending

    `scheduled_date` is “not before”, for the first attempt and for retries. The drain
    (`sicantik.notification.drain`) alone claims and settles. Columns are few on purpose, and so are indexes:
    rows are written several times each.
    """

    _name = "sicantik.notification.queue"
    _description = "Notification Queue"
    _order = "id desc"
    _rec_names_search = ["phone", "template_key"]

    name = fields.Char(compute="_compute_name")
    rule_id = fields.Many2one("sicantik.notification.rule", ondelete="set null", index="btree_not_null")
    campaign_id = fields.Many2one(
        "sicantik.notification.campaign", ondelete="set null", index="btree_not_null"
    )
    auto_message_id = fields.Many2one("sicantik.auto.message", ondelete="set null", index="btree_not_null")
    company_id = fields.Many2one("res.company")

    # Who
    partner_id = fields.Many2one(
        "res.partner", string="Recipient", ondelete="set null", index="btree_not_null"
    )
    phone = fields.Char(help="The recipient's number at the time of queueing, as E.164.")
    is_blacklisted = fields.Boolean(readonly=True)

    # About what
    res_model = fields.Char(string="Model", readonly=True)
    res_id = fields.Many2oneReference(string="Record", model_field="res_model", readonly=True)
    permit_id = fields.Many2one("sicantik.permit", ondelete="set null", index="btree_not_null")
    document_id = fields.Many2one("sicantik.document", ondelete="set null", index="btree_not_null")
    event_key = fields.Char(
        copy=False, readonly=True, help="The same event never queues the same message twice."
    )

    # What
    message_type = fields.Selection(
        [("template", "Template"), ("text", "Text")], required=True, default="template"
    )
    template_key = fields.Char()
    body = fields.Text()
    context_values = fields.Text(
        default="{}", help='The parameters as a JSON object: {"partner_name": "Ani"}'
    )

    # When
    scheduled_date = fields.Datetime(required=True, default=fields.Datetime.now)
    priority = fields.Integer(default=5, help="Larger goes first.")
    next_retry_date = fields.Datetime(readonly=True, copy=False)

    # How it went
    state = fields.Selection(
        [
            ("pending", "Pending"),
            ("processing", "Processing"),
            ("sent", "Sent"),
            ("failed", "Failed"),
            ("cancelled", "Cancelled"),
            ("skipped", "Skipped"),
        ],
        string="Status",
        required=True,
        default="pending",
        readonly=True,
        copy=False,
    )
    sent_date = fields.Datetime(readonly=True, copy=False)
    provider_id = fields.Many2one(
        "sicantik.whatsapp.provider", ondelete="set null", readonly=True, copy=False
    )
    provider_type = fields.Selection(PROVIDER_TYPES, readonly=True, copy=False)
    external_message_id = fields.Char(string="Provider Message ID", readonly=True, copy=False)
    error_message = fields.Text(readonly=True, copy=False)
    error_class = fields.Selection(ERROR_CLASSES, string="Reason", readonly=True, copy=False)
    retry_count = fields.Integer(readonly=True, copy=False)
    max_retries = fields.Integer(default=3)
    attempt_count = fields.Integer(string="Attempts", readonly=True, copy=False)
    processing_time_ms = fields.Integer(string="Processing Time (ms)", readonly=True, copy=False)

    # The claim
    worker = fields.Integer(readonly=True, copy=False, help="Number of the drain that has it.")
    lease_until = fields.Datetime(
        readonly=True, copy=False, help="An answer has come by then, or never will."
    )
    interrupted_count = fields.Integer(readonly=True, copy=False, help="How many workers died with it.")
    log_ids = fields.One2many("sicantik.notification.log", "queue_id", readonly=True)

    _sql_constraints = [
        ("event_key_unique", "UNIQUE (event_key)", "This event has queued this message already."),
    ]

    def init(self):
        """The claim reads due rows in its own order, the rescue those under a claim; both are few among
        many. Workers take their numbers from a sequence.
        """
        self.env.cr.execute(
            f"""
            CREATE INDEX IF NOT EXISTS sicantik_notification_queue_due
                ON sicantik_notification_queue (priority DESC, scheduled_date, id) WHERE state = 'pending';
            CREATE INDEX IF NOT EXISTS sicantik_notification_queue_claimed
                ON sicantik_notification_queue (worker) WHERE state = 'processing';
            CREATE SEQUENCE IF NOT EXISTS {WORKERS} MAXVALUE 2147483647 CYCLE;
            """
        )

    # === COMPUTES AND CONSTRAINTS ===#

    @api.depends("template_key", "message_type", "partner_id", "phone")
    def _compute_name(self):
        for row in self:
            what = row.template_key if row.message_type == "template" else _("Text")
            who = row.partner_id.display_name or row.phone or _("nobody")
            row.name = f"{what or '–'} → {who}"

    @api.depends("name")
    def _compute_display_name(self):
        for row in self:
            row.display_name = row.name

    @api.constrains("context_values")
    def _check_context_values(self):
        for row in self:
            row._context_dict()

    def _context_dict(self):
        """Read the parameters; see `_read_context`."""
        self.ensure_one()
        return self._read_context(self.context_values)

    @api.model
    def _read_context(self, text):
        """Read the parameters of a message.

        :param str text: what `context_values` holds
        :rtype: dict
        :raise ValidationError: it is not a JSON object
        """
        try:
            values = json.loads(text or "{}")
        except ValueError:
            values = None
        if not isinstance(values, dict):
            raise ValidationError(
                _(
                    'The context values must be a JSON object, such as {"partner_name": "Ani"}: %s',
                    text,
                )
            )
        return values

    @api.onchange("rule_id")
    def _onchange_rule_id(self):
        if self.rule_id:
            self.template_key = self.rule_id.template_key
            self.max_retries = self.rule_id.max_retries

    # === CRUD ===#

    @api.model_create_multi
    def create(self, vals_list):
        """Queue messages by hand. Programs with many of them use `_enqueue`."""
        vals_list = [self._prepare_manual(vals) for vals in vals_list]
        rows = super().create(vals_list)
        now = fields.Datetime.now()
        if any(row.state == "pending" and row.scheduled_date <= now for row in rows):
            self._wake_cron()
        return rows

    def write(self, vals):
        vals = self._with_json(vals)
        if vals.get("phone"):
            vals = {**vals, "phone": self._checked_phone(vals["phone"])}
        elif vals.get("partner_id"):
            vals = {**vals, "phone": self.env["res.partner"].browse(vals["partner_id"]).whatsapp_e164}
        return super().write(vals)

    @api.model
    def _checked_phone(self, number):
        """Give a number as E.164.

        :raise ValidationError: it is no phone number
        """
        phone = self.env["sicantik.notification.blacklist"]._to_e164(number)
        if not phone:
            raise ValidationError(_("“%s” is not a phone number. Write it as 0812… or +62 812….", number))
        return phone

    @api.model
    def _with_json(self, vals):
        """Take `context_values` as a dict too."""
        if isinstance(vals.get("context_values"), dict):
            vals = {
                **vals,
                "context_values": json.dumps(vals["context_values"], ensure_ascii=False, default=str),
            }
        return vals

    @api.model
    def _prepare_manual(self, vals):
        vals = self._with_json(dict(vals))
        rule = self.env["sicantik.notification.rule"].browse(vals.get("rule_id"))
        partner = self.env["res.partner"].browse(vals.get("partner_id"))
        if rule:
            vals.setdefault("template_key", rule.template_key)
            vals.setdefault("max_retries", rule.max_retries)
        if vals.get("phone"):
            vals["phone"] = self._checked_phone(vals["phone"])
        elif partner:
            vals["phone"] = partner.whatsapp_e164
        vals.setdefault("company_id", (partner.company_id or self.env.company).id)
        return vals

    def unlink(self):
        """Delete ended messages; what they count in totals stays."""
        self.env["sicantik.notification.tally"].sudo()._count_deleted(self)
        return super().unlink()

    @api.ondelete(at_uninstall=False)
    def _unlink_except_under_way(self):
        if any(row.state in ("pending", "processing") for row in self):
            raise UserError(_("Messages that are still to be sent cannot be deleted. Cancel them first."))

    # === THE DOOR FOR PROGRAMS ===#

    @api.model
    def _enqueue(self, rows):
        """Insert queue rows in one statement; a row whose event key is there already is left out.

        Skipped rows get their log row here. Rows that are due now wake the scheduled action when the
        transaction commits.

        :param list[dict] rows: values of columns named in `COLUMNS`; each with its own `event_key`
        :return: {record id: [ids of the rows that were made]}
        :rtype: dict
        """
        if not rows:
            return {}
        rows = self._without_told(rows)
        columns = ", ".join(COLUMNS)
        types = ", ".join(f"{name} {sql_type}" for name, sql_type in COLUMNS.items())
        data = json.dumps(
            [{name: row.get(name) for name in COLUMNS} for row in rows], ensure_ascii=False, default=str
        )
        # Both lists of names are constants of this file.
        self.env.cr.execute(
            f"""
            INSERT INTO sicantik_notification_queue
                ({columns}, retry_count, attempt_count, create_uid, create_date, write_uid, write_date)
            SELECT {columns}, 0, 0, %(uid)s, now() at time zone 'UTC', %(uid)s, now() at time zone 'UTC'
              FROM jsonb_to_recordset(%(rows)s::jsonb) AS given ({types})
            ON CONFLICT (event_key) DO NOTHING
            RETURNING id, event_key
            """,
            {"uid": self.env.uid, "rows": data},
            log_exceptions=False,  # the server would log the rows, and with them numbers and names
        )
        ids = {key: id_ for id_, key in self.env.cr.fetchall()}
        made = {}
        for row in rows:
            row["id"] = ids.get(row["event_key"])
            if row["id"]:
                made.setdefault(row["res_id"], []).append(row["id"])
        new = [row for row in rows if row["id"]]
        self.env["sicantik.notification.log"]._record(
            [self._prepare_skip_log(row) for row in new if row["state"] == "skipped"]
        )
        self._forget_counters()
        now = fields.Datetime.now()
        if any(row["state"] == "pending" and row["scheduled_date"] <= now for row in new):
            self._wake_cron()
        return made

    @api.model
    def _without_told(self, rows):
        """Leave out what a rule with the policy `once` has told already, also when its queue row is
        deleted.
        """
        keys = [row["event_key"] for row in rows if ONCE in row["event_key"]]
        if not keys:
            return rows
        told = (
            self.env["sicantik.notification.log"]
            .sudo()
            ._read_group([("event_key", "in", keys), ("state", "=", "sent")], ["event_key"])
        )
        told = {key for (key,) in told}
        return [row for row in rows if row["event_key"] not in told]

    @api.model
    def _forget_counters(self):
        """Drop from the cache what is read from rows, after rows were written by SQL."""
        self.env["sicantik.notification.rule"].invalidate_model(
            ["queue_ids", "log_ids", "success_count", "failed_count"]
        )
        self.env["sicantik.notification.campaign"].invalidate_model(
            [
                "queue_ids",
                "log_ids",
                "total_targets",
                "total_sent",
                "total_failed",
                "total_skipped",
                "total_pending",
                "progress_percentage",
            ]
        )

    @api.model
    def _prepare_skip_log(self, row):
        names = (
            "rule_id campaign_id partner_id phone res_model res_id template_key context_values error_message "
            "error_class company_id"
        ).split()
        return {"queue_id": row["id"], "state": "skipped", **{name: row.get(name) for name in names}}

    @api.model
    def _take_back(self, ids):
        """Delete rows, and their log, that this very transaction made too early (see `base.py`)."""
        if not ids:
            return
        cr = self.env.cr
        cr.execute("DELETE FROM sicantik_notification_log WHERE queue_id = ANY(%s)", [list(ids)])
        cr.execute("DELETE FROM sicantik_notification_queue WHERE id = ANY(%s)", [list(ids)])
        self.env.invalidate_all(flush=False)

    @api.model
    def _wake_cron(self, at=None):
        """Make the scheduled action run as soon as this transaction has committed, or at a time.

        :param datetime at: UTC; in the past and None mean now
        """
        cron = self.env.ref(CRON, raise_if_not_found=False)
        if not cron:
            return
        if not at or at <= fields.Datetime.now():
            cron.sudo()._trigger()
        elif not (
            self.env["ir.cron.trigger"]
            .sudo()
            .search_count([("cron_id", "=", cron.id), ("call_at", "<=", at)], limit=1)
        ):
            cron.sudo()._trigger(at)

    # === ACTIONS ===#

    def _check_may_run(self):
        self.env["sicantik.notification.access"]._check_user()
        check_access(self, "read")

    def action_process(self):
        """Send now what is pending, whatever its schedule says; limits and the blacklist hold.

        Rows that this transaction has only just made are sent when it commits.
        """
        self._check_may_run()
        rows = self.filtered(lambda row: row.state == "pending")
        if not rows:
            return self._tell_states()
        self.env.flush_all()
        self.env["sicantik.notification.drain"].sudo()._process(rows.ids)
        self.invalidate_recordset()
        return True

    def _tell_states(self):
        """Say how messages stand that a button found done already: the scheduled action was quicker."""
        labels = dict(self._fields["state"]._description_selection(self.env))
        return {
            "type": "ir.actions.client",
            "tag": "display_notification",
            "params": {
                "type": "warning",
                "title": _("Nothing to send"),
                "message": "\n".join(f"{row.name}: {labels[row.state]}" for row in self),
                "next": {"type": "ir.actions.client", "tag": "soft_reload"},
            },
        }

    def action_retry(self):
        """Put failed and skipped messages back into the queue, with all their attempts before them."""
        self._check_may_run()
        rows = self.sudo().filtered(lambda row: row.state in ("failed", "skipped"))
        if not rows:
            raise UserError(_("Only failed and skipped messages can be tried again."))
        for row in rows:
            if not row.phone and row.partner_id.whatsapp_e164:
                row.phone = row.partner_id.whatsapp_e164
        rows._take_keys_again()
        rows.write(
            {
                "state": "pending",
                "scheduled_date": fields.Datetime.now(),
                "retry_count": 0,
                "interrupted_count": 0,
                "worker": False,
                "next_retry_date": False,
                "error_message": False,
                "error_class": False,
                "is_blacklisted": False,
            }
        )
        rows._wake_cron()
        return True

    def _take_keys_again(self):
        """Make rows that are tried again count as the message that is sent once; one that another row sends
        stays.

        :raise UserError: another row has been made for the same record and recipient
        """
        for row in self:
            given_back = f":{row.id}"
            if ONCE in (row.event_key or "") and row.event_key.endswith(given_back):
                key = row.event_key.removesuffix(given_back)
                if self.search_count([("event_key", "=", key)], limit=1):
                    raise UserError(_("“%s” is in the queue a second time: retry that message.", row.name))
                row.event_key = key

    def action_cancel(self):
        """Cancel what has not left yet."""
        self._check_may_run()
        rows = self.sudo().filtered(lambda row: row.state == "pending")
        if not rows:
            raise UserError(_("Only pending messages can be cancelled."))
        reason = _("Cancelled by %s", self.env.user.name)
        rows.write({"state": "cancelled", "error_class": "cancelled", "error_message": reason})
        for row in rows.filtered(lambda row: ONCE in (row.event_key or "")):
            row.event_key = f"{row.event_key}:{row.id}"
        self.env["sicantik.notification.log"]._record(
            [self._prepare_skip_log({**row._log_values(), "id": row.id}) for row in rows]
        )
        return True

    def _log_values(self):
        self.ensure_one()
        return {
            **{name: self[name].id for name in ("rule_id", "campaign_id", "partner_id", "company_id")},
            "event_key": self.event_key if ONCE in (self.event_key or "") else False,
            **{
                name: self[name]
                for name in (
                    "phone",
                    "res_model",
                    "res_id",
                    "template_key",
                    "context_values",
                    "error_message",
                    "error_class",
                )
            },
        }

    # === SCHEDULED ACTION ===#

    @api.model
    def cron_process_queue(self):
        """Scheduled action: send what is due, within a budget of time, or have lanes of jobs do it.

        :return: {"processed", "sent", "failed", "skipped"}: how many rows
        :rtype: dict
        :raise AccessError: the caller is not a notification manager
        """
        self.env["sicantik.notification.access"]._check_manager()
        return self.env["sicantik.notification.lane"].sudo()._drain_or_start()
