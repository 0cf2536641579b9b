import json
from collections import Counter
from typing import NamedTuple

from odoo import Command, _, api, fields, models
from odoo.exceptions import UserError

from ..compat import check_access
from ..models.road import Refusal
from ..models.sicantik_notification_context import READ_OF_PARTNERS
from ..models.sicantik_notification_evaluation import Event
from ..models.sicantik_notification_queue import DOCUMENT, PERMIT
from ..models.sicantik_notification_rule import to_json
from ..models.sicantik_notification_settlement import HELD_BACK
from ..models.sicantik_whatsapp_dispatcher import Request
from ..models.sicantik_whatsapp_template_master import META_PREFIX

MODELS = (PERMIT, DOCUMENT)
# Up to so many records are listed with their recipients, who may be changed; of more only the sums are shown.
LISTED = 100
# What one transaction queues in a few seconds. More is a campaign, which goes chunk by chunk.
MOST = 10000
FURTHER_ATTEMPTS = 3
OUTCOMES = [
    ("incomplete", "Not Ready"),
    ("send", "Will Be Sent"),
    ("held", "Left Out"),
    ("fail", "Would Fail"),
]


class Outlook(NamedTuple):
    """What would become of one message: `outcome` as in OUTCOMES, and the rest as far as it is known."""

    outcome: str
    error_class: str = ""
    reason: str = ""
    provider: str = ""
    text: str = ""
    context: str = "{}"


class SicantikNotificationComposeWizard(models.TransientModel):
    """Write to the people behind permits or documents: a template or free text, by hand.

    It shows beforehand what would become of each message, and sends none itself: it makes queue rows, and
    they take the road of all messages, where blacklist, consent, limits and quiet hours hold.
    """

    _name = "sicantik.notification.compose.wizard"
    _description = "Send WhatsApp"

    res_model = fields.Char(string="Model", required=True)
    res_ids = fields.Text(string="Records", required=True, help="Ids of the records, as a JSON list.")
    record_count = fields.Integer(compute="_compute_record_count")
    is_listed = fields.Boolean(compute="_compute_record_count")
    message_type = fields.Selection(
        [("template", "Template"), ("text", "Free Text")], required=True, default="template"
    )
    template_id = fields.Many2one("sicantik.whatsapp.template.master")
    usable_template_ids = fields.Many2many(
        "sicantik.whatsapp.template.master", compute="_compute_usable_template_ids"
    )
    body = fields.Text(string="Message")
    line_ids = fields.One2many("sicantik.notification.compose.line", "wizard_id", string="Recipients")
    summary = fields.Text(compute="_compute_summary")
    preview = fields.Text(compute="_compute_summary")

    @api.model
    def default_get(self, fields_list):
        """Take the records that are open or selected, and the applicant of each as its recipient."""
        values = super().default_get(fields_list)
        model = self.env.context.get("active_model")
        if "res_ids" not in values and model in MODELS:
            records = self.env[model].browse(self.env.context.get("active_ids") or ()).exists()
            self._check_records(records)
            values.update(res_model=model, res_ids=json.dumps(records.ids))
            if len(records) <= LISTED:
                values["line_ids"] = [
                    Command.create({"res_id": record.id, "partner_id": record.partner_id.id})
                    for record in records
                ]
        return values

    # === COMPUTES ===#

    @api.depends("res_ids")
    def _compute_record_count(self):
        for wizard in self:
            wizard.record_count = len(wizard._record_ids())
            wizard.is_listed = wizard.record_count <= LISTED

    @api.depends("res_model")
    def _compute_usable_template_ids(self):
        self.usable_template_ids = self._usable_templates()

    @api.depends("message_type", "template_id", "body", "res_ids", "line_ids.outcome")
    def _compute_summary(self):
        for wizard in self:
            outlooks = (
                [line._outlook() for line in wizard.line_ids]
                if wizard.is_listed
                else wizard._outlooks(wizard._targets())
            )
            wizard.summary = wizard._summarize(outlooks)
            wizard.preview = next((one.text for one in outlooks if one.text), False)

    @api.model
    def _usable_templates(self):
        """Give the templates that some provider could send, without Meta's variants of others: those are
        found by themselves. Before any provider is set up all are offered.
        """
        dispatcher = self.env["sicantik.whatsapp.dispatcher"]
        companies = {False, *self.env.companies.ids}
        types = {
            provider.provider_type
            for provider in dispatcher._providers()
            if provider.company_id.id in companies
        }
        templates = self.env["sicantik.whatsapp.template.master"].search([])
        keys = set(templates.mapped("template_key"))
        directory = dispatcher._directory(keys)

        def usable(template):
            key = template.template_key
            variant = key.startswith(META_PREFIX)
            if variant and key.removeprefix(META_PREFIX) in keys:
                return False
            others = bool(types - {"meta"}) and not variant
            return not types or others or ("meta" in types and bool(directory.meta_text(key)))

        return templates.filtered(usable)

    def _summarize(self, outlooks):
        """Say in a few lines how many messages will be sent by whom, and why others will not."""
        if not outlooks:
            return _("There is nobody to write to.")
        if any(one.outcome == "incomplete" for one in outlooks):
            return outlooks[0].reason
        providers = Counter(one.provider for one in outlooks if one.outcome == "send")
        labels = dict(
            self.env["sicantik.notification.queue"]._fields["error_class"]._description_selection(self.env)
        )
        others = Counter(labels.get(one.error_class, "") for one in outlooks if one.outcome != "send")
        lines = [_("Will be sent: %s", sum(providers.values()))]
        lines += [f"  {name}: {count}" for name, count in providers.most_common()]
        if others:
            lines.append(_("Will not be sent: %s", sum(others.values())))
            lines += [f"  {name}: {count}" for name, count in others.most_common()]
        return "\n".join(lines)

    # === WHOM AND WHAT ===#

    def _record_ids(self):
        try:
            ids = json.loads(self.res_ids or "[]")
        except ValueError:
            ids = []
        return ids if isinstance(ids, list) and all(isinstance(one, int) for one in ids) else []

    @api.model
    def _check_records(self, records):
        """Refuse records that the user may not read or that are too many.

        :raise AccessError: the user is no notification user, or may not read one of the records
        :raise UserError: there are too many
        """
        self.env["sicantik.notification.access"]._check_user()
        if len(records) > MOST:
            raise UserError(
                _("These are more than %s records at once. Make a campaign of them, or select fewer.", MOST)
            )
        check_access(records, "read")

    def _records(self):
        """Give the records that the wizard was opened for.

        :raise AccessError: the user may not read them
        :raise UserError: they are of a model that is not written about, or too many
        """
        self.ensure_one()
        if self.res_model not in MODELS:
            raise UserError(_("Open this from permits or documents."))
        records = self.env[self.res_model].browse(self._record_ids()).exists()
        self._check_records(records)
        return records

    def _targets(self):
        """Give who is written to about what: [(record, partner)], in superuser mode."""
        if self.is_listed:
            return self._targets_of(self.line_ids)
        return [(record, record.partner_id) for record in self._records().sudo()]

    def _targets_of(self, lines):
        """As `_targets`, one per line.

        :raise AccessError: the user may not read a record or a recipient
        :raise UserError: a line is about a record that the wizard was not opened for
        """
        records = {record.id: record for record in self._records().sudo()}
        if not set(lines.mapped("res_id")) <= set(records):
            raise UserError(
                _("A record has been deleted meanwhile. Close this and select the records again.")
            )
        partners = lines.partner_id._origin
        applicants = self.env["res.partner"].union(*(record.partner_id for record in records.values()))
        check_access(partners - applicants, "read")
        partners.sudo().fetch(READ_OF_PARTNERS)
        return [(records[line.res_id], line.partner_id._origin.sudo()) for line in lines]

    def _outlooks(self, targets):
        """Find out what would become of messages, all at once.

        :param list targets: [(record, partner)]
        :rtype: list[Outlook]
        """
        self.ensure_one()
        is_text = self.message_type == "text"
        template = self.template_id.sudo()
        if not (self.body or "").strip() if is_text else not template:
            reason = _("Write the message first.") if is_text else _("Choose a template first.")
            return [Outlook("incomplete", reason=reason) for _target in targets]
        key = "" if is_text else template.template_key
        contexts = [{} for _target in targets] if is_text else self._contexts(targets, key)
        dispatcher = self.env["sicantik.whatsapp.dispatcher"].sudo()
        requests = [
            Request(
                key=number,
                phone=partner.whatsapp_e164 or "",
                opted_in=partner.whatsapp_opt_in,
                window_open=partner.whatsapp_window_open,
                company_id=(record.company_id or self.env.company).id,
                message_type=self.message_type,
                template_key=key,
                body=self.body or "",
                context=context,
            )
            for number, ((record, partner), context) in enumerate(zip(targets, contexts, strict=True))
        ]
        directory = dispatcher._directory([key] if key else [])
        plans = dispatcher._plan(requests, directory)
        phones = [request.phone for request in requests if request.phone]
        blocked = self.env["sicantik.notification.blacklist"].sudo()._blocked(phones)
        senders = {sender.id: sender for sender in directory.senders}
        return [
            self._outlook(request, partner, plans[request.key], blocked.get(request.phone), senders)
            for request, (_record, partner) in zip(requests, targets, strict=True)
        ]

    def _outlook(self, request, partner, plan, blocked, senders):
        values = to_json(request.context)
        if not partner:
            return Outlook(
                "held", "no_recipient", _("Nobody to write to: choose a recipient."), context=values
            )
        if isinstance(plan, Refusal):
            outcome = "held" if plan.error_class in HELD_BACK else "fail"
            return Outlook(outcome, plan.error_class, plan.error_message, context=values)
        text = plan[0].message.text
        if blocked:
            source, reason = blocked
            reason = _("The number is on the blacklist: %s", reason or source)
            return Outlook("held", "blacklisted", reason, text=text, context=values)
        ready = [route for route in plan if not self._is_resting(senders[route.provider_id])]
        route = (ready or plan)[0]
        return Outlook(
            "send", provider=senders[route.provider_id].name, text=route.message.text, context=values
        )

    @api.model
    def _is_resting(self, sender):
        return self.env["sicantik.whatsapp.dispatcher"]._is_resting(sender)

    @api.model
    def _contexts(self, targets, template_key):
        """Fill the parameters of a template by the default mapping: one dict per target."""
        records = targets[0][0].union(*(record for record, _partner in targets)) if targets else ()
        if not records:
            return []
        self.env["sicantik.notification.context"]._fetch(records)
        templates = self.env["sicantik.notification.rule"]._templates_for(template_key)
        fill = self.env["sicantik.notification.context"]._for_templates(templates, records)
        return [fill(record, partner, Event(None, new_state=record.state)) for record, partner in targets]

    # === SENDING ===#

    def action_send(self):
        """Queue the messages and open them.

        :raise AccessError: the user is no notification user, or may not read a record or a recipient
        :raise UserError: there is nothing to send, or nobody to send it to
        """
        self.ensure_one()
        targets = self._targets()
        if not targets:
            raise UserError(_("There is nobody to write to. Close this and select records."))
        outlooks = self._outlooks(targets)
        if outlooks[0].outcome == "incomplete":
            raise UserError(outlooks[0].reason)
        rows = [
            self._prepare_row(*target, outlook) for target, outlook in zip(targets, outlooks, strict=True)
        ]
        made = self.env["sicantik.notification.queue"].sudo()._enqueue(rows)
        return self._open_rows(sorted(id_ for ids in made.values() for id_ in ids))

    def _prepare_row(self, record, partner, outlook):
        """Give the values of a queue row. Whether it may leave is asked again, and said, when it does."""
        is_text = self.message_type == "text"
        row = {
            **self.env["sicantik.notification.rule"]._links_of(record),
            "partner_id": partner.id or None,
            "phone": partner.whatsapp_e164 or None,
            "message_type": self.message_type,
            "template_key": None if is_text else self.template_id.template_key,
            "body": self.body if is_text else None,
            "context_values": outlook.context,
            # Pressed twice, it sends once.
            "event_key": f"compose:{self.id}:{record._name},{record.id}:{partner.id or 0}",
            "scheduled_date": fields.Datetime.now(),
            "priority": 5,
            "max_retries": FURTHER_ATTEMPTS,
            "state": "pending",
        }
        if not partner:
            row.update(state="skipped", error_class=outlook.error_class, error_message=outlook.reason)
        return row

    def _open_rows(self, ids):
        """Give the action that shows queue rows; the domain stays short for thousands of them."""
        action = {
            "type": "ir.actions.act_window",
            "name": _("Messages"),
            "res_model": "sicantik.notification.queue",
            "views": [(False, "list"), (False, "form")],
            "domain": [
                ("id", ">=", ids[0] if ids else 0),
                ("id", "<=", ids[-1] if ids else 0),
                ("event_key", "=like", f"compose:{self.id}:%"),
            ],
        }
        if len(ids) == 1:
            action.update(views=[(False, "form")], res_id=ids[0])
        return action
