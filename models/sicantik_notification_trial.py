from dataclasses import asdict, dataclass, field
from datetime import datetime, time, timedelta

from odoo import _, api, fields, models
from odoo.tools import SQL, format_date, format_datetime, html2plaintext

from . import offsets
from .company_time import day_start, to_utc
from .road import EMAIL, Refusal, Row, Wait
from .sicantik_notification_evaluation import Event, Failure
from .sicantik_notification_queue import ADDRESS
from .sicantik_notification_settlement import HELD_BACK
from .watch import comparables, is_transition, states

# Messages of one rule that are told one by one.
LISTED = 20
COUNTERS = {"campaign_id": None, "retry_count": 0, "attempt_count": 0}


@dataclass
class Check:
    """One condition: its `verdict` is `yes`, `no` or `info`; `reason` says why not."""

    verdict: str
    text: str
    reason: str = ""


@dataclass
class Outlook:
    """What would become of one message.

    `outcome` is `send`, `wait` (it leaves later), `held` (left out) or `fail`; `leaves` when it would leave
    and `reason` why not, or why not at once; `provider` by whom, `fallbacks` who is next, `chosen` why;
    `said` and `route` say all that in words.
    """

    who: str
    address: str = ""
    channel: str = "whatsapp"
    outcome: str = "send"
    label: str = ""
    reason: str = ""
    provider: str = ""
    provider_type: str = ""
    fallbacks: list = field(default_factory=list)
    chosen: str = ""
    route: str = ""
    leaves: str = ""
    said: str = ""
    subject: str = ""
    text: str = ""


@dataclass
class RuleTrial:
    """What one rule would say of a record. `applies`: its conditions are met, and it is switched on."""

    id: int
    name: str
    applies: bool = False
    checks: list = field(default_factory=list)
    messages: list = field(default_factory=list)
    unlisted: int = 0
    unlisted_said: str = ""
    error: str = ""


@dataclass
class Trial:
    """What would come of an event. `fires`: the trigger would hand the record to its rules."""

    fires: bool
    checks: list
    rules: list = field(default_factory=list)

    def count_messages(self):
        """Count the messages that would go out, now or later."""
        applying = [rule for rule in self.rules if rule.applies] if self.fires else []
        listed = [one for rule in applying for one in rule.messages if one.outcome in ("send", "wait")]
        return len(listed) + sum(rule.unlisted for rule in applying)

    def as_dict(self):
        """Give it as JSON can hold it."""
        return asdict(self)


class Repeats(Failure):
    """Keeps the queue rows that a repeat policy leaves out."""

    def __init__(self):
        self.rows = []

    def hold_back(self, row):
        self.held_back += 1
        self.rows.append(row)


class SicantikNotificationTrial(models.AbstractModel):
    """Plays an event without letting it happen: would it fire, who would hear of it, and why not.

    It asks the code that decides in earnest, from the trigger's condition to the limits of the drain, inside
    a savepoint that is undone. Nothing is sent, queued, counted or noted.
    """

    _name = "sicantik.notification.trial"
    _description = "Trial of Triggers and Rules"

    # === THE TRIGGER ===#

    @api.model
    def _try(self, trigger, record, rules=None, old_state=None, new_state=None):
        """Play the event of a trigger for a record.

        :param trigger: one trigger
        :param record: one record of its model; the caller has checked that the user may read it
        :param rules: its rules that are of interest; all of them when None, also those switched off
        :param str old_state: value of the watched field before; for `on_state_change` only
        :param str new_state: value of the watched field afterwards; the record is looked at as if it had it
        :rtype: Trial
        """
        reader = record.with_env(self.env)
        trigger, record = trigger.sudo(), record.sudo().with_context(active_test=True)
        if rules is None:
            rules = trigger.with_context(active_test=False).rule_ids
        trial = Trial(False, [self._check_switch(trigger)])
        with trigger._fence(f"trial of trigger {trigger.id}", undo=True) as failure:
            event = self._event(trigger, record, old_state, new_state)
            trial.checks += self._check_event(trigger, record, event)
            trial.checks += self._check_condition(trigger, trigger.condition_domain, record, reader, event)
            trial.fires = all(check.verdict != "no" for check in trial.checks)
            for rule in rules.sudo().sorted():
                trial.rules.append(self._try_rule(rule, record, event, reader))
        if failure.error:
            trial.fires = False
            trial.checks.append(Check("no", _("The trigger can be evaluated"), failure.error))
        return trial

    @api.model
    def _check_switch(self, record):
        is_rule = record._name == "sicantik.notification.rule"
        what = _("The rule is switched on") if is_rule else _("The trigger is switched on")
        if record.active:
            return Check("yes", what)
        return Check("no", what, _("It is switched off. Switch it on when it should work."))

    @api.model
    def _event(self, trigger, record, old_state, new_state):
        """Give what would have happened; a record whose status would have changed has it from here on."""
        name = trigger._watched_field()
        field_ = record._fields.get(name) if name else None
        if field_ is None:
            return Event("try")
        if trigger.trigger_type == "on_field_change":
            (value,) = comparables(record, name)
            return Event("try", None, value, {name: (None, value)})
        old, new = (
            int(state) if field_.type == "many2one" and (state or "").isdecimal() else state or False
            for state in (old_state, new_state)
        )
        if new:
            self._pretend(trigger, record, field_, new)
        return Event("try", old, new, {name: (old, new)})

    @api.model
    def _pretend(self, trigger, record, field_, value):
        """Give the record another status, in the database alone, for the rest of the savepoint.

        Not by a write of the ORM: what other addons do then is not for a trial to do.
        """
        model = self.env[trigger.model_name]
        if not field_.store:
            names = [name for name in trigger._sources(field_) if model._fields[name].store]
            field_ = model._fields[names[0]] if len(names) == 1 else field_
        if not (field_.store and field_.column_type):
            return
        record.flush_recordset()
        self.env.cr.execute(
            SQL(
                "UPDATE %s SET %s = %s WHERE id = %s",
                SQL.identifier(model._table),
                SQL.identifier(field_.name),
                value,
                record.id,
            )
        )
        record.invalidate_recordset()

    @api.model
    def _check_event(self, trigger, record, event):
        """Check what the type of the trigger asks for.

        :rtype: list[Check]
        """
        wording = self.env["sicantik.notification.wording"]
        said = wording._say_event(trigger.with_env(self.env))
        if trigger.trigger_type == "on_state_change":
            return [self._check_states(trigger, event, said)]
        checks = [Check("info", said, _("Taken as if it happened now."))]
        if trigger.trigger_type in ("cron", "on_time") and record._active_name and not record.active:
            checks.append(Check("no", _("The record is not archived"), _("It is archived.")))
        if trigger.trigger_type == "cron":
            if trigger.next_run:
                at = format_datetime(self.env, trigger.next_run)
                checks.append(Check("info", _("The next run is due"), _("It is due at %s.", at)))
        elif trigger.trigger_type == "on_time":
            checks[0].reason = ""
            checks.append(self._check_moments(trigger, record))
        return checks

    @api.model
    def _check_states(self, trigger, event, said):
        labels = {one["value"]: one["label"] for one in trigger.with_env(self.env).state_choices or ()}
        old, new = (str(state or "") for state in (event.old_state, event.new_state))
        change = _(
            "It changes from “%(old)s” to “%(new)s”.", old=labels.get(old, old), new=labels.get(new, new)
        )
        if old == new:
            return Check("no", said, _("The status before and the one afterwards are the same."))
        wanted = states(trigger.state_from), states(trigger.state_to)
        if not is_transition(*wanted, event.old_state, event.new_state):
            return Check("no", said, change)
        return Check("yes", said, change)

    @api.model
    def _check_moments(self, trigger, record):
        """Say when the moments of a record are, and whether one of them is due or still comes."""
        wording = self.env["sicantik.notification.wording"]
        name = trigger.date_field_id.name
        label = wording._label(self.env[trigger.model_name], name)
        what = _("“%s” is filled in, and a moment is due or comes", label)
        value = record[name]
        if not value:
            return Check("no", what, _("“%s” is empty.", label))
        now, verdict, told = fields.Datetime.now(), "no", []
        fired = self._fired_offsets(trigger, record, value)
        for minutes in offsets.parse(trigger.time_offsets):
            at, first, last = self._moment(trigger, record, value, minutes, now)
            said = f"{wording._say_offset(minutes)} ({format_datetime(self.env, at)})"
            if minutes in fired:
                told.append(_("%s: has fired already", said))
            elif at <= first:
                told.append(_("%s: is past", said))
            elif at <= last:
                verdict = "yes"
                told.append(_("%s: is due now", said))
            else:
                verdict = "yes"
                told.append(_("%s: comes", said))
        return Check(verdict, what, f"{label} {format_date(self.env, value)}: " + "; ".join(told))

    @api.model
    def _moment(self, trigger, record, value, minutes, now):
        """Give when a record's moment is, and between which times the clock looks for moments now.

        :param value: the date, or the date and time
        :return: three datetimes in UTC
        :rtype: tuple
        """
        early, late = self.env["sicantik.notification.clock"]._reach(trigger, minutes)
        armed = min(trigger.armed_date or now, now)
        if trigger.date_field_id.ttype == "datetime":
            first = max(now - late, armed - timedelta(minutes=trigger.tolerance_minutes))
            return value + timedelta(minutes=minutes), first - timedelta(seconds=1), now + early
        company = record.company_id if "company_id" in record._fields else None
        zone = (company and company.partner_id.tz) or trigger._company_zone()
        midnight = datetime.combine(value, time.min)
        at = to_utc(midnight + timedelta(minutes=minutes), zone)
        first = max(now - late, day_start(armed, zone) - timedelta(seconds=1))
        return at, first, now + early

    @api.model
    def _fired_offsets(self, trigger, record, value):
        """Give the offsets (minutes) that have fired for the date that a record has."""
        moments = self.env["sicantik.notification.moment"].sudo()
        found = moments.search(
            [
                ("trigger_id", "=", trigger.id),
                ("res_id", "=", record.id),
                ("date_value", "=", fields.Datetime.to_datetime(value)),
            ]
        )
        return set(found.mapped("offset_minutes"))

    @api.model
    def _check_condition(self, evaluator, text, record, reader, event):
        """Check each condition of a domain; all of them together decide, as in earnest.

        :param evaluator: the trigger or the rule whose domain it is
        :param reader: the record in the environment of the user who asks
        :return: one check per condition; none when the domain is empty
        :rtype: list[Check]
        """
        if not (text or "").strip():
            return []
        wording = self.env["sicantik.notification.wording"]
        holds = bool(evaluator._filter(text, record, {record.id: event}))
        names = evaluator._names_in(text)
        domain = evaluator._eval_domain(text, evaluator._domain_values(record, record.id, event, names))
        checks = []
        for part in wording._conditions(domain):
            said = wording._say_domain(reader, part)
            if evaluator._within(record, part):
                checks.append(Check("yes", said))
                continue
            actual = self._say_actual(reader, part)
            checks.append(Check("no", said, actual or _("That is not so for this record.")))
        if not holds and all(check.verdict == "yes" for check in checks):
            checks.append(Check("no", _("All of these conditions together"), text))
        return checks

    @api.model
    def _say_actual(self, reader, part):
        """Say what a record has in the fields of a condition that it does not meet."""
        wording = self.env["sicantik.notification.wording"]
        paths = dict.fromkeys(one[0] for one in part if not isinstance(one, str))
        said = []
        for path in paths:
            actual = wording._actual(reader, path) if isinstance(path, str) else None
            if actual is not None:
                label = wording._label(reader, path)
                said.append(_("%(field)s is: %(value)s.", field=label, value=actual))
        return " ".join(said)

    # === A RULE ===#

    @api.model
    def _try_rule(self, rule, record, event, reader=None):
        """Play what a rule would say of a record.

        :param rule: one rule
        :param record: one record, in superuser mode
        :param Event event: what would have happened
        :param reader: the record in the environment of the user who asks
        :rtype: RuleTrial
        """
        trial = RuleTrial(rule.id, rule.with_env(self.env).name)
        events = {record.id: event}
        reader = record.with_env(self.env) if reader is None else reader
        trouble = Repeats()
        with rule._fence(f"trial of rule {rule.id}", undo=True) as failure:
            trial.checks.append(self._check_switch(rule))
            trial.checks += self._check_condition(rule, rule.condition_domain, record, reader, event)
            matched = rule._matching(record, events, trouble)
            if (rule.condition_python or "").strip() and all(
                check.verdict == "yes" for check in trial.checks[1:]
            ):
                reason = "" if matched else trouble.error or _("It is not true for this record.")
                trial.checks.append(
                    Check("yes" if matched else "no", _("The Python condition is true"), reason)
                )
            rows = rule._prepare_rows(matched, events, trouble)
            trial.unlisted = max(0, len(rows) - LISTED)
            if trial.unlisted:
                trial.unlisted_said = _("… and %s more.", trial.unlisted)
            trial.messages = self._judge(rule, rows[:LISTED])
            trial.messages += self._repeats(trouble.rows[: LISTED - len(trial.messages)], rule)
            for message in trial.messages:
                message.said = self._say_outcome(message)
            trial.applies = rule.active and bool(matched)
        trial.error = failure.error or trouble.error or ""
        if trial.error:
            trial.applies, trial.messages = False, []
        return trial

    # === THE MESSAGES ===#

    @api.model
    def _judge(self, rule, rows):
        """Say of queue rows that are not made what would become of them.

        :param rule: the rule that they are of, in superuser mode
        :param list[dict] rows: from its `_prepare_rows`
        :return: one per row
        :rtype: list[Outlook]
        """
        queue = self.env["sicantik.notification.queue"].sudo()
        told = queue._told(rows)
        partners = self._partners(rows)
        outlooks = [self._outlook(row, partners) for row in rows]
        pending = []
        for row, outlook in zip(rows, outlooks, strict=True):
            if row["state"] != "pending":
                self._set(outlook, "held", row["error_class"], row["error_message"])
            elif row["event_key"] in told:
                self._set(outlook, "held", None, self._told_once())
            else:
                pending.append((row, outlook))
        jobs, directory, rules = self._plan([row for row, _outlook in pending])
        self._admit(jobs, directory, rules)
        for (row, outlook), job in zip(pending, jobs, strict=True):
            partner = partners.get(row["partner_id"])
            self._judge_job(outlook, row, job, directory, rule, partner)
        return outlooks

    @api.model
    def _partners(self, rows):
        """Give the recipients of rows, which are read together: {id: partner}."""
        partners = self.env["res.partner"].sudo()
        ids = dict.fromkeys(row["partner_id"] for row in rows if row.get("partner_id"))
        return {partner.id: partner for partner in partners.browse(ids)}

    @api.model
    def _plan(self, rows):
        """Choose the ways of rows that do not exist, as the drain would.

        :param list[dict] rows: from a rule's `_prepare_rows`
        :return: list[road.Job], one per row; the Directory; {rule id: road.Rule}
        :rtype: tuple
        """
        drain = self.env["sicantik.notification.drain"].sudo()
        values = [
            Row(**{**{name: row.get(name) for name in Row._fields}, **COUNTERS, "id": number})
            for number, row in enumerate(rows, 1)
        ]
        facts = drain._facts(values)
        return drain._prepare(values, *facts), *facts

    @api.model
    def _admit(self, jobs, directory, rules):
        """Ask the limits about messages that would leave at once; of those that leave later nobody knows."""
        now = fields.Datetime.now()
        due = [job for job in jobs if not job.verdict and job.row.scheduled_date <= now]
        senders = {sender.id: sender for sender in directory.senders}
        places = self.env["sicantik.notification.allowance"].sudo()._admit(due, senders, rules, take=False)
        for job, place in zip(due, places, strict=True):
            if isinstance(place, Wait | Refusal):
                job.verdict = place

    @api.model
    def _outlook(self, row, partners):
        partner = partners.get(row.get("partner_id"))
        who = partner.display_name if partner else _("Nobody")
        return Outlook(who, row.get(ADDRESS[row["channel"]]) or "", row["channel"])

    @api.model
    def _say_outcome(self, outlook):
        if outlook.outcome == "wait":
            return _("Would leave at %s", outlook.leaves)
        return {
            "send": _("Would leave at once"),
            "held": _("Would be left out"),
            "fail": _("Would fail"),
        }[outlook.outcome]

    @api.model
    def _set(self, outlook, outcome, error_class, reason):
        labels = dict(
            self.env["sicantik.notification.queue"]._fields["error_class"]._description_selection(self.env)
        )
        outlook.outcome, outlook.reason = outcome, reason or ""
        outlook.label = labels.get(error_class, "")

    @api.model
    def _told_once(self):
        return _("They were told already, and the rule tells once.")

    @api.model
    def _repeats(self, rows, rule):
        """Say that rows are left out by the cooldown of their rule."""
        partners = self._partners(rows)
        hours = f"{rule.cooldown_hours:g}"
        reason = _("They were told already within the last %s hours.", hours)
        outlooks = [self._outlook(row, partners) for row in rows]
        for outlook in outlooks:
            self._set(outlook, "held", None, reason)
        return outlooks

    @api.model
    def _judge_job(self, outlook, row, job, directory, rule, partner):
        verdict, leaves = job.verdict, row["scheduled_date"]
        if job.routes:
            self._name_providers(outlook, row, job, directory, partner)
        if row["channel"] == EMAIL:
            self._compose(outlook, row, rule, partner)
        if isinstance(verdict, Refusal):
            outcome = "held" if verdict.error_class in HELD_BACK else "fail"
            self._set(outlook, outcome, verdict.error_class, verdict.error_message)
            return
        if isinstance(verdict, Wait) and leaves <= fields.Datetime.now():
            self._set(outlook, "wait", verdict.error_class, verdict.reason)
            leaves = max(leaves, verdict.until)
        elif leaves > fields.Datetime.now():
            self._set(outlook, "wait", row.get("error_class"), row.get("error_message"))
        if outlook.outcome == "wait":
            outlook.leaves = format_datetime(self.env, leaves)

    @api.model
    def _name_providers(self, outlook, row, job, directory, partner):
        """Say who would take a message, why that one, and what it would read."""
        senders = {sender.id: sender for sender in directory.senders}
        first, *others = [senders[route.provider_id] for route in job.routes if route.provider_id in senders]
        types = dict(
            self.env["sicantik.notification.queue"]._fields["provider_type"]._description_selection(self.env)
        )
        outlook.provider, outlook.provider_type = first.name, types.get(first.provider_type, "")
        outlook.fallbacks = [sender.name for sender in others]
        given = {"provider": first.name, "type": outlook.provider_type}
        if outlook.fallbacks:
            given["others"] = " → ".join(outlook.fallbacks)
            outlook.route = _("By %(provider)s (%(type)s); if it refuses, by %(others)s", **given)
        else:
            outlook.route = _("By %(provider)s (%(type)s)", **given)
        outlook.text = job.routes[0].message.text
        dispatcher = self.env["sicantik.whatsapp.dispatcher"].sudo()
        company = self.env["res.company"].browse(row["company_id"])
        request = dispatcher._request(partner, company, template_key=row["template_key"] or "")
        choice = dispatcher._choose(request, directory)
        if choice["provider"].id == first.id:
            outlook.chosen = choice["reason"]
        else:
            outlook.chosen = _("%s: those before it cannot take this message now.", first.name)

    @api.model
    def _compose(self, outlook, row, rule, partner):
        """Write the e-mail that a row would become, into its outlook."""
        mails = self.env["sicantik.notification.mail"].sudo()
        template = mails._template(rule.mail_template_id.id, row["company_id"], partner.lang)
        composed = {}
        with rule._fence(f"e-mail template {template.id}", undo=True) as failure:
            composed = mails._compose(template, [row["res_id"]])
        if failure.error:
            self._set(outlook, "fail", None, failure.error)
            return
        mail = composed[row["res_id"]]
        outlook.subject = mail["subject"]
        outlook.route = _("By e-mail: %s", mail["subject"] or "")
        outlook.text = html2plaintext(mail["body_html"] or "")
