import json
from collections import Counter
from collections.abc import Collection
from datetime import timedelta

from odoo import _, api, fields, models
from odoo.exceptions import UserError, ValidationError
from odoo.tools import email_normalize

from ..compat import check_access
from ..providers import errors
from .road import EMAIL
from .unchecked import UncheckedMany2one

PERMIT, DOCUMENT = "sicantik.permit", "sicantik.document"
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
WHATSAPP = "whatsapp"
CHANNELS = [(WHATSAPP, "WhatsApp"), (EMAIL, "E-mail")]
# Which field says where a message of a channel goes.
ADDRESS = {WHATSAPP: "phone", EMAIL: "email"}
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
    ("quiet_hours", "Quiet Hours"),
    ("capped", "Frequency Cap"),
    ("missing_parameter", "Parameter Missing"),
    ("no_template", "No Such Template"),
    ("no_provider", "No Eligible Provider"),
    ("no_number", "No Usable Number"),
    ("no_email", "No E-mail Address"),
    ("no_record", "Record Deleted"),
    ("no_recipient", "Nobody to Write To"),
    ("no_opt_in", "Not Opted In"),
    ("blacklisted", "Blacklisted"),
    ("cancelled", "Cancelled"),
]
# Fields that say what a message is about.
SUBJECT = {"res_model", "res_id", "permit_id", "document_id"}
# Key of the context in which a person wants messages sent at once, also in quiet hours.
AT_ONCE = "sicantik_at_once"
# Columns that `_enqueue` fills, with their types in the database.
COLUMNS = {
    "id": "integer",
    "rule_id": "integer",
    "campaign_id": "integer",
    "auto_message_id": "integer",
    "partner_id": "integer",
    "channel": "text",
    "phone": "text",
    "email": "text",
    "res_model": "text",
    "res_id": "integer",
    "message_type": "text",
    "template_key": "text",
    "body": "text",
    "event_key": "text",
    "cooldown_key": "text",
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
    _inherit = "sicantik.notification.message.mixin"
    _order = "id desc"
    _rec_names_search = ["phone", "email", "template_key"]
    _log_access = False

    name = fields.Char(compute="_compute_name")
    # Without an index: most rows belong to a few rules, so it would seldom spare reading the table.
    rule_id = UncheckedMany2one("sicantik.notification.rule", ondelete="set null")
    campaign_id = UncheckedMany2one(
        "sicantik.notification.campaign", ondelete="set null", index="btree_not_null"
    )
    auto_message_id = fields.Many2one("sicantik.auto.message", ondelete="set null", index="btree_not_null")
    company_id = UncheckedMany2one("res.company", ondelete="set null")

    # Who
    partner_id = fields.Many2one(
        "res.partner", string="Recipient", ondelete="set null", index="btree_not_null"
    )
    channel = fields.Selection(CHANNELS, required=True, default=WHATSAPP, readonly=True)
    phone = fields.Char(help="The recipient's number at the time of queueing, as E.164.")
    email = fields.Char(string="E-mail Address", help="The recipient's address at the time of queueing.")
    is_blacklisted = fields.Boolean(readonly=True)

    # About what
    res_model = fields.Char(string="Model", readonly=True)
    res_id = fields.Many2oneReference(string="Record", model_field="res_model", readonly=True, index=True)
    permit_id = fields.Many2one(
        "sicantik.permit",
        compute="_compute_permit_id",
        inverse="_inverse_subject",
        search="_search_permit_id",
        compute_sudo=True,
    )
    document_id = fields.Many2one(
        "sicantik.document",
        compute="_compute_document_id",
        inverse="_inverse_subject",
        search="_search_document_id",
        compute_sudo=True,
    )
    event_key = fields.Char(
        copy=False, readonly=True, help="The same event never queues the same message twice."
    )

    cooldown_key = fields.Char(copy=False, readonly=True, help="The message that this one comes after.")

    # What
    message_type = fields.Selection(
        [("template", "Template"), ("text", "Text")], required=True, default="template"
    )
    template_key = fields.Char()
    body = fields.Text()
    context_values = fields.Text(
        default="{}", help='The parameters as a JSON object: {"partner_name": "Ani"}'
    )

    # When. Who wrote a row is not kept: two foreign keys for what nobody reads.
    create_date = fields.Datetime(string="Created on", default=fields.Datetime.now, readonly=True, copy=False)
    write_date = fields.Datetime(
        string="Last Updated on", default=fields.Datetime.now, readonly=True, copy=False
    )
    scheduled_date = fields.Datetime(required=True, default=fields.Datetime.now)
    priority = fields.Integer(required=True, default=5, help="Larger goes first.")
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
        group_expand=True,
        readonly=True,
        copy=False,
    )
    sent_date = fields.Datetime(readonly=True, copy=False)
    provider_id = fields.Many2one(
        "sicantik.whatsapp.provider", ondelete="set null", readonly=True, copy=False
    )
    provider_type = fields.Selection(PROVIDER_TYPES, readonly=True, copy=False)
    external_message_id = fields.Char(string="Provider Message ID", readonly=True, copy=False)
    late_provider_id = fields.Many2one(
        "sicantik.whatsapp.provider",
        string="Refused Late By",
        ondelete="set null",
        readonly=True,
        copy=False,
        help="It took the message and refused it afterwards. Once, such a message goes on without it.",
    )
    error_message = fields.Text(readonly=True, copy=False)
    error_class = fields.Selection(ERROR_CLASSES, string="Reason", readonly=True, copy=False)
    retry_count = fields.Integer(readonly=True, copy=False)
    max_retries = fields.Integer(default=3)
    attempt_count = fields.Integer(string="Attempts", readonly=True, copy=False)
    processing_time_ms = fields.Integer(string="Processing Time (ms)", readonly=True, copy=False)

    # The claim
    worker = fields.Integer(readonly=True, copy=False, help="Number of the drain that has it.")
    held = fields.Boolean(readonly=True, copy=False, help="Its campaign is paused.")
    lease_until = fields.Datetime(
        readonly=True, copy=False, help="An answer has come by then, or never will."
    )
    interrupted_count = fields.Integer(readonly=True, copy=False, help="How many workers died with it.")
    counted_on = fields.Date(
        readonly=True, copy=False, help="The day on which it is one of its recipient's messages."
    )
    log_ids = fields.One2many("sicantik.notification.log", "queue_id", readonly=True)
    delivery_state = fields.Selection(
        selection=lambda self: self.env["sicantik.notification.log"]._delivery_states(),
        string="Delivery",
        compute="_compute_delivery_state",
    )

    # For the person who looks at it
    trigger_id = fields.Many2one("sicantik.notification.trigger", compute="_compute_trigger_id")
    next_step = fields.Char(string="What Comes Next", compute="_compute_next_step")
    remedy = fields.Char(compute="_compute_next_step")
    can_process = fields.Boolean(compute="_compute_can")
    can_retry = fields.Boolean(compute="_compute_can")

    _sql_constraints = [
        ("event_key_unique", "UNIQUE (event_key)", "This event has queued this message already."),
    ]

    def init(self):
        """The claim reads due rows in its own order, but for those of paused campaigns; the rescue those
        under a claim; all are few among many, and so are rows of rules with a cooldown. Rows that count for a
        frequency cap are looked for by number; without a cap there are none. Workers take their numbers from
        a sequence.
        """
        self.env.cr.execute(
            """
            DROP INDEX IF EXISTS sicantik_notification_queue_due;
            CREATE INDEX IF NOT EXISTS sicantik_notification_queue_claimable
                ON sicantik_notification_queue (priority DESC, scheduled_date, id)
             WHERE state = 'pending' AND held IS NOT TRUE;
            CREATE INDEX IF NOT EXISTS sicantik_notification_queue_held
                ON sicantik_notification_queue (campaign_id, priority DESC, scheduled_date, id) WHERE held;
            CREATE INDEX IF NOT EXISTS sicantik_notification_queue_claimed
                ON sicantik_notification_queue (worker) WHERE state = 'processing';
            CREATE INDEX IF NOT EXISTS sicantik_notification_queue_counted
                ON sicantik_notification_queue (phone, counted_on) WHERE counted_on IS NOT NULL;
            CREATE UNIQUE INDEX IF NOT EXISTS sicantik_notification_queue_cooldown
                ON sicantik_notification_queue (cooldown_key) WHERE cooldown_key IS NOT NULL;
            CREATE SEQUENCE IF NOT EXISTS sicantik_notification_worker MAXVALUE 2147483647 CYCLE;
            ALTER TABLE sicantik_notification_queue ALTER COLUMN channel SET DEFAULT 'whatsapp';
            """
        )

    # === COMPUTES AND CONSTRAINTS ===#

    @api.depends("template_key", "message_type", "partner_id", "phone", "channel", "email")
    def _compute_name(self):
        for row in self:
            what = row.template_key if row.message_type == "template" else _("Text")
            if row.channel == EMAIL:
                what = _("E-mail")
            who = row.partner_id.display_name or row.phone or row.email or _("nobody")
            row.name = f"{what or '–'} → {who}"

    @api.depends("name")
    def _compute_display_name(self):
        for row in self:
            # Without one, the form of a row that is not saved yet says "New".
            row.display_name = row.name if row.id else False

    def _compute_delivery_state(self):
        """Say what the provider has told of the newest attempt that it took."""
        logs = self.env["sicantik.notification.log"].search_fetch(
            [("queue_id", "in", self.ids), ("delivery_state", "!=", False)],
            ["queue_id", "delivery_state"],
            order="id",
        )
        told = {log.queue_id.id: log.delivery_state for log in logs}
        for row in self:
            row.delivery_state = told.get(row._origin.id, False)

    # Not of the rule's or the campaign's fields: a change there would read all of its rows.
    @api.depends("rule_id")
    def _compute_trigger_id(self):
        for row in self:
            row.trigger_id = row.rule_id.trigger_id

    @api.depends("state", "error_class", "scheduled_date", "next_retry_date")
    def _compute_next_step(self):
        """Say what becomes of a message that waits, or what mends one that did not go out."""
        mending = self.env["sicantik.notification.mending"]
        for row in self:
            row.next_step = row.remedy = False
            if row.state == "pending" and row._origin:
                row.next_step = self.env["sicantik.notification.story"]._next_step(row)
            elif row.state in ("failed", "skipped"):
                row.next_step, row.remedy = mending._advice(row.error_class)

    @api.depends("state")
    def _compute_can(self):
        """Tell which buttons would do something."""
        for row in self:
            campaign = row.campaign_id.state
            row.can_process = row.state == "pending" and campaign not in ("paused", "cancelled")
            row.can_retry = row.state in ("failed", "skipped") and campaign != "cancelled"

    @api.depends("res_model", "res_id")
    def _compute_permit_id(self):
        permits = set(self._subjects(PERMIT).ids)
        of_documents = {document.id: document.permit_id for document in self._subjects(DOCUMENT)}
        for row in self:
            if row.res_model == DOCUMENT:
                row.permit_id = of_documents.get(row.res_id, False)
            else:
                row.permit_id = row.res_model == PERMIT and row.res_id in permits and row.res_id

    @api.depends("res_model", "res_id")
    def _compute_document_id(self):
        documents = set(self._subjects(DOCUMENT).ids)
        for row in self:
            row.document_id = row.res_model == DOCUMENT and row.res_id in documents and row.res_id

    def _subjects(self, model):
        """Give the records of a model that the rows are about, as far as they are still there."""
        return self.env[model].browse({row.res_id for row in self if row.res_model == model}).exists()

    def _inverse_subject(self):
        """Make rows be about a document or a permit. The permit that a document has says nothing new."""
        for row in self:
            permit, document = row.permit_id, row.document_id
            subject = document if document and (not permit or permit == document.permit_id) else permit
            if subject:
                row.write({"res_model": subject._name, "res_id": subject.id})
            elif row.res_model in (PERMIT, DOCUMENT):
                row.write({"res_model": False, "res_id": False})

    @api.model
    def _search_permit_id(self, operator, value):
        return self._search_subject(PERMIT, operator, value)

    @api.model
    def _search_document_id(self, operator, value):
        return self._search_subject(DOCUMENT, operator, value)

    @api.model
    def _search_subject(self, model, operator, value):
        """Search rows by the permits or documents that they are about.

        :return: a domain on rows
        :rtype: list
        """
        negative = operator in ("!=", "<>") or operator.startswith("not ")
        operator = "=" if operator in ("!=", "<>") else operator.removeprefix("not ")
        # With the rights of the user: what the system finds by a field tells its value.
        records = self.env[model].with_context(active_test=False)
        several = isinstance(value, Collection) and not isinstance(value, str)
        values = list(value) if several else [value]
        empty = False
        if operator.startswith("any"):
            found = records.search(value)
        elif any(isinstance(one, str) for one in values):
            names = [pair for one in values for pair in records.name_search(one, None, operator, limit=None)]
            found = records.browse(id_ for id_, _name in names)
        elif operator in ("=", "in") and all(isinstance(one, int | None) for one in values):
            found = records.browse(one for one in values if one)
            empty = not all(values)
        else:
            found = records.search([("id", operator, value)])
        domain = self._about(found)
        if empty:
            domain = ["|", *domain, "!", *self._about(records.search([]))]
        return ["!", *domain] if negative else domain

    @api.model
    def _about(self, records):
        """Give the domain of the rows about permits, also by their documents, or about documents."""
        rows = ["&", ("res_model", "=", records._name), ("res_id", "in", records.ids)]
        if records._name == DOCUMENT:
            return rows
        documents = self.env[DOCUMENT].sudo().with_context(active_test=False)
        documents = documents.search([("permit_id", "in", records.ids)])
        return ["|", *rows, *self._about(documents)]

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
        except (ValueError, RecursionError):
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
        rows._check_may_read_subjects()
        now = fields.Datetime.now()
        if any(row.state == "pending" and row.scheduled_date <= now for row in rows):
            self._wake_cron()
        return rows

    def write(self, vals):
        self._check_there(vals)
        vals = {**self._with_json(vals), "write_date": fields.Datetime.now()}
        if vals.get("phone"):
            vals = {**vals, "phone": self._checked_phone(vals["phone"])}
        elif vals.get("partner_id"):
            vals = {**vals, "phone": self.env["res.partner"].browse(vals["partner_id"]).whatsapp_e164}
        if vals.get("email"):
            vals = {**vals, "email": self._checked_email(vals["email"])}
        emails = self.filtered(lambda row: vals.get("channel", row.channel) == EMAIL)
        result = super(SicantikNotificationQueue, self - emails).write(vals)
        if emails:
            result = super(SicantikNotificationQueue, emails).write(self._with_address(vals))
        if not SUBJECT.isdisjoint(vals) or emails:
            self._check_may_read_subjects()
        return result

    @api.model
    def _with_address(self, vals):
        """Give the values of an e-mail, which goes to an address and not to a number."""
        vals = {**vals, "phone": False} if "phone" in vals else vals
        if vals.get("partner_id") and not vals.get("email"):
            partner = self.env["res.partner"].browse(vals["partner_id"])
            vals = {**vals, "email": partner.email_normalized}
        return vals

    def _check_may_read_subjects(self):
        """Refuse who queues a message about what they may not read: an e-mail is written from its record, and
        the row shows the name of a permit or document.

        :raise AccessError: the user may not read one of the records
        """
        if self.env.su:
            return
        ids = {}
        for row in self:
            if row.res_id and row.res_model in self.env:
                ids.setdefault(row.res_model, set()).add(row.res_id)
        for model, of_model in ids.items():
            check_access(self.env[model].browse(of_model).exists(), "read")

    @api.model
    def _check_there(self, vals):
        """Do what the foreign keys of unchecked fields would do, and refuse what messages by hand are not to
        be counted for: a campaign, say, of another company.

        :raise ValidationError: a record to be referred to is not there
        :raise AccessError: the user may not read it
        """
        for name, field in self._fields.items():
            if (isinstance(field, UncheckedMany2one) or name == "auto_message_id") and vals.get(name):
                record = self.env[field.comodel_name].browse(vals[name])
                if not record.sudo().exists():
                    raise ValidationError(
                        _("There is no record with the id %s. Choose another one.", vals[name])
                    )
                if not self.env.su:
                    check_access(record, "read")

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
    def _checked_email(self, address):
        """Give an e-mail address in its normal form.

        :raise ValidationError: it is no e-mail address
        """
        email = email_normalize(address)
        if not email:
            raise ValidationError(_("“%s” is not an e-mail address. Write it as name@example.com.", address))
        return email

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
        self._check_there(vals)
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
        if vals.get("email"):
            vals["email"] = self._checked_email(vals["email"])
        if vals.get("channel") == EMAIL:
            vals = self._with_address(vals)
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
        """Insert queue rows in one statement; a row whose event or cooldown key is there already is left out.

        Skipped rows get their log row here. Rows that are due now wake the scheduled action when the
        transaction commits.

        The columns `rule_id`, `campaign_id` and `company_id` have no foreign keys. What guards them is
        another row of the same transaction: a rule's journal, the lock on the campaign, the company of
        the record. Whoever deletes one of them at the same time fails on that row and tries again.

        :param list[dict] rows: values of columns named in `COLUMNS`
        :return: {record id: [ids of the rows that were made]}
        :rtype: dict
        """
        rows = self._without_told(rows)
        if not rows:
            return {}
        for row in rows:
            row.setdefault("channel", WHATSAPP)
        # Ids beforehand: which row got which one cannot be told from what an INSERT returns.
        self.env.cr.execute(
            "SELECT nextval('sicantik_notification_queue_id_seq') FROM generate_series(1, %s)", [len(rows)]
        )
        for row, (id_,) in zip(rows, self.env.cr.fetchall(), strict=True):
            row["id"] = id_
        values = {name: {row.get(name) for row in rows} for name in COLUMNS}
        same = {name: value for name, (value, *others) in values.items() if not others}
        same.pop("id", None)
        own = [name for name in COLUMNS if name not in same]
        types = ", ".join(f"{name} {COLUMNS[name]}" for name in own)
        data = json.dumps(
            [{name: row.get(name) for name in own} for row in rows], ensure_ascii=False, default=str
        )
        # All names are constants of this file.
        self.env.cr.execute(
            f"""
            INSERT INTO sicantik_notification_queue
                   ({", ".join([*own, *same])}, retry_count, attempt_count, create_date, write_date)
            SELECT {", ".join([*own, *(f"%({name})s::{COLUMNS[name]}" for name in same)])}, 0, 0,
                   now() at time zone 'UTC', now() at time zone 'UTC'
              FROM jsonb_to_recordset(%(rows)s::jsonb) AS given ({types})
            ON CONFLICT DO NOTHING
            RETURNING id
            """,
            {**same, "rows": data},
            log_exceptions=False,  # the server would log the rows, and with them numbers and names
        )
        ids = {id_ for (id_,) in self.env.cr.fetchall()}
        made = {}
        new = [row for row in rows if row["id"] in ids]
        for row in new:
            made.setdefault(row["res_id"], []).append(row["id"])
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
        told = self._told_by_log(rows)
        return [row for row in rows if row.get("event_key") not in told] if told else rows

    @api.model
    def _told_by_log(self, rows):
        """Give the event keys of those rows of rules with the policy `once` that the log knows as told; what
        may have left counts as told.

        :rtype: set
        """
        keys = [row["event_key"] for row in rows if ONCE in (row.get("event_key") or "")]
        if not keys:
            return set()
        sent = ["&", ("state", "=", "sent"), ("delivery_state", "!=", "failed")]
        told = ["|", *sent, ("error_class", "=", errors.INTERRUPTED)]
        groups = (
            self.env["sicantik.notification.log"]
            .sudo()
            ._read_group([("event_key", "in", keys), *told], ["event_key"])
        )
        return {key for (key,) in groups}

    @api.model
    def _told(self, rows):
        """Give the event keys of those rows that a rule with the policy `once` has told, or is about to.

        :param list[dict] rows: from a rule's `_prepare_rows`
        :rtype: set
        """
        keys = [row["event_key"] for row in rows if ONCE in (row.get("event_key") or "")]
        queued = self.search_fetch([("event_key", "in", keys)], ["event_key"]) if keys else self
        return self._told_by_log(rows) | set(queued.mapped("event_key"))

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
                "total_cancelled",
                "total_pending",
                "progress_percentage",
                "total_interrupted",
                "rate_per_minute",
                "expected_end",
            ]
        )
        self.env["sicantik.auto.message"]._forget_counters()

    @api.model
    def _prepare_skip_log(self, row):
        names = (
            "rule_id campaign_id partner_id channel phone email res_model res_id template_key context_values "
            "error_message error_class company_id"
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
        now = fields.Datetime.now()
        if not at or at <= now:
            cron.sudo()._trigger()
        elif not (
            self.env["ir.cron.trigger"]
            .sudo()
            .search_count([("cron_id", "=", cron.id), ("call_at", ">", now), ("call_at", "<=", at)], limit=1)
        ):
            cron.sudo()._trigger(at)

    @api.model
    def _is_woken(self, seconds):
        """Tell whether the scheduled action was asked to run at once within the last seconds, and has not
        ended since.
        """
        cron = self.env.ref(CRON, raise_if_not_found=False)
        now = fields.Datetime.now()
        since = [("call_at", ">", now - timedelta(seconds=seconds)), ("call_at", "<=", now)]
        triggers = self.env["ir.cron.trigger"].sudo()
        return bool(cron and triggers.search_count([("cron_id", "=", cron.id), *since], limit=1))

    # === ACTIONS ===#

    def _check_may_run(self):
        self.env["sicantik.notification.access"]._check_user()
        check_access(self, "read")

    def action_process(self):
        """Send now what is pending, whatever its schedule says, also in quiet hours; limits, the frequency
        cap and the blacklist hold.

        Rows that this transaction has only just made are sent when it commits.
        """
        self._check_may_run()
        rows = self.filtered(lambda row: row.state == "pending")
        if not rows:
            return self._tell(_("Nothing to send"), self._standing(), "warning")
        others = (self - rows)._standing()
        self.env.flush_all()
        self.env["sicantik.notification.drain"].sudo().with_context(**{AT_ONCE: True})._process(rows.ids)
        self.invalidate_recordset()
        if len(self) == 1:
            return True
        sent = rows.filtered(lambda row: row.state == "sent")
        lines = [*(rows - sent)._standing(), *others]
        return self._tell(_("Sent: %(done)s of %(all)s", done=len(sent), all=len(self)), lines)

    def _standing(self):
        """Say how many of these messages stand how, and for which reason.

        :rtype: list[str]
        """
        states = dict(self._fields["state"]._description_selection(self.env))
        reasons = dict(self._fields["error_class"]._description_selection(self.env))
        counts = Counter()
        for row in self:
            paused = row.state == "pending" and row.campaign_id.state in ("paused", "cancelled")
            reason = _("its campaign stands still") if paused else reasons.get(row.error_class)
            counts[states[row.state], reason if row.state != "sent" else None] += 1
        return [
            f"{state} ({reason}): {count}" if reason else f"{state}: {count}"
            for (state, reason), count in counts.most_common()
        ]

    @api.model
    def _tell(self, title, lines, level=None):
        """Give the action that tells a person what a button has done, and shows the rows anew.

        :param str title: what was done
        :param list lines: what was not, and why
        :param str level: colour of the notification; None: by whether there are lines
        """
        return {
            "type": "ir.actions.client",
            "tag": "display_notification",
            "params": {
                "type": level or ("warning" if lines else "success"),
                "title": title,
                "message": " · ".join(lines),
                "sticky": bool(lines) and len(self) > 1,
                "next": {"type": "ir.actions.client", "tag": "soft_reload"},
            },
        }

    def action_retry(self):
        """Put failed and skipped messages back into the queue, with all their attempts before them.

        Of many, those for which that is impossible stay as they are, and the answer says why.

        :raise UserError: it is impossible for all of them
        """
        self._check_may_run()
        rows = self.sudo().filtered(lambda row: row.state in ("failed", "skipped"))
        if not rows:
            raise UserError(_("Only failed and skipped messages can be tried again."))
        others = (self.sudo() - rows)._standing()
        stopped = rows.filtered(lambda row: row.campaign_id.state == "cancelled")
        if stopped == rows:
            raise UserError(
                _(
                    "The campaign “%s” was cancelled: its messages are not sent any more. Relaunch it to "
                    "write to those who have not been reached.",
                    stopped[0].campaign_id.name,
                )
            )
        rows -= stopped
        doubled = rows._take_keys_again()
        if doubled == rows:
            raise UserError(_("“%s” is in the queue a second time: retry that message.", doubled[0].name))
        rows -= doubled
        for row in rows:
            if row.channel == EMAIL and not row.email and row.partner_id.email_normalized:
                row.email = row.partner_id.email_normalized
            elif row.channel == WHATSAPP and not row.phone and row.partner_id.whatsapp_e164:
                row.phone = row.partner_id.whatsapp_e164
        rows.write(
            {
                "state": "pending",
                "scheduled_date": fields.Datetime.now(),
                "retry_count": 0,
                "interrupted_count": 0,
                "worker": False,
                "held": False,
                "next_retry_date": False,
                "error_message": False,
                "error_class": False,
                "is_blacklisted": False,
                "late_provider_id": False,
            }
        )
        rows.auto_message_id._reopen()
        rows.campaign_id._reopen()
        rows._wake_cron()
        if len(self) == 1:
            return True
        if stopped:
            others.append(_("Its campaign was cancelled: %s", len(stopped)))
        if doubled:
            others.append(_("In the queue a second time: %s", len(doubled)))
        return self._tell(_("Tried again: %(done)s of %(all)s", done=len(rows), all=len(self)), others)

    def _take_keys_again(self):
        """Make rows that are tried again count as the message that is sent once; one that another row sends
        stays.

        :return: those for whose record and recipient another row has been made
        """
        keys = {
            row.id: row.event_key.removesuffix(f":{row.id}")
            for row in self
            if ONCE in (row.event_key or "") and row.event_key.endswith(f":{row.id}")
        }
        wanted = list(set(keys.values()))
        taken = set(self.search_fetch([("event_key", "in", wanted)], ["event_key"]).mapped("event_key"))
        doubled = self.browse()
        for row in self.filtered(lambda row: row.id in keys):
            if keys[row.id] in taken:
                doubled |= row
            else:
                taken.add(keys[row.id])
                row.event_key = keys[row.id]
        return doubled

    def action_cancel(self):
        """Cancel what has not left yet; of many, the answer says what could not be cancelled.

        :raise UserError: all of them have left or ended
        """
        self._check_may_run()
        rows = self.sudo().filtered(lambda row: row.state == "pending")
        if not rows:
            raise UserError(_("Only pending messages can be cancelled."))
        others = (self.sudo() - rows)._standing()
        reason = _("Cancelled by %s", self.env.user.name)
        rows.write({"state": "cancelled", "error_class": "cancelled", "error_message": reason})
        for row in rows.filtered(lambda row: ONCE in (row.event_key or "")):
            row.event_key = f"{row.event_key}:{row.id}"
        self.env["sicantik.notification.log"]._record(
            [self._prepare_skip_log({**row._log_values(), "id": row.id}) for row in rows]
        )
        if len(self) == 1:
            return True
        return self._tell(_("Cancelled: %(done)s of %(all)s", done=len(rows), all=len(self)), others)

    def action_mend(self):
        """Open what has to be changed so that this message goes out: its contact, provider, template, rule or
        the blacklist.

        :raise AccessError: the user is no notification user
        """
        self.ensure_one()
        self._check_may_run()
        mending = self.env["sicantik.notification.mending"]
        return mending._open_remedy(self.error_class, [("id", "=", self.id)])

    def _log_values(self):
        self.ensure_one()
        return {
            **{name: self[name].id for name in ("rule_id", "campaign_id", "partner_id", "company_id")},
            "event_key": self.event_key if ONCE in (self.event_key or "") else False,
            **{
                name: self[name]
                for name in (
                    "channel",
                    "phone",
                    "email",
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
        """Scheduled action: fire the triggers whose time has come, then send what is due, within a budget of
        time, or have lanes of jobs do it.

        :return: {"processed", "sent", "failed", "skipped"}: how many rows
        :rtype: dict
        :raise AccessError: the caller is not a notification manager
        """
        self.env["sicantik.notification.access"]._check_manager()
        self.env["sicantik.notification.clock"].sudo()._run()
        self.env["sicantik.auto.message"].sudo()._queue_due()
        return self.env["sicantik.notification.lane"].sudo()._drain_or_start()
