from datetime import datetime, timedelta
from typing import NamedTuple

from odoo import _, api, fields, models
from odoo.exceptions import ValidationError
from odoo.tools import format_datetime

from ..providers import errors, parameters
from .company_time import find_zone
from .road import EMAIL
from .sicantik_notification_queue import CRON
from .sicantik_whatsapp_template_master import META_PREFIX

QUEUE = "sicantik.notification.queue"
LOG = "sicantik.notification.log"
TEMPLATE = "sicantik_notification_automation.sicantik_notification_story"
# What begins the event keys of messages written with “Send WhatsApp”.
COMPOSED = "compose:"
MOMENT = "EEE d MMM y, HH:mm:ss"
MINUTE = "EEE d MMM y, HH:mm"


class Step(NamedTuple):
    """One thing that happened to a message, or that will.

    `moment` is UTC, None for what is now; `order` keeps a receipt behind what it is about, whatever the
    clocks said; `level` is a Bootstrap colour.
    """

    moment: datetime | None
    icon: str
    level: str
    title: str
    detail: str = ""
    order: datetime | None = None


class SicantikNotificationStory(models.AbstractModel):
    """The story of a message, in words: why there is one, what was tried, what came of it, what is next.

    It is read from the queue row and its log rows. Log rows without a queue row (test messages, those whose
    row has been deleted) tell theirs by themselves. Everything is read with the rights of the user.
    """

    _name = "sicantik.notification.story"
    _description = "Story of a Message"

    # === THE WHOLE ===#

    @api.model
    def _stories(self, messages):
        """Tell the stories of messages.

        :param messages: rows of the queue or of the log
        :return: {id: HTML}
        :rtype: dict
        """
        steps = self._steps_of_rows(messages) if messages._name == QUEUE else self._steps_of_logs(messages)
        return {id_: self._render(of) for id_, of in steps.items()}

    @api.model
    def _render(self, steps):
        shown = [
            {
                "icon": step.icon,
                "level": step.level,
                "time": self._time(step.moment, MOMENT) if step.moment else _("Now"),
                "title": step.title,
                "lines": [line for line in step.detail.split("\n") if line],
            }
            for step in steps
        ]
        return self.env["ir.qweb"]._render(TEMPLATE, {"steps": shown})

    @api.model
    def _time(self, moment, pattern=MINUTE):
        """Write a moment (UTC) by the clock of the user."""
        zone = find_zone(self.env.context.get("tz"), self.env.user.tz, self.env.company._notification_tz())
        return format_datetime(self.env, moment, tz=zone.zone, dt_format=pattern)

    # === QUEUE ===#

    @api.model
    def _steps_of_rows(self, rows):
        """Give the steps of queue rows, oldest first: {id: list[Step]}, in one query for all logs."""
        logs = self.env[LOG].search([("queue_id", "in", rows.ids)], order="id")
        by_row = {}
        for log in logs:
            by_row.setdefault(log.queue_id.id, []).append(log)
        return {
            row.id: self._sorted(
                [
                    self._first_step(row),
                    *self._steps_of_attempts(by_row.get(row.id, [])),
                ]
            )
            + self._present(row)
            for row in rows
            if row.id and row.create_date
        }

    def _first_step(self, row):
        title = _("Put into the queue")
        return Step(row.create_date, "fa-plus", "secondary", title, self._origin(row), datetime.min)

    @api.model
    def _origin(self, row):
        """Say why there is a message."""
        if row.campaign_id:
            return _("Campaign “%s”", row.campaign_id.name)
        if row.auto_message_id:
            return _("Auto message “%s”", row.auto_message_id.title)
        if row.rule_id and row.event_key:
            return _(
                "Rule “%(rule)s”, trigger “%(trigger)s”",
                rule=row.rule_id.name,
                trigger=row.rule_id.trigger_id.name or "–",
            )
        if (row.event_key or "").startswith(COMPOSED):
            return _("Written by hand, with “Send WhatsApp”")
        if row.rule_id:
            return _("Rule “%s”, without a trigger or by hand", row.rule_id.name)
        return _("Entered by hand")

    def _present(self, row):
        """Give the last step: where the message is now, and what comes next."""
        if row.state == "pending":
            return [Step(None, "fa-clock-o", "info", self._next_step(row), row.error_message or "")]
        if row.state == "processing":
            by = row.provider_id.sudo().name
            return [
                Step(None, "fa-refresh", "info", _("On its way to %s", by) if by else _("Being prepared"))
            ]
        return []

    @api.model
    def _next_step(self, row):
        """Say what becomes of a message that waits, in a sentence."""
        if row.campaign_id.state == "paused":
            return _("It leaves when its campaign “%s” is resumed.", row.campaign_id.name)
        if row.campaign_id.state == "cancelled":
            return _("It does not leave any more: its campaign “%s” was cancelled.", row.campaign_id.name)
        due = row.scheduled_date
        if due > fields.Datetime.now():
            when = self._time(due)
            if row.error_class == "quiet_hours":
                return _("It leaves on %s, when the quiet hours are over.", when)
            if row.error_class == "limited":
                return _("It leaves on %s, when there is room again.", when)
            if row.next_retry_date:
                return _("It is tried again on %s.", when)
            return _("It leaves on %s, as planned.", when)
        cron = self.env.ref(CRON, raise_if_not_found=False)
        if not cron or not cron.sudo().active:
            return _("It is due, but the scheduled action that sends is off. “Process Now” sends it at once.")
        return _("It is due, and leaves with the next run of the scheduled action.")

    # === LOG ===#

    @api.model
    def _steps_of_logs(self, logs):
        """Give the steps of the messages that log rows belong to: {id: list[Step]}."""
        rows = logs.queue_id.exists()
        of_rows = self._steps_of_rows(rows)
        alone = logs.filtered(lambda log: log.queue_id not in rows)
        siblings = self._siblings(alone)
        steps = {log.id: of_rows.get(log.queue_id.id) for log in logs - alone}
        steps.update({log.id: self._sorted(self._steps_of_attempts(siblings[log.id])) for log in alone})
        return steps

    @api.model
    def _siblings(self, logs):
        """Find the log rows of the same messages as these, which have no queue row.

        The attempts at a message that was sent at once are written in one transaction, and so have one date.

        :return: {id: log rows}
        :rtype: dict
        """
        found = self.env[LOG].search(
            [
                ("queue_id", "=", False),
                ("create_date", "in", list(set(logs.mapped("create_date")))),
                ("phone", "in", list(set(logs.mapped("phone")))),
            ],
            order="id",
        )
        by_message = {}
        for log in found:
            by_message.setdefault((log.create_date, log.phone, log.template_key), []).append(log)
        return {log.id: by_message.get((log.create_date, log.phone, log.template_key), [log]) for log in logs}

    @api.model
    def _steps_of_attempts(self, logs):
        """Give what log rows tell, in any order."""
        labels = self.env["sicantik.notification.mending"]._labels()
        return [step for log in logs for step in self._steps_of_attempt(log, labels)]

    def _steps_of_attempt(self, log, labels):
        began = log.create_date
        # Only the name, as lists show it: a provider may belong to another company by now.
        by = log.provider_id.sudo().name or dict(
            log._fields["provider_type"]._description_selection(self.env)
        ).get(log.provider_type)
        number = log.attempt
        refused_late = log.delivery_state == "failed"
        said = "\n".join(filter(None, [labels.get(log.error_class), log.error_message]))
        if log.state == "sent":
            if log.channel == EMAIL:
                title = _("Handed to Odoo's mail queue")
            else:
                title = _("Attempt %(number)s: %(provider)s took it", number=number, provider=by or "–")
            detail = _("ID %s", log.external_message_id) if log.external_message_id else ""
            yield Step(log.sent_date or began, "fa-paper-plane", "success", title, detail, began)
        elif log.state == "skipped":
            cancelled = log.error_class == "cancelled"
            title = _("Cancelled") if cancelled else _("Left out")
            yield Step(began, "fa-ban", "secondary", title, log.error_message if cancelled else said)
        elif not by:
            yield Step(began, "fa-times", "danger", _("Not sent"), said)
        elif log.error_class == errors.INTERRUPTED:
            title = _("Attempt %(number)s: %(provider)s gave no answer", number=number, provider=by)
            yield Step(began, "fa-question", "warning", title, said)
        else:
            title = _("Attempt %(number)s: %(provider)s refused it", number=number, provider=by)
            yield Step(began, "fa-times", "danger", title, said)
        later = began + timedelta(microseconds=1)
        if log.delivered_date:
            yield Step(
                log.delivered_date, "fa-check", "success", _("Delivered"), "", max(log.delivered_date, later)
            )
        if log.read_date:
            yield Step(log.read_date, "fa-eye", "success", _("Read"), "", max(log.read_date, later))
        if refused_late:
            moment = log.delivery_failed_date or began
            title = _("%s refused it afterwards", by) if by else _("It came back")
            yield Step(moment, "fa-times", "danger", title, said, max(moment, later))

    @api.model
    def _sorted(self, steps):
        return sorted(steps, key=lambda step: step.order or step.moment)

    # === TEXT ===#

    @api.model
    def _texts(self, messages):
        """Give the texts of messages as their recipients read them; a parameter without a value stays a
        placeholder. E-mails are written from their record when they leave, and are not kept.

        :param messages: rows of the queue or of the log
        :return: {id: text}
        :rtype: dict
        """
        keys = {message.template_key for message in messages if message.template_key}
        found = self.env["sicantik.whatsapp.template.master"].with_context(active_test=False)
        found = found.search(
            [("template_key", "in", [*keys, *(META_PREFIX + key.removeprefix(META_PREFIX) for key in keys)])]
        )
        templates = {template.template_key: template for template in found}
        return {message.id: self._text(message, templates) for message in messages}

    def _text(self, message, templates):
        if message.channel == EMAIL:
            return False
        # A log row of free text keeps no text; its queue row does.
        row = message if message._name == QUEUE else message.queue_id
        if not message.template_key or row.message_type == "text":
            return row.body
        key = message.template_key
        if message.provider_type == "meta":
            key = META_PREFIX + key.removeprefix(META_PREFIX)
        template = templates.get(key) or templates.get(message.template_key)
        if not template:
            return False
        try:
            context = self.env[QUEUE]._read_context(message.context_values)
        except ValidationError:  # somebody is just typing it
            context = {}
        body = template.body_preview or ""
        blanks = {name: f"{{{{{name}}}}}" for name in parameters.names_in(body)}
        given = {name: value for name, value in context.items() if value is not None}
        return parameters.render(body, {**blanks, **given})
