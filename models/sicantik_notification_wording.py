from odoo import _, api, models
from odoo.exceptions import AccessError
from odoo.tools import format_date, format_datetime

from ..compat import check_access
from . import offsets

AND, OR, NOT = "&", "|", "!"


class SicantikNotificationWording(models.AbstractModel):
    """Says in words what triggers and rules do: whole sentences, with labels instead of technical names.

    Clauses are translated as a whole; what is put into them are nouns, values and other whole clauses.
    """

    _name = "sicantik.notification.wording"
    _description = "Triggers and Rules in Words"

    # === DOMAINS ===#

    @api.model
    def _conditions(self, domain):
        """Split a domain into the conditions that all have to hold.

        :param list domain: as `_eval_domain` gives it
        :return: domains
        :rtype: list[list]
        """
        found, rest = [], list(domain)
        while rest:
            size = _size(rest)
            part, rest = rest[:size], rest[size:]
            if part[0] == AND:
                rest = [*part[1:], *rest]
            else:
                found.append(part)
        return found

    @api.model
    def _say_domain(self, model, domain):
        """Say a domain in words.

        :param model: any recordset of the model that it is for, in the environment of who reads it
        :param list domain: one condition, as `_conditions` gives it, or several
        :rtype: str
        """
        said, rest = [], list(domain)
        while rest:
            size = _size(rest)
            said.append(self._say_condition(model, rest[:size]))
            rest = rest[size:]
        text = said[0] if said else _("any record")
        for one in said[1:]:
            text = _("%(one)s and %(other)s", one=text, other=one)
        return text

    @api.model
    def _say_condition(self, model, part):
        if part[0] == NOT:
            return _("not (%s)", self._say_domain(model, part[1:]))
        if part[0] in (AND, OR):
            size = _size(part[1:])
            one = self._say_domain(model, part[1 : 1 + size])
            other = self._say_domain(model, part[1 + size :])
            if part[0] == AND:
                return _("%(one)s and %(other)s", one=one, other=other)
            return _("(%(one)s or %(other)s)", one=one, other=other)
        return self._say_term(model, *part[0])

    @api.model
    def _say_term(self, model, name, operator, value):
        if not isinstance(name, str):  # (1, '=', 1)
            return _("always") if (name == value) is (operator == "=") else _("never")
        field, label = self._field(model, name), self._label(model, name)
        several = isinstance(value, list | tuple | set)
        if several and operator in ("=", "!="):
            operator = "in" if operator == "=" else "not in"
        elif several and operator in ("in", "not in") and len(value) == 1:
            operator, value, several = ("=" if operator == "in" else "!="), next(iter(value)), False
        if several and operator in ("in", "not in"):
            shown = ", ".join(self._shown(field, one) for one in value)
            if operator == "in":
                return _("%(field)s is one of %(values)s", field=label, values=shown)
            return _("%(field)s is none of %(values)s", field=label, values=shown)
        if field is not None and field.type == "boolean" and operator in ("=", "!=", "in", "not in"):
            is_true = bool(value) is (operator in ("=", "in"))
            return _("%s is ticked", label) if is_true else _("%s is not ticked", label)
        if value in (False, None) and operator in ("=", "!="):
            return _("%s is empty", label) if operator == "=" else _("%s is filled in", label)
        return self._say_comparison(field, label, operator, self._shown(field, value))

    @api.model
    def _say_comparison(self, field, label, operator, shown):
        given = {"field": label, "value": shown}
        if field is not None and field.type in ("date", "datetime"):
            said = {
                "<": _("%(field)s is before %(value)s", **given),
                "<=": _("%(field)s is %(value)s at the latest", **given),
                ">": _("%(field)s is after %(value)s", **given),
                ">=": _("%(field)s is %(value)s at the earliest", **given),
            }.get(operator)
            if said:
                return said
        return {
            "=": _("%(field)s is %(value)s", **given),
            "!=": _("%(field)s is not %(value)s", **given),
            "<": _("%(field)s is less than %(value)s", **given),
            "<=": _("%(field)s is %(value)s at most", **given),
            ">": _("%(field)s is more than %(value)s", **given),
            ">=": _("%(field)s is %(value)s at least", **given),
            "like": _("%(field)s contains %(value)s", **given),
            "ilike": _("%(field)s contains %(value)s", **given),
            "not like": _("%(field)s does not contain %(value)s", **given),
            "not ilike": _("%(field)s does not contain %(value)s", **given),
            "child_of": _("%(field)s is %(value)s or below it", **given),
        }.get(operator) or f"{label} {operator} {shown}"

    @api.model
    def _field(self, model, path):
        """Give the field at the end of a path; None when there is none."""
        field = None
        for name in path.split("."):
            field = model._fields.get(name) if model is not None else None
            model = model.env[field.comodel_name] if field is not None and field.relational else None
        return field

    @api.model
    def _label(self, model, path):
        """Give the labels of a path of fields, such as “Permit › Applicant”; what is no field stays."""
        labels = []
        for name in path.split("."):
            field = model._fields.get(name) if model is not None else None
            labels.append(field._description_string(self.env) if field is not None else name)
            model = model.env[field.comodel_name] if field is not None and field.relational else None
        return " › ".join(labels)

    @api.model
    def _shown(self, field, value):
        """Show a value of a field as people know it."""
        if value is None or value is False:
            return _("empty")
        kind = field.type if field is not None else None
        if kind == "boolean":
            return _("yes")
        if kind == "selection":
            return dict(field._description_selection(self.env)).get(value, str(value))
        try:
            if kind in ("many2one", "one2many", "many2many") and isinstance(value, int):
                record = self.env[field.comodel_name].browse(value).exists()
                check_access(record, "read")
                return record.display_name or str(value)
            if kind == "date":
                return format_date(self.env, value)
            if kind == "datetime":
                return format_datetime(self.env, value)
        except (AccessError, ValueError, TypeError):
            return str(value)
        return str(value)

    @api.model
    def _actual(self, record, path):
        """Say what a record has in a field, to somebody who may read it.

        :param record: one record, in the environment of who asks
        :param str path: name of the field; of a path through other records nothing is said
        :return: the text, None when it is not to be said
        """
        field = record._fields.get(path)
        if field is None or field.groups:
            return None
        try:
            value = record[path]
            if isinstance(value, models.BaseModel):
                return ", ".join(value.mapped("display_name")) or _("empty")
        except AccessError:
            return None
        if field.type == "boolean":
            return _("yes") if value else _("no")
        if isinstance(value, int | float) and not isinstance(value, bool):
            return str(value)
        return self._shown(field, value or False)

    # === TRIGGERS ===#

    @api.model
    def _say_event(self, trigger):
        """Say when a trigger fires, as a clause that begins a sentence: “When … changes”.

        :param trigger: one trigger, also one that is being edited
        :rtype: str
        """
        model = trigger.model_id.name or "…"
        sayer = getattr(self, f"_say_{trigger.trigger_type}", None)
        return sayer(trigger, model) if sayer else ""

    def _say_on_create(self, trigger, model):
        return _("When a record of “%s” is created", model)

    def _say_on_write(self, trigger, model):
        return _("When a record of “%s” is updated", model)

    def _say_on_state_change(self, trigger, model):
        label = self._label(self._model(trigger), trigger.state_field or "…")
        labels = {one["value"]: one["label"] for one in trigger.state_choices or ()}

        def said(text):
            names = [part.strip() for part in (text or "").split(",") if part.strip()]
            return self._either(labels.get(name, name) for name in names)

        old, new = said(trigger.state_from), said(trigger.state_to)
        given = {"field": label, "model": model, "old": old, "new": new}
        if old and new:
            return _("When “%(field)s” of “%(model)s” changes from %(old)s to %(new)s", **given)
        if new:
            return _("When “%(field)s” of “%(model)s” becomes %(new)s", **given)
        if old:
            return _("When “%(field)s” of “%(model)s” is no longer %(old)s", **given)
        return _("When “%(field)s” of “%(model)s” changes", **given)

    @api.model
    def _either(self, names):
        """Say that it is one of several."""
        text = ""
        for name in names:
            text = _("%(one)s or %(other)s", one=text, other=name) if text else name
        return text

    def _say_on_field_change(self, trigger, model):
        label = trigger.field_to_watch.field_description or "…"
        return _("When “%(field)s” of “%(model)s” changes", field=label, model=model)

    def _say_cron(self, trigger, model):
        number = trigger.cron_interval_number
        every = {
            "minutes": _("every %s minutes", number),
            "hours": _("every %s hours", number) if number != 1 else _("every hour"),
            "days": _("every %s days", number) if number != 1 else _("every day"),
            "weeks": _("every %s weeks", number) if number != 1 else _("every week"),
            "months": _("every %s months", number) if number != 1 else _("every month"),
        }.get(trigger.cron_interval_type, "…")
        return _("For each record of “%(model)s”, %(every)s", model=model, every=every)

    def _say_manual(self, trigger, model):
        return _("When this trigger is called for records of “%s”", model)

    def _say_api(self, trigger, model):
        return _("When another system calls this trigger for records of “%s”", model)

    def _say_on_time(self, trigger, model):
        try:
            moments = [self._say_offset(minutes) for minutes in offsets.parse(trigger.time_offsets)]
        except ValueError:
            moments = [trigger.time_offsets or "…"]
        return _(
            "%(moments)s “%(date)s” of “%(model)s”",
            model=model,
            date=trigger.date_field_id.field_description or "…",
            moments=", ".join(moments),
        )

    @api.model
    def _say_offset(self, minutes):
        """Say a time before or after a date, such as “30 days before”.

        :param int minutes: negative before
        """
        size, before = abs(minutes), minutes < 0
        if not size:
            return _("at the time of")
        if size % offsets.DAY == 0:
            days = size // offsets.DAY
            return _("%s days before", days) if before else _("%s days after", days)
        if size % 60 == 0:
            return _("%s hours before", size // 60) if before else _("%s hours after", size // 60)
        return _("%s minutes before", size) if before else _("%s minutes after", size)

    @api.model
    def _model(self, trigger):
        """Give an empty recordset of the trigger's model; None when there is no such model here."""
        return self.env.get(trigger.model_id.model or "")

    @api.model
    def _say_text(self, model, text):
        """Say the text of a domain; empty when there is none, or no such model here."""
        if not (text or "").strip() or model is None:
            return ""
        evaluation = self.env["sicantik.notification.evaluation"]
        try:
            names = evaluation._names_in(text)
            domain = evaluation._eval_domain(text, evaluation._domain_values())
            said = ", ".join(self._say_domain(model, part) for part in self._conditions(domain))
        except Exception:
            # Somebody is writing it; when it is saved they are told what is wrong.
            return _("the condition as it is written")
        return _("%s (as of today)", said) if names else said

    @api.model
    def _say_trigger(self, trigger):
        """Say in words what a trigger does.

        :rtype: str
        """
        sentences = [_("%s, its rules say who is told.", self._say_event(trigger))]
        condition = self._say_text(self._model(trigger), trigger.condition_domain)
        if condition:
            sentences.append(_("Only if %s.", condition))
        if not trigger.active:
            sentences.append(_("It is switched off: nothing happens."))
        elif trigger.trigger_type == "cron" and trigger.next_run:
            sentences.append(_("The next time is %s.", format_datetime(self.env, trigger.next_run)))
        return " ".join(sentences)

    # === RULES ===#

    @api.model
    def _say_rule(self, rule):
        """Say in words what a rule does: who gets what, when, and who does not.

        :param rule: one rule, also one that is being edited
        :rtype: str
        """
        trigger = rule.trigger_id
        if not trigger:
            return _("Choose a trigger first: it says what the rule waits for.")
        sentences = [
            self._say_message(rule, self._say_event(trigger)),
            self._say_conditions(rule),
            self._say_schedule(rule),
            self._say_repeats(rule),
            self._say_limit(rule),
            self._say_left_out(rule),
        ]
        if not rule.active:
            sentences.append(_("The rule is switched off: nothing is sent."))
        elif not trigger.active:
            sentences.append(_("Its trigger is switched off: nothing is sent."))
        return " ".join(filter(None, sentences))

    def _say_message(self, rule, event):
        template = rule.template_master_id.name or rule.template_key or "…"
        given = {"event": event, "who": self._say_recipients(rule), "template": template}
        if rule.channel == "email":
            given["template"] = rule.mail_template_id.sudo().name or "…"
            return _("%(event)s, %(who)s get “%(template)s” by e-mail.", **given)
        if rule.channel == "both":
            return _("%(event)s, %(who)s get “%(template)s” by WhatsApp and e-mail.", **given)
        return _("%(event)s, %(who)s get “%(template)s” by WhatsApp.", **given)

    def _say_conditions(self, rule):
        """Say the conditions of a rule, and those of its trigger."""
        model = self._model(rule.trigger_id)
        said = [self._say_text(model, one.condition_domain) for one in (rule.trigger_id, rule)]
        if (rule.condition_python or "").strip():
            said.append(_("the Python condition is true"))
        said = [one for one in said if one]
        return _("Only if %s.", ", ".join(said)) if said else ""

    def _say_recipients(self, rule):
        if rule.recipient_type == "staff":
            return _("all members of “%s”", rule.staff_group_id.sudo().name or _("DPMPTSP Staff"))
        if rule.recipient_type == "official":
            if rule.official_group_id:
                return _("all members of “%s”", rule.official_group_id.sudo().name)
            return _("the record's official (else all officials)")
        if rule.recipient_type == "custom":
            said = self._say_text(self.env["res.partner"], rule.recipient_domain)
            return _("all contacts for whom %s", said) if said else _("all contacts")
        if rule.recipient_type == "field":
            path = self._label(self._model(rule.trigger_id), rule.recipient_field or "…")
            return _("the people in “%s”", path)
        return _("the applicants")

    def _say_schedule(self, rule):
        if rule.schedule_type == "scheduled":
            return _("The message leaves %s minutes later.", rule.scheduled_delay)
        if rule.schedule_type == "batch":
            return _(
                "The message leaves in batches of %(size)s messages, one every %(minutes)s minutes.",
                size=rule.batch_size,
                minutes=rule.batch_interval,
            )
        if rule.urgent:
            return _("The message leaves at once, before other messages and also in quiet hours.")
        if rule.quiet_hours == "own":
            start, end = (_clock(hours) for hours in (rule.sending_from, rule.sending_to))
            return _(
                "The message leaves at once, but only between %(start)s and %(end)s.", start=start, end=end
            )
        if rule.quiet_hours == "none":
            return _("The message leaves at once, at any hour.")
        if self.env.company._sending_window():
            return _("The message leaves at once, but not in quiet hours.")
        return _("The message leaves at once.")

    def _say_repeats(self, rule):
        if rule.repeat_policy == "once":
            return _("Nobody is told twice of the same record.")
        if rule.repeat_policy == "cooldown":
            hours = f"{rule.cooldown_hours:g}"
            return _("Nobody is told again of the same record within %s hours.", hours)
        return ""

    def _say_limit(self, rule):
        if not rule.rate_limit_enabled:
            return ""
        count = rule.rate_limit_count
        return {
            "minute": _("At most %s messages per minute.", count),
            "hour": _("At most %s messages per hour.", count),
            "day": _("At most %s messages per day.", count),
        }.get(rule.rate_limit_period, "")

    def _say_left_out(self, rule):
        if rule.channel == "email":
            return ""
        if rule._asks_opt_in():
            return _("Left out by WhatsApp: who has not agreed to it, and who is on the blacklist.")
        if rule.respect_blacklist:
            return _("Left out: who is on the blacklist.")
        return _("Left out: who has opted out.")


def _size(domain):
    """Count the parts of a domain in prefix notation that make its first condition."""
    open_, position = 1, 0
    while open_ and position < len(domain):
        part = domain[position]
        if part in (AND, OR):
            open_ += 1
        elif part != NOT:
            open_ -= 1
        position += 1
    return position


def _clock(hours):
    """Give hours, such as 7.5, as a clock shows them."""
    minutes = round(hours * 60)
    return f"{minutes // 60:02}:{minutes % 60:02}"
