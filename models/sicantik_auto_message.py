import logging
from collections import Counter
from datetime import timedelta

from odoo import _, api, fields, models
from odoo.exceptions import UserError, ValidationError

from ..compat import check_access
from ..providers import phone
from . import contact_input
from .res_partner import FALLBACK_REGION
from .road import Refusal
from .sicantik_notification_allowance import PRIORITY
from .transaction import Transactions, committed

_logger = logging.getLogger(__name__)

# Messages whose recipients one run of the scheduled action puts into the queue.
MESSAGES_PER_RUN = 50
# What a call from outside sends at most, and the seconds in which it begins to: its caller waits.
ROWS_PER_CALL = 500
SECONDS_PER_CALL = 20
DAY = 24 * 3600
OPEN = ("pending", "processing")
# States of a message of which all rows have ended.
ENDED = ("sent", "partial", "failed")
# What is planned stays as it is, so that nobody is sent what nobody has read.
PLAN = ("message", "contact_ids", "contact_input", "scheduled_at", "delay_seconds", "company_id")


class SicantikAutoMessage(models.Model):
    """A message that somebody planned by hand for a list of contacts (seed 4).

    States::

        draft ──action_schedule──► scheduled ──due──► sending ──► sent | partial | failed
          │ ▲                          │                 ▲ │
          │ └──────action_reset────────┤                 │ └─action_cancel──► cancelled
          └──────────────────action_send_now─────────────┘

    When it is due each recipient becomes one row of the queue, which the drain sends like any other; nothing
    is sent from here. After each message there is a pause of `delay_seconds` before the next one of the same
    company, of whichever auto message, may leave: the drain's allowances see to that (`auto:<company id>`).
    """

    _name = "sicantik.auto.message"
    _description = "Auto Message"
    _inherit = "sicantik.notification.evaluation"
    _order = "scheduled_at desc, id desc"
    _rec_name = "title"

    title = fields.Char(required=True)
    message = fields.Text(required=True)
    contact_ids = fields.Many2many("res.partner", string="Contacts")
    contact_input = fields.Text(
        string="More Contacts",
        help="Phone numbers, or ids of contacts, separated by commas, semicolons or lines; or a JSON list of "
        "numbers, of ids, or of objects with “phone” or “phone_number”. Up to eight digits without a leading "
        "zero are the id of a contact, everything else is a phone number.",
    )
    valid_count = fields.Integer(
        string="Valid Contacts", compute="_compute_recipients", store=True, help="Who is written to."
    )
    left_out_count = fields.Integer(
        string="Left Out", compute="_compute_recipients", store=True, help="Contacts that are not written to."
    )
    left_out = fields.Text(
        string="Contacts Left Out",
        compute="_compute_recipients",
        store=True,
        help="Contacts that are not written to, each with the reason.",
    )
    scheduled_at = fields.Datetime(required=True, default=fields.Datetime.now, index=True, copy=False)
    sent_at = fields.Datetime(readonly=True, copy=False, help="When the last message left.")
    delay_seconds = fields.Integer(
        string="Delay (s)",
        default=60,
        help="Seconds between two messages. The pause holds for all auto messages of the company together.",
    )
    state = fields.Selection(
        [
            ("draft", "Draft"),
            ("scheduled", "Scheduled"),
            ("sending", "Sending"),
            ("sent", "Sent"),
            ("partial", "Partly Sent"),
            ("failed", "Failed"),
            ("cancelled", "Cancelled"),
        ],
        string="Status",
        default="draft",
        required=True,
        copy=False,
        readonly=True,
    )
    error_message = fields.Text(readonly=True, copy=False, help="Why nothing could be sent.")
    queue_ids = fields.One2many(
        "sicantik.notification.queue", "auto_message_id", string="Messages", readonly=True
    )
    total_count = fields.Integer(string="Recipients", compute="_compute_counts")
    sent_count = fields.Integer(string="Sent", compute="_compute_counts")
    failed_count = fields.Integer(string="Failed", compute="_compute_counts")
    skipped_count = fields.Integer(string="Skipped", compute="_compute_counts")
    cancelled_count = fields.Integer(string="Cancelled", compute="_compute_counts")
    pending_count = fields.Integer(string="Pending", compute="_compute_counts")
    progress_percentage = fields.Float(string="Progress", compute="_compute_counts")
    company_id = fields.Many2one(
        "res.company", required=True, index=True, default=lambda self: self.env.company
    )

    _sql_constraints = [
        ("delay_not_negative", "CHECK (delay_seconds >= 0)", "The delay cannot be negative."),
    ]

    # === COMPUTES AND CONSTRAINTS ===#

    def _compute_counts(self):
        """One grouped read for all messages."""
        counts = self.env["sicantik.notification.tally"]._totals("auto_message_id", self.ids)
        for message in self:
            of = {state: count for (id_, state), count in counts.items() if id_ == message.id}
            pending = sum(of.get(state, 0) for state in OPEN)
            message.sent_count = of.get("sent", 0)
            message.failed_count = of.get("failed", 0)
            message.skipped_count = of.get("skipped", 0)
            message.cancelled_count = of.get("cancelled", 0)
            message.pending_count = pending
            message.total_count = total = sum(of.values())
            message.progress_percentage = 100 * (total - pending) / (total or 1)

    @api.model
    def _forget_counters(self):
        """Drop from the cache what is read from rows, after rows were written by SQL."""
        names = ("total", "sent", "failed", "skipped", "cancelled", "pending")
        self.invalidate_model(["queue_ids", "progress_percentage", *(f"{name}_count" for name in names)])

    @api.depends("contact_ids", "contact_input", "company_id")
    def _compute_recipients(self):
        for message in self:
            recipients, faults = message._read_contacts()
            message.valid_count = len(recipients)
            message.left_out_count = len(faults)
            message.left_out = "\n".join(f"{text}: {reason}" for text, reason in faults)

    @api.constrains("contact_input", "contact_ids")
    def _check_contact_input(self):
        for message in self:
            entries = contact_input.parse(message.contact_input)
            if any(entry.fault == contact_input.MALFORMED for entry in entries):
                raise ValidationError(
                    _(
                        "“More Contacts” of “%s” begins like a JSON list and is not a valid one. Mend its "
                        "brackets, quotes and commas, or write one number per line.",
                        message.title,
                    )
                )
            if len(entries) + len(message.contact_ids) > contact_input.MAX_CONTACTS:
                raise ValidationError(
                    _(
                        "An auto message takes %s contacts at most. Make several of it, or use a campaign.",
                        contact_input.MAX_CONTACTS,
                    )
                )

    @api.constrains("delay_seconds")
    def _check_delay(self):
        if any(message.delay_seconds > DAY for message in self):
            raise ValidationError(_("The delay between two messages is a day (86400 s) at most."))

    # === RECIPIENTS ===#

    def _read_contacts(self):
        """Read who is written to, and who is not and why; two queries, however many they are.

        Contacts are read as the system: who plans a message need not see everybody. Those of other companies
        are left out.

        :return: {E.164 number: partner, empty for a bare number}, in the order in which they were given;
            [(what was written, reason)]
        :rtype: tuple
        """
        self.ensure_one()
        entries = contact_input.parse(self.contact_input)
        partners = self.env["res.partner"].sudo().with_context(active_test=False)
        region = self.company_id.country_id.code or FALLBACK_REGION
        numbers = {entry.number: phone.to_e164(entry.number, region) for entry in entries if entry.number}
        ids = {entry.partner_id for entry in entries if entry.partner_id}
        found = partners.search_fetch([("id", "in", list(ids))], ["whatsapp_e164", "company_id", "active"])
        by_id = {partner.id: partner for partner in found}
        by_number = self._partners_by_number(filter(None, numbers.values()))
        chosen = self.with_context(active_test=False).contact_ids.sudo()
        given = [
            *((self._name_of(one), one, one.whatsapp_e164, self._why_not_partner(one)) for one in chosen),
            *(self._candidate(entry, by_id, numbers) for entry in entries),
        ]
        recipients, faults = {}, []
        for text, partner, number, reason in given:
            if not reason and number in recipients:
                reason = _("the same number was given before; it is written to once.")
            if reason:
                faults.append((text, reason))
            else:
                recipients[number] = partner or by_number.get(number, partners)
        return recipients, faults

    def _candidate(self, entry, partners, numbers):
        """Give an entry of `contact_input` as (text, partner or None, E.164 number, why not or None).

        :param dict partners: {id: partner}
        :param dict numbers: {number as written: E.164 or None}
        """
        if entry.fault:
            return entry.text, None, None, self._fault_sentence(entry.fault)
        if entry.number:
            number = numbers[entry.number]
            reason = None if number else self._fault_sentence("no_number")
            return entry.text, None, number, reason
        partner = partners.get(entry.partner_id)
        if not partner:
            return entry.text, None, None, _("there is no contact with this id.")
        return entry.text, partner, partner.whatsapp_e164, self._why_not_partner(partner)

    def _name_of(self, partner):
        """Name a contact; of one of another company only the id, for it was read as the system."""
        foreign = partner.company_id and partner.company_id != self.company_id
        return str(partner.id) if foreign else partner.display_name

    @api.model
    def _fault_sentence(self, fault):
        return {
            contact_input.MALFORMED: _("this is no valid JSON list."),
            contact_input.NOT_A_CONTACT: _("this is neither a phone number nor the id of a contact."),
            contact_input.NO_PHONE: _("this has no “phone”, no “phone_number” and no usable “id”."),
            "no_number": _(
                "this is not a phone number that WhatsApp can reach. Write it as 0812… or +62 812…."
            ),
        }[fault]

    def _why_not_partner(self, partner):
        if partner.company_id and partner.company_id != self.company_id:
            return _("the contact belongs to another company.")
        if not partner.active:
            return _("the contact is archived.")
        if not partner.whatsapp_e164:
            return _("the contact has no usable WhatsApp number. Enter one in the contact.")
        return None

    def _partners_by_number(self, numbers):
        """Find the contacts that have these numbers: whether they opted in or wrote lately counts for Meta.

        :rtype: dict
        """
        found = (
            self.env["res.partner"]
            .sudo()
            .with_context(active_test=True)
            .search_fetch(
                [
                    ("whatsapp_e164", "in", list(set(numbers))),
                    ("company_id", "in", (self.company_id.id, False)),
                ],
                ["whatsapp_e164"],
                order="id desc",
            )
        )
        return {partner.whatsapp_e164: partner for partner in found}

    # === CRUD ===#

    @api.model_create_multi
    def create(self, vals_list):
        if not self.env.su and any(vals.get("state", "draft") != "draft" for vals in vals_list):
            raise UserError(self._use_the_buttons())
        return super().create(vals_list)

    def write(self, vals):
        if not self.env.su and "state" in vals:
            raise UserError(self._use_the_buttons())
        if any(name in vals for name in PLAN) and any(message.state != "draft" for message in self):
            raise UserError(
                _("Only a draft can be changed. Take the message back to draft, or duplicate it.")
            )
        return super().write(vals)

    @api.model
    def _use_the_buttons(self):
        return _("The status of an auto message follows its buttons: schedule, send or cancel it with them.")

    def copy_data(self, default=None):
        data = super().copy_data(default)
        copies = data if isinstance(data, list) else [data]
        for message, vals in zip(self, copies, strict=True):
            if "title" not in (default or {}):
                vals["title"] = _("%s (copy)", message.title)
        return data

    @api.ondelete(at_uninstall=False)
    def _unlink_except_planned(self):
        if any(message.state in ("scheduled", "sending") for message in self):
            raise UserError(_("A message that is still to be sent cannot be deleted. Cancel it first."))

    # === ACTIONS ===#

    def _move(self, allowed, state, **vals):
        """Change the state of messages that are in one of `allowed`.

        Two people who press buttons at once: the second one's transaction fails on the first one's write, is
        repeated by the server, and finds the new state.

        :raise UserError: one of them is in another state
        """
        check_access(self, "write")
        labels = dict(self._fields["state"]._description_selection(self.env))
        for message in self:
            if message.state not in allowed:
                raise UserError(
                    _(
                        "“%(name)s” is %(state)s; this is possible only when it is: %(allowed)s.",
                        name=message.title,
                        state=labels[message.state],
                        allowed=", ".join(labels[one] for one in allowed),
                    )
                )
        return super().write({"state": state, **vals})

    def _check_recipients(self):
        """Read the contacts again, which may have changed since.

        :raise UserError: there is nobody to write to
        """
        self.sudo()._refresh_recipients()
        for message in self:
            if not message.valid_count:
                raise UserError(
                    _(
                        "“%s” has nobody to write to. Add contacts with a WhatsApp number; the list of those "
                        "left out says what is wrong with them.",
                        message.title,
                    )
                )

    def _refresh_recipients(self):
        for name in ("valid_count", "left_out_count", "left_out"):
            self.env.add_to_compute(self._fields[name], self)

    def action_schedule(self):
        """Plan: they are sent when their time has come."""
        self._move(("draft",), "scheduled", error_message=False)
        self._check_recipients()
        self._wake_for(min(self.mapped("scheduled_at")))
        return True

    def action_send_now(self):
        """Put the recipients into the queue right away; the pauses between messages hold."""
        now = fields.Datetime.now()
        self._move(("draft", "scheduled"), "scheduled", scheduled_at=now, error_message=False)
        self._check_recipients()
        for message in self:
            message.sudo()._queue(now)
        return True

    def action_cancel(self):
        """Send nothing any more; what has left has left."""
        self._move(("scheduled", "sending"), "cancelled")
        rows = (
            self.env["sicantik.notification.queue"]
            .sudo()
            .search([("auto_message_id", "in", self.ids), ("state", "=", "pending")])
        )
        if rows:
            rows.action_cancel()
        return True

    def action_reset(self):
        """Take back to draft what has not begun yet."""
        if any(message.total_count for message in self):
            raise UserError(
                _("Messages of it are in the queue already. Duplicate it and change the copy instead.")
            )
        self._move(("scheduled", "cancelled", "failed"), "draft", error_message=False)
        return True

    def _wake_for(self, at):
        self.env["sicantik.notification.queue"]._wake_cron(at)

    # === INTO THE QUEUE ===#

    @api.model
    def _queue_due(self):
        """Put the recipients of the messages whose time has come into the queue, each message in a
        transaction of its own, and wake the scheduled action for the next one.

        Several processes may do this at once.

        :return: how many rows were queued
        :rtype: int
        """
        queued = 0
        with Transactions(self.env) as transactions:
            for _i in range(MESSAGES_PER_RUN):
                count = transactions.run(lambda env: env[self._name]._queue_next())
                if count is None:
                    break
                queued += count
        self.env["sicantik.notification.queue"].invalidate_model()
        self.invalidate_model()
        return queued

    @api.model
    def _queue_next(self):
        """Queue the message that is due for the longest time.

        :return: how many rows; None when no message is due
        :rtype: int
        """
        now = fields.Datetime.now()
        self.env.cr.execute(
            """
            SELECT id, scheduled_at <= %s FROM sicantik_auto_message
             WHERE state = 'scheduled' ORDER BY scheduled_at, id LIMIT 1 FOR UPDATE SKIP LOCKED
            """,
            [now],
        )
        found = self.env.cr.fetchone()
        if not found:
            return None
        message = self.browse(found[0])
        if not found[1]:
            self._wake_for(message.scheduled_at)
            return None
        with message._fence(f"auto message {message.id}") as failure:
            return message._queue(message.scheduled_at)
        message.write({"state": "failed", "error_message": failure.error})
        return 0

    def _queue(self, since):
        """Make one row per recipient. Two that do it at once make each row once: its key says whose it is.

        :param datetime since: when the first one is due; the others follow with the pause between them, which
            is what they will get when nothing else is sent (the drain decides)
        :return: how many rows were made
        :rtype: int
        """
        self.ensure_one()
        self._refresh_recipients()
        recipients, _faults = self._read_contacts()
        if not recipients:
            self.write({"state": "failed", "error_message": _("There is nobody to write to.")})
            return 0
        self.write({"state": "sending", "error_message": False})
        first = max(since, fields.Datetime.now())
        rows = [
            {
                "auto_message_id": self.id,
                "company_id": self.company_id.id,
                "partner_id": partner.id or None,
                "phone": number,
                "res_model": None,
                "res_id": None,
                "message_type": "text",
                "body": self.message,
                "event_key": f"auto:{self.id}:{number}",
                "context_values": "{}",
                "scheduled_date": first + timedelta(seconds=place * self.delay_seconds),
                "priority": PRIORITY,
                "state": "pending",
                # So it is shown as what it is, and the drain stays for it when its turn is near.
                "error_class": "limited" if place and self.delay_seconds else None,
                "error_message": _("Waits for its turn: one message every %s seconds.", self.delay_seconds)
                if place and self.delay_seconds
                else None,
                "max_retries": 3,
                "is_blacklisted": False,
            }
            for place, (number, partner) in enumerate(recipients.items())
        ]
        made = self.env["sicantik.notification.queue"]._enqueue(rows)
        count = sum(map(len, made.values()))
        _logger.info("Auto message %s: %s messages queued", self.id, count)
        return count

    # === ON THE ROAD (called by the drain) ===#

    @api.model
    def _delays(self, ids):
        """Read the pauses.

        :return: {id: seconds after each message} of those that are there
        :rtype: dict
        """
        if not ids:
            return {}
        self.env.cr.execute(
            "SELECT id, COALESCE(delay_seconds, 0) FROM sicantik_auto_message WHERE id = ANY(%s)", [list(ids)]
        )
        return dict(self.env.cr.fetchall())

    @api.model
    def _stopped(self, ids):
        """Find the messages that were cancelled, so that nothing of them leaves any more.

        :return: {id: Refusal}
        :rtype: dict
        """
        if not ids:
            return {}
        self.env.cr.execute(
            "SELECT id FROM sicantik_auto_message WHERE state = 'cancelled' AND id = ANY(%s)", [list(ids)]
        )
        refusal = Refusal("cancelled", _("The auto message was cancelled."))
        return {id_: refusal for (id_,) in self.env.cr.fetchall()}

    @api.model
    def _finish(self):
        """Give messages of which nothing is under way any more their last state.

        Called at the end of each drain, so nothing is counted while messages are sent. A message is `sent`
        when each of its rows is; `partial` when some are.
        """
        self.env.cr.execute(
            """
            SELECT m.id FROM sicantik_auto_message m
             WHERE m.state = 'sending' AND NOT EXISTS (
                   SELECT 1 FROM sicantik_notification_queue q
                    WHERE q.auto_message_id = m.id AND q.state = ANY(%s))
               FOR UPDATE SKIP LOCKED
            """,
            [list(OPEN)],
        )
        ids = [id_ for (id_,) in self.env.cr.fetchall()]
        if not ids:
            return
        counts = self.env["sicantik.notification.tally"]._totals("auto_message_id", ids)
        groups = self.env["sicantik.notification.queue"]._read_group(
            [("auto_message_id", "in", ids), ("state", "=", "sent")], ["auto_message_id"], ["sent_date:max"]
        )
        last = {message.id: date for message, date in groups}
        for message in self.browse(ids):
            of = Counter({state: count for (id_, state), count in counts.items() if id_ == message.id})
            if any(of[state] for state in OPEN):
                continue  # a row came back after they were found
            message.write(
                {"state": self._final_state(of), "sent_at": last.get(message.id) or message.sent_at}
            )

    @api.model
    def _final_state(self, counts):
        """Name what became of a message from the states of its rows.

        :param Counter counts: {state of a row: how many}
        """
        if counts["sent"]:
            return "sent" if counts["sent"] == counts.total() else "partial"
        return "cancelled" if counts["cancelled"] == counts.total() else "failed"

    def _reopen(self):
        """Take up messages that had ended: a row of theirs is tried again."""
        self.sudo().filtered(lambda message: message.state in ENDED).write({"state": "sending"})

    @api.model
    def _take_up(self, refused, arrived):
        """Take up messages that had ended, before what is told of their rows is written: `_finish` decides
        anew what became of them.

        Those that are being sent are locked too, so that none is finished meanwhile.

        :param list refused: ids of queue rows that were refused late
        :param list arrived: ids of queue rows that arrived; of interest where that is news
        """
        if not refused and not arrived:
            return
        self.env.cr.execute(
            """
            UPDATE sicantik_auto_message SET state = 'sending'
             WHERE id IN (SELECT id FROM sicantik_auto_message
                           WHERE id IN (SELECT auto_message_id FROM sicantik_notification_queue
                                         WHERE auto_message_id IS NOT NULL
                                           AND (id = ANY(%s) OR id = ANY(%s) AND state <> 'sent'))
                             AND state = ANY(%s)
                        ORDER BY id
                             FOR NO KEY UPDATE)
            """,
            [refused, arrived, ["sending", *ENDED]],
        )
        if self.env.cr.rowcount:
            self.invalidate_model(["state"])

    # === FROM OUTSIDE ===#

    @api.model
    def _process_due(self):
        """Queue what is due and send what may leave by now; the rest is the scheduled action's.

        :return: {"processed", "queued", "sent", "failed", "skipped"}: how many recipients
        :rtype: dict
        :raise AccessError: the caller is not a notification manager
        """
        self.env["sicantik.notification.access"]._check_manager()
        self = self.sudo()
        queued = self._queue_due()
        ids = committed(self.env, lambda env: env[self._name]._due_rows())
        drain = self.env["sicantik.notification.drain"]
        totals = drain._process(ids, again=False, seconds=SECONDS_PER_CALL) if ids else {}
        committed(self.env, lambda env: env["sicantik.notification.drain"]._wake_for_the_rest())
        self.env.invalidate_all()
        names = ("processed", "sent", "failed", "skipped")
        return {"queued": queued, **{name: totals.get(name, 0) for name in names}}

    @api.model
    def _due_rows(self):
        rows = self.env["sicantik.notification.queue"].search(
            [
                ("auto_message_id", "!=", False),
                ("state", "=", "pending"),
                ("scheduled_date", "<=", fields.Datetime.now()),
            ],
            order="scheduled_date, id",
            limit=ROWS_PER_CALL,
        )
        return rows.ids
