import json
from datetime import timedelta

from odoo import _, api, fields, models
from odoo.exceptions import AccessError, UserError, ValidationError

from ..compat import group_users, run_code
from .opening import open_dialog
from .road import EMAIL, URGENT, Rule
from .sicantik_notification_context import READ_OF_PARTNERS
from .sicantik_notification_evaluation import PER_RECORD_NAMES, Failure
from .sicantik_notification_queue import ADDRESS, ONCE, WHATSAPP
from .sicantik_whatsapp_template_master import META_PREFIX

GROUP = "sicantik_notification_automation.%s"
PERIODS = {"minute": 60, "hour": 3600, "day": 24 * 3600}  # in seconds
PYTHON_FIELDS = ("condition_python", "context_preparation_code")
to_json = json.JSONEncoder(ensure_ascii=False).encode


class SicantikNotificationRule(models.Model):
    """Who hears what, and when, once a trigger has noticed its event.

    `_apply` is the whole of it: condition → recipients → context → queue rows, set-based, one row per record
    and number.
    """

    _name = "sicantik.notification.rule"
    _description = "Notification Rule"
    _inherit = [
        "sicantik.notification.evaluation",
        "sicantik.notification.sending.hours",
        "mail.thread",
        "mail.activity.mixin",
    ]
    _order = "sequence, id"

    name = fields.Char(string="Rule Name", required=True, translate=True)
    active = fields.Boolean(default=True)
    sequence = fields.Integer(default=10)
    description = fields.Text(translate=True)
    trigger_id = fields.Many2one(
        "sicantik.notification.trigger", required=True, ondelete="cascade", index=True
    )
    trigger_code = fields.Char(related="trigger_id.code", string="Trigger Code")
    model_name = fields.Char(related="trigger_id.model_name")

    # Condition
    condition_domain = fields.Char(
        help="Which records count, such as [('state', '=', 'approved')]. Empty: all."
    )
    condition_python = fields.Text(
        help="A Python expression; the record counts when it is true, such as: record.partner_id.is_company. "
        "Only Settings administrators may write it."
    )

    # What is sent
    template_key = fields.Char(help="Key of a master template.")
    template_master_id = fields.Many2one(
        "sicantik.whatsapp.template.master",
        string="Master Template",
        compute="_compute_template_master_id",
        inverse="_inverse_template_master_id",
    )
    context_preparation_code = fields.Text(
        help="Python that assigns the template's parameters to `context`. What it leaves out, and everything "
        "when it is empty, comes from the default mapping. Only Settings administrators may write it.",
    )
    channel = fields.Selection(
        [("whatsapp", "WhatsApp"), ("email", "E-mail"), ("both", "WhatsApp and E-mail")],
        required=True,
        default="whatsapp",
        help="With both, everybody gets the e-mail, and those who agreed to it the WhatsApp message too.",
    )
    mail_template_id = fields.Many2one(
        "mail.template",
        string="E-mail Template",
        domain="[('model', '=', model_name)]",
        help="Its text, sender, attachments and layout are used. Who hears it is the rule's own business.",
    )

    # Who hears it
    recipient_type = fields.Selection(
        [
            ("partner", "Partner (Applicant)"),
            ("staff", "Staff of DPMPTSP"),
            ("official", "Authorized Official"),
            ("custom", "Custom (Domain)"),
            ("field", "From a Field of the Record"),
        ],
        required=True,
        default="partner",
    )
    recipient_domain = fields.Char(help="Contacts, such as [('is_company', '=', False)].")
    recipient_field = fields.Char(
        help="Path to contacts or users, such as responsible_id or permit_id.partner_id."
    )
    staff_group_id = fields.Many2one("res.groups", help="Empty: DPMPTSP Staff.")
    official_group_id = fields.Many2one(
        "res.groups", string="Officials Group", help="Empty: the record's official, else DPMPTSP Officials."
    )
    require_opt_in = fields.Boolean(help="Only those who agreed to receive WhatsApp messages.")
    respect_blacklist = fields.Boolean(
        default=True, help="Off: manual and provider entries are passed over, a person's own opt-out never."
    )

    post_note = fields.Boolean(
        string="Note on the Record",
        help="Each message that was sent is noted in the history (chatter) of the record that it is about.",
    )

    # When
    schedule_type = fields.Selection(
        [("immediate", "Immediate"), ("scheduled", "Scheduled"), ("batch", "Batch")],
        string="Scheduling Type",
        required=True,
        default="immediate",
    )
    scheduled_delay = fields.Integer(string="Delay (minutes)")
    batch_size = fields.Integer(default=100)
    batch_interval = fields.Integer(string="Batch Interval (minutes)", default=5)
    urgent = fields.Boolean(help="Goes before other messages, and outside quiet hours.")
    quiet_hours = fields.Selection(
        [("company", "As the Company"), ("own", "Its Own"), ("none", "None")],
        required=True,
        default="company",
        help="Messages that come due in quiet hours leave when these end.",
    )
    repeat_policy = fields.Selection(
        [("always", "Always"), ("once", "Once per record"), ("cooldown", "Not again before")],
        required=True,
        default="always",
    )
    cooldown_hours = fields.Float(default=24.0)

    # Limits and retries
    rate_limit_enabled = fields.Boolean(string="Limit the Rate", default=True)
    rate_limit_count = fields.Integer(string="Maximum Messages", default=100)
    rate_limit_period = fields.Selection(
        [("minute", "Per Minute"), ("hour", "Per Hour"), ("day", "Per Day")],
        required=True,
        default="hour",
    )
    max_retries = fields.Integer(default=3, help="Further attempts after the first one.")
    retry_delay = fields.Integer(string="Retry Delay (minutes)", default=5)

    # What came of it
    execution_count = fields.Integer(
        string="Executions", compute="_compute_execution", help="How many records it was applied to."
    )
    last_execution_date = fields.Datetime(string="Last Execution", compute="_compute_execution")
    last_error = fields.Text(compute="_compute_execution")
    held_back_count = fields.Integer(
        string="Held Back",
        compute="_compute_held_back_count",
        help="Messages that were not queued, because their recipients had been told already.",
    )
    success_count = fields.Integer(string="Sent", compute="_compute_result_counts")
    failed_count = fields.Integer(string="Failed", compute="_compute_result_counts")
    queue_ids = fields.One2many("sicantik.notification.queue", "rule_id", readonly=True)
    log_ids = fields.One2many("sicantik.notification.log", "rule_id", readonly=True)

    _sql_constraints = [
        ("batch_size_positive", "CHECK (batch_size > 0)", "A batch needs at least one message."),
        (
            "minutes_not_negative",
            "CHECK (scheduled_delay >= 0 AND batch_interval >= 0 AND retry_delay >= 0 AND max_retries >= 0)",
            "Delays and numbers of retries cannot be negative.",
        ),
        (
            "rate_limit_positive",
            "CHECK (rate_limit_enabled IS NOT TRUE OR rate_limit_count > 0)",
            "A rate limit of none sends nothing. Enter a number, or switch the limit off.",
        ),
    ]

    def _has_sending_hours(self):
        return self.quiet_hours == "own"

    # === COMPUTES ===#

    @api.depends("template_key")
    def _compute_template_master_id(self):
        templates = self.env["sicantik.whatsapp.template.master"]._by_key(self.mapped("template_key"))
        for rule in self:
            rule.template_master_id = templates.get(rule.template_key)

    def _inverse_template_master_id(self):
        for rule in self:
            rule.template_key = rule.template_master_id.template_key

    def _compute_execution(self):
        stats = self.env["sicantik.notification.execution"].sudo()._statistics("rule_id", self.ids, [])
        for rule in self:
            rule.execution_count, rule.last_execution_date, rule.last_error = stats.get(
                rule.id, (0, False, False)
            )

    def _compute_held_back_count(self):
        counts = self.env["sicantik.notification.execution"].sudo()._held_back(self.ids)
        for rule in self:
            rule.held_back_count = counts[rule.id]

    def _compute_result_counts(self):
        counts = self.env["sicantik.notification.tally"]._totals("rule_id", self.ids)
        for rule in self:
            rule.success_count = counts[rule.id, "sent"]
            rule.failed_count = counts[rule.id, "failed"]

    # === CONSTRAINTS ===#

    def _domains(self):
        domains = [*super()._domains(), (self.condition_domain, self.model_name, _("The condition"))]
        if self.recipient_type == "custom":
            domains.append((self.recipient_domain, "res.partner", _("The domain of the recipients")))
        return domains

    @api.constrains("condition_domain", "recipient_domain", "recipient_type", "trigger_id")
    def _check_own_domains(self):
        self._check_domains()

    @api.constrains("recipient_type", "recipient_field", "trigger_id")
    def _check_recipient_field(self):
        for rule in self.filtered(lambda rule: rule.recipient_type == "field"):
            model = self.env.get(rule.model_name)
            for name in (rule.recipient_field or "").split("."):
                field = model._fields.get(name) if model is not None else None
                model = self.env[field.comodel_name] if field is not None and field.relational else None
            if model is None or model._name not in ("res.partner", "res.users"):
                raise ValidationError(
                    _(
                        "“%s” does not lead to contacts or users. Write the path of a field, such as "
                        "partner_id or responsible_id.",
                        rule.recipient_field or "",
                    )
                )

    @api.constrains("channel", "mail_template_id", "trigger_id")
    def _check_mail_template(self):
        for rule in self:
            if rule.channel != WHATSAPP and rule.mail_template_id.sudo().model != rule.model_name:
                raise ValidationError(
                    _(
                        "A rule that sends e-mail needs an e-mail template for “%s”, the model of its "
                        "trigger. Choose one, or the channel WhatsApp.",
                        rule.trigger_id.model_id.name,
                    )
                )

    @api.model_create_multi
    def create(self, vals_list):
        rules = super().create(vals_list)
        # Looked at afterwards: Python may come from a default in the context as well.
        if any(rule[name] for rule in rules for name in PYTHON_FIELDS):
            self._check_may_write_python()
        return rules

    def write(self, vals):
        # To empty a condition widens who is written to, so that is theirs too.
        if any(
            name in vals and (rule[name] or "") != (vals[name] or "")
            for rule in self
            for name in PYTHON_FIELDS
        ):
            self._check_may_write_python()
        return super().write(vals)

    @api.ondelete(at_uninstall=False)
    def _unlink_except_campaigns(self):
        self._check_no_campaigns(self)

    @api.model
    def _check_no_campaigns(self, rules):
        """Refuse to delete rules that campaigns are made of.

        :raise UserError: naming the first of the campaigns
        """
        campaign = (
            self.env["sicantik.notification.campaign"].sudo().search([("rule_id", "in", rules.ids)], limit=1)
        )
        if campaign and not self.env.su and campaign.company_id not in self.env.user.company_ids:
            raise UserError(
                _(
                    "A campaign of another company sends by the rule “%s”, which can therefore not be "
                    "deleted. Archive the rule.",
                    campaign.rule_id.name,
                )
            )
        if campaign:
            raise UserError(
                _(
                    "The campaign “%(campaign)s” sends by the rule “%(rule)s”, which can therefore not be "
                    "deleted. Delete its campaigns first, or archive the rule.",
                    campaign=campaign.name,
                    rule=campaign.rule_id.name,
                )
            )

    @api.model
    def _check_may_write_python(self):
        if not self.env.su and not self.env.user.has_group("base.group_system"):
            raise AccessError(
                _(
                    "Python conditions and context code may be written by Settings administrators only. Ask "
                    "one of them."
                )
            )

    @api.onchange("template_master_id")
    def _onchange_template_master_id(self):
        if self.template_master_id:
            self.template_key = self.template_master_id.template_key

    @api.onchange("template_key")
    def _onchange_template_key(self):
        if self.template_key and not self.template_master_id:
            return {
                "warning": {
                    "title": _("No such template"),
                    "message": _(
                        "There is no master template with the key “%s” yet. Until there is, the messages of "
                        "this rule fail.",
                        self.template_key,
                    ),
                }
            }

    # === ACTIONS ===#

    def action_test_send(self):
        self.ensure_one()
        self.env["sicantik.notification.access"]._check_user()
        return open_dialog(
            _("Test Send"),
            "sicantik.notification.test.wizard",
            context={"default_rule_id": self.id, "default_template_key": self.template_key},
        )

    def action_preview(self):
        self.ensure_one()
        self.env["sicantik.notification.access"]._check_user()
        return open_dialog(
            _("Preview"), "sicantik.notification.preview.wizard", context={"default_rule_id": self.id}
        )

    # === THE ROAD: RECORDS → QUEUE ROWS ===#

    def _apply(self, records, events):
        """Queue what this rule says of records. Nothing that goes wrong leaves this method as an exception.

        :param records: recordset of the trigger's model, in superuser mode
        :param dict events: {record id: Event}
        :return: the records that met the conditions, {record id: [queue ids]}, a sentence on what went wrong
            or None, how many messages the repeat policy has held back
        :rtype: tuple
        """
        self.ensure_one()
        trouble = Failure()
        with self._fence(f"rule {self.id}") as failure:
            matched = self._matching(records, events, trouble)
            rows = self._prepare_rows(matched, events, trouble)
            queued = self.env["sicantik.notification.queue"]._enqueue(rows)
            held_back = trouble.held_back
            if self.repeat_policy != "always":  # the database has left out what others told meanwhile
                held_back += len(rows) - sum(map(len, queued.values()))
            return matched, queued, trouble.error, held_back
        return records.browse(), {}, failure.error, 0

    def _matching(self, records, events, trouble):
        """Give the records that meet the domain and the Python condition.

        A record for which the Python fails is left out, and `trouble` tells of it; the others go on.
        """
        matched = self._filter(self.condition_domain, records, events)
        if not (self.condition_python or "").strip():
            return matched
        return matched.filtered(lambda record: self._holds(record, matched, events[record.id], trouble))

    def _holds(self, record, records, event, trouble):
        code = self.condition_python.strip()
        values = self._python_values(record, records, event)
        with self._each(record, trouble):
            return bool(self._eval_python(code, values))
        return False

    def _prepare_rows(self, records, events, trouble, template_key=None, batch_offset=0, batch_start=None):
        """Give the values of the queue rows: one per record and number.

        :param records: recordset in superuser mode
        :param dict events: {record id: Event}
        :param Failure trouble: told of records that had to be left out, and of messages held back
        :param str template_key: instead of the rule's
        :param int batch_offset: how many messages went before, of which the batches are made too
        :param datetime batch_start: when the first batch leaves, or has left; None: now
        :rtype: list[dict]
        """
        if not records:
            return []
        template_key = template_key or self.template_key
        self.env["sicantik.notification.context"]._fetch(records)
        recipients = self._recipients(records, events)
        addresses = ["email_normalized"] if self.channel != WHATSAPP else []
        self.env["res.partner"].sudo().union(*recipients.values()).fetch([*READ_OF_PARTNERS, *addresses])
        context_of = self._context_builder(records, template_key)
        base = {
            "rule_id": self.id,
            "message_type": "template",
            "template_key": template_key,
            "priority": URGENT if self.urgent else 5,
            "state": "pending",
            "max_retries": self.max_retries,
        }
        rows = []
        for record in records:
            with self._each(record, trouble):
                rows += self._prepare_record_rows(
                    record, recipients[record.id], events[record.id], base, context_of
                )
        rows = self._without_repeats(rows, trouble)
        self._hold_back(rows)
        self._set_event_keys(rows, events)
        self._set_schedule(rows, batch_offset, batch_start)
        return rows

    def _prepare_record_rows(self, record, recipients, event, base, context_of):
        base = {**base, **self._links_of(record)}
        if not recipients:
            return [
                {
                    **base,
                    "channel": EMAIL if self.channel == EMAIL else WHATSAPP,
                    "context_values": "{}",
                    "state": "skipped",
                    "error_class": "no_recipient",
                    "error_message": _("Nobody to write to: %s", self._describe_recipients()),
                }
            ]
        rows = []
        if self.channel != EMAIL:
            rows += self._prepare_whatsapp_rows(record, recipients, event, base, context_of)
        if self.channel != WHATSAPP:
            rows += self._prepare_email_rows(recipients, base)
        return rows

    def _prepare_whatsapp_rows(self, record, recipients, event, base, context_of):
        rows = {}
        for partner in recipients:
            number = partner.whatsapp_e164
            # A number that two recipients share is told once; those without one are told apart by who they
            # are.
            who = number or f"partner{partner.id}"
            if who in rows:
                continue
            context = context_of(record, partner, event)
            rows[who] = {
                **base,
                "channel": WHATSAPP,
                "partner_id": partner.id,
                "phone": number or None,
                "context_values": to_json(context),
            }
            if not number:
                rows[who].update(
                    state="skipped",
                    error_class="no_number",
                    error_message=_(
                        "%s has no usable WhatsApp number. Enter one in the contact.", partner.display_name
                    ),
                )
        return rows.values()

    def _prepare_email_rows(self, recipients, base):
        """Give the rows of the e-mails about one record; an address that two share is told once."""
        rows = {}
        for partner in recipients:
            email = partner.email_normalized
            who = email or f"partner{partner.id}"
            if who in rows:
                continue
            rows[who] = {
                **base,
                "channel": EMAIL,
                "partner_id": partner.id,
                "email": email or None,
                "template_key": None,
                "context_values": "{}",
            }
            if not email:
                rows[who].update(
                    state="skipped",
                    error_class="no_email",
                    error_message=_(
                        "%s has no e-mail address. Enter one in the contact.", partner.display_name
                    ),
                )
        return rows.values()

    def _set_event_keys(self, rows, events):
        """Give each row the key under which the database takes its message once.

        With the policy `once` it is not the event that counts but the record and, where it has one, its
        expiry date: a permit whose date moves may be told of again. Who could not be told yet is told when it
        happens next. An event without a key leaves its rows without.
        """
        once = self.repeat_policy == "once"
        for row in rows:
            what = events[row["res_id"]].key
            if once and row["state"] == "pending":
                record = self.env[row["res_model"]].browse(row["res_id"])
                date = record.sudo().expiry_date if "expiry_date" in record._fields else ""
                what = f"{ONCE[1:]}{date or ''}"
                who = row["partner_id"]  # whatever number they have next year
            elif what is None:
                row["event_key"] = None
                continue
            else:
                who = row.get(ADDRESS[row["channel"]]) or row.get("partner_id") or "nobody"
            key = (self.id, row["template_key"] or "", f"{row['res_model']},{row['res_id']}", who, what)
            if row["channel"] == EMAIL:
                key = (EMAIL, *key)
            row["event_key"] = ":".join(map(str, key))

    def _describe_recipients(self):
        return {
            "partner": _("the record has no applicant."),
            "staff": _("the staff group has no members."),
            "official": _("there is no official on the record and none in the group."),
            "custom": _("no contact meets the domain of the recipients."),
            "field": _("the field “%s” is empty.", self.recipient_field or ""),
        }[self.recipient_type]

    @api.model
    def _links_of(self, record):
        """Give the columns of a queue row that say which record it is about."""
        company = record.company_id if "company_id" in record._fields else self.env.company
        return {
            "res_model": record._name,
            "res_id": record.id,
            "company_id": (company or self.env.company).id,
        }

    # === WHO ===#

    @api.model
    def _applicant_of(self, record):
        """Give the applicant of a record; a contact or user is its own."""
        if record._name == "res.partner":
            return record
        return record.partner_id if "partner_id" in record._fields else record.env["res.partner"]

    def _recipients(self, records, events):
        """Find who hears of each record.

        :return: {record id: partners}
        :rtype: dict
        """
        finder = getattr(self, f"_recipients_{self.recipient_type}")
        return finder(records, events)

    def _recipients_partner(self, records, events):
        return {record.id: self._applicant_of(record) for record in records}

    def _recipients_staff(self, records, events):
        return self._members(self.staff_group_id or self.env.ref(GROUP % "group_staff"), records)

    def _recipients_official(self, records, events):
        members = self._members(self.official_group_id or self.env.ref(GROUP % "group_official"), records)
        if self.official_group_id or "approver_id" not in records._fields:
            return members
        return {record.id: record.approver_id.partner_id or members[record.id] for record in records}

    @api.model
    def _members(self, group, records):
        """Give, for each record, the members of a group who belong to the record's company."""
        users = group_users(group.sudo()).filtered("active")
        if "company_id" not in records._fields:
            return dict.fromkeys(records.ids, users.partner_id)
        by_company = {
            company: users.filtered(lambda user, of=company: not of or of in user.company_ids).partner_id
            for company in {record.company_id for record in records}
        }
        return {record.id: by_company[record.company_id] for record in records}

    def _recipients_custom(self, records, events):
        """Evaluate the domain once for all records of a company, or for each record when it speaks of it."""
        partners = self.env["res.partner"].sudo()
        text = self.recipient_domain or "[]"
        if not self._names_in(text) & PER_RECORD_NAMES:
            domain = self._eval_domain(text, self._domain_values(records))
            by_company = {
                company: partners.search([*self._partners_of(company), *domain])
                for company in {self._company_of(record) for record in records}
            }
            return {record.id: by_company[self._company_of(record)] for record in records}
        return {
            record.id: partners.search(
                [
                    *self._partners_of(self._company_of(record)),
                    *self._eval_domain(text, self._domain_values(records, record.id, events[record.id])),
                ]
            )
            for record in records
        }

    @api.model
    def _company_of(self, record):
        """Give the company of a record, empty for one that belongs to none or to all."""
        return record.company_id if "company_id" in record._fields else self.env["res.company"]

    @api.model
    def _partners_of(self, company):
        """Give the domain of the contacts that a company may write to: its own, those of no company, and the
        staff, as Odoo's record rule for contacts has it; all of them when no company is given.
        """
        if not company:
            return []
        return [
            *("|", "|", ("partner_share", "=", False)),
            *(("company_id", "parent_of", company.ids), ("company_id", "=", False)),
        ]

    def _recipients_field(self, records, events):
        found = {}
        for record in records:
            targets = record.mapped(self.recipient_field)
            found[record.id] = targets.partner_id if targets._name == "res.users" else targets
        return found

    # === WHAT ===#

    def _context_builder(self, records, template_key):
        """Give the function that fills a template's parameters for a record and a recipient.

        :return: function (record, partner, event) → dict of texts
        """
        templates = self._templates_for(template_key)
        defaults = self.env["sicantik.notification.context"]._for_templates(templates, records)
        code = (self.context_preparation_code or "").strip()

        def context_of(record, partner, event):
            context = defaults(record, partner, event)
            if code:
                values = self._python_values(record, records, event, partner)
                run_code(code, values)
                given = values.get("context")
                if not isinstance(given, dict):
                    raise ValueError(_("The context code must assign a dictionary to `context`."))
                context.update({str(name): _text(value) for name, value in given.items()})
            context.update({str(name): _text(value) for name, value in event.values.items()})
            return context

        return context_of

    @api.model
    def _templates_for(self, template_key):
        """Find the templates whose parameters have to be filled: the plain one and its Meta variant."""
        plain = (template_key or "").removeprefix(META_PREFIX)
        found = self.env["sicantik.whatsapp.template.master"].sudo()._by_key([template_key])
        templates = self.env["sicantik.whatsapp.template.master"].sudo()
        for key in (plain, META_PREFIX + plain):
            templates |= found.get(key, templates.browse())
        return templates

    # === WHETHER AND WHEN ===#

    def _without_repeats(self, rows, trouble):
        """Leave out what the cooldown holds back; `once` is a matter of the event key.

        What is left gets a key that says which message of this rule, about this record and to this recipient
        it comes after: of two transactions that cannot see each other's, the database lets one queue it. The
        other one finds that out at the same row (Odoo tries it again when it cannot be otherwise), and nobody
        else waits.
        """
        if self.repeat_policy != "cooldown" or not rows:
            return rows
        last = self._last_messages(rows)
        kept = []
        for row in rows:
            who = row.get(ADDRESS[row["channel"]]) or f"partner{row.get('partner_id') or 0}"
            who = f"{EMAIL}:{who}" if row["channel"] == EMAIL else who
            last_id, told = last.get((row["res_id"], who), (0, False))
            if told:
                trouble.hold_back(row)
            else:
                about = f"{row['res_model']},{row['res_id']}"
                kept.append({**row, "cooldown_key": f"{self.id}:{about}:{who}:{last_id}"})
        return kept

    def _last_messages(self, rows):
        """Look up what the rule has written about the same records.

        :return: {(record id, recipient): (id of the last message, whether the cooldown still holds)}
        :rtype: dict
        """
        queue = self.env["sicantik.notification.queue"]
        queue.flush_model()
        # What may have left counts as told.
        self.env.cr.execute(
            """
            SELECT res_id,
                   CASE channel WHEN 'email' THEN 'email:' ELSE '' END
                       || COALESCE(CASE channel WHEN 'email' THEN email ELSE phone END,
                                   'partner' || COALESCE(partner_id, 0)),
                   max(id),
                   bool_or(create_date > %(since)s
                           AND (state IN ('pending', 'processing', 'sent') OR error_class = 'interrupted'))
              FROM sicantik_notification_queue
             WHERE rule_id = %(rule)s AND res_model = %(model)s AND res_id = ANY(%(ids)s)
          GROUP BY 1, 2
            """,
            {
                "rule": self.id,
                "model": rows[0]["res_model"],
                "ids": list({row["res_id"] for row in rows}),
                "since": fields.Datetime.now() - timedelta(hours=self.cooldown_hours),
            },
        )
        return {(res_id, who): (last_id, told) for res_id, who, last_id, told in self.env.cr.fetchall()}

    def _hold_back(self, rows):
        """Turn rows that must not go out into skipped ones, each with its reason."""
        self.env["sicantik.notification.mail"]._hold_back(rows)
        pending = [row for row in rows if row["state"] == "pending" and row["channel"] == WHATSAPP]
        blocked = (
            self.env["sicantik.notification.blacklist"].sudo()._blocked([row["phone"] for row in pending])
        )
        partners = self.env["res.partner"].sudo().browse([row["partner_id"] for row in pending])
        opted_in = (
            {partner.id for partner in partners if partner.whatsapp_opt_in} if self._asks_opt_in() else ()
        )
        for row in pending:
            if row["phone"] in blocked and self._obeys(blocked[row["phone"]]):
                source, reason = blocked[row["phone"]]
                row.update(
                    state="skipped",
                    is_blacklisted=True,
                    error_class="blacklisted",
                    error_message=_("The number is on the blacklist: %s", reason or source),
                )
            elif self._asks_opt_in() and row["partner_id"] not in opted_in:
                row.update(
                    state="skipped",
                    error_class="no_opt_in",
                    error_message=_(
                        "The recipient has not agreed to WhatsApp messages, which this rule asks for."
                    ),
                )

    def _asks_opt_in(self):
        """Whether WhatsApp goes to the opted-in only: always where everybody gets an e-mail anyway."""
        return self.require_opt_in or self.channel == "both"

    def _facts(self):
        """Give what the drain has to know.

        :rtype: road.Rule
        """
        self.ensure_one()
        return Rule(
            id=self.id,
            name=self.name,
            retry_delay=self.retry_delay,
            require_opt_in=self._asks_opt_in(),
            respect_blacklist=self.respect_blacklist,
            limit=self.rate_limit_count if self.rate_limit_enabled else None,
            period=PERIODS[self.rate_limit_period],
            urgent=self.urgent,
            quiet_hours=self.quiet_hours,
            window=self._sending_window(),
            mail_template_id=self.mail_template_id.id or None,
            post_note=self.post_note,
        )

    def _obeys(self, entry):
        """Tell whether a blacklist entry holds for this rule; a person's own opt-out always does."""
        source, _reason = entry
        return self.respect_blacklist or source == "opt_out"

    def _set_schedule(self, rows, batch_offset=0, batch_start=None):
        """Write into the rows when they may leave (seed 2, section 4.2, tab “Penjadwalan”)."""
        now = fields.Datetime.now()
        delay = timedelta(minutes=self.scheduled_delay if self.schedule_type == "scheduled" else 0)
        for row in rows:
            row["scheduled_date"] = now + delay
        if self.schedule_type == "batch":
            pending = (row for row in rows if row["state"] == "pending")
            for position, row in enumerate(pending, batch_offset):
                row["scheduled_date"] = (batch_start or now) + self._batch_delay(position)
        self.env["sicantik.notification.quiet"]._move(rows, self)

    def _batch_delay(self, position):
        """Give how long after the first batch a message leaves.

        :param int position: how many messages go before it
        :rtype: timedelta
        """
        return timedelta(minutes=position // self.batch_size * self.batch_interval)


def _text(value):
    """Give a value of the context as JSON can hold it and a message can show it."""
    if value is None or value is False:
        return ""
    if isinstance(value, models.BaseModel):
        return ", ".join(value.mapped("display_name"))
    return value if isinstance(value, str | int | float) else str(value)
